//! waitid(2), where what rustix keeps of its answer is not enough.

use std::io;

/// The number of a child that has ended and is not reaped yet, and stays so; None: there is none now.
///
/// # Errors
/// ECHILD: there are no children at all.
pub fn peek_ended_child() -> io::Result<Option<i32>> {
    // SAFETY: siginfo_t is plain data, for which all zero bytes are a value.
    let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
    let options = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
    // SAFETY: waitid writes one siginfo_t to `info`, which is alive until it returns.
    if unsafe { libc::waitid(libc::P_ALL, 0, &raw mut info, options) } != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: waitid succeeded, so `info` is a SIGCHLD siginfo, or untouched zeroes where nobody has ended; `si_pid`
    // reads plain integers of it in both cases.
    let pid = unsafe { info.si_pid() };
    Ok((pid != 0).then_some(pid))
}
