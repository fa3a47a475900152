//! Calls that fail under svcd: it says so, loses nothing, and goes on when the fault is over.

use std::fs;
use std::os::unix::net::UnixStream;
use std::process::Command;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::built::binary;
use super::harness::{Plan, SLEEPER, Svcd, shell};
use super::machine::{bar, cgroups, cpu_time, eventually, has_controller, hierarchies, is_root, program, send, skip};
use super::strace::Trace;

#[test]
fn row_01_clone_fails() {
    if let Some(why) = Trace::missing() {
        return skip("row_01_clone_fails", why);
    }
    for error in ["EAGAIN", "ENOMEM"] {
        for times in [1, 3, 10] {
            // One start within the hour is all that the budget allows: a fault that cost one would show.
            let restart =
                "[restart]\ndelay = \"20ms\"\nmax-delay = \"100ms\"\ngive-up = { starts = 1, within = \"1h\" }\n";
            let svcd = Svcd::with(&[("web", &format!("{SLEEPER}{restart}")), ("other", SLEEPER)]);
            svcd.ok(&["start", "other"]);
            let trace = Trace::attach(
                &svcd,
                &[&format!("inject=clone3,clone,fork,vfork:error={error}:when=1..{times}")],
            );
            svcd.ok(&["start", "--no-wait", "web"]);
            if times == 10 {
                svcd.reaches("web", "backoff");
                svcd.answers_in_time();
            }
            eventually("the fault has come to its end", || trace.injected() >= times);
            let over = Instant::now();
            svcd.reaches("web", "running");
            assert!(
                over.elapsed() <= bar(1100),
                "{error} {times}: {:?} after the fault",
                over.elapsed()
            );
            assert_eq!(svcd.status("other")["restarts"], 0);
        }
    }
}

/// What is in it then nobody knows: its services had been stopped as if their files were gone.
#[test]
fn a_directory_that_cannot_be_read_stops_nothing() {
    if let Some(why) = Trace::missing() {
        return skip("a_directory_that_cannot_be_read_stops_nothing", why);
    }
    for fault in ["open,openat:error=EMFILE", "getdents64:error=EIO"] {
        let svcd = Svcd::with(&[("web", SLEEPER)]);
        svcd.ok(&["start", "web"]);
        let web = svcd.main_pid("web");
        let trace = Trace::attach(&svcd, &[&format!("inject={fault}")]);
        svcd.write("other", SLEEPER);
        eventually("it says so", || svcd.said().contains("units: cannot be read: "));
        drop(trace);
        eventually("it is read again", || svcd.svc(&["status", "other"]).code == 3);
        assert_eq!(
            (svcd.state("web"), svcd.main_pid("web")),
            ("running".into(), web),
            "{fault}"
        );
    }
}

#[test]
fn row_02_no_descriptors_left() {
    let Some(prlimit) = program("prlimit") else {
        return skip("row_02_no_descriptors_left", "no prlimit(1) here");
    };
    let plan = Plan::new();
    let starts = plan.dir().join("starts");
    let dying = format!("echo start >>{}; exec sleep 1000000", starts.display());
    let plan = plan.unit("dying", &shell(&dying, "[restart]\ndelay = \"10ms\"\n"));
    let svcd = plan.under(&[prlimit.to_str().unwrap(), "--nofile=64:64"]).start();
    svcd.ok(&["start", "dying"]);
    let pid = svcd.main_pid("dying");
    let clients: Vec<_> = (0..100).map_while(|_| connect_in_time(&svcd)).collect();
    let (before, started) = (cpu_time(svcd.pid()), Instant::now());
    send(pid, Signal::KILL);
    let count = || fs::read_to_string(&starts).unwrap_or_default().lines().count();
    eventually("the dying service is restarted", || count() >= 2);
    eventually("some seconds go by", || started.elapsed() >= Duration::from_secs(3));
    let share = (cpu_time(svcd.pid()) - before).as_secs_f64() / started.elapsed().as_secs_f64();
    assert!(share < 0.05, "svcd used {:.0} % of a CPU", share * 100.0);
    drop(clients);
    let freed = Instant::now();
    svcd.ok(&["status", "dying"]);
    assert!(freed.elapsed() <= bar(1000), "served after {:?}", freed.elapsed());
}

/// A connection, as long as the backlog of the socket takes one.
fn connect_in_time(svcd: &Svcd) -> Option<UnixStream> {
    use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with};
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None).ok()?;
    connect(&socket, &SocketAddrUnix::new(svcd.socket()).ok()?).ok()?;
    Some(UnixStream::from(socket))
}

#[test]
fn row_32_mkdir_of_a_cgroup_fails() {
    if let Some(why) = Trace::missing() {
        return skip("row_32_mkdir_of_a_cgroup_fails", why);
    }
    let unit = format!("{SLEEPER}[restart]\npolicy = \"no\"\n");
    let svcd = Svcd::with(&[("web", &unit)]);
    let trace = Trace::attach(&svcd, &["inject=mkdir,mkdirat:error=ENOSPC"]);
    let done = svcd.svc(&["start", "web"]);
    assert_ne!(done.code, 0);
    assert!(
        done.err.contains("cgroup") && done.err.contains("ENOSPC"),
        "the cause is named: {}",
        done.err
    );
    let status = svcd.status("web");
    assert!(
        status["failed-step"]
            .as_str()
            .is_some_and(|step| step.contains("cgroup")),
        "{status:#}"
    );
    assert!(trace.injected() > 0);
    drop(trace);
    svcd.ok(&["start", "web"]);
}

#[test]
fn row_32_a_cgroup_that_is_there_already() {
    let svcd = Svcd::with(&[
        ("web", &format!("{SLEEPER}[restart]\npolicy = \"no\"\n")),
        ("seed", SLEEPER),
    ]);
    svcd.ok(&["start", "seed"]);
    let base = cgroups(&svcd.cgroup(""));
    let mut stranger = std::process::Command::new("/bin/sleep").arg("1000000").spawn().unwrap();
    for group in &base {
        fs::create_dir(group.join("web")).unwrap();
        fs::write(group.join("web/cgroup.procs"), stranger.id().to_string()).unwrap();
    }
    let done = svcd.svc(&["start", "web"]);
    let (state, killed) = (svcd.state("web"), stranger.try_wait().unwrap().is_some());
    stranger.kill().unwrap();
    stranger.wait().unwrap();
    assert!(!killed, "a stranger in the way is not killed");
    assert_ne!(done.code, 0, "it never shares a cgroup: {state}");
    assert!(done.err.contains("cgroup"), "the cause is named: {}", done.err);
    eventually("the strangers' groups can be removed", || {
        base.iter()
            .all(|group| !group.join("web").exists() || fs::remove_dir(group.join("web")).is_ok())
    });
    svcd.ok(&["start", "web"]);
}

/// Starts a supervisor in a mount namespace after these commands of a shell.
fn in_mount_namespace(plan: Plan, before: &str) -> Option<Svcd> {
    let unshare = program("unshare").filter(|_| is_root())?;
    let line = format!("{before}; exec \"$0\" \"$@\"");
    Some(
        plan.under(&[
            unshare.to_str()?,
            "--mount",
            "--propagation",
            "private",
            "/bin/sh",
            "-c",
            &line,
        ])
        .start(),
    )
}

#[test]
fn row_33_read_only_cgroups() {
    let limited = format!("{SLEEPER}[resources]\npids-max = 10\n");
    let allowed = format!("{limited}[isolation]\nbest-effort = [\"pids-max\"]\n");
    let plan = Plan::new()
        .unit("plain", SLEEPER)
        .unit("limited", &limited)
        .unit("allowed", &allowed);
    let places: Vec<String> = hierarchies()
        .into_iter()
        .map(|(_, at)| at.display().to_string())
        .collect();
    let read_only = format!("for at in {}; do mount -o remount,bind,ro $at; done", places.join(" "));
    let Some(svcd) = in_mount_namespace(plan, &read_only) else {
        return skip(
            "row_33_read_only_cgroups",
            "a mount namespace needs root and unshare(1)",
        );
    };
    svcd.ok(&["start", "plain"]);
    let done = svcd.svc(&["start", "limited"]);
    assert_eq!(done.code, 78, "{}", done.err);
    assert!(done.err.contains("pids-max"), "the key is named: {}", done.err);
    assert_eq!(svcd.status("limited")["main-pid"], serde_json::Value::Null);
    svcd.ok(&["start", "allowed"]);
    svcd.ok(&["stop", "plain", "allowed"]);
    assert_eq!(svcd.state("plain"), "inactive");
}

#[test]
fn row_33_is_said_by_check_before_the_start() {
    let test = "row_33_is_said_by_check_before_the_start";
    let Some(unshare) = program("unshare").filter(|_| is_root()) else {
        return skip(test, "a mount namespace needs root and unshare(1)");
    };
    let limited = format!("{SLEEPER}[resources]\npids-max = 10\n");
    let plan = Plan::new().unit("plain", SLEEPER).unit("limited", &limited).unit(
        "allowed",
        &format!("{limited}[isolation]\nbest-effort = [\"pids-max\"]\n"),
    );
    let units = plan.dir().join("units");
    let check = |script: &str| {
        let mut command = Command::new(&unshare);
        let script = format!("{script}exec {} check {}", binary("svc").display(), units.display());
        let done = command.args(["-m", "sh", "-c", &script]).output().unwrap();
        let said = String::from_utf8_lossy(&done.stdout).into_owned();
        (done.status.code(), said)
    };
    let places = hierarchies()
        .into_iter()
        .map(|(_, at)| format!("umount -l {}; ", at.display()));
    let (code, said) = check(&places.collect::<String>());
    assert_eq!(code, Some(1), "{said}");
    assert_eq!(said.matches("cannot be enforced").count(), 1, "{said}");
    assert!(said.contains("limited.toml:4") && said.contains("`pids-max`"), "{said}");
    if has_controller("pids") {
        let (code, said) = check("");
        assert_eq!(code, Some(0), "{said}");
    }
}

#[test]
fn row_33_missing_controller() {
    if !has_controller("pids") {
        return skip("row_33_missing_controller", "no pids controller to take away");
    }
    let Some((_, at)) = hierarchies()
        .into_iter()
        .find(|(options, _)| options.split(',').any(|name| name == "pids"))
    else {
        return skip(
            "row_33_missing_controller",
            "on v2 a controller cannot be hidden from one process",
        );
    };
    let limited = format!("{SLEEPER}[resources]\npids-max = 10\n");
    let plan = Plan::new().unit("plain", SLEEPER).unit("limited", &limited);
    let Some(svcd) = in_mount_namespace(plan, &format!("umount {}", at.display())) else {
        return skip(
            "row_33_missing_controller",
            "a mount namespace needs root and unshare(1)",
        );
    };
    svcd.ok(&["start", "plain"]);
    let done = svcd.svc(&["start", "limited"]);
    assert_eq!(done.code, 78, "{}", done.err);
    assert!(done.err.contains("pids-max"), "the key is named: {}", done.err);
}
