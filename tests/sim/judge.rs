//! What must hold whatever happens: DESIGN.md decision 1, one function or one line for each rule. It believes what the
//! world did and what the engine was told, and of the engine only what it shows to everybody.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use svc::engine::action::Change;
use svc::engine::event::{End, Role, SpawnFailureKind, Verb};
use svc::engine::{Engine, Event, JobId, RunId, StateWord, UnitId};
use svc::unit::{Kind, LinkKind, Need, Signal, Unit};

use crate::scenario::{name, place_of};
use crate::world::{Run, keeps_running, service};

mod activation;
mod budget;
mod rest;

use activation::Active;

/// A rule that was broken.
#[derive(Clone, Debug)]
pub struct Violation {
    pub rule: &'static str,
    pub text: String,
}

pub type Verdict = Result<(), Violation>;

/// Of more units than this, only those that something happens to are looked at after each event.
const SMALL_MAX: usize = 48;

#[derive(Debug)]
pub struct Judge {
    files: Vec<Option<Rc<Unit>>>,
    links: Vec<Vec<(usize, LinkKind)>>,
    units: Vec<Record>,
    places: BTreeMap<UnitId, usize>,
    open_jobs: BTreeSet<JobId>,
    /// Lives that began, and those with a cgroup.
    begun: BTreeSet<RunId>,
    groups: BTreeSet<UnitId>,
    /// Units that this event is about.
    touched: BTreeSet<usize>,
    next_look: usize,
    shutdown: bool,
    stopped: u32,
}

/// What is known of one unit from outside.
#[derive(Clone, Debug, Default)]
struct Record {
    id: Option<UnitId>,
    /// Before the event under way.
    word: Option<StateWord>,
    /// `Starting` was said, and this many lives began.
    said: u32,
    lives: u32,
    life: Option<RunId>,
    /// Its main process has executed, and has not ended.
    main_up: bool,
    /// The definition of its last life.
    definition: Option<Rc<Unit>>,
    /// Its last main command ended well.
    done: bool,
    /// It was said to be ready, and nothing since.
    ready: bool,
    /// It ended once, and how the last time.
    ended: Option<bool>,
    /// Starts since somebody asked, with what is known not to count; and all.
    starts: Vec<(u64, Option<RunId>)>,
    all_starts: Vec<u64>,
    transient: BTreeSet<RunId>,
    active: Active,
}

impl Record {
    /// Its main process runs, and has said that it is ready where it says so.
    fn is_up(&self) -> bool {
        self.main_up && self.active.is_ready(self.definition.as_ref())
    }
}

impl Judge {
    pub fn new(units: usize) -> Self {
        Self {
            files: Vec::new(),
            links: Vec::new(),
            units: vec![Record::default(); units],
            places: BTreeMap::new(),
            open_jobs: BTreeSet::new(),
            begun: BTreeSet::new(),
            groups: BTreeSet::new(),
            touched: BTreeSet::new(),
            next_look: 0,
            shutdown: false,
            stopped: 0,
        }
    }

    pub fn violated(&self, rule: &'static str, text: String) -> Verdict {
        Err(Violation { rule, text })
    }

    pub fn unless(&self, holds: bool, rule: &'static str, text: impl FnOnce() -> String) -> Verdict {
        if holds { Ok(()) } else { self.violated(rule, text()) }
    }

    /// The files are now these. Each unit's links are its own, and those of others that come to the same.
    pub fn on_files(&mut self, files: &[Option<Rc<Unit>>]) {
        self.files = files.to_vec();
        self.links = vec![Vec::new(); files.len()];
        for unit in files.iter().flatten() {
            let place = place_of(unit);
            for link in &unit.links {
                let other = link_place(&link.to);
                self.links[place].push((other, link.kind));
                match link.kind {
                    LinkKind::Before => self.links[other].push((place, LinkKind::After)),
                    LinkKind::Conflicts => self.links[other].push((place, LinkKind::Conflicts)),
                    _ => {}
                }
            }
        }
    }

    pub fn knows(&mut self, place: usize, id: UnitId) {
        self.units[place].id = Some(id);
        self.places.insert(id, place);
    }

    pub fn on_job(&mut self, job: JobId) {
        self.open_jobs.insert(job);
    }

    /// Every job is answered exactly once.
    pub fn on_answer(&mut self, job: JobId) -> Verdict {
        let was_open = self.open_jobs.remove(&job);
        self.unless(was_open, "answered once", || format!("{job:?} is answered again"))
    }

    pub fn on_ask(&mut self, place: usize, verb: Verb) {
        if matches!(verb, Verb::Start | Verb::Restart | Verb::Reset) {
            self.units[place].starts.clear();
            self.units[place].active.on_ask();
        }
    }

    pub fn before(&mut self, event: &Event) {
        self.touched.clear();
        self.shutdown |= matches!(event, Event::Shutdown { .. });
    }

    /// What the engine is told now.
    pub fn on_news(&mut self, event: &Event, run: Option<&Run>) {
        let Some(unit) = run.map(|run| run.unit.clone()) else {
            return;
        };
        let place = place_of(&unit);
        self.touched.insert(place);
        let record = &mut self.units[place];
        record.active.on_news(event, record.life);
        match event {
            // What a kill mode spared may tell its end in a later life, and means nothing there.
            Event::Spawned { run, .. } | Event::Exited { run, .. } if Some(*run) != record.life => {}
            Event::Spawned {
                role: Role::Main(_), ..
            } => {
                (record.main_up, record.done) = (true, false);
                record.definition = Some(unit);
            }
            Event::Exited {
                role: Role::Main(nth),
                status,
                ..
            } => {
                let Some(service) = service(&unit) else { return };
                let clean = match status.end {
                    End::Code(code) => code == 0,
                    End::Signal(signal) => keeps_running(service) && [Signal::TERM, Signal::HUP].contains(&signal),
                };
                let ignored = service.exec_start.iter().any(|command| command.ignore_failure);
                let last = usize::from(*nth) + 1 == service.exec_start.len();
                record.main_up = false;
                record.done = last && (clean || ignored);
                record.definition = Some(unit);
            }
            Event::SpawnFailed { run, failure, .. } if failure.kind == SpawnFailureKind::Transient => {
                record.transient.insert(*run);
            }
            _ => {}
        }
    }

    /// The first that is done for a life: it was said to start, nothing starts once svcd stops.
    pub fn begins(&mut self, run: RunId, place: Option<usize>) -> Verdict {
        let Some(place) = place.filter(|_| self.begun.insert(run)) else {
            return Ok(());
        };
        let record = &mut self.units[place];
        record.life = Some(run);
        record.lives += 1;
        if let Some(start) = record.starts.last_mut() {
            start.1 = Some(run);
        }
        let told = record.lives <= record.said;
        self.unless(told, "said", || format!("u{place} starts and nobody is told"))
    }

    /// One main process, at most.
    pub fn on_spawn(&mut self, run: RunId, role: Role, runs: &BTreeMap<RunId, Run>) -> Verdict {
        self.groups.insert(run.unit);
        match role {
            Role::Main(_) => {}
            Role::Probe => return self.on_probe(run, runs),
            _ => return Ok(()),
        }
        let lives = RunId { unit: run.unit, nth: 0 }..=RunId {
            unit: run.unit,
            nth: u32::MAX,
        };
        let another = runs.range(lives).find(|(its, life)| {
            let mut mains = life
                .processes
                .iter()
                .filter(|process| matches!(process.role, Some(Role::Main(_))));
            (**its == run || !life.spares_leftovers()) && mains.any(|process| process.alive)
        });
        self.unless(another.is_none(), "one main process", || {
            format!("{run:?}: {:?} has one", another.map(|(run, _)| run))
        })
    }

    /// Nothing is released that somebody still lives in.
    pub fn on_release(&mut self, run: RunId, keep: bool, runs: &BTreeMap<RunId, Run>) -> Verdict {
        if !keep {
            self.groups.remove(&run.unit);
        }
        let alive = runs
            .get(&run)
            .is_some_and(|run| run.is_anyone_alive() && !run.spares_leftovers());
        self.unless(!alive, "released empty", || format!("{run:?} has processes"))
    }

    pub fn on_report(
        &mut self,
        place: Option<usize>,
        what: &Change,
        now: u64,
        runs: &BTreeMap<RunId, Run>,
        engine: &Engine,
    ) -> Verdict {
        let Some(place) = place else { return Ok(()) };
        self.touched.insert(place);
        let record = &mut self.units[place];
        match what {
            Change::Starting { .. } => {
                record.said += 1;
                (record.ready, record.done, record.main_up) = (false, false, false);
                if self.files[place].as_deref().is_some_and(|unit| service(unit).is_some()) {
                    record.starts.push((now, None));
                    record.all_starts.push(now);
                }
                self.unless(!self.shutdown, "start after shutdown", || format!("u{place}"))?;
                self.on_active_start(place)?;
                self.on_start(place, now, runs, engine)
            }
            Change::Ready | Change::Stopping { .. } => {
                record.ready = *what == Change::Ready;
                // As a target it has done all that there is to it, whatever it becomes.
                if record.ready && self.files[place].as_deref().is_some_and(|unit| service(unit).is_none()) {
                    record.ended = Some(true);
                }
                if record.ready {
                    self.on_good_news(place, false)
                } else {
                    Ok(())
                }
            }
            Change::Healthy => self.on_good_news(place, true),
            Change::Ended { failed, .. } => {
                record.ready = false;
                record.ended = Some(!failed);
                Ok(())
            }
            Change::GaveUp { .. } | Change::Refused { .. } => {
                record.ended = Some(false);
                let gave_up = matches!(what, Change::GaveUp { .. });
                if gave_up { self.on_gave_up(place, now) } else { Ok(()) }
            }
            // From here on nobody need wait for it, even if it goes on in the same breath.
            Change::Blocked { .. } => {
                record.word = None;
                Ok(())
            }
            Change::Backoff { .. } => {
                record.active.on_backoff();
                Ok(())
            }
            Change::Unhealthy { .. }
            | Change::Skipped { .. }
            | Change::Reloaded
            | Change::Signalled { .. }
            | Change::Adopted
            | Change::Stuck
            | Change::Updated { .. } => Ok(()),
        }
    }

    /// Nothing starts before what it requires, while who it comes after or conflicts with is there, or over its budget.
    fn on_start(&self, place: usize, now: u64, runs: &BTreeMap<RunId, Run>, engine: &Engine) -> Verdict {
        let Some(unit) = self.files[place].clone() else {
            return self.violated("requires", format!("u{place} starts without a file"));
        };
        for (other, kind) in self.links[place].iter().copied() {
            let at = || format!("u{place} starts, {kind:?} u{other}");
            match kind {
                LinkKind::Requires(need) => self.unless(self.meets(other, need), "requires", at)?,
                LinkKind::BindsTo => self.unless(self.meets(other, Need::Ready), "requires", at)?,
                LinkKind::After | LinkKind::Wants => self.unless(!self.is_moving(other, engine), "order", at)?,
                LinkKind::Conflicts => {
                    let runs = runs.iter().filter(|(run, _)| Some(run.unit) == self.units[other].id);
                    let mut alive = runs.filter(|(_, run)| run.is_anyone_alive() && !run.spares_leftovers());
                    self.unless(alive.next().is_none(), "conflicts", at)?;
                }
                _ => {}
            }
        }
        self.within_budget(place, &unit, now)
    }

    fn meets(&self, other: usize, need: Need) -> bool {
        let (Some(unit), record) = (&self.files[other], &self.units[other]) else {
            return false;
        };
        let stays =
            |unit: &Rc<Unit>| service(unit).is_some_and(|service| !keeps_running(service) || service.remain_after_exit);
        let done = record.done && (stays(unit) || record.definition.as_ref().is_some_and(stays));
        match (&unit.kind, need) {
            (Kind::Masked, _) => false,
            (Kind::Service(_), Need::Started | Need::Ready | Need::Healthy) if record.active.armed => true,
            (Kind::Service(_), Need::Started) => record.main_up || done,
            (Kind::Service(_), Need::Ready) => record.is_up() || done,
            (Kind::Service(_), Need::Healthy) => record.is_up() && record.active.is_well(unit) || done,
            (Kind::Service(_), Need::Exited) => record.ended.is_some() || record.active.asked || done,
            (Kind::Service(_), Need::Succeeded) => record.ended == Some(true) || done,
            (_, Need::Exited | Need::Succeeded) => true,
            (_, Need::Started | Need::Ready | Need::Healthy) => record.ready,
        }
    }

    /// It was on its way before this event, and is.
    fn is_moving(&self, place: usize, engine: &Engine) -> bool {
        let moves = |word| matches!(word, StateWord::Starting | StateWord::Stopping | StateWord::Waiting);
        let record = &self.units[place];
        let view = record.id.and_then(|id| engine.view(id));
        let armed = record.active.armed;
        self.files.len() <= SMALL_MAX
            && !armed
            && record.word.is_some_and(moves)
            && view.is_some_and(|view| moves(view.state))
    }

    /// All is down, and it is said once.
    pub fn on_all_stopped(&mut self, runs: &BTreeMap<RunId, Run>) -> Verdict {
        self.stopped += 1;
        let alive = runs
            .iter()
            .find(|(_, run)| run.is_anyone_alive() && !run.spares_leftovers());
        self.unless(
            self.shutdown && self.stopped == 1 && alive.is_none(),
            "all stopped",
            || format!("said {} times; alive: {:?}", self.stopped, alive.map(|(run, _)| run)),
        )
    }

    pub fn has_stopped(&self) -> bool {
        self.stopped > 0
    }

    /// After each event: who waits has a reason, and who is on the way has something coming.
    pub fn after(&mut self, engine: &Engine, runs: &BTreeMap<RunId, Run>) -> Verdict {
        let count = self.units.len();
        if count <= SMALL_MAX {
            for place in 0..count {
                self.look_at(place, engine, runs)?;
            }
            return Ok(());
        }
        self.next_look = (self.next_look + 1) % count;
        for place in self.touched.clone().into_iter().chain([self.next_look]) {
            self.look_at(place, engine, runs)?;
        }
        Ok(())
    }

    fn look_at(&mut self, place: usize, engine: &Engine, runs: &BTreeMap<RunId, Run>) -> Verdict {
        let Some(id) = self.units[place].id else { return Ok(()) };
        let Some(view) = engine.view(id) else { return Ok(()) };
        // Who waits for a trigger is not on its way.
        self.units[place].word = Some(view.state).filter(|_| !self.units[place].active.armed);
        match view.state {
            StateWord::Waiting if self.units[place].active.armed => Ok(()),
            StateWord::Waiting => self.unless(!view.waiting_for.is_empty(), "lost wake-up", || {
                format!("u{place} waits for nobody (blocked by {:?})", view.blocked_by)
            }),
            StateWord::Blocked => self.unless(!view.blocked_by.is_empty(), "lost wake-up", || {
                format!("u{place} is blocked by nobody")
            }),
            StateWord::Starting | StateWord::Stopping => {
                let life = view.run.and_then(|run| runs.get(&run));
                let stalled = life.is_some_and(|life| !life.has_news());
                self.unless(!stalled, "stalled", || {
                    format!("u{place} is {:?}, and nothing comes", view.state)
                })
            }
            _ => Ok(()),
        }
    }
}

fn link_place(to: &svc::unit::UnitName) -> usize {
    let place = to.as_str().trim_start_matches('u').parse().unwrap();
    debug_assert_eq!(*to, name(place));
    place
}
