//! What should happen. One [`Event`] with the time goes in, [`Action`]s come out.
//!
//! The engine opens no file, makes no system call, reads no clock, draws no random number and knows no
//! descriptor and no process id. Read [`event`] and [`action`] first: they are all that it hears and says. A unit's
//! states and the way from one to the next are in [`service`]; who may start and who must stop is settled in
//! [`settle`], over the edges of [`graph`].

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::rc::Rc;

use crate::unit::{LinkKind, Unit, UnitName};

pub mod action;
pub mod changes;
pub mod event;
mod graph;
mod health;
mod history;
mod mount;
mod obstacles;
mod oom;
pub mod record;
mod restart;
pub mod resume;
mod said;
mod service;
mod settle;
mod signalled;
mod slot;
mod timing;
mod touched;
mod triggers;
pub mod view;

pub use action::{Action, Outcome};
pub use event::{Event, Now};
pub use health::{Health, HealthWord};
pub use history::Entry;
pub use timing::Timing;
pub use triggers::Armed;
pub use view::{RunResult, StateWord, UnitView};

use action::Change;
use event::{Cause, End, Mono, Role};
use history::History;
use restart::Jitter;
use slot::Slot;

/// A unit's place in the engine's table (the lower half), and which of those that have had the place it is. It stays the
/// same as long as the unit is known, and no other ever has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnitId(pub u64);

impl UnitId {
    fn new(place: usize, generation: u32) -> Self {
        Self(place as u64 & PLACE | u64::from(generation) << PLACE.count_ones())
    }

    fn place(self) -> usize {
        (self.0 & PLACE) as usize
    }
}

const PLACE: u64 = u32::MAX as u64;

/// One life of a unit: from its first command until its cgroup is released.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RunId {
    /// Whose life.
    pub unit: UnitId,
    /// The how manieth.
    pub nth: u32,
}

/// A client's request, until it is answered. Numbers are the supervisor's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct JobId(pub u64);

/// What is to be done, in this order.
#[must_use]
#[derive(Debug, Default)]
pub struct Actions(Vec<Action>);

impl IntoIterator for Actions {
    type Item = Action;
    type IntoIter = std::vec::IntoIter<Action>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

/// All units, what is wanted of them, and how far they are.
#[derive(Debug)]
pub struct Engine {
    slots: Vec<Option<Box<Slot>>>,
    /// The empty places among them, and how often one has become so.
    vacant: BTreeSet<usize>,
    generation: u32,
    names: BTreeMap<UnitName, UnitId>,
    deadlines: BTreeSet<(Mono, UnitId)>,
    /// Units that something has changed for, to be settled before the event is over.
    unsettled: VecDeque<UnitId>,
    /// Units that something has changed of since the last record.
    unrecorded: Vec<UnitId>,
    jitter: Jitter,
    history: History,
    out: Vec<Action>,
    now: Now,
    /// The first set of units has come: what comes later is compared.
    loaded: bool,
    shutdown: Option<Cause>,
    all_stopped: bool,
    /// Units that are not at rest.
    active: usize,
}

impl Engine {
    /// An engine with no units. The seed decides the jitter of delays and nothing else.
    pub fn new(seed: u64) -> Self {
        Self {
            slots: Vec::new(),
            vacant: BTreeSet::new(),
            generation: 0,
            names: BTreeMap::new(),
            deadlines: BTreeSet::new(),
            unsettled: VecDeque::new(),
            unrecorded: Vec::new(),
            jitter: Jitter::new(seed),
            history: History::default(),
            out: Vec::new(),
            now: Now {
                mono: Mono::default(),
                wall: event::Wall::default(),
            },
            loaded: false,
            shutdown: None,
            all_stopped: false,
            active: 0,
        }
    }

    /// Takes one event, and says what is to be done. It cannot fail.
    pub fn handle(&mut self, now: Now, event: Event) -> Actions {
        self.now = now;
        match event {
            Event::Units { units, images, by, job } => self.on_units(units, &images, &by, job),
            Event::Signalled { unit, signal, by } => self.on_signalled(unit, signal, by),
            Event::Changed { unit, by } => self.on_changed(unit, &by),
            Event::Ask { job, unit, verb, by } => self.on_ask(job, unit, verb, &by),
            Event::Shutdown { by } => self.on_shutdown(by),
            Event::Conditions { run, unmet } => self.on_conditions(run, unmet),
            Event::Spawned { run, role } => self.on_spawned(run, role),
            Event::SpawnFailed {
                run, role: Role::Probe, ..
            } => self.on_probed(run, false),
            Event::SpawnFailed { run, role, failure } => self.on_spawn_failed(run, role, failure),
            Event::Exited {
                run,
                role: Role::Probe,
                status,
            } => self.on_probed(run, status.end == End::Code(0)),
            Event::Exited { run, role, status } => self.on_exited(run, role, status),
            Event::Told { run, notification } => self.on_told(run, notification),
            Event::MainFound { run, found } => self.on_main_found(run, found),
            Event::OomKilled { run, oom } => self.on_oom_killed(run, oom),
            Event::Emptied { run } => self.on_emptied(run),
            Event::Released { run } => self.on_released(run),
            Event::Armed { unit, failure } => self.on_armed(unit, failure),
            Event::Triggered { unit, by } => self.on_triggered(unit, by),
            Event::Found { run, alive } => self.on_found(run, alive),
            Event::Tick { heard } => self.on_deadlines(heard),
        }
        self.settle();
        if self.shutdown.is_some() && self.active == 0 && !self.all_stopped {
            self.all_stopped = true;
            self.out.push(Action::AllStopped);
        }
        Actions(std::mem::take(&mut self.out))
    }

    /// When [`Event::Tick`] is due.
    pub fn next_deadline(&self) -> Option<Mono> {
        self.deadlines.first().map(|(at, _)| *at)
    }

    /// The unit of that name.
    pub fn find(&self, name: &str) -> Option<UnitId> {
        let id = self.names.get(name).copied()?;
        self.slot(id).is_some_and(Slot::is_known).then_some(id)
    }

    /// Its definition in force; for one that was removed and is not down yet, that of its run.
    pub fn unit(&self, id: UnitId) -> Option<&Rc<Unit>> {
        let slot = self.slot(id)?;
        slot.unit.as_ref().or(slot.run_unit.as_ref())
    }

    /// The definition that this run was started with.
    pub fn run_unit(&self, run: RunId) -> Option<&Rc<Unit>> {
        self.slot(run.unit)
            .filter(|slot| slot.nth == run.nth)?
            .run_unit
            .as_ref()
    }

    /// All units, by name.
    pub fn ids(&self) -> impl Iterator<Item = UnitId> {
        self.names
            .values()
            .copied()
            .filter(|id| self.slot(*id).is_some_and(Slot::is_known))
    }

    /// How far a unit is.
    pub fn state(&self, id: UnitId) -> Option<StateWord> {
        self.slot(id).map(Slot::word)
    }

    /// One unit, as clients see it.
    pub fn view(&self, id: UnitId) -> Option<UnitView> {
        let slot = self.slot(id)?;
        let (waiting_for, blocked_by) = self.obstacles(id);
        Some(UnitView {
            state: slot.word(),
            since: slot.since,
            reason: slot.reason.clone(),
            result: slot.last.clone(),
            exit_code: slot.exit_code(),
            signal: slot.exit_signal(),
            restarts: slot.restarts,
            next_try: slot.next_try(self.now),
            waiting_for,
            blocked_by,
            status_text: slot.said.status.clone(),
            health: slot.health().cloned(),
            run: slot.run(id),
            role: slot.role(),
        })
    }

    /// The last moves of one unit, or of all; oldest first.
    pub fn history(&self, id: Option<UnitId>) -> impl Iterator<Item = &Entry> {
        self.history
            .iter()
            .filter(move |entry| id.is_none_or(|id| entry.unit == id))
    }

    /// The chain of causes that led to where the unit stands: its last start or stop, what made that, and so on.
    pub fn why(&self, id: UnitId) -> Vec<Entry> {
        /// A chain is as long as a path through the dependencies; longer ones are cut.
        const CHAIN_MAX: usize = 32;
        let mut chain = Vec::new();
        let mut next = Some(id);
        while let Some(unit) = next.take().filter(|_| chain.len() < CHAIN_MAX) {
            let newest = self.history.iter().rev().filter(|entry| entry.unit == unit);
            for entry in newest {
                chain.push(entry.clone());
                if let Change::Starting { by } | Change::Stopping { by } = &entry.what {
                    next = match by {
                        Cause::Unit(other, _) => Some(*other).filter(|other| *other != unit),
                        Cause::Boot
                        | Cause::Operator { .. }
                        | Cause::Files
                        | Cause::Signal(_)
                        | Cause::Policy
                        | Cause::Deploy(_) => None,
                        Cause::Timer(_) | Cause::Path(_) | Cause::Connection(_) => None,
                    };
                    if *by != Cause::Policy {
                        break;
                    }
                }
            }
        }
        chain
    }

    /// Whose doing it is that a unit is up or goes down, by what it does to another.
    pub fn cause_behind(&self, id: UnitId, because: event::Because) -> Option<&Cause> {
        let slot = self.slot(id)?;
        match because {
            event::Because::StoppedWith => slot.stop.as_ref(),
            // Its probes tell.
            event::Because::BadHealthOf => None,
            event::Because::RequiredBy
            | event::Because::WantedBy
            | event::Because::BoundTo
            | event::Because::PartOf
            | event::Because::ConflictsWith
            | event::Because::OnFailureOf
            | event::Because::OnSuccessOf
            | event::Because::BackWith => slot.stop.as_ref().or(slot.wish.as_ref()),
        }
    }

    /// What a unit asks of others, or what others ask of it.
    pub fn dependencies(&self, id: UnitId, reverse: bool) -> Vec<(LinkKind, UnitName, Option<UnitId>)> {
        let Some(slot) = self.slot(id) else { return Vec::new() };
        let edges = if reverse { &slot.incoming } else { &slot.outgoing };
        let named = |other: UnitId| {
            self.slot(other)
                .map(|slot| (slot.name.clone(), slot.is_known().then_some(other)))
        };
        edges
            .iter()
            .filter_map(|(other, kind)| named(*other).map(|(name, id)| (*kind, name, id)))
            .collect()
    }

    /// True when nothing runs, starts or stops.
    pub fn all_inactive(&self) -> bool {
        self.active == 0
    }

    fn slot(&self, id: UnitId) -> Option<&Slot> {
        self.at(id.place()).filter(|slot| slot.id == id)
    }

    fn at(&self, place: usize) -> Option<&Slot> {
        self.slots.get(place)?.as_deref()
    }

    fn all_slots(&self) -> impl Iterator<Item = &Slot> {
        self.slots.iter().flatten().map(|slot| &**slot)
    }

    /// The slot, to change it: so it is written out with the next record.
    fn slot_mut(&mut self, id: UnitId) -> Option<&mut Slot> {
        let slot = self.slot_unrecorded(id)?;
        if std::mem::replace(&mut slot.recorded, false) {
            self.unrecorded.push(id);
        }
        self.slot_unrecorded(id)
    }

    /// The slot, to change what no record says.
    fn slot_unrecorded(&mut self, id: UnitId) -> Option<&mut Slot> {
        let slot = self.slots.get_mut(id.place())?.as_deref_mut();
        slot.filter(|slot| slot.id == id)
    }

    /// The slot of a name, made if there is none yet: a name that is only referred to has one too.
    fn intern(&mut self, name: &UnitName) -> UnitId {
        if let Some(id) = self.names.get(name) {
            return *id;
        }
        let place = self.vacant.pop_first().unwrap_or(self.slots.len());
        let id = UnitId::new(place, self.generation);
        let new = Some(Box::new(Slot::new(id, name.clone(), self.now.wall)));
        match self.slots.get_mut(place) {
            Some(vacant) => *vacant = new,
            None => self.slots.push(new),
        }
        self.unrecorded.push(id);
        self.names.insert(name.clone(), id);
        id
    }

    /// Of names that no file and no unit says any more, nothing is known any more: each `svc run` has one of its own.
    fn forget_names(&mut self, but: &BTreeSet<&UnitName>) {
        for (place, at) in self.slots.iter_mut().enumerate() {
            let is_over = |slot: &mut Box<Slot>| slot.is_forgettable() && !but.contains(&slot.name);
            let Some(slot) = at.take_if(is_over) else { continue };
            self.names.remove(&slot.name);
            self.unrecorded.push(slot.id);
            self.vacant.insert(place);
            self.generation = self.generation.wrapping_add(1);
        }
    }

    /// Says a move to whoever listens, and remembers it.
    fn report(&mut self, unit: UnitId, what: Change) {
        self.note_time(unit, &what);
        self.history.add(Entry {
            at: self.now.wall,
            unit,
            what: what.clone(),
        });
        self.out.push(Action::Report { unit, what });
    }
}
