//! What a service sees of the machine's files: a unit to an order of mounts, which the child makes.
//!
//! [`mounts`] makes them one after the other, by descriptors from [`place`]; [`access`] then holds what can be written,
//! executed or reached of what is there; [`devices`] is a /dev of its own.

mod access;
mod credentials;
mod devices;
mod inner;
mod links;
mod mounts;
mod place;
mod root;

use std::path::PathBuf;

use access::Access;
pub use access::{Rule, hold};
use credentials::Credentials;
pub use mounts::{Mount, make};
pub use place::open;
use root::{Root, Upper};

use super::{Context, directories};
use crate::unit::device::{DeviceName, Devices};
use crate::unit::namespaces::Namespace;
use crate::unit::{self, InnerMount, Isolation, OptionalPath, ProtectHome, ProtectProc, ProtectSystem, Writable};

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
    let root = context
        .service
        .root
        .as_ref()
        .map(|root| Mount::Root(root_of(context, root)));
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
    if has_root || isolation.pid != Namespace::Shared || isolation.view.protect_proc != ProtectProc::Default {
        mounts.push(Mount::Proc(isolation.view.protect_proc));
    }
    if isolation.cgroup {
        let own = context.own_groups.iter();
        mounts.extend(own.map(|group| Mount::OwnGroup(group.path.to_owned(), group.mount.to_owned())));
    }
    // Outer ones first, so that none covers another.
    let mut inner = context.service.mounts.clone();
    let given = directories::of(context);
    if has_root {
        inner.extend(given.iter().map(|directory| same_place(directory.path())));
    }
    inner.sort_by(|one, other| one.target.cmp(&other.target));
    mounts.extend(inner.into_iter().map(Mount::Inner));
    mounts.extend(notify(context).map(Mount::Inner));
    let names = context.names.iter();
    mounts.extend(names.map(|(source, target)| Mount::Inner(in_place_of(source, target))));
    mounts.extend(credentials(context).map(Mount::Credentials));
    mounts
}

fn root_of(context: &Context<'_>, root: &unit::Root) -> Root {
    let upper = match root.writable {
        _ if !root.is_overlay() => Upper::Itself,
        Some(Writable::Persistent) => Upper::Directory(context.roots.upper(&context.unit.name)),
        // What is read-only has its places for mounts made there before it is.
        Some(Writable::Tmpfs | Writable::None) | None => Upper::Tmpfs(root.size),
    };
    Root {
        layers: root.layers().to_vec(),
        upper,
        attributes_of_users: context.kernel.in_user_namespace,
    }
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

/// Its own socket in the place of everybody's.
fn notify(context: &Context<'_>) -> Option<InnerMount> {
    let its = context.notify.as_ref()?;
    Some(InnerMount {
        target: context.roots.notify(),
        read_only: true,
        ..same_place(its.clone())
    })
}

/// A file of svcd's in the place of another.
fn in_place_of(source: &std::path::Path, target: &str) -> InnerMount {
    InnerMount {
        target: target.into(),
        read_only: true,
        ..same_place(source.to_owned())
    }
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
    let is_read_only = |root: &unit::Root| root.writable == Some(Writable::None);
    let mut rules = Rules(Vec::new());
    if context.service.root.as_ref().is_some_and(is_read_only) {
        rules.add_all_read_only("root");
    }
    rules.add_isolation(&context.sandbox.isolation);
    let mut rules = rules.0;
    own_groups(context, &mut rules);
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

/// The groups that it manages can be written to, but for the files that are not its user's.
fn own_groups(context: &Context<'_>, rules: &mut Vec<Rule>) {
    for group in &context.own_groups {
        let seen = group.seen_at(context.sandbox.isolation.cgroup);
        // What protects the tree protects what this is part of.
        rules.retain(|rule| (rule.key, &*rule.path) != ("protect-control-groups", seen));
        let rule = |path, access| Rule {
            key: "delegate",
            path,
            optional: access == Access::ReadOnly,
            access,
        };
        rules.push(rule(seen.to_owned(), Access::ReadWrite));
        rules.extend(group.kept.iter().map(|file| rule(seen.join(file), Access::ReadOnly)));
    }
}

struct Rules(Vec<Rule>);

impl Rules {
    fn add_isolation(&mut self, isolation: &Isolation) {
        match isolation.protect_system {
            ProtectSystem::No => {}
            ProtectSystem::Yes => self.add("protect-system", Access::ReadOnly, &["/usr", "/boot"]),
            ProtectSystem::Full => self.add("protect-system", Access::ReadOnly, &["/usr", "/boot", "/etc"]),
            ProtectSystem::Strict => self.add_all_read_only("protect-system"),
        }
        if isolation.private_tmp {
            self.add("private-tmp", Access::ReadWrite, &SCRATCH);
        }
        if isolation.protect_kernel_tunables {
            self.add("protect-kernel-tunables", Access::ReadOnly, &KERNEL_READ_ONLY);
            self.add("protect-kernel-tunables", Access::Hidden, &MASKED);
        }
        let view = &isolation.view;
        match view.protect_home {
            ProtectHome::No => {}
            ProtectHome::Yes => self.add("protect-home", Access::Hidden, &HOMES),
            ProtectHome::ReadOnly | ProtectHome::Tmpfs => self.add("protect-home", Access::ReadOnly, &HOMES),
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
            self.add(key, access, paths);
        }
        for (key, list) in view.lists() {
            self.add_listed(key, list);
        }
    }

    fn add_all_read_only(&mut self, key: &'static str) {
        self.add(key, Access::ReadOnly, &["/"]);
        // These have keys of their own.
        self.add(key, Access::ReadWrite, &["/dev", "/proc", "/sys"]);
    }

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
