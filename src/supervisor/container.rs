//! A container's main unit: what the container is for, and what it ends with.

use super::Supervisor;
use super::keep::SELF;
use crate::engine::action::Scope;
use crate::engine::event::{Cause, Event, Verb};
use crate::engine::{StateWord, UnitId};
use crate::init::Role;
use crate::unit::Signal;

/// The exit status of a container whose main unit could not be had at all, as that of `svc` (INTERFACE section 3).
const UNAVAILABLE: u8 = 78;

impl Supervisor {
    /// The main unit, by what the settings name; None where svcd is no container's first process, or none is named.
    fn main_name(&self) -> Option<&str> {
        let named = self.settings.container.main.as_deref();
        named.filter(|_| self.role == Role::Container)
    }

    fn main_unit(&self) -> Option<UnitId> {
        self.engine.find(self.main_name()?)
    }

    /// Starts the main unit, whatever else the default target starts. Without it the container has no purpose.
    pub(super) fn start_main(&mut self) {
        let Some(name) = self.main_name().map(str::to_owned) else {
            return;
        };
        match self.find_or_instantiate(&name) {
            Some(unit) => {
                self.main_began = true;
                self.keep.touch(SELF);
                self.queue.push_back(Event::Ask {
                    job: None,
                    unit,
                    verb: Verb::Start,
                    by: Cause::Boot,
                });
            }
            None => {
                tracing::error!("container: main unit {name}: no such unit");
                self.begin_shutdown(None, Cause::Boot);
            }
        }
        self.settle();
    }

    /// Passes a signal on, as a program that is a container's first process by itself would get it.
    pub(super) fn signal_main(&mut self, signal: Signal) {
        if let Some(unit) = self.main_unit() {
            self.signal_unit(unit, Scope::Main, signal);
        }
    }

    /// Ends the container once its main unit has ended, and nothing brings it back.
    pub(super) fn look_after_main(&mut self) {
        if !self.main_began || self.shutdown.is_some() {
            return;
        }
        let state = self.main_unit().and_then(|unit| self.engine.state(unit));
        if let None | Some(StateWord::Inactive | StateWord::Failed | StateWord::Skipped | StateWord::Masked) = state {
            let name = self.main_name().unwrap_or_default();
            tracing::info!("the main unit {name} has ended, and so does the container");
            self.begin_shutdown(None, Cause::Policy);
        }
    }

    /// What svcd exits with: the main unit's exit code, 128 and the signal that ended it, or 0 where there is none. One that
    /// never ran has none of its own.
    pub(super) fn main_status(&self) -> u8 {
        if self.main_name().is_none() {
            return 0;
        }
        let Some(view) = self.main_unit().and_then(|unit| self.engine.view(unit)) else {
            return UNAVAILABLE;
        };
        match (view.exit_code, view.signal) {
            (Some(code), _) => code,
            (None, Some(signal)) => 128_u8.saturating_add(signal.0),
            (None, None) if view.state == StateWord::Failed => UNAVAILABLE,
            (None, None) => 0,
        }
    }
}
