//! `svc set`: limits of a unit changed by hand, as drop-ins of their own. What is in force changes at once; nothing else
//! that may have been edited meanwhile is taken over with it.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use super::Supervisor;
use super::clients::Peer;
use super::settings::ReloadMode;
use crate::cgroup::Joining;
use crate::control::call::Call;
use crate::control::reply::{Failure, Told};
use crate::engine::UnitId;
use crate::engine::event::{Cause, Event};
use crate::unit::keys::Change;
use crate::unit::load::read_file;
use crate::unit::report::{Finding, Severity};
use crate::unit::set::Assignment;
use crate::unit::{Kind, Resources, TextId, Unit, sources};

/// The files of a unit: path and text of each.
type Files = Vec<(Rc<str>, Rc<str>)>;

/// A file to be written; None: to be removed.
type Edit = (PathBuf, Option<String>);

impl Supervisor {
    /// Carries a request out; it is answered when the limits hold for all of the unit's processes.
    pub(super) fn set(
        &mut self,
        client: u64,
        call: &Call,
        peer: &Peer,
        (unit, settings, persist): (&str, &[String], bool),
    ) {
        match self.try_set(unit, settings, persist, peer) {
            Err(failure) => self.respond(client, call, Err(failure)),
            Ok((id, joinings)) => {
                self.settle();
                let job = self.wait_for(client, call, vec![id], None).into_iter().next();
                self.move_all(joinings, job.map(|(_, job)| job));
            }
        }
    }

    fn try_set(
        &mut self,
        name: &str,
        settings: &[String],
        persist: bool,
        peer: &Peer,
    ) -> Result<(UnitId, Vec<(UnitId, Joining)>), Failure> {
        let told = |why: &str, hint: Option<&str>| Told {
            what: format!("set {name}"),
            why: why.to_owned(),
            hint: hint.map(str::to_owned),
        };
        let refused = |why: &str, hint| Failure::Refused(told(why, hint));
        let assignments = settings
            .iter()
            .map(|text| Assignment::parse(text))
            .collect::<Result<Vec<_>, _>>();
        let assignments = assignments.map_err(|why| refused(&why, None))?;
        let id = self.engine.find(name).ok_or_else(|| self.no_such_unit(name))?;
        let files = self.files_in_force(id).map_err(|(why, hint)| refused(&why, hint))?;
        let old = self.engine.unit(id).cloned().ok_or_else(|| self.no_such_unit(name))?;
        let (files, edits) = self.edited(&old, files, &assignments, persist);
        let (new, findings) = sources::parse(&old.name, &files, Vec::new());
        if let Some(wrong) = findings.iter().find(|finding| finding.severity == Severity::Error) {
            return Err(refused(&wrong.message, wrong.hint.as_deref()));
        }
        let Some(resources) = resources_of(&new) else {
            return Err(refused("it has no limits: it is no service and no slice", None));
        };
        let live = |difference: &crate::unit::show::Difference| difference.change == Change::Live;
        if !crate::unit::show::differences(&old, &new).iter().all(live) {
            return Err(refused("it takes another run", Some("svc plan")));
        }
        let unenforceable = |why: crate::unit::Unenforceable| {
            Failure::Unenforceable(told(&format!("{}: {}", why.key, why.cause), None))
        };
        let mut unheld = self.tree.check(resources).into_iter();
        let is_set = |key: &str| assignments.iter().any(|assignment| assignment.key.name == key);
        if let Some(why) = unheld.find(|why| is_set(&why.key) && !may_skip(&new, &why.key)) {
            return Err(unenforceable(why));
        }
        let joinings = self.apply_limits(id, &new).map_err(unenforceable)?;
        if let Err(why) = edits.iter().try_for_each(write) {
            drop(self.apply_limits(id, &old));
            return Err(Failure::Failed(told(&why, None)));
        }
        let by = peer.cause();
        let texts = files.iter().map(|(_, text)| (TextId::of(text), text.clone()));
        self.keep.take_texts(texts.collect());
        self.take_changed(new, &findings, by.clone());
        if persist {
            self.settle();
            self.keep_what_was_set(&by);
        }
        Ok((id, joinings))
    }

    fn take_changed(&mut self, unit: Unit, findings: &[Finding], by: Cause) {
        self.files
            .findings
            .retain(|finding| finding.unit.as_ref() != Some(&unit.name));
        self.files.findings.extend(findings.iter().cloned());
        let unit = Rc::new(unit);
        self.queue.push_back(Event::Changed { unit, by });
    }

    /// What the unit's files said when they were taken over: as the disk says it still.
    fn files_in_force(&mut self, id: UnitId) -> Result<Files, (String, Option<&'static str>)> {
        match self.read_in_force(id) {
            // They have just been edited, and are about to be read anyway.
            None if self.settings.reload.mode == ReloadMode::Auto && !self.generations.is_instead_of_disk() => {
                self.reload(Cause::Files);
                self.settle();
                let changing = || {
                    (
                        "its files are changing, or are not valid".to_owned(),
                        Some("svc status shows what is wrong"),
                    )
                };
                self.read_in_force(id).ok_or_else(changing)
            }
            None => Err((
                "its files have changed, and are not taken over yet".to_owned(),
                Some("svc plan, svc apply"),
            )),
            Some(files) => Ok(files),
        }
    }

    fn read_in_force(&self, id: UnitId) -> Option<Files> {
        let origin = &self.engine.unit(id)?.origin;
        let files = origin.files.iter().zip(&origin.texts).map(|(path, known)| {
            let text = read_file(Path::new(&**path)).ok()?;
            (TextId::of(&text) == *known).then(|| (path.clone(), text))
        });
        files.collect()
    }

    /// The files as they are to be, and what is to be written for that. Of two drop-ins with one name the one for this boot
    /// hides the other.
    fn edited(&self, unit: &Unit, mut files: Files, assignments: &[Assignment], persist: bool) -> (Files, Vec<Edit>) {
        let folder = format!("{}.toml.d", unit.name);
        let mut edits = Vec::new();
        for assignment in assignments {
            let runtime = self
                .files
                .path
                .overrides()
                .map(|dir| dir.join(&folder).join(assignment.file_name()));
            let lasting = self
                .files
                .path
                .directories()
                .first()
                .map(|dir| dir.join(&folder).join(assignment.file_name()));
            let is_ours = |path: &str| {
                [&runtime, &lasting]
                    .into_iter()
                    .flatten()
                    .any(|ours| ours == Path::new(path))
            };
            files.retain(|(path, _)| !is_ours(path));
            let text = assignment.text();
            let (to, gone) = match persist {
                true => (&lasting, runtime.as_ref().filter(|path| path.exists())),
                false => (&runtime, None),
            };
            edits.extend(gone.map(|path| (path.clone(), None)));
            edits.extend(to.clone().map(|path| (path, text.clone())));
            let stays = || {
                Some((
                    lasting.as_ref().filter(|_| !persist)?,
                    read_file(lasting.as_ref()?).ok()?,
                ))
            };
            let in_force = match (text, to) {
                (Some(text), Some(path)) => Some((path, text.into())),
                (_, _) => stays(),
            };
            files.extend(in_force.map(|(path, text): (&PathBuf, Rc<str>)| (path.display().to_string().into(), text)));
        }
        (files, edits)
    }
}

fn resources_of(unit: &Unit) -> Option<&Resources> {
    match &unit.kind {
        Kind::Service(service) => Some(&service.resources),
        Kind::Slice(resources) => Some(resources),
        Kind::Masked | Kind::Target | Kind::Mount(_) => None,
    }
}

fn may_skip(unit: &Unit, key: &str) -> bool {
    matches!(&unit.kind, Kind::Service(service) if service.isolation.best_effort.iter().any(|listed| **listed == *key))
}

/// Whole or not at all: whoever reads meanwhile finds the old file or the new one.
fn write((path, text): &Edit) -> Result<(), String> {
    let failed = |path: &Path, error: &io::Error| format!("{}: {error}", path.display());
    let Some(text) = text else {
        return match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed(path, &error)),
            Ok(()) | Err(_) => Ok(()),
        };
    };
    let new = path.with_extension("toml.new");
    let folder = path.parent().unwrap_or(Path::new("/"));
    fs::create_dir_all(folder).map_err(|error| failed(folder, &error))?;
    let written = || {
        let mut file = fs::File::create(&new)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&new, path)
    };
    written().map_err(|error| failed(path, &error))
}
