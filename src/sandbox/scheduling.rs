//! How the child's processes share the machine: its own scheduling, which all that it becomes and forks has too.

use std::io;
use std::num::NonZeroU64;

use rustix::thread::{CpuSet, sched_setaffinity};

use super::report::StepFailed;
use crate::sys::scheduling::{set_io_priority, set_policy};
use crate::unit::scheduling::{CpuPolicy, IoClass, Scheduling};
use crate::unit::value::NumberList;

/// All of it but the OOM score, which is set where /proc is svcd's own.
pub fn set(wanted: &Scheduling) -> Result<(), StepFailed> {
    if wanted.nice != 0 {
        rustix::process::setpriority_process(None, i32::from(wanted.nice))
            .map_err(|error| StepFailed::new("nice", error.raw_os_error()))?;
    }
    if wanted.cpu_scheduling_policy != CpuPolicy::Other {
        let policy = match wanted.cpu_scheduling_policy {
            CpuPolicy::Other => libc::SCHED_OTHER,
            CpuPolicy::Batch => libc::SCHED_BATCH,
            CpuPolicy::Idle => libc::SCHED_IDLE,
            CpuPolicy::Fifo => libc::SCHED_FIFO,
            CpuPolicy::Rr => libc::SCHED_RR,
        };
        let priority = match wanted.cpu_scheduling_policy.is_realtime() {
            true => wanted.cpu_scheduling_priority.unwrap_or(1),
            false => 0,
        };
        set_policy(policy, i32::from(priority)).map_err(of_io("cpu-scheduling-policy"))?;
    }
    if let Some(cpus) = &wanted.cpu_affinity {
        set_affinity(cpus).map_err(|error| StepFailed::new("cpu-affinity", error.raw_os_error()))?;
    }
    if let Some(slack) = wanted.timer_slack {
        let nanoseconds = u64::try_from(slack.as_nanos()).ok().and_then(NonZeroU64::new);
        // Zero would mean the default, which is longer than the shortest.
        rustix::thread::set_current_timer_slack(Some(nanoseconds.unwrap_or(NonZeroU64::MIN)))
            .map_err(|error| StepFailed::new("timer-slack", error.raw_os_error()))?;
    }
    if let Some((class, level)) = io_priority(wanted) {
        set_io_priority(class, level).map_err(of_io("io-scheduling-class"))?;
    }
    Ok(())
}

/// EINVAL: none of them is there, or is in the unit's cpuset.
fn set_affinity(cpus: &NumberList) -> rustix::io::Result<()> {
    let mut set = CpuSet::new();
    let numbers = cpus.iter().filter_map(|number| usize::try_from(number).ok());
    // Machines with more are out of reach of this form of the call; what none has is no harm.
    numbers
        .filter(|number| *number < CpuSet::MAX_CPU)
        .for_each(|number| set.set(number));
    sched_setaffinity(None, &set)
}

/// The class and level of linux/ioprio.h; a level alone is of the class that everyone is in.
fn io_priority(wanted: &Scheduling) -> Option<(u8, u8)> {
    const LEVEL_DEFAULT: u8 = 4;
    let level = wanted.io_scheduling_priority;
    let class = wanted.io_scheduling_class.or(level.map(|_| IoClass::BestEffort))?;
    let level = level.unwrap_or(LEVEL_DEFAULT);
    Some(match class {
        IoClass::Realtime => (1, level),
        IoClass::BestEffort => (2, level),
        IoClass::Idle => (3, 0),
    })
}

/// Writes the OOM score of this process; proc(5). EACCES: only CAP_SYS_RESOURCE lowers it below where it once was.
pub fn set_oom_score(score: i16) -> Result<(), StepFailed> {
    std::fs::write("/proc/self/oom_score_adj", score.to_string()).map_err(of_io("oom-score-adj"))
}

fn of_io(what: &'static str) -> impl Fn(io::Error) -> StepFailed {
    move |error| StepFailed::new(what, error.raw_os_error().unwrap_or(0))
}
