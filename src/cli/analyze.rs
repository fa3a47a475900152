//! `analyze`: how long it took until units were up, in a line, as a list, as a chain, as a chart.

use std::collections::HashMap;

use super::arguments::Analysis;
use super::failure::{Failure, Kind};
use super::render::{self, BOLD, DIM, Table, cell, number, paint, state_style};
use super::session::Session;
use crate::control::Request;
use crate::control::returns::Timings;
use crate::control::view::UnitTiming;

mod plot;

/// `svc analyze [blame | critical-chain [UNIT] | plot]`.
///
/// # Errors
/// [`Failure`].
pub fn run(session: &mut Session<'_>, way: Option<Analysis>) -> Result<(), Failure> {
    let timings: Timings = session.ask("analyze", &Request::Timings)?;
    if session.json {
        return session.print_json(&timings);
    }
    match way {
        None => summary(session, &timings),
        Some(Analysis::Blame) => blame(session, &timings),
        Some(Analysis::CriticalChain { unit }) => critical_chain(session, &timings, unit),
        Some(Analysis::Plot) => Ok(session.out.write_all(plot::svg(&timings).as_bytes())?),
    }
}

fn summary(session: &mut Session<'_>, timings: &Timings) -> Result<(), Failure> {
    writeln!(session.out, "{}", headline(timings))?;
    let slowest = timings.units.iter().filter(|unit| unit.kind != "target");
    if let Some((took, unit)) = slowest
        .filter_map(|unit| Some((took(unit)?, unit)))
        .max_by_key(|(took, _)| *took)
    {
        let count = timings.units.iter().filter(|unit| unit.ready_usec.is_some()).count();
        let unit = paint(render::unit_style(&unit.unit), &unit.unit);
        writeln!(
            session.out,
            "{count} units came up, the slowest of them {unit} in {}",
            span(took)
        )?;
    }
    Ok(())
}

/// `kernel 1.204s + svcd 312ms = 1.516s until default was ready`.
fn headline(timings: &Timings) -> String {
    let target = timings.units.iter().find(|unit| unit.unit == timings.target);
    let Some(ready) = target.and_then(|target| target.ready_usec) else {
        let state = target.map_or("not started", |target| target.state.word());
        return format!(
            "{} is {state}, {} after svcd began",
            timings.target,
            span(timings.now_usec)
        );
    };
    match timings.kernel_usec {
        Some(kernel) => format!(
            "kernel {} + svcd {} = {} until {} was ready",
            span(kernel),
            span(ready),
            span(kernel.saturating_add(ready)),
            timings.target
        ),
        None => format!("svcd {} until {} was ready", span(ready), timings.target),
    }
}

fn blame(session: &mut Session<'_>, timings: &Timings) -> Result<(), Failure> {
    let mut units: Vec<&UnitTiming> = timings.units.iter().filter(|unit| unit.kind != "target").collect();
    units.sort_by_key(|unit| std::cmp::Reverse(took(unit)));
    let mut table = Table::default();
    for unit in units {
        let state = match unit.ready_usec {
            Some(_) => cell(""),
            None => cell(unit.state.word()).style(state_style(unit.state)),
        };
        table.row(vec![number(took(unit).map(span)), cell(&unit.unit), state]);
    }
    Ok(table.print(session.out)?)
}

fn critical_chain(session: &mut Session<'_>, timings: &Timings, unit: Option<String>) -> Result<(), Failure> {
    let last = unit.as_ref().unwrap_or(&timings.target);
    let chain = chain(timings, last);
    if chain.is_empty() {
        let why = format!(
            "it has not been started since svcd began, {} ago",
            span(timings.now_usec)
        );
        return Err(Failure::new(Kind::Failed, format!("analyze {last}"), why));
    }
    let legend = "@ when it was ready, + how long it took from the moment that nothing stood in its way";
    writeln!(session.out, "{}", paint(DIM, legend))?;
    for (depth, unit) in chain.iter().enumerate() {
        let lead = match depth {
            0 => String::new(),
            _ => format!("{:1$}└─ ", "", (depth - 1) * 3),
        };
        let times = match (unit.ready_usec, took(unit)) {
            (Some(ready), Some(took)) => format!("@{} +{}", span(ready), span(took)),
            _ => paint(state_style(unit.state), unit.state.word()),
        };
        writeln!(session.out, "{}{} {times}", paint(DIM, lead), paint(BOLD, &unit.unit))?;
    }
    Ok(())
}

/// From a unit back over the ones that released it, each last one, to the one that waited for nobody.
fn chain<'a>(timings: &'a Timings, last: &str) -> Vec<&'a UnitTiming> {
    let mut by_name: HashMap<&str, &UnitTiming> = timings.units.iter().map(|unit| (&*unit.unit, unit)).collect();
    let mut chain = Vec::new();
    // Each is taken once, whatever the supervisor says.
    let mut next = by_name.remove(last);
    while let Some(unit) = next {
        chain.push(unit);
        next = unit.released_by.as_deref().and_then(|by| by_name.remove(by));
    }
    chain
}

/// How long a unit took. None: it never was ready.
fn took(unit: &UnitTiming) -> Option<u64> {
    Some(unit.ready_usec?.saturating_sub(unit.starting_usec))
}

/// Microseconds as people compare them: `0.42ms`, `312ms`, `1.204s`, `2m 5s`.
fn span(microseconds: u64) -> String {
    let milliseconds = microseconds as f64 / 1000.0;
    match microseconds {
        0..10_000 => format!("{milliseconds:.2}ms"),
        10_000..1_000_000 => format!("{milliseconds:.0}ms"),
        1_000_000..60_000_000 => format!("{:.3}s", milliseconds / 1000.0),
        _ => render::stretch(i64::try_from(microseconds / 1000).unwrap_or(i64::MAX)),
    }
}

#[cfg(test)]
mod tests;
