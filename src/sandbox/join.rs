//! `join:UNIT`: namespaces of another unit, entered by way of a process of it that is held by descriptor; setns(2).

use std::os::fd::BorrowedFd;

use nix::sched::{CloneFlags, setns};

use super::report::StepFailed;
use super::{Context, Sandbox};
use crate::unit::{Network, UnitName};

pub(super) const NEWPID: u64 = libc::CLONE_NEWPID as u64;
pub(super) const NEWIPC: u64 = libc::CLONE_NEWIPC as u64;
pub(super) const NEWNET: u64 = libc::CLONE_NEWNET as u64;

/// A namespace that a service shares with another unit.
#[derive(Clone, Copy, Debug)]
pub struct Join<'a> {
    /// The key that says so.
    pub key: &'static str,
    /// The other unit.
    pub unit: &'a UnitName,
    /// CLONE_NEW….
    pub(super) namespace: u64,
}

/// That namespace, by a process that is in it.
#[derive(Clone, Copy, Debug)]
pub struct Joined<'a> {
    key: &'static str,
    namespace: u64,
    of: BorrowedFd<'a>,
}

impl Sandbox {
    /// What it shares with other units.
    pub fn joins(&self) -> Vec<Join<'_>> {
        let network = match &self.network {
            Network::Join(unit) => Some(unit),
            Network::Host | Network::None | Network::Bridge | Network::On(_) | Network::Path(_) => None,
        };
        let each = [
            ("mode", NEWNET, network),
            ("pid", NEWPID, self.isolation.pid.joined()),
            ("ipc", NEWIPC, self.isolation.ipc.joined()),
        ];
        let join =
            |(key, namespace, unit): (&'static str, u64, Option<_>)| unit.map(|unit| Join { key, unit, namespace });
        each.into_iter().filter_map(join).collect()
    }
}

impl Join<'_> {
    /// By a process of the unit, as a pidfd.
    pub fn of<'b>(&self, process: BorrowedFd<'b>) -> Joined<'b> {
        Joined {
            key: self.key,
            namespace: self.namespace,
            of: process,
        }
    }
}

impl Joined<'_> {
    /// Enters it.
    pub(super) fn enter(&self) -> Result<(), StepFailed> {
        let flag = CloneFlags::from_bits_retain(self.namespace as i32);
        setns(self.of, flag).map_err(|errno| StepFailed::new(self.key, errno as i32))
    }
}

impl<'a> Context<'a> {
    /// A process of the pid namespace that its processes are born in: nobody can move there later.
    pub(super) fn joined_pid(&self) -> Option<BorrowedFd<'a>> {
        self.joined
            .iter()
            .find(|joined| joined.namespace == NEWPID)
            .map(|joined| joined.of)
    }

    /// The others.
    pub(super) fn joined_otherwise(&self) -> impl Iterator<Item = Joined<'a>> {
        let others = self.joined.iter().filter(|joined| joined.namespace != NEWPID);
        others.copied().collect::<Vec<_>>().into_iter()
    }
}
