//! Restarts: which ends are followed by one, after what delay, and how many there may be.

use std::collections::VecDeque;
use std::time::Duration;

use super::event::{End, ExitStatus, Mono};
use super::view::RunResult;
use crate::unit::{ExitMatch, GiveUp, OnUnhealthy, OomPolicy, Restart, RestartPolicy, Service, ServiceType, Signal};

/// SplitMix64 (Steele, Lea, Flood, 2014): the jitter's randomness, from a seed, so that a simulation repeats.
#[derive(Debug)]
pub struct Jitter(pub(super) u64);

impl Jitter {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// The delay before try `nth` (from 0): it doubles up to the maximum; the upper quarter of it is drawn.
    pub fn delay(&mut self, restart: &Restart, nth: u32) -> Duration {
        let factor = 1_u32.checked_shl(nth.min(31)).unwrap_or(u32::MAX);
        let full = restart.delay.saturating_mul(factor).min(restart.max_delay);
        let quarter = u64::try_from(full.as_nanos() / 4).unwrap_or(u64::MAX);
        if quarter == 0 {
            return full;
        }
        full - Duration::from_nanos(self.next() % (quarter + 1))
    }
}

/// A unit's starts within the window of its budget.
#[derive(Clone, Debug, Default)]
pub struct Budget(pub(super) VecDeque<Mono>);

impl Budget {
    /// Takes one start, if there is one left; without a budget there always is.
    pub fn take(&mut self, now: Mono, limit: Option<&GiveUp>) -> bool {
        let Some(limit) = limit else { return true };
        while self.0.front().is_some_and(|at| at.0 + limit.within <= now.0) {
            self.0.pop_front();
        }
        if self.0.len() >= usize::try_from(limit.starts).unwrap_or(usize::MAX) {
            return false;
        }
        self.0.push_back(now);
        true
    }

    /// No start is left before the window moves on.
    pub fn is_spent(&mut self, now: Mono, limit: Option<&GiveUp>) -> bool {
        let spent = !self.take(now, limit);
        if !spent && limit.is_some() {
            self.give_back();
        }
        spent
    }

    /// The last start did not count.
    pub fn give_back(&mut self) {
        self.0.pop_back();
    }

    /// An operator starts over.
    pub fn clear(&mut self) {
        self.0.clear();
    }
}

/// What an exit means: systemd.service(5), `SuccessExitStatus=`. For a oneshot no signal is a success but by that list.
pub fn judge(service: &Service, status: &ExitStatus) -> RunResult {
    // Where the unit goes on without who was killed, only the main process's own death counts.
    let counts = service.resources.oom_policy != OomPolicy::Continue || status.end == End::Signal(Signal::KILL);
    if let Some(oom) = status.oom.filter(|_| counts) {
        return RunResult::Oom {
            limit: oom.limit,
            peak: oom.peak,
        };
    }
    let listed = matches_any(&service.success_exit_status, status.end);
    match status.end {
        _ if listed => RunResult::Success,
        End::Code(0) => RunResult::Success,
        End::Code(code) => RunResult::ExitCode(code),
        End::Signal(signal) => {
            let clean = [Signal::HUP, Signal::INT, Signal::TERM, Signal::PIPE].contains(&signal);
            if clean && service.r#type != ServiceType::Oneshot {
                RunResult::Success
            } else {
                RunResult::Signal {
                    signal,
                    core: status.core,
                    by: None,
                }
            }
        }
    }
}

/// Whether a command of `exec-condition` says that the unit is not to be started, which is no failure.
pub fn is_unmet(end: End) -> bool {
    matches!(end, End::Code(1..=254))
}

fn matches_any(list: &[ExitMatch], end: End) -> bool {
    list.iter().any(|wanted| match (wanted, end) {
        (ExitMatch::Code(wanted), End::Code(code)) => *wanted == code,
        (ExitMatch::Signal(wanted), End::Signal(signal)) => *wanted == signal,
        (ExitMatch::Code(_), End::Signal(_)) | (ExitMatch::Signal(_), End::Code(_)) => false,
    })
}

/// Whether the policy starts it again after this: systemd.service(5), the table "Exit causes and the effect of the
/// Restart= settings".
pub fn follows(service: &Service, result: &RunResult, end: Option<End>) -> bool {
    let restart = &service.restart;
    if end.is_some_and(|end| matches_any(&restart.prevent_exit_status, end)) {
        return false;
    }
    if end.is_some_and(|end| matches_any(&restart.force_exit_status, end)) {
        return true;
    }
    if *result == RunResult::Unhealthy {
        return service.health.on_unhealthy == OnUnhealthy::Restart;
    }
    let success = *result == RunResult::Success;
    let abnormal = match result {
        RunResult::Signal { .. } | RunResult::Oom { .. } | RunResult::Timeout(_) | RunResult::Watchdog => true,
        RunResult::Success
        | RunResult::ExitCode(_)
        | RunResult::Spawn { .. }
        | RunResult::Protocol { .. }
        | RunResult::Unhealthy
        | RunResult::StartLimit
        | RunResult::Assert => false,
    };
    match restart.policy {
        RestartPolicy::No => false,
        RestartPolicy::OnWatchdog => *result == RunResult::Watchdog,
        // A oneshot that succeeded has done what it is for.
        RestartPolicy::Always => !(success && service.r#type == ServiceType::Oneshot),
        RestartPolicy::OnSuccess => success && service.r#type != ServiceType::Oneshot,
        RestartPolicy::OnFailure => !success,
        RestartPolicy::OnAbnormal => abnormal,
    }
}
