//! Groups that are made while the child is busy with what it sees of the machine: it waits for them where they are needed.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};

use super::child::join_cgroups;
use super::report::StepFailed;
use crate::sys::child::close_each;
use crate::sys::descriptors::{self, DESCRIPTORS_MAX};

/// What comes with a message.
const LAST: u8 = 0;
const MORE: u8 = 1;

/// Given to a child before its groups are made. It ends by itself where this is dropped.
#[derive(Debug)]
pub struct Promise {
    ours: OwnedFd,
    its: OwnedFd,
}

/// The child's side.
#[derive(Clone, Copy, Debug)]
pub struct Promised<'a> {
    socket: BorrowedFd<'a>,
    /// Of which the child has a copy.
    other_end: BorrowedFd<'a>,
}

impl Promise {
    /// # Errors
    /// As socketpair(2).
    pub fn new() -> io::Result<Self> {
        let flags = SocketFlags::CLOEXEC;
        let (ours, its) = socketpair(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
        Ok(Self { ours, its })
    }

    /// For the child.
    pub fn to_child(&self) -> Promised<'_> {
        Promised {
            socket: self.its.as_fd(),
            other_end: self.ours.as_fd(),
        }
    }

    /// The groups are made: the child joins them by these `tasks` files. Of one that has ended its report tells.
    ///
    /// # Errors
    /// As sendmsg(2).
    pub fn keep(self, files: &[OwnedFd]) -> io::Result<()> {
        drop(self.its);
        let files: Vec<BorrowedFd<'_>> = files.iter().map(AsFd::as_fd).collect();
        let mut chunks = files.chunks(DESCRIPTORS_MAX).peekable();
        loop {
            let files = chunks.next().unwrap_or_default();
            let word = chunks.peek().map_or(LAST, |_| MORE);
            match descriptors::send(&self.ours, &[word], files) {
                Err(error) if error.raw_os_error() == Some(libc::EPIPE) => return Ok(()),
                Ok(_) if word == MORE => {}
                sent => return sent.map(|_| ()),
            }
        }
    }
}

impl Promised<'_> {
    /// Waits for them, and joins them.
    pub(super) fn join(&self) -> Result<(), StepFailed> {
        let failed = |errno| StepFailed::new("cgroup join", errno);
        close_each(&[self.other_end]);
        let mut word = [MORE];
        while word == [MORE] {
            let received = descriptors::receive(self.socket, &mut word);
            let (bytes, files) = received.map_err(|error| failed(error.raw_os_error().unwrap_or(0)))?;
            if bytes == 0 {
                return Err(failed(Errno::PIPE.raw_os_error()));
            }
            join_cgroups(&files.iter().map(AsFd::as_fd).collect::<Vec<_>>())?;
        }
        Ok(())
    }
}
