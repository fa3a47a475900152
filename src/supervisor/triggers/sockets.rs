//! Sockets of units, open as long as the unit is armed: over its runs, over an exec of svcd, and over a crash.
//!
//! A child opens them ([`sandbox::Opening`]). A run's main process gets them as descriptors 3 and up; one that is lazy is
//! waited for while no run is under way.

use std::collections::BTreeMap;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use rustix::io::Errno;
use rustix::process::{PidfdGetfdFlags, pidfd_getfd};

use crate::engine::event::{Cause, Event, Mono, Role, SpawnFailure};
use crate::engine::record::saved;
use crate::engine::{Armed, UnitId};
use crate::sandbox::{self, Opened, Opening};
use crate::supervisor::Supervisor;
use crate::supervisor::clock;
use crate::supervisor::former::Former;
use crate::supervisor::keep::SOCKETS;
use crate::supervisor::kept::Descriptor;
use crate::supervisor::lives::Life;
use crate::supervisor::poll::{Poll, Source, Token, Who};
use crate::supervisor::processes;
use crate::supervisor::spawn::{from_io, kind_of};
use crate::unit::{Kind, Socket};

/// How long nobody is listened to where the machine is short of descriptors or memory.
const ACCEPT_PAUSE: Duration = Duration::from_secs(1);

/// The sockets of one unit, in any order.
#[derive(Debug, Default)]
pub struct Sockets {
    open: Vec<Open>,
    /// A child opens those that miss, by its number.
    opening: Option<u64>,
    /// The first connection is waited for.
    on: bool,
}

#[derive(Debug)]
struct Open {
    socket: Socket,
    fd: OwnedFd,
    inode: Option<(u64, u64)>,
    token: Option<Token>,
}

/// Children that open sockets, by number.
#[derive(Debug, Default)]
pub struct Openings {
    last: u64,
    all: BTreeMap<u64, (UnitId, Opening, Vec<Socket>, Token)>,
}

/// A socket, as it is saved.
#[derive(Clone, Debug)]
pub struct KeptSocket {
    /// The whole of its definition.
    what: Box<str>,
    fd: Descriptor,
    inode: Option<(u64, u64)>,
}
saved!(struct KeptSocket { what, fd, inode });

fn definition(socket: &Socket) -> Box<str> {
    serde_json::to_string(socket).unwrap_or_default().into()
}

impl Sockets {
    pub fn keep(&self) -> Vec<KeptSocket> {
        let kept = |open: &Open| KeptSocket {
            what: definition(&open.socket),
            fd: Descriptor::of(&open.fd),
            inode: open.inode,
        };
        self.open.iter().map(kept).collect()
    }

    pub fn shown(&self) -> impl Iterator<Item = &Socket> {
        self.open.iter().map(|open| &open.socket)
    }

    /// Waits for connections to those that are lazy, or not any more.
    fn poll(&mut self, unit: UnitId, poll: &mut Poll) {
        let is_trigger = |open: &&mut Open| open.socket.lazy || open.socket.accept;
        for open in self.open.iter_mut().filter(is_trigger) {
            match (self.on, open.token.take()) {
                (true, None) => open.token = poll.add(&open.fd, Source::Socket(unit, open.fd.as_raw_fd())).ok(),
                (false, Some(token)) => poll.remove(&open.fd, token),
                (_, token) => open.token = token,
            }
        }
    }
}

impl Supervisor {
    /// Opens a unit's sockets that are not open as they are to be, and closes others. True: a child does.
    pub(super) fn set_sockets(&mut self, unit: UnitId) -> Result<bool, SpawnFailure> {
        let wanted = self
            .engine
            .unit(unit)
            .map(|unit| sockets_of(&unit.kind).to_vec())
            .unwrap_or_default();
        self.cancel_opening(unit);
        self.close_sockets(unit, |socket| wanted.contains(socket));
        let open = self.triggers.sockets.get(&unit);
        let is_open =
            |socket: &&Socket| open.is_some_and(|sockets| sockets.open.iter().any(|open| open.socket == **socket));
        let missing: Vec<Socket> = wanted.iter().filter(|socket| !is_open(socket)).cloned().collect();
        if missing.is_empty() {
            return Ok(false);
        }
        let failed = |error: std::io::Error| from_io("socket", &error);
        let opening = Opening::begin(missing.clone()).map_err(failed)?;
        self.triggers.openings.last += 1;
        let number = self.triggers.openings.last;
        let token = self
            .poll
            .add(&opening.child.report, Source::Opened(number))
            .map_err(|error| failed(error.into()))?;
        self.triggers
            .openings
            .all
            .insert(number, (unit, opening, missing, token));
        self.triggers.sockets.entry(unit).or_default().opening = Some(number);
        Ok(true)
    }

    /// A child has opened sockets, or could not.
    pub(in crate::supervisor) fn on_opened(&mut self, number: u64) {
        let Some((unit, opening, wanted, token)) = self.triggers.openings.all.remove(&number) else {
            return;
        };
        self.poll.remove(&opening.child.report, token);
        let mut bytes = [0_u8; 512];
        let read = rustix::io::read(&opening.child.report, &mut bytes).unwrap_or(0);
        let failed = sandbox::read_report(bytes.get(..read).unwrap_or_default());
        let opened = opening.take();
        let mut failure = failed.map(|failed| SpawnFailure {
            step: failed.what().into(),
            errno: failed.errno,
            detail: failed.detail().into(),
            kind: kind_of(failed.errno),
        });
        if failure.is_none() && opened.len() < wanted.len() {
            failure = Some(from_io("socket", &Errno::AGAIN.into()));
        }
        let sockets = self.triggers.sockets.entry(unit).or_default();
        sockets.opening = None;
        for Opened { nth, fd, inode } in opened {
            let Some(socket) = wanted.get(nth).cloned() else {
                continue;
            };
            let token = None;
            sockets.open.push(Open {
                socket,
                fd,
                inode,
                token,
            });
        }
        sockets.poll(unit, &mut self.poll);
        self.triggers.changed.insert(unit);
        if let Some(failure) = &failure
            && self.engine.armed(unit) != Armed::Asked
        {
            tracing::error!("{}: {}", failure.step, failure.detail);
        }
        self.queue.push_back(Event::Armed { unit, failure });
    }

    /// Nobody waits for a child any more.
    pub(super) fn cancel_opening(&mut self, unit: UnitId) {
        let number = self
            .triggers
            .sockets
            .get_mut(&unit)
            .and_then(|sockets| sockets.opening.take());
        let Some((_, opening, _, token)) = number.and_then(|number| self.triggers.openings.all.remove(&number)) else {
            return;
        };
        self.poll.remove(&opening.child.report, token);
        crate::supervisor::children::signal(&opening.child.pidfd, crate::unit::Signal::KILL);
    }

    /// Closes a unit's sockets but those, and has their paths removed.
    pub(super) fn close_sockets(&mut self, unit: UnitId, keeps: impl Fn(&Socket) -> bool) {
        let Some(sockets) = self.triggers.sockets.get_mut(&unit) else {
            return;
        };
        let (kept, closed): (Vec<Open>, Vec<Open>) = std::mem::take(&mut sockets.open)
            .into_iter()
            .partition(|open| keeps(&open.socket));
        sockets.open = kept;
        if sockets.open.is_empty() && sockets.opening.is_none() && !sockets.on {
            self.triggers.sockets.remove(&unit);
        }
        let mut paths = Vec::new();
        for open in closed {
            open.token
                .into_iter()
                .for_each(|token| self.poll.remove(&open.fd, token));
            let path = open.socket.path().map(std::path::Path::to_owned);
            paths.extend(path.zip(open.inode));
        }
        self.triggers.changed.insert(unit);
        if !paths.is_empty()
            && let Err(error) = sandbox::remove_sockets(paths)
        {
            tracing::warn!("a socket's path stays: {error}");
        }
    }

    /// Whether the first connection to a unit is waited for.
    pub(super) fn watch_sockets(&mut self, unit: UnitId, on: bool) {
        if let Some(sockets) = self.triggers.sockets.get_mut(&unit) {
            sockets.on = on;
            sockets.poll(unit, &mut self.poll);
        }
    }

    /// Somebody connects, or has sent something.
    pub(in crate::supervisor) fn on_connection(&mut self, unit: UnitId, number: i32) {
        let sockets = self.triggers.sockets.get(&unit);
        let open = sockets.and_then(|sockets| sockets.open.iter().find(|open| open.fd.as_raw_fd() == number));
        let Some(open) = open else { return };
        let what = open.socket.text();
        if !open.socket.accept {
            let by = Cause::Connection(what.into());
            self.queue.push_back(Event::Triggered { unit, by });
            return;
        }
        let taken = match open.fd.try_clone() {
            Ok(listener) => self.accept(unit, &listener, &what),
            Err(_) => false,
        };
        if !taken {
            self.pause_accepting(unit);
        }
    }

    /// Nobody is listened to for a while: a connection that cannot be taken would be told of at once again.
    fn pause_accepting(&mut self, unit: UnitId) {
        if let Some(sockets) = self.triggers.sockets.get_mut(&unit) {
            for open in &mut sockets.open {
                open.token
                    .take()
                    .into_iter()
                    .for_each(|token| self.poll.remove(&open.fd, token));
            }
        }
        self.triggers.resume = Some(Mono(clock::mono().0 + ACCEPT_PAUSE));
    }

    /// The pause is over.
    pub(super) fn resume_accepting(&mut self) {
        if self.triggers.resume.take_if(|at| *at <= clock::mono()).is_some() {
            for (unit, sockets) in &mut self.triggers.sockets {
                sockets.poll(*unit, &mut self.poll);
            }
        }
    }

    /// A unit's main process has begun, with all that it was to get.
    pub(in crate::supervisor) fn drop_connection(&mut self, unit: UnitId, who: Who) {
        if matches!(who, Who::Command(Role::Main(_))) {
            self.triggers.connections.remove(&unit);
        }
    }

    /// What a unit's main process gets, in the order of its file, each with its name; sd_listen_fds(3).
    pub(in crate::supervisor) fn descriptors_of(
        &self,
        unit: UnitId,
        who: Who,
        life: &Life,
    ) -> Vec<(BorrowedFd<'_>, Box<str>)> {
        if !matches!(who, Who::Command(Role::Main(_))) {
            return Vec::new();
        }
        if let Some(connection) = self.triggers.connections.get(&unit) {
            return vec![(connection.as_fd(), "connection".into())];
        }
        let open = self.triggers.sockets.get(&unit);
        let fd_of = |socket: &Socket| {
            let mut open = open?.open.iter();
            open.find(|open| open.socket == *socket).map(|open| open.fd.as_fd())
        };
        let own_name = life.unit.name.as_str();
        let named = |socket: &Socket| socket.name.as_deref().unwrap_or(own_name).into();
        let sockets = sockets_of(&life.unit.kind).iter();
        sockets
            .filter_map(|socket| Some((fd_of(socket)?, named(socket))))
            .collect()
    }

    /// What is open at ports of the machine for other units, and for proxies.
    pub(in crate::supervisor) fn ports_of_others(&self, unit: UnitId) -> Vec<BorrowedFd<'_>> {
        let others = self.triggers.sockets.iter().filter(|(its, _)| **its != unit);
        let sockets = others.flat_map(|(_, sockets)| sockets.open.iter().map(|open| open.fd.as_fd()));
        sockets.chain(self.proxied_ports()).collect()
    }

    /// Those of a former life: handed over, or held by a process of the unit, which has them too.
    pub(super) fn take_over_sockets(&mut self, former: &mut Former) {
        let kept: Vec<(UnitId, Vec<KeptSocket>)> = former
            .section::<Vec<KeptSocket>>(SOCKETS)
            .filter_map(|(unit, kept)| Some((UnitId(unit.parse().ok()?), kept)))
            .collect();
        for (unit, kept) in kept {
            let wanted = self
                .engine
                .unit(unit)
                .map(|unit| sockets_of(&unit.kind).to_vec())
                .unwrap_or_default();
            for its in kept {
                let fd = former.take(&its.fd).or_else(|| self.held_by_unit(unit, &its.fd));
                let socket = wanted.iter().find(|socket| definition(socket) == its.what);
                if let (Some(fd), Some(socket)) = (fd, socket) {
                    let (socket, inode) = (socket.clone(), its.inode);
                    let open = Open {
                        socket,
                        fd,
                        inode,
                        token: None,
                    };
                    self.triggers.sockets.entry(unit).or_default().open.push(open);
                }
            }
            self.triggers.changed.insert(unit);
        }
    }

    /// pidfd_getfd(2).
    pub(in crate::supervisor) fn held_by_unit(&self, unit: UnitId, wanted: &Descriptor) -> Option<OwnedFd> {
        let main = self.lives.get(&unit)?.main()?;
        let entries = std::fs::read_dir(processes::file(main.pid, "fd")?).ok()?;
        let numbers = entries
            .flatten()
            .filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
        let mut held = numbers.filter_map(|number| pidfd_getfd(&main.pidfd, number, PidfdGetfdFlags::empty()).ok());
        held.find(|fd| wanted.is(fd))
    }
}

fn sockets_of(kind: &Kind) -> &[Socket] {
    match kind {
        Kind::Service(service) => &service.sockets,
        Kind::Masked | Kind::Target | Kind::Slice(_) | Kind::Mount(_) => &[],
    }
}
