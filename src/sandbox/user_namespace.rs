//! A user namespace of a service's own: made before anything is mounted for the service, since its root is shown with the
//! ids in it, and entered after that. What is mounted is so done by the machine's root, and nobody inside can undo it.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use nix::sched::{CloneFlags, setns, unshare};
use rustix::fs::fstatfs;
use rustix::io::Errno;
use rustix::process::{Gid, Uid};
use rustix::thread::CapabilitySets;

use super::Context;
use super::join::NEWNET;
use super::report::StepFailed;
use crate::sys::mount::map_ids;
use crate::sys::userns;
use crate::unit::namespaces::{AUTO_COUNT, IdMap, UserNamespace};

impl Context<'_> {
    /// The ids of its user namespace; None: it has none of its own.
    pub(super) fn user_map(&self) -> Option<IdMap> {
        let map = match self.sandbox.isolation.user.as_ref()? {
            // With no range chosen there are no ids, and so there is no start.
            UserNamespace::Auto => self
                .user_range
                .map_or_else(IdMap::default, |first| IdMap::of_range(first, AUTO_COUNT)),
            UserNamespace::Identity => self.kernel.ids.identity(),
            UserNamespace::Map(map) => map.clone(),
        };
        Some(map)
    }

    /// The id of the machine that root is in its own root, where that is shown with other ids: no file can be made there by
    /// anyone who is nobody inside.
    pub(super) fn maker(&self) -> Option<u32> {
        let map = self.user_map().filter(|map| *map != map.identity())?;
        self.service.root.as_ref().and_then(|_| map.outside(0))
    }
}

/// What a child does about its user namespace.
pub enum UserStep<'a> {
    /// Makes one with these ids, for later: before anything is mounted. With a network namespace that is its own, or without.
    Make(IdMap, bool),
    /// Makes files as this user and group of the machine, until it becomes another.
    MakeFilesAs(u32),
    /// Becomes root in it, and enters new namespaces (CLONE_NEW…) that are its own. What takes power over the machine is
    /// done by then.
    Enter(u64),
    /// Becomes root in the user namespace of the holder, which has these ids.
    EnterOf(BorrowedFd<'a>, IdMap),
}

impl UserStep<'_> {
    /// Where it is to have one.
    pub fn make(context: &Context<'_>) -> Option<Self> {
        let with_network = context.sandbox.network.has_links();
        Some(Self::Make(context.user_map()?, with_network))
    }

    /// Does it; `users` is the one that was made.
    pub fn perform(&self, users: &mut Option<Users>) -> Result<(), StepFailed> {
        match self {
            Self::Make(map, with_network) => Users::make(map, *with_network).map(|made| *users = Some(made)),
            Self::MakeFilesAs(id) => make_files_as(*id),
            Self::Enter(own) => match users {
                Some(users) => users.enter(*own),
                None => Err(StepFailed::new("user", libc::EINVAL)),
            },
            Self::EnterOf(holder, map) => enter(*holder, map),
        }
    }
}

/// With all that root may do to files; setfsuid(2) takes that away from whoever is root no more. Where it fails, so does
/// the making of files.
fn make_files_as(id: u32) -> Result<(), StepFailed> {
    let failed = |error: Errno| StepFailed::new("user", error.raw_os_error());
    userns::make_files_as(id);
    let sets = rustix::thread::capabilities(None).map_err(failed)?;
    let sets = CapabilitySets {
        effective: sets.permitted,
        ..sets
    };
    rustix::thread::set_capabilities(None, sets).map_err(failed)
}

/// One that is there, and nobody is in yet.
pub struct Users {
    namespace: OwnedFd,
    network: Option<OwnedFd>,
    map: IdMap,
    /// Files have the same ids inside and outside.
    same: bool,
}

impl Users {
    fn make(map: &IdMap, with_network: bool) -> Result<Self, StepFailed> {
        let kinds = if with_network { NEWNET } else { 0 };
        let made = match map.first() {
            Some(_) => userns::create_with(&map.lines(), kinds),
            None => Err(Errno::INVAL.into()),
        };
        let (namespace, network) = made.map_err(|error| StepFailed::new("user", error.raw_os_error().unwrap_or(0)))?;
        Ok(Self {
            namespace,
            network,
            same: *map == map.identity(),
            map: map.clone(),
        })
    }

    /// Shows a tree that is mounted nowhere with the ids that its files have, as ids inside.
    pub fn show(&self, tree: &OwnedFd, path: &Path) -> Result<(), StepFailed> {
        if self.same {
            return Ok(());
        }
        map_ids(tree, &self.namespace).map_err(|error| {
            let errno = error.raw_os_error().unwrap_or(libc::EINVAL);
            let what = format!(
                "{} cannot be shown with other ids: {}",
                path.display(),
                file_system(tree)
            );
            StepFailed::unenforceable("user", errno, what)
        })
    }

    /// The network namespace that was made with it.
    pub fn network(&self) -> Option<&OwnedFd> {
        self.network.as_ref()
    }

    /// Makes files as root inside from now on, where they are shown with other ids.
    pub fn make_files(&self) -> Result<(), StepFailed> {
        let root = self.map.outside(0).filter(|_| !self.same);
        root.map_or(Ok(()), make_files_as)
    }

    /// The id of the machine that one inside is.
    pub fn outside(&self, inside: u32) -> Result<u32, StepFailed> {
        let none = || {
            StepFailed::new(format!("user {inside}"), libc::EINVAL)
                .because("its user namespace has no such id".to_owned())
        };
        self.map.outside(inside).ok_or_else(none)
    }

    fn enter(&self, own: u64) -> Result<(), StepFailed> {
        enter(self.namespace.as_fd(), &self.map)?;
        let flags = CloneFlags::from_bits_retain(own as i32);
        match flags.is_empty() {
            true => Ok(()),
            false => unshare(flags).map_err(|errno| StepFailed::new("namespaces", errno as i32)),
        }
    }
}

/// User and group as the machine has them.
pub fn outside(users: Option<&Users>, (uid, gid): (u32, u32)) -> Result<(u32, u32), StepFailed> {
    match users {
        Some(users) => Ok((users.outside(uid)?, users.outside(gid)?)),
        None => Ok((uid, gid)),
    }
}

/// Becomes root in a user namespace, given by itself or by a process that is in it.
///
/// Who enters has every capability in it, and still is the machine's root to all files: so it becomes the first of those
/// inside, which has none outside. Groups of the machine are left behind.
fn enter(namespace: BorrowedFd<'_>, map: &IdMap) -> Result<(), StepFailed> {
    let failed = |errno: i32| StepFailed::new("user", errno);
    setns(namespace, CloneFlags::CLONE_NEWUSER).map_err(|errno| failed(errno as i32))?;
    match rustix::thread::set_thread_groups(&[]) {
        // It may be denied within svcd's own user namespace, and then there are none to drop that count.
        Ok(()) | Err(Errno::PERM) => {}
        Err(error) => return Err(failed(error.raw_os_error())),
    }
    let first = map.first().ok_or_else(|| failed(libc::EINVAL))?;
    let (uid, gid) = (Uid::from_raw(first), Gid::from_raw(first));
    rustix::thread::set_thread_res_gid(gid, gid, gid)
        .and_then(|()| rustix::thread::set_thread_res_uid(uid, uid, uid))
        .map_err(|error| failed(error.raw_os_error()))
}

/// What is known of why a file system cannot be shown with other ids; mount_setattr(2), "ID-mapped mounts".
fn file_system(of: &OwnedFd) -> String {
    const SINCE: [(i128, &str); 3] = [
        (0x0102_1994, "tmpfs takes Linux 6.3"),
        (0x794c_7630, "overlay cannot"),
        (0x8584_58f6, "ramfs, an initramfs, cannot"),
    ];
    let kind = fstatfs(of).map_or(0, |found| i128::from(found.f_type));
    let known = SINCE.iter().find(|(magic, _)| *magic == kind);
    known.map_or_else(
        || format!("its file system (magic {kind:#x}), or one mounted below, cannot be idmapped"),
        |(_, why)| (*why).to_owned(),
    )
}
