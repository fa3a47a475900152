//! What all rows stand on: directories, cgroups, and the socket on which the programs under supervision report.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::sys::socket::{getsockopt, setsockopt, sockopt};
use nix::sys::time::TimeVal;
use nix::unistd::Pid;

/// Whatever takes longer has failed.
const PATIENCE: Duration = Duration::from_secs(60);

/// What `tests/bench/run` has prepared.
pub struct Stage {
    /// Where everything is; on a disk, made and removed by `run`.
    pub dir: PathBuf,
    /// The group that all groups are made in, in each hierarchy; removed by `run`.
    group: String,
    socket: String,
    listener: UnixListener,
    pub quick: bool,
    pub idle_seconds: u64,
}

/// A program has come up. Its end is the end of the connection.
pub struct Arrival {
    pub at: Instant,
    pub pid: i32,
    stream: UnixStream,
}

impl Stage {
    pub fn new() -> Self {
        let variable = |name: &str| std::env::var(name).unwrap_or_else(|_| panic!("no {name}: use tests/bench/run"));
        let (dir, group) = (PathBuf::from(variable("SVC_BENCH_DIR")), variable("SVC_BENCH_GROUP"));
        let address = SocketAddr::from_abstract_name(&group).expect("name of the socket");
        let listener = UnixListener::bind_addr(&address).expect("listen");
        let patience = TimeVal::new(PATIENCE.as_secs().cast_signed(), 0);
        setsockopt(&listener, sockopt::ReceiveTimeout, &patience).expect("SO_RCVTIMEO");
        let stage = Self {
            dir,
            socket: group.clone(),
            group,
            listener,
            quick: false,
            idle_seconds: 5,
        };
        let root = stage.own_root();
        for below in ["proc", "sys", "dev", "etc"] {
            fs::create_dir_all(root.join(below)).expect("make a root");
        }
        fs::copy(stage.limit(), root.join("limit")).expect("fill a root");
        stage
    }

    /// The C program.
    pub fn limit(&self) -> PathBuf {
        self.dir.join("limit")
    }

    /// A root that holds nothing but the C program, as `/limit`.
    pub fn own_root(&self) -> PathBuf {
        self.dir.join("root")
    }

    /// The name of our group below the root of each hierarchy, or of one below that.
    pub fn group(&self, below: &str) -> String {
        format!("{}/{below}", self.group)
    }

    /// A fresh directory.
    pub fn fresh(&self, name: &str) -> PathBuf {
        let dir = self.dir.join(name);
        if dir.exists() {
            fs::remove_dir_all(&dir).expect("remove a directory");
        }
        fs::create_dir(&dir).expect("make a directory");
        dir
    }

    /// A fifth with `--quick`.
    pub fn rounds(&self, rounds: usize) -> usize {
        if self.quick { rounds.div_ceil(5) } else { rounds }
    }

    /// A command that can report to us.
    pub fn command(&self, program: impl AsRef<Path>) -> Command {
        let mut command = Command::new(program.as_ref());
        command
            .env("SVC_BENCH", &self.socket)
            .env("SVC_BENCH_ROOT", self.own_root())
            .stdin(Stdio::null())
            .stdout(Stdio::null());
        command
    }

    /// The environment of a unit that can report to us.
    pub fn environment(&self) -> String {
        format!("environment = {{ SVC_BENCH = \"{}\" }}", self.socket)
    }

    /// The next program that has come up; `by` is who was to start it.
    pub fn arrival(&self, by: &str) -> Arrival {
        let accepted = self.listener.accept();
        let at = Instant::now();
        let (stream, _) = accepted.unwrap_or_else(|error| panic!("{by} started nothing: {error}"));
        let peer = getsockopt(&stream, sockopt::PeerCredentials).expect("SO_PEERCRED");
        stream.set_read_timeout(Some(PATIENCE)).expect("SO_RCVTIMEO");
        let pid = peer.pid();
        Arrival { at, pid, stream }
    }

    pub fn arrivals(&self, count: usize, by: &str) -> Vec<Arrival> {
        let nth = |nth: usize| self.arrival(&format!("{by}: service {nth}"));
        (0..count).map(nth).collect()
    }

    /// Groups with a limit for processor, memory and tasks each, as `limit isolate` takes them.
    pub fn limiting_groups(&self) -> Vec<String> {
        let v1 = [
            ("cpu", "cpu.cfs_quota_us=50000"),
            ("memory", "memory.limit_in_bytes=67108864"),
            ("pids", "pids.max=16"),
        ];
        if is_unified() {
            return vec![format!(
                "{}:cpu.max=50000,memory.max=67108864,pids.max=16",
                self.made_group("", true)
            )];
        }
        v1.map(|(controller, limit)| format!("{}:{limit}", self.made_group(controller, false)))
            .to_vec()
    }

    /// A group without limits: that of the hierarchy that says who belongs to a unit.
    pub fn plain_group(&self) -> String {
        match (is_unified(), is_hybrid()) {
            (true, _) => self.made_group("", false),
            (false, true) => self.made_group("unified", false),
            (false, false) => self.made_group("freezer", false),
        }
    }

    fn made_group(&self, hierarchy: &str, hand_down: bool) -> String {
        let mut dir = Path::new("/sys/fs/cgroup").join(hierarchy);
        for name in [self.group.as_str(), "limit"] {
            if hand_down {
                fs::write(dir.join("cgroup.subtree_control"), "+cpu +memory +pids").expect("hand controllers down");
            }
            dir = dir.join(name);
            fs::create_dir_all(&dir).expect("make a group");
        }
        if hand_down {
            fs::write(dir.join("cgroup.subtree_control"), "+cpu +memory +pids").expect("hand controllers down");
        }
        dir.display().to_string()
    }
}

impl Arrival {
    /// Waits until the program has ended.
    pub fn wait_for_end(&mut self) {
        // Whoever was killed leaves a connection that was reset.
        let _ = self.stream.read(&mut [0]);
    }

    /// The time that the program tells.
    pub fn told(self) -> Duration {
        let mut line = String::new();
        BufReader::new(self.stream)
            .read_line(&mut line)
            .expect("a program told nothing");
        Duration::from_nanos(line.trim().parse().expect("nanoseconds"))
    }

    /// It is a service that pauses, and there still.
    pub fn is_pausing(&self) -> bool {
        let words = fs::read(format!("/proc/{}/cmdline", self.pid)).unwrap_or_default();
        words.split(|byte| *byte == 0).any(|word| word == b"pause")
    }

    pub fn kill(&self) {
        kill(Pid::from_raw(self.pid), Signal::SIGKILL).expect("kill a service");
    }
}

/// v1, and v2 beside it.
pub fn is_hybrid() -> bool {
    Path::new("/sys/fs/cgroup/unified/cgroup.controllers").exists()
}

/// Only v2: everything is one hierarchy.
fn is_unified() -> bool {
    Path::new("/sys/fs/cgroup/cgroup.controllers").exists()
}

/// Runs a command to its end, which must be a good one, and says how long it took.
#[track_caller]
pub fn timed(command: &mut Command) -> Duration {
    let begin = Instant::now();
    let status = command.status().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let took = begin.elapsed();
    assert!(status.success(), "{command:?}: {status}");
    took
}

pub fn terminate(child: &Child, signal: Signal) {
    kill(Pid::from_raw(child.id().cast_signed()), signal).expect("signal a supervisor");
}

pub fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}
