//! [`Action::Spawn`](crate::engine::Action::Spawn), carried out: the cgroup, the holder of the namespaces, the command.

use std::os::fd::{AsFd, BorrowedFd};
use std::rc::Rc;

use rustix::io::Errno;

use super::Supervisor;
use super::groups::lacks_list_of_devices;
use super::lives::{Life, Process};
use super::poll::{Source, Who};
use crate::cgroup::{Delegated, Group};
use crate::engine::event::{Event, Role, SpawnFailure, SpawnFailureKind};
use crate::engine::{RunId, UnitId};
use crate::sandbox::{self, Context, OwnGroup, Promise, Sandbox};
use crate::unit::{Command, Kind, Output, Service, Unenforceable, Unit};

impl Supervisor {
    /// Starts a command, or says why not by an event.
    pub(super) fn spawn(&mut self, run: RunId, role: Role) {
        if let Err(failure) = self.try_spawn(run, role) {
            self.queue.push_back(Event::SpawnFailed { run, role, failure });
        }
    }

    fn try_spawn(&mut self, run: RunId, role: Role) -> Result<(), SpawnFailure> {
        let unit = self.engine.run_unit(run).cloned().ok_or_else(|| step("unit", 0))?;
        let service = match &unit.kind {
            Kind::Service(service) => service,
            Kind::Mount(mount) => return self.spawn_mount(run, role, &unit, mount),
            Kind::Masked | Kind::Target | Kind::Slice(_) => return Err(step("unit", 0)),
        };
        self.ensure_life(run, &unit, service)?;
        self.wake(run.unit);
        if role == Role::Probe {
            return self.start_probe(run.unit);
        }
        // With what an image says.
        let unit = self.lives.get(&run.unit).map_or(unit, |life| Rc::clone(&life.unit));
        let Kind::Service(service) = &unit.kind else {
            return Err(step("unit", 0));
        };
        let command = role.command(service).ok_or_else(|| step("command", 0))?;
        let wants_log = service.standard_output == Output::Log || service.standard_error == Output::Log;
        if wants_log && !self.writes_to_caller(run.unit, Who::Command(role)) {
            self.outputs
                .ensure(&unit.name, &service.log)
                .map_err(|error| from_io("log pipe", &error))?;
        }
        if self.joins_bridge(run, role)? {
            return Ok(());
        }
        let life = self.lives.get_mut(&run.unit).ok_or_else(|| step("unit", 0))?;
        if !life.sandbox.needs_holder() {
            return self.start_process(run.unit, Who::Command(role), Some(command), None);
        }
        match &life.holder {
            Some(holder) if holder.report.is_none() => {
                self.start_process(run.unit, Who::Command(role), Some(command), None)
            }
            Some(_) => {
                life.queued = Some(role);
                Ok(())
            }
            None => {
                life.queued = Some(role);
                self.start_process(run.unit, Who::Holder, None, None).inspect_err(|_| {
                    if let Some(life) = self.lives.get_mut(&run.unit) {
                        life.queued = None;
                    }
                })
            }
        }
    }

    /// A child has found that the unit cannot have a key: where it may do without, it starts again so. False: it may not.
    pub(super) fn starts_without(&mut self, unit: UnitId, who: Who, failure: &SpawnFailure) -> bool {
        let Some(life) = self.lives.get_mut(&unit) else {
            return false;
        };
        let role = match who {
            Who::Holder => life.queued,
            Who::Command(role) => Some(role),
            Who::Proxy | Who::Sweeper | Who::Session(_) => None,
        };
        let found = failure.kind == SpawnFailureKind::Unenforceable;
        let (Some(role), true) = (role, found && life.do_without(&failure.step, &failure.detail)) else {
            return false;
        };
        let run = life.run;
        // It ends by itself, and is reaped as orphans are.
        drop(self.take_process(unit, who));
        self.spawn(run, role);
        true
    }

    /// Makes the run's place: its cgroup with its limits, taken over from the run before where that was kept.
    fn ensure_life(&mut self, run: RunId, unit: &Rc<Unit>, service: &Service) -> Result<(), SpawnFailure> {
        if let Some(life) = self.lives.get(&run.unit).filter(|life| life.run == run) {
            return life.refused.clone().map_or(Ok(()), |why| Err(unenforceable(why)));
        }
        let dressed = self.dressed(unit).map_err(|error| SpawnFailure {
            detail: error.to_string().into(),
            ..step("root image", 0)
        })?;
        let sandbox = self.sandboxes.decide(service, &self.kernel).map_err(unenforceable)?;
        // The engine lets no group be kept for another definition than it was made for.
        let mut kept = self.lives.remove(&run.unit);
        if let Some(life) = &mut kept {
            Self::unwatch_oom(&mut self.poll, life);
        }
        let (group, holder, proxy, dynamic_user, sessions, notify, port) = kept.map_or_else(Default::default, |life| {
            (
                life.group,
                life.holder,
                life.proxy,
                life.dynamic_user,
                life.sessions,
                life.notify,
                life.port,
            )
        });
        let dynamic_user = match dynamic_user {
            None if service.dynamic_user => {
                let taken = self.dynamic_users.take(&unit.name);
                Some(taken.map_err(|error| from_io("dynamic-user", &error))?)
            }
            kept => kept,
        };
        let group = match group {
            Some(group) => group,
            None => self.begin_group(unit, service)?,
        };
        let life = Life {
            holder,
            proxy,
            dynamic_user,
            sessions,
            notify,
            port,
            ..self.new_life(run, &dressed, group, sandbox)
        };
        self.lives.insert(run.unit, life);
        self.watch_oom(run.unit);
        self.listen_to(run.unit, None)
    }

    /// A run in its group, with nothing under way yet.
    pub(super) fn new_life(&self, run: RunId, unit: &Rc<Unit>, group: Group, mut sandbox: Rc<Sandbox>) -> Life {
        if lacks_list_of_devices(unit, &group) {
            Rc::make_mut(&mut sandbox).make_no_nodes();
        }
        // Without cgroups there is none to keep, only to tell what is not held.
        let unheld = match self.tree.unavailable() {
            Some(_) => group.enforcement().to_vec(),
            None => Vec::new(),
        };
        let group = self.tree.unavailable().is_none().then_some(group);
        let life = Life::new(run, Rc::clone(unit), group, sandbox);
        Life { unheld, ..life }
    }

    /// Clones the holder or a command, and waits for its report and its end.
    pub(super) fn start_process(
        &mut self,
        unit: UnitId,
        who: Who,
        command: Option<&Command>,
        instead: Option<&Service>,
    ) -> Result<(), SpawnFailure> {
        let promise = self.promise_group(unit, who, command)?;
        let user_range = self.user_range_of(unit)?;
        let network = self.network_ahead(unit, who);
        let life = self.lives.get(&unit).ok_or_else(|| step("unit", 0))?;
        let Kind::Service(own) = &life.unit.kind else {
            return Err(step("unit", 0));
        };
        let service = instead.unwrap_or(own);
        let join_files: Vec<BorrowedFd<'_>> = life.group.iter().flat_map(Group::join_files).map(AsFd::as_fd).collect();
        let is_probe = who == Who::Command(Role::Probe);
        let inside = keeper(life, who).map(|process| process.pidfd.as_fd());
        let of_unit = || self.outputs.write_end(&life.unit.name);
        let output = if is_probe { life.probes.output() } else { of_unit() };
        let attachment = self
            .caller_of(unit, who)
            .and_then(|client| self.requests.attached.get(&client));
        let dynamic_user = life.dynamic_user.as_ref().filter(|_| service.dynamic_user);
        let links = self.links_for(life);
        let context = Context {
            links: links.as_ref().map(|links| links as &dyn sandbox::Connector),
            names: self.names_for(life),
            joined: self.joined_of(life)?,
            network: network.as_ref().map(AsFd::as_fd),
            roots: &super::sweep::roots(&self.config),
            unit: &life.unit,
            service,
            kernel: &self.kernel,
            sandbox: &life.sandbox,
            dynamic_user: dynamic_user.map(|user| user.id),
            user_range,
            join_files: &join_files,
            promised: promise.as_ref().map(Promise::to_child),
            own_groups: life.group.iter().flat_map(Group::delegated).map(own_group).collect(),
            step_beside: life.group.as_ref().and_then(Group::step_beside),
            reads_input: matches!(who, Who::Command(Role::Condition(_) | Role::Pre(_) | Role::Main(_))),
            output,
            notify: self.notify_directory(life),
            descriptors: [self.descriptors_of(unit, who, life), self.stored_of(unit, who)].concat(),
            attached: attachment.map(|attachment| attachment.given(output)),
            reaper: self.reaper.as_fd(),
            environment: self.environment_of(unit, who),
            nofile: self.nofile,
            inherited: &self.inherited,
        };
        let setup = match (command, service.health.target()) {
            (Some(command), _) => sandbox::command(&context, command, inside),
            (None, Some(target)) if is_probe => sandbox::probe(&context, target, inside),
            (None, _) => sandbox::holder(&context),
        };
        let into = life.group.as_ref().and_then(|group| match who {
            Who::Holder | Who::Command(Role::Main(_)) => group.clone_into(),
            Who::Command(_) | Who::Session(_) | Who::Proxy | Who::Sweeper => group.clone_beside(),
        });
        let ports = self.ports_of_others(unit);
        let child = sandbox::start(&setup, into, &ports).map_err(|error| from_io("clone", &error))?;
        if let Some(promise) = promise
            && !self.keep_promise(unit, promise, &child)?
        {
            return self.start_process(unit, who, command, instead);
        }
        self.drop_connection(unit, who);
        self.watch_process(unit, who, child)
    }

    /// The client whose streams a process has.
    pub(super) fn caller_of(&self, unit: UnitId, who: Who) -> Option<u64> {
        match who {
            Who::Session(client) => Some(client),
            Who::Command(Role::Main(0)) => self.requests.runner_of(unit),
            Who::Command(_) | Who::Holder | Who::Proxy | Who::Sweeper => None,
        }
    }

    pub(super) fn watch_process(&mut self, unit: UnitId, who: Who, child: sandbox::Child) -> Result<(), SpawnFailure> {
        let watched = self
            .poll
            .add(&child.pidfd, Source::Process(unit, who))
            .and_then(|token| match self.poll.add(&child.report, Source::Report(unit, who)) {
                Ok(report) => Ok((token, report)),
                Err(error) => {
                    self.poll.remove(&child.pidfd, token);
                    Err(error)
                }
            });
        let (token, report) = watched.map_err(|error| {
            // A process that cannot be watched must not be: it is reaped as an orphan.
            super::children::signal(&child.pidfd, crate::unit::Signal::KILL);
            SpawnFailure {
                kind: kind_of(error as i32),
                ..step("watch", error as i32)
            }
        })?;
        self.owners.insert(child.pid, (unit, who));
        let process = Process {
            pid: child.pid,
            pidfd: child.pidfd,
            token,
            report: Some((child.report, report)),
            failed: false,
        };
        if let Some(life) = self.lives.get_mut(&unit) {
            life.put(who, process);
        }
        Ok(())
    }
}

/// Whose namespaces a process enters. Where nobody keeps them, those of the main process are where a client's command belongs.
fn keeper(life: &Life, who: Who) -> Option<&Process> {
    match who {
        Who::Session(_) | Who::Command(Role::Probe) if life.holder.is_none() && life.sandbox.has_namespaces() => {
            life.main()
        }
        Who::Session(_) | Who::Holder | Who::Proxy | Who::Sweeper | Who::Command(_) => life.holder.as_ref(),
    }
}

fn own_group(delegated: &Delegated) -> OwnGroup<'_> {
    OwnGroup {
        dir: delegated.as_fd(),
        mount: &delegated.mount,
        path: &delegated.path,
        given: delegated.given,
        kept: &delegated.kept,
    }
}

pub(super) fn step(what: &str, errno: i32) -> SpawnFailure {
    SpawnFailure {
        step: what.into(),
        errno,
        detail: Box::default(),
        kind: SpawnFailureKind::Step,
    }
}

pub(super) fn from_io(what: &str, error: &std::io::Error) -> SpawnFailure {
    let errno = error.raw_os_error().unwrap_or(0);
    SpawnFailure {
        kind: kind_of(errno),
        ..step(what, errno)
    }
}

/// A key that cannot be held; a shortage met on the way to it is only that.
pub(super) fn unenforceable(refused: Unenforceable) -> SpawnFailure {
    let kind = match kind_of(refused.errno) {
        SpawnFailureKind::Transient => SpawnFailureKind::Transient,
        SpawnFailureKind::Step | SpawnFailureKind::Unenforceable => SpawnFailureKind::Unenforceable,
    };
    SpawnFailure {
        step: refused.key,
        errno: refused.errno,
        detail: refused.cause,
        kind,
    }
}

/// A transient shortage, or a step that will fail again.
pub fn kind_of(errno: i32) -> SpawnFailureKind {
    const SHORT: [Errno; 4] = [Errno::AGAIN, Errno::NOMEM, Errno::MFILE, Errno::NFILE];
    if SHORT.iter().any(|short| short.raw_os_error() == errno) {
        SpawnFailureKind::Transient
    } else {
        SpawnFailureKind::Step
    }
}
