//! Network namespaces made ahead: the kernel takes as long for one as for all else that isolates a service.
//!
//! A child makes them one by one, as they are asked for, and hands each over; it keeps none, so that what a service has had
//! ends with the service.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::sched::{CloneFlags, setns, unshare};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};

use super::job::start_job_with;
use super::report::StepFailed;
use crate::sys::{descriptors, loopback};

/// The network namespace of whoever reads it.
pub(super) const OWN: &str = "/proc/thread-self/ns/net";

/// The child that makes them. It ends when this is dropped.
#[derive(Debug)]
pub struct NetworkMaker {
    socket: OwnedFd,
}

impl NetworkMaker {
    /// Starts it. Nobody waits for its end: whoever reaps orphans reaps it.
    ///
    /// # Errors
    /// As socketpair(2) and clone3(2).
    pub fn start() -> io::Result<Self> {
        let flags = SocketFlags::CLOEXEC;
        let (ours, its) = socketpair(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
        rustix::io::ioctl_fionbio(&ours, true)?;
        drop(start_job_with(&[its.as_fd()], || serve(its.as_fd()))?);
        Ok(Self { socket: ours })
    }

    /// Asks for one more.
    ///
    /// # Errors
    /// As sendmsg(2); `EPIPE`: it has ended.
    pub fn ask(&self) -> io::Result<()> {
        descriptors::send(&self.socket, &[1], &[]).map(|_| ())
    }

    /// One that was asked for, with its loopback up. None: there was no room for it among the descriptors.
    ///
    /// # Errors
    /// As recvmsg(2); `WouldBlock`: it is not there yet; `UnexpectedEof`: the child has ended.
    pub fn take(&self) -> io::Result<Option<OwnedFd>> {
        match descriptors::receive(&self.socket, &mut [0])? {
            (0, _) => Err(io::ErrorKind::UnexpectedEof.into()),
            (_, network) => Ok(network.into_iter().next()),
        }
    }
}

impl AsFd for NetworkMaker {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// The child's side: one for each byte, until there is nobody left to ask.
fn serve(socket: BorrowedFd<'_>) -> Result<(), StepFailed> {
    let failed = |error: io::Error| StepFailed::new("network namespace", error.raw_os_error().unwrap_or(0));
    // Of no matter but to people.
    let _ = rustix::thread::set_name(c"svc-networks");
    let machine = File::open(OWN).map_err(failed)?;
    while let (1.., _) = descriptors::receive(socket, &mut [0]).map_err(failed)? {
        let made = make(&machine).map_err(failed)?;
        descriptors::send(socket, &[1], &[made.as_fd()]).map_err(failed)?;
    }
    Ok(())
}

/// The caller is back in the machine's when it is made.
fn make(machine: &File) -> io::Result<OwnedFd> {
    unshare(CloneFlags::CLONE_NEWNET)?;
    loopback::bring_up()?;
    let made = File::open(OWN)?;
    setns(machine, CloneFlags::CLONE_NEWNET)?;
    Ok(made.into())
}
