//! What becomes of each call: let through, failed, or the end of the process, by its name and the low words of its
//! arguments. Whatever the kernel takes from memory cannot be judged, so such a call is let through whole or not at all.

use super::Wanted;
use crate::unit::call_sets::{CallSets, Through};
use crate::unit::calls::Architecture;
use crate::unit::filter::{Denial, NamespaceKinds, Seccomp, SocketFamilies};

/// What a filter does with a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    Allow,
    /// It fails with this error number.
    Errno(u16),
    /// The process ends by SIGSYS.
    Kill,
}

/// An argument's low word, masked, is this value (`equal`) or is not. The kernel takes no more than the low word of all
/// that is judged here: they are `int`, `unsigned int` and flags below bit 32.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Condition {
    /// From 0.
    pub argument: u8,
    pub mask: u32,
    pub equal: bool,
    pub value: u32,
}

/// If all conditions hold, this becomes of the call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    pub conditions: Vec<Condition>,
    pub action: Action,
}

/// The first check whose conditions hold decides; otherwise this.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    pub checks: Vec<Check>,
    pub otherwise: Action,
}

impl Verdict {
    /// Without a look at the arguments.
    pub const fn plain(otherwise: Action) -> Self {
        let checks = Vec::new();
        Self { checks, otherwise }
    }
}

const EPERM: Action = Action::Errno(libc::EPERM as u16);
const ENOSYS: Action = Action::Errno(libc::ENOSYS as u16);
const EAFNOSUPPORT: Action = Action::Errno(libc::EAFNOSUPPORT as u16);

/// Of numbers that no table has. A library that tries a newer call falls back at this, and at nothing else.
pub const UNKNOWN: Verdict = Verdict::plain(ENOSYS);

/// What is wanted, ready to be asked about each call.
pub struct Rules<'a> {
    wanted: &'a Wanted,
    sets: CallSets,
    denial: Action,
}

impl<'a> Rules<'a> {
    pub fn new(wanted: &'a Wanted) -> Self {
        let denial = match &wanted.calls {
            Seccomp::None | Seccomp::Default => Denial::DEFAULT,
            Seccomp::Calls(filter) => filter.denial,
        };
        Self {
            wanted,
            sets: CallSets::new(&wanted.calls, wanted.capabilities, &wanted.taken),
            denial: match denial {
                Denial::Errno(number) => Action::Errno(number),
                Denial::Kill => Action::Kill,
            },
        }
    }

    /// What becomes of each call of an architecture, by number from the lowest.
    pub fn verdicts(&self, architecture: Architecture) -> Vec<(u32, Verdict)> {
        architecture
            .calls()
            .map(|(number, name)| (number, self.verdict(architecture, name)))
            .collect()
    }

    fn verdict(&self, architecture: Architecture, name: &str) -> Verdict {
        let through = self.sets.through(name);
        if through == Through::Not {
            return Verdict::plain(self.denial);
        }
        let mut checks = restrictions(self.wanted, architecture, name);
        if through == Through::AsStandard {
            checks.extend(standard_checks(name));
        }
        simple(checks, Action::Allow)
    }
}

/// A check without conditions decides for good, and what comes after it is never reached.
fn simple(mut checks: Vec<Check>, mut otherwise: Action) -> Verdict {
    if let Some(place) = checks.iter().position(|check| check.conditions.is_empty()) {
        otherwise = checks.get(place).map_or(otherwise, |check| check.action);
        checks.truncate(place);
    }
    Verdict { checks, otherwise }
}

/// The argument's bits of the mask are these.
const fn bits(argument: u8, mask: u32, value: u32) -> Condition {
    Condition {
        argument,
        mask,
        equal: true,
        value,
    }
}

const fn is(argument: u8, value: u32) -> Condition {
    bits(argument, u32::MAX, value)
}

const fn is_not(argument: u8, value: u32) -> Condition {
    Condition {
        equal: false,
        ..is(argument, value)
    }
}

/// One of these bits is set.
const fn any_of(argument: u8, mask: u32) -> Condition {
    Condition {
        argument,
        mask,
        equal: false,
        value: 0,
    }
}

fn refuse(conditions: &[Condition], action: Action) -> Check {
    let conditions = conditions.to_vec();
    Check { conditions, action }
}

/// What `@standard` looks at in the calls that it lets through: what root with Docker's capabilities could do to the
/// machine by them. Whoever names such a call itself lets it through whole.
fn standard_checks(name: &str) -> Vec<Check> {
    /// sys/socket.h: the type without its flags, SOCK_NONBLOCK and SOCK_CLOEXEC.
    const TYPE_MASK: u32 = 0xf;
    const RAW: Condition = bits(1, TYPE_MASK, libc::SOCK_RAW as u32);
    const OLD_PACKET: Condition = bits(1, TYPE_MASK, 10);
    let device = |argument| {
        let kind = |kind: u32| refuse(&[bits(argument, libc::S_IFMT, kind)], EPERM);
        vec![kind(libc::S_IFCHR), kind(libc::S_IFBLK)]
    };
    match name {
        "socket" => vec![
            refuse(&[is(0, libc::AF_PACKET as u32)], EPERM),
            refuse(&[OLD_PACKET], EPERM),
            refuse(&[is(0, libc::AF_INET as u32), RAW], EPERM),
            refuse(&[is(0, libc::AF_INET6 as u32), RAW], EPERM),
        ],
        // Its arguments are in memory.
        "socketcall" => vec![refuse(&[], ENOSYS)],
        "mknod" => device(1),
        "mknodat" => device(2),
        // Input for the terminal's other readers (CVE-2016-10124, CVE-2023-28100).
        "ioctl" => vec![refuse(&[is(1, 0x5412)], EPERM), refuse(&[is(1, 0x541c)], EPERM)],
        _ => Vec::new(),
    }
}

/// What the `restrict-` keys and their like refuse of a call.
fn restrictions(wanted: &Wanted, architecture: Architecture, name: &str) -> Vec<Check> {
    let mut checks = Vec::new();
    if wanted.namespaces != NamespaceKinds::NONE {
        checks.extend(on_namespaces(wanted.namespaces.0, name));
    }
    if let Some(domain) = wanted.personality
        && name == "personality"
    {
        /// Asks what it is, and changes nothing.
        const QUERY: u32 = u32::MAX;
        checks.push(refuse(&[is_not(0, domain), is_not(0, QUERY)], EPERM));
    }
    if wanted.write_execute {
        checks.extend(on_write_execute(architecture, name));
    }
    if wanted.realtime {
        checks.extend(on_realtime(name));
    }
    if wanted.suid_sgid {
        checks.extend(on_suid_sgid(name));
    }
    if let Some(families) = &wanted.families {
        checks.extend(on_families(families, name));
    }
    // A ring makes sockets and files past every filter.
    if (wanted.suid_sgid || wanted.families.is_some()) && name == "io_uring_setup" {
        checks.push(refuse(&[], EPERM));
    }
    checks
}

fn on_namespaces(kinds: u32, name: &str) -> Vec<Check> {
    // In clone(2) this bit is of the signal at the end; a time namespace is made by unshare(2) and clone3(2) only.
    const TIME: u32 = libc::CLONE_NEWTIME as u32;
    match name {
        "clone" => vec![refuse(&[any_of(0, kinds & !TIME)], EPERM)],
        // Its flags are in memory. C libraries go on with clone(2).
        "clone3" => vec![refuse(&[], ENOSYS)],
        "unshare" => vec![refuse(&[any_of(0, kinds)], EPERM)],
        // Without a kind named, it may be any.
        "setns" if kinds != NamespaceKinds::all().0 => {
            vec![refuse(&[is(1, 0)], EPERM), refuse(&[any_of(1, kinds)], EPERM)]
        }
        "setns" => vec![refuse(&[], EPERM)],
        _ => Vec::new(),
    }
}

fn on_write_execute(architecture: Architecture, name: &str) -> Vec<Check> {
    const WRITE: u32 = libc::PROT_WRITE as u32;
    const EXECUTE: u32 = libc::PROT_EXEC as u32;
    /// sys/shm.h.
    const SHM_EXEC: u32 = 0o100_000;
    /// ipc(2): the call, below its version.
    const SHMAT: Condition = bits(0, 0xffff, 21);
    match (architecture, name) {
        // Its arguments are in memory.
        (Architecture::X86, "mmap") => vec![refuse(&[], EPERM)],
        (_, "mmap" | "mmap2") => vec![refuse(&[bits(2, WRITE | EXECUTE, WRITE | EXECUTE)], EPERM)],
        (_, "mprotect" | "pkey_mprotect") => vec![refuse(&[any_of(2, EXECUTE)], EPERM)],
        (_, "shmat") => vec![refuse(&[any_of(2, SHM_EXEC)], EPERM)],
        (_, "ipc") => vec![refuse(&[SHMAT, any_of(2, SHM_EXEC)], EPERM)],
        _ => Vec::new(),
    }
}

fn on_realtime(name: &str) -> Vec<Check> {
    /// sched.h: the policy without its flag.
    const POLICY_MASK: u32 = !(libc::SCHED_RESET_ON_FORK as u32);
    const REALTIME: [i32; 3] = [libc::SCHED_FIFO, libc::SCHED_RR, libc::SCHED_DEADLINE];
    match name {
        "sched_setscheduler" => {
            let policies = REALTIME
                .iter()
                .map(|policy| bits(1, POLICY_MASK, policy.cast_unsigned()));
            policies.map(|policy| refuse(&[policy], EPERM)).collect()
        }
        // Its arguments are in memory.
        "sched_setattr" => vec![refuse(&[], EPERM)],
        _ => Vec::new(),
    }
}

fn on_suid_sgid(name: &str) -> Vec<Check> {
    const BITS: u32 = libc::S_ISUID | libc::S_ISGID;
    /// fcntl.h: the mode counts with O_CREAT and with the bit that O_TMPFILE has of its own.
    const MAKES: u32 = libc::O_CREAT as u32 | 0o20_000_000;
    let mode = |argument| vec![refuse(&[any_of(argument, BITS)], EPERM)];
    let open = |flags, mode| vec![refuse(&[any_of(flags, MAKES), any_of(mode, BITS)], EPERM)];
    match name {
        "chmod" | "fchmod" | "creat" | "mknod" => mode(1),
        "fchmodat" | "fchmodat2" | "mknodat" => mode(2),
        "open" => open(1, 2),
        "openat" => open(2, 3),
        // Its flags are in memory. Programs go on with openat(2).
        "openat2" => vec![refuse(&[], ENOSYS)],
        _ => Vec::new(),
    }
}

fn on_families(families: &SocketFamilies, name: &str) -> Vec<Check> {
    match (name, families) {
        ("socket", SocketFamilies::Only(only)) => {
            let others: Vec<Condition> = only.iter().map(|family| is_not(0, u32::from(*family))).collect();
            vec![refuse(&others, EAFNOSUPPORT)]
        }
        ("socket", SocketFamilies::Except(except)) => {
            let each = except.iter().map(|family| is(0, u32::from(*family)));
            each.map(|family| refuse(&[family], EAFNOSUPPORT)).collect()
        }
        // Its arguments are in memory.
        ("socketcall", _) => vec![refuse(&[], ENOSYS)],
        _ => Vec::new(),
    }
}
