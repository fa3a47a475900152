//! What each method returns: one struct for each, named fields as the interface text has them.

use serde::{Deserialize, Serialize};

use super::{stats, view};

/// Answer to Start, Stop, Restart, Reload, Reset, Freeze, Thaw, Set and Kill.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcomes {
    /// One for each unit; empty in a reply that only tells progress.
    pub outcomes: Vec<view::Outcome>,
    /// Where it is, in a reply that `continues`.
    #[serde(default)]
    pub progress: Option<view::Progress>,
}

/// One reply of the Watch stream.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Changes {
    /// Oldest first; empty in the first reply, which tells that the watch stands.
    pub changes: Vec<view::Change>,
    /// True when changes were left out because the client did not read them.
    pub lagged: bool,
}

/// Answer to Status.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Statuses {
    /// In the order of their names.
    pub units: Vec<view::UnitStatus>,
    /// A directory for each unit's log.
    #[serde(default)]
    pub log_dir: String,
}

/// Answer to List.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Lines {
    /// In the order of their names.
    pub units: Vec<view::UnitLine>,
}

/// Answer to Show.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Values {
    /// In the order of the tables and their keys.
    pub values: Vec<view::ShownValue>,
}

/// Answer to Cat.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Files {
    /// The unit file, then its drop-ins as they were merged.
    pub files: Vec<view::UnitFile>,
}

/// Answer to Dependencies.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tree {
    /// Depth first.
    pub tree: Vec<view::Dependency>,
}

/// Answer to Processes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Processes {
    /// By their number.
    pub processes: Vec<view::Process>,
    /// What their unit has of the network, where that is its own.
    #[serde(default)]
    pub network: Option<super::network::Network>,
}

/// Answer to Plan, Apply and Rollback.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Planned {
    /// What differs, or what was done.
    pub plan: view::Plan,
    /// The number of what is in force now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generation: Option<u64>,
}

/// Answer to Generations.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Generations {
    /// Oldest first.
    pub generations: Vec<view::Generation>,
}

/// Answer to CompareGenerations.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Differences {
    /// In the order of their names; the same ones are left out.
    pub units: Vec<view::UnitDifference>,
}

/// Answer to Stats.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Stats {
    /// In the order of their names.
    pub units: Vec<stats::UnitStats>,
}

/// Answer to Why.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chain {
    /// The last cause first.
    pub chain: Vec<view::Entry>,
}

/// Answer to History.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entries {
    /// Oldest first.
    pub entries: Vec<view::Entry>,
}

/// Answer to Timings.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timings {
    /// How long the kernel took before svcd began; none where svcd is not a machine's init. Microseconds.
    pub kernel_usec: Option<u64>,
    /// Microseconds since svcd began.
    pub now_usec: u64,
    /// The target that boots.
    pub target: String,
    /// In the order of their names; those that never started are left out.
    pub units: Vec<view::UnitTiming>,
}

/// Answer to Reexec.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reexecuted {
    /// The version of svcd that was asked.
    pub before: String,
    /// The version of the one that answers.
    pub after: String,
    /// Its process, which is the same.
    pub pid: u32,
}

/// Answer to Shutdown.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ending {
    /// Where it is, in a reply that `continues`.
    #[serde(default)]
    pub progress: Option<view::Progress>,
}

/// Answer to Run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ran {
    /// What came of its start; empty where the main process has ended, as the others say.
    pub outcomes: Vec<view::Outcome>,
    /// What it exited with.
    #[serde(default)]
    pub code: Option<u8>,
    /// What ended it, by name.
    #[serde(default)]
    pub signal: Option<String>,
}

/// Answer to Exec: one of the three.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Executed {
    /// What it exited with.
    #[serde(default)]
    pub code: Option<u8>,
    /// What ended it, by name.
    #[serde(default)]
    pub signal: Option<String>,
    /// The step that failed before it could begin.
    #[serde(default)]
    pub failed_step: Option<String>,
    /// What that failed with, by name.
    #[serde(default)]
    pub errno: Option<String>,
}
