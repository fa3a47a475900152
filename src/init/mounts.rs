//! The file systems that every program expects: /proc, /sys, /dev with its parts, /run and /tmp.
//!
//! What is mounted already, by an initramfs or the kernel itself, stays as it is. mount(8), file-hierarchy(7).

use std::ffi::CStr;
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::{DirBuilderExt, symlink};
use std::path::Path;

use rustix::fs::{AtFlags, CWD, StatxAttributes, StatxFlags, statx};
use rustix::mount::{MountFlags, mount};

/// A file system to mount, and where.
struct First {
    at: &'static str,
    kind: &'static str,
    flags: MountFlags,
    options: &'static CStr,
}

const DATA: MountFlags = MountFlags::NOSUID.union(MountFlags::NODEV);
const API: MountFlags = DATA.union(MountFlags::NOEXEC);

/// In this order: what is below another stands after it. Group 5 is tty, as everywhere.
const FIRST: [First; 7] = [
    First {
        at: "/proc",
        kind: "proc",
        flags: API,
        options: c"",
    },
    First {
        at: "/sys",
        kind: "sysfs",
        flags: API,
        options: c"",
    },
    First {
        at: "/dev",
        kind: "devtmpfs",
        flags: MountFlags::NOSUID,
        options: c"mode=0755",
    },
    First {
        at: "/dev/pts",
        kind: "devpts",
        flags: MountFlags::NOSUID.union(MountFlags::NOEXEC),
        options: c"mode=0620,ptmxmode=0666,gid=5",
    },
    First {
        at: "/dev/shm",
        kind: "tmpfs",
        flags: DATA,
        options: c"mode=1777",
    },
    First {
        at: "/run",
        kind: "tmpfs",
        flags: DATA,
        options: c"mode=0755,size=20%",
    },
    First {
        at: "/tmp",
        kind: "tmpfs",
        flags: DATA,
        options: c"mode=1777",
    },
];

/// Links that programs expect in /dev and that devtmpfs does not have; MAKEDEV(8), null(4).
const LINKS: [(&str, &str); 4] = [
    ("/dev/fd", "/proc/self/fd"),
    ("/dev/stdin", "/proc/self/fd/0"),
    ("/dev/stdout", "/proc/self/fd/1"),
    ("/dev/stderr", "/proc/self/fd/2"),
];

/// Mounts what is not there yet. Each that fails is said.
pub fn mount_all() {
    for first in &FIRST {
        if let Err(error) = mount_first(first) {
            tracing::error!("mount {} on {}: {error}", first.kind, first.at);
        }
    }
    for (at, to) in LINKS {
        match symlink(to, at) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => tracing::warn!("{at}: {error}"),
            Ok(()) | Err(_) => {}
        }
    }
}

fn mount_first(first: &First) -> io::Result<()> {
    if is_mount_point(Path::new(first.at)) {
        return Ok(());
    }
    make_directory(first.at)?;
    Ok(mount(first.kind, first.at, first.kind, first.flags, first.options)?)
}

/// Makes a place to mount on, where there is none; a read-only root must have it.
fn make_directory(at: &str) -> io::Result<()> {
    if fs::metadata(at).is_ok_and(|meta| meta.is_dir()) {
        return Ok(());
    }
    DirBuilder::new().mode(0o755).create(at)
}

/// True where something is mounted: statx(2) knows it without /proc.
pub fn is_mount_point(path: &Path) -> bool {
    statx(CWD, path, AtFlags::NO_AUTOMOUNT, StatxFlags::empty())
        .is_ok_and(|meta| meta.stx_attributes.contains(StatxAttributes::MOUNT_ROOT))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mount_points_are_told_from_directories() {
        assert!(is_mount_point(Path::new("/proc")));
        assert!(is_mount_point(Path::new("/")));
        assert!(!is_mount_point(Path::new("/usr/bin")));
        assert!(!is_mount_point(Path::new("/there/is/no/such/place")));
    }

    #[test]
    fn parents_come_before_what_is_below_them() {
        for (place, first) in FIRST.iter().enumerate() {
            let above = FIRST
                .iter()
                .position(|other| first.at.starts_with(&format!("{}/", other.at)));
            assert!(above.is_none_or(|above| above < place), "{}", first.at);
        }
    }
}
