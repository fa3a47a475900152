//! Services of Debian's packages, run from what `svc import` makes of their units. They have the ports and the directories
//! of a whole machine, so they run in a guest, for which tests/guest/daemons fetches them.

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpStream, UdpSocket};
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use super::built::svc_at;
use super::harness::Plan;
use super::machine::{eventually, skip};

/// Where a guest has them as systemd's.
const UNITS: &str = "/usr/lib/svc/systemd";

/// How to ask a service, and with what its answer begins.
enum Question {
    Tcp(u16, &'static [u8], &'static [u8]),
    Udp(u16, &'static [u8], fn(&[u8]) -> bool),
}
use Question::{Tcp, Udp};

/// Is localhost there? RFC 1035.
const LOOK_UP: &[u8] = b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x09localhost\x00\x00\x01\x00\x01";
/// A client's packet of NTP, version 4; RFC 5905.
const WHAT_TIME: &[u8] =
    b"\x23\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01";
const GET: &[u8] = b"GET / HTTP/1.0\r\n\r\n";

fn is_looked_up(answer: &[u8]) -> bool {
    answer.starts_with(b"\x12\x34") && answer.get(2).is_some_and(|flags| flags & 0x80 != 0)
}

fn is_time(answer: &[u8]) -> bool {
    answer.first().is_some_and(|first| first & 7 == 4)
}

/// Each with whether its unit says how to reload it.
const SERVICES: [(&str, Question, bool); 10] = [
    ("nginx", Tcp(80, GET, b"HTTP/1.1 200"), true),
    ("redis-server", Tcp(6379, b"PING\r\n", b"+PONG"), false),
    ("memcached", Tcp(11211, b"version\r\n", b"VERSION "), false),
    ("haproxy", Tcp(8080, GET, b"HTTP/1.1 200"), true),
    ("dnsmasq", Udp(53, LOOK_UP, is_looked_up), true),
    ("unbound", Udp(5353, LOOK_UP, is_looked_up), true),
    (
        "mosquitto",
        Tcp(
            1883,
            b"\x10\x0d\x00\x04MQTT\x04\x02\x00\x3c\x00\x01a",
            b"\x20\x02\x00\x00",
        ),
        true,
    ),
    ("ssh", Tcp(22, b"", b"SSH-2.0-"), true),
    ("chrony", Udp(123, WHAT_TIME, is_time), false),
    ("tor@default", Tcp(9050, b"\x05\x01\x00", b"\x05\x00"), true),
];

impl Question {
    fn is_answered(&self) -> bool {
        let mut answer = [0; 512];
        let asked = match self {
            Tcp(port, question, _) => TcpStream::connect(("127.0.0.1", *port)).and_then(|mut stream| {
                stream.set_read_timeout(Some(Duration::from_secs(5)))?;
                stream.write_all(question)?;
                stream.read(&mut answer)
            }),
            Udp(port, question, _) => UdpSocket::bind(("127.0.0.1", 0)).and_then(|socket| {
                socket.set_read_timeout(Some(Duration::from_secs(5)))?;
                socket.connect(("127.0.0.1", *port))?;
                socket.send(question)?;
                socket.recv(&mut answer)
            }),
        };
        let answer = asked.map(|count| &answer[..count]).unwrap_or_default();
        match self {
            Tcp(_, _, expected) => answer.starts_with(expected),
            Udp(_, _, is_right) => is_right(answer),
        }
    }
}

#[test]
fn ten_imported_services_answer_reload_and_stop() {
    let test = "ten_imported_services_answer_reload_and_stop";
    let Ok(units) = fs::read_dir(UNITS) else {
        return skip(test, "their ports and directories are a machine's: a guest has them");
    };
    let files: Vec<String> = units.flatten().map(|unit| unit.path().display().to_string()).collect();
    let plan = Plan::new();
    let into = plan.dir().join("units").display().to_string();
    let mut words = vec!["import", "--output", &into];
    words.extend(files.iter().map(String::as_str));
    let done = svc_at(Path::new("/none"), &words);
    assert_eq!(done.code, 0, "{}", done.err);
    // What they take for granted: the directories since this svcd has its own place for what is in /run. Nobody hears what
    // is logged: who logs would wait for a reader that is slow.
    drop(UnixDatagram::bind("/dev/log").expect("nobody else logs"));
    for name in ["haproxy", "redis", "sshd"] {
        fs::create_dir_all(Path::new("/run").join(name)).expect("make a directory");
    }
    let redis = Command::new("chown").args(["redis:redis", "/run/redis"]).status();
    assert!(redis.is_ok_and(|status| status.success()));
    let svcd = plan.start();
    let answers = |unit: &str, question: &Question| {
        let seen = || eventually(&format!("{unit} answers"), || question.is_answered());
        let seen = std::panic::catch_unwind(std::panic::AssertUnwindSafe(seen));
        assert!(seen.is_ok(), "{unit} said: {:#?}", svcd.lines(unit));
    };
    for (unit, question, reloads) in &SERVICES {
        svcd.ok(&["start", unit]);
        answers(unit, question);
        if *reloads {
            let before = svcd.main_pid(unit);
            svcd.ok(&["reload", unit]);
            answers(unit, question);
            assert_eq!(
                (svcd.main_pid(unit), svcd.state(unit)),
                (before, "running".to_owned()),
                "{unit}"
            );
        }
    }
    for (unit, question, _) in &SERVICES {
        svcd.ok(&["stop", unit]);
        assert_eq!(svcd.state(unit), "inactive", "{unit}");
        assert!(!question.is_answered(), "{unit} is gone");
    }
    fs::remove_file("/dev/log").expect("it is ours");
}
