//! What of the files can be written, executed, or reached at all, path by path. What says most of a path decides.
//!
//! All paths are looked up before anything changes, and walked again without links when their turn comes: a child has few
//! descriptors besides svcd's own. One that is to stay as it was, within one that is changed, is copied before that and
//! laid back over; so what the machine itself has read-only stays so.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::FileType;

use super::place;
use crate::sandbox::report::StepFailed;
use crate::sys::mount::{NO_EXEC, READ_ONLY, set_attributes};

/// What a rule says of a path and all below it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// A file is behind /dev/null, a directory behind an empty one; whatever is said of paths below.
    Hidden,
    ReadOnly,
    /// As writable as it was.
    ReadWrite,
    NotExecutable,
    /// As executable as it was.
    Executable,
}

/// A path with what is said of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// The key that says so.
    pub key: &'static str,
    pub path: PathBuf,
    /// One that is not there is passed over.
    pub optional: bool,
    pub access: Access,
}

/// All that is said of one path; of two rules the stricter counts.
#[derive(Debug)]
struct Point {
    key: &'static str,
    hidden: bool,
    read_only: Option<bool>,
    not_executable: Option<bool>,
}

/// How a path is held.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct State {
    read_only: bool,
    not_executable: bool,
}

impl State {
    fn attributes(self) -> u64 {
        u64::from(self.read_only) * READ_ONLY + u64::from(self.not_executable) * NO_EXEC
    }

    /// Something is let that the other does not let.
    fn is_laxer_than(self, other: Self) -> bool {
        self.attributes() & other.attributes() != other.attributes()
    }
}

/// What is done at one path, outer ones first.
#[derive(Debug)]
enum Change {
    Hide,
    Restrict(State),
    /// What was there before is laid over, and held like this.
    LayBack(OwnedFd, State),
}

/// Holds the rules.
pub fn hold(rules: &[Rule]) -> Result<(), StepFailed> {
    let mut empty = None;
    for (path, key, change) in changes(points(rules)?)? {
        let done = place::open_plain(&path).and_then(|place| match change {
            Change::Hide => hide(place, &mut empty),
            Change::Restrict(state) => restrict(place, state),
            Change::LayBack(copy, state) => lay(copy, place, state),
        });
        done.map_err(failed(key, &path))?;
    }
    Ok(())
}

fn points(rules: &[Rule]) -> Result<BTreeMap<PathBuf, Point>, StepFailed> {
    let mut points = BTreeMap::new();
    for rule in rules {
        let path = match place::resolve(&rule.path).map_err(failed(rule.key, &rule.path))? {
            Some(found) => found,
            None if rule.optional => continue,
            None => return Err(failed(rule.key, &rule.path)(io::Error::from_raw_os_error(libc::ENOENT))),
        };
        let point = points.entry(path).or_insert(Point {
            key: rule.key,
            hidden: false,
            read_only: None,
            not_executable: None,
        });
        let stricter = |before: &mut Option<bool>, on: bool| *before = Some(before.unwrap_or(false) || on);
        match rule.access {
            Access::Hidden => point.hidden = true,
            Access::ReadOnly => stricter(&mut point.read_only, true),
            Access::ReadWrite => stricter(&mut point.read_only, false),
            Access::NotExecutable => stricter(&mut point.not_executable, true),
            Access::Executable => stricter(&mut point.not_executable, false),
        }
    }
    Ok(points)
}

/// Path, key, and what is done there.
type Planned = (PathBuf, &'static str, Change);

/// What is to be done, with all copies taken. Paths sort with each before those below it.
fn changes(points: BTreeMap<PathBuf, Point>) -> Result<Vec<Planned>, StepFailed> {
    let mut planned = Vec::new();
    let mut outer: Vec<(PathBuf, Option<State>)> = Vec::new();
    for (path, point) in points {
        while outer.last().is_some_and(|(outer, _)| !path.starts_with(outer)) {
            outer.pop();
        }
        let Some(around) = outer.last().map_or(Some(State::default()), |(_, state)| *state) else {
            // Within a hidden one.
            continue;
        };
        let state = State {
            read_only: point.read_only.unwrap_or(around.read_only),
            not_executable: point.not_executable.unwrap_or(around.not_executable),
        };
        let change = if point.hidden {
            Change::Hide
        } else if state == around {
            continue;
        } else if state.is_laxer_than(around) {
            let copy = place::open_plain(&path).and_then(place::copy);
            let copy = copy.map_err(failed(point.key, &path))?;
            Change::LayBack(copy, state)
        } else {
            Change::Restrict(state)
        };
        outer.push((path.clone(), (!point.hidden).then_some(state)));
        planned.push((path, point.key, change));
    }
    Ok(planned)
}

/// With all that is mounted below.
fn restrict(place: OwnedFd, state: State) -> io::Result<()> {
    match set_attributes(&place, state.attributes()) {
        // No mount point: it becomes one, of itself.
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => lay(place::copy(&place)?, place, state),
        other => other,
    }
}

fn lay(copy: OwnedFd, place: OwnedFd, state: State) -> io::Result<()> {
    if state.attributes() != 0 {
        set_attributes(&copy, state.attributes())?;
    }
    place::attach(copy, place)
}

/// One empty directory serves for all.
fn hide(place: OwnedFd, empty: &mut Option<OwnedFd>) -> io::Result<()> {
    if place::kind(&place)? != FileType::Directory {
        let null = place::open(Path::new("/dev/null"))?;
        place::check_node(&null, 1, 3)?;
        return place::attach(place::copy(null)?, place);
    }
    if let Some(empty) = empty {
        return place::attach(place::copy(empty.as_fd())?, place);
    }
    let made = place::new_mount("tmpfs", &["mode=0000", "size=4k", "ro", "nosuid", "nodev", "noexec"])?;
    place::attach(&made, place)?;
    *empty = Some(made);
    Ok(())
}

fn failed<'a>(key: &'a str, path: &'a Path) -> impl Fn(io::Error) -> StepFailed + 'a {
    move |error| StepFailed::new(format!("{key} {}", path.display()), error.raw_os_error().unwrap_or(0))
}
