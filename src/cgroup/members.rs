//! Who is in a group: read from the kernel each time, signalled by pidfd, so that no number is trusted to still be the
//! same process.

use std::io;
use std::os::fd::OwnedFd;

use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use super::dir::{Dir, gone};
use crate::sys;
use crate::unit::Signal;

/// Processes whose pidfds are held at the same time.
const BATCH: usize = 256;

/// All processes in the group itself. Those of other pid namespaces, which have no number here, are left out.
pub fn here(dir: &Dir) -> io::Result<Vec<i32>> {
    let text = match dir.read("cgroup.procs") {
        // A threaded group: its processes are listed by the one above that they belong to.
        Err(error) if error.raw_os_error() == Some(libc::EOPNOTSUPP) => return Ok(Vec::new()),
        text => text?,
    };
    Ok(text
        .lines()
        .filter_map(|l| l.trim().parse().ok())
        .filter(|pid| *pid > 0)
        .collect())
}

/// All processes in the group and below, in order, each once.
pub fn all(dir: &Dir) -> io::Result<Vec<i32>> {
    let mut pids = Vec::new();
    dir.walk(|group| match here(group) {
        Err(error) if !gone(&error) => Err(error),
        found => {
            pids.extend(found.unwrap_or_default());
            Ok(())
        }
    })?;
    pids.sort_unstable();
    pids.dedup();
    Ok(pids)
}

/// Sends a signal to all but `except`. A process gets it only if it was a member after its pidfd was opened.
pub fn signal(dir: &Dir, signal: Signal, except: &[i32]) -> io::Result<()> {
    let mut wanted = all(dir)?;
    wanted.retain(|pid| !except.contains(pid));
    for batch in wanted.chunks(BATCH) {
        let opened = batch.iter().filter_map(|pid| pidfd(*pid).transpose());
        let opened: Vec<(i32, OwnedFd)> = opened.collect::<io::Result<_>>()?;
        let still = all(dir)?;
        for (pid, process) in opened {
            if still.binary_search(&pid).is_ok() {
                match sys::signal::send(&process, signal.0) {
                    Err(error) if error.raw_os_error() != Some(libc::ESRCH) => return Err(error),
                    Ok(()) | Err(_) => {}
                }
            }
        }
    }
    Ok(())
}

/// None: it is gone.
pub fn pidfd(pid: i32) -> io::Result<Option<(i32, OwnedFd)>> {
    let Some(number) = Pid::from_raw(pid) else {
        return Ok(None);
    };
    match pidfd_open(number, PidfdFlags::empty()) {
        Ok(process) => Ok(Some((pid, process))),
        Err(Errno::SRCH) => Ok(None),
        Err(error) => Err(error.into()),
    }
}
