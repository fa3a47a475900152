//! Limits that change while the unit runs.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::rc::Rc;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::OFlags;

use super::dir::{Dir, gone};
use super::group::{Group, Held};
use super::hierarchy::Hierarchy;
use super::layout::Version;
use super::limits::{self, Failure, Limit};
use super::{Tree, members, v2};
use crate::unit::{Enforcement, Resources, Unenforceable, UnitName};

/// Processes that have to be moved before a new limit holds for them: on v1 they sit in the groups of those controllers
/// alone that they joined when they started.
#[derive(Debug)]
pub struct Joining {
    member: Rc<Dir>,
    groups: Vec<(Dir, OwnedFd, Rc<Hierarchy>)>,
}

/// One limit that changes.
struct Change {
    place: usize,
    old: Option<Limit>,
    new: Option<Limit>,
}

impl Group {
    /// Takes the unit's new limits over while it runs. If one cannot be held, those before it are set back.
    ///
    /// Where there is a [`Joining`], the limits are set, and hold for the unit's processes once that has run.
    ///
    /// # Errors
    /// As [`Tree::make`].
    pub fn apply(&mut self, tree: &Tree, resources: &Resources) -> Result<Option<Joining>, Unenforceable> {
        self.apply_at(tree, self.slices.len(), resources)
    }

    /// The same for the limits of a slice that the unit sits in; None where it does not.
    ///
    /// # Errors
    /// As [`Group::apply`].
    pub fn apply_slice(
        &mut self,
        tree: &Tree,
        slice: &UnitName,
        resources: &Resources,
    ) -> Result<Option<Joining>, Unenforceable> {
        let name = super::make::file_name(slice.as_str());
        let is_it =
            |path: &std::ffi::CString| path.as_bytes().rsplit(|byte| *byte == b'/').next() == Some(name.as_bytes());
        match self.slices.iter().position(is_it) {
            Some(level) => self.apply_at(tree, level, resources),
            None => Ok(None),
        }
    }

    fn apply_at(&mut self, tree: &Tree, level: usize, resources: &Resources) -> Result<Option<Joining>, Unenforceable> {
        let places = (self.places.len(), self.joins.len());
        let outcome = self
            .changes(tree, level, resources)
            .and_then(|changes| self.carry_out(tree, level, changes));
        match outcome {
            Ok(()) => self.joining(places.0),
            Err(why) => {
                for place in self.places.get(places.0..).unwrap_or_default() {
                    // Nobody has joined it; a rest that stays is removed with the group.
                    let _ = self.remove_at(place);
                }
                self.places.truncate(places.0);
                self.joins.truncate(places.1);
                Err(why)
            }
        }
    }

    /// What is to be lifted, then what is to be set, in an order that the kernel takes.
    fn changes(&mut self, tree: &Tree, level: usize, resources: &Resources) -> Result<Vec<Change>, Unenforceable> {
        let wanted = limits::limits(resources);
        let before: Vec<Held> = self.held.iter().filter(|held| held.level == level).cloned().collect();
        let mut changes = Vec::new();
        for held in &before {
            if !wanted.iter().any(|new| new.same_as(&held.limit)) {
                changes.push(Change {
                    place: held.place,
                    old: Some(held.limit.clone()),
                    new: None,
                });
            }
        }
        for new in wanted {
            let change = |place, old| Change {
                place,
                old,
                new: Some(new.clone()),
            };
            match before.iter().find(|held| held.limit.same_as(&new)) {
                Some(held) if held.limit == new => {}
                Some(held) => changes.push(change(held.place, Some(held.limit.clone()))),
                None => changes.extend(self.place_for(tree, level, &new)?.map(|place| change(place, None))),
            }
        }
        changes.sort_by_key(Change::rank);
        Ok(changes)
    }

    fn carry_out(&mut self, tree: &Tree, level: usize, changes: Vec<Change>) -> Result<(), Unenforceable> {
        for (done, change) in changes.iter().enumerate() {
            let Err(why) = self.set(tree, level, change.place, change.old.as_ref(), change.new.as_ref()) else {
                continue;
            };
            let key = change.key();
            if self.may_skip(level, key, &why) {
                continue;
            }
            for change in changes.iter().take(done).rev() {
                let _ = self.set(tree, level, change.place, change.new.as_ref(), change.old.as_ref());
            }
            return Err(why.stops(key));
        }
        for Change { place, old, new } in changes {
            if let Some(old) = &old {
                self.held.retain(|held| held.level != level || !held.limit.same_as(old));
                let others = self
                    .held
                    .iter()
                    .any(|held| held.level == level && held.limit.key() == old.key());
                if level == self.slices.len() && !others {
                    self.enforcement.retain(|(key, _)| **key != *old.key());
                }
            }
            if let Some(new) = new.filter(|new| !self.is_skipped(level, new.key())) {
                self.holds(level, place, new);
            }
        }
        Ok(())
    }

    fn set(
        &self,
        tree: &Tree,
        level: usize,
        place: usize,
        old: Option<&Limit>,
        new: Option<&Limit>,
    ) -> Result<(), Failure> {
        let version = self.version(place);
        let dir = self
            .dir_at(level, place)
            .map_err(|error| Failure::of(self.path(), &error))?;
        match (old, new) {
            (_, Some(new)) => new.hold(old, &dir, version, &tree.programs),
            (Some(old), None) => old.lift(&dir, version, &tree.programs),
            (None, None) => Ok(()),
        }
    }

    fn dir_at(&self, level: usize, place: usize) -> io::Result<Dir> {
        match self.slices.get(level) {
            Some(slice) => {
                let place = self.places.get(place).ok_or(io::ErrorKind::NotFound)?;
                place.hierarchy.base()?.sub(slice)
            }
            None => self.dir(place),
        }
    }

    /// Where a limit goes that was not there before; None if it is skipped.
    fn place_for(&mut self, tree: &Tree, level: usize, limit: &Limit) -> Result<Option<usize>, Unenforceable> {
        let why = match self.find_place(tree, limit) {
            Ok(place) if *limit != Limit::OomGroup || self.version(place) == Version::V2 => return Ok(Some(place)),
            // svcd carries it out.
            Ok(_) => return Ok(None),
            Err(why) => why,
        };
        if *limit == Limit::OomGroup || self.may_skip(level, limit.key(), &why) {
            return Ok(None);
        }
        Err(why.stops(limit.key()))
    }

    fn find_place(&mut self, tree: &Tree, limit: &Limit) -> Result<usize, Failure> {
        let number = tree.backend(limit.controller())?;
        let Some(hierarchy) = tree.hierarchies.get(number) else {
            return Err(Failure::told("no such hierarchy"));
        };
        limit.check(hierarchy.version)?;
        if hierarchy.has(limit.controller()) {
            hierarchy.hand_down(&[limit.controller()]).map_err(|(_, why)| why)?;
        }
        let place = match self
            .places
            .iter()
            .position(|place| place.made && Rc::ptr_eq(&place.hierarchy, hierarchy))
        {
            Some(place) => place,
            None => self
                .enter(hierarchy)
                .map_err(|error| Failure::of(&hierarchy.home_path.display().to_string(), &error))?,
        };
        if hierarchy.version == Version::V2 && hierarchy.has(limit.controller()) {
            for level in 0..self.slices.len() {
                let dir = self
                    .dir_at(level, place)
                    .map_err(|error| Failure::of("open the slice", &error))?;
                v2::hand_down(&dir, &[limit.controller()]).map_err(|(_, why)| why)?;
            }
        }
        Ok(place)
    }

    /// Makes the unit's group in a hierarchy that it had none in.
    fn enter(&mut self, hierarchy: &Rc<Hierarchy>) -> io::Result<usize> {
        let base = hierarchy.base()?;
        for slice in &self.slices {
            hierarchy.make(&base, slice)?;
        }
        let dir = hierarchy.make(&base, &self.below)?;
        let tasks = dir.file("tasks", OFlags::WRONLY)?;
        let place = self.add_place(hierarchy);
        self.made(place);
        self.joins.push(tasks);
        Ok(place)
    }

    /// Who is to be moved into the places that were made since.
    fn joining(&self, places_before: usize) -> Result<Option<Joining>, Unenforceable> {
        let fail = |error: io::Error| Failure::of(self.path(), &error).stops(&self.step());
        let new = self.places.iter().enumerate().skip(places_before);
        let mut groups = Vec::new();
        for (number, place) in new {
            let dir = self.dir(number).map_err(fail)?;
            let procs = dir.file("cgroup.procs", OFlags::WRONLY).map_err(fail)?;
            groups.push((dir, procs, Rc::clone(&place.hierarchy)));
        }
        match self.member_dir() {
            Some(member) if !groups.is_empty() => Ok(Some(Joining { member, groups })),
            Some(_) | None => Ok(None),
        }
    }

    fn may_skip(&mut self, level: usize, key: &str, why: &Failure) -> bool {
        let may = self.best_effort.iter().any(|listed| **listed == *key);
        if may && level == self.slices.len() {
            self.enforcement.retain(|(told, _)| **told != *key);
            self.tell(key, Enforcement::Skipped(why.cause.clone()));
        }
        may
    }

    fn is_skipped(&self, level: usize, key: &str) -> bool {
        let skipped =
            |(told, what): &(Box<str>, Enforcement)| **told == *key && matches!(what, Enforcement::Skipped(_));
        level == self.slices.len() && self.enforcement.iter().any(skipped)
    }
}

impl Change {
    fn key(&self) -> &'static str {
        self.new.as_ref().or(self.old.as_ref()).map_or("cgroup", Limit::key)
    }

    /// v1 takes no limit of memory and swap together that is below that of memory alone, at any moment.
    fn rank(&self) -> u8 {
        let together = |limit: &Option<Limit>| match limit {
            Some(Limit::MemorySwapMax(swap, memory)) => swap.saturating_add(memory.unwrap_or(0)),
            Some(_) | None => u64::MAX,
        };
        match (&self.old, &self.new) {
            (Some(Limit::MemorySwapMax(..)), _) | (_, Some(Limit::MemorySwapMax(..))) => {
                if together(&self.new) >= together(&self.old) {
                    0
                } else {
                    2
                }
            }
            (_, _) => 1,
        }
    }
}

impl Joining {
    /// All that [`Joining::run`] needs open.
    pub fn descriptors(&self) -> Vec<BorrowedFd<'_>> {
        let groups = self.groups.iter();
        let of_groups = groups.flat_map(|(dir, procs, hierarchy)| [dir.as_fd(), procs.as_fd(), hierarchy.home.as_fd()]);
        of_groups.chain([self.member.as_fd()]).collect()
    }

    /// Moves every process of the unit, until none is found that has not been moved; what is forked meanwhile is born where
    /// its parent is. The kernel waits 8 to 13 ms for each, so this is for a child of svcd.
    ///
    /// # Errors
    /// As writing to cgroup.procs. Whoever has ended meanwhile is no error.
    pub fn run(&self) -> io::Result<()> {
        let mut moved: Vec<i32> = Vec::new();
        loop {
            let mut new = match members::all(&self.member) {
                Err(error) if gone(&error) => return Ok(()),
                found => found?,
            };
            new.retain(|pid| !moved.contains(pid));
            if new.is_empty() {
                return Ok(());
            }
            for pid in &new {
                self.move_one(*pid)?;
            }
            moved.extend(new);
        }
    }

    fn move_one(&self, pid: i32) -> io::Result<()> {
        let Some((_, process)) = members::pidfd(pid)? else {
            return Ok(());
        };
        if !members::all(&self.member)?.contains(&pid) {
            return Ok(());
        }
        for (dir, procs, hierarchy) in &self.groups {
            match rustix::io::write(procs, pid.to_string().as_bytes()) {
                Err(rustix::io::Errno::SRCH) => return Ok(()),
                done => done?,
            };
            // Its number was free for somebody else before it was written: whoever has it now goes back.
            if has_ended(&process) && members::here(dir)?.contains(&pid) && !members::all(&self.member)?.contains(&pid)
            {
                hierarchy.home.write("cgroup.procs", &pid.to_string())?;
            }
        }
        Ok(())
    }
}

fn has_ended(process: impl AsFd) -> bool {
    let mut fds = [PollFd::new(&process, PollFlags::IN)];
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    poll(&mut fds, Some(&now)).is_ok_and(|ready| ready > 0)
}
