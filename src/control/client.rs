//! The caller's side, for the command line: one call at a time on a connection, blocking unless asked otherwise.

use std::fmt;
use std::io::{self, Write};
use std::marker::PhantomData;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::sys::socket::{MsgFlags, recv};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

use super::call::Request;
use super::frame::{self, Decoder};
use super::reply::Failure;
use crate::sys::descriptors;

/// What the first read of a reply takes at most, and each of those that follow one that was full: most are short.
const READ_BYTES: usize = 4 << 10;
const READ_BYTES_MAX: usize = 64 << 10;

/// A connection to a supervisor.
#[derive(Debug)]
pub struct Client {
    stream: UnixStream,
    decoder: Decoder,
    bytes: Vec<u8>,
}

/// Why there is no answer.
#[derive(Debug)]
pub enum Error {
    /// Nobody listens at the socket.
    NoSupervisor(PathBuf, io::Error),
    /// The socket is not for this user.
    Forbidden(PathBuf),
    /// The supervisor has the call and does not answer in time.
    TimedOut,
    /// The supervisor hung up before it had answered.
    HungUp,
    /// What came is no varlink reply, or not of the type that the method returns.
    Garbled(String),
    /// The supervisor says why not.
    Refused(Failure),
    /// The connection fails otherwise.
    Io(io::Error),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSupervisor(socket, cause) => write!(f, "no supervisor answers at {}: {cause}", socket.display()),
            Self::Forbidden(socket) => write!(f, "{} is not for this user", socket.display()),
            Self::TimedOut => f.write_str("the supervisor did not answer in time"),
            Self::HungUp => f.write_str("the supervisor hung up"),
            Self::Garbled(why) => write!(f, "the supervisor's answer makes no sense: {why}"),
            Self::Refused(failure) => write!(f, "{failure:?}"),
            Self::Io(cause) => write!(f, "connection to the supervisor: {cause}"),
        }
    }
}

impl std::error::Error for Error {}

/// One reply.
#[derive(Debug)]
pub struct Reply<T> {
    /// What the method returns.
    pub value: T,
    /// More follow.
    pub continues: bool,
}

impl Client {
    /// Connects.
    ///
    /// # Errors
    /// [`Error::NoSupervisor`], [`Error::Forbidden`], or [`Error::Io`].
    pub fn connect(socket: &Path) -> Result<Self, Error> {
        let stream = UnixStream::connect(socket).map_err(|cause| match cause.raw_os_error() {
            Some(libc::ENOENT | libc::ECONNREFUSED | libc::ENOTDIR) => Error::NoSupervisor(socket.to_owned(), cause),
            Some(libc::EACCES | libc::EPERM) => Error::Forbidden(socket.to_owned()),
            _ => Error::Io(cause),
        })?;
        Ok(Self::over(stream))
    }

    /// Goes on with a connection of another's, on which a call has no part of its answer yet.
    pub fn taken_over(connection: OwnedFd) -> Self {
        Self::over(connection.into())
    }

    fn over(stream: UnixStream) -> Self {
        Self {
            stream,
            decoder: Decoder::new(frame::REPLY_BYTES_MAX),
            bytes: vec![0; READ_BYTES],
        }
    }

    /// Calls and waits for the one reply, as long as `patience` between two reads allows; none: for ever.
    ///
    /// # Errors
    /// [`Error`].
    pub fn call<T: DeserializeOwned>(&mut self, request: &Request, patience: Option<Duration>) -> Result<T, Error> {
        self.set_patience(patience)?;
        self.send(request, false)?;
        Ok(self.receive()?.value)
    }

    /// Calls and gives the replies one after the other, the last one included, for as long as they take.
    ///
    /// # Errors
    /// [`Error`], here or from the iterator, which ends after it.
    pub fn call_more<T: DeserializeOwned>(&mut self, request: &Request) -> Result<Replies<'_, T>, Error> {
        self.set_patience(None)?;
        self.send(request, true)?;
        Ok(Replies {
            client: self,
            over: false,
            what: PhantomData,
        })
    }

    /// How long [`Client::receive`] waits between two reads from now on; none: for ever, as at first.
    ///
    /// # Errors
    /// As setsockopt(2); a time of zero is none.
    pub fn set_patience(&self, patience: Option<Duration>) -> Result<(), Error> {
        self.stream.set_read_timeout(patience).map_err(Error::Io)
    }

    /// Sends a call and leaves the replies to [`Client::receive`] or [`Client::receive_ready`].
    ///
    /// # Errors
    /// [`Error::HungUp`] or [`Error::Io`].
    pub fn send(&mut self, request: &Request, more: bool) -> Result<(), Error> {
        self.send_with(request, more, &[])
    }

    /// The same, with descriptors that go along; unix(7), SCM_RIGHTS.
    ///
    /// # Errors
    /// [`Error::HungUp`] or [`Error::Io`].
    pub fn send_with(&mut self, request: &Request, more: bool, descriptors: &[BorrowedFd<'_>]) -> Result<(), Error> {
        #[derive(Serialize)]
        struct Message {
            method: String,
            parameters: Value,
            #[serde(skip_serializing_if = "std::ops::Not::not")]
            more: bool,
        }
        let message = Message {
            method: request.method(),
            parameters: request.parameters(),
            more,
        };
        let bytes = frame::encode(&message).map_err(|e| Error::Garbled(e.to_string()))?;
        let sent = descriptors::send(&self.stream, &bytes, descriptors).map_err(of_io)?;
        let rest = bytes.get(sent..).unwrap_or_default();
        self.stream.write_all(rest).map_err(of_io)
    }

    /// Waits for the next reply.
    ///
    /// # Errors
    /// [`Error`].
    pub fn receive<T: DeserializeOwned>(&mut self) -> Result<Reply<T>, Error> {
        loop {
            if let Some(reply) = self.decoded()? {
                return Ok(reply);
            }
            self.read(MsgFlags::empty())?;
        }
    }

    /// The next reply if it is there already; never waits.
    ///
    /// # Errors
    /// [`Error`].
    pub fn receive_ready<T: DeserializeOwned>(&mut self) -> Result<Option<Reply<T>>, Error> {
        loop {
            match self.decoded()? {
                None if self.read(MsgFlags::MSG_DONTWAIT)? => {}
                reply => return Ok(reply),
            }
        }
    }

    /// False: there is nothing, and it is not to be waited for.
    fn read(&mut self, flags: MsgFlags) -> Result<bool, Error> {
        match recv(self.stream.as_raw_fd(), &mut self.bytes, flags) {
            Ok(0) => return Err(Error::HungUp),
            Ok(count) => {
                self.decoder.push(self.bytes.get(..count).unwrap_or_default());
                if count == self.bytes.len() {
                    self.bytes.resize(READ_BYTES_MAX, 0);
                }
            }
            Err(nix::Error::EAGAIN) if flags.contains(MsgFlags::MSG_DONTWAIT) => return Ok(false),
            Err(nix::Error::EINTR) => {}
            Err(errno) => return Err(of_io(errno.into())),
        }
        Ok(true)
    }

    fn decoded<T: DeserializeOwned>(&mut self) -> Result<Option<Reply<T>>, Error> {
        // Raw: a list of a thousand units is decoded once, into what it is.
        #[derive(Deserialize)]
        struct Message<'a> {
            #[serde(borrow)]
            parameters: Option<&'a RawValue>,
            #[serde(default)]
            continues: bool,
            error: Option<String>,
        }
        let garbled = |cause: &dyn fmt::Display| Error::Garbled(cause.to_string());
        let Some(frame) = self.decoder.next_frame().map_err(|e| garbled(&e))? else {
            return Ok(None);
        };
        let message: Message<'_> = serde_json::from_slice(frame).map_err(|e| garbled(&e))?;
        let parameters = message.parameters.map_or("{}", RawValue::get);
        if let Some(error) = message.error {
            let parameters = serde_json::from_str(parameters).map_err(|e| garbled(&e))?;
            return Err(Error::Refused(Failure::from_parts(&error, parameters)));
        }
        Ok(Some(Reply {
            value: serde_json::from_str(parameters).map_err(|e| garbled(&e))?,
            continues: message.continues,
        }))
    }
}

/// To wait on; then [`Client::receive_ready`].
impl AsFd for Client {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

/// The replies to a call with `more`, from [`Client::call_more`].
#[derive(Debug)]
pub struct Replies<'a, T> {
    client: &'a mut Client,
    over: bool,
    what: PhantomData<T>,
}

impl<T: DeserializeOwned> Iterator for Replies<'_, T> {
    type Item = Result<T, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.over {
            return None;
        }
        let reply = self.client.receive();
        self.over = !matches!(&reply, Ok(Reply { continues: true, .. }));
        Some(reply.map(|reply| reply.value))
    }
}

fn of_io(cause: io::Error) -> Error {
    match cause.raw_os_error() {
        Some(libc::EAGAIN | libc::ETIMEDOUT) => Error::TimedOut,
        Some(libc::EPIPE | libc::ECONNRESET) => Error::HungUp,
        _ => Error::Io(cause),
    }
}
