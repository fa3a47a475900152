//! What a program that is executed inherits: descriptors, and the mask of signals.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicBool, Ordering};

/// The descriptors that this program was executed with, by their numbers, above 2. What nobody takes is closed with
/// the value.
#[derive(Debug, Default)]
pub struct Inherited(BTreeMap<RawFd, OwnedFd>);

impl Inherited {
    /// Takes all up to the number `highest` over, once: the second call of a process gets none. Must be called before
    /// this program has opened any descriptor of its own. They are marked to be closed at the next execve(2).
    pub fn take_all(highest: RawFd) -> Self {
        static TAKEN: AtomicBool = AtomicBool::new(false);
        let mut all = BTreeMap::new();
        if TAKEN.swap(true, Ordering::Relaxed) {
            return Self(all);
        }
        for number in 3..=highest {
            // SAFETY: fcntl with F_SETFD takes numbers, and fails with EBADF where no descriptor has this one.
            if unsafe { libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC) } == 0 {
                // SAFETY: it is open, and nobody in this program owns it: nothing has been opened by it yet, as the
                // caller promises, and what was inherited is handed out here and nowhere else, once.
                all.insert(number, unsafe { OwnedFd::from_raw_fd(number) });
            }
        }
        Self(all)
    }

    /// The descriptor with this number, if there was one and nobody has taken it.
    pub fn take(&mut self, number: RawFd) -> Option<OwnedFd> {
        self.0.remove(&number)
    }
}

/// Keeps all descriptors from 3 up to the number `highest` open over the next execve(2). Async-signal-safe.
///
/// # Errors
/// As fcntl(2); the others are kept all the same.
pub fn keep_all_at_exec(highest: RawFd) -> io::Result<()> {
    let mut outcome = Ok(());
    for number in 3..=highest {
        // SAFETY: fcntl with F_SETFD takes numbers, and fails with EBADF where no descriptor has this one.
        if unsafe { libc::fcntl(number, libc::F_SETFD, 0) } != 0 {
            let error = io::Error::last_os_error();
            if error.raw_os_error() != Some(libc::EBADF) {
                outcome = Err(error);
            }
        }
    }
    outcome
}

/// Marks every descriptor above 2 to be closed at the next execve(2); close_range(2).
///
/// # Errors
/// As close_range(2): ENOSYS before kernel 5.11.
pub fn close_all_at_exec() -> io::Result<()> {
    // SAFETY: the call takes numbers, and touches descriptors only: it closes none.
    let result = unsafe { libc::syscall(libc::SYS_close_range, 3_u32, u32::MAX, libc::CLOSE_RANGE_CLOEXEC) };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Descriptors that a program gets from its beginning on have numbers from 3 to below this.
const PASSED_MAX: RawFd = 256;

/// The same descriptor with a number that [`pass_on`] does not take; as it is, where there is none.
pub fn moved_up(fd: OwnedFd) -> OwnedFd {
    rustix::io::fcntl_dupfd_cloexec(&fd, PASSED_MAX).unwrap_or(fd)
}

/// Passes these descriptors on to the next program, as 3 and up in this order.
///
/// For a child that executes a program after this, or ends: whatever had these numbers is closed.
///
/// # Errors
/// As fcntl(2) and dup2(2).
pub fn pass_on(descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
    // First out of the way: one may have the number that another is to have.
    let first = 3 + RawFd::try_from(descriptors.len()).unwrap_or(RawFd::MAX - 3);
    let moved = descriptors.iter().map(|fd| rustix::io::fcntl_dupfd_cloexec(fd, first));
    let moved: Vec<OwnedFd> = moved.collect::<Result<_, _>>()?;
    for (number, fd) in (3..).zip(&moved) {
        // SAFETY: dup2 takes two numbers. The one that it closes is this process's own copy, and whoever owns it in the
        // parent's part of the program does not run here any more, as the caller promises.
        if unsafe { libc::dup2(fd.as_raw_fd(), number) } == -1 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}

/// Every signal to its default action, and then none blocked.
pub fn reset_signals() {
    /// Highest signal number on Linux.
    const SIGNAL_MAX: libc::c_int = 64;
    for signal in 1..=SIGNAL_MAX {
        // SAFETY: SIG_DFL is no function of ours, and the C library refuses (EINVAL) the numbers that it keeps.
        unsafe { libc::signal(signal, libc::SIG_DFL) };
    }
    // SAFETY: sigset_t is plain data, for which all zero bytes are a value; it is alive for both calls, and the old
    // mask is not asked for.
    unsafe {
        let mut none: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut none);
        libc::sigprocmask(libc::SIG_SETMASK, &raw const none, std::ptr::null_mut());
    }
}

/// SIGHUP ignored, until [`reset_signals`].
pub fn ignore_hangup() {
    // SAFETY: SIG_IGN is no function of ours, and SIGHUP is a signal that may be ignored.
    unsafe { libc::signal(libc::SIGHUP, libc::SIG_IGN) };
}

/// SIGPIPE ignored, as systemd starts its services.
pub fn ignore_sigpipe() {
    // SAFETY: SIG_IGN is no function of ours, and SIGPIPE is a signal that may be ignored.
    unsafe { libc::signal(libc::SIGPIPE, libc::SIG_IGN) };
}
