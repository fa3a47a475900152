//! The groups that a service manages itself (`delegate`): seen and written in its view, and its user's.

use std::ffi::{CStr, OsString};
use std::os::fd::BorrowedFd;
use std::path::Path;

use rustix::fs::{AtFlags, Gid, Uid, chownat};
use rustix::io::Errno;

use super::report::StepFailed;

/// The unit's group in one hierarchy.
#[derive(Clone, Copy)]
pub struct OwnGroup<'a> {
    /// Open.
    pub dir: BorrowedFd<'a>,
    /// Where the machine has the hierarchy mounted.
    pub mount: &'a Path,
    /// The group, there.
    pub path: &'a Path,
    /// Files that become its user's, as the directory does.
    pub given: &'a [&'a CStr],
    /// The other files, which nobody writes to in the service's view: root could, whom they belong to.
    pub kept: &'a [OsString],
}

impl OwnGroup<'_> {
    /// Where the service sees it: in a cgroup namespace it is the root of the hierarchy.
    pub fn seen_at(&self, in_namespace: bool) -> &Path {
        if in_namespace { self.mount } else { self.path }
    }
}

/// Makes the groups those of a user and group of the machine.
pub fn own(groups: &[OwnGroup<'_>], (uid, gid): (u32, u32)) -> Result<(), StepFailed> {
    let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
    for group in groups {
        for name in [c"."].iter().chain(group.given) {
            match chownat(group.dir, *name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW) {
                // A file that this kernel does not have.
                Ok(()) | Err(Errno::NOENT) => {}
                Err(error) => {
                    let what = format!("delegate {}", group.path.display());
                    return Err(StepFailed::new(what, error.raw_os_error()));
                }
            }
        }
    }
    Ok(())
}
