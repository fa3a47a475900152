//! Processes that the kernel kills for memory: heard of when it happens, and whose end that was.

use std::time::Duration;

use super::Supervisor;
use super::clock;
use super::lives::Life;
use super::poll::{Poll, Source, Token};
use crate::cgroup::{Group, OomWatch};
use crate::engine::UnitId;
use crate::engine::event::{End, Event, ExitStatus, Mono, Oom, Role};

/// A unit at its limit is told of up to a hundred times a second, and looked at a tenth as often.
const EVENTS_PAUSE: Duration = Duration::from_millis(100);

/// v1 tells before it kills: the first pause before the count is looked at again. It doubles, up to a last one.
const COUNT_PAUSE_FIRST: Duration = Duration::from_millis(2);
const COUNT_PAUSE_MAX: Duration = Duration::from_millis(512);

/// How svcd hears of a unit's OOM kills.
#[derive(Debug)]
pub struct OomWatched {
    watch: OomWatch,
    /// None while it is not listened to.
    token: Option<Token>,
    /// When it is looked at again, and the pause before that.
    again: Option<(Mono, Duration)>,
    /// What the engine has been told of.
    told: u64,
}

impl Supervisor {
    /// Listens for OOM kills of a unit, if it has a memory controller to tell of them.
    pub(super) fn watch_oom(&mut self, unit: UnitId) {
        let Some(life) = self.lives.get_mut(&unit).filter(|life| life.oom.is_none()) else {
            return;
        };
        let watch = life.group.as_ref().map(Group::watch_oom);
        let watch = match watch {
            Some(Ok(Some(watch))) => watch,
            Some(Err(error)) => return tracing::warn!("{}: OOM kills: {error}", life.unit.name),
            Some(Ok(None)) | None => return,
        };
        let token = listen(&mut self.poll, &watch, unit);
        life.oom = Some(OomWatched {
            watch,
            token,
            again: None,
            told: life.oom_before,
        });
    }

    /// Before a run is forgotten.
    pub(super) fn unwatch_oom(poll: &mut Poll, life: &mut Life) {
        if let Some(OomWatched {
            watch,
            token: Some(token),
            ..
        }) = life.oom.take()
        {
            poll.remove(&watch, token);
        }
    }

    /// The kernel has something to say of a unit's memory.
    pub(super) fn on_oom_told(&mut self, unit: UnitId) {
        if self.look_at_oom(unit) {
            return;
        }
        let Some(oom) = self.lives.get_mut(&unit).and_then(|life| life.oom.as_mut()) else {
            return;
        };
        oom.watch.drain();
        let pause = match &oom.watch {
            OomWatch::Events(_) => {
                if let Some(token) = oom.token.take() {
                    self.poll.remove(&oom.watch, token);
                }
                EVENTS_PAUSE
            }
            OomWatch::Counter(_) => COUNT_PAUSE_FIRST,
        };
        oom.again = Some((Mono(clock::mono().0 + pause), pause));
    }

    /// Tells the engine if there are more kills than it knows of.
    fn look_at_oom(&mut self, unit: UnitId) -> bool {
        let Some(life) = self.lives.get_mut(&unit) else {
            return false;
        };
        let (Some(group), Some(oom)) = (&life.group, &mut life.oom) else {
            return false;
        };
        let kills = group.oom_kills();
        if kills <= oom.told {
            return false;
        }
        oom.told = kills;
        oom.watch.drain();
        let run = life.run;
        let oom = oom_of(group);
        self.queue.push_back(Event::OomKilled { run, oom });
        true
    }

    pub(super) fn next_oom_look(&self) -> Option<Mono> {
        let looks = self.lives.iter().filter_map(|(_, life)| life.oom.as_ref()?.again);
        looks.map(|(at, _)| at).min()
    }

    /// Looks again where it is time to.
    pub(super) fn oom_due(&mut self, now: Mono) {
        let due = |life: &Life| {
            life.oom
                .as_ref()
                .and_then(|oom| oom.again)
                .is_some_and(|(at, _)| at <= now)
        };
        let units: Vec<UnitId> = self
            .lives
            .iter()
            .filter(|(_, life)| due(life))
            .map(|(unit, _)| *unit)
            .collect();
        for unit in units {
            let found = self.look_at_oom(unit);
            let Some(oom) = self.lives.get_mut(&unit).and_then(|life| life.oom.as_mut()) else {
                continue;
            };
            let paused = oom.again.take().map_or(COUNT_PAUSE_MAX, |(_, pause)| pause);
            match &oom.watch {
                OomWatch::Events(_) if oom.token.is_none() => oom.token = listen(&mut self.poll, &oom.watch, unit),
                OomWatch::Counter(_) if !found && paused < COUNT_PAUSE_MAX => {
                    oom.again = Some((Mono(now.0 + paused * 2), paused * 2));
                }
                OomWatch::Events(_) | OomWatch::Counter(_) => {}
            }
        }
    }

    /// How a command ended. The end of the main process is one for memory where the kernel has killed any process of this
    /// run for it; what that means is the engine's to say.
    pub(super) fn status_of(&self, unit: UnitId, role: Role, (end, core): (End, bool)) -> ExitStatus {
        let life = self.lives.get(&unit).filter(|_| matches!(role, Role::Main(_)));
        let oom = life.and_then(|life| {
            let group = life.group.as_ref()?;
            (group.oom_kills() > life.oom_before).then(|| oom_of(group))
        });
        ExitStatus { end, core, oom }
    }
}

fn oom_of(group: &Group) -> Oom {
    Oom {
        limit: group.memory_limit(),
        peak: group.memory_peak(),
    }
}

/// None: it could not be; then only the main process's end tells of it.
fn listen(poll: &mut Poll, watch: &OomWatch, unit: UnitId) -> Option<Token> {
    let added = match watch {
        OomWatch::Events(_) => poll.add_urgent(watch, Source::Oom(unit)),
        OomWatch::Counter(_) => poll.add(watch, Source::Oom(unit)),
    };
    added.ok()
}
