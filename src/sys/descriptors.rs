//! Descriptors that go along with bytes over a Unix socket; unix(7), SCM_RIGHTS.

use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags,
    recvmsg, sendmsg,
};

/// The most that go along with one message: a socket and three streams.
pub const DESCRIPTORS_MAX: usize = 4;

/// Sends bytes, and the descriptors with the first of them. Gives how many were sent.
///
/// # Errors
/// As sendmsg(2); `EINVAL`: more than [`DESCRIPTORS_MAX`].
pub fn send(socket: impl AsFd, bytes: &[u8], descriptors: &[BorrowedFd<'_>]) -> std::io::Result<usize> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS_MAX))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !descriptors.is_empty() && !control.push(SendAncillaryMessage::ScmRights(descriptors)) {
        return Err(Errno::INVAL.into());
    }
    Ok(sendmsg(
        socket,
        &[IoSlice::new(bytes)],
        &mut control,
        SendFlags::NOSIGNAL,
    )?)
}

/// Receives what there is: the bytes that it gives the number of, and the descriptors that came along, none of which
/// outlives an exec. The kernel closes those that are more than [`DESCRIPTORS_MAX`].
///
/// # Errors
/// As recvmsg(2).
pub fn receive(socket: impl AsFd, bytes: &mut [u8]) -> std::io::Result<(usize, Vec<OwnedFd>)> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS_MAX))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut parts = [IoSliceMut::new(bytes)];
    let got = recvmsg(socket, &mut parts, &mut control, RecvFlags::CMSG_CLOEXEC)?.bytes;
    let rights = control.drain().filter_map(|message| {
        let RecvAncillaryMessage::ScmRights(descriptors) = message else {
            return None;
        };
        Some(descriptors)
    });
    Ok((got, rights.flatten().collect()))
}

/// A datagram, with who sent it.
#[derive(Debug)]
pub struct Datagram {
    /// How long it is.
    pub bytes: usize,
    /// The kernel's word on who sent it, as this process's namespaces have it.
    pub sender: Option<rustix::net::UCred>,
    /// What came along; none of it outlives an exec.
    pub descriptors: Vec<OwnedFd>,
    /// It was longer than there was room for, or more came along than could be taken.
    pub truncated: bool,
}

/// Whether both are one open file, as dup(2) makes them; kcmp(2). False where the kernel does not tell.
pub fn is_one_open_file(one: impl AsFd, other: impl AsFd) -> bool {
    /// linux/kcmp.h.
    const KCMP_FILE: libc::c_int = 0;
    let pid = rustix::process::getpid().as_raw_nonzero().get();
    let (one, other) = (one.as_fd().as_raw_fd(), other.as_fd().as_raw_fd());
    // SAFETY: the call takes numbers only, and looks at descriptors that are open: they are borrowed.
    unsafe { libc::syscall(libc::SYS_kcmp, pid, pid, KCMP_FILE, one, other) == 0 }
}

/// Receives a datagram on a socket that is told of senders; unix(7), SO_PASSCRED. Where descriptors are not wanted, the
/// kernel drops them before they are ours.
///
/// # Errors
/// As recvmsg(2).
pub fn receive_datagram(socket: impl AsFd, bytes: &mut [u8], with_descriptors: bool) -> std::io::Result<Datagram> {
    /// As many as the kernel lets go along, SCM_MAX_FD.
    const MOST: usize = 253;
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST), ScmCredentials(1))];
    let mut space_without = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmCredentials(1))];
    let mut control = match with_descriptors {
        true => RecvAncillaryBuffer::new(&mut space),
        false => RecvAncillaryBuffer::new(&mut space_without),
    };
    let mut parts = [IoSliceMut::new(bytes)];
    let got = recvmsg(
        socket,
        &mut parts,
        &mut control,
        RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT,
    )?;
    let (mut sender, mut descriptors) = (None, Vec::new());
    for message in control.drain() {
        match message {
            RecvAncillaryMessage::ScmRights(rights) => descriptors.extend(rights),
            RecvAncillaryMessage::ScmCredentials(credentials) => sender = Some(credentials),
            _ => {}
        }
    }
    use rustix::net::ReturnFlags;
    Ok(Datagram {
        bytes: got.bytes,
        sender,
        descriptors,
        truncated: got.flags.contains(ReturnFlags::TRUNC)
            || (with_descriptors && got.flags.contains(ReturnFlags::CTRUNC)),
    })
}
