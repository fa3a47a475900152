//! What units use: the cgroup's counts and, where no controller counts, what /proc says of each process.

use std::time::Duration;

use super::Supervisor;
use super::lives::Life;
use super::processes;
use crate::cgroup::stats as counted;
use crate::cgroup::{Group, Usage};
use crate::control::network::NetworkStats;
use crate::control::reply::Failure;
use crate::control::returns;
use crate::control::stats::{CpuStats, IoStats, MemoryStats, PidsStats, Pressure, Stall, UnitStats};
use crate::engine::UnitId;
use crate::unit::{Enforcement, Kind};

impl Supervisor {
    /// One reading of these units; of all that run where none is named.
    pub(super) fn stats(&mut self, names: &[String]) -> Result<returns::Stats, Failure> {
        let ids: Vec<UnitId> = if names.is_empty() {
            self.engine.ids().filter(|id| self.lives.get(id).is_some()).collect()
        } else {
            self.named(names, false)?
        };
        let units = ids.into_iter().filter_map(|id| self.stats_of(id)).collect();
        Ok(returns::Stats { units })
    }

    fn stats_of(&self, id: UnitId) -> Option<UnitStats> {
        let (unit, state) = self.name_and_state(id)?;
        let mut stats = UnitStats {
            unit,
            state,
            ..UnitStats::default()
        };
        if let Some(life) = self.lives.get(&id) {
            add_life(&mut stats, life);
            let link = life.port.as_ref().map(|port| port.link());
            stats.network = link.and_then(|link| of_link(&std::fs::read_to_string("/proc/self/net/dev").ok()?, link));
        }
        Some(stats)
    }
}

/// The least of it, for `svc status`.
pub fn usage(life: &Life) -> crate::control::stats::Usage {
    let mut stats = UnitStats::default();
    add_life(&mut stats, life);
    crate::control::stats::Usage {
        memory: stats.memory.current,
        memory_peak: stats.memory.peak,
        cpu_usec: stats.cpu.usage_usec,
        tasks: stats.pids.current,
    }
}

/// What the kernel notes on what it sends, where it does.
fn add_class(stats: &mut UnitStats, life: &Life, group: &Group) {
    let Kind::Service(service) = &life.unit.kind else {
        return;
    };
    let held = |wanted: &str| {
        let all = group.enforcement().iter();
        all.into_iter()
            .any(|(key, what)| **key == *wanted && *what == Enforcement::Enforced)
    };
    let resources = &service.resources;
    stats.net_class = resources
        .net_classid
        .filter(|_| held("net-classid"))
        .map(|class| class.to_string());
    if held("net-priority") {
        let all = resources.net_priority.iter();
        stats.net_priority = all
            .map(|(interface, priority)| (interface.to_string(), *priority))
            .collect();
    }
}

fn add_life(stats: &mut UnitStats, life: &Life) {
    stats.frozen = life.frozen;
    if let Some(group) = &life.group {
        stats.cgroup = Some(group.path().to_owned());
        add_class(stats, life, group);
        let (read, usage) = (group.stats(), group.usage());
        let limit = |key: &str| {
            usage
                .iter()
                .find(|usage| *usage.key == *key)
                .and_then(|usage: &Usage| usage.limit)
        };
        // Microseconds of CPU in each second are ten-thousandths of a percent of one CPU.
        let quota = limit("cpu-quota").map(|microseconds| microseconds as f64 / 10_000.0);
        stats.cpu = cpu(&read.cpu, quota);
        stats.memory = read
            .memory
            .map(|memory| of_memory(&memory, limit("memory-max")))
            .unwrap_or_default();
        stats.io = read.io.map(|devices| devices.into_iter().map(of_io).collect());
        stats.pids = read
            .pids
            .map(|pids| of_pids(pids, limit("pids-max")))
            .unwrap_or_default();
        let pressures = [
            ("cpu", read.pressure.cpu),
            ("memory", read.pressure.memory),
            ("io", read.pressure.io),
        ];
        let there = pressures
            .into_iter()
            .filter_map(|(name, pressure)| Some((name.to_owned(), of_pressure(&pressure?))));
        stats.pressure = there.collect();
    }
    let uncounted = (stats.memory.current.is_none(), stats.pids.current.is_none());
    if let (false, false) = uncounted {
        return;
    }
    let members = life.members();
    if uncounted.0 {
        stats.memory.current = Some(members.iter().filter_map(|pid| processes::resident_bytes(*pid)).sum());
        stats.memory.counted_by = Some("processes".to_owned());
    }
    if uncounted.1 {
        stats.pids.current = Some(members.iter().filter_map(|pid| processes::threads(*pid)).sum());
    }
}

/// From /proc/net/dev, proc_pid_net(5), which tells of the machine's side: what it has received the service has sent.
fn of_link(text: &str, link: &str) -> Option<NetworkStats> {
    let line = text
        .lines()
        .find_map(|line| line.trim_start().strip_prefix(link)?.strip_prefix(':'))?;
    let fields: Vec<u64> = line.split_whitespace().map_while(|field| field.parse().ok()).collect();
    Some(NetworkStats {
        sent_bytes: *fields.first()?,
        sent_packets: *fields.get(1)?,
        received_bytes: *fields.get(8)?,
        received_packets: *fields.get(9)?,
    })
}

fn microseconds(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

fn cpu(cpu: &counted::Cpu, quota: Option<f64>) -> CpuStats {
    CpuStats {
        usage_usec: cpu.used.map(microseconds),
        user_usec: cpu.user.map(microseconds),
        system_usec: cpu.system.map(microseconds),
        quota,
        periods: cpu.throttled.map(|throttled| throttled.periods),
        throttled: cpu.throttled.map(|throttled| throttled.count),
        throttled_usec: cpu.throttled.map(|throttled| microseconds(throttled.time)),
    }
}

fn of_memory(memory: &counted::Memory, limit: Option<u64>) -> MemoryStats {
    MemoryStats {
        current: memory.current,
        peak: memory.peak,
        swap: memory.swap,
        limit,
        high: memory.high,
        max: memory.max,
        oom: memory.oom,
        oom_kills: Some(memory.oom_kills),
        counted_by: Some("cgroup".to_owned()),
    }
}

fn of_io(io: counted::Io) -> IoStats {
    IoStats {
        device: io.device.into(),
        read_bytes: io.read_bytes,
        written_bytes: io.written_bytes,
        reads: io.reads,
        writes: io.writes,
    }
}

fn of_pids(pids: counted::Pids, limit: Option<u64>) -> PidsStats {
    PidsStats {
        current: pids.current,
        peak: pids.peak,
        limit,
        refused: pids.refused,
    }
}

fn of_pressure(pressure: &counted::Pressure) -> Pressure {
    let stall = |stall: counted::Stall| Stall {
        avg10: stall.avg10,
        avg60: stall.avg60,
        avg300: stall.avg300,
        total_usec: microseconds(stall.total),
    };
    Pressure {
        some: stall(pressure.some),
        full: pressure.full.map(stall),
    }
}
