//! The child's side: performs the steps, reports the one that failed, never returns.
//!
//! It is a copy of svcd's one thread, so it may allocate; it touches nothing of svcd's but the descriptors in its order.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use nix::sched::{CloneFlags, setns};
use rustix::fs::Mode;
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::Uid;

use super::environment::{self, Variables};
use super::groups::OwnGroup;
use super::identity::{self, Person};
use super::report::{self, StepFailed};
use super::setup::{Setup, Step};
use super::user_namespace::{self, Users};
use super::{capabilities, clocks, connect, directories, elsewhere, groups, landlock, scheduling, terminal, view};
use crate::sys::child::{close_each, exit};
use crate::sys::clone::{Cloned, clone3};
use crate::sys::inherit;
use crate::unit::namespaces::IdMap;
use crate::unit::{Account, Rlimit, RlimitResource};

/// A child that was cloned and works through its order.
#[derive(Debug)]
pub struct Child {
    /// For people, and for /proc.
    pub pid: i32,
    /// For signals, and its end.
    pub pidfd: OwnedFd,
    /// Ends when the program has executed; before that, [`super::read_report`] reads the step that failed.
    pub report: OwnedFd,
}

/// Clones a child with its order, into the cgroup v2 directory `cgroup` if one is given. What has `ports` of the machine that
/// are nobody's in it is closed there at once: a port that the caller closes meanwhile would stay taken until the child
/// executes.
///
/// # Errors
/// As pipe2(2), setns(2) and clone3(2).
pub fn start(setup: &Setup<'_>, cgroup: Option<BorrowedFd<'_>>, ports: &[BorrowedFd<'_>]) -> io::Result<Child> {
    let (report, reports_end) = pipe_with(PipeFlags::CLOEXEC)?;
    rustix::io::ioctl_fionbio(&report, true)?;
    let cloned = match setup.into {
        None => clone3(setup.namespaces, cgroup)?,
        Some(process) => elsewhere::clone_into_pid_namespace(process, setup.namespaces, cgroup)?,
    };
    match cloned {
        Cloned::Parent { pid, pidfd } => Ok(Child { pid, pidfd, report }),
        Cloned::Child => {
            close_each(ports);
            // What is passed on takes its first numbers.
            let reports_end = inherit::moved_up(reports_end);
            if matches!(setup.steps.last(), Some(Step::ExecReaper(_))) {
                // It closes this itself once it is what it stays.
                let _ = rustix::io::fcntl_setfd(&reports_end, rustix::io::FdFlags::empty());
            }
            let failed = perform(setup);
            report::send(reports_end.as_fd(), &failed);
            exit(report::exit_code(failed.what()))
        }
    }
}

/// Gives back only a failure: success is another program.
fn perform(setup: &Setup<'_>) -> StepFailed {
    inherit::reset_signals();
    let mut child = Performer {
        person: Person::default(),
        variables: Variables::new(),
        terminal: None,
        files: None,
        made: Vec::new(),
        users: None,
        descriptors: None,
    };
    // What we hold of svcd's must not be read by whoever else is in the namespaces that we enter (CVE-2016-9962).
    let _ = rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable);
    for step in &setup.steps {
        if let Err(failed) = child.perform(step) {
            return failed;
        }
    }
    StepFailed::new("exec", 0)
}

struct Performer {
    person: Person,
    variables: Variables,
    terminal: Option<OwnedFd>,
    files: Option<landlock::Rules>,
    made: Vec<directories::Made>,
    users: Option<Users>,
    /// How many there may be, from the program on.
    descriptors: Option<Rlimit>,
}

impl Performer {
    fn perform(&mut self, step: &Step<'_>) -> Result<(), StepFailed> {
        match step {
            Step::JoinCgroups(files) => join_cgroups(files),
            Step::AwaitCgroups(promised) => promised.join(),
            Step::CgroupNamespace => {
                nix::sched::unshare(CloneFlags::CLONE_NEWCGROUP).map_err(of_nix("namespace cgroup"))
            }
            Step::Enter(holder, namespaces) => enter(*holder, *namespaces),
            Step::Join(joined) => joined.enter(),
            Step::Session => match rustix::process::setsid() {
                // Already the leader of one: PID 1 of a fresh namespace.
                Ok(_) | Err(rustix::io::Errno::PERM) => Ok(()),
                Err(error) => Err(failed("session")(error)),
            },
            Step::Terminal { path, take } => self.open_terminal(path, *take),
            Step::Clocks(offsets) => clocks::enter(offsets),
            Step::Hostname(name) => rustix::system::sethostname(name.as_bytes()).map_err(failed("hostname")),
            Step::Users(step) => step.perform(&mut self.users),
            Step::Network(step) => step.perform(self.users.as_ref()),
            Step::Directories(wanted) => directories::make(wanted).map(|made| self.made = made),
            Step::View(mounts) => view::make(mounts, self.users.as_ref()),
            Step::Access(rules) => view::hold(rules),
            Step::OwnDirectories(user, group) => self.own_directories(user.as_ref(), group.as_ref()),
            Step::OwnGroups(its, user, group) => self.own_groups(its, user.as_ref(), group.as_ref()),
            Step::Streams(streams) => streams.set(self.terminal.as_ref()),
            Step::Attach(attached, user, map) => attached.set(|| owner(user.as_ref(), map.as_ref())),
            Step::Scheduling(wanted) => scheduling::set(wanted),
            Step::OomScore(score) => scheduling::set_oom_score(*score),
            Step::Rlimits(limits) => limits.iter().try_for_each(|limit| self.set_rlimit(limit)),
            Step::Umask(mode) => set_umask(*mode),
            Step::Personality(domain) => set_personality(*domain),
            Step::Keyring => crate::sys::keyring::join_new_session().map_err(of_io("keyring-mode")),
            Step::UserKeyring => crate::sys::keyring::link_user_into_session().map_err(of_io("keyring-mode")),
            Step::Bounding(set) => capabilities::bound(*set),
            Step::Identity {
                user,
                group,
                groups,
                dynamic,
                keep_capabilities,
            } => capabilities::keep(*keep_capabilities)
                .and_then(|()| identity::become_user(user.as_ref(), group.as_ref(), groups))
                .map(|person| self.person = dynamic.clone().unwrap_or(person)),
            Step::Capabilities {
                bounding,
                ambient,
                admin,
            } => capabilities::settle(*bounding, *ambient, *admin),
            Step::Landlock(paths) => {
                self.files = Some(landlock::Rules::new(paths)?);
                Ok(())
            }
            Step::NoNewPrivileges => rustix::thread::set_no_new_privs(true).map_err(failed("no-new-privileges")),
            Step::WorkingDirectory(path) => enter_directory(path).map_err(of_io(&format!("chdir {}", path.display()))),
            Step::Environment(from) => {
                environment::gather(from, &self.person, &[]).map(|variables| self.variables = variables)
            }
            Step::Exec(execution) => {
                self.descriptors.as_ref().map_or(Ok(()), set_rlimit)?;
                execution.perform(std::mem::take(&mut self.variables), self.files.take())
            }
            Step::Connect(target) => exit(u8::from(!connect::connect(target))),
            Step::ExecReaper(program) => exec_reaper(*program),
        }
    }

    /// Until the program closes them, svcd's descriptors are here too, which may be more than a service may have: so the soft
    /// limit of those comes last.
    fn set_rlimit(&mut self, limit: &Rlimit) -> Result<(), StepFailed> {
        if limit.resource != RlimitResource::Nofile {
            return set_rlimit(limit);
        }
        self.descriptors = Some(limit.clone());
        set_rlimit(&Rlimit {
            soft: limit.hard,
            ..limit.clone()
        })
    }

    fn own_directories(&mut self, user: Option<&Account>, group: Option<&Account>) -> Result<(), StepFailed> {
        let ids = user_namespace::outside(self.users.as_ref(), identity::ids(user, group)?)?;
        directories::own(&std::mem::take(&mut self.made), ids)
    }

    fn own_groups(
        &self,
        its: &[OwnGroup<'_>],
        user: Option<&Account>,
        group: Option<&Account>,
    ) -> Result<(), StepFailed> {
        let ids = user_namespace::outside(self.users.as_ref(), identity::ids(user, group)?)?;
        groups::own(its, ids)
    }

    fn open_terminal(&mut self, path: &Path, take: bool) -> Result<(), StepFailed> {
        // Hanging it up would end us with everybody else.
        inherit::ignore_hangup();
        let opened = if take {
            terminal::take(path)
        } else {
            terminal::open(path)
        };
        self.terminal = Some(opened.map_err(of_io(&format!("terminal {}", path.display())))?);
        inherit::reset_signals();
        Ok(())
    }
}

fn exec_reaper(program: BorrowedFd<'_>) -> Result<(), StepFailed> {
    let none: [&std::ffi::CStr; 0] = [];
    let flags = nix::fcntl::AtFlags::AT_EMPTY_PATH;
    let result = nix::unistd::execveat(program, c"", &[c"svc-reaper"], &none, flags);
    result.map(|_| ()).map_err(of_nix("exec reaper"))
}

/// With no link of /proc on the way: behind one there may be a directory of svcd's own, which is still open (CVE-2024-21626).
fn enter_directory(path: &Path) -> io::Result<()> {
    Ok(rustix::process::fchdir(view::open(path)?)?)
}

fn enter(holder: BorrowedFd<'_>, namespaces: u64) -> Result<(), StepFailed> {
    let flags = CloneFlags::from_bits_retain(namespaces as i32);
    if flags.is_empty() {
        return Ok(());
    }
    setns(holder, flags).map_err(of_nix("namespace of the reaper"))
}

/// The user of the machine that one of the service's is.
fn owner(user: Option<&Account>, map: Option<&IdMap>) -> Result<Uid, StepFailed> {
    let (inside, _) = identity::ids(user, None)?;
    let outside = map.map_or(Some(inside), |map| map.outside(inside));
    outside
        .map(Uid::from_raw)
        .ok_or_else(|| StepFailed::new(format!("user {inside}"), libc::EINVAL))
}

pub(super) fn join_cgroups(files: &[BorrowedFd<'_>]) -> Result<(), StepFailed> {
    files
        .iter()
        .try_for_each(|file| rustix::io::write(file, b"0").map(|_| ()).map_err(failed("cgroup join")))
}

fn set_rlimit(limit: &Rlimit) -> Result<(), StepFailed> {
    use nix::sys::resource::{Resource, setrlimit};
    let resource = match limit.resource {
        RlimitResource::As => Resource::RLIMIT_AS,
        RlimitResource::Core => Resource::RLIMIT_CORE,
        RlimitResource::Cpu => Resource::RLIMIT_CPU,
        RlimitResource::Data => Resource::RLIMIT_DATA,
        RlimitResource::Fsize => Resource::RLIMIT_FSIZE,
        RlimitResource::Locks => Resource::RLIMIT_LOCKS,
        RlimitResource::Memlock => Resource::RLIMIT_MEMLOCK,
        RlimitResource::Msgqueue => Resource::RLIMIT_MSGQUEUE,
        RlimitResource::Nice => Resource::RLIMIT_NICE,
        RlimitResource::Nofile => Resource::RLIMIT_NOFILE,
        RlimitResource::Nproc => Resource::RLIMIT_NPROC,
        RlimitResource::Rss => Resource::RLIMIT_RSS,
        RlimitResource::Rtprio => Resource::RLIMIT_RTPRIO,
        RlimitResource::Rttime => Resource::RLIMIT_RTTIME,
        RlimitResource::Sigpending => Resource::RLIMIT_SIGPENDING,
        RlimitResource::Stack => Resource::RLIMIT_STACK,
    };
    let value = |bound: Option<u64>| bound.unwrap_or(libc::RLIM_INFINITY);
    let what = format!("rlimit {}", limit.written().0);
    setrlimit(resource, value(limit.soft), value(limit.hard)).map_err(of_nix(&what))
}

fn set_umask(mode: u32) -> Result<(), StepFailed> {
    rustix::process::umask(Mode::from_raw_mode(mode));
    Ok(())
}

fn set_personality(domain: u32) -> Result<(), StepFailed> {
    use nix::sys::personality::{Persona, set};
    let persona = Persona::from_bits_retain(domain.cast_signed());
    set(persona).map(|_| ()).map_err(of_nix("personality"))
}

fn failed(what: &str) -> impl Fn(rustix::io::Errno) -> StepFailed + use<> {
    let what = what.to_owned();
    move |error| StepFailed::new(what.clone(), error.raw_os_error())
}

fn of_nix(what: &str) -> impl Fn(nix::errno::Errno) -> StepFailed + use<> {
    let what = what.to_owned();
    move |error| StepFailed::new(what.clone(), error as i32)
}

fn of_io(what: &str) -> impl Fn(io::Error) -> StepFailed + use<> {
    let what = what.to_owned();
    move |error| StepFailed::new(what.clone(), error.raw_os_error().unwrap_or(0))
}
