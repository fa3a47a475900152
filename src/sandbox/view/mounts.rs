//! One change after another of what is mounted where, in the child.

use std::collections::VecDeque;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::mount::{MountPropagationFlags, mount_change};

use super::credentials::{Credentials, Secrets};
use super::root::Root;
use super::{devices, inner, place};
use crate::sandbox::report::StepFailed;
use crate::sandbox::user_namespace::Users;
use crate::unit::{InnerMount, ProtectProc};

/// One change of what is mounted where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mount {
    /// This is the root from now on.
    Root(Root),
    /// A directory of the machine's, with all that is mounted below, in the same place.
    OfMachine(&'static str),
    /// A fresh /proc, for the pid namespace that this is.
    Proc(ProtectProc),
    /// A tmpfs for everyone, such as /tmp; skipped where the directory is not there.
    Scratch(&'static str),
    /// An empty tmpfs, likewise.
    Empty(&'static str),
    /// /dev with what every program may have.
    Devices {
        /// Otherwise the machine's own are put there: in a user namespace none can be made.
        make_nodes: bool,
        /// And these nodes of the machine's.
        listed: Vec<PathBuf>,
    },
    /// The group of the machine's that the service manages, in the place of the second path.
    OwnGroup(PathBuf, PathBuf),
    /// What the unit itself asks for.
    Inner(InnerMount),
    /// Its secrets.
    Credentials(Credentials),
}

/// What of the machine is shown elsewhere: looked up before anything changes.
#[derive(Default)]
struct OfMachine<'a> {
    /// Whose ids the service has.
    users: Option<&'a Users>,
    /// For each `[[mount]]`, in their order.
    inner: VecDeque<OwnedFd>,
    nodes: Vec<(PathBuf, OwnedFd)>,
    secrets: Secrets,
    /// For each [`Mount::OfMachine`], in their order.
    kernel: VecDeque<OwnedFd>,
}

/// Makes all of it, where nobody outside sees it.
pub fn make(mounts: &[Mount], users: Option<&Users>) -> Result<(), StepFailed> {
    aside().map_err(of("mount / private"))?;
    let mut held = OfMachine {
        users,
        ..OfMachine::default()
    };
    for mount in mounts {
        match mount {
            Mount::Inner(inner) => held.inner.push_back(inner::tree(inner)?),
            Mount::Credentials(credentials) => held.secrets = credentials.read()?,
            Mount::Devices { make_nodes, listed } => {
                held.nodes = devices::of_machine(*make_nodes, listed).map_err(of("mount /dev"))?;
            }
            Mount::OfMachine(path) => {
                let tree = place::open(Path::new(path)).and_then(place::copy);
                held.kernel.push_back(tree.map_err(of(&format!("mount {path}")))?);
            }
            Mount::Root(_) | Mount::Proc(_) | Mount::Scratch(_) | Mount::Empty(_) | Mount::OwnGroup(..) => {}
        }
    }
    mounts.iter().try_for_each(|mount| mount.perform(&mut held))
}

impl Mount {
    fn perform(&self, held: &mut OfMachine<'_>) -> Result<(), StepFailed> {
        match self {
            Self::Root(root) => root.enter(held.users),
            Self::Proc(ProtectProc::Default) => proc(None).map_err(proc_failed("mount /proc")),
            Self::Proc(hidden) => proc(Some(*hidden)).map_err(proc_failed("protect-proc")),
            Self::Scratch(path) => tmpfs(path, "mode=1777", held.users).map_err(of(&format!("mount {path}"))),
            Self::Empty(path) => tmpfs(path, "mode=0755", held.users).map_err(of(&format!("mount {path}"))),
            Self::Devices { make_nodes, .. } => {
                devices::make(*make_nodes, std::mem::take(&mut held.nodes)).map_err(of("mount /dev"))
            }
            Self::OfMachine(path) => match held.kernel.pop_front() {
                Some(tree) => lay(tree, Path::new(path)).map_err(of(&format!("mount {path}"))),
                None => Ok(()),
            },
            Self::OwnGroup(group, at) => {
                let tree = place::open(group).and_then(place::copy);
                tree.and_then(|tree| lay(tree, at))
                    .map_err(of(&format!("delegate {}", group.display())))
            }
            Self::Inner(inner) => match held.inner.pop_front() {
                Some(tree) => inner::attach(tree, &inner.target),
                None => Ok(()),
            },
            Self::Credentials(credentials) => credentials.lay(&held.secrets, held.users),
        }
    }
}

fn of(what: &str) -> impl Fn(io::Error) -> StepFailed + use<> {
    let what = what.to_owned();
    move |error| StepFailed::new(what.clone(), error.raw_os_error().unwrap_or(0))
}

/// In a user namespace the kernel gives nobody a /proc that shows more than the one that is there (mount_too_revealing of
/// fs/namespace.c): so in a container whose runtime hides parts of it there is no pid namespace with a /proc of its own.
fn proc_failed(what: &str) -> impl Fn(io::Error) -> StepFailed + use<> {
    let failed = of(what);
    move |error| match error.raw_os_error() {
        Some(libc::EPERM) => StepFailed::unenforceable(
            "pid",
            libc::EPERM,
            "no /proc of its own can be mounted: parts of the one here are hidden, and svcd runs in a user namespace"
                .into(),
        ),
        _ => failed(error),
    }
}

fn lay(tree: OwnedFd, at: &Path) -> io::Result<()> {
    place::attach(tree, place::ordinary_directory(at)?)
}

/// Whatever is mounted here from now on is not seen outside; mount_namespaces(7).
fn aside() -> io::Result<()> {
    let flags = MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC;
    Ok(mount_change("/", flags)?)
}

/// A fresh /proc for the pid namespace that this is; proc(5).
fn proc(hidden: Option<ProtectProc>) -> io::Result<()> {
    let hidden = hidden.map(|hidden| format!("hidepid={}", hidden.word()));
    let mut options = vec!["nosuid", "nodev", "noexec"];
    options.extend(hidden.as_deref());
    let mount = place::new_mount("proc", &options)?;
    lay(mount, Path::new("/proc"))
}

/// A tmpfs in place of a directory, owned by the service's root; skipped where that is not there.
fn tmpfs(path: &str, mode: &str, users: Option<&Users>) -> io::Result<()> {
    let Some(at) = place::open_optional(Path::new(path))? else {
        return Ok(());
    };
    let root = users.and_then(|users| users.outside(0).ok()).unwrap_or(0);
    let owner = format!("uid={root},gid={root}");
    place::attach(place::new_mount("tmpfs", &[mode, &owner, "nosuid", "nodev"])?, at)
}
