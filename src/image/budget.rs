//! A store that may have so many bytes: which images give way. The one that was used the longest time ago goes first; what
//! a unit runs, what it ran well before ([`super::pins`]), and what the caller names stays, whatever that costs.
//!
//! An image is used when it gets a name and when a unit starts with it, and the time of that is its manifest's own
//! ([`super::pins::touch`]).

use std::collections::BTreeSet;
use std::collections::btree_map::{BTreeMap, Entry};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::SystemTime;

use super::{Digest, Error, Name, Result, Store};

/// What a store may have.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Budget {
    /// Of blobs and of unpacked layers together.
    pub bytes: u64,
    /// These stay too.
    pub keep: Vec<Digest>,
}

/// An image that gives way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Idle {
    /// Of its manifest.
    pub image: Digest,
    #[allow(missing_docs)]
    pub names: Vec<Name>,
    /// What becomes free, once those before it have gone.
    pub bytes: u64,
    /// When it was used last.
    pub used: SystemTime,
}

/// What comes of a budget.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// In the order in which they go.
    pub idle: Vec<Idle>,
    /// Bytes that are still too many: all that is left is to stay.
    pub over: u64,
}

/// An image that is here, with its names; none: only a unit has it.
struct Held {
    names: Vec<Name>,
    pieces: BTreeSet<Digest>,
    used: SystemTime,
}

impl Store {
    /// Which images give way to a budget; what nobody names is gone by then.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn idle(&self, budget: &Budget) -> Result<Verdict> {
        let mut stay: BTreeSet<Digest> = super::pins::pinned(&self.path("")).into_iter().collect();
        stay.extend(&budget.keep);
        let held = self.held(&stay)?;
        let (mut sizes, mut owners) = (BTreeMap::new(), BTreeMap::<Digest, usize>::new());
        for piece in held.values().flat_map(|held| &held.pieces) {
            *owners.entry(*piece).or_default() += 1;
            sizes.entry(*piece).or_insert_with(|| self.size_of(*piece));
        }
        let mut total: u64 = sizes.values().sum();
        let mut images: Vec<(Digest, Held)> = held.into_iter().filter(|(image, _)| !stay.contains(image)).collect();
        images.sort_by_key(|(image, held)| (held.used, *image));
        let mut idle = Vec::new();
        for (image, held) in images {
            if total <= budget.bytes {
                break;
            }
            let mut bytes = 0;
            for piece in &held.pieces {
                let left = owners.entry(*piece).or_insert(1);
                *left -= 1;
                bytes += if *left == 0 {
                    sizes.get(piece).copied().unwrap_or_default()
                } else {
                    0
                };
            }
            total = total.saturating_sub(bytes);
            idle.push(Idle {
                image,
                names: held.names,
                bytes,
                used: held.used,
            });
        }
        let over = total.saturating_sub(budget.bytes);
        Ok(Verdict { idle, over })
    }

    /// Images with a name, and those that are to stay without one.
    fn held(&self, stay: &BTreeSet<Digest>) -> Result<BTreeMap<Digest, Held>> {
        let named = self
            .references()?
            .into_iter()
            .filter_map(|one| Some((one.digest, Some(one.name?))));
        let unnamed = stay
            .iter()
            .filter(|image| self.has(**image))
            .map(|image| (*image, None));
        let mut all = BTreeMap::new();
        for (image, name) in named.chain(unnamed) {
            let held = match all.entry(image) {
                Entry::Occupied(entry) => entry.into_mut(),
                Entry::Vacant(entry) => entry.insert(self.held_now(image)?),
            };
            held.names.extend(name);
        }
        Ok(all)
    }

    fn held_now(&self, image: Digest) -> Result<Held> {
        let path = self.blob_path(image);
        let used = fs::metadata(&path).and_then(|met| met.modified());
        Ok(Held {
            names: Vec::new(),
            pieces: self.blobs_of(image)?.into_iter().collect(),
            used: used.map_err(Error::at(&path))?,
        })
    }

    /// A blob and what it was unpacked to.
    fn size_of(&self, piece: Digest) -> u64 {
        let blob = fs::symlink_metadata(self.blob_path(piece)).map_or(0, |met| met.blocks() * BLOCK_BYTES);
        blob + disk_usage(&self.layer_path(piece))
    }
}

/// What st_blocks counts in; inode(7).
const BLOCK_BYTES: u64 = 512;

/// What a tree takes on its disk: a file of several names once. Nothing, where there is none; what goes meanwhile is not
/// counted.
pub(super) fn disk_usage(tree: &Path) -> u64 {
    let (mut bytes, mut seen) = (0, BTreeSet::new());
    let mut ahead = vec![tree.to_owned()];
    while let Some(path) = ahead.pop() {
        let Ok(met) = fs::symlink_metadata(&path) else { continue };
        if met.is_dir() {
            let entries = fs::read_dir(&path).into_iter().flatten().flatten();
            ahead.extend(entries.map(|entry| entry.path()));
        } else if met.nlink() > 1 && !seen.insert(met.ino()) {
            continue;
        }
        bytes += met.blocks() * BLOCK_BYTES;
    }
    bytes
}
