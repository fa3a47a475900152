//! Programs that people run, from Debian's packages and with their stock configuration.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::process::Signal;

use super::harness::{Plan, Svcd};
use super::machine::{alive, cgroups, eventually, is_root, members, program, send, skip};

/// Kill -9 of the main process: it answers again. Stop: its cgroup is empty and gone.
pub fn survives_and_ends(svcd: &Svcd, unit: &str, answers: &dyn Fn() -> bool) {
    eventually(&format!("{unit} answers"), answers);
    let before = svcd.main_pid(unit);
    send(before, Signal::KILL);
    eventually(&format!("{unit} runs anew"), || {
        !alive(before) && svcd.state(unit) == "running"
    });
    eventually(&format!("{unit} answers again"), answers);
    assert_ne!(svcd.main_pid(unit), before);
    assert!(svcd.status(unit)["restarts"].as_u64() >= Some(1));
    let all = members(&svcd.cgroup(unit));
    svcd.ok(&["stop", unit]);
    assert!(!answers());
    assert!(!all.iter().any(|pid| alive(*pid)), "every process is gone");
    eventually("its cgroup is gone", || cgroups(&svcd.cgroup(unit)).is_empty());
}

pub fn http_answers(port: u16) -> bool {
    let Ok(mut stream) = TcpStream::connect(("127.0.0.1", port)) else {
        return false;
    };
    let mut reply = String::new();
    let asked = stream.write_all(b"GET / HTTP/1.0\r\nHost: localhost\r\n\r\n");
    asked.is_ok() && stream.read_to_string(&mut reply).is_ok() && reply.starts_with("HTTP/1.1 200")
}

#[test]
fn nginx() {
    let (Some(nginx), true) = (program("nginx"), is_root()) else {
        return skip("nginx", "nginx is not installed, or not root");
    };
    if TcpStream::connect(("127.0.0.1", 80)).is_ok() {
        return skip("nginx", "port 80, which the stock configuration takes, is in use");
    }
    let unit = format!(
        "[service]\nexec-start = [\"{}\", \"-g\", \"daemon off;\"]\n[restart]\ndelay = \"10ms\"\n",
        nginx.display()
    );
    let svcd = Svcd::with(&[("web", &unit)]);
    svcd.ok(&["start", "web"]);
    eventually("its workers are there", || members(&svcd.cgroup("web")).len() > 2);
    let users: Vec<u32> = members(&svcd.cgroup("web")).into_iter().map(user_of).collect();
    assert!(
        users.contains(&0) && users.iter().any(|user| *user != 0),
        "workers have a user of their own: {users:?}"
    );
    survives_and_ends(&svcd, "web", &|| http_answers(80));
}

fn user_of(pid: u32) -> u32 {
    use std::os::unix::fs::MetadataExt;
    fs::metadata(format!("/proc/{pid}"))
        .map(|data| data.uid())
        .unwrap_or_default()
}

#[test]
fn redis() {
    let (Some(redis), true) = (program("redis-server"), is_root()) else {
        return skip("redis", "redis is not installed, or not root");
    };
    if TcpStream::connect(("127.0.0.1", 6379)).is_ok() {
        return skip("redis", "port 6379, which the stock configuration takes, is in use");
    }
    // The stock file, in the foreground, as every unit of a supervisor runs.
    let unit = format!(
        "[service]\nexec-start = [\"{}\", \"/etc/redis/redis.conf\", \"--daemonize\", \"no\", \"--pidfile\", \"\"]\n\
         user = \"redis\"\nworking-directory = \"/var/lib/redis\"\n[restart]\ndelay = \"10ms\"\n",
        redis.display()
    );
    let svcd = Svcd::with(&[("redis", &unit)]);
    svcd.ok(&["start", "redis"]);
    survives_and_ends(&svcd, "redis", &|| {
        let Ok(mut stream) = TcpStream::connect(("127.0.0.1", 6379)) else {
            return false;
        };
        let mut reply = [0; 7];
        stream.write_all(b"PING\r\n").is_ok() && stream.read_exact(&mut reply).is_ok() && &reply == b"+PONG\r\n"
    });
}

/// Where Debian keeps the server's programs, which are not in PATH.
pub fn postgres_programs() -> Option<PathBuf> {
    let versions = fs::read_dir("/usr/lib/postgresql").ok()?.flatten();
    versions
        .map(|version| version.path().join("bin"))
        .find(|bin| bin.join("initdb").exists())
}

#[test]
fn postgresql() {
    let (Some(bin), true) = (postgres_programs(), is_root()) else {
        return skip("postgresql", "PostgreSQL is not installed, or not root");
    };
    let plan = Plan::new();
    let place = plan.dir().join("db");
    fs::create_dir(&place).unwrap();
    let owned = Command::new(program("chown").unwrap())
        .arg("postgres:")
        .arg(&place)
        .status()
        .unwrap();
    assert!(owned.success());
    let (bin, data) = (bin.display(), place.join("data").display().to_string());
    let socket = place.display();
    let init = format!(
        "[service]\ntype = \"oneshot\"\nremain-after-exit = true\nuser = \"postgres\"\ntimeout-start = \"5m\"\n\
         exec-start = [\"{bin}/initdb\", \"--no-sync\", \"--auth=trust\", \"-D\", \"{data}\"]\n[unit]\ncondition = []\n"
    );
    let server = format!(
        "[unit]\nrequires = [\"db-init\"]\n[service]\nuser = \"postgres\"\nkill-signal = \"SIGINT\"\n\
         exec-start = [\"{bin}/postgres\", \"-D\", \"{data}\", \"-k\", \"{socket}\", \"-c\", \"listen_addresses=\"]\n\
         kill-mode = \"mixed\"\n[restart]\ndelay = \"100ms\"\n"
    );
    let svcd = plan.unit("db-init", &init).unit("db", &server).start();
    svcd.ok(&["start", "db"]);
    assert_eq!(svcd.state("db-init"), "running");
    let question = || query(&place).as_deref() == Some("42");
    survives_and_ends(&svcd, "db", &question);
    assert!(UnixStream::connect(place.join(".s.PGSQL.5432")).is_err());
}

pub fn query(socket: &Path) -> Option<String> {
    // Not /usr/bin/psql, which is a script that looks for this one.
    let psql = Command::new(postgres_programs()?.join("psql"))
        .arg("-h")
        .arg(socket)
        .args(["-U", "postgres", "-Atc", "select 6 * 7"])
        .output()
        .ok()?;
    psql.status
        .success()
        .then(|| String::from_utf8_lossy(&psql.stdout).trim().to_owned())
}
