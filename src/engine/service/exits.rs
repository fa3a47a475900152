//! A process of the run has ended: what that means, by its role and how it ended. systemd.service(5), SuccessExitStatus=.

use crate::engine::event::{End, ExitStatus, Role};
use crate::engine::restart;
use crate::engine::slot::{Ending, Slot, State, StopPhase};
use crate::engine::view::RunResult;
use crate::engine::{Engine, RunId, UnitId};
use crate::unit::{Command, Service, ServiceType};

impl Engine {
    pub(in crate::engine) fn on_exited(&mut self, run: RunId, role: Role, status: ExitStatus) {
        if !self.current(run) {
            return;
        }
        let unit = run.unit;
        let Some(slot) = self.slot(unit) else { return };
        let Some(service) = slot.service() else { return };
        let unmet = matches!(role, Role::Condition(_)) && restart::is_unmet(status.end);
        let result = slot.with_sender(restart::judge(service, &status));
        let ignored = role.command(service).is_some_and(|command| command.ignore_failure);
        let ok = result == RunResult::Success || ignored;
        let oneshot = service.r#type == ServiceType::Oneshot;
        let remains = service.remain_after_exit;
        if matches!(role, Role::Main(_))
            && let Some(slot) = self.slot_mut(unit)
        {
            slot.end = Some(status.end);
        }
        let end = matches!(role, Role::Main(_)).then_some(status.end);
        let result = if ignored { RunResult::Success } else { result };
        let Some(slot) = self.slot(unit) else { return };
        match (&slot.state, role) {
            (State::Starting { role: awaited, .. }, _)
                if *awaited == role && (oneshot || !matches!(role, Role::Main(_))) =>
            {
                if matches!(role, Role::Main(_)) {
                    self.forget_main(unit);
                }
                if ok {
                    self.after_command(unit, role);
                } else if unmet {
                    let ending = self.skipped(unit, "exec-condition".into());
                    self.begin_ending(unit, ending);
                } else {
                    self.begin_ending(unit, Ending::of(result, end));
                }
            }
            (State::Starting { role: awaited, .. }, Role::Main(_)) => {
                let awaited = *awaited == role;
                self.main_ended_early(unit, result, end, awaited);
            }
            (State::Running { since, .. }, Role::Main(_)) => {
                if remains && ok {
                    self.forget_main(unit);
                } else {
                    let ready_since = Some(*since);
                    self.begin_ending(
                        unit,
                        Ending {
                            result,
                            end,
                            ready_since,
                            ..Ending::new()
                        },
                    );
                }
            }
            (
                State::Running {
                    reload: Some((nth, _)), ..
                },
                Role::Reload(its),
            ) if *nth == its => {
                self.after_reload_command(unit, its, ok, &result);
            }
            (State::Stopping { phase, .. }, Role::Main(_)) => {
                let phase = *phase;
                self.note_end(unit, &status, &result);
                self.forget_main(unit);
                if phase == StopPhase::Term || phase == StopPhase::Kill {
                    self.main_gone(unit);
                }
            }
            (
                State::Stopping {
                    phase: StopPhase::Command(nth),
                    ..
                },
                Role::Stop(its),
            ) if *nth == its => self.stop_command_ended(unit, role, result),
            (
                State::Stopping {
                    phase: StopPhase::Post(nth),
                    ..
                },
                Role::StopPost(its),
            ) if *nth == its => self.after_stop_command(unit, role),
            _ => {}
        }
    }

    /// The main process of a service has ended before that was ready, or while its post commands ran. Of one that goes into
    /// the background that is how it is ready.
    fn main_ended_early(&mut self, unit: UnitId, result: RunResult, end: Option<End>, awaited: bool) {
        let success = result == RunResult::Success;
        match self.slot(unit).and_then(Slot::service).map(|service| service.r#type) {
            Some(ServiceType::Forking) if success && awaited => {
                self.forget_main(unit);
                self.look_for_main(unit);
            }
            Some(kind) if success && awaited && kind.says_ready() => {
                let why = "it ended before it said READY=1".into();
                self.begin_ending(unit, Ending::of(RunResult::Protocol { why }, end));
            }
            _ => self.begin_ending(unit, Ending::of(result, end)),
        }
    }

    /// The main process is no more.
    fn forget_main(&mut self, unit: UnitId) {
        self.update_state(unit, |state| match state {
            State::Starting { main_alive, .. }
            | State::Running { main_alive, .. }
            | State::Stopping { main_alive, .. } => *main_alive = false,
            _ => {}
        });
    }

    /// A command on the way up has done its part.
    pub(super) fn after_command(&mut self, unit: UnitId, role: Role) {
        let Some(service) = self.slot(unit).and_then(Slot::service) else {
            return;
        };
        let oneshot = service.r#type == ServiceType::Oneshot;
        let next = |nth: u16, commands: &[Command]| (usize::from(nth) + 1 < commands.len()).then_some(nth + 1);
        let first_post = (!service.exec_start_post.is_empty()).then_some(Role::Post(0));
        let role = match role {
            Role::Condition(nth) => {
                Some(next(nth, &service.exec_condition).map_or_else(|| after_conditions(service), Role::Condition))
            }
            Role::Pre(nth) => Some(next(nth, &service.exec_start_pre).map_or(Role::Main(0), Role::Pre)),
            Role::Main(nth) if oneshot => next(nth, &service.exec_start).map(Role::Main).or(first_post),
            Role::Main(_) => first_post,
            Role::Post(nth) => next(nth, &service.exec_start_post).map(Role::Post),
            Role::Reload(_) | Role::Stop(_) | Role::StopPost(_) | Role::Probe => return,
        };
        match role {
            Some(role) => {
                self.update_state(unit, |state| {
                    if let State::Starting { role: its, .. } = state {
                        *its = role;
                    }
                });
                self.spawn(unit, role);
            }
            None => self.become_ready(unit),
        }
    }
}

/// The first command of a service that its conditions do not skip.
pub(super) fn after_conditions(service: &Service) -> Role {
    match service.exec_start_pre.is_empty() {
        true => Role::Main(0),
        false => Role::Pre(0),
    }
}
