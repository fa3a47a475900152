//! `image load` and `image save`.

use std::fs::File;
use std::io::{self, IsTerminal, Write};
use std::os::fd::AsFd;
use std::path::Path;

use serde::Serialize;

use super::arguments::{Load, Save};
use super::{ends_in, failed, shown};
use crate::cli::failure::{Failure, Kind, reason};
use crate::cli::session::Session;
use crate::image::archive::{self, Source};
use crate::image::document::Platform;
use crate::image::references::Reference;
use crate::image::store::Image;
use crate::image::{Error, Store, layer};

/// What was taken in, as JSON.
#[derive(Debug, Serialize)]
struct Loaded {
    name: Option<String>,
    digest: String,
}

/// `svc image load`.
///
/// # Errors
/// [`Failure`]; nothing has a name then that had none before.
pub fn load(session: &mut Session<'_>, store: &Store, load: Load) -> Result<(), Failure> {
    let what = "image load";
    let _adding = store.adding().map_err(|error| failed(what, error))?;
    let scratch = store.path("ingest");
    let source = match &load.input {
        Some(path) => Source::open(path, &scratch),
        None => standard_input()
            .and_then(|file| Source::of_stream(file, &scratch))
            .map_err(Error::of("standard input")),
    };
    let source = source.map_err(|error| failed(what, error))?;
    let platform = load.platform.unwrap_or_else(Platform::of_this_machine);
    let ready = |image: &Image| layer::ready(store, image);
    let loaded = archive::load(store, &source, load.name.as_ref(), &platform, &ready);
    let loaded = loaded.map_err(|error| failed(what, error))?;
    if session.json {
        let all: Vec<Loaded> = loaded
            .iter()
            .map(|one| Loaded {
                name: one.name.as_ref().map(ToString::to_string),
                digest: one.digest.to_string(),
            })
            .collect();
        return session.print_json(&all);
    }
    for one in loaded {
        match one.name {
            Some(name) => writeln!(session.out, "loaded {name}")?,
            None => writeln!(session.out, "loaded {}", one.digest)?,
        }
    }
    Ok(())
}

fn standard_input() -> io::Result<File> {
    if io::stdin().is_terminal() {
        return Err(io::Error::other("is a terminal; name a file with -i"));
    }
    Ok(File::from(io::stdin().as_fd().try_clone_to_owned()?))
}

/// `svc image save`.
///
/// # Errors
/// [`Failure`]; a file that was begun is removed again.
pub fn save(session: &mut Session<'_>, store: &Store, save: &Save) -> Result<(), Failure> {
    let what = "image save";
    let _adding = store.adding().map_err(|error| failed(what, error))?;
    let mut images = Vec::new();
    for name in &save.images {
        images.push(store.find(name).map_err(|error| failed(what, error))?);
    }
    let Some(path) = &save.output else {
        if session.is_terminal {
            return Err(Failure::new(Kind::Usage, what, "standard output is a terminal").hint("-o FILE writes a file"));
        }
        return archive::save(store, &images, save.format.into(), session.out).map_err(|error| failed(what, error));
    };
    if path.is_dir() || ends_in(path, &["/"]) {
        if save.format != super::arguments::Form::Oci {
            return Err(Failure::new(Kind::Usage, what, "a directory takes the form oci"));
        }
        return archive::save_to_directory(store, &images, path).map_err(|error| failed(what, error));
    }
    let done = to_file(store, &images, save, path);
    if done.is_err() {
        let _ = std::fs::remove_file(path);
    }
    done
}

fn to_file(store: &Store, images: &[Reference], save: &Save, path: &Path) -> Result<(), Failure> {
    let wrong = |error: io::Error| {
        Failure::new(
            Kind::Failed,
            "image save",
            format_args!("{}: {}", shown(path).display(), reason(&error)),
        )
    };
    let mut file = File::create(path).map_err(wrong)?;
    let write = |to: &mut dyn Write| {
        archive::save(store, images, save.format.into(), to).map_err(|error| failed("image save", error))
    };
    if ends_in(path, &[".gz", ".tgz"]) {
        let mut to = archive::gzip(&mut file);
        write(&mut to)?;
        to.finish().map_err(wrong)?;
    } else if ends_in(path, &[".zst"]) {
        let mut to = archive::zstd(&mut file).map_err(wrong)?;
        write(&mut to)?;
        to.finish().map_err(wrong)?;
    } else {
        let mut to = io::BufWriter::with_capacity(256 << 10, &mut file);
        write(&mut to)?;
        to.flush().map_err(wrong)?;
    }
    file.sync_all().map_err(wrong)
}
