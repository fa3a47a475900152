//! The world that the engine acts on: processes that start, end, hang, ignore signals or do not die, groups that become
//! empty, and answers that take their time. Time moves to whatever comes next; nothing sleeps.

use std::collections::{BTreeMap, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::rc::Rc;
use std::time::Duration;

use svc::engine::event::{Cause, End, Mono, Now, Role, SpawnFailure, Unmet, Verb, Wall};
use svc::engine::{Action, Engine, Event, JobId, RunId, UnitId};
use svc::unit::{KillMode, Kind, Signal, Unit};

use crate::judge::{Judge, Verdict, Violation};
use crate::scenario::{Random, Scenario, Step, place_of};

mod activation;
mod processes;

use activation::Arms;
use processes::short;
pub use processes::{keeps_running, service};

/// A fault put between the engine and the world, to see that the judge sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    None,
    /// One answer in so many comes twice, or never.
    AnswerTwice,
    AnswerLost,
    /// A main process is cloned twice.
    SpawnTwice,
    /// An `AwaitEmpty`, a `Release` is not carried out.
    AwaitLost,
    ReleaseLost,
    /// The engine knows no links, budgets, conflicts.
    NoLinks,
    NoBudget,
    NoConflicts,
    /// The end is told twice.
    StoppedTwice,
    /// The judge does not hear that a service is ready, or that a trigger came, or that there are none any more.
    ReadyHidden,
    TriggerHidden,
    DisarmLost,
    /// A probe is cloned twice.
    ProbeTwice,
}

/// Whether what happens is written down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    Away,
    /// The last of it is kept.
    Closely,
    /// It is printed too.
    Loud,
}

/// What a run of a scenario came to.
#[derive(Debug)]
pub struct Played {
    pub events: u64,
    /// Of all that the engine said, where the trace was asked for.
    pub said: u64,
    pub end: Result<(), Violation>,
    /// The last lines of what happened, where they were asked for.
    pub trace: VecDeque<String>,
}

/// In microseconds.
const HOURS_12: u64 = 12 * 3_600 * 1_000_000;

/// Lines of a trace that are kept.
const TRACE_MAX: usize = 400;

#[derive(Debug)]
pub struct Process {
    pub role: Option<Role>,
    pub alive: bool,
    /// Its program has executed.
    executes_at: u64,
    deaf: bool,
    /// SIGKILL takes effect from then on.
    stuck_until: u64,
}

/// One life of a unit, as the kernel and the supervisor see it.
#[derive(Debug)]
pub struct Run {
    pub unit: Rc<Unit>,
    pub processes: Vec<Process>,
    /// What is on its way to the engine about this run, by its number: true for the end of a command, or a failed spawn.
    on_the_way: BTreeMap<u64, bool>,
    awaited: bool,
    releasing: bool,
}

impl Run {
    pub fn is_anyone_alive(&self) -> bool {
        self.processes.iter().any(|process| process.alive)
    }

    /// The world still has something to tell the engine about it.
    pub fn has_news(&self) -> bool {
        !self.on_the_way.is_empty() || self.awaited || self.releasing || self.is_anyone_alive()
    }

    /// A process that is waited for without a limit, and does not end by itself.
    pub fn holds_a_stop_up(&self) -> bool {
        let mode = service(&self.unit).map(|service| service.kill.mode);
        let waits = |process: &Process| {
            let main = matches!(process.role, Some(Role::Main(_)));
            match mode {
                Some(KillMode::None) => process.role.is_some() && !main,
                Some(KillMode::Process) => process.role.is_some(),
                _ => true,
            }
        };
        self.processes.iter().any(|process| process.alive && waits(process))
    }

    pub fn spares_leftovers(&self) -> bool {
        service(&self.unit).is_some_and(|service| matches!(service.kill.mode, KillMode::Process | KillMode::None))
    }
}

enum Item {
    Step(usize),
    StopAll,
    Shutdown,
    Death(RunId, usize, End),
    Armed(UnitId, u64, Option<SpawnFailure>),
    Trigger(UnitId, u64),
    Tell(RunId, Event),
}

pub struct World<'a> {
    scenario: &'a Scenario,
    fault: Fault,
    engine: Engine,
    judge: Judge,
    now: u64,
    wall_offset: i64,
    queue: BTreeMap<(u64, u64), Item>,
    queued: u64,
    runs: BTreeMap<RunId, Run>,
    arms: BTreeMap<UnitId, Arms>,
    files: Vec<Option<Rc<Unit>>>,
    jobs: u64,
    faults: u64,
    events: u64,
    said: DefaultHasher,
    look: Look,
    trace: VecDeque<String>,
}

impl<'a> World<'a> {
    pub fn play(scenario: &'a Scenario, fault: Fault, look: Look) -> Played {
        Self::play_with_seed(scenario, scenario.seed, fault, look)
    }

    pub fn play_with_seed(scenario: &'a Scenario, seed: u64, fault: Fault, look: Look) -> Played {
        let mut world = World {
            scenario,
            fault,
            engine: Engine::new(seed),
            judge: Judge::new(scenario.units.len()),
            now: 1_000_000,
            wall_offset: 1_700_000_000_000_000,
            queue: BTreeMap::new(),
            queued: 0,
            runs: BTreeMap::new(),
            arms: BTreeMap::new(),
            files: Vec::new(),
            jobs: 0,
            faults: 0,
            events: 0,
            said: DefaultHasher::new(),
            look,
            trace: VecDeque::new(),
        };
        let end = world.go();
        Played {
            events: world.events,
            said: world.said.finish(),
            end,
            trace: world.trace,
        }
    }

    fn go(&mut self) -> Verdict {
        let specs = self.scenario.units.iter().enumerate();
        self.files = specs
            .map(|(place, spec)| spec.as_ref().map(|spec| Rc::new(spec.unit(place))))
            .collect();
        self.load()?;
        let mut at = self.now;
        for (nth, (wait, _)) in self.scenario.steps.iter().enumerate() {
            at += wait;
            self.put(at, Item::Step(nth));
        }
        if self.scenario.stops_each {
            self.put(at + 1_000_000, Item::StopAll);
            self.drain()?;
            self.judge.at_rest(&self.engine, &self.runs)?;
        }
        self.put(self.now.max(at) + 1_000_000, Item::Shutdown);
        self.drain()?;
        // What hangs without a limit, or not even the kill mode may touch, ends with the machine; stop commands may follow.
        while !self.judge.has_stopped() && self.runs.values().any(Run::is_anyone_alive) {
            let runs: Vec<RunId> = self.runs.keys().copied().collect();
            for run in runs {
                for nth in 0..self.runs[&run].processes.len() {
                    self.put(self.now + 1, Item::Death(run, nth, End::Signal(Signal::KILL)));
                }
            }
            self.drain()?;
        }
        self.judge.at_end(&self.runs)
    }

    /// Plays until nothing is due any more.
    fn drain(&mut self) -> Verdict {
        // A unit that always comes back is stopped at the end, so every scenario ends; this is far above what any needs.
        let most = self.events + 20_000 + 3_000 * (self.scenario.units.len() + self.scenario.steps.len()) as u64;
        // Behind a stop that hangs for good, others go on, and are probed.
        let last = self.queue.last_key_value().map_or(self.now, |((at, _), _)| *at) + HOURS_12;
        loop {
            let next = self.queue.first_key_value().map(|((at, _), _)| *at);
            let due = self.engine.next_deadline().map(|at| at.0.as_micros() as u64 + 1);
            let soonest = next.into_iter().chain(due).min();
            let Some(at) = soonest.filter(|at| next.is_some() || *at <= last) else {
                return Ok(());
            };
            self.now = self.now.max(at);
            if self.events > most {
                return self.judge.violated("ends", "it goes on and on".into());
            }
            // Of those that are due at one time, the answers come first, as one wait of the loop brings them.
            match self.queue.first_entry().filter(|entry| entry.key().0 <= self.now) {
                Some(entry) => {
                    let number = entry.key().1;
                    let item = entry.remove();
                    self.happen(number, item)?;
                }
                None => self.tick()?,
            }
        }
    }

    fn note(&mut self, line: String) {
        if self.look == Look::Loud {
            println!("{line}");
        }
        line.hash(&mut self.said);
        self.trace.push_back(line);
        if self.trace.len() > TRACE_MAX {
            self.trace.pop_front();
        }
    }

    fn put(&mut self, at: u64, item: Item) {
        self.queued += 1;
        if let Item::Tell(run, event) = &item
            && let Some(run) = self.runs.get_mut(run)
        {
            run.on_the_way.insert(self.queued, is_end(event));
        }
        self.queue.insert((at, self.queued), item);
    }

    fn happen(&mut self, number: u64, item: Item) -> Verdict {
        match item {
            Item::Step(nth) => self.step(nth),
            Item::StopAll => {
                for place in 0..self.files.len() {
                    self.ask(place, Verb::Stop)?;
                }
                Ok(())
            }
            Item::Shutdown => self.handle(Event::Shutdown {
                by: Cause::Signal("SIGTERM".into()),
            }),
            Item::Armed(unit, nth, failure) => self.armed(unit, nth, failure),
            Item::Trigger(unit, nth) => self.trigger(unit, nth),
            Item::Death(run, nth, end) => {
                self.die(run, nth, end);
                Ok(())
            }
            Item::Tell(run, event) => {
                let released = matches!(event, Event::Released { .. });
                if let Some(run) = self.runs.get_mut(&run) {
                    run.on_the_way.remove(&number);
                    // A command was started since: the supervisor looks and tells in one go, so this is not true any more.
                    if matches!(event, Event::Emptied { .. }) && run.is_anyone_alive() {
                        run.awaited = true;
                        return Ok(());
                    }
                }
                if !(matches!(event, Event::Told { .. }) && self.strikes(Fault::ReadyHidden)) {
                    self.judge.on_news(&event, self.runs.get(&run));
                }
                self.handle(event)?;
                self.look_again(run);
                if released
                    && self
                        .runs
                        .get(&run)
                        .is_some_and(|run| run.on_the_way.is_empty() && !run.is_anyone_alive())
                {
                    self.runs.remove(&run);
                }
                Ok(())
            }
        }
    }

    fn step(&mut self, nth: usize) -> Verdict {
        match &self.scenario.steps[nth].1 {
            Step::Ask(place, verb) => self.ask(*place, *verb),
            Step::Edit(files) => {
                for (place, spec) in files {
                    self.files[*place] = spec.as_ref().map(|spec| Rc::new(spec.unit(*place)));
                }
                self.load()
            }
            Step::Sleep(time) => {
                self.now += time;
                Ok(())
            }
            Step::WallJump(seconds) => {
                self.wall_offset += seconds * 1_000_000;
                Ok(())
            }
        }
    }

    fn load(&mut self) -> Verdict {
        let without = |kinds: fn(&svc::unit::LinkKind) -> bool, unit: &Rc<Unit>| {
            let mut unit = Unit::clone(unit);
            unit.links.retain(|link| !kinds(&link.kind));
            Rc::new(unit)
        };
        let units = self.files.iter().flatten().map(|unit| match self.fault {
            Fault::NoLinks => without(|kind| *kind != svc::unit::LinkKind::Conflicts, unit),
            Fault::NoConflicts => without(|kind| *kind == svc::unit::LinkKind::Conflicts, unit),
            Fault::NoBudget => {
                let mut unit = Unit::clone(unit);
                if let Kind::Service(service) = &mut unit.kind {
                    service.restart.give_up = None;
                }
                Rc::new(unit)
            }
            _ => unit.clone(),
        });
        let units = units.collect();
        self.judge.on_files(&self.files);
        let (job, by, images) = (Some(self.new_job()), Cause::Files, BTreeMap::new());
        self.handle(Event::Units { units, images, by, job })?;
        for place in 0..self.files.len() {
            if let Some(id) = self.engine.find(&format!("u{place}")) {
                self.judge.knows(place, id);
            }
        }
        Ok(())
    }

    fn new_job(&mut self) -> JobId {
        self.jobs += 1;
        self.judge.on_job(JobId(self.jobs));
        JobId(self.jobs)
    }

    fn ask(&mut self, place: usize, verb: Verb) -> Verdict {
        let Some(unit) = self.engine.find(&format!("u{place}")) else {
            return Ok(());
        };
        let job = self.new_job();
        self.judge.on_ask(place, verb);
        self.handle(Event::Ask {
            job: Some(job),
            unit,
            verb,
            by: Cause::Operator {
                uid: 0,
                pid: 2,
                program: "svc".into(),
            },
        })
    }

    fn tick(&mut self) -> Verdict {
        let heard = Mono(Duration::from_micros(self.now));
        self.handle(Event::Tick { heard })?;
        let is_done = self.engine.next_deadline().is_none_or(|at| at > heard);
        self.judge.unless(is_done, "busy", || "a deadline outlasts it".into())
    }

    fn handle(&mut self, event: Event) -> Verdict {
        self.events += 1;
        if self.look != Look::Away {
            self.note(format!("{:>12} > {}", self.now, short(&event)));
        }
        let now = Now {
            mono: Mono(Duration::from_micros(self.now)),
            wall: Wall(self.wall_offset + self.now as i64),
        };
        self.judge.before(&event);
        let actions = self.engine.handle(now, event);
        for action in actions {
            if self.look != Look::Away {
                self.note(format!("{:>14} {action:?}", ""));
            }
            self.carry_out(action)?;
        }
        self.judge.after(&self.engine, &self.runs)
    }

    /// True for one in a few that a fault could be put on: the first ones go well.
    fn strikes(&mut self, fault: Fault) -> bool {
        self.faults += u64::from(self.fault == fault);
        self.fault == fault && self.faults.is_multiple_of(3)
    }

    fn carry_out(&mut self, action: Action) -> Verdict {
        let place = |unit: UnitId| self.engine.unit(unit).map(place_of);
        match action {
            Action::CheckConditions { run } => {
                self.judge.begins(run, place(run.unit))?;
                let unit = self.engine.run_unit(run).cloned();
                let mut random = self.fate(run, 100);
                let unmet = random.percent(20).then(|| Unmet {
                    assertion: unit.is_some_and(|unit| unit.condition.is_empty()),
                    text: "path-exists /x".into(),
                });
                self.tell(run, &mut random, Event::Conditions { run, unmet });
            }
            Action::Spawn { run, role } => {
                self.judge.begins(run, place(run.unit))?;
                self.judge.on_spawn(run, role, &self.runs)?;
                self.spawn(run, role);
                if matches!(role, Role::Main(_)) && self.strikes(Fault::SpawnTwice)
                    || role == Role::Probe && self.strikes(Fault::ProbeTwice)
                {
                    self.judge.on_spawn(run, role, &self.runs)?;
                }
            }
            Action::Kill { run, scope, signal } => self.kill(run, scope, signal),
            Action::AwaitEmpty { run } => {
                if !self.strikes(Fault::AwaitLost) {
                    match self.runs.get_mut(&run) {
                        Some(its) => its.awaited = true,
                        None => self.tell(run, &mut Random::of(&[self.queued]), Event::Emptied { run }),
                    }
                    self.look_again(run);
                }
            }
            Action::Release { run, keep, .. } => {
                self.judge.on_release(run, keep, &self.runs)?;
                if !self.strikes(Fault::ReleaseLost) {
                    match self.runs.get_mut(&run).filter(|run| !run.spares_leftovers()) {
                        Some(its) => its.releasing = true,
                        None => self.tell(run, &mut Random::of(&[self.queued]), Event::Released { run }),
                    }
                    self.look_again(run);
                }
            }
            Action::Update { unit } => self.take_over(unit),
            Action::FindMain { .. } | Action::Reboot { .. } => {}
            Action::Arm { unit } => self.arm(unit),
            Action::Disarm { unit } => self.disarm(unit),
            Action::Watch { unit, on } => self.watch(unit, on)?,
            Action::Answer { job, .. } => {
                let (lost, twice) = (self.strikes(Fault::AnswerLost), self.strikes(Fault::AnswerTwice));
                for _ in 0..1 - u8::from(lost) + u8::from(twice) {
                    self.judge.on_answer(job)?;
                }
            }
            Action::Report { unit, what } => {
                self.judge
                    .on_report(place(unit), &what, self.now, &self.runs, &self.engine)?
            }
            Action::AllStopped => {
                self.judge.on_all_stopped(&self.runs)?;
                if self.fault == Fault::StoppedTwice {
                    self.judge.on_all_stopped(&self.runs)?;
                }
            }
        }
        Ok(())
    }
}

fn is_end(event: &Event) -> bool {
    matches!(event, Event::Exited { .. } | Event::SpawnFailed { .. })
}
