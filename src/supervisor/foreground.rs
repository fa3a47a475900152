//! A supervisor as the child of a program that has a terminal: `svc up`.

use std::io;
use std::os::fd::OwnedFd;
use std::panic::{AssertUnwindSafe, catch_unwind};

use nix::sys::signal::SigSet;
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{getegid, geteuid, setsid};

use crate::sys::clone::{Cloned, clone3};
use crate::sys::userns::become_root_inside;

/// The parent's side.
#[derive(Debug)]
pub struct Child {
    /// Readable once it has ended.
    pub pidfd: OwnedFd,
    /// Closing it is the order to end: so the supervisor ends with its parent, however that goes.
    pub lifeline: OwnedFd,
    /// What it prints.
    pub notices: OwnedFd,
    /// Why it can do less than all: it was not root, and has a user namespace instead.
    pub restricted: Option<String>,
}

/// Clones a child that calls `run` with its end of the lifeline, and ends with the status that it gives or, after printing the error, 1.
/// It has a session of its own, so that a terminal's Ctrl-C does not reach it. Where the caller is not root, the child
/// is, in a user namespace. The caller must have one thread, and nothing unwritten in a buffer of its standard output.
///
/// # Errors
/// As pipe(2) and clone(2).
pub fn start(run: impl FnOnce(OwnedFd) -> Result<u8, String>) -> io::Result<Child> {
    let (uid, gid) = (geteuid(), getegid());
    let flags = if uid.is_root() { 0 } else { libc::CLONE_NEWUSER as u64 };
    let (lifeline_read, lifeline) = pipe_with(PipeFlags::CLOEXEC)?;
    let (notices, notices_write) = pipe_with(PipeFlags::CLOEXEC)?;
    let cloned = clone3(flags, None).map_err(|error| match uid.is_root() {
        true => error,
        false => io::Error::new(
            error.kind(),
            format!("not root, and no user namespace to be had instead: {error}"),
        ),
    })?;
    let pidfd = match cloned {
        Cloned::Parent { pidfd, .. } => pidfd,
        Cloned::Child => {
            drop((lifeline, notices));
            let be = || {
                be_child(
                    notices_write,
                    lifeline_read,
                    uid.is_root(),
                    (uid.as_raw(), gid.as_raw()),
                    run,
                )
            };
            // The caller's code must not go on in the child, whatever happens here.
            let status =
                catch_unwind(AssertUnwindSafe(be)).unwrap_or_else(|_| Err("the supervisor panicked".to_owned()));
            std::process::exit(match status {
                Ok(status) => i32::from(status),
                Err(error) => {
                    eprintln!("{error}");
                    1
                }
            })
        }
    };
    let restricted = (!uid.is_root()).then(|| {
        format!(
            "uid {} is not root: units run in a user namespace, where no other user, no device and no limit can be had",
            uid.as_raw()
        )
    });
    Ok(Child {
        pidfd,
        lifeline,
        notices,
        restricted,
    })
}

fn be_child(
    notices: OwnedFd,
    lifeline: OwnedFd,
    is_root: bool,
    (uid, gid): (u32, u32),
    run: impl FnOnce(OwnedFd) -> Result<u8, String>,
) -> Result<u8, String> {
    let failed = |what: &'static str| move |error: io::Error| format!("{what}: {error}");
    let null = std::fs::File::open("/dev/null").map_err(failed("/dev/null"))?;
    nix::unistd::dup2_stdin(&null).map_err(|errno| failed("standard input")(errno.into()))?;
    nix::unistd::dup2_stdout(&notices).map_err(|errno| failed("standard output")(errno.into()))?;
    nix::unistd::dup2_stderr(&notices).map_err(|errno| failed("standard error")(errno.into()))?;
    drop((null, notices));
    setsid().map_err(|errno| failed("session")(errno.into()))?;
    if !is_root {
        become_root_inside(uid, gid).map_err(failed("user namespace"))?;
    }
    SigSet::empty()
        .thread_set_mask()
        .map_err(|errno| failed("signal mask")(errno.into()))?;
    run(lifeline)
}
