//! What /proc says of a unit's processes, for `svc ps` and `svc status`; proc(5).

use std::collections::BTreeMap;
use std::fs;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use rustix::process::{Pid, PidfdFlags, pidfd_open};

use super::lives::Life;
use crate::control::view;

/// True where /proc counts as our own pid namespace does. A container may have one mounted that is somebody else's.
fn proc_is_ours() -> bool {
    static OURS: OnceLock<bool> = OnceLock::new();
    let own = std::process::id().to_string();
    *OURS.get_or_init(|| fs::read_link("/proc/self").is_ok_and(|shown| shown == Path::new(&own)))
}

/// A file of a process below /proc, under the number that it has there: another one than ours where /proc is somebody
/// else's, which the description of a pidfd tells; proc_pid_fdinfo(5).
pub fn file(pid: i32, name: &str) -> Option<PathBuf> {
    let number = if proc_is_ours() {
        pid.to_string()
    } else {
        let pidfd = pidfd_open(Pid::from_raw(pid)?, PidfdFlags::empty()).ok()?;
        let told = fs::read_to_string(format!("/proc/self/fdinfo/{}", pidfd.as_raw_fd())).ok()?;
        let number = told.lines().find_map(|line| line.strip_prefix("Pid:"))?;
        number.trim().to_owned()
    };
    Some(Path::new("/proc").join(number).join(name))
}

/// The name that a process's program has; proc_pid_comm(5).
pub fn program(pid: i32) -> Option<String> {
    let name = fs::read_to_string(file(pid, "comm")?).ok()?;
    Some(name.trim_end().to_owned())
}

/// A process's number in the innermost pid namespace that it is in: the last of `NSpid`.
pub fn inside_pid(pid: i32) -> Option<u32> {
    status_field(pid, "NSpid:")?
        .split_whitespace()
        .next_back()?
        .parse()
        .ok()
}

/// When a process began, in ticks since boot.
pub fn start_time(pid: i32) -> Option<u64> {
    /// Counted from what follows the command's name, which may hold anything.
    const STARTTIME: usize = 22 - 3;
    stat_field(pid, STARTTIME)
}

/// The number of the parent.
pub fn parent(pid: i32) -> Option<i32> {
    const PPID: usize = 4 - 3;
    stat_field(pid, PPID)
}

/// Which pid namespace a process is in: two are in one where these are equal; pid_namespaces(7).
pub fn pid_namespace(pid: i32) -> Option<PathBuf> {
    fs::read_link(file(pid, "ns/pid")?).ok()
}

/// The real user of a process.
pub fn user(pid: i32) -> Option<u32> {
    status_field(pid, "Uid:")?.split_whitespace().next()?.parse().ok()
}

/// How a zombie has ended, as wait(2) has it.
pub fn zombie_status(pid: i32) -> Option<i32> {
    const STATE: usize = 0;
    const EXIT_CODE: usize = 52 - 3;
    let zombie = stat_field::<char>(pid, STATE)? == 'Z';
    stat_field(pid, EXIT_CODE).filter(|_| zombie)
}

fn stat_field<T: std::str::FromStr>(pid: i32, nth: usize) -> Option<T> {
    let stat = fs::read(file(pid, "stat")?).ok()?;
    let stat = String::from_utf8_lossy(&stat);
    stat.rsplit_once(')')?.1.split_whitespace().nth(nth)?.parse().ok()
}

/// Which boot of the machine this is; random(4), boot_id.
pub fn boot_id() -> Box<str> {
    let id = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    id.trim_end().into()
}

/// Those of a run, with svcd's own that are beside them.
pub fn of(life: &Life) -> Vec<view::Process> {
    let main = life.main().map(|main| main.pid);
    let mut all: Vec<i32> = life.members().into_iter().chain(life.helpers()).collect();
    all.sort_unstable();
    // It executes nothing of its own, so its command line would be svcd's.
    let proxy = life.proxy.as_ref().map(|proxy| proxy.pid);
    let process = |pid: i32| {
        let mut process = process(pid, main == Some(pid))?;
        if proxy == Some(pid) {
            process.command = program(pid)?;
        }
        Some(process)
    };
    all.into_iter().filter_map(process).collect()
}

/// One process as people see it; None: it has ended.
pub fn process(pid: i32, main: bool) -> Option<view::Process> {
    Some(view::Process {
        host: u32::try_from(pid).ok()?,
        inside: inside_pid(pid),
        command: command(pid)?,
        main,
        namespaces: namespaces(pid),
    })
}

/// `4711 /usr/bin/web`, for each process that there is, but us and the kernel's own; none where /proc is somebody else's.
pub fn left() -> Vec<String> {
    let shown = proc_is_ours().then(|| fs::read_dir("/proc").ok()).flatten();
    let numbers = shown.into_iter().flatten().flatten();
    let numbers = numbers.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let line = |number: u32| {
        let command = command(i32::try_from(number).ok()?)?;
        (!command.starts_with('[')).then(|| format!("{number} {command}"))
    };
    numbers
        .filter(|number| *number != std::process::id())
        .filter_map(line)
        .collect()
}

/// Bytes that a process has resident, what it shares with others included; None: it has ended.
pub fn resident_bytes(pid: i32) -> Option<u64> {
    let kibibytes: u64 = status_field(pid, "VmRSS:")?
        .trim_end_matches("kB")
        .trim()
        .parse()
        .ok()?;
    Some(kibibytes * 1024)
}

/// How many threads a process has, itself among them; None: it has ended.
pub fn threads(pid: i32) -> Option<u64> {
    status_field(pid, "Threads:")?.parse().ok()
}

fn status_field(pid: i32, name: &str) -> Option<String> {
    let status = fs::read_to_string(file(pid, "status")?).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    Some(line.trim().to_owned())
}

/// The command line with its words apart; for who has none (a zombie, a kernel thread) the name in brackets.
fn command(pid: i32) -> Option<String> {
    let line = fs::read(file(pid, "cmdline")?).ok()?;
    let words: Vec<String> = line
        .split(|byte| *byte == 0)
        .filter(|word| !word.is_empty())
        .map(|word| String::from_utf8_lossy(word).into_owned())
        .collect();
    if !words.is_empty() {
        return Some(words.join(" "));
    }
    Some(format!("[{}]", program(pid)?))
}

/// The inode number behind each link of /proc/PID/ns: two processes are in one namespace when these are equal;
/// namespaces(7).
fn namespaces(pid: i32) -> BTreeMap<String, u64> {
    let entries = file(pid, "ns").and_then(|path| fs::read_dir(path).ok());
    let entries = entries.into_iter().flatten().flatten();
    entries
        .filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            let target = fs::read_link(entry.path()).ok()?;
            let number = target.to_str()?.split_once('[')?.1.trim_end_matches(']').parse().ok()?;
            (!name.ends_with("_for_children")).then_some((name, number))
        })
        .collect()
}
