//! svcd, as far as logs go, and what tests of it are made of.

use std::collections::BTreeMap;
use std::ffi::CStr;
use std::io::Write;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::pipe::{PipeFlags, pipe_with};

use crate::log::read::{Query, lines};
use crate::log::{Logger, Message};
use crate::sys;
use crate::sys::testing::{Process, spawn};
use crate::unit::{Log, Size};

/// Runs the test of this name, below `log::tests`, in a process of its own. True in that process.
pub fn alone(name: &str) -> bool {
    if std::env::var_os("SVC_TEST_ALONE").is_some() {
        return true;
    }
    let name = format!("log::tests::{name}");
    let mut again = Command::new(std::env::current_exe().unwrap());
    let output = again
        .args([&name, "--exact", "--test-threads=1", "--nocapture"])
        .env("SVC_TEST_ALONE", "1")
        .output();
    let output = output.unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && said.contains("1 passed"),
        "{said}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    false
}

/// svcd, as far as logs go.
pub struct Svcd {
    pub logger: Logger,
    pub home: tempfile::TempDir,
    /// The pipes of the units that are attached, both ends.
    pub pipes: BTreeMap<String, (OwnedFd, OwnedFd, Log)>,
    token: u64,
    pub deaths: u32,
}

impl Svcd {
    pub fn new(budget: u64) -> Self {
        Self::at(tempfile::tempdir().unwrap(), budget)
    }

    /// With its files in this directory.
    pub fn at(home: tempfile::TempDir, budget: u64) -> Self {
        Self {
            logger: Logger::start(&home.path().join("log"), budget, &home.path().join("turn"), None).unwrap(),
            home,
            pipes: BTreeMap::new(),
            token: 0,
            deaths: 0,
        }
    }

    pub fn dir(&self) -> PathBuf {
        self.home.path().join("log")
    }

    pub fn attach(&mut self, unit: &str, policy: Log) {
        let (reader, writer) = pipe_with(PipeFlags::CLOEXEC).unwrap();
        self.logger.attach(unit, reader.as_fd(), &policy).unwrap();
        self.pipes.insert(unit.to_owned(), (reader, writer, policy));
    }

    /// A process that writes to a unit's pipe.
    pub fn run(&self, unit: &str, script: &CStr) -> Process {
        spawn(
            &[c"/usr/bin/perl", c"-e", script],
            None,
            &[],
            Some(self.pipes[unit].1.as_fd()),
        )
    }

    pub fn write(&self, unit: &str, text: &str) {
        let mut writer = std::fs::File::from(self.pipes[unit].1.try_clone().unwrap());
        writer.write_all(text.as_bytes()).unwrap();
    }

    /// Waits until all that is in the unit's pipe is in its files.
    pub fn flush(&mut self, unit: &str) {
        let deaths = self.deaths;
        self.token += 1;
        self.logger.flush(unit, self.token);
        let token = self.token;
        until("it is flushed", || {
            let flushed = self.turn(1000).contains(&Message::Flushed(token));
            if self.deaths != deaths && !flushed {
                self.flush(unit);
                return true;
            }
            flushed
        });
    }

    /// One turn of the loop: what a supervisor does with messages.
    pub fn turn(&mut self, wait_ms: i64) -> Vec<Message> {
        let timeout = Timespec {
            tv_sec: wait_ms / 1000,
            tv_nsec: wait_ms % 1000 * 1_000_000,
        };
        let _ = poll(&mut [PollFd::new(&self.logger.fd(), PollFlags::IN)], Some(&timeout));
        let messages = self.logger.receive();
        if messages.contains(&Message::Dead) {
            self.deaths += 1;
            reap(self.logger.pidfd());
            self.logger.restart().unwrap();
            for (unit, (reader, _, policy)) in &self.pipes {
                self.logger.attach(unit, reader.as_fd(), policy).unwrap();
            }
        }
        messages
    }

    pub fn texts(&self, unit: &str) -> Vec<String> {
        let query = Query {
            units: vec![unit.into()],
            ..Query::default()
        };
        lines(&self.dir(), query).unwrap().map(|line| line.text).collect()
    }

    /// What `du` says of a unit's files.
    pub fn bytes(&self, unit: &str) -> u64 {
        let entries = std::fs::read_dir(self.dir().join(unit)).unwrap();
        entries
            .map(|entry| entry.unwrap().metadata().map_or(0, |data| data.len()))
            .sum()
    }

    pub fn stop(self) -> tempfile::TempDir {
        reap(self.logger.stop().as_fd());
        self.home
    }

    /// Looks at something while the log process stands still.
    pub fn at_rest<T>(&self, look: impl FnOnce(&Self) -> T) -> T {
        use rustix::process::{WaitId, WaitIdOptions, waitid};
        sys::signal::send(self.logger.pidfd(), 19).unwrap();
        waitid(WaitId::PidFd(self.logger.pidfd()), WaitIdOptions::STOPPED).unwrap();
        let seen = look(self);
        sys::signal::send(self.logger.pidfd(), 18).unwrap();
        seen
    }

    pub fn bytes_if_there(&self, unit: &str) -> u64 {
        let entries = std::fs::read_dir(self.dir().join(unit));
        let size =
            |entry: std::io::Result<std::fs::DirEntry>| entry.and_then(|e| e.metadata()).map_or(0, |data| data.len());
        entries.map_or(0, |entries| entries.map(size).sum())
    }
}

pub fn reap(pidfd: BorrowedFd<'_>) {
    let id = rustix::process::WaitId::PidFd(pidfd);
    rustix::process::waitid(id, rustix::process::WaitIdOptions::EXITED).unwrap();
}

/// Whether a child has ended, which is not reaped yet.
pub fn ended(pidfd: BorrowedFd<'_>) -> bool {
    use rustix::process::{WaitId, WaitIdOptions, waitid};
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    waitid(WaitId::PidFd(pidfd), options).unwrap().is_some()
}

pub fn until(what: &str, mut done: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !done() {
        assert!(begin.elapsed() < Duration::from_secs(60), "waited in vain until {what}");
    }
}

pub fn capped(bytes: u64) -> Log {
    Log {
        max_size: Size(bytes),
        ..Log::default()
    }
}
