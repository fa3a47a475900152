//! What becomes of processes: they start or fail to, end by themselves or by a signal, or do not.

use std::collections::BTreeMap;

use svc::engine::action::Scope;
use svc::engine::event::{End, Event, ExitStatus, Role, SpawnFailure, SpawnFailureKind};
use svc::engine::{RunId, UnitId};
use svc::unit::{Kind, Service, Signal, Unit};

use super::{Item, Process, Run, World};
use crate::scenario::{RELOAD_SIGNAL, Random, place_of};

impl World<'_> {
    /// What differs of a unit holds for its run from here on, if the engine says so.
    pub fn take_over(&mut self, unit: UnitId) {
        let run = self.engine.view(unit).and_then(|view| view.run);
        let now = run.and_then(|run| Some((run, self.engine.run_unit(run)?.clone())));
        if let Some((run, unit)) = now
            && let Some(its) = self.runs.get_mut(&run)
        {
            its.unit = unit;
        }
    }

    /// What becomes of a command depends on who it is, not on when it is asked.
    pub(super) fn fate(&self, run: RunId, role: u64) -> Random {
        let place = self.engine.unit(run.unit).map_or(usize::MAX, place_of);
        Random::of(&[self.scenario.seed, 3, place as u64, u64::from(run.nth), role])
    }

    pub(super) fn tell(&mut self, run: RunId, random: &mut Random, event: Event) {
        let at = self.now + random.time(2_000);
        self.put(at, Item::Tell(run, event));
    }

    pub(super) fn spawn(&mut self, run: RunId, role: Role) {
        let Some(unit) = self.engine.run_unit(run).cloned() else {
            return;
        };
        // Each probe of a life has a fate of its own.
        let which = if role == Role::Probe { self.queued } else { 0 };
        let mut random = self.fate(run, role_number(role) + which);
        let chaos = self.scenario.chaos;
        self.runs.entry(run).or_insert_with(|| Run {
            unit: unit.clone(),
            processes: Vec::new(),
            on_the_way: BTreeMap::new(),
            awaited: false,
            releasing: false,
        });
        if random.percent(chaos.fails) {
            let kind = random.pick(&[
                SpawnFailureKind::Transient,
                SpawnFailureKind::Transient,
                SpawnFailureKind::Step,
                SpawnFailureKind::Step,
                SpawnFailureKind::Unenforceable,
            ]);
            let failure = SpawnFailure {
                step: "mount /data".into(),
                errno: 2,
                detail: "".into(),
                kind,
            };
            return self.tell(run, &mut random, Event::SpawnFailed { run, role, failure });
        }
        let executes_at = self.now + random.time(20_000);
        let stays = matches!(role, Role::Main(_)) && service(&unit).is_some_and(keeps_running);
        let nth = self.add_process(run, Some(role), executes_at, &mut random);
        self.put(executes_at, Item::Tell(run, Event::Spawned { run, role }));
        let crashes = random.percent(chaos.crashes);
        let hangs = random.percent(chaos.hangs);
        let end = match random.below(4) {
            0 if crashes => End::Signal(Signal::ABRT),
            1 | 2 if crashes => End::Code(1),
            _ => End::Code(0),
        };
        let ends = if stays { crashes } else { !hangs };
        if ends {
            let life = random.time(if stays { 30_000_000 } else { 300_000 });
            self.put(executes_at + life, Item::Death(run, nth, end));
        }
        if let Some(service) = service(&unit).filter(|_| matches!(role, Role::Main(_))) {
            self.says_ready(run, service, executes_at, &mut random);
        }
        if stays && random.percent(20) {
            self.add_process(run, None, executes_at, &mut random);
        }
    }

    fn add_process(&mut self, run: RunId, role: Option<Role>, executes_at: u64, random: &mut Random) -> usize {
        let chaos = self.scenario.chaos;
        let process = Process {
            role,
            alive: true,
            executes_at,
            deaf: random.percent(chaos.deaf),
            stuck_until: if random.percent(chaos.stuck) {
                self.now + random.time(200_000_000)
            } else {
                0
            },
        };
        let Some(run) = self.runs.get_mut(&run) else { return 0 };
        run.processes.push(process);
        run.processes.len() - 1
    }

    pub(super) fn kill(&mut self, run: RunId, scope: Scope, signal: Signal) {
        let Some(its) = self.runs.get(&run) else { return };
        let is_meant = |process: &Process| match scope {
            Scope::Main => matches!(process.role, Some(Role::Main(_))),
            Scope::Command(role) => process.role == Some(role),
            Scope::All => true,
        };
        let mut deaths = Vec::new();
        for (nth, process) in its.processes.iter().enumerate() {
            let dies = signal == Signal::KILL || !process.deaf && signal != RELOAD_SIGNAL;
            if process.alive && is_meant(process) && dies {
                let from = if signal == Signal::KILL { process.stuck_until } else { 0 };
                let mut random = Random::of(&[self.scenario.seed, 4, self.queued, nth as u64]);
                deaths.push((self.now.max(from) + random.time(1_000), nth));
            }
        }
        for (at, nth) in deaths {
            self.put(at, Item::Death(run, nth, End::Signal(signal)));
        }
        if signal == RELOAD_SIGNAL {
            self.says_reloading(run);
        }
    }

    pub(super) fn die(&mut self, run: RunId, nth: usize, end: End) {
        let Some(process) = self.runs.get_mut(&run).and_then(|run| run.processes.get_mut(nth)) else {
            return;
        };
        if !std::mem::replace(&mut process.alive, false) {
            return;
        }
        // The end of one that was cloned and did not execute yet is told after it seemed to: its report pipe closes.
        let (role, from) = (process.role, self.now.max(process.executes_at));
        if let Some(role) = role {
            let status = ExitStatus {
                end,
                oom: None,
                core: false,
            };
            let delay = Random::of(&[self.queued]).time(500);
            self.put(from + delay, Item::Tell(run, Event::Exited { run, role, status }));
        }
        self.look_again(run);
    }

    /// Nobody is left: whoever waits for that is told.
    pub(super) fn look_again(&mut self, run: RunId) {
        let Some(its) = self.runs.get_mut(&run) else { return };
        if its.is_anyone_alive() || its.on_the_way.values().any(|end| *end) {
            return;
        }
        let (emptied, released) = (std::mem::take(&mut its.awaited), std::mem::take(&mut its.releasing));
        let mut random = Random::of(&[self.queued, 5]);
        if emptied {
            self.tell(run, &mut random, Event::Emptied { run });
        }
        if released {
            self.tell(run, &mut random, Event::Released { run });
        }
    }
}

pub(super) fn role_number(role: Role) -> u64 {
    match role {
        Role::Condition(nth) | Role::Pre(nth) => 1000 + u64::from(nth),
        Role::Main(nth) => 2000 + u64::from(nth),
        Role::Post(nth) => 3000 + u64::from(nth),
        Role::Reload(nth) => 4000 + u64::from(nth),
        Role::Stop(nth) => 5000 + u64::from(nth),
        Role::StopPost(nth) => 6000 + u64::from(nth),
        Role::Probe => 7000,
    }
}

/// An event in one line: of new files only who they are.
pub(super) fn short(event: &Event) -> String {
    match event {
        Event::Units { units, .. } => {
            let names: Vec<String> = units.iter().map(|unit| place_of(unit).to_string()).collect();
            format!("units {}", names.join(" "))
        }
        _ => format!("{event:?}"),
    }
}

pub fn service(unit: &Unit) -> Option<&Service> {
    match &unit.kind {
        Kind::Service(service) => Some(service),
        _ => None,
    }
}

pub fn keeps_running(service: &Service) -> bool {
    service.r#type != svc::unit::ServiceType::Oneshot
}
