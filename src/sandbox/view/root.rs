//! A directory of the machine as the root of all files.

use std::io;
use std::os::fd::AsFd;
use std::path::Path;

use rustix::io::Errno;
use rustix::mount::{UnmountFlags, unmount};
use rustix::process::{chdir, chroot, fchdir, pivot_root};

use super::place;

/// What was the root is gone from view after it; pivot_root(2).
pub fn enter(path: &Path) -> io::Result<()> {
    let place = place::open(path)?;
    let tree = place::copy(&place)?;
    place::attach(&tree, place)?;
    fchdir(&tree)?;
    match pivot_root(".", ".") {
        Ok(()) => unmount(".", UnmountFlags::DETACH)?,
        // The root of an initramfs is nobody's mount and stays where it is: it is covered, as switch_root(8) does it.
        Err(Errno::INVAL) => cover_root(&tree)?,
        Err(error) => return Err(error.into()),
    }
    Ok(chdir("/")?)
}

fn cover_root(tree: impl AsFd) -> io::Result<()> {
    place::attach(&tree, place::open(Path::new("/"))?)?;
    fchdir(&tree)?;
    Ok(chroot(".")?)
}
