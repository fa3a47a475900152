//! A place in the files that this process sees, by descriptor: a path is walked once, with no link of /proc followed, and
//! what is moved lands on the descriptor that was opened. fsopen(2), open_tree(2), move_mount(2), openat2(2).

use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{FileType, Mode, OFlags, ResolveFlags, fstat, mkdirat, openat, openat2};
use rustix::io::Errno;
use rustix::mount::{OpenTreeFlags, open_tree};

pub use crate::sys::detached::attach;
use crate::sys::detached::{Mount, detached};

/// Opens a path for a mount to land on, or to be looked at: from this process's root, which no link and no `..` leads out
/// of, with no magic link in the way.
pub fn open(path: &Path) -> io::Result<OwnedFd> {
    open_with(path, ResolveFlags::NO_MAGICLINKS)
}

fn open_with(path: &Path, resolve: ResolveFlags) -> io::Result<OwnedFd> {
    let path = Path::new("/").join(path);
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    Ok(openat2(rustix::fs::CWD, path, flags, Mode::empty(), resolve)?)
}

/// As [`open`], of a path that has no link in it.
pub fn open_plain(path: &Path) -> io::Result<OwnedFd> {
    open_with(path, ResolveFlags::NO_SYMLINKS)
}

/// As [`open`]; None: it is not there.
pub fn open_optional(path: &Path) -> io::Result<Option<OwnedFd>> {
    missing_is_none(open(path))
}

fn missing_is_none<T>(opened: io::Result<T>) -> io::Result<Option<T>> {
    match opened {
        Ok(opened) => Ok(Some(opened)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// The path without links that leads to the same; None: it is not there.
pub fn resolve(path: &Path) -> io::Result<Option<PathBuf>> {
    match open_plain(path) {
        Err(error) if error.raw_os_error() == Some(Errno::LOOP.raw_os_error()) => {}
        plain => return missing_is_none(plain.map(|_| path.components().collect())),
    }
    open_optional(path)?.map(|fd| path_of(&fd)).transpose()
}

/// Where a descriptor leads, without links.
pub fn path_of(fd: &OwnedFd) -> io::Result<PathBuf> {
    std::fs::read_link(format!("/proc/self/fd/{}", fd.as_raw_fd()))
}

/// Opens a directory that the kernel's files are mounted on, made where it is not there. A link, or another file, is none
/// (CVE-2019-16884, CVE-2023-27561, CVE-2026-41579).
pub fn ordinary_directory(path: &Path) -> io::Result<OwnedFd> {
    let there = match missing_is_none(open_plain(path))? {
        Some(there) => there,
        None => make(path, FileType::Directory)?,
    };
    match kind(&there)? == FileType::Directory {
        true => Ok(there),
        false => Err(Errno::NOTDIR.into()),
    }
}

/// Opens a path for a mount of a directory, or of anything else, to land on; what is not there is made, within the root.
/// Links that are there already lead on within it; what is made is walked by its name in a directory that is open, so that
/// nobody can lead the walk away (CVE-2024-45310).
pub fn make(path: &Path, kind_wanted: FileType) -> io::Result<OwnedFd> {
    let is_directory = kind_wanted == FileType::Directory;
    if let Some(there) = open_optional(path)? {
        return match (kind(&there)? == FileType::Directory, is_directory) {
            (true, false) => Err(Errno::ISDIR.into()),
            (false, true) => Err(Errno::NOTDIR.into()),
            (true, true) | (false, false) => Ok(there),
        };
    }
    let mut at = open(Path::new("/"))?;
    let mut walked = PathBuf::from("/");
    let names: Vec<&OsStr> = path.iter().filter(|name| *name != "/").collect();
    for (nth, name) in names.iter().enumerate() {
        walked.push(name);
        at = match open_optional(&walked)? {
            Some(there) => there,
            None if is_directory || nth + 1 < names.len() => make_directory(&at, name)?,
            None => make_file(&at, name)?,
        };
    }
    Ok(at)
}

fn make_directory(at: &OwnedFd, name: &OsStr) -> io::Result<OwnedFd> {
    match mkdirat(at, name, Mode::from_raw_mode(0o755)) {
        Ok(()) | Err(Errno::EXIST) => {}
        Err(error) => return Err(error.into()),
    }
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::DIRECTORY | OFlags::CLOEXEC;
    Ok(openat(at, name, flags, Mode::empty())?)
}

fn make_file(at: &OwnedFd, name: &OsStr) -> io::Result<OwnedFd> {
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::WRONLY | OFlags::CLOEXEC;
    Ok(openat(at, name, flags, Mode::from_raw_mode(0o644))?)
}

/// A copy of what is at a descriptor, with all that is mounted below, to be attached elsewhere.
pub fn copy(of: impl AsFd) -> io::Result<OwnedFd> {
    Ok(open_tree(of, "", COPY | OpenTreeFlags::AT_RECURSIVE)?)
}

/// As [`copy`], without what is mounted below.
pub fn copy_alone(of: impl AsFd) -> io::Result<OwnedFd> {
    Ok(open_tree(of, "", COPY)?)
}

const COPY: OpenTreeFlags = OpenTreeFlags::OPEN_TREE_CLONE
    .union(OpenTreeFlags::OPEN_TREE_CLOEXEC)
    .union(OpenTreeFlags::AT_EMPTY_PATH);

/// A new file system without a device, with these words of mount(8), mounted nowhere yet.
pub fn new_mount(kind: &str, options: &[&str]) -> io::Result<OwnedFd> {
    let mount = Mount {
        what: kind,
        kind,
        options,
    };
    detached(&mount).map_err(|failed| io::Error::from_raw_os_error(failed.errno))
}

/// What kind of file a descriptor is of.
pub fn kind(of: impl AsFd) -> io::Result<FileType> {
    Ok(FileType::from_raw_mode(fstat(of)?.st_mode))
}

/// The descriptor is that character device and nothing else (CVE-2025-31133).
pub fn check_node(node: impl AsFd, major: u32, minor: u32) -> io::Result<()> {
    let meta = fstat(node)?;
    let right = FileType::from_raw_mode(meta.st_mode) == FileType::CharacterDevice
        && meta.st_rdev == rustix::fs::makedev(major, minor);
    if right { Ok(()) } else { Err(Errno::NXIO.into()) }
}
