//! svcd with directories and a cgroup of its own, and its varlink client.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use serde::de::DeserializeOwned;
use svc::control::client::Client;
use svc::control::view::OutcomeKind;
use svc::control::{Request, Verb, returns};

use crate::stage::{Stage, milliseconds, terminate};

/// `svc` or `svcd`, as it ships.
pub fn program(name: &str) -> PathBuf {
    let dir = std::env::var_os("SVC_BENCH_PROGRAMS").expect("no SVC_BENCH_PROGRAMS: use tests/bench/run");
    Path::new(&dir).join(name)
}

/// A running svcd.
pub struct Ours {
    dir: PathBuf,
    runtime_dir: PathBuf,
    pub child: Child,
    client: Option<Client>,
}

impl Ours {
    /// Starts svcd in a fresh directory with these units, and does not wait for anything.
    pub fn spawn(stage: &Stage, name: &str, units: &[(String, String)]) -> Self {
        Self::spawn_by(stage, Command::new(program("svcd")), name, units)
    }

    /// As [`Ours::spawn`], by a command line that ends with svcd.
    pub fn spawn_by(stage: &Stage, command: Command, name: &str, units: &[(String, String)]) -> Self {
        let dir = prepare(stage, name, units);
        let runtime_dir = stage.fresh(&format!("run/{name}"));
        let mut command = with_flags(stage, command, name, &dir);
        let child = command
            .arg("--runtime-dir")
            .arg(&runtime_dir)
            .spawn()
            .expect("start svcd");
        Self {
            dir,
            runtime_dir,
            child,
            client: None,
        }
    }

    /// As [`Ours::spawn`], and waits until it answers.
    pub fn start(stage: &Stage, name: &str, units: &[(String, String)]) -> Self {
        let mut ours = Self::spawn(stage, name, units);
        ours.connect();
        ours
    }

    fn connect(&mut self) -> &mut Client {
        let end = Instant::now() + Duration::from_secs(30);
        while self.client.is_none() {
            assert!(Instant::now() < end, "svcd never answered: {}", self.said());
            match Client::connect(&self.socket()) {
                Ok(client) => self.client = Some(client),
                Err(_) => std::thread::sleep(Duration::from_millis(2)),
            }
        }
        self.client.as_mut().expect("connected")
    }

    pub fn socket(&self) -> PathBuf {
        self.runtime_dir.join("control.sock")
    }

    pub fn state_dir(&self) -> PathBuf {
        self.dir.join("state")
    }

    fn said(&self) -> String {
        fs::read_to_string(self.dir.join("said")).unwrap_or_default()
    }

    pub fn call<T: DeserializeOwned>(&mut self, request: &Request) -> T {
        let answer = self.connect().call(request, Some(Duration::from_secs(60)));
        answer.unwrap_or_else(|error| panic!("svcd: {error}: {}", self.said()))
    }

    /// Starts a unit; with `wait`, until it is up, or for a oneshot over.
    pub fn start_unit(&mut self, unit: &str, wait: bool) {
        self.job(Verb::Start, unit, wait);
    }

    /// Does something to a unit; with `wait`, until it is done.
    pub fn job(&mut self, verb: Verb, unit: &str, wait: bool) {
        let request = Request::Job {
            verb,
            units: vec![unit.to_owned()],
            wait,
            timeout: None,
        };
        let returns::Outcomes { outcomes, .. } = self.call(&request);
        for outcome in outcomes {
            let good = matches!(outcome.outcome, OutcomeKind::Done | OutcomeKind::Accepted);
            assert!(good, "{verb:?} {unit}: {:?}: {}", outcome.why, self.said());
        }
    }

    /// How long each of these takes to start, until it is up or over, in milliseconds: all in turn, so many times. `then`
    /// is what follows each start, untimed.
    pub fn starts(&mut self, rounds: usize, units: &[String], then: impl Fn(&mut Self, &str)) -> Vec<Vec<f64>> {
        let mut took = vec![Vec::new(); units.len()];
        for _ in 0..rounds {
            for (unit, took) in units.iter().zip(&mut took) {
                let begin = Instant::now();
                self.start_unit(unit, true);
                took.push(milliseconds(begin.elapsed()));
                then(self, unit);
            }
        }
        took
    }

    /// `svc` with this svcd.
    pub fn svc(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(program("svc"));
        command
            .arg("--socket")
            .arg(self.socket())
            .args(arguments)
            .stdout(Stdio::null());
        command
    }

    /// Stops everything; says how long that took.
    pub fn stop(mut self) -> Duration {
        let begin = Instant::now();
        terminate(&self.child, Signal::SIGTERM);
        self.wait();
        begin.elapsed()
    }

    /// As [`Ours::stop`], of one that was started by another program.
    pub fn shut_down(mut self) {
        self.call::<returns::Ending>(&Request::Shutdown { power: None });
        self.wait();
    }

    fn wait(&mut self) {
        let status = self.child.wait().expect("wait for svcd");
        assert!(status.success(), "svcd: {status}: {}", self.said());
    }
}

fn prepare(stage: &Stage, name: &str, units: &[(String, String)]) -> PathBuf {
    let dir = stage.fresh(name);
    fs::create_dir(dir.join("units")).expect("make the directory of units");
    for (unit, text) in units {
        fs::write(dir.join("units").join(format!("{unit}.toml")), text).expect("write a unit");
    }
    dir
}

fn with_flags(stage: &Stage, mut command: Command, name: &str, dir: &Path) -> Command {
    let said = fs::File::create(dir.join("said")).expect("make a file");
    for (flag, folder) in [("--units", "units"), ("--state-dir", "state"), ("--log-dir", "log")] {
        command.arg(flag).arg(dir.join(folder));
    }
    command.arg("--cgroup").arg(stage.group(name));
    command
        .stdin(Stdio::null())
        .stdout(said.try_clone().expect("share a file"))
        .stderr(said);
    command
}
