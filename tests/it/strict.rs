//! The strict profile's privileges, with programs that people run: no capability, the default filter, every restriction.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Command;

use super::harness::{Plan, Svcd};
use super::machine::{is_root, program, skip};
use super::programs::{http_answers, postgres_programs, query, survives_and_ends};

/// What strict adds to standard, but for what it sees of the machine; and what no profile asks for.
const STRICT: &str = "[restart]\ndelay = \"10ms\"\n[isolation]\ncapabilities = [\"none\"]\nrestrict-suid-sgid = true\n\
    memory-deny-write-execute = true\nsystem-call-architectures = [\"native\"]\n\
    restrict-address-families = [\"AF_UNIX\", \"AF_INET\", \"AF_INET6\", \"AF_NETLINK\"]\n";

/// A directory of the plan's that this user owns.
fn owned(plan: &Plan, name: &str, user: &str) -> String {
    let place = plan.dir().join(name);
    fs::create_dir(&place).unwrap();
    let chown = Command::new("chown").arg(user).arg(&place).status();
    assert!(chown.unwrap().success());
    place.display().to_string()
}

/// Nobody listens on it now; who else might take it until it is used is on this machine.
fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Every privilege is gone, and each key of it is held.
fn is_strict(svcd: &Svcd, unit: &str) {
    let status = fs::read_to_string(format!("/proc/{}/status", svcd.main_pid(unit))).unwrap();
    for line in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
        assert!(
            status.contains(&format!("{line}:\t0000000000000000\n")),
            "{line}: {status}"
        );
    }
    assert!(
        status.contains("NoNewPrivs:\t1\n") && status.contains("Seccomp:\t2\n"),
        "{status}"
    );
    let isolation = svcd.status(unit)["isolation"].clone();
    for key in [
        "capabilities",
        "seccomp",
        "memory-deny-write-execute",
        "restrict-suid-sgid",
        "restrict-address-families",
    ] {
        assert_eq!(isolation[key], "enforced", "{isolation:#}");
    }
}

#[test]
fn nginx() {
    let (Some(nginx), true) = (program("nginx"), is_root()) else {
        return skip("strict::nginx", "nginx is not installed, or not root");
    };
    let plan = Plan::new();
    let (place, port) = (owned(&plan, "web", "www-data"), free_port());
    let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|kind| format!("{kind}_temp_path {place}/{kind};"))
        .join("\n");
    let config = format!(
        "worker_processes 2;\npid {place}/pid;\nerror_log stderr;\nevents {{ }}\nhttp {{ access_log off;\n{temporary}\n\
         server {{ listen 127.0.0.1:{port}; location / {{ return 200 \"strict\"; }} }} }}\n"
    );
    fs::write(plan.dir().join("web/nginx.conf"), config).unwrap();
    let unit = format!(
        "[service]\nexec-start = [\"{}\", \"-c\", \"{place}/nginx.conf\", \"-g\", \"daemon off;\"]\nuser = \"www-data\"\n{STRICT}",
        nginx.display()
    );
    let svcd = plan.unit("web", &unit).start();
    svcd.ok(&["start", "web"]);
    super::machine::eventually("nginx answers", || http_answers(port));
    is_strict(&svcd, "web");
    survives_and_ends(&svcd, "web", &|| http_answers(port));
}

#[test]
fn redis() {
    let (Some(redis), true) = (program("redis-server"), is_root()) else {
        return skip("strict::redis", "redis is not installed, or not root");
    };
    let plan = Plan::new();
    let place = owned(&plan, "redis", "redis");
    let socket = format!("{place}/socket");
    let unit = format!(
        "[service]\nexec-start = [\"{}\", \"--port\", \"0\", \"--unixsocket\", \"{socket}\", \"--dir\", \"{place}\"]\n\
         user = \"redis\"\n{STRICT}",
        redis.display()
    );
    let svcd = plan.unit("redis", &unit).start();
    svcd.ok(&["start", "redis"]);
    let asked = |question: &[u8]| {
        let mut stream = UnixStream::connect(&socket).ok()?;
        let mut reply = [0; 5];
        stream.write_all(question).ok()?;
        stream.read_exact(&mut reply).ok()?;
        Some(reply)
    };
    let answers = || asked(b"PING\r\n") == Some(*b"+PONG");
    super::machine::eventually("redis answers", answers);
    is_strict(&svcd, "redis");
    // A child writes the file, so it forks and opens under the filter too.
    assert_eq!(asked(b"SAVE\r\n"), Some(*b"+OK\r\n"));
    survives_and_ends(&svcd, "redis", &answers);
}

#[test]
fn postgresql() {
    let (Some(bin), true) = (postgres_programs(), is_root()) else {
        return skip("strict::postgresql", "PostgreSQL is not installed, or not root");
    };
    let plan = Plan::new();
    let place = owned(&plan, "db", "postgres");
    let bin = bin.display();
    let init = format!(
        "[service]\ntype = \"oneshot\"\nremain-after-exit = true\nuser = \"postgres\"\ntimeout-start = \"5m\"\n\
         exec-start = [\"{bin}/initdb\", \"--no-sync\", \"--auth=trust\", \"-D\", \"{place}/data\"]\n{STRICT}"
    );
    let server = format!(
        "[unit]\nrequires = [\"db-init\"]\n[service]\nuser = \"postgres\"\nkill-signal = \"SIGINT\"\nkill-mode = \"mixed\"\n\
         exec-start = [\"{bin}/postgres\", \"-D\", \"{place}/data\", \"-k\", \"{place}\", \"-c\", \"listen_addresses=\"]\n{STRICT}"
    );
    let svcd = plan.unit("db-init", &init).unit("db", &server).start();
    svcd.ok(&["start", "db"]);
    let answers = || query(Path::new(&place)).as_deref() == Some("42");
    super::machine::eventually("PostgreSQL answers", answers);
    is_strict(&svcd, "db");
    survives_and_ends(&svcd, "db", &answers);
}
