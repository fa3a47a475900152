//! How units are shown: one as a page, all of them as a table or a tree.

use serde_json::{Value, json};

use super::fake::{Done, Fake, svc};

fn status(unit: &str, changes: Value) -> Value {
    let status = crate::control::view::UnitStatus::new(unit, "service");
    let mut status = serde_json::to_value(status).unwrap();
    for (key, value) in changes.as_object().unwrap() {
        status[key] = value.clone();
    }
    status
}

pub fn running_web() -> Value {
    status(
        "web",
        json!({ "description": "Edge web front end", "state": "running", "main_pid": { "host": 4711, "inside": 2 }, "restarts": 3,
            "cgroup": "svc/web", "usage": { "memory": 1_212_416, "memory_peak": 2_031_616, "cpu_usec": 5_250_000, "tasks": 4 },
            "limits": { "memory-max": { "limit": 67_108_864, "current": 1_212_416, "peak": 2_031_616 },
                "cpu-quota": { "limit": 20, "current": 19.84, "peak": null }, "pids-max": { "limit": 64, "current": 4, "peak": null } },
            "isolation": { "pid": "enforced", "mount": "enforced", "seccomp": "skipped: this kernel has none" },
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
              seccomp skipped: this kernel has none

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

pub fn some_lines() -> Value {
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
