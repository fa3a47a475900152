//! `up`: a supervisor in the foreground. It runs in a child, with directories of its own that go with it; here its
//! units' output and their moves are followed until Ctrl-C, and then it is told to end.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal};
use rustix::process::WaitIdOptions;

use super::check;
use super::failure::{Failure, Kind, reason};
use super::session::Session;
use super::time;
use crate::control::client::{Client, Error};
use crate::control::returns::{Changes, Ending, Outcomes, Statuses};
use crate::control::view::{OutcomeKind, UnitStatus};
use crate::control::{Request, Verb, Whom};
use crate::log::read::Follower;
use crate::unit::UnitSet;
use crate::unit::load::{SearchPath, load};

mod nest;
mod notices;
mod screen;

use nest::Nest;
use notices::Lines;
use screen::Screen;

/// What `svc up` runs: the command line knows no supervisor, so that it is given one.
#[derive(Clone, Copy, Debug)]
pub struct Foreground {
    /// Clones a child that runs a supervisor.
    pub start: fn(UpRequest) -> io::Result<Started>,
}

/// What the supervisor is started with.
#[derive(Debug)]
pub struct UpRequest {
    /// The one directory of its units.
    pub units: PathBuf,
    /// Its own, to be filled and left behind.
    pub runtime_dir: PathBuf,
    /// The same.
    pub state_dir: PathBuf,
    /// The same.
    pub log_dir: PathBuf,
    /// The name of its cgroup.
    pub cgroup: String,
}

/// A supervisor that was started.
#[derive(Debug)]
pub struct Started {
    /// For signals, and readable once it has ended.
    pub pidfd: OwnedFd,
    /// It ends, in order, when this is closed: when we are gone, however.
    pub lifeline: OwnedFd,
    /// What it says of itself, line by line.
    pub notices: OwnedFd,
    /// Why it can do less than all: it runs without root.
    pub restricted: Option<String>,
}

/// How long the supervisor may take until it answers. It does within 20 ms.
const PATIENCE: Duration = Duration::from_secs(10);

/// When most units are up, after the start: from here the use of CPU is measured …
const FIRST_LOOK_AFTER: Duration = Duration::from_secs(1);

/// … until here, when it is told once what is enforced and how near units are to their limits.
const SECOND_LOOK_AFTER: Duration = Duration::from_secs(2);

/// `svc up`.
///
/// # Errors
/// [`Failure`]: no unit is valid, or the supervisor cannot be started, or it ends before it is told to.
pub fn run(session: &mut Session<'_>, dir: &Path, foreground: &Foreground) -> Result<(), Failure> {
    let what = format!("up {}", dir.display());
    let dir = dir.canonicalize().map_err(|error| failed(&what, "directory", &error))?;
    let set = read_units(session, &what, &dir)?;
    // Held back until the supervisor is cloned, which must not take our handlers along.
    let held = [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP]
        .into_iter()
        .collect::<SigSet>();
    held.thread_block()
        .map_err(|errno| failed(&what, "signals", &errno.into()))?;
    let mut nest = Nest::new().map_err(|error| failed(&what, "directory of its own", &error))?;
    session.out.flush()?;
    let started = (foreground.start)(nest.request(dir)).map_err(|error| failed(&what, "start a supervisor", &error))?;
    let mut up = Up::new(session, what.clone(), &set, &nest, started)?;
    held.thread_unblock()
        .map_err(|errno| failed(&what, "signals", &errno.into()))?;
    let followed = up.begin().and_then(|()| up.go_on());
    let ended = up.end();
    nest.remove()
        .map_err(|error| failed(&what, "remove its directory", &error))?;
    followed.and(ended)
}

fn failed(what: &str, step: &str, error: &io::Error) -> Failure {
    Failure::new(Kind::Failed, what, format_args!("{step}: {}", reason(error)))
}

/// Reads the units once before anything runs: what is wrong is drawn; to go on, something must be right.
fn read_units(session: &mut Session<'_>, what: &str, dir: &Path) -> Result<UnitSet, Failure> {
    let set = load(&SearchPath::new(vec![dir.to_owned()]));
    check::draw(&set.findings, session.err)?;
    let usable = set.units.keys().any(|name| name.as_str() != "default");
    match (usable, set.findings.is_empty()) {
        (true, _) => Ok(set),
        (false, false) => Err(Failure::new(Kind::Invalid, what, "none of its units is valid")),
        (false, true) => Err(
            Failure::new(Kind::Invalid, what, format_args!("no unit file in {}", dir.display()))
                .hint("a unit is a file NAME.toml; units/demo has examples"),
        ),
    }
}

/// Everything that is waited for at once, and where it is shown.
struct Up<'a, 'b> {
    session: &'a mut Session<'b>,
    what: String,
    screen: Screen,
    socket: PathBuf,
    pidfd: OwnedFd,
    /// Let go of at the end: the supervisor ends then if it has not yet.
    lifeline: Option<OwnedFd>,
    restricted: Option<String>,
    notices: Lines,
    logs: Follower,
    signals: UnixStream,
    /// The stream of moves; none before the supervisor answers, and once it has hung up.
    watch: Option<Client>,
    /// Where the answer to Shutdown comes, once it was asked for.
    ending: Option<Client>,
    /// How often we were told to stop.
    interrupts: u32,
    looks: Looks,
}

impl<'a, 'b> Up<'a, 'b> {
    fn new(
        session: &'a mut Session<'b>,
        what: String,
        set: &UnitSet,
        nest: &Nest,
        started: Started,
    ) -> Result<Self, Failure> {
        let logs = Follower::new(&nest.log_dir()).map_err(|error| failed(&what, "follow the logs", &error))?;
        Ok(Self {
            screen: Screen::new(set.units.keys().map(|name| name.as_str()), session.json),
            session,
            socket: nest.socket(),
            pidfd: started.pidfd,
            lifeline: Some(started.lifeline),
            restricted: started.restricted,
            notices: Lines::new(started.notices).map_err(|error| failed(&what, "notices", &error))?,
            logs,
            signals: listen_for_signals().map_err(|error| failed(&what, "signals", &error))?,
            watch: None,
            ending: None,
            interrupts: 0,
            looks: Looks::new(time::now()),
            what,
        })
    }

    /// Waits until the supervisor answers, follows it, and has it start what is to run.
    fn begin(&mut self) -> Result<(), Failure> {
        let mut client = self.first_answer()?;
        let mut watch = self.connect()?;
        watch
            .set_patience(Some(PATIENCE))
            .and_then(|()| watch.send(&Request::Watch, true))
            .map_err(|error| Failure::of_call(&self.what, error))?;
        watch
            .receive::<Changes>()
            .map_err(|error| Failure::of_call(&self.what, error))?;
        self.watch = Some(watch);
        self.screen.say(
            self.session.out,
            &format!(
                "`svc --socket {} status` shows more; Ctrl-C stops all",
                self.socket.display()
            ),
        )?;
        if let Some(why) = &self.restricted {
            self.screen.say(self.session.out, why)?;
        }
        let start = Request::Job {
            verb: Verb::Start,
            units: vec!["default".to_owned()],
            wait: false,
            timeout: None,
        };
        let started: Outcomes = client
            .call(&start, Some(PATIENCE))
            .map_err(|error| Failure::of_call(&self.what, error))?;
        match started
            .outcomes
            .into_iter()
            .find(|outcome| outcome.outcome == OutcomeKind::Refused)
        {
            None => Ok(()),
            Some(refused) => {
                let why = refused
                    .why
                    .unwrap_or_else(|| "the default target is refused".to_owned());
                Err(Failure::new(Kind::Invalid, &self.what, why))
            }
        }
    }

    fn connect(&self) -> Result<Client, Failure> {
        Client::connect(&self.socket).map_err(|error| Failure::of_call(&self.what, error))
    }

    fn first_answer(&mut self) -> Result<Client, Failure> {
        let until = time::now() + micros(PATIENCE);
        loop {
            match Client::connect(&self.socket) {
                Ok(client) => return Ok(client),
                Err(Error::NoSupervisor(..)) if time::now() < until => {}
                Err(error) => return Err(Failure::of_call(&self.what, error)),
            }
            // Nothing announces a socket that begins to listen, but a look every few milliseconds finds it.
            let waited = ready(
                &[self.pidfd.as_fd(), self.signals.as_fd()],
                Some(Duration::from_millis(5)),
            )?;
            self.print_notices()?;
            match waited.as_slice() {
                [true, _] => {
                    return Err(Failure::new(
                        Kind::Failed,
                        &self.what,
                        "the supervisor ended before it answered",
                    ));
                }
                [_, true] => {
                    return Err(Failure::new(
                        Kind::Failed,
                        &self.what,
                        "interrupted before the supervisor answered",
                    ));
                }
                _ => {}
            }
        }
    }

    /// The loop: prints what comes, until the supervisor has ended.
    fn go_on(&mut self) -> Result<(), Failure> {
        loop {
            self.session.out.flush()?;
            let gone = self.wait()?;
            self.print_notices()?;
            self.print_logs()?;
            self.print_changes()?;
            self.hear_signals()?;
            self.hear_of_the_end()?;
            match (gone, self.interrupts) {
                (true, 0) => {
                    return Err(Failure::new(
                        Kind::Failed,
                        &self.what,
                        "the supervisor ended without being told to",
                    ));
                }
                (true, _) => return Ok(()),
                (false, 0) => self.look()?,
                (false, _) => {}
            }
        }
    }

    /// Waits for anything; true when the supervisor is gone.
    fn wait(&self) -> Result<bool, Failure> {
        let mut fds = vec![self.pidfd.as_fd(), self.signals.as_fd()];
        fds.extend(self.logs.fd());
        fds.extend(self.notices.fd());
        fds.extend(self.watch.as_ref().map(AsFd::as_fd));
        fds.extend(self.ending.as_ref().map(AsFd::as_fd));
        Ok(ready(&fds, self.looks.due_in(time::now()))?.first() == Some(&true))
    }

    fn print_notices(&mut self) -> Result<(), Failure> {
        for line in self.notices.ready() {
            self.screen.notice(self.session.out, &line)?;
        }
        Ok(())
    }

    fn print_logs(&mut self) -> Result<(), Failure> {
        let lines = self.logs.take();
        for line in lines.map_err(|error| failed(&self.what, "logs", &error))? {
            self.screen.line(self.session.out, &line)?;
        }
        Ok(())
    }

    /// Prints the moves that have come. What a unit printed before is in its file by the time that a move is told, so
    /// it is looked for first, and stands before it here too.
    fn print_changes(&mut self) -> Result<(), Failure> {
        while let Some(watch) = &mut self.watch {
            match watch.receive_ready::<Changes>() {
                Ok(None) => return Ok(()),
                Ok(Some(reply)) => {
                    self.print_logs()?;
                    for change in &reply.value.changes {
                        self.screen.change(self.session.out, change)?;
                    }
                    if reply.value.lagged {
                        self.screen.say(
                            self.session.out,
                            "some moves were left out: they came faster than they could be shown",
                        )?;
                    }
                }
                // That the supervisor is gone is told by its pidfd.
                Err(_) => self.watch = None,
            }
        }
        Ok(())
    }

    /// The first Ctrl-C stops all in order, the second kills what is left.
    fn hear_signals(&mut self) -> Result<(), Failure> {
        let mut bytes = [0; 16];
        while self.signals.read(&mut bytes).is_ok_and(|count| count > 0) {
            self.interrupts += 1;
            if self.interrupts == 1 {
                self.screen
                    .say(self.session.out, "stopping; Ctrl-C again kills what does not end")?;
                let mut client = self.connect()?;
                client
                    .send(&Request::Shutdown { power: None }, true)
                    .map_err(|error| Failure::of_call(&self.what, error))?;
                self.ending = Some(client);
            } else {
                self.screen.say(self.session.out, "killing")?;
                let kill = Request::Kill {
                    units: vec!["*".to_owned()],
                    signal: crate::unit::Signal::KILL,
                    whom: Whom::All,
                };
                // No answer: it has ended meanwhile, or it is killed again at the next Ctrl-C.
                let _ = self.connect()?.call::<Outcomes>(&kill, Some(PATIENCE));
            }
        }
        Ok(())
    }

    fn hear_of_the_end(&mut self) -> Result<(), Failure> {
        while let Some(client) = &mut self.ending {
            match client.receive_ready::<Ending>() {
                Ok(None) => return Ok(()),
                Ok(Some(reply)) => {
                    if let Some(progress) = &reply.value.progress {
                        self.screen.progress(self.session.out, progress)?;
                    }
                }
                Err(_) => self.ending = None,
            }
        }
        Ok(())
    }

    /// When a look is due: takes it. The second one has a word about what is enforced, and how near limits are.
    fn look(&mut self) -> Result<(), Failure> {
        let now = time::now();
        if self.looks.due_in(now).is_none_or(|due| !due.is_zero()) {
            return Ok(());
        }
        let mut client = self.connect()?;
        let asked = client.call::<Statuses>(&Request::Status { units: vec![] }, Some(PATIENCE));
        let mut statuses = asked.map_err(|error| Failure::of_call(&self.what, error))?.units;
        if self.looks.taken(now, &mut statuses) {
            self.screen.enforcement(self.session.out, &statuses)?;
        }
        Ok(())
    }

    /// Waits for the end of the supervisor, which comes now whatever happened before, and prints what is left.
    fn end(mut self) -> Result<(), Failure> {
        drop(self.lifeline.take());
        let status = loop {
            match rustix::process::waitid(
                rustix::process::WaitId::PidFd(self.pidfd.as_fd()),
                WaitIdOptions::EXITED,
            ) {
                Err(rustix::io::Errno::INTR) => {}
                other => break other.map_err(|errno| failed(&self.what, "wait for the supervisor", &errno.into()))?,
            }
        };
        self.print_notices()?;
        self.print_logs()?;
        match status.and_then(|status| status.exit_status()) {
            Some(0) => Ok(self.screen.summary(self.session.out)?),
            _ => Err(Failure::new(Kind::Failed, &self.what, "the supervisor failed")),
        }
    }
}

/// Two looks at how units are, once they have settled: one to begin to measure, one to tell.
#[derive(Debug)]
struct Looks {
    /// When the next one is due; none: both were taken.
    due: Option<i64>,
    /// CPU time of each unit at the first, in microseconds; none before it.
    cpu: Option<(i64, BTreeMap<String, u64>)>,
}

impl Looks {
    fn new(now: i64) -> Self {
        Self {
            due: Some(now + micros(FIRST_LOOK_AFTER)),
            cpu: None,
        }
    }

    fn due_in(&self, now: i64) -> Option<Duration> {
        self.due
            .map(|due| Duration::from_micros(u64::try_from(due - now).unwrap_or(0)))
    }

    /// Notes a look; at the second one, the true one, fills in the share of CPU that each limited unit has had since.
    fn taken(&mut self, now: i64, statuses: &mut [UnitStatus]) -> bool {
        let used = |status: &UnitStatus| status.usage.and_then(|usage| usage.cpu_usec);
        let Some((then, before)) = self.cpu.take() else {
            let used = statuses
                .iter()
                .filter_map(|status| Some((status.unit.clone(), used(status)?)))
                .collect();
            self.cpu = Some((now, used));
            self.due = Some(now + micros(SECOND_LOOK_AFTER));
            return false;
        };
        self.due = None;
        for status in statuses {
            let (now_used, then_used) = (used(status), before.get(&status.unit));
            if let (Some(quota), Some(used), Some(before)) = (status.limits.get_mut("cpu-quota"), now_used, then_used) {
                let share = used.saturating_sub(*before) as f64 / (now - then).max(1) as f64 * 100.0;
                quota.current = Some(share.into());
            }
        }
        true
    }
}

/// SIGINT, SIGTERM and SIGHUP as bytes to read, so that they are waited for with all else.
fn listen_for_signals() -> io::Result<UnixStream> {
    let (reader, writer) = UnixStream::pair()?;
    reader.set_nonblocking(true)?;
    for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGHUP] {
        signal_hook::low_level::pipe::register(signal, writer.try_clone()?)?;
    }
    Ok(reader)
}

/// Waits until one of the descriptors is readable or at its end, or until the time is up: which ones are.
fn ready(fds: &[BorrowedFd<'_>], limit: Option<Duration>) -> io::Result<Vec<bool>> {
    let mut polled: Vec<PollFd<'_>> = fds.iter().map(|fd| PollFd::new(*fd, PollFlags::POLLIN)).collect();
    // Rounded up: a wait that ends a little too early would be taken again and again.
    let limit = limit.map(|limit| PollTimeout::try_from(limit + Duration::from_millis(1)).unwrap_or(PollTimeout::MAX));
    match poll(&mut polled, limit.unwrap_or(PollTimeout::NONE)) {
        Ok(_) | Err(nix::Error::EINTR) => Ok(polled.iter().map(|fd| fd.any().unwrap_or(false)).collect()),
        Err(errno) => Err(errno.into()),
    }
}

fn micros(time: Duration) -> i64 {
    i64::try_from(time.as_micros()).unwrap_or(i64::MAX)
}
