//! Faults put into a running svcd from outside, with strace(1): system calls that fail, or only a record of them.

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use rustix::process::Signal;

use super::harness::Svcd;
use super::machine::{self, eventually};

/// strace, attached to a supervisor's one thread. Dropped, it lets go, and the fault is over.
pub struct Trace {
    child: Child,
    record: PathBuf,
}

impl Trace {
    /// Says why this machine cannot have it, for a skip.
    pub fn missing() -> Option<&'static str> {
        machine::program("strace").is_none().then_some("no strace(1) here")
    }

    /// Attaches with an expression of strace's `-e`, such as `inject=clone3:error=EAGAIN:when=1..3`, and waits until it holds.
    pub fn attach(svcd: &Svcd, expressions: &[&str]) -> Self {
        let record = svcd.dir().join(format!("trace-{}", expressions[0].len()));
        let said = svcd.dir().join("strace.err");
        let mut command = Command::new(machine::program("strace").expect("strace is installed"));
        command.args(["-p", &svcd.pid().to_string(), "-o"]).arg(&record);
        for expression in expressions {
            command.args(["-e", expression]);
        }
        let stderr = File::create(&said).expect("make a file");
        let child = command
            .stdin(Stdio::null())
            .stderr(stderr)
            .spawn()
            .expect("start strace");
        eventually("strace is attached", || {
            fs::read_to_string(&said).unwrap_or_default().contains("attached")
        });
        Self { child, record }
    }

    /// The calls so far, a line each.
    pub fn calls(&self) -> Vec<String> {
        fs::read_to_string(&self.record)
            .unwrap_or_default()
            .lines()
            .map(str::to_owned)
            .collect()
    }

    /// The calls that strace has tampered with.
    pub fn injected(&self) -> usize {
        self.calls().iter().filter(|line| line.contains("(INJECTED)")).count()
    }
}

impl Drop for Trace {
    fn drop(&mut self) {
        machine::send(self.child.id(), Signal::TERM);
        let _ = self.child.wait();
    }
}
