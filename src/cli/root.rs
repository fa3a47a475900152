//! `root` and `diff`: what the root of a unit is made of, and what the unit has made of it.

use std::io;
use std::path::Path;

use super::difference::{self, What};
use super::failure::{Failure, Kind};
use super::render::{Table, cell, harmless};
use super::session::Session;
use crate::control::root::Root;
use crate::unit::namespaces::IdMap;

/// `svc root UNIT`.
///
/// # Errors
/// [`Failure`].
pub fn root(session: &mut Session<'_>, unit: &str) -> Result<(), Failure> {
    let root = ask(session, "root", unit)?;
    if session.json {
        return session.print_json(&root);
    }
    let mut table = Table::default();
    let mut say = |word: &str, what: &str| table.row(vec![cell(word), cell(harmless(what))]);
    if let Some(image) = &root.image {
        say("image", image);
    }
    for lower in &root.lower {
        say("lower", lower);
    }
    for (word, what) in [("upper", &root.upper), ("work", &root.work), ("merged", &root.merged)] {
        if let Some(what) = what {
            say(word, what);
        }
    }
    table.print(session.out)?;
    Ok(())
}

/// `svc diff UNIT`.
///
/// # Errors
/// [`Failure`]; the unit does not run, or its root cannot be read.
pub fn diff(session: &mut Session<'_>, unit: &str) -> Result<(), Failure> {
    let what = format!("diff {unit}");
    let root = ask(session, "diff", unit)?;
    let Some(merged) = &root.merged else {
        return Err(Failure::new(Kind::Failed, &what, "it does not run, so it has no root"));
    };
    let failed = |error| Failure::new(Kind::Failed, &what, error);
    let ids = ids_of(merged).map_err(failed)?;
    let changes = difference::of(&root.lower, merged, ids).map_err(failed)?;
    if session.json {
        return session.print_json(&changes);
    }
    for change in changes {
        let letter = match change.what {
            What::Added => 'A',
            What::Changed => 'C',
            What::Deleted => 'D',
        };
        writeln!(session.out, "{letter} {}", harmless(&change.path))?;
    }
    Ok(())
}

/// The ids that a process has, by the link to its root; proc(5). Users and groups have the same map.
fn ids_of(merged: &str) -> io::Result<IdMap> {
    let map = Path::new(merged).with_file_name("uid_map");
    Ok(IdMap::of_lines(&std::fs::read_to_string(map)?))
}

fn ask(session: &Session<'_>, verb: &str, unit: &str) -> Result<Root, Failure> {
    let what = format!("{verb} {unit}");
    let status = session.statuses(&what, &[unit.to_owned()])?;
    let root = status.units.into_iter().next().and_then(|unit| unit.root);
    root.ok_or_else(|| {
        Failure::new(
            Kind::Failed,
            &what,
            "its root is the machine's own, or it has not been started",
        )
    })
}
