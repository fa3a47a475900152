//! Saving: whenever svcd is about to wait, what has changed since the last time goes into the [`journal`], so that a
//! successor of the same process, or the next svcd, goes on from there.
//!
//! What is saved is what svcd believes between two events, all of one moment. The successor holds it against what the
//! kernel says, in [`super::adopt`].

use std::collections::BTreeSet;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use super::Supervisor;
use super::clock;
use super::crash;
use super::journal::{self, Batch, Journal};
use super::kept::{Descriptor, KeptFiles, KeptLife, KeptSelf};
use crate::engine::event::Mono;
use crate::engine::record::json::{Saved, write_text};
use crate::unit::{TextId, Texts, Unit};

/// The sections besides the engine's; [`super::adopt`] reads them.
pub const SELF: &str = "self";
pub const FILES: &str = "files";
pub const LIVES: &str = "life";
pub const PIPES: &str = "pipe";
pub const CLIENTS: &str = "client";
pub const REQUESTS: &str = "requests";
pub const TRIGGERS: &str = "trigger";
pub const SOCKETS: &str = "socket";
pub const STORED: &str = "stored";

/// With ever more to do and no time to wait, it is saved this often all the same …
const UNSAVED_MAX: Duration = Duration::from_millis(20);
/// … but saving takes no more than one part in so many of the time.
const SHARE: u32 = 10;

/// What is saved, and how far.
#[derive(Debug)]
pub struct Keep {
    dir: PathBuf,
    /// What a predecessor has saved: it counts until there is a journal of ours.
    before: Option<OwnedFd>,
    /// Which boot of the machine this is.
    boot: Box<str>,
    journal: Option<Journal>,
    /// Texts that the journal does not have.
    texts: Texts,
    /// Which of these may have changed: [`SELF`], [`FILES`].
    changed: BTreeSet<&'static str>,
    /// When it is saved with more to do.
    next: Mono,
    /// The journal misses something that only a whole one has.
    stale: bool,
    in_trouble: bool,
}

impl Keep {
    /// Nothing is saved yet. The journal goes to this directory.
    pub fn new(dir: &Path) -> Self {
        Self {
            dir: dir.to_owned(),
            before: None,
            boot: super::processes::boot_id(),
            journal: None,
            texts: Texts::new(),
            changed: BTreeSet::from([SELF, FILES]),
            next: Mono::default(),
            stale: false,
            in_trouble: false,
        }
    }

    /// A predecessor has saved this.
    pub fn follow(&mut self, before: Option<OwnedFd>) {
        self.before = before;
    }

    /// These texts may be in force from now on.
    pub fn take_texts(&mut self, texts: Texts) {
        let known = |id: &TextId| self.journal.as_ref().is_some_and(|journal| journal.has_text(*id));
        let new: Vec<_> = texts.into_iter().filter(|(id, _)| !known(id)).collect();
        self.texts.extend(new);
    }

    /// A small section may have changed.
    pub fn touch(&mut self, section: &'static str) {
        self.changed.insert(section);
    }

    /// svcd ends, and with it what was saved.
    pub fn end(&self) {
        journal::remove(&self.dir);
    }

    /// A text as JSON, wherever it is.
    pub fn text(&self, id: TextId) -> Option<String> {
        let Some(text) = self.texts.get(&id) else {
            return self.journal.as_ref()?.text(id);
        };
        let mut json = String::with_capacity(text.len() + 16);
        write_text(text, &mut json);
        Some(json)
    }
}

impl Supervisor {
    /// Saves what has changed, if it is time to: svcd is about to wait, or has not saved for too long.
    pub(super) fn save_if_due(&mut self, about_to_wait: bool) {
        let begun = clock::mono();
        if about_to_wait || begun >= self.keep.next {
            self.save();
            let took = clock::mono().0.saturating_sub(begun.0);
            self.keep.next = Mono(begun.0 + UNSAVED_MAX.max(took * SHARE));
        }
    }

    /// Whether anything has changed since the last save.
    pub(super) fn is_unsaved(&self) -> bool {
        self.engine.has_changed()
            || self.lives.has_changed()
            || self.outputs.has_changed()
            || self.triggers.has_changed()
            || self.stores.has_changed()
            || !self.keep.texts.is_empty()
            || !self.keep.changed.is_empty()
    }

    /// Saves what has changed; where that cannot be added to what is there, all of it anew.
    pub(super) fn save(&mut self) {
        let grows = self
            .keep
            .journal
            .as_ref()
            .is_some_and(|journal| !journal.is_mostly_old());
        if grows && !self.keep.stale {
            let mut batch = self.changes();
            let added = self.keep.journal.as_mut().map(|journal| journal.append(&mut batch));
            match added {
                Some(Ok(())) => return self.keep.texts.clear(),
                Some(Err(error)) => tracing::warn!("state: {error}; it is written anew"),
                None => {}
            }
        }
        match self.save_anew() {
            Ok(journal) => {
                crash::set_record(journal.as_fd());
                self.keep.journal = Some(journal);
                self.keep.before = None;
                self.keep.texts.clear();
                (self.keep.stale, self.keep.in_trouble) = (false, false);
            }
            Err(error) if !self.keep.in_trouble => {
                tracing::error!("state: {error}; a crash would lose what happens from now on");
                (self.keep.stale, self.keep.in_trouble) = (true, true);
            }
            Err(_) => self.keep.stale = true,
        }
    }

    /// All of it in a new journal: in the runtime directory, or in memory where that cannot be.
    fn save_anew(&mut self) -> io::Result<Journal> {
        let dir = self.keep.dir.clone();
        let saved = Journal::new_in(&dir).and_then(|journal| self.whole(journal, false)?.publish(&dir));
        saved.or_else(|error| {
            tracing::warn!("state: {}: {error}; it is kept in memory", dir.display());
            // What is there is older than what there is in memory.
            journal::remove(&dir);
            self.whole(Journal::new_in_memory()?, false)
        })
    }

    /// The whole state, clients included, in a sealed memory file: for an exec that was asked for. A crash costs clients
    /// their connections.
    ///
    /// # Errors
    /// As memfd_create(2), write(2), fcntl(2).
    pub(super) fn snapshot(&mut self) -> io::Result<Journal> {
        self.keep.stale = true;
        let journal = self.whole(Journal::new_in_memory()?, true)?;
        journal.seal()?;
        Ok(journal)
    }

    fn whole(&mut self, journal: Journal, with_clients: bool) -> io::Result<Journal> {
        let mut batch = Batch::whole(journal);
        self.keep.changed.extend([SELF, FILES]);
        self.put_texts_in_force(&mut batch);
        self.put_state(true, &mut batch);
        if with_clients {
            self.put_clients(&mut batch);
        }
        batch.finish()
    }

    fn changes(&mut self) -> Batch {
        let mut batch = Batch::default();
        for id in self.keep.texts.keys() {
            let text = self.keep.text(*id).unwrap_or_default();
            batch.put_text(*id, &text);
        }
        self.put_state(false, &mut batch);
        batch
    }

    fn put_state(&mut self, whole: bool, batch: &mut Batch) {
        self.engine.record(whole, definition_name, |section, key, value| {
            batch.put(section, key, value)
        });
        self.put_lives(whole, batch);
        self.put_pipes(whole, batch);
        for (unit, timers, sockets) in self.triggers.keep(whole) {
            batch.put(TRIGGERS, &unit.0.to_string(), &json(&timers));
            batch.put(SOCKETS, &unit.0.to_string(), &json(&sockets));
        }
        for (unit, stored) in self.stores.keep(whole) {
            batch.put(STORED, &unit.0.to_string(), &json(&stored));
        }
        for section in std::mem::take(&mut self.keep.changed) {
            let value = if section == SELF { self.own() } else { self.unit_files() };
            batch.put(section, "", &value);
        }
    }

    fn put_texts_in_force(&self, batch: &mut Batch) {
        let ids: BTreeSet<TextId> = self
            .engine
            .definitions()
            .flat_map(|unit| unit.origin.texts.iter().copied())
            .collect();
        for id in ids {
            if let Some(text) = self.keep.text(id) {
                batch.put_text(id, &text);
            }
        }
    }

    fn put_lives(&mut self, whole: bool, batch: &mut Batch) {
        let changed = self.lives.take_changed();
        let units: Vec<_> = if whole {
            self.lives.iter().map(|(unit, _)| *unit).collect()
        } else {
            changed.into_iter().collect()
        };
        for unit in units {
            let life = self.lives.get(&unit).map(KeptLife::of);
            batch.put(LIVES, &unit.0.to_string(), &json(&life));
        }
    }

    fn put_pipes(&mut self, whole: bool, batch: &mut Batch) {
        for (name, pipe) in self.outputs.keep(whole) {
            batch.put(PIPES, name.as_str(), &json(&pipe));
        }
    }

    fn put_clients(&self, batch: &mut Batch) {
        for (number, client) in self.keep_clients() {
            batch.put(CLIENTS, &number.to_string(), &json(&client));
        }
        batch.put(REQUESTS, "", &json(&self.requests.keep()));
    }

    fn own(&self) -> String {
        json(&KeptSelf {
            version: env!("CARGO_PKG_VERSION").into(),
            boot: self.keep.boot.clone(),
            since_mono: self.since.mono,
            since_wall: self.since.wall,
            nofile: self.nofile,
            lock: Descriptor::of(&self.lock),
            listener: Descriptor::of(self.clients.listener()),
            spool: self.outputs.keep_spool(),
            shutdown: self.keep_shutdown(),
            main_began: self.main_began,
        })
    }

    fn unit_files(&self) -> String {
        json(&KeptFiles {
            passing: self.files.passing(),
            instances: self.files.instances(),
            held: self.watch.held(),
            failures: self.keep_failures(),
        })
    }
}

fn json(value: &impl Saved) -> String {
    let mut text = String::new();
    value.write(&mut text);
    text
}

/// The name of a definition in a record: its files, with what stood in them.
fn definition_name(unit: &Rc<Unit>) -> String {
    let origin = &unit.origin;
    let files = origin.texts.iter().zip(&origin.files);
    let lines: Vec<String> = files.map(|(text, path)| format!("{:x} {path}", text.0)).collect();
    lines.join("\n")
}
