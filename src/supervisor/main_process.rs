//! Which process of a unit is the main one, where that is another than the one that svcd has started: it says so
//! (`MAINPID=`, sd_notify(3)), or its first process has ended and left it behind (systemd.service(5), `Type=forking`).
//!
//! Whoever is named must be of the unit's own cgroup, and is watched by pidfd from then on. A PID file is in the service's
//! root, where anything may be, so a child reads it.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{FileType, Mode, OFlags, ResolveFlags, fstat, open, openat2};
use rustix::io::read;
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use super::lives::{Life, Process};
use super::poll::{Source, Token, Who};
use super::{Supervisor, clock, processes};
use crate::engine::event::{Event, Found, Mono, Role};
use crate::engine::{RunId, UnitId};
use crate::sys::child;
use crate::sys::clone::{Cloned, clone3};
use crate::unit::Kind;

/// The first pause before a PID file that is not there yet is looked for again; it doubles up to the second.
const PAUSE_FIRST: Duration = Duration::from_millis(5);
const PAUSE_MAX: Duration = Duration::from_millis(500);

/// A number and a line end need no more.
const FILE_BYTES_MAX: usize = 32;

/// Units whose PID files are awaited.
#[derive(Debug, Default)]
pub struct Searches(BTreeMap<UnitId, Search>);

#[derive(Debug)]
struct Search {
    run: RunId,
    /// The child that looks now; it writes the number, or 0, and ends.
    look: Option<(OwnedFd, Token)>,
    /// When the next one does, and the pause after that.
    again: Option<Mono>,
    pause: Duration,
    /// It was said already that the file names nobody of the unit.
    told: bool,
}

impl Searches {
    /// When the next look is due.
    pub fn deadline(&self) -> Option<Mono> {
        self.0.values().filter_map(|search| search.again).min()
    }
}

impl Supervisor {
    /// Carries [`crate::engine::Action::FindMain`] out.
    pub(super) fn find_main(&mut self, run: RunId) {
        let Some(life) = self.lives.get(&run.unit).filter(|life| life.run == run) else {
            return;
        };
        let has_file = matches!(&life.unit.kind, Kind::Service(service) if service.pid_file.is_some());
        if has_file {
            let search = Search {
                run,
                look: None,
                again: None,
                pause: PAUSE_FIRST,
                told: false,
            };
            self.searches.0.insert(run.unit, search);
            return self.look_for_main(run.unit);
        }
        let found = match left_behind(life).as_slice() {
            [] => Found::Nobody("its first process left nobody behind".into()),
            [main] => match self.set_main(run.unit, *main) {
                true => Found::Process,
                false => Found::Nobody("its only process ended".into()),
            },
            _ => Found::Several,
        };
        self.queue.push_back(Event::MainFound { run, found });
    }

    fn look_for_main(&mut self, unit: UnitId) {
        let Some(search) = self.searches.0.get_mut(&unit) else {
            return;
        };
        let run = search.run;
        search.again = None;
        let life = self.lives.get(&unit).filter(|life| life.run == run);
        let awaited = self
            .engine
            .awaited(unit)
            .is_some_and(|(its, awaited)| its == run && awaited.find_main);
        let Some(life) = life.filter(|_| awaited) else {
            self.forget_search(unit);
            return;
        };
        let members = life.members();
        if members.is_empty() {
            self.forget_search(unit);
            let found = Found::Nobody("its first process left nobody behind".into());
            return self.queue.push_back(Event::MainFound { run, found });
        }
        let Kind::Service(service) = &life.unit.kind else {
            return;
        };
        let Some(file) = service.pid_file.clone() else { return };
        let seen_by = life
            .holder
            .as_ref()
            .map(|holder| holder.pid)
            .or(members.first().copied());
        let root = seen_by.and_then(|pid| processes::file(pid, "root"));
        let look = start_look(root, &file).and_then(|answer| {
            let token = self.poll.add(&answer, Source::MainLooked(unit))?;
            Ok((answer, token))
        });
        match look {
            Ok(look) => search.look = Some(look),
            Err(_) => self.look_later(unit),
        }
    }

    fn look_later(&mut self, unit: UnitId) {
        if let Some(search) = self.searches.0.get_mut(&unit) {
            search.again = Some(Mono(clock::mono().0 + search.pause));
            search.pause = (search.pause * 2).min(PAUSE_MAX);
        }
    }

    fn forget_search(&mut self, unit: UnitId) {
        if let Some(Search {
            look: Some((answer, token)),
            ..
        }) = self.searches.0.remove(&unit)
        {
            self.poll.remove(&answer, token);
        }
    }

    /// A child has looked at a PID file.
    pub(super) fn on_main_looked(&mut self, unit: UnitId) {
        let Some(search) = self.searches.0.get_mut(&unit) else {
            return;
        };
        let Some((answer, token)) = search.look.take() else {
            return;
        };
        self.poll.remove(&answer, token);
        let mut bytes = [0; 4];
        let number = match read(&answer, &mut bytes) {
            Ok(4) => u32::from_ne_bytes(bytes),
            Ok(_) | Err(_) => 0,
        };
        let run = search.run;
        let named = self.lives.get(&unit).and_then(|life| {
            let namespace = left_behind(life).first().and_then(|pid| processes::pid_namespace(*pid));
            member(life, number, namespace.as_deref())
        });
        if let Some(pid) = named
            && self.set_main(unit, pid)
        {
            self.forget_search(unit);
            let found = Found::Process;
            return self.queue.push_back(Event::MainFound { run, found });
        }
        if number != 0
            && let Some(search) = self.searches.0.get_mut(&unit)
            && !std::mem::replace(&mut search.told, true)
            && let Some(life) = self.lives.get(&unit)
        {
            tracing::warn!(
                "{}: its PID file names {number}, which is no process of it",
                life.unit.name
            );
        }
        self.look_later(unit);
    }

    /// Looks again at the PID files whose pause is over.
    pub(super) fn searches_due(&mut self, now: Mono) {
        let due = self
            .searches
            .0
            .iter()
            .filter(|(_, search)| search.again.is_some_and(|at| at <= now));
        let due: Vec<UnitId> = due.map(|(unit, _)| *unit).collect();
        due.into_iter().for_each(|unit| self.look_for_main(unit));
    }

    /// A process of the unit, which is root or this user, says that the main one is of this number, in its own pid
    /// namespace.
    pub(super) fn on_main_pid(&mut self, unit: UnitId, number: u32, sender: i32, uid: u32) {
        let Some(life) = self.lives.get(&unit) else { return };
        let namespace = processes::pid_namespace(sender);
        let named = member(life, number, namespace.as_deref());
        let allowed = named.filter(|pid| uid == 0 || processes::user(*pid) == Some(uid));
        if !allowed.is_some_and(|pid| self.set_main(unit, pid))
            && let Some(life) = self.lives.get(&unit)
        {
            tracing::warn!("{}: MAINPID={number} by process {sender} is refused", life.unit.name);
        }
    }

    /// From now on this is the main process, if it is still one of the unit's. The one before, if it is there yet, is
    /// reaped as orphans are.
    fn set_main(&mut self, unit: UnitId, pid: i32) -> bool {
        let Some(life) = self.lives.get(&unit) else {
            return false;
        };
        if life.main().is_some_and(|main| main.pid == pid) {
            return true;
        }
        let opened = Pid::from_raw(pid).map(|pid| pidfd_open(pid, PidfdFlags::empty()));
        // The number may be somebody else's by now: only one that is still a member is it.
        let still = life.members().contains(&pid);
        let (Some(Ok(pidfd)), true) = (opened, still) else {
            return false;
        };
        let main = life.commands.iter().find(|(role, _)| matches!(role, Role::Main(_)));
        let who = Who::Command(main.map_or(Role::Main(0), |(role, _)| *role));
        let Ok(token) = self.poll.add(&pidfd, Source::Process(unit, who)) else {
            return false;
        };
        drop(self.take_process(unit, who));
        self.owners.insert(pid, (unit, who));
        let process = Process {
            pid,
            pidfd,
            token,
            report: None,
            failed: false,
        };
        if let Some(life) = self.lives.get_mut(&unit) {
            life.put(who, process);
        }
        true
    }
}

/// The process of the unit that has this number in that pid namespace.
fn member(life: &Life, number: u32, namespace: Option<&Path>) -> Option<i32> {
    let namespace = namespace?;
    life.members().into_iter().find(|pid| {
        processes::inside_pid(*pid) == Some(number) && processes::pid_namespace(*pid).as_deref() == Some(namespace)
    })
}

/// The processes of the unit that none of it has started; all of them, where every one was.
fn left_behind(life: &Life) -> Vec<i32> {
    let members = life.members();
    let is_child = |pid: &i32| processes::parent(*pid).is_some_and(|parent| members.contains(&parent));
    let orphans: Vec<i32> = members.iter().copied().filter(|pid| !is_child(pid)).collect();
    if orphans.is_empty() { members } else { orphans }
}

/// Clones the child, which is reaped with the orphans.
fn start_look(root: Option<PathBuf>, file: &Path) -> io::Result<OwnedFd> {
    let (answer, writer) = pipe_with(PipeFlags::CLOEXEC)?;
    let null = open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())?;
    match clone3(0, None)? {
        Cloned::Parent { .. } => Ok(answer),
        Cloned::Child => {
            child::close_all_but(&[writer.as_fd()], null.as_fd());
            let number = read_number(&root.unwrap_or_else(|| PathBuf::from("/")), file).unwrap_or(0);
            let _ = rustix::io::write(&writer, &number.to_ne_bytes());
            child::exit(0)
        }
    }
}

/// The number in a file below a root. None: there is none, or it is no such file.
fn read_number(root: &Path, file: &Path) -> Option<u32> {
    let root = open(root, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).ok()?;
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let within = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    let file = openat2(&root, file, flags, Mode::empty(), within).ok()?;
    let is_file = fstat(&file).is_ok_and(|meta| FileType::from_raw_mode(meta.st_mode) == FileType::RegularFile);
    let mut bytes = [0; FILE_BYTES_MAX];
    let count = read(&file, &mut bytes).ok().filter(|_| is_file)?;
    std::str::from_utf8(bytes.get(..count)?).ok()?.trim().parse().ok()
}
