//! The wall clock, watched: timerfd_create(2). It wakes svcd at a time, and when somebody has set the clock, or the
//! machine has slept; with nothing to come it is not there.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};

use crate::engine::event::Wall;

/// A timer on CLOCK_REALTIME.
#[derive(Debug)]
pub struct WallClock {
    fd: OwnedFd,
    at: Option<Wall>,
}

/// Why it woke svcd.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Woken {
    /// It is time.
    Due,
    /// The clock was set.
    ClockSet,
    /// For nothing.
    No,
}

impl WallClock {
    /// # Errors
    /// As timerfd_create(2).
    pub fn new() -> io::Result<Self> {
        let flags = TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK;
        let fd = timerfd_create(TimerfdClockId::Realtime, flags)?;
        Ok(Self { fd, at: None })
    }

    /// Wakes at this time, if it does not anyway.
    ///
    /// # Errors
    /// As timerfd_settime(2).
    pub fn set(&mut self, at: Wall) -> io::Result<()> {
        if self.at == Some(at) {
            return Ok(());
        }
        // Nothing at all would be no timer.
        let micros = at.0.max(1);
        let zero = Timespec { tv_sec: 0, tv_nsec: 0 };
        let value = Itimerspec {
            it_interval: zero,
            it_value: Timespec {
                tv_sec: micros / 1_000_000,
                tv_nsec: micros % 1_000_000 * 1000,
            },
        };
        let flags = TimerfdTimerFlags::ABSTIME | TimerfdTimerFlags::CANCEL_ON_SET;
        timerfd_settime(&self.fd, flags, &value)?;
        self.at = Some(at);
        Ok(())
    }

    /// Why it is readable. It is to be set anew after this.
    pub fn read(&mut self) -> Woken {
        let mut count = [0_u8; 8];
        let woken = match rustix::io::read(&self.fd, &mut count) {
            Ok(_) => Woken::Due,
            Err(Errno::CANCELED) => Woken::ClockSet,
            Err(_) => return Woken::No,
        };
        self.at = None;
        woken
    }
}

impl AsFd for WallClock {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}
