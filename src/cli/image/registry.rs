//! `image pull` and `image push`.

use std::collections::BTreeSet;
use std::io::Write;

use serde::Serialize;

use super::list::short;
use super::{arguments::Pull, failed};
use crate::cli::failure::Failure;
use crate::cli::render::{bytes, harmless};
use crate::cli::session::Session;
use crate::image::document::Platform;
use crate::image::registry::{self, Client, Credentials, Progress};
use crate::image::store::Image;
use crate::image::{Digest, Name, Store, layer};

/// What came or went, as JSON.
#[derive(Debug, Serialize)]
struct Moved {
    name: String,
    digest: Digest,
}

/// `svc image pull`.
///
/// # Errors
/// [`Failure`]; what has come of it stays for the next time.
pub fn pull(session: &mut Session<'_>, store: &Store, pull: Pull) -> Result<(), Failure> {
    let platform = pull.platform.unwrap_or_else(Platform::of_this_machine);
    let pulled = take_in(session, store, &pull.name, &platform, pull.quiet)?;
    if session.json {
        return session.print_json(&Moved {
            name: pull.name.to_string(),
            digest: pulled.digest,
        });
    }
    Ok(writeln!(session.out, "pulled {} ({})", pull.name, pulled.pulled_as)?)
}

/// What is to be run next: of this machine's kind.
///
/// # Errors
/// As [`pull`].
pub fn fetch(session: &mut Session<'_>, store: &Store, name: &Name) -> Result<(), Failure> {
    take_in(session, store, name, &Platform::of_this_machine(), false).map(drop)
}

fn take_in(
    session: &mut Session<'_>,
    store: &Store,
    name: &Name,
    platform: &Platform,
    quiet: bool,
) -> Result<registry::Pulled, Failure> {
    let wrong = |error| failed("image pull", error);
    let _adding = store.adding().map_err(wrong)?;
    let client = client(name).map_err(wrong)?;
    let ready = |image: &Image| layer::ready(store, image);
    let mut teller = Teller::new(session, quiet);
    let done = registry::pull(store, &client, name, platform, &ready, &mut |step| teller.tell(&step));
    teller.end();
    done.map_err(wrong)
}

/// `svc image push`.
///
/// # Errors
/// [`Failure`].
pub fn push(
    session: &mut Session<'_>,
    store: &Store,
    image: &str,
    name: Option<Name>,
    quiet: bool,
) -> Result<(), Failure> {
    let wrong = |error| failed("image push", error);
    let _adding = store.adding().map_err(wrong)?;
    let found = store.find(image).map_err(wrong)?;
    let name = match name.or(found.name) {
        Some(name) => name,
        None => image.parse().map_err(wrong)?,
    };
    let stored = store.image(found.digest).map_err(wrong)?;
    let client = client(&name).map_err(wrong)?;
    let mut teller = Teller::new(session, quiet);
    let done = registry::push(store, &client, &stored, &name, &mut |step| teller.tell(&step));
    teller.end();
    let digest = done.map_err(wrong)?;
    if session.json {
        return session.print_json(&Moved {
            name: name.to_string(),
            digest,
        });
    }
    Ok(writeln!(session.out, "pushed {name} ({digest})")?)
}

fn client(name: &Name) -> crate::image::Result<Client> {
    let variable = |key: &str| std::env::var_os(key).filter(|value| !value.is_empty()).map(Into::into);
    Client::new(name, Credentials::find(name, &variable)?)
}

/// Lines on standard error: one for each blob, which on a terminal is written over while it comes.
struct Teller<'a> {
    err: &'a mut dyn Write,
    quiet: bool,
    is_terminal: bool,
    told: BTreeSet<(Digest, u64)>,
    open: bool,
}

impl<'a> Teller<'a> {
    fn new(session: &'a mut Session<'_>, quiet: bool) -> Self {
        Self {
            quiet: quiet || session.json,
            is_terminal: session.shows_progress,
            err: session.err,
            told: BTreeSet::new(),
            open: false,
        }
    }

    /// That a line cannot be written is no matter: there is nobody to tell.
    fn tell(&mut self, step: &Progress<'_>) {
        if self.quiet {
            return;
        }
        let line = match step {
            Progress::Present(blob) => format!("{}: already there", short(&blob.digest.to_string())),
            Progress::Done(blob) => format!("{}: {}", short(&blob.digest.to_string()), bytes(blob.size)),
            Progress::Again(blob, why) => {
                format!("{}: {}; trying again", short(&blob.digest.to_string()), harmless(why))
            }
            Progress::Moved(blob, done) => {
                // A hundredth at a time: a terminal is slow.
                let part = done.saturating_mul(100).checked_div(blob.size).unwrap_or(100);
                if !self.is_terminal || !self.told.insert((blob.digest, part)) {
                    return;
                }
                let _ = write!(
                    self.err,
                    "\r{}: {} of {}\x1b[K",
                    short(&blob.digest.to_string()),
                    bytes(*done),
                    bytes(blob.size)
                );
                let _ = self.err.flush();
                self.open = true;
                return;
            }
        };
        let over = if self.open { "\r\x1b[K" } else { "" };
        self.open = false;
        let _ = writeln!(self.err, "{over}{line}");
    }

    fn end(&mut self) {
        if self.open {
            let _ = writeln!(self.err);
        }
    }
}
