//! Requests of clients: each carried out at once, or kept until the engine has answered its jobs.

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::time::Duration;

mod handover;
mod kill;
mod named;
mod runs;

use super::Supervisor;
use super::clients::Peer;
use super::clock;
use super::conditions::Looks;
use super::freeze::Freezing;
use super::limits::Movers;
use super::release::FLUSH_WAIT_MAX;
use super::sessions::Attachment;
use crate::control::call::{Call, Request, Verb};
use crate::control::reply::{Failure, reply};
use crate::control::{interface, returns, view};
use crate::engine::action::Outcome;
use crate::engine::event::{End, Mono};
use crate::engine::{JobId, UnitId};

/// Jobs that the engine works on, and the calls that wait for them.
#[derive(Debug, Default)]
pub struct Requests {
    last_job: u64,
    /// Whose each job is.
    jobs: BTreeMap<JobId, (u64, UnitId)>,
    /// By client.
    calls: BTreeMap<u64, Waiting>,
    /// Outcomes that wait for the log process, by its token.
    held: BTreeMap<u64, (JobId, Outcome, Mono)>,
    /// What callers have sent along for commands that are still to be started.
    pub attached: BTreeMap<u64, Attachment>,
    /// The namespaces of what their callers wait for, by client.
    pub held_namespaces: BTreeMap<u64, Vec<OwnedFd>>,
    /// Clients whose run is over, and who know it: they are served again once nothing is left of it.
    pub answered: Vec<u64>,
    /// What the kernel has not done yet.
    pub freezing: Vec<Freezing>,
    pub movers: Movers,
    pub looks: Looks,
}

/// A call that waits for its jobs.
#[derive(Debug)]
struct Waiting {
    what: What,
    more: bool,
    left: Vec<UnitId>,
    outcomes: Vec<view::Outcome>,
    deadline: Option<Mono>,
}

#[derive(Clone, Debug)]
enum What {
    Units,
    /// The end of a transient unit's main process, and of what follows: it is here once it has ended.
    Run(UnitId, Option<End>),
    Reexec,
    Apply(view::Plan),
}

impl Requests {
    /// A client is gone: its jobs go on, and nobody is told.
    pub fn forget(&mut self, number: u64) {
        self.calls.remove(&number);
        self.attached.remove(&number);
        self.held_namespaces.remove(&number);
        self.jobs.retain(|_, (client, _)| *client != number);
    }

    fn new_job(&mut self, client: u64, unit: UnitId) -> JobId {
        self.last_job += 1;
        let job = JobId(self.last_job);
        self.jobs.insert(job, (client, unit));
        job
    }

    /// The call is answered with this plan once all of it is under way.
    pub(super) fn wait_for_apply(&mut self, client: u64, plan: view::Plan, unit: UnitId) -> JobId {
        let waiting = Waiting {
            what: What::Apply(plan),
            more: false,
            left: vec![unit],
            outcomes: Vec::new(),
            deadline: None,
        };
        self.calls.insert(client, waiting);
        self.new_job(client, unit)
    }

    fn next_deadline(&self) -> Option<Mono> {
        let held = self.held.values().map(|(_, _, until)| *until).min();
        let calls = self.calls.values().filter_map(|waiting| waiting.deadline).min();
        [held, calls].into_iter().flatten().min()
    }
}

impl Supervisor {
    /// Carries a request out.
    pub(super) fn request(&mut self, client: u64, call: Call, peer: &Peer, given: Vec<OwnedFd>) {
        if !call.request.only_reads() && !peer.may_change() {
            let failure = Failure::PermissionDenied {
                what: call
                    .request
                    .method()
                    .rsplit('.')
                    .next()
                    .unwrap_or_default()
                    .to_lowercase(),
                why: "only root may; group svc may read".to_owned(),
            };
            return self.respond(client, &call, Err(failure));
        }
        let answer = match &call.request {
            Request::Job {
                verb,
                units,
                wait,
                timeout,
            } => {
                return self.start_jobs(client, &call, peer, *verb, units, (*wait, *timeout));
            }
            Request::Apply { hash } => return self.apply(client, &call, peer, hash.as_deref()),
            Request::Rollback { generation } => return self.rollback(client, &call, peer, *generation),
            Request::Set {
                unit,
                settings,
                persist,
            } => return self.set(client, &call, peer, (unit, settings, *persist)),
            Request::Watch => {
                self.clients.watch(client);
                let first = reply(&returns::Changes::default(), true);
                return self.clients.send(client, &first, &mut self.poll);
            }
            Request::Run(order) => return self.run_transient(client, &call, peer, order, given),
            Request::Exec(order) => return self.exec(client, &call, order, given),
            Request::Shutdown { power } => self.shutdown_request(*power, peer.cause()),
            Request::Reexec => return self.requests.ask_reexec(client, &mut self.reexec_asked),
            Request::Kill { units, signal, whom } => self.kill_units(units, *signal, *whom, peer),
            Request::Plan => {
                let units = self.units_on_disk();
                let images = self.image_changes(&units, |unit| self.digest_of_image(unit));
                let (plan, generation) = (self.plan(&units, &images), self.generation());
                Ok(reply(&returns::Planned { plan, generation }, false))
            }
            Request::Generations => Ok(reply(&self.list_generations(), false)),
            Request::CompareGenerations { before, after } => self.compare_generations(*before, *after),
            Request::Timings => Ok(reply(&self.timings(), false)),
            Request::GetInfo => Ok(reply(&interface::info(), false)),
            Request::GetInterfaceDescription { interface } => interface::description(interface)
                .map(|text| reply(&text, false))
                .ok_or_else(|| Failure::InterfaceNotFound(interface.clone())),
            Request::Stats { .. }
            | Request::Status { .. }
            | Request::List { .. }
            | Request::Show { .. }
            | Request::Cat { .. }
            | Request::Dependencies { .. }
            | Request::Processes { .. }
            | Request::Why { .. }
            | Request::History { .. }
            | Request::Version => self.read_request(&call.request),
        };
        self.respond(client, &call, answer);
    }

    pub(super) fn respond(&mut self, client: u64, call: &Call, answer: Result<Vec<u8>, Failure>) {
        if !call.oneway {
            let bytes = answer.unwrap_or_else(|failure| failure.reply());
            self.clients.send(client, &bytes, &mut self.poll);
        }
        self.clients.finish(client, &mut self.poll);
    }

    fn start_jobs(
        &mut self,
        client: u64,
        call: &Call,
        peer: &Peer,
        verb: Verb,
        names: &[String],
        (wait, timeout): (bool, Option<Duration>),
    ) {
        let units = match self.named(names, true) {
            Ok(units) => units,
            Err(failure) => return self.respond(client, call, Err(failure)),
        };
        for (unit, job) in self.wait_for(client, call, units, timeout) {
            self.ask(verb, unit, job, peer.cause());
        }
        self.settle();
        if !wait || call.oneway {
            self.end_call(client, view::OutcomeKind::Accepted);
        }
    }

    /// The call is answered once its jobs, one for each unit, have come to an end.
    pub(super) fn wait_for(
        &mut self,
        client: u64,
        call: &Call,
        units: Vec<UnitId>,
        timeout: Option<Duration>,
    ) -> Vec<(UnitId, JobId)> {
        let waiting = Waiting {
            what: What::Units,
            more: call.more,
            left: units.clone(),
            outcomes: Vec::new(),
            deadline: timeout.map(|timeout| Mono(clock::mono().0 + timeout)),
        };
        self.requests.calls.insert(client, waiting);
        let job = |unit| (unit, self.requests.new_job(client, unit));
        units.into_iter().map(job).collect()
    }

    /// Carries [`crate::engine::Action::Answer`] out: a failure waits until the last lines before it are on disk.
    pub(super) fn answer(&mut self, job: JobId, outcome: Outcome) {
        let Some((_, unit)) = self.requests.jobs.get(&job).copied() else {
            return;
        };
        if matches!(outcome, Outcome::Failed(_))
            && let Some(name) = self.engine.unit(unit).map(|unit| unit.name.clone())
            && let Some(token) = self.outputs.flush(&name)
        {
            let until = Mono(clock::mono().0 + FLUSH_WAIT_MAX);
            self.requests.held.insert(token, (job, outcome, until));
            return;
        }
        self.finish_job(job, outcome);
    }

    /// The log process has written what there was.
    pub(super) fn on_flushed(&mut self, token: u64) {
        if let Some((job, outcome, _)) = self.requests.held.remove(&token) {
            self.finish_job(job, outcome);
        }
        self.on_last_lines(token);
    }

    pub(super) fn next_request_deadline(&self) -> Option<Mono> {
        self.requests.next_deadline()
    }

    /// Gives up waiting for the log process, and tells callers whose time is up.
    pub(super) fn requests_due(&mut self, now: Mono) {
        let held: Vec<u64> = self
            .requests
            .held
            .iter()
            .filter(|(_, (_, _, until))| *until <= now)
            .map(|(token, _)| *token)
            .collect();
        held.into_iter().for_each(|token| self.on_flushed(token));
        let late = |waiting: &Waiting| waiting.deadline.is_some_and(|deadline| deadline <= now);
        let calls: Vec<u64> = self
            .requests
            .calls
            .iter()
            .filter(|(_, waiting)| late(waiting))
            .map(|(client, _)| *client)
            .collect();
        calls
            .into_iter()
            .for_each(|client| self.end_call(client, view::OutcomeKind::TimedOut));
    }

    pub(super) fn finish_job(&mut self, job: JobId, outcome: Outcome) {
        let Some((client, unit)) = self.requests.jobs.remove(&job) else {
            return;
        };
        let outcome = self.outcome_view(unit, outcome);
        let Some(waiting) = self.requests.calls.get_mut(&client) else {
            return;
        };
        waiting.outcomes.push(outcome);
        if let Some(place) = waiting.left.iter().position(|left| *left == unit) {
            waiting.left.swap_remove(place);
        }
        let has_failed = |outcome: &view::Outcome| outcome.outcome != view::OutcomeKind::Done;
        let runs_on = matches!(waiting.what, What::Run(..)) && !waiting.outcomes.iter().any(has_failed);
        if waiting.left.is_empty() && !runs_on {
            self.end_call(client, view::OutcomeKind::Done);
        }
    }

    /// Answers a call, and goes on with what its client asks next; units without an outcome by now get this one.
    pub(super) fn end_call(&mut self, client: u64, for_the_rest: view::OutcomeKind) {
        self.answer_call(client, for_the_rest);
        self.requests.held_namespaces.remove(&client);
        self.serve(client);
    }

    /// The first half of that.
    pub(super) fn answer_call(&mut self, client: u64, for_the_rest: view::OutcomeKind) {
        let Some(waiting) = self.requests.calls.remove(&client) else {
            return;
        };
        self.requests.jobs.retain(|_, (its, _)| *its != client);
        let mut outcomes = waiting.outcomes;
        for unit in waiting.left {
            outcomes.push(self.outcome_without_answer(unit, for_the_rest));
        }
        outcomes.sort_by(|a, b| a.unit.cmp(&b.unit));
        let bytes = match waiting.what {
            What::Units => reply(
                &returns::Outcomes {
                    outcomes,
                    progress: None,
                },
                false,
            ),
            What::Run(_, end) => reply(&super::sessions::ran(outcomes, end), false),
            // Answered by whoever knows what came of it.
            What::Reexec => return,
            What::Apply(plan) => {
                let generation = self.generation();
                reply(&returns::Planned { plan, generation }, false)
            }
        };
        self.clients.send(client, &bytes, &mut self.poll);
        self.clients.finish(client, &mut self.poll);
    }

    /// Tells the callers who wait for this unit where it is.
    pub(super) fn tell_progress(&mut self, unit: UnitId, text: &str) {
        let waiting: Vec<u64> = self
            .requests
            .calls
            .iter()
            .filter(|(_, waiting)| waiting.more && waiting.left.contains(&unit))
            .map(|(client, _)| *client)
            .collect();
        if waiting.is_empty() {
            return;
        }
        let Some((name, state)) = self.name_and_state(unit) else {
            return;
        };
        let progress = Some(view::Progress {
            unit: name,
            state,
            text: text.to_owned(),
        });
        let bytes = reply(
            &returns::Outcomes {
                outcomes: Vec::new(),
                progress,
            },
            true,
        );
        for client in waiting {
            self.clients.send(client, &bytes, &mut self.poll);
        }
    }

    /// Sends a change to the clients that watch.
    pub(super) fn tell_watchers(&mut self, unit: UnitId, what: &str, text: &str) {
        let Some((name, state)) = self.name_and_state(unit) else {
            return;
        };
        let at = view::timestamp(clock::now().wall.0);
        let change = view::Change {
            at,
            unit: name,
            what: what.to_owned(),
            text: text.to_owned(),
            state,
        };
        let message = |lagged| {
            let changes = vec![change.clone()];
            reply(&returns::Changes { changes, lagged }, true)
        };
        self.clients.tell_watchers(message, &mut self.poll);
    }
}
