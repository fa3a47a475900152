//! Commands: exit statuses, what each prints for scripts, what people are told.

use super::harness::{Plan, SLEEPER, Svcd, shell, svc_at};
use super::machine::{eventually, members, nice};

#[test]
fn exit_statuses_are_those_of_the_contract() {
    let svcd = Svcd::with(&[
        ("web", SLEEPER),
        (
            "bad",
            &shell("exit 1", "type = \"oneshot\"\n[restart]\npolicy = \"no\""),
        ),
        ("wrong", "[service]\nexec-strat = \"/bin/true\"\n"),
        ("masked", ""),
    ]);
    let table: &[(&[&str], i32)] = &[
        (&["start", "web"], 0),
        (&["status", "web"], 0),
        (&["status"], 0),
        (&["list"], 0),
        (&["version"], 0),
        (&["--version"], 0),
        (&["start", "bad"], 1),
        (&["fly"], 2),
        (&["start"], 2),
        (&["status", "bad"], 3),
        (&["start", "nobody"], 4),
        (&["status", "nobody"], 4),
        (&["stop", "nobody"], 4),
        (&["start", "wrong"], 78),
        (&["start", "masked"], 78),
        (&["stop", "web"], 0),
        (&["stop", "web"], 0),
        (&["status", "web"], 3),
    ];
    for (arguments, code) in table {
        let done = svcd.svc(arguments);
        assert_eq!(
            done.code,
            *code,
            "svc {}: {}{}",
            arguments.join(" "),
            done.out,
            done.err
        );
        let told = done.err.starts_with("svc: ") || done.err.contains("\nsvc: ");
        assert!(
            told || ["status", "fly"].contains(&arguments[0]) || *code == 0,
            "says why: {}",
            done.err
        );
    }
}

#[test]
fn a_kill_between_two_tries_hurts_no_later_one() {
    let plan = Plan::new();
    let file = plan.dir().join("go");
    let script = format!("[ -e {} ] || exit 1; exec sleep 1000000", file.display());
    let restart = "[restart]\ndelay = \"1s\"\nmax-delay = \"1s\"\n";
    let svcd = plan.unit("web", &shell(&script, restart)).start();
    svcd.svc(&["start", "--no-wait", "web"]);
    svcd.reaches("web", "backoff");
    svcd.ok(&["kill", "-s", "KILL", "web"]);
    std::fs::write(&file, "").unwrap();
    let status = svcd.reaches("web", "running");
    assert!(status["errno"].is_null(), "{status:#}");
}

#[test]
fn nobody_answers() {
    let done = svc_at("/nowhere/control.sock".as_ref(), &["status"]);
    assert_eq!(done.code, 5, "{}", done.err);
    assert!(
        done.err.starts_with("svc: status:") && done.err.contains("/nowhere/control.sock"),
        "{}",
        done.err
    );
}

#[test]
fn a_name_near_by_is_suggested() {
    let svcd = Svcd::with(&[("postgres", SLEEPER)]);
    let done = svcd.svc(&["start", "postgrse"]);
    assert_eq!(done.code, 4);
    assert!(done.err.contains("postgres`"), "{}", done.err);
}

#[test]
fn status_has_every_field_of_the_contract() {
    let svcd = Svcd::with(&[("web", SLEEPER)]);
    svcd.ok(&["start", "web"]);
    let status = svcd.status("web");
    let fields = [
        "v",
        "unit",
        "state",
        "since",
        "result",
        "exit-code",
        "signal",
        "failed-step",
        "errno",
        "main-pid",
        "restarts",
        "next-try",
        "waiting-for",
        "blocked-by",
        "cgroup",
        "limits",
        "isolation",
        "status-text",
        "log-tail",
    ];
    for field in fields {
        assert!(status.get(field).is_some(), "{field} is missing: {status:#}");
    }
    assert_eq!((&status["v"], &status["unit"]), (&1.into(), &"web".into()));
    assert_eq!(status["cgroup"], svcd.cgroup("web"));
    let since = status["since"].as_str().unwrap();
    assert!(
        since.len() == "2026-11-23T10:00:00.123Z".len() && since.ends_with('Z'),
        "{since}"
    );
}

#[test]
fn several_units_give_an_array() {
    let svcd = Svcd::with(&[("web@", SLEEPER)]);
    svcd.ok(&["start", "web@a", "web@b"]);
    let both = svcd.json(&["status", "web@*"]);
    let names: Vec<_> = both
        .as_array()
        .unwrap()
        .iter()
        .map(|status| status["unit"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["web@a", "web@b"]);
    svcd.ok(&["stop", "web@*"]);
    assert_eq!(members(&svcd.cgroup("")), Vec::<u32>::new());
}

#[test]
fn each_verb_that_looks_answers_in_json() {
    let svcd = Svcd::with(&[
        ("web", &format!("{SLEEPER}[unit]\nwants = [\"side\"]\n")),
        ("side", SLEEPER),
    ]);
    svcd.ok(&["start", "web"]);
    let table: &[(&[&str], &str)] = &[
        (&["list"], "web"),
        (&["show", "web"], "exec-start"),
        (&["cat", "web"], "1000000"),
        (&["deps", "web"], "side"),
        (&["deps", "side", "--reverse"], "web"),
        (&["ps", "web"], "sleep"),
        (&["plan"], "hash"),
        (&["why", "web"], "operator"),
        (&["history"], "web"),
        (&["history", "web"], "operator"),
        (&["version"], "version"),
    ];
    for (arguments, part) in table {
        assert!(
            svcd.json(arguments).to_string().contains(part),
            "svc --json {arguments:?}: {}",
            svcd.json(arguments)
        );
        assert!(
            !svcd.ok(arguments).contains('\u{1b}'),
            "svc {arguments:?} colours only a terminal"
        );
    }
}

#[test]
fn ps_shows_both_numbers() {
    let svcd = Svcd::with(&[("web", SLEEPER)]);
    svcd.ok(&["start", "web"]);
    let status = svcd.status("web");
    let inside = status["main-pid"]["inside"].as_u64().unwrap();
    assert!(inside < 10, "a pid namespace of its own: {status:#}");
    let processes = svcd.json(&["ps", "web"]);
    let main = processes
        .as_array()
        .unwrap()
        .iter()
        .find(|process| process["main"] == true)
        .unwrap()
        .clone();
    assert_eq!(main["host"], svcd.main_pid("web"));
    assert_eq!(main["inside"], inside);
}

#[test]
fn kill_sends_what_is_asked() {
    let script = "trap 'echo got usr1' USR1; while :; do sleep 0.02; done";
    let svcd = Svcd::with(&[("web", &shell(script, ""))]);
    svcd.ok(&["start", "web"]);
    eventually("the trap is set and heard", || {
        svcd.ok(&["kill", "-s", "USR1", "--whom", "main", "web"]);
        svcd.lines("web").contains(&"got usr1".to_owned())
    });
    assert_eq!(svcd.state("web"), "running");
}

#[test]
fn reload_runs_its_command_or_sends_its_signal() {
    let script = "trap 'echo heard hup' HUP; echo ready; while :; do sleep 0.02; done";
    let svcd = Svcd::with(&[
        ("signal", &shell(script, "reload-signal = \"SIGHUP\"")),
        (
            "command",
            &format!("{SLEEPER}exec-reload = [\"/bin/sh\", \"-c\", \"echo reloaded\"]\n"),
        ),
        ("neither", SLEEPER),
    ]);
    svcd.ok(&["start", "signal", "command", "neither"]);
    svcd.line("signal", "ready");
    let before = svcd.main_pid("signal");
    svcd.ok(&["reload", "signal", "command"]);
    svcd.line("signal", "heard hup");
    svcd.line("command", "reloaded");
    assert_eq!(svcd.main_pid("signal"), before);
    assert_ne!(
        svcd.svc(&["reload", "neither"]).code,
        0,
        "a unit with nothing to reload says so"
    );
}

#[test]
fn a_start_that_fails_shows_the_last_lines() {
    let script = "echo the disk is upside down; exit 9";
    let svcd = Svcd::with(&[("bad", &shell(script, "type = \"oneshot\"\n[restart]\npolicy = \"no\""))]);
    let done = svcd.svc(&["start", "bad"]);
    assert!(done.err.contains("the disk is upside down"), "{}", done.err);
}

#[test]
fn no_wait_returns_at_once_and_timeout_in_time() {
    let keys = "exec-start-pre = [\"/bin/sleep\", \"1000000\"]\ntimeout-start = \"infinity\"";
    let svcd = Svcd::with(&[("slow", &format!("{SLEEPER}{keys}"))]);
    svcd.ok(&["start", "--no-wait", "slow"]);
    assert_eq!(svcd.reaches("slow", "starting")["main-pid"], serde_json::Value::Null);
    let done = svcd.svc(&["start", "--timeout", "100ms", "slow"]);
    assert_eq!(done.code, 1, "{}", done.err);
    assert_eq!(svcd.state("slow"), "starting", "the wish goes on");
    svcd.ok(&["stop", "slow"]);
    assert!(members(&svcd.cgroup("slow")).is_empty());
}

#[test]
fn why_and_history_name_the_caller() {
    let svcd = Svcd::with(&[
        ("db", SLEEPER),
        ("web", &format!("{SLEEPER}[unit]\nrequires = [\"db\"]\n")),
    ]);
    svcd.ok(&["start", "web"]);
    let chain = svcd.json(&["why", "db"]).to_string();
    assert!(chain.contains("web"), "db was started for web: {chain}");
    let history = svcd.json(&["history", "web"]).to_string();
    let uid = rustix::process::geteuid().as_raw();
    assert!(history.contains(&format!("\"uid\":{uid}")), "{history}");
}

#[test]
fn a_broken_pipe_ends_quietly() {
    let plan = (0..200).fold(Plan::new(), |plan, nth| plan.unit(&format!("unit{nth}"), SLEEPER));
    let svcd = plan.start();
    let svc = super::harness::binary("svc");
    let line = format!(
        "{} --socket {} list --all | head -n 1",
        svc.display(),
        svcd.socket().display()
    );
    let done = std::process::Command::new("/bin/sh")
        .args(["-c", &line])
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&done.stderr), "");
}

#[test]
fn analyze_tells_what_the_target_waited_for() {
    let gate = |seconds: &str, more: &str| {
        let table = format!("type = \"oneshot\"\nremain-after-exit = true\n[unit]\nwanted-by = [\"default\"]\n{more}");
        shell(&format!("sleep {seconds}"), &table)
    };
    let svcd = Svcd::with(&[
        ("quick", &gate("0", "")),
        ("slow", &gate("0.3", "")),
        ("last", &gate("0.1", "requires = [\"slow\"]\nafter = [\"quick\"]")),
        ("other", SLEEPER),
    ]);
    svcd.reaches("default", "running");
    let timings = svcd.json(&["analyze"]);
    let unit = |name: &str| {
        let units = timings["units"].as_array().unwrap();
        units.iter().find(|unit| unit["unit"] == name).cloned()
    };
    assert_eq!(unit("other"), None, "it was never started");
    let (slow, last, default) = (unit("slow").unwrap(), unit("last").unwrap(), unit("default").unwrap());
    let time = |unit: &serde_json::Value, key: &str| unit[key].as_u64().unwrap();
    assert!(
        time(&slow, "ready-usec") - time(&slow, "starting-usec") >= 300_000,
        "{slow}"
    );
    assert!(time(&last, "starting-usec") >= time(&slow, "ready-usec"), "{last}");
    assert!(time(&default, "ready-usec") >= time(&last, "ready-usec"), "{default}");
    assert!(time(&timings, "now-usec") >= time(&default, "ready-usec"), "{timings}");
    assert_eq!(
        (&last["released-by"], &default["released-by"]),
        (&"slow".into(), &"last".into())
    );
    let chain = svcd.ok(&["analyze", "critical-chain"]);
    let names: Vec<&str> = chain
        .lines()
        .skip(1)
        .filter_map(|line| line.trim_start_matches(['└', '─', ' ']).split(' ').next())
        .collect();
    assert_eq!(names, ["default", "last", "slow"], "{chain}");
    let took = |unit: &serde_json::Value| time(unit, "ready-usec") - time(unit, "starting-usec");
    let slower = if took(&slow) > took(&last) { "slow" } else { "last" };
    let blame = svcd.ok(&["analyze", "blame"]);
    let place = |name: &str| blame.lines().position(|line| line.ends_with(name));
    assert!(place(slower) <= place("slow").min(place("last")), "{blame}");
    assert!(svcd.ok(&["analyze", "plot"]).contains(">last</text>"));
}

#[test]
fn check_security_says_what_is_open_and_what_closes_it() {
    let open = format!("{SLEEPER}[isolation]\nprofile = \"none\"\n");
    let svcd = Svcd::with(&[("open", &open), ("closed", &format!("{SLEEPER}dynamic-user = true\n"))]);
    let file = |name: &str| svcd.dir().join(format!("units/{name}.toml")).display().to_string();
    let one = svcd.ok(&["check", "--security", &file("open")]);
    assert!(one.starts_with("open: "), "{one}");
    assert!(
        one.contains("[isolation] private-tmp") && one.contains("private-tmp = true"),
        "{one}"
    );
    let units = svcd.dir().join("units").display().to_string();
    let all = svcd.json(&["check", "--security", &units]);
    let [first, second] = all.as_array().unwrap().as_slice() else {
        panic!("two services: {all:#}");
    };
    assert_eq!(
        (&first["unit"], &second["unit"]),
        (&"open".into(), &"closed".into()),
        "the most exposed first"
    );
    assert!(first["exposure"].as_f64() > second["exposure"].as_f64(), "{all:#}");
    assert!(
        second["open"]
            .as_array()
            .unwrap()
            .iter()
            .all(|open| open["key"] != "[service] user"),
        "{second:#}"
    );
    svcd.write("bad", "[service]\nexec-strat = \"/bin/true\"\n");
    let bad = svcd.svc(&["check", "--security", &file("bad")]);
    assert_eq!(bad.code, 1, "{}", bad.out);
    assert!(bad.err.contains("unknown key `exec-strat`"), "{}", bad.err);
}

#[test]
fn a_plan_right_after_an_edit_does_not_swallow_it() {
    let svcd = Svcd::with(&[("web", &format!("{SLEEPER}nice = 1\n"))]);
    svcd.ok(&["start", "web"]);
    svcd.write("web", &format!("{SLEEPER}nice = 2\n"));
    // The edit is taken over a moment after it: until then it is only looked at.
    eventually("it is in force, however often it is looked at", || {
        svcd.svc(&["plan"]).out.contains("nothing differs")
    });
    svcd.reaches("web", "running");
    assert_eq!(nice(svcd.main_pid("web")), Some(2));
}
