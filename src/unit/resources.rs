//! `[resources]`: what a unit may use, and the text in which a class is written.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Serialize, Serializer};

use super::device::Devices;
use super::value::{self, NumberList, Percent, Size, UnitName};

/// `[resources]`. None, and what is empty: not limited.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Resources {
    /// The slice it sits in; None: directly under svcd's own group.
    pub slice: Option<UnitName>,
    /// Of one CPU: 20 % is 20.0.
    pub cpu_quota: Option<Percent>,
    /// The period over which the quota is measured; 1 ms to 1 s.
    #[serde(serialize_with = "value::serialize_limit")]
    pub cpu_period: Option<Duration>,
    /// 1 to 10,000; the kernel's default is 100.
    pub cpu_weight: Option<u32>,
    /// CPUs that it may run on.
    pub cpuset_cpus: Option<NumberList>,
    /// Memory nodes that it may take memory from.
    pub cpuset_mems: Option<NumberList>,
    /// Bytes that are never taken from it.
    pub memory_min: Option<Size>,
    /// Bytes that are taken from it only when nobody else has any.
    pub memory_low: Option<Size>,
    /// Bytes; above it the service is throttled and reclaimed.
    pub memory_high: Option<Size>,
    /// Bytes; above it the OOM killer comes.
    pub memory_max: Option<Size>,
    /// Bytes of swap.
    pub memory_swap_max: Option<Size>,
    /// What an OOM kill of one process means for the rest.
    pub oom_policy: OomPolicy,
    /// Tasks at once.
    pub pids_max: Option<u64>,
    /// 1 to 10,000; the kernel's default is 100.
    pub io_weight: Option<u32>,
    /// By device.
    pub io_max: Vec<IoMax>,
    /// Which devices may be opened and made.
    pub devices: Devices,
    /// Bytes, by the size of a page as the kernel names it: `2MB`.
    pub hugetlb_max: BTreeMap<Box<str>, Size>,
    /// By device.
    pub rdma_max: BTreeMap<Box<str>, RdmaMax>,
    /// By resource.
    pub misc_max: BTreeMap<Box<str>, u64>,
    /// The traffic class of its packets.
    pub net_classid: Option<ClassId>,
    /// The priority of its packets, by interface.
    pub net_priority: BTreeMap<Box<str>, u32>,
    /// The service makes groups of its own below its group.
    pub delegate: bool,
}

/// What happens to the unit when the kernel kills one of its processes for memory; systemd.service(5), `OOMPolicy=`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum OomPolicy {
    /// All of the unit is killed.
    #[default]
    Kill,
    /// The unit is stopped in its own way.
    Stop,
    /// Only the main process's own death counts.
    Continue,
}

/// Most that may be read from and written to one block device in a second; io.max in cgroup-v2.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct IoMax {
    /// Its node, such as /dev/vda; a partition's stands for its disk.
    pub device: PathBuf,
    /// Bytes read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rbps: Option<Size>,
    /// Bytes written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wbps: Option<Size>,
    /// Reads.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub riops: Option<u64>,
    /// Writes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wiops: Option<u64>,
}

/// Objects of one RDMA device; rdma in cgroup-v1 and cgroup-v2.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct RdmaMax {
    /// Handles at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hca_handle: Option<u32>,
    /// Objects at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hca_object: Option<u32>,
}

/// A traffic class as tc(8) writes it, in hexadecimal: `10:1`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClassId(pub u32);

impl ClassId {
    /// Reads `10:1`, in hexadecimal.
    ///
    /// # Errors
    /// What is wrong with it, in one line.
    pub fn parse(text: &str) -> Result<Self, Box<str>> {
        let wrong = || {
            format!("`{text}` is no class: MAJOR:MINOR in hexadecimal, 0001:0 to ffff:ffff, such as \"10:1\"").into()
        };
        let (major, minor) = text.split_once(':').ok_or_else(wrong)?;
        let part = |digits: &str| {
            let plain = (1..=4).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
            u32::from_str_radix(digits, 16).ok().filter(|_| plain).ok_or_else(wrong)
        };
        let class = part(major)? << 16 | part(minor)?;
        // Major 0 is no qdisc's, and priorities below 16 are those of sockets; tc(8), "CLASSES".
        if class < 1 << 16 { Err(wrong()) } else { Ok(Self(class)) }
    }
}

impl fmt::Display for ClassId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}:{:x}", self.0 >> 16, self.0 & 0xffff)
    }
}

impl Serialize for ClassId {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn classes_are_hexadecimal() {
        assert_eq!(ClassId::parse("10:1"), Ok(ClassId(0x10_0001)));
        assert_eq!(ClassId::parse("ffff:FFFF").unwrap().to_string(), "ffff:ffff");
        for text in ["", "10", "10:", ":1", "0:1", "10000:1", "g:1", "1:1:1", "0x1:1"] {
            assert!(ClassId::parse(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_an_error_or_a_value(text: String) {
            drop(ClassId::parse(&text));
        }
    }
}
