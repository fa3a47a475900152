//! What a service sees of the machine's files: a unit to an order of mounts, which the child makes.
//!
//! [`mounts`] makes them one after the other, by descriptors from [`place`]; [`access`] then holds what can be written,
//! executed or reached of what is there; [`devices`] is a /dev of its own.

mod access;
mod credentials;
mod devices;
mod inner;
mod mounts;
mod place;
mod root;

use std::path::PathBuf;

use access::Access;
pub use access::{Rule, hold};
use credentials::Credentials;
pub use mounts::{Mount, make};
pub use place::open;

use super::{Context, directories};
use crate::unit::device::{DeviceName, Devices};
use crate::unit::{InnerMount, Isolation, OptionalPath, ProtectHome, ProtectProc, ProtectSystem};

/// Paths of /proc and /sys that tell or do too much, hidden; what Docker hides (moby, oci/defaults.go).
const MASKED: [&str; 8] = [
    "/proc/acpi",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/scsi",
    "/proc/sched_debug",
    "/proc/timer_list",
    "/sys/firmware",
];

/// Paths of /proc and /sys that are only read.
const KERNEL_READ_ONLY: [&str; 6] = [
    "/proc/bus",
    "/proc/fs",
    "/proc/irq",
    "/proc/sys",
    "/proc/sysrq-trigger",
    "/sys",
];

/// systemd.exec(5), `ProtectHome=`.
const HOMES: [&str; 3] = ["/home", "/root", "/run/user"];

/// Where a private /tmp is.
const SCRATCH: [&str; 2] = ["/tmp", "/var/tmp"];

/// All of it, in the order in which it is put together.
pub fn of(context: &Context<'_>) -> Vec<Mount> {
    let isolation = &context.sandbox.isolation;
    let root = context.service.root.as_ref().map(|root| Mount::Root(root.path.clone()));
    let has_root = root.is_some();
    let mut mounts: Vec<Mount> = root.into_iter().collect();
    if isolation.private_tmp {
        mounts.extend(SCRATCH.map(Mount::Scratch));
    }
    if isolation.view.protect_home == ProtectHome::Tmpfs {
        mounts.extend(HOMES.map(Mount::Empty));
    }
    if isolation.private_devices {
        mounts.push(devices(context));
    } else if has_root {
        mounts.push(Mount::OfMachine("/dev"));
    }
    if has_root {
        mounts.push(Mount::OfMachine("/sys"));
    }
    if has_root || isolation.pid || isolation.view.protect_proc != ProtectProc::Default {
        mounts.push(Mount::Proc(isolation.view.protect_proc));
    }
    // Outer ones first, so that none covers another.
    let mut inner = context.service.mounts.clone();
    let given = directories::of(context);
    if has_root {
        inner.extend(given.iter().map(|directory| same_place(directory.path())));
    }
    inner.sort_by(|one, other| one.target.cmp(&other.target));
    mounts.extend(inner.into_iter().map(Mount::Inner));
    mounts.extend(credentials(context).map(Mount::Credentials));
    mounts
}

fn credentials(context: &Context<'_>) -> Option<Credentials> {
    let files = &context.service.directories.credentials;
    let (user, group) = context.accounts();
    (!files.is_empty()).then(|| Credentials {
        files: files.iter().map(|(name, file)| (name.clone(), file.clone())).collect(),
        user,
        group,
        at: context.roots.credentials(),
    })
}

/// A directory of the machine's at its own path in the root.
fn same_place(path: PathBuf) -> InnerMount {
    InnerMount {
        source: Some(path.display().to_string().into()),
        target: path,
        r#type: InnerMount::BIND.into(),
        read_only: false,
        options: Vec::new(),
    }
}

/// A list of the unit's own may forbid to make nodes, which binds the child already: then those of the machine are shown.
fn devices(context: &Context<'_>) -> Mount {
    let rules = match &context.service.resources.devices {
        Devices::Only(rules) => rules.as_slice(),
        Devices::All | Devices::Standard(_) => &[],
    };
    let listed = rules.iter().filter_map(|rule| match &rule.which {
        DeviceName::Path(node) => Some(node.clone()),
        DeviceName::Driver(..) | DeviceName::Numbers(..) => None,
    });
    Mount::Devices {
        make_nodes: !context.kernel.in_user_namespace && rules.is_empty(),
        listed: listed.collect(),
    }
}

/// What of all that can be written, executed or reached.
pub fn access(context: &Context<'_>) -> Vec<Rule> {
    let mut rules = rules(&context.sandbox.isolation);
    let mounted = context
        .service
        .mounts
        .iter()
        .map(|mount| ("mount", mount.target.clone()));
    let given = directories::of(context);
    let given = given.iter().map(|directory| ("protect-system", directory.path()));
    rules.extend(mounted.chain(given).map(|(key, path)| Rule {
        key,
        path,
        optional: false,
        access: Access::ReadWrite,
    }));
    rules
}

fn rules(isolation: &Isolation) -> Vec<Rule> {
    let mut rules = Rules(Vec::new());
    match isolation.protect_system {
        ProtectSystem::No => {}
        ProtectSystem::Yes => rules.add("protect-system", Access::ReadOnly, &["/usr", "/boot"]),
        ProtectSystem::Full => rules.add("protect-system", Access::ReadOnly, &["/usr", "/boot", "/etc"]),
        ProtectSystem::Strict => {
            rules.add("protect-system", Access::ReadOnly, &["/"]);
            // These have keys of their own.
            rules.add("protect-system", Access::ReadWrite, &["/dev", "/proc", "/sys"]);
        }
    }
    if isolation.private_tmp {
        rules.add("private-tmp", Access::ReadWrite, &SCRATCH);
    }
    if isolation.protect_kernel_tunables {
        rules.add("protect-kernel-tunables", Access::ReadOnly, &KERNEL_READ_ONLY);
        rules.add("protect-kernel-tunables", Access::Hidden, &MASKED);
    }
    let view = &isolation.view;
    match view.protect_home {
        ProtectHome::No => {}
        ProtectHome::Yes => rules.add("protect-home", Access::Hidden, &HOMES),
        ProtectHome::ReadOnly | ProtectHome::Tmpfs => rules.add("protect-home", Access::ReadOnly, &HOMES),
    }
    let protected: [(bool, &'static str, Access, &[&str]); 4] = [
        (
            view.protect_kernel_modules,
            "protect-kernel-modules",
            Access::Hidden,
            &["/lib/modules", "/usr/lib/modules"],
        ),
        (
            view.protect_kernel_logs,
            "protect-kernel-logs",
            Access::Hidden,
            &["/dev/kmsg", "/proc/kmsg"],
        ),
        (
            view.protect_control_groups,
            "protect-control-groups",
            Access::ReadOnly,
            &["/sys/fs/cgroup"],
        ),
        (
            view.protect_hostname,
            "protect-hostname",
            Access::ReadOnly,
            &["/proc/sys/kernel/domainname", "/proc/sys/kernel/hostname"],
        ),
    ];
    for (_, key, access, paths) in protected.into_iter().filter(|(on, ..)| *on) {
        rules.add(key, access, paths);
    }
    for (key, list) in view.lists() {
        rules.add_listed(key, list);
    }
    rules.0
}

struct Rules(Vec<Rule>);

impl Rules {
    /// Those of the machine, which it may not have.
    fn add(&mut self, key: &'static str, access: Access, paths: &[&str]) {
        self.0.extend(paths.iter().map(|path| Rule {
            key,
            path: path.into(),
            optional: true,
            access,
        }));
    }

    /// Those that a unit lists.
    fn add_listed(&mut self, key: &'static str, list: &[OptionalPath]) {
        let access = match key {
            "read-only-paths" => Access::ReadOnly,
            "read-write-paths" => Access::ReadWrite,
            "exec-paths" => Access::Executable,
            "no-exec-paths" => Access::NotExecutable,
            _ => Access::Hidden,
        };
        self.0.extend(list.iter().map(|listed| Rule {
            key,
            path: listed.path.clone(),
            optional: listed.optional,
            access,
        }));
    }
}
