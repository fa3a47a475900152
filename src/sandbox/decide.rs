//! What of a service's isolation can be had here. What cannot refuses the start, or is left out where the unit says so.

use std::rc::Rc;

use super::capabilities::{MKNOD, NET_ADMIN, SETPCAP, SYS_TIME};
use super::probe::{Kernel, Lack};
use super::seccomp::{self, Filters, Program, Wanted};
use crate::unit::filter::{NamespaceKinds, Seccomp};
use crate::unit::namespaces::{Namespace, UserNamespace};
use crate::unit::{Enforcement, Isolation, KeyringMode, Network, ProtectSystem, Service, Unenforceable, View};

/// The sandboxes of the units that run: what asks for the same isolation shares one.
#[derive(Debug, Default)]
pub struct Sandboxes {
    decided: Vec<(Rc<Isolation>, Network, Rc<Sandbox>)>,
    filters: Filters,
}

impl Sandboxes {
    /// Decides, or takes what was decided for another.
    ///
    /// # Errors
    /// The first key that cannot be enforced here and is not in `best-effort`.
    pub fn decide(&mut self, service: &Service, kernel: &Kernel) -> Result<Rc<Sandbox>, Unenforceable> {
        let mut decided = self.decided.iter();
        let same = decided.find(|(its, network, _)| *its == service.isolation && *network == service.network);
        if let Some((.., sandbox)) = same {
            sandbox.can_show(service)?;
            return Ok(Rc::clone(sandbox));
        }
        let sandbox = Rc::new(Sandbox::decide(service, kernel, &mut self.filters)?);
        sandbox.can_show(service)?;
        self.decided.retain(|(.., sandbox)| Rc::strong_count(sandbox) > 1);
        let asked = Rc::clone(&service.isolation);
        self.decided.push((asked, service.network.clone(), Rc::clone(&sandbox)));
        Ok(sandbox)
    }
}

/// The isolation that a service gets, decided once for all of its commands.
#[derive(Clone, Debug)]
pub struct Sandbox {
    /// Without what is skipped.
    pub(super) isolation: Isolation,
    /// Likewise.
    pub(super) network: Network,
    /// Last before each exec.
    pub(super) filter: Option<Rc<Program>>,
    /// Why nothing can be mounted for it.
    no_mounts: Option<Lack>,
    keys: Vec<(Box<str>, Enforcement)>,
}

impl Sandbox {
    /// `[root]` and `[[mount]]` are what the service is about, so they are never skipped.
    fn can_show(&self, service: &Service) -> Result<(), Unenforceable> {
        match &self.no_mounts {
            Some(lack) if let Some(key) = needs_view(service) => Err(lack.clone().stops(key)),
            Some(_) | None => Ok(()),
        }
    }

    fn decide(service: &Service, kernel: &Kernel, filters: &mut Filters) -> Result<Self, Unenforceable> {
        let mut keys = Keys {
            best_effort: &service.isolation.best_effort,
            decided: Vec::new(),
        };
        let mut isolation = Isolation::clone(&service.isolation);
        let network = namespaces(&mut isolation, service.network.clone(), kernel, &mut keys)?;
        mounts(&mut isolation, kernel, &mut keys)?;
        privileges(&mut isolation, kernel, &mut keys)?;
        calls(&mut isolation, kernel, &mut keys)?;
        files(&mut isolation, kernel, &mut keys)?;
        let wanted = Wanted::of(&isolation, domain(&isolation, kernel));
        let filter = match wanted.is_nothing() {
            true => None,
            false => Some(filters.get(wanted).map_err(|error| Unenforceable {
                key: "seccomp".into(),
                cause: "the filter has more instructions than the kernel takes".into(),
                errno: error.raw_os_error().unwrap_or(0),
            })?),
        };
        let keys = keys.decided;
        let no_mounts = no_mounts(&isolation, kernel);
        Ok(Self {
            no_mounts,
            isolation,
            network,
            filter,
            keys,
        })
    }

    /// No list keeps the service from opening a disk by a node that it makes: so it makes none. In a user namespace nobody
    /// can anyway.
    pub fn make_no_nodes(&mut self) {
        let capabilities = &mut self.isolation.capabilities;
        *capabilities = capabilities.map(|set| set & !MKNOD);
    }

    /// The same without a key of which only the unit's own files, or what is free, told that it cannot be had. None: the unit
    /// is not to do without it.
    pub fn without(&self, key: &str, why: &str) -> Option<Self> {
        let allowed = self.isolation.best_effort.iter().any(|listed| **listed == *key);
        if key != USER || self.isolation.user.is_none() || !allowed {
            return None;
        }
        let mut sandbox = self.clone();
        sandbox.isolation.user = None;
        let skipped = Enforcement::Skipped(why.into());
        let mut keys = sandbox.keys.iter_mut();
        keys.find(|(its, _)| **its == *key)?.1 = skipped;
        Some(sandbox)
    }

    /// It has ids of its own, which somebody has to choose.
    pub fn needs_range(&self) -> bool {
        self.isolation.user == Some(UserNamespace::Auto)
    }

    /// The network that it gets.
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// What becomes of each key.
    pub fn keys(&self) -> &[(Box<str>, Enforcement)] {
        &self.keys
    }
}

/// The one key that a child may find it cannot have: whether files can be shown with other ids, only they tell.
const USER: &str = "user";

/// What becomes of each key so far.
struct Keys<'a> {
    best_effort: &'a [Box<str>],
    decided: Vec<(Box<str>, Enforcement)>,
}

impl Keys<'_> {
    /// Whether a key that is wanted can be had: `lack` says why not.
    fn on(&mut self, key: &str, wanted: bool, lack: Option<&Lack>) -> Result<bool, Unenforceable> {
        if !wanted {
            return Ok(false);
        }
        let becomes = match lack {
            None => Enforcement::Enforced,
            Some(lack) if self.best_effort.iter().any(|listed| **listed == *key) => {
                Enforcement::Skipped(lack.cause.as_ref().into())
            }
            Some(lack) => return Err(lack.clone().stops(key)),
        };
        self.decided.push((key.into(), becomes));
        Ok(lack.is_none())
    }
}

impl Lack {
    fn stops(self, key: &str) -> Unenforceable {
        Unenforceable {
            key: key.into(),
            cause: self.cause.into(),
            errno: self.errno,
        }
    }
}

fn namespaces(
    isolation: &mut Isolation,
    network: Network,
    kernel: &Kernel,
    keys: &mut Keys<'_>,
) -> Result<Network, Unenforceable> {
    isolation.mount = keys.on("mount", isolation.mount, kernel.refuses("mnt").as_ref())?;
    for (key, namespace) in [("pid", &mut isolation.pid), ("ipc", &mut isolation.ipc)] {
        if !keys.on(key, *namespace != Namespace::Shared, kernel.refuses(key).as_ref())? {
            *namespace = Namespace::Shared;
        }
    }
    isolation.uts = keys.on("uts", isolation.uts, kernel.refuses("uts").as_ref())?;
    isolation.cgroup = keys.on("cgroup", isolation.cgroup, kernel.refuses("cgroup").as_ref())?;
    let cannot = kernel
        .refuses("time")
        .or_else(|| (kernel.permitted & SYS_TIME == 0).then(|| Lack::of_right("it takes CAP_SYS_TIME")));
    if !keys.on("time", isolation.time.is_some(), cannot.as_ref())? {
        isolation.time = None;
    }
    let cannot = isolation.user.as_ref().and_then(|user| kernel.refuses_users(user));
    if !keys.on(USER, isolation.user.is_some(), cannot.as_ref())? {
        isolation.user = None;
    }
    let no_links = || {
        let cannot = network.has_links() && kernel.permitted & NET_ADMIN == 0;
        cannot.then(|| Lack::of_right("it takes CAP_NET_ADMIN"))
    };
    let own = keys.on(
        "mode",
        network != Network::Host,
        kernel.refuses("net").or_else(no_links).as_ref(),
    )?;
    let no_uts = (!isolation.uts).then(|| Lack::of_unit("it needs a uts namespace"));
    keys.on("hostname", isolation.hostname.is_some(), no_uts.as_ref())?;
    Ok(if own { network } else { Network::Host })
}

/// What only files of its own can give the service.
fn needs_view(service: &Service) -> Option<&'static str> {
    let each = [
        ("root", service.root.is_some()),
        ("mount", !service.mounts.is_empty()),
        ("credentials", !service.directories.credentials.is_empty()),
    ];
    each.into_iter().find(|(_, needs)| *needs).map(|(key, _)| key)
}

/// Why the service can be shown no files of its own.
fn no_mounts(isolation: &Isolation, kernel: &Kernel) -> Option<Lack> {
    match isolation.mount {
        true => kernel.no_mounts.clone(),
        false => Some(Lack::of_unit("it needs a mount namespace")),
    }
}

fn mounts(isolation: &mut Isolation, kernel: &Kernel, keys: &mut Keys<'_>) -> Result<(), Unenforceable> {
    let cannot = no_mounts(isolation, kernel);
    for (key, on) in [
        ("private-tmp", &mut isolation.private_tmp),
        ("private-devices", &mut isolation.private_devices),
        ("protect-kernel-tunables", &mut isolation.protect_kernel_tunables),
    ] {
        *on = keys.on(key, *on, cannot.as_ref())?;
    }
    let system = isolation.protect_system != ProtectSystem::No;
    if !keys.on("protect-system", system, cannot.as_ref())? {
        isolation.protect_system = ProtectSystem::No;
    }
    // These take capabilities and calls away besides.
    let no_calls = no_filter(isolation, kernel).or_else(|| no_bounding(isolation.view.capabilities_taken(), kernel));
    let needs: Vec<(&str, bool)> = isolation.view.need_mounts().collect();
    for (key, on) in needs {
        let cannot = cannot.as_ref();
        if !keys.on(key, on, cannot.or(no_calls.as_ref().filter(|_| View::takes_calls(key))))? {
            isolation.view.clear(key);
        }
    }
    if !keys.on("protect-clock", isolation.view.protect_clock, no_calls.as_ref())? {
        isolation.view.clear("protect-clock");
    }
    Ok(())
}

/// Why the bounding set cannot lose these.
fn no_bounding(taken: u64, kernel: &Kernel) -> Option<Lack> {
    let cannot = kernel.bounding & taken != 0 && kernel.permitted & SETPCAP == 0;
    cannot.then(|| Lack::of_right("it takes CAP_SETPCAP"))
}

fn privileges(isolation: &mut Isolation, kernel: &Kernel, keys: &mut Keys<'_>) -> Result<(), Unenforceable> {
    keys.on("no-new-privileges", isolation.no_new_privileges, None)?;
    let cannot = no_bounding(isolation.capabilities.map_or(0, |set| !set), kernel);
    if !keys.on("capabilities", isolation.capabilities.is_some(), cannot.as_ref())? {
        isolation.capabilities = None;
    }
    let ambient = isolation.ambient_capabilities;
    let missing = crate::unit::value::capability_names(ambient & !kernel.permitted).join(", ");
    let cannot = (!missing.is_empty()).then(|| Lack::of_right(format!("svcd itself has no {missing}")));
    if !keys.on("ambient-capabilities", ambient != 0, cannot.as_ref())? {
        isolation.ambient_capabilities &= kernel.permitted;
    }
    let keyring = isolation.keyring_mode != KeyringMode::Inherit;
    if !keys.on("keyring-mode", keyring, kernel.no_keyrings.as_ref())? {
        isolation.keyring_mode = KeyringMode::Inherit;
    }
    let foreign = isolation.personality.is_some_and(|its| seccomp::domain(its).is_none());
    let cannot = foreign.then(|| Lack::of_unit("this machine is of another architecture"));
    if !keys.on("personality", isolation.personality.is_some(), cannot.as_ref())? {
        isolation.personality = None;
    }
    Ok(())
}

/// seccomp(2), landlock(7): whoever can gain privileges by an exec may not choose what that program is kept from.
fn without_privileges(isolation: &Isolation, kernel: &Kernel) -> Option<Lack> {
    let may = isolation.no_new_privileges || kernel.admin;
    (!may).then(|| Lack::of_right("it takes CAP_SYS_ADMIN, or no-new-privileges"))
}

/// Why there can be no filter of system calls.
fn no_filter(isolation: &Isolation, kernel: &Kernel) -> Option<Lack> {
    let none = kernel.no_filters.clone();
    none.or_else(|| without_privileges(isolation, kernel))
}

fn files(isolation: &mut Isolation, kernel: &Kernel, keys: &mut Keys<'_>) -> Result<(), Unenforceable> {
    let none = kernel.no_landlock.clone();
    let cannot = none.or_else(|| without_privileges(isolation, kernel));
    if !keys.on("landlock", isolation.landlock.is_some(), cannot.as_ref())? {
        isolation.landlock = None;
    }
    Ok(())
}

/// The keys that the filter holds.
fn calls(isolation: &mut Isolation, kernel: &Kernel, keys: &mut Keys<'_>) -> Result<(), Unenforceable> {
    let cannot = no_filter(isolation, kernel);
    let cannot = cannot.as_ref();
    if !keys.on("seccomp", isolation.seccomp != Seccomp::None, cannot)? {
        isolation.seccomp = Seccomp::None;
    }
    let kinds = isolation.restrict_namespaces != NamespaceKinds::NONE;
    if !keys.on("restrict-namespaces", kinds, cannot)? {
        isolation.restrict_namespaces = NamespaceKinds::NONE;
    }
    let families = isolation.restrict_address_families.is_some();
    if !keys.on("restrict-address-families", families, cannot)? {
        isolation.restrict_address_families = None;
    }
    let architectures = !isolation.system_call_architectures.is_empty();
    if !keys.on("system-call-architectures", architectures, cannot)? {
        isolation.system_call_architectures = Vec::new();
    }
    for (key, on) in [
        ("lock-personality", &mut isolation.lock_personality),
        ("memory-deny-write-execute", &mut isolation.memory_deny_write_execute),
        ("restrict-realtime", &mut isolation.restrict_realtime),
        ("restrict-suid-sgid", &mut isolation.restrict_suid_sgid),
    ] {
        *on = keys.on(key, *on, cannot)?;
    }
    Ok(())
}

/// The execution domain that the service begins in.
fn domain(isolation: &Isolation, kernel: &Kernel) -> u32 {
    isolation
        .personality
        .and_then(seccomp::domain)
        .unwrap_or(kernel.personality)
}
