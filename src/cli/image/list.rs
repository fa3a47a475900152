//! `image list`, `tag` and `rm`.

use std::collections::BTreeMap;

use serde::Serialize;

use super::failed;
use crate::cli::failure::Failure;
use crate::cli::render::{Table, bytes, cell, number, stretch};
use crate::cli::session::Session;
use crate::cli::time;
use crate::image::references::Reference;
use crate::image::{Digest, Name, Store};

/// How many letters of an id are shown.
const ID_LETTERS: usize = 12;

/// An image with one of its names.
#[derive(Debug, Serialize)]
struct Row {
    name: Option<String>,
    id: String,
    digest: String,
    created: Option<String>,
    size: u64,
    /// Bytes of blobs that no other image has.
    unique: u64,
}

/// `svc image list`.
///
/// # Errors
/// [`Failure`].
pub fn list(session: &mut Session<'_>, store: &Store) -> Result<(), Failure> {
    let rows = rows(store).map_err(|error| failed("image list", error))?;
    if session.json {
        return session.print_json(&rows);
    }
    let mut table = Table::new(&["NAME", "ID", "CREATED", "SIZE", "UNIQUE"]);
    for row in rows {
        table.row(vec![
            cell(row.name.unwrap_or_else(|| "<none>".to_owned())),
            cell(short(&row.id)),
            cell(row.created.as_deref().map(ago).unwrap_or_default()),
            number(Some(bytes(row.size))),
            number(Some(bytes(row.unique))),
        ]);
    }
    Ok(table.print(session.out)?)
}

fn rows(store: &Store) -> crate::image::Result<Vec<Row>> {
    let mut found = Vec::new();
    // Which image a blob belongs to; none: to several.
    let mut owners: BTreeMap<Digest, Option<Digest>> = BTreeMap::new();
    for reference in store.references()? {
        let image = store.image(reference.digest)?;
        for blob in image.manifest.blobs() {
            let owner = owners.entry(blob.digest).or_insert(Some(image.digest));
            if *owner != Some(image.digest) {
                *owner = None;
            }
        }
        found.push((reference, image));
    }
    let unique = |image: &crate::image::store::Image| {
        let own = image
            .manifest
            .blobs()
            .filter(|blob| owners.get(&blob.digest) == Some(&Some(image.digest)));
        own.map(|blob| blob.size).sum()
    };
    let mut rows: Vec<Row> = found
        .iter()
        .map(|(reference, image)| Row {
            name: reference.name.as_ref().map(ToString::to_string),
            id: image.id().to_string(),
            digest: image.digest.to_string(),
            created: image.config.created.clone(),
            size: image.size(),
            unique: unique(image),
        })
        .collect();
    rows.sort_by(|a, b| (a.name.is_none(), &a.name).cmp(&(b.name.is_none(), &b.name)));
    Ok(rows)
}

/// The beginning of an id, without the algorithm.
pub fn short(id: &str) -> String {
    id.trim_start_matches("sha256:").chars().take(ID_LETTERS).collect()
}

/// How long ago a time of a configuration is.
pub fn ago(created: &str) -> String {
    match time::of_contract(created) {
        Some(then) => format!("{} ago", stretch((time::now() - then).max(0) / 1000)),
        None => String::new(),
    }
}

/// `svc image tag`.
///
/// # Errors
/// [`Failure`].
pub fn tag(_session: &mut Session<'_>, store: &Store, image: &str, name: &Name) -> Result<(), Failure> {
    let named = || -> crate::image::Result<()> {
        let _adding = store.adding()?;
        let found = store.find(image)?;
        store.name(Reference {
            name: Some(name.clone()),
            pulled_as: None,
            ..found
        })
    };
    named().map_err(|error| failed("image tag", error))
}

/// `svc image rm`: all of them, or none.
///
/// # Errors
/// [`Failure`].
pub fn remove(session: &mut Session<'_>, store: &Store, images: &[String]) -> Result<(), Failure> {
    let wrong = |error| failed("image rm", error);
    for image in images {
        store.find(image).map_err(wrong)?;
    }
    let mut gone = Vec::new();
    {
        let _adding = store.adding().map_err(wrong)?;
        for image in images {
            gone.extend(store.forget(image).map_err(wrong)?);
        }
    }
    // Where somebody adds at this time, the next one who takes away does this too.
    store.collect(None).map_err(wrong)?;
    let gone: Vec<String> = gone.iter().map(ToString::to_string).collect();
    if session.json {
        return session.print_json(&gone);
    }
    for name in gone {
        writeln!(session.out, "removed {name}")?;
    }
    Ok(())
}
