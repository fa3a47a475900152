//! An engine that goes on after a restore: what it still waits for, and what was found that it knows nothing of.

use super::action::{Action, Change, Scope};
use super::event::{Cause, Role};
use super::slot::{Ending, State, StopPhase};
use super::view::RunResult;
use super::{Engine, JobId, RunId, UnitId};
use crate::unit::{KillMode, Signal};

/// What a run's state waits for the supervisor to tell it. All of it was asked for before, by actions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Awaited {
    /// [`super::Event::Conditions`].
    pub conditions: bool,
    /// That this command executes, fails to, or ends.
    pub command: Option<Role>,
    /// The end of the main process.
    pub main: bool,
    /// [`super::Event::MainFound`].
    pub find_main: bool,
    /// [`super::Event::Emptied`].
    pub empty: bool,
    /// [`super::Event::Released`]: what [`super::Action::Release`] said of what is kept, and whether another run follows.
    pub release: Option<(bool, bool)>,
}

impl Engine {
    /// The run that a unit has now, and what it waits for; None: it has none.
    pub fn awaited(&self, unit: UnitId) -> Option<(RunId, Awaited)> {
        let slot = self.slot(unit)?;
        let run = slot.run(unit)?;
        let kill_mode = slot.service()?.kill.mode;
        let nothing = Awaited {
            command: slot.role(),
            ..Awaited::default()
        };
        let awaited = match &slot.state {
            State::Checking => Awaited {
                conditions: true,
                ..nothing
            },
            State::Starting { role, main_alive, .. } => Awaited {
                main: *main_alive && !matches!(role, Role::Main(_)),
                find_main: slot.said.forked,
                ..nothing
            },
            State::Running { main_alive, .. } => Awaited {
                main: *main_alive,
                empty: slot.lives_by_its_group(),
                ..nothing
            },
            State::Stopping { phase, main_alive, .. } => Awaited {
                main: *main_alive && *phase != StopPhase::Clean,
                empty: match (phase, kill_mode) {
                    (StopPhase::Command(_) | StopPhase::Post(_), _) => false,
                    (StopPhase::Clean, _) => true,
                    (StopPhase::Term | StopPhase::Kill, KillMode::ControlGroup) => true,
                    (StopPhase::Term, KillMode::Mixed) => !*main_alive,
                    (StopPhase::Kill, KillMode::Mixed) => true,
                    (StopPhase::Term | StopPhase::Kill, KillMode::Process | KillMode::None) => false,
                },
                ..nothing
            },
            State::Stuck { .. } => Awaited { empty: true, ..nothing },
            State::Releasing { .. } => Awaited {
                release: Some((slot.kept, slot.follows)),
                ..nothing
            },
            State::Inactive
            | State::Failed
            | State::Skipped
            | State::Waiting
            | State::Blocked
            | State::Arming { .. }
            | State::Armed
            | State::Backoff { .. } => nothing,
        };
        Some((run, awaited))
    }

    /// A former life was killed in the middle of ending. Whoever starts another does not want it to end: what was taken
    /// down stays so until it is wanted. True: it was.
    pub fn forget_shutdown(&mut self) -> bool {
        self.all_stopped = false;
        self.shutdown.take().is_some()
    }

    /// The last of the jobs that are not answered yet.
    pub fn last_job(&self) -> Option<JobId> {
        let jobs = self.all_slots().flat_map(|slot| &slot.jobs);
        jobs.map(|(job, _)| *job).max()
    }

    /// The run that a unit would have next.
    pub fn next_run(&self, unit: UnitId) -> Option<RunId> {
        let nth = self.slot(unit)?.nth.wrapping_add(1);
        Some(RunId { unit, nth })
    }

    pub(super) fn on_found(&mut self, run: RunId, alive: bool) {
        let now = self.now.mono;
        let known = self.next_run(run.unit) == Some(run);
        let Some(slot) = self.slot_mut(run.unit).filter(|slot| known && !slot.runs()) else {
            return;
        };
        slot.nth = run.nth;
        (slot.kept, slot.follows) = (false, false);
        slot.run_unit = slot.unit.clone();
        let Some(service) = slot.service() else { return };
        let (timeout, until) = (now.after(service.timeout_stop), now.after(service.runtime_max));
        if alive {
            slot.wish = slot.wish.take().or(Some(Cause::Boot));
            slot.last = None;
            self.report(run.unit, Change::Adopted);
            let running = State::Running {
                main_alive: true,
                since: now,
                until,
                reload: None,
                watchdog: None,
                health: None,
            };
            self.set_state(run.unit, running, None);
            return self.look_after_health(run.unit);
        }
        // As with a stop: what is wished comes up again after it.
        self.report(run.unit, Change::Stopping { by: Cause::Policy });
        let ending = Ending {
            result: RunResult::Success,
            requested: true,
            ..Ending::new()
        };
        let stopping = State::Stopping {
            phase: StopPhase::Clean,
            ending,
            main_alive: false,
            give_up: timeout,
        };
        self.set_state(run.unit, stopping, Some("left by a former life".into()));
        self.out.push(Action::Kill {
            run,
            scope: Scope::All,
            signal: Signal::KILL,
        });
        self.out.push(Action::AwaitEmpty { run });
    }
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use super::*;
    use crate::engine::changes::Images;
    use crate::engine::event::{End, Event, ExitStatus, Mono, Now, Verb, Wall};
    use crate::engine::{Outcome, StateWord};
    use crate::unit::{Kind, Service, Unit, UnitName};

    const NOW: Now = Now {
        mono: Mono(std::time::Duration::from_secs(1)),
        wall: Wall(0),
    };

    fn engine() -> Engine {
        let mut engine = Engine::new(1);
        let command = crate::unit::value::parse_command(vec!["/bin/x".into()]).unwrap();
        let service = Service {
            exec_start: vec![command],
            ..Service::default()
        };
        let unit = Unit {
            kind: Kind::Service(Box::new(service)),
            ..Unit::target(UnitName::new("web").unwrap())
        };
        let event = Event::Units {
            units: vec![Rc::new(unit)],
            images: Images::default(),
            by: Cause::Boot,
            job: None,
        };
        let _ = engine.handle(NOW, event);
        engine
    }

    const WEB: UnitId = UnitId(0);

    fn ask(engine: &mut Engine, verb: Verb, job: u64) -> Vec<Action> {
        let by = Cause::Operator {
            uid: 0,
            pid: 1,
            program: "svc".into(),
        };
        let event = Event::Ask {
            job: Some(JobId(job)),
            unit: WEB,
            verb,
            by,
        };
        engine.handle(NOW, event).into_iter().collect()
    }

    fn told(engine: &mut Engine, event: impl FnOnce(RunId) -> Event) -> Vec<Action> {
        let run = engine.awaited(WEB).unwrap().0;
        engine.handle(NOW, event(run)).into_iter().collect()
    }

    fn spawns(actions: &[Action]) -> usize {
        let spawns = actions.iter().filter(|action| matches!(action, Action::Spawn { .. }));
        spawns.count()
    }

    #[test]
    fn a_start_while_it_goes_down_by_itself_brings_it_back() {
        let mut engine = engine();
        ask(&mut engine, Verb::Start, 1);
        let role = Role::Main(0);
        told(&mut engine, |run| Event::Spawned { run, role });
        let status = ExitStatus {
            end: End::Code(0),
            oom: None,
            core: false,
        };
        told(&mut engine, |run| Event::Exited { run, role, status });
        assert_eq!(engine.view(WEB).unwrap().state, StateWord::Stopping);
        ask(&mut engine, Verb::Start, 2);
        told(&mut engine, |run| Event::Emptied { run });
        let actions = told(&mut engine, |run| Event::Released { run });
        assert_eq!(spawns(&actions), 1, "{actions:?}");
        let actions = told(&mut engine, |run| Event::Spawned { run, role });
        let answered = |action: &Action| {
            matches!(
                action,
                Action::Answer {
                    job: JobId(2),
                    outcome: Outcome::Done
                }
            )
        };
        assert!(actions.iter().any(answered), "{actions:?}");
    }

    #[test]
    fn what_was_found_running_runs_and_what_was_left_behind_is_ended_first() {
        let mut engine = engine();
        let run = engine.next_run(WEB).unwrap();
        let _ = engine.handle(NOW, Event::Found { run, alive: true });
        let (now, awaited) = engine.awaited(WEB).unwrap();
        assert!(now == run && awaited.main);
        assert_eq!(engine.view(WEB).unwrap().state, StateWord::Running);
        // A second time it is no news.
        let _ = engine.handle(NOW, Event::Found { run, alive: false });
        assert_eq!(engine.view(WEB).unwrap().state, StateWord::Running);

        let mut engine = self::engine();
        let run = engine.next_run(WEB).unwrap();
        let kills = |action: &Action| matches!(action, Action::Kill { scope: Scope::All, .. });
        let actions: Vec<Action> = engine
            .handle(NOW, Event::Found { run, alive: false })
            .into_iter()
            .collect();
        assert!(actions.iter().any(kills), "{actions:?}");
        assert_eq!(spawns(&ask(&mut engine, Verb::Start, 1)), 0);
        told(&mut engine, |run| Event::Emptied { run });
        let actions = told(&mut engine, |run| Event::Released { run });
        assert_eq!(spawns(&actions), 1, "{actions:?}");
    }

    #[test]
    fn a_shutdown_of_a_former_life_is_forgotten() {
        let mut engine = engine();
        let by = Cause::Signal("SIGTERM".into());
        let _ = engine.handle(NOW, Event::Shutdown { by });
        assert_eq!(spawns(&ask(&mut engine, Verb::Start, 1)), 0);
        assert!(engine.forget_shutdown() && !engine.forget_shutdown());
        assert_eq!(spawns(&ask(&mut engine, Verb::Start, 2)), 1);
    }
}
