//! Which image each unit was started with last: files `units/NAME` of the store, each with a manifest's digest. What runs,
//! and what ran last, is not taken away though its name now leads elsewhere.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use super::Digest;

fn place(store: &Path) -> PathBuf {
    store.join("units")
}

/// Notes what a unit is started with.
///
/// # Errors
/// As mkdir(2), write(2) and rename(2).
pub fn pin(store: &Path, unit: &str, image: Digest) -> io::Result<()> {
    let path = place(store).join(unit);
    let text = image.to_string();
    if fs::read_to_string(&path).is_ok_and(|before| before == text) {
        return Ok(());
    }
    DirBuilder::new().recursive(true).mode(0o700).create(place(store))?;
    // No unit has such a name.
    let next = place(store).join(format!(".{unit}"));
    fs::write(&next, text)?;
    fs::rename(next, path)
}

/// Forgets what is noted of other units than these.
pub fn retain(store: &Path, is_unit: impl Fn(&str) -> bool) {
    for (name, path) in entries(store) {
        if !is_unit(&name) {
            // At the worst an image is kept for longer.
            drop(fs::remove_file(path));
        }
    }
}

/// The images that are noted.
pub fn pinned(store: &Path) -> Vec<Digest> {
    let noted = entries(store).filter_map(|(_, path)| fs::read_to_string(path).ok()?.parse().ok());
    noted.collect()
}

fn entries(store: &Path) -> impl Iterator<Item = (String, PathBuf)> {
    let entries = fs::read_dir(place(store)).into_iter().flatten().flatten();
    entries.filter_map(|entry| Some((entry.file_name().into_string().ok()?, entry.path())))
}
