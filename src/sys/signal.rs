//! Signals by pidfd, by any number: rustix names only the classic ones, and real-time signals are signals too.

use std::io;
use std::os::fd::{AsFd, AsRawFd};

/// pidfd_send_signal(2) with the number `signal`; 0 only asks whether it could be sent.
///
/// # Errors
/// ESRCH: the process has ended. EPERM. EINVAL: no such signal.
pub fn send(pidfd: impl AsFd, signal: u8) -> io::Result<()> {
    let pidfd = pidfd.as_fd().as_raw_fd();
    let no_info = std::ptr::null::<libc::siginfo_t>();
    // SAFETY: the call takes a descriptor that the caller keeps open, a number, a null siginfo (the kernel then fills
    // in its own) and no flags; it writes to no memory of ours.
    let result = unsafe {
        libc::syscall(
            libc::SYS_pidfd_send_signal,
            pidfd,
            libc::c_int::from(signal),
            no_info,
            0,
        )
    };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}
