//! What is a mount's alone. It is a oneshot that remains, mounted by its command and unmounted by its stop command; but
//! one that cannot be unmounted, since somebody uses it, stays what it is.

use super::action::{Change, Outcome};
use super::event::{Cause, Role, Verb};
use super::slot::{Slot, State};
use super::view::RunResult;
use super::{Engine, UnitId};

impl Engine {
    /// A stop command has ended, or a stop-post command could not begin: the stop goes on whatever came of it, but a
    /// mount's.
    pub(super) fn stop_command_ended(&mut self, unit: UnitId, role: Role, result: RunResult) {
        let is_mount = self.slot(unit).is_some_and(Slot::is_mount);
        match is_mount && result != RunResult::Success {
            true => self.stay_mounted(unit, result),
            false => self.after_stop_command(unit, role),
        }
    }

    /// Its unmounting failed: the stop has, and it is up. At the end of the machine nothing is up; what is still mounted
    /// then is for those who end the machine to see to.
    fn stay_mounted(&mut self, unit: UnitId, result: RunResult) {
        let (now, ends) = (self.now.mono, self.shutdown.is_some());
        let Some(slot) = self.slot_mut(unit) else { return };
        let State::Stopping { ending, .. } = &mut slot.state else {
            return;
        };
        if ends {
            ending.result = result;
            return self.release(unit);
        }
        let since = ending.ready_since.unwrap_or(now);
        let why: Box<str> = result.to_string().trim_start_matches("spawn ").into();
        self.report(unit, Change::Refused { why: why.clone() });
        if let Some(slot) = self.slot_mut(unit) {
            slot.stop = None;
            slot.wish = slot.wish.take().or(slot.unit.is_some().then_some(Cause::Policy));
        }
        let running = State::Running {
            main_alive: false,
            since,
            until: None,
            reload: None,
            watchdog: None,
            health: None,
        };
        self.set_state(unit, running, Some(why.clone()));
        self.answer_jobs(unit, |verb| verb != Verb::Start, &Outcome::Failed(why));
        self.answer_jobs(unit, |_| true, &Outcome::Done);
    }
}
