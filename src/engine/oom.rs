//! What follows when the kernel has killed a process of a unit for memory: `oom-policy`; systemd.service(5), `OOMPolicy=`.

use super::action::{Action, Outcome, Scope};
use super::event::{Oom, Verb};
use super::slot::{Ending, State, StopPhase, service_of};
use super::view::RunResult;
use super::{Engine, RunId};
use crate::unit::{OomPolicy, Signal};

impl Engine {
    pub(super) fn on_oom_killed(&mut self, run: RunId, oom: Oom) {
        if !self.current(run) {
            return;
        }
        let Some(slot) = self.slot(run.unit) else { return };
        // The policy is a live key: what counts is the definition in force.
        let Some(service) = slot.unit.as_deref().and_then(service_of).or(slot.service()) else {
            return;
        };
        let (ready_since, main_alive) = match &slot.state {
            State::Starting { main_alive, .. } => (None, *main_alive),
            State::Running { since, main_alive, .. } => (Some(*since), *main_alive),
            // It is going down or is down already.
            State::Inactive
            | State::Failed
            | State::Skipped
            | State::Waiting
            | State::Blocked
            | State::Checking
            | State::Stopping { .. }
            | State::Stuck { .. }
            | State::Releasing { .. }
            | State::Arming { .. }
            | State::Armed
            | State::Backoff { .. } => return,
        };
        let ending = Ending {
            result: RunResult::Oom {
                limit: oom.limit,
                peak: oom.peak,
            },
            ready_since,
            ..Ending::new()
        };
        match service.resources.oom_policy {
            // If it was the main process, its end says so.
            OomPolicy::Continue => {}
            OomPolicy::Stop => self.begin_ending(run.unit, ending),
            OomPolicy::Kill => {
                let give_up = self.now.mono.after(service.timeout_stop);
                let why = Outcome::Failed("it ended meanwhile".into());
                self.answer_jobs(run.unit, |verb| verb == Verb::Reload, &why);
                let phase = StopPhase::Kill;
                let state = State::Stopping {
                    phase,
                    ending,
                    main_alive,
                    give_up,
                };
                self.set_state(run.unit, state, None);
                let (scope, signal) = (Scope::All, Signal::KILL);
                self.out.push(Action::Kill { run, scope, signal });
                self.out.push(Action::AwaitEmpty { run });
            }
        }
    }
}
