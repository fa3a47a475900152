//! Probation: for a while a generation has to show that it is good. One under which a unit that was up before keeps
//! failing or stays unhealthy, or under which the machine goes down, gives way to the last good one by itself.

use std::collections::BTreeSet;
use std::time::Duration;

use super::boot_id;
use super::store::{Probation, Verdict};
use crate::engine::action::Change;
use crate::engine::event::{Cause, Event, Mono, Verb};
use crate::engine::{StateWord, UnitId};
use crate::supervisor::Supervisor;
use crate::supervisor::clock;
use crate::supervisor::keep::FILES;
use crate::unit::{Kind, Unit, UnitName};

/// A unit that was up before and ends so often, badly, keeps failing: once may be chance, twice the end of what was there
/// before.
const FAILURES_MAX: u32 = 3;

impl Supervisor {
    /// From now on, with the units that are up; before any is, with those that were when the last good one was judged.
    pub(super) fn new_probation(&self) -> Option<Probation> {
        let length = self.settings.deploy.probation;
        if length.is_zero() {
            return None;
        }
        let mut good = self.units_up();
        if good.is_empty() {
            let state = &self.generations.state;
            good.clone_from(&state.up);
            good.extend(state.probation.iter().flat_map(|probation| probation.good.clone()));
        }
        Some(Probation {
            boot: boot_id().into(),
            until: micros(clock::mono().0 + length),
            paused: false,
            good,
        })
    }

    fn units_up(&self) -> BTreeSet<String> {
        let is_up = |id: &UnitId| self.engine.state(*id) == Some(StateWord::Running);
        let units = self.engine.ids().filter(is_up).filter_map(|id| self.engine.unit(id));
        units
            .filter(|unit| does_something(unit))
            .map(|unit| unit.name.to_string())
            .collect()
    }

    /// When it is over.
    pub(in crate::supervisor) fn probation_deadline(&self) -> Option<Mono> {
        let probation = self.generations.state.probation.as_ref()?;
        self.shutdown
            .is_none()
            .then(|| Mono(Duration::from_micros(probation.until)))
    }

    /// A unit has moved: what that says of the generation in force.
    pub(in crate::supervisor) fn watch_on_probation(&mut self, unit: &UnitName, what: &Change) {
        let Some(probation) = &mut self.generations.state.probation else {
            return;
        };
        if self.shutdown.is_some() || !probation.good.contains(unit.as_str()) {
            return;
        }
        let failures = match what {
            Change::Ended { failed: true, .. } => 1,
            Change::GaveUp { .. } | Change::Refused { .. } | Change::Unhealthy { .. } => FAILURES_MAX,
            Change::Stopping {
                by: Cause::Operator { .. },
            } => {
                // From here on it is as somebody wants it, whatever comes of that.
                probation.good.remove(unit.as_str());
                self.generations.failures.remove(unit);
                return;
            }
            Change::Ended { failed: false, .. }
            | Change::Starting { .. }
            | Change::Ready
            | Change::Healthy
            | Change::Stopping { .. }
            | Change::Backoff { .. }
            | Change::Blocked { .. }
            | Change::Skipped { .. }
            | Change::Reloaded
            | Change::Signalled { .. }
            | Change::Updated { .. }
            | Change::Adopted
            | Change::Stuck => return,
        };
        *self.generations.failures.entry(unit.clone()).or_default() += failures;
        self.keep.touch(FILES);
    }

    /// Looks whether what has happened is enough to give way.
    pub(in crate::supervisor) fn judge_generation(&mut self) {
        if self.generations.failures.is_empty() || self.generations.state.probation.is_none() {
            return;
        }
        let failed = self.generations.failures.iter().find_map(|(name, failures)| {
            let id = self.engine.find(name.as_str())?;
            let is_down = self.engine.state(id) == Some(StateWord::Failed);
            (is_down || *failures >= FAILURES_MAX).then(|| self.told_failure(name, id))
        });
        if let Some(why) = failed {
            self.give_way(why);
        }
    }

    fn told_failure(&self, name: &UnitName, id: UnitId) -> String {
        let result = self.engine.view(id).and_then(|view| view.result);
        let result = result.map(|result| format!(": {result}")).unwrap_or_default();
        format!("{name}, which was up before, keeps failing{result}")
    }

    /// Its time is over: it is good unless a unit that was up before and has failed since is not up again.
    pub(in crate::supervisor) fn end_probation(&mut self) {
        let failed = self.generations.failures.keys().find_map(|name| {
            let id = self.engine.find(name.as_str())?;
            let is_up = self.engine.state(id) == Some(StateWord::Running);
            (!is_up).then(|| self.told_failure(name, id))
        });
        if let Some(why) = failed {
            return self.give_way(why);
        }
        self.generations.failures.clear();
        let up = self.units_up();
        let state = &mut self.generations.state;
        state.up = up;
        state.probation = None;
        state.verdicts.insert(state.number, Verdict::Good);
        self.generations.write_state();
    }

    /// The last good one takes its place; where there is none, it stays as it is.
    fn give_way(&mut self, why: String) {
        let failed = self.generations.state.number;
        let probation = self.generations.state.probation.clone();
        self.fail(&why);
        self.generations.state.to_start_again = probation.map(|probation| probation.good).unwrap_or_default();
        let Some(good) = self.generations.state.last_good_before(failed) else {
            tracing::error!("generation {failed}: {why}; there is none before it that is known to be good");
            return self.generations.write_state();
        };
        tracing::error!("generation {failed}: {why}; generation {good} takes its place");
        let text = format!("generation {failed} failed: {why}");
        let by = Cause::Deploy(text.as_str().into());
        match self.put_in_force(good, text, by.clone(), None) {
            Ok(()) => self.start_again(&by),
            Err(error) => {
                tracing::error!("generation {good}: {error}");
                self.generations.write_state();
            }
        }
    }

    /// Units that have been given up are up again with what they had; all others come back by themselves.
    pub(super) fn start_again(&mut self, by: &Cause) {
        let units = self.generations.state.to_start_again.iter();
        let ids = units.filter_map(|name| self.engine.find(name));
        let given_up: Vec<UnitId> = ids
            .filter(|id| self.engine.state(*id) == Some(StateWord::Failed))
            .collect();
        for unit in given_up {
            for verb in [Verb::Reset, Verb::Start] {
                let (job, by) = (None, by.clone());
                self.queue.push_back(Event::Ask { job, unit, verb, by });
            }
        }
    }

    fn fail(&mut self, why: &str) {
        let state = &mut self.generations.state;
        state.probation = None;
        state.verdicts.insert(state.number, Verdict::Failed(why.to_owned()));
        self.generations.failures.clear();
    }

    /// svcd comes up anew. One that was on probation when the machine went down without notice has failed, where there is
    /// a good one to `fall_back` to; where it ended in order, its time begins anew.
    pub(super) fn judge_after_boot(&mut self, fall_back: bool) {
        let state = &self.generations.state;
        let Some(probation) = state.probation.clone() else {
            return;
        };
        let failed = state.number;
        let died = !probation.paused && probation.boot != *boot_id();
        let good = state.last_good_before(failed);
        if let Some(good) = good.filter(|_| died) {
            let why = "the machine went down before its probation was over";
            self.fail(why);
            if fall_back {
                tracing::error!("generation {failed}: {why}; generation {good} takes its place");
                let state = &mut self.generations.state;
                state.number = good;
                state.instead_of_disk = Some(format!("generation {failed} failed: {why}"));
            }
            if let Ok(generation) = self.generations.store.read(good) {
                self.generations.take_images(&generation);
            }
        } else if probation.paused || died {
            self.generations.state.probation = self.new_probation();
        }
        self.generations.write_state();
    }

    /// The end has begun: what comes of the units from here on says nothing, and the time begins anew after it.
    pub(in crate::supervisor) fn pause_probation(&mut self) {
        if let Some(probation) = &mut self.generations.state.probation {
            probation.paused = true;
            self.generations.write_state();
        }
    }

    /// How often units have failed, for a successor.
    pub(in crate::supervisor) fn keep_failures(&self) -> Vec<(Box<str>, u32)> {
        let failures = self.generations.failures.iter();
        failures.map(|(name, count)| (name.as_str().into(), *count)).collect()
    }

    pub(in crate::supervisor) fn restore_failures(&mut self, failures: &[(Box<str>, u32)]) {
        let known = failures
            .iter()
            .filter_map(|(name, count)| Some((UnitName::new(name).ok()?, *count)));
        self.generations.failures = known.collect();
    }
}

/// A target or a slice is up whatever is wrong.
fn does_something(unit: &Unit) -> bool {
    match unit.kind {
        Kind::Service(_) | Kind::Mount(_) => true,
        Kind::Masked | Kind::Target | Kind::Slice(_) => false,
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}
