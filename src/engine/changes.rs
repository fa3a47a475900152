//! The difference of two sets of units, and what it does to what runs.
#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "what means nothing here is dropped, whatever is added to the enum"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use super::action::{Action, Change, Outcome};
use super::event::{Because, Cause};
use super::slot::{Slot, State};
use super::triggers::has_become_triggered;
use super::{Engine, JobId, UnitId};
use crate::unit::keys::Change as KeyChange;
use crate::unit::show::{Difference, differences};
use crate::unit::{Kind, LinkKind, Unit, UnitName};

/// What a new definition does to one unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Deed {
    /// Nothing differs.
    Same,
    /// It differs, and nothing of it runs: only what is known of it changes.
    Load,
    /// It runs, and takes over what differs as it is.
    LiveUpdate,
    /// It runs, or is about to again, and what differs needs another run.
    Restart,
    /// It is new, and wanted by a target that is up.
    Start,
    /// It is gone, and ran.
    Stop,
}

/// One unit of a set of changes.
#[derive(Clone, Debug)]
pub struct UnitChange {
    /// Which.
    pub name: UnitName,
    /// What is done.
    pub deed: Deed,
    /// What differs.
    pub fields: Vec<Difference>,
    /// Nothing of it differs that would do this: it is moved with that unit.
    pub with: Option<UnitName>,
}

/// Of units whose image's name leads elsewhere than when they were started: from where to where.
pub type Images = BTreeMap<UnitName, Difference>;

impl Engine {
    /// What these units and images would change, of those that are in force; the same ones are left out.
    pub fn changes(&self, units: &[Rc<Unit>], images: &Images) -> Vec<UnitChange> {
        let new: BTreeMap<&UnitName, &Rc<Unit>> = units.iter().map(|unit| (&unit.name, unit)).collect();
        let mut changes: Vec<UnitChange> = units
            .iter()
            .filter_map(|unit| self.change_of(unit, images.get(&unit.name)))
            .collect();
        let gone = self
            .all_slots()
            .filter(|slot| slot.unit.is_some() && !new.contains_key(&slot.name));
        changes.extend(gone.map(|slot| {
            let deed = if slot.is_active() { Deed::Stop } else { Deed::Load };
            UnitChange {
                name: slot.name.clone(),
                deed,
                fields: Vec::new(),
                with: None,
            }
        }));
        changes.sort_by(|a, b| a.name.cmp(&b.name));
        changes
    }

    fn change_of(&self, unit: &Rc<Unit>, image: Option<&Difference>) -> Option<UnitChange> {
        let slot = self.names.get(&unit.name).and_then(|id| self.slot(*id));
        let change = |deed, fields| {
            Some(UnitChange {
                name: unit.name.clone(),
                deed,
                fields,
                with: None,
            })
        };
        let Some((slot, old)) = slot.and_then(|slot| Some((slot, slot.unit.as_ref()?))) else {
            let deed = if self.is_wanted(unit) { Deed::Start } else { Deed::Load };
            return change(deed, Vec::new());
        };
        // An edit of what keeps failing is tried at once.
        let is_up =
            slot.is_active() || matches!(slot.state, State::Backoff { .. } | State::Arming { .. } | State::Armed);
        let mut fields = if Rc::ptr_eq(old, unit) {
            Vec::new()
        } else {
            differences(old, unit)
        };
        // What does not run is started with the image that there is by then.
        fields.extend(image.filter(|_| is_up).cloned());
        if fields.is_empty() {
            return None;
        }
        let restart = fields.iter().any(|field| field.change == KeyChange::Restart);
        let is_new = !self.is_wanted(old) || has_become_triggered(old, unit);
        let newly_wanted = !slot.is_active() && slot.wish.is_none() && self.is_wanted(unit) && is_new;
        // A slice does not run; what sits in it may.
        let is_slice = matches!(unit.kind, Kind::Slice(_));
        let deed = match (is_up, restart) {
            (true, true) => Deed::Restart,
            (true, false) => Deed::LiveUpdate,
            (false, false) if is_slice => Deed::LiveUpdate,
            (false, _) if newly_wanted => Deed::Start,
            (false, _) => Deed::Load,
        };
        change(deed, fields)
    }

    /// A target that is up, or on its way, wants it.
    fn is_wanted(&self, unit: &Unit) -> bool {
        self.wanting_target(unit).is_some()
    }

    fn wanting_target(&self, unit: &Unit) -> Option<UnitId> {
        let targets = unit.links.iter().filter(|link| link.kind == LinkKind::WantedBy);
        targets.filter_map(|link| self.names.get(&link.to).copied()).find(|id| {
            self.slot(*id)
                .is_some_and(|slot| slot.is_active() || slot.wish.is_some())
        })
    }

    pub(super) fn on_units(&mut self, units: Vec<Rc<Unit>>, images: &Images, by: &Cause, job: Option<JobId>) {
        let changes = if self.loaded {
            self.changes(&units, images)
        } else {
            Vec::new()
        };
        let first = !std::mem::replace(&mut self.loaded, true);
        self.take_new_texts(&units, &changes);
        if first || !changes.is_empty() {
            self.take_over(&units, &changes, first);
            for change in &changes {
                self.act_on(change, by);
                self.pull_for_those_who_wait(&change.name);
            }
        }
        self.answer(job, Outcome::Done);
    }

    pub(super) fn on_changed(&mut self, unit: Rc<Unit>, by: &Cause) {
        let Some(id) = self.names.get(&unit.name).copied() else {
            return;
        };
        let Some(change) = self.change_of(&unit, None) else {
            return;
        };
        if let Some(slot) = self.slot_mut(id).filter(|slot| slot.unit.is_some()) {
            slot.unit = Some(unit);
            self.act_on(&change, by);
        }
    }

    /// What differs in nothing but its text (a comment, a line elsewhere) does nothing, and is what is in force.
    fn take_new_texts(&mut self, units: &[Rc<Unit>], changes: &[UnitChange]) {
        let changed: BTreeSet<&UnitName> = changes.iter().map(|change| &change.name).collect();
        for unit in units.iter().filter(|unit| !changed.contains(&unit.name)) {
            let id = self.names.get(&unit.name).copied();
            let has_new_text = |slot: &Slot| {
                let known = slot.unit.as_ref();
                known.is_some_and(|known| !Rc::ptr_eq(known, unit) && known.origin != unit.origin)
            };
            if let Some(id) = id.filter(|id| self.slot(*id).is_some_and(has_new_text))
                && let Some(slot) = self.slot_mut(id)
            {
                slot.unit = Some(Rc::clone(unit));
            }
        }
    }

    /// The definitions in force are these; edges and obstacles are looked at anew.
    fn take_over(&mut self, units: &[Rc<Unit>], changes: &[UnitChange], all: bool) {
        let changed: BTreeSet<&UnitName> = changes.iter().map(|change| &change.name).collect();
        let new: Vec<&Rc<Unit>> = units
            .iter()
            .filter(|unit| all || changed.contains(&unit.name))
            .collect();
        let there: BTreeSet<&UnitName> = new.iter().map(|unit| &unit.name).collect();
        let defined = new.iter().map(|unit| (&unit.name, Some(Rc::clone(unit))));
        let gone = changed.difference(&there).map(|name| (*name, None));
        let edges: Vec<bool> = defined
            .chain(gone)
            .map(|(name, unit)| self.define(name, unit))
            .collect();
        if edges.contains(&true) {
            self.connect();
        }
        let waits = |slot: &&Slot| matches!(slot.state, State::Waiting | State::Blocked) || slot.stop.is_some();
        let waiting: Vec<UnitId> = self.all_slots().filter(waits).map(|slot| slot.id).collect();
        for id in waiting {
            self.touch(id);
        }
        self.forget_names(&changed);
    }

    /// The definition in force is this, or none. True: edges have come or gone with it.
    fn define(&mut self, name: &UnitName, unit: Option<Rc<Unit>>) -> bool {
        let id = self.intern(name);
        let Some(slot) = self.slot_mut(id) else { return false };
        let before = std::mem::replace(&mut slot.unit, unit);
        [before.as_ref(), slot.unit.as_ref()]
            .into_iter()
            .flatten()
            .any(|unit| draws_edges(unit))
    }

    fn act_on(&mut self, change: &UnitChange, by: &Cause) {
        let Some(unit) = self.names.get(&change.name).copied() else {
            return;
        };
        match change.deed {
            Deed::Same => {}
            Deed::Load => {
                // Gone before it came up: whoever waits for it is told.
                if self.slot(unit).is_some_and(|slot| slot.unit.is_none()) {
                    self.unwant(unit, by, false);
                    self.answer_jobs(unit, |_| true, &Outcome::Refused("its file is gone".into()));
                }
                self.moved(unit);
                self.touch(unit);
            }
            Deed::LiveUpdate => {
                let told = |field: &Difference| match &field.new {
                    Some(new) => format!("{} = {new}", field.key),
                    None => format!("{} is not set any more", field.key),
                };
                let what = change.fields.iter().map(told).collect::<Vec<_>>().join(", ").into();
                self.report(unit, Change::Updated { what, by: by.clone() });
                // Its run goes on as if it had begun so; one that is ending, or about to, ends as it began to.
                let goes_on = |slot: &&mut Slot| slot.is_up() && slot.stop.is_none();
                if let Some(slot) = self.slot_mut(unit).filter(goes_on) {
                    slot.run_unit = slot.unit.clone();
                }
                self.look_after_health(unit);
                self.out.push(Action::Update { unit });
                self.rearm(unit);
            }
            Deed::Restart => self.unwant_and_back(unit, by),
            Deed::Start => {
                let target = self
                    .slot(unit)
                    .and_then(|slot| slot.unit.clone())
                    .and_then(|new| self.wanting_target(&new));
                let cause = target.map_or_else(|| by.clone(), |target| Cause::Unit(target, Because::WantedBy));
                self.want(unit, cause);
                self.moved(unit);
            }
            Deed::Stop => self.unwant(unit, by, false),
        }
    }

    /// A unit that has come is pulled in by those who want it and have waited for it.
    fn pull_for_those_who_wait(&mut self, name: &UnitName) {
        let Some(unit) = self.names.get(name).copied() else {
            return;
        };
        let Some(slot) = self
            .slot(unit)
            .filter(|slot| slot.unit.is_some() && slot.wish.is_none())
        else {
            return;
        };
        let waits = |other: &UnitId| {
            self.slot(*other)
                .is_some_and(|other| other.wish.is_some() && !other.runs())
        };
        let by = slot.incoming.iter().find_map(|(other, kind)| match kind {
            LinkKind::Requires(_) | LinkKind::BindsTo if waits(other) => Some(*other),
            _ => None,
        });
        if let Some(by) = by {
            self.want(unit, Cause::Unit(by, Because::RequiredBy));
        }
    }

    fn unwant_and_back(&mut self, unit: UnitId, by: &Cause) {
        // Whoever asks why it started hears of the change, which is the later cause.
        if let Some(slot) = self.slot_mut(unit) {
            slot.wish = Some(by.clone());
        }
        self.rearm(unit);
        self.unwant(unit, by, true);
    }
}

/// It makes an edge, or makes another of what an edge to it means.
fn draws_edges(unit: &Unit) -> bool {
    !unit.links.is_empty() || matches!(unit.kind, Kind::Target)
}
