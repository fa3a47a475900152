//! The beginning: all that a supervisor waits for is opened, and it goes on from a former life or begins anew.

use std::collections::{HashMap, VecDeque};
use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{OpenOptionsExt, symlink};
use std::path::Path;

use super::clients::Clients;
use super::dynamic_users::DynamicUsers;
use super::files::Files;
use super::former::{Former, OldLogger, Salvaged};
use super::generations::Generations;
use super::history::History;
use super::keep::Keep;
use super::lives::Lives;
use super::main_process::Searches;
use super::network::Networks;
use super::outputs::Outputs;
use super::poll::{Poll, Source};
use super::requests::Requests;
use super::settings::Settings;
use super::signals;
use super::transient;
use super::user_ranges::UserRanges;
use super::watch::Watch;
use super::{Config, Supervisor};
use crate::cgroup::Tree;
use crate::control::STATE_LINK;
use crate::engine::{Engine, Now};
use crate::init;
use crate::log::Spool;
use crate::sandbox::{Kernel, Sandboxes, reaper_program};
use crate::sys;
use crate::unit::load::SearchPath;

/// In the runtime directory; its log process has a lock on another byte of it. It stays: whoever removed it could let
/// two in.
const LOCK: &str = "svcd.lock";
const LOCK_BYTE: i64 = 0;

/// What a supervisor has from a former life, or makes if it had none.
struct Foundation {
    /// Keeps a second supervisor off this runtime directory.
    lock: fs::File,
    /// What that one's log process had begun.
    spool: Option<Spool>,
    listener: Option<OwnedFd>,
    nofile: Option<(u64, u64)>,
}

impl Supervisor {
    /// Goes on from a former life, of which nothing is given up before this one stands, or begins anew.
    pub(super) fn begin(
        config: Config,
        settings: Settings,
        since: Now,
        former: &mut Option<Former>,
    ) -> Result<Self, String> {
        let handed_over = former.as_mut().and_then(|former| former.take(&former.own.lock.clone()));
        let lock = match handed_over {
            // An exec keeps the lock, and this descriptor with it.
            Some(lock) => lock.into(),
            None => lock(&config.runtime_dir)?,
        };
        link_state(&config).map_err(|error| format!("{STATE_LINK}: {error}"))?;
        if former.is_none() {
            *former = Former::of_kill(&config.runtime_dir);
        }
        let logger = OldLogger::find(&lock);
        let foundation = Foundation {
            lock,
            spool: former.as_mut().and_then(|former| former.spool(logger.as_ref())),
            listener: former
                .as_mut()
                .and_then(|former| former.take(&former.own.listener.clone())),
            nofile: former.as_ref().and_then(|former| former.own.nofile),
        };
        let mut supervisor = Self::new(config, settings, since, foundation)?;
        let mut former = former.take();
        let pipes = former.as_mut().map(|former| former.pipes(logger.as_ref()));
        supervisor
            .keep
            .follow(former.as_mut().and_then(|former| former.journal.take()));
        let pipes = pipes.unwrap_or_default();
        let boots = supervisor.go_on(former, Salvaged { pipes, logger });
        supervisor.save();
        if boots && supervisor.config.start_default {
            supervisor.start_default_target();
            supervisor.start_main();
        }
        Ok(supervisor)
    }

    /// Takes over what a former life has left, as far as it is known. True: this is a new start all the same.
    fn go_on(&mut self, former: Option<Former>, mut salvaged: Salvaged) -> bool {
        // With nothing left of what was saved there is nothing to go on with.
        let goes_on = former.as_ref().is_none_or(Former::goes_on);
        let engine = former.as_ref().filter(|_| goes_on).and_then(Former::engine);
        let boots = match (engine, former) {
            (Some(engine), Some(former)) => {
                self.engine = engine;
                let boots = former.was_killed && self.engine.forget_shutdown();
                self.adopt(former, &mut salvaged);
                boots
            }
            _ => {
                self.load_first();
                self.settle();
                self.adopt_groups(goes_on, &mut salvaged);
                self.settle();
                true
            }
        };
        self.look_at_network();
        salvaged.logger.into_iter().for_each(OldLogger::end);
        boots
    }

    fn new(mut config: Config, settings: Settings, since: Now, foundation: Foundation) -> Result<Self, String> {
        let nofile = raise_descriptor_limit().map(|limits| foundation.nofile.unwrap_or(limits));
        become_reaper_of_orphans();
        let failed = |what: &'static str| move |error: io::Error| format!("{what}: {error}");
        let turnstile = config.runtime_dir.join(LOCK);
        let outputs = Outputs::start(&config.log_dir, settings.log.budget, &turnstile, foundation.spool)
            .map_err(failed("log process"))?;
        let mut poll = Poll::new().map_err(|error| format!("epoll: {error}"))?;
        let mut add = |fd: BorrowedFd<'_>, source| poll.add(fd, source).map_err(|error| format!("epoll: {error}"));
        let logger_token = Some(add(outputs.as_fd(), Source::Logger)?);
        let signals = signals::listen(init::role()).map_err(failed("signals"))?;
        for (place, pipe) in signals.iter().enumerate() {
            add(pipe.as_fd(), Source::Signal(place))?;
        }
        let watch = Watch::new().map_err(failed("inotify"))?;
        add(watch.as_fd(), Source::Directories)?;
        let watched = |fd: OwnedFd| add(fd.as_fd(), Source::Lifeline).map(|token| (fd, token));
        let lifeline = config.lifeline.take().map(watched).transpose()?;
        let socket = config.runtime_dir.join("control.sock");
        let most = nofile.map_or(0, |(_, hard)| hard);
        let clients = Clients::listen(&socket, foundation.listener, most, &mut poll);
        let (reaper, inherited) = materials().map_err(failed("reaper"))?;
        let tree = Tree::open(&config.cgroup);
        if let Some(reason) = tree.unavailable() {
            tracing::warn!("cgroups: {reason}; limits cannot be held");
        }
        Ok(Self {
            nofile,
            engine: Engine::new(seed()),
            queue: VecDeque::new(),
            files: Files::new(search_path(&config)),
            generations: Generations::open(&config),
            history: History::new(&config.state_dir),
            unpinned: Vec::new(),
            kernel: Kernel::probe(),
            sandboxes: Sandboxes::default(),
            dynamic_users: DynamicUsers::open(&config.runtime_dir),
            user_ranges: UserRanges::open(&config.state_dir),
            networks: Networks::open(&settings.network, &config.state_dir),
            lives: Lives::default(),
            searches: Searches::default(),
            owners: HashMap::new(),
            flushing: HashMap::new(),
            requests: Requests::default(),
            since,
            stopped: false,
            shutdown: None,
            main_began: false,
            role: init::role(),
            next_logger_start: None,
            reexec_asked: false,
            keep: Keep::new(&config.runtime_dir),
            triggers: super::triggers::Triggers::default(),
            stores: super::fd_store::Stores::default(),
            lock: foundation.lock,
            config,
            settings,
            poll,
            signals,
            watch,
            clients: clients.map_err(failed("control socket"))?,
            outputs,
            logger_token,
            console_token: None,
            lifeline,
            tree,
            reaper,
            inherited,
        })
    }
}

/// Where units are looked for; and, above and below, what svcd has been told until the next boot.
fn search_path(config: &Config) -> SearchPath {
    let path = config.units.clone().map_or_else(SearchPath::standard, SearchPath::new);
    path.with_overrides(config.runtime_dir.join("set"))
        .with_last(transient::directory(config))
}

/// Beside the control socket, in place of a former life's.
fn link_state(config: &Config) -> io::Result<()> {
    let [link, new] = [STATE_LINK, ".state-dir.new"].map(|name| config.runtime_dir.join(name));
    drop(fs::remove_file(&new));
    symlink(std::path::absolute(&config.state_dir)?, &new)?;
    fs::rename(new, link)
}

fn lock(runtime_dir: &Path) -> Result<fs::File, String> {
    let path = runtime_dir.join(LOCK);
    let failed = |error: io::Error| format!("{}: {error}", path.display());
    let file = fs::OpenOptions::new()
        .create(true)
        .truncate(false)
        .read(true)
        .write(true)
        .mode(0o600)
        .open(&path)
        .map_err(failed)?;
    if sys::lock::take(&file, LOCK_BYTE).map_err(failed)? {
        return Ok(file);
    }
    let other = sys::lock::holder(&file, LOCK_BYTE).ok().flatten().unwrap_or(0);
    Err(format!(
        "{}: another supervisor runs here, pid {other} (another --runtime-dir lets them run side by side)",
        path.display()
    ))
}

/// Orphans of our units come to us: by birth as PID 1, else as sub-reaper; prctl(2), PR_SET_CHILD_SUBREAPER.
fn become_reaper_of_orphans() {
    if rustix::process::getpid() != rustix::process::Pid::INIT
        && let Err(error) = rustix::process::set_child_subreaper(Some(rustix::process::getpid()))
    {
        tracing::warn!("orphans of services will not be reaped: {error}");
    }
}

/// Each service costs svcd some six descriptors, so it takes all that it may have. Programs that use select(2) would
/// break with such a limit: services get what we were started with, as systemd does it.
fn raise_descriptor_limit() -> Option<(u64, u64)> {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).ok()?;
    if let Err(error) = setrlimit(Resource::RLIMIT_NOFILE, hard, hard) {
        tracing::warn!("descriptors: {error}; there are {soft}");
    }
    Some((soft, hard))
}

fn seed() -> u64 {
    let mut bytes = [0_u8; 8];
    // Without randomness the jitter of delays is the same at each boot, which is no harm.
    let _ = rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::NONBLOCK);
    u64::from_ne_bytes(bytes)
}

/// The reaper's program, sealed; and what svcd's own environment holds for `pass-environment`.
fn materials() -> std::io::Result<(OwnedFd, Vec<(std::ffi::OsString, std::ffi::OsString)>)> {
    let inherited = std::env::vars_os().filter(|(name, _)| name != super::crash::NOTE);
    Ok((reaper_program()?, inherited.collect()))
}
