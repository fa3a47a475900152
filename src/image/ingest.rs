//! Blobs on their way in: counted and hashed as they are written, named only when they are what they should be.
//!
//! A blob has one file under way, `ingest/HEX.part`, whoever takes it in: two that want the same blob wait for one
//! another by flock(2), and what a process that was cut off or killed has left is gone on with.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

use super::compression::refuse;
use super::document::Descriptor;
use super::hashing::Hashing;
use super::{Digest, Error, Result, Store};

/// A blob that is being written. Dropped without [`Ingest::finish`], what is there stays for the next one.
pub struct Ingest {
    file: File,
    part: PathBuf,
    whole: PathBuf,
    digest: Digest,
    size: u64,
    seen: Hashing,
}

impl Ingest {
    pub(super) fn begin(store: &Store, blob: &Descriptor) -> Result<Option<Self>> {
        let whole = store.blob_path(blob.digest);
        let part = store.path("ingest").join(format!("{}.part", blob.digest.hex()));
        loop {
            if whole.is_file() {
                return Ok(None);
            }
            let mut options = OpenOptions::new();
            options.read(true).write(true).create(true).truncate(false).mode(0o600);
            let file = options.open(&part).map_err(Error::at(&part))?;
            flock(file.as_fd(), FlockOperation::LockExclusive).map_err(|error| Error::at(&part)(error.into()))?;
            // Whoever had it before may have made a blob of it, or cleared it away.
            if !is_still(&file, &part) {
                continue;
            }
            let mut ingest = Self {
                file,
                part,
                whole,
                digest: blob.digest,
                size: blob.size,
                seen: Hashing::default(),
            };
            ingest.resume()?;
            return Ok(Some(ingest));
        }
    }

    /// Reads what an earlier process has written.
    fn resume(&mut self) -> Result<()> {
        let mut there = (&self.file).take(self.size.saturating_add(1));
        io::copy(&mut there, &mut self.seen).map_err(Error::at(&self.part))?;
        match self.seen.size > self.size {
            true => self.restart(),
            false => Ok(()),
        }
    }

    /// How many bytes are there already: what is written next is what follows them.
    pub fn begun(&self) -> u64 {
        self.seen.size
    }

    /// Forgets what is there.
    ///
    /// # Errors
    /// As ftruncate(2).
    pub fn restart(&mut self) -> Result<()> {
        self.seen = Hashing::default();
        let mut empty = || -> io::Result<()> {
            self.file.set_len(0)?;
            self.file.seek(SeekFrom::Start(0))?;
            Ok(())
        };
        empty().map_err(Error::at(&self.part))
    }

    /// Names it, after its bytes are on the disk.
    ///
    /// # Errors
    /// Refused: another size or digest, and then nothing of it is kept. Otherwise as fsync(2) and rename(2).
    pub fn finish(self) -> Result<()> {
        let what = format!("blob {}", self.digest);
        let (size, digest) = (self.seen.size, self.seen.digest());
        let wrong = match (size == self.size, digest == self.digest) {
            (false, _) => Some(format!("is {size} bytes long, not {}", self.size)),
            (_, false) => Some(format!("has the digest {digest}")),
            (true, true) => None,
        };
        if let Some(why) = wrong {
            let _ = fs::remove_file(&self.part);
            return Err(Error::refused(what, why));
        }
        let publish = || -> io::Result<()> {
            self.file.sync_all()?;
            fs::rename(&self.part, &self.whole)?;
            sync_parent(&self.whole)
        };
        publish().map_err(Error::of(what))
    }
}

impl Write for Ingest {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if bytes.len() as u64 > self.size.saturating_sub(self.seen.size) {
            return Err(refuse(format!("is longer than {} bytes", self.size)));
        }
        let count = self.file.write(bytes)?;
        self.seen.write_all(bytes.get(..count).unwrap_or_default())?;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Whether a path still leads to the file that was opened by it.
pub(super) fn is_still(file: &File, path: &Path) -> bool {
    match (file.metadata(), fs::symlink_metadata(path)) {
        (Ok(open), Ok(named)) => (open.dev(), open.ino()) == (named.dev(), named.ino()),
        _ => false,
    }
}

/// Makes a rename last over a power cut.
pub(super) fn sync_parent(path: &Path) -> io::Result<()> {
    path.parent().map_or(Ok(()), |parent| File::open(parent)?.sync_all())
}
