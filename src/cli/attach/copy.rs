//! Bytes from one descriptor to another, as far as both go without waiting.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use rustix::io::Errno;

/// Copied in one go.
const BYTES: usize = 16 << 10;

/// What the caller has typed, besides what is handed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Typed {
    /// Nothing.
    Nothing,
    /// The keys that leave the command alone.
    Detach,
}

/// Looks for Docker's keys to detach, Ctrl-P Ctrl-Q, in what is typed.
#[derive(Debug, Default)]
pub struct Keys {
    /// The first of them was typed last, and is held back.
    first: bool,
}

impl Keys {
    const FIRST: u8 = 0x10;
    const SECOND: u8 = 0x11;

    /// Appends what is to be handed on; true: both were typed.
    fn pass(&mut self, typed: &[u8], on: &mut Vec<u8>) -> bool {
        for byte in typed {
            match (std::mem::take(&mut self.first), *byte) {
                (true, Self::SECOND) => return true,
                (held, Self::FIRST) => {
                    on.extend(held.then_some(Self::FIRST));
                    self.first = true;
                }
                (held, byte) => {
                    on.extend(held.then_some(Self::FIRST));
                    on.push(byte);
                }
            }
        }
        false
    }
}

/// One direction.
#[derive(Debug)]
pub struct Copy {
    from: Option<OwnedFd>,
    to: OwnedFd,
    /// Read and not written yet.
    pending: Vec<u8>,
    keys: Option<Keys>,
}

impl Copy {
    /// # Errors
    /// As dup(2).
    pub fn new(from: BorrowedFd<'_>, to: BorrowedFd<'_>, keys: Option<Keys>) -> io::Result<Self> {
        Ok(Self {
            from: Some(from.try_clone_to_owned()?),
            to: to.try_clone_to_owned()?,
            pending: Vec::new(),
            keys,
        })
    }

    /// There is nothing more to read, and all is written.
    pub fn is_over(&self) -> bool {
        self.from.is_none() && self.pending.is_empty()
    }

    /// What has to happen before it can go on.
    pub fn waits_for(&self) -> Option<PollFd<'_>> {
        match &self.from {
            _ if !self.pending.is_empty() => Some(PollFd::new(self.to.as_fd(), PollFlags::POLLOUT)),
            Some(from) => Some(PollFd::new(from.as_fd(), PollFlags::POLLIN)),
            None => None,
        }
    }

    /// Copies what is there now.
    pub fn go_on(&mut self) -> Typed {
        if self.pending.is_empty() && self.read() == Typed::Detach {
            return Typed::Detach;
        }
        self.write();
        Typed::Nothing
    }

    /// Copies until there is no more, or as long as something is there.
    pub fn finish(&mut self) {
        while !self.is_over()
            && self
                .waits_for()
                .is_some_and(|waited| is_ready(waited, PollTimeout::ZERO))
        {
            self.go_on();
        }
    }

    fn read(&mut self) -> Typed {
        let Some(from) = self
            .from
            .as_ref()
            .filter(|from| is_ready(PollFd::new(from.as_fd(), PollFlags::POLLIN), PollTimeout::ZERO))
        else {
            return Typed::Nothing;
        };
        let mut bytes = [0; BYTES];
        let count = match rustix::io::read(from, &mut bytes) {
            Err(Errno::INTR | Errno::AGAIN) => return Typed::Nothing,
            // EIO: nobody has the other side of the terminal open any more.
            Ok(0) | Err(_) => {
                self.from = None;
                return Typed::Nothing;
            }
            Ok(count) => count,
        };
        let read = bytes.get(..count).unwrap_or_default();
        match &mut self.keys {
            Some(keys) => match keys.pass(read, &mut self.pending) {
                true => Typed::Detach,
                false => Typed::Nothing,
            },
            None => {
                self.pending.extend_from_slice(read);
                Typed::Nothing
            }
        }
    }

    /// As much as goes without waiting.
    fn write(&mut self) {
        while !self.pending.is_empty() && is_ready(PollFd::new(self.to.as_fd(), PollFlags::POLLOUT), PollTimeout::ZERO)
        {
            // What a pipe says it takes without waiting.
            let some = self.pending.get(..self.pending.len().min(PIPE_BUF)).unwrap_or_default();
            match rustix::io::write(&self.to, some) {
                Ok(count) => drop(self.pending.drain(..count)),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return,
                Err(_) => {
                    // Nobody takes it any more.
                    self.pending.clear();
                    self.from = None;
                }
            }
        }
    }
}

/// pipe(7): a pipe that poll(2) calls writable takes this much.
const PIPE_BUF: usize = 4096;

fn is_ready(fd: PollFd<'_>, timeout: PollTimeout) -> bool {
    poll(&mut [fd], timeout).is_ok_and(|ready| ready > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_keys_to_detach_are_found_and_nothing_else_is_held_back() {
        let mut keys = Keys::default();
        let mut on = Vec::new();
        assert!(!keys.pass(b"ab\x10", &mut on));
        assert_eq!(on, b"ab", "the first key waits for the next one");
        assert!(!keys.pass(b"c\x10\x10d\x11", &mut on));
        assert_eq!(on, b"ab\x10c\x10\x10d\x11");
        assert!(!keys.pass(b"\x10", &mut on));
        assert!(keys.pass(b"\x11rest", &mut on));
        assert_eq!(on, b"ab\x10c\x10\x10d\x11");
    }

    #[test]
    fn all_is_copied_and_the_end_is_seen() {
        let (from, mut to_it) = io::pipe().unwrap();
        let (out, into) = io::pipe().unwrap();
        let mut copy = Copy::new(from.as_fd(), into.as_fd(), None).unwrap();
        io::Write::write_all(&mut to_it, b"hello").unwrap();
        assert_eq!(copy.go_on(), Typed::Nothing);
        assert!(!copy.is_over());
        drop(to_it);
        copy.finish();
        assert!(copy.is_over());
        drop((copy, into));
        assert_eq!(io::read_to_string(out).unwrap(), "hello");
    }
}
