//! How long the units took to come up, as clients see it: `svc analyze`.

use super::Supervisor;
use super::answers::{kind_word, state_word};
use super::clock;
use crate::control::returns::Timings;
use crate::control::view::UnitTiming;
use crate::engine::UnitId;
use crate::engine::event::Mono;
use crate::init::{self, Role};

impl Supervisor {
    /// The times of every unit that was started.
    pub(super) fn timings(&self) -> Timings {
        Timings {
            // CLOCK_MONOTONIC begins with the kernel.
            kernel_usec: (init::role() == Role::Machine).then(|| microseconds(self.since.mono, Mono::default())),
            now_usec: microseconds(clock::mono(), self.since.mono),
            target: self.settings.default_target.to_string(),
            units: self.engine.ids().filter_map(|id| self.unit_timing(id)).collect(),
        }
    }

    fn unit_timing(&self, id: UnitId) -> Option<UnitTiming> {
        let (unit, timing) = (self.engine.unit(id)?, self.engine.timing(id)?);
        let since_start = |at: Mono| microseconds(at, self.since.mono);
        let released_by = timing.released_by.and_then(|id| self.engine.unit(id));
        Some(UnitTiming {
            unit: unit.name.to_string(),
            kind: kind_word(unit).to_owned(),
            state: state_word(self.engine.view(id)?.state),
            starting_usec: since_start(timing.starting?),
            ready_usec: timing.ready.map(since_start),
            released_by: released_by.map(|unit| unit.name.to_string()),
        })
    }
}

/// From one time to a later one.
fn microseconds(later: Mono, earlier: Mono) -> u64 {
    let stretch = later.0.saturating_sub(earlier.0);
    u64::try_from(stretch.as_micros()).unwrap_or(u64::MAX)
}
