//! `[isolation]`: namespaces, what a service may see, and what it may do.

use super::*;

#[rustfmt::skip]
pub static ISOLATION: &[Key] = &[
    key("isolation", "profile", Word(&["none", "standard", "strict"]), Restart,
        "What the keys below are set to before the unit changes them: see PROFILES."),
    key("isolation", "mount", Bool, Restart,
        "A mount namespace of its own; mount_namespaces(7)."),
    key("isolation", "pid", Namespace, Restart,
        "A pid namespace of its own, or \"join:UNIT\" for that of another unit, whose processes it sees and with which it \
         ends; binds to it as [network] mode does; pid_namespaces(7)."),
    key("isolation", "ipc", Namespace, Restart,
        "An ipc namespace of its own, or \"join:UNIT\" for that of another unit, likewise; ipc_namespaces(7)."),
    key("isolation", "uts", Bool, Restart,
        "A uts namespace of its own, so that its host name may differ; uts_namespaces(7)."),
    key("isolation", "cgroup", Bool, Restart,
        "A cgroup namespace of its own: its group is the root it sees; cgroup_namespaces(7)."),
    key("isolation", "user", UserNamespace, Restart,
        "A user namespace: \"auto\" for a range of 65,536 ids that no other unit has, the same at each start; \"identity\" \
         for the same ids without power over the machine; or a map such as \"0:100000:65536\": ids inside, outside, how \
         many; several with commas between. A root of its own is shown with the ids that its files have; of the machine's, \
         nobody inside is the owner; user_namespaces(7), mount_setattr(2)."),
    key("isolation", "time", TimeOffsets, Restart,
        "A time namespace whose clocks are ahead of the machine's, such as { boottime = \"100d\", monotonic = \"0s\" }, or \
         behind it, such as { monotonic = \"-1h\" }; what is left out is 0s. The time of day is the machine's; \
         time_namespaces(7)."),
    key("isolation", "init", Bool, Restart,
        "A small reaper is PID 1 of the pid namespace; without it, the service itself is."),
    key("isolation", "hostname", Text, Restart,
        "Its host name; needs uts."),
    key("isolation", "private-tmp", Bool, Restart,
        "A /tmp and /var/tmp of its own, removed with it; systemd.exec(5)."),
    key("isolation", "private-devices", Bool, Restart,
        "A /dev of its own with the harmless devices only; systemd.exec(5)."),
    key("isolation", "protect-system", BoolOr(&["full", "strict"]), Restart,
        "What is read-only: true is /usr and /boot, full is /etc besides, strict is all but /dev, /proc and /sys; \
         systemd.exec(5)."),
    key("isolation", "protect-home", BoolOr(&["read-only", "tmpfs"]), Restart,
        "/home, /root and /run/user: true hides them, read-only lets them be read, tmpfs puts empty ones over them; \
         systemd.exec(5)."),
    key("isolation", "protect-kernel-tunables", Bool, Restart,
        "What changes the kernel in /proc and /sys is read-only or hidden; systemd.exec(5)."),
    key("isolation", "protect-kernel-modules", Bool, Restart,
        "No kernel modules can be loaded: without CAP_SYS_MODULE and @module, and with their files hidden; \
         systemd.exec(5)."),
    key("isolation", "protect-kernel-logs", Bool, Restart,
        "The kernel's log cannot be read or written: without CAP_SYSLOG and syslog(2), and with /dev/kmsg and /proc/kmsg \
         hidden; systemd.exec(5)."),
    key("isolation", "protect-control-groups", Bool, Restart,
        "The cgroup file system is read-only; systemd.exec(5)."),
    key("isolation", "protect-clock", Bool, Restart,
        "The clock cannot be set: without CAP_SYS_TIME, CAP_WAKE_ALARM and @clock; systemd.exec(5)."),
    key("isolation", "protect-hostname", Bool, Restart,
        "The host name cannot be set: without sethostname(2) and setdomainname(2), and with their files of /proc \
         read-only; systemd.exec(5)."),
    key("isolation", "protect-proc", Word(&["default", "noaccess", "invisible", "ptraceable"]), Restart,
        "What is seen of other users' processes in /proc: all, nothing of their insides, not them at all, or only \
         what can be traced; systemd.exec(5)."),
    key("isolation", "read-only-paths", Paths, Restart,
        "Paths that are read-only, with all that is mounted below; a leading `-` makes one optional. Of this key and the \
         next four, what says most of a path decides; of two that name the same path, the stricter; systemd.exec(5)."),
    key("isolation", "read-write-paths", Paths, Restart,
        "Paths that stay as writable as the machine has them within read-only ones; systemd.exec(5)."),
    key("isolation", "inaccessible-paths", Paths, Restart,
        "Paths that are hidden, whatever is said of paths below them; systemd.exec(5)."),
    key("isolation", "exec-paths", Paths, Restart,
        "Paths whose files may be executed within no-exec-paths; systemd.exec(5)."),
    key("isolation", "no-exec-paths", Paths, Restart,
        "Paths whose files cannot be executed, with all that is mounted below; systemd.exec(5)."),
    key("isolation", "no-new-privileges", Bool, Restart,
        "No program gains privileges by being executed, set-user-ID ones included; PR_SET_NO_NEW_PRIVS of prctl(2)."),
    key("isolation", "capabilities", Capabilities, Restart,
        "The bounding set: what its processes can hold at most; [\"all\"] and [\"none\"] are known; capabilities(7)."),
    key("isolation", "ambient-capabilities", Ambient, Restart,
        "Capabilities that programs of a user other than root hold; within the bounding set; capabilities(7)."),
    key("isolation", "seccomp", Seccomp, Restart,
        "The system calls that it may make: \"default\" is the group @standard and what its capabilities are for, \
         \"none\" is no filter, { allow = [\"@system-service\"], deny = [\"@mount\"], errno = \"EPERM\" } names calls \
         and groups; what is not let through fails with errno, or ends the process by SIGSYS (errno = \"kill\"). Calls \
         that svc does not know fail with ENOSYS; systemd.exec(5), seccomp(2)."),
    key("isolation", "landlock", Landlock, Restart,
        "The files that it may reach and nothing besides, such as { read-only = [\"/usr\"], read-write = [\"/srv\"], \
         execute = [\"/usr/bin\"] }: a path is a file or all below a directory, a leading `-` makes one optional; what \
         may be executed may be read, and the loaders of glibc and musl come with it; landlock(7)."),
    key("isolation", "restrict-namespaces", NamespaceKinds, Restart,
        "No namespaces can be made or entered, or only those of a list such as [\"net\", \"uts\"]; systemd.exec(5)."),
    key("isolation", "lock-personality", Bool, Restart,
        "The execution domain cannot be changed; systemd.exec(5)."),
    key("isolation", "memory-deny-write-execute", Bool, Restart,
        "Memory cannot be both writable and executable, nor become executable; programs that compile at run time need \
         it off; systemd.exec(5)."),
    key("isolation", "restrict-realtime", Bool, Restart,
        "No real-time scheduling can be asked for; what cpu-scheduling-policy says holds; systemd.exec(5)."),
    key("isolation", "restrict-suid-sgid", Bool, Restart,
        "No set-user-ID or set-group-ID files can be made; systemd.exec(5)."),
    key("isolation", "restrict-address-families", SocketFamilies, Restart,
        "The families of sockets that can be made, such as [\"AF_UNIX\", \"AF_INET\"], [\"none\"], or [\"~AF_PACKET\"] \
         for all but one; systemd.exec(5)."),
    key("isolation", "system-call-architectures", Architectures, Restart,
        "The architectures whose system calls can be made, such as [\"native\"]; a call of another ends the process by \
         SIGSYS; by default also 32-bit ones on x86-64; systemd.exec(5)."),
    key("isolation", "personality", Word(&["x86-64", "x86", "arm64", "arm"]), Restart,
        "The machine that uname(2) tells of: \"x86\" on x86-64, \"arm\" on arm64; personality(2)."),
    key("isolation", "keyring-mode", Word(&["inherit", "private", "shared"]), Restart,
        "The session keyring: svcd's own, one of its own, or one with its user's keyring in it; systemd.exec(5)."),
    key("isolation", "best-effort", Texts, Restart,
        "Keys of [isolation], [resources] and [network] that may be skipped where they cannot be enforced; svc status \
         tells of each."),
];
