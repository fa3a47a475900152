//! A unit between two runs: what is there for the next one is released where that does not come.
#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "a transcript has what is looked at, whatever is added to the enum"
)]

use std::rc::Rc;
use std::time::Duration;

use crate::engine::action::Action;
use crate::engine::changes::Images;
use crate::engine::event::{Cause, End, Event, ExitStatus, Mono, Now, Role, Verb, Wall};
use crate::engine::{Engine, JobId, StateWord, UnitId};
use crate::unit::{Command, Kind, Link, LinkKind, Need, Place, Service, Unit, UnitName};

/// Which `web` requires.
const DB: UnitId = UnitId(0);
const WEB: UnitId = UnitId(1);
const MAIN: Role = Role::Main(0);

fn unit(name: &str, requires: Option<&str>) -> Rc<Unit> {
    let link = |to: &str| Link {
        to: UnitName::new(to).unwrap(),
        kind: LinkKind::Requires(Need::Ready),
        place: Place::default(),
    };
    let service = Service {
        exec_start: vec![Command {
            program: "/bin/x".into(),
            arguments: vec!["x".into()],
            ..Command::default()
        }],
        ..Service::default()
    };
    Rc::new(Unit {
        links: requires.map(link).into_iter().collect(),
        kind: Kind::Service(Box::new(service)),
        ..Unit::target(UnitName::new(name).unwrap())
    })
}

/// What is done about an event, in short.
fn tell(engine: &mut Engine, event: Event) -> Vec<String> {
    let now = Now {
        mono: Mono(Duration::from_secs(1)),
        wall: Wall(0),
    };
    let name = |unit: UnitId| ["db", "web"][unit.0 as usize];
    let short = |action: Action| match action {
        Action::Spawn { run, .. } => Some(format!("spawn {}", name(run.unit))),
        Action::Release { run, keep, again } => Some(format!("release {} {keep} {again}", name(run.unit))),
        Action::Answer { outcome, .. } => Some(format!("answer {outcome:?}")),
        _ => None,
    };
    engine.handle(now, event).into_iter().filter_map(short).collect()
}

fn ask(engine: &mut Engine, unit: UnitId, verb: Verb) -> Vec<String> {
    let by = Cause::Operator {
        uid: 0,
        pid: 1,
        program: "svc".into(),
    };
    let job = Some(JobId(1));
    tell(engine, Event::Ask { job, unit, verb, by })
}

fn spawned(engine: &mut Engine, unit: UnitId) -> Vec<String> {
    let (run, role) = (engine.awaited(unit).unwrap().0, MAIN);
    tell(engine, Event::Spawned { run, role })
}

fn exits(engine: &mut Engine, unit: UnitId) -> Vec<String> {
    let (run, role) = (engine.awaited(unit).unwrap().0, MAIN);
    let status = ExitStatus {
        end: End::Code(0),
        oom: None,
        core: false,
    };
    tell(engine, Event::Exited { run, role, status });
    tell(engine, Event::Emptied { run })
}

fn released(engine: &mut Engine, unit: UnitId) -> Vec<String> {
    let run = engine.awaited(unit).unwrap().0;
    tell(engine, Event::Released { run })
}

/// Both run; `db` is asked to restart, and is down; `web` waits for it.
fn web_waits() -> Engine {
    let mut engine = Engine::new(1);
    let event = Event::Units {
        units: vec![unit("db", None), unit("web", Some("db"))],
        images: Images::default(),
        by: Cause::Boot,
        job: None,
    };
    tell(&mut engine, event);
    assert_eq!(ask(&mut engine, WEB, Verb::Start), ["spawn db"]);
    assert_eq!(spawned(&mut engine, DB), ["spawn web"]);
    spawned(&mut engine, WEB);
    ask(&mut engine, DB, Verb::Restart);
    assert_eq!(exits(&mut engine, WEB), ["release web false true"]);
    released(&mut engine, WEB);
    assert_eq!(engine.state(WEB), Some(StateWord::Waiting));
    engine
}

#[test]
fn a_stop_of_who_waits_for_another_releases_what_is_there_for_its_next_run() {
    let mut engine = web_waits();
    // A restart leaves it there.
    assert_eq!(ask(&mut engine, WEB, Verb::Restart), ["release web false true"]);
    assert!(released(&mut engine, WEB).is_empty());
    assert_eq!(
        ask(&mut engine, WEB, Verb::Stop),
        [
            "answer Superseded(\"a stop took its place\")",
            "release web false false"
        ]
    );
    assert_eq!(released(&mut engine, WEB), ["answer Done"]);
    assert_eq!(engine.state(WEB), Some(StateWord::Inactive));
    // Once, and no more.
    assert_eq!(ask(&mut engine, WEB, Verb::Stop), ["answer Done"]);
}

#[test]
fn what_was_there_for_a_run_is_that_runs() {
    let mut engine = web_waits();
    assert_eq!(exits(&mut engine, DB), ["release db false true"]);
    assert_eq!(released(&mut engine, DB), ["spawn db"]);
    spawned(&mut engine, DB);
    assert_eq!(engine.state(WEB), Some(StateWord::Starting));
    ask(&mut engine, WEB, Verb::Stop);
    assert_eq!(exits(&mut engine, WEB), ["release web false false"]);
    assert_eq!(released(&mut engine, WEB), ["answer Done"]);
}

#[test]
fn who_is_blocked_keeps_nothing() {
    let mut engine = web_waits();
    ask(&mut engine, DB, Verb::Stop);
    exits(&mut engine, DB);
    assert_eq!(released(&mut engine, DB), ["answer Done", "release web false false"]);
    assert!(released(&mut engine, WEB).is_empty());
    assert_eq!(engine.state(WEB), Some(StateWord::Blocked));
}
