//! Exactly once, whenever the log process is killed.
//!
//! Bytes leave a unit's pipe for the spool, a pipe of our own that svcd holds open too, and leave the spool when they
//! are in the file. A kill in between leaves them there; what was under way stands in a record, a memory file that svcd
//! holds open as well. The kernel moves a block from pipe to pipe in one piece, and nobody else writes to the spool, so
//! that its fill says how far things had come.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::MemfdFlags;
use rustix::pipe::{PipeFlags, SpliceFlags};

/// What a pipe can hold without privileges; pipe(7), /proc/sys/fs/pipe-max-size. Blocks are of a quarter of it.
pub const PIPE_BYTES: usize = 1 << 20;

/// The pipe that blocks pass through, and the record.
#[derive(Debug)]
pub struct Spool {
    reader: OwnedFd,
    writer: OwnedFd,
    record: OwnedFd,
}

/// What was under way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Whose block.
    pub unit: Box<str>,
    /// Size of the unit's file before the block.
    pub size: u64,
    /// How far.
    pub phase: Phase,
}

/// How far a block has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// It goes to the file, of which some may be there.
    In,
    /// All of it is in the file: what is left in the spool is to be thrown away.
    Out,
}

impl Spool {
    /// An empty one.
    pub fn new() -> io::Result<Self> {
        let (reader, writer) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC)?;
        enlarge(reader.as_fd());
        let record = rustix::fs::memfd_create("svc-log", MemfdFlags::CLOEXEC)?;
        Ok(Self { reader, writer, record })
    }

    /// That of a log process that has ended, from its [`Spool::descriptors`]. None: these are not they.
    pub fn from_descriptors(descriptors: Vec<OwnedFd>) -> Option<Self> {
        let [reader, writer, record] = <[OwnedFd; 3]>::try_from(descriptors).ok()?;
        Some(Self { reader, writer, record })
    }

    /// The read end, the write end, the record: for a child that closes all else.
    pub fn descriptors(&self) -> [BorrowedFd<'_>; 3] {
        [self.reader.as_fd(), self.writer.as_fd(), self.record.as_fd()]
    }

    /// Bytes that it can hold, at most.
    pub fn size(&self) -> io::Result<usize> {
        Ok(rustix::pipe::fcntl_getpipe_size(&self.reader)?)
    }

    /// Moves the first `count` bytes of a pipe in here. Says how many went: all, unless the kernel is out of its mind.
    pub fn take(&self, pipe: BorrowedFd<'_>, count: usize) -> io::Result<usize> {
        Ok(rustix::pipe::splice(
            pipe,
            None,
            &self.writer,
            None,
            count,
            SpliceFlags::NONBLOCK,
        )?)
    }

    /// Bytes in it.
    pub fn fill(&self) -> io::Result<usize> {
        Ok(rustix::io::ioctl_fionread(&self.reader)?
            .try_into()
            .unwrap_or(usize::MAX))
    }

    /// Throws away what is in it.
    pub fn clear(&self, null: BorrowedFd<'_>) -> io::Result<()> {
        discard(self.reader.as_fd(), self.fill()?, null)
    }

    /// Copies what is in it, and leaves it there.
    pub fn peek(&self, through: &Scratch, into: &mut Vec<u8>) -> io::Result<usize> {
        through.peek(self.reader.as_fd(), PIPE_BYTES, into)
    }

    /// Says what is under way, before it is.
    pub fn note(&self, unit: &str, size: u64, phase: Phase) -> io::Result<()> {
        let mut bytes = Vec::with_capacity(160);
        bytes.push(match phase {
            Phase::In => b'I',
            Phase::Out => b'O',
        });
        bytes.extend_from_slice(&size.to_le_bytes());
        bytes.extend_from_slice(&u16::try_from(unit.len()).unwrap_or(0).to_le_bytes());
        bytes.extend_from_slice(unit.as_bytes());
        rustix::io::pwrite(&self.record, &bytes, 0)?;
        Ok(())
    }

    /// What was under way when the last log process ended; None: nothing ever.
    pub fn noted(&self) -> io::Result<Option<Record>> {
        let mut bytes = [0; 512];
        let count = rustix::io::pread(&self.record, &mut bytes, 0)?;
        Ok(bytes.get(..count).and_then(parse))
    }
}

fn parse(bytes: &[u8]) -> Option<Record> {
    let (phase, rest) = bytes.split_first()?;
    let (size, rest) = rest.split_first_chunk::<8>()?;
    let (length, rest) = rest.split_first_chunk::<2>()?;
    let unit = rest.get(..u16::from_le_bytes(*length).into())?;
    Some(Record {
        unit: std::str::from_utf8(unit).ok()?.into(),
        size: u64::from_le_bytes(*size),
        phase: if *phase == b'I' { Phase::In } else { Phase::Out },
    })
}

/// A pipe to copy others through: what is read from it stays where it came from.
#[derive(Debug)]
pub struct Scratch {
    reader: OwnedFd,
    writer: OwnedFd,
}

impl Scratch {
    /// As wide as the spool, so that what passes through here goes in there.
    pub fn new(spool: &Spool) -> io::Result<Self> {
        let (reader, writer) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC)?;
        rustix::pipe::fcntl_setpipe_size(&reader, spool.size()?)?;
        Ok(Self { reader, writer })
    }

    /// Copies at most `most` bytes from the start of a pipe to the end of `into`. 0: nobody can write to it any more.
    ///
    /// # Errors
    /// `WouldBlock`: nothing is in it now.
    pub fn peek(&self, pipe: BorrowedFd<'_>, most: usize, into: &mut Vec<u8>) -> io::Result<usize> {
        let count = rustix::pipe::tee(pipe, &self.writer, most, SpliceFlags::NONBLOCK)?;
        let end = into.len() + count;
        into.reserve(count);
        while into.len() < end {
            rustix::io::read(&self.reader, rustix::buffer::spare_capacity(into))?;
        }
        Ok(count)
    }
}

/// Throws away the first `count` bytes of a pipe, which are known to be there.
pub fn discard(pipe: BorrowedFd<'_>, mut count: usize, null: BorrowedFd<'_>) -> io::Result<()> {
    while count > 0 {
        match rustix::pipe::splice(pipe, None, null, None, count, SpliceFlags::NONBLOCK)? {
            0 => break,
            gone => count = count.saturating_sub(gone),
        }
    }
    Ok(())
}

/// Makes a pipe as wide as it may be. One that stays narrow works too, with smaller blocks.
pub fn enlarge(pipe: BorrowedFd<'_>) {
    let _ = rustix::pipe::fcntl_setpipe_size(pipe, PIPE_BYTES);
}
