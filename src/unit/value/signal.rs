//! Signals by number and name.

use std::fmt;

use serde::{Serialize, Serializer};

/// A signal by its number on x86_64 and aarch64, 1 to 64. Real-time signals count from 34, as glibc and systemd do
/// (musl counts from 35: its SIGRTMIN is not the one on the wire).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Signal(pub u8);

#[allow(missing_docs)]
impl Signal {
    pub const HUP: Self = Self(1);
    pub const INT: Self = Self(2);
    pub const QUIT: Self = Self(3);
    pub const ABRT: Self = Self(6);
    pub const KILL: Self = Self(9);
    pub const PIPE: Self = Self(13);
    pub const TERM: Self = Self(15);
    pub const CONT: Self = Self(18);
}

/// signal(7), by number from 1.
const NAMES: [&str; 31] = [
    "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2", "PIPE", "ALRM", "TERM",
    "STKFLT", "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG", "XCPU", "XFSZ", "VTALRM", "PROF", "WINCH", "IO",
    "PWR", "SYS",
];
const REALTIME_MIN: u8 = 34;
const REALTIME_MAX: u8 = 64;

impl Signal {
    /// Reads `SIGTERM`, `TERM`, `15`, `SIGRTMIN+3`.
    ///
    /// # Errors
    /// What is wrong with it, in one line.
    pub fn parse(text: &str) -> Result<Self, Box<str>> {
        let wrong = || format!("`{text}` is no signal: a name such as SIGTERM or SIGRTMIN+3, or 1 to 64").into();
        let decimal = |text: &str| {
            text.bytes()
                .all(|b| b.is_ascii_digit())
                .then(|| text.parse::<u8>().ok())
                .flatten()
        };
        if let Some(number) = decimal(text) {
            return if (1..=REALTIME_MAX).contains(&number) {
                Ok(Self(number))
            } else {
                Err(wrong())
            };
        }
        let name = text.strip_prefix("SIG").unwrap_or(text);
        if let Some(place) = NAMES.iter().position(|known| *known == name) {
            return u8::try_from(place + 1).map(Self).map_err(|_| wrong());
        }
        let offset = match name {
            "RTMIN" => Some(0),
            "RTMAX" => Some(REALTIME_MAX - REALTIME_MIN),
            _ => name.strip_prefix("RTMIN+").and_then(decimal),
        };
        offset
            .filter(|offset| *offset <= REALTIME_MAX - REALTIME_MIN)
            .map(|offset| Self(REALTIME_MIN + offset))
            .ok_or_else(wrong)
    }

    /// `SIGTERM`, `SIGRTMIN+3`.
    pub fn name(self) -> String {
        match NAMES.get(usize::from(self.0).wrapping_sub(1)) {
            Some(name) => format!("SIG{name}"),
            None if self.0 == REALTIME_MIN => "SIGRTMIN".to_owned(),
            None if self.0 > REALTIME_MIN => format!("SIGRTMIN+{}", self.0 - REALTIME_MIN),
            None => format!("signal {}", self.0),
        }
    }
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name())
    }
}

impl Serialize for Signal {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::Signal;

    #[test]
    fn names_and_numbers() {
        for (text, number) in [
            ("SIGTERM", 15),
            ("TERM", 15),
            ("9", 9),
            ("SIGRTMIN+3", 37),
            ("RTMIN", 34),
            ("SIGRTMAX", 64),
        ] {
            assert_eq!(Signal::parse(text), Ok(Signal(number)), "{text}");
        }
        for text in [
            "",
            "0",
            "65",
            "sigterm",
            "SIGRTMIN+31",
            "SIGRTMIN+",
            "-1",
            "0x9",
            "SIGSIGTERM",
        ] {
            assert!(Signal::parse(text).is_err(), "{text}");
        }
        for number in (1..=31).chain(34..=64) {
            assert_eq!(Signal::parse(&Signal(number).name()), Ok(Signal(number)));
        }
    }
}
