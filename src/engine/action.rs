//! Everything that the engine says.

use std::time::Duration;

use super::event::{Cause, Role};
use super::{JobId, RunId, UnitId};
use crate::unit::Signal;

/// What to do. Each is carried out before the next event; a deed that fails comes back as an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Look the unit's conditions and assertions up; answer with [`super::Event::Conditions`]. Not asked where it has none.
    CheckConditions {
        /// Whose.
        run: RunId,
    },
    /// Execute a command in the unit's sandbox and cgroup, which are made if this run has none yet. Answered by
    /// [`super::Event::Spawned`] or [`super::Event::SpawnFailed`]; after `Spawned`, [`super::Event::Exited`] follows.
    Spawn {
        /// Whose.
        run: RunId,
        /// Which command.
        role: Role,
    },
    /// Find the main process that the first one of a forking service has left behind. Answered by
    /// [`super::Event::MainFound`], as soon as there is one.
    FindMain {
        /// Whose.
        run: RunId,
    },
    /// Send a signal. Nobody there is no error.
    Kill {
        /// Whose.
        run: RunId,
        /// To whom.
        scope: Scope,
        /// Which.
        signal: Signal,
    },
    /// Tell by [`super::Event::Emptied`] once no process of the unit is left (its reaper does not count), at once if so already.
    AwaitEmpty {
        /// Whose.
        run: RunId,
    },
    /// The run is over: end its reaper, remove its cgroup and what else it had. Answered by [`super::Event::Released`].
    /// With `keep`, the cgroup and its limits stay for the next run, which comes soon.
    Release {
        /// Whose.
        run: RunId,
        /// A next run follows by itself.
        keep: bool,
        /// A next run follows, by itself or since somebody asked for a restart.
        again: bool,
    },
    /// Set the unit's triggers as its definition in force has them: those that are set as they are to be stay, others
    /// go. Answered by [`super::Event::Armed`].
    Arm {
        /// Which.
        unit: UnitId,
    },
    /// The unit's triggers are no more, set or about to be.
    Disarm {
        /// Which.
        unit: UnitId,
    },
    /// Tell by [`super::Event::Triggered`] what comes of the unit's triggers from now on, or do not.
    Watch {
        /// Which.
        unit: UnitId,
        /// Do.
        on: bool,
    },
    /// Live keys of a running unit have changed (log caps): take them over.
    Update {
        /// Which.
        unit: UnitId,
    },
    /// Answer a job.
    Answer {
        /// Which.
        job: JobId,
        /// What came of it.
        outcome: Outcome,
    },
    /// Something happened to a unit that people and subscribers want to see.
    Report {
        /// Which.
        unit: UnitId,
        /// What.
        what: Change,
    },
    /// The machine is to start again, since this unit is not well.
    Reboot {
        /// Which.
        unit: UnitId,
    },
    /// Every unit is down: the end of a [`super::Event::Shutdown`].
    AllStopped,
}

/// The scope of a kill.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// The main process alone.
    Main,
    /// The command that is running now besides the main process (pre, post, reload, stop …).
    Command(Role),
    /// Everyone in the unit's cgroup but its reaper. With SIGKILL: everyone, at once, forks included.
    All,
}

/// What came of a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// As asked.
    Done,
    /// It ended otherwise: the unit's result says how; the text is one line for people.
    Failed(Box<str>),
    /// It cannot be: masked, refused, a cycle, a dependency that is missing; one line for people, and the hint.
    Refused(Box<str>),
    /// A key of the unit cannot be enforced here; one line for people. Exit status 78.
    Unenforceable(Box<str>),
    /// Another wish took its place (a stop during a start).
    Superseded(Box<str>),
}

/// A move of a unit, for logs, subscribers and history.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Change {
    Starting {
        by: Cause,
    },
    Ready,
    Stopping {
        by: Cause,
    },
    /// The end of a run, with its result in the words of the contract: `exit-code 1`, `oom (limit 64M, peak 64M)`.
    Ended {
        result: Box<str>,
        failed: bool,
    },
    Backoff {
        delay: Duration,
        nth: u32,
    },
    GaveUp {
        starts: u32,
    },
    Blocked {
        by: Box<str>,
    },
    Skipped {
        condition: Box<str>,
    },
    Reloaded,
    /// Somebody has sent it a signal.
    Signalled {
        signal: Signal,
        by: Cause,
    },
    /// Live keys were taken over: `[resources] memory-max = "64M"`.
    Updated {
        what: Box<str>,
        by: Cause,
    },
    /// It runs already: it was found running when svcd came up.
    Adopted,
    /// Not even the last signal has ended all of it.
    Stuck,
    Refused {
        why: Box<str>,
    },
    /// Its probes say that it is well.
    Healthy,
    /// So many in a row say that it is not.
    Unhealthy {
        failures: u32,
    },
}
