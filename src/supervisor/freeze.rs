//! What a client asks of a unit: the engine's to decide, but for freezing and thawing, which change nothing of what the
//! unit is to be.

use std::time::Duration;

use super::Supervisor;
use super::clock;
use crate::control::Verb as Asked;
use crate::engine::action::Outcome;
use crate::engine::event::{Cause, Event, Mono, Verb};
use crate::engine::{JobId, UnitId};

/// The first pause before a group that is to freeze is looked at again. It doubles, up to the last one.
const FREEZE_PAUSE_FIRST: Duration = Duration::from_millis(1);
const FREEZE_PAUSE_MAX: Duration = Duration::from_millis(128);

/// A unit that is to freeze.
#[derive(Debug)]
pub struct Freezing {
    job: JobId,
    unit: UnitId,
    again: Mono,
    pause: Duration,
}

impl Freezing {
    /// It is looked at at once.
    pub fn new(job: JobId, unit: UnitId) -> Self {
        let (again, pause) = (clock::mono(), FREEZE_PAUSE_FIRST);
        Self {
            job,
            unit,
            again,
            pause,
        }
    }

    /// What [`Freezing::new`] needs.
    pub fn keep(&self) -> (JobId, UnitId) {
        (self.job, self.unit)
    }
}

impl Supervisor {
    /// Passes a wish on. Its job is answered when it has come to an end.
    pub(super) fn ask(&mut self, verb: Asked, unit: UnitId, job: JobId, by: Cause) {
        let verb = match verb {
            Asked::Start => Verb::Start,
            Asked::Stop => Verb::Stop,
            Asked::Restart => Verb::Restart,
            Asked::Reload if self.lives.get(&unit).is_some_and(|life| life.frozen) => {
                let why = "it is frozen, and would not hear of it; svc thaw lets it go on";
                return self.finish_job(job, Outcome::Refused(why.into()));
            }
            Asked::Reload => Verb::Reload,
            Asked::Reset => Verb::Reset,
            Asked::Freeze => return self.freeze(unit, job),
            Asked::Thaw => return self.thaw_for(unit, job),
        };
        let job = Some(job);
        self.queue.push_back(Event::Ask { job, unit, verb, by });
    }

    fn freeze(&mut self, unit: UnitId, job: JobId) {
        let Some(life) = self.lives.get_mut(&unit).filter(|life| !life.commands.is_empty()) else {
            return self.finish_job(job, Outcome::Failed("it does not run".into()));
        };
        let frozen = match &life.group {
            Some(group) => group.freeze(),
            None => Err(std::io::ErrorKind::Unsupported.into()),
        };
        if let Err(error) = frozen {
            return self.finish_job(job, Outcome::Failed(format!("freeze: {error}").into()));
        }
        if !std::mem::replace(&mut life.frozen, true) {
            self.tell_watchers(unit, "frozen", "frozen");
        }
        self.requests.freezing.push(Freezing::new(job, unit));
        self.freeze_due(clock::mono());
    }

    pub(super) fn next_freeze_look(&self) -> Option<Mono> {
        self.requests.freezing.iter().map(|freezing| freezing.again).min()
    }

    /// Looks whether everyone has stopped.
    pub(super) fn freeze_due(&mut self, now: Mono) {
        let (due, mut later): (Vec<Freezing>, _) = std::mem::take(&mut self.requests.freezing)
            .into_iter()
            .partition(|freezing| freezing.again <= now);
        for mut freezing in due {
            let life = self.lives.get(&freezing.unit).filter(|life| life.frozen);
            let outcome = match life.and_then(|life| life.group.as_ref()).map(|group| group.frozen()) {
                Some(Ok(true)) => Outcome::Done,
                Some(Ok(false)) => {
                    freezing.again = Mono(now.0 + freezing.pause);
                    freezing.pause = (freezing.pause * 2).min(FREEZE_PAUSE_MAX);
                    later.push(freezing);
                    continue;
                }
                Some(Err(error)) => Outcome::Failed(format!("freeze: {error}").into()),
                None => Outcome::Failed("it was let go on, or has ended".into()),
            };
            self.finish_job(freezing.job, outcome);
        }
        self.requests.freezing.extend(later);
    }

    fn thaw_for(&mut self, unit: UnitId, job: JobId) {
        let outcome = match self.lives.get(&unit) {
            Some(_) => match self.thaw(unit) {
                Ok(()) => Outcome::Done,
                Err(error) => Outcome::Failed(format!("thaw: {error}").into()),
            },
            None => Outcome::Failed("it does not run".into()),
        };
        self.finish_job(job, outcome);
    }

    /// A frozen unit hears no signal, and a command that is started in it does not begin: the engine's wish goes before.
    pub(super) fn wake(&mut self, unit: UnitId) {
        if let Err(error) = self.thaw(unit) {
            tracing::warn!("thaw: {error}");
        }
    }

    /// Lets a frozen unit go on.
    fn thaw(&mut self, unit: UnitId) -> std::io::Result<()> {
        let Some(life) = self.lives.get_mut(&unit).filter(|life| life.frozen) else {
            return Ok(());
        };
        if let Some(group) = &life.group {
            group.thaw()?;
        }
        life.frozen = false;
        self.tell_watchers(unit, "thawed", "thawed");
        Ok(())
    }
}
