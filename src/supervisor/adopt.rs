//! Adoption: going on from a former life. What was saved says what svcd believed, the cgroup tree and the processes say
//! what is so; where they differ the kernel is right, and the engine hears of it by events.
//!
//! A process that is there and was known goes on untouched. One that was known and is gone has ended; how is known of
//! children (they stay zombies until we look), and of others as far as the kernel tells. Processes of a unit that should
//! have none were started after the last save: they are ended, and the unit goes on from there. With nothing saved, or
//! nothing that can be read, a unit whose cgroup has processes is taken to be running.

use std::io;
use std::rc::Rc;

mod found;

use super::Supervisor;
use super::children::signal;
use super::ends::UNKNOWN_END;
use super::former::{Former, Open, Salvaged};
use super::keep::{FILES, LIVES, PIPES};
use super::kept::{KeptFiles, KeptLife, KeptPipe, KeptProcess};
use super::lives::{Life, Process};
use super::poll::{Source, Who};
use crate::cgroup::Group;
use crate::engine::action::Action;
use crate::engine::event::{Cause, End, Event, ExitStatus, Role, SpawnFailure, SpawnFailureKind};
use crate::engine::{RunId, StateWord, UnitId};
use crate::sandbox::Sandbox;
use crate::unit::{Isolation, Kind, Profile, Service, Signal, Unit};

impl Supervisor {
    /// Goes on from a former life of which the engine has been restored.
    pub(super) fn adopt(&mut self, mut former: Former, salvaged: &mut Salvaged) {
        self.since.mono = former.own.since_mono;
        self.since.wall = former.own.since_wall;
        self.main_began = former.own.main_began;
        // What is in force need not be what the files say by now.
        self.keep.take_texts(former.texts.clone());
        // Who was killed in the middle of it is started to be up again.
        let shutdown = former.own.shutdown.as_ref().filter(|_| !former.was_killed);
        shutdown
            .cloned()
            .iter()
            .for_each(|shutdown| self.restore_shutdown(shutdown));
        if let Some((_, files)) = former.section::<KeptFiles>(FILES).next() {
            self.files.restore(&files.instances, &files.passing);
            self.watch.restore_held(files.held);
            self.restore_failures(&files.failures);
        }
        let lives: Vec<(UnitId, KeptLife)> = former
            .section::<KeptLife>(LIVES)
            .filter_map(|(id, life)| Some((UnitId(id.parse().ok()?), life)))
            .collect();
        for (unit, life) in lives {
            self.adopt_life(unit, &life, &mut former);
        }
        self.adopt_pipes(&former, salvaged);
        self.adopt_groups(false, salvaged);
        self.take_over_triggers(&mut former);
        self.take_over_stores(&mut former);
        self.take_over_clients(&mut former);
        self.take_over_requests(&former);
        let units: Vec<UnitId> = self.engine.ids().collect();
        units.into_iter().for_each(|unit| self.ask_again(unit));
        let before = former.own.version.to_string();
        drop(former);
        self.settle();
        self.reload(Cause::Files);
        self.finish_generation();
        self.settle();
        self.answer_reexec(Ok(before));
        self.serve_all();
    }

    /// A run with the processes that are still there.
    fn adopt_life(&mut self, unit: UnitId, kept: &KeptLife, former: &mut Former) {
        let run = RunId { unit, nth: kept.nth };
        let definition = self.engine.run_unit(run).or_else(|| self.engine.unit(unit)).cloned();
        let Some(definition) = definition else { return };
        // Where its image is gone by now, only what is started from here on fails.
        let definition = self.dressed_as_it_began(&definition).unwrap_or(definition);
        let Some(mut life) = self.life_of(run, &definition) else {
            return;
        };
        life.queued = kept.queued;
        life.killing = kept.killing;
        life.killed = kept.killed;
        life.frozen = kept.frozen;
        life.dynamic_user = kept
            .dynamic_user
            .and_then(|id| self.dynamic_users.take_again(id, &definition.name));
        life.oom_before = kept.oom_before;
        life.invocation = kept.invocation.clone();
        for (key, why) in &kept.lacks {
            life.do_without(key, why);
        }
        self.lives.insert(unit, life);
        self.watch_oom(unit);
        let notify = kept.notify.as_ref().and_then(|notify| former.take(notify));
        if let Err(failure) = self.listen_to(unit, notify) {
            tracing::warn!("{}: {}", definition.name, failure.detail);
        }
        if let Some(holder) = &kept.holder {
            self.adopt_process(unit, Who::Holder, holder, former);
        }
        if let Some(proxy) = &kept.proxy {
            self.adopt_process(unit, Who::Proxy, proxy, former);
        }
        for (role, process) in &kept.commands {
            self.adopt_process(unit, Who::Command(*role), process, former);
        }
        for (client, process) in &kept.sessions {
            self.clients.spare(*client);
            self.adopt_process(unit, Who::Session(*client), process, former);
        }
        if self
            .lives
            .get(&unit)
            .is_some_and(|life| kept.on_bridge || life.holder.is_some() || life.started().next().is_some())
        {
            self.stays_on_bridge(unit);
            self.take_ports_back(unit, kept, former);
        }
        self.go_on_with_queued(unit);
        self.end_unexpected(unit);
    }

    fn adopt_process(&mut self, unit: UnitId, who: Who, kept: &KeptProcess, former: &mut Former) {
        let pid = kept.identity.pid;
        let Some(pidfd) = former.process(&kept.identity, &kept.pidfd) else {
            return;
        };
        let report = kept.report.as_ref().and_then(|report| former.take(report));
        // What a holder has not set up by itself, nobody can enter; and whether it has, only its report would say.
        if who == Who::Holder && kept.report.is_some() && report.is_none() && !found::is_reaper(pid) {
            return signal(&pidfd, Signal::KILL);
        }
        let watched = self.poll.add(&pidfd, Source::Process(unit, who));
        let report = report.and_then(|report| {
            let token = self.poll.add(&report, Source::Report(unit, who)).ok()?;
            Some((report, token))
        });
        let Ok(token) = watched else {
            tracing::error!("process {pid} cannot be watched");
            return;
        };
        let process = Process {
            pid,
            pidfd,
            token,
            report,
            failed: kept.failed,
        };
        self.owners.insert(pid, (unit, who));
        if let Some(life) = self.lives.get_mut(&unit) {
            life.put(who, process);
        }
    }

    /// A command that waits for its holder goes on with it, or fails with it. One that was started after the last save is
    /// in the cgroup by now: then the run has failed too, since a second one must not be.
    fn go_on_with_queued(&mut self, unit: UnitId) {
        let Some(life) = self.lives.get(&unit).filter(|life| life.queued.is_some()) else {
            return;
        };
        let started = !life.members().is_empty();
        match &life.holder {
            Some(holder) if holder.report.is_some() => {}
            Some(_) if started => self.fail_queued(unit, lost()),
            Some(_) => self.on_holder_ready(unit),
            None => self.on_holder_end(unit),
        }
    }

    /// A unit in back-off has no processes, but in a cgroup that waits for its next run they may have been started since
    /// the last save.
    fn end_unexpected(&mut self, unit: UnitId) {
        let waits = self
            .engine
            .view(unit)
            .is_some_and(|view| view.state == StateWord::Backoff);
        let next = self.engine.next_run(unit).filter(|_| waits);
        if let (Some(run), Some(life)) = (next, self.lives.get_mut(&unit))
            && !life.members().is_empty()
        {
            life.run = run;
            self.queue.push_back(Event::Found { run, alive: false });
        }
    }

    /// A run with nothing but its cgroup as it is. None: the unit is one without processes.
    fn life_of(&mut self, run: RunId, definition: &Rc<Unit>) -> Option<Life> {
        let (service, has_group) = match &definition.kind {
            Kind::Service(service) => (&**service, true),
            Kind::Mount(mount) => (&*mount.service, false),
            Kind::Masked | Kind::Target | Kind::Slice(_) => return None,
        };
        let (sandbox, refused) = match self.sandboxes.decide(service, &self.kernel) {
            Ok(sandbox) => (sandbox, None),
            Err(why) => (self.no_sandbox()?, Some(why)),
        };
        let group = if has_group {
            self.group_of(definition, service)
        } else {
            Err(io::ErrorKind::NotFound.into())
        };
        let life = match group {
            Ok(group) => self.new_life(run, definition, group, sandbox),
            Err(error) => {
                if error.kind() != io::ErrorKind::NotFound {
                    tracing::warn!("{}: cgroup: {error}", definition.name);
                }
                Life::new(run, Rc::clone(definition), None, sandbox)
            }
        };
        Some(Life { refused, ..life })
    }

    /// For a run of which no command is ever started.
    fn no_sandbox(&mut self) -> Option<Rc<Sandbox>> {
        let service = Service {
            isolation: Isolation::of(Profile::None).into(),
            ..Service::default()
        };
        self.sandboxes.decide(&service, &self.kernel).ok()
    }

    /// With the limits of the definition in force: those that changed while it ran were set then.
    fn group_of(&self, unit: &Unit, service: &Service) -> io::Result<Group> {
        let in_force = self.engine.find(unit.name.as_str()).and_then(|id| self.engine.unit(id));
        let (unit, service) = match in_force.map(|unit| (unit, &unit.kind)) {
            Some((unit, Kind::Service(service))) => (&**unit, &**service),
            Some(_) | None => (unit, service),
        };
        let adopted = self.with_place(unit, service, |slices, best_effort| {
            self.tree.adopt(&unit.name, slices, &service.resources, best_effort)
        });
        // In a slice that is gone it is nowhere.
        adopted.unwrap_or_else(|_| Err(io::ErrorKind::NotFound.into()))
    }

    /// The pipes of the units' outputs. One that only a service still has is opened there.
    fn adopt_pipes(&mut self, former: &Former, salvaged: &mut Salvaged) {
        for (name, kept) in former.section::<KeptPipe>(PIPES) {
            let Some(unit) = self.engine.find(name) else { continue };
            let Some(definition) = self.engine.unit(unit).cloned() else {
                continue;
            };
            let Kind::Service(service) = &definition.kind else {
                continue;
            };
            let members = || self.lives.get(&unit).map(Life::members).unwrap_or_default();
            let ends = salvaged
                .pipes
                .remove(&definition.name)
                .or_else(|| members().into_iter().find_map(|pid| Open::of(pid).pipe(&kept.read)));
            let Some(ends) = ends else { continue };
            if let Err(error) = self.outputs.insert(&definition.name, ends, &service.log) {
                tracing::warn!("{name}: log pipe: {error}");
            }
        }
    }

    /// Asks once more for what the engine has asked for and not heard of.
    fn ask_again(&mut self, unit: UnitId) {
        let Some((run, awaited)) = self.engine.awaited(unit) else {
            return;
        };
        if awaited.conditions {
            self.carry_out(Action::CheckConditions { run });
        }
        let life = self.lives.get(&unit).filter(|life| life.run == run);
        let has_main = life.is_some_and(|life| life.main().is_some());
        if let Some(role) = awaited.command {
            let queued = life.is_some_and(|life| life.queued == Some(role));
            match life.and_then(|life| life.command(role)) {
                Some(process) if process.report.is_none() => self.queue.push_back(Event::Spawned { run, role }),
                Some(_) => {}
                None if queued => {}
                None => self.tell_lost(run, role),
            }
        }
        if awaited.find_main {
            self.find_main(run);
        }
        if awaited.main && !has_main {
            self.tell_lost(run, Role::Main(0));
        }
        if awaited.empty {
            self.await_empty(run);
        }
        if let Some((keep, again)) = awaited.release {
            self.release(run, keep, again);
        }
    }

    /// A command has ended while nobody looked, and how is not known: on the way up it is tried again at no cost.
    fn tell_lost(&mut self, run: RunId, role: Role) {
        let starting = self
            .engine
            .view(run.unit)
            .is_some_and(|view| view.state == StateWord::Starting);
        self.queue.push_back(if starting {
            let failure = lost();
            Event::SpawnFailed { run, role, failure }
        } else {
            let status = ExitStatus {
                end: End::Code(UNKNOWN_END),
                oom: None,
                core: false,
            };
            Event::Exited { run, role, status }
        });
    }
}

fn lost() -> SpawnFailure {
    SpawnFailure {
        step: "svcd".into(),
        errno: 0,
        detail: "it went away meanwhile".into(),
        kind: SpawnFailureKind::Transient,
    }
}

#[cfg(test)]
mod tests {
    use crate::supervisor::kept::Identity;
    use crate::sys::testing::spawn;

    #[test]
    fn a_process_is_known_again_and_no_other_is_taken_for_it() {
        let one = spawn(&[c"/bin/sleep", c"1000"], None, &[], None);
        let other = spawn(&[c"/bin/sleep", c"1000"], None, &[], None);
        let identity = Identity::of(one.pid, &one.pidfd);
        assert!(identity.open().is_some());
        assert!(identity.is(&one.pidfd));
        let stranger = Identity {
            pid: other.pid,
            ..identity.clone()
        };
        assert!(stranger.open().is_none(), "{identity:?}");
        drop(one);
        assert!(identity.open().is_none());
    }
}
