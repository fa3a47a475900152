//! What this kernel can do, and what our privileges allow.

use std::borrow::Cow;
use std::io;
use std::path::Path;

use rustix::thread::CapabilitySet;

use super::capabilities::{SETFCAP, SETGID, SETUID};
use crate::unit::namespaces::{AUTO_FIRST, AUTO_LAST, IdMap, UserNamespace};

/// What a child can be given here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kernel {
    /// CAP_SYS_ADMIN in our user namespace: mounts and namespaces.
    pub admin: bool,
    /// Our user namespace is not the machine's own: devices cannot be made, setgroups(2) may be denied.
    pub in_user_namespace: bool,
    /// Kinds of namespace that there can be none of, as /proc/self/ns names them.
    no_namespaces: Vec<(&'static str, Lack)>,
    /// The permitted set of capabilities(7), and the bounding set: what we can give, and what there is to drop.
    pub(super) permitted: u64,
    pub(super) bounding: u64,
    /// Why there can be no system-call filter.
    pub(super) no_filters: Option<Lack>,
    /// Why there can be no keyring of a unit's own.
    pub(super) no_keyrings: Option<Lack>,
    /// Why what is mounted where cannot be changed by descriptors.
    pub(super) no_mounts: Option<Lack>,
    /// Why there can be no rules of landlock(7).
    pub(super) no_landlock: Option<Lack>,
    /// The ids that there are for us.
    pub(super) ids: IdMap,
    /// Our own OOM score, which children begin with.
    pub(super) oom_score_adj: i16,
    /// Our own execution domain, which children begin in.
    pub(super) personality: u32,
}

/// Kinds of namespace as /proc/self/ns names them, and what makes one; namespaces(7).
const NAMESPACES: [(&str, &str); 8] = [
    ("mnt", "CLONE_NEWNS"),
    ("pid", "CLONE_NEWPID"),
    ("ipc", "CLONE_NEWIPC"),
    ("uts", "CLONE_NEWUTS"),
    ("cgroup", "CLONE_NEWCGROUP"),
    ("net", "CLONE_NEWNET"),
    ("user", "CLONE_NEWUSER"),
    ("time", "CLONE_NEWTIME"),
];

impl Kernel {
    /// Looks; leaves nothing behind.
    pub fn probe() -> Self {
        let sets = rustix::thread::capabilities(None);
        let admin = sets.is_ok_and(|sets| sets.effective.contains(CapabilitySet::SYS_ADMIN));
        let permitted = sets.map_or(0, |sets| sets.permitted.bits());
        let kinds = NAMESPACES.into_iter();
        Self {
            admin,
            in_user_namespace: !maps_all_users(),
            no_namespaces: kinds
                .filter_map(|(name, _)| Some((name, no_namespace(name)?)))
                .collect(),
            permitted,
            bounding: bounding_set(),
            no_filters: why(crate::sys::seccomp::probe(), "system-call filter"),
            no_keyrings: why(crate::sys::keyring::probe(), "keyring"),
            no_mounts: why_no_mounts(),
            no_landlock: super::landlock::refused(),
            ids: IdMap::of_lines(&std::fs::read_to_string("/proc/self/uid_map").unwrap_or_default()),
            oom_score_adj: oom_score_adj(),
            personality: nix::sys::personality::get().map_or(0, |persona| persona.bits().cast_unsigned()),
        }
    }

    /// Each kind of namespace: its name, what makes it, and why there can be none.
    pub fn namespaces(&self) -> Vec<(&'static str, &'static str, Option<String>)> {
        let one = |(name, by)| (name, by, self.refuses(name).map(Lack::into_text));
        NAMESPACES.into_iter().map(one).collect()
    }

    /// What else bounds a child: its name, what does it, and why it cannot be had.
    pub fn privileges(&self) -> Vec<(&'static str, &'static str, Option<String>)> {
        let text = |lack: &Option<Lack>| lack.clone().map(Lack::into_text);
        let no_mounts = (!self.admin).then(|| "it takes CAP_SYS_ADMIN".to_owned());
        let no_mounts = no_mounts.or_else(|| text(&self.no_mounts));
        vec![
            ("mounts", "fsopen(2), open_tree(2), mount_setattr(2)", no_mounts),
            (
                "seccomp",
                "seccomp(2), a filter of system calls",
                text(&self.no_filters),
            ),
            (
                "keyring",
                "keyctl(2), a session keyring of its own",
                text(&self.no_keyrings),
            ),
        ]
    }

    /// Why there can be no namespace of this kind; None: there can.
    pub fn refuses(&self, namespace: &str) -> Option<Lack> {
        if let Some((_, lack)) = self.no_namespaces.iter().find(|(kind, _)| *kind == namespace) {
            return Some(lack.clone());
        }
        (!self.admin).then(|| Lack::of_right("it takes CAP_SYS_ADMIN: run as root, or in a user namespace"))
    }

    /// Why a service can have no such user namespace; None: it can.
    pub fn refuses_users(&self, wanted: &UserNamespace) -> Option<Lack> {
        if let Some(why) = self.refuses("user") {
            return Some(why);
        }
        let (ids, takes) = match wanted {
            UserNamespace::Auto => (&IdMap::of_range(AUTO_FIRST, AUTO_LAST - AUTO_FIRST), SETUID | SETGID),
            UserNamespace::Identity => (&self.ids.identity(), SETUID | SETGID | SETFCAP),
            UserNamespace::Map(map) if map.inside(0).is_some() => (map, SETUID | SETGID | SETFCAP),
            UserNamespace::Map(map) => (map, SETUID | SETGID),
        };
        let missing = crate::unit::value::capability_names(takes & !self.permitted).join(", ");
        if !missing.is_empty() {
            return Some(Lack::of_right(format!("it takes {missing}")));
        }
        let beyond = || {
            Lack::of_right(format!(
                "svcd itself runs in a user namespace that has not all of the ids {ids}"
            ))
        };
        (!ids.is_within(&self.ids)).then(beyond)
    }
}

/// Why something cannot be had here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lack {
    /// For people: `it takes CAP_SYS_ADMIN`.
    pub cause: Cow<'static, str>,
    /// As errno(3); 0 where it is no matter of the kernel's.
    pub errno: i32,
}

impl Lack {
    /// svcd may not have it.
    pub(super) fn of_right(cause: impl Into<Cow<'static, str>>) -> Self {
        Self {
            cause: cause.into(),
            errno: libc::EPERM,
        }
    }

    /// The unit itself takes from it what it needs.
    pub(super) fn of_unit(cause: &'static str) -> Self {
        Self {
            cause: cause.into(),
            errno: 0,
        }
    }

    fn into_text(self) -> String {
        self.cause.into_owned()
    }
}

/// namespaces(7), "The /proc/pid/ns/ directory" and "The /proc/sys/user directory".
fn no_namespace(kind: &str) -> Option<Lack> {
    let kinds = Path::new("/proc/self/ns");
    if kinds.exists() && !kinds.join(kind).exists() {
        return Some(Lack {
            cause: "this kernel was built without it".into(),
            errno: libc::EINVAL,
        });
    }
    let limit = format!("max_{kind}_namespaces");
    let most = std::fs::read_to_string(Path::new("/proc/sys/user").join(&limit)).ok()?;
    (most.trim() == "0").then(|| Lack {
        cause: format!("user.{limit} is 0").into(),
        errno: libc::ENOSPC,
    })
}

/// Why a thing cannot be had, where a probe of it fails.
fn why(probed: io::Result<()>, what: &str) -> Option<Lack> {
    let errno = probed.err()?.raw_os_error().unwrap_or(0);
    let name = crate::unit::value::errno_name(errno);
    let cause = match errno {
        libc::ENOSYS | libc::EINVAL | libc::EOPNOTSUPP => format!("this kernel has no {what}: {name}"),
        _ => format!("svcd may use no {what}: {name}"),
    };
    Some(Lack {
        cause: cause.into(),
        errno,
    })
}

/// The newest of the calls that mounts are made by is from kernel 5.12.
fn why_no_mounts() -> Option<Lack> {
    let (call, error) = crate::sys::mount::missing_call()?;
    why(Err(error), call)
}

/// Zero where /proc does not tell, as most processes have it.
fn oom_score_adj() -> i16 {
    let text = std::fs::read_to_string("/proc/self/oom_score_adj").unwrap_or_default();
    text.trim().parse().unwrap_or(0)
}

fn bounding_set() -> u64 {
    let numbers = (0..u64::BITS).map(|number| 1 << number);
    let held = numbers.filter(|bit| {
        let capability = CapabilitySet::from_bits_retain(*bit);
        rustix::thread::capability_is_in_bounding_set(capability).unwrap_or(false)
    });
    held.sum()
}

/// The machine's own user namespace maps every number to itself; user_namespaces(7).
fn maps_all_users() -> bool {
    let map = std::fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    map.split_whitespace().eq(["0", "0", "4294967295"])
}
