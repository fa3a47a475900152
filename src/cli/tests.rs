//! Verbs against a supervisor that answers from a script: what is printed, word for word, and the exit status.
#![expect(clippy::disallowed_methods, reason = "the supervisor of these tests is a thread")]

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::thread::JoinHandle;

use clap::Parser;
use serde_json::{Value, json};

use super::arguments::Arguments;
use super::session::Session;
use super::up::Foreground;
use crate::control::call::{Call, NoCall};
use crate::control::frame::{Decoder, REQUEST_BYTES_MAX};
use crate::control::reply::{Failure, Told, reply};

/// What to answer to a method: replies, all but the last one with `continues`.
type Script = BTreeMap<&'static str, Vec<Result<Value, Failure>>>;

/// A supervisor that knows nothing but its script.
struct Fake {
    dir: tempfile::TempDir,
    thread: Option<JoinHandle<()>>,
}

impl Fake {
    fn new(script: impl IntoIterator<Item = (&'static str, Vec<Result<Value, Failure>>)>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let log_dir = dir.path().join("log");
        std::fs::create_dir(&log_dir).unwrap();
        let version = json!({ "version": "9.9.9", "pid": 42, "since": "2026-11-23T10:00:00.000Z", "units": ["/units"],
            "runtime_dir": "/run/x", "state_dir": "/var/x", "log_dir": log_dir, "cgroup": "x", "reload": "auto" });
        let mut all = Script::from([("Version", vec![Ok(version)])]);
        all.extend(script);
        let listener = UnixListener::bind(dir.path().join("control.sock")).unwrap();
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if !serve(&mut stream.unwrap(), &all) {
                    return;
                }
            }
        });
        Self {
            dir,
            thread: Some(thread),
        }
    }

    /// A unit's log, one line each second from 03:37:00 on.
    fn log(&self, unit: &str, lines: &[&str]) {
        let dir = self.dir.path().join("log").join(unit);
        std::fs::create_dir(&dir).unwrap();
        let stamped = |(nth, line): (usize, &&str)| format!("2026-11-24T03:37:{nth:02}.000000Z {line}\n");
        std::fs::write(
            dir.join("current"),
            lines.iter().enumerate().map(stamped).collect::<String>(),
        )
        .unwrap();
    }

    fn socket(&self) -> PathBuf {
        self.dir.path().join("control.sock")
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        // What is no call ends the thread.
        UnixStream::connect(self.socket()).unwrap().write_all(b"end\0").unwrap();
        let ended = self.thread.take().unwrap().join();
        assert!(ended.is_ok() || std::thread::panicking());
    }
}

/// Answers one connection; false when it was told to end.
fn serve(stream: &mut UnixStream, script: &Script) -> bool {
    let mut decoder = Decoder::new(REQUEST_BYTES_MAX);
    let mut bytes = [0; 4096];
    loop {
        let count = match stream.read(&mut bytes) {
            Ok(0) | Err(_) => return true,
            Ok(count) => count,
        };
        decoder.push(&bytes[..count]);
        while let Some(frame) = decoder.next_frame().unwrap() {
            let call = match Call::parse(frame) {
                Ok(call) => call,
                Err(NoCall::Malformed) => return false,
                Err(other) => panic!("{other:?}"),
            };
            let method = call.request.method();
            let name = method.rsplit_once('.').unwrap().1;
            let Some(replies) = script.get(name) else {
                panic!("{name} is not in the script")
            };
            for (nth, answer) in replies.iter().enumerate() {
                let bytes = match answer {
                    Ok(value) => reply(value, nth + 1 < replies.len()),
                    Err(failure) => failure.reply(),
                };
                let _ = stream.write_all(&bytes);
            }
        }
    }
}

/// What a command line has printed, and its exit status.
#[derive(Debug, PartialEq, Eq)]
struct Done {
    status: u8,
    out: String,
    err: String,
}

fn svc(socket: PathBuf, line: &str) -> Done {
    run(socket, line, false)
}

fn run(socket: PathBuf, line: &str, terminal: bool) -> Done {
    let arguments = Arguments::try_parse_from(["svc"].into_iter().chain(line.split_whitespace())).unwrap();
    let mut out = anstream::AutoStream::never(Vec::new());
    let mut err = anstream::AutoStream::never(Vec::new());
    let mut session = Session {
        out: &mut out,
        err: &mut err,
        json: arguments.json,
        shows_progress: terminal,
        is_terminal: terminal,
        socket,
    };
    let foreground = Foreground {
        start: |_| Err(std::io::Error::other("not here")),
    };
    let done = super::carry_out(&mut session, arguments.verb, &foreground);
    let status = done.map_or_else(
        |failure| {
            failure.tell(session.err);
            failure.kind.status()
        },
        |()| 0,
    );
    let text = |stream: anstream::AutoStream<Vec<u8>>| String::from_utf8(stream.into_inner()).unwrap();
    Done {
        status,
        out: text(out),
        err: text(err),
    }
}

fn outcome(unit: &str, outcome: &str, state: &str, why: Option<&str>) -> Value {
    json!({ "unit": unit, "outcome": outcome, "why": why, "hint": null, "state": state, "result_text": null })
}

fn outcomes(outcomes: Vec<Value>) -> Vec<Result<Value, Failure>> {
    vec![Ok(json!({ "outcomes": outcomes, "progress": null }))]
}

#[test]
fn nobody_answers() {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("control.sock");
    for line in [
        "start web",
        "stop web",
        "kill web",
        "status",
        "status web",
        "list",
        "logs web",
        "show web",
        "cat web",
        "deps web",
        "ps web",
        "plan",
        "apply",
        "why web",
        "history",
    ] {
        let done = svc(socket.clone(), line);
        assert_eq!((done.status, done.out.as_str()), (5, ""), "{line}");
        assert!(
            done.err.starts_with(&format!("svc: {line}: no supervisor answers at ")),
            "{}",
            done.err
        );
        assert!(done.err.contains("\nhint: "), "{}", done.err);
    }
    let version = svc(socket.clone(), "version");
    assert_eq!(version.status, 0);
    assert!(version.out.contains("none answers"), "{}", version.out);
    // A socket file that nobody listens at is the same to people.
    drop(UnixListener::bind(&socket).unwrap());
    assert_eq!(svc(socket, "list").status, 5);
}

#[test]
fn refusals_have_their_status() {
    let told = || Told {
        what: "web".into(),
        why: "not for you".into(),
        hint: None,
    };
    for (failure, status, err) in [
        (
            Failure::NoSuchUnit {
                unit: "wbe".into(),
                hint: Some("did you mean `web`?".into()),
            },
            4,
            "svc: show wbe: no such unit: wbe\nhint: did you mean `web`?\n",
        ),
        (Failure::Unenforceable(told()), 78, "svc: web: not for you\n"),
        (
            Failure::PermissionDenied {
                what: "show web".into(),
                why: "only root may".into(),
            },
            6,
            "svc: show web: only root may\n",
        ),
        (Failure::Failed(told()), 1, "svc: web: not for you\n"),
    ] {
        let fake = Fake::new([("Show", vec![Err(failure)])]);
        let expected = Done {
            status,
            out: String::new(),
            err: err.into(),
        };
        assert_eq!(svc(fake.socket(), "show wbe"), expected);
    }
}

#[test]
fn a_start_tells_what_became_of_it() {
    let done = outcome("web", "done", "running", None);
    let late = outcome("late", "timed-out", "starting", None);
    let masked = outcome("old", "refused", "masked", Some("masked by /etc/svc/units/old.toml"));
    for (answers, status, out, err) in [
        (vec![done.clone()], 0, "web running\n", ""),
        (
            vec![outcome("web", "accepted", "starting", None)],
            0,
            "web starting\n",
            "",
        ),
        (
            vec![masked.clone()],
            78,
            "",
            "svc: start old: masked by /etc/svc/units/old.toml\n",
        ),
        (
            vec![late.clone()],
            1,
            "",
            "svc: start late: still starting after the timeout; it goes on\n",
        ),
        (
            vec![done, late, masked],
            1,
            "web running\n",
            "svc: start late: still starting after the timeout; it goes on\nsvc: start old: masked by /etc/svc/units/old.toml\n",
        ),
    ] {
        let fake = Fake::new([("Start", outcomes(answers))]);
        let said = run(fake.socket(), "start web late old", true);
        let expected = Done {
            status,
            out: out.into(),
            err: format!("\r{err}"),
        };
        // The line that is replaced goes back to its start and is cleared, which a stream without colour leaves out.
        assert_eq!(said, expected);
    }
}

#[test]
fn a_start_that_fails_shows_the_last_lines() {
    let failed = outcome("web", "failed", "failed", Some("exit-code 3"));
    let fake = Fake::new([("Start", outcomes(vec![failed]))]);
    let lines: Vec<String> = (1..=12).map(|nth| format!("line {nth}")).collect();
    fake.log("web", &lines.iter().map(String::as_str).collect::<Vec<_>>());
    let shown: String = lines[2..].iter().map(|line| format!("  | {line}\n")).collect();
    let expected = Done {
        status: 1,
        out: String::new(),
        err: format!("svc: start web: exit-code 3\n{shown}"),
    };
    assert_eq!(svc(fake.socket(), "start web"), expected);
}

#[test]
fn logs_are_read_from_the_files() {
    let web = || json!({ "units": [running_web()] });
    let fake = Fake::new([("Status", vec![Ok(web())])]);
    fake.log("web", &["one", "two \u{1b}[2J", "three"]);
    fake.log("gone", &["last"]);
    let texts = |line: &str| {
        let done = svc(fake.socket(), line);
        assert_eq!((done.status, done.err.as_str()), (0, ""), "{line}");
        let of_line = |line: &str| line.get(24..).unwrap().to_owned();
        done.out.lines().map(of_line).collect::<Vec<_>>()
    };
    assert_eq!(texts("logs web"), ["one", "two \\u{1b}[2J", "three"]);
    assert_eq!(texts("logs web -n 1"), ["three"]);
    assert_eq!(texts("logs web --grep ^t"), ["two \\u{1b}[2J", "three"]);
    assert_eq!(
        texts("logs web --since 2026-11-24T03:37:01Z --until 2026-11-24T03:37:02Z"),
        ["two \\u{1b}[2J"]
    );
    assert_eq!(
        texts("logs"),
        ["gone | last", "web  | one", "web  | two \\u{1b}[2J", "web  | three"]
    );
    assert_eq!(
        svc(fake.socket(), "logs web -n 1 --json").out,
        "{\"text\":\"three\",\"time\":\"2026-11-24T03:37:02.000Z\",\"unit\":\"web\"}\n"
    );
}

#[test]
fn logs_of_a_unit_that_is_gone_can_be_read_and_of_none_cannot() {
    let absent = || Failure::NoSuchUnit {
        unit: "gone".into(),
        hint: None,
    };
    let fake = Fake::new([("Status", vec![Err(absent())])]);
    assert_eq!(svc(fake.socket(), "logs gone").status, 4);
    assert_eq!(svc(fake.socket(), "logs ../log").status, 4);
    fake.log("gone", &["last"]);
    let done = svc(fake.socket(), "logs gone");
    assert!(done.status == 0 && done.out.ends_with(" last\n"), "{done:?}");
}

#[test]
fn a_script_hears_nothing_when_all_is_well() {
    let fake = Fake::new([("Stop", outcomes(vec![outcome("web", "done", "inactive", None)]))]);
    let silent = Done {
        status: 0,
        out: String::new(),
        err: String::new(),
    };
    assert_eq!(svc(fake.socket(), "stop web"), silent);
    let json = svc(fake.socket(), "stop web --json");
    assert_eq!(
        json.out,
        "[{\"hint\":null,\"outcome\":\"done\",\"result-text\":null,\"state\":\"inactive\",\"unit\":\"web\",\"why\":null}]\n"
    );
}

#[test]
fn progress_is_shown_on_a_terminal_alone() {
    let progress =
        json!({ "outcomes": [], "progress": { "unit": "db", "state": "starting", "text": "exec-start-pre 1 of 2" } });
    let end = json!({ "outcomes": [outcome("db", "done", "running", None)], "progress": null });
    let fake = Fake::new([("Restart", vec![Ok(progress), Ok(end)])]);
    let shown = run(fake.socket(), "restart db", true);
    assert_eq!((shown.status, shown.err.as_str()), (0, "\rdb exec-start-pre 1 of 2\r"));
    assert_eq!(svc(fake.socket(), "restart db").err, "");
}

#[test]
fn an_answer_that_makes_no_sense_is_a_failure() {
    let fake = Fake::new([
        ("Why", vec![Err(Failure::Other("a.b.Strange".into()))]),
        ("Cat", vec![Ok(json!({ "files": 1 }))]),
    ]);
    assert_eq!(svc(fake.socket(), "why web").err, "svc: why web: a.b.Strange\n");
    let garbled = svc(fake.socket(), "cat web");
    assert_eq!(garbled.status, 1);
    assert!(
        garbled
            .err
            .starts_with("svc: cat web: the supervisor's answer makes no sense: "),
        "{}",
        garbled.err
    );
}

fn status(unit: &str, changes: Value) -> Value {
    let status = crate::control::view::UnitStatus::new(unit, "service");
    let mut status = serde_json::to_value(status).unwrap();
    for (key, value) in changes.as_object().unwrap() {
        status[key] = value.clone();
    }
    status
}

fn running_web() -> Value {
    status(
        "web",
        json!({ "description": "Edge web front end", "state": "running", "main_pid": { "host": 4711, "inside": 2 }, "restarts": 3,
            "cgroup": "svc/web", "usage": { "memory": 1_212_416, "memory_peak": 2_031_616, "cpu_usec": 5_250_000, "tasks": 4 },
            "limits": { "memory-max": { "limit": 67_108_864, "current": 1_212_416, "peak": 2_031_616 },
                "cpu-quota": { "limit": 20, "current": 19.84, "peak": null }, "pids-max": { "limit": 64, "current": 4, "peak": null } },
            "isolation": { "pid": "enforced", "mount": "enforced", "seccomp": "skipped: not built yet" },
            "log_tail": ["ready", "\u{1b}[2Jhello"] }),
    )
}

#[test]
fn status_shows_all_of_a_unit() {
    let fake = Fake::new([("Status", vec![Ok(json!({ "units": [running_web()] }))])]);
    let expected = Done {
        status: 0,
        out: "\
● web  Edge web front end, service
       state  running
    main pid  4711, inside 2
    restarts  3
      cgroup  svc/web
        uses  memory 1.2M (peak 1.9M), cpu 5s, tasks 4
      limits  cpu-quota   20%, now 19.8%
              memory-max  64M, now 1.2M, peak 1.9M
              pids-max    64, now 4
   isolation  mount pid
              seccomp skipped: not built yet

  | ready
  | \\u{1b}[2Jhello
"
        .into(),
        err: String::new(),
    };
    assert_eq!(svc(fake.socket(), "status web"), expected);
}

#[test]
fn status_says_why_a_unit_is_down() {
    let crash = status(
        "crash",
        json!({ "state": "backoff", "since": "2026-11-23T10:00:00.000Z", "reason": "waits before it is tried again", "result": "spawn",
            "result_text": "spawn mount /data: ENOENT", "failed_step": "mount /data", "errno": "ENOENT", "blocked_by": ["db: masked"],
            "waiting_for": ["a", "b"], "log_tail": ["oh"],
            "findings": [{ "severity": "error", "unit": "crash", "file": "/u/crash.toml", "line": 3, "column": 1, "message": "unknown key", "hint": null }] }),
    );
    let fake = Fake::new([("Status", vec![Ok(json!({ "units": [crash] }))])]);
    let done = svc(fake.socket(), "status crash");
    assert_eq!(done.status, 3);
    let lines: Vec<&str> = done.out.lines().collect();
    assert_eq!(lines[0], "● crash  service");
    assert!(
        lines[1].starts_with("       state  backoff for ") && lines[1].contains("since 2026-11-23 "),
        "{}",
        lines[1]
    );
    assert_eq!(
        lines[2..],
        [
            "         why  waits before it is tried again",
            "    last run  spawn mount /data: ENOENT",
            "   failed at  mount /data: ENOENT",
            "   waits for  a",
            "              b",
            "  blocked by  db: masked",
            "       error  /u/crash.toml:3:1: unknown key",
            "",
            "  | oh",
        ]
    );
}

#[test]
fn one_status_is_an_object_and_several_are_an_array() {
    let fake = Fake::new([("Status", vec![Ok(json!({ "units": [running_web()] }))])]);
    for (line, array) in [
        ("status web --json", false),
        ("status web@* --json", true),
        ("status --json", true),
    ] {
        let value: Value = serde_json::from_str(&svc(fake.socket(), line).out).unwrap();
        assert_eq!(value.is_array(), array, "{line}");
        let one = if array { &value[0] } else { &value };
        assert_eq!(
            (&one["main-pid"]["host"], &one["limits"]["memory-max"]["limit"]),
            (&json!(4711), &json!(67_108_864))
        );
    }
}

fn line(unit: &str, kind: &str, state: &str, changes: Value) -> Value {
    let mut line = json!({ "unit": unit, "description": "", "kind": kind, "state": state, "since": null, "reason": null,
        "result_text": null, "main_pid": null, "restarts": 0, "next_try": null, "slice": null, "memory": null, "invalid": false });
    for (key, value) in changes.as_object().unwrap() {
        line[key] = value.clone();
    }
    line
}

fn some_lines() -> Value {
    json!({ "units": [
        line("apps", "slice", "running", json!({ "memory": 20_971_520 })),
        line("crash", "service", "backoff", json!({ "slice": "apps", "reason": "exit-code 3, next try in 200ms", "restarts": 4 })),
        line("db", "service", "running", json!({ "main_pid": { "host": 4712, "inside": 2 }, "memory": 4_404_019, "description": "Data" })),
        line("old", "service", "inactive", json!({ "slice": "nowhere", "invalid": true })),
        line("web", "service", "running", json!({ "slice": "apps", "main_pid": { "host": 4711, "inside": 2 }, "memory": 12_897_485 })),
    ] })
}

#[test]
fn list_is_a_table() {
    let fake = Fake::new([("List", vec![Ok(some_lines())])]);
    assert_eq!(
        svc(fake.socket(), "list").out,
        "\
UNIT   STATE     FOR   PID  RESTARTS  MEMORY  ABOUT
apps   running     -     -         0     20M
crash  backoff     -     -         4       -  exit-code 3, next try in 200ms
db     running     -  4712         0    4.2M  Data
old    inactive    -     -         0       -  (its file is not valid)
web    running     -  4711         0   12.3M
"
    );
    let empty = Fake::new([("List", vec![Ok(json!({ "units": [] }))])]);
    assert_eq!(svc(empty.socket(), "list --failed").out, "no failed unit\n");
}

#[test]
fn status_without_a_unit_is_a_tree() {
    let fake = Fake::new([("List", vec![Ok(some_lines())])]);
    let out = svc(fake.socket(), "status").out;
    let (head, rest) = out.split_once('\n').unwrap();
    assert!(
        head.starts_with("svcd 9.9.9, pid 42, up ") && head.ends_with(": 1 backoff, 1 inactive, 2 running"),
        "{head}"
    );
    assert_eq!(
        rest,
        "\
UNIT      STATE      PID  MEMORY  ABOUT
apps      slice        -     20M
├─ crash  backoff      -       -  exit-code 3, next try in 200ms
└─ web    running   4711   12.3M
db        running   4712    4.2M  Data
old       inactive     -       -  (its file is not valid)
1 with a file that is not valid: `svc check` shows why
"
    );
}

#[test]
fn slices_in_a_ring_lose_nobody() {
    let ring = json!({ "units": [line("a", "slice", "running", json!({ "slice": "b" })), line("b", "slice", "running", json!({ "slice": "a" }))] });
    let fake = Fake::new([("List", vec![Ok(ring)])]);
    let out = svc(fake.socket(), "status").out;
    assert_eq!(out.lines().filter(|line| line.contains("slice")).count(), 2, "{out}");
}

#[test]
fn the_rest_answers_in_lines() {
    let entry = |unit: &str, what: &str, text: &str, kind: &str| json!({ "at": "yesterday", "unit": unit, "what": what, "text": text, "by": { "kind": kind, "text": "", "uid": null, "pid": null, "unit": null } });
    let plan = json!({ "plan": { "hash": "ab12", "units": [
        { "unit": "web", "action": "restart", "fields": [{ "key": "[service] exec-start", "before": "[\"a\"]", "after": "[\"b\"]" }, { "key": "[service] nice", "before": null, "after": "5" }] },
        { "unit": "new", "action": "start", "fields": [] } ], "findings": [] } });
    let fake = Fake::new([
        (
            "Show",
            vec![Ok(json!({ "values": [
                { "table": "unit", "key": "description", "value": "\"Web\"", "origin": "/u/web.toml:2" },
                { "table": "service", "key": "type", "value": "\"exec\"", "origin": "default" } ] }))],
        ),
        (
            "Cat",
            vec![Ok(
                json!({ "files": [{ "path": "/u/web.toml", "text": "[service]\n" }, { "path": "/u/web.toml.d/1.toml", "text": "[log]" }] }),
            )],
        ),
        (
            "Dependencies",
            vec![Ok(json!({ "tree": [
                { "depth": 0, "unit": "web", "link": "", "state": "running", "repeated": false },
                { "depth": 1, "unit": "db", "link": "requires (ready)", "state": "failed", "repeated": true },
                { "depth": 1, "unit": "gone", "link": "wants", "state": null, "repeated": false } ] }))],
        ),
        (
            "Processes",
            vec![Ok(json!({ "processes": [
                { "host": 4710, "inside": 1, "command": "[reaper]", "main": false, "namespaces": {} },
                { "host": 4711, "inside": 2, "command": "nginx: \u{1b}]0;x\u{7}master", "main": true, "namespaces": { "mnt": 41, "pid": 42 } } ] }))],
        ),
        ("Plan", vec![Ok(plan.clone())]),
        ("Apply", vec![Ok(plan)]),
        (
            "Why",
            vec![Ok(
                json!({ "chain": [entry("web", "stopping", "", "unit"), entry("db", "ended", "exit-code 1", "policy")] }),
            )],
        ),
        (
            "History",
            vec![Ok(
                json!({ "entries": [entry("web", "starting", "", "boot"), entry("web", "ended", "exit-code 1", "policy")] }),
            )],
        ),
        ("Kill", outcomes(vec![outcome("web", "done", "running", None)])),
    ]);
    for (line, out) in [
        (
            "show web",
            "[unit]\ndescription = \"Web\"  # /u/web.toml:2\n\n[service]\ntype = \"exec\"        # default\n",
        ),
        ("cat web", "# /u/web.toml\n[service]\n\n# /u/web.toml.d/1.toml\n[log]\n"),
        (
            "deps web",
            "web  running\n├─ db  failed  requires (ready)  (see above)\n└─ gone  no such unit  wants\n",
        ),
        (
            "ps web",
            "HOST  INSIDE        COMMAND\n4710       1        [reaper]\n4711       2  main  nginx: \\u{1b}]0;x\\u{7}master\nnamespaces of 4711: mnt 41, pid 42\n",
        ),
        (
            "plan",
            "! web restart\n    [service] exec-start: [\"a\"] -> [\"b\"]\n    [service] nice: not set -> 5\n+ new start\n`svc apply --plan ab12` does this and nothing else\n",
        ),
        (
            "apply",
            "! web restart\n    [service] exec-start: [\"a\"] -> [\"b\"]\n    [service] nice: not set -> 5\n+ new start\n",
        ),
        (
            "why web",
            "web stopping  by unit, yesterday\n└─ db ended: exit-code 1  by policy, yesterday\n",
        ),
        (
            "history",
            "yesterday  web  starting            boot\nyesterday  web  ended: exit-code 1  policy\n",
        ),
        ("kill -s 9 web", ""),
    ] {
        let expected = Done {
            status: if line == "plan" { 2 } else { 0 },
            out: out.into(),
            err: String::new(),
        };
        assert_eq!(svc(fake.socket(), line), expected, "{line}");
        let json = svc(fake.socket(), &format!("{line} --json"));
        assert_eq!(
            (json.status, serde_json::from_str::<Value>(&json.out).is_ok()),
            (expected.status, true),
            "{line}"
        );
        assert!(!json.out.contains('_') || line == "kill", "{}", json.out);
    }
}

#[test]
fn a_plan_that_is_not_valid_has_its_status() {
    let finding = json!({ "severity": "error", "unit": "web", "file": "/u/web.toml", "line": 3, "column": 1, "message": "unknown key", "hint": null });
    let plan = json!({ "plan": { "hash": "ab12", "units": [], "findings": [finding] } });
    let fake = Fake::new([("Plan", vec![Ok(plan)])]);
    let expected = Done {
        status: 78,
        out: "error: /u/web.toml:3:1: unknown key\n".into(),
        err: String::new(),
    };
    assert_eq!(svc(fake.socket(), "plan"), expected);
}

#[test]
fn version_tells_of_both() {
    let fake = Fake::new([]);
    let out = svc(fake.socket(), "version").out;
    assert!(
        out.starts_with(&format!(
            "svc {}\nsvcd 9.9.9, pid 42\n  units    /units\n",
            env!("CARGO_PKG_VERSION")
        )),
        "{out}"
    );
    let json: Value = serde_json::from_str(&svc(fake.socket(), "version --json").out).unwrap();
    assert_eq!(json["svcd"]["runtime-dir"], "/run/x");
}

#[test]
fn a_reader_that_is_gone_ends_it_quietly() {
    struct Gone;
    impl Write for Gone {
        fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
            Err(std::io::ErrorKind::BrokenPipe.into())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let fake = Fake::new([("List", vec![Ok(some_lines())])]);
    let mut err = Vec::new();
    let mut session = Session {
        out: &mut Gone,
        err: &mut err,
        json: false,
        shows_progress: false,
        is_terminal: false,
        socket: fake.socket(),
    };
    let failure = super::list::list(&mut session, false, false).unwrap_err();
    failure.tell(session.err);
    assert_eq!((failure.kind.status(), err.as_slice()), (0, &b""[..]));
}
