//! A supervisor of the test's own: directories, socket and cgroup that nobody else uses, and at its end the proof that
//! nothing of it is left.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Child;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::Value;

pub use super::built::{Done, binary, svc_at};
use super::machine::{self, bar, eventually};

mod launch;

/// A unit that runs until it is ended.
pub const SLEEPER: &str = "[service]\nexec-start = [\"/bin/sleep\", \"1000000\"]\n";

/// A unit that runs a shell script; `more` are further keys of `[service]`, and further tables.
pub fn shell(script: &str, more: &str) -> String {
    // As in systemd, `$$` stands for a dollar of the program's own.
    let script = script.replace('$', "$$");
    format!("[service]\nexec-start = [\"/bin/sh\", \"-c\", \'\'\'{script}\'\'\']\n{more}\n")
}

/// A script that goes on once the file is there.
pub fn until_there(file: &Path) -> String {
    format!("until [ -e {} ]; do sleep 0.02; done", file.display())
}

/// How a supervisor is to be started.
pub struct Plan {
    dir: PathBuf,
    name: String,
    program: PathBuf,
    wrapper: Vec<String>,
    arguments: Vec<String>,
    status: i32,
}

/// A running supervisor. Dropped, it is stopped, and whatever it leaves fails the test.
pub struct Svcd {
    plan: Plan,
    child: Child,
}

/// What a supervisor holds at one time, to compare with later.
#[derive(Clone, Copy, Debug)]
pub struct Holds {
    pub descriptors: usize,
    pub resident_kib: u64,
}

impl Plan {
    pub fn new() -> Self {
        static NTH: AtomicU32 = AtomicU32::new(0);
        let name = format!(
            "svc-test-{}-{}",
            std::process::id(),
            NTH.fetch_add(1, Ordering::Relaxed)
        );
        let dir = base().join(&name);
        fs::create_dir_all(dir.join("units")).expect("make the directory of units");
        Self {
            dir,
            name,
            program: binary("svcd"),
            wrapper: Vec::new(),
            arguments: Vec::new(),
            status: 0,
        }
    }

    /// The exit status that is right for it at its end.
    pub fn ends_with(mut self, status: i32) -> Self {
        self.status = status;
        self
    }

    /// Writes `NAME.toml`, or any other file below the directory of units.
    pub fn unit(self, name: &str, text: &str) -> Self {
        write_unit(&self.dir, name, text);
        self
    }

    /// Another argument for svcd.
    pub fn argument(mut self, argument: impl Into<String>) -> Self {
        self.arguments.push(argument.into());
        self
    }

    /// A command that svcd's own command line is appended to.
    pub fn under(mut self, wrapper: &[&str]) -> Self {
        self.wrapper = wrapper.iter().map(ToString::to_string).collect();
        self
    }

    pub fn dir(&self) -> &Path {
        &self.dir
    }
}

impl Svcd {
    /// A supervisor with these units: name and text.
    pub fn with(units: &[(&str, &str)]) -> Self {
        units
            .iter()
            .fold(Plan::new(), |plan, (name, text)| plan.unit(name, text))
            .start()
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn dir(&self) -> &Path {
        &self.plan.dir
    }

    pub fn socket(&self) -> PathBuf {
        self.plan.dir.join("run/control.sock")
    }

    /// The name of its cgroup, or of a unit's below it.
    pub fn cgroup(&self, unit: &str) -> String {
        format!("{}/{unit}", self.plan.name).trim_end_matches('/').to_owned()
    }

    /// What svcd has written to its own standard error.
    pub fn said(&self) -> String {
        fs::read_to_string(self.plan.dir.join("svcd.err")).unwrap_or_default()
    }

    pub fn write(&self, name: &str, text: &str) {
        write_unit(&self.plan.dir, name, text);
    }

    pub fn remove(&self, name: &str) {
        fs::remove_file(unit_path(&self.plan.dir, name)).expect("remove a unit file");
    }

    /// Runs `svc` with these arguments to its end.
    pub fn svc(&self, arguments: &[&str]) -> Done {
        svc_at(&self.socket(), arguments)
    }

    /// Runs `svc`, which must succeed, and gives what it printed.
    #[track_caller]
    pub fn ok(&self, arguments: &[&str]) -> String {
        let done = self.svc(arguments);
        assert_eq!(
            done.code,
            0,
            "svc {}: {}{}\nsvcd: {}",
            arguments.join(" "),
            done.err,
            done.out,
            self.said()
        );
        done.out
    }

    /// Runs `svc` with `--json` and reads what it printed, whatever its exit status.
    #[track_caller]
    pub fn json(&self, arguments: &[&str]) -> Value {
        let done = self.svc(&[&["--json"], arguments].concat());
        let read = serde_json::from_str(&done.out);
        read.unwrap_or_else(|error| panic!("svc {arguments:?} --json: {error}: {}{}", done.out, done.err))
    }

    /// How long svcd said it would wait before each next try of a unit, oldest first.
    pub fn delays(&self, unit: &str) -> Vec<Duration> {
        let history = self.json(&["history", unit]);
        let entries = history.as_array().expect("a list").iter();
        let said = entries.filter(|entry| entry["what"] == "backoff").map(|entry| {
            let text = entry["text"]
                .as_str()
                .expect("a text")
                .trim_start_matches("next try in ");
            let delay = text.split(" (").next().unwrap_or(text);
            delay
                .split(' ')
                .map(|part| svc::unit::value::parse_duration(part).expect(text))
                .sum()
        });
        said.collect()
    }

    /// The status of a unit; null while svcd does not know it.
    #[track_caller]
    pub fn status(&self, unit: &str) -> Value {
        let done = self.svc(&["--json", "status", unit]);
        if done.code == 4 {
            return Value::Null;
        }
        let read = serde_json::from_str(&done.out);
        read.unwrap_or_else(|error| panic!("svc status {unit}: {error}: {}{}", done.out, done.err))
    }

    pub fn state(&self, unit: &str) -> String {
        self.status(unit)["state"].as_str().unwrap_or_default().to_owned()
    }

    /// Waits for a state, and gives the status that showed it.
    #[track_caller]
    pub fn reaches(&self, unit: &str, state: &str) -> Value {
        let end = Instant::now() + bar(20_000);
        loop {
            let status = self.status(unit);
            if status["state"] == state {
                return status;
            }
            assert!(
                Instant::now() < end,
                "{unit} never was {state}: {status:#}\nsvcd: {}",
                self.said()
            );
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// The host's number of a unit's main process.
    #[track_caller]
    pub fn main_pid(&self, unit: &str) -> u32 {
        let status = self.status(unit);
        status["main-pid"]["host"]
            .as_u64()
            .unwrap_or_else(|| panic!("{unit} has no main process: {status:#}")) as u32
    }

    /// What a unit has written, as `svc logs` prints it for scripts: the text of each line.
    pub fn lines(&self, unit: &str) -> Vec<String> {
        let printed = self.ok(&["--json", "logs", unit]);
        let text = |line: &str| {
            serde_json::from_str::<Value>(line).ok()?["text"]
                .as_str()
                .map(str::to_owned)
        };
        printed.lines().filter_map(text).collect()
    }

    /// Waits until a unit has written a line that holds `part`, and gives the line.
    #[track_caller]
    pub fn line(&self, unit: &str, part: &str) -> String {
        let mut found = None;
        eventually(&format!("{unit} writes a line with {part:?}"), || {
            found = self.lines(unit).into_iter().find(|line| line.contains(part));
            found.is_some()
        });
        found.unwrap_or_default()
    }

    pub fn holds(&self) -> Holds {
        let pid = self.pid();
        Holds {
            descriptors: machine::open_descriptors(pid),
            resident_kib: machine::resident_kib(pid),
        }
    }

    /// The loop bar: svcd answers in time, and holds no more than before: no descriptor, no zombie, no MiB.
    #[track_caller]
    pub fn is_back_to(&self, before: Holds) {
        self.answers_in_time();
        eventually("descriptors are closed", || {
            self.holds().descriptors <= before.descriptors
        });
        eventually("no zombie is left", || machine::zombies_of(self.pid()).is_empty());
        let after = self.holds();
        assert!(
            after.resident_kib <= before.resident_kib + 1024,
            "memory grew: {before:?}, now {after:?}"
        );
    }

    /// Another client's `svc status` answers within 250 ms. The best of three counts: the machine has other work too.
    #[track_caller]
    pub fn answers_in_time(&self) {
        let took = (0..3).map(|_| self.svc(&["status"]).took).min().unwrap_or_default();
        assert!(took <= bar(250), "svc status took {took:?}");
    }

    /// Ends svcd as its machine would, and waits until it has.
    pub fn stop(&mut self) -> Option<i32> {
        if self.child.try_wait().is_ok_and(|ended| ended.is_none()) {
            machine::send(self.pid(), Signal::TERM);
        }
        let end = Instant::now() + bar(30_000);
        loop {
            if let Ok(Some(status)) = self.child.try_wait() {
                return status.code();
            }
            if Instant::now() > end {
                let _ = self.child.kill();
                let _ = self.child.wait();
                return None;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// What is still there of a supervisor that has ended.
    fn leftovers(&self) -> Vec<String> {
        let mut left = Vec::new();
        left.extend(
            machine::members(&self.plan.name)
                .iter()
                .map(|pid| format!("process {pid} {}", command_of(*pid))),
        );
        left.extend(
            machine::cgroups(&self.plan.name)
                .iter()
                .map(|path| format!("cgroup {}", path.display())),
        );
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        let ours = mounts.lines().filter(|line| line.contains(&self.plan.name));
        left.extend(ours.map(|line| format!("mount {line}")));
        let runtime = fs::read_dir(self.plan.dir.join("run")).into_iter().flatten().flatten();
        // The lock file stays: whoever removed it could let two supervisors in.
        let files = runtime.filter(|entry| entry.file_name() != "svcd.lock");
        left.extend(files.map(|entry| format!("file {}", entry.path().display())));
        left
    }

    /// Ends by force what is left, so that one failed test does not disturb the next.
    fn clean(&self) {
        let end = Instant::now() + bar(5_000);
        while Instant::now() < end {
            let members = machine::members(&self.plan.name);
            for pid in &members {
                let pid = rustix::process::Pid::from_raw(*pid as i32);
                let _ = pid.map(|pid| rustix::process::kill_process(pid, Signal::KILL));
            }
            let mut folders = machine::cgroups(&self.plan.name);
            folders.extend(folders.clone().iter().flat_map(|folder| below(folder)));
            folders.sort_by_key(|folder| std::cmp::Reverse(folder.components().count()));
            let stuck = folders.iter().filter(|folder| fs::remove_dir(folder).is_err()).count();
            if members.is_empty() && stuck == 0 {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Svcd {
    fn drop(&mut self) {
        let code = self.stop();
        let left = self.leftovers();
        let said = self.said();
        self.clean();
        if std::thread::panicking() {
            eprintln!("svcd said:\n{said}");
            return;
        }
        assert_eq!(code, Some(self.plan.status), "svcd did not end well: {said}");
        assert!(left.is_empty(), "left behind:\n{}\nsvcd: {said}", left.join("\n"));
    }
}

/// A directory that services of any user may enter and that no private /tmp hides. Its name is short, since a socket's
/// path has at most 108 bytes.
fn base() -> PathBuf {
    match std::env::var_os("SVC_TEST_DIR") {
        Some(folder) => folder.into(),
        None if machine::is_root() => "/run".into(),
        None => env!("CARGO_TARGET_TMPDIR").into(),
    }
}

fn unit_path(dir: &Path, name: &str) -> PathBuf {
    let suffix = if name.ends_with(".toml") { "" } else { ".toml" };
    dir.join("units").join(format!("{name}{suffix}"))
}

fn write_unit(dir: &Path, name: &str, text: &str) {
    let path = unit_path(dir, name);
    fs::create_dir_all(path.parent().expect("a unit file has a directory")).expect("make a directory");
    fs::write(path, text).expect("write a unit file");
}

fn command_of(pid: u32) -> String {
    let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    String::from_utf8_lossy(&line).replace('\0', " ")
}

fn below(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![folder.to_path_buf()];
    while let Some(folder) = open.pop() {
        let entries = fs::read_dir(&folder).into_iter().flatten().flatten();
        let folders: Vec<_> = entries.map(|entry| entry.path()).filter(|path| path.is_dir()).collect();
        found.extend(folders.clone());
        open.extend(folders);
    }
    found
}
