//! Calls that wait for their jobs, handed over to a successor and taken over from a predecessor.

use super::{Requests, Waiting, What};
use crate::engine::JobId;
use crate::engine::UnitId;
use crate::engine::action::Outcome;
use crate::engine::record::saved;
use crate::supervisor::Supervisor;
use crate::supervisor::former::Former;
use crate::supervisor::freeze::Freezing;
use crate::supervisor::keep::REQUESTS;
use crate::supervisor::kept::KeptCall;

/// What is common to all calls.
#[derive(Clone, Debug)]
pub struct KeptRequests {
    last_job: u64,
    /// Whose each job is: client, unit.
    jobs: Vec<(JobId, (u64, UnitId))>,
    /// Outcomes that wait for the log process.
    held: Vec<(JobId, Outcome)>,
    /// Units that are to freeze.
    freezing: Vec<(JobId, UnitId)>,
}
saved!(struct KeptRequests { last_job, jobs, held, freezing });

impl Requests {
    /// What is common to all calls.
    pub fn keep(&self) -> KeptRequests {
        KeptRequests {
            last_job: self.last_job,
            jobs: self.jobs.iter().map(|(job, whose)| (*job, *whose)).collect(),
            held: self
                .held
                .values()
                .map(|(job, outcome, _)| (*job, outcome.clone()))
                .collect(),
            freezing: self.freezing.iter().map(Freezing::keep).collect(),
        }
    }

    /// The call that a client waits for. One that applies files is answered before svcd waits, so it is never met here.
    pub fn keep_call(&self, client: u64) -> Option<KeptCall> {
        let waiting = self.calls.get(&client)?;
        Some(KeptCall {
            reexec: matches!(waiting.what, What::Reexec),
            run: match waiting.what {
                What::Run(unit, _) => Some(unit),
                What::Units | What::Reexec | What::Apply(_) => None,
            },
            ended: match waiting.what {
                What::Run(_, end) => end,
                What::Units | What::Reexec | What::Apply(_) => None,
            },
            more: waiting.more,
            left: waiting.left.clone(),
            outcomes: serde_json::to_string(&waiting.outcomes).unwrap_or_default().into(),
            deadline: waiting.deadline,
        })
    }

    /// A client waits for the program to be executed anew.
    pub fn ask_reexec(&mut self, client: u64, asked: &mut bool) {
        let waiting = Waiting {
            what: What::Reexec,
            more: false,
            left: Vec::new(),
            outcomes: Vec::new(),
            deadline: None,
        };
        self.calls.insert(client, waiting);
        *asked = true;
    }

    /// The clients who have waited for that.
    pub fn take_reexecs(&mut self) -> Vec<u64> {
        let waits = |waiting: &Waiting| matches!(waiting.what, What::Reexec);
        let waiting = self.calls.iter().filter(|(_, waiting)| waits(waiting));
        let clients = waiting.map(|(client, _)| *client).collect();
        self.calls.retain(|_, waiting| !waits(waiting));
        clients
    }

    /// The call of a client that was taken over.
    pub fn restore_call(&mut self, client: u64, kept: &KeptCall) {
        let waiting = Waiting {
            what: match kept.run {
                _ if kept.reexec => What::Reexec,
                Some(unit) => What::Run(unit, kept.ended),
                None => What::Units,
            },
            more: kept.more,
            left: kept.left.clone(),
            outcomes: serde_json::from_str(&kept.outcomes).unwrap_or_default(),
            deadline: kept.deadline,
        };
        self.calls.insert(client, waiting);
    }
}

impl Supervisor {
    /// Goes on with the jobs of a predecessor. The engine may have some that nobody waits for any more: new ones are
    /// numbered from there.
    pub(in crate::supervisor) fn take_over_requests(&mut self, former: &Former) {
        self.requests.last_job = self.engine.last_job().map_or(0, |job| job.0);
        let kept = former.section::<KeptRequests>(REQUESTS).next();
        let Some((_, kept)) = kept else { return };
        self.requests.last_job = self.requests.last_job.max(kept.last_job);
        self.requests.jobs = kept.jobs.into_iter().collect();
        let freezing = kept.freezing.into_iter();
        self.requests
            .freezing
            .extend(freezing.map(|(job, unit)| Freezing::new(job, unit)));
        for (job, outcome) in kept.held {
            self.answer(job, outcome);
        }
        // Whose clients could not be taken over, nobody waits for.
        let Requests { jobs, calls, .. } = &mut self.requests;
        jobs.retain(|_, (client, _)| calls.contains_key(client));
    }
}
