//! The store: an OCI image layout on disk, that any tool of the trade can read, and unpacked layers beside it.
//!
//! ```text
//! oci-layout  index.json        the layout; index.json holds the names ([`super::references`])
//! blobs/sha256/HEX              verified before they had this name ([`super::ingest`])
//! layers/HEX/                   unpacked, by the digest of the blob ([`super::layer`])
//! ingest/                       what is under way; whatever a killed process left is taken up again or cleared away
//! lock  names.lock              held shared by who adds, and alone by who takes away; by who changes names
//! ```
//!
//! A name appears by rename(2) after fsync(2), a blob before what names it: after a kill or a power cut at any step the
//! store is what it was, or what it was to become. All of it is for its owner alone (0700): layers hold programs with
//! set-user-ID bits (CVE-2021-41103).

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

use super::document::{Config, DOCUMENT_BYTES_MAX, Descriptor, Document, Manifest, media_type};
use super::ingest::Ingest;
use super::{Digest, Error, Result};

/// The content of the file `oci-layout`.
pub const LAYOUT: &[u8] = br#"{"imageLayoutVersion":"1.0.0"}"#;

/// Images on disk.
#[derive(Debug)]
pub struct Store {
    root: PathBuf,
}

/// While it lives nothing is taken out of the store; or, taken alone, nobody else adds.
#[derive(Debug)]
pub struct Lock(#[allow(dead_code, reason = "the lock ends with the descriptor")] File);

/// A manifest with its configuration.
#[derive(Clone, Debug)]
pub struct Image {
    /// Of the manifest: what a registry knows it by.
    pub digest: Digest,
    /// Of the manifest.
    pub media_type: String,
    #[allow(missing_docs)]
    pub manifest: Manifest,
    #[allow(missing_docs)]
    pub config: Config,
    /// The configuration as it came.
    pub config_bytes: Vec<u8>,
}

impl Image {
    /// What Docker calls the image's id: the digest of its configuration.
    pub fn id(&self) -> Digest {
        self.manifest.config.digest
    }

    /// All of its blobs, compressed as they are, in bytes.
    pub fn size(&self) -> u64 {
        self.manifest.blobs().map(|blob| blob.size).sum()
    }
}

impl Store {
    /// Opens the store in this directory, which is made if it is not there.
    ///
    /// # Errors
    /// It cannot be made, or belongs to another user.
    pub fn open(root: &Path) -> Result<Self> {
        let store = Self { root: root.to_owned() };
        let private = |path: &Path| DirBuilder::new().recursive(true).mode(0o700).create(path);
        private(root).map_err(Error::at(root))?;
        store.keep_private()?;
        for folder in ["blobs/sha256", "layers", "ingest"] {
            let path = store.path(folder);
            private(&path).map_err(Error::at(&path))?;
        }
        if !store.path("oci-layout").exists() {
            store.replace("oci-layout", LAYOUT)?;
        }
        Ok(store)
    }

    fn keep_private(&self) -> Result<()> {
        let met = fs::symlink_metadata(&self.root).map_err(Error::at(&self.root))?;
        if !met.is_dir() || met.uid() != rustix::process::geteuid().as_raw() {
            return Err(Error::failed(
                self.root.display(),
                "is not a directory of this user's own",
            ));
        }
        if met.mode() & 0o077 != 0 {
            fs::set_permissions(&self.root, fs::Permissions::from_mode(0o700)).map_err(Error::at(&self.root))?;
        }
        Ok(())
    }

    /// A place in the store.
    pub fn path(&self, below: &str) -> PathBuf {
        self.root.join(below)
    }

    /// Where a blob is, or will be.
    pub fn blob_path(&self, digest: Digest) -> PathBuf {
        self.path("blobs/sha256").join(digest.hex())
    }

    /// Where a layer's directory is, or will be.
    pub fn layer_path(&self, digest: Digest) -> PathBuf {
        self.path("layers").join(digest.hex())
    }

    /// What adds holds this, so that nothing is taken away that it has found here.
    ///
    /// # Errors
    /// As flock(2).
    pub fn adding(&self) -> Result<Lock> {
        self.lock("lock", FlockOperation::LockShared)
    }

    /// What takes away holds this. None: somebody adds.
    ///
    /// # Errors
    /// As flock(2).
    pub fn alone(&self) -> Result<Option<Lock>> {
        let file = self.lock_file("lock")?;
        match flock(file.as_fd(), FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Some(Lock(file))),
            Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
            Err(error) => Err(Error::at(&self.path("lock"))(error.into())),
        }
    }

    pub(super) fn lock(&self, name: &str, operation: FlockOperation) -> Result<Lock> {
        let file = self.lock_file(name)?;
        flock(file.as_fd(), operation).map_err(|error| Error::at(&self.path(name))(error.into()))?;
        Ok(Lock(file))
    }

    fn lock_file(&self, name: &str) -> Result<File> {
        let path = self.path(name);
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(false).mode(0o600);
        options.open(&path).map_err(Error::at(&path))
    }

    /// Puts a small file in the place of another, all or nothing.
    ///
    /// # Errors
    /// As open(2), write(2), fsync(2) and rename(2).
    pub(super) fn replace(&self, name: &str, bytes: &[u8]) -> Result<()> {
        let next = self.path("ingest").join(format!("{name}.{}", std::process::id()));
        let path = self.path(name);
        let write = || -> std::io::Result<()> {
            let mut options = OpenOptions::new();
            let mut file = options
                .write(true)
                .create(true)
                .truncate(true)
                .mode(0o600)
                .open(&next)?;
            file.write_all(bytes)?;
            file.sync_all()?;
            fs::rename(&next, &path)?;
            File::open(&self.root)?.sync_all()
        };
        write().map_err(|error| {
            let _ = fs::remove_file(&next);
            Error::at(&path)(error)
        })
    }

    /// Whether a blob is here, whole.
    pub fn has(&self, digest: Digest) -> bool {
        self.blob_path(digest).is_file()
    }

    /// Opens a blob of the size that its descriptor says.
    ///
    /// # Errors
    /// It is not here, or has another size.
    pub fn blob(&self, blob: &Descriptor) -> Result<File> {
        let path = self.blob_path(blob.digest);
        let file = File::open(&path).map_err(Error::of(format_args!("blob {}", blob.digest)))?;
        let size = file.metadata().map_err(Error::at(&path))?.len();
        if size != blob.size {
            let why = format!("is {size} bytes long, not {}", blob.size);
            return Err(Error::refused(format_args!("blob {}", blob.digest), why));
        }
        Ok(file)
    }

    /// Reads a document, and verifies it once more.
    ///
    /// # Errors
    /// It is not here, is too large, or is not what its digest says.
    pub fn document(&self, digest: Digest) -> Result<Vec<u8>> {
        let what = format!("blob {digest}");
        let file = File::open(self.blob_path(digest)).map_err(Error::of(&what))?;
        let mut bytes = Vec::new();
        let mut capped = file.take(DOCUMENT_BYTES_MAX + 1);
        capped.read_to_end(&mut bytes).map_err(Error::of(&what))?;
        if bytes.len() as u64 > DOCUMENT_BYTES_MAX {
            return Err(Error::refused(what, "is too large for a document"));
        }
        match Digest::of(&bytes) == digest {
            true => Ok(bytes),
            false => Err(Error::refused(what, "has been changed on disk")),
        }
    }

    /// Begins to take in a blob; None: it is here already. Waits for another process that takes in the same one.
    ///
    /// # Errors
    /// As open(2) and flock(2).
    pub fn ingest(&self, blob: &Descriptor) -> Result<Option<Ingest>> {
        Ingest::begin(self, blob)
    }

    /// Takes in all that can be read.
    ///
    /// # Errors
    /// Refused: another size or digest.
    pub fn take_in(&self, blob: &Descriptor, mut from: impl Read) -> Result<()> {
        let Some(mut ingest) = self.ingest(blob)? else {
            return Ok(());
        };
        ingest.restart()?;
        std::io::copy(&mut from, &mut ingest).map_err(Error::of(format_args!("blob {}", blob.digest)))?;
        ingest.finish()
    }

    /// Takes in bytes that are at hand.
    ///
    /// # Errors
    /// As [`Store::take_in`].
    pub fn put(&self, media_type: &str, bytes: &[u8]) -> Result<Descriptor> {
        let blob = Descriptor::of(media_type, bytes);
        self.take_in(&blob, bytes)?;
        Ok(blob)
    }

    /// Reads an image: its manifest, its configuration, and whether its layers are here.
    ///
    /// # Errors
    /// Refused: as [`Document::read`] and [`Config::read`]; a blob that is missing or has another size.
    pub fn image(&self, digest: Digest) -> Result<Image> {
        let manifest = match Document::read(&self.document(digest)?, None)? {
            Document::Manifest(manifest) => manifest,
            Document::Index(_) => return Err(Error::refused(format_args!("manifest {digest}"), "is an index")),
        };
        let config_bytes = self.document(manifest.config.digest)?;
        let config = Config::read(&config_bytes, manifest.layers.len())?;
        for blob in manifest.blobs() {
            self.blob(blob)?;
        }
        let media_type = manifest
            .media_type
            .clone()
            .unwrap_or_else(|| media_type::MANIFEST.to_owned());
        Ok(Image {
            digest,
            media_type,
            manifest,
            config,
            config_bytes,
        })
    }
}
