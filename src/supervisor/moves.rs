//! The moves of units, in words.

use crate::engine::action::Change;

/// The word of [`view::Change`].
pub fn change_word(change: &Change) -> &'static str {
    match change {
        Change::Starting { .. } => "starting",
        Change::Ready => "ready",
        Change::Stopping { .. } => "stopping",
        Change::Ended { .. } => "ended",
        Change::Backoff { .. } => "backoff",
        Change::GaveUp { .. } => "gave-up",
        Change::Blocked { .. } => "blocked",
        Change::Skipped { .. } => "skipped",
        Change::Reloaded => "reloaded",
        Change::Signalled { .. } => "signalled",
        Change::Updated { .. } => "updated",
        Change::Adopted => "adopted",
        Change::Stuck => "stuck",
        Change::Refused { .. } => "refused",
        Change::Healthy => "healthy",
        Change::Unhealthy { .. } => "unhealthy",
    }
}

/// One line for people.
pub fn change_text(change: &Change) -> String {
    match change {
        Change::Starting { .. } | Change::Ready | Change::Healthy => change_word(change).to_owned(),
        Change::Stopping { .. } | Change::Reloaded => change_word(change).to_owned(),
        Change::Ended { result, .. } => format!("ended: {result}"),
        Change::Backoff { delay, nth } => format!("next try in {} (the {nth}. in a row)", rounded(*delay)),
        Change::GaveUp { starts } => format!("given up after {starts} starts"),
        Change::Blocked { by } => format!("blocked: {by}"),
        Change::Skipped { condition } => format!("skipped: {condition} does not hold"),
        Change::Signalled { signal, .. } => format!("sent {signal}"),
        Change::Updated { what, .. } => format!("updated: {what}"),
        Change::Adopted => "adopted: it ran when svcd came up".to_owned(),
        Change::Stuck => "stuck: some of its processes do not die".to_owned(),
        Change::Refused { why } => format!("refused: {why}"),
        Change::Unhealthy { failures } => format!("unhealthy: {failures} probes in a row failed"),
    }
}

/// A delay for people: to the millisecond.
fn rounded(delay: std::time::Duration) -> String {
    let below = delay.subsec_nanos() % 1_000_000;
    crate::unit::value::duration_text(delay - std::time::Duration::from_nanos(below.into()))
}
