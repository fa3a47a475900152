//! `[[mount]]`: what the unit itself asks to see somewhere.

use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::fstatfs;

use super::{links, place};
use crate::sandbox::report::StepFailed;
use crate::sys::detached::{self, Failed};
use crate::unit::InnerMount;

/// linux/magic.h: /proc, /sys, and the two of cgroups.
const KERNEL_FILES: [i64; 4] = [0x9fa0, 0x6265_6572, 0x0027_e0eb, 0x6367_7270];

/// What is to be seen there, mounted nowhere yet.
pub fn tree(mount: &InnerMount) -> Result<OwnedFd, StepFailed> {
    let is_bind = *mount.r#type == *InnerMount::BIND;
    // First those that the unit's own words may take back.
    let mut options = if is_bind {
        vec!["rbind"]
    } else {
        vec!["nosuid", "nodev"]
    };
    options.extend(mount.options.iter().map(|option| &**option));
    if mount.read_only {
        options.push("ro");
    }
    let what = mount.source.as_deref().unwrap_or(&mount.r#type);
    let wanted = detached::Mount {
        what,
        kind: &mount.r#type,
        options: &options,
    };
    let made = detached::detached_with(&wanted, links::open_source);
    made.map_err(|failed| refused(&mount.target, failed))
}

/// Attaches it at its place, which is made where it is not there. What the place is, is asked of the descriptor that is
/// mounted on: the path to it may have been another a moment before (CVE-2021-30465, CVE-2026-41568).
pub fn attach(tree: OwnedFd, target: &Path) -> Result<(), StepFailed> {
    let step = |error: std::io::Error| Failed {
        errno: error.raw_os_error().unwrap_or(0),
        detail: "target".to_owned(),
    };
    let attached = || -> Result<(), Failed> {
        let place = place::make(target, place::kind(&tree).map_err(step)?).map_err(step)?;
        refuse_kernel_files(&place)?;
        place::attach(tree, place).map_err(step)
    };
    attached().map_err(|failed| refused(target, failed))
}

/// A link may lead there.
fn refuse_kernel_files(place: &OwnedFd) -> Result<(), Failed> {
    let found = fstatfs(place).map_err(Failed::at("target"))?;
    let path = place::path_of(place).map_err(Failed::at("target"))?;
    let is_below = |kernel: &&str| path.starts_with(kernel);
    if ["/proc", "/sys"].iter().any(is_below) || KERNEL_FILES.contains(&(found.f_type as i64)) {
        return Err(Failed {
            errno: libc::EINVAL,
            detail: "nothing is mounted on or under /proc and /sys".to_owned(),
        });
    }
    Ok(())
}

fn refused(target: &Path, failed: Failed) -> StepFailed {
    StepFailed::new(format!("mount {}", target.display()), failed.errno).because(failed.detail)
}
