//! `image inspect` and `image history`.

use std::io;

use serde::Serialize;
use serde_json::{Value, json};

use super::failed;
use super::list::{ago, short};
use crate::cli::failure::Failure;
use crate::cli::render::{Table, bytes, cell, harmless, number};
use crate::cli::session::Session;
use crate::image::document::History;
use crate::image::store::Image;
use crate::image::{Digest, Store};

/// `svc image inspect`: always JSON, and with the names that scripts for Docker read.
///
/// # Errors
/// [`Failure`].
pub fn inspect(session: &mut Session<'_>, store: &Store, images: &[String]) -> Result<(), Failure> {
    let mut all = Vec::new();
    for image in images {
        all.push(described(store, image).map_err(|error| failed("image inspect", error))?);
    }
    let text = match session.is_terminal || !session.json {
        true => serde_json::to_string_pretty(&all),
        false => serde_json::to_string(&all),
    };
    Ok(writeln!(session.out, "{}", text.map_err(io::Error::from)?)?)
}

fn described(store: &Store, name: &str) -> crate::image::Result<Value> {
    let found = store.find(name)?;
    let image = store.image(found.digest)?;
    let (mut tags, mut digests) = (Vec::new(), Vec::new());
    for reference in store.references()?.into_iter().filter(|one| one.digest == found.digest) {
        let Some(name) = reference.name else { continue };
        let text = name.to_string();
        match text.contains('@') {
            true => digests.push(text),
            false => tags.push(text),
        }
        digests.extend(reference.pulled_as.map(|digest| name.with_digest(digest).to_string()));
    }
    digests.sort();
    digests.dedup();
    let config: Value = serde_json::from_slice(&image.config_bytes).unwrap_or_default();
    let text = |key: &str| config.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    Ok(json!({
        "Id": image.id().to_string(),
        "RepoTags": tags,
        "RepoDigests": digests,
        "Comment": last_comment(&image),
        "Created": image.config.created,
        "Author": text("author"),
        "Config": config.get("config"),
        "Architecture": image.config.architecture,
        "Variant": image.config.variant,
        "Os": image.config.os,
        "Size": image.size(),
        "GraphDriver": { "Name": "overlay", "Data": directories(store, &image) },
        "RootFS": { "Type": image.config.rootfs.kind, "Layers": image.config.rootfs.diff_ids },
        "Descriptor": { "mediaType": image.media_type, "digest": image.digest, "size": found.size },
    }))
}

fn last_comment(image: &Image) -> String {
    image
        .config
        .history
        .last()
        .and_then(|step| step.comment.clone())
        .unwrap_or_default()
}

/// Where the layers are, as overlayfs wants them: the topmost first. Null where they are not unpacked.
fn directories(store: &Store, image: &Image) -> Value {
    let paths: Vec<_> = image
        .manifest
        .layers
        .iter()
        .rev()
        .map(|layer| store.layer_path(layer.digest))
        .collect();
    if paths.is_empty() || !paths.iter().all(|path| path.is_dir()) {
        return Value::Null;
    }
    let paths: Vec<String> = paths.iter().map(|path| path.display().to_string()).collect();
    json!({ "LowerDir": paths.join(":") })
}

/// A step, as JSON.
#[derive(Debug, Serialize)]
struct Step {
    created: Option<String>,
    created_by: String,
    comment: String,
    /// None: it made no layer.
    layer: Option<Digest>,
    /// Of the layer, compressed as it is, in bytes.
    size: u64,
}

/// `svc image history`.
///
/// # Errors
/// [`Failure`].
pub fn history(session: &mut Session<'_>, store: &Store, name: &str) -> Result<(), Failure> {
    let image = store.find(name).and_then(|found| store.image(found.digest));
    let steps = steps(&image.map_err(|error| failed("image history", error))?);
    if session.json {
        return session.print_json(&steps);
    }
    let mut table = Table::new(&["LAYER", "CREATED", "SIZE", "CREATED BY"]);
    for step in steps {
        let layer = step.layer.map(|layer| short(&layer.to_string()));
        let by = [step.created_by, step.comment]
            .into_iter()
            .find(|text| !text.is_empty());
        table.row(vec![
            cell(layer.unwrap_or_else(|| "-".to_owned())),
            cell(step.created.as_deref().map(ago).unwrap_or_default()),
            number(Some(bytes(step.size))),
            cell(harmless(&by.unwrap_or_default())),
        ]);
    }
    Ok(table.print(session.out)?)
}

/// The newest first. Layers that no step of the history tells of stand for themselves.
fn steps(image: &Image) -> Vec<Step> {
    let mut layers = image.manifest.layers.iter();
    let mut steps = Vec::new();
    let told = image
        .config
        .history
        .iter()
        .cloned()
        .chain(std::iter::repeat_with(History::default));
    let told_count = image.config.history.len();
    for (
        nth,
        History {
            created,
            created_by,
            comment,
            empty_layer,
        },
    ) in told.enumerate()
    {
        let layer = if empty_layer { None } else { layers.next() };
        if nth >= told_count && layer.is_none() {
            break;
        }
        steps.push(Step {
            created,
            created_by: created_by.unwrap_or_default(),
            comment: comment.unwrap_or_default(),
            layer: layer.map(|layer| layer.digest),
            size: layer.map_or(0, |layer| layer.size),
        });
    }
    steps.reverse();
    steps
}
