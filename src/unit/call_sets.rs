//! What a filter lets through, by name: the words of `seccomp`, with the calls of their groups.

use std::collections::BTreeSet;

use super::calls::{STANDARD, expand};
use super::filter::Seccomp;
use super::value::capability_number;

/// What becomes of a call before anybody looks at its arguments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Through {
    /// It is not let through.
    Not,
    /// It is, whatever its arguments.
    Whole,
    /// As [`STANDARD`] has it: some calls with a look at what they do.
    AsStandard,
}

/// A filter as sets of calls.
#[derive(Clone, Debug)]
pub struct CallSets {
    /// Let through. None: all.
    allowed: Option<BTreeSet<&'static str>>,
    standard: BTreeSet<&'static str>,
    denied: BTreeSet<&'static str>,
}

/// What the default filter lets through besides, where the bounding set has a capability that is needed for it; as Docker
/// does (moby, profiles/seccomp).
#[rustfmt::skip]
const FOR_CAPABILITIES: [(&str, &[&str]); 14] = [
    ("CAP_BPF", &["bpf"]),
    ("CAP_DAC_READ_SEARCH", &["open_by_handle_at"]),
    ("CAP_PERFMON", &["perf_event_open"]),
    ("CAP_SYS_ADMIN", &["@mount", "bpf", "fanotify_init", "lookup_dcookie", "perf_event_open", "quotactl", "quotactl_fd",
        "setdomainname", "sethostname", "syslog"]),
    ("CAP_SYS_BOOT", &["@reboot"]),
    ("CAP_SYS_CHROOT", &["chroot"]),
    ("CAP_SYS_MODULE", &["@module"]),
    ("CAP_SYS_NICE", &["get_mempolicy", "mbind", "migrate_pages", "move_pages", "set_mempolicy",
        "set_mempolicy_home_node"]),
    ("CAP_SYS_PACCT", &["acct"]),
    ("CAP_SYS_PTRACE", &["kcmp", "pidfd_getfd"]),
    ("CAP_SYS_RAWIO", &["ioperm", "iopl"]),
    ("CAP_SYS_TIME", &["@clock", "stime"]),
    ("CAP_SYS_TTY_CONFIG", &["vhangup"]),
    ("CAP_SYSLOG", &["syslog"]),
];

impl CallSets {
    /// The sets of a filter; `capabilities` is the bounding set (None: all), which the default filter goes by; `taken` are
    /// calls and groups that other keys take away.
    pub fn new(seccomp: &Seccomp, capabilities: Option<u64>, taken: &[&str]) -> Self {
        let mut sets = Self::of_filter(seccomp, capabilities);
        sets.denied.extend(calls(taken.iter().copied()));
        sets
    }

    fn of_filter(seccomp: &Seccomp, capabilities: Option<u64>) -> Self {
        let none = BTreeSet::new;
        match seccomp {
            Seccomp::None => Self {
                allowed: None,
                standard: none(),
                denied: none(),
            },
            Seccomp::Default => Self {
                allowed: Some(calls(for_capabilities(capabilities))),
                standard: calls([STANDARD]),
                denied: none(),
            },
            Seccomp::Calls(filter) => {
                let allow = || filter.allow.iter().flatten().map(AsRef::as_ref);
                // systemd.exec(5): what every program needs is let through without being named.
                let named = || allow().filter(|entry| *entry != STANDARD).chain(["@default"]);
                Self {
                    allowed: filter.allow.is_some().then(|| calls(named())),
                    standard: calls(allow().filter(|entry| *entry == STANDARD)),
                    denied: calls(filter.deny.iter().map(AsRef::as_ref)),
                }
            }
        }
    }

    /// What becomes of a call.
    pub fn through(&self, name: &str) -> Through {
        if self.denied.contains(name) {
            Through::Not
        } else if self.allowed.as_ref().is_none_or(|allowed| allowed.contains(name)) {
            Through::Whole
        } else if self.standard.contains(name) {
            Through::AsStandard
        } else {
            Through::Not
        }
    }

    /// Of the calls of an entry, those that are let through, if only with a look; and how many it has.
    pub fn open_of(&self, entry: &str) -> (Vec<&'static str>, usize) {
        let all = calls([entry]);
        let open = all.iter().copied().filter(|name| self.through(name) != Through::Not);
        (open.collect(), all.len())
    }
}

fn calls<'a>(entries: impl IntoIterator<Item = &'a str>) -> BTreeSet<&'static str> {
    let mut all = BTreeSet::new();
    for entry in entries {
        expand(entry, &mut |name| {
            all.insert(name);
        });
    }
    all
}

fn for_capabilities(set: Option<u64>) -> impl Iterator<Item = &'static str> {
    let has = move |name: &str| {
        let number = capability_number(name);
        set.is_none_or(|set| number.is_some_and(|number| set & (1 << number) != 0))
    };
    let held = FOR_CAPABILITIES.iter().filter(move |(name, _)| has(name));
    held.flat_map(|(_, entries)| entries.iter().copied())
}
