//! The main process of a forking service: one that its first process has left behind. systemd.service(5), Type=forking.

use crate::engine::action::Action;
use crate::engine::event::{Found, Role};
use crate::engine::slot::{Ending, State};
use crate::engine::view::RunResult;
use crate::engine::{Engine, RunId, UnitId};

impl Engine {
    /// The first process has ended as it should.
    pub(super) fn look_for_main(&mut self, unit: UnitId) {
        let run = self.run_of(unit);
        if let Some(slot) = self.slot_mut(unit) {
            slot.said.forked = true;
        }
        self.out.push(Action::FindMain { run });
    }

    pub(in crate::engine) fn on_main_found(&mut self, run: RunId, found: Found) {
        let awaited = self.current(run) && self.slot(run.unit).is_some_and(|slot| slot.said.forked);
        let Some(slot) = self.slot_mut(run.unit).filter(|_| awaited) else {
            return;
        };
        slot.said.forked = false;
        if !matches!(slot.state, State::Starting { .. }) {
            return;
        }
        match found {
            Found::Process => {
                self.update_state(run.unit, |state| {
                    if let State::Starting { main_alive, .. } = state {
                        *main_alive = true;
                    }
                });
                self.after_command(run.unit, Role::Main(0));
            }
            Found::Several => self.after_command(run.unit, Role::Main(0)),
            Found::Nobody(why) => {
                let result = RunResult::Protocol { why };
                self.begin_ending(
                    run.unit,
                    Ending {
                        result,
                        ..Ending::new()
                    },
                );
            }
        }
    }
}
