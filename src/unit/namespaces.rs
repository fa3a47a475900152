//! Namespaces of which a unit says more than that it has one.

use std::fmt;
use std::time::Duration;

use serde::{Serialize, Serializer};

use super::value::{duration_text, parse_duration};

mod namespace;
mod users;

pub use namespace::Namespace;

pub(crate) use users::serialize_user;
pub use users::{AUTO_COUNT, AUTO_FIRST, AUTO_LAST, IdMap, IdRange, UserNamespace};

/// A time namespace: what its clocks show more than the machine's; time_namespaces(7).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct TimeOffsets {
    /// Of CLOCK_BOOTTIME, and so of /proc/uptime.
    pub boottime: TimeOffset,
    /// Of CLOCK_MONOTONIC.
    pub monotonic: TimeOffset,
}

/// How far a clock is ahead of the machine's, or behind: `100d`, `-1h`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TimeOffset {
    /// It is behind.
    pub behind: bool,
    /// By this.
    pub by: Duration,
}

impl TimeOffset {
    /// Reads `100d`, `-1h 30m`.
    ///
    /// # Errors
    /// As [`parse_duration`].
    pub fn parse(text: &str) -> Result<Self, Box<str>> {
        let (behind, rest) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
        let by = parse_duration(rest)?;
        let behind = behind && !by.is_zero();
        Ok(Self { behind, by })
    }

    /// Whole seconds, rounded down, and the nanoseconds that are left: 0 to 999,999,999.
    pub fn parts(self) -> (i64, u32) {
        let seconds = i64::try_from(self.by.as_secs()).unwrap_or(i64::MAX);
        match (self.behind, self.by.subsec_nanos()) {
            (false, nanoseconds) => (seconds, nanoseconds),
            (true, 0) => (-seconds, 0),
            (true, nanoseconds) => (-seconds - 1, 1_000_000_000 - nanoseconds),
        }
    }
}

impl fmt::Display for TimeOffset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.behind { "-" } else { "" };
        write!(f, "{sign}{}", duration_text(self.by))
    }
}

impl Serialize for TimeOffset {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_read_back_and_are_rounded_down() {
        for (text, parts) in [
            ("100d", (8_640_000, 0)),
            ("0s", (0, 0)),
            ("1s 500ms", (1, 500_000_000)),
            ("-1h", (-3600, 0)),
            ("-1s 250ms", (-2, 750_000_000)),
            ("-1ns", (-1, 999_999_999)),
        ] {
            let offset = TimeOffset::parse(text).unwrap();
            assert_eq!(offset.parts(), parts, "{text}");
            assert_eq!(offset.to_string(), text);
        }
        assert_eq!(TimeOffset::parse("-0s"), TimeOffset::parse("0s"));
        for text in ["", "-", "--1s", "- ", "1", "-1", "+1s"] {
            assert!(TimeOffset::parse(text).is_err(), "{text}");
        }
    }
}
