//! What a system-call filter is to let through, as values: `seccomp` and the `restrict-` keys. Text to value and back.

use nix::errno::Errno;
use serde::ser::{SerializeMap, SerializeSeq};
use serde::{Serialize, Serializer};

use super::calls::{Group, KNOWN, is_call};

/// `seccomp`: which system calls are let through.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Seccomp {
    /// All; the keys that restrict single calls hold all the same.
    None,
    /// Those of [`STANDARD`](super::calls::STANDARD), and what the bounding set's capabilities are for.
    Default,
    /// Those that the unit names.
    #[serde(untagged)]
    Calls(Box<CallFilter>),
}

/// A filter of the unit's own. Entries are calls and groups; see [`super::calls`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallFilter {
    /// Nothing else is let through. None: everything that is known is.
    pub allow: Option<Vec<Box<str>>>,
    /// What is not let through in any case.
    pub deny: Vec<Box<str>>,
    /// What becomes of a call that is not let through.
    pub denial: Denial,
}

/// What becomes of a call that a filter does not let through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Denial {
    /// It fails with this error number, 1 to 4095.
    Errno(u16),
    /// The process ends by SIGSYS.
    Kill,
}

impl Denial {
    /// EPERM, as systemd and Docker answer.
    pub const DEFAULT: Self = Self::Errno(Errno::EPERM as u16);

    /// Reads `EPERM`, `kill`.
    ///
    /// # Errors
    /// What is wrong with it, in one line.
    pub fn parse(text: &str) -> Result<Self, Box<str>> {
        if text == "kill" {
            return Ok(Self::Kill);
        }
        let name = |number: &u16| format!("{:?}", Errno::from_raw(i32::from(*number)));
        let named = (1..=ERRNO_NAMED_MAX).find(|number| text.starts_with('E') && name(number) == text);
        named
            .map(Self::Errno)
            .ok_or_else(|| format!("`{text}` is no error of errno(3), such as \"EPERM\", and not \"kill\"").into())
    }
}

/// The highest error number that has a name; errno(3).
const ERRNO_NAMED_MAX: u16 = 133;

/// Checks an entry of a filter.
///
/// # Errors
/// It is neither a call nor a group.
pub fn parse_entry(text: &str) -> Result<Box<str>, Box<str>> {
    let known = text == KNOWN || Group::find(text).is_some() || is_call(text);
    match (known, text.starts_with('@')) {
        (true, _) => Ok(text.into()),
        (false, true) => Err(format!("`{text}` is no group of system calls, such as @system-service").into()),
        (false, false) => Err(format!("`{text}` is no system call, such as openat").into()),
    }
}

impl Serialize for CallFilter {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut map = to.serialize_map(None)?;
        if let Some(allow) = &self.allow {
            map.serialize_entry("allow", allow)?;
        }
        if !self.deny.is_empty() {
            map.serialize_entry("deny", &self.deny)?;
        }
        let denial = match self.denial {
            Denial::Errno(number) => super::value::errno_name(i32::from(number)),
            Denial::Kill => "kill".to_owned(),
        };
        map.serialize_entry("errno", &denial)?;
        map.end()
    }
}

/// Kinds of namespace that may be neither made nor entered, as CLONE_NEW… flags; namespaces(7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NamespaceKinds(pub u32);

impl NamespaceKinds {
    /// Each with its name in systemd.exec(5), `RestrictNamespaces=`; `time` is ours.
    const NAMES: [(&str, i32); 8] = [
        ("cgroup", libc::CLONE_NEWCGROUP),
        ("ipc", libc::CLONE_NEWIPC),
        ("net", libc::CLONE_NEWNET),
        ("mnt", libc::CLONE_NEWNS),
        ("pid", libc::CLONE_NEWPID),
        ("time", libc::CLONE_NEWTIME),
        ("user", libc::CLONE_NEWUSER),
        ("uts", libc::CLONE_NEWUTS),
    ];

    /// All of them.
    pub fn all() -> Self {
        Self(
            Self::NAMES
                .iter()
                .fold(0, |flags, (_, flag)| flags | flag.cast_unsigned()),
        )
    }

    /// None of them.
    pub const NONE: Self = Self(0);

    /// All but those named.
    ///
    /// # Errors
    /// The first name that is none.
    pub fn all_but<'a>(names: impl IntoIterator<Item = &'a str>) -> Result<Self, Box<str>> {
        names.into_iter().try_fold(Self::all(), |kinds, name| {
            let flag = Self::NAMES.iter().find(|(known, _)| *known == name);
            match flag {
                Some((_, flag)) => Ok(Self(kinds.0 & !flag.cast_unsigned())),
                None => Err(format!("`{name}` is no kind of namespace, such as \"net\"").into()),
            }
        })
    }
}

impl Serialize for NamespaceKinds {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        if *self == Self::all() || *self == Self::NONE {
            return to.serialize_bool(*self != Self::NONE);
        }
        let allowed = Self::NAMES
            .iter()
            .filter(|(_, flag)| self.0 & flag.cast_unsigned() == 0);
        to.collect_seq(allowed.map(|(name, _)| name))
    }
}

/// Families of sockets, by the numbers of address_families(7).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SocketFamilies {
    /// These can be made and no others.
    Only(Vec<u16>),
    /// All but these.
    Except(Vec<u16>),
}

/// `linux/socket.h`, by number from 0, without `AF_`; number 0 is no family.
const FAMILIES: [&str; 46] = [
    "UNSPEC",
    "UNIX",
    "INET",
    "AX25",
    "IPX",
    "APPLETALK",
    "NETROM",
    "BRIDGE",
    "ATMPVC",
    "X25",
    "INET6",
    "ROSE",
    "DECnet",
    "NETBEUI",
    "SECURITY",
    "KEY",
    "NETLINK",
    "PACKET",
    "ASH",
    "ECONET",
    "ATMSVC",
    "RDS",
    "SNA",
    "IRDA",
    "PPPOX",
    "WANPIPE",
    "LLC",
    "IB",
    "MPLS",
    "CAN",
    "TIPC",
    "BLUETOOTH",
    "IUCV",
    "RXRPC",
    "ISDN",
    "PHONET",
    "IEEE802154",
    "CAIF",
    "ALG",
    "NFC",
    "VSOCK",
    "KCM",
    "QIPCRTR",
    "SMC",
    "XDP",
    "MCTP",
];

impl SocketFamilies {
    /// Reads `["AF_UNIX", "AF_INET"]`, `["none"]`, and `["~AF_PACKET"]` for all but that.
    ///
    /// # Errors
    /// The first that is no family; a list that has both forms.
    pub fn parse<'a>(names: impl IntoIterator<Item = &'a str>) -> Result<Self, Box<str>> {
        let names: Vec<&str> = names.into_iter().collect();
        if names == ["none"] {
            return Ok(Self::Only(Vec::new()));
        }
        let inverted = names.iter().filter(|name| name.starts_with('~')).count();
        if inverted != 0 && inverted != names.len() {
            return Err("families are those allowed or, each with a `~`, those that are not: not both".into());
        }
        let families: Result<Vec<u16>, Box<str>> = names.iter().map(|name| family(name)).collect();
        Ok(if inverted == 0 {
            Self::Only(families?)
        } else {
            Self::Except(families?)
        })
    }
}

fn family(name: &str) -> Result<u16, Box<str>> {
    let short = name.trim_start_matches('~').strip_prefix("AF_").unwrap_or_default();
    let short = if short == "LOCAL" { "UNIX" } else { short };
    let place = FAMILIES.iter().skip(1).position(|known| *known == short);
    let number = place.and_then(|place| u16::try_from(place + 1).ok());
    number.ok_or_else(|| format!("`{name}` is no family of address_families(7), such as AF_INET").into())
}

impl Serialize for SocketFamilies {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let (mark, families) = match self {
            Self::Only(families) if families.is_empty() => return to.collect_seq(["none"]),
            Self::Only(families) => ("", families),
            Self::Except(families) => ("~", families),
        };
        let mut list = to.serialize_seq(Some(families.len()))?;
        for number in families {
            let name = FAMILIES.get(usize::from(*number)).copied().unwrap_or_default();
            list.serialize_element(&format!("{mark}AF_{name}"))?;
        }
        list.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_denied_fails_or_kills() {
        assert_eq!(Denial::parse("EPERM"), Ok(Denial::DEFAULT));
        assert_eq!(Denial::parse("EACCES"), Ok(Denial::Errno(13)));
        assert_eq!(Denial::parse("EHWPOISON"), Ok(Denial::Errno(133)));
        assert_eq!(Denial::parse("kill"), Ok(Denial::Kill));
        for text in ["", "0", "1", "EWHAT", "UnknownErrno", "KILL"] {
            assert!(Denial::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn entries_are_known() {
        for text in ["openat", "@system-service", "@known", "@standard", "break"] {
            assert!(parse_entry(text).is_ok(), "{text}");
        }
        for text in ["", "@", "@nothing", "openatt", "OPENAT", "~openat"] {
            assert!(parse_entry(text).is_err(), "{text}");
        }
    }

    #[test]
    fn families_are_allowed_or_excepted() {
        assert_eq!(
            SocketFamilies::parse(["AF_UNIX", "AF_INET6"]),
            Ok(SocketFamilies::Only(vec![1, 10]))
        );
        assert_eq!(
            SocketFamilies::parse(["~AF_PACKET"]),
            Ok(SocketFamilies::Except(vec![17]))
        );
        assert_eq!(SocketFamilies::parse(["none"]), Ok(SocketFamilies::Only(Vec::new())));
        for names in [
            &["AF_UNSPEC"][..],
            &["INET"],
            &["AF_INET", "~AF_UNIX"],
            &["none", "AF_INET"],
            &["~none"],
        ] {
            assert!(SocketFamilies::parse(names.iter().copied()).is_err(), "{names:?}");
        }
    }

    #[test]
    fn namespaces_are_those_not_named() {
        assert_eq!(NamespaceKinds::all_but([]), Ok(NamespaceKinds::all()));
        let but_net = NamespaceKinds::all_but(["net"]).unwrap();
        assert_eq!(but_net.0 ^ NamespaceKinds::all().0, libc::CLONE_NEWNET.cast_unsigned());
        assert!(NamespaceKinds::all_but(["mount"]).is_err());
    }
}
