//! seccomp(2), which no crate wraps without a filter language of its own.

use std::io;

/// Judges every call of this process and of all its children by these instructions from now on.
///
/// # Errors
/// As seccomp(2): EACCES without CAP_SYS_ADMIN or no-new-privileges, EINVAL for a program that is none.
pub fn install(program: &[libc::sock_filter]) -> io::Result<()> {
    let program = libc::sock_fprog {
        len: u16::try_from(program.len()).map_err(|_| io::Error::from_raw_os_error(libc::E2BIG))?,
        filter: program.as_ptr().cast_mut(),
    };
    // SAFETY: the kernel reads one sock_fprog and `len` instructions at its `filter`, all alive until it returns, and
    // writes to neither.
    let result = unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, 0, &raw const program) };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Whether this kernel filters calls, and can end a whole process for one.
///
/// # Errors
/// ENOSYS: it was built without; EOPNOTSUPP: it is older than 4.14.
pub fn probe() -> io::Result<()> {
    let action: u32 = libc::SECCOMP_RET_KILL_PROCESS;
    // SAFETY: the kernel reads one u32, which is alive until it returns.
    let result = unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_GET_ACTION_AVAIL, 0, &raw const action) };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}
