//! Takes an initramfs that nobody needs any more out of memory; the kernel's filesystems/ramfs-rootfs-initramfs.

use std::ffi::CString;
use std::os::fd::{BorrowedFd, OwnedFd};

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, fstat, openat, statat, unlinkat};

/// A directory that is being emptied.
struct Level {
    dir: OwnedFd,
    /// Directories in it that are still to be emptied.
    below: Vec<CString>,
    /// Its name in the level above; None at the top.
    name: Option<CString>,
}

/// Removes all that is in the directory and on its file system; what is mounted there is not entered. What cannot be
/// removed stays: it only costs memory.
pub fn empty(root: BorrowedFd<'_>) {
    let (Ok(meta), Ok(dir)) = (fstat(root), openat(root, ".", flags(), Mode::empty())) else {
        return;
    };
    let below = remove_files(&dir, meta.st_dev);
    // Without recursion: a tree may be as deep as it likes.
    let mut levels = vec![Level { dir, below, name: None }];
    while let Some(level) = levels.last_mut() {
        if let Some(name) = level.below.pop() {
            if let Ok(dir) = openat(&level.dir, &name, flags(), Mode::empty()) {
                let below = remove_files(&dir, meta.st_dev);
                let name = Some(name);
                levels.push(Level { dir, below, name });
            }
            continue;
        }
        let done = levels.pop().and_then(|level| level.name);
        if let (Some(above), Some(name)) = (levels.last(), done) {
            let _ = unlinkat(&above.dir, &name, AtFlags::REMOVEDIR);
        }
    }
}

fn flags() -> OFlags {
    OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC
}

/// Removes files, and gives back the directories on this device.
fn remove_files(dir: &OwnedFd, device: u64) -> Vec<CString> {
    let mut below = Vec::new();
    for entry in Dir::read_from(dir).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let Ok(meta) = statat(dir, name, AtFlags::SYMLINK_NOFOLLOW) else {
            continue;
        };
        if FileType::from_raw_mode(meta.st_mode) != FileType::Directory {
            let _ = unlinkat(dir, name, AtFlags::empty());
        } else if meta.st_dev == device && name != c"." && name != c".." {
            below.push(name.to_owned());
        }
    }
    below
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::fd::AsFd;
    use std::os::unix::fs::symlink;

    #[test]
    fn all_goes_and_links_are_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("root");
        fs::create_dir_all(root.join("a/b/c/d")).unwrap();
        fs::create_dir_all(root.join("e")).unwrap();
        fs::write(root.join("a/b/file"), "x").unwrap();
        fs::write(root.join("top"), "x").unwrap();
        fs::write(dir.path().join("outside"), "kept").unwrap();
        symlink(dir.path(), root.join("a/link")).unwrap();
        let fd = rustix::fs::open(&root, flags(), Mode::empty()).unwrap();
        empty(fd.as_fd());
        empty(fd.as_fd());
        assert_eq!(fs::read_dir(&root).unwrap().count(), 0);
        assert_eq!(fs::read_to_string(dir.path().join("outside")).unwrap(), "kept");
    }
}
