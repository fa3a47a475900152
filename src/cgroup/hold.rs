//! A limit, written into a group so that it is known to hold, and taken away again.
#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "a few limits are unlike the others, whatever is added to the enum"
)]

use std::borrow::Cow;
use std::io;

use super::dir::Dir;
use super::layout::Version;
use super::limits::{Failure, Limit};
use super::programs::{Name, Programs};
use super::{devices, network, v1, v2};
use crate::unit::value::NumberList;

/// One value for one file of a group, and how it is found there again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    pub file: Cow<'static, str>,
    pub value: String,
    pub shown: Shown,
}

/// What a file says once a value is in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Shown {
    /// The value alone. The kernel may round a number down by less than this.
    Alone(u64),
    /// A line of its own among others.
    Line,
    /// No line that begins with this word.
    NoLine(String),
    /// The same numbers.
    Numbers,
}

/// Memory is limited in whole pages, which are of 64 KiB at most.
pub const PAGE_BYTES_MAX: u64 = 1 << 16;
impl Limit {
    /// Writes it and reads it back. `old` is the value that it takes the place of, if there is one.
    pub fn hold(&self, old: Option<&Self>, dir: &Dir, version: Version, programs: &Programs) -> Result<(), Failure> {
        match (self, version) {
            (Self::Devices(rules), Version::V1) => devices::hold_on_v1(dir, rules),
            (Self::Devices(rules), Version::V2) => programs.replace(dir, &devices::program(rules)),
            (Self::NetClassid(class), Version::V2) => {
                not_beside(programs, dir, network::PRIORITY_PROGRAM, "net-priority")?;
                programs.replace(dir, &network::class_program(*class))
            }
            (Self::NetPriority(map), Version::V2) => {
                not_beside(programs, dir, network::CLASS_PROGRAM, "net-classid")?;
                programs.replace(dir, &network::priority_program(map)?)
            }
            (Self::IoWeight(weight), _) => hold_io_weight(dir, version, *weight),
            (_, Version::V1) => write_all(dir, v1::settings(self, old)?),
            (_, Version::V2) => write_all(dir, v2::settings(self)?),
        }?;
        match self {
            Self::CpusetCpus(wanted) => check_effective(dir, "cpuset.cpus", "cpuset.effective_cpus", version, wanted),
            Self::CpusetMems(wanted) => check_effective(dir, "cpuset.mems", "cpuset.effective_mems", version, wanted),
            _ => Ok(()),
        }
    }

    /// Takes it away: the group is limited no more than one above it.
    pub fn lift(&self, dir: &Dir, version: Version, programs: &Programs) -> Result<(), Failure> {
        match (self, version) {
            (Self::Devices(_), Version::V1) => devices::lift_on_v1(dir),
            (Self::CpusetCpus(_), Version::V1) => v1::copy_from_above(dir, "cpuset.cpus"),
            (Self::CpusetMems(_), Version::V1) => v1::copy_from_above(dir, "cpuset.mems"),
            (Self::Devices(_), Version::V2) => programs.remove(dir, devices::PROGRAM),
            (Self::NetClassid(_), Version::V2) => programs.remove(dir, network::CLASS_PROGRAM),
            (Self::NetPriority(_), Version::V2) => programs.remove(dir, network::PRIORITY_PROGRAM),
            (Self::IoWeight(_), _) => hold_io_weight(dir, version, IO_WEIGHT_DEFAULT),
            (_, Version::V1) => write_all(dir, v1::lifted(self)?),
            (_, Version::V2) => write_all(dir, v2::lifted(self)?),
        }
    }
}

impl Setting {
    /// A value that is all that its file says.
    pub fn alone(file: impl Into<Cow<'static, str>>, value: impl ToString) -> Self {
        Self {
            file: file.into(),
            value: value.to_string(),
            shown: Shown::Alone(PAGE_BYTES_MAX),
        }
    }

    /// A value that is one line of its file.
    pub fn line(file: impl Into<Cow<'static, str>>, value: String) -> Self {
        Self {
            file: file.into(),
            value,
            shown: Shown::Line,
        }
    }
}

/// A class and a priority are both the one number that a packet has on v2: the second would undo the first.
fn not_beside(programs: &Programs, dir: &Dir, other: Name, key: &str) -> Result<(), Failure> {
    if programs.are_on(dir, other)? {
        return Err(Failure::told(format!("on cgroup v2 it cannot be had beside {key}")));
    }
    Ok(())
}

/// What the kernel gives a group that nobody has weighed; io.weight in cgroup-v2.
const IO_WEIGHT_DEFAULT: u32 = 100;

/// A weight is held by whichever of the two I/O controllers this kernel has: that of io.cost, or that of the BFQ
/// scheduler, whose scale ends at 1000.
fn hold_io_weight(dir: &Dir, version: Version, weight: u32) -> Result<(), Failure> {
    let of_bfq = match weight {
        0..=100 => weight,
        _ => 100 + (weight - 100) * 900 / 9_900,
    };
    let candidates = match version {
        Version::V1 => vec![("blkio.bfq.weight", of_bfq)],
        Version::V2 => vec![("io.weight", weight), ("io.bfq.weight", of_bfq)],
    };
    let mut missing = Vec::new();
    for (file, value) in &candidates {
        match dir.write_and_read_back(file, &value.to_string()) {
            Ok(held) if shows_weight(&held, *value) => {}
            Ok(held) => return Err(Failure::told(format!("{file}: wrote {value}, the kernel holds {held}"))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => missing.push(*file),
            Err(error) => return Err(Failure::of(file, &error)),
        }
    }
    if missing.len() < candidates.len() {
        return Ok(());
    }
    let cause = format!(
        "this kernel has no {} here: it takes io.cost (v2) or the BFQ scheduler",
        missing.join(" and no ")
    );
    Err(Failure {
        cause: cause.into(),
        errno: libc::ENOENT,
    })
}

/// `100`, or `default 100` before a line for each device.
fn shows_weight(held: &str, weight: u32) -> bool {
    let first = held.lines().next().unwrap_or_default();
    first.trim_start_matches("default ").parse() == Ok(weight)
}

fn write_all(dir: &Dir, settings: Vec<Setting>) -> Result<(), Failure> {
    for Setting { file, value, shown } in settings {
        let held = dir
            .write_and_read_back(&file, &value)
            .map_err(|error| Failure::of(&format!("{file}: {value}"), &error))?;
        if !shown.agrees(&value, &held) {
            let cause = format!("{file}: wrote {value}, the kernel holds {}", held.replace('\n', ", "));
            return Err(Failure::told(cause));
        }
    }
    Ok(())
}

/// A set of CPUs or nodes may be configured and not be there; then the kernel lets the group have all of those above.
fn check_effective(dir: &Dir, on_v2: &str, on_v1: &str, version: Version, wanted: &NumberList) -> Result<(), Failure> {
    let file = match version {
        Version::V1 => on_v1.to_owned(),
        Version::V2 => format!("{on_v2}.effective"),
    };
    let effective = dir.read(&file).map_err(|error| Failure::of(&file, &error))?;
    match NumberList::parse(effective.trim()) {
        Ok(effective) if wanted.contains(&effective) => Ok(()),
        Ok(_) | Err(_) => Err(Failure::told(format!(
            "of {wanted} this machine has none: it would be {}",
            effective.trim()
        ))),
    }
}

impl Shown {
    fn agrees(&self, wanted: &str, held: &str) -> bool {
        match self {
            Self::Alone(grain) => same(wanted, held, *grain),
            Self::Line => held.lines().any(|line| line.trim_end() == wanted),
            Self::NoLine(word) => held.lines().all(|line| line.split(' ').next() != Some(word)),
            Self::Numbers => NumberList::parse(wanted) == NumberList::parse(held),
        }
    }
}

/// The kernel keeps memory in whole pages and calls more than all memory there can be `max`.
fn same(wanted: &str, held: &str, grain: u64) -> bool {
    const NO_LIMIT: u64 = 1 << 62;
    if wanted.trim() == held {
        return true;
    }
    match (wanted.parse::<u64>(), held.parse::<u64>()) {
        (Ok(wanted), Ok(held)) => (held <= wanted && wanted - held < grain) || (wanted >= NO_LIMIT && held >= NO_LIMIT),
        (Ok(wanted), Err(_)) => held == "max" && wanted >= NO_LIMIT,
        // -1 is how v1 takes `max` of memory.
        (Err(_), Ok(held)) => wanted == "-1" && held >= NO_LIMIT,
        (Err(_), Err(_)) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_kernel_makes_of_a_number() {
        let table = [
            ("64", "64", true),
            ("20000 100000", "20000 100000", true),
            ("65537", "65536", true),
            ("65536", "65537", false),
            ("1048576", "0", false),
            ("18446744073709551615", "max", true),
            ("18446744073709551615", "9223372036854771712", true),
            ("-1", "9223372036854771712", true),
            ("-1", "4096", false),
            ("4096", "max", false),
            ("max", "4096", false),
        ];
        for (wanted, held, expected) in table {
            assert_eq!(same(wanted, held, PAGE_BYTES_MAX), expected, "{wanted} {held}");
        }
    }

    #[test]
    fn what_a_file_shows() {
        let io = "8:0 rbps=1048576 wbps=max riops=max wiops=max";
        let table = [
            (
                Shown::Line,
                io,
                "7:0 rbps=1 wbps=max riops=max wiops=max\n8:0 rbps=1048576 wbps=max riops=max wiops=max",
                true,
            ),
            (Shown::Line, io, "", false),
            (Shown::NoLine("8:0".to_owned()), "8:0 0", "7:0 5\n18:0 5", true),
            (Shown::NoLine("8:0".to_owned()), "8:0 0", "7:0 5\n8:0 5", false),
            (Shown::Numbers, "0,1,2", "0-2", true),
            (Shown::Numbers, "0-2", "0-1", false),
        ];
        for (shown, wanted, held, expected) in table {
            assert_eq!(shown.agrees(wanted, held), expected, "{shown:?} {held}");
        }
        assert!(
            shows_weight("default 200\n8:0 100", 200) && shows_weight("200", 200) && !shows_weight("default 100", 200)
        );
    }
}
