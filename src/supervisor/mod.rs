//! What does happen: one thread, one wait.
//!
//! Before the first unit: [`prepare`]. Kernel to event: [`children`], [`watch`], [`clients`], [`signals`]. Action to kernel: [`carry_out`], then a file for
//! each deed: [`spawn`], [`release`], [`sessions`], [`conditions`], [`outputs`]. [`turn`] is the loop, [`clock`] the only clock, [`answers`] turns
//! the engine's words into what clients see, [`timings`] its times.

use std::collections::{HashMap, VecDeque};
use std::ffi::OsString;
use std::fs;
use std::os::fd::OwnedFd;
use std::path::PathBuf;

use crate::cgroup::Tree;
use crate::engine::event::{Event, Mono};
use crate::engine::{Engine, Now, UnitId};
use crate::image;
use crate::init::{self, Role};
use crate::sandbox::{Kernel, Sandboxes};
use crate::unit::UnitName;

mod adopt;
mod answers;
mod begin;
mod boot;
mod carry_out;
mod children;
mod clients;
mod clock;
mod conditions;
mod console;
mod container;
mod crash;
mod dynamic_users;
mod ends;
mod environment;
mod fd_store;
mod files;
pub mod flags;
pub mod foreground;
mod former;
mod freeze;
mod generations;
mod groups;
mod health;
mod history;
mod joined;
mod journal;
mod keep;
mod kept;
mod limits;
mod lives;
mod main_process;
mod memory;
mod mounts;
mod moves;
mod network;
pub mod notice;
mod notify;
mod outputs;
mod patterns;
mod plan;
mod poll;
mod prepare;
mod processes;
mod reexec;
mod release;
mod requests;
mod roots;
mod sessions;
mod set;
pub mod settings;
mod shutdown;
mod signals;
mod spawn;
mod stats;
mod sweep;
mod timings;
mod transient;
mod triggers;
mod turn;
mod unit_numbers;
mod user_ranges;
mod watch;

use clients::Clients;
use crash::{Mode, Resume};
use dynamic_users::DynamicUsers;
use files::Files;
use former::Former;
use generations::Generations;
use keep::Keep;
use lives::Lives;
use main_process::Searches;
use outputs::Outputs;
use poll::{Poll, Token, Who};
use settings::Settings;
use shutdown::Shutdown;
use signals::SignalPipe;
use triggers::Triggers;
use user_ranges::UserRanges;
use watch::Watch;

/// What a supervisor is started with: the [`flags`] of svcd(8).
#[derive(Debug)]
pub struct Config {
    /// Unit directories, highest first; None: the search path of INTERFACE section 1.
    pub units: Option<Vec<PathBuf>>,
    /// Sockets and state that die with the boot.
    pub runtime_dir: PathBuf,
    /// State that outlives it.
    pub state_dir: PathBuf,
    /// Logs, a directory for each unit.
    pub log_dir: PathBuf,
    /// The group under which all of our groups are made.
    pub cgroup: String,
    /// `svcd.toml`; None: all defaults.
    pub settings: Option<PathBuf>,
    /// Start the default target at once. `svc up` asks for it itself.
    pub start_default: bool,
    /// Say each move of a unit on standard error. `svc up` shows them itself.
    pub tell_moves: bool,
    /// End, in order, when the other end of this is closed.
    pub lifeline: Option<OwnedFd>,
    /// What the program was started with, its name first, where it can be executed again and goes on from there: then no
    /// crash is its end. None where a supervisor is but a part of a program.
    pub arguments: Option<Vec<OsString>>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            units: None,
            runtime_dir: "/run/svc".into(),
            state_dir: "/var/lib/svc".into(),
            log_dir: "/var/log/svc".into(),
            cgroup: "svc".into(),
            settings: Some("/etc/svc/svcd.toml".into()),
            start_default: true,
            tell_moves: true,
            lifeline: None,
            arguments: None,
        }
    }
}

/// Everything that svcd has: the engine, and the kernel's side of what it knows.
struct Supervisor {
    config: Config,
    settings: Settings,
    role: Role,
    engine: Engine,
    queue: VecDeque<Event>,
    poll: Poll,
    signals: Vec<SignalPipe>,
    watch: Watch,
    files: Files,
    generations: Generations,
    history: history::History,
    /// Images that units were started with, to be noted before svcd waits.
    unpinned: Vec<(UnitName, image::Digest)>,
    clients: Clients,
    outputs: Outputs,
    logger_token: Option<Token>,
    /// Lines of ours wait to be taken.
    console_token: Option<Token>,
    next_logger_start: Option<Mono>,
    lifeline: Option<(OwnedFd, Token)>,
    tree: Tree,
    kernel: Kernel,
    sandboxes: Sandboxes,
    dynamic_users: DynamicUsers,
    user_ranges: UserRanges,
    networks: network::Networks,
    reaper: OwnedFd,
    inherited: Vec<(OsString, OsString)>,
    lives: Lives,
    /// Main processes that are looked for.
    searches: Searches,
    owners: HashMap<i32, (UnitId, Who)>,
    /// Runs whose last lines are being written, by the log process's number.
    flushing: HashMap<u64, UnitId>,
    requests: requests::Requests,
    /// When svcd began.
    since: Now,
    stopped: bool,
    /// The end has begun.
    shutdown: Option<Shutdown>,
    /// The unit that a container is for was asked to start.
    main_began: bool,
    /// The soft and hard limit of descriptors that we were started with, and that our services get.
    nofile: Option<(u64, u64)>,
    /// Somebody wants svcd to be executed anew.
    reexec_asked: bool,
    keep: Keep,
    triggers: Triggers,
    stores: fd_store::Stores,
    /// Keeps a second supervisor off this runtime directory.
    lock: fs::File,
}

/// Runs a supervisor until it is told to stop and all of its units are down. Gives the exit status: that of a container's
/// main unit, or else 0.
///
/// # Errors
/// Where something that it cannot be without fails, in one line: what, and why.
pub fn run(config: Config) -> Result<u8, String> {
    let since = clock::now();
    notice::to_stderr();
    let ended = supervise(config, since);
    if let Err(why) = &ended
        && init::role() == Role::Machine
    {
        tracing::error!("{why}: a shell takes the place of svcd");
        tracing::error!("/bin/sh: {}", init::console::become_shell());
    }
    ended
}

fn supervise(mut config: Config, since: Now) -> Result<u8, String> {
    let resume = config.arguments.as_ref().and_then(|_| Resume::from_environment());
    // Before anything is opened: what was handed over is known by its numbers.
    let handed_over = resume.as_ref().filter(|resume| resume.mode != Mode::Reaper);
    let mut former = handed_over.and_then(Former::of_exec);
    if let Some(arguments) = config.arguments.take() {
        crash::arm(arguments, resume.as_ref());
    }
    if resume.is_some_and(|resume| resume.mode == Mode::Reaper) {
        crash::stay(resume.as_ref());
    }
    let begun = prepare::prepare(&mut config, resume.is_some())
        .and_then(|settings| Supervisor::begin(config, settings, since, &mut former));
    let mut supervisor = match begun {
        // What was handed over is still open: the next one may have more luck with it.
        Err(why) if resume.is_some() => crash::fail(&why),
        begun => begun?,
    };
    supervisor.run().map_err(|error| format!("wait: {error}"))?;
    supervisor.finish()
}
