//! Descriptors that services send to be given back at their next start; sd_notify(3), `FDSTORE=1`.
//!
//! They are kept over the runs of a unit, over an exec of svcd, and over a crash as far as the main process still has them
//! open. They go when the unit comes to rest, and one whose other end is gone goes at once. Closing one may block where
//! its file system hangs, so nothing is taken from a unit that has no store.

use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{FileType, fstat};

use super::Supervisor;
use super::former::Former;
use super::keep::STORED;
use super::kept::Descriptor;
use super::notify::message::Message;
use super::poll::{Poll, Source, Token, Who};
use crate::engine::UnitId;
use crate::engine::event::Role;
use crate::engine::record::saved;
use crate::sys::descriptors::is_one_open_file;
use crate::unit::Kind;

/// The name of one that was sent without; sd_pid_notify_with_fds(3).
const UNNAMED: &str = "stored";

/// What is kept, by unit, in the order that it came.
#[derive(Debug, Default)]
pub struct Stores {
    all: BTreeMap<UnitId, Vec<Stored>>,
    last: u64,
    /// Those of which something is to be saved.
    changed: BTreeSet<UnitId>,
}

#[derive(Debug)]
struct Stored {
    number: u64,
    name: Box<str>,
    fd: OwnedFd,
    /// It goes when its other end is gone.
    watched: bool,
    token: Option<Token>,
}

/// One of them, as it is saved.
#[derive(Clone, Debug)]
pub struct KeptStored {
    name: Box<str>,
    fd: Descriptor,
    watched: bool,
}
saved!(struct KeptStored { name, fd, watched });

impl Stores {
    /// Whether [`Stores::keep`] has anything.
    pub fn has_changed(&self) -> bool {
        !self.changed.is_empty()
    }

    /// What has changed since the last time, or all; None: there is nothing any more.
    pub fn keep(&mut self, whole: bool) -> Vec<(UnitId, Option<Vec<KeptStored>>)> {
        let changed = std::mem::take(&mut self.changed);
        let units = match whole {
            true => self.all.keys().copied().collect(),
            false => changed,
        };
        let kept = |stored: &Stored| KeptStored {
            name: stored.name.clone(),
            fd: Descriptor::of(&stored.fd),
            watched: stored.watched,
        };
        let of = |unit| Some(self.all.get(&unit)?.iter().map(kept).collect());
        units.into_iter().map(|unit| (unit, of(unit))).collect()
    }

    /// How many a unit has.
    pub fn count(&self, unit: UnitId) -> usize {
        self.all.get(&unit).map_or(0, Vec::len)
    }

    fn put(&mut self, unit: UnitId, name: Box<str>, fd: OwnedFd, watched: bool, poll: &mut Poll) {
        self.last += 1;
        let number = self.last;
        // What is no pipe, socket or the like cannot be watched, and has no other end.
        let token = watched.then(|| poll.add_gone(&fd, Source::Stored(unit, number)).ok());
        self.all.entry(unit).or_default().push(Stored {
            number,
            name,
            fd,
            watched,
            token: token.flatten(),
        });
        self.changed.insert(unit);
    }

    /// Lets go of all of a unit's but those.
    fn retain(&mut self, unit: UnitId, poll: &mut Poll, keeps: impl Fn(&Stored) -> bool) {
        let Some(all) = self.all.get_mut(&unit) else { return };
        let (kept, gone): (Vec<Stored>, Vec<Stored>) = std::mem::take(all).into_iter().partition(keeps);
        *all = kept;
        for Stored { fd, token, .. } in gone {
            token.into_iter().for_each(|token| poll.remove(&fd, token));
        }
        if all.is_empty() {
            self.all.remove(&unit);
        }
        self.changed.insert(unit);
    }
}

impl Supervisor {
    /// What came along with a message of a unit's, and what the message says of what is kept.
    pub(super) fn on_descriptors(&mut self, unit: UnitId, message: &Message, came: Vec<OwnedFd>) {
        if let (true, Some(name)) = (message.let_go, &message.name) {
            self.stores.retain(unit, &mut self.poll, |stored| stored.name != *name);
        }
        let Some(life) = self.lives.get(&unit).filter(|_| message.store) else {
            return;
        };
        let Kind::Service(service) = &life.unit.kind else {
            return;
        };
        for fd in came {
            let stored = self.stores.all.get(&unit).map(Vec::as_slice).unwrap_or_default();
            if stored.iter().any(|stored| is_one_open_file(&stored.fd, &fd)) {
                continue;
            }
            if stored.len() >= usize::from(service.file_descriptor_store_max) {
                tracing::warn!(
                    "{}: it has as many descriptors kept as file-descriptor-store-max lets it",
                    life.unit.name
                );
                return;
            }
            let name = message.name.clone().unwrap_or_else(|| UNNAMED.into());
            self.stores.put(unit, name, fd, !message.unwatched, &mut self.poll);
        }
    }

    /// Nobody is at the other end any more.
    pub(super) fn on_stored_gone(&mut self, unit: UnitId, number: u64) {
        self.stores
            .retain(unit, &mut self.poll, |stored| stored.number != number);
    }

    /// No run follows.
    pub(super) fn let_go_of_stored(&mut self, unit: UnitId) {
        self.stores.retain(unit, &mut self.poll, |_| false);
    }

    /// What a unit's main process gets besides its sockets, each with its name.
    pub(super) fn stored_of(&self, unit: UnitId, who: Who) -> Vec<(BorrowedFd<'_>, Box<str>)> {
        let stored = self.stores.all.get(&unit).map(Vec::as_slice).unwrap_or_default();
        let is_main = matches!(who, Who::Command(Role::Main(_)));
        let given = stored.iter().filter(|_| is_main);
        given.map(|stored| (stored.fd.as_fd(), stored.name.clone())).collect()
    }

    /// Those of a former life: handed over, or still open in the main process, where it can be told that they are the same.
    pub(super) fn take_over_stores(&mut self, former: &mut Former) {
        let kept: Vec<(UnitId, Vec<KeptStored>)> = former
            .section::<Vec<KeptStored>>(STORED)
            .filter_map(|(unit, kept)| Some((UnitId(unit.parse().ok()?), kept)))
            .collect();
        for (unit, kept) in kept {
            for its in kept {
                let held = || self.held_by_unit(unit, &its.fd).filter(has_an_inode_of_its_own);
                if let Some(fd) = former.take(&its.fd).or_else(held) {
                    self.stores.put(unit, its.name, fd, its.watched, &mut self.poll);
                }
            }
        }
    }
}

/// Both ends of a pipe have one inode, and all event counters, timers and the like share one.
fn has_an_inode_of_its_own(fd: &OwnedFd) -> bool {
    let kind = fstat(fd).map(|meta| FileType::from_raw_mode(meta.st_mode));
    matches!(kind, Ok(FileType::Socket | FileType::RegularFile))
}
