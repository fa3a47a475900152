//! Locks of a process on a byte of a file; fcntl(2), "Advisory record locking". Children do not inherit them, an execve(2)
//! keeps them, and they end with the process, or when it closes any descriptor of that file.

use std::io;
use std::os::fd::AsFd;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};

/// Takes the lock on this byte, which need not be there. False: another process has it.
///
/// # Errors
/// As fcntl(2): EBADF where the file is not open for writing, ENOLCK.
pub fn take(file: impl AsFd, byte: i64) -> io::Result<bool> {
    match fcntl(file, FcntlArg::F_SETLK(&lock(byte))) {
        Ok(_) => Ok(true),
        Err(Errno::EAGAIN | Errno::EACCES) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// The process that has the lock on this byte; None: nobody else has it. 0: one that has no number here.
///
/// # Errors
/// As fcntl(2).
pub fn holder(file: impl AsFd, byte: i64) -> io::Result<Option<i32>> {
    let mut asked = lock(byte);
    fcntl(file, FcntlArg::F_GETLK(&mut asked))?;
    Ok((i32::from(asked.l_type) != libc::F_UNLCK).then_some(asked.l_pid))
}

fn lock(byte: i64) -> libc::flock {
    libc::flock {
        l_type: libc::F_WRLCK as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: byte,
        l_len: 1,
        l_pid: 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::child::exit;
    use crate::sys::clone::{Cloned, clone3};

    #[test]
    fn bytes_are_apart_and_a_child_has_no_lock() {
        let file = tempfile::tempfile().unwrap();
        assert!(take(&file, 0).unwrap() && take(&file, 0).unwrap());
        assert_eq!(holder(&file, 0).unwrap(), None, "one's own is nobody else's");
        let own = std::process::id().cast_signed();
        match clone3(0, None).unwrap() {
            Cloned::Child => {
                let taken = [take(&file, 0).ok(), take(&file, 1).ok()] == [Some(false), Some(true)];
                exit(u8::from(!(taken && holder(&file, 0).ok() == Some(Some(own)))))
            }
            Cloned::Parent { pidfd, .. } => {
                let ended = rustix::process::waitid(
                    rustix::process::WaitId::PidFd(pidfd.as_fd()),
                    rustix::process::WaitIdOptions::EXITED,
                );
                assert_eq!(ended.unwrap().unwrap().exit_status(), Some(0));
            }
        }
        assert_eq!(holder(&file, 1).unwrap(), None, "it went with the child");
    }
}
