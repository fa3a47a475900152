//! What this machine has, and looks at its processes and cgroups from outside svcd.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Says in the one form that tests/run counts that the calling test could not run here, and why. The caller returns.
pub fn skip(test: &str, why: &str) {
    // Written past the capture of the test runner, which keeps `println!` of a passed test to itself.
    let _ = writeln!(io::stderr(), "SKIPPED: {test}: {why}");
}

/// How much slower than a workstation this machine may be: waits and time bars are multiplied by it.
pub fn slowness() -> u32 {
    std::env::var("SVC_TEST_SLOWNESS")
        .ok()
        .and_then(|times| times.parse().ok())
        .unwrap_or(1)
}

/// How often something is done here that a workstation does so often: emulated processors have time for a part of it.
pub fn often(times: usize) -> usize {
    let slowness = slowness() as usize;
    if slowness == 1 { times } else { times / (3 * slowness) }
}

/// How long at most something may take here that has so many milliseconds: other tests, and other machines on the same
/// processors, take their part meanwhile. The figures themselves are tests/bench's.
pub fn bar(milliseconds: u64) -> Duration {
    stretch(milliseconds) * 4
}

/// So many milliseconds of a workstation, on this machine.
pub fn stretch(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds) * slowness()
}

/// Waits until `holds`, for as long as anything may take; `what` is told when it never does.
#[track_caller]
pub fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + bar(20_000);
    while !holds() {
        assert!(Instant::now() < end, "never came true: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// True when `holds` through all of the next stretch of time.
pub fn stays(milliseconds: u64, mut holds: impl FnMut() -> bool) -> bool {
    let end = Instant::now() + stretch(milliseconds);
    while Instant::now() < end {
        if !holds() {
            return false;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    true
}

/// Where a program is, in the places where Debian and a busybox guest keep them.
pub fn program(name: &str) -> Option<PathBuf> {
    let places = ["/usr/bin", "/usr/sbin", "/bin", "/sbin"];
    places
        .iter()
        .map(|place| Path::new(place).join(name))
        .find(|path| path.exists())
}

pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Each mounted cgroup hierarchy: its controllers (empty for v2) and its mount point.
pub fn hierarchies() -> Vec<(String, PathBuf)> {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let mut found = Vec::new();
    for line in mounts.lines() {
        let fields: Vec<&str> = line.split(' ').collect();
        match fields[..] {
            [_, at, "cgroup2", ..] => found.push((String::new(), at.into())),
            [_, at, "cgroup", options, ..] => found.push((options.to_owned(), at.into())),
            _ => {}
        }
    }
    found
}

/// The mount point of the v1 hierarchy of a controller.
pub fn v1(controller: &str) -> Option<PathBuf> {
    let has = |options: &str| options.split(',').any(|option| option == controller);
    hierarchies()
        .into_iter()
        .find(|(options, _)| has(options))
        .map(|(_, at)| at)
}

/// The v2 tree, if it has this controller to give.
pub fn v2(controller: &str) -> Option<PathBuf> {
    let has = |at: &Path| {
        let controllers = fs::read_to_string(at.join("cgroup.controllers")).unwrap_or_default();
        controllers.split_whitespace().any(|name| name == controller)
    };
    hierarchies()
        .into_iter()
        .find(|(options, at)| options.is_empty() && has(at))
        .map(|(_, at)| at)
}

/// True when some hierarchy has the controller.
pub fn has_controller(controller: &str) -> bool {
    v1(controller).is_some() || v2(controller).is_some()
}

/// Every cgroup directory, in every hierarchy, whose path ends with `path`.
pub fn cgroups(path: &str) -> Vec<PathBuf> {
    let mut open: Vec<PathBuf> = hierarchies().into_iter().map(|(_, at)| at).collect();
    let mut found = Vec::new();
    while let Some(folder) = open.pop() {
        if folder.ends_with(path) {
            found.push(folder.clone());
        }
        let entries = fs::read_dir(&folder).into_iter().flatten().flatten();
        open.extend(
            entries
                .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
                .map(|entry| entry.path()),
        );
    }
    found
}

/// The processes in every cgroup at or below a path that ends with `path`; zombies are nowhere any more, even where the
/// machine's first process reaps nobody.
pub fn members(path: &str) -> Vec<u32> {
    let inside = |line: &str| {
        let place = line.splitn(3, ':').nth(2).unwrap_or_default();
        format!("{place}/").contains(&format!("/{path}/"))
    };
    let of = |pid: &u32| fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default();
    processes()
        .into_iter()
        .filter(|pid| alive(*pid) && of(pid).lines().any(inside))
        .collect()
}

/// All processes, zombies too.
pub fn processes() -> Vec<u32> {
    let entries = fs::read_dir("/proc").expect("/proc is mounted").flatten();
    entries
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .collect()
}

/// The state letter of proc(5) and the parent of a process.
pub fn state_and_parent(pid: u32) -> Option<(char, u32)> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut rest = stat.rsplit_once(')')?.1.split_whitespace();
    Some((rest.next()?.chars().next()?, rest.next()?.parse().ok()?))
}

/// How nice a process is.
pub fn nice(pid: u32) -> Option<i32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(')')?.1.split_whitespace().nth(16)?.parse().ok()
}

/// True while the process is there and is no zombie.
pub fn alive(pid: u32) -> bool {
    state_and_parent(pid).is_some_and(|(state, _)| state != 'Z')
}

/// The children of a process that have ended and wait to be reaped.
pub fn zombies_of(parent: u32) -> Vec<u32> {
    let of = |pid: &u32| state_and_parent(*pid) == Some(('Z', parent));
    processes().into_iter().filter(of).collect()
}

/// Kibibytes of memory that a process holds: not the pages of its program, which become more with each part of it that is
/// run for the first time, and are the file's; proc_pid_status(5).
pub fn resident_kib(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let of = |key: &str| {
        let line = status.lines().find(|line| line.starts_with(key)).unwrap_or_default();
        line.split_whitespace()
            .nth(1)
            .and_then(|value| value.parse::<u64>().ok())
            .unwrap_or_else(|| panic!("no {key} of {pid}"))
    };
    of("RssAnon:") + of("RssShmem:")
}

/// How many descriptors a process has open, without the network namespaces that svcd has ready.
pub fn open_descriptors(pid: u32) -> usize {
    open_files(pid).iter().filter(|file| !file.starts_with("net:[")).count()
}

/// The kernel's version, in its first two numbers.
pub fn kernel() -> (u32, u32) {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").expect("read osrelease");
    let mut numbers = release.split('.').map(|number| number.parse().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
}

/// What a process's descriptors are open on, as its /proc/PID/fd says.
pub fn open_files(pid: u32) -> Vec<String> {
    let all = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    // One that is closed meanwhile is not counted.
    all.filter_map(|entry| fs::read_link(entry.path()).ok())
        .map(|file| file.display().to_string())
        .collect()
}

/// CPU time that a process has used, its own threads only.
pub fn cpu_time(pid: u32) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let rest = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let ticks: u64 = rest
        .split_whitespace()
        .skip(11)
        .take(2)
        .filter_map(|ticks| ticks.parse::<u64>().ok())
        .sum();
    // USER_HZ is 100 on every machine we build for; proc(5) counts in it.
    Duration::from_millis(ticks * 10)
}

/// Which namespace of a kind a process is in, as `/proc/PID/ns` writes it.
pub fn namespace(pid: u32, kind: &str) -> String {
    fs::read_link(format!("/proc/{pid}/ns/{kind}"))
        .map(|link| link.display().to_string())
        .unwrap_or_default()
}

pub fn send(pid: u32, signal: rustix::process::Signal) {
    let pid = rustix::process::Pid::from_raw(pid as i32).expect("a process number");
    rustix::process::kill_process(pid, signal).expect("signal a process of the test");
}

/// The memory controller is on cgroup v2 here.
pub fn memory_is_on_v2() -> bool {
    fs::read_to_string("/sys/fs/cgroup/cgroup.controllers")
        .is_ok_and(|list| list.split_whitespace().any(|c| c == "memory"))
}
