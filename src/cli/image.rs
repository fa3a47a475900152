//! `image`: what is stored of images, how they come and go. Asks no supervisor; the store is a directory.

use std::path::{Path, PathBuf};

use super::failure::{Failure, Kind};
use super::session::{self, Session};
use crate::image::{self, Store};

pub mod arguments;
mod commit;
mod files;
mod gc;
mod list;
#[cfg(feature = "registry")]
mod registry;
mod show;

use arguments::{Action, Image};

/// `svc image`.
///
/// # Errors
/// [`Failure`] that names the image or the file.
pub fn run(session: &mut Session<'_>, image: Image) -> Result<(), Failure> {
    let store = open(&session::state_dir(image.state_dir, std::env::var_os("SVC_STATE_DIR")))?;
    match image.action {
        Action::List => list::list(session, &store),
        Action::Load(load) => files::load(session, &store, load),
        Action::Save(save) => files::save(session, &store, &save),
        #[cfg(feature = "registry")]
        Action::Pull(pull) => registry::pull(session, &store, pull),
        #[cfg(feature = "registry")]
        Action::Push { image, name, quiet } => registry::push(session, &store, &image, name, quiet),
        Action::Commit(order) => commit::commit(session, &store, &order),
        Action::Tag { image, name } => list::tag(session, &store, &image, &name),
        Action::Rm { images } => list::remove(session, &store, &images),
        Action::Inspect { images } => show::inspect(session, &store, &images),
        Action::History { image } => show::history(session, &store, &image),
        Action::Gc(order) => gc::collect(session, &store, &order),
    }
}

/// Fetches an image that is to be run, telling how far it is on standard error.
///
/// # Errors
/// [`Failure`].
#[cfg(feature = "registry")]
pub fn fetch(session: &mut Session<'_>, state_dir: &Path, name: &str) -> Result<(), Failure> {
    let store = open(state_dir)?;
    let name = name.parse().map_err(|error| failed("run", error))?;
    registry::fetch(session, &store, &name)
}

fn open(state_dir: &Path) -> Result<Store, Failure> {
    Store::open(&state_dir.join(crate::image::STORE)).map_err(|error| failed("image", error))
}

/// Something of the store's that did not work, in the words of all failures.
fn failed(what: &str, error: image::Error) -> Failure {
    let kind = match error.kind {
        image::Kind::NoSuchImage | image::Kind::Failed => Kind::Failed,
        image::Kind::Refused => Kind::Invalid,
    };
    let failure = Failure::new(kind, what, &error);
    match error.kind {
        image::Kind::NoSuchImage => failure.hint("`svc image list` shows those that are here"),
        image::Kind::Refused | image::Kind::Failed => failure,
    }
}

/// Where a file's name says how it is compressed.
fn ends_in(path: &Path, endings: &[&str]) -> bool {
    let name = path.to_string_lossy();
    endings.iter().any(|ending| name.ends_with(ending))
}

/// The place of a file that is to be written, with the way to it made absolute for messages.
fn shown(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}
