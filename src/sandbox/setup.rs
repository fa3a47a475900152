//! A service to an order of steps, complete before the clone. The order that security rests on is [`command`] and
//! [`holder`], read from the top.

use std::ffi::OsString;
use std::os::fd::BorrowedFd;
use std::path::PathBuf;

use super::attached::Attached;
use super::decide::Sandbox;
use super::directories::{self, Directory};
use super::environment::Environment;
use super::execution::Execution;
use super::groups::OwnGroup;
use super::identity::Person;
use super::join::{Joined, NEWIPC, NEWNET, NEWPID};
use super::network::NetworkStep;
use super::seccomp;
use super::streams::Streams;
use super::user_namespace::UserStep;
use super::view::{self, Mount, Rule};
use super::{Context, Promised, network, privileged};
use crate::unit::namespaces::{IdMap, Namespace, TimeOffsets};
use crate::unit::{
    Account, Command, Input, KeyringMode, Landlock, Network, Privileges, Rlimit, RlimitResource, Scheduling, Target,
};

/// What a child does, in this order.
pub struct Setup<'a> {
    /// CLONE_NEW… for clone3(2).
    pub(super) namespaces: u64,
    /// The process whose pid namespace the child is cloned into.
    pub(super) into: Option<BorrowedFd<'a>>,
    pub(super) steps: Vec<Step<'a>>,
}

/// One step of a child.
pub(super) enum Step<'a> {
    /// Joins v1 cgroups: `0` to each `tasks` file. Before the cgroup namespace, which begins where it is.
    JoinCgroups(Vec<BorrowedFd<'a>>),
    /// The same of those that are still to be made.
    AwaitCgroups(Promised<'a>),
    /// A cgroup namespace whose root is the unit's group.
    CgroupNamespace,
    /// Enters these namespaces (CLONE_NEW…) of the holder.
    Enter(BorrowedFd<'a>, u64),
    /// Enters a namespace of another unit's.
    Join(Joined<'a>),
    /// A session without a terminal.
    Session,
    /// The machine's terminal of that name, from before there are namespaces; with `take` as the session's own.
    Terminal {
        path: PathBuf,
        take: bool,
    },
    /// A time namespace, before /proc is another.
    Clocks(TimeOffsets),
    /// Of its user namespace.
    Users(UserStep<'a>),
    Hostname(Box<str>),
    /// Of its network namespace.
    Network(NetworkStep<'a>),
    /// Makes the directories that it is given, where the machine has them.
    Directories(Vec<Directory>),
    /// What of the machine's files it sees.
    View(Vec<Mount>),
    /// Makes those directories its user's, who is looked up in its own root.
    OwnDirectories(Option<Account>, Option<Account>),
    /// Makes the groups that it manages its user's, who is looked up likewise.
    OwnGroups(Vec<OwnGroup<'a>>, Option<Account>, Option<Account>),
    /// What of all that it can write, execute, reach.
    Access(Vec<Rule>),
    Streams(Streams<'a>),
    /// The caller's in place of those; a new terminal is this user's, who has another id outside of its user namespace.
    Attach(Attached<'a>, Option<Account>, Option<IdMap>),
    Scheduling(&'a Scheduling),
    /// Before any namespace, whose /proc may be another.
    OomScore(i16),
    Rlimits(Vec<Rlimit>),
    Umask(u32),
    /// The execution domain of personality(2).
    Personality(u32),
    /// A session keyring of its own, made as root so that it counts against no user's quota.
    Keyring,
    /// The user's keyring in it.
    UserKeyring,
    /// Drops what is not in it from the bounding set.
    Bounding(u64),
    Identity {
        user: Option<Account>,
        group: Option<Account>,
        groups: Vec<Account>,
        /// What no file says of a user that is there for this service only.
        dynamic: Option<Person>,
        /// The permitted set is needed after it.
        keep_capabilities: bool,
    },
    /// The other four sets: see [`super::capabilities::settle`].
    Capabilities {
        bounding: Option<u64>,
        ambient: u64,
        admin: bool,
    },
    NoNewPrivileges,
    /// Looks the paths up, while that is not restricted; the rules hold from right before the filter.
    Landlock(&'a Landlock),
    WorkingDirectory(PathBuf),
    Environment(Environment<'a>),
    Exec(Execution<'a>),
    /// Connects, and ends with 0 where it is well there.
    Connect(Target),
    /// The reaper's program, by descriptor.
    ExecReaper(BorrowedFd<'a>),
}

const NEWNS: u64 = libc::CLONE_NEWNS as u64;
const NEWUTS: u64 = libc::CLONE_NEWUTS as u64;
const NEWCGROUP: u64 = libc::CLONE_NEWCGROUP as u64;
const NEWTIME: u64 = libc::CLONE_NEWTIME as u64;
/// Those that are not made by the clone: a cgroup namespace begins where its first process is by then, and a time
/// namespace's clocks are set before a process is in it.
const LATER: u64 = NEWCGROUP | NEWTIME;
/// Those that belong to the service's user namespace, where it has one: its root may configure them. What it sees of the
/// machine's files and processes is not its own.
const OF_USERS: u64 = NEWIPC | NEWUTS | NEWNET;

impl Sandbox {
    /// A process keeps the service's namespaces for its commands.
    pub fn needs_holder(&self) -> bool {
        self.isolation.init && self.has_namespaces()
    }

    /// Something of the machine's is not shared.
    pub fn has_namespaces(&self) -> bool {
        namespaces(self) != 0 || self.isolation.user.is_some()
    }

    /// It sees files of its own.
    pub fn has_own_mounts(&self) -> bool {
        self.isolation.mount
    }
}

/// Those that the clone makes, and those that are made in the user namespace.
fn made(context: &Context<'_>) -> (u64, u64) {
    let joined = context.sandbox.joins().iter().map(|join| join.namespace).sum::<u64>();
    let all = namespaces(context.sandbox) & !LATER & !joined & !network::by_step(context);
    match context.sandbox.isolation.user {
        None => (all, 0),
        Some(_) => (all & !OF_USERS, all & OF_USERS),
    }
}

pub(super) fn namespaces(sandbox: &Sandbox) -> u64 {
    let isolation = &sandbox.isolation;
    let each = [
        (isolation.mount, NEWNS),
        (isolation.pid != Namespace::Shared, NEWPID),
        (isolation.ipc != Namespace::Shared, NEWIPC),
        (isolation.uts, NEWUTS),
        (isolation.cgroup, NEWCGROUP),
        (isolation.time.is_some(), NEWTIME),
        (sandbox.network != Network::Host, NEWNET),
    ];
    each.iter().filter(|(on, _)| *on).map(|(_, flag)| flag).sum()
}

/// The order of the process that keeps the namespaces.
pub fn holder<'a>(context: &Context<'a>) -> Setup<'a> {
    let mut steps = vec![Step::JoinCgroups(context.join_files.to_vec()), Step::Session];
    namespace_steps(context, &mut steps);
    // The root of the cgroup namespace is the group that it was made in, which the service may want to be without processes.
    steps.extend(context.step_beside.map(|procs| Step::JoinCgroups(vec![procs])));
    user_steps(context, None, &mut steps);
    steps.push(Step::ExecReaper(context.reaper));
    Setup {
        namespaces: made(context).0,
        into: context.joined_pid(),
        steps,
    }
}

/// The order of one command.
pub fn command<'a>(context: &Context<'a>, command: &Command, holder: Option<BorrowedFd<'a>>) -> Setup<'a> {
    if command.privileges == Privileges::Full {
        return privileged::command(context, command);
    }
    let service = context.service;
    let all = namespaces(context.sandbox);
    let mut steps = vec![Step::JoinCgroups(context.join_files.to_vec()), Step::Session];
    if service.scheduling.oom_score_adj != context.kernel.oom_score_adj {
        steps.push(Step::OomScore(service.scheduling.oom_score_adj));
    }
    let streams = streams(context);
    let needs_terminal = context.attached.is_none() && streams.need_terminal();
    let terminal = needs_terminal.then(|| service.tty_path.clone());
    steps.extend(terminal.clone().map(|path| Step::Terminal {
        path,
        take: streams.from_terminal,
    }));
    let into;
    match holder {
        Some(holder) => {
            steps.push(Step::Enter(holder, all & !NEWPID));
            steps.extend(context.maker().map(UserStep::MakeFilesAs).map(Step::Users));
            into = Some(holder).filter(|_| all & NEWPID != 0);
        }
        None => {
            into = context.joined_pid();
            namespace_steps(context, &mut steps);
        }
    }
    steps.push(match context.attached {
        None => Step::Streams(streams),
        Some(attached) => Step::Attach(attached, context.accounts().0, context.user_map()),
    });
    process_steps(context, &mut steps);
    if let Some(paths) = &context.sandbox.isolation.landlock {
        steps.push(Step::Landlock(paths));
    }
    user_steps(context, holder, &mut steps);
    privilege_steps(context, command.privileges, &mut steps);
    steps.push(Step::WorkingDirectory(
        service.working_directory.clone().unwrap_or_else(|| PathBuf::from("/")),
    ));
    steps.push(Step::Environment(environment(context, terminal)));
    steps.push(Step::Exec(Execution {
        descriptors: context.descriptors.clone(),
        command: command.clone(),
        path: service.exec_search_path.clone(),
        ignore_sigpipe: service.ignore_sigpipe,
        filter: context.sandbox.filter.as_deref(),
    }));
    let own = if holder.is_some() { 0 } else { made(context).0 };
    Setup {
        namespaces: own,
        into,
        steps,
    }
}

/// What is the process's own, whoever it runs as.
pub(super) fn process_steps<'a>(context: &Context<'a>, steps: &mut Vec<Step<'a>>) {
    let service = context.service;
    steps.push(Step::Scheduling(&service.scheduling));
    let nofile = context.nofile.map(|(soft, hard)| Rlimit {
        resource: RlimitResource::Nofile,
        soft: Some(soft),
        hard: Some(hard),
    });
    steps.push(Step::Rlimits(
        nofile.into_iter().chain(service.rlimits.clone()).collect(),
    ));
    steps.push(Step::Umask(service.umask));
    if let Some(domain) = context.sandbox.isolation.personality.and_then(seccomp::domain) {
        steps.push(Step::Personality(domain));
    }
    if context.sandbox.isolation.keyring_mode != KeyringMode::Inherit {
        steps.push(Step::Keyring);
    }
}

/// Who it runs as, and what it may do from then on.
fn privilege_steps<'a>(context: &Context<'a>, privileges: Privileges, steps: &mut Vec<Step<'a>>) {
    let (service, isolation) = (context.service, &context.sandbox.isolation);
    // Without no-new-privileges, a filter and rules for files are given by CAP_SYS_ADMIN.
    let given = context.sandbox.filter.is_some() || isolation.landlock.is_some();
    let admin = given && !isolation.no_new_privileges;
    if let Some(set) = isolation.bounding() {
        steps.push(Step::Bounding(set));
    }
    let as_root = privileges != Privileges::Own;
    let (user, group) = if as_root { (None, None) } else { context.accounts() };
    let groups = if as_root {
        Vec::new()
    } else {
        service.supplementary_groups.clone()
    };
    let dynamic = context.dynamic_user.filter(|_| !as_root);
    steps.push(Step::Identity {
        user,
        group,
        groups,
        dynamic: dynamic.map(|_| dynamic_person(context)),
        keep_capabilities: admin || isolation.ambient_capabilities != 0,
    });
    if isolation.keyring_mode == KeyringMode::Shared {
        steps.push(Step::UserKeyring);
    }
    steps.push(Step::Capabilities {
        bounding: isolation.bounding(),
        ambient: isolation.ambient_capabilities,
        admin,
    });
    if isolation.no_new_privileges {
        steps.push(Step::NoNewPrivileges);
    }
}

/// Called as the unit says, or as the unit is.
fn dynamic_person(context: &Context<'_>) -> Person {
    let name = match &context.service.user {
        Some(Account::Name(name)) => name.to_string(),
        Some(Account::Id(_)) | None => context.unit.name.to_string(),
    };
    Person {
        name: Some(name),
        home: Some("/".to_owned()),
        shell: Some("/usr/sbin/nologin".to_owned()),
    }
}

pub(super) fn streams<'a>(context: &Context<'a>) -> Streams<'a> {
    let service = context.service;
    Streams {
        log: context.output,
        from_terminal: context.reads_input && service.standard_input == Input::Tty,
        from_socket: context.reads_input && service.standard_input == Input::Socket,
        data: service.input_data(),
        socket: context.descriptors.first().map(|(socket, _)| *socket),
        output: service.standard_output.clone(),
        error: service.standard_error.clone(),
    }
}

pub(super) fn environment<'a>(context: &Context<'a>, terminal: Option<PathBuf>) -> Environment<'a> {
    let service = context.service;
    let passed = |name: &OsString| service.pass_environment.iter().any(|wanted| *name == **wanted);
    Environment {
        terminal,
        set: &service.environment,
        passed: context
            .inherited
            .iter()
            .filter(|(name, _)| passed(name))
            .cloned()
            .collect(),
        files: service.environment_file.clone(),
        told: [context.environment.clone(), directories::variables(context)].concat(),
        unset: service.unset_environment.clone(),
    }
}

/// Into its user namespace, where it has one, and into what belongs to that: the holder's, or new ones.
fn user_steps<'a>(context: &Context<'a>, holder: Option<BorrowedFd<'a>>, steps: &mut Vec<Step<'a>>) {
    let isolation = &context.sandbox.isolation;
    match (context.user_map(), holder) {
        (Some(map), Some(holder)) => steps.push(Step::Users(UserStep::EnterOf(holder, map))),
        (Some(_), None) => steps.push(Step::Users(UserStep::Enter(made(context).1))),
        (None, _) => {}
    }
    if holder.is_some() {
        return;
    }
    if let Some(hostname) = isolation.hostname.clone().filter(|_| isolation.uts) {
        steps.push(Step::Hostname(hostname));
    }
    steps.extend(NetworkStep::finish(context).map(Step::Network));
}

/// What is done once for a set of namespaces, with svcd's power over the machine.
fn namespace_steps<'a>(context: &Context<'a>, steps: &mut Vec<Step<'a>>) {
    let isolation = &context.sandbox.isolation;
    steps.extend(context.joined_otherwise().map(Step::Join));
    steps.extend(UserStep::make(context).map(Step::Users));
    steps.extend(NetworkStep::enter(context).map(Step::Network));
    let own_cgroup = isolation.cgroup.then_some(Step::CgroupNamespace);
    let (now, later) = match context.promised.map(Step::AwaitCgroups) {
        None => (own_cgroup, vec![]),
        Some(join) => (None, [Some(join), own_cgroup].into_iter().flatten().collect()),
    };
    steps.extend(now);
    steps.extend(isolation.time.map(Step::Clocks));
    let directories = directories::of(context);
    let has_directories = !directories.is_empty();
    if has_directories {
        steps.push(Step::Directories(directories));
    }
    if isolation.mount {
        steps.push(Step::View(view::of(context)));
    }
    if has_directories {
        let (user, group) = context.accounts();
        steps.push(Step::OwnDirectories(user, group));
    }
    if !context.own_groups.is_empty() {
        let (user, group) = context.accounts();
        steps.push(Step::OwnGroups(context.own_groups.clone(), user, group));
    }
    if isolation.mount {
        steps.push(Step::Access(view::access(context)));
    }
    steps.extend(later);
}
