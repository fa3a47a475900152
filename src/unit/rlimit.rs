//! Limits of each process.

use serde::Serialize;

/// One limit of setrlimit(2). None is infinity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rlimit {
    /// Which, in lower case as `ulimit` and systemd name it: `nofile`.
    pub resource: RlimitResource,
    /// What the process sees.
    pub soft: Option<u64>,
    /// What it may raise it to.
    pub hard: Option<u64>,
}

/// The sixteen of setrlimit(2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs)]
pub enum RlimitResource {
    As,
    Core,
    Cpu,
    Data,
    Fsize,
    Locks,
    Memlock,
    Msgqueue,
    Nice,
    Nofile,
    Nproc,
    Rss,
    Rtprio,
    Rttime,
    Sigpending,
    Stack,
}
