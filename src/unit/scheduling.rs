//! How a service's processes share the machine with the others: CPUs, disks, timers, memory that runs out.

use std::time::Duration;

use serde::Serialize;

use super::value::{self, NumberList};

/// The keys of `[service]` about it. None: what svcd itself has.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Scheduling {
    /// -20 to 19.
    pub nice: i8,
    /// -1000 to 1000.
    pub oom_score_adj: i16,
    /// sched(7).
    pub cpu_scheduling_policy: CpuPolicy,
    /// Of the real-time policies, 1 to 99; None: 1.
    pub cpu_scheduling_priority: Option<u8>,
    /// The CPUs that it may run on.
    pub cpu_affinity: Option<NumberList>,
    /// Rounded to nanoseconds.
    #[serde(serialize_with = "value::serialize_some_duration")]
    pub timer_slack: Option<Duration>,
    /// ioprio_set(2).
    pub io_scheduling_class: Option<IoClass>,
    /// Within the class, from the highest, 0, to 7; None: 4.
    pub io_scheduling_priority: Option<u8>,
}

/// The policies of sched(7) that take no further parameters than a priority.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs)]
pub enum CpuPolicy {
    #[default]
    Other,
    Batch,
    Idle,
    Fifo,
    Rr,
}

impl CpuPolicy {
    /// Each with its word.
    pub const WORDS: [(&str, Self); 5] = [
        ("other", Self::Other),
        ("batch", Self::Batch),
        ("idle", Self::Idle),
        ("fifo", Self::Fifo),
        ("rr", Self::Rr),
    ];

    /// Before all that is not.
    pub fn is_realtime(self) -> bool {
        matches!(self, Self::Fifo | Self::Rr)
    }
}

/// The classes of ioprio_set(2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs)]
pub enum IoClass {
    BestEffort,
    Realtime,
    Idle,
}

impl IoClass {
    /// Each with its word.
    pub const WORDS: [(&str, Self); 3] = [
        ("best-effort", Self::BestEffort),
        ("realtime", Self::Realtime),
        ("idle", Self::Idle),
    ];
}
