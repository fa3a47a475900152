//! System calls by name and number, and the groups that a filter names them by: those of systemd.exec(5), "Currently
//! predefined system call sets", and [`STANDARD`].

use serde::{Serialize, Serializer};
use syscalls::{aarch64, x86, x86_64};

/// An architecture whose system calls a filter knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Architecture {
    /// 64-bit x86. Calls of x32 come under it, with numbers of their own that no filter of ours lets through.
    X86_64,
    /// 32-bit x86, which 64-bit kernels run too.
    X86,
    /// 64-bit ARM.
    Aarch64,
}

impl Architecture {
    /// Each with its name in systemd.exec(5), `SystemCallArchitectures=`.
    pub const NAMES: [(&str, Self); 3] = [("x86-64", Self::X86_64), ("x86", Self::X86), ("arm64", Self::Aarch64)];

    /// What svcd itself was built for, and so what `native` means.
    pub const NATIVE: Self = if cfg!(target_arch = "aarch64") {
        Self::Aarch64
    } else {
        Self::X86_64
    };

    /// The calls of this architecture, by number from the lowest.
    pub fn calls(self) -> impl Iterator<Item = (u32, &'static str)> {
        let last = match self {
            Self::X86_64 => x86_64::Sysno::last().id(),
            Self::X86 => x86::Sysno::last().id(),
            Self::Aarch64 => aarch64::Sysno::last().id(),
        };
        (0..=last.unsigned_abs()).filter_map(move |number| Some((number, self.name(number)?)))
    }

    fn name(self, number: u32) -> Option<&'static str> {
        let number = number as usize;
        let name = match self {
            Self::X86_64 => x86_64::Sysno::new(number)?.name(),
            Self::X86 => x86::Sysno::new(number)?.name(),
            Self::Aarch64 => aarch64::Sysno::new(number)?.name(),
        };
        Some(match (self, name.trim_start_matches("r#")) {
            // unistd.h of the kernel calls number 79 newfstatat, as x86_64 does.
            (Self::Aarch64, "fstatat") => "newfstatat",
            (_, name) => name,
        })
    }
}

impl Serialize for Architecture {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let name = Self::NAMES.iter().find(|(_, its)| its == self);
        to.serialize_str(name.map_or("", |(name, _)| name))
    }
}

/// A system call that some architecture has.
pub fn is_call(name: &str) -> bool {
    Architecture::NAMES
        .iter()
        .any(|(_, architecture)| architecture.calls().any(|(_, known)| known == name))
}

/// Several calls by one name.
#[derive(Clone, Copy, Debug)]
pub struct Group {
    /// With its `@`.
    pub name: &'static str,
    /// For people.
    pub doc: &'static str,
    members: &'static str,
}

impl Group {
    /// The group of this name.
    pub fn find(name: &str) -> Option<&'static Self> {
        GROUPS.iter().find(|group| group.name == name)
    }

    /// What it was written with: calls, and other groups.
    pub fn members(&self) -> impl Iterator<Item = &'static str> {
        self.members.split_ascii_whitespace()
    }
}

/// All calls that are known, whatever the architecture.
pub const KNOWN: &str = "@known";

/// What [`Seccomp::Default`](super::Seccomp::Default) lets through.
pub const STANDARD: &str = "@standard";

/// Calls each `tell` of the calls that an entry of a filter means: one call, or a group's, also of the groups in it.
pub fn expand(entry: &str, tell: &mut impl FnMut(&'static str)) {
    if entry == KNOWN {
        for (_, architecture) in Architecture::NAMES {
            architecture.calls().for_each(|(_, name)| tell(name));
        }
        return;
    }
    match Group::find(entry) {
        Some(group) => group.members().for_each(|member| {
            if member.starts_with('@') {
                expand(member, tell);
            } else {
                tell(member);
            }
        }),
        None => {
            let named = Architecture::NAMES
                .iter()
                .find_map(|(_, architecture)| architecture.calls().find(|(_, name)| *name == entry));
            named.into_iter().for_each(|(_, name)| tell(name));
        }
    }
}

const fn group(name: &'static str, doc: &'static str, members: &'static str) -> Group {
    Group { name, doc, members }
}

/// Those of systemd 252, with the calls that came since then where they belong, without what none of our architectures
/// has; then our own.
#[rustfmt::skip]
pub static GROUPS: &[Group] = &[
    group("@aio", "Asynchronous input and output, io_uring included.",
        "io_cancel io_destroy io_getevents io_pgetevents io_pgetevents_time64 io_setup io_submit io_uring_enter \
         io_uring_register io_uring_setup"),
    group("@basic-io", "Reading and writing of open descriptors.",
        "_llseek close close_range dup dup2 dup3 lseek pread64 preadv preadv2 pwrite64 pwritev pwritev2 read readv write \
         writev"),
    group("@chown", "Owners of files.",
        "chown chown32 fchown fchown32 fchownat lchown lchown32"),
    group("@clock", "Setting the clock.",
        "adjtimex clock_adjtime clock_adjtime64 clock_settime clock_settime64 settimeofday"),
    group("@cpu-emulation", "Modes of the processor that emulators use.",
        "modify_ldt vm86 vm86old"),
    group("@debug", "Tracing and measuring other processes.",
        "lookup_dcookie perf_event_open pidfd_getfd ptrace"),
    group("@default", "What every program needs to begin and to end; always allowed.",
        "arch_prctl brk clock_getres clock_getres_time64 clock_gettime clock_gettime64 clock_nanosleep \
         clock_nanosleep_time64 execve exit exit_group futex futex_requeue futex_time64 futex_wait futex_waitv futex_wake \
         get_robust_list get_thread_area getegid getegid32 geteuid geteuid32 getgid getgid32 getgroups getgroups32 \
         getpgid getpgrp getpid getppid getrandom getresgid getresgid32 getresuid getresuid32 getrlimit getsid gettid \
         gettimeofday getuid getuid32 map_shadow_stack membarrier mmap mmap2 mprotect mseal munmap nanosleep pause \
         prlimit64 restart_syscall rseq rt_sigreturn sched_getaffinity sched_yield set_robust_list set_thread_area \
         set_tid_address sigreturn time ugetrlimit uprobe uretprobe"),
    group("@file-system", "Files and directories.",
        "access cachestat chdir chmod close creat faccessat faccessat2 fallocate fchdir fchmod fchmodat fchmodat2 fcntl \
         fcntl64 fgetxattr file_getattr file_setattr flistxattr fremovexattr fsetxattr fstat fstat64 fstatat64 fstatfs \
         fstatfs64 ftruncate ftruncate64 futimesat getcwd getdents getdents64 getxattr getxattrat inotify_add_watch \
         inotify_init inotify_init1 inotify_rm_watch lgetxattr link linkat listmount listxattr listxattrat llistxattr \
         lremovexattr lsetxattr lstat lstat64 mkdir mkdirat mknod mknodat newfstatat oldfstat oldlstat oldstat open \
         openat openat2 readlink readlinkat removexattr removexattrat rename renameat renameat2 rmdir setxattr setxattrat \
         stat stat64 statfs statfs64 statmount statx symlink symlinkat truncate truncate64 unlink unlinkat utime \
         utimensat utimensat_time64 utimes"),
    group("@io-event", "Waiting for events.",
        "_newselect epoll_create epoll_create1 epoll_ctl epoll_ctl_old epoll_pwait epoll_pwait2 epoll_wait epoll_wait_old \
         eventfd eventfd2 poll ppoll ppoll_time64 pselect6 pselect6_time64 select"),
    group("@ipc", "Pipes, shared memory, message queues, semaphores.",
        "ipc memfd_create mq_getsetattr mq_notify mq_open mq_timedreceive mq_timedreceive_time64 mq_timedsend \
         mq_timedsend_time64 mq_unlink msgctl msgget msgrcv msgsnd pipe pipe2 process_madvise process_vm_readv \
         process_vm_writev semctl semget semop semtimedop semtimedop_time64 shmat shmctl shmdt shmget"),
    group("@keyring", "Keys that the kernel keeps; keyrings(7).",
        "add_key keyctl request_key"),
    group("@memlock", "Memory that is not swapped out.",
        "mlock mlock2 mlockall munlock munlockall"),
    group("@module", "Kernel modules.",
        "delete_module finit_module init_module"),
    group("@mount", "Mounts and roots.",
        "chroot fsconfig fsmount fsopen fspick mount mount_setattr move_mount open_tree open_tree_attr pivot_root umount \
         umount2"),
    group("@network-io", "Sockets.",
        "accept accept4 bind connect getpeername getsockname getsockopt listen recvfrom recvmmsg recvmmsg_time64 recvmsg \
         sendmmsg sendmsg sendto setsockopt shutdown socket socketcall socketpair"),
    group("@obsolete", "What no program of today calls.",
        "_sysctl afs_syscall bdflush break create_module ftime get_kernel_syms getpmsg gtty idle lock mpx prof profil \
         putpmsg query_module security sgetmask ssetmask stime stty sysfs tuxcall ulimit uselib ustat vserver"),
    group("@pkey", "Keys of memory pages; pkeys(7).",
        "pkey_alloc pkey_free pkey_mprotect"),
    group("@privileged", "What takes a capability.",
        "@chown @clock @module @raw-io @reboot @swap _sysctl acct bpf capset chroot fanotify_init fanotify_mark \
         nfsservctl open_by_handle_at pivot_root quotactl quotactl_fd setdomainname setfsuid setfsuid32 setgroups \
         setgroups32 sethostname setresuid setresuid32 setreuid setreuid32 setuid setuid32 syslog vhangup"),
    group("@process", "Making, ending and watching processes.",
        "capget clone clone3 execveat fork getrusage kill pidfd_open pidfd_send_signal prctl process_mrelease \
         rt_sigqueueinfo rt_tgsigqueueinfo setns tgkill times tkill unshare vfork wait4 waitid waitpid"),
    group("@raw-io", "Ports of devices.",
        "ioperm iopl"),
    group("@reboot", "Ending or replacing the running kernel.",
        "kexec_file_load kexec_load reboot"),
    group("@resources", "Scheduling, priorities, limits, placement of memory.",
        "ioprio_set mbind migrate_pages move_pages nice sched_setaffinity sched_setattr sched_setparam sched_setscheduler \
         set_mempolicy set_mempolicy_home_node setpriority setrlimit"),
    group("@sandbox", "What a program may give up for good.",
        "landlock_add_rule landlock_create_ruleset landlock_restrict_self seccomp"),
    group("@setuid", "Users and groups of a process.",
        "setgid setgid32 setgroups setgroups32 setregid setregid32 setresgid setresgid32 setresuid setresuid32 setreuid \
         setreuid32 setuid setuid32"),
    group("@signal", "Handling of signals.",
        "rt_sigaction rt_sigpending rt_sigprocmask rt_sigsuspend rt_sigtimedwait rt_sigtimedwait_time64 sigaction \
         sigaltstack signal signalfd signalfd4 sigpending sigprocmask sigsuspend"),
    group("@swap", "Swap space.",
        "swapoff swapon"),
    group("@sync", "Writing files to disk.",
        "fdatasync fsync msync sync sync_file_range syncfs"),
    group("@timer", "Timers.",
        "alarm getitimer setitimer timer_create timer_delete timer_getoverrun timer_gettime timer_gettime64 timer_settime \
         timer_settime64 timerfd_create timerfd_gettime timerfd_gettime64 timerfd_settime timerfd_settime64 times"),
    group("@system-service", "What a service without special duties calls.",
        "@aio @basic-io @chown @default @file-system @io-event @ipc @keyring @memlock @network-io @process @resources \
         @setuid @signal @sync @timer capget capset copy_file_range fadvise64 fadvise64_64 flock get_mempolicy getcpu \
         getpriority ioctl ioprio_get kcmp madvise memfd_secret mincore mremap name_to_handle_at oldolduname olduname \
         personality readahead readdir remap_file_pages sched_get_priority_max sched_get_priority_min sched_getattr \
         sched_getparam sched_getscheduler sched_rr_get_interval sched_rr_get_interval_time64 sched_yield sendfile \
         sendfile64 setfsgid setfsgid32 setfsuid setfsuid32 setpgid setsid splice sysinfo tee umask uname userfaultfd \
         vmsplice"),
    group(STANDARD, "What the default filter lets through: sockets that are not raw, devices that are not made.",
        "@basic-io @chown @default @file-system @io-event @ipc @memlock @network-io @pkey @process @sandbox @setuid \
         @signal @sync @timer adjtimex capget capset clock_adjtime clock_adjtime64 copy_file_range fadvise64 fadvise64_64 \
         fanotify_mark flock getcpu getpriority io_cancel io_destroy io_getevents io_pgetevents io_pgetevents_time64 \
         io_setup io_submit ioctl ioprio_get ioprio_set madvise memfd_secret mincore mremap name_to_handle_at nice \
         oldolduname olduname personality ptrace readahead readdir remap_file_pages sched_get_priority_max \
         sched_get_priority_min sched_getattr sched_getparam sched_getscheduler sched_rr_get_interval \
         sched_rr_get_interval_time64 sched_setaffinity sched_setattr sched_setparam sched_setscheduler sendfile \
         sendfile64 setfsgid setfsgid32 setfsuid setfsuid32 setpgid setpriority setrlimit setsid splice sysinfo tee umask \
         uname vmsplice"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_member_is_a_call_or_a_group() {
        for group in GROUPS {
            assert!(group.name.starts_with('@') && !group.doc.is_empty(), "{}", group.name);
            for member in group.members() {
                let known = Group::find(member).is_some() || is_call(member);
                assert!(known, "{} of {}", member, group.name);
            }
        }
    }

    #[test]
    fn tables_have_what_the_headers_have() {
        let number = |architecture: Architecture, name: &str| {
            let mut calls = architecture.calls();
            calls.find(|(_, its)| *its == name).map(|(number, _)| number)
        };
        // asm/unistd.h of each: the ends of the tables, and names that the crate spells in its own way.
        for (name, [x86_64, x86, aarch64]) in [
            ("read", [Some(0), Some(3), Some(63)]),
            ("file_setattr", [Some(469), Some(469), Some(469)]),
            ("newfstatat", [Some(262), None, Some(79)]),
            ("break", [None, Some(17), None]),
            ("socketcall", [None, Some(102), None]),
            ("clone3", [Some(435), Some(435), Some(435)]),
        ] {
            assert_eq!(number(Architecture::X86_64, name), x86_64, "{name}");
            assert_eq!(number(Architecture::X86, name), x86, "{name}");
            assert_eq!(number(Architecture::Aarch64, name), aarch64, "{name}");
        }
    }

    #[test]
    fn a_group_means_the_calls_of_its_groups() {
        let calls = |entry: &str| {
            let mut all = Vec::new();
            expand(entry, &mut |name| all.push(name));
            all
        };
        assert_eq!(calls("@swap"), ["swapoff", "swapon"]);
        assert_eq!(calls("openat"), ["openat"]);
        assert!(calls("@privileged").contains(&"reboot"), "of @reboot in it");
        assert!(calls("@known").contains(&"io_uring_setup"));
        assert!(calls("no_such_call").is_empty() && calls("@no-such-group").is_empty());
        for denied in [
            "mount",
            "keyctl",
            "bpf",
            "io_uring_setup",
            "kexec_load",
            "open_by_handle_at",
            "reboot",
        ] {
            assert!(!calls(STANDARD).contains(&denied), "{denied}");
        }
    }
}
