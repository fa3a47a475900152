//! The processes of each run, and the kernel's word on them, turned into events.
//!
//! Processes are watched and signalled by pidfd; a number is only ever shown to people. Orphans come to svcd as
//! PID 1 or sub-reaper, and are reaped by number right after the kernel named them: nobody else can.

use std::os::fd::AsFd;

use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, WaitId, WaitIdOptions, pidfd_open, waitid};

use super::Supervisor;
use super::ends::reap;
use super::lives::Process;
use super::poll::{Source, Who};
use super::release::next_retry;
use super::spawn::kind_of;
use crate::engine::event::{Event, Role, SpawnFailure, SpawnFailureKind};
use crate::engine::{RunId, UnitId};
use crate::sandbox;
use crate::sys::wait::peek_ended_child;
use crate::unit::Signal;

impl Supervisor {
    /// A child's report pipe has something: executed, or a failed step.
    pub(super) fn on_report(&mut self, unit: UnitId, who: Who) {
        let caller = self.caller_of(unit, who);
        let Some(process) = self.lives.get_mut(&unit).and_then(|life| life.process(who)) else {
            return;
        };
        let Some((report, token)) = &process.report else { return };
        if caller.is_some() {
            // It has just become what somebody waits for, and goes first, also where it has this processor.
            std::thread::yield_now();
        }
        let mut bytes = [0_u8; 4096];
        let count = match rustix::io::read(report, &mut bytes) {
            Ok(count) => count,
            Err(Errno::AGAIN | Errno::INTR) => return,
            Err(_) => 0,
        };
        self.poll.remove(report, *token);
        process.report = None;
        let failure = sandbox::read_report(bytes.get(..count).unwrap_or_default()).map(|failed| SpawnFailure {
            kind: match failed.unenforceable {
                true => SpawnFailureKind::Unenforceable,
                false => kind_of(failed.errno),
            },
            step: failed.what().into(),
            errno: failed.errno,
            detail: failed.detail().into(),
        });
        process.failed = failure.is_some();
        if failure
            .as_ref()
            .is_some_and(|failure| self.starts_without(unit, who, failure))
        {
            return;
        }
        if let Some(client) = caller {
            self.requests.attached.remove(&client);
        }
        match (who, failure) {
            (Who::Holder, None) => self.on_holder_ready(unit),
            (Who::Holder, Some(failure)) => self.fail_queued(unit, failure),
            (Who::Proxy, failure) => self.on_proxy_ready(unit, failure),
            (Who::Sweeper, None) => {}
            (Who::Sweeper, Some(failure)) => tracing::warn!("{}: errno {}", failure.step, failure.errno),
            (Who::Session(_), None) => {}
            (Who::Session(client), Some(failure)) => self.session_failed(client, &failure),
            (Who::Command(role), None) => {
                caller.into_iter().for_each(|client| self.hold_namespaces(client, unit));
                self.tell(unit, |run| Event::Spawned { run, role });
                self.look_after_proxy(unit);
            }
            (Who::Command(role), Some(failure)) => {
                self.note_probe(unit, role, None, &failure.step);
                self.tell(unit, |run| Event::SpawnFailed { run, role, failure });
            }
        }
    }

    pub(super) fn on_holder_ready(&mut self, unit: UnitId) {
        if self.waits_for_proxy(unit) {
            return;
        }
        let Some(life) = self.lives.get_mut(&unit) else { return };
        if let Some(role) = life.queued.take() {
            let run = life.run;
            self.spawn(run, role);
        }
    }

    /// The holder could not be had: neither can the command that waits for it.
    pub(super) fn fail_queued(&mut self, unit: UnitId, failure: SpawnFailure) {
        let Some(role) = self.lives.get_mut(&unit).and_then(|life| life.queued.take()) else {
            return;
        };
        self.tell(unit, |run| Event::SpawnFailed { run, role, failure });
    }

    fn tell(&mut self, unit: UnitId, event: impl FnOnce(RunId) -> Event) {
        if let Some(life) = self.lives.get(&unit) {
            self.queue.push_back(event(life.run));
        }
    }

    /// A process of a unit has ended.
    pub(super) fn on_process(&mut self, unit: UnitId, who: Who) {
        // What it reported before it ended comes first.
        self.on_report(unit, who);
        let Some(process) = self.lives.get_mut(&unit).and_then(|life| life.process(who)) else {
            return;
        };
        let Some((end, core)) = reap(process.pid, &process.pidfd) else {
            return;
        };
        let end = (end.unwrap_or_else(|| self.unknown_end(unit)), core);
        let Some(process) = self.take_process(unit, who) else {
            return;
        };
        match who {
            Who::Holder => self.on_holder_end(unit),
            Who::Proxy => self.on_proxy_end(unit),
            Who::Sweeper => self.on_swept(unit),
            Who::Command(role) if !process.failed => {
                let status = self.status_of(unit, role, end);
                if let Role::Main(_) = role {
                    self.requests.main_ended(unit, status.end);
                }
                self.note_probe(unit, role, Some(status.end), "");
                self.tell(unit, |run| Event::Exited { run, role, status });
            }
            Who::Session(client) if !process.failed => self.session_ended(client, end.0),
            Who::Command(_) | Who::Session(_) => {}
        }
        self.look_again(unit);
    }

    pub(super) fn take_process(&mut self, unit: UnitId, who: Who) -> Option<Process> {
        let life = self.lives.get_mut(&unit)?;
        let process = match who {
            Who::Holder => life.holder.take(),
            Who::Proxy => life.proxy.take(),
            Who::Sweeper => life.sweeper.take(),
            Who::Command(role) => {
                let place = life.commands.iter().position(|(its, _)| *its == role)?;
                Some(life.commands.swap_remove(place).1)
            }
            Who::Session(client) => {
                let place = life.sessions.iter().position(|(its, _)| *its == client)?;
                Some(life.sessions.swap_remove(place).1)
            }
        }?;
        self.owners.remove(&process.pid);
        self.poll.remove(&process.pidfd, process.token);
        if let Some((report, token)) = &process.report {
            self.poll.remove(report, *token);
        }
        Some(process)
    }

    /// A holder that ends by itself takes its namespace's processes along; their own ends tell the engine. Only a
    /// command that was still waiting for it has nobody to tell.
    pub(super) fn on_holder_end(&mut self, unit: UnitId) {
        let failure = SpawnFailure {
            step: "reaper".into(),
            errno: Errno::CHILD.raw_os_error(),
            detail: "it ended before the command began".into(),
            kind: SpawnFailureKind::Step,
        };
        self.fail_queued(unit, failure);
    }

    /// Something of the unit has ended: whoever waits for its cgroup to be empty may hear it now.
    pub(super) fn look_again(&mut self, unit: UnitId) {
        let Some(life) = self.lives.get(&unit) else { return };
        if life.awaiting_empty {
            self.check_empty(unit);
        } else if life.releasing {
            self.try_remove(unit);
        }
    }

    /// Carries [`crate::engine::Action::AwaitEmpty`] out.
    pub(super) fn await_empty(&mut self, run: RunId) {
        let Some(life) = self.lives.get_mut(&run.unit).filter(|life| life.run == run) else {
            // Nothing was ever made for this run.
            return self.queue.push_back(Event::Emptied { run });
        };
        life.awaiting_empty = true;
        self.check_empty(run.unit);
    }

    /// Tells that nobody is left, or watches one of those who are. They end in any order, and each end leads back
    /// here, so one at a time is enough; our own commands are watched anyway.
    fn check_empty(&mut self, unit: UnitId) {
        let Some(life) = self.lives.get_mut(&unit) else { return };
        if let Some((pidfd, token)) = life.straggler.take() {
            self.poll.remove(&pidfd, token);
        }
        let members = life.members();
        if members.is_empty() && life.commands.is_empty() {
            life.awaiting_empty = false;
            life.retry = None;
            let run = life.run;
            return self.queue.push_back(Event::Emptied { run });
        }
        // Without cgroup.kill, whoever was forked meanwhile got away.
        if life.killing
            && let Some(group) = &life.group
        {
            drop(group.kill_all());
        }
        if !life.commands.is_empty() {
            return;
        }
        for pid in members {
            let opened = Pid::from_raw(pid).map(|pid| pidfd_open(pid, PidfdFlags::empty()));
            // The number may be somebody else's by now: only one that is still a member is watched.
            if let Some(Ok(pidfd)) = opened
                && life.members().contains(&pid)
                && let Ok(token) = self.poll.add(&pidfd, Source::Straggler(unit))
            {
                life.straggler = Some((pidfd, token));
                return;
            }
        }
        life.retry = Some(next_retry(life.retry));
    }

    /// Reaps what is not ours by birth: orphans that the kernel handed to us. Ours are left to their pidfds.
    pub(super) fn reap_orphans(&mut self) {
        while let Ok(Some(number)) = peek_ended_child() {
            if let Some((unit, who)) = self.owners.get(&number).copied() {
                self.on_process(unit, who);
                continue;
            }
            if self.is_network_job(number) {
                self.on_network();
                continue;
            }
            let Some(pid) = Pid::from_raw(number) else { return };
            if !matches!(
                waitid(WaitId::Pid(pid), WaitIdOptions::EXITED | WaitIdOptions::NOHANG),
                Ok(Some(_))
            ) {
                return;
            }
        }
    }
}

/// Sends a signal by pidfd. One who is gone already needs none.
pub fn signal(pidfd: impl AsFd, signal: Signal) {
    if let Err(error) = crate::sys::signal::send(pidfd, signal.0)
        && error.raw_os_error() != Some(Errno::SRCH.raw_os_error())
    {
        tracing::warn!("signal {}: {error}", signal.0);
    }
}
