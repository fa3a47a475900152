//! All that the kernel counts for a group, limited or not. What no controller counts here is None.

use std::io;
use std::time::Duration;

use super::dir::Dir;
use super::group::Group;
use super::layout::Version;
use super::usage::Throttled;

/// One reading.
#[derive(Clone, Debug, Default, PartialEq)]
#[allow(missing_docs)]
pub struct Stats {
    pub cpu: Cpu,
    /// None: no memory controller has a group of it.
    pub memory: Option<Memory>,
    /// By device; empty where nothing was read or written. None: no I/O controller.
    pub io: Option<Vec<Io>>,
    /// None: no pids controller.
    pub pids: Option<Pids>,
    pub pressure: Pressures,
}

/// CPU time since the group was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Cpu {
    pub used: Option<Duration>,
    pub user: Option<Duration>,
    pub system: Option<Duration>,
    /// With `cpu-quota` only.
    pub throttled: Option<Throttled>,
}

/// Bytes, and how often a limit was met.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Memory {
    pub current: Option<u64>,
    pub peak: Option<u64>,
    pub swap: Option<u64>,
    /// Times that it was above `memory-high`. v1 has none.
    pub high: Option<u64>,
    /// Times that it would have been above `memory-max`.
    pub max: Option<u64>,
    /// Times that nothing could be reclaimed for it. v1 does not count them.
    pub oom: Option<u64>,
    /// Processes that the kernel has killed for it.
    pub oom_kills: u64,
}

/// One block device.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Io {
    /// `MAJOR:MINOR`.
    pub device: Box<str>,
    pub read_bytes: u64,
    pub written_bytes: u64,
    pub reads: u64,
    pub writes: u64,
}

/// Tasks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Pids {
    pub current: Option<u64>,
    pub peak: Option<u64>,
    /// Forks that `pids-max` has refused.
    pub refused: Option<u64>,
}

/// Pressure stall information; psi in the kernel's documentation. None: the kernel does not keep it, or not for groups.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[allow(missing_docs)]
pub struct Pressures {
    pub cpu: Option<Pressure>,
    pub memory: Option<Pressure>,
    pub io: Option<Pressure>,
}

/// How much of the time some, and all, of the group's tasks waited.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[allow(missing_docs)]
pub struct Pressure {
    pub some: Stall,
    /// Older kernels have it for memory and I/O only.
    pub full: Option<Stall>,
}

/// Percent over the last 10, 60 and 300 seconds; and all of it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[allow(missing_docs)]
pub struct Stall {
    pub avg10: f64,
    pub avg60: f64,
    pub avg300: f64,
    pub total: Duration,
}

impl Group {
    /// Reads it all: some ten small files.
    pub fn stats(&self) -> Stats {
        Stats {
            cpu: self.cpu_stats(),
            memory: self.memory_stats(),
            io: self.io_stats(),
            pids: self.pids_stats(),
            pressure: self.pressures(),
        }
    }

    fn cpu_stats(&self) -> Cpu {
        let mut cpu = Cpu {
            used: self.cpu_time(),
            throttled: self.cpu_throttled(),
            ..Cpu::default()
        };
        match self.membership() {
            Ok((Version::V2, dir)) => {
                let time = |key| dir.keyed("cpu.stat", key).ok().flatten().map(Duration::from_micros);
                (cpu.user, cpu.system) = (time("user_usec"), time("system_usec"));
            }
            Ok((Version::V1, _)) | Err(_) => {
                let time = |file| {
                    let dir = self.dir(self.place_of("cpuacct")?).ok()?;
                    dir.number(file).ok()?.map(Duration::from_nanos)
                };
                (cpu.user, cpu.system) = (time("cpuacct.usage_user"), time("cpuacct.usage_sys"));
            }
        }
        cpu
    }

    fn memory_stats(&self) -> Option<Memory> {
        let place = self.place_of("memory")?;
        let dir = self.dir(place).ok()?;
        let event = |key| dir.keyed("memory.events", key).ok().flatten();
        let v2 = self.version(place) == Version::V2;
        Some(Memory {
            current: self.count(place, "memory.current", "memory.usage_in_bytes"),
            peak: self.memory_peak(),
            swap: self.swap(place),
            high: event("high"),
            max: if v2 {
                event("max")
            } else {
                self.count(place, "", "memory.failcnt")
            },
            oom: event("oom"),
            oom_kills: self.oom_kills(),
        })
    }

    fn io_stats(&self) -> Option<Vec<Io>> {
        let place = self.place_of("io")?;
        let dir = self.dir(place).ok()?;
        match self.version(place) {
            Version::V2 => Some(io_on_v2(&dir.read("io.stat").ok()?)),
            Version::V1 => {
                let bytes = dir.read("blkio.throttle.io_service_bytes_recursive").ok()?;
                let times = dir.read("blkio.throttle.io_serviced_recursive").ok()?;
                Some(io_on_v1(&bytes, &times))
            }
        }
    }

    fn pids_stats(&self) -> Option<Pids> {
        let place = self.place_of("pids")?;
        let dir = self.dir(place).ok()?;
        Some(Pids {
            current: self.count(place, "pids.current", "pids.current"),
            peak: self.count(place, "pids.peak", "pids.peak"),
            refused: dir.keyed("pids.events", "max").ok().flatten(),
        })
    }

    /// Kept for v2 groups only.
    fn pressures(&self) -> Pressures {
        let Ok((Version::V2, dir)) = self.membership() else {
            return Pressures::default();
        };
        let of = |file| pressure(dir, file).ok().flatten();
        Pressures {
            cpu: of("cpu.pressure"),
            memory: of("memory.pressure"),
            io: of("io.pressure"),
        }
    }
}

fn pressure(dir: &Dir, file: &str) -> io::Result<Option<Pressure>> {
    Ok(parse_pressure(&dir.read(file)?))
}

/// `some avg10=0.00 avg60=0.00 avg300=0.00 total=0`, and a line that begins with `full`.
fn parse_pressure(text: &str) -> Option<Pressure> {
    let stall = |kind: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(kind))?;
        let value = |key: &str| {
            line.split(' ')
                .find_map(|pair| pair.strip_prefix(key)?.strip_prefix('='))
        };
        Some(Stall {
            avg10: value("avg10")?.parse().ok()?,
            avg60: value("avg60")?.parse().ok()?,
            avg300: value("avg300")?.parse().ok()?,
            total: Duration::from_micros(value("total")?.parse().ok()?),
        })
    };
    Some(Pressure {
        some: stall("some ")?,
        full: stall("full "),
    })
}

/// `8:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=5 dios=6`; io.stat in cgroup-v2.
fn io_on_v2(text: &str) -> Vec<Io> {
    let line = |line: &str| {
        let (device, rest) = line.split_once(' ')?;
        let value = |key: &str| {
            let found = rest
                .split(' ')
                .find_map(|pair| pair.strip_prefix(key)?.strip_prefix('='));
            found.and_then(|number| number.parse().ok()).unwrap_or(0)
        };
        Some(Io {
            device: device.into(),
            read_bytes: value("rbytes"),
            written_bytes: value("wbytes"),
            reads: value("rios"),
            writes: value("wios"),
        })
    };
    text.lines().filter_map(line).filter(moved_anything).collect()
}

/// `8:0 Read 1`, a line for each kind; blkio-controller in the kernel's documentation.
fn io_on_v1(bytes: &str, times: &str) -> Vec<Io> {
    let value = |text: &str, device: &str, kind: &str| {
        let wanted = format!("{device} {kind} ");
        let found = text.lines().find_map(|line| line.strip_prefix(&wanted));
        found.and_then(|number| number.trim().parse().ok()).unwrap_or(0)
    };
    let mut devices: Vec<&str> = bytes
        .lines()
        .filter_map(|line| line.split_once(' '))
        .map(|(device, _)| device)
        .collect();
    devices.retain(|device| device.contains(':'));
    devices.dedup();
    let one = |device: &str| Io {
        device: device.into(),
        read_bytes: value(bytes, device, "Read"),
        written_bytes: value(bytes, device, "Write"),
        reads: value(times, device, "Read"),
        writes: value(times, device, "Write"),
    };
    devices.into_iter().map(one).filter(moved_anything).collect()
}

fn moved_anything(io: &Io) -> bool {
    io.reads > 0 || io.writes > 0 || io.read_bytes > 0 || io.written_bytes > 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pressure_is_read_with_and_without_full() {
        let text =
            "some avg10=1.50 avg60=0.10 avg300=0.00 total=1234567\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=7\n";
        let read = parse_pressure(text).unwrap();
        assert_eq!((read.some.avg10, read.some.avg60), (1.5, 0.1));
        assert_eq!(read.some.total, Duration::from_micros(1_234_567));
        assert_eq!(read.full.unwrap().total, Duration::from_micros(7));
        assert_eq!(parse_pressure(text.lines().next().unwrap()).unwrap().full, None);
        assert_eq!(parse_pressure(""), None);
    }

    #[test]
    fn both_forms_of_io_mean_the_same() {
        let expected = [Io {
            device: "8:0".into(),
            read_bytes: 4096,
            written_bytes: 8192,
            reads: 1,
            writes: 2,
        }];
        let v2 =
            "8:0 rbytes=4096 wbytes=8192 rios=1 wios=2 dbytes=0 dios=0\n7:0 rbytes=0 wbytes=0 rios=0 wios=0\n252:0\n";
        assert_eq!(io_on_v2(v2), expected);
        let bytes = "8:0 Read 4096\n8:0 Write 8192\n8:0 Sync 0\n8:0 Total 12288\nTotal 12288\n";
        let times = "8:0 Read 1\n8:0 Write 2\n8:0 Total 3\nTotal 3\n";
        assert_eq!(io_on_v1(bytes, times), expected);
    }
}
