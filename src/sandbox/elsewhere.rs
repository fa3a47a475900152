//! A child that is born in another pid namespace: nobody can move there later; pid_namespaces(7), setns(2).

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};

use nix::errno::Errno;
use nix::sched::{CloneFlags, setns};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Pid, PidfdFlags, WaitId, WaitIdOptions, getpid, pidfd_open, waitid};

use crate::sys::child::exit;
use crate::sys::clone::{Cloned, clone3, clone3_sibling};

/// Clones a child of ours in the pid namespace of this process.
pub fn clone_into_pid_namespace(
    process: BorrowedFd<'_>,
    namespaces: u64,
    cgroup: Option<BorrowedFd<'_>>,
) -> io::Result<Cloned> {
    let own = pidfd_open(getpid(), PidfdFlags::empty())?;
    match setns(&own, CloneFlags::CLONE_NEWPID) {
        // Who is root in a user namespace only cannot come back into a pid namespace from outside of that.
        Err(Errno::EPERM) => return clone_by_messenger(process, namespaces, cgroup),
        checked => checked?,
    }
    setns(process, CloneFlags::CLONE_NEWPID)?;
    let cloned = clone3(namespaces, cgroup);
    if !matches!(cloned, Ok(Cloned::Child)) {
        setns(&own, CloneFlags::CLONE_NEWPID)?;
    }
    cloned
}

/// A child goes in our place, has the other as its sibling, tells us the number, and ends. Until we have looked, that is
/// the number of nobody else: only we can reap it.
fn clone_by_messenger(process: BorrowedFd<'_>, namespaces: u64, cgroup: Option<BorrowedFd<'_>>) -> io::Result<Cloned> {
    let (answer, question) = pipe_with(PipeFlags::CLOEXEC)?;
    match clone3(0, None)? {
        Cloned::Child => {
            drop(answer);
            let entered = setns(process, CloneFlags::CLONE_NEWPID).map_err(io::Error::from);
            let number = match entered.and_then(|()| clone3_sibling(namespaces, cgroup)) {
                Ok(Cloned::Child) => return Ok(Cloned::Child),
                Ok(Cloned::Parent { pid, .. }) => pid,
                Err(error) => -error.raw_os_error().unwrap_or(libc::EINVAL),
            };
            // Without an answer nothing was cloned that we know of, and that is told.
            let told = File::from(question).write_all(&number.to_le_bytes());
            exit(u8::from(told.is_err()))
        }
        Cloned::Parent { pidfd, .. } => {
            drop(question);
            let mut number = [0; 4];
            let told = File::from(answer).read_exact(&mut number);
            waitid(WaitId::PidFd(pidfd.as_fd()), WaitIdOptions::EXITED)?;
            told?;
            match i32::from_le_bytes(number) {
                errno if errno <= 0 => Err(io::Error::from_raw_os_error(-errno)),
                number => {
                    let pid = Pid::from_raw(number).ok_or(io::ErrorKind::NotFound)?;
                    let pidfd = pidfd_open(pid, PidfdFlags::empty())?;
                    Ok(Cloned::Parent { pid: number, pidfd })
                }
            }
        }
    }
}
