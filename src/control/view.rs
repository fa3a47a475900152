//! What a client sees, as plain data. On the wire the fields have underscores, since varlink knows no other names;
//! [`kebab`] turns them into the form of the contract, which `--json` prints (INTERFACE section 3).
//!
//! Fields may be added, none changes its meaning. No map here is keyed by a name that a user chose, so that renaming
//! keys touches nothing but our own words.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use super::amount::Amount;
pub use super::finding::Finding;
pub use super::timing::UnitTiming;
pub use super::trigger::Trigger;

/// The form of [`UnitStatus`]; it rises when a field is taken away, which we do not mean to do.
pub const STATUS_VERSION: u32 = 1;

/// All about one unit: `svc status UNIT --json`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct UnitStatus {
    /// [`STATUS_VERSION`].
    pub v: u32,
    /// Its name.
    pub unit: String,
    /// One line for people; may be empty.
    pub description: String,
    /// `service`, `target`, `slice`, `mount`, `masked`.
    pub kind: String,
    /// Where it stands.
    pub state: State,
    /// Its processes are stopped where they are.
    pub frozen: bool,
    /// Since when it stands there, as [`timestamp`] writes it.
    pub since: Option<String>,
    /// Why it stands there, one line for people: `requires db, which failed`.
    pub reason: Option<String>,
    /// The first word of the last run's result (INTERFACE section 4): `success`, `oom` …; none before the first end.
    pub result: Option<String>,
    /// The whole of it: `exit-code 3`, `oom (limit 64M, peak 64M)`.
    pub result_text: Option<String>,
    /// Of the main process's last end, where it ended by exit(2).
    pub exit_code: Option<i64>,
    /// Of the main process's last end, where a signal ended it: `SIGKILL`.
    pub signal: Option<String>,
    /// The step of a spawn that failed: `mount /data`.
    pub failed_step: Option<String>,
    /// Why it did, by name: `ENOENT`.
    pub errno: Option<String>,
    /// The exit status that systemd has for that step: 226 for a mount; systemd.exec(5), "Process exit codes".
    pub step_exit_code: Option<i64>,
    /// The main process, while there is one.
    pub main_pid: Option<MainPid>,
    /// How often it was started again by its policy since an operator, or the boot, last started it.
    pub restarts: u64,
    /// In `backoff`: when it is tried again.
    pub next_try: Option<String>,
    /// In `waiting`: the units that are not so far yet, or the triggers: `timer (every 1h), next at …`.
    pub waiting_for: Vec<String>,
    /// What begins a run of it, as long as that is set.
    #[serde(default)]
    pub triggers: Vec<Trigger>,
    /// In `blocked`: the units that cannot be had, each with the reason where one is known.
    pub blocked_by: Vec<String>,
    /// Below the cgroup mount: `svc/web`.
    pub cgroup: Option<String>,
    /// By key of `[resources]`: `memory-max`.
    pub limits: BTreeMap<String, Limit>,
    /// What it uses now, limited or not; none while it has no cgroup.
    pub usage: Option<super::stats::Usage>,
    /// By key of `[isolation]` and `[resources]`: `enforced`, or `skipped: ` and the reason.
    pub isolation: BTreeMap<String, String>,
    /// What its root is made of, where that is not the machine's own.
    pub root: Option<super::root::Root>,
    /// Its links and addresses, while it has some of its own.
    pub network: Option<super::network::Network>,
    /// What its probes say, where it has some and is up.
    pub health: Option<super::health::Health>,
    /// What the service says of itself (`STATUS=` of sd_notify(3)).
    pub status_text: String,
    /// How many descriptors are kept for its next start (`FDSTORE=1` of sd_notify(3)).
    #[serde(default)]
    pub stored_descriptors: u64,
    /// The last lines of its log, oldest first; svcd may leave it empty, since the log is a file.
    pub log_tail: Vec<String>,
    /// What is wrong with its file on disk, when that is not what is running.
    pub findings: Vec<Finding>,
}

impl UnitStatus {
    /// A unit of this name and kind, inactive, of which nothing else is known.
    pub fn new(unit: &str, kind: &str) -> Self {
        Self {
            v: STATUS_VERSION,
            unit: unit.to_owned(),
            kind: kind.to_owned(),
            ..Self::default()
        }
    }
}

/// A word of INTERFACE section 4.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs)]
pub enum State {
    #[default]
    Inactive,
    Waiting,
    Starting,
    Running,
    Stopping,
    Failed,
    Backoff,
    Blocked,
    Skipped,
    Masked,
}

impl State {
    /// The word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Inactive => "inactive",
            Self::Waiting => "waiting",
            Self::Starting => "starting",
            Self::Running => "running",
            Self::Stopping => "stopping",
            Self::Failed => "failed",
            Self::Backoff => "backoff",
            Self::Blocked => "blocked",
            Self::Skipped => "skipped",
            Self::Masked => "masked",
        }
    }
}

/// One process, by its two numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MainPid {
    /// In svcd's own pid namespace.
    pub host: u32,
    /// In the unit's; the same as `host` where it has none of its own.
    pub inside: Option<u32>,
}

/// One limit and how near it is. Bytes, tasks, a weight, or percent of one CPU, as the key says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Limit {
    /// What is enforced; none: nothing is.
    pub limit: Option<Amount>,
    /// What is used now. For `cpu-quota` the share of one CPU, in percent.
    pub current: Option<Amount>,
    /// The most that was.
    pub peak: Option<Amount>,
}

/// One line of `svc list`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct UnitLine {
    /// Its name.
    pub unit: String,
    /// One line for people; may be empty.
    pub description: String,
    /// As in [`UnitStatus`].
    pub kind: String,
    /// Where it stands.
    pub state: State,
    /// Since when.
    pub since: Option<String>,
    /// Why, one line for people.
    pub reason: Option<String>,
    /// The whole result of its last run.
    pub result_text: Option<String>,
    /// The main process, while there is one.
    pub main_pid: Option<MainPid>,
    /// As in [`UnitStatus`].
    pub restarts: u64,
    /// In `backoff`: when it is tried again.
    pub next_try: Option<String>,
    /// The slice it sits in; none: directly under svcd's group.
    pub slice: Option<String>,
    /// Bytes in use; none while it has no cgroup, or no memory controller counts it.
    pub memory: Option<u64>,
    /// True when its file on disk is not valid.
    pub invalid: bool,
    /// As in [`UnitStatus`].
    #[serde(default)]
    pub triggers: Vec<Trigger>,
}

/// What came of one wish: an element of the answer to Start, Stop, Restart, Reload, Reset, Kill.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// Which unit.
    pub unit: String,
    /// How it ended.
    pub outcome: OutcomeKind,
    /// One line for people: why it did not end as asked.
    pub why: Option<String>,
    /// What may help.
    pub hint: Option<String>,
    /// Where the unit stands now.
    pub state: State,
    /// The whole result of its last run.
    pub result_text: Option<String>,
}

/// How a wish ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OutcomeKind {
    /// As asked.
    #[default]
    Done,
    /// Under way: the caller did not want to wait.
    Accepted,
    /// It was tried.
    Failed,
    /// It was not tried: masked, not valid, a cycle, a key that cannot be enforced.
    Refused,
    /// Another wish took its place.
    Superseded,
    /// The caller's time was up; the wish goes on.
    TimedOut,
}

/// What a wait is waiting for, sent between a call with `more` and its outcome.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// Which unit.
    pub unit: String,
    /// Where it stands.
    pub state: State,
    /// One line for people: `exec-start-pre 1 of 2`, `waiting for db`.
    pub text: String,
}

/// One move of a unit: an element of the Watch stream.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// When.
    pub at: String,
    /// Which unit.
    pub unit: String,
    /// One word, such as `starting` or `ended`: the interface lists them.
    pub what: String,
    /// One line for people: `exited with code 3, next try in 200ms`.
    pub text: String,
    /// Where it stands after it.
    pub state: State,
}

/// One value of a unit and where it came from: a line of `svc show`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShownValue {
    /// `service`.
    pub table: String,
    /// `exec-start`.
    pub key: String,
    /// As TOML would write it.
    pub value: String,
    /// `/etc/svc/units/web.toml:3`, `default`, `profile standard`.
    pub origin: String,
}

/// One file of a unit, as it is on disk: `svc cat`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnitFile {
    /// Where.
    pub path: String,
    /// What it says.
    pub text: String,
}

/// One line of the tree that `svc deps` draws.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dependency {
    /// 0 for the unit asked about.
    pub depth: u32,
    /// Which unit.
    pub unit: String,
    /// What the line above has to do with it: `requires (ready)`, `wants`; empty at depth 0.
    pub link: String,
    /// Where it stands; none: there is no such unit.
    pub state: Option<State>,
    /// True when the tree goes on below this unit, but is drawn at another place.
    pub repeated: bool,
}

/// One process of a unit: a line of `svc ps`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    /// In svcd's own pid namespace.
    pub host: u32,
    /// In the innermost pid namespace it is in.
    pub inside: Option<u32>,
    /// Its command line; in brackets its name, where it has none.
    pub command: String,
    /// True for the main process.
    pub main: bool,
    /// By name as in /proc/PID/ns (`mnt`, `pid`): the namespace's inode number.
    pub namespaces: BTreeMap<String, u64>,
}

/// What happened and who caused it: `svc history` and `svc why`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// When.
    pub at: String,
    /// Which unit.
    pub unit: String,
    /// As in [`Change`].
    pub what: String,
    /// One line for people.
    pub text: String,
    /// Who or what caused it.
    pub by: Cause,
    /// Where that is another unit: what is behind that, and so on.
    #[serde(default)]
    pub behind: Vec<Cause>,
}

/// Who or what caused something.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cause {
    /// `boot`, `operator`, `files`, `signal`, `unit`, `policy`, `deploy`, `timer`, `path`,
    /// `connection`.
    pub kind: String,
    /// One line for people: `alice (uid 1000) by svc, pid 4711`.
    pub text: String,
    /// An operator's user.
    pub uid: Option<u32>,
    /// An operator's process.
    pub pid: Option<u32>,
    /// The other unit.
    pub unit: Option<String>,
}

/// The supervisor that answers, and where it keeps things.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Version {
    /// `0.1.0`.
    pub version: String,
    /// svcd's own.
    pub pid: u32,
    /// Since when it runs.
    pub since: String,
    /// Where unit files are looked for, highest first.
    pub units: Vec<String>,
    /// Sockets, and state that dies with the boot.
    pub runtime_dir: String,
    /// State that stays.
    pub state_dir: String,
    /// A directory for each unit's log.
    pub log_dir: String,
    /// The group under which all of its groups are; empty where there is none.
    pub cgroup: String,
    /// `auto` or `manual`.
    pub reload: String,
    /// Which set of units is in force.
    #[serde(default)]
    pub in_force: Option<InForce>,
}

pub use super::deploy::{DifferenceKind, FieldChange, Generation, InForce, Plan, PlanAction, UnitDifference, UnitPlan};

/// A time as the contract writes it: RFC 3339 in UTC with milliseconds; beyond the years -9999 to 9999, the epoch.
pub fn timestamp(microseconds_since_epoch: i64) -> String {
    let time = jiff::Timestamp::from_microsecond(microseconds_since_epoch).unwrap_or_default();
    format!("{time:.3}")
}

/// The contract's form of what came over the wire: every object's keys with hyphens for underscores.
pub fn kebab(value: Value) -> Value {
    match value {
        Value::Array(items) => Value::Array(items.into_iter().map(kebab).collect()),
        Value::Object(fields) => fields
            .into_iter()
            .map(|(key, value)| (key.replace('_', "-"), kebab(value)))
            .collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value,
    }
}
