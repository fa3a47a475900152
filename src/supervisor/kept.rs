//! What is saved of the kernel's side: plain values, and the descriptors by their numbers.
//!
//! Whoever adds a descriptor that a unit or a client cannot do without adds it here, where it is saved (`of`) and in
//! [`super::adopt`], where it is taken back.

use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::time::Duration;

use rustix::fs::fstat;

use super::lives::{Life, Process};
use crate::engine::UnitId;
use crate::engine::event::{End, Mono, Role, Wall};
use crate::engine::record::saved;
use crate::sys;
use crate::sys::inherit::Inherited;

/// A descriptor: its number over an exec, and what it must be there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Descriptor {
    number: RawFd,
    device: u64,
    inode: u64,
}
saved!(struct Descriptor { number, device, inode });

impl Descriptor {
    /// This one.
    pub fn of(fd: impl AsFd) -> Self {
        let fd = fd.as_fd();
        super::crash::remember(fd.as_raw_fd());
        let (device, inode) = fstat(fd).map_or((0, 0), |meta| (meta.st_dev, meta.st_ino));
        Self {
            number: fd.as_raw_fd(),
            device,
            inode,
        }
    }

    /// One of which only is known what it is to.
    pub fn known(device: u64, inode: u64) -> Self {
        Self {
            number: -1,
            device,
            inode,
        }
    }

    /// Takes it out of what was inherited. None: it is not there, or the number is something else's by now.
    pub fn take(&self, inherited: &mut Inherited) -> Option<OwnedFd> {
        inherited.take(self.number).filter(|fd| self.is(fd))
    }

    /// Whether this descriptor is to the same thing, as far as that is known.
    pub fn is(&self, fd: impl AsFd) -> bool {
        self.key() == (0, 0) || fstat(fd).is_ok_and(|meta| (meta.st_dev, meta.st_ino) == (self.device, self.inode))
    }

    /// What it is to: device and inode.
    pub fn key(&self) -> (u64, u64) {
        (self.device, self.inode)
    }
}

/// Which process a number meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    pub pid: i32,
    /// The inode of its pidfd; 0: this kernel has none of its own for each process.
    pub inode: u64,
    /// When it began, in ticks since boot, where there is no inode.
    pub start: u64,
}
saved!(struct Identity { pid, inode, start });

impl Identity {
    /// Of the process behind this pidfd, whose number is `pid`.
    pub fn of(pid: i32, pidfd: impl AsFd) -> Self {
        let inode = inode_of(&pidfd);
        let start = if inode == 0 {
            super::processes::start_time(pid).unwrap_or(0)
        } else {
            0
        };
        Self { pid, inode, start }
    }

    /// A pidfd of it, if it is still there, if only as a zombie.
    pub fn open(&self) -> Option<OwnedFd> {
        let pid = rustix::process::Pid::from_raw(self.pid)?;
        let pidfd = rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty()).ok()?;
        // Read after the number was opened: another process of that number began at another time.
        let same = || self.inode == 0 && super::processes::start_time(self.pid) == Some(self.start);
        (self.is(&pidfd) || same()).then_some(pidfd)
    }

    /// Whether this pidfd is known to be to the same process.
    pub fn is(&self, pidfd: impl AsFd) -> bool {
        self.inode != 0 && inode_of(pidfd) == self.inode
    }
}

fn inode_of(pidfd: impl AsFd) -> u64 {
    if sys::pidfd::has_inode(&pidfd) {
        fstat(pidfd).map_or(0, |meta| meta.st_ino)
    } else {
        0
    }
}

/// A process of a run.
#[derive(Clone, Debug)]
pub struct KeptProcess {
    pub identity: Identity,
    pub pidfd: Descriptor,
    /// It has not executed its program yet.
    pub report: Option<Descriptor>,
    pub failed: bool,
}
saved!(struct KeptProcess { identity, pidfd, report, failed });

impl KeptProcess {
    fn of(process: &Process) -> Self {
        Self {
            identity: Identity::of(process.pid, &process.pidfd),
            pidfd: Descriptor::of(&process.pidfd),
            report: process.report.as_ref().map(|(report, _)| Descriptor::of(report)),
            failed: process.failed,
        }
    }
}

/// A run: what [`Life`] has that is not found out again.
#[derive(Clone, Debug)]
pub struct KeptLife {
    pub nth: u32,
    pub holder: Option<KeptProcess>,
    pub proxy: Option<KeptProcess>,
    /// The ports that it leads.
    pub inlets: Vec<Descriptor>,
    /// It is on the bridge.
    pub on_bridge: bool,
    pub commands: Vec<(Role, KeptProcess)>,
    /// Commands of clients, by their numbers.
    pub sessions: Vec<(u64, KeptProcess)>,
    pub queued: Option<Role>,
    pub killing: bool,
    pub killed: bool,
    pub frozen: bool,
    /// The number of a user that is there while it runs.
    pub dynamic_user: Option<u32>,
    pub oom_before: u64,
    pub invocation: Box<str>,
    /// Where it says what it has to say.
    pub notify: Option<Descriptor>,
    /// Keys that it does without, and why.
    pub lacks: Vec<(Box<str>, Box<str>)>,
}
saved!(struct KeptLife {
    nth, holder, proxy, inlets, on_bridge, commands, sessions, queued, killing, killed, frozen, dynamic_user, oom_before, invocation, notify, lacks
});

impl KeptLife {
    pub fn of(life: &Life) -> Self {
        let commands = life.commands.iter();
        Self {
            nth: life.run.nth,
            holder: life.holder.as_ref().map(KeptProcess::of),
            proxy: life.proxy.as_ref().map(KeptProcess::of),
            inlets: life.port.as_ref().map(|port| port.proxied.kept()).unwrap_or_default(),
            on_bridge: life.port.is_some(),
            commands: commands
                .map(|(role, process)| (*role, KeptProcess::of(process)))
                .collect(),
            sessions: life
                .sessions
                .iter()
                .map(|(client, process)| (*client, KeptProcess::of(process)))
                .collect(),
            queued: life.queued,
            killing: life.killing,
            killed: life.killed,
            frozen: life.frozen,
            dynamic_user: life.dynamic_user.as_ref().map(|user| user.id),
            oom_before: life.oom_before,
            invocation: life.invocation.clone(),
            notify: life.notify.as_ref().map(Descriptor::of),
            lacks: life.lacks.clone(),
        }
    }
}

/// The pipe of a unit's output.
#[derive(Clone, Debug)]
pub struct KeptPipe {
    pub read: Descriptor,
    pub write: Descriptor,
}
saved!(struct KeptPipe { read, write });

/// A client, and how far the talk with it is.
#[derive(Clone, Debug)]
pub struct KeptClient {
    pub socket: Descriptor,
    pub program: Box<str>,
    /// The beginning of a message.
    pub received: Vec<u8>,
    /// What it has not taken yet.
    pub unsent: Vec<u8>,
    pub busy: bool,
    pub watching: bool,
    pub lagged: bool,
    pub hung_up: bool,
    pub stalled: Option<Mono>,
    pub call: Option<KeptCall>,
}
saved!(struct KeptClient {
    socket, program, received, unsent, busy, watching, lagged, hung_up, stalled, call
});

/// A call that waits for its jobs.
#[derive(Clone, Debug)]
pub struct KeptCall {
    /// It waits for the re-exec itself.
    pub reexec: bool,
    /// It waits for the end of this unit's main process, or for what comes after that, and how that ended.
    pub run: Option<UnitId>,
    pub ended: Option<End>,
    pub more: bool,
    pub left: Vec<UnitId>,
    /// Those that are known, as JSON.
    pub outcomes: Box<str>,
    pub deadline: Option<Mono>,
}
saved!(struct KeptCall { reexec, run, ended, more, left, outcomes, deadline });

/// An end that has begun.
#[derive(Clone, Debug)]
pub struct KeptShutdown {
    /// What becomes of the machine; empty: nothing.
    pub power: Box<str>,
    pub begun: Mono,
    pub timeout: Duration,
}
saved!(struct KeptShutdown { power, begun, timeout });

/// What there is one of.
#[derive(Clone, Debug)]
pub struct KeptSelf {
    /// svcd's version.
    pub version: Box<str>,
    /// Which boot of the machine this is.
    pub boot: Box<str>,
    pub since_mono: Mono,
    pub since_wall: Wall,
    /// The limits of descriptors that it was started with.
    pub nofile: Option<(u64, u64)>,
    pub lock: Descriptor,
    pub listener: Descriptor,
    /// What output passes through on its way to a file.
    pub spool: Vec<Descriptor>,
    pub shutdown: Option<KeptShutdown>,
    /// The unit that a container is for was asked to start.
    pub main_began: bool,
}
saved!(struct KeptSelf { version, boot, since_mono, since_wall, nofile, lock, listener, spool, shutdown, main_began });

/// What is known of the unit directories.
#[derive(Clone, Debug)]
pub struct KeptFiles {
    /// Instances that were asked for by name.
    pub instances: Vec<Box<str>>,
    /// Transient units that go when they have ended.
    pub passing: Vec<Box<str>>,
    /// Directories that held units, with their device and inode.
    pub held: Vec<(Box<str>, (u64, u64))>,
    /// How often units have failed that were up before the generation in force.
    pub failures: Vec<(Box<str>, u32)>,
}
saved!(struct KeptFiles { instances, passing, held, failures });
