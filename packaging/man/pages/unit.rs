//! svc.unit(5): where unit files are, what they say, and every key of theirs from its row.

use std::collections::BTreeMap;

use svc::control::view::State;
use svc::unit::keys::{self, Change, Key};
use svc::unit::load::SearchPath;
use svc::unit::{Isolation, Kind, Profile, Service, Unit, UnitName, show};

use super::page::Page;

const EXAMPLE: &str = r#"[unit]
description = "A web server"
wanted-by = ["default"]
requires = { db = "ready" }

[service]
exec-start = "/usr/sbin/nginx -g 'daemon off;'"
user = "www-data"

[restart]
give-up = { starts = 5, within = "1m" }

[resources]
memory-max = "64M"
pids-max = 64"#;

pub fn page() -> String {
    let mut page = Page::new("svc.unit", "5", "unit files: what svcd runs, and how");
    page.heading("SYNOPSIS");
    let standard = SearchPath::standard();
    for directory in standard.directories() {
        page.paragraph(&format!("{}/NAME.toml", directory.display()));
    }
    page.heading("DESCRIPTION");
    page.paragraph(
        "A unit is one thing that `svcd`(8) looks after, in one TOML file, `NAME.toml`: a service, a target that groups \
         others, a slice whose limits hold for all units in it, or a mounted file system, by which one of the tables \
         `[service]`, `[target]`, `[slice]`, `[mount]` it has. All that concerns one workload stands in its one file.",
    );
    page.paragraph(
        "Nothing of a unit runs until all of it is understood: an unknown table, key or value is an error, with file, \
         line and column. `svc check` tells of all mistakes without a supervisor. And what a unit asks for is enforced: \
         a key of isolation, or a limit, that this kernel cannot hold stops the start, with an error that names the \
         key and the cause, unless the unit lists that key in `best-effort`.",
    );
    page.paragraph(
        "A saved file is taken over by itself, or by `svc apply` where svcd is set so. Keys marked (live) below change \
         while the service runs; others restart it.",
    );
    page.example(EXAMPLE);
    files(&mut page);
    values(&mut page);
    let defaults = defaults();
    for table in keys::tables() {
        describe(&mut page, table, &defaults);
    }
    profiles(&mut page);
    states(&mut page);
    page.see_also(&[
        "svc(1)",
        "svcd(8)",
        "systemd.service(5)",
        "systemd.exec(5)",
        "cgroups(7)",
        "namespaces(7)",
    ]);
    page.render()
}

fn files(page: &mut Page) {
    page.heading("FILES OF A UNIT");
    page.paragraph(
        "The directories are searched from the first to the last, and the first that has `NAME.toml` gives the unit. \
         NAME has 1 to 128 of the characters A-Z a-z 0-9 : _ . - and does not begin with . or -.",
    );
    for (term, text) in [
        (
            "NAME.toml.d/*.toml",
            "Drop-ins, of all directories in the order of their file names, merged over the unit: tables key by key, \
             while arrays and single values replace what was there.",
        ),
        (
            "NAME@.toml",
            "A template. `NAME@X` is an instance of it; in texts, `{instance}` is then X and `{unit}` the whole name. \
             A literal brace is written twice.",
        ),
        (
            "a file of no bytes, or a link to /dev/null",
            "Masks the unit: it cannot be started.",
        ),
    ] {
        page.item(term, text);
    }
    page.paragraph("The target `default`, which boots, is there without a file.");
}

fn values(page: &mut Page) {
    page.heading("VALUES");
    for (term, text) in [
        (
            "a command",
            "A text that is split as a shell would, without a shell, or an array of its words. `$NAME` and \
         `${NAME}` expand in its arguments; systemd.service(5). Prefixes of the first word: `-` failure is ignored, \
         `@` the next word is what the program is told as its name, `+` with full privileges, `!` without a change of \
         user.",
        ),
        ("a duration", "Numbers with d, h, m, s, ms or us, such as \"1m 30s\"."),
        (
            "a size",
            "Bytes as a number, or a text with K, M, G or T, which are powers of 1024: \"64M\".",
        ),
        ("a percentage", "A number above 0 with %, such as \"20%\" or \"250%\"."),
        ("a mode", "One to four octal digits in quotes, such as \"0750\"."),
        ("a signal", "Its name, such as \"SIGTERM\"."),
        (
            "a name or a number",
            "A user or group: a name is looked up in the unit's own root, a number is decimal.",
        ),
        (
            "a condition",
            "One of { path-exists = PATH }, { path-is-directory = PATH }, { file-not-empty = PATH }, \
         { directory-not-empty = PATH }, { kernel-command-line = WORD }; a `!` before the value turns it around.",
        ),
    ] {
        page.item(term, text);
    }
}

/// What a service has where its file is silent, by table and key.
fn defaults() -> BTreeMap<(&'static str, &'static str), String> {
    effective(Service::default())
}

fn effective(service: Service) -> BTreeMap<(&'static str, &'static str), String> {
    let unit = Unit {
        kind: Kind::Service(Box::new(service)),
        ..Unit::target(UnitName::default_target())
    };
    let shown = show::effective(&unit).into_iter();
    shown.map(|value| ((value.table, value.key), value.value)).collect()
}

fn describe(page: &mut Page, table: &str, defaults: &BTreeMap<(&'static str, &'static str), String>) {
    let name = table.trim_matches(['[', ']']);
    let several = table.starts_with('[');
    page.heading(&if several {
        format!("[[{name}]]")
    } else {
        format!("[{name}]")
    });
    page.paragraph(match (name, several) {
        ("unit", _) => "What any unit may say of itself and of others.",
        ("service", _) => "A program that is kept running, or run once.",
        ("restart", _) => "When a service that has ended is started again.",
        ("resources", _) => {
            "Limits of a service or slice, held by its cgroup; of the controllers, each is used where it \
                             is: in version 2 of cgroups or in version 1."
        }
        ("isolation", _) => "What a service sees of the machine, and what it may do.",
        ("root", _) => "The root directory that a service sees; absent, it is the machine's own.",
        ("network", _) => "The network that a service sees.",
        ("log", _) => "What is kept of a service's output.",
        ("health", _) => "How a service is asked whether it is well.",
        ("socket", _) => "Sockets that are opened before the service and passed to it; sd_listen_fds(3).",
        ("timer", _) => "When the service is started.",
        ("path", _) => "Paths that start the service when something happens to them.",
        ("mount", true) => "What is mounted in the service's root.",
        ("mount", false) => "A mounted file system.",
        ("target", _) => "A unit with this table groups others, and is ready once those that it wants have settled.",
        ("slice", _) => "A unit with this table is a cgroup that others sit in; its limits are in [resources].",
        _ => "",
    });
    for row in keys::all().filter(|row| row.table == table) {
        key(page, row, defaults.get(&(row.table, row.name)));
    }
}

fn key(page: &mut Page, row: &Key, default: Option<&String>) {
    let live = if row.change == Change::Live { "  (live)" } else { "" };
    page.item_beside(row.name, &format!("= {}{live}", row.kind.form()), row.doc);
    if let Some(default) = default {
        page.further(&format!("Default: {default}"));
    }
}

fn profiles(page: &mut Page) {
    page.heading("PROFILES");
    page.paragraph("What `profile` sets, where the unit does not say otherwise:");
    let profiles = [
        ("none", Profile::None),
        ("standard", Profile::Standard),
        ("strict", Profile::Strict),
    ];
    for (name, profile) in profiles {
        let isolation = Isolation::of(profile);
        let set = effective(Service {
            isolation: isolation.into(),
            ..Service::default()
        });
        let set = set
            .iter()
            .filter(|((table, key), _)| *table == "isolation" && *key != "profile");
        let each: Vec<String> = set.map(|((_, key), value)| format!("{key} = {value}")).collect();
        page.item(name, &format!("{}.", each.join(", ")));
    }
}

fn states(page: &mut Page) {
    page.heading("STATES");
    for state in [
        State::Inactive,
        State::Waiting,
        State::Starting,
        State::Running,
        State::Stopping,
        State::Failed,
        State::Backoff,
        State::Blocked,
        State::Skipped,
        State::Masked,
    ] {
        page.item(state.word(), meaning(state));
    }
    page.heading("RESULTS");
    page.paragraph("How the last run of a unit ended:");
    for (result, text) in [
        ("success", "As it should."),
        (
            "exit-code N",
            "The main process, or a command that must not fail, exited with N.",
        ),
        ("signal NAME", "A signal ended it; with `(core)`, it left a core dump."),
        ("oom (limit, peak)", "The kernel killed it for memory."),
        ("timeout PHASE", "A phase took longer than it may."),
        ("watchdog", "It gave no sign of life."),
        (
            "protocol: WHY",
            "It ended before it had said that it is ready, or left no process behind that is its main one.",
        ),
        (
            "spawn STEP: ERRNO",
            "A step before its program was executed failed, such as `mount /data`.",
        ),
        ("unhealthy", "Its probe failed."),
        ("start-limit", "It was started as often as `give-up` allows."),
    ] {
        page.item(result, text);
    }
}

fn meaning(state: State) -> &'static str {
    match state {
        State::Inactive => "Down, and not wanted.",
        State::Waiting => "Wanted; other units are not so far yet.",
        State::Starting => "A command on the way up is running.",
        State::Running => "Ready.",
        State::Stopping => "On its way down.",
        State::Failed => "Down, since it failed.",
        State::Backoff => "Down, until the next try.",
        State::Blocked => "Wanted, and something stands in its way that does not go by itself.",
        State::Skipped => "Down, since a condition did not hold.",
        State::Masked => "It cannot be started.",
    }
}
