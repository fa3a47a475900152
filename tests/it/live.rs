//! What changes while a unit runs: limits by hand and by file, frozen and thawed, and what it uses meanwhile.

use std::fs;
use std::time::Instant;

use serde_json::Value;

use super::harness::{Plan, SLEEPER, Svcd, shell};
use super::limits::{limit_of, without};
use super::machine::{cpu_time, eventually, hierarchies, memory_is_on_v2, skip, stretch, v1, v2};

/// What the kernel says is the memory limit of a unit.
fn memory_limit(svcd: &Svcd, unit: &str) -> Option<String> {
    limit_of(svcd, unit, &["memory.max", "memory.limit_in_bytes"])
}

/// Which processes are in the unit's group of a controller.
fn inside(svcd: &Svcd, unit: &str, controller: &str) -> Vec<u32> {
    let at = v2(controller)
        .or_else(|| v1(controller))
        .expect("the controller is there");
    let text = fs::read_to_string(at.join(svcd.cgroup(unit)).join("cgroup.procs")).unwrap_or_default();
    text.lines().filter_map(|line| line.parse().ok()).collect()
}

#[test]
fn set_changes_a_limit_and_no_process() {
    if without("set_changes_a_limit_and_no_process", &["memory", "pids"]) {
        return;
    }
    let svcd = Svcd::with(&[(
        "web",
        &format!("{SLEEPER}[resources]\nmemory-max = \"64M\"\npids-max = 50\n"),
    )]);
    svcd.ok(&["start", "web"]);
    let pid = svcd.main_pid("web");
    svcd.ok(&["set", "web", "memory-max=32M", "pids-max=20"]);
    assert_eq!(memory_limit(&svcd, "web").unwrap(), (32 << 20).to_string());
    assert_eq!(limit_of(&svcd, "web", &["pids.max"]).unwrap(), "20");
    assert_eq!(svcd.main_pid("web"), pid);
    assert_eq!(svcd.status("web")["limits"]["memory-max"]["limit"], 32 << 20);
    let shown = svcd.ok(&["show", "web"]);
    let line = shown
        .lines()
        .find(|line| line.contains("memory-max"))
        .unwrap()
        .to_owned();
    assert!(line.contains("zz-set-memory-max.toml"), "{line}");
    let history = svcd.ok(&["history", "web"]);
    assert!(
        history.contains("updated") && history.contains("memory-max = \"32M\""),
        "{history}"
    );
    assert!(svcd.ok(&["plan"]).contains("nothing") || svcd.json(&["plan"])["units"] == serde_json::json!([]));

    // It stays over a restart, and goes when it is taken back.
    svcd.ok(&["restart", "web"]);
    assert_eq!(memory_limit(&svcd, "web").unwrap(), (32 << 20).to_string());
    let pid = svcd.main_pid("web");
    svcd.ok(&["set", "web", "memory-max=", "pids-max="]);
    assert_eq!(memory_limit(&svcd, "web").unwrap(), (64 << 20).to_string());
    assert_eq!(limit_of(&svcd, "web", &["pids.max"]).unwrap(), "50");
    assert_eq!(svcd.main_pid("web"), pid);
    assert!(
        !svcd.dir().join("units/web.toml.d").exists(),
        "the unit's own directory was left alone"
    );
}

#[test]
fn set_for_good_is_a_drop_in() {
    if without("set_for_good_is_a_drop_in", &["memory"]) {
        return;
    }
    let svcd = Svcd::with(&[("web", &format!("{SLEEPER}[resources]\nmemory-max = \"64M\"\n"))]);
    svcd.ok(&["start", "web"]);
    let pid = svcd.main_pid("web");
    svcd.ok(&["set", "web", "memory-max=48M"]);
    svcd.ok(&["set", "--persist", "web", "memory-max=32M"]);
    assert_eq!(memory_limit(&svcd, "web").unwrap(), (32 << 20).to_string());
    let file = svcd.dir().join("units/web.toml.d/zz-set-memory-max.toml");
    assert!(
        fs::read_to_string(&file)
            .unwrap()
            .contains("[resources]\nmemory-max = \"32M\"\n")
    );
    // What is read from the disk next says the same.
    svcd.write("other", SLEEPER);
    eventually("the other unit is read", || svcd.state("other") == "inactive");
    assert_eq!(memory_limit(&svcd, "web").unwrap(), (32 << 20).to_string());
    assert_eq!(svcd.main_pid("web"), pid);
    svcd.ok(&["set", "--persist", "web", "memory-max="]);
    assert!(!file.exists());
    assert_eq!(memory_limit(&svcd, "web").unwrap(), (64 << 20).to_string());
    assert_eq!(svcd.main_pid("web"), pid);
}

/// On v1 the processes have joined no controller that held no limit of theirs: they are moved.
#[test]
fn a_first_limit_reaches_who_runs_already() {
    if without("a_first_limit_reaches_who_runs_already", &["memory", "pids"]) {
        return;
    }
    let svcd = Svcd::with(&[("web", &shell("sleep 1000000 & sleep 1000000 & wait", ""))]);
    svcd.ok(&["start", "web"]);
    let pid = svcd.main_pid("web");
    svcd.ok(&["set", "web", "memory-max=64M", "pids-max=30"]);
    for controller in ["memory", "pids"] {
        let inside = inside(&svcd, "web", controller);
        assert!(inside.contains(&pid), "{controller}: {inside:?}");
        assert!(inside.len() >= 3, "{controller}: {inside:?}");
    }
    assert_eq!(svcd.main_pid("web"), pid);
    assert_eq!(svcd.status("web")["limits"]["pids-max"]["limit"], 30);
    svcd.ok(&["stop", "web"]);
}

#[test]
fn an_edited_limit_is_taken_over_by_who_runs() {
    if without("an_edited_limit_is_taken_over_by_who_runs", &["memory", "cpu"]) {
        return;
    }
    let unit = |keys: &str| format!("{SLEEPER}[resources]\n{keys}");
    let svcd = Svcd::with(&[("web", &unit("memory-max = \"64M\"\ncpu-quota = \"50%\"\n"))]);
    svcd.ok(&["start", "web"]);
    let pid = svcd.main_pid("web");
    svcd.write("web", &unit("memory-max = \"32M\"\ncpu-weight = 50\n"));
    eventually("the new limit holds", || {
        memory_limit(&svcd, "web") == Some((32 << 20).to_string())
    });
    let quota = limit_of(&svcd, "web", &["cpu.max", "cpu.cfs_quota_us"]).unwrap();
    assert!(["max 100000", "-1"].contains(&quota.as_str()), "{quota}");
    let weight = limit_of(&svcd, "web", &["cpu.weight", "cpu.shares"]).unwrap();
    assert!(["50", "512"].contains(&weight.as_str()), "{weight}");
    assert_eq!(svcd.main_pid("web"), pid);
    assert!(svcd.status("web")["limits"]["cpu-quota"].is_null());
}

#[test]
fn plan_calls_an_edited_limit_a_live_update() {
    if without("plan_calls_an_edited_limit_a_live_update", &["pids"]) {
        return;
    }
    let unit = |pids: u32| format!("{SLEEPER}[resources]\npids-max = {pids}\n");
    let plan = Plan::new()
        .unit("web", &unit(50))
        .unit("apps", "[slice]\n[resources]\npids-max = 90\n");
    let settings = plan.dir().join("svcd.toml");
    fs::write(&settings, "[reload]\nmode = \"manual\"\n").unwrap();
    let svcd = plan
        .argument("--settings")
        .argument(settings.display().to_string())
        .start();
    svcd.ok(&["start", "web"]);
    let pid = svcd.main_pid("web");
    svcd.write("web", &unit(40));
    svcd.write("apps", "[slice]\n[resources]\npids-max = 80\n");
    let plan = svcd.json(&["plan"]);
    let actions: Vec<(&str, &str)> = plan["units"]
        .as_array()
        .unwrap()
        .iter()
        .map(|unit| (unit["unit"].as_str().unwrap(), unit["action"].as_str().unwrap()))
        .collect();
    assert_eq!(actions, [("apps", "live-update"), ("web", "live-update")], "{plan:#}");
    // By hand nothing is taken over that waits for an apply.
    let done = svcd.svc(&["set", "web", "pids-max=30"]);
    assert_eq!(done.code, 78, "{}", done.err);
    assert!(done.err.contains("not taken over yet"), "{}", done.err);
    svcd.ok(&["apply"]);
    assert_eq!(limit_of(&svcd, "web", &["pids.max"]).unwrap(), "40");
    svcd.ok(&["set", "web", "pids-max=30"]);
    assert_eq!(limit_of(&svcd, "web", &["pids.max"]).unwrap(), "30");
    assert_eq!(svcd.main_pid("web"), pid);
}

#[test]
fn a_slice_is_changed_with_its_units_running() {
    if without("a_slice_is_changed_with_its_units_running", &["pids"]) {
        return;
    }
    let member = format!("{SLEEPER}[resources]\nslice = \"apps\"\n");
    let svcd = Svcd::with(&[
        ("apps", "[slice]\n[resources]\npids-max = 50\n"),
        ("a", &member),
        ("b", &member),
    ]);
    svcd.ok(&["start", "a", "b"]);
    let pids = (svcd.main_pid("a"), svcd.main_pid("b"));
    svcd.ok(&["set", "apps", "pids-max=40"]);
    assert_eq!(limit_of(&svcd, "apps", &["pids.max"]).unwrap(), "40");
    svcd.write("apps", "[slice]\n[resources]\npids-max = 30\n");
    svcd.ok(&["set", "apps", "pids-max="]);
    eventually("the file's limit holds", || {
        limit_of(&svcd, "apps", &["pids.max"]).unwrap() == "30"
    });
    assert_eq!((svcd.main_pid("a"), svcd.main_pid("b")), pids);
    svcd.ok(&["stop", "a", "b"]);
}

#[test]
fn what_cannot_be_set_changes_nothing() {
    if without("what_cannot_be_set_changes_nothing", &["memory", "pids"]) {
        return;
    }
    let svcd = Svcd::with(&[
        ("web", &format!("{SLEEPER}[resources]\npids-max = 50\n")),
        ("goal", "[target]\n"),
    ]);
    svcd.ok(&["start", "web"]);
    for (unit, setting, code, why) in [
        ("web", "pids-mx=5", 78, "did you mean `pids-max`?"),
        ("web", "pids-max=many", 78, "whole number"),
        ("web", "slice=apps", 78, "another run"),
        ("web", "memory-max=-1", 78, "size"),
        ("web", "cpuset-cpus=4000", 78, "cpuset-cpus"),
        ("web", "hugetlb-max={ \"3MB\" = 0 }", 78, "hugetlb-max"),
        ("goal", "pids-max=5", 78, "pids-max"),
        ("nobody", "pids-max=5", 4, "nobody"),
    ] {
        let done = svcd.svc(&["set", unit, "pids-max=40", setting]);
        assert_eq!(done.code, code, "{setting}: {}", done.err);
        assert!(
            done.err.contains(why) || done.err.contains("says nothing to a target"),
            "{setting}: {}",
            done.err
        );
        assert_eq!(limit_of(&svcd, "web", &["pids.max"]).unwrap(), "50", "{setting}");
    }
    assert!(!svcd.dir().join("run/set/web.toml.d").exists());
    if !memory_is_on_v2() {
        let done = svcd.svc(&["set", "web", "memory-high=5M"]);
        assert_eq!(done.code, 78);
        assert!(
            done.err.contains("memory-high") && done.err.contains("cgroup v1"),
            "{}",
            done.err
        );
    }
}

#[test]
fn a_frozen_unit_stands_still_and_goes_on() {
    let svcd = Svcd::with(&[("busy", &shell("while :; do :; done", ""))]);
    svcd.ok(&["start", "busy"]);
    let pid = svcd.main_pid("busy");
    svcd.ok(&["freeze", "busy"]);
    let status = svcd.status("busy");
    assert_eq!(
        (&status["frozen"], &status["state"]),
        (&Value::Bool(true), &Value::from("running"))
    );
    let before = cpu_time(pid);
    let begin = Instant::now();
    eventually("some time has passed", || begin.elapsed() > stretch(200));
    assert_eq!(cpu_time(pid), before);
    let done = svcd.svc(&["reload", "busy"]);
    assert!(done.code != 0 && done.err.contains("frozen"), "{}", done.err);
    svcd.ok(&["thaw", "busy"]);
    eventually("it goes on", || cpu_time(pid) > before);
    assert_eq!(
        (svcd.main_pid("busy"), &svcd.status("busy")["frozen"]),
        (pid, &Value::Bool(false))
    );
}

#[test]
fn a_frozen_unit_is_stopped_in_order() {
    let plan = Plan::new();
    let (said, ready) = (plan.dir().join("said"), plan.dir().join("ready"));
    let script = format!(
        "trap 'echo bye >{}; exit 0' TERM; : >{}; while :; do sleep 0.05; done",
        said.display(),
        ready.display()
    );
    let svcd = plan.unit("polite", &shell(&script, "timeout-stop = \"60s\"\n")).start();
    svcd.ok(&["start", "polite"]);
    eventually("it would hear", || ready.exists());
    svcd.ok(&["freeze", "polite"]);
    svcd.ok(&["stop", "polite"]);
    assert_eq!(fs::read_to_string(&said).unwrap(), "bye\n");
    let done = svcd.svc(&["freeze", "polite"]);
    assert!(done.code == 1 && done.err.contains("does not run"), "{}", done.err);
}

#[test]
fn stats_count_what_was_used() {
    if without("stats_count_what_was_used", &["cpu", "memory", "pids"]) {
        return;
    }
    let forks = "n=0; while [ $n -lt 30 ]; do sleep 1000000 & n=$((n + 1)); done";
    let script = format!("sh -c '{forks}' 2>/dev/null; while :; do :; done");
    let limits = "[resources]\ncpu-quota = \"20%\"\nmemory-max = \"64M\"\npids-max = 20\n";
    let svcd = Svcd::with(&[("busy", &shell(&script, limits)), ("plain", SLEEPER)]);
    svcd.ok(&["start", "busy", "plain"]);
    let stats = || svcd.json(&["stats", "busy"]);
    let at_least = |value: &Value, least: u64| value.as_u64().is_some_and(|value| value >= least);
    eventually("it was throttled, and a fork refused", || {
        let stats = stats();
        at_least(&stats["cpu"]["throttled"], 1) && at_least(&stats["pids"]["refused"], 1)
    });
    let stats = stats();
    assert!(
        at_least(&stats["cpu"]["usage-usec"], 1) && at_least(&stats["cpu"]["throttled-usec"], 1),
        "{stats:#}"
    );
    assert_eq!(stats["cpu"]["quota"], 20.0, "{stats:#}");
    assert!(
        at_least(&stats["memory"]["current"], 4096) && at_least(&stats["memory"]["peak"], 4096),
        "{stats:#}"
    );
    assert_eq!(
        (&stats["memory"]["limit"], &stats["memory"]["oom-kills"]),
        (&Value::from(64 << 20), &Value::from(0))
    );
    assert_eq!(stats["pids"]["limit"], 20, "{stats:#}");
    assert!(
        at_least(&stats["pids"]["current"], 15) && at_least(&stats["pids"]["peak"], 20),
        "{stats:#}"
    );
    let has_pressure = fs::read_to_string("/proc/pressure/cpu").is_ok()
        && hierarchies().iter().any(|(controllers, _)| controllers.is_empty());
    assert_eq!(
        stats["pressure"]["cpu"]["some"]["avg10"].is_number(),
        has_pressure,
        "{stats:#}"
    );
    // Without limits too.
    let plain = svcd.json(&["stats", "plain"]);
    assert!(
        at_least(&plain["memory"]["current"], 4096) && at_least(&plain["pids"]["current"], 1),
        "{plain:#}"
    );
    let all = svcd.json(&["stats"]);
    assert_eq!(all.as_array().unwrap().len(), 2, "{all:#}");
    let text = svcd.ok(&["stats", "busy"]);
    for word in ["cpu", "throttled", "memory", "tasks", "forks refused"] {
        assert!(text.contains(word), "{text}");
    }
}

#[test]
fn top_shows_the_busiest_first() {
    let svcd = Svcd::with(&[("a-sleeper", SLEEPER), ("busy", &shell("while :; do :; done", ""))]);
    svcd.ok(&["start", "a-sleeper", "busy"]);
    let text = svcd.ok(&["top"]);
    let first: Vec<&str> = text.lines().nth(1).unwrap().split_whitespace().collect();
    assert_eq!(first[0], "busy", "{text}");
    let json = svcd.json(&["top"]);
    assert_eq!(json[0]["unit"], "busy");
    assert!(
        json[0]["cpu-percent"].as_f64().is_some_and(|share| share > 0.0),
        "{json:#}"
    );
}

#[test]
fn doctor_knows_every_controller_without_a_supervisor() {
    let done = super::harness::svc_at(std::path::Path::new("/nowhere/control.sock"), &["--json", "doctor"]);
    assert_eq!(done.code, 0, "{}", done.err);
    let report: Value = serde_json::from_str(&done.out).unwrap();
    let of = |name: &str| {
        let all = report["controllers"].as_array().unwrap();
        all.iter()
            .find(|found| found["name"] == name)
            .unwrap_or_else(|| panic!("{name} in {report:#}"))
            .clone()
    };
    for controller in ["cpu", "cpuset", "memory", "pids", "hugetlb", "rdma", "misc"] {
        let expected = match (v2(controller), v1(controller)) {
            (Some(_), _) => "v2",
            (None, Some(_)) => "v1",
            (None, None) => {
                assert_eq!(of(controller)["available"], false);
                assert!(!of(controller)["why"].as_str().unwrap().is_empty());
                continue;
            }
        };
        assert_eq!(of(controller)["backend"], expected, "{controller}");
    }
    let devices = of("devices");
    match v1("devices") {
        Some(_) => assert_eq!(devices["backend"], "v1"),
        None if hierarchies().is_empty() => skip("doctor: devices", "no cgroups"),
        None => assert_eq!(devices["backend"], "bpf", "{devices:#}"),
    }
    for namespace in report["namespaces"].as_array().unwrap() {
        let file = format!("/proc/self/ns/{}", namespace["name"].as_str().unwrap());
        assert_eq!(namespace["available"], fs::exists(file).unwrap(), "{namespace:#}");
    }
    assert!(
        super::harness::svc_at(std::path::Path::new("/nowhere/control.sock"), &["doctor"])
            .out
            .contains("ENFORCED BY")
    );
}
