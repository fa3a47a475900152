//! A child that goes on without an exec: what it must let go of that svcd had.

use std::os::fd::{AsRawFd, BorrowedFd};

/// Closes every descriptor but those of `keep`; standard input, output and error become `null`. close_range(2).
///
/// For a child that never returns to code that could use what is closed here, and ends with [`exit`].
pub fn close_all_but(keep: &[BorrowedFd<'_>], null: BorrowedFd<'_>) {
    for standard in 0..=2 {
        // SAFETY: dup2 takes two numbers; the one that it closes is this process's own copy, which nobody here owns.
        unsafe { libc::dup2(null.as_raw_fd(), standard) };
    }
    let mut kept: Vec<u32> = keep
        .iter()
        .map(|fd| fd.as_raw_fd() as u32)
        .filter(|fd| *fd > 2)
        .collect();
    kept.sort_unstable();
    let mut first = 3;
    for fd in kept {
        if fd > first {
            close_range(first, fd - 1);
        }
        first = first.max(fd + 1);
    }
    close_range(first, u32::MAX);
}

/// Closes these.
///
/// For a child that has no use for them, and ends in another program or with [`exit`].
pub fn close_each(descriptors: &[BorrowedFd<'_>]) {
    for fd in descriptors {
        close_range(fd.as_raw_fd() as u32, fd.as_raw_fd() as u32);
    }
}

fn close_range(first: u32, last: u32) {
    // SAFETY: the call takes three numbers. Whatever object owns one of these descriptors belongs to the parent's part
    // of the program, which the caller has promised not to run.
    unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) };
}

/// Ends this process at once: nothing of what the parent had registered for its own end is run. _exit(2).
pub fn exit(status: u8) -> ! {
    // SAFETY: _exit takes a number and does not return.
    unsafe { libc::_exit(status.into()) }
}
