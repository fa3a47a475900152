//! `[[timer]]`: a unit waits, is run when its time comes, and waits again, whatever becomes of svcd meanwhile.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use serde_json::Value;

use super::harness::{Plan, Svcd};
use super::machine::{eventually, is_root, program, skip, stays};

/// A oneshot with these timers, wanted at boot.
fn timed(timers: &str) -> String {
    let service = "[service]\ntype = \"oneshot\"\nexec-start = [\"/bin/echo\", \"run\"]\n";
    format!("[unit]\nwanted-by = [\"default\"]\n{service}[restart]\npolicy = \"no\"\n{timers}")
}

fn runs(svcd: &Svcd, unit: &str) -> usize {
    svcd.lines(unit).iter().filter(|line| *line == "run").count()
}

/// The timer of a unit, as `svc list --timers --json` has it.
fn timer(svcd: &Svcd, unit: &str) -> Value {
    let all = svcd.json(&["list", "--timers"]);
    let its = all.as_array().unwrap().iter().find(|timer| timer["unit"] == unit);
    its.cloned().unwrap_or_default()
}

fn waits_for(svcd: &Svcd, unit: &str) -> String {
    svcd.status(unit)["waiting-for"].to_string()
}

#[test]
fn a_timer_runs_it_again_and_again() {
    let svcd = Svcd::with(&[("tick", &timed("[[timer]]\nevery = \"200ms\"\n"))]);
    eventually("it is run three times", || runs(&svcd, "tick") >= 3);
    eventually("it waits between", || {
        waits_for(&svcd, "tick").contains("timer (every 200ms), next at 20")
    });
    let history = svcd.json(&["history", "tick"]);
    let by_timer = |entry: &Value| entry["what"] == "starting" && entry["by"]["kind"] == "timer";
    assert!(history.as_array().unwrap().iter().any(by_timer), "{history:#}");
    assert!(svcd.ok(&["why", "tick"]).contains("its timer, every 200ms"));
    let line = svcd.ok(&["list", "--timers"]);
    assert!(
        line.contains("NEXT") && line.contains("tick") && line.contains("every 200ms"),
        "{line}"
    );
    svcd.ok(&["stop", "tick"]);
    let before = runs(&svcd, "tick");
    assert!(stays(600, || runs(&svcd, "tick") == before), "nothing waits any more");
    assert_eq!(svcd.state("tick"), "inactive");
    assert_eq!(svcd.json(&["list", "--timers"]), Value::Array(Vec::new()));
}

#[test]
fn it_can_be_run_by_hand_and_waits_on() {
    let svcd = Svcd::with(&[("backup", &timed("[[timer]]\non-calendar = \"2190-01-01\"\n"))]);
    eventually("it waits", || waits_for(&svcd, "backup").contains("next at 21"));
    assert_eq!(runs(&svcd, "backup"), 0, "to be wanted is no reason to run");
    svcd.ok(&["start", "backup"]);
    eventually("it was run", || runs(&svcd, "backup") == 1);
    let status = svcd.reaches("backup", "waiting");
    assert_eq!(status["result"], "success", "{status:#}");
    // An edit of the timers is taken over while it waits.
    svcd.write("backup", &timed("[[timer]]\non-boot = \"1ms\"\n"));
    eventually("it is run", || runs(&svcd, "backup") == 2);
    assert!(stays(400, || runs(&svcd, "backup") == 2), "on-boot comes once");
    svcd.write("backup", &timed("[[timer]]\non-calendar = \"25:00\"\n"));
    eventually("what is wrong is told", || {
        svcd.status("backup")["findings"].to_string().contains("25")
    });
    let told = svcd.svc(&["check", &svcd.dir().join("units/backup.toml").display().to_string()]);
    assert!(
        told.out.contains(":9:15") && told.out.contains("`25` is no hour"),
        "{}{}",
        told.out,
        told.err
    );
}

#[test]
fn what_was_missed_is_made_up_for_once() {
    let plan = Plan::new()
        .unit(
            "missed",
            &timed("[[timer]]\non-calendar = \"daily\"\npersistent = true\n"),
        )
        .unit(
            "fresh",
            &timed("[[timer]]\non-calendar = \"daily\"\npersistent = true\n"),
        )
        .unit("plain", &timed("[[timer]]\non-calendar = \"daily\"\n"));
    let stamps = plan.dir().join("state/timers");
    fs::create_dir_all(&stamps).unwrap();
    fs::write(stamps.join("missed"), "1000000000000000\n").unwrap();
    let mut svcd = plan.start();
    eventually("the missed one is run", || runs(&svcd, "missed") == 1);
    let stamp = |unit: &str| fs::read_to_string(stamps.join(unit)).unwrap_or_default();
    eventually("that is noted", || {
        stamp("missed").trim().parse::<u64>().unwrap_or(0) > 1_700_000_000_000_000
    });
    eventually("and when the other began to wait", || !stamp("fresh").is_empty());
    eventually("it waits again", || timer(&svcd, "missed")["last"].is_string());
    svcd.stop();
    svcd.start_again();
    eventually("all of them wait", || {
        ["missed", "fresh", "plain"]
            .iter()
            .all(|unit| svcd.state(unit) == "waiting")
    });
    assert!(stays(300, || runs(&svcd, "missed") == 1
        && runs(&svcd, "fresh") + runs(&svcd, "plain") == 0));
}

#[test]
fn rows_37_and_39_timers_are_not_lost() {
    let mut svcd = Svcd::with(&[
        (
            "hourly",
            &timed("[[timer]]\non-calendar = \"hourly\"\nrandomized-delay = \"10m\"\n"),
        ),
        ("later", &timed("[[timer]]\nevery = \"1h\"\n")),
        ("booted", &timed("[[timer]]\non-boot = \"1ms\"\n")),
        ("tick", &timed("[[timer]]\nevery = \"300ms\"\n")),
    ]);
    eventually("on-boot has come", || {
        runs(&svcd, "booted") == 1 && svcd.state("booted") == "waiting"
    });
    svcd.ok(&["start", "later"]);
    let next = |svcd: &Svcd, unit: &str| timer(svcd, unit)["next"].as_str().unwrap_or_default()[..19].to_owned();
    let before = (next(&svcd, "hourly"), timer(&svcd, "booted")["next"].clone());
    let later = timer(&svcd, "later")["next"].clone();
    for nth in 0..12 {
        if nth % 3 == 2 {
            svcd.kill();
            svcd.start_again();
        } else {
            svcd.ok(&["reexec"]);
        }
        let ticks = runs(&svcd, "tick");
        eventually("the timer goes on", || runs(&svcd, "tick") > ticks);
        assert_eq!(
            (next(&svcd, "hourly"), timer(&svcd, "booted")["next"].clone()),
            before,
            "{nth}"
        );
        let now = timer(&svcd, "later")["next"].clone();
        // Counted in time since boot, shown on the wall clock: that may differ by what both are read apart.
        assert_eq!(
            now.as_str().map(|at| &at[..15]),
            later.as_str().map(|at| &at[..15]),
            "{nth}"
        );
    }
    assert_eq!((runs(&svcd, "booted"), runs(&svcd, "later")), (1, 1));
    assert_eq!(svcd.state("hourly"), "waiting");
}

#[test]
fn row_7_a_clock_that_is_set_is_noticed() {
    if std::env::var_os("SVC_GUEST").is_none() {
        return skip("row_7_a_clock_that_is_set_is_noticed", "not a machine of its own");
    }
    let svcd = Svcd::with(&[
        ("yearly", &timed("[[timer]]\non-calendar = \"yearly UTC\"\n")),
        ("later", &timed("[[timer]]\nevery = \"1h\"\n")),
    ]);
    eventually("they wait", || {
        svcd.state("yearly") == "waiting" && svcd.state("later") == "waiting"
    });
    let before = rustix::time::clock_gettime(rustix::time::ClockId::Realtime);
    let set = |seconds: i64| {
        let time = rustix::time::Timespec {
            tv_sec: before.tv_sec + seconds,
            tv_nsec: 0,
        };
        rustix::time::clock_settime(rustix::time::ClockId::Realtime, time).unwrap();
    };
    const YEAR: i64 = 366 * 86_400;
    set(YEAR);
    eventually("it is time", || runs(&svcd, "yearly") == 1);
    set(-YEAR);
    eventually("it comes again at its next time", || {
        let next = timer(&svcd, "yearly")["next"].to_string();
        next.contains("-01-01T00:00:00")
    });
    set(YEAR);
    eventually("it is time again", || runs(&svcd, "yearly") == 2);
    set(0);
    assert_eq!(
        runs(&svcd, "later"),
        0,
        "what counts no clock is neither early nor late"
    );
}

#[test]
fn another_time_zone_counts_at_once() {
    let test = "another_time_zone_counts_at_once";
    let zones = Path::new("/usr/share/zoneinfo/Asia");
    if !is_root() || !zones.join("Tokyo").exists() || program("unshare").is_none() {
        return skip(test, "it takes root, unshare(1) and the zones of tzdata");
    }
    // An /etc of its own, which the test changes.
    let plan = Plan::new();
    let etc = plan.dir().join("etc");
    fs::create_dir(&etc).unwrap();
    for name in ["passwd", "group"] {
        fs::copy(Path::new("/etc").join(name), etc.join(name)).unwrap();
    }
    let put = |zone: &str| {
        let new = etc.join("localtime.new");
        symlink(zones.join(zone), &new).unwrap();
        fs::rename(new, etc.join("localtime")).unwrap();
    };
    put("Tokyo");
    let mount = format!("mount --bind {} /etc && exec \"$@\"", etc.display());
    let svcd = plan
        .under(&["unshare", "--mount", "sh", "-c", &mount, "sh"])
        .unit("daily", &timed("[[timer]]\non-calendar = \"*-*-* 03:00:00\"\n"))
        .start();
    eventually("it waits", || svcd.state("daily") == "waiting");
    let comes = |at: &str| timer(&svcd, "daily")["next"].to_string().contains(at);
    assert!(comes("T18:00:00"), "{}", timer(&svcd, "daily"));
    for (zone, at) in [("Kolkata", "T21:30:00"), ("Tokyo", "T18:00:00")] {
        put(zone);
        eventually("it is at three there", || comes(at));
    }
    fs::remove_file(etc.join("localtime")).unwrap();
    eventually("without one it is UTC", || comes("T03:00:00"));
}
