//! The units' output: drained from their pipes by a log process of svcd's own, kept in text files that `tail` and `grep`
//! read, and read back for `svc logs`.
//!
//! svcd never reads the data. It keeps the pipes' read ends open, so that nothing is lost and nobody gets SIGPIPE while
//! a log process is dead, and gives a copy of each to the next one. [`Logger`] is svcd's side; `process` is the other,
//! `turn` what it does all day, `block` its hot loop, `spool` why each line is written exactly once, `store` the files and their caps; [`read`] is
//! for the command line, and needs no svcd.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::event::epoll;
use rustix::fs::{CWD, Mode, OFlags};
use rustix::net::{AddressFamily, SocketFlags, SocketType};

use crate::sys;
use crate::sys::clone::{Cloned, clone3};
use crate::unit::Log;

mod block;
mod forward;
mod process;
mod rate;
pub mod read;
mod reader;
mod source;
mod spool;
mod stamp;
mod store;
mod turn;
pub mod turnstile;
mod wire;

#[cfg(test)]
mod tests;

pub use spool::Spool;
pub use stamp::{zone, zone_named, zone_now};
use wire::Request;

/// Requests that wait for the log process to take them. One that hangs on a dead disk does not eat svcd's memory; with
/// 10,000 units, a start and a stop of each fit.
const QUEUE_MAX: usize = 1 << 16;

/// svcd's side of the log process. Never blocks: what the process cannot take at once is queued.
#[derive(Debug)]
pub struct Logger {
    dir: OwnedFd,
    budget: u64,
    spool: Spool,
    turnstile: PathBuf,
    socket: OwnedFd,
    /// Watches the socket for us, for writing too while something is queued.
    watch: OwnedFd,
    pid: i32,
    pidfd: OwnedFd,
    queue: VecDeque<(Vec<u8>, Option<OwnedFd>)>,
    dead: bool,
}

/// What the log process says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Message {
    /// All that was in the unit's pipe at [`Logger::flush`] is in its file, or counted as lost.
    Flushed(u64),
    /// The log process is gone, and with it all flushes that were not answered: [`Logger::restart`], then attach all
    /// pipes again.
    Dead,
}

impl Logger {
    /// Starts a log process that keeps its files under `dir`, which is made if need be, and no more than `budget` bytes
    /// in all. Files of earlier lives count. With the spool of a log process that has ended, it first finishes what that
    /// one was killed over, as after [`Logger::restart`]. It begins when no other log process of this `turnstile` runs.
    ///
    /// # Errors
    /// The directory cannot be had, or the machine is short of something.
    pub fn start(dir: &Path, budget: u64, turnstile: &Path, spool: Option<Spool>) -> io::Result<Self> {
        use std::os::unix::fs::DirBuilderExt;
        std::fs::DirBuilder::new().recursive(true).mode(0o750).create(dir)?;
        let dir = rustix::fs::openat(
            CWD,
            dir,
            OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC,
            Mode::empty(),
        )?;
        let spool = spool.map_or_else(Spool::new, Ok)?;
        let child = Child::start(&dir, &spool, budget, turnstile)?;
        Ok(Self {
            dir,
            budget,
            spool,
            turnstile: turnstile.to_owned(),
            socket: child.socket,
            watch: child.watch,
            pid: child.pid,
            pidfd: child.pidfd,
            queue: VecDeque::new(),
            dead: false,
        })
    }

    /// Starts another log process after [`Message::Dead`]. It first finishes what the last one was killed over, so that
    /// every line is written exactly once; then all units are to be attached again. [`Logger::fd`] and
    /// [`Logger::pidfd`] are new ones.
    ///
    /// # Errors
    /// As [`Logger::start`]; then it may be tried again.
    pub fn restart(&mut self) -> io::Result<()> {
        let child = Child::start(&self.dir, &self.spool, self.budget, &self.turnstile)?;
        self.socket = child.socket;
        self.watch = child.watch;
        self.pid = child.pid;
        self.pidfd = child.pidfd;
        self.queue.clear();
        self.dead = false;
        Ok(())
    }

    /// Readable when [`Logger::receive`] has something to do.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.watch.as_fd()
    }

    /// For whoever reaps.
    pub fn pidfd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }

    /// What a block passes through: for whoever goes on after us, in this order for [`Spool::from_descriptors`].
    pub fn spool(&self) -> [BorrowedFd<'_>; 3] {
        self.spool.descriptors()
    }

    /// For people.
    pub fn pid(&self) -> i32 {
        self.pid
    }

    /// Drains the pipe of this read end from now on, into the unit's files. An earlier pipe of the unit is drained to
    /// what is in it now, and let go.
    ///
    /// # Errors
    /// The queue is full, since the log process hangs; or no descriptor is left.
    pub fn attach(&mut self, unit: &str, pipe: BorrowedFd<'_>, policy: &Log) -> io::Result<()> {
        let request = Request::Attach {
            unit: unit.into(),
            policy: policy.into(),
        };
        self.send(&request, Some(pipe.try_clone_to_owned()?))
    }

    /// Takes a changed `[log]` over. If the log process hangs so long that the queue is full, it is not taken over.
    pub fn update(&mut self, unit: &str, policy: &Log) {
        let _ = self.send(
            &Request::Update {
                unit: unit.into(),
                policy: policy.into(),
            },
            None,
        );
    }

    /// Drains what is in the unit's pipe now, and lets it go.
    pub fn detach(&mut self, unit: &str) {
        self.let_go(unit, false);
    }

    /// Lets the unit's pipe go, and removes its files.
    pub fn remove(&mut self, unit: &str) {
        self.let_go(unit, true);
    }

    fn let_go(&mut self, unit: &str, remove: bool) {
        let unit = unit.into();
        let _ = self.send(&Request::Detach { unit, remove }, None);
    }

    /// Asks for [`Message::Flushed`] with this token once all that is in the unit's pipe now is in its file; a last line
    /// without an end is ended. With a hanging log process there may be no answer.
    pub fn flush(&mut self, unit: &str, token: u64) {
        let _ = self.send(
            &Request::Flush {
                unit: unit.into(),
                token,
            },
            None,
        );
    }

    /// What has happened since the last call, when [`Logger::fd`] is readable.
    pub fn receive(&mut self) -> Vec<Message> {
        let mut messages = Vec::new();
        while !self.dead {
            match wire::acknowledged(&self.socket) {
                Ok(Some(token)) => messages.push(Message::Flushed(token)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Ok(None) | Err(_) => {
                    self.dead = true;
                    messages.push(Message::Dead);
                }
            }
        }
        self.send_queued();
        messages
    }

    /// Tells the log process to drain everything and to end. Its pidfd, which is returned, tells when it has; it goes on
    /// without svcd if need be. Waits, for two seconds at most, only if the process has hung and requests are queued.
    pub fn stop(mut self) -> OwnedFd {
        let patience = std::time::Duration::from_secs(2);
        let _ =
            rustix::net::sockopt::set_socket_timeout(&self.socket, rustix::net::sockopt::Timeout::Send, Some(patience));
        let blocking = rustix::fs::fcntl_getfl(&self.socket).map(|flags| flags.difference(OFlags::NONBLOCK));
        let _ = self.send(&Request::Stop, None);
        if !self.queue.is_empty()
            && let Ok(blocking) = blocking
        {
            let _ = rustix::fs::fcntl_setfl(&self.socket, blocking);
            self.send_queued();
        }
        self.pidfd
    }

    fn send(&mut self, request: &Request, descriptor: Option<OwnedFd>) -> io::Result<()> {
        if self.queue.len() >= QUEUE_MAX {
            return Err(io::Error::new(
                io::ErrorKind::WouldBlock,
                "the log process takes nothing",
            ));
        }
        self.queue.push_back((request.encode()?, descriptor));
        self.send_queued();
        Ok(())
    }

    fn send_queued(&mut self) {
        while let Some((message, descriptor)) = self.queue.front() {
            match wire::send(self.socket.as_fd(), message, descriptor.as_ref().map(AsFd::as_fd)) {
                Ok(()) => {
                    self.queue.pop_front();
                }
                // If it is dead, `receive` will see; what is queued is void then.
                Err(_) => break,
            }
        }
        let mut when = epoll::EventFlags::IN;
        when.set(epoll::EventFlags::OUT, !self.queue.is_empty() && !self.dead);
        let _ = epoll::modify(&self.watch, &self.socket, epoll::EventData::new_u64(0), when);
    }
}

/// A log process that has just been born.
struct Child {
    socket: OwnedFd,
    watch: OwnedFd,
    pid: i32,
    pidfd: OwnedFd,
}

impl Child {
    fn start(dir: &OwnedFd, spool: &Spool, budget: u64, turnstile: &Path) -> io::Result<Self> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let (socket, theirs) = rustix::net::socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?;
        let watch = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        epoll::add(&watch, &socket, epoll::EventData::new_u64(0), epoll::EventFlags::IN)?;
        // All that the child needs is opened here, where an error can still be told.
        let null = rustix::fs::openat(CWD, "/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())?;
        let dir = dir.try_clone()?;
        match clone3(0, None)? {
            Cloned::Parent { pid, pidfd } => Ok(Self {
                socket,
                watch,
                pid,
                pidfd,
            }),
            Cloned::Child => be_log_process(theirs, spool, dir, null, (budget, turnstile)),
        }
    }
}

/// The child. All signals stay blocked: a Ctrl-C in the terminal is for svcd, which then says when this ends, and
/// whatever handlers svcd had never run here.
fn be_log_process(socket: OwnedFd, spool: &Spool, dir: OwnedFd, null: OwnedFd, (budget, turnstile): (u64, &Path)) -> ! {
    std::panic::set_hook(Box::new(|_| sys::child::exit(70)));
    let mut keep = vec![socket.as_fd(), dir.as_fd(), null.as_fd()];
    keep.extend(spool.descriptors());
    sys::child::close_all_but(&keep, null.as_fd());
    // A session of its own, away from the terminal; a directory that nobody wants to unmount; a name for ps.
    let _ = rustix::process::setsid();
    let _ = rustix::process::chdir("/");
    let _ = rustix::thread::set_name(c"svc-log");
    // Held until the end.
    let Some(_turn) = turnstile::pass(turnstile, socket.as_fd()) else {
        sys::child::exit(0)
    };
    match process::run(socket.as_fd(), spool, dir, null.as_fd(), budget) {
        Ok(()) => sys::child::exit(0),
        Err(_) => sys::child::exit(74),
    }
}
