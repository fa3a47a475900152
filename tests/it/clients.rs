//! Clients that misbehave, and clients that are not ours.

use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use super::harness::{Plan, SLEEPER, Svcd};
use super::machine::{bar, eventually, open_descriptors, skip};

fn connect(svcd: &Svcd) -> UnixStream {
    let stream = UnixStream::connect(svcd.socket()).expect("connect to svcd");
    stream.set_read_timeout(Some(bar(10_000))).unwrap();
    stream
}

/// One call and its reply, as varlink writes them.
fn call(stream: &mut UnixStream, text: &str) -> serde_json::Value {
    stream.write_all(text.as_bytes()).unwrap();
    stream.write_all(&[0]).unwrap();
    let mut reply = Vec::new();
    let mut byte = [0];
    while stream.read(&mut byte).unwrap() == 1 && byte[0] != 0 {
        reply.push(byte[0]);
    }
    serde_json::from_slice(&reply).unwrap()
}

const STATUS: &str = r#"{"method":"dev.svc.Supervisor.Status","parameters":{"units":[]}}"#;

/// This process holds the other ends.
fn raise_descriptor_limit() {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).expect("look at the limit of descriptors");
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard).expect("raise the limit of descriptors");
}

#[test]
fn row_11_connection_flood() {
    let svcd = Svcd::with(&[("web", SLEEPER)]);
    svcd.ok(&["start", "web"]);
    let before = svcd.holds();
    raise_descriptor_limit();
    let connect = |_| UnixStream::connect(svcd.socket()).expect("connect");
    let held: Vec<UnixStream> = (0..2_500).map(connect).collect();
    svcd.answers_in_time();
    // Half of 4096 clients are one user's; those over that are let go as soon as svcd comes to them.
    eventually("one user holds no more than its cap", || {
        open_descriptors(svcd.pid()) < before.descriptors + 2_100
    });
    drop(held);
    svcd.is_back_to(before);
}

#[test]
fn row_12_half_written_messages() {
    let svcd = Svcd::with(&[("web", SLEEPER)]);
    svcd.ok(&["start", "web"]);
    let before = svcd.holds();
    let message = format!("{STATUS}\0");
    let mut clients: Vec<UnixStream> = (1..message.len())
        .map(|end| {
            let mut stream = connect(&svcd);
            stream.write_all(&message.as_bytes()[..end]).unwrap();
            stream.set_nonblocking(true).unwrap();
            stream
        })
        .collect();
    svcd.answers_in_time();
    let started = Instant::now();
    let mut slow = connect(&svcd);
    slow.set_nonblocking(true).unwrap();
    // Every one is hung up on, the one that sends a byte now and then as well.
    let mut nth = 0;
    let end = Duration::from_secs(32);
    while !clients.is_empty() || !hung_up(&mut slow) {
        assert!(started.elapsed() <= end, "{} clients are kept", clients.len());
        let _ = slow.write(&message.as_bytes()[nth % 40..nth % 40 + 1]);
        nth += 1;
        clients.retain_mut(|client| !hung_up(client));
        std::thread::sleep(Duration::from_millis(100));
    }
    svcd.is_back_to(before);
}

fn hung_up(stream: &mut UnixStream) -> bool {
    match stream.read(&mut [0; 512]) {
        Ok(0) => true,
        Ok(_) => false,
        Err(error) => error.kind() != ErrorKind::WouldBlock,
    }
}

#[test]
fn row_12_oversized_and_malformed_messages() {
    let svcd = Svcd::with(&[("web", SLEEPER)]);
    svcd.ok(&["start", "web"]);
    let before = svcd.holds();
    let mut other = connect(&svcd);
    let hostile: &[&[u8]] = &[
        b"\0",
        b"not json\0",
        b"[]\0",
        b"{}\0",
        b"{\"method\":7}\0",
        b"{\"method\":\"\"}\0",
        b"{\"method\":\"dev.svc.Supervisor.Status\",\"parameters\":{\"units\":[null]}}\0",
        b"{\"method\":\"dev.svc.Supervisor.Status\",\"parameters\":{\"units\":[\"../../../x\"]}}\0",
        b"{\"method\":\"dev.svc.Supervisor.Start\",\"parameters\":{\"units\":[],\"wait\":\"maybe\"}}\0",
        b"{\"method\":\"dev.svc.Supervisor.Status\",\"parameters\":{\"units\":[\"\xff\xfe\"]}}\0",
    ];
    for message in hostile {
        let mut stream = connect(&svcd);
        stream.write_all(message).unwrap();
        // An error in reply or a hang-up, but one of them, and soon.
        let read = stream.read(&mut [0; 4096]);
        assert!(
            read.is_ok() || read.is_err_and(|error| error.kind() == ErrorKind::ConnectionReset),
            "{}",
            String::from_utf8_lossy(message)
        );
    }
    let deep = [b"{\"method\":".as_slice(), &[b'['; 200_000]].concat();
    for message in [vec![b' '; 8 << 20], deep] {
        let mut stream = connect(&svcd);
        let sent = stream.write_all(&message).and_then(|()| stream.write_all(&[0]));
        let read = stream.read(&mut [0; 4096]);
        assert!(sent.is_err() || read.is_ok() || read.is_err_and(|error| error.kind() == ErrorKind::ConnectionReset));
    }
    assert!(
        call(&mut other, STATUS)["parameters"]["units"].is_array(),
        "the neighbour is served"
    );
    drop(other);
    svcd.is_back_to(before);
}

#[test]
fn row_13_client_that_never_reads() {
    let plan = (0..100).fold(Plan::new(), |plan, nth| plan.unit(&format!("unit{nth}"), SLEEPER));
    let svcd = plan
        .unit(
            "busy",
            &super::harness::shell(
                "exit 1",
                "[restart]\ndelay = \"1ms\"\nmax-delay = \"2ms\"\n[isolation]\nprofile = \"none\"\n",
            ),
        )
        .start();
    // What it takes to restart a unit and to answer is there before the clients are.
    svcd.svc(&["start", "busy"]);
    let restarted = |times: u64| {
        eventually("it is restarted often", || {
            svcd.status("busy")["restarts"].as_u64() > Some(times)
        });
    };
    restarted(100);
    let before = svcd.holds();
    let watch = r#"{"method":"dev.svc.Supervisor.Watch","more":true}"#;
    let mut deaf: Vec<UnixStream> = (0..20).map(|_| connect(&svcd)).collect();
    for (nth, stream) in deaf.iter_mut().enumerate() {
        stream.set_nonblocking(true).unwrap();
        let message = if nth % 2 == 0 { watch } else { STATUS };
        // As many calls as it takes, none of the replies read.
        for _ in 0..if nth % 2 == 0 { 1 } else { 2000 } {
            if stream.write_all(format!("{message}\0").as_bytes()).is_err() {
                break;
            }
        }
    }
    // In steps, each with the time that anything may take: a busy machine takes longer for all of them.
    (200..=600).step_by(100).for_each(restarted);
    svcd.answers_in_time();
    let grown = svcd.holds().resident_kib.saturating_sub(before.resident_kib);
    assert!(grown <= 20 * 64 + 1024, "20 clients that do not read hold {grown} KiB");
    let watcher = &mut deaf[0];
    watcher.set_nonblocking(false).unwrap();
    watcher.set_read_timeout(Some(bar(5_000))).unwrap();
    let mut told = Vec::new();
    let _ = watcher.take(1 << 20).read_to_end(&mut told);
    assert!(
        String::from_utf8_lossy(&told).contains("\"lagged\":true"),
        "it is told that it missed something"
    );
    svcd.svc(&["stop", "busy"]);
}

#[test]
fn a_varlink_client_that_is_not_ours() {
    let python = std::env::var_os("SVC_TEST_PYTHON")
        .map(PathBuf::from)
        .filter(|path| path.exists());
    let Some(python) = python else {
        return skip(
            "a_varlink_client_that_is_not_ours",
            "no Python with the varlink package; tests/run makes one",
        );
    };
    let svcd = Svcd::with(&[("web", SLEEPER)]);
    let script = concat!(
        "import sys, varlink\n",
        "client = varlink.Client('unix:' + sys.argv[1])\n",
        "interface = client.get_interface('dev.svc.Supervisor')\n",
        "assert 'method Start' in interface.description, interface.description\n",
        "with client.open('dev.svc.Supervisor') as svc:\n",
        "    print(svc.Version()['version'])\n",
        "    done = svc.Start(['web'], True, None)\n",
        "    assert done['outcomes'][0]['outcome'] == 'done', done\n",
        "    status = svc.Status(['web'])['units'][0]\n",
        "    print(status['state'], status['main_pid']['host'])\n",
        "    try:\n",
        "        svc.Status(['nobody'])\n",
        "        raise SystemExit('no error')\n",
        "    except varlink.VarlinkError as error:\n",
        "        print(error.error())\n",
    );
    let done = Command::new(python)
        .args(["-c", script])
        .arg(svcd.socket())
        .output()
        .unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let out = String::from_utf8_lossy(&done.stdout).into_owned();
    let lines: Vec<&str> = out.lines().collect();
    assert_eq!(
        lines,
        [
            env!("CARGO_PKG_VERSION"),
            &format!("running {}", svcd.main_pid("web")),
            "dev.svc.Supervisor.NoSuchUnit"
        ]
    );
}
