//! What `[resources]` asks, as single limits; and how one is written so that it is known to hold.
#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "a few limits are unlike the others, whatever is added to the enum"
)]

use std::collections::BTreeMap;
use std::io;
use std::time::Duration;

use super::layout::Version;
use super::{v1, v2};
use crate::unit::device::DeviceRule;
use crate::unit::resources::{ClassId, IoMax, RdmaMax};
use crate::unit::value::NumberList;
use crate::unit::{OomPolicy, Percent, Resources, Unenforceable};

/// One limit for one group. Of a key that has several, such as one for each device, each is a limit of its own.
#[derive(Clone, Debug, PartialEq)]
pub enum Limit {
    /// `cpu-quota`, with `cpu-period`.
    CpuQuota(Percent, Option<Duration>),
    /// `cpu-weight`, 1 to 10,000.
    CpuWeight(u32),
    /// `cpuset-cpus`.
    CpusetCpus(NumberList),
    /// `cpuset-mems`.
    CpusetMems(NumberList),
    /// `memory-min`, bytes.
    MemoryMin(u64),
    /// `memory-low`, bytes.
    MemoryLow(u64),
    /// `memory-high`, bytes.
    MemoryHigh(u64),
    /// `memory-max`, bytes.
    MemoryMax(u64),
    /// `memory-swap-max`, bytes, with `memory-max`: v1 limits both together.
    MemorySwapMax(u64, Option<u64>),
    /// `oom-policy = "kill"`: an OOM kill takes all of the group. On v2 only; on v1 svcd does it.
    OomGroup,
    /// `pids-max`, tasks.
    PidsMax(u64),
    /// `io-weight`, 1 to 10,000.
    IoWeight(u32),
    /// `io-max`, of one device.
    IoMax(IoMax),
    /// `devices`, all of them.
    Devices(Vec<DeviceRule>),
    /// `hugetlb-max`, of one size of page, bytes.
    HugetlbMax(Box<str>, u64),
    /// `rdma-max`, of one device.
    RdmaMax(Box<str>, RdmaMax),
    /// `misc-max`, of one resource.
    MiscMax(Box<str>, u64),
    /// `net-classid`.
    NetClassid(ClassId),
    /// `net-priority`, of all interfaces.
    NetPriority(BTreeMap<Box<str>, u32>),
}

/// CPU time that may be used in each period. Microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Quota {
    pub time: u64,
    pub period: u64,
}

/// Why a limit does not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// For people.
    pub cause: Box<str>,
    /// 0 where no system call failed.
    pub errno: i32,
}

/// The kernel's default; sched-bwc in its documentation.
const PERIOD_DEFAULT: Duration = Duration::from_millis(100);
/// The longest that the kernel takes.
const PERIOD_MAX_US: u64 = 1_000_000;
/// The smallest quota that the kernel takes.
const QUOTA_MIN_US: u64 = 1_000;

impl Limit {
    /// The key that sets it.
    pub fn key(&self) -> &'static str {
        match self {
            Self::CpuQuota(..) => "cpu-quota",
            Self::CpuWeight(_) => "cpu-weight",
            Self::CpusetCpus(_) => "cpuset-cpus",
            Self::CpusetMems(_) => "cpuset-mems",
            Self::MemoryMin(_) => "memory-min",
            Self::MemoryLow(_) => "memory-low",
            Self::MemoryHigh(_) => "memory-high",
            Self::MemoryMax(_) => "memory-max",
            Self::MemorySwapMax(..) => "memory-swap-max",
            Self::OomGroup => "oom-policy",
            Self::PidsMax(_) => "pids-max",
            Self::IoWeight(_) => "io-weight",
            Self::IoMax(_) => "io-max",
            Self::Devices(_) => "devices",
            Self::HugetlbMax(..) => "hugetlb-max",
            Self::RdmaMax(..) => "rdma-max",
            Self::MiscMax(..) => "misc-max",
            Self::NetClassid(_) => "net-classid",
            Self::NetPriority(_) => "net-priority",
        }
    }

    /// The controller that holds it, by its name on v2; those that v2 has none for by that of v1.
    pub fn controller(&self) -> &'static str {
        match self {
            Self::CpuQuota(..) | Self::CpuWeight(_) => "cpu",
            Self::CpusetCpus(_) | Self::CpusetMems(_) => "cpuset",
            Self::MemoryMin(_)
            | Self::MemoryLow(_)
            | Self::MemoryHigh(_)
            | Self::MemoryMax(_)
            | Self::MemorySwapMax(..)
            | Self::OomGroup => "memory",
            Self::PidsMax(_) => "pids",
            Self::IoWeight(_) | Self::IoMax(_) => "io",
            Self::Devices(_) => "devices",
            Self::HugetlbMax(..) => "hugetlb",
            Self::RdmaMax(..) => "rdma",
            Self::MiscMax(..) => "misc",
            Self::NetClassid(_) => "net_cls",
            Self::NetPriority(_) => "net_prio",
        }
    }

    /// Another value for the same: then it takes this one's place.
    pub fn same_as(&self, other: &Self) -> bool {
        let item = |limit: &Self| match limit {
            Self::IoMax(limit) => Some(limit.device.display().to_string().into_boxed_str()),
            Self::HugetlbMax(name, _) | Self::RdmaMax(name, _) | Self::MiscMax(name, _) => Some(name.clone()),
            _ => None,
        };
        self.key() == other.key() && item(self) == item(other)
    }

    /// Whether there is anything that could hold it on this version. What the kernel refuses only when it is written is
    /// not known before.
    pub fn check(&self, version: Version) -> Result<(), Failure> {
        match (self, version) {
            (Self::Devices(_), _) | (Self::NetClassid(_) | Self::NetPriority(_), Version::V2) => Ok(()),
            (_, Version::V1) => v1::settings(self, None).map(drop),
            (_, Version::V2) => v2::settings(self).map(drop),
        }
    }
}

impl Failure {
    /// A system call that failed on a file or directory.
    pub fn of(object: &str, error: &io::Error) -> Self {
        Self {
            cause: format!("{object}: {error}").into(),
            errno: error.raw_os_error().unwrap_or(0),
        }
    }

    /// Where no system call failed.
    pub fn told(cause: impl Into<Box<str>>) -> Self {
        Self {
            cause: cause.into(),
            errno: 0,
        }
    }

    /// With the key that it stops.
    pub fn stops(self, key: &str) -> Unenforceable {
        Unenforceable {
            key: key.into(),
            cause: self.cause,
            errno: self.errno,
        }
    }
}

/// All that is set, in the order of writing.
pub fn limits(resources: &Resources) -> Vec<Limit> {
    let mut all = Vec::new();
    let size = |size: crate::unit::Size| size.0;
    all.extend(
        resources
            .cpu_quota
            .map(|percent| Limit::CpuQuota(percent, resources.cpu_period)),
    );
    all.extend(resources.cpu_weight.map(Limit::CpuWeight));
    all.extend(resources.cpuset_cpus.clone().map(Limit::CpusetCpus));
    all.extend(resources.cpuset_mems.clone().map(Limit::CpusetMems));
    all.extend(resources.memory_min.map(size).map(Limit::MemoryMin));
    all.extend(resources.memory_low.map(size).map(Limit::MemoryLow));
    all.extend(resources.memory_high.map(size).map(Limit::MemoryHigh));
    let memory = resources.memory_max.map(size);
    all.extend(memory.map(Limit::MemoryMax));
    all.extend(
        resources
            .memory_swap_max
            .map(|swap| Limit::MemorySwapMax(swap.0, memory)),
    );
    if resources.oom_policy == OomPolicy::Kill {
        all.push(Limit::OomGroup);
    }
    all.extend(resources.pids_max.map(Limit::PidsMax));
    all.extend(resources.io_weight.map(Limit::IoWeight));
    all.extend(resources.io_max.iter().cloned().map(Limit::IoMax));
    all.extend(resources.devices.rules().map(Limit::Devices));
    all.extend(
        resources
            .hugetlb_max
            .iter()
            .map(|(page, bytes)| Limit::HugetlbMax(page.clone(), bytes.0)),
    );
    all.extend(
        resources
            .rdma_max
            .iter()
            .map(|(device, max)| Limit::RdmaMax(device.clone(), *max)),
    );
    all.extend(
        resources
            .misc_max
            .iter()
            .map(|(name, amount)| Limit::MiscMax(name.clone(), *amount)),
    );
    all.extend(resources.net_classid.map(Limit::NetClassid));
    if !resources.net_priority.is_empty() {
        all.push(Limit::NetPriority(resources.net_priority.clone()));
    }
    all
}

/// A small quota of the default period would be less than the kernel takes: then the period is stretched.
pub fn quota(percent: Percent, period: Option<Duration>) -> Result<Quota, Failure> {
    let micros = |d: Duration| u64::try_from(d.as_micros()).unwrap_or(u64::MAX);
    let time_in = |period: u64| (percent.0 / 100.0 * period as f64).round() as u64;
    let mut quota = Quota {
        time: 0,
        period: micros(period.unwrap_or(PERIOD_DEFAULT)),
    };
    quota.time = time_in(quota.period);
    if quota.time < QUOTA_MIN_US && period.is_none() {
        quota.period = PERIOD_MAX_US;
        quota.time = time_in(quota.period);
    }
    if quota.time < QUOTA_MIN_US {
        return Err(Failure::told(format!(
            "{} us of every {} us: the kernel takes 1000 us and up",
            quota.time, quota.period
        )));
    }
    Ok(quota)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::unit::Size;

    #[test]
    fn quotas() {
        let ms = Duration::from_millis;
        let table = [
            (20.0, None, Some((20_000, 100_000))),
            (250.0, None, Some((250_000, 100_000))),
            (0.5, None, Some((5_000, 1_000_000))),
            (0.01, None, None),
            (50.0, Some(ms(10)), Some((5_000, 10_000))),
            (5.0, Some(ms(10)), None),
        ];
        for (percent, period, expected) in table {
            let got = quota(Percent(percent), period).ok().map(|q| (q.time, q.period));
            assert_eq!(got, expected, "{percent} of {period:?}");
        }
    }

    #[test]
    fn what_is_not_set_is_no_limit() {
        let none = Resources {
            oom_policy: OomPolicy::Continue,
            ..Resources::default()
        };
        assert_eq!(limits(&none), []);
        let some = Resources {
            cpu_quota: Some(Percent(20.0)),
            memory_max: Some(Size(1 << 20)),
            hugetlb_max: [("2MB".into(), Size(4 << 20)), ("1GB".into(), Size(0))].into(),
            ..Resources::default()
        };
        let all = limits(&some);
        let keys: Vec<_> = all.iter().map(Limit::key).collect();
        assert_eq!(
            keys,
            ["cpu-quota", "memory-max", "oom-policy", "hugetlb-max", "hugetlb-max"]
        );
        assert!(all[0].same_as(&Limit::CpuQuota(Percent(30.0), None)));
        assert!(!all[3].same_as(&all[4]), "each size of page is a limit of its own");
    }
}
