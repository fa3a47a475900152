//! A world at random for an engine: units of every shape, and what happens to them.

use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;

use proptest::prelude::*;

use crate::engine::changes::Images;
use crate::engine::event::{Cause, End, Event, ExitStatus, Mono, Now, Oom, Role, SpawnFailure, SpawnFailureKind};
use crate::engine::event::{Found, Notification, Unmet, Verb, Wall, Watchdog};
use crate::engine::record::Record;
use crate::engine::{Action, Engine, JobId, UnitId};
use crate::unit::{
    Command, GiveUp, Kind, Link, LinkKind, Need, Place, Service, ServiceType, Signal, Timer, Unit, UnitName,
};

/// What happens next, drawn at random; numbers choose among what can happen.
#[derive(Clone, Debug)]
pub enum Step {
    Ask(usize, usize),
    /// One of the actions that wait for an answer gets it, well or badly.
    Answer(usize, u8),
    /// The main process ends by itself.
    Die(u32, u8),
    Wait(u64),
    Files(u8),
    Shutdown,
}

pub fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (0..8_usize, 0..2_usize).prop_map(|(unit, _)| Step::Ask(unit, 0)),
        3 => (0..8_usize, 0..5_usize).prop_map(|(unit, verb)| Step::Ask(unit, verb)),
        40 => (any::<usize>(), any::<u8>()).prop_map(|(which, how)| Step::Answer(which, how)),
        12 => (0..8_u32, any::<u8>()).prop_map(|(unit, how)| Step::Die(unit, how)),
        12 => (1..4_000_u64).prop_map(Step::Wait),
        2 => any::<u8>().prop_map(Step::Files),
        1 => (0..8_u8).prop_map(|n| if n == 0 { Step::Shutdown } else { Step::Wait(1) }),
    ];
    prop::collection::vec(step, 1..300)
}

/// Units of every shape that decides differently, with edges among them; and one of another name in each version.
pub fn units(version: u8) -> Vec<Rc<Unit>> {
    let name = |nth: usize| UnitName::new(&format!("unit{nth}")).unwrap();
    let link = |to: usize, kind| Link {
        to: name(to),
        kind,
        place: Place::default(),
    };
    let make = |nth: usize, links: Vec<Link>, change: &dyn Fn(&mut Service)| {
        let words = vec!["/bin/true".into(), version.to_string().into()];
        let mut service = Service {
            exec_start: vec![crate::unit::value::parse_command(words).unwrap()],
            timeout_stop: Some(Duration::from_secs(2)),
            ..Service::default()
        };
        service.restart.give_up = nth.is_multiple_of(2).then_some(GiveUp {
            starts: 3,
            within: Duration::from_secs(60),
        });
        change(&mut service);
        Rc::new(Unit {
            kind: Kind::Service(Box::new(service)),
            links,
            ..Unit::target(name(nth))
        })
    };
    let many = |service: &Service| -> Vec<Command> { service.exec_start.iter().cycle().take(2).cloned().collect() };
    let mut all = vec![
        make(0, vec![], &|_| {}),
        make(1, vec![link(0, LinkKind::Requires(Need::Ready))], &|service| {
            service.exec_start_pre = many(service);
            service.exec_start_post = many(service);
            service.health.exec = many(service).into_iter().take(1).collect();
        }),
        make(2, vec![link(1, LinkKind::BindsTo)], &|service| {
            service.exec_stop = many(service);
            service.exec_stop_post = many(service);
            service.runtime_max = Some(Duration::from_secs(20));
        }),
        make(3, vec![link(7, LinkKind::Wants)], &|service| {
            service.r#type = ServiceType::Oneshot;
            service.exec_start = many(service);
            service.remain_after_exit = version.is_multiple_of(2);
            service.timers = timers(version.is_multiple_of(3));
        }),
        make(4, vec![link(3, LinkKind::Requires(Need::Succeeded))], &|service| {
            service.exec_reload = many(service);
            service.kill.mode = crate::unit::KillMode::Mixed;
        }),
        make(
            5,
            vec![link(0, LinkKind::Conflicts), link(6, LinkKind::OnFailure)],
            &|service| {
                service.kill.mode = crate::unit::KillMode::Process;
                service.r#type = ServiceType::NotifyReload;
                service.watchdog = Duration::from_secs(30);
                service.timers = timers(version < 128);
            },
        ),
        make(
            6,
            vec![link(2, LinkKind::PartOf), link(5, LinkKind::After)],
            &|service| {
                service.restart.policy = crate::unit::RestartPolicy::Always;
                service.r#type = ServiceType::Forking;
            },
        ),
    ];
    all.truncate(7 - usize::from(version % 5 == 4));
    all.push(make(8 + usize::from(version), vec![], &|_| {}));
    all
}

fn timers(any: bool) -> Vec<Timer> {
    let timer = Timer {
        every: Some(Duration::from_secs(60)),
        ..Timer::default()
    };
    any.then_some(timer).into_iter().collect()
}

/// An engine, the world that it believes in, and all definitions there ever were.
pub struct World {
    pub engine: Engine,
    pub now: Now,
    pub waiting: VecDeque<Action>,
    pub known: Vec<Rc<Unit>>,
    jobs: u64,
}

impl World {
    pub fn new() -> Self {
        let mut world = Self {
            engine: Engine::new(7),
            now: Now {
                mono: Mono(Duration::from_secs(100)),
                wall: Wall(1_000_000_000),
            },
            waiting: VecDeque::new(),
            known: Vec::new(),
            jobs: 0,
        };
        let first = world.files(0);
        let _ = world.engine.handle(world.now, first);
        world
    }

    fn files(&mut self, version: u8) -> Event {
        let units = units(version);
        self.known.extend(units.iter().cloned());
        Event::Units {
            units,
            images: Images::default(),
            by: Cause::Files,
            job: None,
        }
    }

    /// The event of a step; None: there is nothing to answer.
    pub fn event(&mut self, step: &Step) -> Option<Event> {
        Some(match step {
            Step::Ask(unit, verb) => {
                let verbs = [Verb::Start, Verb::Stop, Verb::Restart, Verb::Reload, Verb::Reset];
                self.jobs += 1;
                Event::Ask {
                    job: Some(JobId(self.jobs)),
                    unit: UnitId(*unit as u64),
                    verb: verbs[*verb],
                    by: Cause::Operator {
                        uid: 0,
                        pid: 1,
                        program: "svc \"\n".into(),
                    },
                }
            }
            Step::Answer(which, how) => {
                let place = which % self.waiting.len().max(1);
                answer(&self.waiting.remove(place)?, *how)?
            }
            Step::Die(unit, how) => Event::Exited {
                run: self.engine.awaited(UnitId((*unit).into()))?.0,
                role: Role::Main(0),
                status: status(*how),
            },
            Step::Wait(milliseconds) => {
                self.now.mono = Mono(self.now.mono.0 + Duration::from_millis(*milliseconds));
                self.now.wall = Wall(self.now.wall.0 + 1000);
                Event::Tick { heard: self.now.mono }
            }
            Step::Files(version) => self.files(*version),
            Step::Shutdown => Event::Shutdown {
                by: Cause::Signal("SIGTERM".into()),
            },
        })
    }

    pub fn restored(&mut self, record: &Record) -> Engine {
        Engine::restore(record, |name, definition| find(&self.known, name, definition)).expect("our own record")
    }
}

/// A definition's name, for the test: its place among all that there ever were.
pub fn name(known: &[Rc<Unit>], unit: &Rc<Unit>) -> String {
    let place = known.iter().position(|its| Rc::ptr_eq(its, unit));
    place.expect("a definition of ours").to_string()
}

pub fn find(known: &[Rc<Unit>], name: &UnitName, definition: &str) -> Option<Rc<Unit>> {
    let found = known.get(definition.parse::<usize>().ok()?)?;
    (found.name == *name).then(|| found.clone())
}

fn status(how: u8) -> ExitStatus {
    let end = match how % 4 {
        0 => End::Code(how / 4),
        1 => End::Signal(Signal::TERM),
        2 => End::Signal(Signal::KILL),
        _ => End::Code(0),
    };
    let oom = (how == 8).then_some(Oom {
        limit: Some(1 << 40),
        peak: None,
    });
    ExitStatus {
        end,
        oom,
        core: how == 9,
    }
}

fn failure(how: u8) -> SpawnFailure {
    SpawnFailure {
        step: "exec".into(),
        errno: 2,
        detail: "ünlucky\u{1}".into(),
        kind: [
            SpawnFailureKind::Step,
            SpawnFailureKind::Transient,
            SpawnFailureKind::Unenforceable,
        ][usize::from(how / 8) % 3],
    }
}

fn answer(action: &Action, how: u8) -> Option<Event> {
    let status = status(how);
    match action.clone() {
        Action::FindMain { run } => Some(Event::MainFound {
            run,
            found: match how % 3 {
                0 => Found::Process,
                1 => Found::Several,
                _ => Found::Nobody("nobody".into()),
            },
        }),
        Action::CheckConditions { run } => Some(Event::Conditions {
            run,
            unmet: how.is_multiple_of(3).then(|| Unmet {
                assertion: how.is_multiple_of(2),
                text: "path-exists /x".into(),
            }),
        }),
        Action::Spawn { run, role } if how % 8 == 7 => Some(Event::SpawnFailed {
            run,
            role,
            failure: failure(how),
        }),
        Action::Spawn { run, role } if how % 8 == 6 => Some(Event::Exited { run, role, status }),
        Action::Spawn { run, .. } if how % 8 == 5 => Some(Event::Told {
            run,
            notification: Notification {
                ready: how.is_multiple_of(2),
                reloading: how.is_multiple_of(3),
                status: Some("wörks\"".into()),
                watchdog: how.is_multiple_of(5).then_some(Watchdog::Alive),
                watchdog_limit: how.is_multiple_of(7).then_some(Duration::from_secs(3)),
                extend: how.is_multiple_of(11).then_some(Duration::from_secs(5)),
            },
        }),
        Action::Spawn { run, role } => Some(Event::Spawned { run, role }),
        Action::AwaitEmpty { run } => Some(Event::Emptied { run }),
        Action::Release { run, .. } => Some(Event::Released { run }),
        Action::Kill { run, .. } => Some(Event::Exited {
            run,
            role: Role::Main(0),
            status,
        }),
        Action::Arm { unit } => Some(Event::Armed {
            unit,
            failure: (how % 8 == 7).then(|| failure(how)),
        }),
        Action::Watch { unit, on: true } => Some(Event::Triggered {
            unit,
            by: Cause::Timer("every 1m".into()),
        }),
        Action::Disarm { .. } | Action::Watch { .. } => None,
        Action::Update { .. }
        | Action::Answer { .. }
        | Action::Report { .. }
        | Action::Reboot { .. }
        | Action::AllStopped => None,
    }
}
