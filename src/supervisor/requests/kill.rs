//! Signals that a client has sent: to the main processes of units, or to all.

use crate::control::call::Whom;
use crate::control::reply::{Failure, reply};
use crate::control::{returns, view};
use crate::engine::action::Scope;
use crate::engine::event::Event;
use crate::supervisor::Supervisor;
use crate::supervisor::clients::Peer;
use crate::unit::Signal;

impl Supervisor {
    pub(super) fn kill_units(
        &mut self,
        names: &[String],
        signal: Signal,
        whom: Whom,
        peer: &Peer,
    ) -> Result<Vec<u8>, Failure> {
        let scope = match whom {
            Whom::Main => Scope::Main,
            Whom::All => Scope::All,
        };
        let mut outcomes = Vec::new();
        for unit in self.named(names, false)? {
            let by = peer.cause();
            if self.lives.get(&unit).is_some() {
                // Before any end that it leads to.
                self.handle(Event::Signalled { unit, signal, by });
            }
            self.signal_unit(unit, scope, signal);
            outcomes.push(self.outcome_without_answer(unit, view::OutcomeKind::Done));
        }
        Ok(reply(
            &returns::Outcomes {
                outcomes,
                progress: None,
            },
            false,
        ))
    }
}
