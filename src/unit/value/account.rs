//! Users and groups, capabilities, resource limits.

use std::fmt;

use serde::{Serialize, Serializer};

use crate::unit::{Account, Rlimit, RlimitResource};

/// Reads a user or group: a decimal number from 0 to 4,294,967,294, or a name of useradd(8)'s form. Nothing that begins
/// with a digit is a name, and there is no fall-back.
///
/// # Errors
/// What is wrong with it, in one line.
pub fn parse_account(text: &str) -> Result<Account, Box<str>> {
    let wrong = |why: &str| Err(format!("`{text}` is no user or group: {why}").into());
    if text.bytes().next().is_some_and(|b| b.is_ascii_digit()) {
        return match text.parse::<u32>() {
            Ok(u32::MAX) => wrong("4294967295 means nobody at all to the kernel"),
            Ok(id) if text == id.to_string() => Ok(Account::Id(id)),
            Ok(_) | Err(_) => wrong("a number is decimal, 0 to 4294967294"),
        };
    }
    let letters = |b: u8| b.is_ascii_alphanumeric() || b"_-.".contains(&b);
    let starts = text
        .bytes()
        .next()
        .is_some_and(|b| b.is_ascii_alphabetic() || b == b'_');
    let body = text.strip_suffix('$').unwrap_or(text);
    if !starts || text.len() > 31 || !body.bytes().all(letters) {
        return wrong("a name has 1 to 31 letters, digits, `_`, `-`, `.` and starts with a letter");
    }
    Ok(Account::Name(text.into()))
}

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Id(id) => write!(f, "{id}"),
            Self::Name(name) => f.write_str(name),
        }
    }
}

impl Serialize for Account {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

/// capabilities(7), by number from 0, without `CAP_`.
const CAPABILITIES: [&str; 41] = [
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "KILL",
    "SETGID",
    "SETUID",
    "SETPCAP",
    "LINUX_IMMUTABLE",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_ADMIN",
    "NET_RAW",
    "IPC_LOCK",
    "IPC_OWNER",
    "SYS_MODULE",
    "SYS_RAWIO",
    "SYS_CHROOT",
    "SYS_PTRACE",
    "SYS_PACCT",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_NICE",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "MKNOD",
    "LEASE",
    "AUDIT_WRITE",
    "AUDIT_CONTROL",
    "SETFCAP",
    "MAC_OVERRIDE",
    "MAC_ADMIN",
    "SYSLOG",
    "WAKE_ALARM",
    "BLOCK_SUSPEND",
    "AUDIT_READ",
    "PERFMON",
    "BPF",
    "CHECKPOINT_RESTORE",
];

/// The number of `CAP_CHOWN` and its like.
pub fn capability_number(name: &str) -> Option<u32> {
    let name = name.strip_prefix("CAP_")?;
    CAPABILITIES
        .iter()
        .position(|known| *known == name)
        .and_then(|place| u32::try_from(place).ok())
}

/// Reads a list of capability names; `["all"]` is None, `["none"]` and an empty list are nothing.
///
/// # Errors
/// The first name that is none.
pub fn parse_capabilities<'a>(names: impl IntoIterator<Item = &'a str>) -> Result<Option<u64>, Box<str>> {
    let names: Vec<&str> = names.into_iter().collect();
    match names.as_slice() {
        ["all"] => return Ok(None),
        ["none"] => return Ok(Some(0)),
        _ => {}
    }
    let mut set = 0_u64;
    for name in names {
        let number = capability_number(name)
            .ok_or_else(|| format!("`{name}` is no capability of capabilities(7), such as CAP_CHOWN"))?;
        set |= 1 << number;
    }
    Ok(Some(set))
}

/// A bounding set as its names.
pub fn capability_names(set: u64) -> Vec<String> {
    let named = CAPABILITIES
        .iter()
        .enumerate()
        .filter(|(number, _)| set & (1 << number) != 0);
    named.map(|(_, name)| format!("CAP_{name}")).collect()
}

/// None is `all`.
pub(crate) fn serialize_capabilities<S: Serializer>(value: &Option<u64>, to: S) -> Result<S::Ok, S::Error> {
    match value {
        None => to.collect_seq(["all"]),
        Some(0) => to.collect_seq(["none"]),
        Some(set) => to.collect_seq(capability_names(*set)),
    }
}

/// The ambient set, as its names; empty is nothing.
pub(crate) fn serialize_ambient<S: Serializer>(value: &u64, to: S) -> Result<S::Ok, S::Error> {
    to.collect_seq(capability_names(*value))
}

use RlimitResource as R;

/// The sixteen, by name.
pub const RLIMITS: [(&str, RlimitResource); 16] = [
    ("as", R::As),
    ("core", R::Core),
    ("cpu", R::Cpu),
    ("data", R::Data),
    ("fsize", R::Fsize),
    ("locks", R::Locks),
    ("memlock", R::Memlock),
    ("msgqueue", R::Msgqueue),
    ("nice", R::Nice),
    ("nofile", R::Nofile),
    ("nproc", R::Nproc),
    ("rss", R::Rss),
    ("rtprio", R::Rtprio),
    ("rttime", R::Rttime),
    ("sigpending", R::Sigpending),
    ("stack", R::Stack),
];

/// Reads `65536`, `0:infinity`, `1024:4096`, sizes too: `8M`.
///
/// # Errors
/// What is wrong with it, in one line.
pub fn parse_rlimit(name: &str, text: &str) -> Result<Rlimit, Box<str>> {
    let resource = RLIMITS
        .iter()
        .find(|(known, _)| *known == name)
        .map(|(_, resource)| *resource);
    let resource = resource.ok_or_else(|| format!("`{name}` is no limit of setrlimit(2), such as nofile"))?;
    let one = |text: &str| match text {
        "infinity" => Ok(None),
        _ => super::Size::parse(text).map(|size| Some(size.0)),
    };
    let (soft, hard) = text.split_once(':').unwrap_or((text, text));
    let (soft, hard) = (one(soft)?, one(hard)?);
    if soft.unwrap_or(u64::MAX) > hard.unwrap_or(u64::MAX) {
        return Err(format!("`{text}`: the soft limit is above the hard one").into());
    }
    Ok(Rlimit { resource, soft, hard })
}

impl Rlimit {
    /// As a file would say it: the name, and its value: `65536` or `0:infinity`.
    pub(crate) fn written(&self) -> (&'static str, String) {
        let name = RLIMITS.iter().find(|(_, resource)| *resource == self.resource);
        let one = |value: Option<u64>| value.map_or_else(|| "infinity".to_owned(), |value| value.to_string());
        let value = if self.soft == self.hard {
            one(self.soft)
        } else {
            format!("{}:{}", one(self.soft), one(self.hard))
        };
        (name.map_or("", |(name, _)| name), value)
    }
}

pub(crate) fn serialize_rlimits<S: Serializer>(list: &[Rlimit], to: S) -> Result<S::Ok, S::Error> {
    to.collect_map(list.iter().map(Rlimit::written))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// CVE-2017-1000082, CVE-2020-13776, CVE-2026-46680: out of range, hex, or a name that begins with digits.
    #[test]
    fn hostile_users_are_refused() {
        for text in [
            "",
            "0day",
            "0x0",
            "-1",
            "4294967295",
            "4294967296",
            "99999999999",
            "01",
            "1:2",
            "a b",
            "ä",
            "+1",
            "root\n",
        ] {
            assert!(parse_account(text).is_err(), "{text:?}");
        }
        assert_eq!(parse_account("4294967294"), Ok(Account::Id(4_294_967_294)));
        assert_eq!(parse_account("2147483648"), Ok(Account::Id(2_147_483_648)));
        assert_eq!(parse_account("www-data"), Ok(Account::Name("www-data".into())));
    }

    #[test]
    fn capabilities_and_limits() {
        assert_eq!(parse_capabilities(["CAP_CHOWN", "CAP_KILL"]), Ok(Some(0b10_0001)));
        assert_eq!(parse_capabilities(["all"]), Ok(None));
        assert!(parse_capabilities(["CHOWN"]).is_err());
        assert_eq!(
            parse_rlimit("core", "0:infinity").unwrap().written(),
            ("core", "0:infinity".to_owned())
        );
        assert!(parse_rlimit("nofile", "2:1").is_err());
        assert!(parse_rlimit("files", "1").is_err());
    }
}
