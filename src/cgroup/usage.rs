//! What the kernel has counted for a group.
#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "one limit is looked for, whatever is added to the enum"
)]

use std::io;
use std::time::Duration;

use super::group::Group;
use super::layout::Version;
use super::limits::{Limit, Quota, quota};

/// One limit with what is used of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Usage {
    /// `memory-max`; where there are several, with what it is for: `hugetlb-max.2MB`.
    pub key: Box<str>,
    /// Bytes or tasks; of `cpu-quota`: microseconds of CPU time in each second, so that 20 % is 200,000; of
    /// `cpu-weight`: the weight. None: the kernel does not say.
    pub limit: Option<u64>,
    /// What is in use now. None: no such thing, or the kernel does not say.
    pub current: Option<u64>,
    /// The most that was in use since the group was made.
    pub peak: Option<u64>,
    /// With `cpu-quota`: how the quota was felt.
    pub throttled: Option<Throttled>,
}

/// How often a group ran into its CPU quota. cpu.stat in cgroup-v2 and sched-bwc.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Throttled {
    /// Periods in which the group ran at all.
    pub periods: u64,
    /// Periods in which it used its quota up.
    pub count: u64,
    /// How long it was held back, summed over CPUs.
    pub time: Duration,
}

impl Group {
    /// Each limit of the unit that is in force and is one number, in the order of the keys.
    pub fn usage(&self) -> Vec<Usage> {
        self.held()
            .filter_map(|(place, limit)| self.usage_of(place, limit))
            .collect()
    }

    fn usage_of(&self, place: usize, limit: &Limit) -> Option<Usage> {
        let mut usage = Usage {
            key: limit.key().into(),
            limit: None,
            current: None,
            peak: None,
            throttled: None,
        };
        match limit {
            Limit::CpuQuota(percent, period) => {
                let per_second = |Quota { time, period }| (time * 1_000_000_u64).checked_div(period);
                usage.limit = quota(*percent, *period).ok().and_then(per_second);
                usage.throttled = self.throttled(place);
            }
            Limit::CpuWeight(weight) | Limit::IoWeight(weight) => usage.limit = Some(u64::from(*weight)),
            Limit::MemoryMin(bytes) | Limit::MemoryLow(bytes) | Limit::MemoryHigh(bytes) | Limit::MemoryMax(bytes) => {
                usage.limit = Some(*bytes);
                usage.current = self.count(place, "memory.current", "memory.usage_in_bytes");
                usage.peak = self.memory_peak();
            }
            Limit::MemorySwapMax(bytes, _) => {
                usage.limit = Some(*bytes);
                usage.current = self.swap(place);
            }
            Limit::PidsMax(limit) => {
                usage.limit = Some(*limit);
                usage.current = self.count(place, "pids.current", "pids.current");
                usage.peak = self.count(place, "pids.peak", "pids.peak");
            }
            Limit::HugetlbMax(page, bytes) => {
                usage.key = format!("hugetlb-max.{page}").into();
                usage.limit = Some(*bytes);
                let current = (
                    format!("hugetlb.{page}.current"),
                    format!("hugetlb.{page}.usage_in_bytes"),
                );
                usage.current = self.count(place, &current.0, &current.1);
            }
            Limit::MiscMax(name, amount) => {
                usage.key = format!("misc-max.{name}").into();
                usage.limit = Some(*amount);
                usage.current = self
                    .dir(place)
                    .and_then(|dir| dir.keyed("misc.current", name))
                    .ok()
                    .flatten();
            }
            Limit::CpusetCpus(_)
            | Limit::CpusetMems(_)
            | Limit::OomGroup
            | Limit::IoMax(_)
            | Limit::Devices(_)
            | Limit::RdmaMax(..)
            | Limit::NetClassid(_)
            | Limit::NetPriority(_) => return None,
        }
        Some(usage)
    }

    /// Bytes in swap. v1 counts memory and swap together.
    pub(super) fn swap(&self, place: usize) -> Option<u64> {
        match self.version(place) {
            Version::V2 => self.count(place, "memory.swap.current", ""),
            Version::V1 => {
                let both = self.count(place, "", "memory.memsw.usage_in_bytes")?;
                Some(both.saturating_sub(self.count(place, "", "memory.usage_in_bytes")?))
            }
        }
    }

    /// CPU time that the unit's processes have used since the group was made. None where the kernel does not count it:
    /// on pure v1 without a `cpu-quota`.
    pub fn cpu_time(&self) -> Option<Duration> {
        match self.membership().ok()? {
            (Version::V2, dir) => dir.keyed("cpu.stat", "usage_usec").ok()?.map(Duration::from_micros),
            (Version::V1, _) => {
                let dir = self.dir(self.place_of("cpuacct")?).ok()?;
                dir.number("cpuacct.usage").ok()?.map(Duration::from_nanos)
            }
        }
    }

    /// `memory-max`, bytes, where it is in force.
    pub fn memory_limit(&self) -> Option<u64> {
        self.held().find_map(|(_, limit)| match limit {
            Limit::MemoryMax(bytes) => Some(*bytes),
            _ => None,
        })
    }

    /// The most memory that the unit has used, bytes. None where the memory controller has no group of it.
    pub fn memory_peak(&self) -> Option<u64> {
        let place = self.place_of("memory")?;
        self.count(place, "memory.peak", "memory.max_usage_in_bytes")
    }

    pub(super) fn count(&self, place: usize, on_v2: &str, on_v1: &str) -> Option<u64> {
        let file = match self.version(place) {
            Version::V1 => on_v1,
            Version::V2 => on_v2,
        };
        self.dir(place).and_then(|dir| dir.number(file)).ok().flatten()
    }

    /// How the quota was felt, where there is one.
    pub(super) fn cpu_throttled(&self) -> Option<Throttled> {
        let quota = |(_, limit): &(usize, &Limit)| matches!(limit, Limit::CpuQuota(..));
        let (place, _) = self.held().find(quota)?;
        self.throttled(place)
    }

    fn throttled(&self, place: usize) -> Option<Throttled> {
        let read = || -> io::Result<Option<Throttled>> {
            let dir = self.dir(place)?;
            let stat = |key: &str| dir.keyed("cpu.stat", key);
            let time = match self.version(place) {
                Version::V1 => stat("throttled_time")?.map(Duration::from_nanos),
                Version::V2 => stat("throttled_usec")?.map(Duration::from_micros),
            };
            let (periods, count) = (stat("nr_periods")?, stat("nr_throttled")?);
            Ok(periods
                .zip(count)
                .zip(time)
                .map(|((periods, count), time)| Throttled { periods, count, time }))
        };
        read().ok().flatten()
    }
}
