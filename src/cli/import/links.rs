//! Dependencies, conditions and `[Install]`: names of units lose their suffix, and sockets, timers and paths are tables of
//! the unit that they start.

use serde_json::{Value, json};

use super::draft::Draft;
use super::rules::Fate;

/// Milestones of systemd's that have no file here: what is behind them has happened when svcd starts its first unit, or
/// happens by itself.
const PASSED: [&str; 16] = [
    "basic",
    "sysinit",
    "local-fs",
    "local-fs-pre",
    "sockets",
    "timers",
    "paths",
    "slices",
    "swap",
    "cryptsetup",
    "shutdown",
    "umount",
    "final",
    "reboot",
    "poweroff",
    "halt",
];

/// Those that boot.
const BOOT: [&str; 3] = ["multi-user", "graphical", "default"];

/// What a name is here.
enum Named {
    Unit(String),
    /// Nothing need be done: why.
    Needless(&'static str),
    /// Nothing can be.
    Never(&'static str),
}

fn named(own: &str, name: &str) -> Named {
    let Some((stem, suffix)) = name.rsplit_once('.') else {
        return Named::Unit(name.to_owned());
    };
    match suffix {
        "target" if BOOT.contains(&stem) => Named::Unit("default".to_owned()),
        "target" if PASSED.contains(&stem) => Named::Needless("it has been reached when units start"),
        "service" | "socket" | "timer" | "path" if stem == own => Named::Needless("it is this unit's own"),
        "socket" | "timer" | "path" | "service" | "target" | "slice" => Named::Unit(stem.to_owned()),
        _ => Named::Never("svc knows no unit of this kind"),
    }
}

/// `After=network.target web.service`.
pub fn link(draft: &mut Draft, key: &'static str, value: &str) -> Fate {
    let (mut names, mut notes, mut lost) = (Vec::new(), Vec::new(), Vec::new());
    let words: Vec<&str> = value.split_whitespace().collect();
    for word in &words {
        match named(&draft.name, word) {
            Named::Unit(name) => names.push(Value::from(name)),
            Named::Needless(why) => notes.push(format!("{word}: {why}")),
            Named::Never(why) => lost.push(format!("{word}: {why}")),
        }
    }
    let is_all_lost = lost.len() == words.len();
    if !names.is_empty() {
        draft.extend("unit", key, names);
    }
    notes.extend(lost);
    match (is_all_lost, notes.is_empty()) {
        (true, _) => Fate::Lost(notes.join("; ")),
        (false, true) => Fate::Kept,
        (false, false) => Fate::Changed(notes.join("; ")),
    }
}

/// The same, with a difference.
pub fn changed(draft: &mut Draft, key: &'static str, value: &str, how: &str) -> Fate {
    match link(draft, key, value) {
        Fate::Kept => Fate::Changed(format!("{key}: {how}")),
        other @ (Fate::Changed(_) | Fate::Lost(_)) => other,
    }
}

/// `multi-user.target` is what boots, as are the targets of sockets and timers.
pub fn wanted_by(draft: &mut Draft, value: &str) -> Fate {
    let mut fate = Fate::Kept;
    for word in value.split_whitespace() {
        let name = word.rsplit_once('.').map_or(word, |(stem, _)| stem);
        let boots = BOOT.contains(&name) || PASSED.contains(&name);
        if boots && word != "multi-user.target" {
            fate = Fate::Changed(format!("{word} is `default`"));
        }
        draft.extend(
            "unit",
            "wanted-by",
            vec![Value::from(if boots { "default" } else { name })],
        );
    }
    fate
}

/// A list of conditions, all of which must hold.
pub fn condition(draft: &mut Draft, key: &'static str, test: &'static str, value: &str) -> Fate {
    if value.starts_with('|') || value.starts_with("!|") {
        return Fate::Lost("all conditions of a unit must hold: there is no `|`".to_owned());
    }
    draft.extend("unit", key, vec![json!({ test: value })]);
    Fate::Kept
}

pub fn executable(draft: &mut Draft, key: &'static str, value: &str) -> Fate {
    match condition(draft, key, "path-exists", value) {
        Fate::Kept => Fate::Changed("path-exists: that it can be executed is seen at the start".to_owned()),
        other @ (Fate::Changed(_) | Fate::Lost(_)) => other,
    }
}
