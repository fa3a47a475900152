//! Digests of what is read and written.

use std::io::{self, Read, Write};

use sha2::{Digest as _, Sha256};

use super::Digest;

impl Digest {
    /// Of these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// Of all that is read, and how much that was. A failure to read is the reader's.
    pub fn of_reader(mut from: impl Read) -> io::Result<(Self, u64)> {
        let mut hashing = Hashing::default();
        let size = io::copy(&mut from, &mut hashing)?;
        Ok((hashing.digest(), size))
    }
}

/// Counts and hashes what is written to it.
#[derive(Default)]
pub struct Hashing {
    state: Sha256,
    /// How many bytes there were.
    pub size: u64,
}

impl Hashing {
    /// Of all that was written.
    pub fn digest(self) -> Digest {
        Digest(self.state.finalize().into())
    }
}

impl Write for Hashing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.state.update(bytes);
        self.size += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Hashes what is read through it.
pub struct HashingReader<R> {
    from: R,
    /// What came through so far.
    pub seen: Hashing,
}

impl<R: Read> HashingReader<R> {
    /// Reads from there.
    pub fn new(from: R) -> Self {
        Self {
            from,
            seen: Hashing::default(),
        }
    }
}

impl<R: Read> Read for HashingReader<R> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        let count = self.from.read(to)?;
        self.seen.write_all(to.get(..count).unwrap_or_default())?;
        Ok(count)
    }
}
