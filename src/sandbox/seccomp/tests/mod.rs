//! Filters run here, in an interpreter of their instructions, and judged by what the unit's words mean: for both
//! architectures that svc is built for, with the 32-bit calls and those of x32 that an x86-64 kernel takes besides.

mod arguments;
mod interpreter;

use std::collections::BTreeSet;

use libc::sock_filter;
use proptest::prelude::*;

use interpreter::run;

use super::program::{INSTRUCTIONS_MAX, audit, compile};
use super::rules::{Action, Rules};
use super::{Filters, Wanted};
use crate::unit::calls::{Architecture, Architecture::*, expand};
use crate::unit::filter::{CallFilter, Denial, NamespaceKinds, Seccomp, SocketFamilies};
use crate::unit::{Isolation, Profile};

const ALL: [Architecture; 3] = [X86_64, X86, Aarch64];
const EPERM: Action = Action::Errno(1);
const ENOSYS: Action = Action::Errno(38);
const EAFNOSUPPORT: Action = Action::Errno(97);

fn program(wanted: &Wanted, architectures: &[Architecture]) -> Vec<sock_filter> {
    let rules = Rules::new(wanted);
    let program = compile(architectures.iter().map(|its| (*its, rules.verdicts(*its))));
    assert!(program.len() <= INSTRUCTIONS_MAX);
    program
}

/// A filter and the questions put to it by name.
struct Filter(Vec<sock_filter>);

impl Filter {
    fn new(wanted: &Wanted) -> Self {
        Self(program(wanted, &ALL))
    }

    fn call(&self, architecture: Architecture, name: &str, arguments: &[u64]) -> Action {
        let mut six = [0; 6];
        six[..arguments.len()].copy_from_slice(arguments);
        run(&self.0, audit(architecture), number(architecture, name).unwrap(), six)
    }
}

fn number(architecture: Architecture, name: &str) -> Option<u32> {
    architecture
        .calls()
        .find(|(_, its)| *its == name)
        .map(|(number, _)| number)
}

/// Nothing is wanted but what a test adds.
fn nothing() -> Wanted {
    Wanted::of(&Isolation::of(Profile::None), 0)
}

fn standard() -> Wanted {
    Wanted::of(&Isolation::of(Profile::Standard), 0)
}

fn own(allow: Option<&[&str]>, deny: &[&str], denial: Denial) -> Wanted {
    let boxed = |names: &[&str]| names.iter().map(|name| Box::from(*name)).collect::<Vec<Box<str>>>();
    let (allow, deny) = (allow.map(boxed), boxed(deny));
    let calls = Seccomp::Calls(Box::new(CallFilter { allow, deny, denial }));
    Wanted { calls, ..nothing() }
}

fn names(entries: &[&str]) -> BTreeSet<&'static str> {
    let mut all = BTreeSet::new();
    for entry in entries {
        expand(entry, &mut |name| {
            all.insert(name);
        });
    }
    all
}

/// The table that the default filter is held against: calls that the always-on probes make, and those that every
/// program makes.
#[test]
fn the_default_filter_is_what_its_table_says() {
    let filter = Filter::new(&standard());
    let refused = [
        "mount",
        "umount2",
        "pivot_root",
        "fsopen",
        "move_mount",
        "open_tree",
        "keyctl",
        "add_key",
        "bpf",
        "reboot",
        "open_by_handle_at",
        "kexec_load",
        "io_uring_setup",
        "swapon",
        "init_module",
        "settimeofday",
        "acct",
        "perf_event_open",
        "userfaultfd",
        "syslog",
        "quotactl",
        "setns",
        "kcmp",
        "pidfd_getfd",
        "sethostname",
    ];
    let allowed = [
        "read",
        "openat",
        "execve",
        "exit_group",
        "clone",
        "futex",
        "socketpair",
        "setgroups",
        "chroot",
        "prctl",
        "sched_setaffinity",
        "io_setup",
        "ptrace",
        "seccomp",
        "landlock_create_ruleset",
        "statx",
        "mprotect",
        "uname",
    ];
    for architecture in ALL {
        for name in refused {
            assert_eq!(filter.call(architecture, name, &[]), EPERM, "{architecture:?} {name}");
        }
        for name in allowed {
            assert_eq!(
                filter.call(architecture, name, &[]),
                Action::Allow,
                "{architecture:?} {name}"
            );
        }
    }
}

/// Calls that fail whatever their arguments, though the default filter names them.
const ALWAYS: [(&str, Action); 5] = [
    ("clone3", ENOSYS),
    ("setns", EPERM),
    ("sched_setattr", EPERM),
    ("openat2", ENOSYS),
    ("socketcall", ENOSYS),
];

#[test]
fn every_number_has_its_answer() {
    let filter = Filter::new(&standard());
    // What Docker's default capabilities are for besides.
    let mut through = names(&["@standard", "chroot"]);
    for (name, _) in ALWAYS {
        through.remove(name);
    }
    for architecture in ALL {
        let calls: Vec<(u32, &str)> = architecture.calls().collect();
        for number in 0..2000 {
            let name = calls.iter().find(|(its, _)| *its == number).map(|(_, name)| *name);
            let expected = match name {
                None => ENOSYS,
                Some(name) if through.contains(name) => Action::Allow,
                Some(name) => ALWAYS
                    .iter()
                    .find(|(its, _)| *its == name)
                    .map_or(EPERM, |(_, action)| *action),
            };
            let answer = run(&filter.0, audit(architecture), number, [0; 6]);
            assert_eq!(answer, expected, "{architecture:?} {number} {name:?}");
        }
    }
}

#[test]
fn x32_is_not_a_way_round() {
    for wanted in [standard(), own(None, &["@mount"], Denial::DEFAULT)] {
        let filter = Filter::new(&wanted);
        for number in [0, 1, 59, 165, 272, 512, 547] {
            let x32 = run(&filter.0, audit(X86_64), number | 0x4000_0000, [0; 6]);
            assert_eq!(x32, ENOSYS, "{number}");
        }
        for number in [u32::MAX, 0x8000_0000, 0x3fff_ffff] {
            assert_eq!(run(&filter.0, audit(X86_64), number, [0; 6]), ENOSYS);
        }
    }
}

#[test]
fn other_architectures_end_the_process() {
    /// AUDIT_ARCH_ARM, AUDIT_ARCH_RISCV64.
    const OTHERS: [u32; 2] = [0x4000_0028, 0xc000_00f3];
    let filter = Filter::new(&standard());
    for other in OTHERS {
        assert_eq!(run(&filter.0, other, 0, [0; 6]), Action::Kill);
    }
    let native = program(&standard(), &[X86_64]);
    assert_eq!(
        run(&native, audit(X86), number(X86, "read").unwrap(), [0; 6]),
        Action::Kill
    );
    let architectures = |listed: &[Architecture]| {
        Wanted {
            architectures: listed.to_vec(),
            ..standard()
        }
        .architectures()
    };
    let native = Architecture::NATIVE;
    assert_eq!(architectures(&[native]), [native]);
    assert_eq!(
        architectures(&[X86]),
        [native, X86],
        "the program is executed by a call of svcd's own architecture"
    );
}

#[test]
fn capabilities_open_what_they_are_for() {
    let with = |set| {
        Filter::new(&Wanted {
            capabilities: set,
            ..standard()
        })
    };
    let none = with(Some(0));
    let all = with(None);
    for (capability, call) in [
        (21, "mount"),
        (22, "reboot"),
        (25, "clock_settime"),
        (16, "init_module"),
        (2, "open_by_handle_at"),
        (18, "chroot"),
        (19, "kcmp"),
        (20, "acct"),
        (23, "mbind"),
        (34, "syslog"),
        (38, "perf_event_open"),
        (39, "bpf"),
    ] {
        for architecture in ALL {
            assert_eq!(none.call(architecture, call, &[]), EPERM, "{call}");
            assert_eq!(
                with(Some(1 << capability)).call(architecture, call, &[]),
                Action::Allow,
                "{call}"
            );
            assert_eq!(all.call(architecture, call, &[]), Action::Allow, "{call}");
        }
    }
}

#[test]
fn a_filter_of_ones_own() {
    let allow = Filter::new(&own(
        Some(&["@system-service", "mount"]),
        &["@keyring", "openat"],
        Denial::Errno(13),
    ));
    let kill = Filter::new(&own(Some(&["write"]), &[], Denial::Kill));
    let deny = Filter::new(&own(None, &["@clock", "ptrace"], Denial::DEFAULT));
    let standard = Filter::new(&own(Some(&["@standard"]), &[], Denial::DEFAULT));
    let whole = Filter::new(&own(Some(&["@standard", "socket", "socketcall"]), &[], Denial::DEFAULT));
    for architecture in ALL {
        let check = |filter: &Filter, name, arguments: &[u64], expected| {
            assert_eq!(
                filter.call(architecture, name, arguments),
                expected,
                "{architecture:?} {name}"
            );
        };
        check(&allow, "read", &[], Action::Allow);
        check(&allow, "mount", &[], Action::Allow);
        check(&allow, "umount2", &[], Action::Errno(13));
        check(&allow, "keyctl", &[], Action::Errno(13));
        check(&allow, "openat", &[], Action::Errno(13));
        // What every program needs need not be named.
        check(&kill, "execve", &[], Action::Allow);
        check(&kill, "write", &[], Action::Allow);
        check(&kill, "read", &[], Action::Kill);
        check(&deny, "ptrace", &[], EPERM);
        check(&deny, "clock_settime", &[], EPERM);
        check(&deny, "mount", &[], Action::Allow);
        check(&standard, "socket", &[2, 3], EPERM);
        check(&standard, "chroot", &[], EPERM);
        check(&whole, "socket", &[2, 3], Action::Allow);
    }
    assert_eq!(standard.call(X86, "socketcall", &[]), ENOSYS);
    assert_eq!(whole.call(X86, "socketcall", &[]), Action::Allow);
    assert_eq!(
        run(&deny.0, audit(X86_64), 9999, [0; 6]),
        ENOSYS,
        "a call of tomorrow is no way round"
    );
}

#[test]
fn filters_are_made_once() {
    let mut filters = Filters::default();
    let first = filters.get(standard()).unwrap();
    let again = filters.get(standard()).unwrap();
    assert!(std::rc::Rc::ptr_eq(&first, &again));
    let other = filters.get(own(None, &["ptrace"], Denial::DEFAULT)).unwrap();
    assert!(!std::rc::Rc::ptr_eq(&first, &other));
    drop((first, again));
    let _another = filters.get(own(None, &["mount"], Denial::DEFAULT)).unwrap();
    assert_eq!(filters.0.len(), 2, "what nobody uses is let go");
}

/// The kernel translates each instruction at each start.
#[test]
fn calls_that_are_judged_alike_share_their_checks() {
    let (load_second, of_set_id) = ((0x20, 24), (0x54, 0o6000));
    let filter = program(&standard(), &ALL);
    let code: Vec<(u16, u32)> = filter.iter().map(|its| (its.code, its.k)).collect();
    // Of those that make a file of a mode, and of those that make one of a mode and a kind.
    assert_eq!(
        code.windows(2).filter(|two| *two == [load_second, of_set_id]).count(),
        2
    );
    assert!(code.len() < 500, "{} instructions", code.len());
}

#[test]
fn nothing_wanted_is_no_filter() {
    assert!(nothing().is_nothing());
    assert!(!standard().is_nothing());
    assert!(
        !Wanted {
            realtime: true,
            ..nothing()
        }
        .is_nothing()
    );
}

fn entries() -> impl Strategy<Value = Vec<&'static str>> {
    let known: Vec<&'static str> = X86_64
        .calls()
        .map(|(_, name)| name)
        .chain(X86.calls().map(|(_, name)| name))
        .collect();
    let groups = [
        "@default",
        "@mount",
        "@system-service",
        "@privileged",
        "@obsolete",
        "@clock",
    ];
    prop::collection::vec(
        prop_oneof![3 => prop::sample::select(known), 1 => prop::sample::select(groups.to_vec())],
        0..40,
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Any lists: the program answers each number as the sets say.
    #[test]
    fn any_filter_answers_as_its_lists_say(allow in prop::option::of(entries()), deny in entries(), kill: bool) {
        let denial = if kill { Denial::Kill } else { Denial::Errno(13) };
        let denied = if kill { Action::Kill } else { Action::Errno(13) };
        let filter = Filter::new(&own(allow.as_deref(), &deny, denial));
        let through = allow.map(|allow| names(&[&allow[..], &["@default"]].concat()));
        let not = names(&deny);
        for architecture in ALL {
            let calls: Vec<(u32, &str)> = architecture.calls().collect();
            for number in 0..600 {
                let name = calls.iter().find(|(its, _)| *its == number).map(|(_, name)| *name);
                let expected = match name {
                    None => ENOSYS,
                    Some(name) if not.contains(name) => denied,
                    Some(name) if through.as_ref().is_none_or(|through| through.contains(name)) => Action::Allow,
                    Some(_) => denied,
                };
                prop_assert_eq!(run(&filter.0, audit(architecture), number, [0; 6]), expected, "{:?} {:?}", architecture, name);
            }
        }
    }
}
