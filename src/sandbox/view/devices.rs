//! A /dev of its own, on a tmpfs of our own, whose nodes are checked (CVE-2025-31133, CVE-2025-52565).

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, makedev, mkdirat, mknodat, statat, symlinkat};
use rustix::io::Errno;

use super::place::{attach, check_node, copy, kind, new_mount, open_optional, ordinary_directory};

/// The devices that every program may have, as Docker gives them: name, major, minor.
const NODES: [(&str, u32, u32); 6] = [
    ("null", 1, 3),
    ("zero", 1, 5),
    ("full", 1, 7),
    ("random", 1, 8),
    ("urandom", 1, 9),
    ("tty", 5, 0),
];

const LINKS: [(&str, &str); 5] = [
    ("fd", "/proc/self/fd"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"),
    ("ptmx", "pts/ptmx"),
];

/// The machine's nodes that are shown, by their names below /dev: those that are listed and there, and what every program
/// expects where no nodes can be made.
pub fn of_machine(make_nodes: bool, listed: &[PathBuf]) -> io::Result<Vec<(PathBuf, OwnedFd)>> {
    let mut host_nodes = Vec::new();
    if !make_nodes {
        for (name, major, minor) in NODES {
            if let Some(node) = open_optional(&Path::new("/dev").join(name))? {
                check_node(&node, major, minor)?;
                host_nodes.push((PathBuf::from(name), copy(node)?));
            }
        }
    }
    for path in listed {
        let Ok(below) = path.strip_prefix("/dev") else { continue };
        let known = |(name, _): &(PathBuf, OwnedFd)| name == below;
        if !host_nodes.iter().any(known)
            && !below.starts_with("pts")
            && let Some(node) = open_optional(path)?
            && is_device(&node)?
        {
            host_nodes.push((below.to_owned(), copy(node)?));
        }
    }
    Ok(host_nodes)
}

/// A /dev of its own, with what every program expects, and with these nodes of the machine's.
pub fn make(make_nodes: bool, host_nodes: Vec<(PathBuf, OwnedFd)>) -> io::Result<()> {
    let dev = new_mount("tmpfs", &["mode=0755", "size=64k", "nosuid", "noexec"])?;
    attach(&dev, ordinary_directory(Path::new("/dev"))?)?;
    let before = rustix::process::umask(Mode::empty());
    let filled = fill_dev(dev.as_fd(), make_nodes, host_nodes);
    rustix::process::umask(before);
    filled
}

fn is_device(node: impl AsFd) -> io::Result<bool> {
    Ok(matches!(kind(node)?, FileType::CharacterDevice | FileType::BlockDevice))
}

fn fill_dev(dev: BorrowedFd<'_>, make_nodes: bool, host_nodes: Vec<(PathBuf, OwnedFd)>) -> io::Result<()> {
    if make_nodes {
        for (name, major, minor) in NODES {
            mknodat(
                dev,
                name,
                FileType::CharacterDevice,
                Mode::from_raw_mode(0o666),
                makedev(major, minor),
            )?;
        }
    }
    let place = |name: &Path| {
        rustix::fs::openat(
            dev,
            name,
            OFlags::PATH | OFlags::CLOEXEC | OFlags::NOFOLLOW,
            Mode::empty(),
        )
    };
    for (name, node) in host_nodes {
        for above in name.ancestors().skip(1).collect::<Vec<_>>().into_iter().rev().skip(1) {
            match mkdirat(dev, above, Mode::from_raw_mode(0o755)) {
                Ok(()) | Err(Errno::EXIST) => {}
                Err(error) => return Err(error.into()),
            }
        }
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC;
        drop(File::from(rustix::fs::openat(
            dev,
            &name,
            flags,
            Mode::from_raw_mode(0o600),
        )?));
        attach(node, place(&name)?)?;
    }
    for (name, to) in LINKS {
        symlinkat(to, dev, name)?;
    }
    mkdirat(dev, "shm", Mode::from_raw_mode(0o1777))?;
    mkdirat(dev, "pts", Mode::from_raw_mode(0o755))?;
    let shm = new_mount("tmpfs", &["mode=1777", "nosuid", "nodev"])?;
    attach(shm, place(Path::new("shm"))?)?;
    let terminals = ["newinstance", "mode=0620", "ptmxmode=0666", "nosuid", "noexec"];
    attach(new_mount("devpts", &terminals)?, place(Path::new("pts"))?)?;
    let ptmx = statat(dev, "pts/ptmx", AtFlags::SYMLINK_NOFOLLOW)?;
    if ptmx.st_rdev == makedev(5, 2) {
        Ok(())
    } else {
        Err(Errno::NXIO.into())
    }
}
