//! `plan` and `apply`: what differs between the unit files and what runs, and taking it over.

use super::failure::{Failure, Kind};
use super::generations;
use super::render::{self, BAD, BOLD, DIM, GOOD, MOVING, PLAIN, harmless, paint};
use super::session::Session;
use crate::control::Request;
use crate::control::returns::Planned;
use crate::control::view::{FieldChange, Plan, PlanAction};

/// `svc plan`.
///
/// # Errors
/// [`Failure`]; of the kind [`Kind::Invalid`] after a plan with errors was printed, [`Kind::Differs`] after one with
/// something to do.
pub fn plan(session: &mut Session<'_>) -> Result<(), Failure> {
    let planned: Planned = session.ask("plan", &Request::Plan)?;
    if session.json {
        session.print_json(&planned.plan)?;
    } else {
        if let (Some(why), Some(generation)) = (&planned.plan.instead_of_disk, planned.generation) {
            writeln!(session.out, "{}", generations::instead_of_disk(generation, why))?;
        }
        print(session, &planned.plan)?;
        if !planned.plan.units.is_empty() {
            let hint = format!("`svc apply --plan {}` does this and nothing else", planned.plan.hash);
            writeln!(session.out, "{}", paint(DIM, hint))?;
        }
    }
    let is_bad = planned.plan.findings.iter().any(|finding| finding.severity == "error");
    match (is_bad, planned.plan.units.is_empty()) {
        (true, _) => Err(Failure::told(Kind::Invalid)),
        (false, false) => Err(Failure::told(Kind::Differs)),
        (false, true) => Ok(()),
    }
}

/// `svc apply`.
///
/// # Errors
/// [`Failure`].
pub fn apply(session: &mut Session<'_>, hash: Option<String>) -> Result<(), Failure> {
    let planned: Planned = session.ask("apply", &Request::Apply { hash })?;
    conclude(session, &planned)
}

/// `svc rollback`.
///
/// # Errors
/// [`Failure`].
pub fn rollback(session: &mut Session<'_>, generation: Option<u64>) -> Result<(), Failure> {
    let planned: Planned = session.ask("rollback", &Request::Rollback { generation })?;
    conclude(session, &planned)
}

fn conclude(session: &mut Session<'_>, planned: &Planned) -> Result<(), Failure> {
    if session.json {
        return session.print_json(planned);
    }
    print(session, &planned.plan)?;
    if let Some(generation) = planned.generation {
        let line = format!("generation {generation} is in force");
        writeln!(session.out, "{}", paint(DIM, line))?;
    }
    Ok(())
}

fn print(session: &mut Session<'_>, plan: &Plan) -> Result<(), Failure> {
    for finding in &plan.findings {
        let style = if finding.severity == "error" { BAD } else { MOVING };
        let place = format!("{}:{}:{}", finding.file, finding.line, finding.column);
        writeln!(
            session.out,
            "{}: {place}: {}",
            paint(style, &finding.severity),
            harmless(&finding.message)
        )?;
    }
    if plan.units.is_empty() && plan.findings.is_empty() {
        writeln!(session.out, "nothing differs")?;
    }
    for unit in &plan.units {
        let (sign, word, style) = action(unit.action);
        let with = unit
            .with
            .as_ref()
            .map(|with| format!(" with {with}"))
            .unwrap_or_default();
        writeln!(
            session.out,
            "{} {} {}{}",
            paint(style, sign),
            paint(BOLD, &unit.unit),
            paint(style, word),
            paint(DIM, with)
        )?;
        for field in &unit.fields {
            writeln!(session.out, "    {}", change(field))?;
        }
    }
    if plan.same > 0 && !plan.units.is_empty() {
        let (are, stay) = if plan.same == 1 {
            ("unit", "stays")
        } else {
            ("units", "stay")
        };
        writeln!(
            session.out,
            "{}",
            paint(DIM, format_args!("= {} {are} {stay} the same", plan.same))
        )?;
    }
    Ok(())
}

fn action(action: PlanAction) -> (&'static str, &'static str, anstyle::Style) {
    match action {
        PlanAction::Same => ("=", "same", DIM),
        PlanAction::LiveUpdate => ("~", "live-update", GOOD),
        PlanAction::Reload => ("~", "reload", MOVING),
        PlanAction::Restart => ("!", "restart", MOVING),
        PlanAction::Start => ("+", "start", GOOD),
        PlanAction::Stop => ("-", "stop", BAD),
        PlanAction::Load => ("~", "load", PLAIN),
    }
}

pub(super) fn change(field: &FieldChange) -> String {
    let value = |value: &Option<String>, style| match value {
        Some(text) => paint(style, harmless(text)),
        None => paint(DIM, "not set"),
    };
    let (before, after) = (value(&field.before, render::PLAIN), value(&field.after, BOLD));
    format!("{}: {before} -> {after}", field.key)
}
