//! epoll(7), level-triggered, with what each descriptor stands for beside it.

use std::collections::HashMap;
use std::os::fd::AsFd;
use std::time::Duration;

use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};

use crate::engine::UnitId;
use crate::engine::event::Role;

/// Events taken from the kernel in one go: enough for a burst of a thousand deaths in a few turns.
pub const EVENTS_MAX: usize = 256;

/// What is waited for. Never used twice, so what the kernel reports late of a closed descriptor finds nobody.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Token(u64);

/// What a descriptor stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The pipe of a signal, by its place in the list.
    Signal(usize),
    /// The unit directories.
    Directories,
    /// New clients.
    Listener,
    /// A client, by number.
    Client(u64),
    /// Standard error takes lines again.
    Console,
    /// The log process: its answers, and its end.
    Logger,
    /// Whoever started us in the foreground is gone.
    Lifeline,
    /// The end of a unit's process.
    Process(UnitId, Who),
    /// A unit's process has executed its program, or could not.
    Report(UnitId, Who),
    /// The end of a process that a unit left behind.
    Straggler(UnitId),
    /// The kernel may have killed a process of a unit for memory.
    Oom(UnitId),
    /// A child has moved a unit's processes to where new limits are, or could not; by number.
    Moved(u64),
    /// What a unit says of itself.
    Notify(UnitId),
    /// A child has looked at a unit's PID file.
    MainLooked(UnitId),
    /// The wall clock has come to a time, or was set.
    WallClock,
    /// A path that is watched.
    Paths,
    /// A child has looked at the watched paths of a unit.
    PathsSeen(UnitId),
    /// A connection to a unit's socket, by its number.
    Socket(UnitId, i32),
    /// A child has opened sockets, or could not; by number.
    Opened(u64),
    /// A child has written a timer's stamp, or could not; by number.
    Stamp(u64),
    /// The other end of a descriptor that is kept for a unit is gone; by number.
    Stored(UnitId, u64),
    /// A child has made the machine's side of the bridge, or could not.
    Network,
    /// A network namespace is made that a service will need, or who makes them has ended.
    NetworksAhead,
    /// A child has looked at the paths of a unit's conditions; by number.
    Looked(u64),
}

/// Which process of a unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    /// The reaper that holds the namespaces.
    Holder,
    /// What leads clients to its published ports.
    Proxy,
    /// A command.
    Command(Role),
    /// A command of a client's, by its number.
    Session(u64),
    /// The child of svcd's that takes away what the run leaves.
    Sweeper,
}

/// The descriptors that the loop waits for.
#[derive(Debug)]
pub struct Poll {
    epoll: Epoll,
    sources: HashMap<u64, Source>,
    last: u64,
}

impl Poll {
    /// # Errors
    /// As epoll_create1(2).
    pub fn new() -> nix::Result<Self> {
        Ok(Self {
            epoll: Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?,
            sources: HashMap::new(),
            last: 0,
        })
    }

    /// Waits for `fd` to be readable.
    ///
    /// # Errors
    /// As epoll_ctl(2).
    pub fn add(&mut self, fd: impl AsFd, source: Source) -> nix::Result<Token> {
        self.last += 1;
        self.epoll.add(fd, EpollEvent::new(EpollFlags::EPOLLIN, self.last))?;
        self.sources.insert(self.last, source);
        Ok(Token(self.last))
    }

    /// Waits for the other end of `fd` to be gone; EPOLLHUP and EPOLLERR come unasked.
    ///
    /// # Errors
    /// As epoll_ctl(2); `EPERM`: a file that is never waited for.
    pub fn add_gone(&mut self, fd: impl AsFd, source: Source) -> nix::Result<Token> {
        self.last += 1;
        self.epoll.add(fd, EpollEvent::new(EpollFlags::empty(), self.last))?;
        self.sources.insert(self.last, source);
        Ok(Token(self.last))
    }

    /// Waits for `fd` to become writable. It is told once each time: a terminal may say so and still not take a byte.
    ///
    /// # Errors
    /// As epoll_ctl(2).
    pub fn add_writable(&mut self, fd: impl AsFd, source: Source) -> nix::Result<Token> {
        self.last += 1;
        let flags = EpollFlags::EPOLLOUT | EpollFlags::EPOLLET;
        self.epoll.add(fd, EpollEvent::new(flags, self.last))?;
        self.sources.insert(self.last, source);
        Ok(Token(self.last))
    }

    /// Waits for `fd` to tell something urgent, each time it comes.
    ///
    /// # Errors
    /// As epoll_ctl(2).
    pub fn add_urgent(&mut self, fd: impl AsFd, source: Source) -> nix::Result<Token> {
        self.last += 1;
        let flags = EpollFlags::EPOLLPRI | EpollFlags::EPOLLET;
        self.epoll.add(fd, EpollEvent::new(flags, self.last))?;
        self.sources.insert(self.last, source);
        Ok(Token(self.last))
    }

    /// Waits for `fd` to be readable, writable, both or (where neither) only gone.
    ///
    /// # Errors
    /// As epoll_ctl(2).
    pub fn change(&mut self, fd: impl AsFd, token: Token, readable: bool, writable: bool) -> nix::Result<()> {
        let mut flags = EpollFlags::empty();
        flags.set(EpollFlags::EPOLLIN, readable);
        flags.set(EpollFlags::EPOLLOUT, writable);
        self.epoll.modify(fd, &mut EpollEvent::new(flags, token.0))
    }

    /// Forgets a descriptor, before it is closed.
    pub fn remove(&mut self, fd: impl AsFd, token: Token) {
        self.sources.remove(&token.0);
        // A descriptor that was never added is as good as removed.
        let _ = self.epoll.delete(fd);
    }

    /// What is behind a token; None once it was removed.
    pub fn source(&self, token: Token) -> Option<Source> {
        self.sources.get(&token.0).copied()
    }

    /// Waits until something can be done, or until `timeout` (None: for ever). A signal ends it early, with nothing.
    ///
    /// # Errors
    /// As epoll_wait(2).
    pub fn wait(&self, timeout: Option<Duration>) -> nix::Result<Vec<Token>> {
        let timeout = match timeout {
            // Rounded up, or a deadline that is 0.4 ms away would make the loop spin until it is there.
            Some(left) => EpollTimeout::try_from(left.as_nanos().div_ceil(1_000_000).min(3_600_000) as u32)
                .unwrap_or(EpollTimeout::NONE),
            None => EpollTimeout::NONE,
        };
        let mut events = [EpollEvent::empty(); EVENTS_MAX];
        match self.epoll.wait(&mut events, timeout) {
            Ok(count) => Ok(events.iter().take(count).map(|event| Token(event.data())).collect()),
            Err(nix::errno::Errno::EINTR) => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }
}
