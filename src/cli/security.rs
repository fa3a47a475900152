//! `check --security`: what each service leaves open, and the key that closes it; no supervisor is needed.

use std::path::PathBuf;

use anstyle::Style;

use super::check;
use super::failure::{Failure, Kind};
use super::render::{BAD, BOLD, DIM, GOOD, MOVING, Table, cell, number, paint};
use super::session::Session;
use crate::unit::exposure::{self, Exposure};
use crate::unit::report::Severity;

/// `svc check --security`. What is wrong with files is told as `check` does it; services of good ones are weighed. One
/// service is told of in full, several in a line each, the most exposed first.
///
/// # Errors
/// [`Failure`]; of the kind [`Kind::Failed`] after errors in files were printed.
pub fn run(session: &mut Session<'_>, paths: &[PathBuf]) -> Result<(), Failure> {
    let looked = check::look(paths)?;
    let mut all: Vec<Exposure> = looked.units.iter().filter_map(|unit| exposure::of(unit)).collect();
    all.sort_by(|one, other| other.exposure.total_cmp(&one.exposure));
    let errors = looked
        .findings
        .into_iter()
        .filter(|finding| finding.severity == Severity::Error);
    let errors: Vec<_> = errors.collect();
    check::draw(&errors, session.err)?;
    if session.json {
        session.print_json(&all)?;
    } else {
        match all.as_slice() {
            [] => writeln!(session.out, "no service")?,
            [one] => in_full(session, one)?,
            several => in_lines(session, several)?,
        }
    }
    match errors.is_empty() {
        true => Ok(()),
        false => Err(Failure::told(Kind::Failed)),
    }
}

fn in_full(session: &mut Session<'_>, of: &Exposure) -> Result<(), Failure> {
    let score = paint(style(of), format_args!("{:.1} of 10, {}", of.exposure, of.rating));
    writeln!(session.out, "{}: {score}", paint(BOLD, &of.unit))?;
    if of.open.is_empty() {
        return Ok(());
    }
    let mut table = Table::new(&["OPEN", "KEY", "IT", "WHAT CLOSES IT"]);
    for open in &of.open {
        table.row(vec![
            number(Some(format!("{:.2}", open.exposure))),
            cell(&open.key).style(BOLD),
            cell(&open.what),
            cell(open.fix).style(DIM),
        ]);
    }
    table.print(session.out)?;
    Ok(())
}

fn in_lines(session: &mut Session<'_>, all: &[Exposure]) -> Result<(), Failure> {
    let mut table = Table::new(&["UNIT", "OF 10", "RATING", "WIDEST"]);
    for of in all {
        let widest = of
            .open
            .first()
            .map_or_else(String::new, |open| format!("{}: {}", open.key, open.what));
        table.row(vec![
            cell(&of.unit).style(BOLD),
            number(Some(format!("{:.1}", of.exposure))).style(style(of)),
            cell(of.rating).style(style(of)),
            cell(widest),
        ]);
    }
    table.print(session.out)?;
    Ok(())
}

fn style(of: &Exposure) -> Style {
    match of.rating {
        "perfect" | "safe" | "ok" => GOOD,
        "medium" => MOVING,
        _ => BAD,
    }
}
