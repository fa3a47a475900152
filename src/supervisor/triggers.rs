//! Triggers: what begins a run of a unit that waits. [`Action::Arm`](crate::engine::Action::Arm) sets them, what comes of
//! them is [`Event::Triggered`].
//!
//! [`timers`] works out when a timer comes next, [`wall`] watches the wall clock, [`stamps`] keeps over power-off when a
//! persistent one came last. [`paths`] watches files, [`sockets`] keeps what a child has opened for a unit, and [`accept`]
//! takes connections.

use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::OwnedFd;
use std::path::Path;

mod accept;
mod paths;
mod shown;
mod sockets;
mod stamps;
mod timers;
mod wall;

use rustix::io::Errno;

use super::Supervisor;
use super::clock;
use super::former::Former;
use super::keep::TRIGGERS;
use super::poll::{Source, Token};
use super::spawn::from_io;
use crate::engine::action::Action;
use crate::engine::event::{Cause, Event, Mono, SpawnFailure, SpawnFailureKind, Wall};
use crate::engine::{Armed, UnitId};
use crate::sandbox::{self, Child};
use crate::unit::{Kind, Service, UnitName};

pub use sockets::KeptSocket;
pub use timers::KeptTimers;

use paths::Paths;
use sockets::{Openings, Sockets};
use timers::{Seed, Timers};
use wall::{WallClock, Woken};

/// What is saved of a unit.
type Kept = (UnitId, Option<KeptTimers>, Option<Vec<KeptSocket>>);

/// The triggers of all units that are armed.
#[derive(Debug, Default)]
pub struct Triggers {
    timers: BTreeMap<UnitId, Timers>,
    paths: Option<(Paths, Token)>,
    sockets: BTreeMap<UnitId, Sockets>,
    openings: Openings,
    /// Connections whose instance is about to start.
    connections: BTreeMap<UnitId, OwnedFd>,
    last_connection: u64,
    /// Connections are taken again from then on.
    resume: Option<Mono>,
    clock: Option<(WallClock, Token)>,
    /// Children that write a stamp, by number.
    writers: BTreeMap<u64, (Child, Token)>,
    last_writer: u64,
    /// Those of which something is to be saved.
    changed: BTreeSet<UnitId>,
}

impl Triggers {
    /// Whether [`Triggers::keep`] has anything.
    pub fn has_changed(&self) -> bool {
        !self.changed.is_empty()
    }

    /// What has changed since the last time, or all; None: it is gone.
    pub fn keep(&mut self, whole: bool) -> Vec<Kept> {
        let mut units = std::mem::take(&mut self.changed);
        if whole {
            units = self.timers.keys().chain(self.sockets.keys()).copied().collect();
        }
        let kept = |unit: UnitId| {
            let timers = self.timers.get(&unit).map(Timers::keep);
            (unit, timers, self.sockets.get(&unit).map(Sockets::keep))
        };
        units.into_iter().map(kept).collect()
    }

    /// When the first of the timers comes that count no wall clock, or connections are taken again.
    pub fn next_deadline(&self) -> Option<Mono> {
        let timers = self.timers.values().filter_map(Timers::next_mono);
        timers.chain(self.resume).min()
    }

    fn next_wall(&self) -> Option<Wall> {
        self.timers.values().filter_map(Timers::next_wall).min()
    }
}

impl Supervisor {
    /// Sets a unit's triggers, and tells that they are set or why they are not.
    pub(super) fn arm(&mut self, unit: UnitId) {
        let failure = match self.set_triggers(unit, None) {
            // Whoever opens its sockets tells.
            Ok(true) => return,
            Ok(false) => None,
            Err(failure) => Some(failure),
        };
        self.queue.push_back(Event::Armed { unit, failure });
    }

    pub(super) fn disarm(&mut self, unit: UnitId) {
        self.triggers.timers.remove(&unit);
        self.cancel_opening(unit);
        self.close_sockets(unit, |_| false);
        self.triggers.sockets.remove(&unit);
        self.triggers.changed.insert(unit);
        self.set_clock();
        // To watch less cannot fail.
        let _ = self.set_paths(unit, &[]);
    }

    /// Whether a unit waits for its triggers. Timers tell of each time all the same.
    pub(super) fn watch_triggers(&mut self, unit: UnitId, on: bool) {
        self.watch_sockets(unit, on);
        self.watch_paths(unit, on);
    }

    /// Goes on with those that a former life has set.
    pub(super) fn take_over_triggers(&mut self, former: &mut Former) {
        self.take_over_sockets(former);
        let kept: BTreeMap<UnitId, KeptTimers> = former
            .section::<KeptTimers>(TRIGGERS)
            .filter_map(|(unit, kept)| Some((UnitId(unit.parse().ok()?), kept)))
            .collect();
        let units: Vec<UnitId> = self.engine.ids().collect();
        for unit in units {
            match self.engine.armed(unit) {
                Armed::No => {}
                Armed::Asked => self.carry_out(Action::Arm { unit }),
                Armed::Set | Armed::Waiting => {
                    if let Err(failure) = self.set_triggers(unit, kept.get(&unit)) {
                        tracing::error!("triggers: {}: {}", failure.step, failure.detail);
                    }
                    self.watch_triggers(unit, self.engine.armed(unit) == Armed::Waiting);
                }
            }
        }
    }

    /// True: its sockets are still to be opened.
    fn set_triggers(&mut self, unit: UnitId, kept: Option<&KeptTimers>) -> Result<bool, SpawnFailure> {
        let Some(definition) = self.engine.unit(unit).cloned() else {
            return Ok(false);
        };
        let Kind::Service(service) = &definition.kind else {
            return Ok(false);
        };
        self.set_timers(unit, &definition.name, service, kept)?;
        self.set_clock();
        self.set_paths(unit, &service.paths)
            .map_err(|error| from_io("path", &error))?;
        self.set_sockets(unit)
    }

    fn set_timers(
        &mut self,
        unit: UnitId,
        name: &UnitName,
        service: &Service,
        kept: Option<&KeptTimers>,
    ) -> Result<(), SpawnFailure> {
        let before = self.triggers.timers.remove(&unit);
        self.triggers.changed.insert(unit);
        if service.timers.is_empty() {
            return Ok(());
        }
        let now = clock::now();
        let boot = super::processes::boot_id();
        let seed = Seed {
            boot: &boot,
            unit: name,
        };
        let state_dir = self.config.state_dir.clone();
        let stamp = service
            .timers
            .iter()
            .any(|timer| timer.persistent)
            .then(|| stamps::read(&state_dir, name));
        let timers = Timers::new(&service.timers, seed, now, stamp.flatten(), before);
        let mut timers = timers.map_err(|zone| SpawnFailure {
            step: "timer".into(),
            errno: Errno::NOENT.raw_os_error(),
            detail: format!("this machine has no time zone {zone}").into(),
            kind: SpawnFailureKind::Step,
        })?;
        kept.iter().for_each(|kept| timers.restore(kept));
        timers.reckon(self.since.mono);
        self.triggers.timers.insert(unit, timers);
        // What is missed from now on is known by it.
        if stamp == Some(None) {
            self.write_stamp(&state_dir, name, now.wall);
        }
        Ok(())
    }

    /// A run of a unit has begun.
    pub(super) fn note_start(&mut self, unit: UnitId) {
        let since = self.since.mono;
        if let Some(timers) = self.triggers.timers.get_mut(&unit) {
            timers.note_start(clock::mono());
            timers.reckon(since);
            self.triggers.changed.insert(unit);
        }
    }

    /// It is time, or the clock was set.
    pub(super) fn on_wall_clock(&mut self) {
        let woken = self.triggers.clock.as_mut().map(|(clock, _)| clock.read());
        if woken == Some(Woken::ClockSet) {
            let (now, since) = (clock::now(), self.since.mono);
            tracing::info!("the clock was set; timers are looked at again");
            for timers in self.triggers.timers.values_mut() {
                timers.clock_was_set(now);
                timers.reckon(since);
            }
            self.triggers.changed.extend(self.triggers.timers.keys());
        }
        self.timers_due();
    }

    /// The machine has another time zone.
    fn on_time_zone(&mut self) {
        let since = self.since.mono;
        tracing::info!("/etc/localtime has changed; timers are looked at again");
        for timers in self.triggers.timers.values_mut() {
            timers.reckon(since);
        }
        self.timers_due();
    }

    /// Tells the engine of those that have come.
    pub(super) fn timers_due(&mut self) {
        self.resume_accepting();
        let (now, since) = (clock::now(), self.since.mono);
        let mut due = Vec::new();
        for (unit, timers) in &mut self.triggers.timers {
            if let Some((what, persistent)) = timers.take_due(now, since) {
                timers.reckon(since);
                due.push((*unit, what, persistent));
            }
        }
        for (unit, what, persistent) in due {
            self.triggers.changed.insert(unit);
            let by = Cause::Timer(what);
            self.queue.push_back(Event::Triggered { unit, by });
            let name = self.engine.unit(unit).map(|unit| unit.name.clone());
            if let Some(name) = name.filter(|_| persistent) {
                let state_dir = self.config.state_dir.clone();
                self.write_stamp(&state_dir, &name, now.wall);
            }
        }
        self.set_clock();
    }

    /// The wall clock is watched for the first time that comes, and not at all without one.
    fn set_clock(&mut self) {
        let next = self.triggers.next_wall();
        self.watch_time_zone(next.is_some());
        let Some(at) = next else {
            if let Some((clock, token)) = self.triggers.clock.take() {
                self.poll.remove(&clock, token);
            }
            return;
        };
        if self.triggers.clock.is_none() {
            let made = WallClock::new().and_then(|clock| {
                let token = self.poll.add(&clock, Source::WallClock)?;
                Ok((clock, token))
            });
            match made {
                Ok(made) => self.triggers.clock = Some(made),
                Err(error) => return tracing::error!("the wall clock cannot be watched: {error}"),
            }
        }
        if let Some((clock, _)) = &mut self.triggers.clock
            && let Err(error) = clock.set(at)
        {
            tracing::error!("the wall clock cannot be watched: {error}");
        }
    }

    fn write_stamp(&mut self, state_dir: &Path, unit: &UnitName, at: Wall) {
        self.triggers.last_writer += 1;
        let number = self.triggers.last_writer;
        let begun = stamps::write(state_dir, unit, at).and_then(|child| {
            let token = self.poll.add(&child.report, Source::Stamp(number))?;
            Ok((child, token))
        });
        match begun {
            Ok(writer) => drop(self.triggers.writers.insert(number, writer)),
            Err(error) => tracing::error!("{unit}: its timer's stamp is not written: {error}"),
        }
    }

    /// A stamp is written, or is not.
    pub(super) fn on_stamp(&mut self, number: u64) {
        let Some((child, token)) = self.triggers.writers.remove(&number) else {
            return;
        };
        self.poll.remove(&child.report, token);
        let mut bytes = [0_u8; 512];
        let read = rustix::io::read(&child.report, &mut bytes).unwrap_or(0);
        if let Some(failed) = sandbox::read_report(bytes.get(..read).unwrap_or_default()) {
            tracing::error!("{failed}: what is missed is not known after the next start");
        }
    }
}
