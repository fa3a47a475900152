//! `why` and `history`: what happened to units, and who or what caused it.

use super::failure::Failure;
use super::render::{self, DIM, Table, cell, harmless, paint};
use super::session::Session;
use super::time;
use crate::control::Request;
use crate::control::returns;
use crate::control::view::Entry;

/// `svc why`: the chain of causes, the last one first, each below what it led to.
///
/// # Errors
/// [`Failure`].
pub fn why(session: &mut Session<'_>, unit: String) -> Result<(), Failure> {
    let chain: returns::Chain = session.ask(&format!("why {unit}"), &Request::Why { unit })?;
    if session.json {
        return session.print_json(&chain.chain);
    }
    if chain.chain.is_empty() {
        writeln!(session.out, "nothing has happened to it yet")?;
    }
    for (nth, entry) in chain.chain.iter().enumerate() {
        let lead = if nth == 0 {
            String::new()
        } else {
            format!("{:1$}└─ ", "", (nth - 1) * 3)
        };
        // What is behind the last one is not told below it.
        let cause = if nth + 1 == chain.chain.len() {
            self::chain(entry)
        } else {
            cause(entry)
        };
        writeln!(session.out, "{}{}", paint(DIM, lead), sentence(entry, &cause))?;
    }
    Ok(())
}

fn sentence(entry: &Entry, cause: &str) -> String {
    let unit = paint(render::BOLD, &entry.unit);
    let by = paint(DIM, format_args!("by {cause}, {}", when(entry)));
    format!("{unit} {}  {by}", event(entry))
}

fn event(entry: &Entry) -> String {
    if entry.text.is_empty() {
        entry.what.clone()
    } else {
        format!("{}: {}", entry.what, harmless(&entry.text))
    }
}

fn cause(entry: &Entry) -> String {
    harmless(if entry.by.text.is_empty() {
        &entry.by.kind
    } else {
        &entry.by.text
    })
}

/// The cause, and behind it the further ones.
fn chain(entry: &Entry) -> String {
    let behind = entry
        .behind
        .iter()
        .map(|behind| format!(", {}", harmless(&behind.text)));
    std::iter::once(cause(entry)).chain(behind).collect()
}

fn when(entry: &Entry) -> String {
    time::of_contract(&entry.at).map_or_else(|| entry.at.clone(), time::local_exact)
}

/// `svc history`.
///
/// # Errors
/// [`Failure`].
pub fn history(session: &mut Session<'_>, unit: Option<String>) -> Result<(), Failure> {
    let entries: returns::Entries = session.ask("history", &Request::History { unit })?;
    if session.json {
        return session.print_json(&entries.entries);
    }
    let mut table = Table::default();
    for entry in &entries.entries {
        table.row(vec![
            cell(when(entry)).style(DIM),
            cell(&entry.unit).style(render::unit_style(&entry.unit)),
            cell(event(entry)),
            cell(chain(entry)).style(DIM),
        ]);
    }
    table.print(session.out)?;
    Ok(())
}
