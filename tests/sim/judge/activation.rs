//! What must hold of triggers, readiness and probes.

use std::collections::BTreeMap;
use std::rc::Rc;

use svc::engine::event::{End, Role};
use svc::engine::{Event, RunId, UnitId};
use svc::unit::Unit;

use super::{Judge, Verdict};
use crate::scenario::name;
use crate::world::{Run, service};

/// What is known of a unit's activation from outside.
#[derive(Clone, Debug, Default)]
pub struct Active {
    /// Its triggers are set.
    set: bool,
    /// They were to be set once: that they could not be, or not in time, is an end too.
    pub asked: bool,
    /// And waited for.
    pub armed: bool,
    /// Somebody asked for a run, a trigger came, or its policy may follow.
    demand: bool,
    /// It has begun since triggers were last asked for.
    ran: bool,
    /// It has said that it is ready, in this life.
    ready: bool,
    /// Its last probe was good.
    well: bool,
}

impl Active {
    pub fn on_ask(&mut self) {
        self.demand = true;
    }

    /// A run is over, and another one is to follow; where triggers were to be set and could not be, there was none.
    pub fn on_backoff(&mut self) {
        self.demand |= self.ran;
    }

    /// What it says in this life, and what its probes find.
    pub fn on_news(&mut self, event: &Event, life: Option<RunId>) {
        match event {
            Event::Told { run, notification } if Some(*run) == life => self.ready |= notification.ready,
            Event::Exited {
                run,
                role: Role::Probe,
                status,
            } if Some(*run) == life => self.well = status.end == End::Code(0),
            Event::SpawnFailed {
                run, role: Role::Probe, ..
            } if Some(*run) == life => self.well = false,
            _ => {}
        }
    }

    /// Who says itself when it is ready is not taken for it before.
    pub fn is_ready(&self, definition: Option<&Rc<Unit>>) -> bool {
        let says = definition
            .and_then(|unit| service(unit))
            .is_some_and(|service| service.r#type.says_ready());
        self.ready || !says
    }

    /// Who is probed is not well before a probe was good.
    pub fn is_well(&self, unit: &Unit) -> bool {
        self.well || !service(unit).is_some_and(|service| service.health.is_set())
    }
}

impl Judge {
    fn active(&mut self, unit: UnitId) -> Option<&mut Active> {
        let place = *self.places.get(&unit)?;
        Some(&mut self.units[place].active)
    }

    pub fn on_arm(&mut self, unit: UnitId) {
        if let Some(active) = self.active(unit) {
            active.asked = true;
            active.ran = false;
        }
    }

    pub fn on_armed(&mut self, unit: UnitId, well: bool) {
        if let Some(active) = self.active(unit) {
            active.set = well;
        }
    }

    pub fn on_disarm(&mut self, unit: UnitId) {
        if let Some(active) = self.active(unit) {
            active.set = false;
        }
    }

    /// Nothing is waited for that is not set.
    pub fn on_watch(&mut self, unit: UnitId, on: bool) -> Verdict {
        let Some(active) = self.active(unit) else { return Ok(()) };
        active.armed = on;
        let holds = active.set || !on;
        self.unless(holds, "armed", || {
            format!("{unit:?} waits for triggers that are not set")
        })
    }

    pub fn on_triggered(&mut self, unit: UnitId) {
        if let Some(active) = self.active(unit) {
            active.demand |= active.armed;
        }
    }

    /// A run of a unit with triggers begins since one came or somebody wants it; what it is to have is set by then.
    pub fn on_active_start(&mut self, place: usize) -> Verdict {
        let unit = self.files[place].clone();
        let Some(service) = unit.as_deref().and_then(service) else {
            return Ok(());
        };
        let active = &mut self.units[place].active;
        let (demand, set) = (std::mem::take(&mut active.demand), active.set);
        (active.ready, active.well, active.ran) = (false, false, true);
        self.unless(demand || !service.is_triggered(), "triggered", || {
            format!("u{place} starts by itself")
        })?;
        self.unless(set || !service.needs_arming(), "armed", || {
            format!("u{place} starts, and its triggers are not set")
        })
    }

    /// It was said to be ready, or well.
    pub fn on_good_news(&self, place: usize, healthy: bool) -> Verdict {
        let record = &self.units[place];
        let main = record.definition.as_ref().filter(|_| record.main_up);
        self.unless(healthy || record.active.is_ready(main), "ready", || {
            format!("u{place} has not said so")
        })?;
        self.unless(!healthy || record.active.well, "healthy", || {
            format!("u{place}: no probe was good")
        })
    }

    /// One probe at a time.
    pub fn on_probe(&self, run: RunId, runs: &BTreeMap<RunId, Run>) -> Verdict {
        let is_probe = |process: &&crate::world::Process| process.role == Some(Role::Probe) && process.alive;
        let probing = runs
            .get(&run)
            .is_some_and(|run| run.processes.iter().any(|process| is_probe(&process)));
        self.unless(!probing, "one probe", || format!("{run:?}: there is one"))
    }

    /// After the end no trigger is set.
    pub fn all_disarmed(&self) -> Verdict {
        let set = self.units.iter().position(|record| record.active.set);
        self.unless(set.is_none(), "disarmed", || {
            format!("{} has its triggers", name(set.unwrap_or_default()))
        })
    }
}
