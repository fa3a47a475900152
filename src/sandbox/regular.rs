//! Reads files that a unit's root or a unit's author may have made anything of.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use rustix::fs::{FileType, Mode, OFlags, Stat, fstat, open, stat};
use rustix::io::Errno;

/// A regular file of at most `bytes_max` bytes, whole; a link is followed.
///
/// # Errors
///
/// The errno of the call that failed; `EINVAL`: it is no regular file; `EFBIG`: it is longer.
pub fn read(path: &Path, bytes_max: u64) -> Result<Vec<u8>, i32> {
    let raw = |error: Errno| error.raw_os_error();
    // Looked at before it is opened, since to open a device may do something; and after it, since it may be another now.
    check(&stat(path).map_err(raw)?, bytes_max)?;
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOCTTY;
    let fd = open(path, flags, Mode::empty()).map_err(raw)?;
    check(&fstat(&fd).map_err(raw)?, bytes_max)?;
    let mut bytes = Vec::new();
    File::from(fd)
        .take(bytes_max + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| error.raw_os_error().unwrap_or(libc::EIO))?;
    if bytes.len() as u64 > bytes_max {
        return Err(libc::EFBIG);
    }
    Ok(bytes)
}

fn check(meta: &Stat, bytes_max: u64) -> Result<(), i32> {
    if FileType::from_raw_mode(meta.st_mode) != FileType::RegularFile {
        return Err(libc::EINVAL);
    }
    if u64::try_from(meta.st_size).unwrap_or(u64::MAX) > bytes_max {
        return Err(libc::EFBIG);
    }
    Ok(())
}
