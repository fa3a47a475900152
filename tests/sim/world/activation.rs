//! Triggers that are set, or fail to be, and come; and what services say of themselves.

use std::time::Duration;

use svc::engine::event::{Cause, Event, Notification, SpawnFailure, SpawnFailureKind};
use svc::engine::{RunId, UnitId};
use svc::unit::{Service, ServiceType};

use super::{Fault, Item, World};
use crate::judge::Verdict;
use crate::scenario::{Random, place_of};

/// Of one unit in all; a timer that goes on and on shows nothing more.
const TRIGGERS_MAX: u64 = 30;

/// What the supervisor has of a unit's triggers.
#[derive(Debug, Default)]
pub struct Arms {
    /// What is on its way from before this was counted up is not heard any more.
    asked: u64,
    watched: u64,
    on: bool,
    came: u64,
}

impl World<'_> {
    fn luck(&self, unit: UnitId, what: u64, nth: u64) -> Random {
        let place = self.engine.unit(unit).map_or(usize::MAX, place_of);
        Random::of(&[self.scenario.seed, what, place as u64, nth])
    }

    /// They are set after a while, or cannot be.
    pub(super) fn arm(&mut self, unit: UnitId) {
        self.judge.on_arm(unit);
        let arms = self.arms.entry(unit).or_default();
        arms.asked += 1;
        let nth = arms.asked;
        let mut random = self.luck(unit, 6, nth);
        let failure = random.percent(self.scenario.chaos.fails).then(|| SpawnFailure {
            step: "socket /x".into(),
            errno: 98,
            detail: "".into(),
            kind: random.pick(&[SpawnFailureKind::Transient, SpawnFailureKind::Step]),
        });
        let at = self.now + random.time(20_000);
        self.put(at, Item::Armed(unit, nth, failure));
    }

    pub(super) fn disarm(&mut self, unit: UnitId) {
        let arms = self.arms.entry(unit).or_default();
        arms.asked += 1;
        let lost = self.strikes(Fault::DisarmLost);
        if !lost {
            self.judge.on_disarm(unit);
        }
    }

    pub(super) fn armed(&mut self, unit: UnitId, nth: u64, failure: Option<SpawnFailure>) -> Verdict {
        if self.arms.get(&unit).is_none_or(|arms| arms.asked != nth) {
            return Ok(());
        }
        self.judge.on_armed(unit, failure.is_none());
        self.handle(Event::Armed { unit, failure })
    }

    pub(super) fn watch(&mut self, unit: UnitId, on: bool) -> Verdict {
        let arms = self.arms.entry(unit).or_default();
        arms.watched += 1;
        arms.on = on;
        let (nth, came) = (arms.watched, arms.came);
        if on && came < TRIGGERS_MAX {
            let mut random = self.luck(unit, 7, nth);
            let at = self.now + random.time(10_000_000);
            // Now and then two at once, of which the second one comes to a unit that runs.
            let twice = random.percent(10);
            for _ in 0..1 + u8::from(twice) {
                self.put(at, Item::Trigger(unit, nth));
            }
        }
        self.judge.on_watch(unit, on)
    }

    /// What came before nobody watched any more may be on its way still.
    pub(super) fn trigger(&mut self, unit: UnitId, nth: u64) -> Verdict {
        let Some(arms) = self.arms.get_mut(&unit).filter(|arms| arms.watched <= nth + 1) else {
            return Ok(());
        };
        arms.came += 1;
        let by = match arms.came % 3 {
            0 => Cause::Timer("every 1h".into()),
            1 => Cause::Path("exists /x".into()),
            _ => Cause::Connection("listen-fifo /x".into()),
        };
        if !self.strikes(Fault::TriggerHidden) {
            self.judge.on_triggered(unit);
        }
        self.handle(Event::Triggered { unit, by })
    }

    /// A main process says that it is ready, sooner or later, or never.
    pub(super) fn says_ready(&mut self, run: RunId, service: &Service, executed: u64, random: &mut Random) {
        if service.r#type.says_ready() && !random.percent(self.scenario.chaos.hangs) {
            let at = executed + random.time(2_000_000);
            self.say(run, at, |said| said.ready = true);
        }
    }

    /// It was sent its signal, and takes its settings over.
    pub(super) fn says_reloading(&mut self, run: RunId) {
        let is_told = |service: &Service| service.r#type == ServiceType::NotifyReload;
        let unit = self.runs.get(&run).map(|run| run.unit.clone());
        if !unit.as_deref().and_then(super::service).is_some_and(is_told) {
            return;
        }
        let mut random = Random::of(&[self.scenario.seed, 8, self.queued]);
        let begins = self.now + random.time(100_000);
        self.say(run, begins, |said| said.reloading = true);
        if !random.percent(self.scenario.chaos.hangs) {
            let ends = begins + random.time(1_000_000);
            self.say(run, ends, |said| {
                (said.ready, said.extend) = (true, Some(Duration::from_millis(1)));
            });
        }
    }

    fn say(&mut self, run: RunId, at: u64, what: impl FnOnce(&mut Notification)) {
        let mut notification = Notification::default();
        what(&mut notification);
        self.put(at, Item::Tell(run, Event::Told { run, notification }));
    }
}
