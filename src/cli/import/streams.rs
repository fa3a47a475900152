//! Standard streams, logs and credentials.

use serde_json::{Value, json};

use super::commands::set;
use super::draft::Draft;
use super::rules::Fate;
use super::values;

pub fn input(draft: &mut Draft, value: &str) -> Fate {
    match value {
        "null" | "tty" | "socket" => set(draft, "service", "standard-input", Ok(value.into())),
        "tty-force" | "tty-fail" => {
            draft.set("service", "standard-input", "tty");
            Fate::Changed("tty: whoever had it open before is hung up".to_owned())
        }
        _ => Fate::Lost("svc reads standard input from nowhere else than null, tty and socket".to_owned()),
    }
}

pub fn output(draft: &mut Draft, key: &'static str, value: &str) -> Fate {
    let (word, fate) = match (value, value.split_once(':')) {
        ("null" | "inherit" | "tty" | "socket", _) => (value.to_owned(), Fate::Kept),
        ("journal", _) => ("log".to_owned(), Fate::Changed("log: the unit's own".to_owned())),
        ("syslog" | "kmsg" | "journal+console" | "syslog+console" | "kmsg+console", _) => {
            let to = match value {
                "syslog" => vec!["syslog:/dev/log"],
                "kmsg" => vec!["kmsg"],
                "syslog+console" => vec!["syslog:/dev/log", "console"],
                "kmsg+console" => vec!["kmsg", "console"],
                _ => vec!["console"],
            };
            draft.extend("log", "forward", to.into_iter().map(Value::from).collect());
            ("log".to_owned(), Fate::Changed("log, which is forwarded".to_owned()))
        }
        (_, Some(("append", _))) => (value.to_owned(), Fate::Kept),
        (_, Some(("truncate", path))) => (format!("file:{path}"), Fate::Kept),
        (_, Some(("file", _))) => (
            value.to_owned(),
            Fate::Changed("file: it is emptied at each start".to_owned()),
        ),
        _ => return Fate::Lost("svc has no such stream".to_owned()),
    };
    draft.set("service", key, word);
    fate
}

/// `lines` or `per`, of which [`super::finish`] makes a whole.
pub fn rate_limit(draft: &mut Draft, which: &'static str, value: &str) -> Fate {
    let made = match which {
        "lines" => value
            .parse::<u32>()
            .map(Value::from)
            .map_err(|_| "it is no number".to_owned()),
        _ => values::duration(value),
    };
    match made {
        Ok(value) => {
            draft.insert("log", "rate-limit", which, value);
            Fate::Kept
        }
        Err(why) => Fate::Lost(why),
    }
}

/// `NAME:PATH`.
pub fn credential(draft: &mut Draft, value: &str) -> Fate {
    match value.split_once(':').filter(|(_, path)| path.starts_with('/')) {
        Some((name, path)) => {
            draft.insert("service", "credentials", name, json!(path));
            Fate::Kept
        }
        None => Fate::Lost("a credential is a file that is named".to_owned()),
    }
}
