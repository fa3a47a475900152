//! What svcd and its log process say to each other, over a socket pair that keeps messages whole.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::time::Duration;

use rustix::net::RecvFlags;
use serde::{Deserialize, Serialize};

use crate::sys::descriptors;
use crate::unit::{Forward, Log};

/// From svcd. Both ends are the same program, so that the form is nobody else's business.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Request {
    /// Drain this pipe from now on: the descriptor that goes along.
    Attach { unit: Box<str>, policy: Policy },
    /// The unit's `[log]` has changed.
    Update { unit: Box<str>, policy: Policy },
    /// Take what is in the pipe, then let it go; and with `remove`, all files of the unit.
    Detach { unit: Box<str>, remove: bool },
    /// Take what is in the pipe, then say so with the token.
    Flush { unit: Box<str>, token: u64 },
    /// Take what is in every pipe, then end.
    Stop,
}

/// `[log]`, as it goes over the wire.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policy {
    /// Bytes kept of the unit.
    pub max_size: u64,
    /// Lines in each stretch of time.
    pub rate: Option<(u64, Duration)>,
    /// Where else lines go.
    pub forward: Vec<To>,
}

/// As [`Forward`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub enum To {
    Console,
    Kmsg,
    Syslog(PathBuf),
}

impl From<&Log> for Policy {
    fn from(log: &Log) -> Self {
        let to = |forward: &Forward| match forward {
            Forward::Console => To::Console,
            Forward::Kmsg => To::Kmsg,
            Forward::Syslog(path) => To::Syslog(path.clone()),
        };
        Self {
            max_size: log.max_size.0,
            rate: log.rate_limit.as_ref().map(|limit| (limit.lines, limit.per)),
            forward: log.forward.iter().map(to).collect(),
        }
    }
}

/// The longest message: names and a few paths.
const MESSAGE_BYTES_MAX: usize = 64 << 10;

impl Request {
    /// The message, without the descriptor.
    pub fn encode(&self) -> io::Result<Vec<u8>> {
        let bytes = serde_json::to_vec(self)?;
        if bytes.len() > MESSAGE_BYTES_MAX {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "log policy too long"));
        }
        Ok(bytes)
    }
}

/// Sends one message, with a descriptor if there is one. `WouldBlock`: not now.
pub fn send(socket: BorrowedFd<'_>, message: &[u8], descriptor: Option<BorrowedFd<'_>>) -> io::Result<()> {
    descriptors::send(socket, message, descriptor.as_slice()).map(|_| ())
}

/// Receives one request. None: svcd is gone. `WouldBlock`: nothing there.
pub fn receive(socket: BorrowedFd<'_>) -> io::Result<Option<(Request, Option<OwnedFd>)>> {
    let mut bytes = vec![0; MESSAGE_BYTES_MAX];
    let (got, descriptors) = descriptors::receive(socket, &mut bytes)?;
    match bytes.get(..got) {
        None | Some([]) => Ok(None),
        Some(message) => Ok(Some((serde_json::from_slice(message)?, descriptors.into_iter().next()))),
    }
}

/// Says that a flush is done.
pub fn acknowledge(socket: BorrowedFd<'_>, token: u64) -> io::Result<()> {
    send(socket, &token.to_le_bytes(), None)
}

/// A token that is acknowledged. None: the log process is gone. `WouldBlock`: nothing there.
pub fn acknowledged(socket: impl AsFd) -> io::Result<Option<u64>> {
    let mut bytes = [0u8; 8];
    let (_, got) = rustix::net::recv(socket, &mut bytes[..], RecvFlags::empty())?;
    Ok((got == bytes.len()).then(|| u64::from_le_bytes(bytes)))
}
