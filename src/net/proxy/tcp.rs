//! Connections of tcp: each a client's and one to the service, copied both ways; tcp(7), epoll(7).
//!
//! Both are told of once each time something changes (EPOLLET), so a connection that is told of is copied until neither
//! side has or takes more, or until it has had its turn. What one side says last, the other hears: the end of what is sent
//! (half-close), and a reset.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use rustix::event::epoll;
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, Shutdown, SocketFlags, acceptfrom_with, connect, recv, send};
use rustix::net::{getpeername, shutdown, sockopt};

use super::way::new_socket;
use super::{Inlet, Token};
use crate::unit::Protocol;

/// What is copied at once, and what of each way may wait for the other side to take it.
const CHUNK_BYTES: usize = 16 << 10;
/// Chunks of each way before it is another connection's turn.
const TURN_CHUNKS: usize = 16;
/// Clients of one inlet before others are looked at.
const TURN_CLIENTS: usize = 64;

/// Errors of accept(2) that are about one client alone: it has gone already, or what its network says of it.
const OF_ONE_CLIENT: [Errno; 11] = [
    Errno::CONNABORTED,
    Errno::INTR,
    Errno::PERM,
    Errno::PROTO,
    Errno::NETDOWN,
    Errno::NOPROTOOPT,
    Errno::HOSTDOWN,
    Errno::NONET,
    Errno::HOSTUNREACH,
    Errno::OPNOTSUPP,
    Errno::NETUNREACH,
];

/// Those that there are.
pub struct Connections {
    all: Vec<Option<Connection>>,
    free: Vec<usize>,
    /// Those that have had their turn and may have more, first come first served.
    more: VecDeque<usize>,
    most: usize,
    chunk: Box<[u8]>,
}

struct Connection {
    client: OwnedFd,
    inside: OwnedFd,
    is_connected: bool,
    /// From the client to the service.
    there: Flow,
    /// From the service to the client.
    back: Flow,
    is_queued: bool,
}

/// One way of a connection.
#[derive(Default)]
struct Flow {
    /// Read, and not taken yet.
    waits: Vec<u8>,
    state: FlowState,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum FlowState {
    #[default]
    Open,
    /// No more comes: once what waits is taken, that is told.
    Ended,
    /// The sender has broken off: once what waits is taken, that is told.
    Broken,
    /// It is told.
    Over,
    /// The receiver takes no more: what comes is nobody's.
    Refused,
}

/// What is to be done with a connection next.
#[derive(Debug, PartialEq, Eq)]
enum Next {
    Wait,
    Again,
    Close,
    Reset,
}

/// There is no room for another connection, or something is short.
#[derive(Debug)]
pub struct Full;

impl Connections {
    pub fn new(most: usize) -> Self {
        Self {
            all: Vec::new(),
            free: Vec::new(),
            more: VecDeque::new(),
            most,
            chunk: vec![0; CHUNK_BYTES].into(),
        }
    }

    fn count(&self) -> usize {
        self.all.len() - self.free.len()
    }

    /// Takes who has come by an inlet.
    pub fn admit(&mut self, inlet: &Inlet, epoll: &OwnedFd) -> Result<(), Full> {
        for _ in 0..TURN_CLIENTS {
            if self.count() >= self.most {
                return Err(Full);
            }
            let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
            let (client, from) = match acceptfrom_with(&inlet.socket, flags) {
                Ok(accepted) => accepted,
                Err(Errno::AGAIN) => return Ok(()),
                Err(error) if OF_ONE_CLIENT.contains(&error) => continue,
                Err(_) => return Err(Full),
            };
            let from = from.and_then(|from| SocketAddr::try_from(from).ok());
            if from.is_some_and(|from| inlet.way.admits(from)) {
                self.begin(client, inlet.way.to, epoll);
            } else {
                reset(client);
            }
        }
        Ok(())
    }

    /// Who cannot be led on hears it by a reset.
    fn begin(&mut self, client: OwnedFd, to: SocketAddr, epoll: &OwnedFd) {
        let (inside, is_connected) = match connect_to(to) {
            Ok(begun) => begun,
            Err(_) => return reset(client),
        };
        // What cannot be set costs time alone.
        for socket in [&client, &inside] {
            let _ = sockopt::set_tcp_nodelay(socket, true);
            // One that has gone without a word is forgotten in the end; tcp(7).
            let _ = sockopt::set_socket_keepalive(socket, true);
        }
        let place = self.free.pop().unwrap_or(self.all.len());
        let data = || Token::Connection(place).data();
        let flags = epoll::EventFlags::IN | epoll::EventFlags::OUT | epoll::EventFlags::RDHUP | epoll::EventFlags::ET;
        let watched =
            epoll::add(epoll, &client, data(), flags).and_then(|()| epoll::add(epoll, &inside, data(), flags));
        let connection = Connection {
            client,
            inside,
            is_connected,
            there: Flow::default(),
            back: Flow::default(),
            is_queued: false,
        };
        if watched.is_err() {
            self.free.extend((place < self.all.len()).then_some(place));
            return connection.reset();
        }
        match self.all.get_mut(place) {
            Some(slot) => *slot = Some(connection),
            None => self.all.push(Some(connection)),
        }
    }

    /// Something has changed on one of its sides; late news of one that has ended are none.
    pub fn queue(&mut self, place: usize) {
        if let Some(Some(connection)) = self.all.get_mut(place)
            && !std::mem::replace(&mut connection.is_queued, true)
        {
            self.more.push_back(place);
        }
    }

    pub fn has_more(&self) -> bool {
        !self.more.is_empty()
    }

    /// Each that may have something has its turn. True: one has ended.
    pub fn serve(&mut self) -> bool {
        let mut ended = false;
        for _ in 0..self.more.len() {
            let Some(place) = self.more.pop_front() else { break };
            let Some(slot) = self.all.get_mut(place) else { continue };
            let Some(connection) = slot else { continue };
            connection.is_queued = false;
            match connection.copy(&mut self.chunk) {
                Next::Wait => continue,
                Next::Again => {
                    self.queue(place);
                    continue;
                }
                Next::Close => *slot = None,
                Next::Reset => slot.take().into_iter().for_each(Connection::reset),
            }
            self.free.push(place);
            ended = true;
        }
        ended
    }
}

impl Connection {
    fn copy(&mut self, chunk: &mut [u8]) -> Next {
        if !self.is_connected {
            match is_connected(&self.inside) {
                Ok(true) => self.is_connected = true,
                Ok(false) => return Next::Wait,
                Err(_) => return Next::Reset,
            }
        }
        let there = self.there.copy(self.client.as_fd(), self.inside.as_fd(), chunk);
        let back = self.back.copy(self.inside.as_fd(), self.client.as_fd(), chunk);
        match (there, back) {
            (Next::Reset, _) | (_, Next::Reset) => Next::Reset,
            (Next::Close, Next::Close) => Next::Close,
            (Next::Again, _) | (_, Next::Again) => Next::Again,
            (Next::Wait | Next::Close, Next::Wait | Next::Close) => Next::Wait,
        }
    }

    fn reset(self) {
        reset(self.client);
        reset(self.inside);
    }
}

impl Flow {
    fn copy(&mut self, from: BorrowedFd<'_>, to: BorrowedFd<'_>, chunk: &mut [u8]) -> Next {
        for _ in 0..TURN_CHUNKS {
            if !self.waits.is_empty() {
                match send(to, &self.waits, SendFlags::NOSIGNAL) {
                    Ok(count) if count >= self.waits.len() => self.waits = Vec::new(),
                    Ok(count) => drop(self.waits.drain(..count)),
                    Err(Errno::AGAIN) => return Next::Wait,
                    Err(_) => self.refuse(),
                }
                continue;
            }
            match self.state {
                FlowState::Open | FlowState::Refused => {}
                FlowState::Ended => {
                    // One that is gone needs not be told.
                    let _ = shutdown(to, Shutdown::Write);
                    self.state = FlowState::Over;
                    return Next::Close;
                }
                FlowState::Broken => return Next::Reset,
                FlowState::Over => return Next::Close,
            }
            match recv(from, &mut *chunk, RecvFlags::empty()) {
                Ok((_, count)) => self.pass_on(chunk.get(..count).unwrap_or_default(), to),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) if self.state == FlowState::Refused => return Next::Close,
                Err(Errno::AGAIN) => return Next::Wait,
                Err(_) => self.state = FlowState::Broken,
            }
        }
        Next::Again
    }

    fn pass_on(&mut self, bytes: &[u8], to: BorrowedFd<'_>) {
        match (bytes, self.state) {
            ([], _) => self.state = FlowState::Ended,
            (_, FlowState::Refused) => {}
            (bytes, _) => match send(to, bytes, SendFlags::NOSIGNAL) {
                Ok(count) => self.waits = bytes.get(count..).unwrap_or_default().to_vec(),
                Err(Errno::AGAIN) => self.waits = bytes.to_vec(),
                Err(_) => self.refuse(),
            },
        }
    }

    /// What the receiver has said last may still be on its way to the other: so this is no end of the connection yet.
    fn refuse(&mut self) {
        self.waits = Vec::new();
        self.state = FlowState::Refused;
    }
}

/// A connection to the service that is made, or begun.
fn connect_to(to: SocketAddr) -> Result<(OwnedFd, bool), Errno> {
    let inside = new_socket(to, Protocol::Tcp)?;
    match connect(&inside, &to) {
        Ok(()) => Ok((inside, true)),
        Err(Errno::INPROGRESS) => Ok((inside, false)),
        Err(error) => Err(error),
    }
}

/// Whether one that was begun is made; connect(2), EINPROGRESS.
fn is_connected(inside: &OwnedFd) -> Result<bool, Errno> {
    sockopt::socket_error(inside)??;
    match getpeername(inside) {
        Ok(_) => Ok(true),
        Err(Errno::NOTCONN) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Closes it so that the other side hears that it was broken off: socket(7), SO_LINGER.
fn reset(socket: OwnedFd) {
    // Where that cannot be had it ends as any other.
    let _ = sockopt::set_socket_linger(&socket, Some(Duration::ZERO));
}
