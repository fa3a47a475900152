//! `start`, `stop`, `restart`, `reload`, `reset`, `freeze`, `thaw`, `kill`: ask, show what is waited for, say what came of it.

use std::path::Path;

use super::arguments::Job;
use super::failure::{Failure, Kind, Message};
use super::render::{self, BOLD, DIM, harmless, paint};
use super::session::Session;
use crate::control::returns::Outcomes;
use crate::control::view::{Outcome, OutcomeKind, Progress};
use crate::control::{Request, Verb, Whom};
use crate::log;
use crate::unit::Signal;

/// Lines of its log that are shown of a unit that failed.
const LOG_LINES: usize = 10;

/// Carries out one of the verbs that wait.
///
/// # Errors
/// [`Failure`]; what became of each unit has been printed then.
pub fn run(session: &mut Session<'_>, verb: Verb, job: Job) -> Result<(), Failure> {
    let what = format!("{} {}", verb.word(), job.units.join(" "));
    let request = Request::Job {
        verb,
        units: job.units,
        wait: !job.no_wait,
        timeout: job.timeout,
    };
    let outcomes = follow(session, &what, &request);
    if session.shows_progress {
        let _ = write!(session.err, "\r\x1b[K");
    }
    conclude(session, verb.word(), &outcomes?.outcomes)
}

/// Shows what is waited for, until the last reply.
fn follow(session: &mut Session<'_>, what: &str, request: &Request) -> Result<Outcomes, Failure> {
    let mut client = session.connect(what)?;
    let mut last = Outcomes::default();
    for reply in client
        .call_more::<Outcomes>(request)
        .map_err(|error| Failure::of_call(what, error))?
    {
        last = reply.map_err(|error| Failure::of_call(what, error))?;
        if let Some(progress) = &last.progress {
            show_progress(session, progress);
        }
    }
    Ok(last)
}

/// Sends a signal.
///
/// # Errors
/// [`Failure`]; what became of each unit has been printed then.
pub fn kill(session: &mut Session<'_>, units: Vec<String>, signal: Signal, whom: Whom) -> Result<(), Failure> {
    let what = format!("kill {}", units.join(" "));
    let outcomes: Outcomes = session.ask(&what, &Request::Kill { units, signal, whom })?;
    conclude(session, "kill", &outcomes.outcomes)
}

/// One line on the terminal, which the next one replaces.
fn show_progress(session: &mut Session<'_>, progress: &Progress) {
    if !session.shows_progress {
        return;
    }
    let text = if progress.text.is_empty() {
        progress.state.word().to_owned()
    } else {
        harmless(&progress.text)
    };
    // A terminal that cannot be written to any more is found out when the outcome is printed.
    let _ = write!(
        session.err,
        "\r\x1b[K{} {}",
        paint(BOLD, &progress.unit),
        paint(DIM, text)
    );
    let _ = session.err.flush();
}

/// Says what became of each unit.
///
/// # Errors
/// [`Failure`], where it was not as asked.
pub fn conclude(session: &mut Session<'_>, verb: &str, outcomes: &[Outcome]) -> Result<(), Failure> {
    if session.json {
        session.print_json(&outcomes)?;
    } else {
        for outcome in outcomes {
            say(session, verb, outcome)?;
        }
    }
    match worst(outcomes) {
        None => Ok(()),
        Some(kind) => Err(Failure::told(kind)),
    }
}

/// The same, where only what was not as asked is said.
///
/// # Errors
/// As [`conclude`].
pub fn conclude_failed(session: &mut Session<'_>, verb: &str, outcomes: &[Outcome]) -> Result<(), Failure> {
    match worst(outcomes) {
        None => Ok(()),
        Some(_) => conclude(session, verb, outcomes),
    }
}

fn say(session: &mut Session<'_>, verb: &str, outcome: &Outcome) -> Result<(), Failure> {
    if kind_of(outcome.outcome).is_none() {
        if session.is_terminal {
            let state = paint(render::state_style(outcome.state), outcome.state.word());
            writeln!(session.out, "{} {state}", paint(BOLD, &outcome.unit))?;
        }
        return Ok(());
    }
    let why = match (&outcome.why, &outcome.result_text, outcome.outcome) {
        (Some(why), _, _) => why.clone(),
        (None, _, OutcomeKind::TimedOut) => format!("still {} after the timeout; it goes on", outcome.state.word()),
        (None, Some(result), _) => result.clone(),
        (None, None, _) => outcome.state.word().to_owned(),
    };
    let message = Message {
        what: format!("{verb} {}", outcome.unit),
        why: harmless(&why),
        hint: None,
    };
    write!(session.err, "{message}")?;
    if outcome.outcome == OutcomeKind::Failed {
        // That the log cannot be found out is no second failure: the first one has been told.
        if let Ok(dir) = session.log_dir(verb) {
            show_log(session, &dir, &outcome.unit)?;
        }
    }
    if let Some(hint) = &outcome.hint {
        writeln!(session.err, "hint: {hint}")?;
    }
    Ok(())
}

fn show_log(session: &mut Session<'_>, dir: &Path, unit: &str) -> Result<(), Failure> {
    for line in log::read::tail(dir, unit, LOG_LINES) {
        writeln!(session.err, "  {} {}", paint(DIM, "|"), harmless(&line.text))?;
    }
    Ok(())
}

/// The kind of failure of all that did not go as asked: their own where it is one and the same, else that it failed.
fn worst(outcomes: &[Outcome]) -> Option<Kind> {
    let mut kinds = outcomes.iter().filter_map(|outcome| kind_of(outcome.outcome));
    let first = kinds.next()?;
    if kinds.all(|kind| kind == first) {
        Some(first)
    } else {
        Some(Kind::Failed)
    }
}

fn kind_of(outcome: OutcomeKind) -> Option<Kind> {
    match outcome {
        OutcomeKind::Done | OutcomeKind::Accepted => None,
        OutcomeKind::Failed | OutcomeKind::Superseded | OutcomeKind::TimedOut => Some(Kind::Failed),
        OutcomeKind::Refused => Some(Kind::Invalid),
    }
}
