//! What each run of a unit has of the kernel's: its cgroup, its processes, and what is still to be done about them.

use std::collections::{BTreeSet, HashMap};
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::time::Duration;

use super::dynamic_users::DynamicUser;
use super::health::Probes;
use super::memory::OomWatched;
use super::network::Port;
use super::notify::NotifySocket;
use super::poll::{Token, Who};
use crate::cgroup::Group;
use crate::engine::event::{Mono, Role};
use crate::engine::{RunId, UnitId};
use crate::sandbox::Sandbox;
use crate::unit::{Enforcement, Unenforceable, Unit};

/// One run of a unit, as the kernel has it.
#[derive(Debug)]
pub struct Life {
    /// Which run.
    pub run: RunId,
    /// The definition that it was made from.
    pub unit: Rc<Unit>,
    /// Its cgroup. None until it is made, and where this machine lets us make none.
    pub group: Option<Group>,
    /// The reaper that holds its namespaces.
    pub holder: Option<Process>,
    /// What leads clients to its published ports where no rule does. It is none of the unit's processes.
    pub proxy: Option<Process>,
    /// Its commands that run now.
    pub commands: Vec<(Role, Process)>,
    /// Commands of clients that run beside them, by the clients' numbers.
    pub sessions: Vec<(u64, Process)>,
    /// What takes away what the run leaves, and whether its cgroup is kept for the next run.
    pub sweeper: Option<Process>,
    /// Likewise.
    pub keep_after_sweep: bool,
    /// The run is over, and another follows.
    pub another_follows: bool,
    /// To be started as soon as the holder has executed.
    pub queued: Option<Role>,
    /// Everyone was sent SIGKILL.
    pub killing: bool,
    /// cgroup.kill was written to its group.
    pub killed: bool,
    /// Somebody waits to hear that nobody is left.
    pub awaiting_empty: bool,
    /// A process that a command left behind, watched until it ends.
    pub straggler: Option<(OwnedFd, Token)>,
    /// Its last lines are not on disk yet.
    pub flushing: bool,
    /// The run is over: its cgroup goes as soon as it can.
    pub releasing: bool,
    /// When a busy cgroup is looked at again, and the pause after that.
    pub retry: Option<(Mono, Duration)>,
    /// OOM kills that the cgroup had counted before this run; and how they are heard of.
    pub oom_before: u64,
    /// Likewise.
    pub oom: Option<OomWatched>,
    /// What its probes said.
    pub probes: Probes,
    /// Where it says what it has to say.
    pub notify: Option<NotifySocket>,
    /// Its processes are stopped where they are.
    pub frozen: bool,
    /// What it has of the bridge.
    pub port: Option<Port>,
    /// The user that is there while it runs.
    pub dynamic_user: Option<DynamicUser>,
    /// What it gets of its isolation.
    pub sandbox: Rc<Sandbox>,
    /// Keys that it does without since its own start has shown that it cannot have them, and why.
    pub lacks: Vec<(Box<str>, Box<str>)>,
    /// Limits that are skipped since there are no cgroups at all.
    pub unheld: Vec<(Box<str>, Enforcement)>,
    /// It was adopted, and what it has of isolation could not be had again: no further command of it is started.
    pub refused: Option<Unenforceable>,
    /// 128 random bits in hex, new for each run: $INVOCATION_ID of systemd.exec(5).
    pub invocation: Box<str>,
}

/// A process of ours.
#[derive(Debug)]
pub struct Process {
    /// For people and for /proc.
    pub pid: i32,
    /// For signals.
    pub pidfd: OwnedFd,
    /// Its end is waited for under this.
    pub token: Token,
    /// Open until its program has executed.
    pub report: Option<(OwnedFd, Token)>,
    /// It said that it could not execute: its end is no news.
    pub failed: bool,
}

impl Life {
    /// A run with nothing under way yet.
    pub fn new(run: RunId, unit: Rc<Unit>, group: Option<Group>, sandbox: Rc<Sandbox>) -> Self {
        Self {
            run,
            unit,
            oom_before: group.as_ref().map_or(0, Group::oom_kills),
            oom: None,
            probes: Probes::default(),
            notify: None,
            frozen: false,
            dynamic_user: None,
            port: None,
            group,
            holder: None,
            proxy: None,
            commands: Vec::new(),
            sessions: Vec::new(),
            sweeper: None,
            keep_after_sweep: false,
            another_follows: false,
            queued: None,
            killing: false,
            killed: false,
            awaiting_empty: false,
            straggler: None,
            flushing: false,
            releasing: false,
            retry: None,
            sandbox,
            lacks: Vec::new(),
            unheld: Vec::new(),
            refused: None,
            invocation: invocation(),
        }
    }

    /// From now on it does without a key that it cannot have. False: it may not.
    pub fn do_without(&mut self, key: &str, why: &str) -> bool {
        let Some(sandbox) = self.sandbox.without(key, why) else {
            return false;
        };
        self.sandbox = Rc::new(sandbox);
        self.lacks.push((key.into(), why.into()));
        true
    }

    /// It stays on the bridge for the run that follows.
    pub fn keeps_port(&self) -> bool {
        self.another_follows && self.port.is_some()
    }

    /// What stays of it for the run that follows, without anything of its own.
    pub fn between_runs(self) -> Option<Self> {
        let port = Some(self.port.filter(|_| self.another_follows)?);
        let rest = Self::new(self.run, self.unit, None, self.sandbox);
        Some(Self {
            port,
            another_follows: true,
            ..rest
        })
    }

    /// The process that runs a command.
    pub fn command(&self, role: Role) -> Option<&Process> {
        self.commands
            .iter()
            .find(|(its, _)| *its == role)
            .map(|(_, process)| process)
    }

    /// The main process.
    pub fn main(&self) -> Option<&Process> {
        self.commands
            .iter()
            .find(|(role, _)| matches!(role, Role::Main(_)))
            .map(|(_, process)| process)
    }

    /// One of its processes.
    pub fn process(&mut self, who: Who) -> Option<&mut Process> {
        match who {
            Who::Holder => self.holder.as_mut(),
            Who::Proxy => self.proxy.as_mut(),
            Who::Sweeper => self.sweeper.as_mut(),
            Who::Command(role) => self
                .commands
                .iter_mut()
                .find(|(its, _)| *its == role)
                .map(|(_, process)| process),
            Who::Session(client) => self
                .sessions
                .iter_mut()
                .find(|(its, _)| *its == client)
                .map(|(_, process)| process),
        }
    }

    /// One more.
    pub fn put(&mut self, who: Who, process: Process) {
        match who {
            Who::Holder => self.holder = Some(process),
            Who::Proxy => self.proxy = Some(process),
            Who::Sweeper => self.sweeper = Some(process),
            Who::Command(role) => {
                self.commands.reserve_exact(1);
                self.commands.push((role, process));
            }
            Who::Session(client) => self.sessions.push((client, process)),
        }
    }

    /// Its holder and its proxy: svcd's own, whose ends are no ends of the unit's.
    pub fn helpers(&self) -> Vec<i32> {
        let helpers = self.holder.iter().chain(&self.proxy);
        helpers.map(|process| process.pid).collect()
    }

    /// The processes that svcd has started for it, besides those.
    pub fn started(&self) -> impl Iterator<Item = &Process> {
        let commands = self.commands.iter().map(|(_, process)| process);
        commands.chain(self.sessions.iter().map(|(_, process)| process))
    }

    /// Processes of the unit, without those: those of its cgroup, or its commands where it has no cgroup.
    pub fn members(&self) -> Vec<i32> {
        let helpers = self.helpers();
        match self.group.as_ref().map(Group::members) {
            Some(Ok(members)) => members.into_iter().filter(|pid| !helpers.contains(pid)).collect(),
            Some(Err(_)) | None => self.started().map(|process| process.pid).collect(),
        }
    }
}

/// All runs, by unit, and which of them have changed since they were last saved.
#[derive(Debug, Default)]
pub struct Lives {
    all: HashMap<UnitId, Box<Life>>,
    changed: BTreeSet<UnitId>,
}

impl Lives {
    /// That of a unit.
    pub fn get(&self, unit: &UnitId) -> Option<&Life> {
        self.all.get(unit).map(|life| &**life)
    }

    /// That of a unit, to change it: so it is saved.
    pub fn get_mut(&mut self, unit: &UnitId) -> Option<&mut Life> {
        let life = self.all.get_mut(unit)?;
        self.changed.insert(*unit);
        Some(life)
    }

    /// Takes the place of what the unit had.
    pub fn insert(&mut self, unit: UnitId, life: Life) {
        self.changed.insert(unit);
        self.all.insert(unit, Box::new(life));
    }

    /// Takes it out.
    pub fn remove(&mut self, unit: &UnitId) -> Option<Life> {
        let life = self.all.remove(unit)?;
        self.changed.insert(*unit);
        Some(*life)
    }

    /// All of them, at the end.
    pub fn take_all(&mut self) -> impl Iterator<Item = Life> {
        self.all.drain().map(|(_, life)| *life)
    }

    /// All, in any order.
    pub fn iter(&self) -> impl Iterator<Item = (&UnitId, &Life)> {
        self.all.iter().map(|(unit, life)| (unit, &**life))
    }

    /// Whether [`Lives::take_changed`] has any.
    pub fn has_changed(&self) -> bool {
        !self.changed.is_empty()
    }

    /// The groups, to change what they hold: that is not saved, since it follows from the definitions.
    pub fn groups_mut(&mut self) -> impl Iterator<Item = (&UnitId, &mut Group)> {
        let all = self.all.iter_mut();
        all.filter_map(|(unit, life)| Some((unit, life.group.as_mut()?)))
    }

    /// The units whose runs have changed, or gone, since the last call.
    pub fn take_changed(&mut self) -> BTreeSet<UnitId> {
        std::mem::take(&mut self.changed)
    }
}

/// 128 random bits in hex.
fn invocation() -> Box<str> {
    let mut bytes = [0_u8; 16];
    // A short read leaves zeroes, which is a poor name and no harm.
    let _ = rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::NONBLOCK);
    format!("{:032x}", u128::from_be_bytes(bytes)).into()
}
