//! Generations: each set of unit files that was put in force has a number, and is kept, so that it can be put in force
//! again. What is in force is written down before it is taken over: whoever comes after a crash or a power cut finishes it.
//!
//! Usually that is what the disk says. After a rollback it is not, and stays so until the next apply or, where svcd takes
//! over what is saved by itself, until a file on disk is another one.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::rc::Rc;

use super::Supervisor;
use super::clock;
use super::processes::boot_id;
use super::settings::ReloadMode;
use super::{Config, transient};
use crate::engine::JobId;
use crate::engine::changes::Images;
use crate::engine::event::{Cause, Event};
use crate::image::{self, Digest};
use crate::unit::report::Severity;
use crate::unit::{Unit, UnitName};

mod answers;
mod probation;
mod store;

pub use store::Fingerprint;
use store::{Generation, State, Store, Verdict};

/// What is in force, and what was.
#[derive(Debug)]
pub struct Generations {
    store: Store,
    state: State,
    /// What the images of units were when the one in force began, where it is not the disk that is in force.
    images: BTreeMap<String, Digest>,
    /// How often units have failed since the one in force began, of those that were up before.
    failures: BTreeMap<UnitName, u32>,
}

impl Generations {
    /// Goes on with those in the state directory.
    pub fn open(config: &Config) -> Self {
        let store = Store::new(config.state_dir.join("generations"));
        let state = store.state().unwrap_or_else(|why| {
            tracing::error!("{why}; generations are counted on from here");
            None
        });
        let mut state = state.unwrap_or_default();
        state.last = state.last.max(store.numbers().last().copied().unwrap_or(0));
        let mut generations = Self {
            store,
            state,
            images: BTreeMap::new(),
            failures: BTreeMap::new(),
        };
        if generations.state.instead_of_disk.is_some()
            && let Ok(generation) = generations.store.read(generations.state.number)
        {
            generations.take_images(&generation);
        }
        generations
    }

    /// Something else than the disk is in force.
    pub fn is_instead_of_disk(&self) -> bool {
        self.state.instead_of_disk.is_some()
    }

    /// What a unit's image was when the generation in force began, where it is not the disk that is in force.
    pub fn image_of(&self, unit: &UnitName) -> Option<Digest> {
        self.images.get(unit.as_str()).copied()
    }

    fn take_images(&mut self, generation: &Generation) {
        let images = generation.images.iter();
        self.images = images
            .filter_map(|(unit, digest)| Some((unit.clone(), digest.parse().ok()?)))
            .collect();
    }

    fn write_state(&self) {
        if let Err(error) = self.store.write_state(&self.state) {
            tracing::error!("generations: {error}; a crash or a boot would find what was in force before");
        }
    }
}

impl Supervisor {
    /// The disk says this: it is taken over, as a generation of its own if anything is another than before.
    pub(super) fn take_over_disk(&mut self, units: Vec<Rc<Unit>>, images: Images, by: Cause, job: Option<JobId>) {
        let state = &self.generations.state;
        let is_new = state.disk != self.files.disk || self.generations.is_instead_of_disk();
        if is_new || !images.is_empty() {
            if self.engine.changes(&units, &images).is_empty() {
                self.disk_is_in_force();
            } else {
                self.begin_generation(&units, &by);
            }
        }
        self.queue.push_back(Event::Units { units, images, by, job });
    }

    /// `svc set --persist` has changed what is in force, and the disk alike: a generation of its own.
    pub(super) fn keep_what_was_set(&mut self, by: &Cause) {
        let instead_of_disk = self.generations.state.instead_of_disk.clone();
        if instead_of_disk.is_some() {
            // It is no edit that puts the disk in force again.
            drop(self.units_on_disk());
        }
        self.begin_generation(&self.units_in_force(), by);
        if instead_of_disk.is_some() {
            self.generations.state.instead_of_disk = instead_of_disk;
            self.generations.write_state();
        }
    }

    /// What is put in force when svcd has nothing to go on from: what was in force when it ended, unless the disk says
    /// something else by now. `disk` is what that says.
    pub(super) fn units_at_boot(&mut self, disk: Vec<Rc<Unit>>) -> Vec<Rc<Unit>> {
        let disk = self.with_bad_ones_as_they_were(disk);
        self.files.disk = self.fingerprint(&disk);
        let is_manual = self.settings.reload.mode == ReloadMode::Manual;
        let state = &self.generations.state;
        let differs = state.disk.lasting != self.files.disk.lasting;
        let is_edited = differs && !is_manual && !(self.generations.is_instead_of_disk() && self.has_bad_file());
        if state.number > 0 {
            self.judge_after_boot(!is_edited);
        }
        if is_edited || self.generations.state.number == 0 {
            self.begin_generation(&disk, &Cause::Boot);
            return disk;
        }
        if !differs {
            self.generations.state.disk = self.files.disk.clone();
            if !self.generations.is_instead_of_disk() {
                return disk;
            }
        }
        let number = self.generations.state.number;
        self.units_of(number, &disk).unwrap_or_else(|why| {
            tracing::error!("generation {number}: {why}; what the disk says is in force");
            self.disk_is_in_force();
            disk
        })
    }

    /// A bad file changes nothing, over a boot either.
    fn with_bad_ones_as_they_were(&mut self, mut disk: Vec<Rc<Unit>>) -> Vec<Rc<Unit>> {
        if self.generations.state.number == 0 || !self.has_bad_file() {
            return disk;
        }
        let units = self.units_of(self.generations.state.number, &[]).unwrap_or_default();
        let is_bad = |name: &UnitName| {
            self.files
                .findings
                .iter()
                .any(|finding| finding.unit.as_ref() == Some(name))
        };
        let is_there = |name: &UnitName| disk.iter().any(|unit| unit.name == *name);
        let bad: Vec<Rc<Unit>> = units
            .into_iter()
            .filter(|unit| is_bad(&unit.name) && !is_there(&unit.name))
            .collect();
        disk.extend(bad);
        disk
    }

    /// A file on disk would have to be another one, and all of them good, before the disk is in force again by itself.
    pub(super) fn stays_instead_of_disk(&self) -> bool {
        let is_edited = self.generations.state.disk.all != self.files.disk.all && !self.has_bad_file();
        self.generations.is_instead_of_disk() && !is_edited
    }

    /// svcd was killed between writing down what is to be in force and taking it over: it is taken over now.
    pub(super) fn finish_generation(&mut self) {
        let is_manual = self.settings.reload.mode == ReloadMode::Manual;
        let number = self.generations.state.number;
        if number == 0 || !(is_manual || self.generations.is_instead_of_disk()) {
            return;
        }
        let in_force = self.units_in_force();
        match self.units_of(number, &in_force) {
            Ok(units) if self.fingerprint(&units) != self.fingerprint(&in_force) => {
                let by = Cause::Files;
                self.queue.push_back(Event::Units {
                    units,
                    images: Images::default(),
                    by: by.clone(),
                    job: None,
                });
                self.start_again(&by);
            }
            Ok(_) => {}
            Err(why) => tracing::error!("generation {number}: {why}"),
        }
    }

    /// A kept generation takes the place of what is in force, whatever the disk says. Gives its number.
    ///
    /// # Errors
    /// It cannot be had, in one line; nothing has changed then.
    fn put_in_force(&mut self, number: u64, why: String, by: Cause, job: Option<JobId>) -> Result<(), String> {
        let units = self.units_of(number, &self.units_in_force())?;
        let generation = self.generations.store.read(number)?;
        let images = self.image_changes_to(&generation, &units);
        let has_disks_images = units
            .iter()
            .filter(|unit| self.is_of_a_generation(unit))
            .all(|unit| generation.image_of(unit) == self.digest_of_image(unit));
        let is_disk = self.fingerprint(&units).all == self.files.disk.all && has_disks_images;
        let state = &mut self.generations.state;
        state.number = number;
        state.disk = self.files.disk.clone();
        state.instead_of_disk = (!is_disk).then_some(why);
        let is_good = state.verdicts.get(&number) == Some(&Verdict::Good);
        let probation = if is_good { None } else { self.new_probation() };
        self.generations.state.probation = probation;
        self.generations.failures.clear();
        self.generations.take_images(&generation);
        if is_disk {
            self.generations.images.clear();
        }
        self.generations.write_state();
        self.keep_images();
        self.queue.push_back(Event::Units { units, images, by, job });
        Ok(())
    }

    /// The units that run in another image than they had when this generation began.
    fn image_changes_to(&self, generation: &Generation, units: &[Rc<Unit>]) -> Images {
        self.image_changes(units, |unit| generation.image_of(unit))
    }

    /// The units of a generation, and of `others` those that are never part of one.
    fn units_of(&mut self, number: u64, others: &[Rc<Unit>]) -> Result<Vec<Rc<Unit>>, String> {
        let (mut units, texts) = self.generations.store.read(number)?.read_units()?;
        self.keep.take_texts(texts);
        let own = others
            .iter()
            .filter(|unit| !self.is_of_a_generation(unit) && !units.iter().any(|known| known.name == unit.name));
        let own: Vec<Rc<Unit>> = own.cloned().collect();
        units.extend(own);
        Ok(units)
    }

    /// The next number, for these units, which are what the disk says. Where it cannot be written the old one stays, and
    /// what comes is not on probation.
    fn begin_generation(&mut self, units: &[Rc<Unit>], by: &Cause) {
        let number = self.generations.state.last + 1;
        let mut generation = Generation {
            number,
            at: clock::now().wall.0,
            by: self.cause(Some(by)),
            ..Generation::default()
        };
        let temporary = self.temporary_directories();
        for unit in units.iter().filter(|unit| self.is_of_a_generation(unit)) {
            let text = |id| serde_json::from_str(&self.keep.text(id)?).ok();
            if generation.add(unit, &temporary, text).is_none() {
                return tracing::error!("generation {number}: the text of {} is not known", unit.name);
            }
            if let Some(digest) = self.digest_of_image(unit) {
                generation.images.insert(unit.name.to_string(), digest.to_string());
            }
        }
        if let Err(error) = self.generations.store.write(&generation) {
            return tracing::warn!("generation {number} is not kept: {error}");
        }
        let probation = self.new_probation();
        let state = &mut self.generations.state;
        (state.number, state.last) = (number, number);
        state.probation = probation;
        self.generations.failures.clear();
        self.generations.store.prune(&mut self.generations.state);
        self.disk_is_in_force();
    }

    fn disk_is_in_force(&mut self) {
        self.generations.images.clear();
        let state = &mut self.generations.state;
        state.disk = self.files.disk.clone();
        state.instead_of_disk = None;
        state.to_start_again.clear();
        self.generations.write_state();
        self.keep_images();
    }

    /// What the name of its image leads to now.
    pub(super) fn digest_of_image(&self, unit: &Unit) -> Option<Digest> {
        let store = self.config.state_dir.join(image::STORE);
        image::root::digest_of(&store, unit).ok().flatten()
    }

    /// `svc image gc` leaves what the last good generation before this one had, and this one where it is not the disk's.
    /// Older ones would fill the disk: put in force again, they have what their images' names lead to by then.
    fn keep_images(&self) {
        let state = &self.generations.state;
        let fall_back = state.last_good_before(state.number);
        let in_force = state.instead_of_disk.is_some().then_some(state.number);
        let kept = fall_back.into_iter().chain(in_force);
        let images = kept
            .filter_map(|number| self.generations.store.read(number).ok())
            .flat_map(|generation| generation.images.into_values());
        let store = self.config.state_dir.join(image::STORE);
        if let Err(error) = image::pins::keep(&store, images) {
            tracing::warn!("images of generations are not kept from `svc image gc`: {error}");
        }
    }

    /// Transient units, instances that were asked for by name and what svcd makes itself come and go by themselves.
    pub(super) fn is_of_a_generation(&self, unit: &Unit) -> bool {
        let Some(file) = unit.origin.files.first() else {
            return false;
        };
        let is_file = file.starts_with('/') || !file.starts_with("svcd's own ");
        is_file
            && !self.files.is_asked_for(&unit.name)
            && !PathBuf::from(&**file).starts_with(transient::directory(&self.config))
    }

    pub(super) fn fingerprint(&self, units: &[Rc<Unit>]) -> Fingerprint {
        let units = units.iter().filter(|unit| self.is_of_a_generation(unit));
        Fingerprint::of(units, &self.temporary_directories(), &self.config.runtime_dir)
    }

    /// What stands in them is no edit: `svc set` and `svc run` take it over themselves, until the next boot.
    fn temporary_directories(&self) -> Vec<PathBuf> {
        let overrides = self.files.path.overrides().map(PathBuf::from);
        overrides
            .into_iter()
            .chain([transient::directory(&self.config)])
            .collect()
    }

    fn has_bad_file(&self) -> bool {
        self.files
            .findings
            .iter()
            .any(|finding| finding.severity == Severity::Error)
    }
}
