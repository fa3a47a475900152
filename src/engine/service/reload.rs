//! A service takes its settings over while it runs: reload commands, or a signal. systemd.service(5), ExecReload=.

use crate::engine::action::{Action, Change, Outcome, Scope};
use crate::engine::event::{Role, Verb};
use crate::engine::said::ReloadStage;
use crate::engine::slot::{Slot, State, service_of};
use crate::engine::view::RunResult;
use crate::engine::{Engine, UnitId};
use crate::unit::{ServiceType, Signal};

impl Engine {
    pub(in crate::engine) fn begin_reload(&mut self, unit: UnitId) {
        let now = self.now.mono;
        let run = self.run_of(unit);
        let Some(slot) = self.slot(unit) else { return };
        let State::Running { reload, .. } = &slot.state else {
            return;
        };
        if reload.is_some() {
            return;
        }
        let Some(service) = slot.unit.as_deref().and_then(service_of).or_else(|| slot.service()) else {
            return;
        };
        if service.r#type == ServiceType::NotifyReload {
            let signal = service.reload_signal.unwrap_or(Signal::HUP);
            let give_up = now.after(service.timeout_start);
            self.out.push(Action::Kill {
                run,
                scope: Scope::Main,
                signal,
            });
            return self.begin_told_reload(unit, ReloadStage::Asked, give_up);
        }
        if let Some(signal) = service.reload_signal {
            self.out.push(Action::Kill {
                run,
                scope: Scope::Main,
                signal,
            });
            return self.end_reload(unit, &Outcome::Done);
        }
        let give_up = now.after(service.timeout_start);
        self.update_state(unit, |state| {
            if let State::Running { reload, .. } = state {
                *reload = Some((0, give_up));
            }
        });
        self.spawn(unit, Role::Reload(0));
    }

    pub(super) fn after_reload_command(&mut self, unit: UnitId, nth: u16, ok: bool, result: &RunResult) {
        let more = self
            .slot(unit)
            .and_then(Slot::service)
            .is_some_and(|service| usize::from(nth) + 1 < service.exec_reload.len());
        if !ok {
            self.end_reload(unit, &Outcome::Failed(format!("exec-reload: {result}").into()));
        } else if more {
            self.update_state(unit, |state| {
                if let State::Running {
                    reload: Some((its, _)), ..
                } = state
                {
                    *its = nth + 1;
                }
            });
            self.spawn(unit, Role::Reload(nth + 1));
        } else {
            self.end_reload(unit, &Outcome::Done);
        }
    }

    pub(super) fn end_reload(&mut self, unit: UnitId, outcome: &Outcome) {
        if *outcome == Outcome::Done {
            self.report(unit, Change::Reloaded);
        }
        if let Some(slot) = self.slot_mut(unit) {
            slot.said.reload = ReloadStage::None;
        }
        self.update_state(unit, |state| {
            if let State::Running { reload, .. } = state {
                *reload = None;
            }
        });
        self.answer_jobs(unit, |verb| verb == Verb::Reload, outcome);
    }
}
