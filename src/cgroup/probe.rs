//! What this machine lets us limit: for `svc doctor`, and for `svc check` before anything starts.

use super::Tree;
use super::delegate;
use super::hierarchy::Hierarchy;
use super::layout::Version;
use super::limits;
use super::programs::Programs;
use crate::unit::{Resources, Unenforceable};

/// Where one controller's limits would be held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backend {
    /// By its name on v2; those that v2 has none for by that of v1: `memory`, `devices`.
    pub controller: Box<str>,
    /// Or why there is none.
    pub place: Result<Place, Box<str>>,
}

/// What holds limits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// By which means.
    pub means: Means,
    /// The group that ours are made in.
    pub home: Box<str>,
}

/// By which means the kernel holds limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Means {
    /// Files of cgroup v1.
    V1,
    /// Files of cgroup v2.
    V2,
    /// A BPF program at a group of cgroup v2.
    Program,
}

/// What there may be limits of, with those first that are used most. cpuacct, freezer and perf_event limit nothing.
const CONTROLLERS: [&str; 14] = [
    "cpu",
    "cpuset",
    "memory",
    "pids",
    "io",
    "devices",
    "hugetlb",
    "rdma",
    "misc",
    "net_cls",
    "net_prio",
    "freezer",
    "cpuacct",
    "perf_event",
];

/// The files, or what else, that hold what a controller is for.
pub fn enforced_by(controller: &str, means: Means) -> &'static str {
    match (controller, means) {
        ("cpu", Means::V1) => "cpu.cfs_quota_us, cpu.shares",
        ("cpu", _) => "cpu.max, cpu.weight",
        ("cpuset", _) => "cpuset.cpus, cpuset.mems",
        ("memory", Means::V1) => "memory.limit_in_bytes, memory.memsw.limit_in_bytes",
        ("memory", _) => "memory.min, .low, .high, .max, .swap.max, .oom.group",
        ("pids", _) => "pids.max",
        ("io", Means::V1) => "blkio.throttle.*, blkio.bfq.weight",
        ("io", _) => "io.max, io.weight",
        ("devices", Means::V1) => "devices.allow, devices.deny",
        ("devices", _) => "BPF_PROG_TYPE_CGROUP_DEVICE",
        ("hugetlb", Means::V1) => "hugetlb.SIZE.limit_in_bytes",
        ("hugetlb", _) => "hugetlb.SIZE.max",
        ("rdma", _) => "rdma.max",
        ("misc", _) => "misc.max",
        ("net_cls", Means::V1) => "net_cls.classid",
        ("net_prio", Means::V1) => "net_prio.ifpriomap",
        ("net_cls" | "net_prio", _) => "BPF_PROG_TYPE_CGROUP_SKB at egress, the packets' priority",
        ("freezer", Means::V1) => "freezer.state",
        ("freezer", _) => "cgroup.freeze, cgroup.kill",
        ("cpuacct", Means::V1) => "cpuacct.usage",
        ("cpuacct", _) => "cpu.stat",
        ("perf_event", _) => "perf_event_open(2), PERF_FLAG_PID_CGROUP",
        (_, _) => "the kernel",
    }
}

/// Looks at this machine as svcd would find it; makes nothing.
pub fn look() -> Vec<Backend> {
    Tree::open("svc").backends()
}

/// Of each of these, what this machine could not hold; see [`Tree::check`].
pub fn check<'a>(all: impl IntoIterator<Item = &'a Resources>) -> Vec<Vec<Unenforceable>> {
    let tree = Tree::open("svc");
    all.into_iter().map(|resources| tree.check(resources)).collect()
}

impl Tree {
    /// All controllers that are used, and where each is.
    pub fn backends(&self) -> Vec<Backend> {
        let place = |name: &str| Backend {
            controller: name.into(),
            place: self.place_of(name),
        };
        CONTROLLERS.into_iter().map(place).collect()
    }

    fn place_of(&self, controller: &str) -> Result<Place, Box<str>> {
        let place = |means, hierarchy: &Hierarchy| Place {
            means,
            home: hierarchy.home_path.display().to_string().into(),
        };
        // v2 does in each group what these are for, under no name; perf_event only where v1 has not taken it away.
        let unnamed = match controller {
            "freezer" | "cpuacct" => true,
            "perf_event" => self.backend(controller).is_err(),
            _ => false,
        };
        let v2 = self.hierarchies.iter().find(|h| h.version == Version::V2);
        if let Some(v2) = v2.filter(|_| unnamed) {
            return Ok(place(Means::V2, v2));
        }
        let number = self.backend(controller).map_err(|why| why.cause)?;
        let Some(hierarchy) = self.hierarchies.get(number) else {
            return Err("no such hierarchy".into());
        };
        let means = match hierarchy.version {
            Version::V1 => Means::V1,
            Version::V2 if hierarchy.has(controller) => Means::V2,
            Version::V2 => {
                Programs::possible().map_err(|error| format!("BPF program: {error}"))?;
                Means::Program
            }
        };
        Ok(place(means, hierarchy))
    }

    /// The limits that could not be held here, without making anything. What the kernel refuses only when it is written
    /// shows at the start.
    pub fn check(&self, resources: &Resources) -> Vec<Unenforceable> {
        let problem = |limit: limits::Limit| {
            if limit == limits::Limit::OomGroup {
                return None;
            }
            let found = self
                .backend(limit.controller())
                .and_then(|number| match self.hierarchies.get(number) {
                    Some(hierarchy) => limit.check(hierarchy.version),
                    None => Ok(()),
                });
            found.err().map(|why| why.stops(limit.key()))
        };
        let delegate = delegate::refused(self).filter(|_| resources.delegate);
        let delegate = delegate.map(|why| why.stops(delegate::KEY));
        let limits = limits::limits(resources).into_iter().filter_map(problem);
        limits.chain(delegate).collect()
    }
}
