//! The first wish: the target that boots and, on a machine where that cannot be had, a shell to mend it with.

use super::Supervisor;
use super::files::RESCUE;
use crate::engine::event::{Cause, Event, Verb};
use crate::init::Role;

impl Supervisor {
    /// Starts the default target. On a machine where that is refused, since it is not there, not valid, masked or in a cycle,
    /// the rescue target takes its place: nobody could get in otherwise. One that something is in the way of has begun, and
    /// with it the logins that it wants.
    pub(super) fn start_default_target(&mut self) {
        let name = self.settings.default_target.clone();
        let Err(why) = self.start_at_boot(&name) else { return };
        tracing::error!("default target {name}: {why}");
        if self.role != Role::Machine {
            return;
        }
        tracing::error!("starting {RESCUE} in its place");
        if let Err(why) = self.start_at_boot(RESCUE) {
            tracing::error!("{RESCUE}: {why}");
        }
    }

    /// Starts a unit, or tells why that is refused.
    fn start_at_boot(&mut self, name: &str) -> Result<(), String> {
        let unit = self.find_or_instantiate(name).ok_or_else(|| self.why_missing(name))?;
        let (verb, by, job) = (Verb::Start, Cause::Boot, None);
        if let Some(why) = self.engine.refusal(unit, verb) {
            return Err(why.into());
        }
        self.queue.push_back(Event::Ask { job, unit, verb, by });
        self.settle();
        Ok(())
    }

    /// What is wrong with a unit's files.
    fn why_missing(&self, name: &str) -> String {
        let mut findings = self.files.findings.iter();
        let its = findings.find(|finding| finding.unit.as_ref().is_some_and(|unit| unit.as_str() == name));
        its.map_or_else(
            || "no such unit".to_owned(),
            |its| format!("{}:{}: {}", its.file, its.line, its.message),
        )
    }
}
