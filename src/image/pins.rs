//! Which image each unit was started with last, and which it ran well with before: files `units/NAME` of the store, each
//! with the digests of manifests, a line for each; and in one file `generations` those of sets of units that can be put in
//! force again. What runs, what ran last and what there is to go back to is not taken away, though its name now leads
//! elsewhere.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, UTIME_NOW, UTIME_OMIT, utimensat};

use super::Digest;

/// A line for each image that is kept besides.
const KEPT: &str = "generations";

fn place(store: &Path) -> PathBuf {
    store.join("units")
}

/// What is noted of a unit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Pin {
    last: Option<Digest>,
    /// The last one of which a run has ended as it should; before there is any, the one before the last.
    good: Option<Digest>,
}

impl Pin {
    fn read(path: &Path) -> Self {
        let text = fs::read_to_string(path).unwrap_or_default();
        let mut lines = text.lines().map(|line| line.parse().ok());
        Self {
            last: lines.next().flatten(),
            good: lines.next().flatten(),
        }
    }

    fn write(self, store: &Path, unit: &str) -> io::Result<()> {
        DirBuilder::new().recursive(true).mode(0o700).create(place(store))?;
        // No unit has such a name.
        let next = place(store).join(format!(".{unit}"));
        let lines = self.images().map(|image| format!("{image}\n"));
        fs::write(&next, lines.collect::<String>())?;
        fs::rename(next, place(store).join(unit))
    }

    fn images(self) -> impl Iterator<Item = Digest> {
        self.last.into_iter().chain(self.good)
    }
}

/// Notes what a unit is started with.
///
/// # Errors
/// As mkdir(2), write(2) and rename(2).
pub fn pin(store: &Path, unit: &str, image: Digest) -> io::Result<()> {
    touch(store, image);
    let before = Pin::read(&place(store).join(unit));
    if before.last == Some(image) {
        return Ok(());
    }
    let pin = Pin {
        last: Some(image),
        good: before.good.or(before.last),
    };
    pin.write(store, unit)
}

/// What a unit was started with last.
pub fn last(store: &Path, unit: &str) -> Option<Digest> {
    Pin::read(&place(store).join(unit)).last
}

/// Notes that a run of what the unit was started with last has ended as it should.
///
/// # Errors
/// As [`pin`].
pub fn approve(store: &Path, unit: &str) -> io::Result<()> {
    let before = Pin::read(&place(store).join(unit));
    if before.last.is_none() || before.good == before.last {
        return Ok(());
    }
    let pin = Pin {
        good: before.last,
        ..before
    };
    pin.write(store, unit)
}

/// An image is used now: its manifest is as young as that.
pub fn touch(store: &Path, image: Digest) {
    let times = Timestamps {
        last_access: Timespec {
            tv_sec: 0,
            tv_nsec: UTIME_OMIT,
        },
        last_modification: Timespec {
            tv_sec: 0,
            tv_nsec: UTIME_NOW,
        },
    };
    let path = store.join("blobs/sha256").join(image.hex());
    // At the worst it gives way too early.
    let _ = utimensat(CWD, path, &times, AtFlags::empty());
}

/// Forgets what is noted of a unit.
pub fn forget(store: &Path, unit: &str) {
    // At the worst an image is kept for longer.
    let _ = fs::remove_file(place(store).join(unit));
}

/// Forgets what is noted of other units than these.
pub fn retain(store: &Path, is_unit: impl Fn(&str) -> bool) {
    for (name, _) in entries(store).filter(|(name, _)| !is_unit(name)) {
        forget(store, &name);
    }
}

/// The images that are noted.
pub fn pinned(store: &Path) -> Vec<Digest> {
    let noted = entries(store).flat_map(|(_, path)| Pin::read(&path).images());
    let kept = fs::read_to_string(store.join(KEPT)).unwrap_or_default();
    noted.chain(kept.lines().filter_map(|line| line.parse().ok())).collect()
}

/// Notes all images that are kept besides, in the place of those noted before.
///
/// # Errors
/// As write(2) and rename(2).
pub fn keep(store: &Path, images: impl Iterator<Item = String>) -> io::Result<()> {
    let images: std::collections::BTreeSet<String> = images.collect();
    if images.is_empty() && !store.join(KEPT).exists() {
        return Ok(());
    }
    let text: String = images.iter().map(|image| format!("{image}\n")).collect();
    let next = store.join("generations.new");
    fs::write(&next, text)?;
    fs::rename(next, store.join(KEPT))
}

fn entries(store: &Path) -> impl Iterator<Item = (String, PathBuf)> {
    let entries = fs::read_dir(place(store)).into_iter().flatten().flatten();
    entries.filter_map(|entry| Some((entry.file_name().into_string().ok()?, entry.path())))
}
