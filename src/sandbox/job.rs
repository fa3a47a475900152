//! A child that does one job of svcd's own, which may block, and ends: with no program of its own.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use rustix::fs::{Mode, OFlags};
use rustix::pipe::{PipeFlags, pipe_with};

use super::child::Child;
use super::report::{self, StepFailed};
use crate::sys::child::{close_all_but, exit};
use crate::sys::clone::{Cloned, clone3};
use crate::sys::inherit;

/// Clones a child that does the job, reports the step that failed, and ends: with 0 if none did. It keeps nothing of
/// svcd's open, so that one that hangs for good holds nothing up.
///
/// # Errors
/// As pipe2(2) and clone3(2).
pub fn start_job(job: impl FnOnce() -> Result<(), StepFailed>) -> io::Result<Child> {
    start_job_with(&[], job)
}

/// The same with descriptors that it keeps open.
///
/// # Errors
/// Likewise.
pub fn start_job_with(keep: &[BorrowedFd<'_>], job: impl FnOnce() -> Result<(), StepFailed>) -> io::Result<Child> {
    let (report, reports_end) = pipe_with(PipeFlags::CLOEXEC)?;
    rustix::io::ioctl_fionbio(&report, true)?;
    let null = rustix::fs::open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())?;
    match clone3(0, None)? {
        Cloned::Parent { pid, pidfd } => Ok(Child { pid, pidfd, report }),
        Cloned::Child => {
            inherit::reset_signals();
            close_all_but(&[keep, &[reports_end.as_fd(), null.as_fd()]].concat(), null.as_fd());
            match job() {
                Ok(()) => exit(0),
                Err(failed) => {
                    report::send(reports_end.as_fd(), &failed);
                    exit(report::exit_code(failed.what()))
                }
            }
        }
    }
}
