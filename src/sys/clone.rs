//! clone3(2): a child with a pidfd, in namespaces and a cgroup of its own.

use std::io;
use std::mem::size_of;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

/// `linux/sched.h`; the constant of the libc crate overflows its type.
const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;

/// Which side of the clone this is.
#[derive(Debug)]
pub enum Cloned {
    /// The caller goes on, with the child's number (in the caller's own pid namespace) and its pidfd.
    Parent {
        /// For people and for `/proc`; never for signals.
        pid: i32,
        /// For signals and for waiting.
        pidfd: OwnedFd,
    },
    /// The new process.
    Child,
}

/// Clones this process as fork(2) does, with `flags` (CLONE_NEW…) besides CLONE_PIDFD and SIGCHLD at exit, into the
/// cgroup v2 directory `cgroup` if one is given (CLONE_INTO_CGROUP).
///
/// The process must have one thread: the child goes on with a copy of memory in which no other thread can hold a lock.
/// Every signal is blocked in the child, whose faults are its own end ([`super::fault::disarm`]) and which resets handlers and unblocks when it is ready; the caller's mask stays.
///
/// # Errors
/// As clone3(2): EAGAIN and ENOMEM when the machine is short, EPERM, ENOSPC for namespaces, EBUSY for the cgroup.
pub fn clone3(flags: u64, cgroup: Option<BorrowedFd<'_>>) -> io::Result<Cloned> {
    clone(flags, libc::SIGCHLD as u64, cgroup)
}

/// As [`clone3`], but the child is one of the caller's own parent, which is told of its end as it is of the caller's.
///
/// # Errors
/// As [`clone3`]; EINVAL for the first process of a pid namespace.
pub fn clone3_sibling(flags: u64, cgroup: Option<BorrowedFd<'_>>) -> io::Result<Cloned> {
    clone(flags | libc::CLONE_PARENT as u64, 0, cgroup)
}

fn clone(flags: u64, exit_signal: u64, cgroup: Option<BorrowedFd<'_>>) -> io::Result<Cloned> {
    let mut pidfd: libc::c_int = -1;
    let mut args = libc::clone_args {
        flags: flags | libc::CLONE_PIDFD as u64,
        pidfd: &raw mut pidfd as u64,
        child_tid: 0,
        parent_tid: 0,
        exit_signal,
        stack: 0,
        stack_size: 0,
        tls: 0,
        set_tid: 0,
        set_tid_size: 0,
        cgroup: 0,
    };
    if let Some(cgroup) = cgroup {
        args.flags |= CLONE_INTO_CGROUP;
        args.cgroup = cgroup.as_raw_fd() as u64;
    }
    let before = SignalMask::block_all();
    // SAFETY: clone3 reads `size_of::<clone_args>()` bytes at `args`, alive until it returns, and writes one int at
    // `pidfd`, alive too; without CLONE_VM the child has its own copy of memory, and no other thread exists.
    let result = unsafe { libc::syscall(libc::SYS_clone3, &raw mut args, size_of::<libc::clone_args>()) };
    if result == 0 {
        std::mem::forget(before);
        super::fault::disarm();
        return Ok(Cloned::Child);
    }
    let error = io::Error::last_os_error();
    drop(before);
    if result < 0 {
        return Err(error);
    }
    // SAFETY: clone3 succeeded with CLONE_PIDFD, so `pidfd` is a new descriptor that nobody else owns.
    let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
    Ok(Cloned::Parent {
        pid: result as i32,
        pidfd,
    })
}

/// All signals blocked until this is dropped.
struct SignalMask(libc::sigset_t);

impl SignalMask {
    fn block_all() -> Self {
        // SAFETY: sigset_t is plain data, for which all zero bytes are a value.
        let (mut all, mut before) = unsafe { (std::mem::zeroed(), std::mem::zeroed()) };
        // SAFETY: both point to live sigset_t values for the time of the calls.
        unsafe {
            libc::sigfillset(&raw mut all);
            libc::sigprocmask(libc::SIG_SETMASK, &raw const all, &raw mut before);
        }
        Self(before)
    }
}

impl Drop for SignalMask {
    fn drop(&mut self) {
        // SAFETY: the mask was filled in by sigprocmask above and is alive.
        unsafe { libc::sigprocmask(libc::SIG_SETMASK, &raw const self.0, std::ptr::null_mut()) };
    }
}
