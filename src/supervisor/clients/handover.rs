//! Clients handed over to a successor of the same process, and taken over from a predecessor: nobody has to connect
//! again, nothing half sent is lost, and who waits for an answer gets it.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;

use nix::sys::socket::getsockopt;
use nix::sys::socket::sockopt::PeerCredentials;

use super::{Client, Clients, Peer};
use crate::control::frame::{Decoder, REQUEST_BYTES_MAX};
use crate::supervisor::Supervisor;
use crate::supervisor::former::Former;
use crate::supervisor::keep::CLIENTS;
use crate::supervisor::kept::{Descriptor, KeptClient};
use crate::supervisor::poll::{Poll, Source};

impl Clients {
    /// Where new clients come.
    pub fn listener(&self) -> BorrowedFd<'_> {
        self.listener.as_fd()
    }

    /// A command of this client's goes on: its number is nobody else's.
    pub fn spare(&mut self, number: u64) {
        self.last = self.last.max(number);
    }

    fn take_over(&mut self, number: u64, socket: OwnedFd, kept: &KeptClient, poll: &mut Poll) -> Option<()> {
        let stream = UnixStream::from(socket);
        let credentials = getsockopt(&stream, PeerCredentials).ok()?;
        let token = poll.add(&stream, Source::Client(number)).ok()?;
        let mut decoder = Decoder::new(REQUEST_BYTES_MAX);
        decoder.push(&kept.received);
        let client = Client {
            stream,
            token,
            peer: Peer {
                uid: credentials.uid(),
                pid: credentials.pid().unsigned_abs(),
                program: kept.program.clone(),
            },
            decoder,
            given: Vec::new(),
            out: kept.unsent.clone().into(),
            busy: kept.busy,
            paused: false,
            interest: (true, false),
            watching: kept.watching,
            lagged: kept.lagged,
            stalled: kept.stalled,
            hung_up: kept.hung_up,
        };
        self.all.insert(number, client);
        self.last = self.last.max(number);
        Some(())
    }
}

impl Client {
    fn keep(&self) -> KeptClient {
        KeptClient {
            socket: Descriptor::of(&self.stream),
            program: self.peer.program.clone(),
            received: self.decoder.pending().to_vec(),
            unsent: self.out.rest().to_vec(),
            busy: self.busy,
            watching: self.watching,
            lagged: self.lagged,
            hung_up: self.hung_up,
            stalled: self.stalled,
            call: None,
        }
    }
}

impl Supervisor {
    /// All clients, by number.
    pub(in crate::supervisor) fn keep_clients(&self) -> impl Iterator<Item = (u64, KeptClient)> {
        self.clients.all.iter().map(|(number, client)| {
            let call = self.requests.keep_call(*number);
            (*number, KeptClient { call, ..client.keep() })
        })
    }

    /// Goes on with the clients of a predecessor.
    pub(in crate::supervisor) fn take_over_clients(&mut self, former: &mut Former) {
        let kept: Vec<(u64, KeptClient)> = former
            .section::<KeptClient>(CLIENTS)
            .filter_map(|(number, client)| Some((number.parse().ok()?, client)))
            .collect();
        for (number, client) in kept {
            let Some(socket) = former.take(&client.socket) else {
                continue;
            };
            if self
                .clients
                .take_over(number, socket, &client, &mut self.poll)
                .is_none()
            {
                continue;
            }
            if let Some(call) = &client.call {
                self.requests.restore_call(number, call);
            }
        }
    }

    /// Serves those who have sent something meanwhile, and sends what is still to be sent.
    pub(in crate::supervisor) fn serve_all(&mut self) {
        let numbers: Vec<u64> = self.clients.all.keys().copied().collect();
        for number in numbers {
            self.clients.flush(number, &mut self.poll);
            self.serve(number);
        }
    }
}
