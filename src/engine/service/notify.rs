//! What a service says of itself while it runs: that it is ready, reloads, is alive, needs longer. sd_notify(3).

use std::time::Duration;

use crate::engine::action::Outcome;
use crate::engine::event::{Mono, Notification, Role, Watchdog};
use crate::engine::said::ReloadStage;
use crate::engine::slot::{Ending, Slot, State};
use crate::engine::view::RunResult;
use crate::engine::{Engine, RunId, UnitId};

impl Engine {
    pub(in crate::engine) fn on_told(&mut self, run: RunId, notification: Notification) {
        if !self.current(run) {
            return;
        }
        let unit = run.unit;
        let Notification {
            ready,
            reloading,
            status,
            watchdog,
            watchdog_limit,
            extend,
        } = notification;
        if let Some(slot) = self.slot_mut(unit) {
            slot.said.watchdog = watchdog_limit.or(slot.said.watchdog);
            slot.said.status = status.unwrap_or_else(|| std::mem::take(&mut slot.said.status));
        }
        if let Some(by) = extend {
            self.extend(unit, by);
        }
        if reloading {
            self.told_reloading(unit);
        }
        if ready {
            self.told_ready(unit);
        }
        match watchdog {
            Some(Watchdog::Alive) => self.rearm_watchdog(unit),
            None if watchdog_limit.is_some() => self.rearm_watchdog(unit),
            None => {}
            Some(Watchdog::Trigger) => {
                if let Some(State::Running { since, .. }) = self.slot(unit).map(|slot| &slot.state) {
                    self.take_for_dead(unit, *since);
                }
            }
        }
    }

    /// Times that have an end have it no earlier than this long from now.
    fn extend(&mut self, unit: UnitId, by: Duration) {
        let at_least = self.now.mono.after(Some(by));
        let later = |limit: &mut Option<Mono>| {
            if limit.is_some() {
                *limit = (*limit).max(at_least);
            }
        };
        self.update_state(unit, |state| match state {
            State::Starting { give_up, .. } | State::Stopping { give_up, .. } => later(give_up),
            State::Running { until, .. } => later(until),
            _ => {}
        });
    }

    fn told_ready(&mut self, unit: UnitId) {
        let Some(slot) = self.slot(unit) else { return };
        let says_ready = slot.service().is_some_and(|service| service.r#type.says_ready());
        match &slot.state {
            State::Starting {
                role: Role::Main(0),
                main_alive: true,
                ..
            } if says_ready => self.after_command(unit, Role::Main(0)),
            State::Running { reload: Some(_), .. } if slot.said.reload == ReloadStage::Begun => {
                self.end_reload(unit, &Outcome::Done);
            }
            _ => {}
        }
    }

    fn told_reloading(&mut self, unit: UnitId) {
        let Some(slot) = self.slot(unit) else { return };
        let State::Running { reload, .. } = &slot.state else {
            return;
        };
        let give_up = self
            .now
            .mono
            .after(slot.service().and_then(|service| service.timeout_start));
        match (reload, slot.said.reload) {
            // By itself, or since somebody else sent it a signal.
            (None, _) => self.begin_told_reload(unit, ReloadStage::Begun, give_up),
            (Some(_), ReloadStage::Asked) => {
                if let Some(slot) = self.slot_mut(unit) {
                    slot.said.reload = ReloadStage::Begun;
                }
            }
            (Some(_), ReloadStage::None | ReloadStage::Begun) => {}
        }
    }

    /// A reload of which the service says the end.
    pub(super) fn begin_told_reload(&mut self, unit: UnitId, stage: ReloadStage, give_up: Option<Mono>) {
        if let Some(slot) = self.slot_mut(unit) {
            slot.said.reload = stage;
        }
        self.update_state(unit, |state| {
            if let State::Running { reload, .. } = state {
                *reload = Some((0, give_up));
            }
        });
    }

    fn rearm_watchdog(&mut self, unit: UnitId) {
        let until = self.now.mono.after(self.slot(unit).and_then(Slot::watchdog));
        self.update_state(unit, |state| {
            if let State::Running { watchdog, .. } = state {
                *watchdog = until;
            }
        });
    }

    /// It has not said in time that it is alive, or says that it should be taken for dead.
    pub(super) fn take_for_dead(&mut self, unit: UnitId, since: Mono) {
        let ending = Ending {
            result: RunResult::Watchdog,
            ready_since: Some(since),
            ..Ending::new()
        };
        self.begin_ending(unit, ending);
    }
}
