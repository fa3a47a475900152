//! A network namespace with links, or one that is there already.

use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use nix::sched::{CloneFlags, setns, unshare};
use rustix::fs::{Mode, OFlags, fstatfs};

use super::ahead::OWN;
use super::join::NEWNET;
use super::report::StepFailed;
use super::user_namespace::Users;
use super::{Context, Sandbox};
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

impl Sandbox {
    /// Its network namespace is a new one, which may be made before it is needed: none that is its user namespace's.
    pub fn may_have_network_ahead(&self) -> bool {
        let is_new = match self.network {
            Network::None | Network::Bridge | Network::On(_) => true,
            Network::Host | Network::Join(_) | Network::Path(_) => false,
        };
        is_new && self.isolation.user.is_none()
    }
}

/// What a child does about its network namespace.
pub enum NetworkStep<'a> {
    /// Makes one with links, before it is root in its user namespace; or takes one that was made ahead.
    Links(Option<&'a dyn Connector>, Option<BorrowedFd<'a>>),
    /// Enters one that was made ahead.
    Ahead(BorrowedFd<'a>),
    /// Enters one by its path on the machine.
    Path(PathBuf),
    /// In one that has nothing else.
    LoopbackUp,
}

impl<'a> NetworkStep<'a> {
    /// Into it, where the clone does not do that.
    pub fn enter(context: &Context<'a>) -> Option<Self> {
        match &context.sandbox.network {
            Network::Bridge | Network::On(_) => Some(Self::Links(context.links, context.network)),
            Network::Path(path) => Some(Self::Path(path.clone())),
            Network::None => context.network.map(Self::Ahead),
            Network::Host | Network::Join(_) => None,
        }
    }

    /// Once it is root in its user namespace.
    pub fn finish(context: &Context<'a>) -> Option<Self> {
        (context.sandbox.network == Network::None && context.network.is_none()).then_some(Self::LoopbackUp)
    }

    /// Does it; `users` is the user namespace that was made.
    pub fn perform(&self, users: Option<&Users>) -> Result<(), StepFailed> {
        match self {
            Self::Links(links, ahead) => make(*links, *ahead, users),
            Self::Ahead(made) => enter_made(*made).map(drop),
            Self::Path(path) => enter(path),
            Self::LoopbackUp => crate::sys::loopback::bring_up()
                .map_err(|error| StepFailed::new("loopback", error.raw_os_error().unwrap_or(0))),
        }
    }
}

/// CLONE_NEWNET where [`NetworkStep::enter`] does what it would.
pub(super) fn by_step(context: &Context<'_>) -> u64 {
    match context.sandbox.network {
        Network::None if context.network.is_some() => NEWNET,
        Network::Bridge | Network::On(_) | Network::Path(_) => NEWNET,
        Network::Host | Network::None | Network::Join(_) => 0,
    }
}

/// Makes the namespace, which is the user namespace's where there is one, and its links.
fn make(links: Option<&dyn Connector>, ahead: Option<BorrowedFd<'_>>, users: Option<&Users>) -> Result<(), StepFailed> {
    let links = links.ok_or_else(|| StepFailed::new("network", libc::EINVAL))?;
    links.connect(
        &mut || match users.and_then(Users::network).map(AsFd::as_fd).or(ahead) {
            Some(made) => enter_made(made),
            None => enter_new(),
        },
    )
}

fn enter_made(made: BorrowedFd<'_>) -> Result<OwnedFd, StepFailed> {
    setns(made, CloneFlags::CLONE_NEWNET).map_err(|errno| namespace(errno as i32))?;
    made.try_clone_to_owned()
        .map_err(|error| namespace(error.raw_os_error().unwrap_or(0)))
}

fn enter_new() -> Result<OwnedFd, StepFailed> {
    unshare(CloneFlags::CLONE_NEWNET).map_err(|errno| namespace(errno as i32))?;
    let own = File::open(OWN).map_err(|error| namespace(error.raw_os_error().unwrap_or(0)))?;
    Ok(own.into())
}

fn namespace(errno: i32) -> StepFailed {
    StepFailed::new("network namespace", errno)
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
