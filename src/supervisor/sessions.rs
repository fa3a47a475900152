//! Commands of clients beside a unit's own: `svc exec`. They are started as the unit's own commands are, into its
//! namespaces and its cgroup, and end with it; the engine knows nothing of them.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::rc::Rc;

use rustix::fs::{FileType, OFlags, fcntl_getfl, fstat};

use super::Supervisor;
use super::answers::errno_name;
use super::poll::Who;
use crate::control::call::Call;
use crate::control::reply::{Failure, Told, reply};
use crate::control::{Exec, WindowSize, returns, view};
use crate::engine::UnitId;
use crate::engine::event::{End, SpawnFailure};
use crate::sandbox::Attached;
use crate::unit::value::parse_account;
use crate::unit::{Command, Kind, Service};

/// Descriptors for a command that is to be started.
#[derive(Debug)]
pub struct Attachment {
    channel: OwnedFd,
    streams: Option<[OwnedFd; 3]>,
    size: Option<WindowSize>,
}

impl Attachment {
    /// Takes a caller's descriptors for what they are. None: there are none.
    ///
    /// # Errors
    /// Other than one or four; the first no socket; a stream that is a directory, by which the command could leave its
    /// root.
    pub fn of(given: Vec<OwnedFd>, size: Option<WindowSize>) -> Result<Option<Self>, Failure> {
        let wrong = || Failure::InvalidParameter("descriptors".to_owned());
        let mut given = given.into_iter();
        let Some(channel) = given.next() else { return Ok(None) };
        let streams: Vec<OwnedFd> = given.collect();
        let streams = match <[OwnedFd; 3]>::try_from(streams) {
            Ok(streams) => Some(streams),
            Err(none) if none.is_empty() => None,
            Err(_) => return Err(wrong()),
        };
        let is_socket = kind_of(&channel) == Some(FileType::Socket);
        if !is_socket || streams.iter().flatten().any(leads_to_files) {
            return Err(wrong());
        }
        Ok(Some(Self { channel, streams, size }))
    }

    /// As the child has them. `log` is where output goes once the caller has turned away.
    pub fn given<'a>(&'a self, log: Option<BorrowedFd<'a>>) -> Attached<'a> {
        let streams = self.streams.as_ref();
        Attached {
            channel: self.channel.as_fd(),
            streams: streams.map(|streams| streams.each_ref().map(AsFd::as_fd)),
            size: self.size.map(|size| (size.rows, size.columns)),
            log,
        }
    }
}

fn kind_of(fd: &OwnedFd) -> Option<FileType> {
    fstat(fd).ok().map(|found| FileType::from_raw_mode(found.st_mode))
}

fn leads_to_files(fd: &OwnedFd) -> bool {
    let is_path = fcntl_getfl(fd).is_ok_and(|flags| flags.contains(OFlags::PATH));
    is_path || matches!(kind_of(fd), None | Some(FileType::Directory))
}

impl Supervisor {
    /// Answered when the command has ended, or could not begin.
    pub(super) fn exec(&mut self, client: u64, call: &Call, order: &Exec, given: Vec<OwnedFd>) {
        if let Err(failure) = self.try_exec(client, order, given) {
            self.requests.attached.remove(&client);
            self.respond(client, call, Err(failure));
        }
    }

    fn try_exec(&mut self, client: u64, order: &Exec, given: Vec<OwnedFd>) -> Result<(), Failure> {
        let what = format!("exec {}", order.unit);
        let told = |why: &str| Told {
            what: what.clone(),
            why: why.to_owned(),
            hint: None,
        };
        let attachment =
            Attachment::of(given, order.size)?.ok_or_else(|| Failure::InvalidParameter("descriptors".to_owned()))?;
        let unit = self
            .engine
            .find(&order.unit)
            .ok_or_else(|| self.no_such_unit(&order.unit))?;
        let life = self.lives.get(&unit).filter(|life| life.started().next().is_some());
        let Some(life) = life else {
            return Err(Failure::Failed(told("it does not run")));
        };
        if let Some(why) = &life.refused {
            return Err(Failure::Unenforceable(told(&format!("{}: {}", why.key, why.cause))));
        }
        let Kind::Service(service) = &life.unit.kind else {
            return Err(Failure::Failed(told("it is no service")));
        };
        let holds_namespaces = life.holder.as_ref().or_else(|| life.main());
        let ready = holds_namespaces.is_some_and(|process| process.report.is_none());
        if life.sandbox.has_namespaces() && !ready {
            return Err(Failure::Failed(told(
                "it has no process whose namespaces could be entered",
            )));
        }
        let (service, command) = changed(order, service)?;
        self.requests.attached.insert(client, attachment);
        let started = self.start_process(unit, Who::Session(client), Some(&command), Some(&service));
        started.map_err(|failure| Failure::Failed(told(&describe(&failure))))
    }

    /// What this writes goes to its caller alone: the unit needs no log for it.
    pub(super) fn writes_to_caller(&self, unit: UnitId, who: Who) -> bool {
        let caller = self.caller_of(unit, who);
        let attachment = caller.and_then(|client| self.requests.attached.get(&client));
        attachment.is_some_and(|attachment| attachment.streams.is_some())
    }

    /// It could not begin: the caller hears of the step.
    pub(super) fn session_failed(&mut self, client: u64, failure: &SpawnFailure) {
        let answer = returns::Executed {
            failed_step: Some(failure.step.to_string()),
            errno: errno_name(failure.errno),
            ..returns::Executed::default()
        };
        self.end_session(client, &answer);
    }

    /// It has ended.
    pub(super) fn session_ended(&mut self, client: u64, end: End) {
        let (code, signal) = words(end);
        let answer = returns::Executed {
            code,
            signal,
            ..returns::Executed::default()
        };
        self.end_session(client, &answer);
    }

    fn end_session(&mut self, client: u64, answer: &returns::Executed) {
        self.clients.send(client, &reply(answer, false), &mut self.poll);
        self.clients.finish(client, &mut self.poll);
        self.serve(client);
    }
}

/// The unit's service, changed as the caller wants it.
fn changed(order: &Exec, service: &Service) -> Result<(Service, Command), Failure> {
    let invalid = |name: &str| Failure::InvalidParameter(name.to_owned());
    let mut service = service.clone();
    let variables = Rc::make_mut(&mut service.environment);
    for pair in &order.environment {
        let (name, value) = pair.split_once('=').ok_or_else(|| invalid("environment"))?;
        variables.insert(name.into(), value.into());
    }
    if let Some(user) = &order.user {
        let (user, group) = match user.split_once(':') {
            Some((user, group)) => (user, Some(group)),
            None => (user.as_str(), None),
        };
        let account = |text: &str| parse_account(text).map_err(|_| invalid("user"));
        service.user = Some(account(user)?);
        service.group = group.map(account).transpose()?;
        service.supplementary_groups = Vec::new();
        service.dynamic_user = false;
    }
    if let Some(directory) = &order.working_directory {
        service.working_directory = Some(directory.into());
    }
    let command = Command::literal(&order.command).ok_or_else(|| invalid("command"))?;
    Ok((service, command))
}

/// The answer to Run.
pub fn ran(outcomes: Vec<view::Outcome>, end: Option<End>) -> returns::Ran {
    match end.map(words) {
        Some((code, signal)) => returns::Ran {
            outcomes: Vec::new(),
            code,
            signal,
        },
        None => returns::Ran {
            outcomes,
            ..returns::Ran::default()
        },
    }
}

fn words(end: End) -> (Option<u8>, Option<String>) {
    match end {
        End::Code(code) => (Some(code), None),
        End::Signal(signal) => (None, Some(signal.name())),
    }
}

fn describe(failure: &SpawnFailure) -> String {
    let errno = errno_name(failure.errno).map(|name| format!(": {name}"));
    let detail = Some(&failure.detail).filter(|detail| !detail.is_empty());
    let detail = detail.map(|detail| format!(": {detail}"));
    format!(
        "{}{}{}",
        failure.step,
        errno.unwrap_or_default(),
        detail.unwrap_or_default()
    )
}
