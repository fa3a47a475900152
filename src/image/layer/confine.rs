//! What the child that unpacks a layer may still do: read one blob, write below one directory, and end.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use libc::{BPF_ABS, BPF_JEQ, BPF_JMP, BPF_K, BPF_LD, BPF_RET, BPF_W, sock_filter};
use rustix::process::{Resource, Rlimit, setrlimit};
use rustix::thread::{CapabilitySet, CapabilitySets, set_capabilities};

use super::Limits;
use crate::sys::seccomp;

/// Namespaces of its own: no network, no other process, no mount that anybody else sees.
pub const NAMESPACES: u64 =
    (libc::CLONE_NEWNS | libc::CLONE_NEWNET | libc::CLONE_NEWIPC | libc::CLONE_NEWUTS | libc::CLONE_NEWPID) as u64;

/// More memory than this takes no layer: zstd's largest window is 128 MiB, and names are short.
const MEMORY_BYTES_MAX: u64 = 768 << 20;

/// A path has as many directories open as it is deep.
const DESCRIPTORS_MAX: u64 = 1024;

/// Owners, modes and files of others; SYS_ADMIN for the attribute `trusted.overlay.opaque` alone, since no call that
/// it allows otherwise is left.
const CAPABILITIES: CapabilitySet = CapabilitySet::CHOWN
    .union(CapabilitySet::DAC_OVERRIDE)
    .union(CapabilitySet::FOWNER)
    .union(CapabilitySet::FSETID)
    .union(CapabilitySet::SYS_ADMIN);

/// Every system call that is left.
#[rustfmt::skip]
const CALLS: &[libc::c_long] = &[
    libc::SYS_read, libc::SYS_readv, libc::SYS_pread64, libc::SYS_write, libc::SYS_writev, libc::SYS_lseek,
    libc::SYS_close, libc::SYS_fstat, libc::SYS_newfstatat, libc::SYS_getdents64, libc::SYS_fcntl,
    libc::SYS_openat, libc::SYS_mkdirat, libc::SYS_mknodat, libc::SYS_symlinkat, libc::SYS_linkat,
    libc::SYS_unlinkat, libc::SYS_readlinkat, libc::SYS_fchown, libc::SYS_fchownat, libc::SYS_fchmod,
    libc::SYS_fchmodat, libc::SYS_fsetxattr, libc::SYS_utimensat,
    libc::SYS_brk, libc::SYS_mmap, libc::SYS_munmap, libc::SYS_mremap, libc::SYS_madvise,
    libc::SYS_exit, libc::SYS_exit_group, libc::SYS_rt_sigreturn, libc::SYS_rt_sigprocmask, libc::SYS_futex,
];

/// AUDIT_ARCH_… of linux/audit.h.
const ARCHITECTURE: u32 = if cfg!(target_arch = "x86_64") {
    0xc000_003e
} else {
    0xc000_00b7
};

/// Makes `directory` the root and this process harmless. Without a directory it has none that it could write to.
///
/// # Errors
/// The step that did not work, with its cause: nothing may be read then.
pub fn confine(directory: Option<&OwnedFd>, limits: &Limits) -> io::Result<()> {
    let step = |name: &'static str| move |error: io::Error| io::Error::new(error.kind(), format!("{name}: {error}"));
    let errno = |name: &'static str| move |error: rustix::io::Errno| step(name)(error.into());
    rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL)).map_err(errno("prctl"))?;
    if let Some(directory) = directory {
        rustix::process::fchdir(directory.as_fd()).map_err(errno("chdir"))?;
        rustix::process::chroot(".").map_err(errno("chroot"))?;
    }
    for (resource, most) in [
        (Resource::Core, 0),
        (Resource::Cpu, limits.cpu_seconds),
        (Resource::As, MEMORY_BYTES_MAX),
        (Resource::Nofile, DESCRIPTORS_MAX),
    ] {
        let limit = Rlimit {
            current: Some(most),
            maximum: Some(most),
        };
        setrlimit(resource, limit).map_err(errno("setrlimit"))?;
    }
    rustix::process::umask(rustix::fs::Mode::empty());
    if rustix::process::geteuid().is_root() {
        let kept = if directory.is_some() {
            CAPABILITIES
        } else {
            CapabilitySet::empty()
        };
        let none = CapabilitySet::empty();
        let sets = CapabilitySets {
            effective: kept,
            permitted: kept,
            inheritable: none,
        };
        set_capabilities(None, sets).map_err(errno("capset"))?;
    }
    rustix::thread::set_no_new_privs(true).map_err(errno("no_new_privs"))?;
    seccomp::install(&program()).map_err(step("seccomp"))
}

/// Another architecture and every call that is not listed end the process; linux/seccomp.h has the offsets.
fn program() -> Vec<sock_filter> {
    let statement = |code: u32, k: u32, jt: usize, jf: usize| sock_filter {
        code: code as u16,
        jt: jt as u8,
        jf: jf as u8,
        k,
    };
    let (load, equal, answer) = (BPF_LD | BPF_W | BPF_ABS, BPF_JMP | BPF_JEQ | BPF_K, BPF_RET | BPF_K);
    let mut program = vec![
        statement(load, 4, 0, 0),
        statement(equal, ARCHITECTURE, 1, 0),
        statement(answer, libc::SECCOMP_RET_KILL_PROCESS, 0, 0),
        statement(load, 0, 0, 0),
    ];
    // Each jumps over those that follow and over the refusal.
    let jumps = CALLS
        .iter()
        .enumerate()
        .map(|(nth, call)| statement(equal, *call as u32, CALLS.len() - nth, 0));
    program.extend(jumps);
    program.push(statement(answer, libc::SECCOMP_RET_KILL_PROCESS, 0, 0));
    program.push(statement(answer, libc::SECCOMP_RET_ALLOW, 0, 0));
    program
}
