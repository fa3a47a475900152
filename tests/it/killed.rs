//! svcd is killed, and another one started in its place: it adopts what runs, and brings to its end what was under way.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Duration;

use rustix::process::Signal;

use super::harness::{Plan, SLEEPER, Svcd, shell};
use super::lan::{Lan, can_have_links};
use super::machine::{self, alive, eventually, program, send, skip};
use super::never_dies::{UNITS, no_line_is_lost, plan, started, still_supervised, untouched};
use super::strace::Trace;

#[test]
fn row_39_the_next_svcd_adopts_what_runs() {
    let mut svcd = started();
    let before = untouched(&svcd);
    for _ in 0..3 {
        svcd.kill();
        assert!(before.iter().all(|(pid, _, _)| alive(*pid)), "the services go on");
        svcd.start_again();
        assert_eq!(untouched(&svcd), before);
    }
    no_line_is_lost(&svcd);
    still_supervised(&svcd);
}

#[test]
fn a_death_while_nobody_looks_is_found_out() {
    let mut svcd = plan()
        .unit("once", &format!("{SLEEPER}[restart]\npolicy = \"no\"\n"))
        .start();
    svcd.ok(&["start", "counter", "plain", "forks", "once"]);
    let (forks, once) = (svcd.main_pid("forks"), svcd.main_pid("once"));
    let before = untouched(&svcd);
    svcd.kill();
    send(forks, Signal::KILL);
    send(once, Signal::KILL);
    eventually("they are gone", || !alive(forks) && !alive(once));
    svcd.start_again();
    eventually("one is back", || svcd.status("forks")["restarts"] == 1);
    svcd.reaches("forks", "running");
    let once = svcd.reaches("once", "failed");
    // As far as the kernel tells: the process was nobody's child here.
    assert!(
        ["signal", "exit-code"].contains(&once["result"].as_str().unwrap()),
        "{once:#}"
    );
    assert_eq!(svcd.main_pid("counter"), before[0].0);
}

#[test]
fn killed_with_its_log_process() {
    let mut svcd = started();
    let before = untouched(&svcd);
    let logger = machine::processes().into_iter().find(|pid| {
        let is_logger = fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name == "svc-log\n");
        is_logger && machine::state_and_parent(*pid).is_some_and(|(_, parent)| parent == svcd.pid())
    });
    let logger = logger.expect("svcd has a log process");
    svcd.kill();
    send(logger, Signal::KILL);
    svcd.start_again();
    assert_eq!(untouched(&svcd), before);
    // What was written while nobody read is lost; from now on nothing is.
    let lines = svcd.lines("counter").len();
    eventually("the counter is heard again", || svcd.lines("counter").len() > lines + 5);
    let lines = svcd.lines("counter");
    let number = |line: &String| line.trim_start_matches("line ").parse::<u64>().unwrap();
    assert!(
        lines.windows(2).all(|pair| number(&pair[0]) < number(&pair[1])),
        "{lines:?}"
    );
    still_supervised(&svcd);
}

#[test]
fn row_38_unknown_fields_are_ignored() {
    let mut svcd = started();
    let before = untouched(&svcd);
    svcd.kill();
    let path = svcd.dir().join("run/state");
    let state = fs::read(&path).unwrap();
    let changed = map_batches(&state, |batch| {
        let batch = batch.replace("\"loaded\":true", "\"moon\":{\"x\":[1]},\"loaded\":true");
        let batch = batch
            .replace("{\"name\":", "{\"sun\":1,\"name\":")
            .replace("{\"nth\":", "{\"star\":null,\"nth\":");
        format!("{batch}planet 7 {{\"rings\":true}}\n")
    });
    assert!(changed.len() > state.len() + 100);
    fs::write(&path, changed).unwrap();
    svcd.start_again();
    assert_eq!(untouched(&svcd), before);
    no_line_is_lost(&svcd);
    still_supervised(&svcd);
}

/// The journal with each of its batches changed.
fn map_batches(journal: &[u8], change: impl Fn(&str) -> String) -> Vec<u8> {
    let (mut rest, mut out) = (journal, Vec::new());
    let head = rest.iter().position(|byte| *byte == b'\n').unwrap() + 1;
    out.extend_from_slice(&rest[..head]);
    rest = &rest[head..];
    while let Some((length, after)) = rest.split_first_chunk::<4>() {
        let length = u32::from_le_bytes(*length) as usize;
        let batch = change(std::str::from_utf8(&after[..length]).unwrap());
        out.extend((batch.len() as u32).to_le_bytes());
        out.extend(batch.as_bytes());
        rest = &after[length..];
    }
    out
}

#[test]
fn row_38_unreadable_state_is_adopted_from_the_cgroups() {
    let garbage: [fn(&Path); 4] = [
        |path| fs::remove_file(path).unwrap(),
        |path| fs::write(path, "").unwrap(),
        |path| fs::write(path, [0xff; 4096]).unwrap(),
        |path| {
            fs::write(
                path,
                map_batches(&fs::read(path).unwrap(), |batch| batch.replace("\"name\"", "\"nom\"")),
            )
            .unwrap()
        },
    ];
    for (nth, spoil) in garbage.into_iter().enumerate() {
        let mut svcd = started();
        let pids: Vec<u32> = UNITS.iter().map(|unit| svcd.main_pid(unit)).collect();
        svcd.kill();
        spoil(&svcd.dir().join("run/state"));
        svcd.start_again();
        for unit in UNITS {
            svcd.reaches(unit, "running");
        }
        let after: Vec<u32> = UNITS.iter().map(|unit| svcd.main_pid(unit)).collect();
        assert_eq!(after, pids, "{nth}");
        no_line_is_lost(&svcd);
        still_supervised(&svcd);
    }
}

#[test]
fn groups_of_nobody_are_ended() {
    let mut svcd = started();
    svcd.write("passing", SLEEPER);
    eventually("the unit is known", || svcd.svc(&["start", "passing"]).code == 0);
    let (passing, counter) = (svcd.main_pid("passing"), svcd.main_pid("counter"));
    svcd.kill();
    svcd.remove("passing.toml");
    fs::remove_file(svcd.dir().join("run/state")).unwrap();
    svcd.start_again();
    eventually("a process of no unit is ended", || !alive(passing));
    eventually("its group goes", || {
        machine::cgroups(&svcd.cgroup("passing")).is_empty()
    });
    assert_eq!(svcd.main_pid("counter"), counter);
}

/// What svcd was doing when it was killed. Nobody asks it how far it is, since an answer would be calls of its own.
struct Deed {
    name: &'static str,
    /// Isolated, or not: the namespace of one that nobody's child is in goes only when the machine's first process reaps.
    unit: &'static str,
    /// Brings the unit to where the deed begins.
    before: fn(&Svcd, &str),
    /// Begins it, and does not wait.
    begin: fn(&Svcd, &str),
    /// Whether these main processes are what it leads to.
    is_over: fn(&[u32]) -> bool,
}

const DEEDS: [Deed; 4] = [
    Deed {
        name: "start",
        unit: "isolated",
        before: |svcd, unit| drop(svcd.ok(&["stop", unit])),
        begin: |svcd, unit| drop(svcd.svc(&["start", "--no-wait", unit])),
        is_over: |mains| mains.len() == 1,
    },
    Deed {
        name: "stop",
        unit: "plain",
        before: |svcd, unit| drop(svcd.ok(&["start", unit])),
        begin: |svcd, unit| drop(svcd.svc(&["stop", "--no-wait", unit])),
        is_over: <[u32]>::is_empty,
    },
    Deed {
        name: "reload",
        unit: "plain",
        before: |svcd, unit| {
            edit(svcd, unit, "nice = 2", "nice = 1");
            svcd.ok(&["start", unit]);
            eventually("the edit is in force", || {
                svcd.svc(&["plan"]).out.contains("nothing differs")
            });
        },
        begin: |svcd, unit| edit(svcd, unit, "nice = 1", "nice = 2"),
        is_over: |mains| matches!(mains, [main] if machine::nice(*main) == Some(2)),
    },
    Deed {
        name: "reexec",
        unit: "isolated",
        before: |svcd, unit| drop(svcd.ok(&["start", unit])),
        begin: |svcd, _| drop(svcd.svc(&["reexec"])),
        is_over: |mains| mains.len() == 1,
    },
];

fn edit(svcd: &Svcd, unit: &str, from: &str, to: &str) {
    let text = fs::read_to_string(svcd.dir().join(format!("units/{unit}.toml"))).unwrap();
    svcd.write(unit, &text.replace(from, to));
}

#[test]
fn row_39_kill_at_any_call() {
    if let Some(why) = Trace::missing() {
        return skip("row_39_kill_at_any_call", why);
    }
    // No other process of the machine has this argument.
    let number = format!("{}.5", 7_000_000 + std::process::id());
    let script = format!("echo up; exec sleep {number}");
    let mut svcd = Plan::new()
        .unit("steady", SLEEPER)
        .unit("isolated", &shell(&script, "nice = 1\n"))
        .unit("plain", &shell(&script, "nice = 1\n[isolation]\nprofile = \"none\"\n"))
        .start();
    svcd.ok(&["start", "steady"]);
    let steady = svcd.main_pid("steady");
    for deed in &DEEDS {
        let calls = calls_of(&svcd, deed, &number);
        let few = calls.len() < 20;
        assert!(!few, "{}: {calls:?}", deed.name);
        let mut nth = 0;
        while let Some((call, of_its_kind)) = calls.get(nth) {
            let what = format!("{} killed at call {nth}, {call} {of_its_kind}", deed.name);
            eprintln!("{what}");
            kill_at(
                &mut svcd,
                deed,
                &format!("inject={call}:signal=SIGKILL:when={of_its_kind}"),
                &number,
            );
            assert_eq!(svcd.main_pid("steady"), steady, "{what}");
            svcd.ok(&["start", deed.unit]);
            let main = svcd.main_pid(deed.unit);
            eventually(&format!("{what}: one main process"), || {
                let members = machine::members(&svcd.cgroup(deed.unit));
                processes_with(&number) == [main] && members.len() <= 2 && members.contains(&main)
            });
            nth += step(calls.len());
        }
        svcd.ok(&["stop", deed.unit]);
        assert_eq!(processes_with(&number), [0; 0]);
    }
}

/// At whatever call of a start, a stop or a restart it is killed: with the next one the unit is on the bridge, or nothing of
/// it is left.
#[test]
fn a_network_is_left_clean_at_whatever_call_svcd_is_killed() {
    let name = "a_network_is_left_clean_at_whatever_call_svcd_is_killed";
    if !can_have_links(name) {
        return;
    }
    if let Some(why) = Trace::missing() {
        return skip(name, why);
    }
    let number = format!("{}.5", 8_000_000 + std::process::id());
    let network = "[network]\nmode = \"bridge\"\npublish = [\"127.0.0.1:8080:80\"]\n";
    let unit = format!("{network}[isolation]\nprofile = \"none\"\ninit = false\n");
    let lan = Lan::new();
    let before = lan.links();
    let mut svcd = lan
        .plan()
        .unit("web", &shell(&format!("exec sleep {number}"), &unit))
        .start();
    // Where it seems to be over before it has begun, it is killed earlier.
    let restart = Deed {
        name: "restart",
        before: |svcd, unit| drop(svcd.ok(&["start", unit])),
        begin: |svcd, unit| drop(svcd.svc(&["restart", "--no-wait", unit])),
        ..DEEDS[0]
    };
    let deeds = DEEDS.iter().filter(|deed| ["start", "stop"].contains(&deed.name));
    for deed in deeds.chain([&restart]) {
        let deed = Deed { unit: "web", ..*deed };
        let calls = calls_of(&svcd, &deed, &number);
        for (nth, (call, of_its_kind)) in calls.iter().enumerate().step_by(step(calls.len())) {
            let what = format!("{} killed at call {nth}, {call} {of_its_kind}", deed.name);
            eprintln!("{what}");
            let inject = format!("inject={call}:signal=SIGKILL:when={of_its_kind}");
            kill_at(&mut svcd, &deed, &inject, &number);
            svcd.ok(&["start", "web"]);
            assert_eq!(lan.links().len(), before.len() + 2, "{what}: {:?}", lan.links());
            svcd.ok(&["stop", "web"]);
            assert_eq!(lan.links(), before, "{what}");
            if program("nft").is_some() {
                assert_eq!(lan.run(&["nft", "list", "ruleset"]), "", "{what}");
            }
        }
    }
}

/// How far the next kill is from this one: every call, or as many as a normal run has time for.
fn step(calls: usize) -> usize {
    let whole = std::env::var_os("SVC_TEST_WHOLE").is_some();
    if whole { 1 } else { calls.div_ceil(9) }
}

/// The system calls of svcd while it does the deed, each with its number among those of its kind.
fn calls_of(svcd: &Svcd, deed: &Deed, number: &str) -> Vec<(String, usize)> {
    (deed.before)(svcd, deed.unit);
    let trace = Trace::attach(svcd, &["trace=all"]);
    (deed.begin)(svcd, deed.unit);
    rests(&trace, || (deed.is_over)(&processes_with(number)));
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    let lines = trace.calls();
    let names = lines
        .iter()
        .filter_map(|line| line.split_once('('))
        .map(|(name, _)| name);
    let names = names.filter(|name| name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_'));
    let numbered = names.map(|name| {
        let count = counts.entry(name.to_owned()).or_default();
        *count += 1;
        (name.to_owned(), *count)
    });
    numbered.collect()
}

/// Waits until svcd makes no more calls, and what is waited for is so.
fn rests(trace: &Trace, is_over: impl Fn() -> bool) {
    let mut calls = 0;
    eventually("it is done", || {
        let before = std::mem::replace(&mut calls, trace.calls().len());
        std::thread::sleep(Duration::from_millis(100));
        before == calls && is_over()
    });
}

/// Does the deed with a svcd that is killed in the middle, and starts another. It may have gone another way this time,
/// and come to its end.
fn kill_at(svcd: &mut Svcd, deed: &Deed, inject: &str, number: &str) {
    (deed.before)(svcd, deed.unit);
    let trace = Trace::attach(svcd, &[inject]);
    (deed.begin)(svcd, deed.unit);
    rests(&trace, || !alive(svcd.pid()) || (deed.is_over)(&processes_with(number)));
    drop(trace);
    svcd.start_again_if_gone();
}

/// Who has this word among its arguments.
fn processes_with(word: &str) -> Vec<u32> {
    let has = |pid: &u32| {
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        line.split(|byte| *byte == 0)
            .any(|argument| argument == word.as_bytes())
    };
    machine::processes().into_iter().filter(has).collect()
}
