//! A time namespace: one is for children until its offsets are written, and then this process enters it;
//! time_namespaces(7).

use std::fs::File;
use std::io;

use nix::sched::{CloneFlags, setns, unshare};

use super::report::StepFailed;
use crate::unit::namespaces::TimeOffsets;

/// Makes a time namespace with these offsets, and enters it. /proc must show this process.
///
/// # Errors
/// `ERANGE`: a clock would be before its zero, or beyond its end.
pub fn enter(offsets: &TimeOffsets) -> Result<(), StepFailed> {
    let failed = |error: io::Error| StepFailed::new("time", error.raw_os_error().unwrap_or(0));
    let flag = CloneFlags::from_bits_retain(libc::CLONE_NEWTIME);
    unshare(flag).map_err(|errno| failed(errno.into()))?;
    let (monotonic, boottime) = (offsets.monotonic.parts(), offsets.boottime.parts());
    let lines = format!(
        "monotonic {} {}\nboottime {} {}\n",
        monotonic.0, monotonic.1, boottime.0, boottime.1
    );
    std::fs::write("/proc/self/timens_offsets", lines).map_err(|error| match error.raw_os_error() {
        Some(libc::ERANGE) => failed(error).because("a clock would show no time that there is".to_owned()),
        Some(_) | None => failed(error),
    })?;
    // Kernels before 6.3 do not enter it at the exec.
    let own = File::open("/proc/self/ns/time_for_children").map_err(failed)?;
    setns(own, flag).map_err(|errno| failed(errno.into()))
}
