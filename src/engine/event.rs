//! Everything that the engine hears.

use std::rc::Rc;
use std::time::Duration;

use super::changes::Images;
use super::{JobId, RunId, UnitId};
use crate::unit::{Command, Service, Signal, Unit};

/// The time of an event. Deadlines are on the first, what people read is on the second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// Since some fixed start; never goes back.
    pub mono: Mono,
    /// May jump.
    pub wall: Wall,
}

/// Monotonic time: since boot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mono(pub Duration);

impl Mono {
    /// A deadline this far from now; None: none.
    pub fn after(self, limit: Option<Duration>) -> Option<Self> {
        limit.and_then(|limit| self.0.checked_add(limit)).map(Self)
    }
}

/// Microseconds since 1970-01-01 UTC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Wall(pub i64);

/// What has happened.
#[derive(Clone, Debug)]
pub enum Event {
    /// The units are now these: all of them. The engine works out what is new, changed and gone, and acts on it.
    Units {
        /// Every good unit.
        units: Vec<Rc<Unit>>,
        /// What differs besides, which no file shows.
        images: Images,
        /// Who brought them.
        by: Cause,
        /// Answered when all that changes is under way (starts and stops settled, not waited for).
        job: Option<JobId>,
    },
    /// This unit has other values now, none of which needs another run; all else stays.
    Changed {
        /// Which, as it is now.
        unit: Rc<Unit>,
        /// Who says so.
        by: Cause,
    },
    /// Somebody wants something of a unit.
    Ask {
        /// Answered exactly once by [`super::Action::Answer`]. None: nobody waits.
        job: Option<JobId>,
        /// Which unit.
        unit: UnitId,
        /// What.
        verb: Verb,
        /// Who.
        by: Cause,
    },
    /// Stop every unit, in reverse order. Nothing starts any more.
    Shutdown {
        /// Who.
        by: Cause,
    },
    /// The answer to [`super::Action::CheckConditions`].
    Conditions {
        /// Whose.
        run: RunId,
        /// The first that does not hold; None: all hold.
        unmet: Option<Unmet>,
    },
    /// A command's program has executed.
    Spawned {
        /// Whose.
        run: RunId,
        /// Which command.
        role: Role,
    },
    /// A command could not be executed.
    SpawnFailed {
        /// Whose.
        run: RunId,
        /// Which command.
        role: Role,
        /// Why.
        failure: SpawnFailure,
    },
    /// A command's process has ended.
    Exited {
        /// Whose.
        run: RunId,
        /// Which command.
        role: Role,
        /// How.
        status: ExitStatus,
    },
    /// It has said something of itself.
    Told {
        /// Whose.
        run: RunId,
        /// What.
        notification: Notification,
    },
    /// The answer to [`super::Action::FindMain`].
    MainFound {
        /// Whose.
        run: RunId,
        /// Who.
        found: Found,
    },
    /// The kernel has killed a process of the unit for memory, the main one or another.
    OomKilled {
        /// Whose.
        run: RunId,
        /// What the memory controller says.
        oom: Oom,
    },
    /// The answer to [`super::Action::AwaitEmpty`]: nobody is left in the unit's cgroup.
    Emptied {
        /// Whose.
        run: RunId,
    },
    /// The answer to [`super::Action::Release`]: the cgroup is gone and nothing of the run is left.
    Released {
        /// Whose.
        run: RunId,
    },
    /// The answer to [`super::Action::Arm`].
    Armed {
        /// Which unit.
        unit: UnitId,
        /// Why its triggers could not be set.
        failure: Option<SpawnFailure>,
    },
    /// A trigger has come of a unit that waits for one; to others it says nothing.
    Triggered {
        /// Which unit.
        unit: UnitId,
        /// What came.
        by: Cause,
    },
    /// Processes were found in the cgroup of a unit that is down, as far as is known: svcd was killed before it could
    /// save that it had started them, or what it had saved is lost.
    Found {
        /// As which they go on: [`super::Engine::next_run`].
        run: RunId,
        /// They are the unit, with a main process among them, and it goes on. Otherwise they are ended, and the unit
        /// goes on from there as it was.
        alive: bool,
    },
    /// Somebody has sent processes of a unit a signal.
    Signalled {
        /// Whose.
        unit: UnitId,
        /// Which.
        signal: Signal,
        /// Who.
        by: Cause,
    },
    /// [`super::Engine::next_deadline`] is due.
    Tick {
        /// All that happened up to then was told: what is late by then did not come, and is not only unheard yet.
        heard: Mono,
    },
}

/// What an operator, or another unit, asks of a unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// Bring it up; answered once it is ready.
    Start,
    /// Take it down; answered once it is gone.
    Stop,
    /// Down and up again; answered once it is ready. Starts one that is down.
    Restart,
    /// Its reload commands or signal; answered once they have ended.
    Reload,
    /// Forget a failure, and start over with the restart budget and the delay.
    Reset,
}

/// Which of a unit's commands. The number is its place in the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs)]
pub enum Role {
    Condition(u16),
    Pre(u16),
    Main(u16),
    Post(u16),
    Reload(u16),
    Stop(u16),
    StopPost(u16),
    /// Of `[health]`.
    Probe,
}

impl Role {
    /// The command itself. None: it has none of its own.
    pub fn command(self, service: &Service) -> Option<&Command> {
        let (commands, nth) = match self {
            Self::Condition(nth) => (&service.exec_condition, nth),
            Self::Pre(nth) => (&service.exec_start_pre, nth),
            Self::Main(nth) => (&service.exec_start, nth),
            Self::Post(nth) => (&service.exec_start_post, nth),
            Self::Reload(nth) => (&service.exec_reload, nth),
            Self::Stop(nth) => (&service.exec_stop, nth),
            Self::StopPost(nth) => (&service.exec_stop_post, nth),
            Self::Probe => (&service.health.exec, 0),
        };
        commands.get(usize::from(nth))
    }
}

/// What a service says of itself in one message; sd_notify(3).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Notification {
    /// `READY=1`.
    pub ready: bool,
    /// `RELOADING=1`.
    pub reloading: bool,
    /// `STATUS=`: one line for people.
    pub status: Option<Box<str>>,
    /// `WATCHDOG=1`, or `WATCHDOG=trigger`.
    pub watchdog: Option<Watchdog>,
    /// `WATCHDOG_USEC=`; zero: no more.
    pub watchdog_limit: Option<Duration>,
    /// `EXTEND_TIMEOUT_USEC=`: it takes that much longer from now on.
    pub extend: Option<Duration>,
}

/// What a service says to its watchdog.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Watchdog {
    /// It is alive.
    Alive,
    /// It wants to be taken for dead.
    Trigger,
}

/// Who is the main process of a forking service, now that its first one has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// One that is watched.
    Process,
    /// Several, of which none is known to be the main one.
    Several,
    /// Nobody, or nobody of the unit: why, for people.
    Nobody(Box<str>),
}

/// A condition or assertion that does not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unmet {
    /// True for an assertion: the unit fails; a condition only skips it.
    pub assertion: bool,
    /// `path-exists /dev/ttyS0`.
    pub text: Box<str>,
}

/// How a process ended; wait(2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExitStatus {
    /// By exit or by signal.
    pub end: End,
    /// The kernel killed it, or one of its unit, for memory.
    pub oom: Option<Oom>,
    /// The unit's process that sent the fatal signal is known only for our own: then it is this.
    pub core: bool,
}

/// The two ways a process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// exit(2) with this code.
    Code(u8),
    /// Ended by this signal.
    Signal(Signal),
}

/// What the memory controller said of an OOM kill. Bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Oom {
    /// The limit that was hit; None: not the unit's own.
    pub limit: Option<u64>,
    /// The most that the unit used.
    pub peak: Option<u64>,
}

/// Why a command could not be executed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpawnFailure {
    /// The step that failed, with its object: `mount /data`, `cgroup memory-max`, `clone`.
    pub step: Box<str>,
    /// As errno(3); 0 where no system call failed.
    pub errno: i32,
    /// More for people, such as a hint; may be empty.
    pub detail: Box<str>,
    /// What kind, which decides what follows.
    pub kind: SpawnFailureKind,
}

/// What follows from a spawn that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpawnFailureKind {
    /// The machine is short of something (EAGAIN, ENOMEM, EMFILE): try again after the back-off, at no cost to the budget.
    Transient,
    /// The step failed: counts as a failed start.
    Step,
    /// A key that cannot be enforced here: refused for good, exit status 78. Never retried.
    Unenforceable,
}

/// Who or what caused something: for `svc why` and `svc history`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cause {
    /// svcd came up.
    Boot,
    /// A client.
    Operator {
        /// Its user.
        uid: u32,
        /// Its process.
        pid: u32,
        /// The name of its program, as the kernel gives it.
        program: Box<str>,
    },
    /// The unit files changed.
    Files,
    /// A signal to svcd, by name.
    Signal(Box<str>),
    /// Another unit: it requires, wants, binds, conflicts, failed.
    Unit(UnitId, Because),
    /// The unit itself: its restart policy.
    Policy,
    /// A set of units that gave way to an earlier one, and why: one line for people.
    Deploy(Box<str>),
    /// A time of the unit's: `on-calendar *-*-* 03:00:00`.
    Timer(Box<str>),
    /// A path of the machine's: `exists /run/go`.
    Path(Box<str>),
    /// A connection, or what came without one: `listen-stream 80`.
    Connection(Box<str>),
}

impl Cause {
    /// Something that the unit waited for.
    pub fn is_trigger(&self) -> bool {
        match self {
            Self::Timer(_) | Self::Path(_) | Self::Connection(_) => true,
            Self::Boot
            | Self::Operator { .. }
            | Self::Files
            | Self::Signal(_)
            | Self::Unit(..)
            | Self::Policy
            | Self::Deploy(_) => false,
        }
    }
}

/// Why one unit moved another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Because {
    RequiredBy,
    WantedBy,
    BoundTo,
    PartOf,
    ConflictsWith,
    OnFailureOf,
    OnSuccessOf,
    StoppedWith,
    BackWith,
    BadHealthOf,
}
