//! `list --timers --sockets`: what begins a run of a unit that waits, when it comes next, and when it came last.

use serde_json::json;

use super::failure::Failure;
use super::render::{BOLD, Table, cell, harmless, number, state_style, stretch};
use super::session::Session;
use super::time;
use crate::control::Request;
use crate::control::returns;
use crate::control::view::{Trigger, UnitLine};

/// `svc list` of the triggers of these kinds, as [`Trigger::kind`] has them.
///
/// # Errors
/// [`Failure`].
pub fn list(session: &mut Session<'_>, kinds: &[&str]) -> Result<(), Failure> {
    let request = Request::List {
        all: true,
        failed: false,
    };
    let lines: returns::Lines = session.ask("list", &request)?;
    let mut found: Vec<(&UnitLine, &Trigger)> = lines
        .units
        .iter()
        .flat_map(|line| line.triggers.iter().map(move |trigger| (line, trigger)))
        .filter(|(_, trigger)| kinds.contains(&trigger.kind.as_str()))
        .collect();
    // What comes next is first; what comes by no clock is last.
    found.sort_by_key(|(line, trigger)| (trigger.next.is_none(), trigger.next.clone(), line.unit.clone()));
    if session.json {
        let object = |(line, trigger): &(&UnitLine, &Trigger)| {
            json!({
                "unit": line.unit, "state": line.state, "kind": trigger.kind, "what": trigger.what,
                "next": trigger.next, "last": trigger.last,
            })
        };
        return session.print_json(&found.iter().map(object).collect::<Vec<_>>());
    }
    if found.is_empty() {
        writeln!(session.out, "no {}", kinds.join(" and no "))?;
        return Ok(());
    }
    let now = time::now();
    let at = |text: &Option<String>| text.as_deref().and_then(time::of_contract);
    let mut table = Table::new(&["UNIT", "STATE", "NEXT", "LEFT", "LAST", "PASSED", "WHAT"]);
    for (line, trigger) in found {
        let (next, last) = (at(&trigger.next), at(&trigger.last));
        table.row(vec![
            cell(&line.unit).style(BOLD),
            cell(line.state.word()).style(state_style(line.state)),
            cell(next.map_or_else(|| "-".to_owned(), time::local)),
            number(next.map(|next| stretch((next - now) / 1000))),
            cell(last.map_or_else(|| "-".to_owned(), time::local)),
            number(last.map(|last| stretch((now - last) / 1000))),
            cell(harmless(&trigger.what)),
        ]);
    }
    table.print(session.out)?;
    Ok(())
}
