//! What a run leaves is taken away: its directories, its helpers, its cgroup.

use std::time::Duration;

use super::Supervisor;
use super::children::signal;
use super::clock;
use super::lives::Life;
use super::poll::Who;
use crate::engine::event::{Event, Mono};
use crate::engine::{RunId, UnitId};
use crate::unit::{KillMode, Kind, Signal, Unit};

/// The first pause before a cgroup that is still busy is looked at again; it doubles up to a second.
const RETRY_FIRST: Duration = Duration::from_millis(2);
const RETRY_MAX: Duration = Duration::from_secs(1);

/// The log process has this long to write a run's last lines before its end is told.
pub const FLUSH_WAIT_MAX: Duration = Duration::from_millis(250);

impl Supervisor {
    /// Carries [`crate::engine::Action::Release`] out.
    pub(super) fn release(&mut self, run: RunId, keep: bool, again: bool) {
        if again {
            // Where it is allowed to write is the next one's alone.
            self.requests.let_go_of_namespaces(run.unit);
        } else {
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
        life.another_follows = again;
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
    pub(super) fn try_remove(&mut self, unit: UnitId) {
        let Some(life) = self.lives.get_mut(&unit) else { return };
        if !life.helpers().is_empty() || life.started().next().is_some() || life.flushing {
            return;
        }
        if self.leaves_bridge(unit) {
            return;
        }
        let is_empty = |life: &Life| life.group.as_ref().is_none_or(|group| group.begin_to_remove().is_ok());
        if self
            .lives
            .get(&unit)
            .is_some_and(|life| !life.another_follows && is_empty(life))
        {
            self.answer_ran(unit);
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
}

fn spares_leftovers(unit: &Unit) -> bool {
    matches!(&unit.kind, Kind::Service(service) if matches!(service.kill.mode, KillMode::Process | KillMode::None))
}

/// When a cgroup that is still busy is looked at next, and the pause until then.
pub(super) fn next_retry(last: Option<(Mono, Duration)>) -> (Mono, Duration) {
    let pause = last.map_or(RETRY_FIRST, |(_, pause)| (pause * 2).min(RETRY_MAX));
    (Mono(clock::mono().0 + pause), pause)
}
