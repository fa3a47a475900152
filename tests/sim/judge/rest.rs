//! What must hold once nothing is due any more, and at the end.

use std::collections::BTreeMap;

use svc::engine::{Engine, RunId, StateWord};

use super::{Judge, Verdict};
use crate::world::Run;

impl Judge {
    /// Everybody was asked to stop, and nothing is due any more: all are down, or behind one that may take for ever.
    pub fn at_rest(&self, engine: &Engine, runs: &BTreeMap<RunId, Run>) -> Verdict {
        if runs.values().any(Run::holds_a_stop_up) {
            return Ok(());
        }
        for place in 0..self.units.len() {
            let view = self.units[place].id.and_then(|id| engine.view(id));
            let rests = view.as_ref().is_none_or(|view| {
                use StateWord as W;
                matches!(view.state, W::Inactive | W::Failed | W::Skipped | W::Masked)
            });
            self.unless(rests, "at rest", || {
                format!("u{place} is {:?}", view.map(|view| view.state))
            })?;
        }
        self.all_answered()
    }

    fn all_answered(&self) -> Verdict {
        self.unless(self.open_jobs.is_empty(), "answered once", || {
            format!("never answered: {:?}", self.open_jobs)
        })
    }

    /// After the end of svcd: all was told, all is gone.
    pub fn at_end(&self, runs: &BTreeMap<RunId, Run>) -> Verdict {
        self.unless(self.stopped == 1, "all stopped", || "it is never said".into())?;
        self.all_answered()?;
        let alive = runs
            .iter()
            .find(|(_, run)| run.is_anyone_alive() && !run.spares_leftovers());
        self.unless(alive.is_none(), "all stopped", || {
            format!("{:?} lives", alive.map(|(run, _)| run))
        })?;
        self.all_disarmed()?;
        self.unless(self.groups.is_empty(), "released", || {
            format!("never released: {:?}", self.groups)
        })
    }
}
