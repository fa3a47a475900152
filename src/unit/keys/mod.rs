//! One row for each key: what it is called, what it takes, what it means, in a file for each table. Checking, showing,
//! "did you mean" and the man page come from the rows; a test holds the rows and the decoder together.
//! A row is two lines, which rustfmt would make eight: its words, then its doc.

/// What an edited key means for a unit that runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// It is taken over as it is.
    Live,
    /// It needs another run.
    Restart,
}

/// What a key takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Kind {
    Text,
    /// Bytes, as RFC 4648 writes them.
    Base64,
    Texts,
    Bool,
    /// A whole number in this range.
    Whole(i64, i64),
    Duration,
    /// Times of the wall clock.
    Calendar,
    /// Where a socket is.
    Address,
    /// A duration, or `infinity`.
    Limit,
    Size,
    Percent,
    Signal,
    /// Exit codes and signals.
    Exits,
    Mode,
    Path,
    /// Paths, with a leading `-` for one that may be missing.
    Paths,
    /// One or more commands.
    Commands,
    Account,
    Accounts,
    /// One of these words.
    Word(&'static [&'static str]),
    /// true, false, or one of these words.
    BoolOr(&'static [&'static str]),
    /// Names to texts.
    Map,
    /// Units, or units to needs.
    Requires,
    Name,
    Names,
    Conditions,
    Rlimits,
    GiveUp,
    RateLimit,
    Output,
    Forward,
    Capabilities,
    /// Capabilities, one by one.
    Ambient,
    /// A filter of system calls.
    Seccomp,
    /// Files that may be reached.
    Landlock,
    /// true, false, or the kinds that are left.
    NamespaceKinds,
    SocketFamilies,
    Architectures,
    /// What only a network takes.
    OfNetwork(OfNetwork),
    /// What only limits take.
    Resource(Resource),
    /// Offsets of clocks.
    TimeOffsets,
    /// Whether a namespace is its own, or another unit's.
    Namespace,
    /// Which ids a user namespace has.
    UserNamespace,
}

impl Kind {
    /// What a person writes for it, as a man page says it.
    pub fn form(self) -> String {
        let quoted = |words: &[&str]| {
            words
                .iter()
                .map(|word| format!("\"{word}\""))
                .collect::<Vec<_>>()
                .join(", ")
        };
        let form = match self {
            Self::Text => "a text",
            Self::Base64 => "a text in base64",
            Self::Texts => "a list of texts",
            Self::Bool => "true or false",
            Self::Whole(min, i64::MAX) => return format!("a whole number from {min}"),
            Self::Whole(min, max) => return format!("a whole number from {min} to {max}"),
            Self::Duration => "a duration",
            Self::Calendar => "a calendar expression",
            Self::Address => "a port, an address with a port, or the path of a Unix socket",
            Self::Limit => "a duration, or \"infinity\"",
            Self::Size => "a size",
            Self::Percent => "a percentage",
            Self::Signal => "a signal",
            Self::Exits => "a list of exit codes and signals",
            Self::Mode => "an octal mode",
            Self::Path => "an absolute path",
            Self::Paths => "a list of absolute paths",
            Self::Commands => "a command, or a list of commands",
            Self::Account => "a name or a number",
            Self::Accounts => "a list of names and numbers",
            Self::Word(words) => return format!("one of {}", quoted(words)),
            Self::BoolOr(words) => return format!("true, false, or one of {}", quoted(words)),
            Self::Map => "a table of names and texts",
            Self::Requires => "a list of units, or a table of units and conditions",
            Self::Name => "a unit",
            Self::Names => "a list of units",
            Self::Conditions => "a list of conditions",
            Self::Rlimits => "a table of limits",
            Self::GiveUp => "{ starts = N, within = DURATION }",
            Self::RateLimit => "{ lines = N, per = DURATION }",
            Self::Output => "\"log\", \"null\", \"inherit\", \"tty\", \"socket\", \"file:PATH\" or \"append:PATH\"",
            Self::Forward => "a list of \"console\", \"kmsg\" and \"syslog:PATH\"",
            Self::Capabilities | Self::Ambient => "a list of capabilities",
            Self::Seccomp => "\"default\", \"none\", or { allow = CALLS, deny = CALLS, errno = ERRNO or \"kill\" }",
            Self::Landlock => "{ read-only = PATHS, read-write = PATHS, execute = PATHS }",
            Self::NamespaceKinds => "true, false, or a list of the kinds that are allowed",
            Self::SocketFamilies => "a list of families, or of families with a `~` each",
            Self::Architectures => "a list of \"native\", \"x86-64\", \"x86\" and \"arm64\"",
            Self::OfNetwork(which) => which.form(),
            Self::Resource(resource) => resource.form(),
            Self::TimeOffsets => "{ boottime = DURATION, monotonic = DURATION }",
            Self::Namespace => "true, false, or \"join:UNIT\"",
            Self::UserNamespace => "false, \"auto\", \"identity\", or a map \"INSIDE:OUTSIDE:COUNT\"",
        };
        form.to_owned()
    }
}

/// What only limits take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resource {
    /// Numbers and ranges of them.
    Numbers,
    /// An allow-list of devices.
    Devices,
    /// Limits by block device.
    IoMax,
    /// Sizes by size of page.
    HugetlbMax,
    /// Handles and objects by RDMA device.
    RdmaMax,
    /// Amounts by name.
    MiscMax,
    /// A traffic class.
    ClassId,
    /// Priorities by interface.
    Priorities,
}

impl Resource {
    fn form(self) -> &'static str {
        match self {
            Self::Numbers => "a list of numbers such as \"0-3,8\"",
            Self::Devices => "a list of devices",
            Self::IoMax => "a list of { device = \"/dev/NAME\", rbps = SIZE, wbps = SIZE, riops = N, wiops = N }",
            Self::HugetlbMax => "a table of sizes of page and sizes",
            Self::RdmaMax => "a table of devices and { hca-handle = N, hca-object = N }",
            Self::MiscMax => "a table of names and whole numbers",
            Self::ClassId => "a class, \"MAJOR:MINOR\" in hexadecimal",
            Self::Priorities => "a table of interfaces and whole numbers",
        }
    }
}

/// What only a network takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OfNetwork {
    /// What it is.
    Mode,
    /// Addresses of its own, with the lengths of their prefixes.
    Subnets,
    /// A link of the machine.
    Parent,
    /// Addresses of others.
    Addresses,
    /// Ports that are reached from outside.
    Publish,
    /// Names to addresses.
    Hosts,
    /// Who may talk to whom.
    Rules,
}

impl OfNetwork {
    fn form(self) -> &'static str {
        match self {
            Self::Mode => {
                "\"host\", \"none\", \"bridge\", \"macvlan\", \"ipvlan\", \"path:/run/netns/NAME\" or \"join:UNIT\""
            }
            Self::Subnets => "\"auto\", an address with the length of its prefix, or a list of one of each family",
            Self::Parent => "a link of the machine",
            Self::Addresses => "an address, or a list of addresses",
            Self::Publish => "a list of ADDRESS:OUTSIDE:INSIDE/PROTOCOL, of which OUTSIDE is enough",
            Self::Hosts => "a table of names and addresses",
            Self::Rules => "a list of DIRECTION:PEER:PORTS/PROTOCOL, of which DIRECTION:PEER is enough",
        }
    }
}

/// A row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key {
    /// `service`; `[socket]` for a table that may be there several times.
    pub table: &'static str,
    /// `exec-start`.
    pub name: &'static str,
    /// What it takes.
    pub kind: Kind,
    /// What an edit of it means.
    pub change: Change,
    /// What it does, in a sentence or a few, with the source of the rule: the man page prints it.
    pub doc: &'static str,
}

const fn key(table: &'static str, name: &'static str, kind: Kind, change: Change, doc: &'static str) -> Key {
    Key {
        table,
        name,
        kind,
        change,
        doc,
    }
}

// What the rows are written in.
use Change::{Live, Restart};
use Kind::*;

mod health;
mod isolation;
mod log;
mod mount;
mod network;
mod resources;
mod restart;
mod root;
mod service;
mod triggers;
mod unit;

/// Every key of INTERFACE section 2, a file for each table.
static ROWS: &[&[Key]] = &[
    unit::UNIT,
    service::SERVICE,
    restart::RESTART,
    resources::RESOURCES,
    isolation::ISOLATION,
    root::ROOT,
    network::NETWORK,
    log::LOG,
    health::HEALTH,
    triggers::TRIGGERS,
    mount::MOUNT,
];

/// Every row, always in the same order.
pub fn all() -> impl Iterator<Item = &'static Key> + Clone {
    ROWS.iter().copied().flatten()
}

/// The row of a key.
pub fn find(table: &str, name: &str) -> Option<&'static Key> {
    all().find(|key| key.table == table && key.name == name)
}

/// All tables, each once.
pub fn tables() -> Vec<&'static str> {
    let mut tables: Vec<&str> = all().map(|key| key.table).collect();
    tables.extend(["target", "slice"]);
    tables.dedup();
    tables
}

/// A table of this name may be there, once or several times.
pub fn is_table(name: &str) -> bool {
    let known = tables();
    known.iter().any(|table| table.trim_matches(['[', ']']) == name)
}
