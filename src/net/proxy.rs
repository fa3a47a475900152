//! A proxy: ports of the machine that lead to a service where no rule of the kernel can lead there.
//!
//! An [`Inlet`] is a socket of the machine's network. A [`Proxy`] takes what comes to its inlets, makes a connection to the
//! service for each client, and copies both ways. It has one thread and one wait; with nothing to copy it does not wake up,
//! but to forget clients of udp. What it holds is bounded: connections, clients, and what of each is on its way.
//!
//! The sockets that it makes are of the network that it is in by then, so the process that runs it enters the service's
//! first. A service sees itself as the client: that is what a proxy costs.

mod tcp;
mod udp;
mod way;

use std::convert::Infallible;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use rustix::event::{Timespec, epoll};
use rustix::io::Errno;
use rustix::process::{Resource, getrlimit};
use rustix::time::{ClockId, clock_gettime};

pub use way::{Inlet, Reach, Way, new_socket, ways};

use crate::unit::Protocol;
use tcp::Connections;
use udp::Clients;

/// Connections at the same time, where there are descriptors for them: each has at most 32 KiB on its way. More wait in the
/// kernel's queue.
const CONNECTIONS_MAX: usize = 4096;
/// Clients of udp at the same time: one more takes the place of the one that was silent for longest.
const CLIENTS_MAX: usize = 1024;
/// Descriptors besides: standard ones, the epoll, one that is being accepted.
const DESCRIPTORS_BESIDE: usize = 16;
/// Who could not be accepted for want of something is tried again then.
const SHORT_PAUSE: Duration = Duration::from_millis(100);

/// Every system call of [`Proxy::run`], and of what gives it memory.
#[rustfmt::skip]
pub const CALLS: &[&str] = &[
    "epoll_wait", "epoll_pwait", "epoll_pwait2", "epoll_ctl", "clock_gettime",
    "accept4", "socket", "connect", "getpeername", "getsockopt", "setsockopt", "shutdown", "close",
    "recvfrom", "sendto", "recvmsg", "sendmsg", "read", "write",
    "brk", "mmap", "munmap", "mremap", "madvise", "futex",
    "rt_sigreturn", "rt_sigprocmask", "restart_syscall", "exit", "exit_group",
];

/// What is waited for, as the kernel keeps it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Token {
    /// Something comes to an inlet.
    Inlet(usize),
    /// A connection of tcp, on either side.
    Connection(usize),
    /// A client of udp has an answer.
    Client(usize),
}

impl Token {
    fn data(self) -> epoll::EventData {
        let (kind, place) = match self {
            Self::Inlet(place) => (0, place),
            Self::Connection(place) => (1, place),
            Self::Client(place) => (2, place),
        };
        epoll::EventData::new_u64((place as u64) << 2 | kind)
    }

    fn of(data: u64) -> Self {
        let place = (data >> 2) as usize;
        match data & 3 {
            0 => Self::Inlet(place),
            1 => Self::Connection(place),
            _ => Self::Client(place),
        }
    }
}

/// What copies between its inlets and the network that it is in.
pub struct Proxy<'a> {
    epoll: OwnedFd,
    inlets: &'a [Inlet],
    connections: Connections,
    clients: Clients,
    /// Nobody is accepted until then, or until a connection has ended.
    full: Option<Duration>,
}

impl<'a> Proxy<'a> {
    /// From now on it is told of clients.
    ///
    /// # Errors
    /// As epoll_create1(2) and epoll_ctl(2).
    pub fn new(inlets: &'a [Inlet]) -> io::Result<Self> {
        let limit = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let left = limit.saturating_sub(inlets.len() + CLIENTS_MAX + DESCRIPTORS_BESIDE);
        let proxy = Self {
            epoll: epoll::create(epoll::CreateFlags::CLOEXEC)?,
            inlets,
            connections: Connections::new((left / 2).clamp(1, CONNECTIONS_MAX)),
            clients: Clients::new(CLIENTS_MAX),
            full: None,
        };
        for (place, inlet) in inlets.iter().enumerate() {
            epoll::add(
                &proxy.epoll,
                &inlet.socket,
                Token::Inlet(place).data(),
                epoll::EventFlags::IN,
            )?;
        }
        Ok(proxy)
    }

    /// Goes on for good.
    ///
    /// # Errors
    /// As epoll_wait(2).
    pub fn run(mut self) -> io::Result<Infallible> {
        loop {
            self.turn()?;
        }
    }

    /// Waits, and does what there is to do.
    fn turn(&mut self) -> io::Result<()> {
        let mut events = [MaybeUninit::uninit(); 256];
        let timeout = self.timeout();
        let (events, _) = match epoll::wait(&self.epoll, &mut events[..], timeout.as_ref()) {
            Err(Errno::INTR) => return Ok(()),
            events => events?,
        };
        let now = monotonic();
        for event in events {
            match Token::of(event.data.u64()) {
                Token::Inlet(place) => self.admit(place, now),
                Token::Connection(place) => self.connections.queue(place),
                Token::Client(place) => self.clients.answer(place, self.inlets, now),
            }
        }
        let ended = self.connections.serve();
        if self.full.is_some_and(|until| ended || until <= now) {
            self.full = None;
            self.hear_tcp(true);
        }
        self.clients.forget(now);
        Ok(())
    }

    fn timeout(&self) -> Option<Timespec> {
        let due = match self.connections.has_more() {
            true => Some(Duration::ZERO),
            false => [self.full, self.clients.due()].into_iter().flatten().min(),
        };
        let left = due?.saturating_sub(monotonic());
        Timespec::try_from(left).ok()
    }

    fn admit(&mut self, place: usize, now: Duration) {
        let Some(inlet) = self.inlets.get(place) else { return };
        match inlet.way.protocol {
            Protocol::Udp => self.clients.receive(place, inlet, &self.epoll, now),
            Protocol::Tcp => {
                if self.connections.admit(inlet, &self.epoll).is_err() {
                    self.full = Some(now + SHORT_PAUSE);
                    self.hear_tcp(false);
                }
            }
        }
    }

    /// Whether new connections are told of: who is not told of them is not woken up by them.
    fn hear_tcp(&self, yes: bool) {
        let flags = match yes {
            true => epoll::EventFlags::IN,
            false => epoll::EventFlags::empty(),
        };
        for (place, inlet) in self.inlets.iter().enumerate() {
            if inlet.way.protocol == Protocol::Tcp {
                // One that cannot be changed is tried again with the next client.
                let _ = epoll::modify(&self.epoll, inlet.socket.as_fd(), Token::Inlet(place).data(), flags);
            }
        }
    }
}

/// Since boot.
fn monotonic() -> Duration {
    let time = clock_gettime(ClockId::Monotonic);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
}

#[cfg(test)]
mod tests;
