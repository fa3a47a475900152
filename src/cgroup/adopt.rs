//! Groups that a former life has made: taken over as they are, or found to be nobody's.

use std::collections::BTreeSet;
use std::ffi::CString;
use std::io;
use std::rc::Rc;

use rustix::fs::OFlags;

use super::Tree;
use super::delegate::{self, Delegated};
use super::dir::gone;
use super::group::{Group, names_of, path_of};
use super::layout::Version;
use super::limits::{self, Limit};
use crate::unit::{Enforcement, Resources, UnitName};

/// The unit's group as it is, in every hierarchy that has it. No limit is written again: what is asked for is held where
/// the group is, since it was made whole or not at all.
pub fn adopt(
    tree: &Tree,
    unit: &UnitName,
    slices: &[(UnitName, &Resources)],
    resources: &Resources,
    best_effort: &[Box<str>],
) -> io::Result<Group> {
    let names = names_of(slices.iter().map(|(name, _)| name).chain([unit]));
    let mut group = Group::new(&tree.base, &names, best_effort);
    let mut places = vec![None; tree.hierarchies.len()];
    for (number, hierarchy) in tree.hierarchies.iter().enumerate() {
        let Some(base) = hierarchy.base_if_there()? else {
            continue;
        };
        let dir = match base.sub(&path_of(&names)) {
            Err(error) if gone(&error) => continue,
            opened => opened?,
        };
        let place = group.add_place(hierarchy);
        group.made(place);
        if let Some(known) = places.get_mut(number) {
            *known = Some(place);
        }
        if resources.delegate {
            group.delegated.extend(Delegated::of(hierarchy, &group.below, &dir)?);
        }
        if hierarchy.version == Version::V1 {
            group.joins.push(dir.file("tasks", OFlags::WRONLY)?);
        }
        if tree.membership == Some(number) {
            group.be_member(place, Rc::new(dir));
        }
    }
    group.membership().map_err(|_| io::ErrorKind::NotFound)?;
    let all = slices.iter().map(|(_, resources)| *resources).chain([resources]);
    for (level, resources) in all.enumerate() {
        for limit in limits::limits(resources) {
            hold(tree, &mut group, &places, level, limit);
        }
    }
    if !group.delegated.is_empty() {
        group.tell(delegate::KEY, Enforcement::Enforced);
    }
    Ok(group)
}

/// Notes a limit as what it was made to be.
fn hold(tree: &Tree, group: &mut Group, places: &[Option<usize>], level: usize, limit: Limit) {
    let of_unit = level == group.slices.len();
    let found = tree.backend(limit.controller()).and_then(|hierarchy| {
        let version = tree.hierarchies.get(hierarchy).map_or(Version::V2, |h| h.version);
        limit.check(version)?;
        Ok((places.get(hierarchy).copied().flatten(), version))
    });
    // The kernel's matter on v2 only, as when it was made.
    if limit == Limit::OomGroup && (!of_unit || !matches!(found, Ok((_, Version::V2)))) {
        return;
    }
    match found {
        Ok((Some(place), _)) => group.holds(level, place, limit),
        Ok((None, _)) if of_unit => group.tell(limit.key(), Enforcement::Skipped("its group is gone".into())),
        Err(why) if of_unit => group.tell(limit.key(), Enforcement::Skipped(why.cause)),
        Ok((None, _)) | Err(_) => {}
    }
}

/// What is under the base and is not one of the `claimed` groups (by [`Group::path`]), in one, or around one.
pub fn strangers(tree: &Tree, claimed: &BTreeSet<String>) -> Vec<Group> {
    let mut found: BTreeSet<Vec<CString>> = BTreeSet::new();
    for hierarchy in &tree.hierarchies {
        let Ok(Some(base)) = hierarchy.base_if_there() else {
            continue;
        };
        let mut open: Vec<Vec<CString>> = vec![Vec::new()];
        while let Some(path) = open.pop() {
            let below = if path.is_empty() {
                c".".to_owned()
            } else {
                path_of(&path)
            };
            let children = base.sub(&below).and_then(|dir| dir.children());
            for name in children.unwrap_or_default() {
                let path = path.iter().cloned().chain([name]).collect::<Vec<_>>();
                let whole = format!("{}/{}", tree.base, path_of(&path).to_string_lossy());
                let around = format!("{whole}/");
                if claimed.iter().any(|claimed| claimed.starts_with(&around)) {
                    open.push(path);
                } else if !claimed.contains(&whole) {
                    found.insert(path);
                }
            }
        }
    }
    found.into_iter().map(|names| stranger(tree, &names)).collect()
}

/// A group in whatever hierarchies it is.
fn stranger(tree: &Tree, names: &[CString]) -> Group {
    let mut group = Group::new(&tree.base, names, &[]);
    for (number, hierarchy) in tree.hierarchies.iter().enumerate() {
        let place = group.add_place(hierarchy);
        group.made(place);
        if tree.membership == Some(number)
            && let Ok(dir) = group.dir(place)
        {
            group.be_member(place, Rc::new(dir));
        }
    }
    group
}
