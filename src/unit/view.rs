//! What a service sees of the machine's files, and may do to the machine: the `protect-` and `-paths` keys of
//! `[isolation]` that no profile sets.

use serde::Serialize;

use super::value::capability_number;
use super::{Isolation, OptionalPath};

/// These keys; systemd.exec(5), "Sandboxing" and "Paths".
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs)]
pub struct View {
    pub protect_home: ProtectHome,
    pub protect_kernel_modules: bool,
    pub protect_kernel_logs: bool,
    pub protect_control_groups: bool,
    pub protect_clock: bool,
    pub protect_hostname: bool,
    pub protect_proc: ProtectProc,
    pub read_only_paths: Vec<OptionalPath>,
    pub read_write_paths: Vec<OptionalPath>,
    pub inaccessible_paths: Vec<OptionalPath>,
    pub exec_paths: Vec<OptionalPath>,
    pub no_exec_paths: Vec<OptionalPath>,
}

/// systemd.exec(5), `ProtectHome=`: what becomes of /home, /root and /run/user.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ProtectHome {
    /// They are as they are.
    #[default]
    No,
    /// They are hidden.
    Yes,
    /// They can be read.
    ReadOnly,
    /// An empty one that is read-only lies over each, in which `[[mount]]` can show parts of them.
    Tmpfs,
}

/// systemd.exec(5), `ProtectProc=`; the option `hidepid` of proc(5).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ProtectProc {
    /// All of everybody is seen.
    #[default]
    Default,
    /// Nothing of the insides of other users' processes.
    Noaccess,
    /// Nor that there are any.
    Invisible,
    /// Nor of one's own that cannot be traced.
    Ptraceable,
}

impl ProtectProc {
    /// What `hidepid` is called with.
    pub fn word(self) -> &'static str {
        match self {
            Self::Default => "off",
            Self::Noaccess => "noaccess",
            Self::Invisible => "invisible",
            Self::Ptraceable => "ptraceable",
        }
    }
}

impl View {
    /// Each list of paths, by its key.
    pub fn lists(&self) -> [(&'static str, &Vec<OptionalPath>); 5] {
        [
            ("read-only-paths", &self.read_only_paths),
            ("read-write-paths", &self.read_write_paths),
            ("inaccessible-paths", &self.inaccessible_paths),
            ("exec-paths", &self.exec_paths),
            ("no-exec-paths", &self.no_exec_paths),
        ]
    }

    /// Each key that is held by mounts, and whether it is on.
    pub fn need_mounts(&self) -> impl Iterator<Item = (&'static str, bool)> {
        let each = [
            ("protect-home", self.protect_home != ProtectHome::No),
            ("protect-kernel-modules", self.protect_kernel_modules),
            ("protect-kernel-logs", self.protect_kernel_logs),
            ("protect-control-groups", self.protect_control_groups),
            ("protect-hostname", self.protect_hostname),
            ("protect-proc", self.protect_proc != ProtectProc::Default),
        ];
        let lists = self.lists().map(|(key, list)| (key, !list.is_empty()));
        each.into_iter().chain(lists)
    }

    /// Takes back what a key asks for.
    pub fn clear(&mut self, key: &str) {
        match key {
            "protect-home" => self.protect_home = ProtectHome::No,
            "protect-kernel-modules" => self.protect_kernel_modules = false,
            "protect-kernel-logs" => self.protect_kernel_logs = false,
            "protect-control-groups" => self.protect_control_groups = false,
            "protect-clock" => self.protect_clock = false,
            "protect-hostname" => self.protect_hostname = false,
            "protect-proc" => self.protect_proc = ProtectProc::Default,
            "read-only-paths" => self.read_only_paths.clear(),
            "read-write-paths" => self.read_write_paths.clear(),
            "inaccessible-paths" => self.inaccessible_paths.clear(),
            "exec-paths" => self.exec_paths.clear(),
            "no-exec-paths" => self.no_exec_paths.clear(),
            _ => {}
        }
    }

    /// Whether a key takes capabilities and system calls away, where it is on.
    pub fn takes_calls(key: &str) -> bool {
        matches!(
            key,
            "protect-kernel-modules" | "protect-kernel-logs" | "protect-clock" | "protect-hostname"
        )
    }

    /// Each key that takes capabilities and system calls away, with those, where it is on.
    fn taken(&self) -> impl Iterator<Item = (&'static [&'static str], &'static [&'static str])> {
        let each: [(bool, &[&str], &[&str]); 4] = [
            (self.protect_kernel_modules, &["CAP_SYS_MODULE"], &["@module"]),
            (self.protect_kernel_logs, &["CAP_SYSLOG"], &["syslog"]),
            (self.protect_clock, &["CAP_SYS_TIME", "CAP_WAKE_ALARM"], &["@clock"]),
            (self.protect_hostname, &[], &["sethostname", "setdomainname"]),
        ];
        let on = each.into_iter().filter(|(on, ..)| *on);
        on.map(|(_, capabilities, calls)| (capabilities, calls))
    }

    /// Capabilities that these keys take away, as bits.
    pub fn capabilities_taken(&self) -> u64 {
        let names = self.taken().flat_map(|(capabilities, _)| capabilities);
        let numbers = names.filter_map(|name| capability_number(name));
        numbers.fold(0, |set, number| set | 1 << number)
    }

    /// System calls, and groups of them, that these keys take away.
    pub fn calls_taken(&self) -> Vec<&'static str> {
        self.taken().flat_map(|(_, calls)| calls).copied().collect()
    }
}

impl Isolation {
    /// The bounding set that all keys together leave; None: all that the kernel has.
    pub fn bounding(&self) -> Option<u64> {
        match (self.capabilities, self.view.capabilities_taken()) {
            (all, 0) => all,
            (set, taken) => Some(set.unwrap_or(u64::MAX) & !taken),
        }
    }
}
