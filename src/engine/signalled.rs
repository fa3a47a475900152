//! Signals that somebody sends by us: they are part of what happened, and of how a process ended.

use super::action::Change;
use super::event::Cause;
use super::slot::Slot;
use super::view::RunResult;
use super::{Engine, UnitId};
use crate::unit::Signal;

impl Engine {
    pub(super) fn on_signalled(&mut self, unit: UnitId, signal: Signal, by: Cause) {
        let Some(slot) = self.slot_mut(unit) else { return };
        slot.signalled = Some((slot.nth, (signal, by.clone())));
        self.report(unit, Change::Signalled { signal, by });
    }
}

impl Slot {
    /// The result with who sent the signal that it was ended by, where that was sent to this run.
    pub fn with_sender(&self, result: RunResult) -> RunResult {
        match (result, &self.signalled) {
            (RunResult::Signal { signal, core, .. }, Some((nth, (sent, by))))
                if (*nth, *sent) == (self.nth, signal) =>
            {
                let by = Some(by.clone());
                RunResult::Signal { signal, core, by }
            }
            (result, _) => result,
        }
    }
}
