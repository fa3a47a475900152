//! What is still to be sent to a client.

use std::io::{self, Write};
use std::os::unix::net::UnixStream;

/// So much is moved to the front each time that a part of it was sent; of more, only once half of it was.
const MOVED_BYTES_MAX: usize = 64 << 10;

/// Bytes that a client has not taken yet. A client that does not read makes svcd hold these, and no room for more.
#[derive(Default)]
pub struct Unsent {
    bytes: Vec<u8>,
    sent: usize,
}

impl From<Vec<u8>> for Unsent {
    fn from(bytes: Vec<u8>) -> Self {
        Self { bytes, sent: 0 }
    }
}

impl Unsent {
    /// What is left.
    pub fn rest(&self) -> &[u8] {
        self.bytes.get(self.sent..).unwrap_or_default()
    }

    /// Nothing is left.
    pub fn is_empty(&self) -> bool {
        self.rest().is_empty()
    }

    /// More, after what is there.
    pub fn push(&mut self, bytes: &[u8]) {
        self.bytes.reserve_exact(bytes.len());
        self.bytes.extend_from_slice(bytes);
    }

    /// Sends as much as the client takes. True: it took some.
    ///
    /// # Errors
    /// As write(2), but that the client takes no more is none.
    pub fn send(&mut self, mut to: &UnixStream) -> io::Result<bool> {
        let before = self.sent;
        let outcome = loop {
            let rest = self.rest();
            if rest.is_empty() {
                break Ok(());
            }
            match to.write(rest) {
                Ok(count) => self.sent += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break Ok(()),
                Err(error) => break Err(error),
            }
        };
        let took = self.sent > before;
        if took {
            self.drop_sent();
        }
        outcome.map(|()| took)
    }

    fn drop_sent(&mut self) {
        let rest = self.rest();
        if rest.len() <= MOVED_BYTES_MAX || rest.len() <= self.sent {
            // Exactly as long as it is.
            self.bytes = rest.to_vec();
            self.sent = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    /// One who reads slowly, and never all, makes svcd hold no more than what is left.
    #[test]
    fn what_was_sent_is_not_held() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        let mut unsent = Unsent::default();
        let (mut told, mut heard) = (Vec::new(), Vec::new());
        let mut some = vec![0; 24 << 10];
        for round in 0..200_u8 {
            let message = vec![round; 32 << 10];
            told.extend_from_slice(&message);
            if unsent.rest().len() < 64 << 10 {
                unsent.push(&message);
            } else {
                told.truncate(told.len() - message.len());
            }
            unsent.send(&ours).unwrap();
            let count = theirs.read(&mut some).unwrap();
            heard.extend_from_slice(&some[..count]);
            assert!(unsent.bytes.capacity() <= 2 * (96 << 10), "{round}");
        }
        while !unsent.is_empty() {
            let count = theirs.read(&mut some).unwrap();
            heard.extend_from_slice(&some[..count]);
            unsent.send(&ours).unwrap();
        }
        drop(ours);
        theirs.read_to_end(&mut heard).unwrap();
        assert_eq!(unsent.bytes.capacity(), 0);
        assert!(told == heard, "all of it comes, in order");
    }

    #[test]
    fn a_peer_that_has_gone_is_an_error() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        drop(theirs);
        let mut unsent = Unsent::default();
        assert!(!unsent.send(&ours).unwrap(), "with nothing to send nobody hears of it");
        unsent.push(b"x");
        assert_eq!(unsent.send(&ours).unwrap_err().kind(), io::ErrorKind::BrokenPipe);
    }
}
