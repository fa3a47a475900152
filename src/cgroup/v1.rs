//! Control groups of the first generation: a file for each limit, and killing by the freezer.
//!
//! `cgroup.procs` is never written here: from outside of a process the kernel waits 8 to 13 ms for that.

use std::ffi::CStr;
use std::io;

use super::dir::Dir;
use super::hold::{Setting, Shown};
use super::limits::{Failure, Limit, Quota, quota};
use super::{block, members};
use crate::unit::Signal;
use crate::unit::resources::{IoMax, RdmaMax};

/// Shares of a group that nobody has set, which stand for a weight of 100. cpu.shares in sched-design-CFS.
const SHARES_DEFAULT: u64 = 1024;

/// Members are looked up, signalled and looked up again at most this often: each round finds what the last one's
/// victims forked before the freezer had them.
const KILL_ROUNDS_MAX: usize = 16;

/// The files that hold a limit, in the order to write them; cgroup-v1 in the kernel's documentation. `old` is what is
/// held so far.
pub fn settings(limit: &Limit, old: Option<&Limit>) -> Result<Vec<Setting>, Failure> {
    Ok(match limit {
        Limit::CpuQuota(percent, period) => {
            let Quota { time, period } = quota(*percent, *period)?;
            // Without a limit first: the kernel checks quota and period together, and the old quota may not fit the new
            // period.
            vec![
                Setting::alone("cpu.cfs_quota_us", -1),
                Setting::alone("cpu.cfs_period_us", period),
                Setting::alone("cpu.cfs_quota_us", time),
            ]
        }
        Limit::CpuWeight(weight) => vec![Setting::alone("cpu.shares", shares(*weight))],
        Limit::CpusetCpus(list) => vec![numbers("cpuset.cpus", list.to_string())],
        Limit::CpusetMems(list) => vec![numbers("cpuset.mems", list.to_string())],
        Limit::MemoryMax(bytes) => vec![Setting::alone("memory.limit_in_bytes", bytes)],
        Limit::MemorySwapMax(swap, Some(memory)) => {
            vec![Setting::alone(
                "memory.memsw.limit_in_bytes",
                swap.saturating_add(*memory),
            )]
        }
        Limit::MemorySwapMax(_, None) => {
            return Err(Failure::told(
                "cgroup v1 limits memory and swap together: it takes memory-max too",
            ));
        }
        Limit::PidsMax(tasks) => vec![Setting::alone("pids.max", tasks)],
        Limit::IoMax(limit) => throttle(limit)?,
        Limit::HugetlbMax(page, bytes) => vec![super::v2::huge_pages(
            format!("hugetlb.{page}.limit_in_bytes"),
            page,
            bytes,
        )],
        Limit::RdmaMax(device, max) => vec![Setting::line("rdma.max", rdma(device, max))],
        Limit::MiscMax(name, amount) => vec![Setting::line("misc.max", format!("{name} {amount}"))],
        Limit::NetClassid(class) => vec![Setting::alone("net_cls.classid", class.0)],
        Limit::NetPriority(priorities) => {
            let gone = match old {
                Some(Limit::NetPriority(old)) => old.keys().filter(|name| !priorities.contains_key(*name)).collect(),
                _ => Vec::new(),
            };
            let gone = gone.into_iter().map(|name| format!("{name} 0"));
            let wanted = priorities.iter().map(|(name, priority)| format!("{name} {priority}"));
            gone.chain(wanted)
                .map(|line| Setting::line("net_prio.ifpriomap", line))
                .collect()
        }
        // svcd carries it out when it sees an OOM kill.
        Limit::OomGroup => Vec::new(),
        Limit::MemoryMin(_) | Limit::MemoryLow(_) | Limit::MemoryHigh(_) => {
            let cause =
                "the memory controller is on cgroup v1, which has none: its soft limit protects and throttles nobody";
            return Err(Failure::told(cause));
        }
        // Held by other means, in limits.rs.
        Limit::IoWeight(_) | Limit::Devices(_) => Vec::new(),
    })
}

/// The files that take a limit away.
pub fn lifted(limit: &Limit) -> Result<Vec<Setting>, Failure> {
    Ok(match limit {
        Limit::CpuQuota(..) => vec![Setting::alone("cpu.cfs_quota_us", -1)],
        Limit::CpuWeight(_) => vec![Setting::alone("cpu.shares", SHARES_DEFAULT)],
        Limit::MemoryMax(_) => vec![Setting::alone("memory.limit_in_bytes", -1)],
        Limit::MemorySwapMax(..) => vec![Setting::alone("memory.memsw.limit_in_bytes", -1)],
        Limit::PidsMax(_) => vec![Setting::alone("pids.max", "max")],
        Limit::IoMax(limit) => throttle(&IoMax {
            rbps: None,
            wbps: None,
            riops: None,
            wiops: None,
            ..limit.clone()
        })?,
        Limit::HugetlbMax(page, _) => {
            let file = format!("hugetlb.{page}.limit_in_bytes");
            vec![Setting {
                value: "-1".to_owned(),
                ..super::v2::huge_pages(file, page, &0)
            }]
        }
        Limit::RdmaMax(device, _) => vec![Setting::line("rdma.max", rdma(device, &RdmaMax::default()))],
        Limit::MiscMax(name, _) => vec![Setting::line("misc.max", format!("{name} max"))],
        Limit::NetClassid(_) => vec![Setting::alone("net_cls.classid", 0)],
        Limit::NetPriority(priorities) => {
            let lines = priorities.keys().map(|name| format!("{name} 0"));
            lines.map(|line| Setting::line("net_prio.ifpriomap", line)).collect()
        }
        Limit::CpusetCpus(_)
        | Limit::CpusetMems(_)
        | Limit::MemoryMin(_)
        | Limit::MemoryLow(_)
        | Limit::MemoryHigh(_)
        | Limit::OomGroup
        | Limit::IoWeight(_)
        | Limit::Devices(_) => Vec::new(),
    })
}

/// The kernel's bounds are 2 and 262,144, which weights of 1 to 10,000 do not reach.
fn shares(weight: u32) -> u64 {
    (u64::from(weight) * SHARES_DEFAULT / 100).max(2)
}

fn numbers(file: &'static str, value: String) -> Setting {
    Setting {
        file: file.into(),
        value,
        shown: Shown::Numbers,
    }
}

/// 0 stands for no limit here.
fn throttle(limit: &IoMax) -> Result<Vec<Setting>, Failure> {
    let device = block::disk(&limit.device)?;
    let one = |file: &'static str, most: Option<u64>| Setting {
        file: file.into(),
        value: format!("{device} {}", most.unwrap_or(0)),
        shown: most.map_or_else(|| Shown::NoLine(device.clone()), |_| Shown::Line),
    };
    Ok(vec![
        one("blkio.throttle.read_bps_device", limit.rbps.map(|size| size.0)),
        one("blkio.throttle.write_bps_device", limit.wbps.map(|size| size.0)),
        one("blkio.throttle.read_iops_device", limit.riops),
        one("blkio.throttle.write_iops_device", limit.wiops),
    ])
}

/// The same line on both versions.
pub fn rdma(device: &str, max: &RdmaMax) -> String {
    let count = |count: Option<u32>| count.map_or_else(|| "max".to_owned(), |count| count.to_string());
    format!(
        "{device} hca_handle={} hca_object={}",
        count(max.hca_handle),
        count(max.hca_object)
    )
}

/// A new cpuset may not be joined before it has CPUs and memory nodes: those of the group above.
pub fn fill_cpuset(dir: &Dir) -> io::Result<()> {
    for file in ["cpuset.cpus", "cpuset.mems"] {
        if dir.read(file)?.trim().is_empty() {
            dir.write(file, dir.sub(ABOVE)?.read(file)?.trim())?;
        }
    }
    Ok(())
}

const ABOVE: &CStr = c"..";

/// What the group above has.
pub fn copy_from_above(dir: &Dir, file: &str) -> Result<(), Failure> {
    let copy = || dir.write(file, dir.sub(ABOVE)?.read(file)?.trim());
    copy().map_err(|error| Failure::of(file, &error))
}

/// Whether the group, or one above it, is frozen. Only the freezer's own directories say so.
pub fn frozen(dir: &Dir) -> io::Result<bool> {
    match dir.read("freezer.state") {
        Ok(state) => Ok(state.trim() != "THAWED"),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Kills everyone in the group and below: freezes it where this is the freezer's directory, so that nobody forks
/// meanwhile, and thaws it whatever happens. Waits for nothing: who is left shows in [`members::all`].
pub fn kill(dir: &Dir) -> io::Result<()> {
    let _thawed_at_the_end = Frozen::new(dir)?;
    let mut killed: Vec<i32> = Vec::new();
    for _ in 0..KILL_ROUNDS_MAX {
        let before = killed.len();
        let at_rest = !freezing(dir);
        for pid in members::all(dir)? {
            if let Err(place) = killed.binary_search(&pid) {
                killed.insert(place, pid);
            }
        }
        if killed.len() == before && at_rest {
            break;
        }
        members::signal(dir, Signal::KILL, &[])?;
    }
    Ok(())
}

/// Whether some are still on their way into the freezer, and may yet come out of a fork.
fn freezing(dir: &Dir) -> bool {
    dir.read("freezer.state").is_ok_and(|state| state.trim() == "FREEZING")
}

/// A frozen group, until this is dropped.
struct Frozen<'a>(Option<&'a Dir>);

impl<'a> Frozen<'a> {
    fn new(dir: &'a Dir) -> io::Result<Self> {
        match dir.write("freezer.state", "FROZEN") {
            Ok(()) => Ok(Self(Some(dir))),
            // Not the freezer's hierarchy: rounds alone have to do.
            Err(error) if [Some(libc::ENOENT), Some(libc::EACCES)].contains(&error.raw_os_error()) => Ok(Self(None)),
            Err(error) => Err(error),
        }
    }
}

impl Drop for Frozen<'_> {
    fn drop(&mut self) {
        if let Some(dir) = self.0 {
            // Nobody could do anything about a failure; the next kill thaws again.
            let _ = dir.write("freezer.state", "THAWED");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_become_shares() {
        for (weight, expected) in [(1, 10), (100, 1024), (50, 512), (10_000, 102_400)] {
            assert_eq!(shares(weight), expected);
        }
    }

    #[test]
    fn what_v1_does_not_have_is_refused() {
        for limit in [
            Limit::MemoryHigh(1),
            Limit::MemoryMin(1),
            Limit::MemoryLow(1),
            Limit::MemorySwapMax(1, None),
        ] {
            let failure = settings(&limit, None).unwrap_err();
            assert!(failure.cause.contains("cgroup v1"), "{}", failure.cause);
        }
        let both = settings(&Limit::MemorySwapMax(1, Some(2)), None).unwrap();
        assert_eq!(both, [Setting::alone("memory.memsw.limit_in_bytes", 3)]);
    }
}
