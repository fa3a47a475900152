//! The saved form: the engine's whole state written out and read back, field by field.
//!
//! A record is a list of entries, each under a section and a key, with a value in JSON; a later entry stands in the
//! place of an earlier one. So that a save costs what has changed, [`Engine::record`] writes only that, unless all is
//! asked for. What follows from the rest is not in it: edges and deadlines are drawn anew. Definitions are not either:
//! the caller gives each a name, and finds it again by that.

use std::collections::BTreeMap;
use std::rc::Rc;

use serde_json::{Map, Value};

use super::event::{Cause, Mono, Now, Wall};
use super::history::{Entry, History};
use super::restart::{Budget, Jitter};
use super::said::Said;
use super::slot::{Slot, State};
use super::timing::Timing;
use super::triggers::{Arms, Set};
use super::{Engine, UnitId};
use crate::unit::{Unit, UnitName};

pub mod json;
#[cfg(test)]
mod tests;
mod values;

pub(crate) use values::saved;

use json::{Object, Saved, field, write_text};

/// The sections of the engine's part of a record.
const GLOBALS: &str = "engine";
const UNITS: &str = "unit";
const MOVES: &str = "move";

/// Tries in a row, counted no further than this in what is read: adding to it overflows nothing.
const TRIES_MAX: u32 = 1 << 20;
/// Places in what is read: no record of ours has more.
const PLACES_MAX: usize = 1 << 20;

/// Entries by section and key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Record(BTreeMap<Box<str>, BTreeMap<Box<str>, Box<str>>>);

impl Record {
    /// Takes one entry; `null` takes away what is there.
    pub fn put(&mut self, section: &str, key: &str, value: &str) {
        if value != "null" {
            self.0
                .entry(section.into())
                .or_default()
                .insert(key.into(), value.into());
        } else if let Some(entries) = self.0.get_mut(section) {
            entries.remove(key);
        }
    }

    /// The keys and values of a section. What is no JSON is left out.
    pub fn section(&self, name: &str) -> impl Iterator<Item = (&str, Value)> {
        let entries = self.0.get(name).into_iter().flatten();
        entries.filter_map(|(key, value)| Some((&**key, serde_json::from_str(value).ok()?)))
    }

    /// The entries whose keys are numbers, in the order of these.
    fn numbered(&self, section: &str) -> BTreeMap<u64, Map<String, Value>> {
        let entries = self.section(section);
        entries
            .filter_map(|(key, value)| match value {
                Value::Object(fields) => Some((key.parse().ok()?, fields)),
                Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => None,
            })
            .collect()
    }
}

impl Engine {
    /// Whether [`Engine::record`] has anything to write.
    pub fn has_changed(&self) -> bool {
        !self.unrecorded.is_empty() || self.history.unrecorded() > 0
    }

    /// The definitions that a record names.
    pub fn definitions(&self) -> impl Iterator<Item = &Rc<Unit>> {
        self.all_slots().flat_map(|slot| slot.unit.iter().chain(&slot.run_unit))
    }

    /// Writes out what has changed since the last time, or with `whole` everything. `name` names a definition; `put`
    /// takes section, key and value of each entry. To be called between two events.
    pub fn record(&mut self, whole: bool, name: impl Fn(&Rc<Unit>) -> String, mut put: impl FnMut(&str, &str, &str)) {
        if !whole && !self.has_changed() {
            return;
        }
        let changed = std::mem::take(&mut self.unrecorded);
        for id in &changed {
            if let Some(slot) = self.slot_unrecorded(*id) {
                slot.recorded = true;
            }
        }
        let mut text = String::new();
        self.write_globals(&mut text);
        put(GLOBALS, "", &text);
        let all = self.names.values();
        let ids = if whole { all.copied().collect() } else { changed };
        for id in ids {
            text.clear();
            match self.slot(id) {
                Some(slot) => write_slot(slot, &name, &mut text),
                None => text.push_str("null"),
            }
            put(UNITS, &id.0.to_string(), &text);
        }
        for (nth, entry) in self.history.record(whole) {
            text.clear();
            entry.write(&mut text);
            put(MOVES, &nth.to_string(), &text);
        }
    }

    fn write_globals(&self, out: &mut String) {
        let Self {
            slots: _,
            vacant: _,
            generation,
            names: _,
            deadlines: _,
            unsettled: _,
            unrecorded: _,
            jitter,
            history: _,
            out: _,
            now,
            loaded,
            shutdown,
            all_stopped,
            active: _,
        } = self;
        let mut object = Object::new(out);
        object.field("generation", generation);
        object.field("jitter", jitter);
        object.field("mono", &now.mono);
        object.field("wall", &now.wall);
        object.field("loaded", loaded);
        object.field("shutdown", shutdown);
        object.field("all_stopped", all_stopped);
        object.end();
    }

    /// An engine as it was when the record was written. `find` finds a definition by the unit's name and the name that
    /// [`Engine::record`] was given for it; a unit whose definition is not found any more is known as long as it runs.
    /// None: there is no engine in this record, or none that holds together.
    pub fn restore(record: &Record, mut find: impl FnMut(&UnitName, &str) -> Option<Rc<Unit>>) -> Option<Self> {
        let globals = record.section(GLOBALS).next()?.1;
        let globals = globals.as_object()?;
        let mut engine = Self::new(0);
        engine.jitter = field::<Jitter>(globals, "jitter")?;
        engine.now = Now {
            mono: field::<Mono>(globals, "mono")?,
            wall: field::<Wall>(globals, "wall")?,
        };
        engine.loaded = field::<bool>(globals, "loaded")?;
        engine.shutdown = field::<Option<Cause>>(globals, "shutdown")?;
        engine.all_stopped = field::<bool>(globals, "all_stopped")?;
        engine.generation = field::<Option<u32>>(globals, "generation")?.unwrap_or(0);
        for (id, fields) in record.numbered(UNITS) {
            engine.put_back(read_slot(UnitId(id), &fields, &mut find)?)?;
        }
        let places = engine.slots.iter().enumerate();
        engine.vacant = places.filter_map(|(place, at)| at.is_none().then_some(place)).collect();
        let moves = record.numbered(MOVES).into_iter();
        let moves = moves.filter_map(|(nth, fields)| Some((nth, Entry::read(&Value::Object(fields))?)));
        engine.history = History::restore(moves);
        engine.follow_from_slots();
        Some(engine)
    }

    /// At its place. None: two have one name, or one place, or it is none that we give.
    fn put_back(&mut self, slot: Slot) -> Option<()> {
        let place = slot.id.place();
        if place >= PLACES_MAX || self.names.insert(slot.name.clone(), slot.id).is_some() {
            return None;
        }
        if place >= self.slots.len() {
            self.slots.resize_with(place + 1, || None);
        }
        let before = self.slots.get_mut(place)?.replace(Box::new(slot));
        before.is_none().then_some(())
    }

    /// What is not written out, since it follows from what is.
    fn follow_from_slots(&mut self) {
        let scans: Vec<(UnitId, usize)> = self.all_slots().map(|slot| (slot.id, slot.scan)).collect();
        self.connect();
        self.unrecorded = self.names.values().copied().collect();
        for (id, scan) in scans {
            let Some(Some(slot)) = self.slots.get_mut(id.place()) else {
                continue;
            };
            slot.scan = if scan < slot.waits.len().max(slot.feeds.len()) {
                scan
            } else {
                0
            };
            slot.counted = slot.is_active();
            self.active += usize::from(slot.counted);
            self.deadlines.extend(slot.deadline().map(|at| (at, id)));
        }
    }
}

fn write_slot(slot: &Slot, name: impl Fn(&Rc<Unit>) -> String, out: &mut String) {
    let Slot {
        id: _,
        name: unit_name,
        unit,
        run_unit,
        state,
        since,
        reason,
        wish,
        stop,
        jobs,
        nth,
        kept,
        follows,
        restarts,
        tries,
        budget,
        last,
        end,
        signalled,
        done,
        said,
        arms,
        outgoing: _,
        incoming: _,
        conflicts: _,
        waits: _,
        feeds: _,
        cycle: _,
        waiting_on,
        scan,
        unsettled: _,
        timing,
        recorded: _,
        counted: _,
    } = slot;
    let named = |unit: &Option<Rc<Unit>>| unit.as_ref().map(|unit| Text(name(unit)));
    let same = matches!((unit, run_unit), (Some(unit), Some(run)) if Rc::ptr_eq(unit, run));
    let mut object = Object::new(out);
    object.field("name", &Text(unit_name.to_string()));
    object.field("unit", &named(unit));
    object.field("runs_as_is", &same);
    object.field("run_unit", &named(run_unit).filter(|_| !same));
    object.field("state", state);
    object.field("since", since);
    object.field("reason", reason);
    object.field("wish", wish);
    object.field("stop", stop);
    object.field("jobs", jobs);
    object.field("nth", nth);
    object.field("kept", kept);
    object.field("follows", follows);
    object.field("restarts", restarts);
    object.field("tries", tries);
    object.field("budget", budget);
    object.field("last", last);
    object.field("end", end);
    object.field("signalled", signalled);
    object.field("done", done);
    object.field("said", &Some(said.clone()).filter(|said| *said != Said::default()));
    object.field("armed", &Some(arms.set).filter(|set| *set != Set::No));
    object.field("demand", &arms.demand);
    let triggered = Some(arms.budget.clone()).filter(|budget| !budget.0.is_empty());
    object.field("triggered", &triggered);
    object.field("waiting_on", waiting_on);
    object.field("timing", &Some(*timing).filter(|timing| *timing != Timing::default()));
    object.field("scan", &u32::try_from(*scan).unwrap_or(0));
    object.end();
}

fn read_slot(
    id: UnitId,
    fields: &Map<String, Value>,
    find: &mut impl FnMut(&UnitName, &str) -> Option<Rc<Unit>>,
) -> Option<Slot> {
    let name = UnitName::new(&field::<Text>(fields, "name")?.0).ok()?;
    let mut definition = |key: &str| {
        let named = field::<Option<Text>>(fields, key)??;
        find(&name, &named.0)
    };
    let unit = definition("unit");
    let run_unit = if field(fields, "runs_as_is")? {
        unit.clone()
    } else {
        definition("run_unit")
    };
    // A state of a later version, or a run whose definition is lost: what runs of the unit is found by whoever looks.
    let state = field::<State>(fields, "state").unwrap_or(State::Inactive);
    let kept = field(fields, "kept")? && run_unit.is_some();
    let slot = Slot {
        unit,
        run_unit,
        state,
        reason: field(fields, "reason")?,
        wish: field(fields, "wish").unwrap_or(Some(Cause::Boot)),
        stop: field(fields, "stop").unwrap_or(Some(Cause::Policy)),
        jobs: field(fields, "jobs").unwrap_or_default(),
        nth: field(fields, "nth")?,
        kept,
        follows: field(fields, "follows")? || kept,
        restarts: field(fields, "restarts")?,
        tries: field::<u32>(fields, "tries")?.min(TRIES_MAX),
        budget: field::<Budget>(fields, "budget")?,
        last: field(fields, "last").unwrap_or_default(),
        end: field(fields, "end").unwrap_or_default(),
        signalled: field(fields, "signalled").unwrap_or_default(),
        done: field(fields, "done")?,
        said: field::<Option<Said>>(fields, "said").flatten().unwrap_or_default(),
        arms: Arms {
            set: field::<Option<Set>>(fields, "armed").flatten().unwrap_or_default(),
            demand: field(fields, "demand").unwrap_or_default(),
            budget: field::<Option<Budget>>(fields, "triggered")
                .flatten()
                .unwrap_or_default(),
        },
        waiting_on: field(fields, "waiting_on")?,
        timing: field::<Option<Timing>>(fields, "timing")?.unwrap_or_default(),
        scan: usize::try_from(field::<u32>(fields, "scan")?).ok()?,
        ..Slot::new(id, name, field(fields, "since")?)
    };
    let lost = slot.runs() && slot.run_unit.is_none();
    let state = if lost { State::Inactive } else { slot.state };
    Some(Slot { state, ..slot })
}

/// Text that is always there.
struct Text(String);

impl Saved for Text {
    fn write(&self, out: &mut String) {
        write_text(&self.0, out);
    }
    fn read(value: &Value) -> Option<Self> {
        value.as_str().map(|text| Self(text.to_owned()))
    }
}
