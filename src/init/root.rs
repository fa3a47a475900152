//! The root file system: the one that `root=` names, mounted and gone on from, where svcd was started in an initramfs;
//! else the one that is there, made writable where `rw` says so. The kernel's admin-guide/kernel-parameters.

use std::ffi::{CString, OsStr};
use std::fs;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::{MountFlags, UnmountFlags, mount_move, mount_remount, unmount};

use super::command_line::CommandLine;
use super::devices::{self, Name};
use super::initramfs;
use super::mount::{self, Mount};
use super::mounts::is_mount_point;

/// Where a root is mounted before it is one.
const SYSROOT: &str = "/sysroot";

/// What goes along into the new root, with all that is mounted below it.
const KEPT: [&str; 4] = ["/dev", "/proc", "/sys", "/run"];

/// Where svcd may be in a root, if `init=` does not say it.
const SVCD: [&str; 4] = ["/usr/sbin/svcd", "/sbin/svcd", "/usr/bin/svcd", "/usr/lib/svc/svcd"];

/// Without `rootwait`, a root has this long to turn up: its driver may have been loaded just now.
const PATIENCE: Duration = Duration::from_secs(10);

/// Settles the root. Where it is another one, svcd goes on there, in a new life with the same process, arguments and
/// environment, which finds all mounted; this comes back only where it is not.
///
/// # Errors
/// In one line, what failed and why: the root stays as it is.
pub fn settle(line: &CommandLine) -> Result<(), String> {
    let writable = line.last_of(&["ro", "rw"]);
    if !in_initramfs() {
        let read_only =
            rustix::fs::statvfs("/").is_ok_and(|meta| meta.f_flag.contains(rustix::fs::StatVfsMountFlags::RDONLY));
        if writable == Some("rw") && read_only {
            return mount_remount("/", MountFlags::empty(), c"").map_err(|error| format!("remount / rw: {error}"));
        }
        return Ok(());
    }
    let Some(root) = line.value("root") else { return Ok(()) };
    let failed = |why: String| format!("root={root}: {why}");
    mount_root(root, line, writable == Some("rw")).map_err(failed)?;
    let own = open(Path::new("/proc/self/exe")).map_err(|error| failed(format!("/proc/self/exe: {error}")))?;
    switch().map_err(failed)?;
    Err(failed(go_on(line, &own)))
}

/// The kernel calls the file system that it unpacks an initramfs into by this name, and no other.
fn in_initramfs() -> bool {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let root = mounts.lines().rfind(|line| line.split(' ').nth(1) == Some("/"));
    root.is_some_and(|line| line.split(' ').nth(2) == Some("rootfs"))
}

fn mount_root(root: &str, line: &CommandLine, writable: bool) -> Result<(), String> {
    let kinds = line.value("rootfstype");
    let on_device = root.starts_with("/dev/") || root.contains('=');
    let (source, kinds) = match (on_device, kinds) {
        // Not of a block device: `root=TAG rootfstype=virtiofs`.
        (false, Some(kinds)) => (PathBuf::from(root), kinds.split(',').map(str::to_owned).collect()),
        _ => {
            let patience = if line.has("rootwait") { None } else { Some(PATIENCE) };
            let device = devices::find(&Name::parse(root)?, patience).map_err(|error| {
                if error.kind() == io::ErrorKind::TimedOut {
                    format!("no such device after {} s", PATIENCE.as_secs())
                } else {
                    error.to_string()
                }
            })?;
            let kinds = kinds.map_or_else(
                || mount::kinds_of(&device),
                |kinds| kinds.split(',').map(str::to_owned).collect(),
            );
            (device, kinds)
        }
    };
    fs::create_dir_all(SYSROOT).map_err(|error| format!("{SYSROOT}: {error}"))?;
    let source = source.to_string_lossy();
    // Before the others, so that rootflags= may say otherwise; and read-only unless told, as the kernel has it.
    let options = [
        if writable { "rw" } else { "ro" },
        line.value("rootflags").unwrap_or_default(),
    ];
    let mut last = "no file system that this kernel knows".to_owned();
    for kind in &kinds {
        let root = Mount {
            what: &source,
            kind,
            options: &options,
        };
        match mount::mount(&root, Path::new(SYSROOT)) {
            Ok(()) => return Ok(()),
            Err(failed) => last = format!("mount {source} as {kind}: {failed}"),
        }
    }
    Err(last)
}

/// Makes what is mounted at [`SYSROOT`] the root, with all of [`KEPT`] in it, and frees the initramfs's memory.
fn switch() -> Result<(), String> {
    let old = open(Path::new("/")).map_err(|error| format!("/: {error}"))?;
    for place in KEPT.iter().filter(|place| is_mount_point(Path::new(place))) {
        let to = format!("{SYSROOT}{place}");
        drop(fs::create_dir(&to));
        if let Err(error) = mount_move(*place, &to) {
            tracing::error!("move {place} to the new root: {error}");
            let _ = unmount(*place, UnmountFlags::DETACH);
        }
    }
    rustix::process::chdir(SYSROOT).map_err(|error| format!("chdir {SYSROOT}: {error}"))?;
    mount_move(".", "/").map_err(|error| format!("move {SYSROOT} to /: {error}"))?;
    rustix::process::chroot(".").map_err(|error| format!("chroot {SYSROOT}: {error}"))?;
    rustix::process::chdir("/").map_err(|error| format!("chdir /: {error}"))?;
    initramfs::empty(old.as_fd());
    Ok(())
}

/// Executes the new root's svcd, or what `init=` names; or else the one that this is, which needs no file any more.
/// Gives back why none could be.
fn go_on(line: &CommandLine, own: &OwnedFd) -> String {
    let own_arguments: Vec<CString> = std::env::args_os().filter_map(|word| c_string(&word)).collect();
    let variables: Vec<CString> = std::env::vars_os()
        .filter_map(|(name, value)| c_string(OsStr::from_bytes(&[name.as_bytes(), b"=", value.as_bytes()].concat())))
        .collect();
    let named = line.value("init");
    for path in named.into_iter().chain(SVCD) {
        let Some(program) = c_string(OsStr::new(path)) else {
            continue;
        };
        let arguments: Vec<CString> = std::iter::once(program.clone())
            .chain(own_arguments.iter().skip(1).cloned())
            .collect();
        let Err(error) = nix::unistd::execve(&program, &arguments, &variables);
        if Some(path) == named || error != nix::errno::Errno::ENOENT {
            tracing::error!("{path} of the new root: {error}");
        }
    }
    let flags = nix::fcntl::AtFlags::AT_EMPTY_PATH;
    let Err(error) = nix::unistd::execveat(own, c"", &own_arguments, &variables, flags);
    format!("execute svcd: {error}")
}

fn c_string(text: &OsStr) -> Option<CString> {
    CString::new(text.as_bytes()).ok()
}

fn open(path: &Path) -> Result<OwnedFd, Errno> {
    rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
}
