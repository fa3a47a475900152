//! Control groups of the second generation: one tree, controllers handed down level by level. cgroup-v2 in the
//! kernel's documentation.

use std::io;

use rustix::process::{Pid, getpid};

use super::dir::Dir;
use super::hold::{Setting, Shown};
use super::limits::{Failure, Limit, Quota, quota};
use super::{block, members, v1};
use crate::unit::Signal;
use crate::unit::resources::{IoMax, RdmaMax};

/// Where svcd itself sits, since a group that hands controllers down may hold no process.
pub const SUPERVISOR_LEAF: &std::ffi::CStr = c"supervisor";

/// As in v1.rs, for kernels without cgroup.kill (before 5.14).
const KILL_ROUNDS_MAX: usize = 16;

/// The files that hold a limit.
pub fn settings(limit: &Limit) -> Result<Vec<Setting>, Failure> {
    let setting = match limit {
        Limit::CpuQuota(percent, period) => {
            let Quota { time, period } = quota(*percent, *period)?;
            Setting::alone("cpu.max", format!("{time} {period}"))
        }
        Limit::CpuWeight(weight) => Setting::alone("cpu.weight", weight),
        Limit::CpusetCpus(list) => numbers("cpuset.cpus", list.to_string()),
        Limit::CpusetMems(list) => numbers("cpuset.mems", list.to_string()),
        Limit::MemoryMin(bytes) => Setting::alone("memory.min", bytes),
        Limit::MemoryLow(bytes) => Setting::alone("memory.low", bytes),
        Limit::MemoryHigh(bytes) => Setting::alone("memory.high", bytes),
        Limit::MemoryMax(bytes) => Setting::alone("memory.max", bytes),
        Limit::MemorySwapMax(bytes, _) => Setting::alone("memory.swap.max", bytes),
        Limit::OomGroup => Setting::alone("memory.oom.group", 1),
        Limit::PidsMax(tasks) => Setting::alone("pids.max", tasks),
        Limit::IoMax(limit) => io_max(limit)?,
        Limit::HugetlbMax(page, bytes) => huge_pages(format!("hugetlb.{page}.max"), page, bytes),
        Limit::RdmaMax(device, max) => Setting::line("rdma.max", v1::rdma(device, max)),
        Limit::MiscMax(name, amount) => Setting::line("misc.max", format!("{name} {amount}")),
        // Held by other means, in limits.rs.
        Limit::IoWeight(_) | Limit::Devices(_) | Limit::NetClassid(_) | Limit::NetPriority(_) => return Ok(Vec::new()),
    };
    Ok(vec![setting])
}

/// The files that take a limit away.
pub fn lifted(limit: &Limit) -> Result<Vec<Setting>, Failure> {
    let setting = match limit {
        Limit::CpuQuota(..) => Setting::alone("cpu.max", "max 100000"),
        Limit::CpuWeight(_) => Setting::alone("cpu.weight", 100),
        // Of no CPUs is of those above.
        Limit::CpusetCpus(_) => Setting::alone("cpuset.cpus", "\n"),
        Limit::CpusetMems(_) => Setting::alone("cpuset.mems", "\n"),
        Limit::MemoryMin(_) => Setting::alone("memory.min", 0),
        Limit::MemoryLow(_) => Setting::alone("memory.low", 0),
        Limit::MemoryHigh(_) => Setting::alone("memory.high", "max"),
        Limit::MemoryMax(_) => Setting::alone("memory.max", "max"),
        Limit::MemorySwapMax(..) => Setting::alone("memory.swap.max", "max"),
        Limit::OomGroup => Setting::alone("memory.oom.group", 0),
        Limit::PidsMax(_) => Setting::alone("pids.max", "max"),
        Limit::IoMax(limit) => io_max(&IoMax {
            rbps: None,
            wbps: None,
            riops: None,
            wiops: None,
            ..limit.clone()
        })?,
        Limit::HugetlbMax(page, _) => Setting::alone(format!("hugetlb.{page}.max"), "max"),
        Limit::RdmaMax(device, _) => Setting::line("rdma.max", v1::rdma(device, &RdmaMax::default())),
        Limit::MiscMax(name, _) => Setting::line("misc.max", format!("{name} max")),
        Limit::IoWeight(_) | Limit::Devices(_) | Limit::NetClassid(_) | Limit::NetPriority(_) => return Ok(Vec::new()),
    };
    Ok(vec![setting])
}

fn numbers(file: &'static str, value: String) -> Setting {
    Setting {
        file: file.into(),
        value,
        shown: Shown::Numbers,
    }
}

fn io_max(limit: &IoMax) -> Result<Setting, Failure> {
    let device = block::disk(&limit.device)?;
    let most = |most: Option<u64>| most.map_or_else(|| "max".to_owned(), |most| most.to_string());
    let (rbps, wbps) = (most(limit.rbps.map(|size| size.0)), most(limit.wbps.map(|size| size.0)));
    let (riops, wiops) = (most(limit.riops), most(limit.wiops));
    let limited = [&rbps, &wbps, &riops, &wiops].iter().any(|most| *most != "max");
    Ok(Setting {
        file: "io.max".into(),
        value: format!("{device} rbps={rbps} wbps={wbps} riops={riops} wiops={wiops}"),
        shown: if limited { Shown::Line } else { Shown::NoLine(device) },
    })
}

/// Huge pages are counted whole: the kernel rounds down to the size of one.
pub fn huge_pages(file: String, page: &str, bytes: &u64) -> Setting {
    let digits = page.trim_end_matches(|letter: char| letter.is_ascii_uppercase());
    let shift = match page.get(digits.len()..) {
        Some("GB") => 30,
        Some("MB") => 20,
        _ => 10,
    };
    Setting {
        shown: Shown::Alone(digits.parse::<u64>().unwrap_or(1).saturating_mul(1 << shift)),
        ..Setting::alone(file, bytes)
    }
}

/// The controllers that this group may hand down.
pub fn controllers(dir: &Dir) -> io::Result<Vec<Box<str>>> {
    Ok(dir
        .read("cgroup.controllers")?
        .split_whitespace()
        .map(Into::into)
        .collect())
}

/// Hands controllers down to the groups below. Err names the one that is refused.
pub fn hand_down<'a>(dir: &Dir, controllers: &[&'a str]) -> Result<(), (&'a str, Failure)> {
    for controller in controllers {
        let file = "cgroup.subtree_control";
        let order = format!("+{controller}");
        let written = dir.write(file, &order);
        written.map_err(|error| (*controller, Failure::of(&format!("{file} {order}"), &error)))?;
    }
    Ok(())
}

/// Moves svcd and its children (all processes, where it is PID 1) out of a group that is to hand controllers down: but
/// for the root of the machine, one with processes may not. For some controllers the kernel refuses it; for the others
/// it turns the group into a threaded one instead, in which nobody can be a unit.
pub fn step_aside(dir: &Dir) -> Result<(), Failure> {
    let failure = |error| Failure::of("move to a group of our own", &error);
    // The root of the machine has no such file.
    if matches!(dir.read("cgroup.type"), Err(error) if error.kind() == io::ErrorKind::NotFound) {
        return Ok(());
    }
    let ours = |pid: &i32| {
        let me = getpid();
        *pid == me.as_raw_nonzero().get() || me.is_init() || parent(*pid) == Some(me)
    };
    let (ours, others): (Vec<i32>, _) = members::here(dir).map_err(failure)?.into_iter().partition(ours);
    if let [other, ..] = others.as_slice() {
        let cause = format!("process {other}, which is not ours, is in the group that ours are to be made in").into();
        let errno = libc::EBUSY;
        return Err(Failure { cause, errno });
    }
    if ours.is_empty() {
        return Ok(());
    }
    let leaf = dir.make_and_open(SUPERVISOR_LEAF).map_err(failure)?;
    for pid in ours {
        match leaf.write("cgroup.procs", &pid.to_string()) {
            Err(error) if error.raw_os_error() != Some(libc::ESRCH) => return Err(failure(error)),
            Ok(()) | Err(_) => {}
        }
    }
    Ok(())
}

/// The fourth field of /proc/PID/stat; the second, a name in parentheses, may hold anything.
fn parent(pid: i32) -> Option<Pid> {
    let stat = Dir::open(format!("/proc/{pid}").as_ref()).ok()?.read("stat").ok()?;
    let (_, after_name) = stat.rsplit_once(')')?;
    Pid::from_raw(after_name.split_whitespace().nth(1)?.parse().ok()?)
}

/// Undoes [`step_aside`], at exit: svcd back into `dir`, the leaf removed. What cannot be undone stays.
pub fn step_back(dir: &Dir, controllers: &[Box<str>]) {
    if let Ok(leaf) = dir.sub(SUPERVISOR_LEAF)
        && let Ok(members) = members::here(&leaf)
        && members.contains(&getpid().as_raw_nonzero().get())
    {
        for controller in controllers {
            let _ = dir.write("cgroup.subtree_control", &format!("-{controller}"));
        }
        for pid in members {
            let _ = dir.write("cgroup.procs", &pid.to_string());
        }
        let _ = dir.rmdir(SUPERVISOR_LEAF);
    }
}

/// Whether a process is in the group or below. Zombies do not count.
pub fn populated(dir: &Dir) -> io::Result<bool> {
    Ok(dir.keyed("cgroup.events", "populated")? == Some(1))
}

/// Whether the group has been frozen.
pub fn frozen(dir: &Dir) -> io::Result<bool> {
    match dir.number("cgroup.freeze") {
        Ok(state) => Ok(state == Some(1)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Kills everyone in the group and below, forks under way included. Waits for nothing.
pub fn kill(dir: &Dir) -> io::Result<()> {
    match dir.write("cgroup.kill", "1") {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        done => return done,
    }
    for _ in 0..KILL_ROUNDS_MAX {
        if !populated(dir)? {
            break;
        }
        members::signal(dir, Signal::KILL, &[])?;
    }
    Ok(())
}
