//! Probes: when the next one is due, what their ends mean, and what follows for an unhealthy service.

use std::time::Duration;

use super::action::{Action, Change, Scope};
use super::event::{Mono, Role};
use super::slot::{Ending, Slot, State, service_of};
use super::view::RunResult;
use super::{Engine, RunId, UnitId};
use crate::unit::{self, OnUnhealthy, Signal};

/// While it has not been well yet, it is asked at least this often.
const EAGER: Duration = Duration::from_secs(1);

/// How well a run is, as far as is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Health {
    /// What its probes say.
    pub word: HealthWord,
    /// In a row.
    pub failures: u32,
    /// A probe is running, and its end is awaited.
    pub probing: bool,
    /// It has had its time: its end says nothing more.
    pub late: bool,
    /// When the probe that runs has had its time, or the next one begins.
    pub due: Option<Mono>,
    /// Until then failures do not count.
    pub forgiven_until: Mono,
}

/// What is known of a service's health.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum HealthWord {
    /// It has not been well yet.
    Starting,
    Healthy,
    Unhealthy,
}

impl Slot {
    /// The probes that are in force.
    fn probes(&self) -> Option<&unit::Health> {
        let service = self.unit.as_deref().and_then(service_of).or_else(|| self.service())?;
        Some(&service.health).filter(|health| health.is_set())
    }

    /// Of a run that is up.
    pub fn health(&self) -> Option<&Health> {
        let State::Running { health, .. } = &self.state else {
            return None;
        };
        health.as_ref()
    }
}

impl Engine {
    /// It is up, or is probed in another way from now on.
    pub(super) fn look_after_health(&mut self, unit: UnitId) {
        let now = self.now.mono;
        let Some(slot) = self.slot(unit) else { return };
        let State::Running { health, since, .. } = &slot.state else {
            return;
        };
        let begun = match (slot.probes(), health) {
            (None, _) => None,
            (Some(_), Some(health)) => Some(health.clone()),
            (Some(probes), None) => Some(Health {
                word: HealthWord::Starting,
                failures: 0,
                probing: false,
                late: false,
                due: Some(now),
                forgiven_until: since.after(Some(probes.start_period)).unwrap_or(now),
            }),
        };
        self.update_state(unit, |state| {
            if let State::Running { health, .. } = state {
                *health = begun;
            }
        });
    }

    fn update_health(&mut self, unit: UnitId, change: impl FnOnce(&mut Health)) {
        self.update_state(unit, |state| {
            if let State::Running {
                health: Some(health), ..
            } = state
            {
                change(health);
            }
        });
    }

    /// A probe begins, or has had its time.
    pub(super) fn on_health_due(&mut self, unit: UnitId) {
        let Some(slot) = self.slot(unit) else { return };
        let (Some(health), Some(probes)) = (slot.health(), slot.probes()) else {
            return self.look_after_health(unit);
        };
        let (probing, timeout) = (health.probing, probes.timeout);
        if probing {
            self.end_probe(unit);
            self.update_health(unit, |health| (health.late, health.due) = (true, None));
            return self.judge_probe(unit, false);
        }
        let until = self.now.mono.after(Some(timeout));
        self.update_health(unit, |health| (health.probing, health.due) = (true, until));
        self.spawn(unit, Role::Probe);
    }

    /// A probe that runs is ended, whatever it would have said.
    pub(super) fn end_probe(&mut self, unit: UnitId) {
        let run = self.run_of(unit);
        self.out.push(Action::Kill {
            run,
            scope: Scope::Command(Role::Probe),
            signal: Signal::KILL,
        });
    }

    /// A probe has ended, or could not begin.
    pub(super) fn on_probed(&mut self, run: RunId, well: bool) {
        let unit = run.unit;
        let Some(slot) = self.slot(unit).filter(|_| self.current(run)) else {
            return;
        };
        let Some(health) = slot.health().filter(|health| health.probing) else {
            return;
        };
        let late = health.late;
        let interval = slot.probes().map_or(EAGER, |probes| probes.interval);
        let pause = match health.word {
            HealthWord::Starting if !well => interval.min(EAGER),
            HealthWord::Starting | HealthWord::Healthy | HealthWord::Unhealthy => interval,
        };
        let next = self.now.mono.after(Some(pause));
        self.update_health(unit, |health| {
            (health.probing, health.late, health.due) = (false, false, next);
        });
        if !late {
            self.judge_probe(unit, well);
        }
    }

    fn judge_probe(&mut self, unit: UnitId, well: bool) {
        let now = self.now.mono;
        let Some(slot) = self.slot(unit) else { return };
        let (Some(health), Some(probes)) = (slot.health(), slot.probes()) else {
            return;
        };
        let before = health.word;
        let forgiven = before == HealthWord::Starting && now < health.forgiven_until;
        let failures = match well {
            true => 0,
            false => health.failures.saturating_add(u32::from(!forgiven)),
        };
        let word = match well {
            true => HealthWord::Healthy,
            false if failures >= probes.retries => HealthWord::Unhealthy,
            false => before,
        };
        let then = probes.on_unhealthy;
        self.update_health(unit, |health| (health.failures, health.word) = (failures, word));
        match word {
            HealthWord::Healthy if before != word => self.report(unit, Change::Healthy),
            HealthWord::Unhealthy if before != word => {
                self.report(unit, Change::Unhealthy { failures });
                self.be_unhealthy(unit, then);
            }
            HealthWord::Starting | HealthWord::Healthy | HealthWord::Unhealthy => {}
        }
    }

    fn be_unhealthy(&mut self, unit: UnitId, then: OnUnhealthy) {
        let Some(State::Running { since, .. }) = self.slot(unit).map(|slot| &slot.state) else {
            return;
        };
        let ready_since = Some(*since);
        match then {
            OnUnhealthy::None => {}
            OnUnhealthy::Reboot => self.out.push(Action::Reboot { unit }),
            OnUnhealthy::Restart | OnUnhealthy::Stop => self.begin_ending(
                unit,
                Ending {
                    result: RunResult::Unhealthy,
                    for_good: then == OnUnhealthy::Stop,
                    ready_since,
                    ..Ending::new()
                },
            ),
        }
    }
}
