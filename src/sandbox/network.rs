//! A network namespace with links, or one that is there already.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use nix::sched::{CloneFlags, setns, unshare};
use rustix::fs::{Mode, OFlags, fstatfs};

use super::Context;
use super::join::NEWNET;
use super::report::StepFailed;
use super::user_namespace::Users;
use crate::unit::Network;

/// linux/magic.h, NSFS_MAGIC.
const NAMESPACES: i64 = 0x6e73_6673;

/// Makes the links of a service's network: half of that is done on the machine's side.
pub trait Connector {
    /// Called in the machine's network, in a child. `enter` takes the caller into the service's, which is new, and gives
    /// it.
    ///
    /// # Errors
    /// The step that failed.
    fn connect(&self, enter: &mut dyn FnMut() -> Result<OwnedFd, StepFailed>) -> Result<(), StepFailed>;
}

/// What a child does about its network namespace.
pub enum NetworkStep<'a> {
    /// Makes one with links, before it is root in its user namespace.
    Links(Option<&'a dyn Connector>),
    /// Enters one by its path on the machine.
    Path(PathBuf),
    /// In one that has nothing else.
    LoopbackUp,
}

impl<'a> NetworkStep<'a> {
    /// Into it, where the clone does not do that.
    pub fn enter(context: &Context<'a>) -> Option<Self> {
        match &context.sandbox.network {
            Network::Bridge | Network::On(_) => Some(Self::Links(context.links)),
            Network::Path(path) => Some(Self::Path(path.clone())),
            Network::Host | Network::None | Network::Join(_) => None,
        }
    }

    /// Once it is root in its user namespace.
    pub fn finish(context: &Context<'a>) -> Option<Self> {
        (context.sandbox.network == Network::None).then_some(Self::LoopbackUp)
    }

    /// Does it; `users` is the user namespace that was made.
    pub fn perform(&self, users: Option<&Users>) -> Result<(), StepFailed> {
        match self {
            Self::Links(links) => make(*links, users),
            Self::Path(path) => enter(path),
            Self::LoopbackUp => crate::sys::loopback::bring_up()
                .map_err(|error| StepFailed::new("loopback", error.raw_os_error().unwrap_or(0))),
        }
    }
}

/// CLONE_NEWNET where [`NetworkStep::enter`] does what it would.
pub(super) fn by_step(network: &Network) -> u64 {
    match network {
        Network::Bridge | Network::On(_) | Network::Path(_) => NEWNET,
        Network::Host | Network::None | Network::Join(_) => 0,
    }
}

/// Makes the namespace, which is the user namespace's where there is one, and its links.
fn make(links: Option<&dyn Connector>, users: Option<&Users>) -> Result<(), StepFailed> {
    let links = links.ok_or_else(|| StepFailed::new("network", libc::EINVAL))?;
    links.connect(&mut || enter_new(users))
}

fn enter_new(users: Option<&Users>) -> Result<OwnedFd, StepFailed> {
    let failed = |errno: i32| StepFailed::new("network namespace", errno);
    let io = |error: std::io::Error| failed(error.raw_os_error().unwrap_or(0));
    match users.and_then(Users::network) {
        Some(made) => {
            setns(made, CloneFlags::CLONE_NEWNET).map_err(|errno| failed(errno as i32))?;
            made.try_clone().map_err(io)
        }
        None => {
            unshare(CloneFlags::CLONE_NEWNET).map_err(|errno| failed(errno as i32))?;
            File::open("/proc/thread-self/ns/net").map(OwnedFd::from).map_err(io)
        }
    }
}

/// Enters one by its path, which may be mounted there by ip-netns(8).
fn enter(path: &Path) -> Result<(), StepFailed> {
    let failed = |errno: i32| StepFailed::new(format!("network {}", path.display()), errno);
    let of = |error: rustix::io::Errno| failed(error.raw_os_error());
    let found =
        rustix::fs::open(path, OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC, Mode::empty()).map_err(of)?;
    if fstatfs(&found).map_err(of)?.f_type as i64 != NAMESPACES {
        return Err(failed(libc::EINVAL).because("it is no namespace".to_owned()));
    }
    setns(found, CloneFlags::CLONE_NEWNET).map_err(|errno| failed(errno as i32))
}
