//! Watched paths: inotify(7) says "look", and a child looks ([`look`]), so that a file system that does not answer holds
//! up the paths of one unit and nothing else. As systemd.path(5) has it, what happens while the unit runs is no trigger,
//! but for a path that is there, or not, by the end of the run.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;

use rustix::fs::inotify::{self, CreateFlags, ReadFlags};
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};

use crate::engine::UnitId;
use crate::engine::event::{Cause, Event};
use crate::sandbox;
use crate::supervisor::Supervisor;
use crate::supervisor::children::signal;
use crate::supervisor::poll::{Poll, Source, Token};
use crate::unit::{Signal, WatchedPath};

mod look;
#[cfg(test)]
mod tests;
mod watched;

use look::{Found, Seen};
use watched::{One, Watched};

/// The paths of all units that are armed.
#[derive(Debug)]
pub struct Paths {
    inotify: OwnedFd,
    units: BTreeMap<UnitId, Watched>,
    /// Events of watches that a child has just set, and not told of yet.
    early: BTreeSet<i32>,
}

/// A child that looks, and what it has said so far.
#[derive(Debug)]
pub struct Look {
    pidfd: OwnedFd,
    answer: OwnedFd,
    token: Token,
    bytes: Vec<u8>,
}

impl Paths {
    /// # Errors
    /// As inotify_init1(2).
    pub fn new() -> io::Result<Self> {
        Ok(Self {
            inotify: inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?,
            units: BTreeMap::new(),
            early: BTreeSet::new(),
        })
    }

    /// These are the paths of a unit from now on; gives the look that is of no use any more.
    fn set(&mut self, unit: UnitId, paths: &[WatchedPath]) -> Option<Look> {
        let tests = paths.iter().flat_map(WatchedPath::tests);
        let each = tests.map(|(test, path)| One {
            test,
            path: path.to_owned(),
            found: Found::default(),
            existed: None,
            changed: false,
        });
        let each: Vec<One> = each.collect();
        let before = self.units.remove(&unit).unwrap_or_default();
        if each.is_empty() {
            self.forget(before.places.keys());
        } else {
            let watched = Watched {
                each,
                on: before.on,
                places: before.places,
                look: None,
                is_stale: true,
            };
            self.units.insert(unit, watched);
        }
        before.look
    }

    fn is_empty(&self) -> bool {
        self.units.is_empty()
    }

    fn has(&self, unit: UnitId) -> bool {
        self.units.contains_key(&unit)
    }

    /// What comes of a unit's paths from now on is asked for, or is not.
    fn watch(&mut self, unit: UnitId, on: bool) {
        if let Some(watched) = self.units.get_mut(&unit) {
            watched.on = on;
            watched.is_stale |= on;
            watched.each.iter_mut().for_each(|one| one.changed = false);
        }
    }

    /// Takes what the kernel has seen.
    fn on_readable(&mut self) {
        let mut buffer = [MaybeUninit::uninit(); 16384];
        let mut events = inotify::Reader::new(&self.inotify, &mut buffer);
        let (mut numbers, mut all) = (BTreeSet::new(), false);
        while let Ok(event) = events.next() {
            all |= event.events().contains(ReadFlags::QUEUE_OVERFLOW);
            numbers.insert(event.wd());
        }
        for watched in self.units.values_mut() {
            let seen = numbers.iter().filter_map(|number| watched.places.get(number)).flatten();
            let seen: BTreeSet<&PathBuf> = seen.collect();
            watched.is_stale |= all || !seen.is_empty();
            for one in watched.each.iter_mut().filter(|one| all || seen.contains(&one.path)) {
                one.changed = true;
            }
        }
        let is_known = |number: &i32| self.units.values().any(|watched| watched.places.contains_key(number));
        numbers.retain(|number| !is_known(number));
        match self.units.values().any(|watched| watched.look.is_some()) {
            true => self.early.extend(numbers),
            // Left by a look that was of no use any more.
            false => self.forget(numbers.iter()),
        }
    }

    /// The units to be looked at, by nobody yet.
    fn stale(&self) -> Vec<UnitId> {
        let stale = self
            .units
            .iter()
            .filter(|(_, watched)| watched.is_stale && watched.look.is_none());
        stale.map(|(unit, _)| *unit).collect()
    }

    fn begin(&mut self, unit: UnitId, poll: &mut Poll) -> io::Result<()> {
        let Some(watched) = self.units.get_mut(&unit) else {
            return Ok(());
        };
        let paths = watched.paths();
        let (answer, writer) = pipe_with(PipeFlags::CLOEXEC)?;
        rustix::io::ioctl_fionbio(&answer, true)?;
        let inotify = self.inotify.as_fd();
        let child = sandbox::start_job_with(&[inotify, writer.as_fd()], || {
            let seen = serde_json::to_vec(&look::look(inotify, &paths)).unwrap_or_default();
            let mut left = seen.as_slice();
            // With nobody to read it, there is nobody to tell.
            while let Ok(count @ 1..) = rustix::io::write(&writer, left) {
                left = left.get(count..).unwrap_or_default();
            }
            Ok(())
        })?;
        let token = poll.add(&answer, Source::PathsSeen(unit))?;
        watched.is_stale = false;
        watched.look = Some(Look {
            pidfd: child.pidfd,
            answer,
            token,
            bytes: Vec::new(),
        });
        Ok(())
    }

    /// A child has said something. True: that was all.
    fn on_seen(&mut self, unit: UnitId, poll: &mut Poll) -> bool {
        let Some(watched) = self.units.get_mut(&unit) else {
            return false;
        };
        let Some(look) = &mut watched.look else { return false };
        let mut buffer = [0_u8; 16384];
        loop {
            match rustix::io::read(&look.answer, &mut buffer) {
                Ok(count @ 1..) => look.bytes.extend(buffer.get(..count).unwrap_or_default()),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return false,
                Ok(_) | Err(_) => break,
            }
        }
        poll.remove(&look.answer, look.token);
        let seen = serde_json::from_slice(&look.bytes);
        watched.look = None;
        match seen {
            Ok(seen) => self.take(unit, seen),
            // What was watched before still is, so the next event has them looked at again.
            Err(_) => tracing::warn!("whoever looked at paths was killed"),
        }
        true
    }

    /// Takes over what a look has seen.
    fn take(&mut self, unit: UnitId, seen: Seen) {
        let Some(watched) = self.units.get_mut(&unit) else {
            return;
        };
        for failed in seen.failed {
            tracing::warn!("watch {failed}");
        }
        let mut places: BTreeMap<i32, Vec<PathBuf>> = BTreeMap::new();
        for (number, path) in seen.watches {
            if self.early.contains(&number) {
                watched.is_stale = true;
                let changed = watched.each.iter_mut().filter(|one| one.path == path);
                changed.for_each(|one| one.changed = true);
            }
            places.entry(number).or_default().push(path);
        }
        for (one, found) in watched.each.iter_mut().zip(seen.found) {
            one.found = found;
            one.existed.get_or_insert(found.exists);
        }
        let before = std::mem::replace(&mut watched.places, places);
        self.forget(before.keys());
        if self.units.values().all(|watched| watched.look.is_none()) {
            self.early.clear();
        }
    }

    /// Ends watches that nobody has any more.
    fn forget<'a>(&self, numbers: impl Iterator<Item = &'a i32>) {
        for number in numbers {
            if !self.units.values().any(|watched| watched.places.contains_key(number)) {
                // The kernel ends a watch by itself when its file goes.
                let _ = inotify::remove_watch(&self.inotify, *number);
            }
        }
    }

    /// What came of a unit's paths, if it is to be run now.
    fn take_due(&mut self, unit: UnitId) -> Option<String> {
        let watched = self.units.get_mut(&unit).filter(|watched| watched.on)?;
        let came: Vec<String> = watched.each.iter_mut().filter_map(One::came).collect();
        came.into_iter().next()
    }

    /// The paths of a unit, for people.
    pub fn shown(&self, unit: UnitId) -> Vec<String> {
        let watched = self.units.get(&unit);
        watched
            .into_iter()
            .flat_map(|watched| watched.each.iter().map(One::text))
            .collect()
    }

    /// Looks at all of them without a child.
    #[cfg(test)]
    fn look_here(&mut self) {
        for unit in self.units.keys().copied().collect::<Vec<_>>() {
            let Some(watched) = self.units.get_mut(&unit) else {
                continue;
            };
            watched.is_stale = false;
            let paths = watched.paths();
            let seen = look::look(&self.inotify, &paths);
            self.take(unit, seen);
        }
    }
}

impl AsFd for Paths {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.inotify.as_fd()
    }
}

/// In place of a unit: the machine's time zone, which the timers' calendars are of.
const TIME_ZONE: UnitId = UnitId(u64::MAX);

impl Supervisor {
    /// These are the paths of a unit from now on. With none at all, nothing is watched.
    pub(super) fn set_paths(&mut self, unit: UnitId, wanted: &[WatchedPath]) -> io::Result<()> {
        if self.triggers.paths.is_none() {
            if wanted.is_empty() {
                return Ok(());
            }
            let paths = Paths::new()?;
            let token = self.poll.add(&paths, Source::Paths)?;
            self.triggers.paths = Some((paths, token));
        }
        if let Some((mut paths, token)) = self.triggers.paths.take() {
            if let Some(look) = paths.set(unit, wanted) {
                self.poll.remove(&look.answer, look.token);
                signal(&look.pidfd, Signal::KILL);
            }
            if paths.is_empty() {
                self.poll.remove(&paths, token);
            } else {
                self.triggers.paths = Some((paths, token));
            }
        }
        self.look_at_paths();
        Ok(())
    }

    pub(super) fn watch_paths(&mut self, unit: UnitId, on: bool) {
        if let Some((paths, _)) = &mut self.triggers.paths {
            paths.watch(unit, on);
            self.look_at_paths();
        }
    }

    /// As long as some timer has a calendar, its zone is watched.
    pub(super) fn watch_time_zone(&mut self, on: bool) {
        let is_on = self
            .triggers
            .paths
            .as_ref()
            .is_some_and(|(paths, _)| paths.has(TIME_ZONE));
        if is_on == on {
            return;
        }
        let file = WatchedPath {
            changed: Some("/etc/localtime".into()),
            ..WatchedPath::default()
        };
        let wanted = on.then_some(file);
        if let Err(error) = self.set_paths(TIME_ZONE, wanted.as_slice()) {
            tracing::warn!("the time zone cannot be watched: {error}");
        }
        self.watch_paths(TIME_ZONE, on);
    }

    /// Something has happened to a path.
    pub(in crate::supervisor) fn on_paths(&mut self) {
        if let Some((paths, _)) = &mut self.triggers.paths {
            paths.on_readable();
            self.look_at_paths();
        }
    }

    fn look_at_paths(&mut self) {
        let Some((paths, _)) = &mut self.triggers.paths else {
            return;
        };
        for unit in paths.stale() {
            if let Err(error) = paths.begin(unit, &mut self.poll) {
                // It is tried again at the next event.
                tracing::warn!("nobody can look at paths: {error}");
            }
        }
    }

    /// A child has looked at a unit's paths.
    pub(in crate::supervisor) fn on_paths_seen(&mut self, unit: UnitId) {
        let Some((paths, _)) = &mut self.triggers.paths else {
            return;
        };
        if !paths.on_seen(unit, &mut self.poll) {
            return;
        }
        match paths.take_due(unit) {
            Some(_) if unit == TIME_ZONE => self.on_time_zone(),
            Some(what) => {
                let by = Cause::Path(what.into());
                self.queue.push_back(Event::Triggered { unit, by });
            }
            None => {}
        }
        self.look_at_paths();
    }
}
