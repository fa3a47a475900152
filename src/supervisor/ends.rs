//! How processes have ended, as far as anybody tells.

use std::os::fd::{AsFd, OwnedFd};

use rustix::io::Errno;
use rustix::process::{WaitId, WaitIdOptions, waitid};

use super::Supervisor;
use crate::engine::event::End;
use crate::engine::{StateWord, UnitId};
use crate::unit::{Kind, Signal};

/// The exit code of one of whom nobody can say how it ended: so its policy brings it back. Of one that was asked to end
/// it is enough that it did.
pub const UNKNOWN_END: u8 = 255;

impl Supervisor {
    /// The end of a process that another has reaped, of which this kernel tells nothing.
    pub(super) fn unknown_end(&self, unit: UnitId) -> End {
        let stops = self.engine.state(unit) == Some(StateWord::Stopping);
        match self.lives.get(&unit).map(|life| &life.unit.kind) {
            Some(Kind::Service(service)) if stops => End::Signal(service.kill.signal),
            _ => End::Code(UNKNOWN_END),
        }
    }
}

/// Takes the exit status of a child that has ended, as far as it is known; None: not yet. The flag: it left a core dump.
pub(super) fn reap(pid: i32, pidfd: &OwnedFd) -> Option<(Option<End>, bool)> {
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG;
    let status = match waitid(WaitId::PidFd(pidfd.as_fd()), options) {
        Ok(Some(status)) => status,
        Ok(None) | Err(Errno::INTR) => return None,
        // It is no child of ours: it was adopted from a svcd that was killed.
        Err(_) => return Some(end_of_other(pid, pidfd)),
    };
    let end = match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => Some(End::Code((code & 0xff) as u8)),
        (None, Some(signal)) => Some(End::Signal(Signal(u8::try_from(signal).unwrap_or(0)))),
        (None, None) => None,
    };
    Some((end, status.dumped()))
}

/// How a process has ended that somebody else reaps. While it is a zombie /proc says it, and after that the kernel
/// (from 6.15 on); else all that is known is that it has.
fn end_of_other(pid: i32, pidfd: &OwnedFd) -> (Option<End>, bool) {
    let zombie = super::processes::zombie_status(pid);
    // The number was its own as long as it can be signalled.
    let zombie = zombie.filter(|_| crate::sys::signal::send(pidfd, 0).is_ok());
    let status = zombie.or_else(|| crate::sys::pidfd::wait_status(pidfd));
    match status.map(|status| (status & 0x7f, status >> 8 & 0xff, status & 0x80 != 0)) {
        Some((0, code, _)) => (Some(End::Code((code & 0xff) as u8)), false),
        Some((signal, _, core)) => (Some(End::Signal(Signal(signal as u8))), core),
        None => (None, false),
    }
}
