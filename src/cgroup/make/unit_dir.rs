//! The unit's own directory in a hierarchy.

use std::ffi::CStr;
use std::io;
use std::rc::Rc;

use super::Stop;
use crate::cgroup::dir::{Dir, gone};
use crate::cgroup::group::Group;
use crate::cgroup::hierarchy::Hierarchy;
use crate::cgroup::layout::Version;
use crate::cgroup::limits::Failure;
use crate::cgroup::{members, v1, v2};

/// Makes the unit's own directory: always a new one, so that counters and peaks begin at nought.
pub(super) fn make(group: &Group, dir: &Dir, name: &CStr, hierarchy: &Hierarchy) -> Result<Rc<Dir>, Stop> {
    let call = |error| Stop::Call(format!("mkdir {}", name.to_string_lossy()), error);
    match dir.make(name) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            clear(group, dir, name, hierarchy.version)?;
            dir.make(name).map_err(call)?;
        }
        made => made.map_err(call)?,
    }
    let unit = dir.sub(name).and_then(|unit| hierarchy.ready(unit));
    unit.map(Rc::new).map_err(call)
}

/// A group of this name that an earlier life left: removed if nobody is in it, and refused if somebody is.
fn clear(group: &Group, dir: &Dir, name: &CStr, version: Version) -> Result<(), Stop> {
    let call = |error| Stop::Call(format!("look at {}", name.to_string_lossy()), error);
    let old = match dir.sub(name) {
        Err(error) if gone(&error) => return Ok(()),
        opened => opened.map_err(call)?,
    };
    let refuse = |what: String| {
        let cause = format!("{} is there already and {what}", group.path()).into();
        let failure = Failure {
            cause,
            errno: libc::EEXIST,
        };
        Err(Stop::Refused(failure.stops(&group.step())))
    };
    let frozen = match version {
        Version::V1 => v1::frozen(&old),
        Version::V2 => v2::frozen(&old),
    };
    if frozen.map_err(call)? {
        return refuse("is frozen".to_owned());
    }
    let members = members::all(&old).map_err(call)?;
    if let [first, ..] = members.as_slice() {
        return refuse(format!(
            "has {} processes of a former life, such as {first}",
            members.len()
        ));
    }
    dir.remove(name).map_err(call)
}
