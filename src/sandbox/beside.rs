//! A child that works beside a unit's processes for as long as they run: in its cgroup and its network namespace, with
//! nothing else of the unit's or of svcd's, and with no right of its own.

use std::convert::Infallible;
use std::ffi::CStr;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use nix::sched::{CloneFlags, setns};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{DumpableBehavior, Gid, Uid};
use rustix::thread::{CapabilitySet, CapabilitySets};

use super::child::{Child, join_cgroups};
use super::report::{self, StepFailed};
use super::scheduling;
use super::seccomp::Program;
use crate::sys::child::{close_all_but, exit};
use crate::sys::clone::{Cloned, clone3};
use crate::sys::inherit;

/// The user and the group of nobody's files: `overflowuid` of the kernel's admin-guide/sysctl/kernel.rst.
const NOBODY: u32 = 65_534;

/// Whose child it is to be.
pub struct Beside<'a> {
    /// Its name, as ps(1) and top(1) show it.
    pub name: &'static CStr,
    /// How readily the kernel kills it for memory, as the unit says; choom(1).
    pub oom_score: i16,
    /// The unit's cgroup, as a v2 directory.
    pub cgroup: Option<BorrowedFd<'a>>,
    /// The unit's v1 `tasks` files.
    pub join_files: &'a [BorrowedFd<'a>],
    /// A process, as a pidfd, whose network it enters.
    pub network_of: BorrowedFd<'a>,
    /// The system calls that its work makes.
    pub calls: &'a [&'static str],
    /// All that stays open.
    pub keep: Vec<BorrowedFd<'a>>,
}

/// Clones it. `prepare` is called once it is where it belongs and has given up all else; its report ends when that is done,
/// and the work begins.
///
/// # Errors
/// As pipe2(2) and clone3(2).
pub fn start_beside<W>(order: &Beside<'_>, prepare: impl FnOnce() -> Result<W, StepFailed>) -> io::Result<Child>
where
    W: FnOnce() -> io::Result<Infallible>,
{
    let (report, reports_end) = pipe_with(PipeFlags::CLOEXEC)?;
    rustix::io::ioctl_fionbio(&report, true)?;
    let null = rustix::fs::open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())?;
    match clone3(0, order.cgroup)? {
        Cloned::Parent { pid, pidfd } => Ok(Child { pid, pidfd, report }),
        Cloned::Child => {
            // What is svcd's to do in such a case is not this child's.
            std::panic::set_hook(Box::new(|_| exit(70)));
            inherit::reset_signals();
            let own = [reports_end.as_fd(), null.as_fd(), order.network_of];
            close_all_but(&[&order.keep, order.join_files, &own].concat(), null.as_fd());
            let prepared = settle_in(order).and_then(|()| {
                close_all_but(&[&*order.keep, &[reports_end.as_fd()]].concat(), null.as_fd());
                let work = prepare()?;
                // It is a bar more: a kernel that has no filter has the others.
                let _ = Program::only(order.calls).and_then(|program| program.install());
                Ok(work)
            });
            match prepared {
                Ok(work) => {
                    drop(reports_end);
                    match work() {
                        Ok(never) => match never {},
                        Err(_) => exit(74),
                    }
                }
                Err(failed) => {
                    report::send(reports_end.as_fd(), &failed);
                    exit(report::exit_code(failed.what()))
                }
            }
        }
    }
}

fn settle_in(order: &Beside<'_>) -> Result<(), StepFailed> {
    let _ = rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable);
    // A session of its own, away from the terminal; a directory that nobody wants to unmount.
    let _ = rustix::process::setsid();
    let _ = rustix::process::chdir("/");
    let _ = rustix::thread::set_name(order.name);
    join_cgroups(order.join_files)?;
    // One that cannot be had is svcd's.
    let _ = scheduling::set_oom_score(order.oom_score);
    setns(order.network_of, CloneFlags::CLONE_NEWNET)
        .map_err(|errno| StepFailed::new("network namespace", errno as i32))?;
    let capabilities = |error: Errno| StepFailed::new("capabilities", error.raw_os_error());
    match become_nobody() {
        // Where it may not be another, or there is no other, it has no rights all the same.
        Ok(()) | Err(Errno::INVAL | Errno::PERM) => {}
        Err(error) => return Err(StepFailed::new("user", error.raw_os_error())),
    }
    let none = CapabilitySet::empty();
    let sets = CapabilitySets {
        effective: none,
        permitted: none,
        inheritable: none,
    };
    rustix::thread::set_capabilities(None, sets).map_err(capabilities)?;
    // The change of user has made it so that its memory is nobody's to read, and it is said again for where there was none.
    let _ = rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable);
    rustix::thread::set_no_new_privs(true).map_err(|error| StepFailed::new("no-new-privileges", error.raw_os_error()))
}

fn become_nobody() -> Result<(), Errno> {
    let (user, group) = (Uid::from_raw(NOBODY), Gid::from_raw(NOBODY));
    rustix::thread::set_thread_groups(&[])?;
    rustix::thread::set_thread_res_gid(group, group, group)?;
    rustix::thread::set_thread_res_uid(user, user, user)
}
