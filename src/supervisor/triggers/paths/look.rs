//! The look at the paths of one unit, in a child: a file system may take its time, or never answer.
//!
//! Of each path the file itself is watched, the directories on the way to it for being moved or removed, and, where it
//! is not there, the last of them that is for what is made in it. A link is watched besides what it leads to.

use std::collections::BTreeMap;
use std::fs;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use rustix::fs::inotify::{WatchFlags, add_watch};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use crate::unit::PathTest;

/// So often the ways to the paths are looked at anew, where something comes or goes meanwhile.
const TRIES_MAX: usize = 8;

/// What a look has seen.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Seen {
    /// Of each path, in their order.
    pub found: Vec<Found>,
    /// What is watched from now on: the kernel's number, and the path that it is of.
    pub watches: Vec<(i32, PathBuf)>,
    /// What could not be watched, and why.
    pub failed: Vec<String>,
}

/// What there is at a path.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Found {
    pub exists: bool,
    /// It is a directory with something in it, where that is asked for.
    pub is_filled: bool,
}

/// Watches what is there now of the paths and of the ways to them, and then looks at them: what comes later is told.
pub fn look(inotify: impl AsFd, paths: &[(PathTest, PathBuf)]) -> Seen {
    let mut seen = Seen::default();
    let mut watched: BTreeMap<(PathBuf, bool), WatchFlags> = BTreeMap::new();
    for _ in 0..TRIES_MAX {
        let places: Vec<_> = paths.iter().flat_map(|(test, path)| places(*test, path)).collect();
        let mut any = false;
        for (path, flags) in places {
            let key = (path, flags.contains(WatchFlags::DONT_FOLLOW));
            let before = watched.get(&key).copied();
            if before.is_some_and(|before| before.contains(flags)) {
                continue;
            }
            any = true;
            // Two names may be of one file.
            match add_watch(&inotify, &key.0, flags | WatchFlags::MASK_ADD) {
                Ok(number) => seen.watches.push((number, key.0.clone())),
                // It went since.
                Err(Errno::NOENT | Errno::NOTDIR) => {}
                Err(error) => seen.failed.push(format!("{}: {error}", key.0.display())),
            }
            watched.insert(key, flags | before.unwrap_or(WatchFlags::empty()));
        }
        if !any {
            break;
        }
    }
    seen.found = paths.iter().map(|(test, path)| find(*test, path)).collect();
    seen
}

fn find(test: PathTest, path: &Path) -> Found {
    let is_filled = || fs::read_dir(path).is_ok_and(|mut entries| entries.next().is_some());
    Found {
        exists: path.symlink_metadata().is_ok(),
        is_filled: test == PathTest::DirectoryNotEmpty && is_filled(),
    }
}

/// What is watched for it, as systemd does.
fn places(test: PathTest, path: &Path) -> Vec<(PathBuf, WatchFlags)> {
    let moved = WatchFlags::DELETE_SELF | WatchFlags::MOVE_SELF | WatchFlags::ATTRIB;
    let changed = WatchFlags::CLOSE_WRITE | WatchFlags::CREATE | WatchFlags::DELETE | WatchFlags::MOVE;
    let own = match test {
        PathTest::Exists => moved,
        PathTest::DirectoryNotEmpty => moved | WatchFlags::CREATE | WatchFlags::MOVED_TO,
        PathTest::Changed => moved | changed,
        PathTest::Modified => moved | changed | WatchFlags::MODIFY,
    };
    let mut places = Vec::new();
    let found = path.symlink_metadata();
    let mut missing = found.is_err();
    if let Ok(meta) = found {
        places.push((path.to_owned(), own));
        if meta.is_symlink() {
            places.push((path.to_owned(), moved | WatchFlags::DONT_FOLLOW));
        }
    }
    let is_there = |path: &&Path| path.symlink_metadata().is_ok();
    for parent in path.ancestors().skip(1).filter(is_there) {
        // The first that is there is where the next one comes.
        let also = match missing {
            true => WatchFlags::CREATE | WatchFlags::MOVED_TO,
            false => WatchFlags::empty(),
        };
        missing = false;
        places.push((parent.to_owned(), moved | also));
    }
    places
}
