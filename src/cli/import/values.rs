//! Values of systemd as those of svc: durations, sizes, words, lists; systemd.time(7), systemd.syntax(7).

use std::time::Duration;

use serde_json::{Value, json};

use super::syntax;
use crate::unit::Size;
use crate::unit::value::duration_text;

/// A value, or why there is none.
pub type Made = Result<Value, String>;

/// `yes`, `1`, `off` …
pub fn boolean(text: &str) -> Result<bool, String> {
    match text.to_ascii_lowercase().as_str() {
        "1" | "yes" | "y" | "true" | "t" | "on" => Ok(true),
        "0" | "no" | "n" | "false" | "f" | "off" => Ok(false),
        _ => Err(format!("`{text}` is neither true nor false")),
    }
}

/// Each unit of time in nanoseconds; a month and a year are those of systemd.time(7).
const TIMES: [(&[&str], f64); 10] = [
    (&["nsec", "ns"], 1.0),
    (&["usec", "us", "µs"], 1e3),
    (&["msec", "ms"], 1e6),
    (&["seconds", "second", "sec", "s"], 1e9),
    (&["minutes", "minute", "min", "m"], 6e10),
    (&["hours", "hour", "hr", "h"], 3.6e12),
    (&["days", "day", "d"], 8.64e13),
    (&["weeks", "week", "w"], 6.048e14),
    (&["months", "month", "M"], 2.629_8e15),
    (&["years", "year", "y"], 3.155_76e16),
];

/// `1min 30s`, `5`, `1.5h`; a number alone is of `unit`. None is `infinity`.
pub fn time(text: &str, unit: &str) -> Result<Option<Duration>, String> {
    let wrong = || format!("`{text}` is no time");
    if text == "infinity" {
        return Ok(None);
    }
    let (mut nanoseconds, mut rest) = (0.0, text.trim());
    if rest.is_empty() {
        return Err(wrong());
    }
    while !rest.is_empty() {
        let digits = rest
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .unwrap_or(rest.len());
        let (number, tail) = rest.split_at(digits);
        let tail = tail.trim_start();
        let letters = tail.find(|c: char| !c.is_alphabetic()).unwrap_or(tail.len());
        let (word, tail) = tail.split_at(letters);
        let word = if word.is_empty() { unit } else { word };
        let factor = TIMES
            .iter()
            .find(|(words, _)| words.contains(&word))
            .map(|(_, factor)| *factor);
        let number: f64 = number.parse().map_err(|_| wrong())?;
        nanoseconds += number * factor.ok_or_else(wrong)?;
        rest = tail.trim_start();
    }
    Ok(Some(Duration::from_nanos(nanoseconds as u64)))
}

/// A duration as svc writes it.
pub fn duration(text: &str) -> Made {
    match time(text, "s")? {
        Some(duration) => Ok(duration_text(duration).into()),
        None => Err("svc has no infinity here".to_owned()),
    }
}

/// A limit: what is 0 for systemd too is infinity.
pub fn limit(text: &str) -> Made {
    match time(text, "s")? {
        Some(duration) if !duration.is_zero() => Ok(duration_text(duration).into()),
        Some(_) | None => Ok("infinity".into()),
    }
}

/// `64M`, `1.5G`: powers of 1024.
pub fn size(text: &str) -> Made {
    bytes(text).map(|bytes| Size(bytes).to_string().into())
}

fn bytes(text: &str) -> Result<u64, String> {
    let wrong = || format!("`{text}` is no size that svc has");
    let digits = text.trim_end_matches(|c: char| c.is_ascii_uppercase());
    let suffix = text.get(digits.len()..).unwrap_or_default();
    let shift = match suffix {
        "" | "B" => 0,
        "K" => 10,
        "M" => 20,
        "G" => 30,
        "T" => 40,
        _ => return Err(wrong()),
    };
    let number: f64 = digits.trim().parse().map_err(|_| wrong())?;
    Ok((number * 2_f64.powi(shift)) as u64)
}

/// A limit of setrlimit(2): a number, a size, or a time in the resource's own unit; both of `soft:hard`.
pub fn rlimit(resource: &str, text: &str) -> Made {
    let one = |text: &str| -> Result<String, String> {
        let unit = match resource {
            "cpu" => "s",
            "rttime" => "us",
            _ if text == "infinity" => return Ok(text.to_owned()),
            _ => return bytes(text).map(|bytes| bytes.to_string()),
        };
        Ok(match time(text, unit)? {
            None => "infinity".to_owned(),
            Some(time) if unit == "s" => time.as_secs().to_string(),
            Some(time) => time.as_micros().to_string(),
        })
    };
    let both = match text.split_once(':') {
        Some((soft, hard)) => format!("{}:{}", one(soft)?, one(hard)?),
        None => one(text)?,
    };
    Ok(both.parse::<i64>().map_or_else(|_| both.into(), |number| json!(number)))
}

/// An octal mode.
pub fn mode(text: &str) -> Made {
    match (1..=4).contains(&text.len()) && text.bytes().all(|digit| (b'0'..=b'7').contains(&digit)) {
        true => Ok(text.into()),
        false => Err(format!("`{text}` is no mode that svc has")),
    }
}

/// Words, each as a text.
pub fn texts(text: &str) -> Made {
    Ok(syntax::words(text)?.into())
}

/// Absolute paths; of the prefixes only `-` is svc's.
pub fn paths(text: &str) -> Made {
    let path = |word: String| {
        let plain = word.replacen('+', "", usize::from(word.starts_with('+') || word.starts_with("-+")));
        match plain.trim_start_matches('-').starts_with('/') {
            true => Ok(Value::from(plain)),
            false => Err(format!("`{word}` is no absolute path")),
        }
    };
    let words = syntax::words(text)?;
    Ok(words.into_iter().map(path).collect::<Result<Vec<_>, _>>()?.into())
}

/// Exit codes and signals.
pub fn exits(text: &str) -> Made {
    let one = |word: String| match word.parse::<u8>() {
        Ok(code) => Ok(json!(code)),
        Err(_) if crate::unit::Signal::parse(&word).is_ok() => Ok(Value::from(word)),
        Err(_) => Err(format!("svc has no name {word} for an exit code")),
    };
    let words = syntax::words(text)?;
    Ok(words.into_iter().map(one).collect::<Result<Vec<_>, _>>()?.into())
}

/// A user or group: a number is one.
pub fn account(text: &str) -> Value {
    text.parse::<u32>().map_or_else(|_| text.into(), |number| json!(number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_systemd_are_read() {
        for (made, expected) in [
            (limit("0"), json!("infinity")),
            (limit("1min 30s"), json!("1m 30s")),
            (limit("900"), json!("15m")),
            (duration("1.5h"), json!("1h 30m")),
            (duration("1w"), json!("7d")),
            (duration("250ms"), json!("250ms")),
            (size("1.5G"), json!("1536M")),
            (size("512"), json!("512")),
            (size("2T"), json!("2T")),
            (rlimit("nofile", "65536"), json!(65536)),
            (rlimit("memlock", "64M:infinity"), json!("67108864:infinity")),
            (rlimit("cpu", "1min"), json!(60)),
            (exits("143 SIGKILL"), json!([143, "SIGKILL"])),
            (paths("-/a +/b"), json!(["-/a", "/b"])),
            (mode("0755"), json!("0755")),
        ] {
            assert_eq!(made, Ok(expected));
        }
        for made in [
            limit("soon"),
            size("12%"),
            mode("u+x"),
            paths("a"),
            exits("DATAERR"),
            duration("infinity"),
        ] {
            assert!(made.is_err(), "{made:?}");
        }
        assert_eq!((boolean("On"), boolean("0")), (Ok(true), Ok(false)));
    }
}
