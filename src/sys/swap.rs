//! swapoff(2), which no crate wraps.

use std::ffi::CStr;
use std::io;

/// Brings back into memory what was swapped out to a file or device, and lets go of that.
///
/// # Errors
/// As swapoff(2): ENOMEM where it does not fit, EPERM without CAP_SYS_ADMIN.
pub fn off(path: &CStr) -> io::Result<()> {
    // SAFETY: the call reads a C string, which is alive until it returns.
    if unsafe { libc::swapoff(path.as_ptr()) } == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}
