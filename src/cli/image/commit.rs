//! `image commit`.

use std::collections::BTreeMap;

use super::arguments::Commit;
use super::failed;
use crate::cli::failure::Failure;
use crate::cli::session::Session;
use crate::cli::time;
use crate::control::view;
use crate::image::document::Platform;
use crate::image::{Store, commit as made, layer};

/// What was made, as JSON.
#[derive(Debug, serde::Serialize)]
struct Made {
    name: String,
    digest: String,
}

/// `svc image commit`.
///
/// # Errors
/// [`Failure`]; nothing has a name then that had none before.
pub fn commit(session: &mut Session<'_>, store: &Store, order: &Commit) -> Result<(), Failure> {
    let wrong = |error| failed("image commit", error);
    let _adding = store.adding().map_err(wrong)?;
    let base = order
        .base
        .as_ref()
        .map(|base| store.find(base).and_then(|found| store.image(found.digest)));
    let base = base.transpose().map_err(wrong)?;
    let config = order
        .cmd
        .clone()
        .map(|words| BTreeMap::from([("Cmd".to_owned(), words)]));
    let made = made::commit(
        store,
        &made::Commit {
            base: base.as_ref(),
            change: &order.change,
            name: &order.name,
            created: &view::timestamp(time::now()),
            comment: &order.message,
            config: config.unwrap_or_default(),
            architecture: &Platform::of_this_machine().architecture,
        },
        &|image| layer::ready(store, image),
    )
    .map_err(wrong)?;
    if session.json {
        return session.print_json(&Made {
            name: order.name.to_string(),
            digest: made.digest.to_string(),
        });
    }
    Ok(writeln!(session.out, "made {} ({})", order.name, made.digest)?)
}
