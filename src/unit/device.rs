//! `devices`: allow-lists, and the texts in which devices are written.

use std::fmt;
use std::path::PathBuf;

use serde::{Serialize, Serializer};

/// Which devices a unit may open and make.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Devices {
    /// All, as far as file permissions go.
    #[default]
    All,
    /// What the profile gives: [`STANDARD_DEVICES`], and the unit's terminal if it has one.
    Standard(Option<PathBuf>),
    /// These alone.
    Only(Vec<DeviceRule>),
}

/// What every program may have, and nodes of anything: to make one is not to open it. Docker's list (moby,
/// oci/caps/defaults.go and daemon/pkg/oci) without the network tunnel and FUSE.
pub const STANDARD_DEVICES: [&str; 11] = [
    "c *:* m",
    "b *:* m",
    "/dev/null rwm",
    "/dev/zero rwm",
    "/dev/full rwm",
    "/dev/random rwm",
    "/dev/urandom rwm",
    "c 5:0 rwm",
    "c 5:1 rwm",
    "c 5:2 rwm",
    "c 136:* rwm",
];

/// One entry of an allow-list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceRule {
    /// Which devices.
    pub which: DeviceName,
    /// What may be done with them.
    pub access: DeviceAccess,
}

/// How an entry names devices; systemd.resource-control(5), `DeviceAllow=`, and devices in cgroup-v1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DeviceName {
    /// A node below /dev.
    Path(PathBuf),
    /// All of a driver, by its name in /proc/devices: `char-pts`.
    Driver(DeviceKind, Box<str>),
    /// By numbers; None: `*`.
    Numbers(DeviceKind, Option<u32>, Option<u32>),
}

/// The two kinds of device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs)]
pub enum DeviceKind {
    Block,
    Char,
}

/// What may be done with a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs)]
pub struct DeviceAccess {
    pub read: bool,
    pub write: bool,
    pub mknod: bool,
}

impl Devices {
    /// The entries. None: everything may be had.
    pub fn rules(&self) -> Option<Vec<DeviceRule>> {
        match self {
            Self::All => None,
            Self::Standard(terminal) => {
                let standard = STANDARD_DEVICES.iter().filter_map(|text| DeviceRule::parse(text).ok());
                let terminal = terminal.iter().map(|path| DeviceRule {
                    which: DeviceName::Path(path.clone()),
                    access: DeviceAccess::ALL,
                });
                Some(standard.chain(terminal).collect())
            }
            Self::Only(rules) => Some(rules.clone()),
        }
    }
}

impl DeviceRule {
    /// Reads `/dev/null rw`, `char-pts rw`, `b 8:* r`. Without an access it is `rwm`.
    ///
    /// # Errors
    /// What is wrong with it, in one line.
    pub fn parse(text: &str) -> Result<Self, Box<str>> {
        let wrong = |why: &str| Err(format!("`{text}` is no device: {why}").into());
        let words: Vec<&str> = text.split_whitespace().collect();
        let (which, rest) = match words.as_slice() {
            [path, rest @ ..] if path.starts_with('/') => {
                if !path.starts_with("/dev/") || path.split('/').any(|part| part == "..") {
                    return wrong("its node is below /dev");
                }
                (DeviceName::Path(path.into()), rest)
            }
            [kind @ ("b" | "c"), numbers, rest @ ..] => match numbers.split_once(':') {
                Some((major, minor)) => match (device_number(major), device_number(minor)) {
                    (Some(major), Some(minor)) => (DeviceName::Numbers(DeviceKind::of(kind), major, minor), rest),
                    (_, _) => return wrong("its numbers are MAJOR:MINOR, each a number or *"),
                },
                None => return wrong("its numbers are MAJOR:MINOR"),
            },
            [driver, rest @ ..] => match driver.split_once('-') {
                Some((kind @ ("char" | "block"), name)) if !name.is_empty() => {
                    (DeviceName::Driver(DeviceKind::of(kind), name.into()), rest)
                }
                Some(_) | None => {
                    return wrong("there are /dev/NAME, char-DRIVER, block-DRIVER, c MAJOR:MINOR, b MAJOR:MINOR");
                }
            },
            [] => return wrong("it is empty"),
        };
        let access = match rest {
            [] => DeviceAccess::ALL,
            [letters] => match DeviceAccess::parse(letters) {
                Some(access) => access,
                None => return wrong("after it come r, w, m"),
            },
            [_, ..] => return wrong("after it come r, w, m, and nothing more"),
        };
        Ok(Self { which, access })
    }
}

/// None: no number; Some(None): `*`.
fn device_number(text: &str) -> Option<Option<u32>> {
    match text {
        "*" => Some(None),
        digits if !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) => {
            digits.parse().ok().map(Some)
        }
        _ => None,
    }
}

impl DeviceKind {
    fn of(word: &str) -> Self {
        if word.starts_with('b') { Self::Block } else { Self::Char }
    }

    /// As devices.allow of cgroup v1 writes it.
    pub fn letter(self) -> char {
        match self {
            Self::Block => 'b',
            Self::Char => 'c',
        }
    }
}

impl DeviceAccess {
    /// Everything.
    pub const ALL: Self = Self {
        read: true,
        write: true,
        mknod: true,
    };

    fn parse(letters: &str) -> Option<Self> {
        let has = |letter| letters.contains(letter);
        let known = !letters.is_empty() && letters.chars().all(|letter| "rwm".contains(letter));
        known.then(|| Self {
            read: has('r'),
            write: has('w'),
            mknod: has('m'),
        })
    }
}

impl fmt::Display for DeviceAccess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let letters = [(self.read, "r"), (self.write, "w"), (self.mknod, "m")];
        letters
            .iter()
            .filter(|(on, _)| *on)
            .try_for_each(|(_, letter)| f.write_str(letter))
    }
}

impl fmt::Display for DeviceRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = |number: Option<u32>| number.map_or_else(|| "*".to_owned(), |number| number.to_string());
        match &self.which {
            DeviceName::Path(path) => write!(f, "{}", path.display())?,
            DeviceName::Driver(DeviceKind::Block, name) => write!(f, "block-{name}")?,
            DeviceName::Driver(DeviceKind::Char, name) => write!(f, "char-{name}")?,
            DeviceName::Numbers(kind, major, minor) => {
                write!(f, "{} {}:{}", kind.letter(), number(*major), number(*minor))?;
            }
        }
        write!(f, " {}", self.access)
    }
}

impl Serialize for Devices {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::All => to.serialize_none(),
            // The terminal has a key of its own.
            Self::Standard(_) => to.collect_seq(STANDARD_DEVICES),
            Self::Only(rules) => to.collect_seq(rules.iter().map(ToString::to_string)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn devices_read_back() {
        for (text, shown) in [
            ("/dev/null rw", "/dev/null rw"),
            ("/dev/net/tun", "/dev/net/tun rwm"),
            ("char-pts rw", "char-pts rw"),
            ("block-virtblk  r", "block-virtblk r"),
            ("b 8:* r", "b 8:* r"),
            ("c *:* m", "c *:* m"),
            ("c 1:3 mwr", "c 1:3 rwm"),
        ] {
            let rule = DeviceRule::parse(text).unwrap();
            assert_eq!(rule.to_string(), shown);
            assert_eq!(DeviceRule::parse(shown), Ok(rule));
        }
        for text in [
            "",
            "null",
            "/etc/passwd r",
            "/dev/../etc/passwd",
            "char-",
            "tty-x rw",
            "b 8 r",
            "b 8:x r",
            "c 1:3 x",
            "c 1:3 r w",
            "a *:* rwm",
            "b -1:0 r",
            "b 4294967296:0 r",
        ] {
            assert!(DeviceRule::parse(text).is_err(), "{text}");
        }
        assert_eq!(Devices::Standard(None).rules().unwrap().len(), STANDARD_DEVICES.len());
    }

    proptest! {
        #[test]
        fn any_text_is_an_error_or_a_value(text: String) {
            drop(DeviceRule::parse(&text));
        }
    }
}
