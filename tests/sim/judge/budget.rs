//! How often a unit may start, and when it may give up.

use svc::engine::RunId;
use svc::unit::Unit;

use super::{Judge, Verdict};
use crate::world::service;

impl Judge {
    /// No more starts within the window than the budget has; those that the machine was short for do not count.
    pub fn within_budget(&self, place: usize, unit: &Unit, now: u64) -> Verdict {
        let Some(limit) = service(unit).and_then(|service| service.restart.give_up.as_ref()) else {
            return Ok(());
        };
        let record = &self.units[place];
        let within = limit.within.as_micros() as u64;
        let counts = |(at, run): &&(u64, Option<RunId>)| {
            at + within > now && run.is_none_or(|run| !record.transient.contains(&run))
        };
        let count = record.starts.iter().filter(counts).count();
        self.unless(count <= limit.starts as usize, "budget", || {
            format!("u{place}: {count} starts, {} are allowed", limit.starts)
        })
    }

    /// Nothing gives up that has a start left.
    pub fn on_gave_up(&self, place: usize, now: u64) -> Verdict {
        let unit = self.units[place].id.and(self.files[place].as_ref());
        // Triggers that come too often have a limit of their own.
        if unit
            .and_then(|unit| service(unit))
            .is_some_and(|service| service.is_triggered())
        {
            return Ok(());
        }
        let Some(limit) = unit.and_then(|unit| service(unit)?.restart.give_up.as_ref()) else {
            return self.violated("budget", format!("u{place} gave up without a budget"));
        };
        let within = limit.within.as_micros() as u64;
        let starts = self.units[place].all_starts.iter().filter(|at| **at + within > now);
        let count = starts.count();
        self.unless(count >= limit.starts as usize, "budget", || {
            format!("u{place} gave up after {count} starts of {}", limit.starts)
        })
    }
}
