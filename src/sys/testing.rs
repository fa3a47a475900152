//! Processes for tests, made as svcd makes them. A test has many threads, so the child allocates nothing and execs.

use std::ffi::CStr;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use super::clone::{Cloned, clone3};

/// So many milliseconds, or as much on the emulated processor of a guest, which says how many times slower it is.
pub fn within(milliseconds: u64) -> Duration {
    let slowness = std::env::var("SVC_TEST_SLOWNESS").ok();
    let slowness = slowness.map_or(1, |times| times.parse().expect("a whole number"));
    Duration::from_millis(milliseconds) * slowness
}

/// A child of a test; killed and waited for when dropped.
#[derive(Debug)]
pub struct Process {
    /// Its number.
    pub pid: i32,
    /// Its descriptor.
    pub pidfd: OwnedFd,
    ended: Option<i32>,
}

/// Runs `argv` (its first word is a path) in the v2 group `cgroup`, after writing `0` to each of `join`, with `output`
/// as standard output and standard error where one is given.
pub fn spawn(
    argv: &[&CStr],
    cgroup: Option<BorrowedFd<'_>>,
    join: &[OwnedFd],
    output: Option<BorrowedFd<'_>>,
) -> Process {
    let mut words: Vec<*const libc::c_char> = argv.iter().map(|word| word.as_ptr()).collect();
    words.push(std::ptr::null());
    match clone3(0, cgroup).expect("clone3") {
        Cloned::Parent { pid, pidfd } => Process {
            pid,
            pidfd,
            ended: None,
        },
        Cloned::Child => {
            // SAFETY: only system calls, on a copy of memory that is ours alone; `words` ends in a null pointer and each
            // of the others points to a C string of `argv`, which outlives the call.
            unsafe {
                for file in join {
                    if libc::write(file.as_raw_fd(), c"0".as_ptr().cast(), 1) != 1 {
                        libc::_exit(126);
                    }
                }
                if let Some(output) = output {
                    libc::dup2(output.as_raw_fd(), 1);
                    libc::dup2(output.as_raw_fd(), 2);
                }
                let mut none: libc::sigset_t = std::mem::zeroed();
                libc::sigemptyset(&raw mut none);
                libc::sigprocmask(libc::SIG_SETMASK, &raw const none, std::ptr::null_mut());
                libc::execv(words[0], words.as_ptr());
                libc::_exit(127);
            }
        }
    }
}

impl Process {
    /// Waits for the end: an exit code, or 128 and the signal.
    pub fn wait(&mut self) -> i32 {
        if let Some(status) = self.ended {
            return status;
        }
        let mut status = 0;
        // SAFETY: waitpid writes one int to `status`; the child is ours and nobody else waits for it.
        while unsafe { libc::waitpid(self.pid, &raw mut status, 0) } != self.pid {}
        let code = if libc::WIFEXITED(status) {
            libc::WEXITSTATUS(status)
        } else {
            128 + libc::WTERMSIG(status)
        };
        self.ended = Some(code);
        code
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.ended.is_none() {
            let _ = super::signal::send(&self.pidfd, 9);
            self.wait();
        }
    }
}

/// Whether this process is root: tests of what only root can do have nothing to say without it.
pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}
