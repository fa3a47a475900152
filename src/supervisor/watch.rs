//! Unit directories, watched: inotify(7) says "look", and then everything is read again.
//!
//! No event is trusted to say what has changed, so an overflow, a swapped link and an editor's save are all the same.
//! A directory that vanishes, or is replaced by an empty one (an unmount), changes nothing until it is back.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use inotify::{Inotify, WatchDescriptor, WatchMask};

use super::settings::{RELOAD_SETTLE, RELOAD_SETTLE_MAX};
use crate::engine::event::Mono;
use crate::unit::load::toml_files;

/// How often a directory that vanished is looked for: a mount makes no inotify event.
const VANISHED_PAUSE: Duration = Duration::from_millis(500);

/// The watches, and when to read next.
pub struct Watch {
    inotify: Inotify,
    watches: Vec<(PathBuf, WatchDescriptor)>,
    /// Directories that held units when they were last read, with their identity.
    held: Vec<(PathBuf, (u64, u64))>,
    /// The first and the last change since the directories were read.
    dirty: Option<(Mono, Mono)>,
    /// Looked for again at this time.
    vanished: Option<Mono>,
}

impl Watch {
    /// # Errors
    /// As inotify_init1(2).
    pub fn new() -> io::Result<Self> {
        Ok(Self {
            inotify: Inotify::init()?,
            watches: Vec::new(),
            held: Vec::new(),
            dirty: None,
            vanished: None,
        })
    }

    /// Takes the kernel's events; any event means that something may have changed.
    pub fn on_readable(&mut self, now: Mono) {
        self.take_own(Path::new(""), &[], now);
    }

    /// After files of these names in a directory were changed by this program, which has no need to look: takes the
    /// kernel's events of that. Others mean what they always do.
    pub fn take_own(&mut self, dir: &Path, names: &[&OsStr], now: Mono) {
        let mut buffer = [0_u8; 16384];
        let mut is_other = false;
        while let Ok(events) = self.inotify.read_events(&mut buffer) {
            let mut any = false;
            for event in events {
                any = true;
                let is_there = |(path, watch): &(PathBuf, WatchDescriptor)| *watch == event.wd && path == dir;
                let is_own = event.name.is_some_and(|name| names.contains(&name));
                is_other |= !(is_own && self.watches.iter().any(is_there));
            }
            if !any {
                break;
            }
        }
        if is_other {
            self.mark(now);
        }
    }

    /// Something may have changed.
    pub fn mark(&mut self, now: Mono) {
        let first = self.dirty.map_or(now, |(first, _)| first);
        self.dirty = Some((first, now));
    }

    /// The first and the last change that are to be read.
    pub fn due(&self) -> Option<(Mono, Mono)> {
        self.dirty
    }

    /// They are still to be read.
    pub fn set_due(&mut self, due: Option<(Mono, Mono)>) {
        self.dirty = due;
    }

    /// When to read: a settle after the last change, but not for ever after the first.
    pub fn deadline(&self) -> Option<Mono> {
        let settled = self
            .dirty
            .map(|(first, last)| Mono((last.0 + RELOAD_SETTLE).min(first.0 + RELOAD_SETTLE_MAX)));
        [settled, self.vanished].into_iter().flatten().min()
    }

    /// Called right before the directories are read: watches what is there now. False: one of them has vanished, so
    /// what they say now says nothing.
    pub fn begin_read(&mut self, dirs: &[PathBuf], now: Mono) -> Result<(), PathBuf> {
        self.dirty = None;
        self.vanished = None;
        self.rewatch(dirs);
        let gone = self
            .held
            .iter()
            .find(|(dir, identity)| vanished(dir, *identity))
            .map(|(dir, _)| dir.clone());
        if let Some(dir) = gone {
            self.read_again(now);
            return Err(dir);
        }
        self.held = dirs
            .iter()
            .filter(|dir| holds_units(dir))
            .filter_map(|dir| Some((dir.clone(), identity(dir)?)))
            .collect();
        Ok(())
    }

    /// After what was read has said nothing: they are read again after a pause.
    pub fn read_again(&mut self, now: Mono) {
        self.vanished = Some(Mono(now.0 + VANISHED_PAUSE));
    }

    /// Directories that held units when they were last read, with device and inode.
    pub fn held(&self) -> Vec<(Box<str>, (u64, u64))> {
        let held = self.held.iter();
        held.map(|(dir, identity)| (dir.to_string_lossy().into(), *identity))
            .collect()
    }

    /// Those of a former life.
    pub fn restore_held(&mut self, held: Vec<(Box<str>, (u64, u64))>) {
        self.held = held
            .into_iter()
            .map(|(dir, identity)| (PathBuf::from(&*dir), identity))
            .collect();
    }

    fn rewatch(&mut self, dirs: &[PathBuf]) {
        let wanted: BTreeSet<PathBuf> = dirs.iter().flat_map(|dir| places_of(dir)).collect();
        let mut watches = self.inotify.watches();
        let changes = WatchMask::CREATE
            | WatchMask::DELETE
            | WatchMask::MOVE
            | WatchMask::CLOSE_WRITE
            | WatchMask::ATTRIB
            | WatchMask::DELETE_SELF
            | WatchMask::MOVE_SELF
            | WatchMask::ONLYDIR;
        let mut kept = Vec::new();
        for path in wanted {
            // Adding a watch twice gives the same descriptor, and a new one where another directory stands now.
            match watches.add(&path, changes) {
                Ok(descriptor) => kept.push((path, descriptor)),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => tracing::warn!("watch {}: {error}", path.display()),
            }
        }
        for (_, old) in self.watches.drain(..) {
            if !kept.iter().any(|(_, descriptor)| *descriptor == old) {
                // The kernel drops a watch by itself when its directory goes.
                drop(watches.remove(old));
            }
        }
        self.watches = kept;
    }
}

impl AsFd for Watch {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.inotify.as_fd()
    }
}

/// A unit directory, the drop-in directories in it, and the nearest parent that is there (which sees it come, go and
/// be swapped).
fn places_of(dir: &Path) -> Vec<PathBuf> {
    let mut places: Vec<PathBuf> = dir
        .ancestors()
        .skip(1)
        .find(|parent| parent.is_dir())
        .map(Path::to_owned)
        .into_iter()
        .collect();
    if dir.is_dir() {
        places.push(dir.to_owned());
        let entries = fs::read_dir(dir).into_iter().flatten().flatten();
        places.extend(
            entries
                .map(|entry| entry.path())
                .filter(|path| path.extension().is_some_and(|ext| ext == "d") && path.is_dir()),
        );
    }
    places
}

fn vanished(dir: &Path, before: (u64, u64)) -> bool {
    match identity(dir) {
        None => true,
        Some(now) => now != before && !holds_units(dir),
    }
}

fn identity(dir: &Path) -> Option<(u64, u64)> {
    fs::metadata(dir)
        .ok()
        .filter(fs::Metadata::is_dir)
        .map(|meta| (meta.dev(), meta.ino()))
}

/// One that cannot be read may.
fn holds_units(dir: &Path) -> bool {
    toml_files(dir).map_or(true, |files| !files.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_svcd_writes_itself_is_no_reason_to_look() {
        let root = tempfile::tempdir().unwrap();
        let [own, other] = ["own", "other"].map(|name| root.path().join(name));
        for dir in [&own, &other] {
            fs::create_dir(dir).unwrap();
        }
        let mut watch = Watch::new().unwrap();
        let now = Mono::default();
        watch.begin_read(&[own.clone(), other.clone()], now).unwrap();
        let names = ["web.toml", ".web.new"].map(OsStr::new);
        let write_own = || {
            fs::write(own.join(".web.new"), "a").unwrap();
            fs::rename(own.join(".web.new"), own.join("web.toml")).unwrap();
        };
        write_own();
        watch.take_own(&own, &names, now);
        assert_eq!(watch.due(), None);
        // Of anybody else it is: of that name elsewhere, of another name here, and what came meanwhile.
        for file in [other.join("web.toml"), own.join("db.toml")] {
            fs::write(file, "a").unwrap();
            write_own();
            watch.take_own(&own, &names, now);
            assert_eq!(watch.due(), Some((now, now)));
            watch.set_due(None);
        }
        fs::remove_file(own.join("web.toml")).unwrap();
        watch.on_readable(now);
        assert_eq!(watch.due(), Some((now, now)));
    }
}
