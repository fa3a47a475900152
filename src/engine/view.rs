//! What the engine shows of a unit: plain values, made when asked for.

use std::fmt;

use super::event::{Cause, End, Now, Role, SpawnFailure, Wall};
use super::said::ReloadStage;
use super::slot::{Slot, State, StopPhase};
use super::{Health, RunId};
use crate::unit::Signal;

/// A word of INTERFACE section 4.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs)]
pub enum StateWord {
    Inactive,
    Waiting,
    Starting,
    Running,
    Stopping,
    Failed,
    Backoff,
    Blocked,
    Skipped,
    Masked,
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RunResult {
    /// As it should.
    Success,
    /// The main process, or a command that must not fail, exited with this.
    ExitCode(u8),
    /// Ended by a signal.
    Signal {
        /// Which.
        signal: Signal,
        /// With a core dump.
        core: bool,
        /// Who sent it, as far as that went through us; the kernel does not tell.
        by: Option<Cause>,
    },
    /// Killed for memory. Bytes.
    Oom {
        /// The limit that was hit.
        limit: Option<u64>,
        /// The most that was used.
        peak: Option<u64>,
    },
    /// A phase took too long: `start`, `stop`, `runtime`, `reload`.
    Timeout(&'static str),
    /// It did not say in time that it is alive.
    Watchdog,
    /// Its probes failed.
    Unhealthy,
    /// It ended, or left nobody behind, before it was ready as its type has it.
    Protocol {
        /// One line for people.
        why: Box<str>,
    },
    /// A command could not be executed.
    Spawn {
        /// `mount /data`.
        step: Box<str>,
        /// As errno(3), 0 for none.
        errno: i32,
        /// More for people; may be empty.
        detail: Box<str>,
    },
    /// An assertion did not hold.
    Assert,
    /// Too many starts in too short a time.
    StartLimit,
}

impl RunResult {
    /// The first word: what `--json` gives as `result`.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::ExitCode(_) => "exit-code",
            Self::Signal { .. } => "signal",
            Self::Oom { .. } => "oom",
            Self::Timeout(_) => "timeout",
            Self::Watchdog => "watchdog",
            Self::Unhealthy => "unhealthy",
            Self::Protocol { .. } => "protocol",
            Self::Spawn { .. } => "spawn",
            Self::Assert => "assert",
            Self::StartLimit => "start-limit",
        }
    }
}

impl From<SpawnFailure> for RunResult {
    fn from(failure: SpawnFailure) -> Self {
        Self::Spawn {
            step: failure.step,
            errno: failure.errno,
            detail: failure.detail,
        }
    }
}

impl fmt::Display for RunResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let size = |bytes: &Option<u64>| {
            bytes.map_or_else(|| "unknown".to_owned(), |bytes| crate::unit::Size(bytes).to_string())
        };
        match self {
            Self::ExitCode(code) => write!(f, "exit-code {code}"),
            Self::Signal { signal, core, by } => {
                write!(f, "signal {signal}{}", if *core { " (core)" } else { "" })?;
                if let Some(Cause::Operator { uid, pid, program }) = by {
                    write!(f, " by uid {uid} by {program}, pid {pid}")?;
                }
                Ok(())
            }
            Self::Oom { limit, peak } => write!(f, "oom (limit {}, peak {})", size(limit), size(peak)),
            Self::Timeout(phase) => write!(f, "timeout {phase}"),
            Self::Protocol { why } => write!(f, "protocol: {why}"),
            Self::Spawn { step, errno, detail } => {
                write!(f, "spawn {step}")?;
                if *errno != 0 {
                    write!(f, ": {}", crate::unit::value::errno_name(*errno))?;
                }
                if !detail.is_empty() {
                    write!(f, ": {detail}")?;
                }
                Ok(())
            }
            Self::Success | Self::Watchdog | Self::Unhealthy | Self::Assert | Self::StartLimit => {
                f.write_str(self.word())
            }
        }
    }
}

/// One unit, as clients see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnitView {
    /// Where it stands.
    pub state: StateWord,
    /// Since when.
    pub since: Wall,
    /// Why it stands there: one line for people.
    pub reason: Option<Box<str>>,
    /// How its last run ended.
    pub result: Option<RunResult>,
    /// Of the main process's last end.
    pub exit_code: Option<u8>,
    /// Of the main process's last end.
    pub signal: Option<Signal>,
    /// How often its policy has started it again since somebody asked for it.
    pub restarts: u32,
    /// In backoff.
    pub next_try: Option<Wall>,
    /// In waiting: who is not so far.
    pub waiting_for: Vec<Box<str>>,
    /// In blocked: by what.
    pub blocked_by: Vec<Box<str>>,
    /// What its probes say.
    pub health: Option<Health>,
    /// What it says of itself.
    pub status_text: Box<str>,
    /// The run that is under way.
    pub run: Option<RunId>,
    /// The command that is awaited.
    pub role: Option<Role>,
}

impl UnitView {
    /// Of a spawn that failed: the step, and the error number (0: none).
    pub fn failed_step(&self) -> Option<(&str, i32)> {
        match &self.result {
            Some(RunResult::Spawn { step, errno, .. }) => Some((step, *errno)),
            _ => None,
        }
    }
}

impl Slot {
    pub fn exit_code(&self) -> Option<u8> {
        match self.end {
            Some(End::Code(code)) => Some(code),
            Some(End::Signal(_)) | None => None,
        }
    }

    pub fn exit_signal(&self) -> Option<Signal> {
        match self.end {
            Some(End::Signal(signal)) => Some(signal),
            Some(End::Code(_)) | None => None,
        }
    }

    pub fn next_try(&self, now: Now) -> Option<Wall> {
        let State::Backoff { until } = self.state else {
            return None;
        };
        let left = until.0.saturating_sub(now.mono.0);
        Some(Wall(
            now.wall
                .0
                .saturating_add(i64::try_from(left.as_micros()).unwrap_or(i64::MAX)),
        ))
    }

    pub fn role(&self) -> Option<Role> {
        match &self.state {
            State::Starting { role, .. } if !self.said.forked => Some(*role),
            State::Running {
                reload: Some((nth, _)), ..
            } if self.said.reload == ReloadStage::None => Some(Role::Reload(*nth)),
            State::Running {
                health: Some(health), ..
            } if health.probing => Some(Role::Probe),
            State::Stopping {
                phase: StopPhase::Command(nth),
                ..
            } => Some(Role::Stop(*nth)),
            State::Stopping {
                phase: StopPhase::Post(nth),
                ..
            } => Some(Role::StopPost(*nth)),
            State::Inactive
            | State::Failed
            | State::Skipped
            | State::Waiting
            | State::Blocked
            | State::Armed
            | State::Arming { .. }
            | State::Checking
            | State::Starting { .. }
            | State::Running { .. }
            | State::Stopping { .. }
            | State::Stuck { .. }
            | State::Releasing { .. }
            | State::Backoff { .. } => None,
        }
    }
}
