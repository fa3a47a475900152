//! What a pidfd tells of a process that is nobody's child here; pidfd_open(2), `linux/pidfd.h`.

use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};

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

/// The mount and the network namespace of a process, as far as this kernel gives them: from 6.11 on.
pub fn namespaces(pidfd: impl AsFd) -> Vec<OwnedFd> {
    /// PIDFD_GET_MNT_NAMESPACE and PIDFD_GET_NET_NAMESPACE: `_IO(0xFF, 3)` and 4.
    const GET: [u64; 2] = [0xff << 8 | 3, 0xff << 8 | 4];
    let pidfd = pidfd.as_fd().as_raw_fd();
    let get = |which| {
        // SAFETY: this request takes no argument.
        let fd = unsafe { libc::ioctl(pidfd, which as _, 0) };
        // SAFETY: what is no error is a new descriptor, and nobody else's.
        (fd >= 0).then(|| unsafe { OwnedFd::from_raw_fd(fd) })
    };
    GET.into_iter().filter_map(get).collect()
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

    #[test]
    fn namespaces_are_those_of_the_process() {
        use std::os::linux::fs::MetadataExt;

        let mut process = spawn(&[c"/bin/sleep", c"1000"], None, &[], None);
        let held = namespaces(&process.pidfd);
        if held.is_empty() {
            assert!(kernel_before(6, 11));
        } else {
            let inode = |name| {
                std::fs::metadata(format!("/proc/{}/ns/{name}", process.pid))
                    .unwrap()
                    .st_ino()
            };
            let held: Vec<u64> = held.iter().map(|fd| rustix::fs::fstat(fd).unwrap().st_ino).collect();
            assert_eq!(held, ["mnt", "net"].map(inode));
        }
        rustix::process::pidfd_send_signal(&process.pidfd, rustix::process::Signal::KILL).unwrap();
        process.wait();
    }

    fn kernel_before(major: u32, minor: u32) -> bool {
        let uname = rustix::system::uname();
        let release = uname.release().to_string_lossy();
        let mut numbers = release.split('.').map(|number| number.parse::<u32>().unwrap_or(0));
        (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0)) < (major, minor)
    }
}
