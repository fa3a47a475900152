//! Each state and each result of the contract (INTERFACE section 4), brought about and read back.

use std::fs;

use rustix::process::Signal;

use super::harness::{Plan, SLEEPER, Svcd, shell, until_there};
use super::machine::{alive, eventually, members, send, stays};

#[test]
fn a_service_runs_until_it_is_stopped() {
    let svcd = Svcd::with(&[("web", SLEEPER)]);
    assert_eq!(svcd.state("web"), "inactive");
    svcd.ok(&["start", "web"]);
    let status = svcd.status("web");
    assert_eq!(status["state"], "running");
    assert_eq!(status["restarts"], 0);
    let pid = svcd.main_pid("web");
    assert!(alive(pid), "the main process is there");
    assert!(members(&svcd.cgroup("web")).contains(&pid), "and in the unit's cgroup");
    svcd.ok(&["stop", "web"]);
    let status = svcd.status("web");
    assert_eq!(
        (&status["state"], &status["result"]),
        (&"inactive".into(), &"success".into()),
        "{status:#}"
    );
    assert!(status["main-pid"].is_null());
    assert!(!alive(pid));
    assert!(members(&svcd.cgroup("web")).is_empty());
}

#[test]
fn a_oneshot_ends_inactive_or_stays() {
    let stays = format!("{}remain-after-exit = true\n", shell("exit 0", "type = \"oneshot\""));
    let svcd = Svcd::with(&[("once", &shell("exit 0", "type = \"oneshot\"")), ("stays", &stays)]);
    svcd.ok(&["start", "once", "stays"]);
    let once = svcd.status("once");
    assert_eq!(
        (&once["state"], &once["result"]),
        (&"inactive".into(), &"success".into()),
        "{once:#}"
    );
    assert_eq!(svcd.state("stays"), "running");
    svcd.ok(&["stop", "stays"]);
    assert_eq!(svcd.state("stays"), "inactive");
}

#[test]
fn exit_code_is_a_result() {
    let svcd = Svcd::with(&[(
        "bad",
        &shell("exit 3", "type = \"oneshot\"\n[restart]\npolicy = \"no\""),
    )]);
    let done = svcd.svc(&["start", "bad"]);
    assert_eq!(done.code, 1, "{}", done.err);
    assert!(
        done.err.contains("svc: start bad:") && done.err.contains("exit-code 3"),
        "{}",
        done.err
    );
    let status = svcd.status("bad");
    assert_eq!(status["state"], "failed");
    assert_eq!(
        (&status["result"], &status["exit-code"]),
        (&"exit-code".into(), &3.into()),
        "{status:#}"
    );
}

#[test]
fn signal_is_a_result() {
    let svcd = Svcd::with(&[("bad", &shell("kill -SEGV $$", "[restart]\npolicy = \"no\""))]);
    svcd.svc(&["start", "bad"]);
    let status = svcd.reaches("bad", "failed");
    assert_eq!(
        (&status["result"], &status["signal"]),
        (&"signal".into(), &"SIGSEGV".into()),
        "{status:#}"
    );
    assert!(status["exit-code"].is_null());
}

#[test]
fn timeout_of_a_start_is_a_result() {
    let keys = "exec-start-pre = [\"/bin/sleep\", \"1000000\"]\ntimeout-start = \"200ms\"\n[restart]\npolicy = \"no\"";
    let svcd = Svcd::with(&[("slow", &format!("{SLEEPER}{keys}"))]);
    let done = svcd.svc(&["start", "slow"]);
    assert_eq!(done.code, 1, "{}", done.err);
    let status = svcd.status("slow");
    assert_eq!(
        (&status["state"], &status["result"]),
        (&"failed".into(), &"timeout".into()),
        "{status:#}"
    );
    assert!(members(&svcd.cgroup("slow")).is_empty());
}

#[test]
fn spawn_that_fails_names_step_and_errno() {
    let unit = "[service]\nexec-start = [\"/nowhere/program\"]\n[restart]\npolicy = \"no\"\n";
    let svcd = Svcd::with(&[("absent", unit)]);
    let done = svcd.svc(&["start", "absent"]);
    assert_eq!(done.code, 1, "{}", done.err);
    assert!(
        done.err.contains("/nowhere/program") && done.err.contains("ENOENT"),
        "{}",
        done.err
    );
    let status = svcd.status("absent");
    assert_eq!(
        (&status["state"], &status["result"]),
        (&"failed".into(), &"spawn".into()),
        "{status:#}"
    );
    assert_eq!(status["errno"], "ENOENT");
    assert!(
        status["failed-step"].as_str().is_some_and(|step| step.contains("exec")),
        "{status:#}"
    );
}

#[test]
fn a_program_that_ends_with_one_is_no_failed_spawn() {
    let svcd = Svcd::with(&[("one", &shell("exit 1", "[restart]\npolicy = \"no\""))]);
    svcd.svc(&["start", "one"]);
    let status = svcd.reaches("one", "failed");
    assert_eq!(
        (&status["result"], &status["exit-code"]),
        (&"exit-code".into(), &1.into()),
        "{status:#}"
    );
    assert!(status["failed-step"].is_null() && status["errno"].is_null());
}

#[test]
fn backoff_tells_the_next_try() {
    let svcd = Svcd::with(&[("bad", &shell("exit 1", "[restart]\ndelay = \"1h\"\nmax-delay = \"1h\""))]);
    svcd.svc(&["start", "bad"]);
    let status = svcd.reaches("bad", "backoff");
    assert!(
        status["next-try"].as_str().is_some_and(|time| time.ends_with('Z')),
        "{status:#}"
    );
    assert_eq!(status["result"], "exit-code");
    svcd.ok(&["stop", "bad"]);
    assert!(["inactive", "failed"].contains(&svcd.state("bad").as_str()));
}

#[test]
fn a_killed_service_comes_back() {
    let svcd = Svcd::with(&[("web", &format!("{SLEEPER}[restart]\ndelay = \"10ms\"\n"))]);
    svcd.ok(&["start", "web"]);
    let before = svcd.main_pid("web");
    send(before, Signal::KILL);
    eventually("web runs anew", || {
        let status = svcd.status("web");
        status["state"] == "running" && status["restarts"] == 1
    });
    assert_ne!(svcd.main_pid("web"), before);
    assert_eq!(svcd.status("web")["signal"], "SIGKILL");
}

#[test]
fn a_requirement_that_is_absent_blocks_until_it_comes() {
    let svcd = Svcd::with(&[("web", &format!("{SLEEPER}[unit]\nrequires = [\"db\"]\n"))]);
    let done = svcd.svc(&["start", "web", "--timeout", "300ms"]);
    assert_ne!(done.code, 0);
    let status = svcd.reaches("web", "blocked");
    assert!(
        status["blocked-by"][0].as_str().is_some_and(|by| by.contains("db")),
        "{status:#}"
    );
    svcd.write("db", SLEEPER);
    svcd.reaches("web", "running");
    assert_eq!(svcd.state("db"), "running");
}

#[test]
fn waiting_tells_for_whom() {
    let plan = Plan::new();
    let go = plan.dir().join("go");
    let setup = shell(&until_there(&go), "type = \"oneshot\"\nremain-after-exit = true");
    let svcd = plan
        .unit("setup", &setup)
        .unit("web", &format!("{SLEEPER}[unit]\nrequires = [\"setup\"]\n"))
        .start();
    svcd.ok(&["start", "--no-wait", "web"]);
    let status = svcd.reaches("web", "waiting");
    assert!(status["waiting-for"].to_string().contains("setup"), "{status:#}");
    svcd.reaches("setup", "starting");
    fs::write(&go, "").unwrap();
    svcd.reaches("web", "running");
    assert_eq!(svcd.state("setup"), "running");
}

#[test]
fn stopping_is_seen_while_a_stop_command_runs() {
    let plan = Plan::new();
    let go = plan.dir().join("go");
    let stop = format!("exec-stop = [\"/bin/sh\", \"-c\", '''{}''']\n", until_there(&go));
    let svcd = plan.unit("web", &format!("{SLEEPER}{stop}")).start();
    svcd.ok(&["start", "web"]);
    svcd.ok(&["stop", "--no-wait", "web"]);
    svcd.reaches("web", "stopping");
    assert!(alive(svcd.main_pid("web")), "the stop command comes before the signal");
    fs::write(&go, "").unwrap();
    svcd.reaches("web", "inactive");
}

#[test]
fn a_condition_skips_and_an_assertion_fails() {
    let absent = "[unit]\ncondition = [{ path-exists = \"/nowhere\" }]\n";
    let asserted = "[unit]\nassert = [{ path-exists = \"/nowhere\" }]\n[restart]\npolicy = \"no\"\n";
    let met = "[unit]\ncondition = [{ path-exists = \"!/nowhere\" }, { path-is-directory = \"/\" }]\n";
    let units = [("skipped", absent), ("failed", asserted), ("met", met)];
    let svcd = Svcd::with(&units.map(|(name, keys)| (name, &*format!("{SLEEPER}{keys}").leak())));
    svcd.ok(&["start", "skipped"]);
    assert_eq!(svcd.state("skipped"), "skipped");
    assert_eq!(svcd.svc(&["start", "failed"]).code, 1);
    assert_eq!(svcd.state("failed"), "failed");
    svcd.ok(&["start", "met"]);
    assert_eq!(svcd.state("met"), "running");
}

#[test]
fn a_stop_takes_down_who_requires_it_and_a_crash_does_not() {
    let db = format!("{SLEEPER}[restart]\ndelay = \"10ms\"\n");
    let svcd = Svcd::with(&[("db", &db), ("web", &format!("{SLEEPER}[unit]\nrequires = [\"db\"]\n"))]);
    svcd.ok(&["start", "web"]);
    let web = svcd.main_pid("web");
    send(svcd.main_pid("db"), Signal::KILL);
    eventually("db is back", || {
        svcd.status("db")["restarts"] == 1 && svcd.state("db") == "running"
    });
    assert_eq!(svcd.main_pid("web"), web, "web lives through a crash of db");
    svcd.ok(&["stop", "db"]);
    assert_eq!(svcd.state("db"), "inactive");
    eventually("web is down with db", || !alive(web));
    svcd.ok(&["start", "db"]);
    svcd.reaches("web", "running");
}

#[test]
fn bound_units_go_and_come_with_their_unit() {
    let bound = format!("{SLEEPER}[unit]\nbinds-to = [\"vpn\"]\n");
    let vpn = format!("{SLEEPER}[restart]\ndelay = \"500ms\"\n");
    let svcd = Svcd::with(&[("vpn", &vpn), ("web", &bound)]);
    svcd.ok(&["start", "web"]);
    let before = svcd.main_pid("web");
    send(svcd.main_pid("vpn"), Signal::KILL);
    eventually("web goes down", || !alive(before));
    eventually("both are back", || {
        svcd.state("vpn") == "running" && svcd.state("web") == "running"
    });
    assert_ne!(svcd.main_pid("web"), before);
}

#[test]
fn conflicts_and_part_of() {
    let maintenance = format!("{SLEEPER}[unit]\nconflicts = [\"web\"]\n");
    let helper = format!("{SLEEPER}[unit]\npart-of = [\"web\"]\n");
    let svcd = Svcd::with(&[("web", SLEEPER), ("side", &helper), ("maintenance", &maintenance)]);
    svcd.ok(&["start", "web", "side"]);
    let before = svcd.main_pid("side");
    svcd.ok(&["restart", "web"]);
    eventually("side restarts with web", || {
        !alive(before) && svcd.state("side") == "running"
    });
    svcd.ok(&["start", "maintenance"]);
    eventually("web and side are down", || {
        svcd.state("web") == "inactive" && svcd.state("side") == "inactive"
    });
    assert_eq!(svcd.state("maintenance"), "running");
}

#[test]
fn starts_in_order_and_stops_in_reverse() {
    let plan = Plan::new();
    let trace = plan.dir().join("trace");
    let unit = |name: &str, links: &str| {
        let keys = [("exec-start-pre", "up"), ("exec-stop-post", "down")].map(|(key, word)| {
            format!(
                "{key} = [\"/bin/sh\", \"-c\", \"echo {word} {name} >> {}\"]\n",
                trace.display()
            )
        });
        format!("{SLEEPER}{}[unit]\n{links}\n", keys.concat())
    };
    let svcd = plan
        .unit("a", &unit("a", ""))
        .unit("b", &unit("b", "requires = [\"a\"]"))
        .unit("c", &unit("c", "requires = [\"b\"]\nafter = [\"a\"]"))
        .start();
    svcd.ok(&["start", "c"]);
    svcd.ok(&["stop", "a"]);
    eventually("all are down", || {
        ["a", "b", "c"].iter().all(|unit| svcd.state(unit) != "stopping")
    });
    let order = fs::read_to_string(&trace).unwrap();
    assert_eq!(
        order.lines().collect::<Vec<_>>(),
        ["up a", "up b", "up c", "down c", "down b", "down a"]
    );
}

#[test]
fn on_failure_and_on_success_start_others() {
    let svcd = Svcd::with(&[
        (
            "bad",
            &shell(
                "exit 1",
                "[restart]\npolicy = \"no\"\n[unit]\non-failure = [\"alert@bad\"]",
            ),
        ),
        (
            "good",
            &shell("exit 0", "type = \"oneshot\"\n[unit]\non-success = [\"alert@good\"]"),
        ),
        ("alert@", SLEEPER),
    ]);
    svcd.svc(&["start", "bad"]);
    svcd.reaches("alert@bad", "running");
    assert_eq!(svcd.svc(&["status", "alert@good"]).code, 3);
    svcd.ok(&["start", "good"]);
    svcd.reaches("alert@good", "running");
}

#[test]
fn restart_policies_decide() {
    let unit =
        |policy: &str, script: &str| shell(script, &format!("[restart]\npolicy = \"{policy}\"\ndelay = \"10ms\""));
    let table = [
        ("no", "exit 1", false),
        ("on-success", "exit 0", true),
        ("on-success", "exit 1", false),
        ("on-failure", "exit 0", false),
        ("on-failure", "exit 1", true),
        ("on-abnormal", "exit 1", false),
        ("on-abnormal", "kill -KILL $$", true),
        ("always", "exit 0", true),
    ];
    let plan = table
        .iter()
        .enumerate()
        .fold(Plan::new(), |plan, (nth, (policy, script, _))| {
            plan.unit(&format!("unit{nth}"), &unit(policy, script))
        });
    let svcd = plan.start();
    for (nth, (policy, script, again)) in table.iter().enumerate() {
        let name = format!("unit{nth}");
        svcd.svc(&["start", &name]);
        if *again {
            eventually(&format!("{policy} restarts after {script}"), || {
                svcd.status(&name)["restarts"].as_u64() > Some(1)
            });
        } else {
            eventually(&format!("{policy} has ended after {script}"), || {
                !svcd.status(&name)["result"].is_null()
            });
            assert!(
                stays(200, || svcd.status(&name)["restarts"] == 0),
                "{policy} restarted after {script}"
            );
        }
    }
}

#[test]
fn target_brings_up_its_members() {
    let member = |name: &str| (name.to_owned(), format!("{SLEEPER}[unit]\nwanted-by = [\"stack\"]\n"));
    let (a, b) = (member("a"), member("b"));
    let svcd = Svcd::with(&[("stack", "[target]\n"), (&a.0, &a.1), (&b.0, &b.1)]);
    svcd.ok(&["start", "stack"]);
    for unit in ["stack", "a", "b"] {
        svcd.reaches(unit, "running");
    }
}

#[test]
fn default_is_what_boots() {
    let wanted = format!("{SLEEPER}[unit]\nwanted-by = [\"default\"]\n");
    let svcd = Svcd::with(&[("web", &wanted), ("idle", SLEEPER)]);
    svcd.reaches("web", "running");
    assert_eq!(svcd.state("idle"), "inactive");
}
