//! Namespaces of which a unit says more than that it has one: clocks, users, and those of another unit.

use rustix::process::Signal;

use super::harness::{Plan, SLEEPER, Svcd, shell};
use super::machine::{eventually, is_root, namespace, open_files, processes, send, skip, state_and_parent};

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

/// The kinds that can be joined, as /proc/PID/ns has them and as keys say it.
const JOINED: [(&str, &str); 3] = [("net", "mode"), ("pid", "pid"), ("ipc", "ipc")];

const JOINS: &str = "[isolation]\npid = \"join:db\"\nipc = \"join:db\"\n";
const JOINS_NETWORK: &str = "[network]\nmode = \"join:db\"\n";

#[test]
fn namespaces_of_another_unit_are_joined() {
    if !is_root() {
        return skip("namespaces_of_another_unit_are_joined", "not root");
    }
    let alone = "[network]\nmode = \"none\"\n";
    let look =
        "cat /proc/*/comm | sort | tr '\\n' ' '; echo; echo one $(cat /proc/1/comm); echo done; exec sleep 1000000";
    let svcd = Svcd::with(&[
        ("db", &shell("exec tail -f /dev/null", alone)),
        ("web", &shell(look, &format!("{JOINS}{JOINS_NETWORK}"))),
        ("bare", &shell(look, &format!("{JOINS}init = false\n{JOINS_NETWORK}"))),
        (
            "users",
            &shell(look, &format!("{JOINS}user = \"auto\"\n{JOINS_NETWORK}")),
        ),
        ("network", &format!("{SLEEPER}{JOINS_NETWORK}")),
    ]);
    // It is started by who joins it.
    for unit in ["web", "bare", "users", "network"] {
        svcd.ok(&["start", unit]);
        let pids = [svcd.main_pid("db"), svcd.main_pid(unit)];
        for (kind, key) in JOINED {
            let [db, own] = pids.map(|pid| namespace(pid, kind));
            let joins = unit != "network" || kind == "net";
            assert_eq!(db == own, joins, "{unit}: {kind}");
            assert_ne!(db, namespace(svcd.pid(), kind));
            assert_eq!(svcd.status(unit)["isolation"][key], "enforced", "{unit}: {key}");
        }
        for kind in ["mnt", "uts"] {
            assert_ne!(namespace(pids[0], kind), namespace(pids[1], kind), "{unit}: {kind}");
        }
    }
    for unit in ["web", "bare", "users"] {
        svcd.line(unit, "done");
        let lines = svcd.lines(unit);
        assert!(lines[0].contains("tail"), "it sees who is there: {lines:?}");
        assert_eq!(lines[1], "one svc-reaper", "{unit}");
    }
    assert!(svcd.ok(&["deps", "web"]).contains("db"));
}

/// Who is in another unit's namespaces goes and comes with it, into the new ones.
#[test]
fn who_joins_is_bound() {
    if !is_root() {
        return skip("who_joins_is_bound", "not root");
    }
    let db = format!("{SLEEPER}[network]\nmode = \"none\"\n");
    let web = format!("{SLEEPER}{JOINS}{JOINS_NETWORK}");
    let svcd = Svcd::with(&[("db", &db), ("web", &web)]);
    svcd.ok(&["start", "web"]);
    let before = svcd.main_pid("web");
    svcd.ok(&["restart", "db"]);
    super::machine::eventually("it is back", || {
        svcd.state("web") == "running" && svcd.main_pid("web") != before
    });
    for (kind, _) in JOINED {
        assert_eq!(
            namespace(svcd.main_pid("web"), kind),
            namespace(svcd.main_pid("db"), kind),
            "{kind}"
        );
    }
    // So it does where what it joins ends by itself.
    let before = svcd.main_pid("web");
    super::machine::send(svcd.main_pid("db"), rustix::process::Signal::KILL);
    super::machine::eventually("both are back", || {
        svcd.state("web") == "running" && svcd.state("db") == "running" && svcd.main_pid("web") != before
    });
    for (kind, _) in JOINED {
        assert_eq!(
            namespace(svcd.main_pid("web"), kind),
            namespace(svcd.main_pid("db"), kind),
            "{kind}"
        );
    }
    svcd.ok(&["stop", "db"]);
    assert_ne!(svcd.state("web"), "running");
}

#[test]
fn what_is_not_there_is_not_joined() {
    if !is_root() {
        return skip("what_is_not_there_is_not_joined", "not root");
    }
    let once = "type = \"oneshot\"\nremain-after-exit = true\n";
    let joins = |unit: &str, keys: &str| format!("{SLEEPER}[restart]\npolicy = \"no\"\n{}", keys.replace("db", unit));
    let svcd = Svcd::with(&[
        (
            "failed",
            &format!("{}[restart]\npolicy = \"no\"\n", shell("exit 1", once)),
        ),
        ("done", &shell("exit 0", &format!("{once}[isolation]\ninit = false\n"))),
        ("of-none", &joins("nonesuch", JOINS_NETWORK)),
        ("of-failed", &joins("failed", JOINS_NETWORK)),
        ("of-done", &joins("done", JOINS_NETWORK)),
        ("pid-of-done", &joins("done", "[isolation]\npid = \"join:db\"\n")),
    ]);
    for (unit, named) in [("of-none", "nonesuch"), ("of-failed", "failed")] {
        let done = svcd.svc(&["start", unit]);
        assert!(done.code != 0 && done.err.contains(named), "{unit}: {}", done.err);
        assert!(svcd.status(unit)["main-pid"].is_null());
    }
    for (unit, key) in [("of-done", "mode"), ("pid-of-done", "pid")] {
        let done = svcd.svc(&["start", unit]);
        assert_eq!(done.code, 78, "{unit}: {}", done.err);
        assert!(
            done.err.contains(key) && done.err.contains("done has no process"),
            "{}",
            done.err
        );
        assert_eq!(svcd.status(unit)["failed-step"], key);
    }
    svcd.write("self", &format!("{SLEEPER}[network]\nmode = \"join:self\"\n"));
    let file = svcd.dir().join("units/self.toml").display().to_string();
    let checked = svcd.svc(&["check", &file]);
    assert!(
        checked.code == 1 && checked.out.contains("names itself"),
        "{}",
        checked.out
    );
}

/// svcd has some ready. Each is one service's, and ends with it; who makes them may end.
#[test]
fn a_network_that_was_made_ahead_is_one_services_own() {
    if !is_root() {
        return skip("a_network_that_was_made_ahead_is_one_services_own", "not root");
    }
    let script = "cat /sys/class/net/lo/flags; exec sleep 1000000";
    let unit = shell(script, "[network]\nmode = \"none\"\n");
    let svcd = Svcd::with(&[("a", &unit), ("b", &unit)]);
    let ready = || -> Vec<String> {
        let files = open_files(svcd.pid()).into_iter();
        files.filter(|file| file.starts_with("net:[")).collect()
    };
    let makers = || -> Vec<u32> {
        let is_maker = |pid: &u32| {
            let name = std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
            name == "svc-networks\n" && state_and_parent(*pid).is_some_and(|(_, parent)| parent == svcd.pid())
        };
        processes().into_iter().filter(is_maker).collect()
    };
    assert_eq!((ready().len(), makers().len()), (0, 0), "there is no use for one yet");
    svcd.ok(&["start", "b"]);
    eventually("more are made once it has begun", || ready().len() == 2);
    for turn in 0..6 {
        let (name, other) = [("a", "b"), ("b", "a")][turn % 2];
        let made = ready();
        svcd.ok(&["restart", name]);
        let own = namespace(svcd.main_pid(name), "net");
        assert!(made.contains(&own), "{own} was not among {made:?}");
        // The kernel numbers a namespace as one that has gone: only those that are there can be told apart.
        let others = [namespace(svcd.main_pid(other), "net"), namespace(svcd.pid(), "net")];
        assert!(!others.contains(&own), "{own}, {others:?}");
        let in_use = || [&own, &others[0]].into_iter().any(|used| ready().contains(used));
        eventually("more are ready", || ready().len() == 2);
        assert!(!in_use());
        if turn == 3 {
            let maker = makers()[0];
            assert_eq!(namespace(maker, "net"), namespace(svcd.pid(), "net"));
            assert!(open_files(maker).iter().all(|file| *file != own && *file != others[0]));
            send(maker, Signal::KILL);
            eventually("it has ended", || makers().is_empty());
        }
    }
    assert_eq!(makers().len(), 1);
    let lines = || [svcd.lines("a"), svcd.lines("b")].concat();
    eventually("loopback is up in each", || lines() == ["0x9"; 7]);
}
