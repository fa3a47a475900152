//! The last of a machine: every process, every file system, then the machine itself. Of a container, the first of these.
//!
//! Nothing here waits for long but [`release_file_systems`], which a process of its own is for: a disk that does not
//! answer must not keep the machine from ending.

use std::ffi::{CString, OsString};
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rustix::mount::{MountFlags, UnmountFlags, mount_remount, unmount};
use rustix::system::{RebootCommand, reboot};

use crate::sys::proc::unescaped;
use crate::sys::swap;

/// What becomes of the machine; reboot(2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Power {
    /// It is switched off.
    Off,
    /// It starts again.
    Reboot,
    /// It stands still, switched on.
    Halt,
}

/// From here on Ctrl-Alt-Del is a SIGINT to us, and not the end at once; reboot(2), LINUX_REBOOT_CMD_CAD_OFF.
///
/// # Errors
/// As reboot(2).
pub fn take_ctrl_alt_del() -> io::Result<()> {
    Ok(reboot(RebootCommand::CadOff)?)
}

/// Asks every process that there is to end, and wakes those that are stopped, so that they hear it; kill(2) with -1
/// leaves out the first process, which only the caller can be.
pub fn ask_everyone_to_end() {
    signal_everyone(&[Signal::SIGTERM, Signal::SIGCONT]);
}

/// Ends every process that there is. The caller must be the first one.
pub fn end_everyone() {
    signal_everyone(&[Signal::SIGKILL]);
}

fn signal_everyone(signals: &[Signal]) {
    // As any other process we would end half a machine that is not ours.
    if Pid::this() != Pid::from_raw(1) {
        return;
    }
    for signal in signals {
        // ESRCH: nobody is left.
        let _ = kill(Pid::from_raw(-1), *signal);
    }
}

/// Writes all that is not on a disk yet, and unmounts the file systems, or makes those read-only that are in use.
/// May block for as long as a disk or a server does.
pub fn release_file_systems() {
    rustix::fs::sync();
    for file in swap_files(&std::fs::read("/proc/swaps").unwrap_or_default()) {
        if let Err(error) = CString::new(file.as_os_str().as_bytes())
            .map_err(io::Error::from)
            .and_then(|path| swap::off(&path))
        {
            tracing::warn!("swapoff {}: {error}", file.display());
        }
    }
    // One may hold another in use that stands after it: a file of it is the other's disk.
    while unmount_all() > 0 {}
    for mount in mounted() {
        if let Err(error) = mount_remount(&mount.at, MountFlags::RDONLY, c"") {
            tracing::warn!("remount {} ro: {error}", mount.at.display());
        }
    }
}

/// Switches the machine off, or what else is asked, at once: nothing is written any more.
///
/// # Errors
/// As reboot(2). It comes back only then.
pub fn end_machine(power: Power) -> io::Error {
    let command = match power {
        Power::Off => RebootCommand::PowerOff,
        Power::Reboot => RebootCommand::Restart,
        Power::Halt => RebootCommand::Halt,
    };
    match reboot(command) {
        Err(error) => error.into(),
        Ok(()) => io::Error::other("the kernel came back from it"),
    }
}

/// Unmounts what can be; how many that were.
fn unmount_all() -> usize {
    let gone = |mount: &Mount| {
        // A server may be out of reach, and will not miss us.
        let flags = if mount.is_remote() {
            UnmountFlags::NOFOLLOW | UnmountFlags::FORCE | UnmountFlags::DETACH
        } else {
            UnmountFlags::NOFOLLOW
        };
        mount.at.as_os_str() != "/" && unmount(&mount.at, flags).is_ok()
    };
    mounted().into_iter().filter(gone).count()
}

/// One file system that holds something, and where.
#[derive(Debug, PartialEq, Eq)]
struct Mount {
    at: PathBuf,
    kind: String,
}

impl Mount {
    fn is_remote(&self) -> bool {
        let kind = self.kind.split('.').next().unwrap_or_default();
        matches!(kind, "nfs" | "nfs4" | "cifs" | "smb3" | "9p" | "ceph" | "fuse")
    }

    /// There is nothing on a disk behind it.
    fn is_virtual(&self) -> bool {
        const VIRTUAL: [&str; 23] = [
            "autofs",
            "binfmt_misc",
            "bpf",
            "cgroup",
            "cgroup2",
            "configfs",
            "debugfs",
            "devpts",
            "devtmpfs",
            "efivarfs",
            "fusectl",
            "hugetlbfs",
            "mqueue",
            "nsfs",
            "proc",
            "pstore",
            "ramfs",
            "rootfs",
            "securityfs",
            "sysfs",
            "tmpfs",
            "tracefs",
            "rpc_pipefs",
        ];
        VIRTUAL.contains(&&*self.kind)
    }
}

/// What is mounted and not virtual, the newest first; proc_pid_mounts(5).
fn mounted() -> Vec<Mount> {
    mounts(&std::fs::read("/proc/self/mounts").unwrap_or_default())
}

fn mounts(text: &[u8]) -> Vec<Mount> {
    let mount = |line: &[u8]| {
        let mut fields = line.split(|byte| *byte == b' ');
        let (at, kind) = (fields.nth(1)?, fields.next()?);
        let mount = Mount {
            at: OsString::from_vec(unescaped(at)).into(),
            kind: String::from_utf8_lossy(kind).into_owned(),
        };
        (!mount.is_virtual()).then_some(mount)
    };
    text.split(|byte| *byte == b'\n').rev().filter_map(mount).collect()
}

/// Swap that is a file in one of the file systems; proc_swaps(5).
fn swap_files(text: &[u8]) -> Vec<PathBuf> {
    let file = |line: &[u8]| {
        let mut fields = line
            .split(|byte| byte.is_ascii_whitespace())
            .filter(|field| !field.is_empty());
        let (name, kind) = (fields.next()?, fields.next()?);
        (kind == b"file").then(|| OsString::from_vec(unescaped(name)).into())
    };
    text.split(|byte| *byte == b'\n').skip(1).filter_map(file).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_holds_something_is_let_go_newest_first() {
        let text =
            b"rootfs / rootfs rw 0 0\n/dev/vda1 / ext4 rw 0 0\nproc /proc proc rw 0 0\ntmpfs /run tmpfs rw 0 0\n\
            /dev/vdb /data\\040of\\134web xfs rw 0 0\nhost:/x /far nfs4 rw 0 0\nx /m fuse.sshfs rw 0 0\nbroken\n";
        let shown: Vec<(String, bool)> = mounts(text)
            .iter()
            .map(|mount| (mount.at.display().to_string(), mount.is_remote()))
            .collect();
        let expected = [("/m", true), ("/far", true), ("/data of\\web", false), ("/", false)];
        assert_eq!(shown, expected.map(|(at, remote)| (at.to_owned(), remote)));
    }

    #[test]
    fn swap_on_a_device_holds_no_file_system() {
        let text = b"Filename Type Size Used Priority\n/dev/vdc partition 1 0 -2\n/swap\\040file   file 1 0 -3\n";
        assert_eq!(swap_files(text), [PathBuf::from("/swap file")]);
        assert_eq!(swap_files(b""), [] as [PathBuf; 0]);
    }
}
