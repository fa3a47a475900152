//! What a unit file says, as plain values with nothing left to default later.
//!
//! [`load`] reads files into a [`UnitSet`]; [`keys`] has one row for each key; [`value`] turns text to
//! values and back; [`check`] holds the rules across keys; [`report`] is what a finding looks like.
//! Knows nobody: no engine, no kernel, no clock. Only [`load`] opens files.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use serde::Serialize;

pub mod address;
pub mod calendar;
pub mod call_sets;
pub mod calls;
pub mod check;
mod check_files;
mod check_type;
mod command;
mod condition;
mod decode;
mod defaults;
pub mod device;
pub mod directories;
mod enforcement;
pub mod exposure;
pub mod filter;
mod health;
pub mod isolation;
pub mod keys;
mod kill;
mod kinds;
pub mod load;
mod log;
mod mount;
pub mod namespaces;
mod network;
mod node;
mod origin;
mod ports;
mod read;
mod read_isolation;
mod read_network;
mod read_resources;
mod read_triggers;
mod readiness;
pub mod report;
pub mod resources;
mod restart;
mod rlimit;
pub mod scheduling;
mod service_type;
pub mod set;
pub mod show;
pub mod sources;
mod streams;
mod tables;
#[cfg(test)]
mod tests;
mod text;
mod triggers;
pub mod value;
mod view;

pub use command::{Command, Privileges};
pub use condition::{Condition, ConditionTest};
pub use enforcement::{Enforcement, Unenforceable};
pub use filter::Seccomp;
pub use health::{Health, OnUnhealthy, Target};
pub use isolation::{Isolation, KeyringMode, Landlock, Personality, Profile, ProtectSystem};
pub use kill::{Kill, KillMode};
pub use log::{Forward, Log, RateLimit};
pub use mount::{InnerMount, LAYERS_MAX, Mount, Root, RootFrom, Writable};
pub use network::{Connectivity, Direction, Network, Peer, Rule, Sharing, Subnet};
pub use origin::{Origin, TextId, Texts};
pub use ports::{PortRange, Protocol, Publish};
pub use resources::{OomPolicy, Resources};
pub use restart::{GiveUp, Restart, RestartPolicy};
pub use rlimit::{Rlimit, RlimitResource};
pub use scheduling::Scheduling;
pub use service_type::{NotifyAccess, ServiceType};
pub use streams::{Input, Output};
pub use triggers::{Listen, PathTest, Socket, Timer, WatchedPath};
pub use value::{Percent, Signal, Size, UnitName};
pub use view::{ProtectHome, ProtectProc, View};

/// One unit, whole: what its file and drop-ins say with every default and profile filled in.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Unit {
    /// The name, without `.toml`; `web@8080` for an instance.
    pub name: UnitName,
    /// One line for people.
    pub description: Box<str>,
    /// Where to read more, e.g. `man:nginx(8)`.
    pub documentation: Vec<Box<str>>,
    /// What this unit asks of others, each with the place that says so.
    pub links: Vec<Link>,
    /// All must hold, or the unit is skipped.
    pub condition: Vec<Condition>,
    /// All must hold, or the unit fails.
    pub assert: Vec<Condition>,
    /// What kind of unit this is, with its own tables.
    pub kind: Kind,
    /// Which file set which key: for `svc show` and `svc cat`.
    #[serde(skip)]
    pub origin: Origin,
}

impl Unit {
    /// A target of this name that asks nothing of anybody.
    pub fn target(name: UnitName) -> Self {
        Self {
            name,
            description: Box::default(),
            documentation: Vec::new(),
            links: Vec::new(),
            condition: Vec::new(),
            assert: Vec::new(),
            kind: Kind::Target,
            origin: Origin::default(),
        }
    }
}

/// The four kinds of unit, and a masked one.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// A zero-byte file or a link to /dev/null: cannot be started.
    Masked,
    /// Groups others.
    Target,
    /// A cgroup that others sit in.
    Slice(Box<Resources>),
    /// A file system.
    Mount(Box<Mount>),
    /// A program to keep running, or to run once.
    Service(Box<Service>),
}

/// A place in a file, as people read it.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize)]
pub struct Place {
    /// The file.
    pub file: Rc<str>,
    /// Line, from 1.
    pub line: u32,
}

/// One edge to another unit.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Link {
    /// The other unit.
    pub to: UnitName,
    /// What the edge means.
    pub kind: LinkKind,
    /// The file and line that drew it: a cycle names each edge with it.
    #[serde(skip)]
    pub place: Place,
}

/// Two links are the same when they mean the same, wherever they were written.
impl PartialEq for Link {
    fn eq(&self, other: &Self) -> bool {
        self.to == other.to && self.kind == other.kind
    }
}

/// What an edge means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum LinkKind {
    /// `wanted-by`: starting the other starts this one.
    WantedBy,
    /// `requires`: start it, wait until it is so; blocked while it is not.
    Requires(Need),
    /// `wants`: start it, order after it, go on without it.
    Wants,
    /// `binds-to`: requires, and stop whenever it is not ready, and come back with it.
    BindsTo,
    /// `part-of`: stop and restart with it.
    PartOf,
    /// `after`: order only.
    After,
    /// `before`: order only.
    Before,
    /// `conflicts`: starting one stops the other.
    Conflicts,
    /// `on-failure`: start it when this one has failed.
    OnFailure,
    /// `on-success`: start it when this one has succeeded.
    OnSuccess,
}

/// What must be true of a required unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Need {
    /// Its first command has executed.
    Started,
    /// It is ready; for a oneshot: it has succeeded.
    Ready,
    /// Its health probe says so; where it has none, it is ready.
    Healthy,
    /// It has run and ended, however.
    Exited,
    /// It has run and ended with success.
    Succeeded,
}

/// A program to run: all of `[service]` and the tables that belong to it.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Service {
    /// When it counts as ready.
    pub r#type: ServiceType,
    /// The main command; several only for a oneshot, one after the other.
    pub exec_start: Vec<Command>,
    /// Before anything else: one that ends with 1 to 254 skips the unit.
    pub exec_condition: Vec<Command>,
    /// Before the main command, one after the other.
    pub exec_start_pre: Vec<Command>,
    /// After it is ready, one after the other.
    pub exec_start_post: Vec<Command>,
    /// At a reload.
    pub exec_reload: Vec<Command>,
    /// At a stop, before the signals.
    pub exec_stop: Vec<Command>,
    /// After all of it is gone, and after a failed start too.
    pub exec_stop_post: Vec<Command>,
    /// Sent to the main process at a reload, instead of commands.
    pub reload_signal: Option<Signal>,
    /// A oneshot stays `running` after it has succeeded.
    pub remain_after_exit: bool,
    /// Who it runs as, looked up in the unit's own root, in the child. None: root.
    pub user: Option<Account>,
    /// None: the user's primary group.
    pub group: Option<Account>,
    /// Besides those that the group file gives the user.
    pub supplementary_groups: Vec<Account>,
    /// A user and group of its own while it runs; `user` is then no more than what it is called.
    pub dynamic_user: bool,
    /// 0o000 to 0o777.
    #[serde(serialize_with = "value::serialize_mode")]
    pub umask: u32,
    /// None: `/`.
    pub working_directory: Option<PathBuf>,
    /// Set for every command; units that say the same share one.
    pub environment: Rc<BTreeMap<Box<str>, Box<str>>>,
    /// Read in the child, later ones win over earlier, and over `environment`.
    pub environment_file: Vec<OptionalPath>,
    /// Names passed on from svcd's own environment.
    pub pass_environment: Vec<Box<str>>,
    /// Names taken out at the end.
    pub unset_environment: Vec<Box<str>>,
    /// Where a command without a slash is looked for; empty: the fixed default of systemd.exec(5).
    pub exec_search_path: Vec<PathBuf>,
    /// From the first command until ready; None: no limit.
    #[serde(serialize_with = "value::serialize_limit")]
    pub timeout_start: Option<Duration>,
    /// For each phase of a stop; None: no limit.
    #[serde(serialize_with = "value::serialize_limit")]
    pub timeout_stop: Option<Duration>,
    /// It has to say that often that it is alive; zero: it need not.
    #[serde(serialize_with = "value::serialize_duration")]
    pub watchdog: Duration,
    /// Whose notifications are taken.
    pub notify_access: NotifyAccess,
    /// How many descriptors are kept for it.
    pub file_descriptor_store_max: u8,
    /// Of a forking one: names its main process.
    pub pid_file: Option<PathBuf>,
    /// How long it may run; None: no limit.
    #[serde(serialize_with = "value::serialize_limit")]
    pub runtime_max: Option<Duration>,
    /// How it is ended.
    #[serde(flatten)]
    pub kill: Kill,
    /// SIGPIPE starts out ignored in the service, as in systemd.
    pub ignore_sigpipe: bool,
    /// Besides 0, SIGHUP, SIGINT, SIGTERM and SIGPIPE.
    pub success_exit_status: Vec<ExitMatch>,
    /// Where standard input comes from.
    pub standard_input: Input,
    /// What is read first where that is data; it ends with a newline, or is empty.
    pub standard_input_text: Box<str>,
    /// What is read then.
    #[serde(serialize_with = "value::serialize_base64")]
    pub standard_input_data: Box<[u8]>,
    /// Where standard output goes.
    pub standard_output: Output,
    /// Where standard error goes; `Inherit`: where standard output goes.
    pub standard_error: Output,
    /// The terminal that the streams mean.
    pub tty_path: PathBuf,
    /// How it shares the machine.
    #[serde(flatten)]
    pub scheduling: Scheduling,
    /// In the order written.
    #[serde(serialize_with = "value::serialize_rlimits")]
    pub rlimits: Vec<Rlimit>,
    /// What it is given to write in, and secrets.
    #[serde(flatten)]
    pub directories: directories::Directories,
    /// `[restart]`.
    pub restart: Restart,
    /// `[health]`.
    pub health: Health,
    /// `[resources]`; shared likewise.
    pub resources: Rc<Resources>,
    /// `[isolation]`, with the profile applied; likewise.
    pub isolation: Rc<Isolation>,
    /// `[root]`. None: the machine's own root.
    pub root: Option<Root>,
    /// `[[mount]]`, in the order written.
    #[serde(rename = "mount")]
    pub mounts: Vec<InnerMount>,
    /// `[network] mode`.
    pub network: Network,
    /// The rest of `[network]`; boxed, since most have none of it.
    pub connectivity: Rc<Connectivity>,
    /// `[[socket]]`, in the order written.
    #[serde(rename = "socket")]
    pub sockets: Vec<Socket>,
    /// `[[path]]`, likewise.
    #[serde(rename = "path")]
    pub paths: Vec<WatchedPath>,
    /// `[[timer]]`, likewise.
    #[serde(rename = "timer")]
    pub timers: Vec<Timer>,
    /// `[log]`.
    pub log: Log,
}

/// A user or group, by number or by name. Numbers are decimal, 0 to 4,294,967,294.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Account {
    /// Taken as it is, never looked up as a name.
    Id(u32),
    /// Looked up in the passwd or group file of the unit's own root.
    Name(Box<str>),
}

/// A path that may be missing when it was written with a leading `-`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OptionalPath {
    /// Absolute.
    pub path: PathBuf,
    /// A missing one is no error.
    pub optional: bool,
}

/// An exit status that counts as something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExitMatch {
    /// 0 to 255.
    Code(u8),
    /// Ended by this signal.
    Signal(Signal),
}

/// All units as the files say, the good and the bad.
#[derive(Clone, Debug, Default)]
pub struct UnitSet {
    /// The good ones, by name. `default` is always among them.
    pub units: BTreeMap<UnitName, Rc<Unit>>,
    /// What is wrong, over all files. A unit with an error in its own files is not in `units`; one in a cycle is.
    pub findings: Vec<report::Finding>,
    /// A directory that could not be read, and why: what is in it is not known, and may be in force.
    pub unreadable: Option<(std::path::PathBuf, Box<str>)>,
    /// Names of the templates that can be instantiated, without the `@`.
    pub templates: Vec<UnitName>,
    /// What stands in the files of the units.
    pub texts: Texts,
}
