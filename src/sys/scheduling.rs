//! Scheduling of the calling thread, where the C library refuses (musl) or no crate has it.

use std::io;

/// sched_setscheduler(2): a policy (SCHED_…), and for the real-time ones a priority of 1 to 99, else 0.
///
/// # Errors
/// As sched_setscheduler(2): EPERM without CAP_SYS_NICE or a limit that allows it, EINVAL.
pub fn set_policy(policy: i32, priority: i32) -> io::Result<()> {
    // musl's sched_param has further fields, which the kernel does not read.
    let parameters = [priority];
    // SAFETY: the kernel reads one int of `parameters`, which is alive until it returns.
    done(unsafe { libc::syscall(libc::SYS_sched_setscheduler, 0, policy, parameters.as_ptr()) })
}

/// ioprio_set(2) of a class (IOPRIO_CLASS_…) and the level in it, 0 to 7.
///
/// # Errors
/// As ioprio_set(2): EPERM for the real-time class, EINVAL.
pub fn set_io_priority(class: u8, level: u8) -> io::Result<()> {
    const WHO_PROCESS: i32 = 1;
    const CLASS_SHIFT: i32 = 13;
    let priority = i32::from(class) << CLASS_SHIFT | i32::from(level);
    // SAFETY: the call takes numbers only.
    done(unsafe { libc::syscall(libc::SYS_ioprio_set, WHO_PROCESS, 0, priority) })
}

fn done(result: libc::c_long) -> io::Result<()> {
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}
