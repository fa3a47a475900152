//! A turn of one unit: a block from its pipe to its file.

use std::io;
use std::os::fd::AsFd;
use std::time::Duration;

use super::block::{Bounds, Taken, assemble};
use super::process::{BLOCK_BYTES, Process};
use super::source::Source;
use super::spool::{self, Phase};
use super::store::Lost;
use super::{forward, stamp};

/// What is written at once: a block of short lines grows by its stamps.
const WRITE_BYTES_MAX: usize = 512 << 10;

/// What a turn left in the pipe.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Left {
    Nothing,
    More,
    End,
}

impl Process<'_> {
    /// Takes one block of a unit. With `all`, the bytes to take altogether, a last line among them needs no end. Says
    /// how many bytes have left the pipe.
    pub(super) fn turn(&mut self, index: usize, all: Option<usize>) -> (usize, Left) {
        let Some(source) = self.sources.get_mut(index) else {
            return (0, Left::Nothing);
        };
        let Some(pipe) = source.pipe.as_ref().map(AsFd::as_fd) else {
            return (0, Left::Nothing);
        };
        let all = if source.ended { source.fill() } else { all };
        let most = all.unwrap_or(BLOCK_BYTES).clamp(1, BLOCK_BYTES);
        self.input.clear();
        let got = match self.scratch.peek(pipe, most, &mut self.input) {
            Ok(0) => return (0, Left::End),
            Ok(got) => got,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return (0, Left::Nothing),
            Err(_) => return (0, Left::End),
        };
        let narrow = rustix::pipe::fcntl_getpipe_size(pipe).unwrap_or(0);
        if got > narrow / 2 && narrow < spool::PIPE_BYTES {
            spool::enlarge(pipe);
        }
        // A pipe may be so narrow that a line fills it: then the line is cut, before its writer waits for ever.
        let line = self.store.line_max(&source.unit).min(narrow / 2).max(1);
        let taken = self.take(index, all.is_some_and(|all| got >= all), line);
        let more = taken.bytes > 0 && (got == most || taken.out_of_room);
        (taken.bytes, if more { Left::More } else { Left::Nothing })
    }

    /// Brings the lines of the input to the file, as far as limits let it.
    fn take(&mut self, index: usize, whole: bool, line: usize) -> Taken {
        let now = stamp::monotonic();
        if self
            .sources
            .get(index)
            .and_then(Source::due)
            .is_some_and(|due| due <= now)
        {
            self.settle(index, now);
        }
        let mut bounds = Bounds {
            room: usize::MAX,
            line,
            lines: 0,
            whole,
        };
        let stamp = stamp::text(stamp::now());
        self.output.clear();
        let Some(source) = self.sources.get_mut(index) else {
            return Taken::default();
        };
        if let Some(trouble) = &mut source.trouble {
            let taken = assemble(&self.input, &stamp, &bounds, &mut self.output);
            trouble.lines += taken.dropped;
            self.discard(index, 0, taken.bytes);
            return taken;
        }
        bounds.lines = source.rate.left(now);
        bounds.room = self.store.room(&source.unit).min(WRITE_BYTES_MAX);
        let mut taken = assemble(&self.input, &stamp, &bounds, &mut self.output);
        if taken.bytes == 0 && taken.out_of_room {
            // Where this fails, so does the write.
            let _ = self.store.rotate(&source.unit);
            bounds.room = self.store.room(&source.unit).max(stamp::WIDTH + line + 16);
            taken = assemble(&self.input, &stamp, &bounds, &mut self.output);
        }
        source.rate.count(taken.lines, taken.dropped);
        if taken.bytes > 0 {
            self.commit(index, taken);
        }
        self.remember_due(index);
        taken
    }

    /// Puts the output into the file, and takes the bytes that it was made of out of the pipe: each once, whenever this
    /// process is killed.
    fn commit(&mut self, index: usize, taken: Taken) {
        let Some(source) = self.sources.get_mut(index) else {
            return;
        };
        if self.output.is_empty() {
            return self.discard(index, 0, taken.bytes);
        }
        let size = match self.store.prepare(&source.unit, self.output.len()) {
            Ok(size) => size,
            Err(error) => {
                source.in_trouble(taken.lines, &error);
                return self.discard(index, 0, taken.bytes);
            }
        };
        let mut moved = 0;
        if let Some(pipe) = &source.pipe
            && self.spool.note(&source.unit, size, Phase::In).is_ok()
        {
            moved = self.spool.take(pipe.as_fd(), taken.bytes).unwrap_or(0);
        }
        match self.store.append(&source.unit, size, &self.output) {
            Ok(()) => {}
            Err(Lost { written, error }) => {
                let unwritten = self.output.get(written..).unwrap_or_default();
                source.in_trouble(memchr::memchr_iter(b'\n', unwritten).count() as u64, &error);
            }
        }
        let _ = self.spool.note(&source.unit, size, Phase::Out);
        if !source.policy.forward.is_empty() {
            forward::forward(&source.unit, &self.output, &source.policy.forward);
        }
        self.discard(index, moved, taken.bytes);
    }

    /// Throws away what was taken: what has been moved to the spool there, the rest in the pipe.
    fn discard(&mut self, index: usize, moved: usize, taken: usize) {
        if moved > 0 {
            let _ = self.spool.clear(self.null);
        }
        if let Some(pipe) = self.sources.get(index).and_then(|source| source.pipe.as_ref()) {
            let _ = spool::discard(pipe.as_fd(), taken.saturating_sub(moved), self.null);
        }
    }

    /// Tries a file again that could not be written, and tells what was dropped or lost, as far as that is due.
    pub(super) fn settle(&mut self, index: usize, now: Duration) {
        let Some(source) = self.sources.get_mut(index) else {
            return;
        };
        self.output.clear();
        source.notices(now, &stamp::text(stamp::now()), &mut self.output);
        if self.store.room(&source.unit) < self.output.len() {
            let _ = self.store.rotate(&source.unit);
        }
        let size = self.store.prepare(&source.unit, self.output.len());
        let size = size.or_else(|_| {
            self.store.attach(&source.unit, source.policy.max_size)?;
            self.store.prepare(&source.unit, self.output.len())
        });
        let written = size.and_then(|size| {
            let lost = |lost: Lost| lost.error;
            self.store.append(&source.unit, size, &self.output).map_err(lost)
        });
        match written {
            Ok(()) => source.told(now),
            Err(error) => source.in_trouble(0, &error),
        }
        self.remember_due(index);
    }
}
