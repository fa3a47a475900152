//! Names of images: the entries of the store's `index.json`, each with the annotation that other tools read too.

use std::io;

use rustix::fs::FlockOperation;

use super::document::{Descriptor, Index, media_type};
use super::name::annotation::{NAME, PULLED_AS};
use super::{Digest, Error, Kind, Name, Result, Store};

/// How many letters of an id are enough, if they are only one image's.
const ID_LENGTH_MIN: usize = 4;

/// An entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    /// None: it was loaded without one.
    pub name: Option<Name>,
    /// Of the manifest.
    pub digest: Digest,
    /// Of the manifest.
    pub media_type: String,
    /// Of the manifest, in bytes.
    pub size: u64,
    /// What the registry's tag said.
    pub pulled_as: Option<Digest>,
}

impl Reference {
    fn read(entry: Descriptor) -> Self {
        let text = |key| entry.annotations.get(key).map(String::as_str);
        Self {
            name: text(NAME).and_then(|name| name.parse().ok()),
            pulled_as: text(PULLED_AS).and_then(|digest| digest.parse().ok()),
            digest: entry.digest,
            media_type: entry.media_type,
            size: entry.size,
        }
    }

    fn write(&self) -> Descriptor {
        let mut entry = Descriptor::new(&self.media_type, self.digest, self.size);
        let name = self.name.as_ref().map(|name| (NAME, name.to_string()));
        let pulled = self.pulled_as.map(|digest| (PULLED_AS, digest.to_string()));
        entry.annotations = name
            .into_iter()
            .chain(pulled)
            .map(|(key, text)| (key.to_owned(), text))
            .collect();
        entry
    }
}

impl Store {
    /// All entries, in the order in which they came.
    ///
    /// # Errors
    /// `index.json` cannot be read, or is none.
    pub fn references(&self) -> Result<Vec<Reference>> {
        let path = self.path("index.json");
        let bytes = match std::fs::read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            other => other.map_err(Error::at(&path))?,
        };
        let index: Index = serde_json::from_slice(&bytes).map_err(|error| Error::refused(path.display(), error))?;
        Ok(index.manifests.into_iter().map(Reference::read).collect())
    }

    /// Changes the entries, all or nothing; who else wants to waits.
    ///
    /// # Errors
    /// The change's own; as [`Store::references`]; the file cannot be written.
    pub fn change_references<T>(&self, change: impl FnOnce(&mut Vec<Reference>) -> Result<T>) -> Result<T> {
        let _lock = self.lock("names.lock", FlockOperation::LockExclusive)?;
        let before = self.references()?;
        let mut references = before.clone();
        let changed = change(&mut references)?;
        if references != before {
            let index = Index {
                schema_version: 2,
                media_type: Some(media_type::INDEX.to_owned()),
                manifests: references.iter().map(Reference::write).collect(),
            };
            let bytes = serde_json::to_vec(&index).map_err(|error| Error::failed("index.json", error))?;
            self.replace("index.json", &bytes)?;
        }
        Ok(changed)
    }

    /// Names an image. The name may have been another image's, which keeps its other names.
    ///
    /// # Errors
    /// As [`Store::change_references`].
    pub fn name(&self, reference: Reference) -> Result<()> {
        super::pins::touch(&self.path(""), reference.digest);
        self.change_references(|all| {
            match &reference.name {
                Some(name) => all.retain(|other| other.name.as_ref() != Some(name)),
                None if all.iter().any(|other| other.digest == reference.digest) => return Ok(()),
                None => {}
            }
            // One that had no name has one now.
            all.retain(|other| other.name.is_some() || other.digest != reference.digest);
            all.push(reference);
            Ok(())
        })
    }

    /// Finds an image by a name, by an id, or by the beginning of one.
    ///
    /// # Errors
    /// [`Kind::NoSuchImage`]; refused: letters that several images' ids begin with.
    pub fn find(&self, text: &str) -> Result<Reference> {
        let references = self.references()?;
        let name = text.parse::<Name>().ok();
        let is_named = |one: &&Reference| name.is_some() && one.name == name;
        if let Some(found) = references.iter().find(is_named) {
            return Ok(found.clone());
        }
        let by_digest = |one: &&Reference| match (&name, &one.name, one.pulled_as) {
            (Some(name), Some(own), Some(pulled)) => own.with_digest(pulled) == *name,
            _ => false,
        };
        if let Some(found) = references.iter().find(by_digest) {
            return Ok(found.clone());
        }
        let hex = text.strip_prefix("sha256:").unwrap_or(text);
        let is_id = hex.len() >= ID_LENGTH_MIN && hex.bytes().all(|c| matches!(c, b'0'..=b'9' | b'a'..=b'f'));
        let mut found: Vec<&Reference> = references.iter().filter(|one| is_id && self.has_id(one, hex)).collect();
        found.dedup_by_key(|one| one.digest);
        found.sort_by_key(|one| one.digest);
        found.dedup_by_key(|one| one.digest);
        match found[..] {
            [] => Err(Error::no_such_image(text)),
            [one] => Ok(one.clone()),
            _ => Err(Error::refused(text, "is the beginning of several ids")),
        }
    }

    fn has_id(&self, reference: &Reference, hex: &str) -> bool {
        let id = self.image(reference.digest).map(|image| image.id());
        reference.digest.hex().starts_with(hex) || id.is_ok_and(|id| id.hex().starts_with(hex))
    }

    /// Takes a name away, or with an id all names of that image. What nobody names any more goes by
    /// [`Store::collect`](Store::collect).
    ///
    /// # Errors
    /// As [`Store::find`] and [`Store::change_references`].
    pub fn forget(&self, text: &str) -> Result<Vec<Name>> {
        let found = self.find(text)?;
        let by_name = text.parse::<Name>().is_ok_and(|name| found.name == Some(name));
        self.change_references(|all| {
            let goes = |one: &Reference| match by_name {
                true => one.name == found.name,
                false => one.digest == found.digest,
            };
            let gone = all
                .iter()
                .filter(|one| goes(one))
                .filter_map(|one| one.name.clone())
                .collect();
            all.retain(|one| !goes(one));
            Ok(gone)
        })
    }
}

/// True for an image that is simply not there.
pub fn is_absent(error: &Error) -> bool {
    error.kind == Kind::NoSuchImage
}
