//! A pipe for each unit's output, kept over its restarts, and the log process that drains them all.
//!
//! svcd keeps both ends, so nothing is lost when a service or the log process ends, and never reads a byte itself.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::pipe::{PipeFlags, pipe_with};

use super::kept::{Descriptor, KeptPipe};
use crate::log::{Logger, Message, Spool};
use crate::unit::{Log, UnitName};

/// All pipes, and who drains them.
#[derive(Debug)]
pub struct Outputs {
    logger: Logger,
    pipes: BTreeMap<UnitName, Pipe>,
    /// Units whose pipes have come or gone since they were last saved.
    changed: BTreeSet<UnitName>,
    last_token: u64,
}

#[derive(Debug)]
struct Pipe {
    read: OwnedFd,
    write: OwnedFd,
    policy: Log,
}

impl Outputs {
    /// Starts the log process; with the spool of one that has ended, it first brings to its end what that one had
    /// begun.
    ///
    /// # Errors
    /// Where it cannot be cloned, or the directory cannot be made.
    pub fn start(dir: &Path, budget: u64, turnstile: &Path, spool: Option<Spool>) -> io::Result<Self> {
        let logger = Logger::start(dir, budget, turnstile, spool)?;
        Ok(Self {
            logger,
            pipes: BTreeMap::new(),
            changed: BTreeSet::new(),
            last_token: 0,
        })
    }

    /// Makes a unit's pipe, if it has none.
    ///
    /// # Errors
    /// As pipe2(2).
    pub fn ensure(&mut self, unit: &UnitName, policy: &Log) -> io::Result<()> {
        if self.pipes.contains_key(unit) {
            self.update(unit, policy);
            return Ok(());
        }
        let (read, write) = pipe_with(PipeFlags::CLOEXEC)?;
        self.insert(unit, (read, write), policy)
    }

    /// Goes on with the pipe that a unit has had before.
    ///
    /// # Errors
    /// As [`Outputs::ensure`].
    pub fn insert(&mut self, unit: &UnitName, (read, write): (OwnedFd, OwnedFd), policy: &Log) -> io::Result<()> {
        self.logger.attach(unit.as_str(), read.as_fd(), policy)?;
        let policy = policy.clone();
        self.pipes.insert(unit.clone(), Pipe { read, write, policy });
        self.changed.insert(unit.clone());
        Ok(())
    }

    /// Takes new caps over.
    pub fn update(&mut self, unit: &UnitName, policy: &Log) {
        if let Some(pipe) = self.pipes.get_mut(unit)
            && pipe.policy != *policy
        {
            pipe.policy = policy.clone();
            self.logger.update(unit.as_str(), policy);
        }
    }

    /// Lets the pipes of units that are gone be drained and closed.
    pub fn retain(&mut self, keep: impl Fn(&UnitName) -> bool) {
        let gone: Vec<UnitName> = self.pipes.keys().filter(|name| !keep(name)).cloned().collect();
        for name in gone {
            self.pipes.remove(&name);
            self.logger.detach(name.as_str());
            self.changed.insert(name);
        }
    }

    /// Closes the pipe of a unit that is gone, and removes what it has written.
    pub fn remove(&mut self, unit: &UnitName) {
        if self.pipes.remove(unit).is_some() {
            self.logger.remove(unit.as_str());
            self.changed.insert(unit.clone());
        }
    }

    /// Where a unit's commands write to.
    pub fn write_end(&self, unit: &UnitName) -> Option<BorrowedFd<'_>> {
        self.pipes.get(unit).map(|pipe| pipe.write.as_fd())
    }

    /// Asks for all that a unit has written by now to be put on disk. The number comes back with
    /// [`Message::Flushed`]; None: the unit has no log.
    pub fn flush(&mut self, unit: &UnitName) -> Option<u64> {
        self.pipes.get(unit)?;
        self.last_token += 1;
        self.logger.flush(unit.as_str(), self.last_token);
        Some(self.last_token)
    }

    /// What the log process answered.
    pub fn receive(&mut self) -> Vec<Message> {
        self.logger.receive()
    }

    /// Starts another log process in place of one that ended. What it had not written is still in the pipes.
    ///
    /// # Errors
    /// As [`Outputs::start`].
    pub fn restart(&mut self) -> io::Result<()> {
        self.logger.restart()?;
        for (unit, pipe) in &self.pipes {
            self.logger.attach(unit.as_str(), pipe.read.as_fd(), &pipe.policy)?;
        }
        Ok(())
    }

    /// Whether [`Outputs::keep`] has anything.
    pub fn has_changed(&self) -> bool {
        !self.changed.is_empty()
    }

    /// The pipes that have come or (None) gone since the last call, or with `whole` all that there are.
    pub fn keep(&mut self, whole: bool) -> Vec<(UnitName, Option<KeptPipe>)> {
        let changed = std::mem::take(&mut self.changed);
        let names: Vec<UnitName> = if whole {
            self.pipes.keys().cloned().collect()
        } else {
            changed.into_iter().collect()
        };
        let kept = |name: &UnitName| {
            self.pipes.get(name).map(|pipe| KeptPipe {
                read: Descriptor::of(&pipe.read),
                write: Descriptor::of(&pipe.write),
            })
        };
        names.iter().map(|name| (name.clone(), kept(name))).collect()
    }

    /// What a block passes through on its way to a file.
    pub fn keep_spool(&self) -> Vec<Descriptor> {
        self.logger.spool().into_iter().map(Descriptor::of).collect()
    }

    /// Ends the log process once it has drained everything. The descriptor (a pidfd) is readable when it has.
    pub fn stop(self) -> OwnedFd {
        self.logger.stop()
    }
}

impl AsFd for Outputs {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.logger.fd()
    }
}
