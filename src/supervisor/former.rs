//! The life before this one: what it saved, and the descriptors that it left, whether it handed them over or was killed.
//!
//! After an exec the descriptors are ours by their numbers. After a kill they are gone, but what is behind them is not:
//! a pipe is open in the log process, or in the service that writes to it, and is opened again through `/proc/PID/fd`.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use rustix::fs::OFlags;
use serde_json::Value;

use super::children::signal;
use super::crash::{self, Mode, Resume};
use super::journal;
use super::keep::{PIPES, SELF};
use super::kept::{Descriptor, Identity, KeptLife, KeptPipe, KeptSelf};
use super::processes;
use crate::engine::Engine;
use crate::engine::record::Record;
use crate::engine::record::json::Saved;
use crate::log::{self, Spool};
use crate::sys::inherit::Inherited;
use crate::unit::{Signal, Texts, Unit, UnitName, sources};

/// Both ends of a unit's pipe.
pub type Ends = (OwnedFd, OwnedFd);

/// A former life.
#[derive(Debug)]
pub struct Former {
    /// All that it saved.
    pub record: Record,
    /// Of this, what there is one of.
    pub own: KeptSelf,
    /// The texts of unit files that it had in force.
    pub texts: Texts,
    inherited: Inherited,
    /// Where that was saved, if we may have to read it again.
    pub journal: Option<OwnedFd>,
    /// It ended, and we are another process: its children are not ours.
    pub was_killed: bool,
}

impl Former {
    /// The one that this process was before its exec. None: it left no record, or none that can be read. What it left
    /// open and does not name is closed.
    pub fn of_exec(resume: &Resume) -> Option<Self> {
        let mut inherited = Inherited::take_all(resume.highest);
        let journal = inherited.take(resume.record);
        // Until something else is saved, this is what a crash goes on from.
        crash::remember(resume.highest);
        journal.iter().for_each(|journal| crash::set_record(journal.as_fd()));
        let record = journal
            .as_ref()
            .and_then(|journal| journal::read_open(journal.try_clone().ok()?));
        let former = record.and_then(|record| Self::new(record, inherited, false));
        let former = former.map(|former| Self { journal, ..former });
        if former.is_none() && resume.mode != Mode::Reaper {
            tracing::error!("the saved state cannot be read; what runs is adopted by its cgroups");
        }
        former
    }

    /// One that was killed, with this runtime directory, in this boot of the machine. None: nothing of it is left.
    pub fn of_kill(runtime_dir: &Path) -> Option<Self> {
        // A first process that was killed took everything along.
        if rustix::process::getpid() == rustix::process::Pid::INIT {
            return None;
        }
        let record = journal::read_in(runtime_dir)?;
        let former = Self::new(record, Inherited::default(), true)?;
        (former.own.boot == processes::boot_id()).then_some(former)
    }

    fn new(record: Record, inherited: Inherited, was_killed: bool) -> Option<Self> {
        let own = record.section(SELF).next()?.1;
        Some(Self {
            own: KeptSelf::read(&own)?,
            texts: journal::texts(&record),
            record,
            inherited,
            journal: None,
            was_killed,
        })
    }

    /// A descriptor that was handed over.
    pub fn take(&mut self, descriptor: &Descriptor) -> Option<OwnedFd> {
        descriptor.take(&mut self.inherited)
    }

    /// What is saved in a section, by keys; what cannot be read is left out.
    pub fn section<'a, T: Saved + 'a>(&'a self, name: &'a str) -> impl Iterator<Item = (&'a str, T)> + 'a {
        let entries = self.record.section(name);
        entries.filter_map(|(key, value): (&str, Value)| Some((key, T::read(&value)?)))
    }

    /// A process, if it is still there, if only as a zombie.
    pub fn process(&mut self, identity: &Identity, pidfd: &Descriptor) -> Option<OwnedFd> {
        let handed_over = self.take(pidfd).filter(|pidfd| identity.is(pidfd));
        handed_over.or_else(|| identity.open())
    }

    /// Whether any process that it had is still there.
    pub fn is_alive(&self) -> bool {
        let mut lives = self.section::<KeptLife>(super::keep::LIVES);
        lives.any(|(_, life)| {
            let mut processes = life
                .holder
                .iter()
                .chain(life.commands.iter().map(|(_, process)| process));
            processes.any(|process| process.identity.open().is_some())
        })
    }

    /// Whether there is something to go on with: after an exec always, after a kill only with a process, or a unit that
    /// waits for a trigger.
    pub fn goes_on(&self) -> bool {
        let sections = [super::keep::TRIGGERS, super::keep::SOCKETS];
        let waits = || sections.iter().any(|name| self.record.section(name).next().is_some());
        !self.was_killed || self.is_alive() || waits()
    }

    /// The engine as it was. None: that cannot be read.
    pub fn engine(&self) -> Option<Engine> {
        let mut known: BTreeMap<(UnitName, String), Rc<Unit>> = BTreeMap::new();
        Engine::restore(&self.record, |name, definition| {
            let place = (name.clone(), definition.to_owned());
            if let Some(unit) = known.get(&place) {
                return Some(Rc::clone(unit));
            }
            let unit = Rc::new(self.definition(name, definition)?);
            known.insert(place, Rc::clone(&unit));
            Some(unit)
        })
    }

    /// A unit as its files said it then: by [`super::keep`]'s name for a definition.
    fn definition(&self, name: &UnitName, definition: &str) -> Option<Unit> {
        if definition.is_empty() {
            return Some(Unit::target(name.clone()));
        }
        let file = |line: &str| {
            let (id, path) = line.split_once(' ')?;
            let id = crate::unit::TextId(u64::from_str_radix(id, 16).ok()?);
            Some((Rc::from(path), Rc::clone(self.texts.get(&id)?)))
        };
        let files: Vec<(Rc<str>, Rc<str>)> = definition.lines().map(file).collect::<Option<_>>()?;
        // What another version finds wrong with it is no reason to let go of what runs.
        Some(sources::parse(name, &files, Vec::new()).0)
    }

    /// The pipes that its log process read from; `logger` is that process, if it is still there.
    pub fn pipes(&mut self, logger: Option<&OldLogger>) -> BTreeMap<UnitName, Ends> {
        let kept: Vec<(UnitName, KeptPipe)> = self
            .section::<KeptPipe>(PIPES)
            .filter_map(|(name, pipe)| Some((UnitName::new(name).ok()?, pipe)))
            .collect();
        let mut pipes = BTreeMap::new();
        for (name, pipe) in kept {
            let handed_over = self.take(&pipe.read).zip(self.take(&pipe.write));
            if let Some(ends) = handed_over.or_else(|| logger?.open.pipe(&pipe.read)) {
                pipes.insert(name, ends);
            }
        }
        pipes
    }

    /// What its log process had begun.
    pub fn spool(&mut self, logger: Option<&OldLogger>) -> Option<Spool> {
        let kept = self.own.spool.clone();
        let spool: Option<Vec<OwnedFd>> = kept.iter().map(|its| self.take(its)).collect();
        let spool = spool.or_else(|| match kept.as_slice() {
            [reader, _, record] => {
                let (reader, writer) = logger?.open.pipe(reader)?;
                Some(vec![reader, writer, logger?.open.file(record)?])
            }
            _ => None,
        });
        spool.and_then(Spool::from_descriptors)
    }
}

/// What is left of a former life's outputs.
#[derive(Debug)]
pub struct Salvaged {
    /// The pipes that it has saved, as far as they could be had.
    pub pipes: BTreeMap<UnitName, Ends>,
    /// Its log process.
    pub logger: Option<OldLogger>,
}

impl Salvaged {
    /// The pipe of a unit, of which this is a process.
    pub fn output(&mut self, unit: &UnitName, pid: i32) -> Option<Ends> {
        let saved = self.pipes.remove(unit);
        saved.or_else(|| self.logger.as_ref()?.output_of(pid))
    }
}

/// The log process of a former life, still at work.
#[derive(Debug)]
pub struct OldLogger {
    pidfd: OwnedFd,
    open: Open,
}

impl OldLogger {
    /// Finds it by what it holds.
    pub fn find(lock: &File) -> Option<Self> {
        let pid = log::turnstile::holder(lock)?;
        let number = rustix::process::Pid::from_raw(pid)?;
        let pidfd = rustix::process::pidfd_open(number, rustix::process::PidfdFlags::empty()).ok()?;
        let open = Open::of(pid);
        // Still at work, so the number is still its own.
        (log::turnstile::holder(lock) == Some(pid)).then_some(Self { pidfd, open })
    }

    /// Both ends of the pipe that this process writes its output to, if it is one that is read here.
    pub fn output_of(&self, pid: i32) -> Option<Ends> {
        let standard = ["fd/1", "fd/2"].into_iter();
        let mut standard = standard.filter_map(|name| fs::metadata(processes::file(pid, name)?).ok());
        standard.find_map(|meta| self.open.pipe(&Descriptor::known(meta.dev(), meta.ino())))
    }

    /// Ends it: by now all pipes are open here too. What it had begun is in the spool, and its successor waits for its
    /// end.
    pub fn end(self) {
        signal(&self.pidfd, Signal::KILL);
    }
}

/// What another process has open, by what is behind it.
#[derive(Debug, Default)]
pub struct Open(BTreeMap<(u64, u64), PathBuf>);

impl Open {
    /// Of this process; nothing, if that is not ours to know.
    pub fn of(pid: i32) -> Self {
        let entries = processes::file(pid, "fd").and_then(|dir| fs::read_dir(dir).ok());
        let identified = entries.into_iter().flatten().flatten().filter_map(|entry| {
            let meta = fs::metadata(entry.path()).ok()?;
            Some(((meta.dev(), meta.ino()), entry.path()))
        });
        Self(identified.collect())
    }

    /// Both ends of a pipe of which it has one.
    pub fn pipe(&self, either: &Descriptor) -> Option<Ends> {
        let path = self.0.get(&either.key())?;
        // First the read end, without waiting for a writer: then a write end need not wait for a reader.
        let read = open(path, OFlags::RDONLY | OFlags::NONBLOCK)?;
        let write = open(path, OFlags::WRONLY)?;
        rustix::io::ioctl_fionbio(&read, false).ok()?;
        (either.is(&read) && either.is(&write)).then_some((read, write))
    }

    /// A file, to read and write.
    fn file(&self, file: &Descriptor) -> Option<OwnedFd> {
        let opened = open(self.0.get(&file.key())?, OFlags::RDWR)?;
        file.is(&opened).then_some(opened)
    }
}

fn open(path: &Path, flags: OFlags) -> Option<OwnedFd> {
    let access = flags & OFlags::ACCMODE;
    let file = File::options()
        .read(access != OFlags::WRONLY)
        .write(access != OFlags::RDONLY)
        .custom_flags((flags - OFlags::ACCMODE).bits().cast_signed())
        .open(path);
    file.ok().map(Into::into)
}
