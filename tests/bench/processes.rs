//! Looks at processes from outside, through /proc; proc(5).

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

/// A process and all that descend from it, but for `services`.
pub fn tree(root: u32, services: &[i32]) -> Vec<u32> {
    let mut children: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
    for entry in fs::read_dir("/proc").expect("read /proc").flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        if let Some(parent) = fields(pid).and_then(|fields| fields.get(1)?.parse().ok()) {
            children.entry(parent).or_default().push(pid);
        }
    }
    let mut found = vec![root];
    let mut next = 0;
    while let Some(pid) = found.get(next).copied() {
        found.extend(children.remove(&pid).unwrap_or_default());
        next += 1;
    }
    found.retain(|pid| !services.contains(&pid.cast_signed()));
    found
}

/// The child of this name, which it may be about to take.
pub fn child_named(parent: u32, name: &str) -> u32 {
    let comm = |pid: &u32| fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    for _ in 0..1000 {
        if let Some(child) = tree(parent, &[]).into_iter().find(|pid| comm(pid).trim_end() == name) {
            return child;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    panic!("process {parent} has no child {name}");
}

/// Bytes of memory, shared pages by their share.
pub fn pss(pids: &[u32]) -> u64 {
    let of = |pid: &u32| {
        let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("Pss:"))?;
        line.trim().trim_end_matches(" kB").parse::<u64>().ok()
    };
    pids.iter().filter_map(of).sum::<u64>() * 1024
}

/// Times that these were given a processor.
pub fn wake_ups(pids: &[u32]) -> u64 {
    let of = |pid: &u32| {
        let text = fs::read_to_string(format!("/proc/{pid}/schedstat")).ok()?;
        text.split_whitespace().nth(2)?.parse::<u64>().ok()
    };
    pids.iter().filter_map(of).sum()
}

/// Processor time of one process.
pub fn cpu(pid: u32) -> Duration {
    let text = fs::read_to_string(format!("/proc/{pid}/schedstat")).unwrap_or_default();
    let nanoseconds = text.split_whitespace().next().and_then(|number| number.parse().ok());
    Duration::from_nanos(nanoseconds.unwrap_or(0))
}

/// Processor time of one process and of its children that it has waited for; in hundredths of a second.
pub fn cpu_with_children(pid: u32) -> Duration {
    let ticks = |fields: &Vec<String>| {
        let of = |place: usize| fields.get(place).and_then(|field| field.parse::<u64>().ok());
        Some(of(11)? + of(12)? + of(13)? + of(14)?)
    };
    Duration::from_millis(10 * fields(pid).as_ref().and_then(ticks).unwrap_or(0))
}

/// The fields of /proc/PID/stat from the third, the state, on.
fn fields(pid: u32) -> Option<Vec<String>> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, rest) = text.rsplit_once(") ")?;
    Some(rest.split_whitespace().map(str::to_owned).collect())
}
