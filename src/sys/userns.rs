//! user_namespaces(7): being root inside one, and making one for others to enter.

use std::fs;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::PathBuf;

use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{DumpableBehavior, WaitId, WaitIdOptions, waitid};

use super::clone::{Cloned, clone3};

/// Makes the caller, who has just entered a new user namespace, uid 0 and gid 0 in it. `uid` and `gid` are what it was
/// outside. No other user and group exists inside, and setgroups(2) is denied for good, as the kernel demands of those
/// who were not root outside.
///
/// # Errors
/// As writing to `/proc/self/setgroups`, `uid_map` and `gid_map`: EPERM where a policy forbids it.
pub fn become_root_inside(uid: u32, gid: u32) -> io::Result<()> {
    fs::write("/proc/self/setgroups", "deny")?;
    fs::write("/proc/self/uid_map", format!("0 {uid} 1"))?;
    fs::write("/proc/self/gid_map", format!("0 {gid} 1"))
}

/// Files that this thread makes from now on are this user's and this group's, and what it may do to files goes by them;
/// setfsuid(2), setfsgid(2). Neither tells whether it was done: then files are made as before.
pub fn make_files_as(id: u32) {
    // SAFETY: both calls take a number, and change credentials of this thread only.
    unsafe {
        libc::setfsgid(id);
        libc::setfsuid(id);
    }
}

/// A new user namespace with these ids of users and of groups, within the caller's, as a descriptor that keeps it. Both
/// maps are written by the caller, from outside: nobody is ever in a namespace whose maps are not final. The caller must
/// have one thread, and a /proc that shows itself.
///
/// # Errors
/// As clone3(2): ENOSPC where there may be no more, EPERM where a policy forbids it; as writing the maps: EPERM without
/// CAP_SETUID, CAP_SETGID, or for the id 0 CAP_SETFCAP, EINVAL for ids that the caller's namespace does not have.
pub fn create(map: &str) -> io::Result<OwnedFd> {
    create_with(map, 0).map(|(users, _)| users)
}

/// The same, and with it a network namespace of its own where `kinds` is CLONE_NEWNET.
///
/// # Errors
/// Likewise.
pub fn create_with(map: &str, kinds: u64) -> io::Result<(OwnedFd, Option<OwnedFd>)> {
    let (held, hold) = pipe_with(PipeFlags::CLOEXEC)?;
    // Files of /proc are root's for who is not dumpable: whoever is not root may write to those of its own.
    let before = rustix::process::dumpable_behavior()?;
    rustix::process::set_dumpable_behavior(DumpableBehavior::Dumpable)?;
    let cloned = clone3(libc::CLONE_NEWUSER as u64 | kinds, None);
    rustix::process::set_dumpable_behavior(before)?;
    match cloned? {
        Cloned::Child => {
            drop(hold);
            // Ends with whoever made it.
            let _ = rustix::io::read(&held, &mut [0]);
            super::child::exit(0)
        }
        Cloned::Parent { pidfd, .. } => {
            drop(held);
            let namespaces = write_maps(&pidfd, map).and_then(|users| {
                let has_network = kinds & libc::CLONE_NEWNET as u64 != 0;
                let network = has_network.then(|| fs::File::open(proc_of(&pidfd)?.join("ns/net")));
                Ok((users, network.transpose()?.map(OwnedFd::from)))
            });
            drop(hold);
            waitid(WaitId::PidFd(pidfd.as_fd()), WaitIdOptions::EXITED)?;
            namespaces
        }
    }
}

fn write_maps(of: &OwnedFd, map: &str) -> io::Result<OwnedFd> {
    let place = proc_of(of)?;
    fs::write(place.join("uid_map"), map)?;
    fs::write(place.join("gid_map"), map)?;
    Ok(fs::File::open(place.join("ns/user"))?.into())
}

/// A process's directory in /proc, which need not count as the caller's pid namespace does; proc_pid_fdinfo(5).
fn proc_of(pidfd: &OwnedFd) -> io::Result<PathBuf> {
    let told = fs::read_to_string(format!("/proc/self/fdinfo/{}", pidfd.as_raw_fd()))?;
    let number = told.lines().find_map(|line| line.strip_prefix("Pid:"));
    let number = number.and_then(|number| number.trim().parse::<u32>().ok());
    let number = number.ok_or(io::ErrorKind::NotFound)?;
    Ok(PathBuf::from(format!("/proc/{number}")))
}
