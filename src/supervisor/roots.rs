//! A unit with what the image that is its root says of it, and what clients see of any root.
//!
//! The engine knows units as they are written. An image is looked up when a run begins, and the run keeps what it said.

use std::path::Path;
use std::rc::Rc;

use super::Supervisor;
use super::lives::Life;
use crate::control::root::Root;
use crate::engine::changes::Images;
use crate::engine::{RunId, UnitId};
use crate::image::{self, Digest};
use crate::unit::keys::Change;
use crate::unit::show::Difference;
use crate::unit::{Kind, RootFrom, Service, Signal, Unit, Writable};

impl Supervisor {
    /// The unit with what its image says, if it has one, for a run that begins.
    pub(super) fn dressed(&mut self, unit: &Rc<Unit>) -> image::Result<Rc<Unit>> {
        let store = self.config.state_dir.join(image::STORE);
        let kept = self.generations.image_of(&unit.name);
        let Some(dressed) = image::root::dressed(&store, unit, kept)? else {
            return Ok(Rc::clone(unit));
        };
        self.unpinned.push((unit.name.clone(), dressed.image));
        Ok(Rc::new(dressed.unit))
    }

    /// Notes what was started since the last time: while its child works on its set-up.
    pub(super) fn pin_images(&mut self) {
        let store = self.config.state_dir.join(image::STORE);
        for (unit, image) in self.unpinned.drain(..) {
            // It has failed and gone with that.
            if self.engine.find(unit.as_str()).is_none() {
                continue;
            }
            if let Err(error) = image::pins::pin(&store, unit.as_str(), image) {
                tracing::warn!("{unit}: its image is not kept from `svc image gc`: {error}");
            }
        }
    }

    /// Likewise for one that goes on: with the image that it began with.
    pub(super) fn dressed_as_it_began(&self, unit: &Rc<Unit>) -> image::Result<Rc<Unit>> {
        let store = self.config.state_dir.join(image::STORE);
        let began = image::pins::last(&store, unit.name.as_str());
        let dressed = image::root::dressed(&store, unit, began)?;
        Ok(dressed.map_or_else(|| Rc::clone(unit), |dressed| Rc::new(dressed.unit)))
    }

    /// The units that were last started with another image than `wanted` says. Of what does not run, the engine makes
    /// nothing.
    pub(super) fn image_changes(&self, units: &[Rc<Unit>], wanted: impl Fn(&Unit) -> Option<Digest>) -> Images {
        let store = self.config.state_dir.join(image::STORE);
        let change = |unit: &Rc<Unit>| {
            let old = image::pins::last(&store, unit.name.as_str())?;
            let new = wanted(unit).filter(|new| *new != old)?;
            let difference = Difference {
                key: "image".into(),
                old: Some(old.to_string()),
                new: Some(new.to_string()),
                change: Change::Restart,
            };
            Some((unit.name.clone(), difference))
        };
        let with_image = units
            .iter()
            .filter(|unit| is_image(unit) && self.is_of_a_generation(unit));
        with_image.filter_map(change).collect()
    }

    /// A run has ended as it should: what it ran is what one can go back to.
    pub(super) fn approve_image(&self, unit: UnitId) {
        // Nobody goes back to what goes when it has ended.
        let stays = |unit: &&Rc<Unit>| is_image(unit) && !self.files.is_passing(&unit.name);
        let Some(unit) = self.engine.unit(unit).filter(stays) else {
            return;
        };
        let store = self.config.state_dir.join(image::STORE);
        if let Err(error) = image::pins::approve(&store, unit.name.as_str()) {
            tracing::warn!("{}: its image is not kept from `svc image gc`: {error}", unit.name);
        }
    }

    /// Nothing of the machine's own disks is mounted in what the unit sees.
    pub(super) fn sees_only_its_image(&self, unit: UnitId) -> bool {
        let unit = self.engine.unit(unit).filter(|unit| is_image(unit));
        unit.and_then(|unit| service(unit))
            .is_some_and(|service| service.mounts.is_empty())
    }

    /// The engine knows the unit as it is written; its image may name another stop signal.
    pub(super) fn with_image(&self, run: RunId, which: Signal) -> Signal {
        let stop_signal = |unit: &Unit| service(unit).map(|service| service.kill.signal);
        let written = self.engine.run_unit(run).and_then(|unit| stop_signal(unit));
        let dressed = self.lives.get(&run.unit).and_then(|life| stop_signal(&life.unit));
        dressed.filter(|_| written == Some(which)).unwrap_or(which)
    }

    /// What its root is made of: the name of an image as it is `written`, and the directories that it was by then.
    pub(super) fn root_of(&self, written: &Unit, life: &Life) -> Option<Root> {
        let of = |unit: &Unit| service(unit)?.root.clone();
        let root = of(&life.unit)?;
        let image = match of(written).map(|root| root.from) {
            Some(RootFrom::Image(name)) => Some(name.to_string()),
            Some(RootFrom::Path(_) | RootFrom::Layers(_)) | None => None,
        };
        let shown = |path: &Path| path.display().to_string();
        let is_persistent = root.writable == Some(Writable::Persistent);
        let upper = is_persistent.then(|| super::sweep::roots(&self.config).upper(&written.name));
        Some(Root {
            image,
            lower: root.layers().iter().map(|layer| shown(layer)).collect(),
            upper: upper.as_ref().map(|upper| shown(&upper.join("upper"))),
            work: upper.as_ref().map(|upper| shown(&upper.join("work"))),
            merged: life.main().map(|main| format!("/proc/{}/root", main.pid)),
        })
    }
}

fn is_image(unit: &Unit) -> bool {
    let root = service(unit).and_then(|service| service.root.as_ref());
    root.is_some_and(|root| matches!(root.from, RootFrom::Image(_)))
}

fn service(unit: &Unit) -> Option<&Service> {
    match &unit.kind {
        Kind::Service(service) => Some(service),
        Kind::Masked | Kind::Target | Kind::Slice(_) | Kind::Mount(_) => None,
    }
}
