//! The cgroup of a run: in which slices it is, and how it is made while the run's first process works on what it sees of the
//! machine.

use std::rc::Rc;

use super::Supervisor;
use super::poll::Who;
use super::spawn::{from_io, step, unenforceable};
use crate::cgroup::Group;
use crate::engine::UnitId;
use crate::engine::event::{Role, SpawnFailure};
use crate::sandbox::{Child, Promise};
use crate::unit::device::Devices;
use crate::unit::{Command, Kind, Privileges, Resources, Service, Signal, Unenforceable, Unit, UnitName};

/// Slices nest no deeper than this; the loader refuses a slice that sits in itself.
const SLICE_DEPTH_MAX: usize = 32;

impl Supervisor {
    /// Makes a run's group as far as its first process needs: see [`Supervisor::finish_group`].
    pub(super) fn begin_group(&self, unit: &Unit, service: &Service) -> Result<Group, SpawnFailure> {
        self.with_place(unit, service, |slices, best_effort| {
            let made = self.tree.begin(&unit.name, slices, &service.resources, best_effort);
            made.map_err(unenforceable)
        })?
    }

    /// Where a unit's group is: in which slices, and what of its limits may be skipped.
    pub(super) fn with_place<T>(
        &self,
        unit: &Unit,
        service: &Service,
        act: impl FnOnce(&[(UnitName, &Resources)], &[Box<str>]) -> T,
    ) -> Result<T, SpawnFailure> {
        let slices = self.slices_of(&service.resources)?;
        let outer: Vec<(UnitName, &Resources)> = slices
            .iter()
            .filter_map(|(name, unit)| resources_of(unit).map(|its| (name.clone(), its)))
            .collect();
        let mut best_effort = service.isolation.best_effort.clone();
        if has_standard_devices(unit) {
            // Nobody has asked for it: where it cannot be had, what was asked for still can.
            best_effort.push("devices".into());
        }
        Ok(act(&outer, &best_effort))
    }

    /// The slices that a unit sits in, outermost first.
    fn slices_of(&self, resources: &Resources) -> Result<Vec<(UnitName, Rc<Unit>)>, SpawnFailure> {
        let mut slices = Vec::new();
        let mut next = resources.slice.clone();
        while let Some(name) = next {
            let found = self
                .engine
                .find(name.as_str())
                .and_then(|id| self.engine.unit(id))
                .cloned();
            let Some(slice) = found.filter(|unit| resources_of(unit).is_some()) else {
                return Err(unenforceable(Unenforceable {
                    key: "slice".into(),
                    cause: format!("no slice {name}").into(),
                    errno: 0,
                }));
            };
            if slices.len() == SLICE_DEPTH_MAX {
                return Err(step("slices nest too deep", 0));
            }
            next = resources_of(&slice).and_then(|its| its.slice.clone());
            slices.push((name, slice));
        }
        slices.reverse();
        Ok(slices)
    }

    /// What a process is given that can wait for what is left to be made of its group, if something is; for any other that is
    /// made now.
    pub(super) fn promise_group(
        &mut self,
        unit: UnitId,
        who: Who,
        command: Option<&Command>,
    ) -> Result<Option<Promise>, SpawnFailure> {
        let Some(life) = self.lives.get(&unit) else {
            return Ok(None);
        };
        if life.group.as_ref().is_none_or(Group::is_finished) {
            return Ok(None);
        }
        let makes_its_view = match who {
            Who::Holder => true,
            Who::Command(role) => role != Role::Probe && command.is_some_and(|c| c.privileges != Privileges::Full),
            Who::Session(_) | Who::Proxy | Who::Sweeper => false,
        };
        if makes_its_view && life.sandbox.has_own_mounts() {
            return Promise::new().map(Some).map_err(|error| from_io("cgroup join", &error));
        }
        self.finish_group(unit).map(|_| None)
    }

    /// Makes what is left of the group of a process that waits for it. False: it is not to be begun as it was, and ends.
    pub(super) fn keep_promise(&mut self, unit: UnitId, promise: Promise, child: &Child) -> Result<bool, SpawnFailure> {
        let kept = self.finish_group(unit).and_then(|as_told| {
            let group = self.lives.get(&unit).and_then(|life| life.group.as_ref());
            let files = group.filter(|_| as_told).map(Group::join_files);
            let kept = files.map_or(Ok(()), |files| promise.keep(files));
            kept.map(|()| as_told).map_err(|error| from_io("cgroup join", &error))
        });
        if !matches!(kept, Ok(true)) {
            // It is reaped as orphans are.
            super::children::signal(&child.pidfd, Signal::KILL);
        }
        kept
    }

    /// Makes what is left of a run's group. False: what its processes are to be has changed by that.
    fn finish_group(&mut self, unit: UnitId) -> Result<bool, SpawnFailure> {
        let Some(life) = self.lives.get_mut(&unit) else {
            return Ok(true);
        };
        let Some(group) = &mut life.group else { return Ok(true) };
        let before = lacks_list_of_devices(&life.unit, group);
        self.tree.finish(group).map_err(unenforceable)?;
        let as_told = lacks_list_of_devices(&life.unit, group) == before;
        if !as_told {
            Rc::make_mut(&mut life.sandbox).make_no_nodes();
        }
        self.watch_oom(unit);
        Ok(as_told)
    }
}

/// No list of devices is in force that a unit should have without having asked for it.
pub(super) fn lacks_list_of_devices(unit: &Unit, group: &Group) -> bool {
    has_standard_devices(unit) && !group.may_hold("devices")
}

fn has_standard_devices(unit: &Unit) -> bool {
    matches!(&unit.kind, Kind::Service(service) if matches!(service.resources.devices, Devices::Standard(_)))
}

fn resources_of(unit: &Unit) -> Option<&Resources> {
    match &unit.kind {
        Kind::Slice(resources) => Some(resources),
        Kind::Masked | Kind::Target | Kind::Mount(_) | Kind::Service(_) => None,
    }
}
