//! Taking images in: from an OCI layout, or from what `docker save` wrote.

use serde::Deserialize;

use super::source::Source;
use crate::image::document::{Config, Descriptor, Document, INDEX_DEPTH_MAX, Index, Manifest, Platform, media_type};
use crate::image::name::annotation::NAME;
use crate::image::references::Reference;
use crate::image::store::Image;
use crate::image::{Digest, Error, Name, Result, Store};

/// The annotation with which containerd gives the whole name, where the specification's may be the tag alone.
const CONTAINERD_NAME: &str = "io.containerd.image.name";

/// The most images of one archive.
const IMAGES_MAX: usize = 1_000;

/// An image that was taken in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loaded {
    /// None: nobody had named it.
    pub name: Option<Name>,
    /// Of its manifest.
    pub digest: Digest,
}

/// Takes in every image of a source, and names it as the source does, or by `name` where there is one image. Before any
/// has a name each has to be `ready`.
///
/// # Errors
/// Refused: neither form; anything that is not what its digest or size says. Nothing is named then.
pub fn load(
    store: &Store,
    source: &Source,
    name: Option<&Name>,
    platform: &Platform,
    ready: &dyn Fn(&Image) -> Result<()>,
) -> Result<Vec<Loaded>> {
    let references = if source.member("oci-layout")?.is_some() {
        of_layout(store, source, platform)?
    } else if let Some(list) = source.document("manifest.json")? {
        of_docker(store, source, &list)?
    } else {
        return Err(Error::refused(
            "archive",
            "is neither an OCI layout nor what `docker save` writes",
        ));
    };
    let references = match (name, references.as_slice()) {
        (Some(name), [_, ..])
            if references
                .iter()
                .all(|one| Some(one.digest) == references.first().map(|r| r.digest)) =>
        {
            let first = references.into_iter().take(1);
            first
                .map(|one| Reference {
                    name: Some(name.clone()),
                    ..one
                })
                .collect()
        }
        (Some(_), _) => {
            return Err(Error::refused(
                "archive",
                "has several images, or none, so that one name does not do",
            ));
        }
        (None, _) => references,
    };
    // All is whole before anything has a name.
    for reference in &references {
        ready(&store.image(reference.digest)?)?;
    }
    let loaded = |one: &Reference| Loaded {
        name: one.name.clone(),
        digest: one.digest,
    };
    let all = references.iter().map(loaded).collect();
    references.into_iter().try_for_each(|reference| store.name(reference))?;
    Ok(all)
}

fn of_layout(store: &Store, source: &Source, platform: &Platform) -> Result<Vec<Reference>> {
    let list = source
        .document("index.json")?
        .ok_or_else(|| Error::refused("archive", "has no index.json"))?;
    let index: Index = match Document::read(&list, None)? {
        Document::Index(index) => index,
        Document::Manifest(_) => return Err(Error::refused("index.json", "is no index")),
    };
    if index.manifests.len() > IMAGES_MAX {
        return Err(Error::refused(
            "index.json",
            format_args!("has more than {IMAGES_MAX} images"),
        ));
    }
    let mut references = Vec::new();
    for entry in &index.manifests {
        let (manifest, _) = manifest_of(source, entry, platform, 0)?;
        let descriptor = take_in_image(store, source, &manifest.0, &manifest.1)?;
        let text = |key| entry.annotations.get(key).and_then(|name| name.parse::<Name>().ok());
        references.push(Reference {
            name: text(CONTAINERD_NAME).or_else(|| text(NAME)),
            digest: descriptor.digest,
            media_type: descriptor.media_type,
            size: descriptor.size,
            pulled_as: (entry.digest != descriptor.digest).then_some(entry.digest),
        });
    }
    Ok(references)
}

/// Follows an entry to the manifest for this platform: its descriptor's media type with its bytes, and what they say.
fn manifest_of(
    source: &Source,
    entry: &Descriptor,
    platform: &Platform,
    depth: usize,
) -> Result<((String, Vec<u8>), Manifest)> {
    let what = format!("manifest {}", entry.digest);
    let bytes = source
        .document(&blob_name(entry.digest))?
        .ok_or_else(|| Error::refused(&what, "is not in the archive"))?;
    if bytes.len() as u64 != entry.size || Digest::of(&bytes) != entry.digest {
        return Err(Error::refused(what, "is not what its digest and size say"));
    }
    match Document::read(&bytes, Some(&entry.media_type))? {
        Document::Manifest(manifest) => Ok(((entry.media_type.clone(), bytes), manifest)),
        Document::Index(_) if depth == INDEX_DEPTH_MAX => {
            Err(Error::refused(what, "is an index of indexes without an end"))
        }
        Document::Index(index) => manifest_of(source, index.choose(platform)?, platform, depth + 1),
    }
}

fn take_in_image(store: &Store, source: &Source, media_type: &str, bytes: &[u8]) -> Result<Descriptor> {
    if let Document::Manifest(manifest) = Document::read(bytes, Some(media_type))? {
        for blob in manifest.blobs() {
            let what = || format!("blob {}", blob.digest);
            match source.member(&blob_name(blob.digest))? {
                Some((_, size)) if size != blob.size => {
                    return Err(Error::refused(
                        what(),
                        format_args!("is {size} bytes long, not {}", blob.size),
                    ));
                }
                Some((from, _)) => store.take_in(blob, from)?,
                None if store.has(blob.digest) => {}
                None => return Err(Error::refused(what(), "is not in the archive")),
            }
        }
    }
    store.put(media_type, bytes)
}

fn blob_name(digest: Digest) -> String {
    format!("blobs/sha256/{}", digest.hex())
}

/// An entry of `docker save`'s manifest.json.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Saved {
    config: String,
    #[serde(default)]
    repo_tags: Option<Vec<String>>,
    layers: Vec<String>,
}

fn of_docker(store: &Store, source: &Source, list: &[u8]) -> Result<Vec<Reference>> {
    let saved: Vec<Saved> = serde_json::from_slice(list).map_err(|error| Error::refused("manifest.json", error))?;
    if saved.len() > IMAGES_MAX {
        return Err(Error::refused(
            "manifest.json",
            format_args!("has more than {IMAGES_MAX} images"),
        ));
    }
    let mut references = Vec::new();
    for image in &saved {
        let manifest = manifest_of_docker(store, source, image)?;
        let tags = image.repo_tags.iter().flatten();
        let names = tags
            .map(|tag| tag.parse().map(Some))
            .collect::<Result<Vec<Option<Name>>>>()?;
        let names = if names.is_empty() { vec![None] } else { names };
        references.extend(names.into_iter().map(|name| Reference {
            name,
            digest: manifest.digest,
            media_type: manifest.media_type.clone(),
            size: manifest.size,
            pulled_as: None,
        }));
    }
    Ok(references)
}

/// A manifest for an image that has none: what `docker save` writes says which files the layers are, in order.
fn manifest_of_docker(store: &Store, source: &Source, image: &Saved) -> Result<Descriptor> {
    let absent = |name: &str| Error::refused(name, "is not in the archive");
    let bytes = source.document(&image.config)?.ok_or_else(|| absent(&image.config))?;
    let config = Config::read(&bytes, image.layers.len())?;
    // The name is the digest, in both of the forms that docker writes; another one is not looked at.
    let named = image
        .config
        .trim_end_matches(".json")
        .rsplit('/')
        .next()
        .and_then(Digest::of_hex);
    if named.is_some_and(|named| named != Digest::of(&bytes)) {
        return Err(Error::refused(&image.config, "is not what its name says"));
    }
    let mut layers = Vec::new();
    for (name, diff_id) in image.layers.iter().zip(&config.rootfs.diff_ids) {
        let (from, size) = source.member(name)?.ok_or_else(|| absent(name))?;
        let (digest, _) = Digest::of_reader(from).map_err(Error::of(name))?;
        let is_plain = digest == *diff_id;
        let kind = if is_plain {
            media_type::LAYER
        } else {
            media_type::LAYER_GZIP
        };
        let layer = Descriptor::new(kind, digest, size);
        let (from, _) = source.member(name)?.ok_or_else(|| absent(name))?;
        store.take_in(&layer, from)?;
        layers.push(layer);
    }
    let manifest = Manifest {
        schema_version: 2,
        media_type: Some(media_type::MANIFEST.to_owned()),
        config: store.put(media_type::CONFIG, &bytes)?,
        layers,
    };
    let bytes = serde_json::to_vec(&manifest).map_err(|error| Error::failed("manifest", error))?;
    store.put(media_type::MANIFEST, &bytes)
}
