//! Down: stop commands (if it was ready), the first signal, the final one, stop-post commands, release. systemd.kill(5).

use crate::engine::action::{Action, Change, Outcome, Scope};
use crate::engine::event::{Cause, End, ExitStatus, Mono, Role, Verb};
use crate::engine::slot::{Ending, Slot, State, StopPhase};
use crate::engine::view::RunResult;
use crate::engine::{Engine, RunId, UnitId};
use crate::unit::{KillMode, Signal};

impl Engine {
    /// Somebody wants it down, and nobody stands in the way.
    pub(in crate::engine) fn begin_stop(&mut self, unit: UnitId) {
        let Some(slot) = self.slot_mut(unit) else { return };
        let by = slot.stop.take().unwrap_or(Cause::Policy);
        let ready_since = match slot.state {
            State::Running { since, .. } => Some(since),
            _ => None,
        };
        self.report(unit, Change::Stopping { by });
        self.begin_ending(
            unit,
            Ending {
                requested: true,
                ready_since,
                ..Ending::new()
            },
        );
    }

    /// It is going down by itself, and now somebody wants that too: no policy brings it back.
    pub(in crate::engine) fn mark_requested(&mut self, unit: UnitId) {
        if let Some(slot) = self.slot_mut(unit) {
            slot.stop = None;
            match &mut slot.state {
                State::Stopping { ending, .. } | State::Releasing { ending } | State::Stuck { ending } => {
                    ending.requested = true
                }
                _ => {}
            }
        }
    }

    /// The run ends: from here it goes down, whatever the reason.
    pub(in crate::engine) fn begin_ending(&mut self, unit: UnitId, ending: Ending) {
        let Some(slot) = self.slot(unit) else { return };
        let main_alive = match &slot.state {
            State::Starting { main_alive, .. } | State::Running { main_alive, .. } => {
                *main_alive && ending.end.is_none()
            }
            _ => false,
        };
        if slot.health().is_some_and(|health| health.probing) {
            self.end_probe(unit);
        }
        self.answer_jobs(
            unit,
            |verb| verb == Verb::Reload,
            &Outcome::Failed("it ended meanwhile".into()),
        );
        let Some(service) = self.slot(unit).and_then(Slot::service) else {
            return self.rest(unit, ending);
        };
        // Who does not answer its watchdog is not asked to end, but told.
        let hangs = ending.result == RunResult::Watchdog;
        let commands = ending.ready_since.is_some() && !service.exec_stop.is_empty() && !hangs;
        let give_up = self.now.mono.after(service.timeout_stop);
        if commands {
            let phase = StopPhase::Command(0);
            self.set_state(
                unit,
                State::Stopping {
                    phase,
                    ending,
                    main_alive,
                    give_up,
                },
                None,
            );
            self.spawn(unit, Role::Stop(0));
        } else {
            self.set_state(
                unit,
                State::Stopping {
                    phase: StopPhase::Term,
                    ending,
                    main_alive,
                    give_up,
                },
                None,
            );
            self.send_first_signal(unit);
        }
    }

    pub(in crate::engine) fn after_stop_command(&mut self, unit: UnitId, role: Role) {
        let Some(service) = self.slot(unit).and_then(Slot::service) else {
            return;
        };
        let give_up = self.now.mono.after(service.timeout_stop);
        let (phase, role) = match role {
            Role::Stop(nth) if usize::from(nth) + 1 < service.exec_stop.len() => {
                (StopPhase::Command(nth + 1), Some(Role::Stop(nth + 1)))
            }
            Role::Stop(_) => (StopPhase::Term, None),
            Role::StopPost(nth) if usize::from(nth) + 1 < service.exec_stop_post.len() => {
                (StopPhase::Post(nth + 1), Some(Role::StopPost(nth + 1)))
            }
            _ => return self.clean(unit),
        };
        self.enter_phase(unit, phase, give_up);
        match role {
            Some(role) => self.spawn(unit, role),
            None => self.send_first_signal(unit),
        }
    }

    pub(super) fn enter_phase(&mut self, unit: UnitId, to: StopPhase, until: Option<Mono>) {
        self.update_state(unit, |state| {
            if let State::Stopping { phase, give_up, .. } = state {
                (*phase, *give_up) = (to, until);
            }
        });
    }

    /// The first signal, to whom the kill mode says; systemd.kill(5).
    pub(super) fn send_first_signal(&mut self, unit: UnitId) {
        let run = self.run_of(unit);
        let Some(slot) = self.slot(unit) else { return };
        let (Some(service), State::Stopping { main_alive, ending, .. }) = (slot.service(), &slot.state) else {
            return;
        };
        let hangs = ending.result == RunResult::Watchdog;
        let (kill, main_alive, restarts) = (service.kill.clone(), *main_alive, slot.wish.is_some());
        let asked = kill.restart_signal.filter(|_| restarts).unwrap_or(kill.signal);
        let signal = if hangs { Signal::ABRT } else { asked };
        let signals = std::iter::once(signal).chain(kill.send_sighup.then_some(Signal::HUP));
        let scope = match kill.mode {
            KillMode::ControlGroup => Scope::All,
            KillMode::Mixed | KillMode::Process if main_alive => Scope::Main,
            KillMode::Mixed => {
                // No main process is left to be asked: the rest is told as it would be after it.
                self.out.push(Action::Kill {
                    run,
                    scope: Scope::All,
                    signal: kill.final_signal,
                });
                return self.out.push(Action::AwaitEmpty { run });
            }
            KillMode::Process | KillMode::None => return self.begin_post(unit),
        };
        self.out
            .extend(signals.map(|signal| Action::Kill { run, scope, signal }));
        if kill.mode == KillMode::ControlGroup {
            self.out.push(Action::AwaitEmpty { run });
        }
    }

    /// The main process has ended during a stop.
    pub(super) fn main_gone(&mut self, unit: UnitId) {
        let run = self.run_of(unit);
        let Some(kill) = self
            .slot(unit)
            .and_then(Slot::service)
            .map(|service| service.kill.clone())
        else {
            return;
        };
        match kill.mode {
            KillMode::ControlGroup => {}
            KillMode::Mixed => {
                self.out.push(Action::Kill {
                    run,
                    scope: Scope::All,
                    signal: kill.final_signal,
                });
                self.out.push(Action::AwaitEmpty { run });
            }
            KillMode::Process | KillMode::None => self.begin_post(unit),
        }
    }

    /// The end of the main process during a stop: as asked for is as it should be.
    pub(super) fn note_end(&mut self, unit: UnitId, status: &ExitStatus, result: &RunResult) {
        let Some(kill) = self
            .slot(unit)
            .and_then(Slot::service)
            .map(|service| service.kill.clone())
        else {
            return;
        };
        let Some(slot) = self.slot_mut(unit) else { return };
        let State::Stopping { ending, .. } = &mut slot.state else {
            return;
        };
        ending.end = Some(status.end);
        let signals = [
            Some(kill.signal),
            kill.restart_signal,
            kill.send_sighup.then_some(Signal::HUP),
        ];
        let by_us = matches!(status.end, End::Signal(signal) if signals.contains(&Some(signal)));
        if ending.result == RunResult::Success && !by_us {
            ending.result = result.clone();
        }
    }

    pub(in crate::engine) fn on_emptied(&mut self, run: RunId) {
        if !self.current(run) {
            return;
        }
        let Some(slot) = self.slot(run.unit) else { return };
        match slot.state {
            State::Stopping {
                phase: StopPhase::Term | StopPhase::Kill,
                ..
            } => self.begin_post(run.unit),
            State::Stopping {
                phase: StopPhase::Clean,
                ..
            }
            | State::Stuck { .. } => self.release(run.unit),
            State::Running { since, .. } if slot.lives_by_its_group() => {
                let ready_since = Some(since);
                self.begin_ending(
                    run.unit,
                    Ending {
                        ready_since,
                        ..Ending::new()
                    },
                );
            }
            _ => {}
        }
    }

    fn begin_post(&mut self, unit: UnitId) {
        let Some(service) = self.slot(unit).and_then(Slot::service) else {
            return;
        };
        if service.exec_stop_post.is_empty() {
            return self.release(unit);
        }
        let give_up = self.now.mono.after(service.timeout_stop);
        self.enter_phase(unit, StopPhase::Post(0), give_up);
        self.spawn(unit, Role::StopPost(0));
    }

    /// What the stop-post commands left behind goes too, where the kill mode is for all.
    pub(super) fn clean(&mut self, unit: UnitId) {
        let run = self.run_of(unit);
        let Some(service) = self.slot(unit).and_then(Slot::service) else {
            return;
        };
        if matches!(service.kill.mode, KillMode::Process | KillMode::None) {
            return self.release(unit);
        }
        let give_up = self.now.mono.after(service.timeout_stop);
        self.enter_phase(unit, StopPhase::Clean, give_up);
        self.out.push(Action::Kill {
            run,
            scope: Scope::All,
            signal: Signal::KILL,
        });
        self.out.push(Action::AwaitEmpty { run });
    }

    pub(in crate::engine) fn release(&mut self, unit: UnitId) {
        let run = self.run_of(unit);
        let Some(slot) = self.slot(unit) else { return };
        let (State::Stopping { ending, .. } | State::Stuck { ending }) = &slot.state else {
            return;
        };
        let ending = ending.clone();
        let keep = slot.unit.is_some() && self.comes_back(unit, &ending);
        let again = keep || ending.requested && slot.wish.is_some();
        self.set_state(unit, State::Releasing { ending }, None);
        if let Some(slot) = self.slot_mut(unit) {
            (slot.kept, slot.follows) = (keep, again);
        }
        self.out.push(Action::Release { run, keep, again });
    }
}
