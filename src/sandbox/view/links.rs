//! Whose links are followed on the way to what a unit mounts: root's, and those of the owner of what they lead to. Whoever
//! may write in a directory on the way could else have svcd show a service what is not theirs (CVE-2024-23651);
//! systemd has the same rule for unsafe path transitions.

use std::ffi::OsString;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStringExt;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{FileType, Mode, OFlags, ResolveFlags, fstat, fstatfs, openat, openat2, readlinkat};
use rustix::io::Errno;

use crate::sys::detached::Failed;

/// As many as the kernel follows in one path; path_resolution(7).
const LINKS_MAX: u32 = 40;

/// linux/magic.h: links of /proc are the kernel's.
const PROC: i64 = 0x9fa0;

const FLAGS: OFlags = OFlags::PATH.union(OFlags::CLOEXEC);

/// What is still to be walked.
enum Part {
    Name(OsString),
    /// Here a link has led, and this user owns it.
    LedBy(u32),
}

/// Opens the source of a mount.
pub fn open_source(path: &str) -> Result<OwnedFd, Failed> {
    let root = rustix::fs::open("/", FLAGS, Mode::empty()).map_err(Failed::at("source"))?;
    // Nearly always there is no link in it.
    match openat2(&root, path, FLAGS, Mode::empty(), ResolveFlags::NO_SYMLINKS) {
        Err(Errno::LOOP) => walk(root, Path::new(path)),
        opened => opened.map_err(Failed::at("source")),
    }
}

fn walk(root: OwnedFd, path: &Path) -> Result<OwnedFd, Failed> {
    let failed = Failed::at::<Errno>("source");
    let mut at = root;
    let mut links = 0;
    let mut parts = Vec::new();
    push(&mut parts, path);
    while let Some(part) = parts.pop() {
        let name = match part {
            Part::Name(name) => name,
            Part::LedBy(owner) if owner == fstat(&at).map_err(&failed)?.st_uid => continue,
            Part::LedBy(owner) => return Err(others_link(owner)),
        };
        let next = openat(&at, &name, FLAGS | OFlags::NOFOLLOW, Mode::empty()).map_err(&failed)?;
        let meta = fstat(&next).map_err(&failed)?;
        if FileType::from_raw_mode(meta.st_mode) != FileType::Symlink {
            at = next;
        } else if fstatfs(&next).map_err(&failed)?.f_type as i64 == PROC {
            at = openat2(&at, &name, FLAGS, Mode::empty(), ResolveFlags::NO_MAGICLINKS).map_err(&failed)?;
        } else {
            links += 1;
            if links > LINKS_MAX {
                return Err(failed(Errno::LOOP));
            }
            if meta.st_uid != 0 {
                parts.push(Part::LedBy(meta.st_uid));
            }
            let target = readlinkat(&next, "", Vec::new()).map_err(&failed)?;
            let target = PathBuf::from(OsString::from_vec(target.into_bytes()));
            if target.is_absolute() {
                at = rustix::fs::open("/", FLAGS, Mode::empty()).map_err(&failed)?;
            }
            push(&mut parts, &target);
        }
    }
    Ok(at)
}

/// To be walked before what there is.
fn push(parts: &mut Vec<Part>, path: &Path) {
    let named = path.components().rev().filter_map(|part| match part {
        Component::Normal(name) => Some(Part::Name(name.to_owned())),
        Component::ParentDir => Some(Part::Name("..".into())),
        Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
    });
    parts.extend(named);
}

fn others_link(owner: u32) -> Failed {
    Failed {
        errno: libc::EPERM,
        detail: format!("source: a link in it belongs to user {owner}, and what it leads to does not"),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{MetadataExt, lchown, symlink};

    use super::*;

    fn leads(path: &Path) -> Result<u64, i32> {
        let opened = open_source(path.to_str().unwrap()).map_err(|failed| failed.errno)?;
        Ok(fs::File::from(opened).metadata().unwrap().ino())
    }

    #[test]
    fn links_lead_on_as_the_kernel_has_them() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        fs::create_dir_all(at("real/data")).unwrap();
        symlink("real", at("one")).unwrap();
        symlink(at("one/data/.."), at("two")).unwrap();
        symlink("ring", at("ring")).unwrap();
        let inode = |name: &str| fs::metadata(at(name)).unwrap().ino();
        assert_eq!(leads(&at("one/data")), Ok(inode("real/data")));
        assert_eq!(leads(&at("two/./data")), Ok(inode("real/data")));
        assert_eq!(leads(&at("two/../one")), Ok(inode("real")));
        assert_eq!(leads(&at("ring")), Err(libc::ELOOP));
        assert_eq!(leads(&at("one/none")), Err(libc::ENOENT));
        assert_eq!(leads(Path::new("/proc/self/exe")), Err(libc::ELOOP));
        assert!(leads(Path::new("/proc/self/net")).is_ok());
    }

    #[test]
    fn links_of_others_are_not_followed() {
        if !rustix::process::geteuid().is_root() {
            return;
        }
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        fs::create_dir_all(at("roots")).unwrap();
        fs::create_dir_all(at("theirs/data")).unwrap();
        symlink("../roots", at("theirs/out")).unwrap();
        symlink("data", at("theirs/in")).unwrap();
        symlink("theirs/out", at("roots_own")).unwrap();
        for name in ["theirs", "theirs/data", "theirs/out", "theirs/in"] {
            lchown(at(name), Some(12345), None).unwrap();
        }
        assert_eq!(leads(&at("theirs/out")), Err(libc::EPERM));
        assert_eq!(
            leads(&at("roots_own")),
            Err(libc::EPERM),
            "by way of one that is followed"
        );
        assert!(leads(&at("theirs/in")).is_ok());
        lchown(at("theirs/out"), Some(0), None).unwrap();
        assert!(leads(&at("theirs/out")).is_ok());
    }
}
