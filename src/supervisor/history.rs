//! What happened, over boots: each move of a unit is a line of a file in the state directory. At so many bytes the file
//! becomes the old one, in whose place it comes.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::Supervisor;
use super::answers::{because_text, cause_of};
use super::clock;
use super::moves::{change_text, change_word};
use crate::control::reply::{Failure, reply};
use crate::control::returns;
use crate::control::view::{self, timestamp};
use crate::engine::action::Change;
use crate::engine::event::{Cause, Wall};
use crate::engine::{Entry, UnitId};

/// A file of moves is as long as this, and there are two: some 8,000 moves.
const FILE_BYTES_MAX: u64 = 1 << 20;
/// So many moves are told, the last ones. With some 250 bytes each they fit into what a client may leave unread.
const TOLD_MAX: usize = 2_000;
/// So many moves of a life of svcd's before this one say why a unit is as it is.
const WHY_BEFORE_MAX: usize = 32;
/// A chain of causes is told no further than this.
const CHAIN_MAX: usize = 8;

/// The file, and what is still to be written into it.
#[derive(Debug)]
pub struct History {
    path: PathBuf,
    unwritten: Vec<u8>,
    in_trouble: bool,
}

impl History {
    /// In the state directory.
    pub fn new(state_dir: &Path) -> Self {
        Self {
            path: state_dir.join("history"),
            unwritten: Vec::new(),
            in_trouble: false,
        }
    }

    fn add(&mut self, entry: &view::Entry) {
        // Written before svcd waits again, and so never much.
        let written = serde_json::to_writer(&mut self.unwritten, entry);
        drop(written.map(|()| self.unwritten.push(b'\n')));
    }

    /// Writes what is new. Where it cannot be, it is told once, and what happened is known until svcd ends.
    pub fn write(&mut self) {
        if self.unwritten.is_empty() {
            return;
        }
        match self.try_write() {
            Ok(()) => self.in_trouble = false,
            Err(error) if !self.in_trouble => {
                tracing::warn!("{}: {error}; the history ends with this boot", self.path.display());
                self.in_trouble = true;
            }
            Err(_) => {}
        }
        self.unwritten.clear();
    }

    fn try_write(&mut self) -> io::Result<()> {
        if fs::metadata(&self.path).is_ok_and(|meta| meta.len() > FILE_BYTES_MAX) {
            fs::rename(&self.path, self.old())?;
        }
        // Not held open: the disk could not be unmounted, or read-only, at the end of a machine.
        let mut options = OpenOptions::new();
        let mut file = options.create(true).append(true).mode(0o600).open(&self.path)?;
        file.write_all(&self.unwritten)
    }

    fn old(&self) -> PathBuf {
        self.path.with_extension("old")
    }

    /// The last moves, oldest first; a line that was cut short is left out.
    fn read(&self, of: Option<&str>) -> Vec<view::Entry> {
        let read = |path: &Path| fs::read_to_string(path).unwrap_or_default();
        let (old, new) = (read(&self.old()), read(&self.path));
        let entry = |line: &str| serde_json::from_str::<view::Entry>(line).ok();
        let newest = new.lines().rev().chain(old.lines().rev()).filter_map(entry);
        let told = newest.filter(|entry| of.is_none_or(|unit| entry.unit == unit));
        let mut told: Vec<view::Entry> = told.take(TOLD_MAX).collect();
        told.reverse();
        told
    }
}

impl Supervisor {
    /// A move of a unit, into the file.
    pub(super) fn note_move(&mut self, unit: UnitId, what: &Change) {
        let entry = self.view_of_move(clock::now().wall, unit, what);
        self.history.add(&entry);
    }

    /// What happened to a unit, or to all: over boots, where that could be written.
    pub(super) fn history_of(&mut self, unit: Option<&str>) -> Result<Vec<u8>, Failure> {
        self.history.write();
        let mut entries = self.history.read(unit);
        let id = match unit {
            // A unit that is gone has a history all the same.
            Some(unit) if !entries.is_empty() => self.engine.find(unit),
            Some(unit) => Some(self.one(unit)?),
            None => None,
        };
        if self.history.in_trouble || entries.is_empty() {
            entries = self.engine.history(id).map(|entry| self.entry(entry)).collect();
        }
        Ok(reply(&returns::Entries { entries }, false))
    }

    /// Why a unit is as it is. Where that is since svcd came up, or nothing is known of it since then, what came before
    /// follows from the file.
    pub(super) fn why(&mut self, name: &str) -> Result<Vec<u8>, Failure> {
        let unit = self.one(name)?;
        self.history.write();
        let chain = self.engine.why(unit);
        let mut chain: Vec<view::Entry> = chain.iter().map(|entry| self.entry(entry)).collect();
        if chain.last().is_none_or(|entry| entry.by.kind == "boot") {
            let since = timestamp(self.since.wall.0);
            let of = chain.last().map_or(name, |entry| &entry.unit);
            let mut before = self.history.read(Some(of));
            // Times of one form, in UTC, are in the order of their text.
            before.retain(|entry| entry.at < since);
            for entry in before.into_iter().rev().take(WHY_BEFORE_MAX) {
                let is_cause = matches!(entry.what.as_str(), "starting" | "stopping") && entry.by.kind != "policy";
                chain.push(entry);
                if is_cause {
                    break;
                }
            }
        }
        Ok(reply(&returns::Chain { chain }, false))
    }

    fn entry(&self, entry: &Entry) -> view::Entry {
        self.view_of_move(entry.at, entry.unit, &entry.what)
    }

    fn view_of_move(&self, at: Wall, unit: UnitId, what: &Change) -> view::Entry {
        let by = cause_of(what);
        view::Entry {
            at: timestamp(at.0),
            unit: self.name(unit),
            what: change_word(what).to_owned(),
            text: change_text(what),
            by: self.cause(by),
            behind: self.causes_behind(by),
        }
    }

    /// What is behind a cause that is another unit.
    fn causes_behind<'a>(&'a self, mut by: Option<&'a Cause>) -> Vec<view::Cause> {
        let mut behind = Vec::new();
        while let Some(Cause::Unit(unit, because)) = by
            && behind.len() < CHAIN_MAX
        {
            by = self.engine.cause_behind(*unit, *because);
            behind.extend(by.map(|by| self.cause(Some(by))));
        }
        behind
    }

    pub(super) fn cause(&self, cause: Option<&Cause>) -> view::Cause {
        let plain = |kind: &str, text: String| view::Cause {
            kind: kind.to_owned(),
            text,
            uid: None,
            pid: None,
            unit: None,
        };
        match cause {
            None | Some(Cause::Policy) => plain("policy", "its own doing, or its restart policy".to_owned()),
            Some(Cause::Boot) => plain("boot", "svcd came up".to_owned()),
            Some(Cause::Files) => plain("files", "its unit file changed".to_owned()),
            Some(Cause::Deploy(why)) => plain("deploy", why.to_string()),
            Some(Cause::Timer(what)) => plain("timer", format!("its timer, {what}")),
            Some(Cause::Path(what)) => plain("path", format!("its path, {what}")),
            Some(Cause::Connection(what)) => plain("connection", format!("a connection, {what}")),
            Some(Cause::Signal(name)) => plain("signal", format!("{name} to svcd")),
            Some(Cause::Operator { uid, pid, program }) => view::Cause {
                uid: Some(*uid),
                pid: Some(*pid),
                ..plain("operator", format!("uid {uid} by {program}, pid {pid}"))
            },
            Some(Cause::Unit(unit, because)) => {
                let name = self.name(*unit);
                view::Cause {
                    unit: Some(name.clone()),
                    ..plain("unit", format!("{} {name}", because_text(*because)))
                }
            }
        }
    }
}
