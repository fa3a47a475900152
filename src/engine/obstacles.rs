//! What stands between a unit and its start: whom it waits for, and what blocks it.

use super::event::{Because, Cause};
use super::slot::{State, Wait};
use super::view::StateWord;
use super::{Engine, UnitId};
use crate::unit::{LinkKind, Need};

/// What stands between a unit and its start.
pub enum Obstacle {
    /// Another unit that is on its way.
    Wait(UnitId),
    /// Something that does not go by itself.
    Block(Option<UnitId>, Box<str>),
}

impl Engine {
    /// The first thing in the way, from where the last search ended.
    pub(super) fn obstacle(&self, unit: UnitId) -> Option<(usize, Obstacle)> {
        let slot = self.slot(unit)?;
        if let Some(cycle) = &slot.cycle {
            return Some((0, Obstacle::Block(None, cycle.clone())));
        }
        if let Some(other) = slot.conflicts.iter().copied().find(|other| self.is_up(*other)) {
            return Some((slot.scan, Obstacle::Wait(other)));
        }
        let count = slot.waits.len();
        (0..count).map(|step| (slot.scan + step) % count).find_map(|at| {
            let (other, wait) = slot.waits.get(at)?;
            self.obstacle_of(*other, *wait).map(|obstacle| (at, obstacle))
        })
    }

    fn obstacle_of(&self, other: UnitId, wait: Wait) -> Option<Obstacle> {
        let slot = self.slot(other)?;
        let needed = match wait {
            Wait::Order if slot.has_settled() => return None,
            Wait::Order => return Some(Obstacle::Wait(other)),
            Wait::Needs(need) => need,
        };
        if slot.meets(needed) && slot.stop.is_none() {
            return None;
        }
        let why = match (&slot.unit, slot.word()) {
            (None, _) => "blocked: no such unit".to_owned(),
            // It runs, and what is needed is its end.
            (Some(_), StateWord::Running) if matches!(needed, Need::Exited | Need::Succeeded) => {
                return Some(Obstacle::Wait(other));
            }
            (Some(_), StateWord::Waiting | StateWord::Starting | StateWord::Stopping | StateWord::Running) => {
                return Some(Obstacle::Wait(other));
            }
            (Some(_), state) => match &slot.reason {
                Some(reason) => format!("{}: {}", word(state), root_of(reason)),
                None => word(state).to_owned(),
            },
        };
        Some(Obstacle::Block(
            Some(other),
            format!("requires {}, which is {why}", slot.name).into(),
        ))
    }

    /// For people: whom a unit waits for, and what blocks it; a few of each.
    pub(super) fn obstacles(&self, unit: UnitId) -> (Vec<Box<str>>, Vec<Box<str>>) {
        /// More than this says nothing more.
        const SHOWN_MAX: usize = 16;
        let Some(slot) = self.slot(unit) else {
            return Default::default();
        };
        let (mut waits, mut blocks) = (Vec::new(), Vec::new());
        if !matches!(slot.state, State::Waiting | State::Blocked) {
            return (waits, blocks);
        }
        blocks.extend(slot.cycle.clone());
        let conflicting = slot.conflicts.iter().filter(|other| self.is_up(**other));
        waits.extend(
            conflicting
                .filter_map(|other| Some(self.slot(*other)?.name.as_str().into()))
                .take(SHOWN_MAX),
        );
        for (other, wait) in &slot.waits {
            match self.obstacle_of(*other, *wait) {
                Some(Obstacle::Wait(other)) => waits.extend(self.slot(other).map(|slot| slot.name.as_str().into())),
                Some(Obstacle::Block(_, why)) => blocks.push(why),
                None => {}
            }
            if waits.len() + blocks.len() >= SHOWN_MAX {
                break;
            }
        }
        (waits, blocks)
    }

    /// A unit has moved: those who wait for it are looked at; those bound to it go down with it.
    pub(super) fn moved(&mut self, unit: UnitId) {
        let Some(slot) = self.slot(unit) else { return };
        let (ready, word) = (slot.is_ready(), slot.word());
        let mut others: Vec<UnitId> = Vec::new();
        let waits_for_me = |other: &UnitId| self.slot(*other).is_some_and(|slot| slot.waiting_on == Some(unit));
        others.extend(slot.feeds.iter().filter(|other| waits_for_me(other)));
        others.extend(
            slot.waits
                .iter()
                .map(|(other, _)| other)
                .filter(|other| waits_for_me(other)),
        );
        others.extend(slot.conflicts.iter().copied().filter(waits_for_me));
        // What waits for its triggers is there for others, and so it is while one has it run.
        let bound: Vec<UnitId> = if ready || word == StateWord::Waiting || slot.has_triggers_set() {
            Vec::new()
        } else {
            let bound = slot.incoming.iter().filter(|(_, kind)| *kind == LinkKind::BindsTo);
            bound
                .map(|(other, _)| *other)
                .filter(|other| {
                    self.slot(*other)
                        .is_some_and(|slot| slot.is_active() && slot.stop.is_none())
                })
                .collect()
        };
        for other in others {
            self.touch(other);
        }
        for other in bound {
            self.unwant(other, &Cause::Unit(unit, Because::BoundTo), true);
        }
    }
}

/// What a unit is blocked by may be blocked too, and so on: a long chain of reasons is told by its end, or that of a
/// chain of units would grow with its square.
fn root_of(reason: &str) -> &str {
    const REASON_BYTES_MAX: usize = 200;
    match reason.rfind("requires ") {
        Some(last) if reason.len() > REASON_BYTES_MAX => reason.get(last..).unwrap_or(reason),
        _ => reason,
    }
}

/// A state's word, in a sentence.
pub fn word(state: StateWord) -> &'static str {
    match state {
        StateWord::Inactive => "inactive",
        StateWord::Waiting => "waiting",
        StateWord::Starting => "starting",
        StateWord::Running => "running",
        StateWord::Stopping => "stopping",
        StateWord::Failed => "failed",
        StateWord::Backoff => "in backoff",
        StateWord::Blocked => "blocked",
        StateWord::Skipped => "skipped",
        StateWord::Masked => "masked",
    }
}
