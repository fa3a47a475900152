//! Limits: that the kernel holds them, that they are shown, and what happens when they are hit.

use std::fs;
use std::path::PathBuf;
use std::time::Instant;

use super::harness::{Plan, SLEEPER, Svcd, shell};
use super::machine::{
    cgroups, cpu_time, eventually, has_controller, is_root, members, program, skip, stays, v1, zombies_of,
};

/// What the kernel says in a file of a unit's cgroup; the first of these files that is there.
pub fn limit_of(svcd: &Svcd, unit: &str, files: &[&str]) -> Option<String> {
    let groups = cgroups(&svcd.cgroup(unit));
    let read = |file: &&str| {
        groups
            .iter()
            .find_map(|group| fs::read_to_string(group.join(file)).ok())
    };
    files.iter().find_map(read).map(|text| text.trim().to_owned())
}

/// One of these is missing: says so for the test.
pub fn without(test: &str, controllers: &[&str]) -> bool {
    let missing = controllers.iter().find(|controller| !has_controller(controller));
    if let Some(controller) = missing {
        skip(test, &format!("no {controller} controller in this kernel"));
    }
    missing.is_some()
}

#[test]
fn a_limit_that_the_kernel_refuses_is_the_end_of_a_process_that_was_begun_for_it() {
    if without(
        "a_limit_that_the_kernel_refuses_is_the_end_of_a_process_that_was_begun_for_it",
        &["cpuset"],
    ) {
        return;
    }
    let unit = |more: &str| format!("{SLEEPER}[resources]\ncpuset-cpus = \"4000\"\n[isolation]\n{more}");
    let units = [
        ("held", unit("")),
        ("alone", unit("init = false\n")),
        ("bare", unit("profile = \"none\"\n")),
    ];
    let svcd = Svcd::with(&units.each_ref().map(|(name, text)| (*name, text.as_str())));
    for (name, text) in &units {
        for _ in 0..3 {
            let done = svcd.svc(&["start", name]);
            assert_eq!(done.code, 78, "{name}: {}", done.err);
            assert!(done.err.contains("cpuset-cpus"), "{name}: {}", done.err);
        }
        assert!(svcd.status(name)["main-pid"].is_null());
        let path = svcd.cgroup(name);
        eventually("nothing of it is left", || cgroups(&path).is_empty());
        eventually("it is reaped", || zombies_of(svcd.pid()).is_empty());
        svcd.write(name, &text.replace("4000", "0"));
    }
    svcd.ok(&["apply"]);
    svcd.ok(&["start", "held", "alone", "bare"]);
    for (name, _) in &units {
        assert_eq!(limit_of(&svcd, name, &["cpuset.cpus"]).unwrap(), "0");
        assert!(members(&svcd.cgroup(name)).contains(&svcd.main_pid(name)), "{name}");
    }
}

#[test]
fn limits_are_what_the_kernel_has() {
    if without("limits_are_what_the_kernel_has", &["memory", "pids", "cpu"]) {
        return;
    }
    let keys = "[resources]\nmemory-max = \"64M\"\nmemory-high = \"48M\"\npids-max = 17\ncpu-quota = \"25%\"\ncpu-weight = 200\n";
    let best_effort = "[isolation]\nbest-effort = [\"memory-high\"]\n";
    let svcd = Svcd::with(&[("web", &format!("{SLEEPER}{keys}{best_effort}"))]);
    svcd.ok(&["start", "web"]);
    assert_eq!(
        limit_of(&svcd, "web", &["memory.max", "memory.limit_in_bytes"]).unwrap(),
        (64 << 20).to_string()
    );
    assert_eq!(limit_of(&svcd, "web", &["pids.max"]).unwrap(), "17");
    let quota = limit_of(&svcd, "web", &["cpu.max", "cpu.cfs_quota_us"]).unwrap();
    assert!(["25000 100000", "25000"].contains(&quota.as_str()), "{quota}");
    let weight = limit_of(&svcd, "web", &["cpu.weight", "cpu.shares"]).unwrap();
    assert!(["200", "2048"].contains(&weight.as_str()), "{weight}");
    let limits = svcd.status("web")["limits"].clone();
    assert_eq!(limits["memory-max"]["limit"], 64 << 20, "{limits:#}");
    assert!(
        limits["memory-max"]["current"]
            .as_u64()
            .is_some_and(|bytes| bytes > 0 && bytes < 64 << 20),
        "{limits:#}"
    );
    assert_eq!(limits["pids-max"]["limit"], 17, "{limits:#}");
    assert_eq!(limits["cpu-quota"]["limit"], 25, "{limits:#}");
}

#[test]
fn memory_limit_hit_is_told_as_oom() {
    if without("memory_limit_hit_is_told_as_oom", &["memory"]) {
        return;
    }
    let eater = "text=0123456789abcdef; while [ ${#text} -lt 400000000 ]; do text=$text$text; done; echo never";
    let svcd = Svcd::with(&[(
        "eater",
        &shell(eater, "[restart]\npolicy = \"no\"\n[resources]\nmemory-max = \"32M\"\n"),
    )]);
    svcd.svc(&["start", "eater"]);
    let status = svcd.reaches("eater", "failed");
    assert_eq!(status["result"], "oom", "{status:#}");
    let text = status["result-text"].as_str().unwrap();
    assert!(text.starts_with("oom (limit 32M, peak "), "{text}");
}

#[test]
fn row_27_a_grandchild_killed_for_memory_takes_the_unit_along() {
    if without(
        "row_27_a_grandchild_killed_for_memory_takes_the_unit_along",
        &["memory"],
    ) {
        return;
    }
    let plan = Plan::new();
    let inner = plan.dir().join("eat.sh");
    fs::write(
        &inner,
        "text=0123456789abcdef; while [ ${#text} -lt 400000000 ]; do text=$text$text; done",
    )
    .unwrap();
    let outer = format!("/bin/sh {}; sleep 1000000", inner.display());
    let svcd = plan
        .unit(
            "eater",
            &shell(
                &outer,
                "[restart]\npolicy = \"no\"\n[resources]\nmemory-max = \"32M\"\n",
            ),
        )
        .start();
    svcd.svc(&["start", "eater"]);
    let status = svcd.reaches("eater", "failed");
    assert_eq!(status["result"], "oom", "{status:#}");
    assert!(members(&svcd.cgroup("eater")).is_empty());
}

/// A unit with a process that is killed for memory, which is not its main process; what that writes when it ends.
fn survivor(policy: &str) -> (Svcd, PathBuf) {
    let plan = Plan::new();
    let said = plan.dir().join("said");
    let eat = "text=0123456789abcdef; while [ ${#text} -lt 400000000 ]; do text=$text$text; done";
    let script = format!(
        "trap 'echo asked to end >{0}; exit 0' TERM; /bin/sh -c '{eat}'; echo went on >{0}; while :; do sleep 0.1; done",
        said.display()
    );
    let keys = format!("[restart]\npolicy = \"no\"\n[resources]\nmemory-max = \"32M\"\noom-policy = \"{policy}\"\n");
    let svcd = plan.unit("survivor", &shell(&script, &keys)).start();
    svcd.svc(&["start", "survivor"]);
    (svcd, said)
}

#[test]
fn row_27_oom_policy_continue_lets_the_others_go_on() {
    if without("row_27_oom_policy_continue_lets_the_others_go_on", &["memory"]) {
        return;
    }
    let (svcd, said) = survivor("continue");
    eventually("it goes on", || {
        fs::read_to_string(&said).is_ok_and(|text| text == "went on\n")
    });
    assert!(stays(300, || svcd.state("survivor") == "running"));
}

#[test]
fn row_27_oom_policy_stop_asks_the_others_to_end() {
    if without("row_27_oom_policy_stop_asks_the_others_to_end", &["memory"]) {
        return;
    }
    let (svcd, said) = survivor("stop");
    let status = svcd.reaches("survivor", "failed");
    assert_eq!(status["result"], "oom", "{status:#}");
    assert_eq!(fs::read_to_string(&said).unwrap(), "asked to end\n");
}

#[test]
fn pids_limit_holds() {
    if without("pids_limit_holds", &["pids"]) {
        return;
    }
    let script = "n=0; while [ $n -lt 40 ]; do sleep 1000000 & n=$((n + 1)); done; sleep 1000000";
    let svcd = Svcd::with(&[(
        "many",
        &shell(script, "[restart]\npolicy = \"no\"\n[resources]\npids-max = 10\n"),
    )]);
    svcd.ok(&["start", "many"]);
    eventually("it has all that it may have, or has failed", || {
        members(&svcd.cgroup("many")).len() >= 9 || svcd.state("many") == "failed"
    });
    assert!(members(&svcd.cgroup("many")).len() <= 10);
}

#[test]
fn a_busy_loop_gets_its_share() {
    if without("a_busy_loop_gets_its_share", &["cpu"]) {
        return;
    }
    let svcd = Svcd::with(&[(
        "busy",
        &shell("while :; do :; done", "[resources]\ncpu-quota = \"20%\"\n"),
    )]);
    svcd.ok(&["start", "busy"]);
    let pid = svcd.main_pid("busy");
    let cpu = || svcd.json(&["stats", "busy"])["cpu"].clone();
    let (before, cpu_before, started) = (cpu_time(pid), cpu(), Instant::now());
    eventually("it has run for ten seconds", || started.elapsed().as_secs() >= 10);
    let (used, took, cpu) = (cpu_time(pid) - before, started.elapsed(), cpu());
    let share = 100.0 * used.as_secs_f64() / took.as_secs_f64();
    assert!(share <= 22.0, "{share:.1} % of a CPU");
    // Less than it may have is no fault of the limit's where it was not held back: others had the processor.
    let grown = |key: &str| cpu[key].as_u64().unwrap() - cpu_before[key].as_u64().unwrap();
    if grown("throttled") * 10 >= grown("periods") * 9 {
        assert!(share >= 18.0, "{share:.1} % of a CPU");
    }
}

/// And of nobody else: another unit that sleeps has used next to nothing.
#[test]
fn perf_stat_names_the_group_of_a_unit() {
    let test = "perf_stat_names_the_group_of_a_unit";
    let Some(perf) = program("perf").filter(|_| is_root()) else {
        return skip(test, "not root, or no perf(1)");
    };
    let svcd = Svcd::with(&[("busy", &shell("while :; do :; done", "")), ("idle", SLEEPER)]);
    svcd.ok(&["start", "busy", "idle"]);
    let milliseconds = |unit: &str| -> Option<f64> {
        let mut command = std::process::Command::new(&perf);
        let group = svcd.cgroup(unit);
        command.args([
            "stat",
            "-a",
            "-x",
            ",",
            "-e",
            "task-clock",
            "-G",
            &group,
            "--",
            "sleep",
            "0.3",
        ]);
        let done = command.output().unwrap();
        let said = String::from_utf8_lossy(&done.stderr).into_owned();
        assert!(done.status.success(), "{unit}: {said}");
        // The field is `<not counted>` where nobody of the group ran.
        said.lines()
            .find(|line| line.contains(&group))?
            .split(',')
            .next()?
            .parse()
            .ok()
    };
    eventually("it is seen to be busy", || {
        milliseconds("busy").is_some_and(|used| used > 10.0)
    });
    assert!(milliseconds("idle").is_none_or(|used| used < 10.0));
}

/// However it ends: nothing of it is in any hierarchy.
#[test]
fn stopping_removes_the_group_from_every_hierarchy() {
    let limits = "[resources]\nslice = \"apps\"\ncpu-quota = \"50%\"\ncpuset-cpus = \"0\"\nmemory-max = \"64M\"\n\
        pids-max = 20\ndevices = [\"/dev/null rw\"]\nhugetlb-max = { \"2MB\" = 0 }\nnet-classid = \"10:1\"\n\
        [isolation]\nbest-effort = [\"cpu-quota\", \"cpuset-cpus\", \"memory-max\", \"pids-max\", \"devices\", \
        \"hugetlb-max\", \"net-classid\"]\n";
    let svcd = Svcd::with(&[
        ("apps", "[slice]\n"),
        ("web", &format!("{SLEEPER}{limits}")),
        ("other", SLEEPER),
    ]);
    svcd.ok(&["start", "web", "other"]);
    let group = svcd.cgroup("apps/web");
    assert!(!cgroups(&group).is_empty());
    svcd.ok(&["stop", "web"]);
    eventually("no hierarchy has its group", || cgroups(&group).is_empty());
    svcd.ok(&["start", "web"]);
    svcd.ok(&["kill", "-s", "SIGKILL", "--whom", "all", "web"]);
    svcd.ok(&["stop", "web"]);
    eventually("no hierarchy has its group", || cgroups(&group).is_empty());
    assert!(!cgroups(&svcd.cgroup("other")).is_empty());
}

#[test]
fn a_slice_limits_its_members_together() {
    if without("a_slice_limits_its_members_together", &["pids"]) {
        return;
    }
    let member = format!("{SLEEPER}[resources]\nslice = \"apps\"\n");
    let svcd = Svcd::with(&[
        ("apps", "[slice]\n[resources]\npids-max = 50\n"),
        ("a", &member),
        ("b", &member),
    ]);
    svcd.ok(&["start", "a", "b"]);
    let cgroup = svcd.status("a")["cgroup"].as_str().unwrap().to_owned();
    assert_eq!(cgroup, svcd.cgroup("apps/a"));
    assert_eq!(limit_of(&svcd, "apps", &["pids.max"]).unwrap(), "50");
    assert_eq!(
        members(&svcd.cgroup("apps")).len(),
        members(&svcd.cgroup("apps/a")).len() + members(&svcd.cgroup("apps/b")).len()
    );
    svcd.ok(&["stop", "a", "b"]);
}

#[test]
fn a_limit_that_cannot_be_enforced_stops_the_start() {
    if v1("memory").is_none() {
        return skip(
            "a_limit_that_cannot_be_enforced_stops_the_start",
            "this kernel has memory-high",
        );
    }
    let refused = format!("{SLEEPER}[resources]\nmemory-high = \"32M\"\n");
    let allowed = format!("{refused}[isolation]\nbest-effort = [\"memory-high\"]\n");
    let svcd = Svcd::with(&[("refused", &refused), ("allowed", &allowed)]);
    let done = svcd.svc(&["start", "refused"]);
    assert_eq!(done.code, 78, "{}", done.err);
    assert!(done.err.contains("memory-high"), "{}", done.err);
    assert!(cgroups(&svcd.cgroup("refused")).is_empty());
    svcd.ok(&["start", "allowed"]);
    let status = svcd.status("allowed").to_string();
    assert!(status.contains("memory-high") && status.contains("skipped"), "{status}");
}
