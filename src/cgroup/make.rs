//! Making a unit's group: which limit goes to which hierarchy, then one hierarchy after the other, from the top down.

mod unit_dir;

use std::collections::BTreeSet;
use std::ffi::CString;
use std::io;
use std::rc::Rc;

use rustix::fs::OFlags;

use super::delegate::{self, Delegated};
use super::dir::{Dir, gone};
use super::group::{Group, names_of};
use super::hierarchy::Hierarchy;
use super::layout::Version;
use super::limits::{self, Failure, Limit};
use super::{Tree, v2};
use crate::unit::{Enforcement, Resources, Unenforceable, UnitName};

/// What is still to be made of a group.
#[derive(Debug)]
pub struct Unfinished {
    names: Vec<CString>,
    wants: Vec<Want>,
    hierarchies: Vec<usize>,
}

impl Unfinished {
    /// Of the unit itself.
    pub fn wants(&self, key: &str) -> bool {
        let own = |want: &Want| want.level + 1 == self.names.len();
        self.wants.iter().any(|want| own(want) && want.limit.key() == key)
    }
}

/// As far as a process needs that is cloned into it; [`finish`] does the rest.
pub fn begin(
    tree: &Tree,
    unit: &UnitName,
    slices: &[(UnitName, &Resources)],
    resources: &Resources,
    best_effort: &[Box<str>],
) -> Result<Group, Unenforceable> {
    let names = slices.iter().map(|(name, _)| name).chain([unit]);
    let names = names_of(names);
    let mut making = Making {
        tree,
        group: Group::new(&tree.base, &names, best_effort),
        names,
        wants: Vec::new(),
        best_effort,
        delegates: resources.delegate,
    };
    let all = slices.iter().map(|(_, resources)| *resources).chain([resources]);
    for (level, resources) in all.enumerate() {
        for limit in limits::limits(resources) {
            making.assign(level, limit)?;
        }
    }
    let (later, now) = making.order().into_iter().partition(|number| making.can_wait(*number));
    match making.build(now).and_then(|()| making.delegate()) {
        Ok(()) => Ok(making.leave(later)),
        Err(why) => {
            // What could be made is taken away again; a rest that cannot be is found by the next start.
            let _ = making.group.remove();
            Err(why)
        }
    }
}

/// Nothing is left to do after it, whatever becomes of it; what it has made by then [`Group::remove`] finds.
pub fn finish(tree: &Tree, group: &mut Group) -> Result<(), Unenforceable> {
    let Some(rest) = group.unfinished.take() else {
        return Ok(());
    };
    let best_effort = group.best_effort.clone();
    let mut making = Making {
        tree,
        names: rest.names,
        wants: rest.wants,
        best_effort: &best_effort,
        group: std::mem::replace(group, Group::new("", &[], &[])),
        delegates: false,
    };
    let built = making.build(rest.hierarchies);
    *group = making.group;
    built
}

/// A limit with its hierarchy and the level (slice or unit) it is for.
#[derive(Clone, Debug)]
struct Want {
    level: usize,
    hierarchy: usize,
    limit: Limit,
}

struct Making<'a> {
    tree: &'a Tree,
    /// Directories from the base down: slices, then the unit.
    names: Vec<CString>,
    wants: Vec<Want>,
    best_effort: &'a [Box<str>],
    group: Group,
    /// The service manages the groups below its own.
    delegates: bool,
}

impl Making<'_> {
    fn assign(&mut self, level: usize, limit: Limit) -> Result<(), Unenforceable> {
        let found = self.tree.backend(limit.controller()).and_then(|hierarchy| {
            let version = self.hierarchy(hierarchy).map_or(Version::V2, |h| h.version);
            limit.check(version).map(|()| (hierarchy, version))
        });
        // Every unit has an OOM policy. It is the kernel's matter on v2 only; else svcd carries it out when it sees an OOM kill.
        if limit == Limit::OomGroup && (level + 1 < self.names.len() || !matches!(found, Ok((_, Version::V2)))) {
            return Ok(());
        }
        match found {
            Ok((hierarchy, _)) => {
                self.wants.push(Want {
                    level,
                    hierarchy,
                    limit,
                });
                Ok(())
            }
            Err(why) => self.give_up(level, &limit, why),
        }
    }

    fn hierarchy(&self, number: usize) -> Option<&Rc<Hierarchy>> {
        self.tree.hierarchies.get(number)
    }

    /// A limit that cannot be had: skipped if the unit says so, and the end of it if not.
    fn give_up(&mut self, level: usize, limit: &Limit, mut why: Failure) -> Result<(), Unenforceable> {
        if *limit == Limit::OomGroup {
            return Ok(());
        }
        if level + 1 < self.names.len() {
            let slice = self
                .names
                .get(level)
                .map(|name| name.to_string_lossy())
                .unwrap_or_default();
            why.cause = format!("slice {slice}: {}", why.cause).into();
        }
        if self.best_effort.iter().any(|key| &**key == limit.key()) {
            self.group.tell(limit.key(), Enforcement::Skipped(why.cause));
            return Ok(());
        }
        Err(why.stops(limit.key()))
    }

    /// What the service manages itself was noted with each hierarchy: where that is none, there is nothing to manage.
    fn delegate(&mut self) -> Result<(), Unenforceable> {
        if !self.delegates {
            return Ok(());
        }
        let Some(why) = delegate::refused(self.tree) else {
            self.group.tell(delegate::KEY, Enforcement::Enforced);
            return Ok(());
        };
        if self.best_effort.iter().any(|key| &**key == delegate::KEY) {
            self.group.tell(delegate::KEY, Enforcement::Skipped(why.cause));
            return Ok(());
        }
        Err(why.stops(delegate::KEY))
    }

    /// All limits of a hierarchy, or of one of its controllers, that cannot be had.
    fn give_up_all(&mut self, hierarchy: usize, controller: Option<&str>, why: &Failure) -> Result<(), Unenforceable> {
        let hit = |w: &Want| w.hierarchy == hierarchy && controller.is_none_or(|c| w.limit.controller() == c);
        let lost: Vec<Want> = self.wants.extract_if(.., |want| hit(want)).collect();
        for want in lost {
            self.give_up(want.level, &want.limit, why.clone())?;
        }
        Ok(())
    }

    /// The hierarchies that it needs, each once, that of its members first.
    fn order(&self) -> Vec<usize> {
        let mut order: Vec<usize> = self.tree.membership.into_iter().collect();
        order.extend(self.wants.iter().map(|want| want.hierarchy));
        order.extend(self.counters_on_v1());
        let given =
            |number: &usize| self.delegates && self.hierarchy(*number).is_some_and(|h| delegate::may_be_given(h));
        order.extend((0..self.tree.hierarchies.len()).filter(given));
        let mut seen = BTreeSet::new();
        order.retain(|number| seen.insert(*number));
        order
    }

    /// What a process joins by itself, and need not join at once.
    fn can_wait(&self, number: usize) -> bool {
        let is_v1 = self.hierarchy(number).is_some_and(|h| h.version == Version::V1);
        is_v1 && !self.delegates && self.tree.membership != Some(number)
    }

    fn build(&mut self, hierarchies: Vec<usize>) -> Result<(), Unenforceable> {
        hierarchies.into_iter().try_for_each(|number| self.build_in(number))
    }

    fn leave(mut self, hierarchies: Vec<usize>) -> Group {
        if !hierarchies.is_empty() {
            self.wants.retain(|want| hierarchies.contains(&want.hierarchy));
            self.group.unfinished = Some(Box::new(Unfinished {
                names: self.names,
                wants: self.wants,
                hierarchies,
            }));
        }
        self.group
    }

    /// What limits nothing and is joined for what it counts: perf_event, so that perf-stat(1) can name the group, and on
    /// pure v1 the controller of CPU time. v2 counts both in any group.
    fn counters_on_v1(&self) -> impl Iterator<Item = usize> + use<> {
        let on_v1 = |number: &usize| self.hierarchy(*number).is_some_and(|h| h.version == Version::V1);
        let pure = self.tree.membership.is_some_and(|number| on_v1(&number));
        let names = ["perf_event"].into_iter().chain(pure.then_some("cpuacct"));
        let found: Vec<usize> = names
            .filter_map(|name| self.tree.backend(name).ok())
            .filter(on_v1)
            .collect();
        found.into_iter()
    }

    fn build_in(&mut self, number: usize) -> Result<(), Unenforceable> {
        let Some(hierarchy) = self.hierarchy(number).cloned() else {
            return Ok(());
        };
        let mut outcome = self.descend(number, &hierarchy);
        if matches!(&outcome, Err(Stop::Call(_, error)) if gone(error)) {
            // Somebody has removed the base since we opened it.
            hierarchy.forget_base();
            outcome = self.descend(number, &hierarchy);
        }
        match outcome {
            Ok(()) => Ok(()),
            Err(Stop::Refused(why)) => Err(why),
            Err(Stop::Call(step, error)) => {
                let why = Failure::of(&format!("{}: {step}", hierarchy.home_path.display()), &error);
                if self.tree.membership == Some(number) {
                    return Err(why.stops(&self.group.step()));
                }
                self.give_up_all(number, None, &why)
            }
        }
    }

    /// Goes down from the base: makes each directory, sets its limits, and on v2 hands controllers on to the next.
    fn descend(&mut self, number: usize, hierarchy: &Rc<Hierarchy>) -> Result<(), Stop> {
        let call = |step: &'static str| move |error| Stop::Call(step.to_owned(), error);
        let mut dir = hierarchy.base().map_err(call("make the base"))?;
        for controller in self.controllers(number, hierarchy) {
            if let Err((controller, why)) = hierarchy.hand_down(&[controller]) {
                self.give_up_all(number, Some(controller), &why)?;
            }
        }
        let place = self.group.add_place(hierarchy);
        let unit_level = self.names.len().saturating_sub(1);
        for (level, name) in self.names.clone().into_iter().enumerate() {
            if level < unit_level {
                let slice = hierarchy.make(&dir, &name).map_err(call("make a slice"))?;
                dir = Rc::new(slice);
            } else {
                dir = unit_dir::make(&self.group, &dir, &name, hierarchy)?;
                self.group.made(place);
            }
            self.hold(level, number, place, &dir)?;
            if level < unit_level {
                for controller in self.controllers(number, hierarchy) {
                    if let Err((controller, why)) = v2::hand_down(&dir, &[controller]) {
                        self.give_up_all(number, Some(controller), &why)?;
                    }
                }
            }
        }
        let member = self.tree.membership == Some(number);
        if hierarchy.version == Version::V1 {
            let tasks = dir.file("tasks", OFlags::WRONLY).map_err(call("open tasks"))?;
            self.group.joins.push(tasks);
        }
        if self.delegates {
            let delegated = Delegated::of(hierarchy, &self.group.below, &dir).map_err(call("delegate"))?;
            self.group.delegated.extend(delegated);
        }
        if member {
            self.group.be_member(place, dir);
        }
        Ok(())
    }

    /// What is to be handed down on v2: for limits, and for what is counted of every unit, where it is there.
    fn controllers(&self, number: usize, hierarchy: &Hierarchy) -> Vec<&'static str> {
        let mut names: Vec<&str> = Vec::new();
        if hierarchy.version == Version::V2 {
            let wanted = self.wants.iter().filter(|want| want.hierarchy == number);
            names.extend(wanted.map(|want| want.limit.controller()));
            names.extend(["memory", "pids", "io"]);
            if self.delegates {
                names.extend(["cpu", "cpuset", "hugetlb", "misc", "rdma"]);
            }
            names.retain(|name| hierarchy.has(name));
            names.sort_unstable();
            names.dedup();
        }
        names
    }

    /// Sets the limits of one level in one hierarchy.
    fn hold(&mut self, level: usize, hierarchy: usize, place: usize, dir: &Dir) -> Result<(), Unenforceable> {
        let here = |want: &Want| want.level == level && want.hierarchy == hierarchy;
        for want in self.wants.clone().into_iter().filter(here) {
            match want
                .limit
                .hold(None, dir, self.group.version(place), &self.tree.programs)
            {
                Ok(()) => self.group.holds(level, place, want.limit),
                Err(why) => self.give_up(level, &want.limit, why)?,
            }
        }
        Ok(())
    }
}

/// Why a hierarchy could not be built in.
enum Stop {
    /// A step with its error, before any limit was looked at.
    Call(String, io::Error),
    /// The end of it.
    Refused(Unenforceable),
}

impl From<Unenforceable> for Stop {
    fn from(why: Unenforceable) -> Self {
        Self::Refused(why)
    }
}

/// The directory of a unit or slice: its name, with `_` in front where the kernel has a file of that name, or might.
pub fn file_name(unit: &str) -> CString {
    const FILES: [&str; 4] = ["tasks", "notify_on_release", "release_agent", "cgroup"];
    const CONTROLLERS: [&str; 16] = [
        "cpu",
        "cpuacct",
        "cpuset",
        "memory",
        "pids",
        "io",
        "blkio",
        "hugetlb",
        "rdma",
        "misc",
        "devices",
        "freezer",
        "net_cls",
        "net_prio",
        "perf_event",
        "dmem",
    ];
    let first = unit.split('.').next().unwrap_or_default();
    let taken = FILES.contains(&unit)
        || (unit.contains('.') && (first == "cgroup" || first == "irq" || CONTROLLERS.contains(&first)))
        || unit.starts_with('_');
    let name = if taken { format!("_{unit}") } else { unit.to_owned() };
    // Names of units hold no NUL.
    CString::new(name).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_unit_is_named_like_a_file_of_the_kernel() {
        for (unit, expected) in [
            ("web", "web"),
            ("web@8080", "web@8080"),
            ("tasks", "_tasks"),
            ("pids.max", "_pids.max"),
            ("cgroup.procs", "_cgroup.procs"),
            ("memory", "memory"),
            ("_web", "__web"),
        ] {
            assert_eq!(file_name(unit).to_str(), Ok(expected));
        }
    }
}
