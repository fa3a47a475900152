//! Bytes to messages and back: a varlink message is a JSON object ended by a NUL byte.
//!
//! Whatever the bytes are, nothing here panics, and each byte is looked at once however they come in.

use std::fmt;

use serde::Serialize;

/// The longest message that svcd takes from a client: the longest honest one is a list of a few hundred unit names.
/// With the cap on clients it bounds the memory that callers can make svcd hold.
pub const REQUEST_BYTES_MAX: usize = 64 << 10;

/// The longest message that a client takes from svcd: the status of 10,000 units is about 10 MB.
pub const REPLY_BYTES_MAX: usize = 64 << 20;

/// Cuts a stream of bytes into messages.
#[derive(Debug)]
pub struct Decoder {
    /// What has come and is not given out yet, from `start` on.
    buffer: Vec<u8>,
    /// Where the next message begins.
    start: usize,
    /// Up to where no NUL was found.
    scanned: usize,
    /// The longest message, without its NUL.
    bytes_max: usize,
}

/// A message is longer than allowed: the connection is of no more use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Oversized {
    /// What would have been allowed.
    pub bytes_max: usize,
}

impl fmt::Display for Oversized {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a message of more than {} bytes", self.bytes_max)
    }
}

impl std::error::Error for Oversized {}

impl Decoder {
    /// A decoder for messages of at most `bytes_max` bytes without their NUL.
    pub fn new(bytes_max: usize) -> Self {
        Self {
            buffer: Vec::new(),
            start: 0,
            scanned: 0,
            bytes_max,
        }
    }

    /// What has come and is not given out yet.
    pub fn pending(&self) -> &[u8] {
        self.buffer.get(self.start..).unwrap_or_default()
    }

    /// Takes bytes as they come. Memory is bounded by the cap plus what one push brings, if messages are taken out
    /// until there is none before the next push.
    pub fn push(&mut self, bytes: &[u8]) {
        // What was given out is dropped only here, once for each push: so a push of many messages costs no more.
        self.buffer.drain(..self.start.min(self.buffer.len()));
        self.scanned = self.scanned.saturating_sub(self.start);
        self.start = 0;
        self.buffer.extend_from_slice(bytes);
    }

    /// The next whole message without its NUL, or none yet.
    ///
    /// # Errors
    /// [`Oversized`], and again at every later call.
    pub fn next_frame(&mut self) -> Result<Option<&[u8]>, Oversized> {
        let new = self.buffer.get(self.scanned..).unwrap_or_default();
        let end = match new.iter().position(|byte| *byte == 0) {
            Some(at) => self.scanned + at,
            None => self.buffer.len(),
        };
        if end - self.start > self.bytes_max {
            return Err(Oversized {
                bytes_max: self.bytes_max,
            });
        }
        self.scanned = end;
        if end == self.buffer.len() {
            return Ok(None);
        }
        let frame = self.start..end;
        self.start = end + 1;
        self.scanned = self.start;
        Ok(self.buffer.get(frame))
    }

    /// True when the last message is not whole: the peer has hung up in the middle of it.
    pub fn is_half_sent(&self) -> bool {
        self.start < self.buffer.len()
    }
}

/// A message with its NUL. JSON writes no NUL of its own: one in a string is escaped.
///
/// # Errors
/// A value that JSON cannot hold, such as a map whose keys are no strings; none of ours is.
pub fn encode<T: Serialize + ?Sized>(message: &T) -> Result<Vec<u8>, serde_json::Error> {
    let mut bytes = serde_json::to_vec(message)?;
    bytes.push(0);
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn all(decoder: &mut Decoder) -> Result<Vec<Vec<u8>>, Oversized> {
        let mut frames = Vec::new();
        while let Some(frame) = decoder.next_frame()? {
            frames.push(frame.to_vec());
        }
        Ok(frames)
    }

    #[test]
    fn cuts_at_nul() {
        let mut decoder = Decoder::new(8);
        decoder.push(b"{}\0\0{\"a\":1");
        assert_eq!(all(&mut decoder), Ok(vec![b"{}".to_vec(), b"".to_vec()]));
        assert!(decoder.is_half_sent());
        decoder.push(b"}\0");
        assert_eq!(all(&mut decoder), Ok(vec![b"{\"a\":1}".to_vec()]));
        assert!(!decoder.is_half_sent());
    }

    #[test]
    fn the_cap_is_exact_and_final() {
        for split in 0..=4 {
            let mut decoder = Decoder::new(4);
            decoder.push(&b"1234"[..split]);
            assert_eq!(all(&mut decoder), Ok(vec![]));
            decoder.push(&b"1234"[split..]);
            decoder.push(b"\0");
            assert_eq!(all(&mut decoder), Ok(vec![b"1234".to_vec()]));
        }
        let oversized = Err(Oversized { bytes_max: 4 });
        for bytes in [&b"12345"[..], b"12345\0", b"1\x0012345678\x002\0"] {
            let mut decoder = Decoder::new(4);
            decoder.push(bytes);
            assert_eq!(all(&mut decoder), oversized);
            decoder.push(b"\0{}\0");
            assert_eq!(all(&mut decoder), oversized);
        }
    }

    #[test]
    fn single_bytes_cost_no_more_than_their_number() {
        // A decoder that looked at the whole message anew for each byte would need 2^39 steps here.
        let mut decoder = Decoder::new(1 << 20);
        for _ in 0..1 << 20 {
            decoder.push(b" ");
            assert!(matches!(decoder.next_frame(), Ok(None)));
        }
        decoder.push(b"\0");
        assert_eq!(decoder.next_frame().map(|f| f.map(<[u8]>::len)), Ok(Some(1 << 20)));
    }

    #[test]
    fn many_messages_in_one_push_cost_no_more_than_their_bytes() {
        let mut decoder = Decoder::new(16);
        decoder.push(&b"{}\0".repeat(1 << 20));
        assert_eq!(all(&mut decoder).map(|f| f.len()), Ok(1 << 20));
    }

    #[test]
    fn encoding_escapes_nul() {
        assert_eq!(encode("a\0b").unwrap(), b"\"a\\u0000b\"\0");
    }

    proptest! {
        #[test]
        fn any_split_gives_the_same_messages(
            messages in prop::collection::vec(prop::collection::vec(1..=255u8, 0..40), 0..12),
            cuts in prop::collection::vec(0..500usize, 0..20),
        ) {
            let stream: Vec<u8> = messages.iter().flat_map(|m| m.iter().copied().chain([0])).collect();
            let mut cuts: Vec<usize> = cuts.into_iter().map(|c| c.min(stream.len())).chain([0, stream.len()]).collect();
            cuts.sort_unstable();
            let mut decoder = Decoder::new(40);
            let mut frames = Vec::new();
            for pair in cuts.windows(2) {
                decoder.push(&stream[pair[0]..pair[1]]);
                frames.extend(all(&mut decoder).unwrap());
            }
            prop_assert_eq!(frames, messages);
            prop_assert!(!decoder.is_half_sent());
        }
    }
}
