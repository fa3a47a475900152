//! What filters make of arguments: tables of calls, held against all architectures.

use super::*;

type Row = (&'static str, &'static [u64], Action);

const NEWUSER: u64 = 0x1000_0000;
const SIGCHLD: u64 = 17;

/// The standard profile, on every architecture.
#[rustfmt::skip]
const STANDARD: &[Row] = &[
        ("clone", &[SIGCHLD], Action::Allow),
        // CLONE_VM and its like of a thread; the bits of a time namespace are of the signal here.
        ("clone", &[0x003d_0f00], Action::Allow),
        ("clone", &[0x80], Action::Allow),
        ("clone", &[NEWUSER | SIGCHLD], EPERM),
        // The kernel looks at the low word only.
        ("clone", &[0xffff_ffff_0000_0011], Action::Allow),
        ("clone3", &[], ENOSYS),
        // CLONE_FS, then each kind of namespace.
        ("unshare", &[0x200], Action::Allow),
        ("unshare", &[0x80], EPERM),
        ("unshare", &[0x2_0000], EPERM),
        ("unshare", &[0x200_0000], EPERM),
        ("unshare", &[0x400_0000], EPERM),
        ("unshare", &[0x800_0000], EPERM),
        ("unshare", &[NEWUSER], EPERM),
        ("unshare", &[0x2000_0000], EPERM),
        ("unshare", &[0x4000_0000], EPERM),
        // AF_INET stream, close-on-exec datagram, raw with flags; AF_NETLINK raw; AF_PACKET; SOCK_PACKET.
        ("socket", &[2, 1], Action::Allow),
        ("socket", &[2, 0x8_0002], Action::Allow),
        ("socket", &[2, 3], EPERM),
        ("socket", &[10, 0x8_0803], EPERM),
        ("socket", &[16, 3], Action::Allow),
        ("socket", &[17, 2], EPERM),
        ("socket", &[2, 10], EPERM),
        ("socket", &[0xffff_ffff_0000_0011, 2], EPERM),
        // Regular file, FIFO, character and block device.
        ("mknodat", &[0, 0, 0o100_644], Action::Allow),
        ("mknodat", &[0, 0, 0o10_600], Action::Allow),
        ("mknodat", &[0, 0, 0o20_666], EPERM),
        ("mknodat", &[0, 0, 0o60_666], EPERM),
        // CVE-2016-10124. TCGETS, TIOCSTI with bits that the kernel cuts off, TIOCLINUX.
        ("ioctl", &[0, 0x5401], Action::Allow),
        ("ioctl", &[0, 0x1_0000_5412], EPERM),
        ("ioctl", &[0, 0x541c], EPERM),
        ("personality", &[0], Action::Allow),
        ("personality", &[0xffff_ffff], Action::Allow),
        ("personality", &[0x40000], EPERM),
        // SCHED_OTHER, FIFO, RR with SCHED_RESET_ON_FORK, BATCH, IDLE, DEADLINE.
        ("sched_setscheduler", &[0, 0], Action::Allow),
        ("sched_setscheduler", &[0, 1], EPERM),
        ("sched_setscheduler", &[0, 0x4000_0002], EPERM),
        ("sched_setscheduler", &[0, 3], Action::Allow),
        ("sched_setscheduler", &[0, 5], Action::Allow),
        ("sched_setscheduler", &[0, 6], EPERM),
        ("sched_setattr", &[], EPERM),
        ("fchmodat", &[0, 0, 0o1777], Action::Allow),
        ("fchmodat", &[0, 0, 0o4755], EPERM),
        ("fchmod", &[0, 0o2755], EPERM),
        // O_RDONLY with a mode that means nothing; O_CREAT; O_TMPFILE.
        ("openat", &[0, 0, 0, 0o4755], Action::Allow),
        ("openat", &[0, 0, 0o101, 0o644], Action::Allow),
        ("openat", &[0, 0, 0o101, 0o4755], EPERM),
        ("openat", &[0, 0, 0o20_200_001, 0o2755], EPERM),
        ("openat2", &[], ENOSYS),
];

/// Calls that 64-bit ARM does not have.
const OF_X86: &[Row] = &[
    ("mknod", &[0, 0o20_666], EPERM),
    ("chmod", &[0, 0o6755], EPERM),
    ("creat", &[0, 0o4755], EPERM),
    ("open", &[0, 0o101, 0o2755], EPERM),
    ("open", &[0, 0, 0o2755], Action::Allow),
];

#[test]
fn the_default_filter_looks_at_arguments() {
    let filter = Filter::new(&standard());
    for architecture in ALL {
        filter.holds(architecture, STANDARD);
    }
    for architecture in [X86_64, X86] {
        filter.holds(architecture, OF_X86);
    }
    filter.holds(X86, &[("socketcall", &[1], ENOSYS)]);
}

impl Filter {
    fn holds(&self, architecture: Architecture, table: &[Row]) {
        for (name, arguments, expected) in table {
            let answer = self.call(architecture, name, arguments);
            assert_eq!(answer, *expected, "{architecture:?} {name} {arguments:x?}");
        }
    }
}

/// One restriction by itself.
fn restricted(change: impl Fn(&mut Wanted)) -> Wanted {
    let mut wanted = nothing();
    change(&mut wanted);
    wanted
}

/// Holds with and without a filter of calls.
fn check(change: impl Fn(&mut Wanted), everywhere: &[Row], of: &[(Architecture, Row)]) {
    for calls in [Seccomp::None, Seccomp::Default] {
        let filter = Filter::new(&Wanted {
            calls,
            ..restricted(&change)
        });
        for architecture in ALL {
            filter.holds(architecture, everywhere);
        }
        for (architecture, row) in of {
            filter.holds(*architecture, &[*row]);
        }
    }
}

#[test]
fn memory_is_not_writable_and_executable() {
    let everywhere: &[Row] = &[
        ("mprotect", &[0, 0, 3], Action::Allow),
        ("mprotect", &[0, 0, 5], EPERM),
        ("pkey_mprotect", &[0, 0, 4], EPERM),
        ("shmat", &[0, 0, 0], Action::Allow),
        ("shmat", &[0, 0, 0o100_000], EPERM),
    ];
    let (both, readable): (&[u64], &[u64]) = (&[0, 0, 7], &[0, 0, 5]);
    let of = [
        (X86_64, ("mmap", both, EPERM)),
        (X86_64, ("mmap", readable, Action::Allow)),
        (Aarch64, ("mmap", both, EPERM)),
        (Aarch64, ("mmap", readable, Action::Allow)),
        (X86, ("mmap2", both, EPERM)),
        (X86, ("mmap2", readable, Action::Allow)),
        (X86, ("mmap", &[][..], EPERM)),
        (X86, ("ipc", &[0x1_0015, 0, 0o100_000][..], EPERM)),
        (X86, ("ipc", &[0x15, 0, 0][..], Action::Allow)),
    ];
    check(|wanted| wanted.write_execute = true, everywhere, &of);
}

#[test]
fn sockets_are_of_families_that_may_be() {
    let socketcall = [(X86, ("socketcall", &[1][..], ENOSYS))];
    let of = |families: SocketFamilies| move |wanted: &mut Wanted| wanted.families = Some(families.clone());
    let only: &[Row] = &[
        ("socket", &[1, 1], Action::Allow),
        ("socket", &[2, 1], Action::Allow),
        ("socket", &[10, 1], EAFNOSUPPORT),
        ("io_uring_setup", &[], EPERM),
    ];
    check(of(SocketFamilies::Only(vec![1, 2])), only, &socketcall);
    let except: &[Row] = &[("socket", &[17, 2], EAFNOSUPPORT), ("socket", &[10, 1], Action::Allow)];
    check(of(SocketFamilies::Except(vec![17])), except, &socketcall);
    let none: &[Row] = &[
        ("socket", &[1, 1], EAFNOSUPPORT),
        ("socketpair", &[1, 1], Action::Allow),
    ];
    check(of(SocketFamilies::Only(Vec::new())), none, &socketcall);
}

#[test]
fn namespaces_of_a_kind_may_be_left() {
    let rows: &[Row] = &[
        ("clone", &[0x4000_0000], Action::Allow),
        ("clone", &[0x2_0000], EPERM),
        ("clone3", &[], ENOSYS),
        ("unshare", &[0x4000_0000], Action::Allow),
        ("unshare", &[0x5000_0000], EPERM),
        ("setns", &[3, 0x4000_0000], Action::Allow),
        ("setns", &[3, 0x1000_0000], EPERM),
        ("setns", &[3, 0], EPERM),
    ];
    check(
        |wanted| wanted.namespaces = NamespaceKinds::all_but(["net"]).unwrap(),
        rows,
        &[],
    );
}

#[test]
fn the_personality_is_the_one_that_it_began_with() {
    let rows: &[Row] = &[("personality", &[8], Action::Allow), ("personality", &[0], EPERM)];
    check(|wanted| wanted.personality = Some(8), rows, &[]);
}

/// Jumps over more instructions than a conditional one reaches are taken in two.
#[test]
fn long_checks_jump_far_enough() {
    let rows: &[Row] = &[
        ("socket", &[1], Action::Allow),
        ("socket", &[200], Action::Allow),
        ("socket", &[201], EAFNOSUPPORT),
        ("read", &[], Action::Allow),
    ];
    check(
        |wanted| wanted.families = Some(SocketFamilies::Only((1..=200).collect())),
        rows,
        &[],
    );
}
