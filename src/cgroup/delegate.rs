//! `delegate`: the groups of a unit that its service manages itself. The directory becomes its user's, and the files that
//! place processes and hand controllers down; those that hold limits stay svcd's. systemd.resource-control(5),
//! `Delegate=`; cgroup-v2 in the kernel's documentation, "Delegation".

use std::ffi::{CStr, OsString};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

use rustix::fs::OFlags;

use super::Tree;
use super::dir::Dir;
use super::hierarchy::Hierarchy;
use super::layout::Version;
use super::limits::Failure;

pub const KEY: &str = "delegate";

/// On v2 a group that hands controllers down may hold no process. The service sees to that for its own; whatever else
/// svcd starts for it is in this group below, as in systemd.
const LEAF: &CStr = c".control";

/// What becomes the user's besides the directory.
const GIVEN_ON_V2: &[&CStr] = &[c"cgroup.procs", c"cgroup.threads", c"cgroup.subtree_control"];
const GIVEN_ON_V1: &[&CStr] = &[c"cgroup.procs", c"tasks"];

/// Controllers of v1 whose limits hold for all groups below. Of blkio, net_cls and net_prio a group below would be free,
/// so that those are not given.
const HIERARCHICAL: [&str; 11] = [
    "cpu",
    "cpuacct",
    "cpuset",
    "devices",
    "freezer",
    "hugetlb",
    "memory",
    "misc",
    "perf_event",
    "pids",
    "rdma",
];

/// What of one hierarchy is the service's.
#[derive(Debug)]
pub struct Delegated {
    /// Where the hierarchy is mounted.
    pub mount: PathBuf,
    /// The unit's group, there.
    pub path: PathBuf,
    /// The same, open.
    dir: Dir,
    /// Files in it that become the user's.
    pub given: &'static [&'static CStr],
    /// Files in it that stay svcd's.
    pub kept: Vec<OsString>,
    leaf: Option<Leaf>,
}

/// The group of a command that is not the main one, on v2.
#[derive(Debug)]
struct Leaf {
    dir: Dir,
    procs: OwnedFd,
}

impl Delegated {
    /// The group `dir`, which is `below` the base. None: the hierarchy is none to be given away.
    pub fn of(hierarchy: &Hierarchy, below: &CStr, dir: &Dir) -> io::Result<Option<Self>> {
        if !may_be_given(hierarchy) {
            return Ok(None);
        }
        let (given, leaf) = match hierarchy.version {
            Version::V1 => (GIVEN_ON_V1, None),
            Version::V2 => (GIVEN_ON_V2, Some(Leaf::make(dir)?)),
        };
        let mut kept = dir.files()?;
        kept.retain(|name| !given.contains(&name.as_c_str()));
        Ok(Some(Self {
            mount: hierarchy.mount.clone(),
            path: hierarchy.path_below(below),
            dir: dir.sub(c".")?,
            given,
            kept: kept
                .into_iter()
                .map(|name| OsString::from_vec(name.into_bytes()))
                .collect(),
            leaf,
        }))
    }

    /// Lets those go on whom the service has frozen. Where there is no freezer of v1 there is nothing to do: v2 kills whoever
    /// is frozen.
    pub(super) fn thaw(&self) {
        let _ = self.dir.walk(|group| group.write("freezer.state", "THAWED"));
    }

    /// Where a command that is not the main one is cloned into, on v2.
    pub(super) fn leaf(&self) -> Option<BorrowedFd<'_>> {
        self.leaf.as_ref().map(|leaf| leaf.dir.as_fd())
    }

    /// The file to which a process writes `0` to go there.
    pub(super) fn leaf_procs(&self) -> Option<BorrowedFd<'_>> {
        self.leaf.as_ref().map(|leaf| leaf.procs.as_fd())
    }
}

impl AsFd for Delegated {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.dir.as_fd()
    }
}

impl Leaf {
    fn make(dir: &Dir) -> io::Result<Self> {
        let dir = dir.make_and_open(LEAF)?;
        let procs = dir.file("cgroup.procs", OFlags::WRONLY)?;
        Ok(Self { dir, procs })
    }
}

/// Why no service can manage groups of its own here.
pub fn refused(tree: &Tree) -> Option<Failure> {
    if tree.hierarchies.iter().any(|hierarchy| may_be_given(hierarchy)) {
        return None;
    }
    let none = || Failure::told("no mounted cgroup hierarchy has the controllers that can be delegated");
    Some(tree.closed.first().map_or_else(none, |(_, why)| why.clone()))
}

/// Whether what holds for the unit's group holds for all groups below.
pub fn may_be_given(hierarchy: &Hierarchy) -> bool {
    // Kernels before 5.11 count the memory of a group apart from that of groups below, unless they are told.
    let is_apart = || matches!(hierarchy.home.number("memory.use_hierarchy"), Ok(Some(0)));
    match hierarchy.version {
        Version::V1 => hierarchy.controllers.iter().all(|name| HIERARCHICAL.contains(&&**name)) && !is_apart(),
        Version::V2 => true,
    }
}
