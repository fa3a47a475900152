//! Namespaces of which a unit says more than that it has one: clocks, users, and those of another unit.

use super::harness::{Plan, SLEEPER, Svcd, shell};
use super::machine::{is_root, namespace, skip};

/// Tells the time since boot, as a service reads it.
const UPTIME: &str = "read -r up rest </proc/uptime; echo up $up; exec sleep 1000000";

/// A day in hundredths of a second, which is what /proc/uptime counts in.
const DAY: i64 = 86_400 * 100;

/// What /proc/uptime tells first, in hundredths of a second: whole numbers, since an equal time must compare as equal.
fn hundredths(text: &str) -> i64 {
    let (seconds, rest) = text.split_once('.').unwrap();
    format!("{seconds}{}", &rest[..2]).parse().unwrap()
}

fn uptime() -> i64 {
    hundredths(&std::fs::read_to_string("/proc/uptime").unwrap())
}

fn uptime_of(svcd: &Svcd, unit: &str) -> i64 {
    hundredths(svcd.line(unit, "up ").trim_start_matches("up "))
}

/// Whether this kernel has a kind of namespace at all.
fn has(kind: &str) -> bool {
    std::path::Path::new("/proc/self/ns").join(kind).exists()
}

#[test]
fn clocks_are_its_own() {
    if !is_root() || !has("time") {
        return skip("clocks_are_its_own", "no time namespaces in this kernel, or not root");
    }
    let unit = |time: &str, more: &str| shell(UPTIME, &format!("[isolation]\ntime = {time}\n{more}"));
    let svcd = Svcd::with(&[
        ("old", &unit("{ boottime = \"100d\", monotonic = \"0s\" }", "")),
        ("bare", &unit("{ boottime = \"50d\" }", "init = false\n")),
        ("plain", &unit("{ boottime = \"10d\" }", "profile = \"none\"\n")),
        ("young", &unit("{ boottime = \"-1s\" }", "")),
        ("other", &shell(UPTIME, "")),
    ]);
    svcd.ok(&["start", "old", "bare", "plain", "young", "other"]);
    for (unit, days) in [("old", 100), ("bare", 50), ("plain", 10)] {
        let ahead = uptime_of(&svcd, unit) - days * DAY;
        assert!(ahead > 0 && ahead <= uptime(), "{unit}: {ahead}");
        let pid = svcd.main_pid(unit);
        assert_ne!(namespace(pid, "time"), namespace(svcd.pid(), "time"), "{unit}");
        assert_eq!(svcd.status(unit)["isolation"]["time"], "enforced", "{unit}");
    }
    assert!(uptime_of(&svcd, "young") <= uptime() - 90);
    assert!(uptime_of(&svcd, "other") <= uptime());
    assert_eq!(namespace(svcd.main_pid("other"), "time"), namespace(svcd.pid(), "time"));
    // A second run has the offsets once, and not on top of those of the first.
    svcd.ok(&["restart", "old"]);
    let mut seen = Vec::new();
    super::machine::eventually("it tells again", || {
        seen = svcd.lines("old");
        seen.len() == 2
    });
    let ahead = hundredths(seen[1].trim_start_matches("up ")) - 100 * DAY;
    assert!(ahead > 0 && ahead <= uptime(), "{seen:?}");
}

#[test]
fn a_clock_that_would_show_no_time_is_refused() {
    if !is_root() || !has("time") {
        return skip(
            "a_clock_that_would_show_no_time_is_refused",
            "no time namespaces in this kernel, or not root",
        );
    }
    let unit = format!("{SLEEPER}[restart]\npolicy = \"no\"\n[isolation]\ntime = {{ monotonic = \"-50000d\" }}\n");
    let svcd = Plan::new().unit("web", &unit).start();
    let done = svcd.svc(&["start", "web"]);
    assert_eq!(done.code, 1, "{}", done.err);
    assert!(done.err.contains("spawn time: ERANGE"), "{}", done.err);
    let status = svcd.status("web");
    assert_eq!(
        (&status["failed-step"], &status["errno"], &status["step-exit-code"]),
        (&"time".into(), &"ERANGE".into(), &226.into()),
        "{status:#}"
    );
}
