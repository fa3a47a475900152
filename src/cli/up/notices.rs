//! Lines as they come: what the supervisor says of itself.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// What one read takes at most.
const READ_BYTES: usize = 64 << 10;

/// A line of the supervisor's own that is longer than this is cut in pieces: whatever it writes, memory is bounded.
const LINE_BYTES_MAX: usize = 64 << 10;

/// A stream cut into lines, without ever waiting for one.
#[derive(Debug)]
pub(super) struct Lines {
    stream: File,
    rest: Vec<u8>,
    over: bool,
}

impl Lines {
    /// Takes a pipe or socket, which does not block from now on.
    pub(super) fn new(stream: OwnedFd) -> io::Result<Self> {
        rustix::io::ioctl_fionbio(&stream, true)?;
        Ok(Self {
            stream: stream.into(),
            rest: Vec::new(),
            over: false,
        })
    }

    /// The whole lines that are there; at the end of the stream the last one, ended or not.
    pub(super) fn ready(&mut self) -> Vec<String> {
        let mut found = Vec::new();
        let mut bytes = vec![0; READ_BYTES];
        while !self.over {
            match self.stream.read(&mut bytes) {
                Ok(0) => self.over = true,
                Ok(count) => self.take(bytes.get(..count).unwrap_or_default(), &mut found),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return found,
                Err(_) => self.over = true,
            }
        }
        if !self.rest.is_empty() {
            found.push(text(&std::mem::take(&mut self.rest)));
        }
        found
    }

    /// To wait on, until it is over.
    pub(super) fn fd(&self) -> Option<BorrowedFd<'_>> {
        (!self.over).then(|| self.stream.as_fd())
    }

    fn take(&mut self, bytes: &[u8], found: &mut Vec<String>) {
        let mut pieces = bytes.split(|byte| *byte == b'\n').peekable();
        while let Some(piece) = pieces.next() {
            self.rest.extend_from_slice(piece);
            if pieces.peek().is_some() || self.rest.len() >= LINE_BYTES_MAX {
                found.push(text(&std::mem::take(&mut self.rest)));
            }
        }
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn lines_come_whole_and_the_last_one_at_the_end() {
        let (reader, mut writer) = UnixStream::pair().unwrap();
        let mut lines = Lines::new(reader.into()).unwrap();
        assert_eq!(lines.ready(), Vec::<String>::new());
        writer.write_all(b"one\ntwo\nthr").unwrap();
        assert_eq!(lines.ready(), ["one", "two"]);
        writer.write_all(b"ee\n\nend").unwrap();
        assert_eq!(lines.ready(), ["three", ""]);
        drop(writer);
        assert_eq!(lines.ready(), ["end"]);
        assert!(lines.fd().is_none());
        assert_eq!(lines.ready(), Vec::<String>::new());
    }
}
