//! Standard error, written to without ever waiting: a terminal, a serial line or a pipe that nobody reads must not hold a
//! supervisor up. What is not taken at once is kept, up to a limit; what is over that is dropped, counted and told of.

use std::collections::VecDeque;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use rustix::fs::{FileType, Mode, OFlags, fstat, open};
use rustix::io::Errno;
use rustix::net::{SendFlags, send};

/// What is kept of lines that were not taken: more than a boot's worth on a line of 9600 baud, and no weight.
const BACKLOG_BYTES_MAX: usize = 16 << 10;

/// Written in one go where a write may block after all.
const BLOCKING_WRITE_BYTES_MAX: usize = 128;

/// Where lines go.
#[derive(Debug, Default)]
pub struct Console {
    way: Way,
    backlog: VecDeque<u8>,
    lost: u64,
}

/// How bytes are handed over without waiting.
#[derive(Debug, Default)]
enum Way {
    /// Not known yet, or lost: looked for at the next line.
    #[default]
    Unknown,
    /// The same terminal or pipe, opened again: O_NONBLOCK on what we were started with would be its other users' too.
    Own(OwnedFd),
    /// A socket: each send says that it does not wait.
    Socket,
    /// A file, which takes all.
    File,
    /// What cannot be opened again, for want of /proc: it is asked whether it takes anything before it is written to.
    Shared,
}

impl Console {
    /// Nothing said yet.
    pub const fn new() -> Self {
        Self {
            way: Way::Unknown,
            backlog: VecDeque::new(),
            lost: 0,
        }
    }

    /// Writes a line, which ends in a newline, or keeps it, or drops and counts it.
    pub fn say(&mut self, line: &str) {
        self.flush();
        if self.backlog.len() + line.len() > BACKLOG_BYTES_MAX {
            self.lost += 1;
            return;
        }
        self.backlog.extend(line.as_bytes());
        self.flush();
    }

    /// Writes what is kept, as far as it is taken.
    pub fn flush(&mut self) {
        self.write_backlog();
        if self.lost > 0 && self.backlog.is_empty() {
            let lost = std::mem::take(&mut self.lost);
            let told = format!("svcd: warning: {lost} lines are missing here: nobody took them\n");
            self.backlog.extend(told.as_bytes());
            self.write_backlog();
        }
    }

    /// Something is kept: it goes on when [`Self::fd`] can be written to.
    pub fn is_behind(&self) -> bool {
        !self.backlog.is_empty()
    }

    /// Where lines go.
    pub fn fd(&self) -> BorrowedFd<'_> {
        match &self.way {
            Way::Own(fd) => fd.as_fd(),
            Way::Unknown | Way::Socket | Way::File | Way::Shared => rustix::stdio::stderr(),
        }
    }

    fn write_backlog(&mut self) {
        let mut tried_again = false;
        while !self.backlog.is_empty() {
            if matches!(self.way, Way::Unknown | Way::Shared) {
                self.way = find();
            }
            let (bytes, _) = self.backlog.as_slices();
            match self.way.write(bytes) {
                Ok(0) | Err(Errno::AGAIN) => return,
                Ok(count) => drop(self.backlog.drain(..count.min(self.backlog.len()))),
                Err(Errno::INTR) => {}
                // A terminal that was hung up is another one when it is opened again.
                Err(_) if matches!(self.way, Way::Own(_)) && !tried_again => {
                    self.way = Way::Unknown;
                    tried_again = true;
                }
                // Nobody is there, and nobody to tell.
                Err(_) => return self.backlog.clear(),
            }
        }
    }
}

impl Way {
    fn write(&self, bytes: &[u8]) -> Result<usize, Errno> {
        match self {
            Self::Own(fd) => rustix::io::write(fd, bytes),
            Self::File => rustix::io::write(rustix::stdio::stderr(), bytes),
            Self::Socket => send(
                rustix::stdio::stderr(),
                bytes,
                SendFlags::DONTWAIT | SendFlags::NOSIGNAL,
            ),
            Self::Unknown | Self::Shared => {
                let stderr = rustix::stdio::stderr();
                let mut asked = [PollFd::new(stderr, PollFlags::POLLOUT)];
                match poll(&mut asked, PollTimeout::ZERO) {
                    Ok(0) | Err(_) => Err(Errno::AGAIN),
                    Ok(_) => rustix::io::write(stderr, bytes.get(..BLOCKING_WRITE_BYTES_MAX).unwrap_or(bytes)),
                }
            }
        }
    }
}

/// Writes what is taken at once, and forgets the rest: for whoever crashes, who can neither wait nor allocate.
/// Async-signal-safe.
pub fn say_at_once(mut bytes: &[u8]) {
    let way = find();
    while let Ok(count @ 1..) = way.write(bytes) {
        bytes = bytes.get(count..).unwrap_or_default();
    }
}

fn find() -> Way {
    let Ok(meta) = fstat(rustix::stdio::stderr()) else {
        return Way::Shared;
    };
    match FileType::from_raw_mode(meta.st_mode) {
        FileType::Socket => Way::Socket,
        FileType::CharacterDevice | FileType::Fifo => {
            let flags = OFlags::WRONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
            open("/proc/self/fd/2", flags, Mode::empty()).map_or(Way::Shared, Way::Own)
        }
        FileType::RegularFile | FileType::Directory | FileType::Symlink | FileType::BlockDevice | FileType::Unknown => {
            Way::File
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::pipe::{PipeFlags, pipe_with};

    /// A console whose reader has not come yet, and its other end.
    fn unread() -> (Console, OwnedFd) {
        let (reader, writer) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK).unwrap();
        let console = Console {
            way: Way::Own(writer),
            ..Console::default()
        };
        (console, reader)
    }

    fn read_all(reader: &OwnedFd, console: &mut Console) -> String {
        let mut all = Vec::new();
        let mut bytes = [0; 4096];
        loop {
            match rustix::io::read(reader, &mut bytes) {
                Ok(count) => all.extend(bytes.iter().take(count)),
                Err(_) if console.is_behind() => console.flush(),
                Err(_) => return String::from_utf8(all).unwrap(),
            }
        }
    }

    #[test]
    fn what_nobody_takes_is_kept_to_a_limit_then_counted() {
        let (mut console, reader) = unread();
        let text_of_line = "x".repeat(99);
        let line = format!("{text_of_line}\n");
        let said = 2000;
        for _ in 0..said {
            console.say(&line);
        }
        assert!(console.backlog.len() <= BACKLOG_BYTES_MAX);
        let (kept, lost) = (console.backlog.len() / line.len(), console.lost);
        assert!(kept > 100 && lost > 100, "{kept} {lost}");
        let text = read_all(&reader, &mut console);
        let whole = text.lines().filter(|read| *read == text_of_line).count() as u64;
        assert_eq!(whole + lost, said);
        assert_eq!(
            text.lines().next_back().unwrap(),
            format!("svcd: warning: {lost} lines are missing here: nobody took them")
        );
        console.say("and on\n");
        assert_eq!(read_all(&reader, &mut console), "and on\n");
    }
}
