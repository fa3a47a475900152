//! What becomes of a unit with triggers, told as a transcript.
#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "a transcript has what is looked at, whatever is added to the enum"
)]

use std::rc::Rc;
use std::time::Duration;

use crate::engine::action::{Action, Change};
use crate::engine::changes::Images;
use crate::engine::event::{
    Cause, End, Event, ExitStatus, Mono, Now, Role, SpawnFailure, SpawnFailureKind, Verb, Wall,
};
use crate::engine::{Armed, Engine, JobId, StateWord, UnitId};
use crate::unit::{
    Command, GiveUp, Kind, Link, LinkKind, Need, Place, RestartPolicy, Service, ServiceType, Timer, Unit, UnitName,
};

/// `db`, which `backup` requires; `backup`, a oneshot with a timer; `web`, which requires `backup`.
const DB: UnitId = UnitId(0);
const BACKUP: UnitId = UnitId(1);
const WEB: UnitId = UnitId(2);

fn unit(name: &str, requires: Option<&str>, change: impl FnOnce(&mut Service)) -> Rc<Unit> {
    let link = |to: &str| Link {
        to: UnitName::new(to).unwrap(),
        kind: LinkKind::Requires(Need::Ready),
        place: Place::default(),
    };
    let mut service = Service {
        exec_start: vec![Command {
            program: "/bin/x".into(),
            arguments: vec!["x".into()],
            ..Command::default()
        }],
        ..Service::default()
    };
    change(&mut service);
    Rc::new(Unit {
        links: requires.map(link).into_iter().collect(),
        kind: Kind::Service(Box::new(service)),
        ..Unit::target(UnitName::new(name).unwrap())
    })
}

fn hourly() -> Timer {
    Timer {
        every: Some(Duration::from_secs(3600)),
        ..Timer::default()
    }
}

fn units(timers: usize) -> Vec<Rc<Unit>> {
    vec![
        unit("db", None, |_| {}),
        unit("backup", Some("db"), |service| {
            service.r#type = ServiceType::Oneshot;
            service.restart.policy = RestartPolicy::No;
            service.timers = vec![hourly(); timers];
        }),
        unit("web", Some("backup"), |_| {}),
    ]
}

struct Play {
    engine: Engine,
    now: u64,
}

impl Play {
    fn new() -> Self {
        let mut play = Self {
            engine: Engine::new(1),
            now: 0,
        };
        play.files(units(1));
        play
    }

    fn files(&mut self, units: Vec<Rc<Unit>>) -> Vec<String> {
        let by = Cause::Files;
        self.tell(Event::Units {
            units,
            images: Images::default(),
            by,
            job: None,
        })
    }

    /// What is done about an event, in short; every second one later than the one before.
    fn tell(&mut self, event: Event) -> Vec<String> {
        self.now += 1;
        let now = Now {
            mono: Mono(Duration::from_millis(self.now)),
            wall: Wall(0),
        };
        let said = self.engine.handle(now, event).into_iter();
        said.filter_map(|action| short(&action)).collect()
    }

    fn tick(&mut self) -> Vec<String> {
        let heard = Mono(Duration::from_millis(self.now));
        self.tell(Event::Tick { heard })
    }

    fn ask(&mut self, unit: UnitId, verb: Verb, by: Cause) -> Vec<String> {
        let job = Some(JobId(1)).filter(|_| matches!(by, Cause::Operator { .. }));
        self.tell(Event::Ask { job, unit, verb, by })
    }

    fn armed(&mut self) -> Vec<String> {
        self.tell(Event::Armed {
            unit: BACKUP,
            failure: None,
        })
    }

    fn timer(&mut self) -> Vec<String> {
        self.tell(Event::Triggered {
            unit: BACKUP,
            by: Cause::Timer("every 1h".into()),
        })
    }

    fn spawned(&mut self, unit: UnitId) -> Vec<String> {
        let run = self.engine.awaited(unit).unwrap().0;
        let role = Role::Main(0);
        self.tell(Event::Spawned { run, role })
    }

    /// The whole of a run, from the end of its main process on.
    fn ends(&mut self, unit: UnitId, code: u8) -> Vec<String> {
        let run = self.engine.awaited(unit).unwrap().0;
        let status = ExitStatus {
            end: End::Code(code),
            oom: None,
            core: false,
        };
        let role = Role::Main(0);
        let mut said = self.tell(Event::Exited { run, role, status });
        said.extend(self.tell(Event::Emptied { run }));
        said.extend(self.tell(Event::Released { run }));
        said
    }

    fn state(&self) -> (StateWord, Armed) {
        (self.engine.state(BACKUP).unwrap(), self.engine.armed(BACKUP))
    }
}

const WAITS: (StateWord, Armed) = (StateWord::Waiting, Armed::Waiting);

fn short(action: &Action) -> Option<String> {
    let name = |unit: &UnitId| ["db", "backup", "web"][unit.0 as usize];
    Some(match action {
        Action::Arm { unit } => format!("arm {}", name(unit)),
        Action::Disarm { unit } => format!("disarm {}", name(unit)),
        Action::Watch { unit, on } => format!("watch {} {on}", name(unit)),
        Action::Spawn { run, .. } => format!("spawn {}", name(&run.unit)),
        Action::Answer { outcome, .. } => format!("answer {outcome:?}"),
        Action::Report {
            unit,
            what: Change::GaveUp { starts },
        } => format!("{} gave up after {starts}", name(unit)),
        _ => return None,
    })
}

fn operator() -> Cause {
    Cause::Operator {
        uid: 0,
        pid: 1,
        program: "svc".into(),
    }
}

#[test]
fn wanted_it_waits_and_a_trigger_runs_it_with_all_that_it_needs() {
    let mut play = Play::new();
    assert_eq!(play.ask(BACKUP, Verb::Start, Cause::Boot), ["arm backup"]);
    assert_eq!(play.armed(), ["watch backup true"]);
    assert_eq!(play.state(), WAITS);
    assert_eq!(
        play.engine.state(DB),
        Some(StateWord::Inactive),
        "it is needed for runs alone"
    );
    assert_eq!(play.timer(), ["watch backup false", "spawn db"]);
    assert!(play.timer().is_empty(), "a trigger that comes meanwhile says nothing");
    assert_eq!(play.spawned(DB), ["spawn backup"]);
    assert_eq!(play.ends(BACKUP, 0), ["watch backup true"]);
    assert_eq!(play.state(), WAITS);
    let why = play.engine.why(BACKUP);
    let by_timer = |change: &Change| matches!(change, Change::Starting { by: Cause::Timer(_) });
    assert!(why.iter().any(|entry| by_timer(&entry.what)), "{why:?}");
    // A run that fails is no reason not to run the next time.
    play.timer();
    assert_eq!(play.ends(BACKUP, 1), ["watch backup true"]);
    assert_eq!(play.state(), WAITS);
    let result = play.engine.view(BACKUP).unwrap().result.unwrap();
    assert_eq!(result.to_string(), "exit-code 1");
}

#[test]
fn an_operator_runs_it_at_once_and_a_stop_ends_the_waiting() {
    let mut play = Play::new();
    assert_eq!(play.ask(BACKUP, Verb::Start, operator()), ["arm backup", "spawn db"]);
    assert!(play.spawned(DB).is_empty(), "first its triggers are set");
    assert_eq!(play.armed(), ["spawn backup"]);
    assert_eq!(play.ends(BACKUP, 0), ["answer Done", "watch backup true"]);
    assert_eq!(play.state(), WAITS);
    assert_eq!(
        play.ask(BACKUP, Verb::Start, operator()),
        ["watch backup false", "spawn backup"]
    );
    play.ends(BACKUP, 0);
    assert_eq!(
        play.ask(BACKUP, Verb::Stop, operator()),
        ["watch backup false", "answer Done", "disarm backup"]
    );
    assert_eq!(play.state(), (StateWord::Inactive, Armed::No));
    assert!(play.timer().is_empty());
    // In the middle of a run likewise.
    play.ask(BACKUP, Verb::Start, operator());
    play.armed();
    play.ask(BACKUP, Verb::Stop, operator());
    let run = play.engine.awaited(BACKUP).unwrap().0;
    play.tell(Event::Emptied { run });
    assert_eq!(play.tell(Event::Released { run }), ["disarm backup", "answer Done"]);
}

#[test]
fn who_requires_it_has_it_once_it_waits() {
    let mut play = Play::new();
    assert_eq!(play.ask(WEB, Verb::Start, Cause::Boot), ["arm backup"]);
    assert_eq!(play.armed(), ["watch backup true", "spawn web"]);
}

#[test]
fn a_stop_while_triggers_are_set_and_an_answer_that_comes_late() {
    let mut play = Play::new();
    play.ask(BACKUP, Verb::Start, Cause::Boot);
    assert_eq!(
        play.ask(BACKUP, Verb::Stop, operator()),
        ["answer Done", "disarm backup"]
    );
    assert!(play.armed().is_empty());
    assert_eq!(play.state(), (StateWord::Inactive, Armed::No));
}

#[test]
fn triggers_that_cannot_be_set_are_a_failure_and_its_policy_follows() {
    let failure = |kind| {
        Some(SpawnFailure {
            step: "socket 80".into(),
            errno: 98,
            detail: "".into(),
            kind,
        })
    };
    let mut play = Play::new();
    play.ask(BACKUP, Verb::Start, operator());
    let said = play.tell(Event::Armed {
        unit: BACKUP,
        failure: failure(SpawnFailureKind::Step),
    });
    assert_eq!(
        said,
        ["disarm backup", "answer Failed(\"spawn socket 80: EADDRINUSE\")"]
    );
    assert_eq!(play.state(), (StateWord::Failed, Armed::No));
    // A shortage is tried again.
    play.ask(BACKUP, Verb::Start, Cause::Boot);
    play.tell(Event::Armed {
        unit: BACKUP,
        failure: failure(SpawnFailureKind::Transient),
    });
    assert_eq!(play.state().0, StateWord::Backoff);
    play.now += 60_000;
    assert_eq!(play.tick(), ["arm backup"]);
    assert_eq!(play.armed(), ["watch backup true"]);
    // What does not answer is given up.
    play.ask(BACKUP, Verb::Stop, operator());
    play.ask(BACKUP, Verb::Start, operator());
    play.now += 31_000;
    assert_eq!(play.tick(), ["disarm backup", "answer Failed(\"timeout start\")"]);
    assert_eq!(play.state(), (StateWord::Failed, Armed::No));
}

#[test]
fn an_edit_sets_them_anew_and_without_any_it_is_a_unit_like_others() {
    let mut play = Play::new();
    play.ask(BACKUP, Verb::Start, Cause::Boot);
    play.armed();
    assert_eq!(play.files(units(2)), ["watch backup false", "arm backup"]);
    assert_eq!(play.armed(), ["watch backup true"]);
    assert_eq!(play.files(units(0)), ["watch backup false", "disarm backup"]);
    assert_eq!(
        play.state(),
        (StateWord::Blocked, Armed::No),
        "it is to run now, and nobody asked for db"
    );
}

#[test]
fn a_trigger_that_never_goes_away_is_a_failure_in_the_end() {
    let mut play = Play::new();
    play.ask(DB, Verb::Start, Cause::Boot);
    play.spawned(DB);
    play.ask(BACKUP, Verb::Start, Cause::Boot);
    play.armed();
    let mut said = Vec::new();
    for _ in 0..500 {
        play.now = 1000;
        said = play.timer();
        if play.state().0 == StateWord::Failed {
            break;
        }
        play.now = 1000;
        play.ends(BACKUP, 0);
    }
    assert_eq!(
        said,
        ["backup gave up after 200", "disarm backup", "watch backup false"]
    );
    let reason = play.engine.view(BACKUP).unwrap().reason.unwrap();
    assert_eq!(&*reason, "its triggers came 200 times within 2s");
    // Of connections that nobody accepts there may be fewer.
    play.ask(BACKUP, Verb::Start, Cause::Boot);
    play.armed();
    for nth in 1..=20 {
        play.now = 500_000;
        let by = Cause::Connection("listen-stream 80".into());
        play.tell(Event::Triggered { unit: BACKUP, by });
        assert_ne!(play.state().0, StateWord::Failed, "{nth}");
        play.now = 500_000;
        play.ends(BACKUP, 0);
    }
    play.now = 500_000;
    let by = Cause::Connection("listen-stream 80".into());
    play.tell(Event::Triggered { unit: BACKUP, by });
    assert_eq!(play.state(), (StateWord::Failed, Armed::No));
}

/// Found by the simulation: a start that counts was given back when triggers could not be set after it.
#[test]
fn triggers_that_cannot_be_set_give_no_start_back() {
    let once = |timers| {
        vec![
            unit("db", None, |_| {}),
            unit("backup", None, |service| {
                service.r#type = ServiceType::Oneshot;
                service.restart.give_up = Some(GiveUp {
                    starts: 1,
                    within: Duration::from_secs(3600),
                });
                service.timers = vec![hourly(); timers];
            }),
        ]
    };
    let mut play = Play::new();
    play.files(once(1));
    play.ask(BACKUP, Verb::Start, Cause::Boot);
    play.armed();
    assert_eq!(play.timer(), ["watch backup false", "spawn backup"]);
    assert_eq!(play.ends(BACKUP, 0), ["watch backup true"]);
    let said = play.files(once(2));
    assert!(said.contains(&"arm backup".to_owned()), "{said:?}");
    let failure = SpawnFailure {
        step: "socket 80".into(),
        errno: 12,
        detail: "".into(),
        kind: SpawnFailureKind::Transient,
    };
    play.tell(Event::Armed {
        unit: BACKUP,
        failure: Some(failure),
    });
    play.now += 60_000;
    assert_eq!(play.tick(), ["arm backup"]);
    assert_eq!(play.armed(), ["watch backup true"]);
    let said = play.timer();
    assert!(said.contains(&"backup gave up after 1".to_owned()), "{said:?}");
}
