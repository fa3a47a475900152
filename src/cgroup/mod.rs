//! Limits, membership and accounting. A [`Group`] is one unit's place in the tree, on cgroup v1, v2 or both at once,
//! decided for each controller by what [`layout`] finds: v2 where v2 has it, v1 where not.
//!
//! Knows no unit states: it is told a unit's limits, and answers what the kernel said. It waits for nothing and sleeps
//! for nothing; what is busy is said to be busy. Processes come into a group by themselves: on v2 they are cloned into
//! it, on v1 they write `0` to `tasks` before they exec, since moving one from outside costs 8 to 13 ms.
//!
//! The crate cgroups-rs reads back in the tests what is written here, and does not write it: its setters make a file
//! that is not there, so that a limit counts as set where no controller holds it.

use std::collections::BTreeSet;
use std::ffi::CString;
use std::io;
use std::rc::Rc;

use crate::unit::{Resources, Unenforceable, UnitName};

mod adopt;
mod assembler;
mod block;
mod change;
mod delegate;
mod devices;
mod dir;
mod group;
mod hierarchy;
mod hold;
pub mod layout;
mod limits;
mod make;
mod members;
mod network;
mod oom;
pub mod probe;
mod programs;
pub mod stats;
mod usage;
mod v1;
mod v2;

#[cfg(test)]
mod tests;

pub use change::Joining;
pub use delegate::Delegated;
pub use group::Group;
pub use oom::OomWatch;
pub use usage::{Throttled, Usage};

use hierarchy::Hierarchy;
use layout::{Known, Mounted, Version};
use limits::Failure;
use programs::Programs;

/// Where all groups of one svcd are made, and on which hierarchies.
#[derive(Debug)]
pub struct Tree {
    /// `svc`: for people and for `svc status`.
    base: Box<str>,
    hierarchies: Vec<Rc<Hierarchy>>,
    /// The place in `hierarchies` of the one that says who belongs to a unit; None: no groups at all.
    membership: Option<usize>,
    unavailable: Option<Box<str>>,
    /// Hierarchies that are mounted and that we may not use: their controllers (none for v2) and why.
    closed: Vec<(Vec<Box<str>>, Failure)>,
    known: Vec<Known>,
    programs: Programs,
}

impl Tree {
    /// Looks around; makes nothing yet. `base` is the group under which all others are made, such as `svc`: at the root
    /// of each hierarchy, or under our own group where only that is ours to write (a delegated one).
    ///
    /// Never fails: where there is no group to be had, [`Tree::unavailable`] says why, and [`Tree::make`] gives groups
    /// that hold nobody, and refuses limits.
    pub fn open(base: &str) -> Self {
        let read = |path: &str| std::fs::read(path).unwrap_or_default();
        let mounted = layout::mounts(&read("/proc/self/mountinfo"), &read("/proc/self/cgroup"));
        Self::on(base, &mounted, layout::known(&read("/proc/cgroups")))
    }

    fn on(base: &str, mounted: &[Mounted], known: Vec<Known>) -> Self {
        let mut tree = Self {
            base: base.trim_matches('/').into(),
            hierarchies: Vec::new(),
            membership: None,
            unavailable: None,
            closed: Vec::new(),
            known,
            programs: Programs::default(),
        };
        let Some(names) = base_names(base) else {
            tree.unavailable = Some(format!("`{base}` is no name for a group").into());
            return tree;
        };
        for mount in mounted {
            match Hierarchy::open(mount, &names) {
                // Mounted in a second place: the first will do.
                Ok(found) if tree.hierarchies.iter().any(|h| same(h, &found)) => {}
                Ok(found) => tree.hierarchies.push(Rc::new(found)),
                Err(why) => tree.closed.push((mount.controllers.clone(), why)),
            }
        }
        tree.membership = membership(&tree.hierarchies);
        if tree.membership.is_none() {
            let why = match tree.closed.first() {
                Some((_, why)) => why.cause.clone(),
                None => "no cgroup file system is mounted".into(),
            };
            tree.unavailable = Some(why);
        }
        tree
    }

    /// Why there are no groups; None: there are.
    pub fn unavailable(&self) -> Option<&str> {
        self.unavailable.as_deref()
    }

    /// Makes the unit's group, in its slices (outermost first), with the limits of all of them written and read back.
    ///
    /// # Errors
    /// The first key that cannot be enforced and that is not among `best_effort`; or `cgroup PATH` where the group
    /// itself cannot be made: it has processes of a former life in it, it is frozen, or the kernel refuses one (`errno`
    /// says whether trying again may help). Nothing is left of a group that could not be made whole.
    pub fn make(
        &self,
        unit: &UnitName,
        slices: &[(UnitName, &Resources)],
        resources: &Resources,
        best_effort: &[Box<str>],
    ) -> Result<Group, Unenforceable> {
        let mut group = self.begin(unit, slices, resources, best_effort)?;
        let finished = self.finish(&mut group);
        if finished.is_err() {
            // A rest that cannot be removed is found by the next start.
            let _ = group.remove();
        }
        finished.map(|()| group)
    }

    /// The same as far as a process needs that is to be cloned into it: what it joins by itself, on v1, [`Tree::finish`] makes
    /// while that process is busy with itself.
    ///
    /// # Errors
    /// As [`Tree::make`].
    pub fn begin(
        &self,
        unit: &UnitName,
        slices: &[(UnitName, &Resources)],
        resources: &Resources,
        best_effort: &[Box<str>],
    ) -> Result<Group, Unenforceable> {
        make::begin(self, unit, slices, resources, best_effort)
    }

    /// Makes what is left of a group. Nothing is left after it, whatever becomes of it.
    ///
    /// # Errors
    /// As [`Tree::make`]; what is made by then goes by [`Group::remove`].
    pub fn finish(&self, group: &mut Group) -> Result<(), Unenforceable> {
        make::finish(self, group)
    }

    /// The unit's group as a former life has left it, with what is asked for held as it was held then.
    ///
    /// # Errors
    /// `NotFound`: it is not there, or there are no groups. What open(2) says.
    pub fn adopt(
        &self,
        unit: &UnitName,
        slices: &[(UnitName, &Resources)],
        resources: &Resources,
        best_effort: &[Box<str>],
    ) -> io::Result<Group> {
        adopt::adopt(self, unit, slices, resources, best_effort)
    }

    /// Groups of a former life that are nobody's: under the base, and not one of the `claimed` (by [`Group::path`]),
    /// in one, or around one. They hold no limits.
    pub fn strangers(&self, claimed: &BTreeSet<String>) -> Vec<Group> {
        adopt::strangers(self, claimed)
    }

    /// At exit: removes the base where nothing is in it any more.
    pub fn remove_base(&self) {
        for hierarchy in &self.hierarchies {
            hierarchy.remove_base();
        }
    }

    /// The hierarchy that holds a controller's limits, or why there is none: v2 where v2 has the controller, else v1, else
    /// v2 where a program stands in for it.
    fn backend(&self, controller: &str) -> Result<usize, Failure> {
        let first = |fits: &dyn Fn(&Hierarchy) -> bool| self.hierarchies.iter().position(|h| fits(h));
        first(&|h| h.version == Version::V2 && h.has(controller))
            .or_else(|| first(&|h| h.version == Version::V1 && h.has(controller)))
            .or_else(|| first(&|h| h.holds(controller)))
            .ok_or_else(|| self.why_not(controller))
    }

    fn why_not(&self, controller: &str) -> Failure {
        let on_v1 = hierarchy::name_on_v1(controller);
        let has = |controllers: &[Box<str>]| controllers.iter().any(|c| **c == *on_v1);
        if let Some((_, why)) = self.closed.iter().find(|(controllers, _)| has(controllers)) {
            return why.clone();
        }
        let of_v2 = self.hierarchies.iter().find(|h| h.version == Version::V2);
        let closed_v2 = self.closed.iter().find(|(controllers, _)| controllers.is_empty());
        let cause = match (self.known.iter().find(|k| *k.name == *on_v1), of_v2, closed_v2) {
            (Some(known), _, _) if !known.enabled => {
                format!("the {controller} controller is switched off on the kernel's command line (cgroup_disable)")
            }
            (None, _, _) if !self.known.is_empty() => format!("this kernel has no {controller} controller"),
            (_, _, Some((_, why))) => return why.clone(),
            (_, Some(v2), None) => {
                format!(
                    "no {controller} in {}/cgroup.controllers, and none on v1",
                    v2.home_path.display()
                )
            }
            (_, None, None) => format!("no mounted cgroup hierarchy has the {controller} controller"),
        };
        Failure::told(cause)
    }
}

/// v2 where there is one: it kills at once, and tells when a group is empty. On v1 the freezer, since it helps to kill.
fn membership(hierarchies: &[Rc<Hierarchy>]) -> Option<usize> {
    let first = |wanted: &dyn Fn(&Hierarchy) -> bool| hierarchies.iter().position(|h| wanted(h));
    first(&|h| h.version == Version::V2)
        .or_else(|| first(&|h| h.has("freezer")))
        .or_else(|| first(&|h| h.has("pids")))
        .or_else(|| first(&|_| true))
}

fn same(one: &Hierarchy, other: &Hierarchy) -> bool {
    one.version == other.version && (one.version == Version::V2 || one.controllers == other.controllers)
}

/// The parts of the base's path; None if they could lead elsewhere.
fn base_names(base: &str) -> Option<Vec<CString>> {
    let parts: Vec<&str> = base.split('/').filter(|part| !part.is_empty()).collect();
    if parts.is_empty() || parts.iter().any(|part| [".", ".."].contains(part)) {
        return None;
    }
    parts.into_iter().map(|part| CString::new(part).ok()).collect()
}
