//! All that is counted for one unit, as a client sees it: `svc stats` and `svc top`. Bytes, microseconds, counts since the
//! run began. What nobody counts here is absent (null).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::view::State;

/// One reading of one unit.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct UnitStats {
    /// Its name.
    pub unit: String,
    /// Where it stands.
    pub state: State,
    /// Its processes are stopped where they are: `svc freeze`.
    pub frozen: bool,
    /// Below the cgroup mount; none while it has no cgroup.
    pub cgroup: Option<String>,
    /// CPU time.
    pub cpu: CpuStats,
    /// Memory.
    pub memory: MemoryStats,
    /// By block device, `MAJOR:MINOR`; none where no controller counts it.
    pub io: Option<Vec<IoStats>>,
    /// Processes and threads.
    pub pids: PidsStats,
    /// What went over its port of the bridge; none where it has none.
    #[serde(default)]
    pub network: Option<super::network::NetworkStats>,
    /// The class that what it sends has, `10:1`; none where none is in force.
    #[serde(default)]
    pub net_class: Option<String>,
    /// Likewise its priority, by interface.
    #[serde(default)]
    pub net_priority: BTreeMap<String, u32>,
    /// How long its tasks waited for `cpu`, `memory` and `io`; without those that the kernel does not keep.
    pub pressure: BTreeMap<String, Pressure>,
}

/// CPU time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct CpuStats {
    /// All of it.
    pub usage_usec: Option<u64>,
    /// In the program itself.
    pub user_usec: Option<u64>,
    /// In the kernel.
    pub system_usec: Option<u64>,
    /// `cpu-quota`, percent of one CPU.
    pub quota: Option<f64>,
    /// With a quota: periods in which it ran at all …
    pub periods: Option<u64>,
    /// … and those in which it used its quota up.
    pub throttled: Option<u64>,
    /// How long it was held back, summed over CPUs.
    pub throttled_usec: Option<u64>,
}

/// Memory.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemoryStats {
    /// In use now.
    pub current: Option<u64>,
    /// The most of this run.
    pub peak: Option<u64>,
    /// In swap now.
    pub swap: Option<u64>,
    /// `memory-max`.
    pub limit: Option<u64>,
    /// Times that it was above `memory-high`.
    pub high: Option<u64>,
    /// Times that it met `memory-max`.
    pub max: Option<u64>,
    /// Times that nothing could be reclaimed for it.
    pub oom: Option<u64>,
    /// Processes that the kernel has killed for memory.
    pub oom_kills: Option<u64>,
    /// Who has counted: `cgroup`, or `processes` where no controller does; then it is what each has resident, summed.
    pub counted_by: Option<String>,
}

/// One block device.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct IoStats {
    /// `MAJOR:MINOR`.
    pub device: String,
    /// From it.
    pub read_bytes: u64,
    /// To it.
    pub written_bytes: u64,
    /// How often.
    pub reads: u64,
    /// How often.
    pub writes: u64,
}

/// Processes and threads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PidsStats {
    /// Now.
    pub current: Option<u64>,
    /// The most of this run.
    pub peak: Option<u64>,
    /// `pids-max`.
    pub limit: Option<u64>,
    /// Forks that the limit has refused.
    pub refused: Option<u64>,
}

/// Pressure stall information of one resource.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Pressure {
    /// Time in which some task waited.
    pub some: Stall,
    /// Time in which all did; older kernels do not keep it for the CPU.
    pub full: Option<Stall>,
}

/// Percent of the last 10, 60 and 300 seconds, and all of it in microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Stall {
    pub avg10: f64,
    pub avg60: f64,
    pub avg300: f64,
    pub total_usec: u64,
}

/// What a unit uses, as its cgroup counts it. None: that controller is not there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// Bytes.
    pub memory: Option<u64>,
    /// Bytes; the most of this run.
    pub memory_peak: Option<u64>,
    /// Microseconds of CPU time of this run.
    pub cpu_usec: Option<u64>,
    /// Processes and threads.
    pub tasks: Option<u64>,
}
