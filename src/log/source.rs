//! One unit's pipe, with what is to be told of it that it did not say itself.

use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

use super::rate::Rate;
use super::stamp;
use super::wire::Policy;

/// A disk that was full is tried again after this.
const RETRY: Duration = Duration::from_secs(1);

/// One unit's pipe. Its place in `sources` stays until svcd lets the unit go.
pub struct Source {
    pub unit: Box<str>,
    pub pipe: Option<OwnedFd>,
    pub policy: Policy,
    pub rate: Rate,
    pub trouble: Option<Trouble>,
    /// Nobody can write to the pipe any more.
    pub ended: bool,
    /// It is in `ready`.
    pub queued: bool,
}

/// The unit's file cannot be written.
pub struct Trouble {
    pub lines: u64,
    pub why: String,
    pub again: Duration,
}

impl Source {
    pub fn new(unit: Box<str>, policy: Policy) -> Self {
        Self {
            unit,
            pipe: None,
            policy,
            rate: Rate::default(),
            trouble: None,
            ended: false,
            queued: false,
        }
    }

    /// Bytes in the pipe.
    pub fn fill(&self) -> Option<usize> {
        let fill = rustix::io::ioctl_fionread(self.pipe.as_ref()?).ok()?;
        usize::try_from(fill).ok()
    }

    /// The file cannot be written, and lines are lost over it.
    pub fn in_trouble(&mut self, lines: u64, error: &io::Error) {
        let before = self.trouble.take().map_or(0, |trouble| trouble.lines);
        self.trouble = Some(Trouble {
            lines: before + lines,
            why: why(error),
            again: stamp::monotonic() + RETRY,
        });
    }

    /// Lines of our own that the unit's reader has to know; [`Source::told`] when they are written.
    pub fn notices(&self, now: Duration, stamp: &str, out: &mut Vec<u8>) {
        let lost = self.trouble.as_ref().filter(|trouble| trouble.lines > 0);
        let lost = lost.map(|trouble| format!("svc: {} lines lost: {}", trouble.lines, trouble.why));
        for text in lost.into_iter().chain(self.rate.notice(now)) {
            out.extend_from_slice(format!("{stamp}{text}\n").as_bytes());
        }
    }

    /// All notices are written, and so the file can be.
    pub fn told(&mut self, now: Duration) {
        self.trouble = None;
        self.rate.told(now);
    }

    /// When [`Source::notices`] has something new to say, or the file is to be tried again. With a file that cannot be
    /// written, all else waits for it.
    pub fn due(&self) -> Option<Duration> {
        let again = self.trouble.as_ref().map(|trouble| trouble.again);
        again.or_else(|| self.rate.due())
    }
}

fn why(error: &io::Error) -> String {
    match error.raw_os_error() {
        Some(libc::ENOSPC | libc::EDQUOT) => "disk full".to_owned(),
        _ => error.to_string(),
    }
}
