//! Writing images out: an OCI layout in a directory or an archive, or what `docker load` reads.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use serde_json::json;

use crate::image::compression;
use crate::image::document::{Descriptor, Index, media_type};
use crate::image::hashing::HashingReader;
use crate::image::name::annotation::NAME;
use crate::image::references::Reference;
use crate::image::store::{Image, LAYOUT};
use crate::image::{Digest, Error, Result, Store};

/// What an archive is written as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// An OCI image layout.
    Oci,
    /// What `docker save` writes, and every `docker load` reads: layers without compression.
    Docker,
}

/// Writes images as an archive.
///
/// # Errors
/// An image that is not whole; what the archive is written to.
pub fn save(store: &Store, images: &[Reference], form: Form, to: &mut dyn Write) -> Result<()> {
    let mut archive = Archive(tar::Builder::new(to));
    match form {
        Form::Oci => layout(store, images, &mut archive)?,
        Form::Docker => docker(store, images, &mut archive)?,
    }
    archive.0.finish().map_err(Error::of("archive"))
}

/// Writes images as an OCI layout into a directory that is not there yet, or is empty.
///
/// # Errors
/// As [`save`]; refused: something is there.
pub fn save_to_directory(store: &Store, images: &[Reference], to: &Path) -> Result<()> {
    fs::create_dir_all(to.join("blobs/sha256")).map_err(Error::at(to))?;
    if to.join("index.json").exists() {
        return Err(Error::failed(to.display(), "has a layout already"));
    }
    layout(store, images, &mut Directory(to.to_owned()))
}

/// Compresses what is written to it by gzip; to be finished by `finish`.
pub fn gzip<W: Write>(to: W) -> flate2::write::GzEncoder<W> {
    flate2::write::GzEncoder::new(to, flate2::Compression::default())
}

/// Compresses what is written to it by Zstandard; to be finished by `finish`.
///
/// # Errors
/// There is no memory for it.
pub fn zstd<W: Write>(to: W) -> io::Result<zstd::Encoder<'static, W>> {
    zstd::Encoder::new(to, zstd::DEFAULT_COMPRESSION_LEVEL)
}

/// Where members go.
trait Sink {
    fn put(&mut self, name: &str, size: u64, from: &mut dyn Read) -> io::Result<()>;
}

struct Archive<'a>(tar::Builder<&'a mut dyn Write>);

impl Sink for Archive<'_> {
    fn put(&mut self, name: &str, size: u64, from: &mut dyn Read) -> io::Result<()> {
        // The same images give the same bytes: no time, no owner.
        let mut header = tar::Header::new_ustar();
        header.set_size(size);
        header.set_mode(0o644);
        header.set_mtime(0);
        self.0.append_data(&mut header, name, from.take(size))
    }
}

struct Directory(PathBuf);

impl Sink for Directory {
    fn put(&mut self, name: &str, _size: u64, from: &mut dyn Read) -> io::Result<()> {
        let mut file = File::create(self.0.join(name))?;
        io::copy(from, &mut file)?;
        file.sync_all()
    }
}

fn layout(store: &Store, images: &[Reference], to: &mut dyn Sink) -> Result<()> {
    let mut put = |name: &str, bytes: &[u8]| to.put(name, bytes.len() as u64, &mut &*bytes).map_err(Error::of(name));
    put("oci-layout", LAYOUT)?;
    let index = Index {
        schema_version: 2,
        media_type: Some(media_type::INDEX.to_owned()),
        manifests: images.iter().map(entry).collect(),
    };
    put(
        "index.json",
        &serde_json::to_vec(&index).map_err(|error| Error::failed("index.json", error))?,
    )?;
    let mut blobs = BTreeMap::new();
    for reference in images {
        let image = store.image(reference.digest)?;
        let manifest = Descriptor::new(&reference.media_type, reference.digest, reference.size);
        let all = image.manifest.blobs().cloned().chain([manifest]);
        blobs.extend(all.map(|blob| (blob.digest, blob)));
    }
    for blob in blobs.values() {
        let name = format!("blobs/sha256/{}", blob.digest.hex());
        copy_verified(store, blob, &name, to)?;
    }
    Ok(())
}

fn entry(reference: &Reference) -> Descriptor {
    let mut entry = Descriptor::new(&reference.media_type, reference.digest, reference.size);
    if let Some(name) = &reference.name {
        entry.annotations.insert(NAME.to_owned(), name.to_string());
    }
    entry
}

/// Hands a blob on, and fails behind its last byte if it was not what its digest says.
fn copy_verified(store: &Store, blob: &Descriptor, name: &str, to: &mut dyn Sink) -> Result<()> {
    let mut from = HashingReader::new(store.blob(blob)?);
    to.put(name, blob.size, &mut from).map_err(Error::of(name))?;
    match from.seen.digest() == blob.digest {
        true => Ok(()),
        false => Err(Error::refused(
            format_args!("blob {}", blob.digest),
            "has been changed on disk",
        )),
    }
}

fn docker(store: &Store, images: &[Reference], to: &mut dyn Sink) -> Result<()> {
    // Names of one image are one entry; a layer that several have is written once.
    let mut all: Vec<(Image, Vec<String>)> = Vec::new();
    for reference in images {
        let tag = reference
            .name
            .as_ref()
            .map(ToString::to_string)
            .filter(|name| !name.contains('@'));
        match all.iter_mut().find(|(image, _)| image.digest == reference.digest) {
            Some((_, tags)) => tags.extend(tag),
            None => all.push((store.image(reference.digest)?, tag.into_iter().collect())),
        }
    }
    let mut written = std::collections::BTreeSet::new();
    let mut list = Vec::new();
    for (image, tags) in &all {
        let config = format!("{}.json", image.id().hex());
        if written.insert(image.id()) {
            to.put(&config, image.config_bytes.len() as u64, &mut &*image.config_bytes)
                .map_err(Error::of(&config))?;
        }
        let mut layers = Vec::new();
        for (layer, diff_id) in image.manifest.layers.iter().zip(&image.config.rootfs.diff_ids) {
            let name = format!("{}.tar", diff_id.hex());
            if written.insert(*diff_id) {
                put_plain(store, layer, *diff_id, &name, to)?;
            }
            layers.push(name);
        }
        list.push(json!({ "Config": config, "RepoTags": tags, "Layers": layers }));
    }
    let list = json!(list).to_string();
    to.put("manifest.json", list.len() as u64, &mut list.as_bytes())
        .map_err(Error::of("manifest.json"))
}

/// Writes a layer without its compression. An archive wants the size first, so it is read twice: the first time to count
/// and to verify.
fn put_plain(store: &Store, layer: &Descriptor, diff_id: Digest, name: &str, to: &mut dyn Sink) -> Result<()> {
    let what = format!("layer {}", layer.digest);
    let (reader, _) = compression::reader(store.blob(layer)?).map_err(Error::of(&what))?;
    let (digest, size) = Digest::of_reader(reader).map_err(Error::of(&what))?;
    if digest != diff_id {
        return Err(Error::refused(
            what,
            format_args!("is {digest} without compression, not {diff_id}"),
        ));
    }
    let (mut reader, _) = compression::reader(store.blob(layer)?).map_err(Error::of(&what))?;
    to.put(name, size, &mut reader).map_err(Error::of(what))
}
