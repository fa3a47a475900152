//! What a machine may be without, with every key that it then cannot hold; and the keys that nothing can keep from being
//! held, with why.

/// Something that svcd is made to be without.
pub struct Lack {
    /// Keys of `[isolation]` around svcd.
    pub taken: &'static str,
    /// Commands of a shell before svcd, each with its end.
    pub before: Before,
    /// What the refusal says, one of these, with its errno (empty: no system call's).
    pub causes: &'static [(&'static str, &'static str)],
    /// What each unit does without besides.
    pub beside: &'static [&'static str],
    /// The keys that cannot be held then.
    pub keys: &'static [&'static [Case]],
}

/// What is done before svcd.
#[derive(Clone, Copy)]
pub enum Before {
    Nothing,
    /// This, of a shell.
    Run(&'static str),
    /// This, of a shell, with `AT` for each place where cgroups are mounted.
    ForEachHierarchy(&'static str),
}

/// A key that cannot be held: its table, its name, a value of it with what else it takes in that table, and the exit code
/// of the step.
pub type Case = (&'static str, &'static str, &'static str, i64);

const I: &str = "isolation";
const R: &str = "resources";
const M: &str = "[mount]";

/// Keys that nothing can keep from being held.
const OF_MODE: &str = "it is of the network that mode asks for, and refused with it";
const OF_RULES: &str =
    "a kernel without nftables refuses it: proxies::without_nf_tables_who_has_rules_is_refused_and_nobody_else";

pub const PURE: &[(&str, &str, &str)] = &[
    (I, "profile", "it is the values of the others"),
    (
        I,
        "init",
        "it chooses who is process 1, which svcd brings along in memory",
    ),
    (
        I,
        "no-new-privileges",
        "every process may ask for it of every kernel since 3.5",
    ),
    (I, "best-effort", "it is about the others"),
    (
        R,
        "slice",
        "it is a directory: one that cannot be made is no key's matter",
    ),
    (R, "cpu-period", "it says how cpu-quota is written"),
    (
        R,
        "oom-policy",
        "svcd itself does it, wherever it is told of an OOM kill; every unit has one",
    ),
    ("network", "address", OF_MODE),
    ("network", "parent", OF_MODE),
    ("network", "gateway", OF_MODE),
    (
        "network",
        "publish",
        "a kernel without nftables has a proxy for it: proxies of tests/it",
    ),
    ("network", "allow", OF_RULES),
    ("network", "deny", OF_RULES),
    (
        "network",
        "dns",
        "it is a file that is mounted: mount = true is asked for, and refused",
    ),
    (
        "network",
        "hosts",
        "it is a file that is mounted: mount = true is asked for, and refused",
    ),
];

pub const FILTERS: Lack = Lack {
    taken: "seccomp = { deny = [\"seccomp\"], errno = \"ENOSYS\" }",
    before: Before::Nothing,
    causes: &[("this kernel has no system-call filter: ENOSYS", "ENOSYS")],
    beside: &[],
    keys: &[&[
        (I, "seccomp", "\"default\"", 228),
        (I, "restrict-namespaces", "true", 228),
        (I, "lock-personality", "true", 228),
        (I, "memory-deny-write-execute", "true", 228),
        (I, "restrict-realtime", "true", 228),
        (I, "restrict-suid-sgid", "true", 228),
        (I, "restrict-address-families", "[\"AF_UNIX\"]", 232),
        (I, "system-call-architectures", "[\"native\"]", 228),
        (I, "protect-clock", "true", 228),
        (I, "protect-kernel-modules", "true\nmount = true", 226),
        (I, "protect-kernel-logs", "true\nmount = true", 226),
        (I, "protect-hostname", "true\nmount = true", 226),
    ]],
};

pub const LANDLOCK: Lack = Lack {
    taken: "seccomp = { deny = [\"landlock_create_ruleset\"], errno = \"ENOSYS\" }",
    before: Before::Nothing,
    causes: &[("this kernel has no Landlock", "EOPNOTSUPP")],
    beside: &[],
    keys: &[&[(I, "landlock", "{ read-only = [\"/\"] }", 226)]],
};

pub const KEYRINGS: Lack = Lack {
    taken: "seccomp = { deny = [\"keyctl\"], errno = \"ENOSYS\" }",
    before: Before::Nothing,
    causes: &[("this kernel has no keyring: ENOSYS", "ENOSYS")],
    beside: &[],
    keys: &[&[(I, "keyring-mode", "\"private\"", 237)]],
};

pub const RIGHT_TO_KEYRINGS: Lack = Lack {
    taken: "seccomp = { deny = [\"keyctl\"], errno = \"EPERM\" }",
    before: Before::Nothing,
    causes: &[("svcd may use no keyring: EPERM", "EPERM")],
    beside: &[],
    keys: &[&[(I, "keyring-mode", "\"shared\"", 237)]],
};

const WITHOUT_TIME: (&str, &str) = ("this kernel was built without it", "EINVAL");

pub const CAPABILITIES: Lack = Lack {
    taken: "capabilities = [\"CAP_SYS_ADMIN\", \"CAP_DAC_OVERRIDE\", \"CAP_KILL\", \"CAP_SETUID\", \"CAP_SETGID\"]",
    before: Before::Nothing,
    causes: &[
        ("it takes CAP_SETPCAP", "EPERM"),
        ("it takes CAP_SYS_TIME", "EPERM"),
        ("svcd itself has no CAP_SYS_TIME", "EPERM"),
        ("it takes CAP_SETFCAP", "EPERM"),
        ("it takes CAP_NET_ADMIN", "EPERM"),
        WITHOUT_TIME,
    ],
    beside: &[],
    keys: &[&[
        (I, "capabilities", "[\"CAP_KILL\"]", 218),
        (I, "ambient-capabilities", "[\"CAP_SYS_TIME\"]", 218),
        (I, "time", "{ boottime = \"1d\" }", 226),
        (I, "user", "\"identity\"", 217),
        ("network", "mode", "\"bridge\"", 225),
    ]],
};

pub const RIGHT_TO_IDS: Lack = Lack {
    taken: "capabilities = [\"CAP_SYS_ADMIN\", \"CAP_DAC_OVERRIDE\", \"CAP_KILL\"]",
    before: Before::Nothing,
    causes: &[("it takes CAP_SETGID, CAP_SETUID", "EPERM")],
    beside: &[],
    keys: &[&[(I, "user", "\"auto\"", 217)]],
};

pub const IDS: Lack = Lack {
    taken: "user = \"0:0:65536\"",
    before: Before::Nothing,
    causes: &[(
        "svcd itself runs in a user namespace that has not all of the ids",
        "EPERM",
    )],
    beside: &[],
    keys: &[&[(I, "user", "\"auto\"", 217)]],
};

const KINDS: &[Case] = &[
    (I, "mount", "true", 226),
    (I, "pid", "true", 226),
    (I, "ipc", "true", 226),
    (I, "uts", "true", 226),
    (I, "cgroup", "true", 226),
    (I, "time", "{ boottime = \"1d\" }", 226),
    (I, "user", "\"auto\"", 217),
    ("network", "mode", "\"none\"", 225),
];

/// As a plain user has it who is root nowhere, or a container whose manager gives no such right.
pub const RIGHTS: Lack = Lack {
    taken: "capabilities = [\"CAP_DAC_OVERRIDE\", \"CAP_KILL\", \"CAP_SETUID\", \"CAP_SETGID\"]",
    before: Before::Nothing,
    causes: &[
        ("it takes CAP_SYS_ADMIN: run as root, or in a user namespace", "EPERM"),
        ("it takes CAP_SYS_ADMIN, or no-new-privileges", "EPERM"),
        // Before kernel 6.2.
        ("this kernel's Landlock does not guard files", "EOPNOTSUPP"),
        ("this kernel has no Landlock", "EOPNOTSUPP"),
        WITHOUT_TIME,
    ],
    beside: &[],
    keys: &[
        KINDS,
        &[
            (I, "seccomp", "\"default\"", 228),
            (I, "landlock", "{ read-only = [\"/\"] }", 226),
        ],
    ],
};

pub const NAMESPACES: Lack = Lack {
    taken: "user = \"identity\"",
    before: Before::Run("for limit in /proc/sys/user/max_*_namespaces; do echo 0 >$limit; done; "),
    causes: &[
        ("user.max_mnt_namespaces is 0", "ENOSPC"),
        ("user.max_pid_namespaces is 0", "ENOSPC"),
        ("user.max_ipc_namespaces is 0", "ENOSPC"),
        ("user.max_uts_namespaces is 0", "ENOSPC"),
        ("user.max_cgroup_namespaces is 0", "ENOSPC"),
        ("user.max_time_namespaces is 0", "ENOSPC"),
        ("user.max_user_namespaces is 0", "ENOSPC"),
        ("user.max_net_namespaces is 0", "ENOSPC"),
        WITHOUT_TIME,
    ],
    beside: &[],
    keys: &[KINDS],
};

const FILES: &[Case] = &[
    (I, "private-tmp", "true\nmount = true", 226),
    (I, "private-devices", "true\nmount = true", 226),
    (I, "protect-system", "true\nmount = true", 226),
    (I, "protect-kernel-tunables", "true\nmount = true", 226),
    (I, "protect-home", "true\nmount = true", 226),
    (I, "protect-kernel-modules", "true\nmount = true", 226),
    (I, "protect-kernel-logs", "true\nmount = true", 226),
    (I, "protect-control-groups", "true\nmount = true", 226),
    (I, "protect-hostname", "true\nmount = true", 226),
    (I, "protect-proc", "\"invisible\"\nmount = true", 226),
    (I, "read-only-paths", "[\"/usr\"]\nmount = true", 226),
    (I, "read-write-paths", "[\"/usr\"]\nmount = true", 226),
    (I, "inaccessible-paths", "[\"/usr/share\"]\nmount = true", 226),
    (I, "exec-paths", "[\"/usr\"]\nmount = true", 226),
    (I, "no-exec-paths", "[\"/boot\"]\nmount = true", 226),
];

pub const MOUNT_CALLS: Lack = Lack {
    taken: "seccomp = { deny = [\"mount_setattr\"], errno = \"ENOSYS\" }",
    before: Before::Nothing,
    causes: &[("this kernel has no mount_setattr(2): ENOSYS", "ENOSYS")],
    beside: &[],
    keys: &[FILES],
};

/// `[[mount]]` says what the service is about, so that there is no start without it: `mount` in `best-effort` is the
/// namespace.
pub const RIGHT_TO_MOUNT_CALLS: Lack = Lack {
    taken: "seccomp = { deny = [\"open_tree\"], errno = \"EPERM\" }",
    before: Before::Nothing,
    causes: &[("svcd may use no open_tree(2): EPERM", "EPERM")],
    beside: &[],
    keys: &[&[
        (M, "target", "\"/srv\"\ntype = \"tmpfs\"", 226),
        (M, "source", "\"/srv\"\ntarget = \"/srv\"", 226),
        (M, "type", "\"tmpfs\"\ntarget = \"/srv\"", 226),
        (M, "read-only", "true\ntype = \"tmpfs\"\ntarget = \"/srv\"", 226),
        (M, "options", "[\"noexec\"]\ntype = \"tmpfs\"\ntarget = \"/srv\"", 226),
    ]],
};

/// These need a namespace that the unit goes without.
pub const OTHER_KEYS: Lack = Lack {
    beside: &["uts", "mount"],
    causes: &[("it needs a uts namespace", ""), ("it needs a mount namespace", "")],
    keys: &[
        FILES,
        &[
            (I, "hostname", "\"web\"\nuts = true", 226),
            (M, "target", "\"/srv\"\ntype = \"tmpfs\"", 226),
        ],
    ],
    ..NAMESPACES
};

pub const MACHINE: Lack = Lack {
    taken: "",
    before: Before::Nothing,
    causes: &[("this machine is of another architecture", "")],
    beside: &[],
    keys: &[&[(I, "personality", FOREIGN, 230)]],
};

const FOREIGN: &str = if cfg!(target_arch = "aarch64") {
    "\"x86-64\""
} else {
    "\"arm64\""
};

const LIMITS: &[Case] = &[
    (R, "cpu-quota", "\"20%\"", 219),
    (R, "cpu-weight", "50", 219),
    (R, "cpuset-cpus", "\"0\"", 219),
    (R, "cpuset-mems", "\"0\"", 219),
    (R, "memory-min", "\"1M\"", 219),
    (R, "memory-low", "\"1M\"", 219),
    (R, "memory-high", "\"64M\"", 219),
    (R, "memory-max", "\"64M\"", 219),
    (R, "memory-swap-max", "\"64M\"", 219),
    (R, "pids-max", "10", 219),
    (R, "io-weight", "50", 219),
    (R, "io-max", "[{ device = \"/dev/vda\", wiops = 100 }]", 219),
    (R, "devices", "[\"/dev/null rw\"]", 219),
    (R, "hugetlb-max", "{ \"2MB\" = \"4M\" }", 219),
    (R, "rdma-max", "{ mlx5_0 = { hca-handle = 2 } }", 219),
    (R, "misc-max", "{ sev = 1 }", 219),
    (R, "net-classid", "\"10:1\"", 219),
    (R, "net-priority", "{ lo = 5 }", 219),
    (R, "delegate", "true", 219),
];

/// What a controller that is nowhere says of itself, whatever else is missing.
const NO_CONTROLLER: (&str, &str) = ("this kernel has no ", "");

pub const CGROUPS_TO_WRITE: Lack = Lack {
    taken: "mount = true",
    before: Before::ForEachHierarchy("mount -o remount,bind,ro AT; "),
    causes: &[("Read-only file system", "EROFS"), NO_CONTROLLER],
    beside: &[],
    keys: &[LIMITS],
};

pub const CGROUPS: Lack = Lack {
    taken: "mount = true",
    before: Before::ForEachHierarchy("umount -l AT; "),
    causes: &[("no mounted cgroup hierarchy has the ", ""), NO_CONTROLLER],
    beside: &[],
    keys: &[LIMITS],
};
