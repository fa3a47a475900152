//! A machine's init: what has to be done once, before the first unit, where svcd is the first process of a kernel.
//!
//! [`role`] decides whether that is so; nothing else of this room is to be called where it is not. [`boot`] is the whole
//! of it, in its order, a file for each step: [`mounts`], [`modules`], [`root`] (with [`devices`], [`superblock`],
//! [`mount`] and [`initramfs`]), [`cgroups`], [`names`], [`sysctl`], [`time_zone`], [`random`].
//!
//! [`mount_unit`] is for `[mount]` units, wherever svcd runs.
//!
//! Knows no units: a step that fails is said with its name and its cause, on what svcd says everything else, and the next
//! is done, since a machine that comes up lame can be mended.

use std::io;
use std::path::Path;

use rustix::fs::{CWD, Mode, OFlags, PROC_SUPER_MAGIC, fstatfs, openat, statat};
use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsmount, fsopen};
use rustix::process::{Pid, getpid};

mod cgroups;
pub mod command_line;
pub mod console;
mod devices;
mod initramfs;
mod modules;
pub mod mount;
pub mod mount_unit;
mod mounted;
mod mounts;
mod names;
pub mod random;
mod root;
pub mod settings;
pub mod shutdown;
mod superblock;
mod sysctl;
mod time_zone;

pub use command_line::CommandLine;
pub use settings::Settings;

/// What svcd is to the system that it runs in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The first process of a kernel: it mounts, loads, names and seeds, and at the end powers off.
    Machine,
    /// The first process of a pid namespace that somebody else made: all is mounted, or is not ours to mount. It reaps
    /// orphans, and its end is the end of the container.
    Container,
    /// A program as any other.
    Plain,
}

/// Looks where svcd runs.
///
/// PID 1 is a machine's if it is in the kernel's first pid namespace: no container's ever is, and every machine's is,
/// with whatever its boot loader or initramfs has mounted before. `container` in the environment, which container
/// managers set for their PID 1, says the same without a look; systemd.io, CONTAINER_INTERFACE. Where neither can be told,
/// since /proc is not there and mounting one is refused, somebody has taken the right to do so: a container.
pub fn role() -> Role {
    let named = std::env::var_os("container").is_some_and(|name| !name.is_empty());
    match (getpid() == Pid::INIT, named) {
        (false, _) => Role::Plain,
        (true, true) => Role::Container,
        (true, false) if pid_namespace().is_ok_and(|inode| inode == FIRST_PID_NAMESPACE) => Role::Machine,
        (true, false) => Role::Container,
    }
}

/// The inode of the pid namespace that a kernel starts with: `PROC_PID_INIT_INO`, linux/proc_ns.h.
const FIRST_PID_NAMESPACE: u64 = 0xEFFF_FFFC;

/// The inode of our own pid namespace; namespaces(7). Without a mounted /proc, as the kernel starts its init, one that
/// is attached nowhere tells it.
fn pid_namespace() -> io::Result<u64> {
    let of = |proc: &std::os::fd::OwnedFd| {
        let meta = statat(proc, "self/ns/pid", rustix::fs::AtFlags::empty())?;
        io::Result::Ok(meta.st_ino)
    };
    let mounted = openat(
        CWD,
        "/proc",
        OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC,
        Mode::empty(),
    );
    if let Ok(proc) = mounted
        && fstatfs(&proc).is_ok_and(|meta| meta.f_type == PROC_SUPER_MAGIC)
        && let Ok(inode) = of(&proc)
    {
        return Ok(inode);
    }
    let context = fsopen("proc", FsOpenFlags::FSOPEN_CLOEXEC)?;
    fsconfig_create(&context)?;
    of(&fsmount(
        &context,
        FsMountFlags::FSMOUNT_CLOEXEC,
        MountAttrFlags::empty(),
    )?)
}

/// Makes a machine ready for its first unit, and gives back what the kernel's command line says. Where the root is
/// another one than svcd was started in, it goes on there, from the start, and this does not come back.
pub fn boot(settings: &Settings, state_dir: &Path) -> CommandLine {
    mounts::mount_all();
    said("ctrl-alt-del: ", shutdown::take_ctrl_alt_del());
    let line = CommandLine::read();
    modules::load(&settings.modules);
    said("", root::settle(&line));
    cgroups::mount_all(cgroups::version(&line, settings.cgroup));
    said("hostname: ", names::set_hostname(settings.hostname.as_deref()));
    said("loopback: ", crate::sys::loopback::bring_up());
    for (name, value) in &settings.sysctl {
        if let Err(error) = sysctl::write(Path::new("/proc/sys"), name, value) {
            tracing::error!("sysctl {name} = {}: {error}", value.0);
        }
    }
    said("random seed: ", random::seed(state_dir));
    said(
        "machine id: ",
        names::ensure_machine_id(Path::new("/etc"), Path::new("/run")),
    );
    said("time zone: ", time_zone::set(settings.timezone.as_deref()));
    line
}

fn said(step: &str, done: Result<(), impl std::fmt::Display>) {
    if let Err(why) = done {
        tracing::error!("{step}{why}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_test_is_no_init() {
        assert_eq!(role(), Role::Plain);
    }

    #[test]
    fn the_namespace_is_the_one_that_proc_shows() {
        let link = std::fs::read_link("/proc/self/ns/pid").unwrap();
        let shown = format!("pid:[{}]", pid_namespace().unwrap());
        assert_eq!(link.to_str(), Some(&*shown));
    }
}
