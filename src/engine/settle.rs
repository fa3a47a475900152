//! Wishes: who should be up, who should go down, and who of them can do so now.
//!
//! A wish spreads first, through a queue, then every unit that something has changed for is looked at until nothing
//! moves. A unit that waits remembers for whom, and is looked at again only when that one has moved, so an event costs
//! what it touches.
#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "what means nothing here is dropped, whatever is added to the enum"
)]

use std::collections::{BTreeSet, VecDeque};

use super::action::{Action, Change, Outcome};
use super::event::{Because, Cause, Verb};
use super::obstacles::{Obstacle, word};
use super::slot::{Slot, State};
use super::{Engine, JobId, UnitId};
use crate::unit::{Kind, LinkKind, Service};

impl Engine {
    pub(super) fn on_ask(&mut self, job: Option<JobId>, unit: UnitId, verb: Verb, by: &Cause) {
        if let Some(why) = self.refusal(unit, verb) {
            return self.answer(job, Outcome::Refused(why));
        }
        match verb {
            Verb::Start => {
                self.supersede(unit, Verb::Stop, "a start");
                self.add_job(unit, job, verb);
                self.start_over(unit);
                self.want(unit, by.clone());
            }
            Verb::Stop => {
                self.supersede(unit, Verb::Start, "a stop");
                self.supersede(unit, Verb::Restart, "a stop");
                self.add_job(unit, job, verb);
                self.unwant(unit, by, false);
                if self.slot(unit).is_some_and(|slot| slot.stop.is_none()) {
                    self.end_stop_of_idle(unit);
                }
            }
            Verb::Restart => {
                self.add_job(unit, job, verb);
                self.start_over(unit);
                self.unwant(unit, by, true);
                self.want(unit, by.clone());
            }
            Verb::Reload => {
                self.add_job(unit, job, verb);
                self.begin_reload(unit);
            }
            Verb::Reset => {
                self.start_over(unit);
                if let Some(slot) = self.slot_mut(unit)
                    && matches!(slot.state, State::Failed | State::Skipped)
                {
                    slot.last = None;
                    self.set_state(unit, State::Inactive, None);
                }
                self.answer(job, Outcome::Done);
            }
        }
        self.touch(unit);
        // Nobody waits for what may never come. The wish is remembered.
        if let Some(slot) = self.slot(unit)
            && matches!(slot.state, State::Stuck { .. })
        {
            let why = slot.reason.clone().unwrap_or_default();
            self.answer_jobs(unit, |_| true, &Outcome::Failed(why));
        }
    }

    /// Why this cannot be asked of this unit, now.
    pub fn refusal(&self, unit: UnitId, verb: Verb) -> Option<Box<str>> {
        let Some(slot) = self.slot(unit) else {
            return Some("no such unit".into());
        };
        let starts = matches!(verb, Verb::Start | Verb::Restart);
        if starts && self.shutdown.is_some() {
            return Some("svcd is stopping".into());
        }
        let unit = match &slot.unit {
            // What is left of it may be stopped, and nothing else.
            None => return matches!(verb, Verb::Start | Verb::Restart | Verb::Reload).then(|| "no such unit".into()),
            Some(unit) => unit,
        };
        match (&unit.kind, verb) {
            (Kind::Masked, Verb::Start | Verb::Restart) => Some("masked".into()),
            (Kind::Slice(_), Verb::Start | Verb::Restart) => Some("a slice comes up with the units in it".into()),
            (_, Verb::Start | Verb::Restart) => slot.cycle.clone(),
            (_, Verb::Reload) if !slot.is_ready() => Some(format!("not running, but {}", word(slot.word())).into()),
            (_, Verb::Reload) => {
                let reloads = slot.service().is_some_and(Service::reloads);
                (!reloads).then(|| "it has neither exec-reload nor reload-signal".into())
            }
            (_, Verb::Stop | Verb::Reset) => None,
        }
    }

    fn add_job(&mut self, unit: UnitId, job: Option<JobId>, verb: Verb) {
        if let (Some(job), Some(slot)) = (job, self.slot_mut(unit)) {
            slot.jobs.push((job, verb));
        }
    }

    /// A budget and a delay that start over, and a failure that is forgotten: somebody asked.
    fn start_over(&mut self, unit: UnitId) {
        if let Some(slot) = self.slot_mut(unit) {
            slot.budget.clear();
            slot.tries = 0;
            slot.restarts = 0;
        }
    }

    pub(super) fn answer(&mut self, job: Option<JobId>, outcome: Outcome) {
        if let Some(job) = job {
            self.out.push(Action::Answer { job, outcome });
        }
    }

    fn supersede(&mut self, unit: UnitId, verb: Verb, by: &str) {
        self.answer_jobs(
            unit,
            |its| its == verb,
            &Outcome::Superseded(format!("{by} took its place").into()),
        );
    }

    /// Answers the unit's jobs of these kinds.
    pub(super) fn answer_jobs(&mut self, unit: UnitId, which: impl Fn(Verb) -> bool, outcome: &Outcome) {
        let Some(slot) = self.slot_mut(unit) else { return };
        let (answered, left) = std::mem::take(&mut slot.jobs)
            .into_iter()
            .partition(|(_, verb)| which(*verb));
        slot.jobs = left;
        let answered: Vec<(JobId, Verb)> = answered;
        for (job, _) in answered {
            self.answer(Some(job), outcome.clone());
        }
    }

    /// The unit, and all that it pulls in, should be up.
    pub(super) fn want(&mut self, unit: UnitId, by: Cause) {
        let mut queue = VecDeque::from([(unit, by)]);
        // Each once: units that both require and conflict with one another would go on for ever.
        let mut seen = BTreeSet::new();
        while let Some((unit, by)) = queue.pop_front() {
            if self.shutdown.is_some() {
                return;
            }
            let only_waits = self.note_demand(unit, &by);
            if !self.wish(unit, &by) || only_waits || !seen.insert(unit) {
                continue;
            }
            let Some(slot) = self.slot(unit) else { continue };
            let stops = slot.conflicts.clone();
            for (other, kind) in &slot.outgoing {
                match kind {
                    LinkKind::Requires(_) | LinkKind::BindsTo => {
                        queue.push_back((*other, Cause::Unit(unit, Because::RequiredBy)))
                    }
                    LinkKind::Wants => queue.push_back((*other, Cause::Unit(unit, Because::WantedBy))),
                    LinkKind::WantedBy
                    | LinkKind::Conflicts
                    | LinkKind::PartOf
                    | LinkKind::After
                    | LinkKind::Before
                    | LinkKind::OnFailure
                    | LinkKind::OnSuccess => {}
                }
            }
            let wanted = slot.incoming.iter().filter(|(_, kind)| *kind == LinkKind::WantedBy);
            queue.extend(wanted.map(|(other, _)| (*other, Cause::Unit(unit, Because::WantedBy))));
            for other in stops {
                self.unwant(other, &Cause::Unit(unit, Because::ConflictsWith), false);
            }
        }
    }

    /// Notes a wish. False: it goes no further from here, since it is there already or cannot be.
    fn wish(&mut self, unit: UnitId, by: &Cause) -> bool {
        let Some(slot) = self.slot_mut(unit) else { return false };
        if slot.unit.is_none() || slot.is_masked() {
            return false;
        }
        let asked = matches!(by, Cause::Operator { .. }) || by.is_trigger();
        let had = slot.wish.is_some();
        if !had {
            slot.wish = Some(by.clone());
        }
        match slot.state {
            State::Inactive | State::Failed | State::Skipped => self.set_state(unit, State::Waiting, None),
            State::Armed if asked => self.set_state(unit, State::Waiting, None),
            // Whoever asks does not want to wait for a back-off.
            State::Backoff { .. } if asked => self.set_state(unit, State::Waiting, None),
            // It is going down by itself: as with a stop, it comes up again after that.
            State::Stopping { .. } | State::Releasing { .. } if asked => self.mark_requested(unit),
            State::Running { .. } if slot.stop.is_none() => {
                self.answer_jobs(unit, |verb| matches!(verb, Verb::Start), &Outcome::Done);
            }
            _ => {}
        }
        self.touch(unit);
        // What it needs may have gone since: an explicit start brings it back.
        !had || asked
    }

    /// The unit, and all that cannot be without it, should go down. With `back`, it is to come up again.
    pub(super) fn unwant(&mut self, unit: UnitId, by: &Cause, back: bool) {
        let mut queue = VecDeque::from([(unit, by.clone(), back)]);
        while let Some((unit, by, back)) = queue.pop_front() {
            let Some(slot) = self.slot_mut(unit) else { continue };
            slot.arms.demand = None;
            if !back {
                slot.wish = None;
            }
            let was_up = slot.is_active() || !slot.is_at_rest();
            if slot.stop.is_none() && was_up {
                slot.stop = Some(by);
                slot.waiting_on = None;
                slot.scan = 0;
                for (other, kind) in slot.incoming.clone() {
                    match kind {
                        // Taken down with it, but still wanted: it comes back with it.
                        LinkKind::Requires(_) | LinkKind::BindsTo if self.is_up(other) => {
                            queue.push_back((other, Cause::Unit(unit, Because::StoppedWith), true));
                        }
                        LinkKind::PartOf if self.is_up(other) => {
                            queue.push_back((other, Cause::Unit(unit, Because::PartOf), back));
                        }
                        _ => {}
                    }
                }
            }
            self.touch(unit);
        }
    }

    pub(super) fn is_up(&self, unit: UnitId) -> bool {
        self.slot(unit).is_some_and(Slot::is_active)
    }

    pub(super) fn on_shutdown(&mut self, by: Cause) {
        if self.shutdown.is_some() {
            return;
        }
        self.shutdown = Some(by.clone());
        let all: Vec<UnitId> = self.all_slots().map(|slot| slot.id).collect();
        for unit in all {
            self.unwant(unit, &by, false);
        }
    }

    /// Something has changed for this unit: it is looked at before the event is over, and so before the next record.
    pub(super) fn touch(&mut self, unit: UnitId) {
        if let Some(slot) = self.slot_unrecorded(unit)
            && !slot.unsettled
        {
            slot.unsettled = true;
            self.unsettled.push_back(unit);
        }
    }

    /// Looks at every unit that something has changed for, until nothing moves.
    pub(super) fn settle(&mut self) {
        while let Some(unit) = self.unsettled.pop_front() {
            if let Some(slot) = self.slot_unrecorded(unit) {
                slot.unsettled = false;
            }
            self.settle_unit(unit);
        }
    }

    fn settle_unit(&mut self, unit: UnitId) {
        let Some(slot) = self.slot(unit) else { return };
        if slot.stop.is_some() {
            match slot.state {
                State::Checking | State::Starting { .. } | State::Running { .. } => return self.try_stop(unit),
                State::Stopping { .. } | State::Stuck { .. } | State::Releasing { .. } => {
                    return self.mark_requested(unit);
                }
                State::Inactive
                | State::Failed
                | State::Skipped
                | State::Waiting
                | State::Blocked
                | State::Arming { .. }
                | State::Armed
                | State::Backoff { .. } => match slot.follows {
                    true => return self.leave_backoff(unit),
                    false => self.end_stop_of_idle(unit),
                },
            }
        }
        let Some(slot) = self.slot(unit) else { return };
        if matches!(slot.state, State::Waiting | State::Blocked) {
            if slot.wish.is_none() || slot.is_masked() {
                let why = if slot.is_masked() { "masked" } else { "no longer wanted" };
                if let Some(slot) = self.slot_mut(unit) {
                    slot.wish = None;
                }
                if self.slot(unit).is_some_and(|slot| slot.follows) {
                    return self.release_between(unit, false);
                }
                self.set_state(unit, State::Inactive, None);
                self.disarm(unit);
                self.answer_jobs(unit, |verb| verb != Verb::Reload, &Outcome::Superseded(why.into()));
                return;
            }
            self.try_start(unit);
        }
    }

    /// A stop of what does not run: there is nothing to do but to say so, to those who wanted it up too.
    fn end_stop_of_idle(&mut self, unit: UnitId) {
        let Some(slot) = self.slot_mut(unit) else { return };
        slot.stop = None;
        let rests = slot.is_at_rest();
        let wished = slot.wish.is_some();
        if !rests || wished {
            self.set_state(unit, if wished { State::Waiting } else { State::Inactive }, None);
        }
        self.answer_jobs(unit, |verb| verb == Verb::Stop, &Outcome::Done);
        if !wished {
            self.disarm(unit);
            self.answer_jobs(unit, |_| true, &Outcome::Superseded("it was stopped".into()));
        }
    }

    /// Begins the stop, unless somebody who was started after this one is still to go down.
    fn try_stop(&mut self, unit: UnitId) {
        let Some(slot) = self.slot(unit) else { return };
        if slot.cycle.is_none() {
            let next = (0..slot.feeds.len())
                .map(|step| (slot.scan + step) % slot.feeds.len())
                .find(|at| {
                    slot.feeds
                        .get(*at)
                        .is_some_and(|other| self.slot(*other).is_some_and(Slot::is_going_down))
                });
            if let Some(at) = next {
                let other = slot.feeds.get(at).copied();
                if let Some(slot) = self.slot_mut(unit) {
                    slot.scan = at;
                    slot.waiting_on = other;
                }
                return;
            }
        }
        self.begin_stop(unit);
    }

    /// Starts the unit if nothing stands in its way.
    fn try_start(&mut self, unit: UnitId) {
        if self.shutdown.is_some() || self.holds_back(unit) {
            return;
        }
        match self.obstacle(unit) {
            None => self.begin_run(unit),
            Some((at, Obstacle::Wait(other))) => {
                if let Some(slot) = self.slot_mut(unit) {
                    slot.scan = at;
                    slot.waiting_on = Some(other);
                    if slot.state != State::Waiting {
                        self.set_state(unit, State::Waiting, None);
                    }
                }
            }
            // It does not come soon.
            Some((_, Obstacle::Block(..))) if self.slot(unit).is_some_and(|slot| slot.follows) => {
                self.release_between(unit, false);
            }
            Some((at, Obstacle::Block(other, why))) => {
                let Some(slot) = self.slot_mut(unit) else { return };
                slot.scan = at;
                slot.waiting_on = other;
                let news = slot.state != State::Blocked || slot.reason.as_deref() != Some(&*why);
                if news {
                    self.set_state(unit, State::Blocked, Some(why.clone()));
                    if let Some(slot) = self.slot_mut(unit) {
                        slot.waiting_on = other;
                    }
                    self.report(unit, Change::Blocked { by: why.clone() });
                }
                let failed = Outcome::Failed(format!("blocked: {why}").into());
                self.answer_jobs(unit, |verb| matches!(verb, Verb::Start | Verb::Restart), &failed);
            }
        }
    }
}
