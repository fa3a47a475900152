//! Units that wait for a trigger: a time, and what else begins a run of a unit without anybody's wish for it.
//!
//! That such a unit is wanted means that it is *armed*: its triggers are set, and it waits. A run begins when a trigger
//! comes, or when an operator asks for a start; after the run it waits again, until somebody wants it stopped. Whom it
//! needs, it needs for its runs, so nobody is pulled in by the waiting.

#[cfg(test)]
mod tests;

use std::time::Duration;

use super::action::{Action, Change, Outcome};
use super::event::{Cause, SpawnFailure, SpawnFailureKind, Verb};
use super::restart::Budget;
use super::slot::{Ending, Slot, State, service_of};
use super::view::RunResult;
use super::{Engine, UnitId};
use crate::unit::{GiveUp, Service, Unit};

/// What a unit with triggers has beside its state.
#[derive(Clone, Debug, Default)]
pub struct Arms {
    /// How far they are.
    pub set: Set,
    /// A run of it is asked for: who says so.
    pub demand: Option<Cause>,
    /// Its last triggers.
    pub budget: Budget,
}

/// How far a unit's triggers are set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Set {
    /// There are none.
    #[default]
    No,
    /// Those of another definition, or some, or none yet.
    Stale,
    /// As its definition in force has them.
    Yes,
}

/// What is to be done about a unit's triggers by whoever goes on from a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Armed {
    /// Nothing.
    No,
    /// [`Action::Arm`] is not answered yet.
    Asked,
    /// They are set, and count for nothing now.
    Set,
    /// They are set, and waited for.
    Waiting,
}

impl Slot {
    fn definition(&self) -> Option<&Service> {
        self.unit.as_deref().and_then(service_of)
    }

    /// It waits for a trigger.
    pub fn is_armed(&self) -> bool {
        self.state == State::Armed
    }

    /// It waits for triggers, or runs by one.
    pub fn has_triggers_set(&self) -> bool {
        self.arms.set == Set::Yes && self.is_triggered()
    }

    fn is_arming(&self) -> bool {
        matches!(self.state, State::Arming { .. })
    }

    /// It runs only where a trigger, or an operator, says so.
    pub fn is_triggered(&self) -> bool {
        self.definition().is_some_and(Service::is_triggered)
    }

    /// A wish is one for a run, too; of what runs already none is needed.
    fn takes_demand(&self, by: &Cause) -> bool {
        let runs = matches!(
            self.state,
            State::Checking | State::Starting { .. } | State::Running { .. }
        );
        let asked = matches!(by, Cause::Operator { .. }) || by.is_trigger();
        let itself = !self.definition().is_some_and(Service::accepts);
        itself && asked && self.is_triggered() && (!runs || self.stop.is_some())
    }
}

impl Engine {
    /// How a unit's triggers are.
    pub fn armed(&self, unit: UnitId) -> Armed {
        match self.slot(unit) {
            Some(slot) if slot.is_arming() => Armed::Asked,
            Some(slot) if slot.is_armed() => Armed::Waiting,
            Some(slot) if slot.arms.set != Set::No => Armed::Set,
            Some(_) | None => Armed::No,
        }
    }

    /// Notes that a wish is one for a run. True: nothing but its waiting is wished for.
    pub(super) fn note_demand(&mut self, unit: UnitId, by: &Cause) -> bool {
        let Some(slot) = self.slot_mut(unit) else { return false };
        if slot.takes_demand(by) {
            slot.arms.demand = Some(by.clone());
        }
        slot.is_triggered() && slot.arms.demand.is_none() && !slot.runs()
    }

    /// Before a run: its triggers are set, and one is waited for. True: there is no run for now.
    pub(super) fn holds_back(&mut self, unit: UnitId) -> bool {
        let Some(slot) = self.slot(unit) else { return false };
        if !slot.definition().is_some_and(Service::needs_arming) || slot.cycle.is_some() {
            self.disarm(unit);
            return false;
        }
        let waits = slot.is_triggered() && slot.arms.demand.is_none();
        if slot.arms.set != Set::Yes {
            let limit = slot.definition().and_then(|service| service.timeout_start);
            let give_up = self.now.mono.after(limit);
            self.set_state(unit, State::Arming { give_up }, None);
            if let Some(slot) = self.slot_mut(unit) {
                slot.arms.set = Set::Stale;
            }
            self.out.push(Action::Arm { unit });
        } else if waits && slot.follows {
            // Nobody knows when that is.
            self.release_between(unit, false);
        } else if waits {
            self.set_state(unit, State::Armed, None);
            // Who accepts is up with that; to others, a start is for a run.
            self.answer_jobs(unit, |verb| matches!(verb, Verb::Start | Verb::Restart), &Outcome::Done);
        }
        waits || self.slot(unit).is_some_and(Slot::is_arming)
    }

    pub(super) fn on_armed(&mut self, unit: UnitId, failure: Option<SpawnFailure>) {
        let Some(slot) = self.slot_mut(unit).filter(|slot| slot.is_arming()) else {
            return;
        };
        let Some(failure) = failure else {
            slot.arms.set = Set::Yes;
            return self.set_state(unit, State::Waiting, None);
        };
        let transient = failure.kind == SpawnFailureKind::Transient;
        let refused = failure.kind == SpawnFailureKind::Unenforceable;
        self.fail_to_arm(unit, failure.into(), transient, refused);
    }

    /// Its triggers could not be set, or not in time.
    pub(super) fn fail_to_arm(&mut self, unit: UnitId, result: RunResult, transient: bool, refused: bool) {
        let ending = Ending {
            transient,
            refused,
            result,
            ..Ending::new()
        };
        if self.comes_back(unit, &ending) {
            self.back_off(unit, &ending);
        } else {
            self.disarm(unit);
            self.rest(unit, ending);
        }
    }

    pub(super) fn on_triggered(&mut self, unit: UnitId, by: Cause) {
        let now = self.now.mono;
        let Some(slot) = self.slot_mut(unit).filter(|slot| slot.is_armed()) else {
            return;
        };
        let limit = limit_of(&by);
        if slot.arms.budget.take(now, Some(&limit)) {
            return self.want(unit, by);
        }
        self.report(unit, Change::GaveUp { starts: limit.starts });
        let within = crate::unit::value::duration_text(limit.within);
        let ending = Ending {
            result: RunResult::StartLimit,
            for_good: true,
            why: Some(format!("its triggers came {} times within {within}", limit.starts).into()),
            ..Ending::new()
        };
        self.rest(unit, ending);
    }

    /// The next run is its policy's, and waits for no trigger.
    pub(super) fn demand_retry(&mut self, unit: UnitId) {
        if let Some(slot) = self.slot_mut(unit).filter(|slot| slot.is_triggered()) {
            slot.arms.demand = Some(Cause::Policy);
        }
    }

    /// After a run that no policy follows, it waits for the next trigger.
    pub(super) fn waits_again(&self, unit: UnitId, ending: &Ending) -> bool {
        let Some(slot) = self.slot(unit) else { return false };
        // What is there until somebody takes it would be a trigger again, and at once.
        let spent = ending.result == RunResult::StartLimit;
        let waits = !ending.requested && !ending.refused && !spent && self.shutdown.is_none();
        waits && slot.wish.is_some() && slot.arms.set != Set::No && slot.is_triggered()
    }

    /// Its triggers are no more, if there were any.
    pub(super) fn disarm(&mut self, unit: UnitId) {
        let Some(slot) = self.slot_mut(unit) else { return };
        slot.arms.demand = None;
        if std::mem::take(&mut slot.arms.set) != Set::No {
            self.out.push(Action::Disarm { unit });
        }
    }

    /// Triggers of another definition: they are set anew before the next run, and what they have in common stays.
    pub(super) fn rearm(&mut self, unit: UnitId) {
        let Some(slot) = self.slot_mut(unit) else { return };
        if slot.arms.set == Set::No && !slot.is_triggered() {
            return;
        }
        slot.arms.set = Set::Stale;
        if slot.is_armed() {
            self.set_state(unit, State::Waiting, None);
        }
    }
}

/// New triggers in an edit: a unit that is wanted waits for them from now on.
pub fn has_become_triggered(old: &Unit, new: &Unit) -> bool {
    let is = |unit: &Unit| service_of(unit).is_some_and(Service::is_triggered);
    is(new) && !is(old)
}

/// As systemd's `TriggerLimitIntervalSec=` and `TriggerLimitBurst=`.
fn limit_of(by: &Cause) -> GiveUp {
    const WITHIN: Duration = Duration::from_secs(2);
    let starts = if matches!(by, Cause::Connection(_)) { 20 } else { 200 };
    let within = WITHIN;
    GiveUp { starts, within }
}
