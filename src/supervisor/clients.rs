//! Control sockets: who is connected, what came, what is still to be sent. Nothing a client does costs anybody else.
//!
//! Every buffer is capped: what comes by the [`Decoder`], what goes by one whole answer (nothing more is read until it
//! is taken) and, for a watcher, by [`WATCH_BACKLOG_BYTES_MAX`].

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::time::Duration;

use nix::sys::socket::getsockopt;
use nix::sys::socket::sockopt::PeerCredentials;

mod handover;
mod heed;
mod peer;
mod socket;
mod unsent;

pub use peer::Peer;
use unsent::Unsent;

use super::Supervisor;
use super::clock;
use super::poll::{Poll, Source, Token};
use super::processes;
use crate::control::call::{Call, NoCall};
use crate::control::frame::{Decoder, REQUEST_BYTES_MAX};
use crate::engine::event::Mono;
use crate::sys::descriptors;

/// Clients at once, of all users, where descriptors allow: a quarter of them, so that services can always be started.
const CLIENTS_MAX: usize = 4096;
/// Descriptors that no client takes, where there are so few that a quarter for clients leaves too little: what a start
/// takes besides those of the run before it, in svcd and in the child, which has svcd's until its exec.
const KEPT_FREE: u64 = 12;
/// Clients at once of one user: half is left for others. One more takes the place of the one that was idle for longest.
const CLIENTS_PER_USER_MAX: usize = CLIENTS_MAX / 2;
/// A message that is half sent, or an answer that is not taken, costs the connection after this.
const STALLED_MAX: Duration = Duration::from_secs(30);
/// What a watcher may leave unread: some 300 changes. Then it is told that it lagged.
const WATCH_BACKLOG_BYTES_MAX: usize = 64 << 10;
/// Read from a client in one go, so that one cannot keep the loop busy.
const READ_BYTES: usize = 16 << 10;
/// When accept(2) finds no descriptor free, it is tried again after this.
const ACCEPT_PAUSE: Duration = Duration::from_millis(500);

/// Everyone who is connected.
pub struct Clients {
    listener: UnixListener,
    listening: Option<Token>,
    accept_again: Option<Mono>,
    all: BTreeMap<u64, Client>,
    last: u64,
    /// Clients at once.
    most: usize,
    /// Descriptors are given lowest first (open(2)): one from here on is of those that are kept free.
    kept_free_from: u64,
}

struct Client {
    stream: UnixStream,
    token: Token,
    peer: Peer,
    decoder: Decoder,
    /// Descriptors that came along with what is not read yet.
    given: Vec<OwnedFd>,
    out: Unsent,
    /// A request is under way; the next is read when it is answered, as varlink has it.
    busy: bool,
    /// It sent more meanwhile, which stays in the kernel's buffer: only its end is waited for.
    paused: bool,
    /// What the kernel is asked to report: readable, writable.
    interest: (bool, bool),
    watching: bool,
    lagged: bool,
    /// Since when a message is half sent, or an answer waits to be taken.
    stalled: Option<Mono>,
    hung_up: bool,
}

impl Clients {
    /// Makes the socket: for root, and for the members of group `svc` where there is one. Or goes on with that of a
    /// predecessor.
    ///
    /// # Errors
    /// As bind(2) and chmod(2).
    pub fn listen(path: &Path, former: Option<OwnedFd>, descriptors: u64, poll: &mut Poll) -> io::Result<Self> {
        let listener = former.map_or_else(|| socket::bind(path), |listener| Ok(listener.into()))?;
        let listening = Some(poll.add(&listener, Source::Listener)?);
        Ok(Self {
            listener,
            listening,
            accept_again: None,
            all: BTreeMap::new(),
            last: 0,
            most: usize::try_from(descriptors / 5)
                .unwrap_or(usize::MAX)
                .clamp(4, CLIENTS_MAX),
            kept_free_from: descriptors.checked_sub(KEPT_FREE).unwrap_or(u64::MAX),
        })
    }

    fn accept_all(&mut self, poll: &mut Poll) {
        loop {
            match self.listener.accept() {
                Ok((stream, _)) => self.admit(stream, poll),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    // No descriptor is free (accept(2): EMFILE, ENFILE): the listener stays readable, so it is not
                    // waited for until a client goes or a pause is over.
                    tracing::warn!("accept: {error}");
                    return self.stop_listening(poll);
                }
            }
        }
    }

    fn admit(&mut self, stream: UnixStream, poll: &mut Poll) {
        // By nix: a caller from outside our pid namespace has the number 0, which rustix's type cannot hold.
        let Ok(credentials) = getsockopt(&stream, PeerCredentials) else {
            return;
        };
        let uid = credentials.uid();
        let of_user = self.all.values().filter(|client| client.peer.uid == uid).count();
        let number = u64::try_from(stream.as_raw_fd()).unwrap_or_default();
        let few_left = number >= self.kept_free_from && !self.all.is_empty();
        let full = self.all.len() >= self.most || few_left;
        if (full || of_user >= CLIENTS_PER_USER_MAX) && !self.make_room(uid, poll) {
            return;
        }
        // With the number of the one that went, so that those kept free are.
        let Ok(stream) = (if few_left { stream.try_clone() } else { Ok(stream) }) else {
            return;
        };
        let pid = credentials.pid().unsigned_abs();
        let program = processes::program(credentials.pid()).unwrap_or_default().into();
        if stream.set_nonblocking(true).is_err() {
            return;
        }
        self.last += 1;
        let Ok(token) = poll.add(&stream, Source::Client(self.last)) else {
            return;
        };
        let client = Client {
            stream,
            token,
            peer: Peer { uid, pid, program },
            decoder: Decoder::new(REQUEST_BYTES_MAX),
            given: Vec::new(),
            out: Unsent::default(),
            busy: false,
            paused: false,
            interest: (true, false),
            watching: false,
            lagged: false,
            stalled: None,
            hung_up: false,
        };
        self.all.insert(self.last, client);
    }

    /// Drops the user's oldest connection that asks for nothing. False: there is none.
    fn make_room(&mut self, uid: u32, poll: &mut Poll) -> bool {
        let idle = |client: &Client| client.peer.uid == uid && !client.busy && client.out.is_empty();
        let oldest = self
            .all
            .iter()
            .find(|(_, client)| idle(client))
            .map(|(number, _)| *number);
        oldest.is_some_and(|number| {
            self.remove(number, poll);
            true
        })
    }

    fn stop_listening(&mut self, poll: &mut Poll) {
        if let Some(token) = self.listening.take() {
            poll.remove(&self.listener, token);
        }
        self.accept_again = Some(Mono(clock::mono().0 + ACCEPT_PAUSE));
    }

    fn listen_again(&mut self, poll: &mut Poll) {
        self.accept_again = None;
        if self.listening.is_none() {
            self.listening = poll.add(&self.listener, Source::Listener).ok();
        }
    }

    fn remove(&mut self, number: u64, poll: &mut Poll) {
        if let Some(client) = self.all.remove(&number) {
            poll.remove(&client.stream, client.token);
            self.listen_again(poll);
        }
    }

    /// Appends an answer, and sends what can be sent.
    pub fn send(&mut self, number: u64, bytes: &[u8], poll: &mut Poll) {
        if let Some(client) = self.all.get_mut(&number) {
            client.out.push(bytes);
            self.flush(number, poll);
        }
    }

    /// The request of this client is answered: the next one may be read.
    pub fn finish(&mut self, number: u64, poll: &mut Poll) {
        if let Some(client) = self.all.get_mut(&number) {
            client.busy = false;
            client.paused = false;
            client.update_interest(poll);
        }
    }

    /// From here on this client hears of every change.
    pub fn watch(&mut self, number: u64) {
        if let Some(client) = self.all.get_mut(&number) {
            client.watching = true;
        }
    }

    /// Sends a change to all who watch. `message` makes the bytes, told whether this client lagged before.
    pub fn tell_watchers(&mut self, message: impl Fn(bool) -> Vec<u8>, poll: &mut Poll) {
        let watchers: Vec<u64> = self
            .all
            .iter()
            .filter(|(_, client)| client.watching)
            .map(|(number, _)| *number)
            .collect();
        for number in watchers {
            let Some(client) = self.all.get_mut(&number) else {
                continue;
            };
            if client.out.rest().len() > WATCH_BACKLOG_BYTES_MAX {
                client.lagged = true;
                continue;
            }
            let lagged = std::mem::take(&mut client.lagged);
            self.send(number, &message(lagged), poll);
        }
    }

    fn flush(&mut self, number: u64, poll: &mut Poll) {
        let Some(client) = self.all.get_mut(&number) else {
            return;
        };
        let Ok(took_some) = client.out.send(&client.stream) else {
            return self.remove(number, poll);
        };
        let waits = !client.out.is_empty();
        match (waits, client.stalled) {
            (true, None) => client.stalled = Some(clock::mono()),
            (true, Some(_)) if took_some => client.stalled = Some(clock::mono()),
            (true, Some(_)) => {}
            (false, _) if client.decoder.is_half_sent() => {}
            (false, _) => client.stalled = None,
        }
        client.update_interest(poll);
    }

    /// The last words, before svcd ends.
    pub fn flush_all(&mut self, poll: &mut Poll) {
        let all: Vec<u64> = self.all.keys().copied().collect();
        for number in all {
            self.flush(number, poll);
        }
    }

    /// When the next connection has been stalled for too long, or accept is tried again.
    pub fn next_deadline(&self) -> Option<Mono> {
        let stalled = self.all.values().filter_map(|client| client.stalled).min();
        [stalled.map(|since| Mono(since.0 + STALLED_MAX)), self.accept_again]
            .into_iter()
            .flatten()
            .min()
    }

    /// Drops who has been stalled for too long; accepts again.
    pub fn drop_idle(&mut self, now: Mono, poll: &mut Poll) {
        let late = |client: &Client| client.stalled.is_some_and(|since| since.0 + STALLED_MAX <= now.0);
        let drop: Vec<u64> = self
            .all
            .iter()
            .filter(|(_, client)| late(client))
            .map(|(number, _)| *number)
            .collect();
        for number in drop {
            self.remove(number, poll);
        }
        if self.accept_again.is_some_and(|at| at <= now) {
            self.listen_again(poll);
        }
    }

    /// Reads what is there, or leaves it where it is while a request is under way. False: the client is gone.
    fn read(&mut self, number: u64) -> bool {
        let Some(client) = self.all.get_mut(&number) else {
            return false;
        };
        if client.busy {
            return client.pause();
        }
        let mut bytes = [0_u8; READ_BYTES];
        match descriptors::receive(&client.stream, &mut bytes) {
            Ok((0, _)) => client.hung_up = true,
            Ok((count, given)) => {
                client.decoder.push(bytes.get(..count).unwrap_or_default());
                client.take(given);
            }
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
            Err(_) => return false,
        }
        true
    }

    /// The next request, unless one is under way or its answer is not taken yet.
    fn next_call(&mut self, number: u64) -> Next {
        let Some(client) = self.all.get_mut(&number) else {
            return Next::None;
        };
        if client.busy || !client.out.is_empty() {
            return if client.hung_up { Next::Gone } else { Next::None };
        }
        match client.decoder.next_frame() {
            Ok(Some(frame)) => {
                let parsed = Call::parse(frame);
                client.stalled = None;
                match parsed {
                    Ok(call) => {
                        client.busy = true;
                        Next::Call(call, client.peer.clone(), std::mem::take(&mut client.given))
                    }
                    Err(NoCall::Answer(failure)) => Next::Answer(failure.reply()),
                    Err(NoCall::Ignore) => Next::Again,
                    Err(NoCall::Malformed) => Next::Gone,
                }
            }
            Ok(None) if client.hung_up => Next::Gone,
            Ok(None) => {
                client.stalled = client
                    .decoder
                    .is_half_sent()
                    .then(|| client.stalled.unwrap_or_else(clock::mono));
                Next::None
            }
            Err(_) => Next::Gone,
        }
    }
}

enum Next {
    Call(Call, Peer, Vec<OwnedFd>),
    Answer(Vec<u8>),
    Again,
    None,
    Gone,
}

impl Supervisor {
    pub(super) fn on_listener(&mut self) {
        self.clients.accept_all(&mut self.poll);
    }

    pub(super) fn on_client(&mut self, number: u64) {
        self.clients.flush(number, &mut self.poll);
        if self.clients.read(number) {
            self.serve(number);
            self.clients.flush(number, &mut self.poll);
        } else {
            self.forget_client(number);
        }
    }

    /// Carries the client's requests out, one after the other.
    pub(super) fn serve(&mut self, number: u64) {
        loop {
            match self.clients.next_call(number) {
                Next::Call(call, peer, given) => self.request(number, call, &peer, given),
                Next::Answer(bytes) => self.clients.send(number, &bytes, &mut self.poll),
                Next::Again => {}
                Next::None => return,
                Next::Gone => return self.forget_client(number),
            }
        }
    }

    fn forget_client(&mut self, number: u64) {
        self.clients.remove(number, &mut self.poll);
        self.requests.forget(number);
    }
}
