//! Triggers as clients see them.

use super::sockets::Sockets;
use crate::control::view::{self, timestamp};
use crate::engine::{Armed, UnitId, UnitView};
use crate::supervisor::{Supervisor, clock};

impl Supervisor {
    /// A unit's triggers, as clients see them.
    pub(in crate::supervisor) fn triggers_of(&self, unit: UnitId) -> Vec<view::Trigger> {
        let now = clock::now();
        let timers = self.triggers.timers.get(&unit).map(|timers| timers.shown(now));
        let timers = timers.into_iter().flatten().map(|shown| view::Trigger {
            kind: "timer".to_owned(),
            what: shown.when,
            next: shown.next.map(|at| timestamp(at.0)),
            last: shown.last.map(|at| timestamp(at.0)),
        });
        let plain = |kind: &str, what: String| view::Trigger {
            kind: kind.to_owned(),
            what,
            next: None,
            last: None,
        };
        let paths = self.triggers.paths.as_ref().map(|(paths, _)| paths.shown(unit));
        let paths = paths.into_iter().flatten().map(|path| plain("path", path));
        let sockets = self.triggers.sockets.get(&unit).into_iter().flat_map(Sockets::shown);
        let sockets = sockets.map(|socket| plain("socket", socket.text()));
        timers.chain(paths).chain(sockets).collect()
    }

    /// What a unit waits for, other units or its triggers, and what it is blocked by.
    pub(in crate::supervisor) fn add_waiting(&self, status: &mut view::UnitStatus, unit: UnitId, seen: &UnitView) {
        status.triggers = self.triggers_of(unit);
        status.blocked_by = seen.blocked_by.iter().map(ToString::to_string).collect();
        status.waiting_for = seen.waiting_for.iter().map(ToString::to_string).collect();
        if self.engine.armed(unit) != Armed::Waiting {
            return;
        }
        let text = |trigger: &view::Trigger| {
            let next = trigger.next.as_ref().map(|at| format!(", next at {at}"));
            format!("{} ({}){}", trigger.kind, trigger.what, next.unwrap_or_default())
        };
        status.waiting_for.extend(status.triggers.iter().map(text));
    }
}
