//! What the store keeps though nobody names it: found, told, and taken away.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use super::document::Document;
use super::{Digest, Error, Result, Store};

/// What can go.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Garbage {
    /// Images without a name, by their manifests.
    pub unnamed: Vec<Digest>,
    /// Blobs that no image has, with their sizes in bytes.
    pub blobs: Vec<(Digest, u64)>,
    /// Layers' directories whose blob no image has.
    pub layers: Vec<Digest>,
    /// What processes that were cut off have left.
    pub unfinished: Vec<PathBuf>,
}

impl Garbage {
    /// Bytes of blobs that become free; directories are not counted.
    pub fn size(&self) -> u64 {
        self.blobs.iter().map(|(_, size)| size).sum()
    }
}

impl Store {
    /// What [`Store::collect`] would take away.
    ///
    /// # Errors
    /// The store cannot be read. A document that cannot be read is an error too: what it names is not known.
    pub fn garbage(&self) -> Result<Garbage> {
        let (mut used, mut unnamed) = (BTreeSet::new(), Vec::new());
        let pinned = super::pins::pinned(&self.path(""));
        for image in pinned.iter().filter(|image| self.has(**image)) {
            used.extend(self.blobs_of(*image)?);
        }
        for reference in self.references()? {
            match reference.name {
                Some(_) => used.extend(self.blobs_of(reference.digest)?),
                None if pinned.contains(&reference.digest) => {}
                None => unnamed.push(reference.digest),
            }
        }
        let unused = |below: &str| -> Result<Vec<(Digest, u64)>> {
            let found = self.entries(below)?.into_iter().filter_map(|path| {
                let digest = Digest::of_hex(path.file_name()?.to_str()?)?;
                let size = fs::symlink_metadata(&path).map_or(0, |met| met.len());
                (!used.contains(&digest)).then_some((digest, size))
            });
            Ok(found.collect())
        };
        Ok(Garbage {
            unnamed,
            blobs: unused("blobs/sha256")?,
            layers: unused("layers")?.into_iter().map(|(digest, _)| digest).collect(),
            unfinished: self.entries("ingest")?,
        })
    }

    /// A manifest and all that it names.
    fn blobs_of(&self, manifest: Digest) -> Result<Vec<Digest>> {
        let mut all = vec![manifest];
        if let Document::Manifest(manifest) = Document::read(&self.document(manifest)?, None)? {
            all.extend(manifest.blobs().map(|blob| blob.digest));
        }
        Ok(all)
    }

    /// Takes away what no name leads to. None: somebody adds to the store at this time, and nothing was done.
    ///
    /// # Errors
    /// As [`Store::garbage`]; what cannot be removed.
    pub fn collect(&self) -> Result<Option<Garbage>> {
        let Some(_alone) = self.alone()? else { return Ok(None) };
        let garbage = self.garbage()?;
        self.change_references(|all| {
            all.retain(|one| !garbage.unnamed.contains(&one.digest) || one.name.is_some());
            Ok(())
        })?;
        // A layer's directory goes out of its place whole, so that a half of it is never taken for it.
        for layer in &garbage.layers {
            let (from, to) = (self.layer_path(*layer), self.path("ingest").join(layer.hex()));
            fs::rename(&from, &to).map_err(Error::at(&from))?;
            fs::remove_dir_all(&to).map_err(Error::at(&to))?;
        }
        for (blob, _) in &garbage.blobs {
            let path = self.blob_path(*blob);
            fs::remove_file(&path).map_err(Error::at(&path))?;
        }
        for path in &garbage.unfinished {
            let removed = match path.is_dir() {
                true => fs::remove_dir_all(path),
                false => fs::remove_file(path),
            };
            removed.map_err(Error::at(path))?;
        }
        Ok(Some(garbage))
    }

    fn entries(&self, below: &str) -> Result<Vec<PathBuf>> {
        let path = self.path(below);
        let entries = fs::read_dir(&path).map_err(Error::at(&path))?;
        let mut found: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
        found.sort();
        Ok(found)
    }
}
