//! How long units took to come up: the times of the first run of each, for `svc analyze`.

use super::action::Change;
use super::event::Mono;
use super::{Engine, UnitId};

/// When a unit came up for the first time. What a restart takes says nothing of a boot, and is not kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Timing {
    /// Nothing stood in its way any more.
    pub starting: Option<Mono>,
    /// It was ready; a oneshot: it was done.
    pub ready: Option<Mono>,
    /// The unit that it waited for last; None: it waited for nobody.
    pub released_by: Option<UnitId>,
}

impl Engine {
    /// When a unit came up.
    pub fn timing(&self, id: UnitId) -> Option<Timing> {
        self.slot(id).map(|slot| slot.timing)
    }

    /// Whom it waits for is still in the slot when a start is reported, since it leaves `Waiting` after that.
    pub(super) fn note_time(&mut self, unit: UnitId, what: &Change) {
        let now = self.now.mono;
        let Some(slot) = self.slot_mut(unit) else { return };
        if matches!(what, Change::Starting { .. }) && slot.timing.starting.is_none() {
            slot.timing.starting = Some(now);
            slot.timing.released_by = slot.waiting_on;
        } else if *what == Change::Ready {
            slot.timing.ready.get_or_insert(now);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;
    use std::time::Duration;

    use super::*;
    use crate::engine::changes::Images;
    use crate::engine::event::{Cause, End, Event, ExitStatus, Now, Role, Verb, Wall};
    use crate::engine::{Engine, RunId};
    use crate::unit::{Kind, Link, LinkKind, Need, Place, Service, Unit, UnitName};

    fn service(name: &str, requires: Option<&str>) -> Rc<Unit> {
        let link = requires.map(|other| Link {
            to: UnitName::new(other).unwrap(),
            kind: LinkKind::Requires(Need::Ready),
            place: Place::default(),
        });
        Rc::new(Unit {
            links: link.into_iter().collect(),
            kind: Kind::Service(Box::new(Service {
                exec_start: vec![crate::unit::Command {
                    program: "/bin/x".into(),
                    arguments: vec!["x".into()],
                    ..crate::unit::Command::default()
                }],
                ..Service::default()
            })),
            ..Unit::target(UnitName::new(name).unwrap())
        })
    }

    fn tick(milliseconds: u64) -> Event {
        let heard = Mono(Duration::from_millis(milliseconds));
        Event::Tick { heard }
    }

    fn at(engine: &mut Engine, milliseconds: u64, event: Event) {
        let mono = Mono(Duration::from_millis(milliseconds));
        let _ = engine.handle(Now { mono, wall: Wall(0) }, event);
    }

    #[test]
    fn the_first_run_is_timed_with_whom_it_waited_for() {
        let mut engine = Engine::new(0);
        let units = vec![service("db", None), service("web", Some("db"))];
        let by = Cause::Boot;
        at(
            &mut engine,
            0,
            Event::Units {
                units,
                images: Images::default(),
                by,
                job: None,
            },
        );
        let (db, web) = (engine.find("db").unwrap(), engine.find("web").unwrap());
        let run = |unit, nth| RunId { unit, nth };
        let role = Role::Main(0);
        let (job, verb, by) = (None, Verb::Start, Cause::Boot);
        let unit = web;
        at(&mut engine, 1, Event::Ask { job, unit, verb, by });
        at(&mut engine, 5, Event::Spawned { run: run(db, 1), role });
        at(&mut engine, 9, Event::Spawned { run: run(web, 1), role });
        let status = ExitStatus {
            end: End::Code(1),
            oom: None,
            core: false,
        };
        at(
            &mut engine,
            20,
            Event::Exited {
                run: run(web, 1),
                role,
                status,
            },
        );
        at(&mut engine, 21, Event::Emptied { run: run(web, 1) });
        at(&mut engine, 22, Event::Released { run: run(web, 1) });
        at(&mut engine, 9000, tick(9000));
        at(&mut engine, 9001, Event::Spawned { run: run(web, 2), role });
        assert_eq!(
            engine.view(web).unwrap().run,
            Some(run(web, 2)),
            "it has been restarted"
        );
        let timing = |starting, ready, released_by| {
            let time = |milliseconds| Some(Mono(Duration::from_millis(milliseconds)));
            Some(Timing {
                starting: time(starting),
                ready: time(ready),
                released_by,
            })
        };
        assert_eq!(engine.timing(db), timing(1, 5, None));
        assert_eq!(engine.timing(web), timing(5, 9, Some(db)));
    }
}
