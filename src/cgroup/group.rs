//! One unit's place in the tree: joining, watching, killing, changing and removing it.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::rc::Rc;

use rustix::fs::OFlags;

use super::delegate::Delegated;
use super::dir::{Dir, busy, gone};
use super::hierarchy::Hierarchy;
use super::layout::Version;
use super::limits::Limit;
use super::make::Unfinished;
use super::{members, v1, v2};
use crate::unit::{Enforcement, Signal, UnitName};

/// A unit's groups, one in each hierarchy that it needs, under one name. Dropping it removes nothing:
/// [`Group::remove`] does.
#[derive(Debug)]
pub struct Group {
    /// From the root or from our own group, with the base: `svc/apps/web`.
    path: Box<str>,
    /// From the base: `apps/web`.
    pub(super) below: CString,
    /// The slices it is in, from the base, outermost first: `apps`.
    pub(super) slices: Vec<CString>,
    pub(super) places: Vec<Place>,
    /// Who belongs to the unit: the place, and its open directory. None where there are no groups.
    member: Option<(usize, Rc<Dir>)>,
    pub(super) joins: Vec<OwnedFd>,
    /// What of it is the service's.
    pub(super) delegated: Vec<Delegated>,
    pub(super) enforcement: Vec<(Box<str>, Enforcement)>,
    /// The limits that are in force, of the unit and of its slices.
    pub(super) held: Vec<Held>,
    pub(super) best_effort: Box<[Box<str>]>,
    /// What is still to be made of it: [`super::Tree::finish`].
    pub(super) unfinished: Option<Box<Unfinished>>,
}

/// A limit that is in force.
#[derive(Clone, Debug)]
pub(super) struct Held {
    /// Whose: the how manieth slice from the base, or the unit, which comes after them.
    pub level: usize,
    /// Where.
    pub place: usize,
    pub limit: Limit,
}

/// The unit's directory in one hierarchy.
#[derive(Debug)]
pub(super) struct Place {
    pub hierarchy: Rc<Hierarchy>,
    /// We have made it: then it is ours to remove.
    pub made: bool,
}

/// The directories of slices and a unit, from the base down.
pub(super) fn names_of<'a>(units: impl Iterator<Item = &'a UnitName>) -> Vec<CString> {
    units.map(|name| super::make::file_name(name.as_str())).collect()
}

/// Their path below the base.
pub(super) fn path_of(names: &[CString]) -> CString {
    let parts: Vec<&[u8]> = names.iter().map(|name| name.as_bytes()).collect();
    CString::new(parts.join(&b'/')).unwrap_or_default()
}

/// For [`make`](super::make) and [`adopt`](super::adopt).
impl Group {
    pub(super) fn new(base: &str, names: &[CString], best_effort: &[Box<str>]) -> Self {
        let below = path_of(names);
        Self {
            path: format!("{base}/{}", below.to_string_lossy()).into(),
            slices: (1..names.len()).filter_map(|n| names.get(..n)).map(path_of).collect(),
            below,
            places: Vec::new(),
            member: None,
            joins: Vec::new(),
            delegated: Vec::new(),
            enforcement: Vec::new(),
            held: Vec::new(),
            best_effort: best_effort.into(),
            unfinished: None,
        }
    }

    pub(super) fn add_place(&mut self, hierarchy: &Rc<Hierarchy>) -> usize {
        self.places.push(Place {
            hierarchy: Rc::clone(hierarchy),
            made: false,
        });
        self.places.len() - 1
    }

    pub(super) fn made(&mut self, place: usize) {
        if let Some(place) = self.places.get_mut(place) {
            place.made = true;
        }
    }

    pub(super) fn be_member(&mut self, place: usize, dir: Rc<Dir>) {
        self.member = Some((place, dir));
    }

    pub(super) fn holds(&mut self, level: usize, place: usize, limit: Limit) {
        // Who carries an OOM policy out is no matter of what can be had: somebody does.
        if level == self.slices.len() && limit != Limit::OomGroup {
            self.tell(limit.key(), Enforcement::Enforced);
        }
        self.held.push(Held { level, place, limit });
    }

    /// What became of a key. Of one with several limits, one that is skipped is the whole truth.
    pub(super) fn tell(&mut self, key: &str, what: Enforcement) {
        match self.enforcement.iter_mut().find(|(told, _)| **told == *key) {
            Some((_, Enforcement::Skipped(_))) => {}
            Some((_, told)) => *told = what,
            None => self.enforcement.push((key.into(), what)),
        }
    }

    pub(super) fn version(&self, place: usize) -> Version {
        self.places.get(place).map_or(Version::V2, |p| p.hierarchy.version)
    }
}

/// What the rest of the room reads with.
impl Group {
    /// The unit's directory at a place.
    pub(super) fn dir(&self, place: usize) -> io::Result<Dir> {
        let place = self.places.get(place).ok_or(io::ErrorKind::NotFound)?;
        place.hierarchy.base()?.sub(&self.below)
    }

    /// The place whose hierarchy has a controller.
    pub(super) fn place_of(&self, controller: &str) -> Option<usize> {
        self.places.iter().position(|p| p.made && p.hierarchy.holds(controller))
    }

    /// The unit's own limits that are in force, with the place that holds each.
    pub(super) fn held(&self) -> impl Iterator<Item = (usize, &Limit)> {
        let own = self.held.iter().filter(|held| held.level == self.slices.len());
        own.map(|held| (held.place, &held.limit))
    }

    pub(super) fn member_dir(&self) -> Option<Rc<Dir>> {
        self.member.as_ref().map(|(_, dir)| Rc::clone(dir))
    }

    pub(super) fn membership(&self) -> io::Result<(Version, &Dir)> {
        match &self.member {
            Some((place, dir)) => Ok((self.version(*place), dir)),
            None => Err(io::Error::new(io::ErrorKind::Unsupported, "no cgroup to be had here")),
        }
    }
}

impl Group {
    /// `svc/apps/web`: the same in each hierarchy, from its root or from the group that was delegated to us.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The step of making it, with its object. The key `cgroup` is about the namespace.
    pub(super) fn step(&self) -> String {
        format!("cgroup {}", self.path)
    }

    /// The v2 directory for CLONE_INTO_CGROUP. None on pure v1, and where there are no groups.
    pub fn clone_into(&self) -> Option<BorrowedFd<'_>> {
        match &self.member {
            Some((place, dir)) if self.version(*place) == Version::V2 => Some(dir.as_fd()),
            Some(_) | None => None,
        }
    }

    /// The same for a command that is not the main one: of a group whose service manages it, a group below.
    pub fn clone_beside(&self) -> Option<BorrowedFd<'_>> {
        let leaf = self.delegated.iter().find_map(Delegated::leaf);
        leaf.or_else(|| self.clone_into())
    }

    /// A file to which whoever was cloned by [`Group::clone_into`] writes `0` to be where [`Group::clone_beside`] is. None:
    /// that is the same.
    pub fn step_beside(&self) -> Option<BorrowedFd<'_>> {
        self.delegated.iter().find_map(Delegated::leaf_procs)
    }

    /// What of the group its service manages, for each hierarchy.
    pub fn delegated(&self) -> &[Delegated] {
        &self.delegated
    }

    /// The v1 `tasks` files that each new process of the unit writes `0` to, single-threaded, before its exec. Only of
    /// controllers that hold a limit of the unit or of a slice above it; on pure v1 also of the one that keeps members.
    pub fn join_files(&self) -> &[OwnedFd] {
        &self.joins
    }

    /// All of it is made.
    pub fn is_finished(&self) -> bool {
        self.unfinished.is_none()
    }

    /// Limits by this key are in force, or will be: of a group that is not finished that may still be refused.
    pub fn may_hold(&self, key: &str) -> bool {
        let held = |(its, what): &(Box<str>, Enforcement)| **its == *key && *what == Enforcement::Enforced;
        let rest = self.unfinished.as_ref();
        self.enforcement.iter().any(held) || rest.is_some_and(|rest| rest.wants(key))
    }

    /// What became of each limit key. Those of slices only where one was skipped.
    pub fn enforcement(&self) -> &[(Box<str>, Enforcement)] {
        &self.enforcement
    }

    /// All processes in the group and below, by their numbers in our pid namespace, in order.
    ///
    /// # Errors
    /// `Unsupported` where there are no groups: nobody can tell who belongs to the unit. So for all that follows here.
    pub fn members(&self) -> io::Result<Vec<i32>> {
        let (_, dir) = self.membership()?;
        match members::all(dir) {
            Err(error) if gone(&error) => Ok(Vec::new()),
            found => found,
        }
    }

    /// Whether a process is in the group or below; on v2 cheaper than [`Group::members`].
    pub fn populated(&self) -> io::Result<bool> {
        match self.membership()? {
            (Version::V2, dir) => match v2::populated(dir) {
                Err(error) if gone(&error) => Ok(false),
                found => found,
            },
            (Version::V1, _) => Ok(!self.members()?.is_empty()),
        }
    }

    /// A descriptor that reports EPOLLPRI whenever [`Group::populated`] may have changed, and once at the start; wait for
    /// it edge-triggered, or read it from its start after each report. None on pure v1, which tells nobody: there, look again whenever a process of the unit has ended.
    pub fn watch(&self) -> io::Result<Option<OwnedFd>> {
        match self.membership()? {
            (Version::V2, dir) => dir.file("cgroup.events", OFlags::RDONLY).map(Some),
            (Version::V1, _) => Ok(None),
        }
    }

    /// Stops everyone in the group and below where they are; [`Group::frozen`] tells when they have. SIGKILL still ends them
    /// on v2, and on v1 once [`Group::kill_all`] has thawed them.
    pub fn freeze(&self) -> io::Result<()> {
        match self.membership()? {
            (Version::V2, dir) => dir.write("cgroup.freeze", "1"),
            (Version::V1, dir) => dir.write("freezer.state", "FROZEN"),
        }
    }

    /// Lets them go on.
    pub fn thaw(&self) -> io::Result<()> {
        match self.membership()? {
            (Version::V2, dir) => dir.write("cgroup.freeze", "0"),
            (Version::V1, dir) => dir.write("freezer.state", "THAWED"),
        }
    }

    /// Whether everyone has stopped. One who waits for a disk stops only when that has answered.
    pub fn frozen(&self) -> io::Result<bool> {
        match self.membership()? {
            (Version::V2, dir) => Ok(dir.keyed("cgroup.events", "frozen")? == Some(1)),
            (Version::V1, dir) => Ok(dir.read("freezer.state")?.trim() == "FROZEN"),
        }
    }

    /// Sends SIGKILL to everyone in the group and below, forks under way included: by cgroup.kill, or on pure v1 by
    /// freezing, killing by pidfd and thawing. Does not wait for them to be gone. On pure v1 a process that the freezer
    /// did not get in time may be left: look at [`Group::populated`] after the others have ended, and kill again.
    pub fn kill_all(&self) -> io::Result<()> {
        let outcome = match self.membership()? {
            (Version::V2, dir) => v2::kill(dir),
            (Version::V1, dir) => v1::kill(dir),
        };
        // Frozen by a freezer of v1, a process does not even die.
        self.delegated.iter().for_each(Delegated::thaw);
        match outcome {
            Err(error) if gone(&error) => Ok(()),
            done => done,
        }
    }

    /// Sends a signal to everyone in the group and below but `except`, each by a pidfd whose membership is looked up
    /// again after it was opened. Whoever is forked meanwhile may be missed.
    pub fn signal_all(&self, signal: Signal, except: &[i32]) -> io::Result<()> {
        let (_, dir) = self.membership()?;
        match members::signal(dir, signal, except) {
            Err(error) if gone(&error) => Ok(()),
            done => done,
        }
    }

    /// Removes the group in every hierarchy, with all groups that the unit has made below it, and then the slices above
    /// that nobody else is in. What is gone already is no error, so this may be tried again.
    ///
    /// # Errors
    /// EBUSY while a process is in it; the kernel lets go of one a moment after it has ended.
    pub fn remove(&self) -> io::Result<()> {
        let mut outcome = Ok(());
        for place in &self.places {
            if let Err(error) = self.remove_at(place) {
                outcome = Err(error);
            }
        }
        outcome
    }

    /// The first step of [`Group::remove`]. A process leaves its groups of all hierarchies at once: where this could go, nobody
    /// is in any of them.
    ///
    /// # Errors
    /// As there.
    pub fn begin_to_remove(&self) -> io::Result<()> {
        self.places.first().map_or(Ok(()), |place| self.remove_at(place))
    }

    pub(super) fn remove_at(&self, place: &Place) -> io::Result<()> {
        let Some(base) = place.hierarchy.base_if_there()? else {
            return Ok(());
        };
        if place.made {
            base.remove(&self.below)?;
        }
        for slice in self.slices.iter().rev() {
            match base.rmdir(slice) {
                Err(error) if busy(&error) => break,
                done => done?,
            }
        }
        Ok(())
    }
}
