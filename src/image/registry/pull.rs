//! Pulling: the manifest for this machine, then each blob that is not here, gone on with where it was cut off.
#![expect(
    clippy::disallowed_methods,
    reason = "between two tries this process waits, and nobody waits for it"
)]

use std::io::{self, Read, Write};
use std::time::Duration;

use ureq::http::{HeaderMap, HeaderValue, Method, StatusCode, header};

use super::Progress;
use super::client::{Client, document};
use crate::image::document::{DOCUMENT_BYTES_MAX, Descriptor, Document, INDEX_DEPTH_MAX, Platform, media_type};
use crate::image::ingest::Ingest;
use crate::image::name::Version;
use crate::image::references::Reference;
use crate::image::store::Image;
use crate::image::{Digest, Error, Kind, Name, Result, Store};

/// How often a blob is asked for, and how long it takes to the second time; twice as long to each later one.
pub const TRIES_MAX: u32 = 5;
#[allow(missing_docs)]
pub const FIRST_WAIT: Duration = Duration::from_millis(250);

/// What came.
#[derive(Debug)]
pub struct Pulled {
    /// Of the manifest.
    pub digest: Digest,
    /// What the registry's tag says.
    pub pulled_as: Digest,
}

/// Pulls an image and names it, once it is whole and `ready`.
///
/// # Errors
/// The registry's; refused: what is not what its digest says; a layer that is not ready.
pub fn pull(
    store: &Store,
    client: &Client,
    name: &Name,
    platform: &Platform,
    ready: &dyn Fn(&Image) -> Result<()>,
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<Pulled> {
    let (first, bytes) = manifest(client, name)?;
    let pulled_as = first.digest;
    let (manifest, bytes) = for_platform(client, first, bytes, platform, 0)?;
    let Document::Manifest(blobs) = Document::read(&bytes, Some(&manifest.media_type))? else {
        return Err(Error::refused(name, "is an index of indexes without an end"));
    };
    for blob in blobs.blobs() {
        pull_blob(store, client, blob, progress)?;
    }
    let manifest = store.put(&manifest.media_type, &bytes)?;
    ready(&store.image(manifest.digest)?)?;
    store.name(Reference {
        name: Some(name.clone()),
        digest: manifest.digest,
        media_type: manifest.media_type,
        size: manifest.size,
        pulled_as: Some(pulled_as),
    })?;
    Ok(Pulled {
        digest: manifest.digest,
        pulled_as,
    })
}

/// What a name says at the registry.
fn manifest(client: &Client, name: &Name) -> Result<(Descriptor, Vec<u8>)> {
    let (found, bytes) = fetch(client, &name.reference(), &name.to_string())?;
    match &name.version {
        Version::Digest(digest) if *digest != found.digest => {
            Err(Error::refused(name, format_args!("the registry gave {}", found.digest)))
        }
        Version::Digest(_) | Version::Tag(_) => Ok((found, bytes)),
    }
}

fn fetch(client: &Client, reference: &str, what: &str) -> Result<(Descriptor, Vec<u8>)> {
    let mut headers = HeaderMap::new();
    for kind in [
        media_type::INDEX,
        media_type::DOCKER_INDEX,
        media_type::MANIFEST,
        media_type::DOCKER_MANIFEST,
    ] {
        headers.append(header::ACCEPT, HeaderValue::from_static(kind));
    }
    let response = client.ask(
        &Method::GET,
        &client.address(&format!("manifests/{reference}")),
        &headers,
    )?;
    if response.status() != StatusCode::OK {
        return Err(client.failure(what, response));
    }
    let said = response
        .headers()
        .get(header::CONTENT_TYPE)
        .and_then(|kind| kind.to_str().ok());
    let said = said.map(|kind| kind.split(';').next().unwrap_or(kind).trim().to_owned());
    let bytes = document(response, what)?;
    let media_type = said.ok_or_else(|| Error::refused(what, "the registry does not say what it is"))?;
    Document::read(&bytes, Some(&media_type))?;
    Ok((Descriptor::of(&media_type, &bytes), bytes))
}

/// Follows indexes to the manifest for a platform.
fn for_platform(
    client: &Client,
    found: Descriptor,
    bytes: Vec<u8>,
    platform: &Platform,
    depth: usize,
) -> Result<(Descriptor, Vec<u8>)> {
    let index = match Document::read(&bytes, Some(&found.media_type))? {
        Document::Manifest(_) => return Ok((found, bytes)),
        Document::Index(_) if depth == INDEX_DEPTH_MAX => return Ok((found, bytes)),
        Document::Index(index) => index,
    };
    let entry = index.choose(platform)?;
    let what = format!("manifest {}", entry.digest);
    if entry.size > DOCUMENT_BYTES_MAX {
        return Err(Error::refused(what, "is too large for a document"));
    }
    let (next, bytes) = fetch(client, &entry.digest.to_string(), &what)?;
    if next.digest != entry.digest || next.size != entry.size {
        return Err(Error::refused(what, "is not what its digest and size say"));
    }
    for_platform(client, next, bytes, platform, depth + 1)
}

fn pull_blob(store: &Store, client: &Client, blob: &Descriptor, progress: &mut dyn FnMut(Progress<'_>)) -> Result<()> {
    let mut wait = FIRST_WAIT;
    for nth in 1.. {
        let Some(mut ingest) = store.ingest(blob)? else {
            progress(Progress::Present(blob));
            return Ok(());
        };
        let moved = match transfer(client, blob, &mut ingest, progress) {
            Ok(()) => ingest.finish(),
            Err(error) => Err(error),
        };
        match moved {
            Ok(()) => break,
            // What is not there, and what is too long or wrong, is so the next time too; a cut is not.
            Err(error) if nth == TRIES_MAX || error.kind != Kind::Failed => return Err(error),
            Err(error) => progress(Progress::Again(blob, error.to_string())),
        }
        std::thread::sleep(wait);
        wait *= 2;
    }
    progress(Progress::Done(blob));
    Ok(())
}

/// Asks for what is still missing, and writes it.
fn transfer(client: &Client, blob: &Descriptor, to: &mut Ingest, progress: &mut dyn FnMut(Progress<'_>)) -> Result<()> {
    let what = format!("blob {}", blob.digest);
    if to.begun() == blob.size {
        return Ok(());
    }
    let mut headers = HeaderMap::new();
    if to.begun() > 0
        && let Ok(range) = HeaderValue::try_from(format!("bytes={}-", to.begun()))
    {
        headers.insert(header::RANGE, range);
    }
    let response = client.ask(
        &Method::GET,
        &client.address(&format!("blobs/{}", blob.digest)),
        &headers,
    )?;
    match response.status() {
        StatusCode::PARTIAL_CONTENT if goes_on_at(response.headers(), to.begun()) => {}
        StatusCode::OK => to.restart()?,
        StatusCode::PARTIAL_CONTENT | StatusCode::RANGE_NOT_SATISFIABLE => {
            to.restart()?;
            return Err(Error::failed(
                what,
                "the registry gives another part than was asked for",
            ));
        }
        _ => return Err(client.failure(&what, response)),
    }
    let mut from = response.into_body().into_reader();
    let mut buffer = vec![0; 128 << 10];
    loop {
        // A connection that breaks is a failure and no refusal: what came so far is good.
        let count = from.read(&mut buffer).map_err(|error| Error::failed(&what, error))?;
        if count == 0 {
            break;
        }
        let piece = buffer.get(..count).unwrap_or_default();
        io::Write::write_all(to, piece).map_err(Error::of(&what))?;
        progress(Progress::Moved(blob, to.begun()));
    }
    to.flush().map_err(Error::of(&what))?;
    match to.begun() < blob.size {
        true => Err(Error::failed(
            what,
            format_args!("ended after {} of {} bytes", to.begun(), blob.size),
        )),
        false => Ok(()),
    }
}

/// `Content-Range: bytes 5-9/10`.
fn goes_on_at(headers: &HeaderMap, at: u64) -> bool {
    let range = headers
        .get(header::CONTENT_RANGE)
        .and_then(|range| range.to_str().ok())
        .unwrap_or_default();
    let first = range.strip_prefix("bytes ").and_then(|range| range.split('-').next());
    first.and_then(|first| first.parse().ok()) == Some(at)
}
