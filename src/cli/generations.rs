//! `generations`, and `diff` of two of them: the sets of unit files that were put in force.

use super::failure::{Failure, Kind};
use super::plan;
use super::render::{self, BAD, BOLD, DIM, GOOD, MOVING, PLAIN, Table, cell, harmless, paint};
use super::session::Session;
use super::time;
use crate::control::Request;
use crate::control::returns;
use crate::control::view::{DifferenceKind, Generation, InForce};

/// `svc generations`.
///
/// # Errors
/// [`Failure`].
pub fn list(session: &mut Session<'_>) -> Result<(), Failure> {
    let answer: returns::Generations = session.ask("generations", &Request::Generations)?;
    if session.json {
        return session.print_json(&answer.generations);
    }
    let mut table = Table::default();
    for generation in &answer.generations {
        let mark = if generation.in_force { "*" } else { " " };
        let at = time::of_contract(&generation.at).map_or_else(|| generation.at.clone(), time::local_exact);
        let units = generation.units;
        let (word, style) = state(generation);
        table.row(vec![
            cell(mark).style(GOOD),
            render::number(Some(generation.number)).style(BOLD),
            cell(at).style(DIM),
            cell(word).style(style),
            cell(format!("{units} unit{}", if units == 1 { "" } else { "s" })),
            cell(harmless(&generation.by.text)).style(DIM),
            cell(generation.why.as_deref().map(harmless).unwrap_or_default()),
        ]);
    }
    table.print(session.out)?;
    Ok(())
}

fn state(generation: &Generation) -> (&str, anstyle::Style) {
    match generation.state.as_str() {
        "good" => ("good", GOOD),
        "failed" => ("failed", BAD),
        "probation" => ("on probation", MOVING),
        _ => ("", PLAIN),
    }
}

/// `svc diff A B`.
///
/// # Errors
/// [`Failure`].
pub fn compare(session: &mut Session<'_>, before: &str, after: &str) -> Result<(), Failure> {
    let number = |text: &str| {
        let wrong = || {
            Failure::new(
                Kind::Usage,
                format!("diff {before} {after}"),
                format_args!("`{text}` is no generation"),
            )
        };
        text.parse::<u64>()
            .map_err(|_| wrong().hint("`svc generations` shows their numbers; `svc diff UNIT` is of one unit"))
    };
    let request = Request::CompareGenerations {
        before: number(before)?,
        after: number(after)?,
    };
    let answer: returns::Differences = session.ask(&format!("diff {before} {after}"), &request)?;
    if session.json {
        return session.print_json(&answer.units);
    }
    for unit in &answer.units {
        let (sign, word, style) = match unit.difference {
            DifferenceKind::Added => ("+", "added", GOOD),
            DifferenceKind::Changed => ("~", "changed", MOVING),
            DifferenceKind::Removed => ("-", "removed", BAD),
        };
        let (sign, word) = (paint(style, sign), paint(style, word));
        writeln!(session.out, "{sign} {} {word}", paint(BOLD, &unit.unit))?;
        for field in &unit.fields {
            writeln!(session.out, "    {}", plan::change(field))?;
        }
    }
    if answer.units.is_empty() {
        writeln!(session.out, "nothing differs")?;
    }
    Ok(())
}

/// What the machine at a glance says of it, where it is worth a line.
pub fn note(in_force: &InForce) -> Option<String> {
    let generation = in_force.generation;
    match &in_force.instead_of_disk {
        Some(why) => Some(instead_of_disk(generation, why)),
        None if in_force.on_probation => Some(paint(DIM, format_args!("generation {generation} is on probation"))),
        None => None,
    }
}

/// What is said where something else than the disk is in force.
pub fn instead_of_disk(generation: u64, why: &str) -> String {
    let line = format!(
        "generation {generation} is in force, and not what the files say: {}",
        harmless(why)
    );
    paint(MOVING, line)
}
