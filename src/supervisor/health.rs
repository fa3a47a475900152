//! Probes of a service: a command of its own, or a child of ours that connects from within its network.

use std::collections::VecDeque;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::read;
use rustix::pipe::{PipeFlags, pipe_with};

use super::poll::Who;
use super::spawn::{from_io, step};
use super::{Supervisor, clock};
use crate::control;
use crate::control::view::timestamp;
use crate::engine::event::{End, Role, SpawnFailure};
use crate::engine::{Health, HealthWord, UnitId};
use crate::unit::{Kind, Output};

/// So many of the last probes are shown …
const KEPT_MAX: usize = 5;
/// … each with so much of what it said.
const SAID_BYTES_MAX: usize = 4096;

/// What the probes of a run have said.
#[derive(Debug, Default)]
pub struct Probes {
    /// Both ends of the pipe that the one that runs writes to.
    pipe: Option<(OwnedFd, OwnedFd)>,
    /// Oldest first.
    pub last: VecDeque<Probed>,
}

/// One that has ended.
#[derive(Debug)]
pub struct Probed {
    /// Microseconds since 1970.
    pub at: i64,
    /// How; None: it could not begin.
    pub end: Option<End>,
    /// What it said, or why it could not begin.
    pub said: String,
}

impl Probed {
    fn view(&self) -> control::health::Probe {
        let how = match self.end {
            Some(End::Code(0)) => None,
            Some(End::Code(code)) => Some(format!("exit-code {code}")),
            Some(End::Signal(signal)) => Some(format!("signal {signal}")),
            None => Some("could not begin".to_owned()),
        };
        let said = Some(self.said.clone()).filter(|said| !said.is_empty());
        let both: Vec<String> = how.into_iter().chain(said).collect();
        control::health::Probe {
            at: timestamp(self.at),
            ok: self.end == Some(End::Code(0)),
            output: both.join(": "),
        }
    }
}

impl Probes {
    /// Where the one that runs writes to.
    pub fn output(&self) -> Option<BorrowedFd<'_>> {
        self.pipe.as_ref().map(|(_, write)| write.as_fd())
    }

    /// It has ended. What does not fit into a pipe makes it wait, until it has had its time.
    pub fn ended(&mut self, end: Option<End>, why: &str) {
        let mut said = why.to_owned();
        if let Some((pipe, write)) = self.pipe.take() {
            drop(write);
            let mut bytes = [0; SAID_BYTES_MAX];
            let count = read(&pipe, &mut bytes).unwrap_or(0);
            let text = String::from_utf8_lossy(bytes.get(..count).unwrap_or_default());
            said.push_str(text.trim_end());
        }
        while self.last.len() >= KEPT_MAX {
            self.last.pop_front();
        }
        let at = clock::now().wall.0;
        self.last.push_back(Probed { at, end, said });
    }
}

impl Supervisor {
    /// What clients see of it.
    pub(super) fn health_of(&self, unit: UnitId, health: &Health) -> control::health::Health {
        let state = match health.word {
            HealthWord::Starting => "starting",
            HealthWord::Healthy => "healthy",
            HealthWord::Unhealthy => "unhealthy",
        };
        let life = self.lives.get(&unit);
        let probes = life.into_iter().flat_map(|life| &life.probes.last);
        control::health::Health {
            state: state.to_owned(),
            failures: health.failures.into(),
            probes: probes.map(Probed::view).collect(),
        }
    }

    /// A command has ended, or could not begin: of a probe that is shown.
    pub(super) fn note_probe(&mut self, unit: UnitId, role: Role, end: Option<End>, why: &str) {
        if role == Role::Probe
            && let Some(life) = self.lives.get_mut(&unit)
        {
            life.probes.ended(end, why);
        }
    }

    /// Carries the spawn of a probe out.
    pub(super) fn start_probe(&mut self, unit: UnitId) -> Result<(), SpawnFailure> {
        let (read, write) = pipe_with(PipeFlags::CLOEXEC).map_err(|error| from_io("probe", &error.into()))?;
        // Somebody whom the probe has left behind may still hold the other end.
        rustix::io::ioctl_fionbio(&read, true).map_err(|error| from_io("probe", &error.into()))?;
        let life = self.lives.get_mut(&unit).ok_or_else(|| step("unit", 0))?;
        life.probes.pipe = Some((read, write));
        let Kind::Service(service) = &life.unit.kind else {
            return Err(step("unit", 0));
        };
        let mut service = service.clone();
        service.standard_output = Output::Log;
        service.standard_error = Output::Inherit;
        let command = Role::Probe.command(&service).cloned();
        self.start_process(unit, Who::Command(Role::Probe), command.as_ref(), Some(&service))
    }
}
