//! What the store keeps though nobody names it: found, told, and taken away.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use super::budget::{self, Budget, Verdict};
use super::document::Document;
use super::{Digest, Error, Result, Store};

/// What can go.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Garbage {
    /// Images that have names and give way to a budget.
    pub verdict: Verdict,
    /// Images without a name, by their manifests.
    pub unnamed: Vec<Digest>,
    /// Blobs that no image has, with their sizes in bytes.
    pub blobs: Vec<(Digest, u64)>,
    /// Layers' directories whose blob no image has, with what they take on the disk.
    pub layers: Vec<(Digest, u64)>,
    /// What processes that were cut off have left.
    pub unfinished: Vec<PathBuf>,
}

impl Garbage {
    /// Bytes that become free.
    pub fn size(&self) -> u64 {
        self.blobs.iter().chain(&self.layers).map(|(_, size)| size).sum()
    }
}

impl Store {
    /// What [`Store::collect`] would take away.
    ///
    /// # Errors
    /// The store cannot be read. A document that cannot be read is an error too: what it names is not known.
    pub fn garbage(&self, budget: Option<&Budget>) -> Result<Garbage> {
        let verdict = budget.map_or_else(|| Ok(Verdict::default()), |budget| self.idle(budget))?;
        self.garbage_after(verdict)
    }

    fn garbage_after(&self, verdict: Verdict) -> Result<Garbage> {
        let gone: BTreeSet<Digest> = verdict.idle.iter().map(|idle| idle.image).collect();
        let (mut used, mut unnamed) = (BTreeSet::new(), Vec::new());
        let pinned = super::pins::pinned(&self.path(""));
        for image in pinned.iter().filter(|image| self.has(**image)) {
            used.extend(self.blobs_of(*image)?);
        }
        for reference in self.references()? {
            match reference.name {
                Some(_) if gone.contains(&reference.digest) => {}
                Some(_) => used.extend(self.blobs_of(reference.digest)?),
                None if pinned.contains(&reference.digest) => {}
                None => unnamed.push(reference.digest),
            }
        }
        let unused = |below: &str| -> Result<Vec<(Digest, u64)>> {
            let found = self.entries(below)?.into_iter().filter_map(|path| {
                let digest = Digest::of_hex(path.file_name()?.to_str()?)?;
                (!used.contains(&digest)).then(|| (digest, budget::disk_usage(&path)))
            });
            Ok(found.collect())
        };
        Ok(Garbage {
            verdict,
            unnamed,
            blobs: unused("blobs/sha256")?,
            layers: unused("layers")?,
            unfinished: self.entries("ingest")?,
        })
    }

    /// A manifest and all that it names.
    pub(super) fn blobs_of(&self, manifest: Digest) -> Result<Vec<Digest>> {
        let mut all = vec![manifest];
        if let Document::Manifest(manifest) = Document::read(&self.document(manifest)?, None)? {
            all.extend(manifest.blobs().map(|blob| blob.digest));
        }
        Ok(all)
    }

    /// Takes away what no name leads to, and what gives way to a budget. None: somebody adds to the store at this time,
    /// and nothing was done.
    ///
    /// # Errors
    /// As [`Store::garbage`]; what cannot be removed.
    pub fn collect(&self, budget: Option<&Budget>) -> Result<Option<Garbage>> {
        let Some(_alone) = self.alone()? else { return Ok(None) };
        let verdict = budget.map_or_else(|| Ok(Verdict::default()), |budget| self.idle(budget))?;
        // The names first: no unit finds it from now on, and one that has found it by now has noted that.
        self.change_references(|all| {
            all.retain(|one| !verdict.idle.iter().any(|idle| idle.image == one.digest));
            Ok(())
        })?;
        let garbage = self.garbage_after(verdict)?;
        self.change_references(|all| {
            all.retain(|one| !garbage.unnamed.contains(&one.digest) || one.name.is_some());
            Ok(())
        })?;
        // A layer's directory goes out of its place whole, so that a half of it is never taken for it.
        for (layer, _) in &garbage.layers {
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
