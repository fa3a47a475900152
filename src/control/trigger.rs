//! What a client sees of a unit's triggers: `svc list --timers --sockets`, and the status of a unit that waits.

use serde::{Deserialize, Serialize};

/// Something that begins a run of a unit.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trigger {
    /// `timer`, `path`, `socket`.
    pub kind: String,
    /// As its unit says it: `on-calendar *-*-* 03:00:00`.
    pub what: String,
    /// When it comes next, of a timer.
    pub next: Option<String>,
    /// When it came last; none: not since the unit waits for it.
    pub last: Option<String>,
}
