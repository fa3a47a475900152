//! Processes that the kernel kills for memory: counted, and told of when it happens.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use rustix::event::{EventfdFlags, eventfd};
use rustix::fs::OFlags;

use super::group::Group;
use super::layout::Version;

/// A descriptor that tells when [`Group::oom_kills`] may have risen.
#[derive(Debug)]
pub enum OomWatch {
    /// EPOLLPRI, edge-triggered: of v2's memory.events. It tells of more than kills: of a limit that was met, up to a hundred
    /// times a second.
    Events(OwnedFd),
    /// EPOLLIN: of an eventfd that v1 counts up before it kills, so that the count may follow a moment later.
    Counter(OwnedFd),
}

impl AsFd for OomWatch {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Events(fd) | Self::Counter(fd) => fd.as_fd(),
        }
    }
}

impl OomWatch {
    /// What it has told is heard.
    pub fn drain(&self) {
        let mut bytes = [0_u8; 8];
        match self {
            Self::Events(_) => {}
            // Nothing there is as good as read.
            Self::Counter(fd) => drop(rustix::io::read(fd, &mut bytes)),
        }
    }
}

impl Group {
    /// How many of the unit's processes the kernel has killed for memory since the group was made. Nought where the memory
    /// controller has no group of it.
    pub fn oom_kills(&self) -> u64 {
        let Some(place) = self.place_of("memory") else { return 0 };
        let file = match self.version(place) {
            Version::V1 => "memory.oom_control",
            Version::V2 => "memory.events",
        };
        let kills = self.dir(place).and_then(|dir| dir.keyed(file, "oom_kill"));
        kills.ok().flatten().unwrap_or(0)
    }

    /// Tells when [`Group::oom_kills`] may have risen. None where it cannot. memory.events in cgroup-v2; memory in
    /// cgroup-v1, "OOM Control".
    pub fn watch_oom(&self) -> io::Result<Option<OomWatch>> {
        let Some(place) = self.place_of("memory") else {
            return Ok(None);
        };
        let dir = self.dir(place)?;
        match self.version(place) {
            Version::V2 => {
                let events = dir.file("memory.events", OFlags::RDONLY)?;
                // Only what comes after this is told.
                rustix::io::read(&events, &mut [0_u8; 256])?;
                Ok(Some(OomWatch::Events(events)))
            }
            Version::V1 => {
                let counter = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
                let control = dir.file("memory.oom_control", OFlags::RDONLY)?;
                let order = format!("{} {}", counter.as_raw_fd(), control.as_raw_fd());
                dir.write("cgroup.event_control", &order)?;
                Ok(Some(OomWatch::Counter(counter)))
            }
        }
    }
}
