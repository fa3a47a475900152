//! One unit's place in the table: what is wanted of it, and how far it is.
//!
//! A state owns what it needs, its deadline among it; leaving it forgets that.
#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "what means nothing here is dropped, whatever is added to the enum"
)]

use std::rc::Rc;

use super::event::{Cause, End, Mono, Role, Verb, Wall};
use super::health::{Health, HealthWord};
use super::restart::Budget;
use super::said::Said;
use super::timing::Timing;
use super::triggers::Arms;
use super::view::{RunResult, StateWord};
use super::{JobId, RunId, UnitId};
use crate::unit::{Kind, LinkKind, Need, Service, ServiceType, Signal, Unit, UnitName};

/// How far a unit is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// Down, and not wanted up.
    Inactive,
    /// Down: it failed.
    Failed,
    /// Down: a condition did not hold.
    Skipped,
    /// Wanted; others are not so far yet.
    Waiting,
    /// Wanted; something stands in its way that does not go by itself.
    Blocked,
    /// Its conditions are being looked up.
    Checking,
    /// A command on the way up is running.
    Starting {
        role: Role,
        main_alive: bool,
        give_up: Option<Mono>,
    },
    /// Ready.
    Running {
        main_alive: bool,
        since: Mono,
        until: Option<Mono>,
        reload: Option<(u16, Option<Mono>)>,
        /// It has to say by then that it is alive.
        watchdog: Option<Mono>,
        /// What its probes say, where it has some.
        health: Option<Health>,
    },
    /// A command on the way down is running, or processes are awaited.
    Stopping {
        phase: StopPhase,
        ending: Ending,
        main_alive: bool,
        give_up: Option<Mono>,
    },
    /// Processes that not even SIGKILL ended. Until they do, the unit has failed, and nothing can be started.
    Stuck { ending: Ending },
    /// The cgroup is being removed.
    Releasing { ending: Ending },
    /// Down, until the next try.
    Backoff { until: Mono },
    /// Its triggers are being set.
    Arming { give_up: Option<Mono> },
    /// It waits for a trigger.
    Armed,
}

/// Where a stop is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopPhase {
    /// A stop command is running.
    Command(u16),
    /// The first signal is sent.
    Term,
    /// The final signal is sent.
    Kill,
    /// A stop-post command is running.
    Post(u16),
    /// What stop-post commands left behind is killed.
    Clean,
}

/// How a run ends, known from when it begins to end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ending {
    /// The first thing that went wrong, or success.
    pub result: RunResult,
    /// The main process's end, where it has one.
    pub end: Option<End>,
    /// Somebody asked for it: no policy restarts it.
    pub requested: bool,
    /// The machine was short of something: tried again at no cost.
    pub transient: bool,
    /// It can never be started as it is: why.
    pub refused: bool,
    /// A condition did not hold.
    pub skipped: bool,
    /// It was down already, and only what was kept for the next run goes.
    pub in_backoff: bool,
    /// Its budget was spent before anything of it began: its last result stands.
    pub not_begun: bool,
    /// No policy follows: its budget is spent, or it was not allowed to begin.
    pub for_good: bool,
    /// More than the result says, for people.
    pub why: Option<Box<str>>,
    /// It had been ready, at this time.
    pub ready_since: Option<Mono>,
}

/// What one unit waits for in another before it starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// It must be so; while it cannot be, the waiting unit is blocked.
    Needs(Need),
    /// It must have settled, however.
    Order,
}

/// One unit, or one name that units refer to.
#[derive(Debug)]
pub struct Slot {
    pub id: UnitId,
    pub name: UnitName,
    /// The definition in force; None: there is no such unit (any more).
    pub unit: Option<Rc<Unit>>,
    /// The definition of the present or last run.
    pub run_unit: Option<Rc<Unit>>,
    pub state: State,
    pub since: Wall,
    pub reason: Option<Box<str>>,
    /// It should be up: who says so.
    pub wish: Option<Cause>,
    /// It should go down (and come back, if there is a wish too): who says so.
    pub stop: Option<Cause>,
    pub jobs: Vec<(JobId, Verb)>,
    pub nth: u32,
    /// The run before left its cgroup for the next one.
    pub kept: bool,
    /// Its last run was released with the word that another follows: what is there for that has to be released again.
    pub follows: bool,
    pub restarts: u32,
    /// Tries in a row that were not stable.
    pub tries: u32,
    pub budget: Budget,
    pub last: Option<RunResult>,
    pub end: Option<End>,
    /// The last signal that somebody sent it by us: in which run, which, and who.
    pub signalled: Option<(u32, (Signal, Cause))>,
    /// All commands of its present or last run that make it ready have ended well.
    pub done: bool,
    pub said: Said,
    pub arms: Arms,
    /// All edges, as written; and those of others to this one.
    pub outgoing: Vec<(UnitId, LinkKind)>,
    pub incoming: Vec<(UnitId, LinkKind)>,
    /// Who cannot be up beside it, whichever of the two says so: few, and looked at more often than a target's many edges.
    pub conflicts: Vec<UnitId>,
    /// Whom it waits for before it starts, and who waits for it.
    pub waits: Vec<(UnitId, Wait)>,
    pub feeds: Vec<UnitId>,
    /// The cycle that it is in, as text for people.
    pub cycle: Option<Box<str>>,
    /// Whom it waits for now: only when that one moves it is looked at again.
    pub waiting_on: Option<UnitId>,
    /// Where in `waits` (starting) or `feeds` (stopping) the search for the next obstacle goes on.
    pub scan: usize,
    pub unsettled: bool,
    pub timing: Timing,
    /// The last record says it as it is.
    pub recorded: bool,
    /// It is among the engine's `active` ones.
    pub counted: bool,
}

impl Slot {
    pub fn new(id: UnitId, name: UnitName, since: Wall) -> Self {
        Self {
            id,
            name,
            unit: None,
            run_unit: None,
            state: State::Inactive,
            since,
            reason: None,
            wish: None,
            stop: None,
            jobs: Vec::new(),
            nth: 0,
            kept: false,
            follows: false,
            restarts: 0,
            tries: 0,
            budget: Budget::default(),
            last: None,
            end: None,
            signalled: None,
            done: false,
            said: Said::default(),
            arms: Arms::default(),
            outgoing: Vec::new(),
            incoming: Vec::new(),
            conflicts: Vec::new(),
            waits: Vec::new(),
            feeds: Vec::new(),
            cycle: None,
            waiting_on: None,
            scan: 0,
            unsettled: false,
            timing: Timing::default(),
            recorded: false,
            counted: false,
        }
    }

    /// It is defined, or something of it still runs.
    pub fn is_known(&self) -> bool {
        self.unit.is_some() || self.is_active()
    }

    /// No file and no other unit says its name any more, nothing of it is there, and nobody waits for it.
    pub fn is_forgettable(&self) -> bool {
        let is_wanted = self.wish.is_some() || self.stop.is_some() || !self.jobs.is_empty();
        self.unit.is_none() && self.is_at_rest() && !self.kept && !is_wanted && self.incoming.is_empty()
    }

    /// It runs, is on its way up, or is on its way down.
    pub fn runs(&self) -> bool {
        match self.state {
            State::Checking
            | State::Starting { .. }
            | State::Running { .. }
            | State::Stopping { .. }
            | State::Stuck { .. }
            | State::Releasing { .. } => true,
            State::Backoff { .. }
            | State::Waiting
            | State::Blocked
            | State::Inactive
            | State::Failed
            | State::Skipped
            | State::Arming { .. }
            | State::Armed => false,
        }
    }

    /// Down, and nobody wants it otherwise.
    pub fn is_at_rest(&self) -> bool {
        matches!(self.state, State::Inactive | State::Failed | State::Skipped)
    }

    /// Something of it is there: a run, or the cgroup that one left for the next.
    pub fn is_active(&self) -> bool {
        self.runs() || self.kept
    }

    /// It is ready, or on its way up.
    pub fn is_up(&self) -> bool {
        matches!(
            self.state,
            State::Checking | State::Starting { .. } | State::Running { .. }
        )
    }

    /// On its way down, or about to be.
    pub fn is_going_down(&self) -> bool {
        self.stop.is_some() && self.is_active()
            || matches!(self.state, State::Stopping { .. } | State::Releasing { .. })
    }

    /// Nothing about it is going to change by itself soon.
    pub fn has_settled(&self) -> bool {
        match self.state {
            State::Waiting
            | State::Arming { .. }
            | State::Checking
            | State::Starting { .. }
            | State::Stopping { .. }
            | State::Releasing { .. } => false,
            State::Running { .. } => self.stop.is_none(),
            State::Inactive
            | State::Failed
            | State::Skipped
            | State::Blocked
            | State::Stuck { .. }
            | State::Armed
            | State::Backoff { .. } => true,
        }
    }

    pub fn is_ready(&self) -> bool {
        matches!(self.state, State::Running { .. })
    }

    /// What a requirer needs is so. A unit whose file is gone or masked meets nothing, whatever became of it.
    pub fn meets(&self, need: Need) -> bool {
        if self.unit.is_none() || self.is_masked() {
            return false;
        }
        let ended = matches!(self.state, State::Inactive | State::Failed | State::Armed) && self.last.is_some();
        let succeeded = matches!(self.state, State::Inactive | State::Armed) && self.last == Some(RunResult::Success);
        match need {
            Need::Started => match &self.state {
                State::Starting {
                    role: Role::Main(_) | Role::Post(_),
                    main_alive,
                    ..
                } => *main_alive,
                State::Running { .. } | State::Armed => true,
                _ => self.has_done() && succeeded,
            },
            Need::Healthy if self.is_ready() => self.health().is_none_or(|health| health.word == HealthWord::Healthy),
            Need::Ready | Need::Healthy => self.is_ready() || self.is_armed() || self.has_done() && succeeded,
            Need::Exited => ended || self.is_ready() && self.is_done(),
            Need::Succeeded => succeeded || self.is_ready() && self.is_done(),
        }
    }

    /// Ready, with nothing running any more: a oneshot that remains.
    fn is_done(&self) -> bool {
        matches!(self.state, State::Running { main_alive: false, .. }) && self.service().is_some()
    }

    /// A oneshot that has done what it is for. One that was stopped before has not, though that is no failure; and what
    /// one that remains has done is undone once it is down.
    fn has_done(&self) -> bool {
        let service = self.unit.as_deref().and_then(service_of);
        self.done && service.is_some_and(|service| service.r#type == ServiceType::Oneshot && !service.remain_after_exit)
    }

    pub fn is_mount(&self) -> bool {
        let unit = self.run_unit.as_deref();
        unit.is_some_and(|unit| matches!(unit.kind, Kind::Mount(_)))
    }

    /// The service that this run was started as.
    pub fn service(&self) -> Option<&Service> {
        self.run_unit.as_deref().and_then(service_of)
    }

    pub fn is_target(&self) -> bool {
        let unit = self.unit.as_deref();
        unit.is_some_and(|unit| matches!(unit.kind, Kind::Target))
    }

    pub fn is_masked(&self) -> bool {
        let unit = self.unit.as_deref();
        unit.is_some_and(|unit| matches!(unit.kind, Kind::Masked))
    }

    pub fn deadline(&self) -> Option<Mono> {
        match &self.state {
            State::Starting { give_up, .. } | State::Stopping { give_up, .. } | State::Arming { give_up } => *give_up,
            State::Running {
                until,
                reload,
                watchdog,
                health,
                ..
            } => {
                let health = health.as_ref().and_then(|health| health.due);
                let reload = reload.as_ref().and_then(|(_, give_up)| *give_up);
                [*until, reload, *watchdog, health].into_iter().flatten().min()
            }
            State::Backoff { until } => Some(*until),
            _ => None,
        }
    }

    pub fn word(&self) -> StateWord {
        match self.state {
            _ if self.is_masked() && !self.is_active() => StateWord::Masked,
            State::Inactive => StateWord::Inactive,
            State::Failed | State::Stuck { .. } => StateWord::Failed,
            State::Skipped => StateWord::Skipped,
            State::Waiting | State::Armed => StateWord::Waiting,
            State::Blocked => StateWord::Blocked,
            State::Arming { .. } | State::Checking | State::Starting { .. } => StateWord::Starting,
            State::Running { .. } => StateWord::Running,
            State::Stopping { .. } | State::Releasing { .. } => StateWord::Stopping,
            State::Backoff { .. } => StateWord::Backoff,
        }
    }

    pub fn run(&self, unit: UnitId) -> Option<RunId> {
        (self.is_active() && self.service().is_some()).then_some(RunId { unit, nth: self.nth })
    }
}

pub fn service_of(unit: &Unit) -> Option<&Service> {
    match &unit.kind {
        Kind::Service(service) => Some(service),
        Kind::Mount(mount) => Some(&mount.service),
        Kind::Masked | Kind::Target | Kind::Slice(_) => None,
    }
}
