//! What the caller of Run and Exec hears of the process itself: a pidfd for signals, and its terminal.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;

use crate::sys::descriptors;

/// The caller's end of the socket whose other end goes along with the call.
#[derive(Debug)]
pub struct Channel(UnixStream);

/// A process that has been given its streams.
#[derive(Debug)]
pub struct Begun {
    /// For signals.
    pub pidfd: OwnedFd,
    /// The master of its terminal; pty(7). None: its streams are those that went along.
    pub terminal: Option<OwnedFd>,
    /// Where its output goes once nobody looks at the terminal any more: the unit's log, where it has one.
    pub log: Option<OwnedFd>,
}

/// All that a caller of Run has while its command runs: whoever has it takes the caller's place.
#[derive(Debug)]
pub struct Held {
    /// The connection, on which the answer to the call is waited for.
    pub connection: OwnedFd,
    /// The command.
    pub begun: Begun,
}

impl Held {
    /// Hands it over.
    ///
    /// # Errors
    /// As sendmsg(2).
    pub fn send(&self, to: &UnixStream) -> io::Result<()> {
        let Begun { pidfd, terminal, log } = &self.begun;
        let all = [Some(&self.connection), Some(pidfd), terminal.as_ref(), log.as_ref()];
        let all: Vec<BorrowedFd<'_>> = all.into_iter().flatten().map(AsFd::as_fd).collect();
        descriptors::send(to, b"\0", &all).map(drop)
    }

    /// Waits for it. None: whoever had it is gone.
    ///
    /// # Errors
    /// As recvmsg(2).
    pub fn receive(from: &UnixStream) -> io::Result<Option<Self>> {
        let (_, descriptors) = descriptors::receive(from, &mut [0])?;
        let mut descriptors = descriptors.into_iter();
        let (Some(connection), Some(pidfd)) = (descriptors.next(), descriptors.next()) else {
            return Ok(None);
        };
        let (terminal, log) = (descriptors.next(), descriptors.next());
        let begun = Begun { pidfd, terminal, log };
        Ok(Some(Self { connection, begun }))
    }
}

impl Channel {
    /// Both ends: ours, and the one to send.
    ///
    /// # Errors
    /// As socketpair(2).
    pub fn new() -> io::Result<(Self, OwnedFd)> {
        let (ours, theirs) = UnixStream::pair()?;
        Ok((Self(ours), theirs.into()))
    }

    /// Waits for the process. None: it never began, which the answer to the call explains.
    ///
    /// # Errors
    /// As recvmsg(2).
    pub fn receive(&self) -> io::Result<Option<Begun>> {
        let mut byte = [0; 1];
        let (_, descriptors) = descriptors::receive(&self.0, &mut byte)?;
        let mut descriptors = descriptors.into_iter();
        Ok(descriptors.next().map(|pidfd| Begun {
            pidfd,
            terminal: descriptors.next(),
            log: descriptors.next(),
        }))
    }
}

/// To wait on; then [`Channel::receive`].
impl AsFd for Channel {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
