//! Sets of units as a whole: cycles, long chains, and restart budgets that are exact.

use std::fs;
use std::time::{Duration, Instant};

use super::harness::{Plan, SLEEPER, Svcd, shell, svc_at};
use super::machine::{bar, eventually, often};

#[test]
fn row_42_cycles() {
    let unit = |to: &str| format!("{SLEEPER}[unit]\nrequires = [\"{to}\"]\n");
    let plan = (0..20).fold(Plan::new(), |plan, nth| {
        plan.unit(&format!("ring{nth:02}"), &unit(&format!("ring{:02}", (nth + 1) % 20)))
    });
    let units = plan.dir().join("units").display().to_string();
    let svcd = plan
        .unit("web", &format!("{SLEEPER}[unit]\nwanted-by = [\"default\"]\n"))
        .start();
    svcd.reaches("web", "running");
    let done = svc_at("/nowhere".as_ref(), &["check", &units]);
    assert_eq!(done.code, 1, "{}{}", done.out, done.err);
    let said = done.out + &done.err;
    for nth in 0..20 {
        assert!(
            said.contains(&format!("ring{nth:02}.toml:4")),
            "edge {nth} with its file and line:\n{said}"
        );
    }
    let done = svcd.svc(&["start", "ring00"]);
    assert_eq!(done.code, 78, "{}", done.err);
    assert!(done.err.contains("cycle"), "{}", done.err);
}

#[test]
fn row_42_an_edit_that_makes_a_cycle_changes_nothing() {
    let svcd = Svcd::with(&[("a", &format!("{SLEEPER}[unit]\nrequires = [\"b\"]\n")), ("b", SLEEPER)]);
    svcd.ok(&["start", "a"]);
    let before = (svcd.main_pid("a"), svcd.main_pid("b"));
    svcd.write("b", &format!("{SLEEPER}[unit]\nrequires = [\"a\"]\n"));
    eventually("the cycle shows in status", || {
        svcd.ok(&["status", "b"]).contains("cycle")
    });
    assert_eq!((svcd.main_pid("a"), svcd.main_pid("b")), before);
}

#[test]
fn row_42_long_chain() {
    let plan = Plan::new();
    let units = plan.dir().join("units");
    let last = often(10_000) - 1;
    for nth in 0..=last {
        let text = format!("{SLEEPER}[unit]\nafter = [\"unit{}\"]\n", nth + 1);
        fs::write(
            units.join(format!("unit{nth}.toml")),
            if nth == last { SLEEPER } else { &text },
        )
        .unwrap();
    }
    let done = svc_at("/nowhere".as_ref(), &["check", units.to_str().unwrap()]);
    fs::remove_dir_all(plan.dir()).unwrap();
    assert_eq!(done.code, 0, "{}{}", done.out, done.err);
    // A second as it ships; a build without optimisation takes four times as long.
    let bar = if cfg!(debug_assertions) { bar(4000) } else { bar(1000) };
    assert!(done.took <= bar, "{:?}", done.took);
}

#[test]
fn row_43_restart_budget_is_exact() {
    for starts in [1, 3, 5] {
        let plan = Plan::new();
        let count = plan.dir().join("count");
        let restart = format!(
            "[restart]\ndelay = \"1ms\"\nmax-delay = \"5ms\"\ngive-up = {{ starts = {starts}, within = \"1m\" }}\n"
        );
        let svcd = plan
            .unit(
                "bad",
                &shell(&format!("echo start >>{}; exit 1", count.display()), &restart),
            )
            .start();
        let runs = || fs::read_to_string(&count).unwrap_or_default().lines().count();
        svcd.svc(&["start", "bad"]);
        let status = svcd.reaches("bad", "failed");
        assert_eq!(status["result"], "start-limit", "{status:#}");
        assert_eq!(runs(), starts);
        svcd.ok(&["reset", "bad"]);
        svcd.svc(&["start", "bad"]);
        eventually("a reset gives it a whole budget", || {
            runs() == 2 * starts && svcd.state("bad") == "failed"
        });
    }
}

#[test]
fn delays_grow_and_start_again() {
    let keys = "[restart]\ndelay = \"100ms\"\nmax-delay = \"400ms\"\n";
    let svcd = Svcd::with(&[("bad", &shell("exit 1", keys))]);
    svcd.svc(&["start", "bad"]);
    eventually("it has been tried five times", || svcd.delays("bad").len() >= 4);
    let delays: Vec<u128> = svcd.delays("bad").iter().map(Duration::as_millis).collect();
    // Each less at most a quarter.
    for (delay, full) in delays.iter().zip([100, 200, 400, 400]) {
        assert!((full * 3 / 4..=full).contains(delay), "{delays:?}");
    }
    let asked = Instant::now();
    svcd.ok(&["stop", "bad"]);
    assert!(asked.elapsed() < bar(1000), "a stop does not wait for the next try");
}
