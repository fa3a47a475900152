//! Times that are over: what each state does then.

use crate::engine::action::{Action, Change, Outcome, Scope};
use crate::engine::event::{Cause, Mono, Role};
use crate::engine::slot::{Ending, Slot, State, StopPhase};
use crate::engine::view::RunResult;
use crate::engine::{Engine, UnitId};
use crate::unit::{KillMode, Signal};

impl Engine {
    pub(in crate::engine) fn on_deadlines(&mut self, heard: Mono) {
        while let Some((at, unit)) = self.deadlines.first().copied() {
            if at > heard {
                return;
            }
            self.deadlines.remove(&(at, unit));
            self.on_deadline(unit, heard);
        }
    }

    fn on_deadline(&mut self, unit: UnitId, heard: Mono) {
        let run = self.run_of(unit);
        let due = |at: &Option<Mono>| at.is_some_and(|at| at <= heard);
        let Some(slot) = self.slot(unit) else { return };
        match slot.state.clone() {
            State::Backoff { .. } => {
                // A stop that came first is not undone by a try that was due.
                if let Some(slot) = self.slot_mut(unit)
                    && slot.wish.is_none()
                    && slot.stop.is_none()
                {
                    slot.wish = Some(Cause::Policy);
                }
                self.set_state(unit, State::Waiting, None);
            }
            State::Starting { .. } => {
                let ending = Ending {
                    result: RunResult::Timeout("start"),
                    ..Ending::new()
                };
                self.begin_ending(unit, ending);
            }
            State::Running { until, since, .. } if due(&until) => {
                let ending = Ending {
                    result: RunResult::Timeout("runtime"),
                    ready_since: Some(since),
                    ..Ending::new()
                };
                self.begin_ending(unit, ending);
            }
            State::Running { watchdog, since, .. } if due(&watchdog) => self.take_for_dead(unit, since),
            State::Running {
                health: Some(health), ..
            } if due(&health.due) => self.on_health_due(unit),
            State::Running {
                reload: Some((nth, _)), ..
            } => {
                self.out.push(Action::Kill {
                    run,
                    scope: Scope::Command(Role::Reload(nth)),
                    signal: Signal::KILL,
                });
                self.end_reload(unit, &Outcome::Failed("timeout reload".into()));
            }
            State::Stopping { phase, ending, .. } => self.on_stop_deadline(unit, phase, ending),
            State::Arming { .. } => self.fail_to_arm(unit, RunResult::Timeout("start"), false, false),
            State::Running { .. }
            | State::Inactive
            | State::Failed
            | State::Skipped
            | State::Waiting
            | State::Blocked
            | State::Checking
            | State::Stuck { .. }
            | State::Armed
            | State::Releasing { .. } => {}
        }
    }

    fn on_stop_deadline(&mut self, unit: UnitId, phase: StopPhase, mut ending: Ending) {
        let run = self.run_of(unit);
        let Some(service) = self.slot(unit).and_then(Slot::service) else {
            return;
        };
        let (kill, give_up) = (service.kill.clone(), self.now.mono.after(service.timeout_stop));
        if ending.result == RunResult::Success {
            ending.result = RunResult::Timeout("stop");
        }
        self.update_state(unit, |state| {
            if let State::Stopping { ending: its, .. } = state {
                *its = ending.clone();
            }
        });
        match phase {
            StopPhase::Command(nth) => {
                self.out.push(Action::Kill {
                    run,
                    scope: Scope::Command(Role::Stop(nth)),
                    signal: Signal::KILL,
                });
                self.enter_phase(unit, StopPhase::Term, give_up);
                self.send_first_signal(unit);
            }
            StopPhase::Term if kill.send_sigkill => {
                let scope = if kill.mode == KillMode::Process {
                    Scope::Main
                } else {
                    Scope::All
                };
                self.enter_phase(unit, StopPhase::Kill, give_up);
                self.out.push(Action::Kill {
                    run,
                    scope,
                    signal: kill.final_signal,
                });
                if scope == Scope::All {
                    self.out.push(Action::AwaitEmpty { run });
                }
            }
            // Nothing may be killed: what is left is left, and whoever asked is told.
            StopPhase::Term => self.be_stuck(unit, ending),
            StopPhase::Post(nth) => {
                self.out.push(Action::Kill {
                    run,
                    scope: Scope::Command(Role::StopPost(nth)),
                    signal: Signal::KILL,
                });
                self.clean(unit);
            }
            StopPhase::Kill | StopPhase::Clean => self.be_stuck(unit, ending),
        }
    }

    /// Not even the final signal ended them (a process in state D, say). The job ends; the cgroup is not used again
    /// until it is empty.
    fn be_stuck(&mut self, unit: UnitId, ending: Ending) {
        let run = self.run_of(unit);
        let why: Box<str> = "stuck: processes that do not die".into();
        if let Some(slot) = self.slot_mut(unit) {
            slot.last = Some(ending.result.clone());
        }
        self.report(unit, Change::Stuck);
        self.set_state(unit, State::Stuck { ending }, Some(why.clone()));
        self.answer_jobs(unit, |_| true, &Outcome::Failed(why));
        self.out.push(Action::AwaitEmpty { run });
    }
}
