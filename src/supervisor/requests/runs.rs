//! Calls that wait for the end of what they run.

use super::{Requests, Waiting, What};
use crate::engine::UnitId;
use crate::engine::event::End;
use crate::supervisor::sessions::Attachment;

impl Requests {
    /// The call is answered at the end of the unit's main process, which gets the caller's streams.
    pub fn wait_for_run(&mut self, client: u64, unit: UnitId, attachment: Attachment) {
        if let Some(waiting) = self.calls.get_mut(&client) {
            waiting.what = What::Run(unit, None);
            self.attached.insert(client, attachment);
        }
    }

    /// A unit's main process has ended, for whoever waits for that.
    pub fn main_ended(&mut self, unit: UnitId, end: End) {
        let waits = |waiting: &&mut Waiting| matches!(waiting.what, What::Run(its, None) if its == unit);
        if let Some(waiting) = self.calls.values_mut().find(waits) {
            waiting.what = What::Run(unit, Some(end));
        }
    }

    /// The client who runs this unit and is attached to it.
    pub fn runner_of(&self, unit: UnitId) -> Option<u64> {
        let runs = |waiting: &Waiting| matches!(waiting.what, What::Run(its, None) if its == unit);
        let found = self.calls.iter().find(|(_, waiting)| runs(waiting));
        found.map(|(client, _)| *client)
    }

    /// The units that have had their run, of which a client waits to hear.
    pub fn run_units(&self) -> Vec<UnitId> {
        self.runs().map(|(_, unit)| unit).collect()
    }

    /// The clients who wait to hear of this unit's, which is over.
    pub fn ran(&self, unit: UnitId) -> impl Iterator<Item = u64> {
        self.runs()
            .filter(move |(_, its)| *its == unit)
            .map(|(client, _)| client)
    }

    fn runs(&self) -> impl Iterator<Item = (u64, UnitId)> {
        self.calls.iter().filter_map(|(client, waiting)| match waiting.what {
            What::Run(unit, Some(_)) => Some((*client, unit)),
            What::Run(_, None) | What::Units | What::Reexec | What::Apply(_) => None,
        })
    }

    /// Those of this unit's run are held for nobody any more.
    pub fn let_go_of_namespaces(&mut self, unit: UnitId) {
        for client in self.ran(unit).collect::<Vec<u64>>() {
            self.held_namespaces.remove(&client);
        }
    }

    /// Whether anybody still waits for a job of this unit.
    pub fn has_job(&self, unit: UnitId) -> bool {
        self.jobs.values().any(|(_, its)| *its == unit)
    }
}
