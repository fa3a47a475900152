//! Services on the bridge: who is on it with which address, and the child that makes the machine's side so.
//!
//! A unit joins before its first process, and leaves when its run is released. Each change makes the plan another; one
//! child at a time carries the plan out as it is by then, and whoever waits goes on when a child has that began after it
//! came. Addresses are recorded, so that a unit has the same for good.
//!
//! Where another run follows, the unit stays: its name, its address and its rules are as they were, and its ports are held.
//! Only its link goes, with its namespace. Who connects meanwhile is not refused, and reaches the next run.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::Path;
use std::rc::Rc;

use rustix::io::Errno;

mod addresses;
mod ahead;
mod job;
pub mod machine;
mod names;
mod proxy;
mod seen;
mod settings;

use ahead::Ahead;
use job::Job;
pub use names::Names;
pub use proxy::{Proxied, is_proxy};
pub use settings::NetworkSettings;

use super::lives::Life;
use super::spawn::step;
use super::unit_numbers::UnitNumbers;
use super::{Config, Supervisor};
use crate::engine::event::{Role, SpawnFailure};
use crate::engine::{RunId, UnitId};
use crate::net::{self, Attachment, Bridge, Member, To};
use crate::unit::{Kind, Network, Rule, UnitName};

/// Where IPv6 is, if the kernel has it.
const IPV6: &str = "/proc/sys/net/ipv6";

/// The bridge, and who is on it.
#[derive(Debug)]
pub struct Networks {
    settings: NetworkSettings,
    bridge: Bridge,
    numbers: UnitNumbers,
    members: BTreeMap<UnitId, Joined>,
    /// Counts changes of the members.
    changes: u64,
    /// Where its rules are written, by the children. None: not yet, or the kernel has none.
    netfilter: Option<net::Socket>,
    /// The rules, as far as nobody else has changed any since.
    written: Option<net::Written>,
    /// Namespaces for the next services, on the bridge or not.
    pub(super) ahead: Ahead,
    /// The child that carries a plan out.
    job: Option<Job>,
    /// The change that was last carried out, or tried.
    settled: u64,
    /// The kernel had no rules then: published ports are a proxy's.
    without_rules: bool,
}

#[derive(Clone, Debug)]
struct Joined {
    unit: UnitName,
    member: Member,
    rules: (Vec<Rule>, Vec<Rule>),
}

/// What a run has of the bridge.
#[derive(Debug)]
pub struct Port {
    /// Which run has joined.
    run: RunId,
    /// Its link, on the machine's side and inside.
    attachment: Attachment,
    /// It waits for the plan with this change.
    waits_for: Option<u64>,
    /// It leaves with it.
    leaves: bool,
    /// What no rule leads to it.
    pub proxied: Proxied,
}

impl Port {
    /// The name of its link on the machine's side.
    pub fn link(&self) -> &str {
        match &self.attachment.to {
            To::Bridge { port, .. } => port,
            To::Parent(_, parent) => parent,
        }
    }
}

impl Networks {
    /// Nobody is on it yet.
    pub fn open(settings: &NetworkSettings, state_dir: &Path) -> Self {
        Self {
            settings: settings.clone(),
            bridge: settings.made(Path::new(IPV6).exists()),
            numbers: UnitNumbers::open(state_dir.join("addresses"), |number| (2..=65_534).contains(&number)),
            members: BTreeMap::new(),
            changes: 0,
            netfilter: None,
            written: None,
            ahead: Ahead::default(),
            job: None,
            settled: 0,
            without_rules: false,
        }
    }

    fn is_on_bridge(&self, address: IpAddr) -> bool {
        let own = [
            self.bridge.v4.map(|its| IpAddr::V4(its.0)),
            self.bridge.v6.map(|its| IpAddr::V6(its.0)),
        ];
        self.settings.subnets().any(|subnet| subnet.contains(address)) && !own.contains(&Some(address))
    }

    /// Who is on it, by name.
    fn names(&self) -> Vec<(UnitName, Vec<IpAddr>)> {
        let all = self.members.values();
        let mut all: Vec<_> = all
            .map(|joined| (joined.unit.clone(), joined.member.addresses.clone()))
            .collect();
        all.sort();
        all
    }
}

impl Supervisor {
    /// A unit on the bridge joins before its first process; true: the command waits until it has.
    pub(super) fn joins_bridge(&mut self, run: RunId, role: Role) -> Result<bool, SpawnFailure> {
        let Some(life) = self.lives.get(&run.unit) else {
            return Ok(false);
        };
        let is_to_be = *life.sandbox.network() == Network::Bridge;
        match &life.port {
            None if !is_to_be => return Ok(false),
            Some(_) if !is_to_be => {
                self.forget_port(run.unit);
                self.settle_network();
                return Ok(false);
            }
            Some(port) if port.run == run && port.waits_for.is_none() => return Ok(false),
            Some(port) if port.run == run => {}
            Some(_) | None => self.join_bridge(run.unit)?,
        }
        if let Some(life) = self.lives.get_mut(&run.unit) {
            life.queued = Some(role);
        }
        self.settle_network();
        Ok(true)
    }

    fn join_bridge(&mut self, unit: UnitId) -> Result<(), SpawnFailure> {
        let life = self.lives.get(&unit).ok_or_else(|| step("unit", 0))?;
        let definition = Rc::clone(&life.unit);
        let Kind::Service(service) = &definition.kind else {
            return Err(step("unit", 0));
        };
        let before = self.networks.members.get(&unit).map(|joined| &*joined.member.publish);
        for publish in &service.connectivity.publish {
            if !before.is_some_and(|before| before.contains(publish)) {
                self.is_free(unit, publish)?;
            }
        }
        self.can_have_rules(service)?;
        self.put_on_bridge(unit, &definition.name, service)?;
        let waits_for = Some(self.networks.changes);
        if let Some(port) = self.lives.get_mut(&unit).and_then(|life| life.port.as_mut()) {
            port.waits_for = waits_for;
        }
        Ok(())
    }

    /// One of a former life, whose links are there.
    pub(super) fn stays_on_bridge(&mut self, unit: UnitId) {
        let Some(life) = self
            .lives
            .get(&unit)
            .filter(|life| *life.sandbox.network() == Network::Bridge)
        else {
            return;
        };
        let definition = Rc::clone(&life.unit);
        let Kind::Service(service) = &definition.kind else {
            return;
        };
        if let Err(failure) = self.put_on_bridge(unit, &definition.name, service) {
            tracing::error!("{}: {} {}", definition.name, failure.step, failure.detail);
        }
    }

    fn network_settled(&mut self, change: u64, failure: Option<SpawnFailure>) {
        self.networks.settled = change;
        let is_done = |life: &Life| {
            let waits_for = life.port.as_ref().and_then(|port| port.waits_for);
            waits_for.is_some_and(|its| its <= change)
        };
        let done = self.lives.iter().filter(|(_, life)| is_done(life));
        let done: Vec<UnitId> = done.map(|(unit, _)| *unit).collect();
        if failure.as_ref().is_some_and(is_of_rules) && self.refuse_rules(&done) {
            return;
        }
        if let Some(failure) = failure.as_ref().filter(|_| done.is_empty()) {
            tracing::error!("{}: {}", failure.step, Errno::from_raw_os_error(failure.errno));
        }
        for unit in done {
            let leaves = |life: &Life| life.port.as_ref().is_some_and(|port| port.leaves);
            let leaves = self.lives.get(&unit).is_some_and(leaves);
            let ports = if leaves { Ok(()) } else { self.take_ports(unit) };
            let failure = failure.clone().or(ports.err());
            let Some(life) = self.lives.get_mut(&unit) else {
                continue;
            };
            match (&mut life.port, &failure) {
                (port, _) if leaves => *port = None,
                (Some(port), None) => port.waits_for = None,
                (_, Some(_)) => self.forget_port(unit),
                (None, None) => {}
            }
            match &failure {
                _ if leaves => self.look_again(unit),
                None => self.on_holder_ready(unit),
                Some(failure) => self.fail_queued(unit, failure.clone()),
            }
        }
    }

    /// Those who have joined with rules, which this kernel turned out to have none of; the others wait for the plan without
    /// them. False: none has.
    fn refuse_rules(&mut self, joined: &[UnitId]) -> bool {
        let why = |unit: &UnitId| match &self.lives.get(unit)?.unit.kind {
            Kind::Service(service) => self.can_have_rules(service).err().map(|why| (*unit, why)),
            Kind::Masked | Kind::Target | Kind::Slice(_) | Kind::Mount(_) => None,
        };
        let members = joined.iter().filter(|unit| self.networks.members.contains_key(unit));
        let refused: Vec<(UnitId, SpawnFailure)> = members.filter_map(why).collect();
        for (unit, failure) in &refused {
            self.forget_port(*unit);
            self.fail_queued(*unit, failure.clone());
        }
        !refused.is_empty()
    }

    fn forget_port(&mut self, unit: UnitId) {
        if let Some(life) = self.lives.get_mut(&unit) {
            life.port = None;
        }
        self.networks.members.remove(&unit);
        self.networks.changes += 1;
    }

    /// A run that is released leaves the bridge, unless another follows; true: it is not done yet.
    pub(super) fn leaves_bridge(&mut self, unit: UnitId) -> bool {
        let Some(life) = self.lives.get_mut(&unit).filter(|life| !life.keeps_port()) else {
            return false;
        };
        Names::remove(&self.config.runtime_dir, &life.unit.name);
        let Some(port) = &mut life.port else { return false };
        if !port.leaves {
            self.networks.members.remove(&unit);
            self.networks.changes += 1;
            (port.leaves, port.waits_for) = (true, Some(self.networks.changes));
            self.settle_network();
        }
        // Where no child could be had it was done at once, as far as it could be.
        self.lives.get(&unit).is_some_and(|life| life.port.is_some())
    }

    /// What a former life has left of a bridge goes, where nobody is on it.
    pub(super) fn look_at_network(&mut self) {
        let links = std::fs::read_to_string("/proc/self/net/dev").unwrap_or_default();
        let mut names = links.lines().filter_map(|line| line.trim_start().split_once(':'));
        if self.networks.changes == 0 && names.any(|(name, _)| *name == *self.networks.bridge.name) {
            self.networks.changes += 1;
        }
        self.settle_network();
    }
}

/// A plan could not be carried out since somebody has rules.
fn is_of_rules(failure: &SpawnFailure) -> bool {
    matches!(&*failure.step, "allow" | "deny")
}

/// Removes what only held the files with names.
pub fn remove_names(config: &Config) {
    drop(std::fs::remove_dir_all(names::directory(&config.runtime_dir)));
}
