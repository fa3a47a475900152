//! Limits that change while units run. The cgroup takes most of them at once; on v1 processes may have to be moved first,
//! which a child of ours does, since the kernel waits 8 to 13 ms for each.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{Mode, OFlags};
use rustix::pipe::{PipeFlags, pipe_with};

use super::Supervisor;
use super::poll::{Source, Token};
use crate::cgroup::Joining;
use crate::engine::action::Outcome;
use crate::engine::{JobId, UnitId};
use crate::sys::child;
use crate::sys::clone::{Cloned, clone3};
use crate::unit::{Kind, Unenforceable, Unit};

/// Children that move processes, by number.
#[derive(Debug, Default)]
pub struct Movers {
    last: u64,
    all: BTreeMap<u64, Mover>,
}

impl Movers {
    /// None is at work.
    pub fn are_done(&self) -> bool {
        self.all.is_empty()
    }
}

/// One of them.
#[derive(Debug)]
struct Mover {
    unit: UnitId,
    /// It writes an errno, or 0, and ends.
    answer: OwnedFd,
    token: Token,
    /// Who waits for it.
    job: Option<JobId>,
}

impl Supervisor {
    /// Carries the limits' part of [`crate::engine::Action::Update`] out.
    pub(super) fn update_limits(&mut self, id: UnitId) {
        let Some(unit) = self.engine.unit(id).cloned() else {
            return;
        };
        match self.apply_limits(id, &unit) {
            Ok(joinings) => self.move_all(joinings, None),
            Err(why) => tracing::warn!(
                "{}: {}: {}; what it had stays until its next start",
                unit.name,
                why.key,
                why.cause
            ),
        }
    }

    /// Sets the limits of a unit, or of a slice for those that sit in it, where they run. What has to be moved before all of
    /// them hold is left to [`Supervisor::move_all`].
    pub(super) fn apply_limits(&mut self, id: UnitId, unit: &Unit) -> Result<Vec<(UnitId, Joining)>, Unenforceable> {
        let mut joinings = Vec::new();
        match &unit.kind {
            Kind::Service(service) => {
                let group = self.lives.get_mut(&id).and_then(|life| life.group.as_mut());
                let joining = group
                    .map(|group| group.apply(&self.tree, &service.resources))
                    .transpose()?;
                joinings.extend(joining.flatten().map(|joining| (id, joining)));
            }
            Kind::Slice(resources) => {
                for (id, group) in self.lives.groups_mut() {
                    let joining = group.apply_slice(&self.tree, &unit.name, resources)?;
                    joinings.extend(joining.map(|joining| (*id, joining)));
                }
            }
            Kind::Masked | Kind::Target | Kind::Mount(_) => {}
        }
        Ok(joinings)
    }

    /// Moves processes; the job is answered when all of them are where they should be, at once where there are none.
    pub(super) fn move_all(&mut self, joinings: Vec<(UnitId, Joining)>, job: Option<JobId>) {
        let mut waits = false;
        for (unit, joining) in joinings {
            self.watch_oom(unit);
            match start(&joining).and_then(|answer| self.watch_mover(unit, answer, job.filter(|_| !waits))) {
                Ok(()) => waits = true,
                Err(error) => self.move_failed(unit, &error),
            }
        }
        if let Some(job) = job.filter(|_| !waits) {
            self.finish_job(job, Outcome::Done);
        }
    }

    fn watch_mover(&mut self, unit: UnitId, answer: OwnedFd, job: Option<JobId>) -> io::Result<()> {
        self.requests.movers.last += 1;
        let token = self.poll.add(&answer, Source::Moved(self.requests.movers.last))?;
        let mover = Mover {
            unit,
            answer,
            token,
            job,
        };
        self.requests.movers.all.insert(self.requests.movers.last, mover);
        Ok(())
    }

    /// A child has moved what it was to move, or could not, or was killed.
    pub(super) fn on_moved(&mut self, number: u64) {
        let Some(mover) = self.requests.movers.all.remove(&number) else {
            return;
        };
        self.poll.remove(&mover.answer, mover.token);
        let mut bytes = [0_u8; 4];
        let outcome = match rustix::io::read(&mover.answer, &mut bytes) {
            Ok(4) => match i32::from_ne_bytes(bytes) {
                0 => Ok(()),
                errno => Err(io::Error::from_raw_os_error(errno)),
            },
            Ok(_) => Err(io::Error::other("whoever moved them was killed")),
            Err(error) => Err(error.into()),
        };
        if let Err(error) = &outcome {
            self.move_failed(mover.unit, error);
        }
        if let Some(job) = mover.job {
            let outcome = outcome.map_err(|error| format!("processes that run could not be moved: {error}"));
            self.finish_job(
                job,
                outcome.map_or_else(|why| Outcome::Failed(why.into()), |()| Outcome::Done),
            );
        }
    }

    fn move_failed(&self, unit: UnitId, error: &io::Error) {
        let name = self
            .engine
            .unit(unit)
            .map(|unit| unit.name.as_str())
            .unwrap_or_default();
        tracing::warn!("{name}: new limits hold for new processes only: those that run could not be moved: {error}");
    }
}

/// Clones the child. Its answer comes through a pipe; its end is reaped with the orphans.
fn start(joining: &Joining) -> io::Result<OwnedFd> {
    let (answer, writer) = pipe_with(PipeFlags::CLOEXEC)?;
    let null = rustix::fs::open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())?;
    match clone3(0, None)? {
        Cloned::Parent { .. } => Ok(answer),
        Cloned::Child => {
            let mut kept = joining.descriptors();
            kept.push(writer.as_fd());
            child::close_all_but(&kept, null.as_fd());
            let errno = joining
                .run()
                .map_or_else(|error| error.raw_os_error().unwrap_or(libc::EIO), |()| 0);
            // With nobody to read it, there is nobody to tell.
            let _ = rustix::io::write(&writer, &errno.to_ne_bytes());
            child::exit(0)
        }
    }
}
