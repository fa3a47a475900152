//! What is written out is read back: an engine that was restored says to all later events what the first would have
//! said, and what was never written by us harms nobody.

use std::time::Duration;

use proptest::prelude::*;

use super::json::{Saved, write_text};
use super::*;
use crate::engine::event::Because;
use crate::engine::view::RunResult;
use crate::engine::{Action, RunId};
use crate::unit::Signal;

mod world;

use world::{World, find, name, steps, units};

/// Takes a record as the supervisor does: what changed, over what was there.
fn save(world: &mut World, whole: bool, record: &mut Record) {
    if whole {
        *record = Record::default();
    }
    let known = &world.known;
    world.engine.record(
        whole,
        |unit| name(known, unit),
        |section, key, value| record.put(section, key, value),
    );
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(60) })]

    #[test]
    fn a_restored_engine_goes_on_as_the_first_would(steps in steps(), saves in any::<u64>(), stop in 0..200_usize) {
        let mut world = World::new();
        let mut record = Record::default();
        let mut second: Option<Engine> = None;
        save(&mut world, true, &mut record);
        for (nth, step) in steps.iter().enumerate() {
            if nth == stop % steps.len() {
                save(&mut world, false, &mut record);
                second = Some(world.restored(&record));
            } else if (saves >> (nth % 64)) & 1 == 1 {
                save(&mut world, nth % 7 == 0, &mut record);
            }
            let Some(event) = world.event(step) else { continue };
            let said: Vec<Action> = world.engine.handle(world.now, event.clone()).into_iter().collect();
            if let Some(second) = &mut second {
                let also: Vec<Action> = second.handle(world.now, event).into_iter().collect();
                prop_assert_eq!(format!("{:?}", &said), format!("{:?}", also));
                prop_assert_eq!(world.engine.next_deadline(), second.next_deadline());
                let views = |engine: &Engine| engine.ids().map(|id| (engine.view(id), engine.timing(id))).collect::<Vec<_>>();
                prop_assert_eq!(views(&world.engine), views(second));
            }
            world.waiting.extend(said);
        }
        let last = second.unwrap_or_else(|| world.restored(&record));
        prop_assert!(world.engine.history(None).eq(last.history(None)));
    }

    #[test]
    fn what_we_never_wrote_harms_nobody(entries in prop::collection::vec(entry(), 0..30), steps in steps()) {
        let mut record = Record::default();
        for (section, key, value) in &entries {
            record.put(section, key, value);
        }
        let mut world = World::new();
        let known = world.known.clone();
        if let Some(engine) = Engine::restore(&record, |name, definition| find(&known, name, definition)) {
            world.engine = engine;
            for id in 0..40 {
                if let Some((run, awaited)) = world.engine.awaited(UnitId(id)) {
                    prop_assert!(run.unit == UnitId(id) && !(awaited.conditions && awaited.main));
                }
            }
            for step in &steps {
                let Some(event) = world.event(step) else { continue };
                let said = world.engine.handle(world.now, event);
                world.waiting.extend(said);
            }
        }
    }
}

/// Each `svc run` has a name of its own: a record that grew with them made each later run slower, and svcd larger.
#[test]
fn a_name_that_nobody_says_any_more_is_forgotten() {
    let mut world = World::new();
    let mut record = Record::default();
    save(&mut world, true, &mut record);
    let mut ids = Vec::new();
    for version in 1..=50 {
        let event = world.event(&world::Step::Files(version)).unwrap();
        let _ = world.engine.handle(world.now, event);
        save(&mut world, false, &mut record);
        ids.push(world.engine.find(&format!("unit{}", 8 + version)).unwrap());
    }
    // Those before the last but one: what goes in an event is forgotten with the next.
    let (gone, known) = ids.split_at(48);
    assert!(gone.iter().all(|id| world.engine.slot(*id).is_none()));
    assert!(known.iter().all(|id| world.engine.slot(*id).is_some()));
    assert!(world.engine.slots.len() <= 11);
    assert!(
        ids.iter()
            .all(|id| ids.iter().filter(|other| *other == id).count() == 1)
    );
    let mut second = world.restored(&record);
    assert!(record.numbered(UNITS).len() <= 10 && second.names == world.engine.names);
    let event = world.event(&world::Step::Files(60)).unwrap();
    for engine in [&mut world.engine, &mut second] {
        let _ = engine.handle(world.now, event.clone());
        assert!(!ids.contains(&engine.find("unit68").unwrap()));
    }
    assert_eq!(second.names, world.engine.names);
}

/// Nothing but what changed is written: a set of units comes with each `svc run`, twice.
#[test]
fn one_unit_more_is_no_reason_to_write_the_others() {
    let mut world = World::new();
    save(&mut world, true, &mut Record::default());
    let mut units = world.known.clone();
    units.pop();
    units.push(Rc::new(Unit::target(UnitName::new("passing").unwrap())));
    world.known = units.clone();
    let event = crate::engine::event::Event::Units {
        units,
        images: crate::engine::changes::Images::default(),
        by: Cause::Files,
        job: None,
    };
    let _ = world.engine.handle(world.now, event);
    let mut delta = Record::default();
    save(&mut world, false, &mut delta);
    assert_eq!(
        delta.numbered(UNITS).len(),
        2,
        "the one that came and the one that went"
    );
}

/// An entry of a record, mostly one that looks like ours.
fn entry() -> impl Strategy<Value = (String, String, String)> {
    let section = prop_oneof!["engine", "unit", "move", "[a-z]{0,5}"];
    let key = prop_oneof![Just(String::new()), "[0-9]{1,2}", "[ -~]{0,4}"];
    (section, key, json(4)).prop_map(|(section, key, mut value)| {
        if section == "engine" {
            value = r#"{"jitter":9,"loaded":true}"#.to_owned();
        }
        (section, key, value)
    })
}

fn json(depth: u32) -> BoxedStrategy<String> {
    let leaf = prop_oneof![
        Just("null".to_owned()),
        Just("true".to_owned()),
        any::<i64>().prop_map(|number| number.to_string()),
        any::<u64>().prop_map(|number| number.to_string()),
        "\"(unit[0-7]|[0-9]{1,2}|Running|Main|TERM|stop|\\PC{0,6})\"",
        "\\PC{0,10}",
    ];
    let fields = "(name|unit|run_unit|state|jobs|nth|tries|budget|Running|Stopping|Backoff|until|phase|ending|role|x)";
    leaf.prop_recursive(depth, 40, 8, move |inner| {
        let object = prop::collection::btree_map(fields, inner.clone(), 0..8).prop_map(|fields| {
            let fields = fields.iter().map(|(name, value)| format!("\"{name}\":{value}"));
            format!("{{{}}}", fields.collect::<Vec<_>>().join(","))
        });
        prop_oneof![
            3 => object,
            1 => prop::collection::vec(inner, 0..4).prop_map(|items| format!("[{}]", items.join(","))),
        ]
    })
    .boxed()
}

/// What version 1 wrote, word for word: a later one reads it, and does not mind what it does not know.
#[test]
fn the_first_form_is_still_read() {
    let mut record = Record::default();
    record.put(
        "engine",
        "",
        r#"{"jitter":5,"mono":[90,5],"wall":77,"loaded":true,"moon":"full"}"#,
    );
    record.put(
        "unit",
        "0",
        r#"{"name":"unit0","unit":"0","runs_as_is":true,"tea":1,"state":{"Running":{"main_alive":true,"since":[80,0],
            "until":[99,0],"sugar":2}},"since":5,"wish":{"Operator":{"uid":3,"pid":4,"program":"svc"}},"nth":4,
            "jobs":[[9,"Stop"]],"restarts":2,"tries":1,"budget":[[70,0],[75,0]],"end":{"Signal":{"signal":9}}}"#,
    );
    record.put(
        "unit",
        "1",
        r#"{"name":"unit1","unit":"1","state":{"Backoff":{"until":[95,0]}},"last":{"Spawn":{"step":"exec","errno":2}}}"#,
    );
    record.put(
        "unit",
        "2",
        r#"{"name":"unit2","unit":"2","state":{"Frozen":{}},"nth":1}"#,
    );
    record.put(
        "unit",
        "3",
        r#"{"name":"unit3","unit":"nowhere","runs_as_is":true,"state":{"Running":{}},"nth":1}"#,
    );
    record.put(
        "move",
        "41",
        r#"{"at":3,"unit":0,"what":{"Starting":{"by":{"Unit":{"unit":1,"because":"WantedBy"}}}}}"#,
    );
    let known = units(0);
    let engine = Engine::restore(&record, |name, definition| find(&known, name, definition)).unwrap();
    let (run, awaited) = engine.awaited(UnitId(0)).unwrap();
    assert_eq!(
        run,
        RunId {
            unit: UnitId(0),
            nth: 4
        }
    );
    assert!(awaited.main && !awaited.empty && awaited.command.is_none());
    let view = engine.view(UnitId(0)).unwrap();
    assert_eq!((view.restarts, view.signal), (2, Some(Signal::KILL)));
    assert_eq!(engine.next_deadline(), Some(Mono(Duration::from_secs(95))));
    let second = engine.view(UnitId(1)).unwrap();
    assert!(matches!(second.result, Some(RunResult::Spawn { errno: 2, .. })));
    // A state that is not known is none: what runs of the unit is found.
    assert_eq!(
        engine.view(UnitId(2)).unwrap().state,
        crate::engine::StateWord::Inactive
    );
    // Nor has a run whose definition is lost: what would it be stopped by?
    assert!(engine.awaited(UnitId(3)).is_none() && engine.find("unit3").is_none());
    let entry = engine.history(None).next().unwrap();
    assert!(matches!(
        &entry.what,
        crate::engine::action::Change::Starting {
            by: Cause::Unit(UnitId(1), Because::WantedBy)
        }
    ));
}

#[test]
fn no_text_leaves_its_quotes() {
    for text in [
        "",
        "plain",
        "a\"b",
        "a\\",
        "line\nunit 0 {}\n",
        "\u{0}\u{1f}\u{7f}",
        "ü\u{2028}",
    ] {
        let mut out = String::new();
        write_text(text, &mut out);
        assert!(!out.contains('\n'));
        let read: Box<str> = Box::read(&serde_json::from_str(&out).unwrap()).unwrap();
        assert_eq!(&*read, text);
    }
}
