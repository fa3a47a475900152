//! What systemd takes for granted and svc does not: said in the draft, so that the unit runs as it did.

use serde_json::{Value, json};

use super::draft::Draft;
use super::{commands, streams};

/// What systemd does where a file is silent, as far as svc does otherwise; and lists of one command as that command.
pub fn finish(draft: &mut Draft) {
    if draft.kind != "service" {
        return;
    }
    commands::prefix_others(draft);
    if draft.get("service", "exec-start").is_none() {
        draft.push("service", "exec-start", json!(["true"]));
    }
    for key in [
        "exec-start",
        "exec-condition",
        "exec-start-pre",
        "exec-start-post",
        "exec-reload",
        "exec-stop",
        "exec-stop-post",
    ] {
        if let Some(Value::Array(lines)) = draft.remove("service", key) {
            draft.set("service", key, commands::shown(lines));
        }
    }
    let is_oneshot = draft.get("service", "type").is_some_and(|kind| kind == "oneshot");
    draft.otherwise("service", "timeout-start", if is_oneshot { "infinity" } else { "90s" });
    draft.otherwise("service", "timeout-stop", "90s");
    draft.otherwise("restart", "policy", "no");
    match draft.get("restart", "policy").is_some_and(|policy| policy == "no") {
        true => drop(["delay", "max-delay", "give-up"].map(|key| draft.remove("restart", key))),
        false => {
            // systemd's delay does not grow.
            let delay = draft.get("restart", "delay").cloned();
            if let Some(delay) = delay {
                draft.otherwise("restart", "max-delay", delay);
            } else {
                draft.set("restart", "delay", "100ms");
                draft.otherwise("restart", "max-delay", "100ms");
            }
            give_up(draft);
        }
    }
    // systemd passes over it in silence.
    if draft
        .get("service", "standard-input")
        .is_some_and(|input| input != "data")
    {
        for key in [streams::TEXT, streams::DATA] {
            draft.remove("service", key);
        }
    }
    if let Some(filter) = draft.get("log", "rate-limit")
        && (filter.get("lines").is_none() || filter.get("per").is_none())
    {
        draft.remove("log", "rate-limit");
    }
    isolate(draft);
}

/// Five starts in ten seconds, unless the unit says otherwise; systemd-system.conf(5).
fn give_up(draft: &mut Draft) {
    let said = |which: &str| {
        draft
            .get("restart", "give-up")
            .and_then(|limit| limit.get(which))
            .cloned()
    };
    let (starts, within) = (
        said("starts").unwrap_or(json!(5)),
        said("within").unwrap_or(json!("10s")),
    );
    match starts == 0 || within == "0s" {
        true => drop(draft.remove("restart", "give-up")),
        false => draft.set("restart", "give-up", json!({ "starts": starts, "within": within })),
    }
}

/// Nothing is isolated but what the file asks for, and that in a mount namespace where it takes one.
fn isolate(draft: &mut Draft) {
    let of_mounts = [
        "private-tmp",
        "private-devices",
        "protect-system",
        "protect-home",
        "protect-kernel-tunables",
        "protect-kernel-modules",
        "protect-kernel-logs",
        "protect-control-groups",
        "protect-hostname",
        "protect-proc",
        "read-only-paths",
        "read-write-paths",
        "inaccessible-paths",
        "exec-paths",
        "no-exec-paths",
    ];
    let is_on = |key: &&'static str| {
        draft
            .get("isolation", key)
            .is_some_and(|value| *value != Value::Bool(false))
    };
    let takes_mounts = of_mounts.iter().any(is_on) || draft.has("root") || draft.all("[mount]").next().is_some();
    if let Some(Value::Object(filter)) = draft.get("isolation", "seccomp") {
        let mut filter = filter.clone();
        match filter.contains_key("allow") || filter.contains_key("deny") {
            // What is not let through ends the process, unless it says another error.
            true => drop(filter.entry("errno").or_insert_with(|| "kill".into())),
            false => filter.clear(),
        }
        match filter.is_empty() {
            true => drop(draft.remove("isolation", "seccomp")),
            false => draft.set("isolation", "seccomp", filter),
        }
    }
    if draft
        .get("service", "dynamic-user")
        .is_some_and(|value| *value == Value::Bool(true))
    {
        draft.otherwise("isolation", "no-new-privileges", true);
        draft.otherwise("isolation", "restrict-suid-sgid", true);
    }
    draft.set("isolation", "profile", "none");
    if takes_mounts {
        draft.otherwise("isolation", "mount", true);
    }
}
