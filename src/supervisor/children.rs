//! The processes of each run, and the kernel's word on them, turned into events.
//!
//! Processes are watched and signalled by pidfd; a number is only ever shown to people. Orphans come to svcd as
//! PID 1 or sub-reaper, and are reaped by number right after the kernel named them: nobody else can.

use std::os::fd::AsFd;
use std::time::Duration;

use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, WaitId, WaitIdOptions, pidfd_open, waitid};

use super::Supervisor;
use super::clock;
use super::ends::reap;
use super::lives::{Life, Process};
use super::poll::{Source, Who};
use super::spawn::kind_of;
use crate::engine::event::{Event, Mono, Role, SpawnFailure, SpawnFailureKind};
use crate::engine::{RunId, UnitId};
use crate::sandbox;
use crate::sys::wait::peek_ended_child;
use crate::unit::{KillMode, Kind, Signal, Unit};

/// The first pause before a cgroup that is still busy is looked at again; it doubles up to a second.
const RETRY_FIRST: Duration = Duration::from_millis(2);
const RETRY_MAX: Duration = Duration::from_secs(1);

/// The log process has this long to write a run's last lines before its end is told.
pub const FLUSH_WAIT_MAX: Duration = Duration::from_millis(250);

impl Supervisor {
    /// A child's report pipe has something: executed, or a failed step.
    pub(super) fn on_report(&mut self, unit: UnitId, who: Who) {
        let Some(process) = self.lives.get_mut(&unit).and_then(|life| life.process(who)) else {
            return;
        };
        let Some((report, token)) = &process.report else { return };
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
        if let Some(client) = self.caller_of(unit, who) {
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

    /// Carries [`crate::engine::Action::Release`] out.
    pub(super) fn release(&mut self, run: RunId, keep: bool, again: bool) {
        if !again {
            self.let_go_of_stored(run.unit);
        }
        // A run that never got so far as to take over what the one before left ends with that.
        let Some(life) = self.lives.get_mut(&run.unit).filter(|life| life.run.nth <= run.nth) else {
            return self.queue.push_back(Event::Released { run });
        };
        life.run = run;
        (life.awaiting_empty, life.killing, life.queued) = (false, false, None);
        if let Some((pidfd, token)) = life.straggler.take() {
            self.poll.remove(&pidfd, token);
        }
        if spares_leftovers(&life.unit) && !life.members().is_empty() {
            // systemd.kill(5), KillMode=process and none: what is left goes on, in the cgroup, until the next stop.
            return self.queue.push_back(Event::Released { run });
        }
        life.keep_after_sweep = keep;
        life.port.iter_mut().for_each(|port| port.another_follows = again);
        if !self.sweep(run.unit, again) {
            self.release_swept(run, keep);
        }
    }

    /// Releases a run of which nothing is left in the file system.
    pub(super) fn release_swept(&mut self, run: RunId, keep: bool) {
        let Some(life) = self.lives.get_mut(&run.unit) else {
            return self.queue.push_back(Event::Released { run });
        };
        // A kernel from 6.14 on kills whoever is cloned into a group that cgroup.kill was once written to (it compares the
        // count of such writes with that of the parent's own group), so such a group is not used again.
        // What its service has made of a group that it manages, such as groups below with processes, is not the next run's.
        let is_its_own = life.group.as_ref().is_some_and(|group| !group.delegated().is_empty());
        let keep = keep && !life.killed && !is_its_own;
        if keep {
            self.retire_holder(run.unit);
            return self.queue.push_back(Event::Released { run });
        }
        life.releasing = true;
        if let Some(token) = self.outputs.flush(&life.unit.name) {
            // The last lines are on disk before anybody hears of the end, if the log process is not held up.
            self.flushing.insert(token, run.unit);
            life.flushing = true;
            life.retry = Some((Mono(clock::mono().0 + FLUSH_WAIT_MAX), RETRY_FIRST));
        }
        for helper in life.holder.iter().chain(&life.proxy) {
            signal(&helper.pidfd, Signal::KILL);
        }
        self.try_remove(run.unit);
    }

    /// Kills a holder, and a proxy, without waiting for their ends: the next run brings its own. They are reaped as orphans
    /// are.
    fn retire_holder(&mut self, unit: UnitId) {
        for who in [Who::Proxy, Who::Holder] {
            if let Some(helper) = self.take_process(unit, who) {
                signal(&helper.pidfd, Signal::KILL);
            }
        }
    }

    /// Removes a released run's cgroup, or tries again later: it stays busy until the kernel has put everyone away.
    fn try_remove(&mut self, unit: UnitId) {
        let Some(life) = self.lives.get_mut(&unit) else { return };
        if !life.helpers().is_empty() || life.started().next().is_some() || life.flushing {
            return;
        }
        if self.leaves_bridge(unit) {
            return;
        }
        let Some(life) = self.lives.get_mut(&unit) else { return };
        if let Some(group) = &life.group
            && let Err(error) = group.remove()
        {
            // Whoever came in since then (by `svc exec`, by hand) goes too.
            drop(group.kill_all());
            tracing::debug!("{}: cgroup: {error}", life.unit.name);
            life.retry = Some(next_retry(life.retry));
            return;
        }
        let run = life.run;
        Self::unwatch_oom(&mut self.poll, life);
        Self::stop_listening(&self.config, &mut self.poll, life);
        if let Some(rest) = self.lives.remove(&unit).and_then(Life::between_runs) {
            self.lives.insert(unit, rest);
        }
        self.queue.push_back(Event::Released { run });
    }

    /// A run's last lines are on disk.
    pub(super) fn on_last_lines(&mut self, token: u64) {
        if let Some(unit) = self.flushing.remove(&token)
            && let Some(life) = self.lives.get_mut(&unit)
        {
            life.flushing = false;
            self.look_again(unit);
        }
    }

    /// Looks again at the cgroups whose pause is over.
    pub(super) fn retry_due(&mut self, now: Mono) {
        let due: Vec<UnitId> = self
            .lives
            .iter()
            .filter(|(_, life)| life.retry.is_some_and(|(at, _)| at <= now))
            .map(|(unit, _)| *unit)
            .collect();
        for unit in due {
            if let Some(life) = self.lives.get_mut(&unit) {
                life.flushing = false;
                life.retry = Some(next_retry(life.retry));
            }
            self.look_again(unit);
        }
    }

    /// When the next pause is over.
    pub(super) fn next_retry(&self) -> Option<Mono> {
        self.lives
            .iter()
            .filter_map(|(_, life)| life.retry.map(|(at, _)| at))
            .min()
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

fn spares_leftovers(unit: &Unit) -> bool {
    matches!(&unit.kind, Kind::Service(service) if matches!(service.kill.mode, KillMode::Process | KillMode::None))
}

fn next_retry(last: Option<(Mono, Duration)>) -> (Mono, Duration) {
    let pause = last.map_or(RETRY_FIRST, |(_, pause)| (pause * 2).min(RETRY_MAX));
    (Mono(clock::mono().0 + pause), pause)
}
