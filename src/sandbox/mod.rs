//! What a child does to itself between clone and exec: namespaces, mounts, descriptors, identity, program.
//!
//! [`setup`] turns a service into an order of [`setup::Step`]s before the clone; [`child`] performs them and reports the
//! one that failed. A service with namespaces has a *holder*: the reaper, which is PID 1 of its pid namespace and keeps
//! the others; each command is cloned into those. Knows no unit states and no cgroups but descriptors to join.

mod ahead;
mod attached;
mod beside;
mod capabilities;
mod child;
mod clocks;
mod connect;
mod decide;
mod directories;
mod elsewhere;
mod environment;
mod execution;
mod groups;
mod identity;
mod job;
mod join;
mod landlock;
mod network;
mod privileged;
pub mod probe;
mod promise;
mod regular;
mod report;
mod scheduling;
mod seccomp;
mod setup;
mod sockets;
mod streams;
mod terminal;
#[cfg(test)]
mod tests;
mod user_namespace;
mod view;

use std::ffi::OsString;
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;

use rustix::fs::{MemfdFlags, SealFlags};

pub use ahead::NetworkMaker;
pub use attached::Attached;
pub use beside::{Beside, start_beside};
pub use child::{Child, start};
pub use connect::probe;
pub use decide::{Sandbox, Sandboxes};
pub use directories::{Roots, remove as remove_directories};
pub use groups::OwnGroup;
pub use job::{start_job, start_job_with};
pub use join::{Join, Joined};
pub use network::Connector;
pub use probe::Kernel;
pub use promise::{Promise, Promised};
pub use report::{EXIT_CODES, StepFailed, exit_code, read_report};
pub use setup::{Setup, command, holder};
pub use sockets::{Opened, Opening, remove_sockets};

use crate::unit::{Account, Service, Unit};

/// What the supervisor has at hand for a child.
pub struct Context<'a> {
    /// Whose child.
    pub unit: &'a Unit,
    /// Its service.
    pub service: &'a Service,
    /// What this kernel, and our privileges, allow.
    pub kernel: &'a Kernel,
    /// What of its isolation it gets.
    pub sandbox: &'a Sandbox,
    /// The user, and group, that is there while it runs.
    pub dynamic_user: Option<u32>,
    /// The first of the ids that are its own, where [`Sandbox::needs_range`].
    pub user_range: Option<u32>,
    /// What it shares with other units, for whoever makes its namespaces: see [`Sandbox::joins`].
    pub joined: Vec<Joined<'a>>,
    /// A new network namespace for whoever makes its namespaces, where [`Sandbox::may_have_network_ahead`]; None: it makes
    /// its own.
    pub network: Option<BorrowedFd<'a>>,
    /// What makes its links, where it has some: see [`crate::unit::Network::has_links`].
    pub links: Option<&'a dyn Connector>,
    /// Files of svcd's that it sees in the place of others: names that it knows.
    pub names: Vec<(PathBuf, &'static str)>,
    /// v1 `tasks` files, open for writing: the child joins by writing `0` to each.
    pub join_files: &'a [BorrowedFd<'a>],
    /// They are still to be made, for one that makes its namespaces.
    pub promised: Option<Promised<'a>>,
    /// The groups that it manages itself.
    pub own_groups: Vec<OwnGroup<'a>>,
    /// `cgroup.procs` of the group that its holder moves to once the cgroup namespace is made: `0` is written to it.
    pub step_beside: Option<BorrowedFd<'a>>,
    /// It is on the way up: what comes after that has no terminal to read from; systemd.exec(5), `StandardInput=`.
    pub reads_input: bool,
    /// The directory of the socket on which it says what it has to say.
    pub notify: Option<PathBuf>,
    /// The write end of the unit's log pipe.
    pub output: Option<BorrowedFd<'a>>,
    /// Its descriptors from 3 on, each with its name; sd_listen_fds(3).
    pub descriptors: Vec<(BorrowedFd<'a>, Box<str>)>,
    /// Its streams are a caller's, whatever the unit says.
    pub attached: Option<Attached<'a>>,
    /// The reaper's program.
    pub reaper: BorrowedFd<'a>,
    /// What svcd says in the environment of this command.
    pub environment: Vec<(String, String)>,
    /// The soft and hard limit of descriptors for a service that sets none; svcd's own is higher.
    pub nofile: Option<(u64, u64)>,
    /// Where its directories are.
    pub roots: &'a Roots,
    /// svcd's own environment, for `pass-environment`.
    pub inherited: &'a [(OsString, OsString)],
}

impl Context<'_> {
    /// Who it runs as.
    fn accounts(&self) -> (Option<Account>, Option<Account>) {
        let id = self.dynamic_user.map(Account::Id);
        let user = id.clone().or_else(|| self.service.user.clone());
        (user, id.or_else(|| self.service.group.clone()))
    }
}

/// The reaper's program in a sealed memfd: nobody can change it, whatever runs in a service (CVE-2019-5736).
///
/// # Errors
/// As memfd_create(2) and fcntl(2).
pub fn reaper_program() -> io::Result<OwnedFd> {
    const PROGRAM: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/reaper"));
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    // Kernels from 6.3 on want to be told that it is to be executed; older ones do not know the flag.
    let memfd = match rustix::fs::memfd_create("svc-reaper", flags | MemfdFlags::EXEC) {
        Err(rustix::io::Errno::INVAL) => rustix::fs::memfd_create("svc-reaper", flags)?,
        other => other?,
    };
    let mut file = std::fs::File::from(memfd);
    file.write_all(PROGRAM)?;
    let seals = SealFlags::WRITE | SealFlags::GROW | SealFlags::SHRINK | SealFlags::SEAL;
    rustix::fs::fcntl_add_seals(file.as_fd(), seals)?;
    Ok(file.into())
}
