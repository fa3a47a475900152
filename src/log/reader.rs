//! One unit's files as one stream of lines, over rotations, to be gone on with when there is more.

use std::io;
use std::os::fd::OwnedFd;
use std::rc::Rc;

use rustix::fs::{AtFlags, Mode, OFlags};

use super::read::Line;
use super::stamp;
use super::store::{CURRENT, kept_name, kept_numbers};

/// Read at once.
const CHUNK_BYTES: usize = 64 << 10;

/// A place in a unit's files.
#[derive(Debug)]
pub struct Reader {
    unit: Rc<str>,
    dir: OwnedFd,
    open: Option<Open>,
    /// The last rotated file that is done with, or that is open.
    after: u64,
    /// Of the last line: for one that has lost its stamp.
    time: i64,
    /// What has been read, of which the part before `start` has been given out.
    buffer: Vec<u8>,
    start: usize,
}

#[derive(Debug)]
struct Open {
    file: OwnedFd,
    inode: u64,
    offset: u64,
    /// Nothing will be added to it.
    rotated: bool,
}

impl Reader {
    /// At the start of the oldest file in a unit's directory.
    pub fn new(unit: Rc<str>, dir: OwnedFd) -> Self {
        Self {
            unit,
            dir,
            open: None,
            after: 0,
            time: 0,
            buffer: Vec::new(),
            start: 0,
        }
    }

    /// Goes on to the file in which a time lies: all that are passed over are older.
    pub fn skip_to(&mut self, micros: i64) -> io::Result<()> {
        let numbers = kept_numbers(&self.dir)?;
        let names = numbers
            .iter()
            .skip(1)
            .map(|n| kept_name(*n))
            .chain([CURRENT.to_owned()]);
        for (number, next) in numbers.iter().zip(names) {
            match self.first_time(&next) {
                Some(first) if first <= micros => self.after = *number,
                Some(_) | None => break,
            }
        }
        Ok(())
    }

    /// Goes on to the last `count` lines that `wanted` takes; all if there are not so many.
    pub fn skip_to_last(&mut self, count: usize, mut wanted: impl FnMut(&Line) -> bool) -> io::Result<()> {
        let mut left = count;
        let mut names: Vec<(u64, String)> = kept_numbers(&self.dir)?
            .into_iter()
            .map(|n| (n, kept_name(n)))
            .collect();
        let newest = names.last().map_or(0, |(number, _)| *number);
        names.push((newest + 1, CURRENT.to_owned()));
        while let Some((number, name)) = names.pop() {
            let Ok((file, inode, size)) = self.file(&name) else {
                continue;
            };
            let offset = self.back(&file, size, &mut left, &mut wanted)?;
            if left == 0 {
                let rotated = name != CURRENT;
                self.after = if rotated { number } else { newest };
                self.open = Some(Open {
                    file,
                    inode,
                    offset,
                    rotated,
                });
                break;
            }
        }
        Ok(())
    }

    /// The next line. None: there is none now, but may be later.
    pub fn next(&mut self) -> io::Result<Option<Line>> {
        loop {
            if let Some(line) = self.buffered() {
                return Ok(Some(line));
            }
            match &mut self.open {
                None => {
                    if !self.open_next()? {
                        return Ok(None);
                    }
                }
                Some(open) => {
                    self.buffer.drain(..self.start);
                    self.start = 0;
                    self.buffer.reserve(CHUNK_BYTES);
                    let space = rustix::buffer::spare_capacity(&mut self.buffer);
                    let count = rustix::io::pread(&open.file, space, open.offset)?;
                    open.offset += count as u64;
                    if count == 0 && !self.at_end()? {
                        return Ok(None);
                    }
                }
            }
        }
    }

    /// Takes a line out of the buffer.
    fn buffered(&mut self) -> Option<Line> {
        let rest = self.buffer.get(self.start..)?;
        let end = memchr::memchr(b'\n', rest)?;
        let line = parse(&self.unit, self.time, rest.get(..end)?);
        self.start += end + 1;
        self.time = line.time;
        Some(line)
    }

    /// The open file has no more. True: reading may go on.
    fn at_end(&mut self) -> io::Result<bool> {
        let Some(open) = &mut self.open else {
            return Ok(true);
        };
        if open.rotated {
            // A torn last line stays unread: whoever writes the file ends such lines first.
            self.buffer.clear();
            (self.open, self.start) = (None, 0);
            return Ok(true);
        }
        let inode = open.inode;
        let present = rustix::fs::statat(&self.dir, CURRENT, AtFlags::SYMLINK_NOFOLLOW).map(|stat| stat.st_ino);
        if present == Ok(inode) {
            return Ok(false);
        }
        // It has been rotated; lines may have come in between our last read and that.
        open.rotated = true;
        let numbers = kept_numbers(&self.dir)?;
        let number_of = |number: &&u64| {
            let stat = rustix::fs::statat(&self.dir, kept_name(**number), AtFlags::SYMLINK_NOFOLLOW);
            stat.is_ok_and(|stat| stat.st_ino == inode)
        };
        match numbers.iter().rev().find(number_of) {
            Some(number) => self.after = *number,
            // Thrown away already, and numbers may have begun anew since.
            None if numbers.last().is_some_and(|last| *last < self.after) => self.after = 0,
            None => {}
        }
        Ok(true)
    }

    /// Opens the next rotated file, or `current` after the last. False: there is none.
    fn open_next(&mut self) -> io::Result<bool> {
        loop {
            let next = kept_numbers(&self.dir)?.into_iter().find(|number| *number > self.after);
            let name = next.map_or_else(|| CURRENT.to_owned(), kept_name);
            let opened = self.file(&name);
            match (next, opened) {
                (Some(number), opened) => {
                    self.after = number;
                    // Thrown away between the look and the open: the next, then.
                    if let Ok((file, inode, _)) = opened {
                        self.open = Some(Open {
                            file,
                            inode,
                            offset: 0,
                            rotated: true,
                        });
                        return Ok(true);
                    }
                }
                (None, Ok((file, inode, _))) => {
                    // Rotated between the look and the open: that file comes first.
                    if kept_numbers(&self.dir)?.last().is_some_and(|last| *last > self.after) {
                        continue;
                    }
                    self.open = Some(Open {
                        file,
                        inode,
                        offset: 0,
                        rotated: false,
                    });
                    return Ok(true);
                }
                (None, Err(error)) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
                (None, Err(error)) => return Err(error),
            }
        }
    }

    fn file(&self, name: &str) -> io::Result<(OwnedFd, u64, u64)> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = rustix::fs::openat(&self.dir, name, flags, Mode::empty())?;
        let stat = rustix::fs::fstat(&file)?;
        Ok((file, stat.st_ino, u64::try_from(stat.st_size).unwrap_or(0)))
    }

    /// The time of a file's first line.
    fn first_time(&self, name: &str) -> Option<i64> {
        let (file, _, _) = self.file(name).ok()?;
        let mut bytes = [0; stamp::WIDTH];
        rustix::io::pread(file, &mut bytes, 0).ok()?;
        stamp::split(&bytes).map(|(time, _)| time)
    }

    /// Counts wanted lines down from a file's end. Says where the one is that made it nought, if it did.
    fn back(
        &self,
        file: &OwnedFd,
        size: u64,
        left: &mut usize,
        wanted: &mut impl FnMut(&Line) -> bool,
    ) -> io::Result<u64> {
        // Bytes from `from` on that have not been looked at: the head of a line, of which the rest has been.
        let (mut from, mut bytes) = (size, Vec::new());
        loop {
            while let Some(end) = memchr::memrchr(b'\n', bytes.get(..bytes.len().saturating_sub(1)).unwrap_or_default())
            {
                if self.is_wanted(bytes.get(end + 1..).unwrap_or_default(), wanted) {
                    *left = left.saturating_sub(1);
                    if *left == 0 {
                        return Ok(from + end as u64 + 1);
                    }
                }
                bytes.truncate(end + 1);
            }
            if from == 0 {
                if !bytes.is_empty() && self.is_wanted(&bytes, wanted) {
                    *left = left.saturating_sub(1);
                }
                return Ok(0);
            }
            let count = CHUNK_BYTES.min(usize::try_from(from).unwrap_or(CHUNK_BYTES));
            from -= count as u64;
            let mut chunk = vec![0; count];
            let read = rustix::io::pread(file, &mut chunk, from)?;
            chunk.truncate(read);
            chunk.append(&mut bytes);
            bytes = chunk;
        }
    }

    /// The piece after a file's last line end is no line.
    fn is_wanted(&self, line: &[u8], wanted: &mut impl FnMut(&Line) -> bool) -> bool {
        line.strip_suffix(b"\n")
            .is_some_and(|line| wanted(&parse(&self.unit, 0, line)))
    }
}

fn parse(unit: &Rc<str>, time: i64, line: &[u8]) -> Line {
    let (time, text) = stamp::split(line).unwrap_or((time, line));
    Line {
        time,
        unit: Rc::clone(unit),
        text: String::from_utf8_lossy(text).into_owned(),
    }
}
