//! `set`: limits of a unit, changed while it runs.

use super::failure::Failure;
use super::jobs;
use super::session::Session;
use crate::control::Request;
use crate::control::returns::Outcomes;

/// `svc set UNIT KEY=VALUE…`.
///
/// # Errors
/// [`Failure`].
pub fn run(session: &mut Session<'_>, unit: String, settings: Vec<String>, persist: bool) -> Result<(), Failure> {
    let what = format!("set {unit}");
    let request = Request::Set {
        unit,
        settings,
        persist,
    };
    let outcomes: Outcomes = session.ask(&what, &request)?;
    jobs::conclude(session, "set", &outcomes.outcomes)
}
