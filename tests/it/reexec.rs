//! svcd is executed anew: services do not notice, who waits for something still gets it, and where it cannot be nothing
//! has changed.

use std::fs;
use std::io::Write;
use std::os::unix::net::UnixStream;
use std::process::Command;

use rustix::process::Signal;
use serde_json::Value;

use super::harness::{Plan, SLEEPER, Svcd, shell, until_there};
use super::machine::{self, alive, bar, eventually, often, send, skip};
use super::never_dies::{ask, has_gone_on, next_message, no_line_is_lost, plan, started, still_supervised, untouched};
use super::strace::Trace;

#[test]
fn row_20_a_reexec_changes_nothing() {
    let svcd = started();
    let (pid, before) = (svcd.pid(), untouched(&svcd));
    let holds = svcd.holds();
    let said = svcd.ok(&["reexec"]);
    assert!(said.contains(&format!("pid {pid}")), "{said}");
    assert_eq!(untouched(&svcd), before);
    svcd.is_back_to(holds);
    no_line_is_lost(&svcd);
    still_supervised(&svcd);
}

/// SIGRTMIN+25, as people count.
const RTMIN_25: u8 = 34 + 25;

#[test]
fn reexec_by_signal() {
    let svcd = started();
    let before = untouched(&svcd);
    let since = svcd.json(&["version"])["svcd"]["since"].clone();
    let sent = Command::new("/bin/sh")
        .args(["-c", &format!("kill -{RTMIN_25} {}", svcd.pid())])
        .status();
    assert!(sent.unwrap().success());
    eventually("it has been executed anew", || image_is_fresh(&svcd));
    assert_eq!(untouched(&svcd), before);
    assert_eq!(svcd.json(&["version"])["svcd"]["since"], since);
}

/// Whether svcd says in its environment that it had a predecessor.
fn image_is_fresh(svcd: &Svcd) -> bool {
    let environment = fs::read(format!("/proc/{}/environ", svcd.pid())).unwrap_or_default();
    String::from_utf8_lossy(&environment).contains("SVC_RESUME=")
}

#[test]
fn row_36_a_reexec_that_cannot_be_changes_nothing() {
    if let Some(why) = Trace::missing() {
        return skip("row_36_a_reexec_that_cannot_be_changes_nothing", why);
    }
    let svcd = started();
    let before = untouched(&svcd);
    for call in ["memfd_create", "pwrite64", "fcntl", "execve"] {
        for error in ["ENOMEM", "EMFILE", "ENOSPC", "EIO", "EPERM"] {
            let trace = Trace::attach(&svcd, &[&format!("inject={call}:error={error}")]);
            let done = svcd.svc(&["reexec"]);
            assert!(trace.injected() > 0, "{call} {error}");
            assert_eq!(done.code, 1, "{call} {error}: {}", done.out);
            assert!(
                done.err.contains("svcd goes on as it was"),
                "{call} {error}: {}",
                done.err
            );
            drop(trace);
            assert_eq!(untouched(&svcd), before, "{call} {error}");
        }
    }
    // It was not so much as tried, and can be now.
    assert!(!image_is_fresh(&svcd));
    svcd.ok(&["reexec"]);
    assert!(image_is_fresh(&svcd));
    assert_eq!(untouched(&svcd), before);
    no_line_is_lost(&svcd);
    still_supervised(&svcd);
}

#[test]
fn row_36_a_program_or_settings_that_are_wrong() {
    let plan = plan().with_own_program();
    let settings = plan.dir().join("svcd.toml");
    fs::write(&settings, "").unwrap();
    let svcd = plan
        .argument("--settings")
        .argument(settings.display().to_string())
        .start();
    svcd.ok(&["start", "counter", "plain", "forks"]);
    let before = untouched(&svcd);
    let refused = |cause: &str| {
        let done = svcd.svc(&["reexec"]);
        assert_eq!(done.code, 1, "{}", done.out);
        assert!(done.err.contains(cause), "{}", done.err);
        assert_eq!(untouched(&svcd), before);
    };
    fs::write(&settings, "[reload]\nmoed = \"manual\"\n").unwrap();
    refused("moed");
    fs::write(&settings, "").unwrap();
    let away = svcd.dir().join("svcd.away");
    fs::rename(svcd.program(), &away).unwrap();
    refused("os error 2");
    // A crash needs no file.
    send(svcd.pid(), Signal::SEGV);
    eventually("it goes on", || has_gone_on(&svcd, 1));
    assert_eq!(untouched(&svcd), before);
    fs::rename(&away, svcd.program()).unwrap();
    svcd.ok(&["reexec"]);
    no_line_is_lost(&svcd);
    still_supervised(&svcd);
}

#[test]
fn row_36_a_successor_that_cannot_begin_is_followed_by_one_that_can() {
    if let Some(why) = Trace::missing() {
        return skip("row_36_a_successor_that_cannot_begin_is_followed_by_one_that_can", why);
    }
    for call in ["epoll_create1", "inotify_init1"] {
        let svcd = started();
        let before = untouched(&svcd);
        let trace = Trace::attach(&svcd, &[&format!("inject={call}:error=EMFILE:when=1")]);
        svcd.ok(&["reexec"]);
        assert_eq!(trace.injected(), 1, "{call}");
        drop(trace);
        assert!(has_gone_on(&svcd, 1), "{}", svcd.said());
        assert_eq!(untouched(&svcd), before, "{call}");
        no_line_is_lost(&svcd);
        still_supervised(&svcd);
    }
}

#[test]
fn row_37_a_hundred_reexecs_under_load() {
    let plan = plan();
    let (gate, starts) = (plan.dir().join("gate"), plan.dir().join("starts"));
    let slow = format!(
        "exec-start-pre = [[\"/bin/sh\", \"-c\", \"{}\"]]\ntimeout-start = \"infinity\"\n",
        until_there(&gate)
    );
    let failing = format!("echo start >>{}; exit 1", starts.display());
    let budget = "[restart]\ndelay = \"300ms\"\nmax-delay = \"300ms\"\ngive-up = { starts = 4, within = \"1h\" }\n";
    let svcd = plan
        .unit("slow", &shell("exec sleep 1000000", &slow))
        .unit("limited", &shell(&failing, budget))
        .unit(
            "flaky",
            &shell("exit 3", "[restart]\ndelay = \"1h\"\nmax-delay = \"1h\"\n"),
        )
        .start();
    svcd.ok(&["start", "counter", "plain", "forks"]);
    svcd.svc(&["start", "flaky"]);
    let next_try = svcd.reaches("flaky", "backoff")["next-try"].clone();
    let before = untouched(&svcd);
    let patience = bar(30_000);
    let (mut watch, _) = ask(&svcd, "Watch", "{}", patience).unwrap();
    let starting = r#"{"units":["slow"],"wait":true}"#;
    let (mut waiting, progress) = ask(&svcd, "Start", starting, patience).unwrap();
    assert_eq!(progress["parameters"]["progress"]["unit"], "slow");
    svcd.ok(&["start", "--no-wait", "limited"]);
    let descriptors = svcd.holds().descriptors;
    for _ in 0..often(100).max(10) {
        let mut half_sent = UnixStream::connect(svcd.socket()).unwrap();
        half_sent.write_all(br#"{"method":"dev.svc.Superv"#).unwrap();
        svcd.ok(&["reexec"]);
        half_sent.write_all(b"isor.Version\"}\0").unwrap();
        half_sent.set_read_timeout(Some(patience)).unwrap();
        assert_eq!(next_message(&mut half_sent).unwrap()["parameters"]["pid"], svcd.pid());
        assert_eq!(svcd.status("slow")["state"], "starting");
    }
    assert_eq!(untouched(&svcd), before);
    assert!(svcd.holds().descriptors <= descriptors, "{descriptors}");
    // A budget is exact, however often svcd was executed in between, and a deadline stays where it was.
    svcd.reaches("limited", "failed");
    assert_eq!(fs::read_to_string(&starts).unwrap().lines().count(), 4);
    let flaky = svcd.status("flaky");
    assert_eq!(
        (&flaky["state"], &flaky["restarts"]),
        (&Value::from("backoff"), &Value::from(1)),
        "{flaky:#}"
    );
    let close = |a: &Value, b: &Value| a.as_str().unwrap()[..19] == b.as_str().unwrap()[..19];
    assert!(close(&flaky["next-try"], &next_try), "{next_try}: {flaky:#}");
    // Who asked before it all is answered after it.
    fs::write(&gate, "").unwrap();
    let done = std::iter::from_fn(|| next_message(&mut waiting)).find(|answer| answer["continues"] != true);
    assert_eq!(done.unwrap()["parameters"]["outcomes"][0]["outcome"], "done");
    let ready = |message: &Value| message["parameters"]["changes"][0]["unit"] == "slow";
    assert!(std::iter::from_fn(|| next_message(&mut watch)).any(|message| ready(&message)));
    no_line_is_lost(&svcd);
    still_supervised(&svcd);
}

#[test]
fn row_38_upgrade_and_downgrade_in_place() {
    let svcd = plan().with_own_program().start();
    svcd.ok(&["start", "counter", "plain", "forks"]);
    let before = untouched(&svcd);
    let this = env!("CARGO_PKG_VERSION");
    // Without its last character, which may be in an instruction of its own.
    let (same, last) = this.split_at(this.len() - 1);
    let changed = same.replace(|c: char| c.is_ascii_digit(), "7");
    let other = format!("{changed}{last}");
    let bytes = fs::read(svcd.program()).unwrap();
    let patched = replaced(&bytes, same.as_bytes(), changed.as_bytes());
    for (from, to, program) in [(this, &*other, &patched), (&*other, this, &bytes)] {
        let next = svcd.dir().join("svcd.next");
        fs::write(&next, program).unwrap();
        fs::set_permissions(&next, fs::metadata(svcd.program()).unwrap().permissions()).unwrap();
        fs::rename(&next, svcd.program()).unwrap();
        let said = svcd.ok(&["reexec"]);
        assert!(said.contains(&format!("svcd {from} goes on as {to}")), "{said}");
        assert_eq!(untouched(&svcd), before);
    }
    no_line_is_lost(&svcd);
    still_supervised(&svcd);
}

fn replaced(bytes: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    assert_eq!(from.len(), to.len());
    let mut bytes = bytes.to_vec();
    for at in 0..bytes.len() - from.len() {
        if bytes[at..].starts_with(from) {
            bytes[at..at + to.len()].copy_from_slice(to);
        }
    }
    bytes
}

#[test]
fn what_is_in_force_outlives_its_file() {
    let plan = Plan::new().unit("web", SLEEPER).unit("gone", SLEEPER);
    let settings = plan.dir().join("svcd.toml");
    fs::write(&settings, "[reload]\nmode = \"manual\"\n").unwrap();
    let svcd = plan
        .argument("--settings")
        .argument(settings.display().to_string())
        .start();
    svcd.ok(&["start", "web", "gone"]);
    let (web, gone) = (svcd.main_pid("web"), svcd.main_pid("gone"));
    svcd.write("web", &format!("{SLEEPER}nice = 5\n"));
    svcd.remove("gone.toml");
    // Each successor has it from the one before, and none from a file.
    for nth in 0..3 {
        svcd.ok(&["reexec"]);
        assert_eq!((svcd.main_pid("web"), svcd.main_pid("gone")), (web, gone), "{nth}");
        let shown = svcd.svc(&["plan"]).out;
        assert!(shown.contains("nice: 0 -> 5") && shown.contains("gone"), "{shown}");
    }
    svcd.ok(&["apply"]);
    eventually("it is applied", || !alive(gone));
    eventually("it runs as its file says", || {
        svcd.state("web") == "running" && machine::nice(svcd.main_pid("web")) == Some(5)
    });
}
