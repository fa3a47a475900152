//! Processes that misbehave: they ignore signals, fork without end, detach, die in crowds, cannot die.

use std::fs::{self, File};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::harness::{Plan, SLEEPER, Svcd, shell};
use super::machine::{
    alive, bar, cgroups, cpu_time, eventually, has_controller, is_root, members, often, program, send, skip, slowness,
    v1, zombies_of,
};
use super::strace::Trace;

#[test]
fn row_08_sigchld_coalescing() {
    let crowd = often(5_000);
    let plan = Plan::new();
    let gate = plan.dir().join("gate");
    let made = rustix::fs::mknodat(rustix::fs::CWD, &gate, rustix::fs::FileType::Fifo, 0o666.into(), 0);
    made.expect("make a fifo");
    let wait = format!("read -r go <{}; exit $CODE", gate.display());
    let unit = |code: usize| {
        let keys = format!("standard-output = \"null\"\nenvironment = {{ CODE = \"{code}\" }}\n");
        shell(
            &wait,
            &format!("{keys}[restart]\npolicy = \"no\"\n[isolation]\nprofile = \"none\"\n"),
        )
    };
    let svcd = (0..crowd)
        .fold(plan, |plan, nth| plan.unit(&format!("c{nth}"), &unit(nth % 250)))
        .start();
    svcd.ok(&["start", "c*"]);
    eventually("all are there", || members(&svcd.cgroup("")).len() == crowd);
    // They all wait in open(2) of the fifo, and end together.
    drop(File::options().write(true).open(&gate).unwrap());
    eventually("all have ended", || members(&svcd.cgroup("")).is_empty());
    let ended = Instant::now();
    eventually("no zombie is left", || zombies_of(svcd.pid()).is_empty());
    assert!(ended.elapsed() <= bar(1000), "zombies for {:?}", ended.elapsed());
    let statuses = svcd.json(&["status", "c*"]);
    for status in statuses.as_array().unwrap() {
        let nth: usize = status["unit"].as_str().unwrap()[1..].parse().unwrap();
        assert_eq!(status["exit-code"], nth % 250, "{status:#}");
    }
}

#[test]
fn row_09_orphan_storm() {
    let plan = Plan::new();
    let count = plan.dir().join("count");
    let orphans = often(10_000);
    let storm =
        format!("n=0; while [ $n -lt {orphans} ]; do (:&); n=$((n + 1)); done; echo storm is over; sleep 1000000");
    let dying = format!("echo start >>{}; exec sleep 1000000", count.display());
    let svcd = plan
        .unit("storm", &shell(&storm, "[isolation]\nprofile = \"none\"\n"))
        .unit(
            "dying",
            &shell(&dying, "[restart]\ndelay = \"0s\"\n[isolation]\nprofile = \"none\"\n"),
        )
        .start();
    svcd.ok(&["start", "dying"]);
    let starts = || fs::read_to_string(&count).unwrap_or_default().lines().count();
    eventually("dying runs", || starts() == 1);
    svcd.ok(&["start", "storm"]);
    let mut latencies = Vec::new();
    while !svcd.lines("storm").contains(&"storm is over".to_owned()) {
        let before = starts();
        eventually("dying is there", || svcd.status("dying")["main-pid"].is_object());
        send(svcd.main_pid("dying"), Signal::KILL);
        let killed = Instant::now();
        eventually("it is back", || starts() > before);
        latencies.push(killed.elapsed());
    }
    let over = Instant::now();
    eventually("all orphans are reaped", || zombies_of(svcd.pid()).is_empty());
    assert!(over.elapsed() <= bar(2000), "reaped after {:?}", over.elapsed());
    latencies.sort();
    assert!(
        latencies[latencies.len() / 2] <= bar(200),
        "restarts took {latencies:?}"
    );
}

#[test]
fn row_09_orphans_of_process_one() {
    if !is_root() {
        return skip("row_09_orphans_of_process_one", "a pid namespace needs root");
    }
    let Some(unshare) = program("unshare") else {
        return skip("row_09_orphans_of_process_one", "no unshare(1) here");
    };
    let plan = Plan::new().unit(
        "storm",
        &shell(
            "n=0; while [ $n -lt 500 ]; do (:&); n=$((n + 1)); done; exec sleep 1000000",
            "[isolation]\nprofile = \"none\"\n",
        ),
    );
    let svcd = plan
        .under(&[
            unshare.to_str().unwrap(),
            "--pid",
            "--fork",
            "--mount-proc",
            "--kill-child",
        ])
        .start();
    svcd.ok(&["start", "storm"]);
    let one = super::machine::processes()
        .into_iter()
        .find(|pid| super::machine::state_and_parent(*pid).is_some_and(|(_, parent)| parent == svcd.pid()));
    let one = one.expect("svcd is a child of unshare");
    eventually("the storm is over", || members(&svcd.cgroup("storm")).len() == 1);
    eventually("all orphans are reaped", || zombies_of(one).is_empty());
    // unshare does not pass SIGTERM on: as a machine's init, svcd is told itself.
    send(one, Signal::TERM);
    eventually("process one has ended", || !alive(one));
}

#[test]
fn row_10_signal_storm() {
    if let Some(why) = Trace::missing() {
        return skip("row_10_signal_storm", why);
    }
    let svcd = Svcd::with(&[("web", &format!("{SLEEPER}[unit]\nwanted-by = [\"default\"]\n"))]);
    svcd.reaches("web", "running");
    let before = (svcd.main_pid("web"), svcd.holds());
    let trace = Trace::attach(&svcd, &["trace=open,openat,openat2"]);
    for _ in 0..often(100_000) {
        send(svcd.pid(), Signal::HUP);
    }
    svcd.ok(&["status"]);
    let loads = || trace.calls().iter().filter(|call| call.contains("/units\"")).count();
    assert!(
        loads() <= 2 * 3,
        "each reload opens the directory at most twice: {:#?}",
        trace.calls()
    );
    drop(trace);
    for _ in 0..often(100_000) {
        send(svcd.pid(), Signal::CHILD);
    }
    svcd.is_back_to(before.1);
    assert_eq!(svcd.main_pid("web"), before.0);
}

#[test]
fn row_21_double_fork() {
    let script = "(setsid sh -c 'sleep 1000000 & sleep 1000000 &' &); sleep 1000000";
    let detach = script.replace('\'', "\"");
    for profile in ["none", "standard"] {
        let svcd = Svcd::with(&[(
            "web",
            &shell(&detach, &format!("[isolation]\nprofile = \"{profile}\"\n")),
        )]);
        svcd.ok(&["start", "web"]);
        eventually("all of them are there", || members(&svcd.cgroup("web")).len() >= 3);
        let all = members(&svcd.cgroup("web"));
        assert!(
            all.contains(&svcd.main_pid("web")),
            "the main process is one of the unit's own"
        );
        svcd.ok(&["stop", "web"]);
        assert!(!all.iter().any(|pid| alive(*pid)), "{profile}: somebody lives on");
    }
}

#[test]
fn row_22_ignores_sigterm() {
    let script = "trap '' TERM; echo deaf; while :; do sleep 0.05; done";
    let svcd = Svcd::with(&[("deaf", &shell(script, "timeout-stop = \"300ms\"\n"))]);
    svcd.ok(&["start", "deaf"]);
    svcd.line("deaf", "deaf");
    let pid = svcd.main_pid("deaf");
    let asked = Instant::now();
    svcd.svc(&["stop", "deaf"]);
    assert!(asked.elapsed() >= Duration::from_millis(300), "its time was cut short");
    assert!(asked.elapsed() <= bar(800), "{:?}", asked.elapsed());
    assert!(!alive(pid));
    assert_eq!(svcd.status("deaf")["result"], "timeout");
}

/// A v1 freezer cgroup of the test's own: what is put in cannot die until it thaws, as in an uninterruptible sleep.
struct Freezer(PathBuf);

impl Freezer {
    fn freeze(pid: u32) -> Option<Self> {
        let group = v1("freezer")?.join(format!("svc-test-frozen-{pid}"));
        fs::create_dir(&group).ok()?;
        let freezer = Self(group);
        fs::write(freezer.0.join("cgroup.procs"), pid.to_string()).ok()?;
        fs::write(freezer.0.join("freezer.state"), "FROZEN").ok()?;
        eventually("it is frozen", || {
            fs::read_to_string(freezer.0.join("freezer.state")).is_ok_and(|state| state == "FROZEN\n")
        });
        Some(freezer)
    }

    fn thaw(&self) {
        fs::write(self.0.join("freezer.state"), "THAWED").expect("thaw a cgroup");
    }
}

impl Drop for Freezer {
    fn drop(&mut self) {
        self.thaw();
        eventually("the freezer is empty", || fs::remove_dir(&self.0).is_ok());
    }
}

#[test]
fn row_23_unkillable() {
    let svcd = Svcd::with(&[
        ("stuck", &format!("{SLEEPER}timeout-stop = \"200ms\"\n")),
        ("web", SLEEPER),
    ]);
    svcd.ok(&["start", "stuck", "web"]);
    let pid = svcd.main_pid("stuck");
    let Some(freezer) = Freezer::freeze(pid) else {
        return skip("row_23_unkillable", "no v1 freezer to make a process unkillable");
    };
    let done = svcd.svc(&["stop", "stuck"]);
    assert_ne!(done.code, 0, "the stop did not come to its end");
    assert!(done.err.contains("stuck"), "{}", done.err);
    assert!(alive(pid), "it is still there");
    svcd.answers_in_time();
    svcd.ok(&["restart", "web"]);
    let again = svcd.svc(&["start", "stuck", "--timeout", "300ms"]);
    assert_ne!(again.code, 0, "its cgroup is not used again: {}", again.out);
    freezer.thaw();
    eventually("it dies and is cleaned up", || !alive(pid));
    eventually("and runs anew, as it was asked", || {
        svcd.svc(&["start", "stuck"]).code == 0
    });
    assert_ne!(svcd.main_pid("stuck"), pid);
}

/// A fork bomb under `pids-max` is stopped, and its cgroup is empty, within two seconds.
fn stops_a_fork_bomb(svcd: &Svcd, test: &str) {
    svcd.ok(&["start", "bomb"]);
    eventually("it has filled its limit", || members(&svcd.cgroup("bomb")).len() > 250);
    svcd.answers_in_time();
    let asked = Instant::now();
    let done = svcd.svc(&["kill", "-s", "KILL", "bomb"]);
    assert_eq!(done.code, 0, "{}", done.err);
    svcd.ok(&["stop", "bomb"]);
    assert!(members(&svcd.cgroup("bomb")).is_empty());
    assert!(asked.elapsed() <= bar(2000), "{test}: {:?}", asked.elapsed());
}

fn bomb() -> String {
    // Twice as many in each generation. At the limit a shell that cannot fork ends, so none of them is the main process,
    // and each leaves a sleeper behind that keeps the limit reached.
    let script =
        "trap '' TERM; b() { while :; do sleep 1000000 & b & b & wait; done; }; b 2>/dev/null & exec sleep 1000000";
    // A slow machine takes longer than that to end five hundred, and svcd would rightly call them stuck.
    let stop = format!(
        "standard-error = \"null\"\ntimeout-stop = \"{}ms\"\n",
        bar(100).as_millis()
    );
    let rest = "[restart]\npolicy = \"no\"\n[resources]\npids-max = 512\n[isolation]\nprofile = \"none\"\n";
    shell(script, &(stop + rest))
}

#[test]
fn row_24_fork_bomb() {
    if !has_controller("pids") {
        return skip("row_24_fork_bomb", "no pids controller");
    }
    stops_a_fork_bomb(
        &Svcd::with(&[("bomb", &bomb())]),
        "with the hierarchies of this machine",
    );
}

#[test]
fn row_34_fork_bomb_without_cgroup_kill() {
    let Some(unified) = super::machine::hierarchies()
        .into_iter()
        .find(|(options, _)| options.is_empty())
    else {
        // Pure v1: row 24 has shown it.
        return stops_a_fork_bomb(&Svcd::with(&[("bomb", &bomb())]), "v1");
    };
    let (Some(unshare), true) = (program("unshare"), v1("pids").is_some() && is_root()) else {
        return skip(
            "row_34_fork_bomb_without_cgroup_kill",
            "no v1 hierarchies here, or not root",
        );
    };
    // svcd does not see the v2 tree, so it has v1 alone.
    let hide = format!("umount {}; exec \"$0\" \"$@\"", unified.1.display());
    let plan = Plan::new().unit("bomb", &bomb());
    let svcd = plan
        .under(&[
            unshare.to_str().unwrap(),
            "--mount",
            "--propagation",
            "private",
            "/bin/sh",
            "-c",
            &hide,
        ])
        .start();
    stops_a_fork_bomb(&svcd, "without cgroup.kill");
    let frozen = cgroups(&svcd.cgroup(""))
        .iter()
        .any(|group| fs::read_to_string(group.join("freezer.state")).is_ok_and(|state| state != "THAWED\n"));
    assert!(!frozen, "nothing is left frozen");
}

#[test]
fn row_25_floods_its_log_pipe() {
    let svcd = Svcd::with(&[
        (
            "flood",
            &shell(
                "exec yes this line is written as fast as the pipe takes it",
                "[log]\nmax-size = \"1M\"\n",
            ),
        ),
        ("web", &shell("while :; do echo tick; sleep 0.1; done", "")),
    ]);
    svcd.ok(&["start", "flood", "web"]);
    svcd.line("web", "tick");
    let (before, started) = (cpu_time(svcd.pid()), Instant::now());
    let count = svcd.lines("web").len();
    svcd.answers_in_time();
    eventually("others' lines come through", || svcd.lines("web").len() >= count + 10);
    let late = newest_line_is_late(&svcd);
    assert!(
        late <= bar(250) + Duration::from_millis(100),
        "the newest line of web is {late:?} old"
    );
    let share = (cpu_time(svcd.pid()) - before).as_secs_f64() / started.elapsed().as_secs_f64();
    assert!(
        share < 0.1 * f64::from(slowness()),
        "svcd itself used {:.0} % of a CPU",
        share * 100.0
    );
}

/// How old the newest line of a unit that writes ten in a second is, at best of some looks.
fn newest_line_is_late(svcd: &Svcd) -> Duration {
    let age = || {
        let printed = svcd.ok(&["--json", "logs", "web", "-n", "1"]);
        let line: serde_json::Value = serde_json::from_str(&printed).expect("a line of JSON");
        let time: jiff::Timestamp = line["time"]
            .as_str()
            .and_then(|time| time.parse().ok())
            .expect("a time");
        jiff::Timestamp::now().duration_since(time).unsigned_abs()
    };
    (0..5).map(|_| age()).min().unwrap_or_default()
}

#[test]
fn row_26_closes_its_descriptors() {
    let svcd = Svcd::with(&[
        ("quiet", &shell("exec <&- >&- 2>&-; exec sleep 1000000", "")),
        ("web", SLEEPER),
    ]);
    svcd.ok(&["start", "quiet", "web"]);
    let pid = svcd.main_pid("quiet");
    eventually("it has closed them", || {
        fs::read_link(format!("/proc/{pid}/fd/1")).is_err()
    });
    svcd.ok(&["restart", "web"]);
    assert_eq!((svcd.state("quiet").as_str(), svcd.main_pid("quiet")), ("running", pid));
    assert_eq!(svcd.status("quiet")["restarts"], 0);
}

#[test]
fn row_30_no_signal_by_number() {
    if let Some(why) = Trace::missing() {
        return skip("row_30_no_signal_by_number", why);
    }
    let stubborn = shell(
        "trap '' TERM; while :; do sleep 0.05; done",
        "timeout-stop = \"100ms\"\n",
    );
    let plain = format!("{SLEEPER}[isolation]\nprofile = \"none\"\n");
    let svcd = Svcd::with(&[("web", SLEEPER), ("plain", &plain), ("stubborn", &stubborn)]);
    let trace = Trace::attach(&svcd, &["trace=kill,tkill,tgkill,pidfd_send_signal"]);
    let all = ["web", "plain", "stubborn"];
    svcd.ok(&[&["start"], &all[..]].concat());
    svcd.ok(&["restart", "web"]);
    svcd.ok(&["kill", "-s", "CONT", "--whom", "main", "plain"]);
    svcd.svc(&[&["stop"], &all[..]].concat());
    let calls = trace.calls();
    assert!(
        calls.iter().any(|call| call.starts_with("pidfd_send_signal")),
        "it was seen at work: {calls:?}"
    );
    let by_number: Vec<_> = calls
        .iter()
        .filter(|call| call.starts_with("kill(") || call.starts_with("tkill("))
        .collect();
    assert!(by_number.is_empty(), "{by_number:?}");
}

#[test]
fn row_30_numbers_come_round() {
    let path = "/proc/sys/kernel/pid_max";
    if std::env::var_os("SVC_GUEST").is_none() {
        return skip(
            "row_30_numbers_come_round",
            "numbers are shared with all of this machine; the guests run it",
        );
    }
    let before = fs::read_to_string(path).unwrap();
    fs::write(path, "400").unwrap();
    let short = shell(
        "exit 0",
        "[restart]\npolicy = \"always\"\ndelay = \"0s\"\n[isolation]\nprofile = \"none\"\n",
    );
    let svcd = Svcd::with(&[("short", &short), ("web", SLEEPER)]);
    svcd.ok(&["start", "web", "short"]);
    let web = svcd.main_pid("web");
    eventually("numbers have come round several times", || {
        svcd.status("short")["restarts"].as_u64() > Some(2_000)
    });
    svcd.ok(&["stop", "short"]);
    assert_eq!(
        (svcd.main_pid("web"), svcd.status("web")["restarts"].as_u64()),
        (web, Some(0))
    );
    fs::write(path, before).unwrap();
}

#[test]
fn row_31_cgroups_after_many_cycles() {
    let once = shell("exit 0", "type = \"oneshot\"\n[isolation]\nprofile = \"none\"\n");
    let svcd = Svcd::with(&[("once@", &once)]);
    let names: Vec<String> = (0..100).map(|nth| format!("once@{nth}")).collect();
    let start: Vec<&str> = ["start"].into_iter().chain(names.iter().map(String::as_str)).collect();
    svcd.ok(&start);
    let before = svcd.holds();
    // 100 at a time: 10,000 in all.
    for _ in 0..often(100) {
        svcd.ok(&start);
    }
    eventually("no cgroup is left", || {
        names.iter().all(|name| cgroups(&svcd.cgroup(name)).is_empty())
    });
    svcd.is_back_to(before);
}

#[test]
fn row_31_rmdir_busy() {
    if let Some(why) = Trace::missing() {
        return skip("row_31_rmdir_busy", why);
    }
    let svcd = Svcd::with(&[("web", SLEEPER)]);
    svcd.ok(&["start", "web"]);
    let trace = Trace::attach(&svcd, &["inject=rmdir,unlinkat:error=EBUSY:when=1..20"]);
    svcd.ok(&["stop", "--no-wait", "web"]);
    svcd.answers_in_time();
    eventually("the cgroup is gone all the same", || {
        cgroups(&svcd.cgroup("web")).is_empty()
    });
    assert!(trace.injected() > 0, "the fault was met");
    drop(trace);
    svcd.reaches("web", "inactive");
    svcd.ok(&["start", "web"]);
}
