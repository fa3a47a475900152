//! Actions, carried out: one match, then a file for each deed that is more than a few lines.

use super::Supervisor;
use super::children::signal;
use crate::control;
use crate::engine::action::{Action, Change, Scope};
use crate::engine::event::{Because, Cause};
use crate::engine::{RunId, UnitId};
use crate::init::Role;
use crate::unit::{Kind, Signal};

impl Supervisor {
    pub(super) fn carry_out(&mut self, action: Action) {
        match action {
            Action::CheckConditions { run } => self.check_conditions(run),
            Action::Spawn { run, role } => self.spawn(run, role),
            Action::FindMain { run } => self.find_main(run),
            Action::Kill { run, scope, signal } => self.kill(run, scope, signal),
            Action::AwaitEmpty { run } => self.await_empty(run),
            Action::Release { run, keep, again } => self.release(run, keep, again),
            Action::Arm { unit } => self.arm(unit),
            Action::Disarm { unit } => self.disarm(unit),
            Action::Watch { unit, on } => self.watch_triggers(unit, on),
            Action::Update { unit } => self.update(unit),
            Action::Answer { job, outcome } => self.answer(job, outcome),
            Action::Report { unit, what } => self.report(unit, what),
            Action::Reboot { unit } => self.reboot_for(unit),
            Action::AllStopped => self.stopped = true,
        }
    }

    fn kill(&mut self, run: RunId, scope: Scope, which: Signal) {
        if self.lives.get(&run.unit).is_some_and(|life| life.run == run) {
            self.wake(run.unit);
            self.signal_unit(run.unit, scope, self.with_image(run, which));
        }
    }

    /// Signals a unit's processes. After one that asks to end comes SIGCONT, or a stopped process could not hear it;
    /// systemd.kill(5).
    pub(super) fn signal_unit(&mut self, unit: UnitId, scope: Scope, which: Signal) {
        let Some(life) = self.lives.get(&unit) else { return };
        let with_continue = which == Signal::TERM || which == Signal::HUP;
        let signals = std::iter::once(which).chain(with_continue.then_some(Signal::CONT));
        match scope {
            Scope::Main => {
                for which in signals {
                    life.main().into_iter().for_each(|main| signal(&main.pidfd, which));
                }
            }
            Scope::Command(role) => {
                for which in signals {
                    life.command(role)
                        .into_iter()
                        .for_each(|process| signal(&process.pidfd, which));
                }
            }
            Scope::All => signals.for_each(|which| self.signal_everyone(unit, which)),
        }
    }

    fn signal_everyone(&mut self, unit: UnitId, which: Signal) {
        let Some(life) = self.lives.get_mut(&unit) else { return };
        // Between two tries the group stays for the next one: killed with nobody in it, it would be that one's end too.
        if life.holder.is_none() && life.members().is_empty() {
            return;
        }
        life.killing = which == Signal::KILL;
        life.killed |= life.killing;
        let told = match &life.group {
            Some(group) if which == Signal::KILL => group.kill_all(),
            Some(group) => group.signal_all(which, &life.helpers()),
            None => {
                life.started().for_each(|process| signal(&process.pidfd, which));
                // The end of a pid namespace's PID 1 is the end of all that is in it; pid_namespaces(7).
                if which == Signal::KILL {
                    life.holder.iter().for_each(|holder| signal(&holder.pidfd, which));
                }
                Ok(())
            }
        };
        if let Err(error) = told {
            tracing::warn!("{}: signal {}: {error}", life.unit.name, which.0);
        }
    }

    fn update(&mut self, id: UnitId) {
        let Some(unit) = self.engine.unit(id) else { return };
        if let Kind::Service(service) = &unit.kind {
            self.outputs.update(&unit.name, &service.log);
        }
        let of_run = self.lives.get(&id).and_then(|life| self.engine.run_unit(life.run));
        // Where its image is gone by now, what was said of it before counts.
        if let Some(unit) = of_run.cloned()
            && let Ok(dressed) = self.dressed_as_it_began(&unit)
            && let Some(life) = self.lives.get_mut(&id)
        {
            life.unit = dressed;
        }
        self.update_limits(id);
    }

    /// A unit that the machine is for is not well.
    fn reboot_for(&mut self, unit: UnitId) {
        let power = (self.role == Role::Machine).then_some(control::Power::Reboot);
        if power.is_none() {
            return tracing::error!("on-unhealthy = \"reboot\" is for the init of a machine, which this is not");
        }
        self.begin_shutdown(power, Cause::Unit(unit, Because::BadHealthOf));
    }

    fn report(&mut self, unit: UnitId, what: Change) {
        let Some(name) = self.engine.unit(unit).map(|unit| unit.name.clone()) else {
            return;
        };
        self.note_move(unit, &what);
        self.watch_on_probation(&name, &what);
        if matches!(what, Change::Starting { .. }) {
            self.note_start(unit);
        }
        let text = super::moves::change_text(&what);
        let failed = matches!(
            what,
            Change::GaveUp { .. }
                | Change::Stuck
                | Change::Unhealthy { .. }
                | Change::Refused { .. }
                | Change::Ended { failed: true, .. }
        );
        match (self.config.tell_moves, failed) {
            (true, true) => tracing::warn!("{name}: {text}"),
            (true, false) => tracing::info!("{name}: {text}"),
            (false, _) => {}
        }
        if matches!(what, Change::Ended { failed: false, .. }) {
            self.approve_image(unit);
        }
        self.tell_watchers(unit, super::moves::change_word(&what), &text);
        self.tell_progress(unit, &text);
    }
}
