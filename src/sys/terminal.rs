//! Terminals, where no crate has the call; ioctl_tty(2).

use std::io;
use std::os::fd::{AsFd, AsRawFd};

/// TIOCVHANGUP: whoever has the terminal open reads its end and can write no more, the descriptor given included, and
/// the session that it controls is told by SIGHUP.
///
/// # Errors
/// EPERM without CAP_SYS_ADMIN in the machine's own user namespace. ENOTTY: no terminal.
pub fn hang_up(terminal: impl AsFd) -> io::Result<()> {
    // SAFETY: this request takes no argument, and touches no memory of ours.
    if unsafe { libc::ioctl(terminal.as_fd().as_raw_fd(), libc::TIOCVHANGUP) } == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}
