//! Transient units: `svc run`. A unit file that a client has written, in a directory of svcd's own below all others; it
//! lasts until the next boot, or until it is removed, by hand or, where the client wants it so, when the unit has ended.

use std::ffi::OsStr;
use std::fs;
use std::io::Write;
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use super::clients::Peer;
use super::keep::FILES;
use super::lives::Life;
use super::sessions::Attachment;
use super::{Config, Supervisor, clock};
use crate::control::call::{Call, Verb};
use crate::control::reply::{Failure, Told};
use crate::control::{Run, view};
use crate::engine::changes::Images;
use crate::engine::event::{Cause, Event};
use crate::engine::{StateWord, UnitId};
use crate::image;
use crate::sys::pidfd::namespaces;
use crate::unit::{Texts, Unit, UnitName, load};

/// Where their files are.
pub fn directory(config: &Config) -> PathBuf {
    config.runtime_dir.join("transient")
}

impl Supervisor {
    /// Answered once it is up or, where it has the caller's streams, when it has ended.
    pub(super) fn run_transient(&mut self, client: u64, call: &Call, peer: &Peer, order: &Run, given: Vec<OwnedFd>) {
        let loaded = Attachment::of(given, order.size)
            .and_then(|attachment| Ok((attachment, self.load_transient(order, peer.cause())?)));
        let (attachment, unit) = match loaded {
            Ok(loaded) => loaded,
            Err(failure) => return self.respond(client, call, Err(failure)),
        };
        let jobs = self.wait_for(client, call, vec![unit], None);
        if let Some(attachment) = attachment {
            self.requests.wait_for_run(client, unit, attachment);
        }
        for (unit, job) in jobs {
            self.ask(Verb::Start, unit, job, peer.cause());
        }
        self.settle();
        if call.oneway {
            self.end_call(client, view::OutcomeKind::Accepted);
        }
    }

    /// Takes the unit over, and nothing else that may have changed on disk.
    fn load_transient(&mut self, order: &Run, by: Cause) -> Result<UnitId, Failure> {
        let name = UnitName::new(&order.unit).map_err(|_| Failure::InvalidParameter("unit".to_owned()))?;
        let told = |why: String, hint: Option<String>| Told {
            what: format!("run {name}"),
            why,
            hint,
        };
        if self.engine.find(name.as_str()).is_some() {
            let path = directory(&self.config).join(format!("{name}.toml"));
            let hint = match path.exists() {
                true => format!(
                    "`svc start {name}` runs it again; it goes when {} is removed",
                    path.display()
                ),
                false => "another --name".to_owned(),
            };
            return Err(Failure::Refused(told(
                "there is such a unit already".to_owned(),
                Some(hint),
            )));
        }
        self.write_transient(&name, &order.text)
            .map_err(|error| Failure::Failed(told(error.to_string(), None)))?;
        let mut texts = Texts::new();
        let read = load::one(&self.files.path, &name, self.units_in_force(), &mut texts);
        self.keep.take_texts(texts);
        let (unit, findings) = match read {
            Ok(read) => read,
            Err(findings) => {
                self.remove_transient(&name);
                self.files.findings.extend(findings);
                let failure = self.no_such_unit(name.as_str());
                // What is wrong with it concerns nobody any more.
                self.files
                    .findings
                    .retain(|finding| finding.unit.as_ref() != Some(&name));
                return Err(failure);
            }
        };
        self.files.findings.extend(findings);
        if order.remove {
            self.files.passing.insert(name.clone());
            self.keep.touch(FILES);
        }
        self.take_over_units(|units| units.push(unit), by);
        self.engine
            .find(name.as_str())
            .ok_or_else(|| Failure::Failed(told("it went away meanwhile".to_owned(), None)))
    }

    pub(super) fn take_over_units(&mut self, change: impl FnOnce(&mut Vec<Rc<Unit>>), by: Cause) {
        let mut units = self.units_in_force();
        change(&mut units);
        self.handle(Event::Units {
            units,
            images: Images::default(),
            by,
            job: None,
        });
    }

    /// Whole or not at all. What is in it may be secret.
    fn write_transient(&mut self, name: &UnitName, text: &str) -> std::io::Result<()> {
        let dir = directory(&self.config);
        fs::create_dir_all(&dir)?;
        let path = dir.join(format!("{name}.toml"));
        let new = dir.join(format!(".{name}.new"));
        let mut options = fs::OpenOptions::new();
        options.create(true).truncate(true).write(true).mode(0o600);
        let written = options.open(&new).and_then(|mut file| file.write_all(text.as_bytes()));
        written
            .and_then(|()| fs::rename(&new, &path))
            .inspect_err(|_| drop(fs::remove_file(&new)))?;
        self.watch.take_own(&dir, &file_names(&[&new, &path]), clock::mono());
        Ok(())
    }

    fn remove_transient(&mut self, name: &UnitName) {
        let dir = directory(&self.config);
        let path = dir.join(format!("{name}.toml"));
        let _ = fs::remove_file(&path);
        self.watch.take_own(&dir, &file_names(&[&path]), clock::mono());
    }

    /// What a caller waits for has begun. Its namespaces stay until he has heard of the end: to take them away takes longer
    /// than to end. But where it is shown something of the machine, that is let go of before.
    pub(super) fn hold_namespaces(&mut self, client: u64, unit: UnitId) {
        let life = self.lives.get(&unit).filter(|life| life.port.is_none());
        if let Some(main) = life.and_then(Life::main)
            && self.sees_only_its_image(unit)
        {
            let held = namespaces(&main.pidfd);
            self.requests.held_namespaces.insert(client, held);
        }
    }

    /// The callers whose run of this unit is over hear of its end. What is left of it goes while they wake up, and before
    /// anybody's next request: see [`Supervisor::collect`].
    pub(super) fn answer_ran(&mut self, unit: UnitId) {
        let ran: Vec<u64> = self.requests.ran(unit).collect();
        for client in &ran {
            self.answer_call(*client, view::OutcomeKind::Done);
        }
        if !ran.is_empty() {
            // They go first, also where they have this processor.
            std::thread::yield_now();
            self.requests.answered.extend(ran);
        }
    }

    /// Transient units that have had their run go, and their callers are heard again.
    pub(super) fn collect(&mut self) {
        let gone = self.take_passed();
        for unit in self.requests.run_units() {
            if self.is_at_rest(unit) {
                self.answer_ran(unit);
            }
        }
        for name in &gone {
            self.remove_transient(name);
            image::pins::forget(&self.config.state_dir.join(image::STORE), name.as_str());
        }
        for client in std::mem::take(&mut self.requests.answered) {
            self.requests.held_namespaces.remove(&client);
            self.serve(client);
        }
    }

    /// Nobody who asks from now on finds those that have passed.
    fn take_passed(&mut self) -> Vec<UnitName> {
        let over = |name: &&UnitName| match self.engine.find(name.as_str()) {
            Some(unit) => self.is_at_rest(unit) && !self.requests.has_job(unit),
            None => true,
        };
        let gone: Vec<UnitName> = self.files.passing.iter().filter(over).cloned().collect();
        if gone.is_empty() {
            return gone;
        }
        for name in &gone {
            self.files.passing.remove(name);
            self.outputs.remove(name);
        }
        self.files.forget_instances(&gone);
        let is_gone = |unit: &UnitName| gone.contains(unit);
        self.files
            .findings
            .retain(|finding| !finding.unit.as_ref().is_some_and(is_gone));
        self.keep.touch(FILES);
        self.take_over_units(|units| units.retain(|unit| !gone.contains(&unit.name)), Cause::Files);
        gone
    }

    /// Nothing of the unit runs, and nothing is under way to that.
    fn is_at_rest(&self, unit: UnitId) -> bool {
        let state = self.engine.state(unit);
        let moves = [
            StateWord::Waiting,
            StateWord::Starting,
            StateWord::Running,
            StateWord::Stopping,
        ];
        !state.is_some_and(|state| moves.contains(&state)) && self.lives.get(&unit).is_none()
    }
}

fn file_names<'a>(paths: &[&'a Path]) -> Vec<&'a OsStr> {
    paths.iter().filter_map(|path| path.file_name()).collect()
}

/// They last no longer than the supervisor that was told of them.
pub fn remove_all(config: &Config) {
    let _ = fs::remove_dir_all(directory(config));
}
