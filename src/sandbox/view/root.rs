//! A root of a service's own: a directory of the machine, or layers that lie over one another; overlayfs(5).
//!
//! Layers are put side by side in a small tmpfs and named by their number in it: they are looked up once, by descriptor,
//! and what mount(2) is told of 500 of them stays within the page that it takes.

use std::fmt::Write;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Mode, OFlags, chmodat, chownat, fstat, mkdirat, openat, renameat};
use rustix::io::Errno;
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};
use rustix::process::{chdir, chroot, fchdir, pivot_root};
use rustix::thread::{Gid, Uid};

use super::place;
use crate::sandbox::report::StepFailed;
use crate::sandbox::user_namespace::Users;
use crate::unit::value::Size;

/// What is to be the root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Root {
    /// Directories of the machine, topmost first.
    pub layers: Vec<PathBuf>,
    pub upper: Upper,
    /// overlayfs keeps what it knows in attributes that a user namespace may set.
    pub attributes_of_users: bool,
}

/// What is written to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Upper {
    /// The one layer itself, which is no overlay then.
    Itself,
    /// What is gone with the mount.
    Tmpfs(Option<Size>),
    /// A directory of the machine, made where it is not there; it holds `upper` and `work`.
    Directory(PathBuf),
}

impl Root {
    /// With the ids of `users`. What was the root is gone from view after it; pivot_root(2).
    pub fn enter(&self, users: Option<&Users>) -> Result<(), StepFailed> {
        let tree = match &self.upper {
            Upper::Itself => self
                .layers
                .first()
                .map_or(Err(failed("root")(Errno::NOENT.into())), |path| itself(path, users)),
            Upper::Tmpfs(_) | Upper::Directory(_) => self.overlay(users),
        };
        become_root(tree?).map_err(failed("root"))
    }

    fn overlay(&self, users: Option<&Users>) -> Result<OwnedFd, StepFailed> {
        // What is mounted on a layer is none of it.
        let layer = |path: &PathBuf| {
            let layer = place::open(path).and_then(place::copy_alone);
            shown(layer.map_err(at(path))?, path, users)
        };
        let layers: Vec<OwnedFd> = self.layers.iter().map(layer).collect::<Result<_, _>>()?;
        let (Some(path), Some(top)) = (self.layers.first(), layers.first()) else {
            return Err(failed("root")(Errno::NOENT.into()));
        };
        let upper = match &self.upper {
            Upper::Directory(path) => Some((path, shown(directory(path).map_err(at(path))?, path, users)?)),
            Upper::Itself | Upper::Tmpfs(_) => None,
        };
        // What is made on the machine has been made.
        users.map_or(Ok(()), Users::make_files)?;
        let bench = self.bench().and_then(|bench| attached(bench, place::open(path)?));
        let bench = bench.map_err(failed("root"))?;
        for (number, (path, layer)) in self.layers.iter().zip(&layers).enumerate() {
            put(layer, &bench, &number.to_string()).map_err(at(path))?;
        }
        let place = match upper {
            Some((path, mount)) => put(&mount, &bench, UPPER).map(|()| mount).map_err(at(path))?,
            None => made(&bench, UPPER).map_err(failed("root"))?,
        };
        let prepared = prepare_upper(&place, top).and_then(|()| made(&bench, MERGED));
        prepared.map_err(failed("root"))?;
        fchdir(&bench).map_err(|error| failed("root")(error.into()))?;
        let merge = mount(
            "overlay",
            MERGED,
            "overlay",
            MountFlags::empty(),
            Some(&*self.options()),
        );
        let merged = merge.and_then(|()| openat(&bench, MERGED, DIRECTORY, Mode::empty()));
        merged.map_err(|error| failed("root overlay")(error.into()))
    }

    /// Where the layers stand side by side, and what is written to, unless it is to stay.
    fn bench(&self) -> io::Result<OwnedFd> {
        let size = match self.upper {
            Upper::Tmpfs(Some(Size(bytes))) => format!("size={bytes}"),
            Upper::Tmpfs(None) => "size=50%".to_owned(),
            Upper::Itself | Upper::Directory(_) => "size=1M".to_owned(),
        };
        place::new_mount("tmpfs", &[&size, "mode=0700"])
    }

    /// What overlayfs is told: no directory is moved and no file split in a way that only it understands, so that what was
    /// written can be read as a layer.
    fn options(&self) -> std::ffi::CString {
        let mut options = String::from("lowerdir=");
        for number in 0..self.layers.len() {
            let separator = if number == 0 { "" } else { ":" };
            // Writing to a String does not fail.
            let _ = write!(options, "{separator}{number}");
        }
        let _ = write!(options, ",upperdir={UPPER}/upper,workdir={UPPER}/work");
        options.push_str(if self.attributes_of_users {
            ",userxattr"
        } else {
            ",redirect_dir=off,metacopy=off,index=off"
        });
        std::ffi::CString::new(options).unwrap_or_default()
    }
}

const UPPER: &str = "writable";
const MERGED: &str = "merged";

const DIRECTORY: OFlags = OFlags::PATH
    .union(OFlags::DIRECTORY)
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC);

/// The directory as it is, with all that is mounted below it.
fn itself(path: &Path, users: Option<&Users>) -> Result<OwnedFd, StepFailed> {
    let place = place::open(path).map_err(at(path))?;
    let tree = shown(place::copy(&place).map_err(at(path))?, path, users)?;
    users.map_or(Ok(()), Users::make_files)?;
    attached(tree, &place).map_err(at(path))
}

/// With the ids of `users`, as long as it is attached nowhere.
fn shown(tree: OwnedFd, path: &Path, users: Option<&Users>) -> Result<OwnedFd, StepFailed> {
    users.map_or(Ok(()), |users| users.show(&tree, path))?;
    Ok(tree)
}

fn attached(tree: OwnedFd, at: impl AsFd) -> io::Result<OwnedFd> {
    place::attach(&tree, at)?;
    Ok(tree)
}

/// Attaches a mount under a name in a directory.
fn put(mount: &OwnedFd, into: &OwnedFd, name: &str) -> io::Result<()> {
    place::attach(mount, made(into, name)?)
}

fn made(into: impl AsFd, name: &str) -> io::Result<OwnedFd> {
    match mkdirat(&into, name, Mode::RWXU) {
        Ok(()) | Err(Errno::EXIST) => {}
        Err(error) => return Err(error.into()),
    }
    Ok(openat(&into, name, DIRECTORY, Mode::empty())?)
}

/// A copy of a directory that is made for its owner alone where it is not there, with those above it.
fn directory(path: &Path) -> io::Result<OwnedFd> {
    use std::os::unix::fs::DirBuilderExt;
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path)?;
    place::open_plain(path).and_then(place::copy_alone)
}

/// A new one looks as the topmost layer does: the root of the whole has what the upper directory has.
fn prepare_upper(place: &OwnedFd, top: &OwnedFd) -> io::Result<()> {
    made(place, "work")?;
    if openat(place, "upper", DIRECTORY, Mode::empty()).is_ok() {
        return Ok(());
    }
    let like = fstat(top)?;
    let upper = made(place, "new")?;
    let owner = (Uid::from_raw(like.st_uid), Gid::from_raw(like.st_gid));
    chownat(&upper, "", Some(owner.0), Some(owner.1), AtFlags::EMPTY_PATH)?;
    chmodat(place, "new", Mode::from_raw_mode(like.st_mode), AtFlags::empty())?;
    Ok(renameat(place, "new", place, "upper")?)
}

fn become_root(tree: OwnedFd) -> io::Result<()> {
    fchdir(&tree)?;
    match pivot_root(".", ".") {
        Ok(()) => unmount(".", UnmountFlags::DETACH)?,
        // The root of an initramfs is nobody's mount and stays where it is: it is covered, as switch_root(8) does it.
        Err(Errno::INVAL) => {
            place::attach(&tree, place::open(Path::new("/"))?)?;
            fchdir(&tree)?;
            chroot(".")?;
        }
        Err(error) => return Err(error.into()),
    }
    Ok(chdir("/")?)
}

fn at(path: &Path) -> impl Fn(io::Error) -> StepFailed + '_ {
    move |error| failed(&format!("root {}", path.display()))(error)
}

fn failed(what: &str) -> impl Fn(io::Error) -> StepFailed + '_ {
    move |error| StepFailed::new(what.to_owned(), error.raw_os_error().unwrap_or(0))
}
