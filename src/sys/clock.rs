//! The kernel's time zone; settimeofday(2).

use std::io;
use std::ptr::null;

/// Tells the kernel how many minutes its local time is behind UTC. The clock itself is not moved.
///
/// # Errors
/// EPERM without CAP_SYS_TIME. EINVAL: more than 15 hours.
pub fn set_kernel_time_zone(minutes_west: i32) -> io::Result<()> {
    // The first call since boot with a zone and no time moves the clock by the zone, as if it had been set from a clock
    // in local time; with zero it moves nothing, and it is no longer the first.
    for minutes in [0, minutes_west] {
        // `struct timezone`: minutes west, and a field that has no meaning.
        let zone: [libc::c_int; 2] = [minutes, 0];
        // SAFETY: the call reads two ints at `zone`, which is alive until it returns, and no time through a null pointer.
        if unsafe { libc::syscall(libc::SYS_settimeofday, null::<libc::timeval>(), &raw const zone) } != 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}
