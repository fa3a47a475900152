//! The proxy of a unit's published ports: one process, for what no rule of the kernel leads to the unit. Where the kernel
//! has no nf_tables that is all that is published; else `::1` alone.
//!
//! svcd itself takes the ports, once the unit is on the bridge and before its first command, so that one that is taken is
//! refused by name. It keeps them over restarts, over an exec of svcd, and when the proxy dies; who connects meanwhile waits
//! in the kernel's queue. The proxy is made when the network namespace is
//! there, before the command that waits for it: a child in the unit's cgroup, with the ports and nothing else open,
//! and without rights ([`sandbox::start_beside`]).
//!
//! It ends with the holder of the namespace, by SIGKILL. Of the unit's processes it is none: nobody waits for its end, and
//! it is sent no signal of theirs. Where it dies by itself another is made. Where svcd is killed it goes on; the next svcd
//! knows it by what was saved, and takes the ports back out of it (pidfd_getfd(2)). If that cannot be, it is ended, and
//! they are taken anew.

mod ports;

use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use rustix::io::Errno;

use crate::engine::UnitId;
use crate::engine::event::{Mono, SpawnFailure, SpawnFailureKind};
use crate::net::proxy::{CALLS, Inlet, Proxy};
use crate::sandbox::{self, Beside, StepFailed};
use crate::supervisor::Supervisor;
use crate::supervisor::clock;
use crate::supervisor::kept::Descriptor;
use crate::supervisor::lives::{Life, Process};
use crate::supervisor::poll::Who;
use crate::supervisor::processes;
use crate::supervisor::spawn::{from_io, step};
use crate::unit::{Kind, Protocol};

/// The proxy's name.
const NAME: &std::ffi::CStr = c"svc-proxy";
/// Before another is made for one that has died; it doubles for those that do not live long.
const PAUSE_FIRST: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(10);
const LONG_LIFE: Duration = Duration::from_secs(10);

/// What a run has published by a proxy.
#[derive(Debug, Default)]
pub struct Proxied {
    inlets: Vec<Inlet>,
    /// The ports that it should have could not be taken back.
    lost: bool,
    /// When its proxy was made, and when another is to be, with the pause before that.
    since: Mono,
    again: Option<Mono>,
    pause: Duration,
}

impl Proxied {
    /// Whether a port is held.
    pub fn has(&self, port: u16, protocol: Protocol) -> bool {
        let mut ways = self.inlets.iter().map(|inlet| &inlet.way);
        ways.any(|way| way.at.port() == port && way.protocol == protocol)
    }

    /// To be saved.
    pub fn kept(&self) -> Vec<Descriptor> {
        self.inlets.iter().map(|inlet| Descriptor::of(&inlet.socket)).collect()
    }

    fn try_again(&mut self) {
        let now = clock::mono();
        let lived_long = now.0.saturating_sub(self.since.0) >= LONG_LIFE;
        self.pause = match lived_long {
            true => PAUSE_FIRST,
            false => (self.pause * 2).clamp(PAUSE_FIRST, PAUSE_MAX),
        };
        self.again = Some(Mono(now.0 + self.pause));
    }
}

impl Supervisor {
    /// Whether the command that waits for the unit's namespaces waits for its proxy; where it cannot be had, that has failed.
    pub(in crate::supervisor) fn waits_for_proxy(&mut self, unit: UnitId) -> bool {
        let Some(life) = self.lives.get(&unit).filter(|life| life.queued.is_some()) else {
            return false;
        };
        match &life.proxy {
            Some(proxy) => proxy.report.is_some(),
            None if !lacks_proxy(life) => false,
            None => {
                if let Err(failure) = self.start_proxy(unit) {
                    self.fail_queued(unit, failure);
                }
                true
            }
        }
    }

    /// Makes the proxy of a unit of which nobody holds the namespaces, now that its main process has some; or another.
    pub(in crate::supervisor) fn look_after_proxy(&mut self, unit: UnitId) {
        if !self.lives.get(&unit).is_some_and(lacks_proxy) {
            return;
        }
        if let Err(failure) = self.start_proxy(unit)
            && let Some(life) = self.lives.get_mut(&unit)
        {
            tracing::warn!("{}: proxy: {} {}", life.unit.name, failure.step, failure.detail);
            life.port.iter_mut().for_each(|port| port.proxied.try_again());
        }
    }

    fn start_proxy(&mut self, unit: UnitId) -> Result<(), SpawnFailure> {
        let life = self.lives.get_mut(&unit).ok_or_else(|| step("unit", 0))?;
        if let Some(port) = &mut life.port {
            (port.proxied.since, port.proxied.again) = (clock::mono(), None);
        }
        let (Some(port), Some(process)) = (&life.port, of_network(life)) else {
            return Err(step("network namespace", Errno::CHILD.raw_os_error()));
        };
        let inlets = &*port.proxied.inlets;
        let join_files: Vec<_> = life
            .group
            .iter()
            .flat_map(|group| group.join_files())
            .map(AsFd::as_fd)
            .collect();
        let oom_score = match &life.unit.kind {
            Kind::Service(service) => service.scheduling.oom_score_adj,
            Kind::Masked | Kind::Target | Kind::Slice(_) | Kind::Mount(_) => 0,
        };
        let order = Beside {
            name: NAME,
            oom_score,
            calls: CALLS,
            cgroup: life.group.as_ref().and_then(|group| group.clone_beside()),
            join_files: &join_files,
            network_of: process.pidfd.as_fd(),
            keep: inlets.iter().map(|inlet| inlet.socket.as_fd()).collect(),
        };
        let prepare = || {
            let failed = |error: std::io::Error| StepFailed::new("network proxy", error.raw_os_error().unwrap_or(0));
            let proxy = Proxy::new(inlets).map_err(failed)?;
            Ok(|| proxy.run())
        };
        let child = sandbox::start_beside(&order, prepare).map_err(|error| from_io("clone", &error))?;
        self.watch_process(unit, Who::Proxy, child)
    }

    /// It is at work, or has given up on the way: then the command that waits for it fails with it.
    pub(in crate::supervisor) fn on_proxy_ready(&mut self, unit: UnitId, failure: Option<SpawnFailure>) {
        let Some(failure) = failure else {
            return self.on_holder_ready(unit);
        };
        if let Some(life) = self.lives.get(&unit) {
            tracing::warn!("{}: proxy: {}: errno {}", life.unit.name, failure.step, failure.errno);
        }
        self.fail_queued(unit, failure);
    }

    /// It has ended. Where the unit goes on, another takes its place.
    pub(in crate::supervisor) fn on_proxy_end(&mut self, unit: UnitId) {
        let Some(life) = self.lives.get_mut(&unit) else { return };
        let goes_on = !life.releasing && !life.killing && of_network(life).is_some();
        if let Some(port) = life.port.as_mut().filter(|_| goes_on) {
            tracing::warn!(
                "{}: the proxy of its published ports has ended; another is made",
                life.unit.name
            );
            port.proxied.try_again();
        }
    }

    /// All ports that proxies lead, or will.
    pub(in crate::supervisor) fn proxied_ports(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        let ports = self.lives.iter().filter_map(|(_, life)| life.port.as_ref());
        let inlets = ports.flat_map(|port| &port.proxied.inlets);
        inlets.map(|inlet| inlet.socket.as_fd())
    }

    /// When the next proxy is to be made.
    pub(in crate::supervisor) fn next_proxy(&self) -> Option<Mono> {
        let ports = self.lives.iter().filter_map(|(_, life)| life.port.as_ref());
        ports.filter_map(|port| port.proxied.again).min()
    }

    /// Makes those that are due.
    pub(in crate::supervisor) fn proxies_due(&mut self, now: Mono) {
        let due = |life: &Life| {
            life.port
                .as_ref()
                .and_then(|port| port.proxied.again)
                .is_some_and(|at| at <= now)
        };
        let due: Vec<UnitId> = self
            .lives
            .iter()
            .filter(|(_, life)| due(life))
            .map(|(unit, _)| *unit)
            .collect();
        for unit in due {
            let Some(port) = self.lives.get_mut(&unit).and_then(|life| life.port.as_mut()) else {
                continue;
            };
            port.proxied.again = None;
            // What the kernel has is known once a plan was carried out.
            let taken = match (port.proxied.lost, self.networks.settled) {
                (true, 0) => Err(step("publish", Errno::AGAIN.raw_os_error())),
                (true, _) => self.take_ports(unit),
                (false, _) => Ok(()),
            };
            match taken {
                Ok(()) => self.look_after_proxy(unit),
                Err(failure) => self.lose_ports(unit, &failure),
            }
        }
    }

    fn lose_ports(&mut self, unit: UnitId, failure: &SpawnFailure) {
        let Some(life) = self.lives.get_mut(&unit) else { return };
        if let Some(port) = &mut life.port {
            if failure.kind == SpawnFailureKind::Unenforceable {
                tracing::warn!("{}: {} {}; tried again", life.unit.name, failure.step, failure.detail);
            }
            port.proxied.lost = true;
            port.proxied.try_again();
        }
    }
}

/// Whether a process has a proxy's name, as far as that tells who it is.
pub fn is_proxy(pid: i32) -> bool {
    processes::program(pid).is_some_and(|name| name.as_bytes() == NAME.to_bytes())
}

/// A proxy should be, and is not.
fn lacks_proxy(life: &Life) -> bool {
    let publishes = life.port.as_ref().is_some_and(|port| !port.proxied.inlets.is_empty());
    publishes && life.proxy.is_none() && !life.releasing && of_network(life).is_some()
}

/// A process that is in the unit's network for as long as that is to be.
fn of_network(life: &Life) -> Option<&Process> {
    let process = match life.sandbox.needs_holder() {
        true => life.holder.as_ref(),
        false => life.main(),
    };
    process.filter(|process| process.report.is_none() && !process.failed)
}
