//! Command lines, and what is understood of them.

use std::ffi::OsString;

use clap::Parser;

use super::*;

/// By all verbs; those that are understood sooner, the same way.
fn parse(line: &str) -> Result<Arguments, clap::Error> {
    let typed: Vec<OsString> = ["svc"]
        .into_iter()
        .chain(line.split_whitespace())
        .map(Into::into)
        .collect();
    let parsed = Arguments::try_parse_from(&typed);
    if let Some(quickly) = Arguments::quickly(&typed) {
        assert_eq!(
            format!("{quickly:?}"),
            format!("{:?}", parsed.as_ref().unwrap()),
            "{line}"
        );
    }
    parsed
}

#[test]
fn what_is_typed_most_is_understood_quickly_and_only_where_all_is_well() {
    let quickly = |line: &str| {
        let typed: Vec<OsString> = line.split_whitespace().map(Into::into).collect();
        Arguments::quickly(&typed).is_some()
    };
    for line in [
        "svc start web db --timeout 1m",
        "svc stop web",
        "svc restart web",
        "svc reload web",
        "svc --json status",
        "svc list --all --socket /s",
        "svc --socket=/s run --rm -e A=B -p 80:80 busybox:1 sh -c start",
        "svc exec web true",
    ] {
        assert!(quickly(line), "{line}");
    }
    for line in [
        "svc --socket run status",
        "svc logs run",
        "svc start",
        "svc run --help",
        "svc -V",
        "svc",
    ] {
        assert!(!quickly(line), "{line}");
    }
}

#[test]
fn the_definition_is_sound() {
    use clap::CommandFactory;
    Arguments::command().debug_assert();
}

#[test]
fn every_verb_of_the_contract_is_there() {
    for (line, debug) in [
        ("up", r#"Up { dir: "." }"#),
        ("up units/demo", r#"Up { dir: "units/demo" }"#),
        (
            "start web db",
            r#"Start(Job { units: ["web", "db"], no_wait: false, timeout: None })"#,
        ),
        (
            "stop web --no-wait",
            r#"Stop(Job { units: ["web"], no_wait: true, timeout: None })"#,
        ),
        (
            "restart web --timeout 1m",
            r#"Restart(Job { units: ["web"], no_wait: false, timeout: Some(60s) })"#,
        ),
        (
            "reload web@*",
            r#"Reload(Job { units: ["web@*"], no_wait: false, timeout: None })"#,
        ),
        (
            "reset web",
            r#"Reset(Job { units: ["web"], no_wait: false, timeout: None })"#,
        ),
        ("kill web", r#"Kill { signal: Signal(15), whom: All, units: ["web"] }"#),
        (
            "kill -s SIGKILL --whom main web",
            r#"Kill { signal: Signal(9), whom: Main, units: ["web"] }"#,
        ),
        (
            "kill -s 37 web",
            r#"Kill { signal: Signal(37), whom: All, units: ["web"] }"#,
        ),
        ("status", "Status(Units { units: [] })"),
        ("status web", r#"Status(Units { units: ["web"] })"#),
        ("show web", r#"Show { unit: "web" }"#),
        ("cat web", r#"Cat { unit: "web" }"#),
        ("deps web --reverse", r#"Deps { reverse: true, unit: "web" }"#),
        ("ps web", r#"Ps { unit: "web" }"#),
        ("check", "Check { security: false, paths: [] }"),
        ("check --security a", r#"Check { security: true, paths: ["a"] }"#),
        ("plan", "Plan"),
        ("apply --plan ab12", r#"Apply { plan: Some("ab12") }"#),
        ("why web", r#"Why { unit: "web" }"#),
        ("history", "History { unit: None }"),
        ("analyze", "Analyze { way: None }"),
        ("analyze blame", "Analyze { way: Some(Blame) }"),
        (
            "analyze critical-chain web",
            r#"Analyze { way: Some(CriticalChain { unit: Some("web") }) }"#,
        ),
        ("analyze plot", "Analyze { way: Some(Plot) }"),
        ("completions zsh", "Completions { shell: Zsh }"),
        ("reexec", "Reexec"),
        ("version", "Version"),
    ] {
        assert_eq!(format!("{:?}", parse(line).unwrap().verb), debug, "{line}");
    }
    let Verb::Logs(logs) = parse("logs web -f -n 5 --grep a.c").unwrap().verb else {
        panic!()
    };
    assert_eq!(
        (logs.units.as_slice(), logs.follow, logs.lines),
        (&["web".to_owned()][..], true, Some(5))
    );
    assert!(logs.grep.unwrap().is_match("abc"));
}

#[test]
fn a_service_says_something() {
    let line = "notify --ready --status up WATCHDOG=1 -- sleep 1";
    let Verb::Notify(said) = parse(line).unwrap().verb else {
        panic!()
    };
    assert!(said.ready && !said.reloading);
    assert_eq!(said.status.as_deref(), Some("up"));
    assert_eq!(
        (said.lines, said.command),
        (vec!["WATCHDOG=1".to_owned()], vec!["sleep".into(), "1".into()])
    );
    assert!(parse("notify nothing").is_err());
}

#[test]
fn a_machine_ends_in_three_ways() {
    for (line, debug) in [("poweroff", "Poweroff"), ("reboot", "Reboot"), ("halt", "Halt")] {
        assert_eq!(format!("{:?}", parse(line).unwrap().verb), debug);
    }
}

#[test]
fn verbs_about_limits() {
    for (line, debug) in [
        (
            "freeze web",
            r#"Freeze(Job { units: ["web"], no_wait: false, timeout: None })"#,
        ),
        (
            "thaw web --no-wait",
            r#"Thaw(Job { units: ["web"], no_wait: true, timeout: None })"#,
        ),
        (
            "set --persist web memory-max=64M pids-max=",
            r#"Set { runtime: false, persist: true, unit: "web", settings: ["memory-max=64M", "pids-max="] }"#,
        ),
        ("stats web", r#"Stats { units: ["web"] }"#),
        ("top", "Top"),
        ("doctor", "Doctor"),
    ] {
        assert_eq!(format!("{:?}", parse(line).unwrap().verb), debug, "{line}");
    }
}

#[test]
fn flags_for_all_stand_anywhere() {
    for line in [
        "--json --socket /s --no-color status web",
        "status web --json --socket=/s --no-color",
    ] {
        let arguments = parse(line).unwrap();
        assert_eq!((arguments.of_all.json, arguments.of_all.no_color), (true, true));
        assert_eq!(arguments.of_all.socket, Some("/s".into()));
    }
}

#[test]
fn the_version_takes_no_verb() {
    for line in ["--version", "-V"] {
        let told = parse(line).unwrap_err();
        let version = format!("svc {}\n", env!("CARGO_PKG_VERSION"));
        assert_eq!((told.exit_code(), told.to_string()), (0, version), "{line}");
    }
}

#[test]
fn wrong_usage_is_refused() {
    for line in [
        "",
        "fly",
        "start",
        "start --no-wait --timeout 1s web",
        "start --timeout soon web",
        "kill",
        "kill -s SIGNOT web",
        "kill -s 0 web",
        "kill --whom it web",
        "set web",
        "set --runtime --persist web pids-max=1",
        "show",
        "show a b",
        "list --all --failed",
        "completions csh",
        "logs --since soon web",
        "logs --grep ( web",
        "logs -n -1 web",
    ] {
        assert_eq!(parse(line).unwrap_err().exit_code(), 2, "{line}");
    }
}

#[test]
fn images_are_below_the_state_directory() {
    for (line, debug) in [
        ("image ls", r#"Image(Image { state_dir: None, action: List })"#),
        (
            "image gc --plan --state-dir s",
            r#"Image(Image { state_dir: Some("s"), action: Gc(Gc { plan: true, budget: None, keep: [] }) })"#,
        ),
    ] {
        assert_eq!(format!("{:?}", parse(line).unwrap().verb), debug, "{line}");
    }
}

/// What stands in the list of verbs stands at the top of each verb's own help.
#[test]
fn the_help_of_a_verb_begins_with_its_line() {
    let abouts = |command: &clap::Command| -> Vec<(String, Option<String>)> {
        let verbs = command.get_subcommands();
        let about = |verb: &clap::Command| (verb.get_name().to_owned(), verb.get_about().map(ToString::to_string));
        verbs.map(about).collect()
    };
    let mut command = <Arguments as clap::CommandFactory>::command();
    let listed = abouts(&command);
    command.build();
    assert_eq!(abouts(&command), listed);
}

#[test]
fn list_is_of_units_or_of_triggers() {
    for (line, expected) in [
        (
            "list --all",
            "List(List { all: true, failed: false, timers: false, sockets: false, paths: false })",
        ),
        (
            "list --failed",
            "List(List { all: false, failed: true, timers: false, sockets: false, paths: false })",
        ),
        (
            "list --timers --sockets",
            "List(List { all: false, failed: false, timers: true, sockets: true, paths: false })",
        ),
    ] {
        assert_eq!(format!("{:?}", parse(line).unwrap().verb), expected);
    }
    assert!(parse("list --paths --all").is_err());
}
