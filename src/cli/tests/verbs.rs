//! What verbs print of the supervisor's answer, for people and in JSON.

use serde_json::{Value, json};

use super::fake::{Done, Fake, outcome, outcomes, svc};
use crate::control::reply::Failure;

/// What the supervisor says to each verb below.
fn answers() -> [(&'static str, Vec<Result<Value, Failure>>); 9] {
    let entry = |unit: &str, what: &str, text: &str, kind: &str| json!({ "at": "yesterday", "unit": unit, "what": what, "text": text, "by": { "kind": kind, "text": "", "uid": null, "pid": null, "unit": null } });
    let plan = json!({ "plan": { "hash": "ab12", "units": [
        { "unit": "web", "action": "restart", "fields": [{ "key": "[service] exec-start", "before": "[\"a\"]", "after": "[\"b\"]" }, { "key": "[service] nice", "before": null, "after": "5" }] },
        { "unit": "new", "action": "start", "fields": [] } ], "findings": [] } });
    [
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
    ]
}

#[test]
fn the_rest_answers_in_lines() {
    let fake = Fake::new(answers());
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
