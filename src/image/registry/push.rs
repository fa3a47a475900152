//! Pushing: each blob that is not there yet, then the manifest that names them.
#![expect(
    clippy::disallowed_methods,
    reason = "between two tries this process waits, and nobody waits for it"
)]

use ureq::http::{HeaderMap, HeaderValue, Method, StatusCode, header};

use super::Progress;
use super::client::Client;
use super::pull::{FIRST_WAIT, TRIES_MAX};
use crate::image::document::Descriptor;
use crate::image::name::Version;
use crate::image::store::Image;
use crate::image::{Digest, Error, Kind, Name, Result, Store};

/// Pushes an image under a name, and gives the digest that it has there.
///
/// # Errors
/// The registry's; a blob that is not in the store.
pub fn push(
    store: &Store,
    client: &Client,
    image: &Image,
    name: &Name,
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<Digest> {
    for blob in image.manifest.blobs() {
        push_blob(store, client, blob, progress)?;
    }
    let bytes = store.document(image.digest)?;
    let reference = match &name.version {
        Version::Digest(digest) if *digest != image.digest => {
            return Err(Error::refused(name, format_args!("the image is {}", image.digest)));
        }
        Version::Digest(_) | Version::Tag(_) => name.reference(),
    };
    let mut headers = HeaderMap::new();
    let kind = HeaderValue::from_str(&image.media_type).map_err(|error| Error::refused(name, error))?;
    headers.insert(header::CONTENT_TYPE, kind);
    let address = client.address(&format!("manifests/{reference}"));
    let response = client.send(&Method::PUT, &address, &headers, &|| Ok(bytes.clone()))?;
    match response.status().is_success() {
        true => Ok(image.digest),
        false => Err(client.failure(&name.to_string(), response)),
    }
}

fn push_blob(store: &Store, client: &Client, blob: &Descriptor, progress: &mut dyn FnMut(Progress<'_>)) -> Result<()> {
    let mut wait = FIRST_WAIT;
    for nth in 1.. {
        match push_once(store, client, blob) {
            Ok(true) => progress(Progress::Done(blob)),
            Ok(false) => progress(Progress::Present(blob)),
            Err(error) if nth == TRIES_MAX || error.kind != Kind::Failed => return Err(error),
            Err(error) => {
                progress(Progress::Again(blob, error.to_string()));
                std::thread::sleep(wait);
                wait *= 2;
                continue;
            }
        }
        break;
    }
    Ok(())
}

/// False: it was there already.
fn push_once(store: &Store, client: &Client, blob: &Descriptor) -> Result<bool> {
    let what = format!("blob {}", blob.digest);
    let none = HeaderMap::new();
    let there = client.ask(&Method::HEAD, &client.address(&format!("blobs/{}", blob.digest)), &none)?;
    if there.status() == StatusCode::OK {
        return Ok(false);
    }
    let begun = client.ask(&Method::POST, &client.address("blobs/uploads/"), &none)?;
    if begun.status() != StatusCode::ACCEPTED {
        return Err(client.failure(&what, begun));
    }
    let location = begun
        .headers()
        .get(header::LOCATION)
        .and_then(|place| place.to_str().ok());
    let location = location.ok_or_else(|| Error::refused(&what, "the registry does not say where it goes"))?;
    let separator = if location.contains('?') { '&' } else { '?' };
    let address = format!("{}{separator}digest={}", client.absolute(location), blob.digest);
    let mut headers = HeaderMap::new();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/octet-stream"),
    );
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(blob.size));
    let done = client.send(&Method::PUT, &address, &headers, &|| {
        store
            .blob(blob)
            .map_err(|error| std::io::Error::other(error.to_string()))
    })?;
    match done.status() {
        StatusCode::CREATED => Ok(true),
        _ => Err(client.failure(&what, done)),
    }
}
