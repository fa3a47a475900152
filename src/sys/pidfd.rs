//! What a pidfd tells of a process that is nobody's child here; pidfd_open(2), `linux/pidfd.h`.

use std::os::fd::{AsFd, AsRawFd};

/// `struct pidfd_info` in its first form.
#[repr(C)]
#[derive(Default)]
struct Info {
    mask: u64,
    cgroup: u64,
    numbers: [u32; 11],
    exit_code: i32,
}

/// PIDFD_INFO_EXIT.
const WITH_EXIT: u64 = 1 << 3;
/// PIDFD_GET_INFO: `_IOWR(0xFF, 11, struct pidfd_info)`.
const GET_INFO: u64 = 3 << 30 | (size_of::<Info>() as u64) << 16 | 0xff << 8 | 11;

/// How a process has ended, as wait(2) has it, once its parent has reaped it: kernels from 6.15 on remember it as long
/// as a pidfd is open that was opened before. None: not yet, or not by this kernel.
pub fn wait_status(pidfd: impl AsFd) -> Option<i32> {
    let mut info = Info {
        mask: WITH_EXIT,
        ..Info::default()
    };
    let pidfd = pidfd.as_fd().as_raw_fd();
    // SAFETY: the kernel reads and writes at most the size that is part of the request, which is that of `info`, alive
    // until the call returns; all bit patterns are values of its plain integers.
    let result = unsafe { libc::ioctl(pidfd, GET_INFO as _, &raw mut info) };
    (result == 0 && info.mask & WITH_EXIT != 0).then_some(info.exit_code)
}

/// Whether the inode number of a pidfd is its process's own, which no other process of this boot ever has: kernels from
/// 6.9 on.
pub fn has_inode(pidfd: impl AsFd) -> bool {
    /// PID_FS_MAGIC of `linux/magic.h`.
    const PIDFS: i128 = 0x5049_4446;
    rustix::fs::fstatfs(pidfd).is_ok_and(|found| i128::from(found.f_type) == PIDFS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::testing::spawn;

    #[test]
    fn the_end_is_known_after_it_was_reaped() {
        let mut process = spawn(&[c"/bin/sh", c"-c", c"exit 7"], None, &[], None);
        assert_eq!(process.wait(), 7);
        // Kernels that remember have inodes too; which of them do is seen by the first.
        match wait_status(&process.pidfd) {
            Some(status) => assert!(has_inode(&process.pidfd) && status == 7 << 8),
            None => assert!(!has_inode(&process.pidfd) || kernel_before(6, 15)),
        }
    }

    fn kernel_before(major: u32, minor: u32) -> bool {
        let uname = rustix::system::uname();
        let release = uname.release().to_string_lossy();
        let mut numbers = release.split('.').map(|number| number.parse::<u32>().unwrap_or(0));
        (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0)) < (major, minor)
    }
}
