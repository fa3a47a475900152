//! What a service leaves open of what its keys could close, weighed: the idea, the scale and most weights are those of
//! systemd-analyze(1), `security`.

use std::collections::BTreeMap;

use serde::Serialize;

use super::call_sets::CallSets;
use super::device::Devices;
use super::filter::{NamespaceKinds, SocketFamilies};
use super::value::{capability_names, capability_number};
use super::{Account, Kind, Service, Unit, show};

/// All that a unit leaves open.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Exposure {
    /// Its name.
    pub unit: String,
    /// From 0, nothing is open that could be closed, to 10, to one place.
    pub exposure: f64,
    /// The word for it: perfect, safe, ok, medium, exposed, unsafe, dangerous.
    pub rating: &'static str,
    /// The widest first.
    pub open: Vec<Opening>,
}

/// One thing that is open.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Opening {
    /// `[isolation] private-tmp`.
    pub key: String,
    /// What it adds to the unit's exposure.
    pub exposure: f64,
    /// What the service can do.
    pub what: String,
    /// What to write, so that it cannot.
    pub fix: &'static str,
}

/// What a rule looks at.
struct Look<'a> {
    service: &'a Service,
    values: BTreeMap<(&'static str, &'static str), String>,
    calls: CallSets,
}

impl Look<'_> {
    fn value(&self, table: &'static str, key: &'static str) -> &str {
        self.values.get(&(table, key)).map_or("", String::as_str)
    }
}

/// How a rule sees how far something is open.
enum Rule {
    /// By the value that closes it.
    Closed(&'static str),
    /// By the values that close some of it: what is left open, in percent.
    Partly(&'static [(&'static str, u32)]),
    /// By a look at the service: what is left open, in percent.
    By(fn(&Look<'_>) -> u32),
    /// By capabilities of the bounding set: one is enough.
    Capabilities(&'static [&'static str]),
    /// By how many calls of a group the filter lets through.
    Calls(&'static str),
}

struct Row(&'static str, &'static str, u32, Rule, &'static str, &'static str);

use Rule::{By, Calls, Capabilities, Closed, Partly};

const FEWER: &str = "capabilities = [\"none\"], or a list of those that it needs";
const FILTER: &str = "seccomp = { allow = [\"@standard\"], deny = [\"@…\"] } with this group";

/// Table, key, weight, rule, what is open, what closes it.
#[rustfmt::skip]
const ROWS: &[Row] = &[
    Row("service", "user", 20, By(root), "runs as root", "dynamic-user = true, or user = \"…\""),
    Row("service", "umask", 1, By(umask), "makes files that others may read", "umask = \"0077\""),
    Row("network", "mode", 25, Partly(&[("none", 0), ("bridge", 40), ("macvlan", 40), ("ipvlan", 40)]), "reaches the network of the machine", "mode = \"none\""),
    Row("resources", "delegate", 1, Partly(&[("false", 0)]), "manages a part of the cgroup tree", "delegate = false"),
    Row("resources", "devices", 10, By(devices), "opens any device", "devices = [\"/dev/null rw\", …]"),
    Row("isolation", "pid", 10, Closed("true"), "sees all processes of the machine", "pid = true"),
    Row("isolation", "ipc", 2, Closed("true"), "shares System V IPC with the machine", "ipc = true"),
    Row("isolation", "uts", 1, Closed("true"), "shares the machine's host name", "uts = true"),
    Row("isolation", "cgroup", 1, Closed("true"), "sees the whole cgroup tree", "cgroup = true"),
    Row("isolation", "user", 10, By(user_namespace), "its users are those of the machine", "user = \"auto\""),
    Row("isolation", "private-tmp", 10, Closed("true"), "shares /tmp and /var/tmp", "private-tmp = true"),
    Row("isolation", "private-devices", 10, Closed("true"), "sees the machine's devices", "private-devices = true"),
    Row("isolation", "protect-system", 10, Partly(&[("strict", 0), ("full", 30), ("true", 60)]), "may write to files of the system", "protect-system = \"strict\""),
    Row("isolation", "protect-home", 10, Partly(&[("true", 0), ("tmpfs", 0), ("read-only", 50)]), "reaches home directories", "protect-home = true"),
    Row("isolation", "protect-kernel-tunables", 10, Closed("true"), "changes kernel settings of /proc and /sys", "protect-kernel-tunables = true"),
    Row("isolation", "protect-kernel-modules", 10, Closed("true"), "reads and may load kernel modules", "protect-kernel-modules = true"),
    Row("isolation", "protect-kernel-logs", 10, Closed("true"), "reads the kernel's log", "protect-kernel-logs = true"),
    Row("isolation", "protect-control-groups", 10, Closed("true"), "may write to the cgroup file system", "protect-control-groups = true"),
    Row("isolation", "protect-clock", 10, Closed("true"), "may set the clock", "protect-clock = true"),
    Row("isolation", "protect-hostname", 1, Closed("true"), "may set its host name", "protect-hostname = true"),
    Row("isolation", "protect-proc", 10, Partly(&[("invisible", 0), ("ptraceable", 0), ("noaccess", 30)]), "sees other users' processes in /proc", "protect-proc = \"invisible\""),
    Row("isolation", "no-new-privileges", 10, Closed("true"), "gains privileges by set-user-ID programs", "no-new-privileges = true"),
    Row("isolation", "keyring-mode", 10, Partly(&[("private", 0), ("shared", 30)]), "shares svcd's keyring", "keyring-mode = \"private\""),
    Row("isolation", "lock-personality", 1, Closed("true"), "changes its execution domain", "lock-personality = true"),
    Row("isolation", "memory-deny-write-execute", 1, Closed("true"), "makes memory that is writable and executable", "memory-deny-write-execute = true"),
    Row("isolation", "restrict-realtime", 5, Closed("true"), "takes the CPU by real-time scheduling", "restrict-realtime = true"),
    Row("isolation", "restrict-suid-sgid", 10, Closed("true"), "makes set-user-ID files", "restrict-suid-sgid = true"),
    Row("isolation", "restrict-namespaces", 15, By(namespaces), "makes namespaces", "restrict-namespaces = true"),
    Row("isolation", "system-call-architectures", 10, By(foreign_calls), "makes system calls of other architectures", "system-call-architectures = [\"native\"]"),
    Row("isolation", "restrict-address-families", 10, By(families), "makes sockets of unusual families", "restrict-address-families = [\"AF_UNIX\", \"AF_INET\", \"AF_INET6\"]"),
    Row("isolation", "capabilities", 15, Capabilities(&["CAP_SYS_ADMIN"]), "administers the machine", FEWER),
    Row("isolation", "capabilities", 15, Capabilities(&["CAP_SYS_PTRACE"]), "looks into other processes", FEWER),
    Row("isolation", "capabilities", 15, Capabilities(&["CAP_SETUID", "CAP_SETGID", "CAP_SETPCAP"]), "becomes any user", FEWER),
    Row("isolation", "capabilities", 10, Capabilities(&["CAP_NET_ADMIN"]), "configures networks", FEWER),
    Row("isolation", "capabilities", 10, Capabilities(&["CAP_SYS_RAWIO"]), "reaches devices' ports and memory", FEWER),
    Row("isolation", "capabilities", 10, Capabilities(&["CAP_SYS_MODULE"]), "loads kernel modules", FEWER),
    Row("isolation", "capabilities", 10, Capabilities(&["CAP_SYS_TIME"]), "sets the clock", FEWER),
    Row("isolation", "capabilities", 10, Capabilities(&["CAP_BPF", "CAP_PERFMON"]), "loads BPF programs, watches the kernel", FEWER),
    Row("isolation", "capabilities", 10, Capabilities(&["CAP_CHOWN", "CAP_FSETID", "CAP_SETFCAP"]), "changes owners and capabilities of files", FEWER),
    Row("isolation", "capabilities", 10, Capabilities(&["CAP_DAC_OVERRIDE", "CAP_DAC_READ_SEARCH", "CAP_FOWNER", "CAP_IPC_OWNER"]), "passes over permissions of files", FEWER),
    Row("isolation", "capabilities", 5, Capabilities(&["CAP_AUDIT_CONTROL", "CAP_AUDIT_READ", "CAP_AUDIT_WRITE"]), "reaches the audit log", FEWER),
    Row("isolation", "capabilities", 5, Capabilities(&["CAP_SYSLOG"]), "reads the kernel's log", FEWER),
    Row("isolation", "capabilities", 5, Capabilities(&["CAP_SYS_NICE", "CAP_SYS_RESOURCE"]), "raises its priority and limits", FEWER),
    Row("isolation", "capabilities", 5, Capabilities(&["CAP_MKNOD"]), "makes device nodes", FEWER),
    Row("isolation", "capabilities", 5, Capabilities(&["CAP_KILL"]), "signals any process that it sees", FEWER),
    Row("isolation", "capabilities", 5, Capabilities(&["CAP_NET_BIND_SERVICE", "CAP_NET_BROADCAST", "CAP_NET_RAW"]), "takes low ports, sends raw packets", FEWER),
    Row("isolation", "capabilities", 1, Capabilities(&["CAP_SYS_BOOT"]), "reboots the machine", FEWER),
    Row("isolation", "capabilities", 1, Capabilities(&["CAP_MAC_ADMIN", "CAP_MAC_OVERRIDE"]), "passes over mandatory access control", FEWER),
    Row("isolation", "capabilities", 1, Capabilities(&["CAP_LINUX_IMMUTABLE", "CAP_IPC_LOCK", "CAP_SYS_CHROOT", "CAP_LEASE", "CAP_SYS_PACCT",
        "CAP_SYS_TTY_CONFIG", "CAP_WAKE_ALARM", "CAP_BLOCK_SUSPEND", "CAP_CHECKPOINT_RESTORE"]), "uses privileges of small things", FEWER),
    Row("isolation", "seccomp", 10, Calls("@clock"), "may call @clock", FILTER),
    Row("isolation", "seccomp", 10, Calls("@debug"), "may call @debug", FILTER),
    Row("isolation", "seccomp", 10, Calls("@module"), "may call @module", FILTER),
    Row("isolation", "seccomp", 10, Calls("@mount"), "may call @mount", FILTER),
    Row("isolation", "seccomp", 10, Calls("@raw-io"), "may call @raw-io", FILTER),
    Row("isolation", "seccomp", 10, Calls("@reboot"), "may call @reboot", FILTER),
    Row("isolation", "seccomp", 10, Calls("@swap"), "may call @swap", FILTER),
    Row("isolation", "seccomp", 5, Calls("@cpu-emulation"), "may call @cpu-emulation", FILTER),
    Row("isolation", "seccomp", 5, Calls("@keyring"), "may call @keyring", FILTER),
    Row("isolation", "seccomp", 5, Calls("@obsolete"), "may call @obsolete", FILTER),
    Row("isolation", "seccomp", 5, Calls("io_uring_setup"), "may call io_uring_setup, past filters", FILTER),
    Row("isolation", "seccomp", 3, Calls("@privileged"), "may call @privileged", FILTER),
    Row("isolation", "seccomp", 2, Calls("@resources"), "may call @resources", FILTER),
];

/// What a service leaves open; None for a unit that runs nothing.
pub fn of(unit: &Unit) -> Option<Exposure> {
    let Kind::Service(service) = &unit.kind else {
        return None;
    };
    let shown = show::effective(unit);
    let look = Look {
        service,
        values: shown
            .into_iter()
            .map(|value| ((value.table, value.key), value.value))
            .collect(),
        calls: CallSets::new(
            &service.isolation.seccomp,
            service.isolation.bounding(),
            &service.isolation.view.calls_taken(),
        ),
    };
    let whole: u32 = ROWS.iter().map(|row| row.2).sum();
    let points = |hundredths: u32| f64::from(hundredths) / 10.0 / f64::from(whole.max(1));
    let mut sum = 0;
    let mut open = Vec::new();
    for Row(table, key, weight, rule, what, fix) in ROWS {
        let (percent, named) = rule.open(&look, table, key);
        if percent == 0 {
            continue;
        }
        sum += weight * percent;
        open.push(Opening {
            key: format!("[{table}] {key}"),
            exposure: points(weight * percent),
            what: format!("{what}{named}"),
            fix,
        });
    }
    open.sort_by(|one, other| other.exposure.total_cmp(&one.exposure));
    let exposure = (points(sum) * 10.0).round() / 10.0;
    Some(Exposure {
        unit: unit.name.to_string(),
        exposure,
        rating: rating(exposure),
        open,
    })
}

/// systemd's words for its scale.
fn rating(exposure: f64) -> &'static str {
    const WORDS: [(f64, &str); 6] = [
        (10.0, "dangerous"),
        (9.0, "unsafe"),
        (7.5, "exposed"),
        (5.0, "medium"),
        (1.0, "ok"),
        (0.1, "safe"),
    ];
    let word = WORDS.iter().find(|(from, _)| exposure >= *from);
    word.map_or("perfect", |(_, word)| word)
}

impl Rule {
    /// What is left open, in percent, and what of it by name.
    fn open(&self, look: &Look<'_>, table: &'static str, key: &'static str) -> (u32, String) {
        // Texts are shown in quotes.
        let value = look.value(table, key).trim_matches('"');
        match self {
            Self::Closed(closed) => (if value == *closed { 0 } else { 100 }, String::new()),
            Self::Partly(parts) => {
                let part = parts.iter().find(|(its, _)| *its == value);
                (part.map_or(100, |(_, percent)| *percent), String::new())
            }
            Self::By(open) => (open(look), String::new()),
            Self::Capabilities(names) => {
                let held = look.service.isolation.bounding().unwrap_or(u64::MAX);
                let asked = names.iter().filter_map(|name| capability_number(name));
                let open = held & asked.fold(0, |set, number| set | 1 << number);
                match open {
                    0 => (0, String::new()),
                    _ => (100, some_of(&capability_names(open))),
                }
            }
            Self::Calls(entry) => {
                let (open, all) = look.calls.open_of(entry);
                let share = (100 * open.len()).div_ceil(all.max(1));
                let named = if open.len() == all {
                    String::new()
                } else {
                    some_of(&open)
                };
                (u32::try_from(share).unwrap_or(100), named)
            }
        }
    }
}

/// The first of these names; a line is to fit a terminal.
fn some_of(names: &[impl AsRef<str>]) -> String {
    const NAMED_MAX: usize = 3;
    let named: Vec<&str> = names.iter().take(NAMED_MAX).map(AsRef::as_ref).collect();
    let more = if names.len() > NAMED_MAX { " and others" } else { "" };
    format!(": {}{more}", named.join(", "))
}

fn root(look: &Look<'_>) -> u32 {
    let service = look.service;
    let is_root = match &service.user {
        None | Some(Account::Id(0)) => true,
        Some(Account::Name(name)) => **name == *"root",
        Some(Account::Id(_)) => false,
    };
    if is_root && !service.dynamic_user { 100 } else { 0 }
}

fn umask(look: &Look<'_>) -> u32 {
    if look.service.umask & 0o007 == 0o007 { 0 } else { 100 }
}

fn devices(look: &Look<'_>) -> u32 {
    if look.service.resources.devices == Devices::All {
        100
    } else {
        0
    }
}

fn user_namespace(look: &Look<'_>) -> u32 {
    match look.value("isolation", "user") {
        "" | "false" => 100,
        _ => 0,
    }
}

fn namespaces(look: &Look<'_>) -> u32 {
    let all = NamespaceKinds::all().0;
    let left = all & !look.service.isolation.restrict_namespaces.0;
    100 * left.count_ones() / all.count_ones()
}

fn foreign_calls(look: &Look<'_>) -> u32 {
    if look.service.isolation.system_call_architectures.is_empty() {
        100
    } else {
        0
    }
}

/// Those of Unix sockets, the internet, and what getifaddrs(3) asks are usual.
fn families(look: &Look<'_>) -> u32 {
    const USUAL: [u16; 4] = [1, 2, 10, 16];
    match &look.service.isolation.restrict_address_families {
        Some(SocketFamilies::Only(only)) if only.iter().all(|family| USUAL.contains(family)) => 0,
        Some(SocketFamilies::Only(_)) => 50,
        Some(SocketFamilies::Except(_)) => 70,
        None => 100,
    }
}
