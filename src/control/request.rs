//! What can be asked: a closed set, one variant for each method of the interface, with the parameters it has.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::interface;
use crate::unit::Signal;

/// Each method of the two interfaces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// `org.varlink.service.GetInfo`.
    GetInfo,
    /// `org.varlink.service.GetInterfaceDescription`.
    GetInterfaceDescription {
        /// Its name.
        interface: String,
    },
    /// Start, Stop, Restart, Reload, Reset, Freeze, Thaw.
    Job {
        /// Which.
        verb: Verb,
        /// Names and patterns, at least one.
        units: Vec<String>,
        /// Answer when it has come to an end; otherwise at once.
        wait: bool,
        /// Answer by then; the wish goes on.
        timeout: Option<Duration>,
    },
    /// Send a signal.
    Kill {
        /// Names and patterns, at least one.
        units: Vec<String>,
        /// Which.
        signal: Signal,
        /// To whom.
        whom: Whom,
    },
    /// Change limits of a unit.
    Set {
        /// Which unit or slice.
        unit: String,
        /// `KEY=VALUE`, at least one; without a value it is again what the unit's files say.
        settings: Vec<String>,
        /// For good, and not only until the next boot.
        persist: bool,
    },
    /// What units use.
    Stats {
        /// Names and patterns; empty: all that run.
        units: Vec<String>,
    },
    /// How units are.
    Status {
        /// Names and patterns; empty: all.
        units: Vec<String>,
    },
    /// A line for each unit.
    List {
        /// Those that do not run and should not, too.
        all: bool,
        /// The failed ones only.
        failed: bool,
    },
    /// Every effective value.
    Show {
        /// Of which unit.
        unit: String,
    },
    /// The unit's files.
    Cat {
        /// Of which unit.
        unit: String,
    },
    /// The tree of dependencies.
    Dependencies {
        /// Of which unit.
        unit: String,
        /// What depends on it, instead.
        reverse: bool,
    },
    /// The unit's processes.
    Processes {
        /// Of which unit.
        unit: String,
    },
    /// What differs between disk and running.
    Plan,
    /// Take over what is on disk.
    Apply {
        /// Only if the plan is still this one.
        hash: Option<String>,
    },
    /// The sets of units that are kept.
    Generations,
    /// What differs between two of them.
    CompareGenerations {
        /// From this one …
        before: u64,
        /// … to this one.
        after: u64,
    },
    /// Put one of them in force.
    Rollback {
        /// Which; none: the last before this one that has not failed.
        generation: Option<u64>,
    },
    /// The chain of causes.
    Why {
        /// Of which unit.
        unit: String,
    },
    /// What happened.
    History {
        /// To which unit; none: to all.
        unit: Option<String>,
    },
    /// When units came up.
    Timings,
    /// Who answers.
    Version,
    /// Stop every unit, and end.
    Shutdown {
        /// And the machine with it; None: as a supervisor in the foreground ends.
        power: Option<Power>,
    },
    /// Go on as the program that is on disk now, with everything as it is.
    Reexec,
    /// Follow every move.
    Watch,
    /// Run a transient unit.
    Run(Run),
    /// Run a command beside a unit's own.
    Exec(Exec),
}

/// A unit that a client makes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Run {
    /// Its name, which no unit has yet.
    pub unit: String,
    /// Its file.
    pub text: String,
    /// It goes when it has ended.
    pub remove: bool,
    /// Of the terminal that is made for it, where the descriptors that go along ask for one.
    pub size: Option<WindowSize>,
}

/// A command beside a unit's own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Exec {
    /// In which unit's namespaces and cgroup.
    pub unit: String,
    /// The program and its arguments.
    pub command: Vec<String>,
    /// `NAME=VALUE`, over what the unit's own commands get.
    pub environment: Vec<String>,
    /// `USER` or `USER:GROUP`, by name or number; None: the unit's own.
    pub user: Option<String>,
    /// None: the unit's own.
    pub working_directory: Option<String>,
    /// As for [`Run`].
    pub size: Option<WindowSize>,
}

/// How many characters a terminal shows; ioctl_tty(2), TIOCSWINSZ.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct WindowSize {
    pub rows: u16,
    pub columns: u16,
}

/// The verbs that change what a unit does, and that end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Verb {
    Start,
    Stop,
    Restart,
    Reload,
    Reset,
    Freeze,
    Thaw,
}

impl Verb {
    /// As the command line writes it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Stop => "stop",
            Self::Restart => "restart",
            Self::Reload => "reload",
            Self::Reset => "reset",
            Self::Freeze => "freeze",
            Self::Thaw => "thaw",
        }
    }

    /// As the interface writes it.
    pub fn method(self) -> &'static str {
        match self {
            Self::Start => "Start",
            Self::Stop => "Stop",
            Self::Restart => "Restart",
            Self::Reload => "Reload",
            Self::Reset => "Reset",
            Self::Freeze => "Freeze",
            Self::Thaw => "Thaw",
        }
    }
}

/// What becomes of a machine once all is stopped; reboot(2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Power {
    /// It is switched off.
    Off,
    /// It starts again.
    Reboot,
    /// It stands still, switched on.
    Halt,
}

impl Power {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Off, Self::Reboot, Self::Halt];

    /// As the command line and the interface write it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Off => "poweroff",
            Self::Reboot => "reboot",
            Self::Halt => "halt",
        }
    }
}

/// Who gets a signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whom {
    /// The main process.
    Main,
    /// Every process of the unit.
    All,
}

impl Request {
    /// True for what changes nothing: group `svc` may call it.
    pub fn only_reads(&self) -> bool {
        match self {
            Self::Job { .. }
            | Self::Kill { .. }
            | Self::Set { .. }
            | Self::Apply { .. }
            | Self::Rollback { .. }
            | Self::Shutdown { .. }
            | Self::Reexec
            | Self::Run(_)
            | Self::Exec(_) => false,
            Self::GetInfo
            | Self::GetInterfaceDescription { .. }
            | Self::Stats { .. }
            | Self::Status { .. }
            | Self::List { .. }
            | Self::Show { .. }
            | Self::Cat { .. }
            | Self::Dependencies { .. }
            | Self::Processes { .. }
            | Self::Plan
            | Self::Generations
            | Self::CompareGenerations { .. }
            | Self::Why { .. }
            | Self::History { .. }
            | Self::Timings
            | Self::Version
            | Self::Watch => true,
        }
    }
}

/// The same request as a message, for the caller's side: what [`super::call::Call::parse`] reads.
impl Request {
    /// The full name of the method.
    pub fn method(&self) -> String {
        let ours = |name: &str| format!("{}.{name}", interface::NAME);
        let service = |name: &str| format!("{}.{name}", interface::SERVICE_NAME);
        match self {
            Self::GetInfo => service("GetInfo"),
            Self::GetInterfaceDescription { .. } => service("GetInterfaceDescription"),
            Self::Job { verb, .. } => ours(verb.method()),
            Self::Kill { .. } => ours("Kill"),
            Self::Set { .. } => ours("Set"),
            Self::Stats { .. } => ours("Stats"),
            Self::Status { .. } => ours("Status"),
            Self::List { .. } => ours("List"),
            Self::Show { .. } => ours("Show"),
            Self::Cat { .. } => ours("Cat"),
            Self::Dependencies { .. } => ours("Dependencies"),
            Self::Processes { .. } => ours("Processes"),
            Self::Plan => ours("Plan"),
            Self::Apply { .. } => ours("Apply"),
            Self::Generations => ours("Generations"),
            Self::CompareGenerations { .. } => ours("CompareGenerations"),
            Self::Rollback { .. } => ours("Rollback"),
            Self::Why { .. } => ours("Why"),
            Self::History { .. } => ours("History"),
            Self::Timings => ours("Timings"),
            Self::Version => ours("Version"),
            Self::Shutdown { .. } => ours("Shutdown"),
            Self::Reexec => ours("Reexec"),
            Self::Watch => ours("Watch"),
            Self::Run(_) => ours("Run"),
            Self::Exec(_) => ours("Exec"),
        }
    }

    /// Its parameters.
    pub fn parameters(&self) -> Value {
        match self {
            Self::GetInterfaceDescription { interface } => json!({ "interface": interface }),
            Self::Job {
                units, wait, timeout, ..
            } => {
                let milliseconds = timeout.map(|t| u64::try_from(t.as_millis()).unwrap_or(u64::MAX));
                json!({ "units": units, "wait": wait, "timeout_ms": milliseconds })
            }
            Self::Kill { units, signal, whom } => {
                let whom = match whom {
                    Whom::Main => "main",
                    Whom::All => "all",
                };
                json!({ "units": units, "signal": signal.0.to_string(), "whom": whom })
            }
            Self::Set {
                unit,
                settings,
                persist,
            } => json!({ "unit": unit, "settings": settings, "persist": persist }),
            Self::Status { units } | Self::Stats { units } => json!({ "units": units }),
            Self::List { all, failed } => json!({ "all": all, "failed": failed }),
            Self::Show { unit } | Self::Cat { unit } | Self::Processes { unit } | Self::Why { unit } => {
                json!({ "unit": unit })
            }
            Self::Dependencies { unit, reverse } => json!({ "unit": unit, "reverse": reverse }),
            Self::Apply { hash } => json!({ "hash": hash }),
            Self::CompareGenerations { before, after } => json!({ "before": before, "after": after }),
            Self::Rollback { generation } => json!({ "generation": generation }),
            Self::History { unit } => json!({ "unit": unit }),
            Self::Shutdown { power } => json!({ "power": power.map(Power::word) }),
            Self::Run(run) => json!(run),
            Self::Exec(exec) => json!(exec),
            Self::GetInfo
            | Self::Plan
            | Self::Generations
            | Self::Timings
            | Self::Version
            | Self::Reexec
            | Self::Watch => json!({}),
        }
    }
}
