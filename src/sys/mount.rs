//! mount_setattr(2), which no crate wraps; and whether the calls that mounts are made by are there.

use std::io;
use std::mem::size_of;
use std::os::fd::{AsFd, AsRawFd};

/// MOUNT_ATTR_RDONLY of linux/mount.h.
pub const READ_ONLY: u64 = 0x1;
/// MOUNT_ATTR_NOEXEC of linux/mount.h.
pub const NO_EXEC: u64 = 0x8;

/// Attributes of a mount (MOUNT_ATTR_… of linux/mount.h): those to be cleared, and then those to be set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Attributes {
    #[allow(missing_docs)]
    pub clear: u64,
    #[allow(missing_docs)]
    pub set: u64,
}

/// Sets attributes (MOUNT_ATTR_…) of a mount and of all below it.
///
/// # Errors
/// As mount_setattr(2); EINVAL where the descriptor is no mount point.
pub fn set_attributes(mount: impl AsFd, set: u64) -> io::Result<()> {
    change_attributes(mount, Attributes { clear: 0, set }, true)
}

/// Changes attributes of a mount, and with `recursive` of all below it.
///
/// # Errors
/// As mount_setattr(2).
pub fn change_attributes(mount: impl AsFd, Attributes { clear, set }: Attributes, recursive: bool) -> io::Result<()> {
    let attributes = libc::mount_attr {
        attr_set: set,
        attr_clr: clear,
        propagation: 0,
        userns_fd: 0,
    };
    set_attr(mount, attributes, recursive)
}

/// Shows a mount that is attached nowhere, and all below it, with the ids that its files have as those inside a user
/// namespace.
///
/// # Errors
/// As mount_setattr(2): EINVAL where the file system of one of them cannot be shown so, or the namespace is the caller's.
pub fn map_ids(mount: impl AsFd, namespace: impl AsFd) -> io::Result<()> {
    let attributes = libc::mount_attr {
        attr_set: libc::MOUNT_ATTR_IDMAP,
        attr_clr: 0,
        propagation: 0,
        userns_fd: namespace.as_fd().as_raw_fd().unsigned_abs().into(),
    };
    set_attr(mount, attributes, true)
}

fn set_attr(mount: impl AsFd, attributes: libc::mount_attr, recursive: bool) -> io::Result<()> {
    let flags = libc::AT_EMPTY_PATH | if recursive { libc::AT_RECURSIVE } else { 0 };
    let fd = mount.as_fd().as_raw_fd();
    // SAFETY: the call reads `size_of::<mount_attr>()` bytes at `attributes` and an empty C string, both alive until it
    // returns, and writes to no memory of ours.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            fd,
            c"".as_ptr(),
            flags,
            &raw const attributes,
            size_of::<libc::mount_attr>(),
        )
    };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// The first of the calls that mounts are made by that this kernel does not have, or that we may not make, with its error.
pub fn missing_call() -> Option<(&'static str, io::Error)> {
    const CALLS: [(&str, libc::c_long); 3] = [
        ("openat2(2)", libc::SYS_openat2),
        ("open_tree(2)", libc::SYS_open_tree),
        ("mount_setattr(2)", libc::SYS_mount_setattr),
    ];
    CALLS.into_iter().find_map(|(name, number)| {
        // SAFETY: the path is a null pointer, which these calls give back as EFAULT if they come to it at all: flags that
        // no kernel knows and a size of zero are refused before that. No memory is read or written.
        let result = unsafe { libc::syscall(number, -1, 0, -1, 0, 0) };
        let error = io::Error::last_os_error();
        let refused = matches!(error.raw_os_error(), Some(libc::ENOSYS | libc::EPERM | libc::EACCES));
        (result == -1 && refused).then_some((name, error))
    })
}
