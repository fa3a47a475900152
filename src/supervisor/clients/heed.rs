//! How far a client is heard.

use std::os::fd::OwnedFd;

use super::Client;
use crate::supervisor::poll::Poll;
use crate::sys::descriptors::DESCRIPTORS_MAX;

impl Client {
    /// Who may not ask for anything that takes descriptors gives none, and nobody more than one call takes.
    pub(super) fn take(&mut self, given: Vec<OwnedFd>) {
        if self.peer.may_change() && self.given.len() + given.len() <= DESCRIPTORS_MAX {
            self.given.extend(given);
        }
    }

    /// While an answer waits, nothing more is read: whoever does not listen is not heard.
    pub(super) fn update_interest(&mut self, poll: &mut Poll) {
        let waits = !self.out.is_empty();
        let interest = (!waits && !self.paused, waits);
        if interest != self.interest && poll.change(&self.stream, self.token, interest.0, interest.1).is_ok() {
            self.interest = interest;
        }
    }

    /// Something came while a request is under way: its end, or more requests, which wait. False: its end.
    pub(super) fn pause(&mut self) -> bool {
        if self.paused {
            // Nothing but its end, or room for an answer, is reported by now.
            return !self.out.is_empty();
        }
        let mut byte = [0_u8; 1];
        let flags = rustix::net::RecvFlags::PEEK | rustix::net::RecvFlags::DONTWAIT;
        match rustix::net::recv(&self.stream, &mut byte, flags) {
            Ok((0, _)) => false,
            Ok(_) => {
                self.paused = true;
                true
            }
            Err(error) => error == rustix::io::Errno::AGAIN || error == rustix::io::Errno::INTR,
        }
    }
}
