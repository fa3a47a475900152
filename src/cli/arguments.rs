//! The command line as data: each verb with its flags, and nothing of what they do.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};

use super::{failure, time};
use crate::control;

mod quick;

pub use super::run::arguments::{Exec, Run};

/// What was typed.
#[derive(Debug, Parser)]
#[command(
    name = "svc",
    about = "Start, stop and look at the units of a supervisor",
    version,
    disable_help_subcommand = true,
    after_help = failure::exit_statuses()
)]
pub struct Arguments {
    #[command(flatten)]
    #[allow(missing_docs)]
    pub of_all: OfAll,
    /// What to do.
    #[command(subcommand)]
    pub verb: Verb,
}

// What every verb takes. No rustdoc: it would be the help text of the program.
#[allow(missing_docs)]
#[derive(Debug, Args)]
pub struct OfAll {
    /// The supervisor's socket [default: $SVC_SOCKET, or /run/svc/control.sock]
    #[arg(long, global = true, value_name = "PATH")]
    pub socket: Option<PathBuf>,
    /// Print JSON, in a form that stays
    #[arg(long, global = true)]
    pub json: bool,
    /// Print no colour
    #[arg(long, global = true)]
    pub no_color: bool,
}

/// What to do. Deferred: the flags of a verb are put together only where it is the one that was typed.
#[derive(Debug, Subcommand)]
#[command(defer = true)]
#[allow(missing_docs)]
pub enum Verb {
    /// Run a supervisor in the foreground for the units of a directory, and follow their output
    Up {
        /// Where the units are
        #[arg(value_name = "DIR", default_value = ".")]
        dir: PathBuf,
    },
    /// Bring units up, with what they require, and wait until they are ready
    Start(Job),
    /// Take units down, with what requires them, and wait until they are gone
    Stop(Job),
    /// Take units down and bring them up again
    Restart(Job),
    /// Let units read their configuration again
    Reload(Job),
    /// Forget a failure: delays and restart budgets begin anew
    Reset(Job),
    /// Send a signal to units
    Kill {
        /// By name or number
        #[arg(short, long, value_name = "SIGNAL", default_value = "SIGTERM", value_parser = signal)]
        signal: crate::unit::Signal,
        /// The main process, or all of them
        #[arg(long, value_enum, default_value_t = Whom::All)]
        whom: Whom,
        /// Names, or patterns such as 'web@*'
        #[arg(required = true, value_name = "UNIT")]
        units: Vec<String>,
    },
    /// Run an image, a directory or a command of the machine's as a unit that is made of flags
    Run(Box<Run>),
    /// Run a command in the namespaces and the cgroup of a unit that runs
    Exec(Exec),
    /// Come back to the terminal of a unit that `run -it` has begun and Ctrl-P Ctrl-Q has left
    Attach {
        /// Its name
        #[arg(value_name = "UNIT")]
        unit: String,
    },
    /// Stop every process of units where it is
    Freeze(Job),
    /// Let the processes of frozen units go on
    Thaw(Job),
    /// Change limits of a service or slice while it runs
    Set {
        /// Until the next boot, which is what happens anyway
        #[arg(long, conflicts_with = "persist")]
        runtime: bool,
        /// For good: a drop-in in the first directory of units
        #[arg(long)]
        persist: bool,
        /// Its name
        unit: String,
        /// Such as memory-max=64M; without a value it is again what the unit's files say
        #[arg(required = true, value_name = "KEY=VALUE")]
        settings: Vec<String>,
    },
    /// What units use: CPU time, memory, disks, tasks, and how long they waited for them
    Stats {
        /// Names, or patterns such as 'web@*' [default: all that run]
        #[arg(value_name = "UNIT")]
        units: Vec<String>,
    },
    /// What units use now, the busiest first; on a terminal over and over
    Top,
    /// What can be enforced on this machine, and by which means; no supervisor is needed
    Doctor,
    /// How a unit is, and why; without a unit: all of them as a tree
    Status(Units),
    /// A line for each unit that runs or should
    List(List),
    /// Every effective value of a unit, and where it came from
    Show {
        /// Its name
        unit: String,
    },
    /// The files of a unit
    Cat {
        /// Its name
        unit: String,
    },
    /// What a unit depends on
    Deps {
        /// What depends on it, instead
        #[arg(long)]
        reverse: bool,
        /// Its name
        unit: String,
    },
    /// What units have printed, oldest line first
    Logs(Logs),
    /// The processes of a unit, by their numbers outside and inside
    Ps {
        /// Its name
        unit: String,
    },
    /// What the root of a unit is made of: the directories of its overlay
    Root {
        /// Its name
        unit: String,
    },
    /// What a unit that runs has added (A), changed (C) and deleted (D) in its root; or what differs between two generations
    Diff {
        /// A unit's name, or the numbers of two generations
        #[arg(required = true, num_args = 1..=2, value_names = ["UNIT|GENERATION", "GENERATION"])]
        what: Vec<String>,
    },
    /// Look for mistakes in unit files; no supervisor is needed
    Check {
        /// Say what each service leaves open, and which key closes it
        #[arg(long)]
        security: bool,
        /// Files and directories [default: where svcd looks for units]
        #[arg(value_name = "FILE|DIR")]
        paths: Vec<PathBuf>,
    },
    /// Let units come up with the machine: they are wanted by `default`; no supervisor is needed
    Enable(UnitFiles),
    /// Let no target want units any more; what runs goes on
    Disable(UnitFiles),
    /// Let units not come up at all, whoever asks
    Mask(UnitFiles),
    /// Take a mask away
    Unmask(UnitFiles),
    /// Edit a unit's file with $VISUAL or $EDITOR; it is saved once it is valid, and a draft until then
    Edit {
        /// Its name
        unit: String,
        /// Where units are, highest first [default: the supervisor's directories, or the machine's]
        #[arg(long = "units", value_name = "DIR")]
        dirs: Vec<PathBuf>,
    },
    /// Write a unit file with comments, to be filled in; it starts nothing by itself
    New {
        /// Its name
        unit: String,
        /// What it runs [default: /usr/bin/UNIT]
        #[arg(last = true, value_name = "CMD")]
        command: Vec<String>,
        /// Where units are, highest first [default: the supervisor's directories, or the machine's]
        #[arg(long = "units", value_name = "DIR")]
        dirs: Vec<PathBuf>,
    },
    /// What differs between the unit files and what runs, and whose image's name leads elsewhere by now
    Plan,
    /// Take over what the unit files and the names of images say, all or nothing
    Apply {
        /// Only if the plan is still this one
        #[arg(long, value_name = "HASH")]
        plan: Option<String>,
    },
    /// The sets of unit files that were put in force: when, by whom, and what became of each
    Generations,
    /// Put an earlier generation in force, until the next apply or edit
    Rollback {
        /// Its number [default: the last before this one that has not failed]
        #[arg(value_name = "GENERATION")]
        generation: Option<u64>,
    },
    /// Who or what brought a unit to where it is
    Why {
        /// Its name
        unit: String,
    },
    /// What happened, oldest first
    History {
        /// To this unit alone
        unit: Option<String>,
    },
    /// How long it took until units were up
    #[command(disable_help_subcommand = true)]
    Analyze {
        /// Told in which way [default: in a line or two]
        #[command(subcommand)]
        way: Option<Analysis>,
    },
    /// Images: take them in, look at them, hand them on; no supervisor is needed
    #[cfg(feature = "image")]
    #[command(disable_help_subcommand = true)]
    Image(super::image::arguments::Image),
    /// What a shell needs to complete commands: svc completions bash > /etc/bash_completion.d/svc
    Completions {
        /// For which
        shell: clap_complete::Shell,
    },
    /// What unit files may say, as a JSON Schema: svc schema > unit.schema.json, for editors
    Schema,
    /// Make units of those of systemd, and tell of each directive what became of it
    Import(super::import::Import),
    /// Stop every unit, and switch the machine off
    Poweroff,
    /// Stop every unit, and start the machine again
    Reboot,
    /// Stop every unit, and leave the machine standing still
    Halt,
    /// Execute the supervisor's program anew, as after an upgrade; units, jobs and timers go on
    Reexec,
    /// Say something of the service that this is part of, to its supervisor: for services written in shell
    Notify(super::notify::Notification),
    /// The versions of svc and of the supervisor that answers
    Version,
    /// What stays when the caller of `run` or `exec` turns away
    #[command(hide = true)]
    KeepTerminal,
}

// Ways to tell how long it took. No rustdoc, as above.
#[allow(missing_docs)]
#[derive(Debug, Subcommand)]
pub enum Analysis {
    /// A line for each unit, the slowest first
    Blame,
    /// What was waited for, from the end back to the beginning
    CriticalChain {
        /// Until this unit was ready [default: the target that boots]
        unit: Option<String>,
    },
    /// A chart, as SVG
    Plot,
}

// What the verbs that wait have in common. No rustdoc: it would be the help text of the verb.
#[allow(missing_docs)]
#[derive(Debug, Args)]
pub struct Job {
    /// Names, or patterns such as 'web@*'
    #[arg(required = true, value_name = "UNIT")]
    pub units: Vec<String>,
    /// Return at once
    #[arg(long)]
    pub no_wait: bool,
    /// Wait no longer than this; what was asked goes on
    #[arg(long, value_name = "TIME", value_parser = time::parse_duration, conflicts_with = "no_wait")]
    pub timeout: Option<Duration>,
}

// Which units. No rustdoc, as above.
#[allow(missing_docs)]
#[derive(Debug, Args)]
pub struct Units {
    /// Names, or patterns such as 'web@*'
    #[arg(value_name = "UNIT")]
    pub units: Vec<String>,
}

// What the verbs that write unit files have in common. No rustdoc, as above.
#[allow(missing_docs)]
#[derive(Debug, Args)]
pub struct UnitFiles {
    /// Names
    #[arg(required = true, value_name = "UNIT")]
    pub units: Vec<String>,
    /// Where units are, highest first [default: the supervisor's directories, or the machine's]
    #[arg(long = "units", value_name = "DIR")]
    pub dirs: Vec<PathBuf>,
}

// Which lines to print. No rustdoc: it would be the help text of the verb.
#[allow(missing_docs)]
#[derive(Debug, Args)]
pub struct Logs {
    /// Names, or patterns such as 'web@*' [default: all]
    #[arg(value_name = "UNIT")]
    pub units: Vec<String>,
    /// Go on with what is printed from now on
    #[arg(short, long)]
    pub follow: bool,
    /// The last N lines [default: all, or 10 with -f]
    #[arg(short = 'n', long, value_name = "N")]
    pub lines: Option<usize>,
    /// From this time on: '10 min ago', '2026-11-24 03:00', 'today'
    #[arg(long, value_name = "TIME", value_parser = time::parse)]
    pub since: Option<i64>,
    /// Before this time
    #[arg(long, value_name = "TIME", value_parser = time::parse, conflicts_with = "follow")]
    pub until: Option<i64>,
    /// Lines that this regular expression matches
    #[arg(long, value_name = "REGEX", value_parser = regex::Regex::new)]
    pub grep: Option<regex::Regex>,
}

/// Who gets a signal.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Whom {
    /// The main process
    Main,
    /// Every process of the unit
    All,
}

impl From<Whom> for control::Whom {
    fn from(whom: Whom) -> Self {
        match whom {
            Whom::Main => Self::Main,
            Whom::All => Self::All,
        }
    }
}

fn signal(text: &str) -> Result<crate::unit::Signal, String> {
    control::call::parse_signal(text).ok_or_else(|| format!("`{text}` is no signal; write `SIGTERM`, `TERM` or `15`"))
}

#[cfg(test)]
mod tests;

// Which lines to print. No rustdoc: it would be the help text of the verb.
#[allow(missing_docs)]
#[derive(Debug, Args)]
pub struct List {
    /// Those that do not run and need not, too
    #[arg(long)]
    pub all: bool,
    /// The failed ones only
    #[arg(long, conflicts_with = "all")]
    pub failed: bool,
    /// Timers that are waited for: when each comes next, and when it came last
    #[arg(long, conflicts_with_all = ["all", "failed"])]
    pub timers: bool,
    /// Sockets that are kept open
    #[arg(long, conflicts_with_all = ["all", "failed"])]
    pub sockets: bool,
    /// Paths that are watched
    #[arg(long, conflicts_with_all = ["all", "failed"])]
    pub paths: bool,
}
