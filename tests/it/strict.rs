//! The strict profile, with programs that people run: ids of their own, no capability, no network but loopback, a tree that
//! is read-only but for their own directories; and every restriction that no profile asks for.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;

use super::harness::{Plan, SLEEPER, Svcd, shell};
use super::machine::{eventually, is_root, namespace, program, skip};
use super::programs::{postgres_programs, query, survives_and_ends};
use super::view::{look, said, writes};

const STRICT: &str = "[restart]\ndelay = \"10ms\"\n[isolation]\nprofile = \"strict\"\nmemory-deny-write-execute = true\n\
    system-call-architectures = [\"native\"]\n\
    restrict-address-families = [\"AF_UNIX\", \"AF_INET\", \"AF_INET6\", \"AF_NETLINK\"]\n";

/// The state directory of a unit, which it names as itself.
fn state(plan: &Plan, name: &str) -> PathBuf {
    plan.dir().join("state/directories/state").join(name)
}

/// Every privilege is gone, and each key of it is held.
fn is_strict(svcd: &Svcd, unit: &str) {
    let pid = svcd.main_pid(unit);
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
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
    for kind in ["user", "net", "mnt", "pid", "ipc", "uts", "cgroup"] {
        assert_ne!(namespace(pid, kind), namespace(svcd.pid(), kind), "{kind}");
    }
    let isolation = svcd.status(unit)["isolation"].clone();
    for key in [
        "user",
        "mode",
        "protect-system",
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
fn it_is_what_it_says() {
    if !is_root() {
        return skip("strict::it_is_what_it_says", "not root");
    }
    let plan = Plan::new();
    let places = ["/", "/usr", "/etc", "/var", "/run", "/tmp", "$STATE_DIRECTORY"].map(str::to_owned);
    let script = look(&format!("{}; id -u; grep -c : /proc/net/dev", writes(&places)));
    let keys = "state-directory = [\"web\"]\n[isolation]\nprofile = \"strict\"\n";
    let other = "[isolation]\nprofile = \"strict\"\nuser = false\n[network]\nmode = \"host\"\n";
    let own = state(&plan, "web").display().to_string();
    let svcd = plan
        .unit("web", &shell(&script, keys))
        .unit("other", &format!("{SLEEPER}{other}"))
        .start();
    let lines = said(&svcd, "web");
    // One interface, and that is loopback.
    assert_eq!(lines, ["writes /tmp", &format!("writes {own}"), "0", "1"]);
    let shown = svcd.ok(&["show", "web"]);
    let from = |key: &str| {
        shown
            .lines()
            .any(|line| line.contains(key) && line.contains("profile strict"))
    };
    assert!(from("mode") && from("user") && from("protect-system"), "{shown}");
    // Its keys can be changed one by one.
    svcd.ok(&["start", "other"]);
    for kind in ["user", "net"] {
        assert_eq!(
            namespace(svcd.main_pid("other"), kind),
            namespace(svcd.pid(), kind),
            "{kind}"
        );
    }
}

#[test]
fn nginx() {
    let (Some(nginx), true) = (program("nginx"), is_root()) else {
        return skip("strict::nginx", "nginx is not installed, or not root");
    };
    let plan = Plan::new();
    let place = state(&plan, "web").display().to_string();
    let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|kind| format!("{kind}_temp_path {place}/{kind};"))
        .join("\n");
    let socket = format!("{place}/socket");
    // Its loopback is its own; a socket in its own directory is reached from outside.
    let config = format!(
        "worker_processes 2;\npid {place}/pid;\nerror_log stderr;\nevents {{ }}\nhttp {{ access_log off;\n{temporary}\n\
         server {{ listen 127.0.0.1:8080; listen unix:{socket}; location / {{ return 200 \"strict\"; }} }} }}\n"
    );
    let file = plan.dir().join("nginx.conf");
    fs::write(&file, config).unwrap();
    let unit = format!(
        "[service]\nexec-start = [\"{}\", \"-c\", \"{}\", \"-g\", \"daemon off;\"]\nuser = \"www-data\"\n\
         exec-start-pre = [\"rm\", \"-f\", \"{socket}\"]\nstate-directory = [\"web\"]\n{STRICT}",
        nginx.display(),
        file.display()
    );
    let svcd = plan.unit("web", &unit).start();
    svcd.ok(&["start", "web"]);
    let answers = || {
        let Ok(mut stream) = UnixStream::connect(&socket) else {
            return false;
        };
        let mut reply = String::new();
        let asked = stream.write_all(b"GET / HTTP/1.0\r\nHost: localhost\r\n\r\n");
        asked.is_ok() && stream.read_to_string(&mut reply).is_ok() && reply.starts_with("HTTP/1.1 200")
    };
    eventually("nginx answers", answers);
    is_strict(&svcd, "web");
    survives_and_ends(&svcd, "web", &answers);
}

#[test]
fn redis() {
    let (Some(redis), true) = (program("redis-server"), is_root()) else {
        return skip("strict::redis", "redis is not installed, or not root");
    };
    let plan = Plan::new();
    let place = state(&plan, "redis").display().to_string();
    let socket = format!("{place}/socket");
    let unit = format!(
        "[service]\nexec-start = [\"{}\", \"--port\", \"0\", \"--unixsocket\", \"{socket}\", \"--dir\", \"{place}\"]\n\
         user = \"redis\"\nstate-directory = [\"redis\"]\n{STRICT}",
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
    eventually("redis answers", answers);
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
    let place = state(&plan, "db");
    let (bin, shown) = (bin.display(), place.display());
    let init = format!("test -e {shown}/data/PG_VERSION || exec {bin}/initdb --no-sync --auth=trust -D {shown}/data");
    let unit = format!(
        "[service]\nuser = \"postgres\"\nstate-directory = [\"db\"]\nkill-signal = \"SIGINT\"\nkill-mode = \"mixed\"\n\
         timeout-start = \"5m\"\nexec-start-pre = [\"/bin/sh\", \"-c\", \"{init}\"]\n\
         exec-start = [\"{bin}/postgres\", \"-D\", \"{shown}/data\", \"-k\", \"{shown}\", \"-c\", \"listen_addresses=\"]\n{STRICT}"
    );
    let svcd = plan.unit("db", &unit).start();
    svcd.ok(&["start", "db"]);
    let answers = || query(&place).as_deref() == Some("42");
    eventually("PostgreSQL answers", answers);
    is_strict(&svcd, "db");
    survives_and_ends(&svcd, "db", &answers);
}
