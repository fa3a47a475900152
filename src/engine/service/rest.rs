//! What follows a run: the next one at once or after a delay, or rest, and who is told.

#[cfg(test)]
mod tests;

use std::time::Duration;

use crate::engine::action::{Action, Change, Outcome};
use crate::engine::event::{Because, Cause, Mono, Verb};
use crate::engine::restart;
use crate::engine::slot::{Ending, State, service_of};
use crate::engine::view::RunResult;
use crate::engine::{Engine, RunId, UnitId};
use crate::unit::LinkKind;

/// The least pause after a try that the machine was short for.
const SHORTAGE_PAUSE: Duration = Duration::from_millis(100);

impl Engine {
    /// The policy, or a shortage, starts it again after this.
    pub(in crate::engine) fn comes_back(&self, unit: UnitId, ending: &Ending) -> bool {
        let Some(service) = self
            .slot(unit)
            .and_then(|slot| slot.unit.as_deref().and_then(service_of))
        else {
            return false;
        };
        let policy = !ending.refused && !ending.for_good && restart::follows(service, &ending.result, ending.end);
        !ending.requested && self.shutdown.is_none() && (ending.transient || policy)
    }

    pub(in crate::engine) fn on_released(&mut self, run: RunId) {
        if !self.current(run) {
            return;
        }
        let Some(slot) = self.slot_mut(run.unit) else { return };
        match slot.state.clone() {
            State::Releasing { ending } => {
                if self.comes_back(run.unit, &ending) {
                    self.demand_retry(run.unit);
                    self.back_off(run.unit, &ending);
                } else {
                    self.rest(run.unit, ending);
                }
            }
            State::Inactive
            | State::Failed
            | State::Skipped
            | State::Waiting
            | State::Blocked
            | State::Checking
            | State::Starting { .. }
            | State::Running { .. }
            | State::Stopping { .. }
            | State::Stuck { .. }
            | State::Arming { .. }
            | State::Armed
            | State::Backoff { .. } => {}
        }
    }

    fn release_kept(&mut self, unit: UnitId, ending: Ending, again: bool) {
        let run = self.run_of(unit);
        let keep = false;
        if let Some(slot) = self.slot_mut(unit) {
            (slot.kept, slot.follows) = (keep, again);
        }
        self.set_state(unit, State::Releasing { ending }, None);
        self.out.push(Action::Release { run, keep, again });
    }

    /// Somebody wants a unit down that is between two runs: what is there for the next goes.
    pub(in crate::engine) fn leave_backoff(&mut self, unit: UnitId) {
        let Some(slot) = self.slot_mut(unit) else { return };
        let by = slot.stop.take().unwrap_or(Cause::Policy);
        let again = slot.wish.is_some();
        self.report(unit, Change::Stopping { by });
        self.release_between(unit, again);
    }

    /// Releases what is there for the next run.
    pub(in crate::engine) fn release_between(&mut self, unit: UnitId, again: bool) {
        let last = self.slot(unit).and_then(|slot| slot.last.clone());
        let ending = Ending {
            result: last.unwrap_or(RunResult::Success),
            requested: true,
            in_backoff: true,
            ..Ending::new()
        };
        self.release_kept(unit, ending, again);
    }

    pub(in crate::engine) fn back_off(&mut self, unit: UnitId, ending: &Ending) {
        let now = self.now.mono;
        let Some(slot) = self.slot_mut(unit) else { return };
        let Some(definition) = slot.unit.clone() else { return };
        let Some(service) = service_of(&definition) else {
            return;
        };
        let stable = ending
            .ready_since
            .is_some_and(|since| now.0.saturating_sub(since.0) >= service.restart.stable_after);
        if stable {
            slot.tries = 0;
        }
        let nth = slot.tries;
        slot.tries = slot.tries.saturating_add(1);
        slot.restarts = slot.restarts.saturating_add(1);
        slot.last = Some(ending.result.clone());
        // Triggers that could not be set are no start.
        if ending.transient && !matches!(slot.state, State::Arming { .. }) {
            slot.budget.give_back();
        }
        let mut delay = self.jitter.delay(&service.restart, nth);
        if ending.transient {
            delay = delay.max(SHORTAGE_PAUSE);
        }
        let result: Box<str> = ending.result.to_string().into();
        let failed = ending.result != RunResult::Success;
        self.report(
            unit,
            Change::Ended {
                result: result.clone(),
                failed,
            },
        );
        let spent = self
            .slot_mut(unit)
            .is_some_and(|slot| !ending.transient && slot.budget.is_spent(now, service.restart.give_up.as_ref()));
        if spent && let Some(limit) = &service.restart.give_up {
            self.report(unit, Change::GaveUp { starts: limit.starts });
            return self.release_kept(
                unit,
                Ending {
                    result: RunResult::StartLimit,
                    end: ending.end,
                    for_good: true,
                    ..Ending::new()
                },
                false,
            );
        }
        self.report(unit, Change::Backoff { delay, nth: nth + 1 });
        let until = Mono(now.0.saturating_add(delay));
        self.set_state(unit, State::Backoff { until }, Some(result.clone()));
        let failed = Outcome::Failed(format!("{result}; it is tried again").into());
        self.answer_jobs(unit, |verb| matches!(verb, Verb::Start | Verb::Restart), &failed);
    }

    /// The run is over, and no policy brings it back. What was kept for the next run goes first.
    pub(in crate::engine) fn rest(&mut self, unit: UnitId, mut ending: Ending) {
        let Some(slot) = self.slot_mut(unit) else { return };
        let comes_back = ending.requested && slot.wish.is_some();
        if slot.kept || slot.follows && !comes_back {
            return self.release_kept(unit, ending, comes_back);
        }
        slot.stop = None;
        let ended = !ending.skipped && !ending.in_backoff && !ending.not_begun;
        // A target that goes down as it should has no result: nothing of it was run.
        if ended && (slot.service().is_some() || ending.result != RunResult::Success) {
            slot.last = Some(ending.result.clone());
        }
        let failed = (ending.result != RunResult::Success || ending.refused) && !ending.in_backoff;
        let waits = self.waits_again(unit, &ending);
        let Some(slot) = self.slot_mut(unit) else { return };
        if !comes_back && !waits {
            slot.wish = None;
        }
        let gone = slot.unit.is_none();
        let told = ending.result == RunResult::StartLimit;
        let reason = ending
            .why
            .take()
            .or_else(|| failed.then(|| ending.result.to_string().into()));
        if ended && !told && slot.service().is_some() {
            self.report(
                unit,
                Change::Ended {
                    result: ending.result.to_string().into(),
                    failed,
                },
            );
        }
        let state = match (comes_back || waits, ending.skipped, failed && !gone) {
            (true, _, _) => State::Waiting,
            (false, true, _) => State::Skipped,
            (false, false, true) => State::Failed,
            (false, false, false) => State::Inactive,
        };
        let why: Box<str> = reason.clone().unwrap_or_else(|| "ended".into());
        if !comes_back && !waits {
            self.disarm(unit);
        }
        self.set_state(unit, state, reason);
        self.answer_at_rest(unit, &ending, failed, comes_back, why);
        // What did not begin is followed by nothing: two units that follow one another would go on for ever.
        if !ending.requested && !ending.skipped && !ending.not_begun {
            self.follow_ups(unit, failed);
        }
    }

    fn answer_at_rest(&mut self, unit: UnitId, ending: &Ending, failed: bool, comes_back: bool, why: Box<str>) {
        let starts = |verb| matches!(verb, Verb::Start | Verb::Restart);
        self.answer_jobs(unit, |verb| verb == Verb::Stop, &Outcome::Done);
        if comes_back {
            return;
        }
        let outcome = match (failed, ending.refused, ending.requested) {
            (true, true, _) => Outcome::Unenforceable(why),
            (true, false, _) => Outcome::Failed(why),
            (false, _, true) => Outcome::Superseded("it was stopped".into()),
            (false, _, false) => Outcome::Done,
        };
        self.answer_jobs(unit, starts, &outcome);
    }

    /// `on-failure` and `on-success`.
    fn follow_ups(&mut self, unit: UnitId, failed: bool) {
        let Some(slot) = self.slot(unit) else { return };
        let (wanted, because) = if failed {
            (LinkKind::OnFailure, Because::OnFailureOf)
        } else {
            (LinkKind::OnSuccess, Because::OnSuccessOf)
        };
        let others: Vec<UnitId> = slot
            .outgoing
            .iter()
            .filter(|(_, kind)| *kind == wanted)
            .map(|(other, _)| *other)
            .collect();
        for other in others {
            self.want(other, Cause::Unit(unit, because));
        }
    }
}
