//! A command whose standard streams are its caller's: `svc run`, `svc exec`. Either descriptors that the caller sent, or a
//! new terminal of the command's own /dev/pts, whose other side the caller gets.
//!
//! Nothing that the command could have prepared is trusted to be a terminal: what is opened must be the multiplexer of a
//! devpts, and its other side is had by descriptor and not by name (CVE-2025-52565).

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{Gid, Mode, OFlags, Uid, fstat, fstatfs, makedev};
use rustix::io::Errno;
use rustix::process::{PidfdFlags, getpid, ioctl_tiocsctty, pidfd_open};
use rustix::pty::{OpenptFlags, ioctl_tiocgptpeer};
use rustix::termios::{Winsize, tcsetwinsize};

use super::report::StepFailed;
use crate::sys::descriptors;

/// DEVPTS_SUPER_MAGIC of `linux/magic.h`.
const DEVPTS: i128 = 0x1cd1;

/// What the caller has sent along.
#[derive(Clone, Copy, Debug)]
pub struct Attached<'a> {
    /// A socket that receives a pidfd of the command, and the master of its terminal.
    pub channel: BorrowedFd<'a>,
    /// Standard input, output and error; None: a terminal is made.
    pub streams: Option<[BorrowedFd<'a>; 3]>,
    /// Rows and columns of that.
    pub size: Option<(u16, u16)>,
    /// Where the command's output goes once its caller has turned away from the terminal: the caller gets this too.
    pub log: Option<BorrowedFd<'a>>,
}

impl Attached<'_> {
    /// Makes them the caller's streams, a terminal with this user of the machine as its owner.
    pub(super) fn set(&self, owner: impl FnOnce() -> Result<Uid, StepFailed>) -> Result<(), StepFailed> {
        let own = pidfd_open(getpid(), PidfdFlags::empty()).map_err(failed("pidfd"))?;
        let Some([input, output, error]) = self.streams else {
            let terminal = self.own_terminal(owner()?)?;
            let all = [Some(own.as_fd()), Some(terminal.as_fd()), self.log];
            return self.tell(&all.into_iter().flatten().collect::<Vec<_>>());
        };
        rustix::stdio::dup2_stdin(input).map_err(failed("input"))?;
        rustix::stdio::dup2_stdout(output).map_err(failed("output"))?;
        rustix::stdio::dup2_stderr(error).map_err(failed("output"))?;
        self.tell(&[own.as_fd()])
    }

    /// A terminal that is all three streams and that the session is led from. Gives its other side.
    fn own_terminal(&self, owner: Uid) -> Result<OwnedFd, StepFailed> {
        let failed = failed("terminal");
        let master = multiplexer().map_err(&failed)?;
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        rustix::pty::unlockpt(&master).map_err(&failed)?;
        let terminal = ioctl_tiocgptpeer(&master, flags).map_err(&failed)?;
        rustix::fs::fchown(&terminal, Some(owner), None::<Gid>).map_err(&failed)?;
        if let Some((rows, columns)) = self.size {
            let size = Winsize {
                ws_row: rows,
                ws_col: columns,
                ws_xpixel: 0,
                ws_ypixel: 0,
            };
            tcsetwinsize(&terminal, size).map_err(&failed)?;
        }
        ioctl_tiocsctty(&terminal).map_err(&failed)?;
        rustix::stdio::dup2_stdin(&terminal).map_err(&failed)?;
        rustix::stdio::dup2_stdout(&terminal).map_err(&failed)?;
        rustix::stdio::dup2_stderr(&terminal).map_err(&failed)?;
        Ok(master)
    }

    /// A caller that is gone by now has its streams closed, and that is all.
    fn tell(&self, fds: &[BorrowedFd<'_>]) -> Result<(), StepFailed> {
        match descriptors::send(self.channel, b"\0", fds) {
            Err(error) if error.raw_os_error() == Some(libc::EPIPE) => Ok(()),
            sent => sent
                .map(|_| ())
                .map_err(|error| StepFailed::new("terminal", error.raw_os_error().unwrap_or(0))),
        }
    }
}

/// Opens a new pair of terminals where the caller is: pts(4).
fn multiplexer() -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let master = rustix::fs::open("/dev/pts/ptmx", flags, Mode::empty())?;
    let is_one = fstat(&master)?.st_rdev == makedev(5, 2) && i128::from(fstatfs(&master)?.f_type) == DEVPTS;
    if !is_one {
        return Err(Errno::NOTTY);
    }
    rustix::io::ioctl_fionbio(&master, false)?;
    Ok(master)
}

fn failed(what: &'static str) -> impl Fn(Errno) -> StepFailed {
    move |error| StepFailed::new(what, error.raw_os_error())
}
