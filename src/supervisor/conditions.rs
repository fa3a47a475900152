//! Conditions and assertions, looked up: systemd.unit(5), "Conditions and Asserts". A path may be on a file system that
//! does not answer, so paths are looked at by a child; one that has no answer in time is taken for an assertion that failed.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::time::Duration;

use rustix::fs::{Mode, OFlags};
use rustix::pipe::{PipeFlags, pipe_with};

use super::Supervisor;
use super::children::signal;
use super::clock;
use super::poll::{Source, Token};
use crate::engine::RunId;
use crate::engine::event::{Event, Mono, Unmet};
use crate::sys::child;
use crate::sys::clone::{Cloned, clone3};
use crate::unit::{Condition, ConditionTest, Signal, Unit};

/// How long a file system may take to answer: a disk that spins up does in far less.
const ANSWER_MAX: Duration = Duration::from_secs(90);

/// Children that look at paths, by number.
#[derive(Debug, Default)]
pub struct Looks {
    last: u64,
    all: BTreeMap<u64, Look>,
}

/// One of them.
#[derive(Debug)]
struct Look {
    run: RunId,
    pidfd: OwnedFd,
    /// It writes the place of the first condition that does not hold, or [`NONE_UNMET`], and ends.
    answer: OwnedFd,
    token: Token,
    until: Mono,
}

/// More than a unit file has room for.
const NONE_UNMET: u32 = u32::MAX;

impl Looks {
    /// When the first of them has had its time.
    pub fn deadline(&self) -> Option<Mono> {
        self.all.values().map(|look| look.until).min()
    }
}

impl Supervisor {
    /// Carries [`crate::engine::Action::CheckConditions`] out.
    pub(super) fn check_conditions(&mut self, run: RunId) {
        let Some(unit) = self.engine.run_unit(run).cloned() else {
            return self.queue.push_back(Event::Conditions { run, unmet: None });
        };
        let is_path =
            |(condition, _): (&Condition, bool)| !matches!(condition.test, ConditionTest::KernelCommandLine(_));
        let looked = match all(&unit).any(is_path) {
            true => self.look(run, &unit),
            false => Err(io::ErrorKind::Unsupported.into()),
        };
        if looked.is_err() {
            let unmet = first_unmet(&unit).and_then(|place| unmet(&unit, place));
            self.queue.push_back(Event::Conditions { run, unmet });
        }
    }

    fn look(&mut self, run: RunId, unit: &Unit) -> io::Result<()> {
        let (pidfd, answer) = start(unit)?;
        self.requests.looks.last += 1;
        let token = self.poll.add(&answer, Source::Looked(self.requests.looks.last))?;
        let until = Mono(clock::mono().0 + ANSWER_MAX);
        let look = Look {
            run,
            pidfd,
            answer,
            token,
            until,
        };
        self.requests.looks.all.insert(self.requests.looks.last, look);
        Ok(())
    }

    /// A child has looked, or was killed.
    pub(super) fn on_looked(&mut self, number: u64) {
        let Some(look) = self.requests.looks.all.remove(&number) else {
            return;
        };
        self.poll.remove(&look.answer, look.token);
        let mut bytes = [0_u8; 4];
        let told = matches!(rustix::io::read(&look.answer, &mut bytes), Ok(4));
        match u32::from_ne_bytes(bytes) {
            _ if !told => self.tell_no_answer(look.run, "whoever looked was killed"),
            NONE_UNMET => self.queue.push_back(Event::Conditions {
                run: look.run,
                unmet: None,
            }),
            place => {
                let unit = self.engine.run_unit(look.run);
                let unmet = unit.and_then(|unit| unmet(unit, place as usize));
                self.queue.push_back(Event::Conditions { run: look.run, unmet });
            }
        }
    }

    /// Those who have had their time are ended.
    pub(super) fn looks_due(&mut self, now: Mono) {
        let due: Vec<u64> = self
            .requests
            .looks
            .all
            .iter()
            .filter(|(_, look)| look.until <= now)
            .map(|(number, _)| *number)
            .collect();
        for look in due
            .iter()
            .filter_map(|number| self.requests.looks.all.remove(number))
            .collect::<Vec<_>>()
        {
            signal(&look.pidfd, Signal::KILL);
            self.poll.remove(&look.answer, look.token);
            self.tell_no_answer(look.run, "no answer from the file system");
        }
    }

    fn tell_no_answer(&mut self, run: RunId, why: &str) {
        let paths = self.engine.run_unit(run).map(|unit| {
            let each = all(unit).map(|(condition, _)| condition.to_string());
            each.collect::<Vec<_>>().join(", ")
        });
        let text = format!("{}: {why}", paths.unwrap_or_default()).into();
        let unmet = Some(Unmet { assertion: true, text });
        self.queue.push_back(Event::Conditions { run, unmet });
    }
}

/// Clones the child, which is reaped with the orphans.
fn start(unit: &Unit) -> io::Result<(OwnedFd, OwnedFd)> {
    let (answer, writer) = pipe_with(PipeFlags::CLOEXEC)?;
    let null = rustix::fs::open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())?;
    match clone3(0, None)? {
        Cloned::Parent { pidfd, .. } => Ok((pidfd, answer)),
        Cloned::Child => {
            child::close_all_but(&[writer.as_fd()], null.as_fd());
            let place = first_unmet(unit).map_or(NONE_UNMET, |place| u32::try_from(place).unwrap_or(NONE_UNMET));
            // With nobody to read it, there is nobody to tell.
            let _ = rustix::io::write(&writer, &place.to_ne_bytes());
            child::exit(0)
        }
    }
}

/// Each with whether it is an assertion: those come after the conditions, as in systemd.
fn all(unit: &Unit) -> impl Iterator<Item = (&Condition, bool)> {
    let conditions = unit.condition.iter().map(|condition| (condition, false));
    conditions.chain(unit.assert.iter().map(|condition| (condition, true)))
}

/// The place of the first that does not hold.
fn first_unmet(unit: &Unit) -> Option<usize> {
    all(unit).position(|(condition, _)| !holds(condition))
}

fn unmet(unit: &Unit, place: usize) -> Option<Unmet> {
    all(unit).nth(place).map(|(condition, assertion)| Unmet {
        assertion,
        text: condition.to_string().into(),
    })
}

fn holds(condition: &Condition) -> bool {
    let found = match &condition.test {
        ConditionTest::PathExists(path) => path.symlink_metadata().is_ok(),
        ConditionTest::PathIsDirectory(path) => path.is_dir(),
        ConditionTest::FileNotEmpty(path) => path.metadata().is_ok_and(|meta| meta.is_file() && meta.len() > 0),
        ConditionTest::DirectoryNotEmpty(path) => has_entry(path),
        ConditionTest::KernelCommandLine(word) => on_kernel_command_line(word),
    };
    found != condition.negated
}

fn has_entry(path: &Path) -> bool {
    std::fs::read_dir(path).is_ok_and(|mut entries| entries.next().is_some())
}

/// A word is there as it is, or as the key of `key=value`.
fn on_kernel_command_line(wanted: &str) -> bool {
    std::fs::read_to_string("/proc/cmdline").is_ok_and(|line| {
        line.split_whitespace()
            .any(|word| word == wanted || word.split_once('=').is_some_and(|(key, _)| key == wanted))
    })
}
