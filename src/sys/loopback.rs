//! The loopback interface of a fresh network namespace, brought up; netdevice(7).

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

/// Sets IFF_UP on `lo`.
///
/// # Errors
/// As socket(2) and ioctl(2): EPERM without CAP_NET_ADMIN in the namespace's user namespace.
pub fn bring_up() -> io::Result<()> {
    // SAFETY: socket takes numbers and gives a descriptor that nobody else owns, or -1.
    let socket = match unsafe { libc::socket(libc::AF_INET, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0) } {
        -1 => return Err(io::Error::last_os_error()),
        // SAFETY: as above: it is new, and ours.
        fd => unsafe { OwnedFd::from_raw_fd(fd) },
    };
    // SAFETY: ifreq is plain data, for which all zero bytes are a value.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(b"lo") {
        *to = *from as libc::c_char;
    }
    request.ifr_ifru.ifru_flags = libc::IFF_UP as libc::c_short;
    // SAFETY: SIOCSIFFLAGS reads an ifreq, which is alive until the call returns; its name ends in zeroes.
    let result = unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS as _, &raw const request) };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}
