//! Watched paths: inotify(7) says "look", and a path that is not there yet is waited for where it will appear.
//!
//! Of each path the file itself is watched, the directories on the way to it for being moved or removed, and, where it
//! is not there, the last of them that is for what is made in it. As systemd.path(5) has it, what happens while the
//! unit runs is no trigger, but for a path that is there, or not, by the end of the run.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};

use inotify::{EventMask, Inotify, WatchDescriptor, WatchMask};

use crate::engine::UnitId;
use crate::unit::{PathTest, WatchedPath};

/// The paths of all units that are armed.
pub struct Paths {
    inotify: Inotify,
    units: BTreeMap<UnitId, Watched>,
    /// By what the kernel calls it.
    watches: BTreeMap<i32, (WatchDescriptor, PathBuf)>,
}

#[derive(Debug, Default)]
struct Watched {
    each: Vec<One>,
    /// Somebody asks for what comes.
    on: bool,
}

#[derive(Debug)]
struct One {
    test: PathTest,
    path: PathBuf,
    existed: bool,
    /// It was changed since somebody asks.
    changed: bool,
}

impl std::fmt::Debug for Paths {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Paths")
            .field("units", &self.units)
            .finish_non_exhaustive()
    }
}

impl Paths {
    /// # Errors
    /// As inotify_init1(2).
    pub fn new() -> io::Result<Self> {
        Ok(Self {
            inotify: Inotify::init()?,
            units: BTreeMap::new(),
            watches: BTreeMap::new(),
        })
    }

    /// These are the paths of a unit from now on.
    pub fn set(&mut self, unit: UnitId, paths: &[WatchedPath]) {
        let tests = paths.iter().flat_map(WatchedPath::tests);
        let each = tests.map(|(test, path)| One {
            test,
            path: path.to_owned(),
            existed: path.symlink_metadata().is_ok(),
            changed: false,
        });
        let each: Vec<One> = each.collect();
        if each.is_empty() {
            self.units.remove(&unit);
        } else {
            let on = self.units.get(&unit).is_some_and(|watched| watched.on);
            self.units.insert(unit, Watched { each, on });
        }
        self.rewatch();
    }

    pub fn is_empty(&self) -> bool {
        self.units.is_empty()
    }

    /// What comes of a unit's paths from now on is asked for, or is not.
    pub fn watch(&mut self, unit: UnitId, on: bool) {
        if let Some(watched) = self.units.get_mut(&unit) {
            watched.on = on;
            watched.each.iter_mut().for_each(|one| one.changed = false);
        }
    }

    /// Takes what the kernel has seen.
    pub fn on_readable(&mut self) {
        let mut buffer = [0_u8; 16384];
        let mut seen: BTreeSet<PathBuf> = BTreeSet::new();
        let (mut any, mut all) = (false, false);
        while let Ok(events) = self.inotify.read_events(&mut buffer) {
            let mut some = false;
            for event in events {
                some = true;
                all |= event.mask.contains(EventMask::Q_OVERFLOW);
                let place = self.watches.get(&event.wd.get_watch_descriptor_id());
                seen.extend(place.map(|(_, path)| path.clone()));
            }
            any |= some;
            if !some {
                break;
            }
        }
        if !any {
            return;
        }
        let each = self.units.values_mut().flat_map(|watched| &mut watched.each);
        for one in each.filter(|one| all || seen.contains(&one.path)) {
            one.changed = true;
        }
        self.rewatch();
    }

    /// The units that are to be run now, each with what came.
    pub fn take_due(&mut self) -> Vec<(UnitId, String)> {
        let mut due = Vec::new();
        for (unit, watched) in self.units.iter_mut().filter(|(_, watched)| watched.on) {
            let came: Vec<String> = watched.each.iter_mut().filter_map(One::came).collect();
            due.extend(came.into_iter().next().map(|what| (*unit, what)));
        }
        due
    }

    /// The paths of a unit, for people.
    pub fn shown(&self, unit: UnitId) -> Vec<String> {
        let watched = self.units.get(&unit);
        watched
            .into_iter()
            .flat_map(|watched| watched.each.iter().map(One::text))
            .collect()
    }

    /// Watches what is there now of all paths and of the ways to them, and nothing else.
    fn rewatch(&mut self) {
        let mut wanted: BTreeMap<PathBuf, WatchMask> = BTreeMap::new();
        let each = self.units.values().flat_map(|watched| &watched.each);
        for (path, mask) in each.flat_map(One::places) {
            wanted.entry(path).and_modify(|its| *its |= mask).or_insert(mask);
        }
        let mut watches = self.inotify.watches();
        let mut kept = BTreeMap::new();
        for (path, mask) in wanted {
            // Two names may be of one file. What went since is looked for at the next event.
            match watches.add(&path, mask | WatchMask::MASK_ADD) {
                Ok(descriptor) => drop(kept.insert(descriptor.get_watch_descriptor_id(), (descriptor, path))),
                Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {}
                Err(error) => tracing::warn!("watch {}: {error}", path.display()),
            }
        }
        for (number, (descriptor, _)) in std::mem::replace(&mut self.watches, kept) {
            if !self.watches.contains_key(&number) {
                // The kernel drops a watch by itself when its file goes.
                drop(watches.remove(descriptor));
            }
        }
    }
}

impl AsFd for Paths {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.inotify.as_fd()
    }
}

impl One {
    fn text(&self) -> String {
        format!("{} {}", self.test.word(), self.path.display())
    }

    /// What it says, if its time has come. A change is told once, what is there each time.
    fn came(&mut self) -> Option<String> {
        let exists = self.path.symlink_metadata().is_ok();
        let flipped = std::mem::replace(&mut self.existed, exists) != exists;
        let changed = std::mem::take(&mut self.changed);
        let came = match self.test {
            PathTest::Exists => exists,
            PathTest::DirectoryNotEmpty => fs::read_dir(&self.path).is_ok_and(|mut entries| entries.next().is_some()),
            PathTest::Changed | PathTest::Modified => changed || flipped,
        };
        came.then(|| self.text())
    }

    /// What is watched for it, as systemd does.
    fn places(&self) -> Vec<(PathBuf, WatchMask)> {
        let moved = WatchMask::DELETE_SELF | WatchMask::MOVE_SELF | WatchMask::ATTRIB;
        let own = match self.test {
            PathTest::Exists => moved,
            PathTest::DirectoryNotEmpty => moved | WatchMask::CREATE | WatchMask::MOVED_TO,
            PathTest::Changed => {
                moved | WatchMask::CLOSE_WRITE | WatchMask::CREATE | WatchMask::DELETE | WatchMask::MOVE
            }
            PathTest::Modified => {
                let changed = WatchMask::CLOSE_WRITE | WatchMask::CREATE | WatchMask::DELETE | WatchMask::MOVE;
                moved | changed | WatchMask::MODIFY
            }
        };
        let is_there = |path: &Path| path.symlink_metadata().is_ok();
        let mut places = Vec::new();
        let mut missing = !is_there(&self.path);
        if !missing {
            places.push((self.path.clone(), own));
        }
        for parent in self.path.ancestors().skip(1).filter(|parent| is_there(parent)) {
            // The first that is there is where the next one comes.
            let also = if missing {
                WatchMask::CREATE | WatchMask::MOVED_TO
            } else {
                WatchMask::empty()
            };
            missing = false;
            places.push((parent.to_owned(), moved | also));
        }
        places
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const UNIT: UnitId = UnitId(7);

    struct Play {
        paths: Paths,
        dir: tempfile::TempDir,
    }

    impl Play {
        fn new(test: PathTest, name: &str) -> Self {
            let dir = tempfile::tempdir().unwrap();
            let mut paths = Paths::new().unwrap();
            let watched = WatchedPath::of(test, dir.path().join(name));
            paths.set(UNIT, &[watched]);
            paths.watch(UNIT, true);
            Self { paths, dir }
        }

        fn comes(&mut self) -> bool {
            self.paths.on_readable();
            !self.paths.take_due().is_empty()
        }

        fn at(&self, name: &str) -> PathBuf {
            self.dir.path().join(name)
        }
    }

    #[test]
    fn a_path_that_comes_with_the_directories_above_it() {
        let mut play = Play::new(PathTest::Exists, "a/b/go");
        assert!(!play.comes());
        fs::create_dir(play.at("a")).unwrap();
        assert!(!play.comes());
        fs::create_dir(play.at("a/b")).unwrap();
        assert!(!play.comes());
        fs::write(play.at("a/b/go"), "").unwrap();
        assert!(play.comes());
        assert!(play.comes(), "as long as it is there");
        fs::remove_dir_all(play.at("a")).unwrap();
        assert!(!play.comes());
        fs::create_dir_all(play.at("a/b")).unwrap();
        fs::write(play.at("a/b/go"), "").unwrap();
        assert!(play.comes(), "a directory that was made anew is found");
    }

    #[test]
    fn a_change_is_told_once() {
        let mut play = Play::new(PathTest::Changed, "file");
        assert!(!play.comes());
        fs::write(play.at("file"), "a").unwrap();
        assert!(play.comes() && !play.comes());
        fs::write(play.at("file"), "b").unwrap();
        assert!(play.comes() && !play.comes());
        // Another file in its place, as editors save.
        fs::write(play.at("new"), "c").unwrap();
        assert!(!play.comes());
        fs::rename(play.at("new"), play.at("file")).unwrap();
        assert!(play.comes() && !play.comes());
        fs::write(play.at("file"), "d").unwrap();
        assert!(play.comes() && !play.comes());
        fs::remove_file(play.at("file")).unwrap();
        assert!(play.comes() && !play.comes());
    }

    #[test]
    fn what_happens_while_it_runs_is_no_trigger_but_what_is_there_after_it() {
        let mut play = Play::new(PathTest::Changed, "file");
        fs::write(play.at("file"), "a").unwrap();
        assert!(play.comes());
        play.paths.watch(UNIT, false);
        fs::write(play.at("file"), "b").unwrap();
        assert!(!play.comes());
        play.paths.watch(UNIT, true);
        assert!(!play.comes());
        play.paths.watch(UNIT, false);
        fs::remove_file(play.at("file")).unwrap();
        assert!(!play.comes());
        play.paths.watch(UNIT, true);
        assert!(play.comes());
    }

    #[test]
    fn each_write_and_what_is_in_a_directory() {
        use std::io::Write;
        let mut play = Play::new(PathTest::Modified, "file");
        let mut file = fs::File::create(play.at("file")).unwrap();
        assert!(play.comes());
        file.write_all(b"x").unwrap();
        assert!(play.comes(), "it is not closed yet");
        let mut play = Play::new(PathTest::DirectoryNotEmpty, "spool");
        fs::create_dir(play.at("spool")).unwrap();
        assert!(!play.comes());
        fs::write(play.at("spool/job"), "").unwrap();
        assert!(play.comes());
        fs::remove_file(play.at("spool/job")).unwrap();
        assert!(!play.comes());
    }
}
