//! Standard streams, logs and credentials.

use serde_json::{Value, json};

use super::commands::set;
use super::draft::Draft;
use super::rules::Fate;
use super::syntax;
use super::values;
use crate::unit::value::{base64, parse_base64};

pub const TEXT: &str = "standard-input-text";
pub const DATA: &str = "standard-input-data";

pub fn input(draft: &mut Draft, value: &str) -> Fate {
    match value {
        "null" | "tty" | "socket" | "data" => set(draft, "service", "standard-input", Ok(value.into())),
        "tty-force" | "tty-fail" => {
            draft.set("service", "standard-input", "tty");
            Fate::Changed("tty: whoever had it open before is hung up".to_owned())
        }
        _ => Fate::Lost("svc reads standard input from no file".to_owned()),
    }
}

/// A line of what is read.
pub fn input_text(draft: &mut Draft, value: &str) -> Fate {
    match syntax::bytes(value) {
        Ok(line) => input_line(draft, [line, b"\n".to_vec()].concat()),
        Err(why) => Fate::Lost(why),
    }
}

/// Bytes of it.
pub fn input_data(draft: &mut Draft, value: &str) -> Fate {
    match parse_base64(value) {
        Ok(bytes) => input_bytes(draft, &bytes),
        Err(why) => Fate::Lost(why.into()),
    }
}

/// A line that no bytes come before is text; any other is bytes too, since svc has all text first.
fn input_line(draft: &mut Draft, mut line: Vec<u8>) -> Fate {
    let said = |key| draft.get("service", key).and_then(Value::as_str).map(str::to_owned);
    let text = String::from_utf8_lossy(&line);
    if said(DATA).is_none() && !text.contains('\u{fffd}') {
        draft.set("service", TEXT, said(TEXT).unwrap_or_default() + &text);
        return Fate::Kept;
    }
    if text.contains("{instance}") || text.contains("{unit}") {
        return Fate::Lost("svc fills in no names among bytes".to_owned());
    }
    let mut is_first = false;
    line.retain(|byte| {
        let is_second = *byte == b'{' && is_first;
        is_first = *byte == b'{' && !is_second;
        !is_second
    });
    input_bytes(draft, &line)
}

fn input_bytes(draft: &mut Draft, more: &[u8]) -> Fate {
    let before = draft.get("service", DATA).and_then(Value::as_str);
    let before = before.and_then(|text| parse_base64(text).ok()).unwrap_or_default();
    draft.set("service", DATA, base64(&[&before, more].concat()));
    Fate::Kept
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
