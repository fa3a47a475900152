//! A run, from its first command to its last: systemd.service(5), in the states of [`super::slot::State`].
//!
//! Here is the way up: conditions, pre, main, post, ready. [`exits`] is what the end of a process means, [`stop`] the way
//! down, [`rest`] what follows a run, [`deadlines`] what a time that is over does to it, [`reload`] how it takes new
//! settings over, [`notify`] what it says of itself, [`forking`] how its main process is found. What an earlier life sends late is dropped at one line, in [`Engine::current`].
#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "what means nothing here is dropped, whatever is added to the enum"
)]

mod deadlines;
mod exits;
mod forking;
mod notify;
mod reload;
mod rest;
mod stop;

use super::action::{Action, Change, Outcome};
use super::event::{Cause, End, Role, SpawnFailure, SpawnFailureKind, Unmet, Verb};
use super::said::Said;
use super::slot::{Ending, Slot, State, StopPhase};
use super::view::RunResult;
use super::{Engine, RunId, UnitId};
use crate::unit::ServiceType;

impl Engine {
    /// Moves a unit to another state. Everyone who waits for it is looked at.
    pub(super) fn set_state(&mut self, unit: UnitId, state: State, reason: Option<Box<str>>) {
        let wall = self.now.wall;
        let Some(slot) = self.slot_mut(unit) else { return };
        let (word, old_deadline, was_armed) = (slot.word(), slot.deadline(), slot.is_armed());
        slot.state = state;
        slot.reason = reason;
        if slot.word() != word {
            slot.since = wall;
        }
        slot.waiting_on = None;
        let on = slot.is_armed();
        let (deadline, active) = (slot.deadline(), slot.is_active());
        let was_active = std::mem::replace(&mut slot.counted, active);
        if old_deadline != deadline {
            if let Some(old) = old_deadline {
                self.deadlines.remove(&(old, unit));
            }
            if let Some(new) = deadline {
                self.deadlines.insert((new, unit));
            }
        }
        match (was_active, active) {
            (false, true) => self.active += 1,
            (true, false) => self.active = self.active.saturating_sub(1),
            _ => {}
        }
        if on != was_armed {
            self.out.push(Action::Watch { unit, on });
        }
        self.moved(unit);
        self.touch(unit);
    }

    /// Changes what a state carries, without leaving it.
    pub(super) fn update_state(&mut self, unit: UnitId, change: impl FnOnce(&mut State)) {
        let Some(slot) = self.slot(unit) else { return };
        let (mut state, reason) = (slot.state.clone(), slot.reason.clone());
        change(&mut state);
        self.set_state(unit, state, reason);
    }

    /// True for the life that is under way; false for one that is over.
    pub(super) fn current(&self, run: RunId) -> bool {
        self.slot(run.unit)
            .is_some_and(|slot| slot.nth == run.nth && slot.is_active())
    }

    pub(super) fn run_of(&self, unit: UnitId) -> RunId {
        RunId {
            unit,
            nth: self.slot(unit).map_or(0, |slot| slot.nth),
        }
    }

    /// Nothing stands in the way any more.
    pub(super) fn begin_run(&mut self, unit: UnitId) {
        let now = self.now.mono;
        let Some(slot) = self.slot_mut(unit) else { return };
        let Some(definition) = slot.unit.clone() else { return };
        let by = slot
            .arms
            .demand
            .take()
            .or_else(|| slot.wish.clone())
            .unwrap_or(Cause::Policy);
        let budget = super::slot::service_of(&definition).and_then(|service| service.restart.give_up.clone());
        if !slot.budget.take(now, budget.as_ref()) {
            let starts = budget.map_or(0, |budget| budget.starts);
            self.report(unit, Change::GaveUp { starts });
            let ending = Ending {
                result: RunResult::StartLimit,
                not_begun: true,
                for_good: true,
                ..Ending::new()
            };
            return self.rest(unit, ending);
        }
        slot.nth = slot.nth.wrapping_add(1);
        slot.done = false;
        slot.said = Said::default();
        slot.run_unit = Some(definition.clone());
        self.report(unit, Change::Starting { by });
        if definition.condition.is_empty() && definition.assert.is_empty() {
            self.begin_commands(unit);
        } else {
            self.set_state(unit, State::Checking, None);
            let run = self.run_of(unit);
            self.out.push(Action::CheckConditions { run });
        }
    }

    pub(super) fn on_conditions(&mut self, run: RunId, unmet: Option<Unmet>) {
        if !self.current(run) || self.slot(run.unit).is_none_or(|slot| slot.state != State::Checking) {
            return;
        }
        match unmet {
            None => self.begin_commands(run.unit),
            Some(unmet) if unmet.assertion => {
                let ending = Ending {
                    result: RunResult::Assert,
                    for_good: true,
                    why: Some(format!("assertion {} does not hold", unmet.text).into()),
                    ..Ending::new()
                };
                self.rest(run.unit, ending);
            }
            Some(unmet) => {
                let ending = self.skipped(run.unit, unmet.text);
                self.rest(run.unit, ending);
            }
        }
    }

    /// A condition says that it is not to be started: that is no failure, and nothing follows it.
    fn skipped(&mut self, unit: UnitId, condition: Box<str>) -> Ending {
        let why = format!("condition {condition} does not hold");
        self.report(unit, Change::Skipped { condition });
        Ending {
            skipped: true,
            for_good: true,
            why: Some(why.into()),
            ..Ending::new()
        }
    }

    fn begin_commands(&mut self, unit: UnitId) {
        let now = self.now.mono;
        let Some(slot) = self.slot_mut(unit) else { return };
        // What the run before left is this one's now.
        (slot.kept, slot.follows) = (false, false);
        let Some(service) = slot.service() else {
            return self.become_ready(unit);
        };
        let give_up = now.after(service.timeout_start);
        let role = match service.exec_condition.is_empty() {
            true => exits::after_conditions(service),
            false => Role::Condition(0),
        };
        self.set_state(
            unit,
            State::Starting {
                role,
                main_alive: false,
                give_up,
            },
            None,
        );
        self.spawn(unit, role);
    }

    pub(super) fn spawn(&mut self, unit: UnitId, role: Role) {
        let run = self.run_of(unit);
        self.out.push(Action::Spawn { run, role });
    }

    pub(super) fn on_spawned(&mut self, run: RunId, role: Role) {
        if !self.current(run) {
            return;
        }
        let Some(slot) = self.slot(run.unit) else { return };
        let exec = slot
            .service()
            .is_some_and(|service| service.r#type == ServiceType::Exec);
        match (&slot.state, role) {
            (
                State::Starting {
                    role: Role::Main(_), ..
                },
                Role::Main(_),
            ) => {
                self.update_state(run.unit, |state| {
                    if let State::Starting { main_alive, .. } = state {
                        *main_alive = true;
                    }
                });
                if exec {
                    self.after_command(run.unit, role);
                }
            }
            // A main process that was cloned before the stop began is there now, and gets the stop's signal.
            (
                State::Stopping {
                    phase: StopPhase::Term, ..
                },
                Role::Main(_),
            ) => {
                self.update_state(run.unit, |state| {
                    if let State::Stopping { main_alive, .. } = state {
                        *main_alive = true;
                    }
                });
                self.send_first_signal(run.unit);
            }
            _ => {}
        }
    }

    pub(super) fn on_spawn_failed(&mut self, run: RunId, role: Role, failure: SpawnFailure) {
        if !self.current(run) {
            return;
        }
        let Some(slot) = self.slot(run.unit) else { return };
        let awaited = slot.role() == Some(role);
        match &slot.state {
            State::Starting { .. } if awaited => {
                let ending = Ending {
                    transient: failure.kind == SpawnFailureKind::Transient,
                    refused: failure.kind == SpawnFailureKind::Unenforceable,
                    result: failure.into(),
                    ..Ending::new()
                };
                self.begin_ending(run.unit, ending);
            }
            State::Running { .. } if awaited => {
                let why = format!("reload: spawn {}", failure.step);
                self.end_reload(run.unit, &Outcome::Failed(why.into()));
            }
            State::Stopping { .. } if awaited => self.stop_command_ended(run.unit, role, failure.into()),
            State::Stopping {
                phase: StopPhase::Term | StopPhase::Kill,
                ..
            } => self.main_gone(run.unit),
            _ => {}
        }
    }

    fn become_ready(&mut self, unit: UnitId) {
        let now = self.now.mono;
        let Some(slot) = self.slot(unit) else { return };
        let main_alive = matches!(slot.state, State::Starting { main_alive: true, .. });
        let watchdog = now.after(slot.watchdog());
        let (until, ends) = match slot.service() {
            Some(service) => {
                let ends = service.r#type == ServiceType::Oneshot && !service.remain_after_exit;
                (now.after(service.runtime_max), ends)
            }
            None => (None, false),
        };
        if let Some(slot) = self.slot_mut(unit) {
            slot.done = true;
        }
        self.report(unit, Change::Ready);
        if ends {
            // A oneshot is done: what it leaves running is not part of it. Its result stands when it has been released.
            return self.begin_ending(
                unit,
                Ending {
                    ready_since: Some(now),
                    end: self.slot(unit).and_then(|slot| slot.end),
                    ..Ending::new()
                },
            );
        }
        if let Some(slot) = self.slot_mut(unit) {
            slot.last = None;
        }
        self.set_state(
            unit,
            State::Running {
                main_alive,
                since: now,
                until,
                reload: None,
                watchdog,
                health: None,
            },
            None,
        );
        self.look_after_health(unit);
        if self.slot(unit).is_some_and(Slot::lives_by_its_group) {
            let run = self.run_of(unit);
            self.out.push(Action::AwaitEmpty { run });
        }
        self.answer_jobs(unit, |verb| matches!(verb, Verb::Start | Verb::Restart), &Outcome::Done);
    }
}

impl Ending {
    /// A run that ends so, with this end of its main process.
    pub(super) fn of(result: RunResult, end: Option<End>) -> Self {
        Self {
            result,
            end,
            ..Self::new()
        }
    }

    /// A run that ends as it should.
    pub(super) fn new() -> Self {
        Self {
            result: RunResult::Success,
            end: None,
            requested: false,
            transient: false,
            refused: false,
            skipped: false,
            in_backoff: false,
            not_begun: false,
            for_good: false,
            why: None,
            ready_since: None,
        }
    }
}
