//! Text to value and back. What is written is what would have been read: `parse(display(x)) == x`.

use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use serde::{Serialize, Serializer};

mod account;
mod bytes;
mod command;
mod numbers;
mod signal;
mod words;

pub use account::{RLIMITS, capability_names, capability_number, parse_account, parse_capabilities, parse_rlimit};
pub(crate) use account::{serialize_ambient, serialize_capabilities, serialize_rlimits};
pub(crate) use bytes::serialize_base64;
pub use bytes::{base64, parse_base64};
pub use command::{literal, parse_command};
pub use numbers::NumberList;
pub use signal::Signal;
pub use words::split_words;

/// A unit's name: 1 to 128 of `A-Za-z0-9:_.-`, with one `@` for a template or an instance, not starting with `.` or `-`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct UnitName(Rc<str>);

impl UnitName {
    /// Longest name, in bytes: a name is a file name and a cgroup's, and those end at 255 with what we add.
    pub const BYTES_MAX: usize = 128;

    /// Checks and takes a name.
    ///
    /// # Errors
    /// What is wrong with it, in one line.
    pub fn new(text: &str) -> Result<Self, Box<str>> {
        let wrong = |why: &str| Err(format!("`{text}` is no unit name: {why}").into());
        if text.is_empty() || text.len() > Self::BYTES_MAX {
            return wrong("it has 1 to 128 characters");
        }
        if text.starts_with(['.', '-', '@']) {
            return wrong("it starts with `.`, `-` or `@`");
        }
        if !text.bytes().all(|b| b.is_ascii_alphanumeric() || b":_.-@".contains(&b)) {
            return wrong("only A-Z a-z 0-9 : _ . - and one @");
        }
        if text.bytes().filter(|b| *b == b'@').count() > 1 {
            return wrong("more than one @");
        }
        Ok(Self(text.into()))
    }

    /// The target that boots, and that is there without a file.
    pub fn default_target() -> Self {
        Self("default".into())
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for UnitName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::borrow::Borrow<str> for UnitName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

/// Bytes: `64M`. K, M, G and T are powers of 1024.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size(pub u64);

const SIZE_UNITS: [(char, u32); 4] = [('T', 40), ('G', 30), ('M', 20), ('K', 10)];

impl Size {
    /// Reads `64M`, `1024`.
    ///
    /// # Errors
    /// What is wrong with it, in one line.
    pub fn parse(text: &str) -> Result<Self, Box<str>> {
        let wrong = || {
            format!("`{text}` is no size: a whole number with K, M, G or T (powers of 1024), such as \"64M\"").into()
        };
        let (digits, shift) = match SIZE_UNITS.iter().find(|(unit, _)| text.ends_with(*unit)) {
            Some((unit, shift)) => (text.trim_end_matches(*unit), *shift),
            None => (text, 0),
        };
        if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
            return Err(wrong());
        }
        let number: u64 = digits.parse().map_err(|_| wrong())?;
        number.checked_mul(1 << shift).map(Self).ok_or_else(wrong)
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match SIZE_UNITS
            .iter()
            .find(|(_, shift)| self.0 != 0 && self.0.is_multiple_of(1 << shift))
        {
            Some((unit, shift)) => write!(f, "{}{unit}", self.0 >> shift),
            None => write!(f, "{}", self.0),
        }
    }
}

impl Serialize for Size {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

/// `20%` is 20.0.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub struct Percent(pub f64);

impl Percent {
    /// Reads `20%`, `0.5%`, `250%`.
    ///
    /// # Errors
    /// What is wrong with it, in one line.
    pub fn parse(text: &str) -> Result<Self, Box<str>> {
        let wrong = || format!("`{text}` is no percentage: a number above 0 with %, such as \"20%\"").into();
        let digits = text.strip_suffix('%').ok_or_else(wrong)?;
        if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit() || b == b'.') {
            return Err(wrong());
        }
        match digits.parse::<f64>() {
            Ok(number) if number > 0.0 && number <= 1_000_000.0 => Ok(Self(number)),
            Ok(_) | Err(_) => Err(wrong()),
        }
    }
}

impl fmt::Display for Percent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}%", self.0)
    }
}

impl Serialize for Percent {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

const DURATION_UNITS: [(&str, u64); 7] = [
    ("d", 86_400_000_000_000),
    ("h", 3_600_000_000_000),
    ("m", 60_000_000_000),
    ("s", 1_000_000_000),
    ("ms", 1_000_000),
    ("us", 1_000),
    ("ns", 1),
];

/// Reads `1m 30s`, `100ms`.
///
/// # Errors
/// What is wrong with it, in one line. A bare number is an error: nobody knows of what.
pub fn parse_duration(text: &str) -> Result<Duration, Box<str>> {
    let wrong = || -> Box<str> {
        format!("`{text}` is no duration: numbers with d, h, m, s, ms or us, such as \"1m 30s\"").into()
    };
    let mut nanoseconds: u64 = 0;
    let mut rest = text.trim();
    if rest.is_empty() {
        return Err(wrong());
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let (number, tail) = rest.split_at(digits);
        let letters = tail.find(|c: char| !c.is_ascii_lowercase()).unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(letters);
        let number: u64 = number.parse().map_err(|_| wrong())?;
        let unit = if unit == "min" { "m" } else { unit };
        let factor = DURATION_UNITS
            .iter()
            .find(|(name, _)| *name == unit)
            .map(|(_, factor)| *factor)
            .ok_or_else(wrong)?;
        nanoseconds = number
            .checked_mul(factor)
            .and_then(|part| nanoseconds.checked_add(part))
            .ok_or_else(wrong)?;
        rest = tail.trim_start();
    }
    Ok(Duration::from_nanos(nanoseconds))
}

/// Reads a duration or `infinity`, which is None.
///
/// # Errors
/// As [`parse_duration`].
pub fn parse_limit(text: &str) -> Result<Option<Duration>, Box<str>> {
    if text == "infinity" {
        Ok(None)
    } else {
        parse_duration(text).map(Some)
    }
}

/// `1m 30s`.
pub fn duration_text(duration: Duration) -> String {
    let mut left = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
    if left == 0 {
        return "0s".to_owned();
    }
    let mut parts = Vec::new();
    for (unit, factor) in DURATION_UNITS {
        let count = left / factor;
        left %= factor;
        if count > 0 {
            parts.push(format!("{count}{unit}"));
        }
    }
    parts.join(" ")
}

/// Reads `0022`: octal, up to 0777 with the set-id and sticky bits.
///
/// # Errors
/// What is wrong with it, in one line.
pub fn parse_mode(text: &str) -> Result<u32, Box<str>> {
    let octal = (1..=4).contains(&text.len()) && text.bytes().all(|b| (b'0'..=b'7').contains(&b));
    let mode = u32::from_str_radix(text, 8).ok().filter(|_| octal);
    mode.ok_or_else(|| format!("`{text}` is no mode: one to four octal digits, such as \"0022\"").into())
}

/// The name of an error number, `ENOENT`; errno(3). A table, no system call.
pub fn errno_name(errno: i32) -> String {
    format!("{:?}", nix::errno::Errno::from_raw(errno))
}

pub(crate) fn serialize_duration<S: Serializer>(value: &Duration, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(&duration_text(*value))
}

pub(crate) fn serialize_limit<S: Serializer>(value: &Option<Duration>, to: S) -> Result<S::Ok, S::Error> {
    match value {
        Some(value) => serialize_duration(value, to),
        None => to.serialize_str("infinity"),
    }
}

pub(crate) fn serialize_some_duration<S: Serializer>(value: &Option<Duration>, to: S) -> Result<S::Ok, S::Error> {
    match value {
        Some(value) => serialize_duration(value, to),
        None => to.serialize_none(),
    }
}

pub(crate) fn serialize_mode<S: Serializer>(value: &u32, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(&format!("{value:04o}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn bad_values_are_refused() {
        for text in ["", "5", "1x", "1.5s", "-1s", "s", "1s2", "99999999999d"] {
            assert!(parse_duration(text).is_err(), "duration {text}");
        }
        for text in ["", "M", "1.5M", "-1", "1m", "99999999T", "0x10", "1 M"] {
            assert!(Size::parse(text).is_err(), "size {text}");
        }
        for text in ["", "%", "20", "0%", "-1%", "1e3%", "inf%", "2000000%"] {
            assert!(Percent::parse(text).is_err(), "percent {text}");
        }
        for text in ["", "8", "00222", "0x1", "-1"] {
            assert!(parse_mode(text).is_err(), "mode {text}");
        }
        for text in ["", ".a", "-a", "@a", "a b", "a@b@c", "ä", "a/b"] {
            assert!(UnitName::new(text).is_err(), "name {text}");
        }
        assert!(UnitName::new(&"a".repeat(129)).is_err());
    }

    #[test]
    fn good_values() {
        assert_eq!(parse_duration("1m 30s"), Ok(Duration::from_secs(90)));
        assert_eq!(parse_duration("1m30s"), Ok(Duration::from_secs(90)));
        assert_eq!(parse_limit("infinity"), Ok(None));
        assert_eq!(Size::parse("64M"), Ok(Size(64 << 20)));
        assert_eq!(Percent::parse("0.5%"), Ok(Percent(0.5)));
        assert_eq!(parse_mode("0022"), Ok(0o22));
        assert!(UnitName::new("getty@tty1").is_ok());
    }

    proptest! {
        #[test]
        fn what_is_written_is_what_was_read(nanoseconds: u64, bytes: u64) {
            let duration = Duration::from_nanos(nanoseconds);
            prop_assert_eq!(parse_duration(&duration_text(duration)), Ok(duration));
            prop_assert_eq!(Size::parse(&Size(bytes).to_string()), Ok(Size(bytes)));
        }

        #[test]
        fn any_text_is_an_error_or_a_value(text: String) {
            drop(parse_duration(&text));
            drop(Size::parse(&text));
            drop(Percent::parse(&text));
            drop(parse_mode(&text));
            drop(UnitName::new(&text));
            drop(Signal::parse(&text));
            drop(split_words(&text));
            drop(parse_account(&text));
        }
    }
}
