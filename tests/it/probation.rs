//! A generation on probation while svcd is executed anew, cannot be, or is killed.

use std::fs;
use std::path::Path;

use super::generations::{in_force, is_nice, nice, told, with_settings};
use super::harness::{SLEEPER, Svcd, shell};
use super::machine::{eventually, skip};
use super::strace::Trace;

#[test]
fn row_37_a_reexec_in_the_middle_of_probation_loses_nothing() {
    let settings = "[deploy]\nprobation = \"6s\"\n";
    let svcd = with_settings(&[("web", &nice(1))], settings);
    svcd.ok(&["start", "web"]);
    eventually("it has shown that it is good", || told(&svcd) == "1* good");
    // Two failures before the re-exec, and the third after it.
    let go = |nth: u8| svcd.dir().join(format!("go-{nth}"));
    let waits = |nth: u8| {
        format!(
            "[ -e {} ] || {{ touch {}.begun; {}; exit 1; }}",
            go(nth).display(),
            go(nth).display(),
            until(&go(nth))
        )
    };
    let script = format!("{}; {}; {}; exec sleep 1000000", waits(1), waits(2), waits(3));
    svcd.write(
        "web",
        &shell(
            &script,
            "[isolation]\nprofile = \"none\"\n[restart]\ndelay = \"10ms\"\n",
        ),
    );
    for nth in 1..=3 {
        let begun = format!("{}.begun", go(nth).display());
        eventually("a try begins", || Path::new(&begun).exists());
        svcd.ok(&["reexec"]);
        fs::write(go(nth), "").unwrap();
    }
    eventually("the good one is back", || told(&svcd) == "1* good, 2 failed");
    eventually("with what it had", || is_nice(&svcd, "web", 1));
}

/// A unit that fails twice, and begins a third time, on which it waits.
fn failed_twice(svcd: &Svcd) {
    let go = |nth: u8| svcd.dir().join(format!("go-{nth}")).display().to_string();
    let wait = |nth: u8| {
        let at = go(nth);
        format!("[ -e {at} ] || {{ touch {at}.begun; {}; exit 1; }}", until(at.as_ref()))
    };
    let script = format!("{}; {}; {}; exec sleep 1000000", wait(1), wait(2), wait(3));
    let more = "[isolation]\nprofile = \"none\"\n[restart]\ndelay = \"10ms\"\n";
    svcd.write("web", &shell(&script, more));
    for nth in 1..=3 {
        eventually("a try begins", || Path::new(&format!("{}.begun", go(nth))).exists());
        if nth < 3 {
            fs::write(go(nth), "").unwrap();
        }
    }
}

/// A generation on probation, with failures counted against it, goes on as it was where svcd cannot be executed anew; and
/// where it is killed, and another begins.
#[test]
fn row_36_a_reexec_that_cannot_be_leaves_a_probation_as_it_is() {
    if let Some(why) = Trace::missing() {
        return skip("row_36_a_reexec_that_cannot_be_leaves_a_probation_as_it_is", why);
    }
    let mut svcd = with_settings(&[("web", &nice(1))], "[deploy]\nprobation = \"1s\"\n");
    svcd.ok(&["start", "web"]);
    eventually("it has shown that it is good", || told(&svcd) == "1* good");
    fs::write(svcd.dir().join("svcd.toml"), "[deploy]\nprobation = \"1h\"\n").unwrap();
    svcd.ok(&["reexec"]);
    failed_twice(&svcd);
    let pid = svcd.main_pid("web");
    for call in ["memfd_create", "pwrite64", "fcntl", "execve"] {
        for error in ["ENOMEM", "EMFILE", "ENOSPC", "EIO", "EPERM"] {
            let trace = Trace::attach(&svcd, &[&format!("inject={call}:error={error}")]);
            let done = svcd.svc(&["reexec"]);
            assert!(trace.injected() > 0 && done.code == 1, "{call} {error}: {}", done.out);
            drop(trace);
            assert_eq!(told(&svcd), "1 good, 2* probation", "{call} {error}");
        }
    }
    svcd.kill();
    svcd.start_again();
    assert_eq!(
        (told(&svcd), svcd.main_pid("web")),
        ("1 good, 2* probation".to_owned(), pid)
    );
    // The third failure is the third.
    fs::write(svcd.dir().join("go-3"), "").unwrap();
    eventually("the good one is back", || told(&svcd) == "1* good, 2 failed");
    eventually("with what it had", || is_nice(&svcd, "web", 1));
}

/// Whenever svcd is killed while the last good generation takes the place of one that failed: the next one brings that to
/// its end, and a unit that had been given up is up again.
#[test]
fn row_39_kill_at_any_call_while_a_generation_gives_way() {
    if let Some(why) = Trace::missing() {
        return skip("row_39_kill_at_any_call_while_a_generation_gives_way", why);
    }
    let mut svcd = with_settings(
        &[("web", &nice(1)), ("steady", SLEEPER)],
        "[deploy]\nprobation = \"1s\"\n",
    );
    svcd.ok(&["start", "web", "steady"]);
    let steady = svcd.main_pid("steady");
    eventually("it has shown that it is good", || told(&svcd) == "1* good");
    fs::write(svcd.dir().join("svcd.toml"), "[deploy]\nprobation = \"1h\"\n").unwrap();
    svcd.ok(&["reexec"]);
    for call in [
        "openat",
        "write",
        "fsync",
        "rename",
        "pwrite64",
        "clone3",
        "epoll_pwait",
    ] {
        for nth in [1, 2, 3] {
            let go = svcd.dir().join(format!("go-{call}-{nth}"));
            let script = format!("touch {0}.begun; {1}; exit 3", go.display(), until(&go));
            let more = "[isolation]\nprofile = \"none\"\n[restart]\npolicy = \"no\"\n";
            svcd.write("web", &shell(&script, more));
            let begun = format!("{}.begun", go.display());
            eventually("the new one runs", || Path::new(&begun).exists());
            let what = format!("{call} {nth}");
            assert!(told(&svcd).ends_with("* probation"), "{what}: {}", told(&svcd));
            let trace = Trace::attach(&svcd, &[&format!("inject={call}:signal=SIGKILL:when={nth}")]);
            fs::write(&go, "").unwrap();
            // It answers nobody who asks while it is killed.
            let state = svcd.dir().join("state/generations/state.json");
            eventually(&format!("it is killed, or gives way: {what}"), || {
                svcd.is_gone() || fs::read_to_string(&state).is_ok_and(|text| text.contains("\"number\":1,"))
            });
            drop(trace);
            if svcd.is_gone() {
                svcd.start_again();
            }
            eventually(&format!("the good one is back: {what}"), || {
                in_force(&svcd) == 1 && is_nice(&svcd, "web", 1)
            });
            assert!(told(&svcd).ends_with(" failed"), "{what}: {}", told(&svcd));
            assert_eq!(svcd.main_pid("steady"), steady, "{what}");
        }
    }
}

fn until(file: &Path) -> String {
    super::harness::until_there(file)
}
