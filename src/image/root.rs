//! What a service gets of the image that is its root: the directories of its layers, and what the configuration says of
//! how it is run. What the unit itself says wins; ports and volumes are not done anything about.
//!
//! svcd reads here what `svc` has verified and unpacked; it hashes nothing. Source: the OCI image specification, config.md.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::name::annotation;
use super::{Digest, Error, Name, Result};
use crate::unit::value::parse_account;
use crate::unit::{Account, Command, Kind, RootFrom, Service, Signal, Unit};

/// The largest manifest, index or configuration that is read: 4 MiB, as registries have it. It is held in memory.
pub const DOCUMENT_BYTES_MAX: u64 = 4 << 20;

const DOCUMENT_BYTES_USUAL: usize = 4096;

#[derive(Deserialize)]
struct Index {
    manifests: Vec<Entry>,
}

#[derive(Deserialize)]
struct Entry {
    digest: Digest,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct Manifest {
    config: Blob,
    layers: Vec<Blob>,
}

#[derive(Deserialize)]
struct Blob {
    digest: Digest,
}

#[derive(Deserialize)]
struct Document {
    #[serde(default)]
    config: Option<Config>,
}

/// How an image is run.
#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Config {
    env: Option<Vec<String>>,
    working_dir: Option<PathBuf>,
    user: Option<String>,
    entrypoint: Option<Vec<String>>,
    cmd: Option<Vec<String>>,
    stop_signal: Option<String>,
}

/// A unit with what its image says.
#[derive(Debug)]
pub struct Dressed {
    #[allow(missing_docs)]
    pub unit: Unit,
    /// Of its image's manifest.
    pub image: Digest,
}

/// The unit as it is with its image, from the store in this directory. None: its root is no image. `kept` is the image that
/// it had, whatever its name means by now, for as long as that is there.
///
/// # Errors
/// [`Kind::NoSuchImage`](super::Kind::NoSuchImage); the store cannot be read; refused: a configuration that nobody can run.
pub fn dressed(store: &Path, unit: &Unit, kept: Option<Digest>) -> Result<Option<Dressed>> {
    let Kind::Service(service) = &unit.kind else {
        return Ok(None);
    };
    let Some(RootFrom::Image(name)) = service.root.as_ref().map(|root| &root.from) else {
        return Ok(None);
    };
    let is_there = |image: &Digest| store.join("blobs/sha256").join(image.hex()).exists();
    let image = match kept.filter(is_there) {
        Some(image) => image,
        None => find(store, name)?,
    };
    let manifest: Manifest = document(store, image)?;
    let layers = manifest.layers.iter().rev().map(|layer| layer_of(store, layer.digest));
    let layers = layers.collect::<Result<Vec<_>>>()?;
    let config: Document = document(store, manifest.config.digest)?;
    let mut service = service.clone();
    if let Some(root) = &mut service.root {
        root.from = RootFrom::Layers(layers);
    }
    let says = |key: &str| unit.origin.place("service", key).is_some();
    apply(config.config.unwrap_or_default(), &mut service, says).map_err(|why| Error::refused(name, why))?;
    let unit = Unit {
        kind: Kind::Service(service),
        ..unit.clone()
    };
    Ok(Some(Dressed { unit, image }))
}

/// The image that the unit's root would be now. None: its root is no image.
///
/// # Errors
/// As [`dressed`].
pub fn digest_of(store: &Path, unit: &Unit) -> Result<Option<Digest>> {
    let Kind::Service(service) = &unit.kind else {
        return Ok(None);
    };
    match service.root.as_ref().map(|root| &root.from) {
        Some(RootFrom::Image(name)) => find(store, name).map(Some),
        Some(RootFrom::Path(_) | RootFrom::Layers(_)) | None => Ok(None),
    }
}

/// The entry point of an image of the store in this directory: the words that come before those of a command; config.md.
///
/// # Errors
/// As [`dressed`].
pub fn entry_point(store: &Path, name: &str) -> Result<Vec<String>> {
    let manifest: Manifest = document(store, find(store, name)?)?;
    let config: Document = document(store, manifest.config.digest)?;
    Ok(config.config.and_then(|config| config.entrypoint).unwrap_or_default())
}

fn find(store: &Path, text: &str) -> Result<Digest> {
    let wanted: Name = text.parse()?;
    let path = store.join("index.json");
    let index: Index = match File::open(&path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Err(Error::no_such_image(text)),
        file => parsed(&path, file.map_err(Error::at(&path))?)?,
    };
    let is_it = |entry: &&Entry| {
        let its = |key| entry.annotations.get(key);
        let name = its(annotation::NAME).and_then(|name| name.parse::<Name>().ok());
        let pulled = its(annotation::PULLED_AS).and_then(|digest| digest.parse().ok());
        name.is_some_and(|name| name == wanted || pulled.is_some_and(|digest| name.with_digest(digest) == wanted))
    };
    let found = index.manifests.iter().find(is_it);
    found
        .map(|entry| entry.digest)
        .ok_or_else(|| Error::no_such_image(text))
}

fn document<T: DeserializeOwned>(store: &Path, digest: Digest) -> Result<T> {
    let path = store.join("blobs/sha256").join(digest.hex());
    let file = File::open(&path).map_err(Error::at(&path))?;
    parsed(&path, file)
}

fn parsed<T: DeserializeOwned>(path: &Path, file: File) -> Result<T> {
    let mut bytes = Vec::with_capacity(DOCUMENT_BYTES_USUAL);
    let mut capped = file.take(DOCUMENT_BYTES_MAX);
    capped.read_to_end(&mut bytes).map_err(Error::at(path))?;
    serde_json::from_slice(&bytes).map_err(|error| Error::refused(path.display(), error))
}

fn layer_of(store: &Path, digest: Digest) -> Result<PathBuf> {
    let path = store.join("layers").join(digest.hex());
    match path.is_dir() {
        true => Ok(path),
        false => Err(Error::failed(format_args!("layer {digest}"), "is not unpacked")),
    }
}

/// Fills in what the unit does not say.
fn apply(config: Config, service: &mut Service, says: impl Fn(&str) -> bool) -> std::result::Result<(), String> {
    let mut environment = BTreeMap::clone(&service.environment);
    for entry in config.env.unwrap_or_default() {
        let Some((name, value)) = entry.split_once('=').filter(|(name, _)| !name.is_empty()) else {
            return Err(format!("has {entry:?} in its environment"));
        };
        if name == "PATH" && service.exec_search_path.is_empty() {
            let directories = value.split(':').filter(|directory| directory.starts_with('/'));
            service.exec_search_path = directories.map(PathBuf::from).collect();
        }
        environment.entry(name.into()).or_insert_with(|| value.into());
    }
    service.environment = Rc::new(environment);
    let directory = config.working_dir.filter(|path| !path.as_os_str().is_empty());
    if let Some(directory) = directory.filter(|_| !says("working-directory")) {
        if !directory.is_absolute() {
            return Err(format!(
                "has the working directory {directory:?}, which is not absolute"
            ));
        }
        service.working_directory = Some(directory);
    }
    let user = config.user.filter(|user| !user.is_empty());
    if let Some(user) = user.filter(|_| !says("user") && !says("dynamic-user")) {
        let (user, group) = match user.split_once(':') {
            Some((user, group)) => (account(user)?, Some(account(group)?)),
            None => (account(&user)?, None),
        };
        service.user = Some(user);
        service.group = service.group.take().or(group);
    }
    if let Some(signal) = config.stop_signal.filter(|_| !says("kill-signal")) {
        service.kill.signal = Signal::parse(&signal).map_err(|why| format!("has the stop signal {signal:?}: {why}"))?;
    }
    let is_own = |command: &Command| !command.program.is_empty();
    if !service.exec_start.iter().any(is_own) {
        let words = [config.entrypoint, config.cmd].into_iter().flatten().flatten();
        let words: Vec<String> = words.collect();
        let command = Command::literal(&words);
        service.exec_start = vec![command.ok_or("has no command, and the unit has no `exec-start`")?];
    }
    Ok(())
}

/// A number in range, or a name: one that looks like a number is none (CVE-2016-3697, CVE-2024-40635).
fn account(text: &str) -> std::result::Result<Account, String> {
    parse_account(text).map_err(|why| format!("has the user {text:?}: {why}"))
}
