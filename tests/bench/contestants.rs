//! Who supervises pausing services, ours and the peers: how each is given them, started, asked and stopped.
//!
//! A peer is set up as its manual has it, with nothing that slows it down: no log where it makes one only when asked, and
//! the service itself as its `run` program, without a shell.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::ours::Ours;
use crate::stage::{Arrival, Stage, terminate};

/// Supervisors of many services.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Contestant {
    /// The C program: fork and exec.
    Limit,
    /// The C program, with the isolation of profile "standard".
    LimitIsolated,
    /// svcd, `profile = "none"`: a cgroup and a log for each.
    Plain,
    /// svcd, profile "standard".
    Standard,
    Busybox,
    S6,
    Runit,
    Supervisord,
}

pub const ALL: [Contestant; 8] = [
    Contestant::Limit,
    Contestant::LimitIsolated,
    Contestant::Plain,
    Contestant::Standard,
    Contestant::Busybox,
    Contestant::S6,
    Contestant::Runit,
    Contestant::Supervisord,
];

/// A supervisor and its services, all of them up.
pub struct Running {
    who: Contestant,
    process: Process,
    dir: PathBuf,
    pub services: Vec<Arrival>,
}

enum Process {
    Peer(Child),
    Ours(Ours),
}

impl Contestant {
    pub fn name(self) -> &'static str {
        match self {
            Self::Limit => "limit: fork, exec",
            Self::LimitIsolated => "limit, isolated as \"standard\" is",
            Self::Plain => "svcd, profile \"none\"",
            Self::Standard => "svcd, profile \"standard\"",
            Self::Busybox => "busybox init",
            Self::S6 => "s6-svscan",
            Self::Runit => "runsvdir",
            Self::Supervisord => "supervisord",
        }
    }

    /// Starts the supervisor with so many services; says how long it took until all were up.
    pub fn start(self, stage: &Stage, count: usize) -> (Duration, Running) {
        let dir = stage.fresh(&format!("{self:?}"));
        let prepared = self.prepare(stage, &dir, count);
        let begin = Instant::now();
        let process = match prepared {
            Prepared::Command(mut command) => Process::Peer(command.spawn().expect("start a peer")),
            Prepared::Units(units) => Process::Ours(Ours::spawn(stage, &format!("{self:?}"), &units)),
        };
        let services = stage.arrivals(count, self.name());
        let took = services
            .iter()
            .map(|service| service.at)
            .max()
            .map_or(Duration::ZERO, |last| last - begin);
        let running = Running {
            who: self,
            process,
            dir,
            services,
        };
        (took, running)
    }

    fn prepare(self, stage: &Stage, dir: &Path, count: usize) -> Prepared {
        let limit = stage.limit();
        let mut command = match self {
            Self::Plain => return Prepared::Units(units(stage, count, "profile = \"none\"")),
            Self::Standard => return Prepared::Units(units(stage, count, "profile = \"standard\"")),
            Self::Limit | Self::LimitIsolated => {
                let mut command = stage.command(&limit);
                command.arg("supervise").arg(count.to_string());
                if self == Self::LimitIsolated {
                    command.arg(stage.plain_group());
                }
                command.arg("--").arg(&limit).arg("pause");
                command
            }
            Self::Busybox => {
                // Of lines that are the same, it keeps one.
                let line = |nth| format!("::respawn:/limit pause {nth}\n");
                return Prepared::Command(busybox(stage, dir, &(0..count).map(line).collect::<String>()));
            }
            Self::S6 => {
                service_directories(stage, dir, count);
                let mut command = stage.command("/usr/bin/s6-svscan");
                command.arg("-c").arg((count + 10).to_string()).arg(dir);
                command
            }
            Self::Runit => {
                service_directories(stage, dir, count);
                let mut command = stage.command("/usr/bin/runsvdir");
                command.arg(dir);
                command
            }
            Self::Supervisord => {
                fs::write(dir.join("conf"), supervisord_conf(stage, dir, count)).expect("write a file");
                let mut command = stage.command("/usr/bin/supervisord");
                command.arg("--nodaemon").arg("--configuration").arg(dir.join("conf"));
                command
            }
        };
        command.stderr(fs::File::create(stage.dir.join(format!("{self:?}.said"))).expect("make a file"));
        Prepared::Command(command)
    }
}

enum Prepared {
    Command(Command),
    Units(Vec<(String, String)>),
}

impl Running {
    pub fn pid(&self) -> u32 {
        match &self.process {
            Process::Peer(child) => child.id(),
            Process::Ours(ours) => ours.child.id(),
        }
    }

    /// The numbers of the services' processes.
    pub fn service_pids(&self) -> Vec<i32> {
        self.services.iter().map(|service| service.pid).collect()
    }

    /// The command that asks for one service, if there is one.
    pub fn status(&self, stage: &Stage) -> Option<Command> {
        let one = self.dir.join("0007");
        let asks = |program: &str, verb: Option<&str>| {
            let mut command = stage.command(program);
            command.args(verb).arg(&one);
            command
        };
        match (&self.process, self.who) {
            (Process::Ours(ours), _) => Some(ours.svc(&["status", "0007"])),
            (_, Contestant::S6) => Some(asks("/usr/bin/s6-svstat", None)),
            (_, Contestant::Runit) => Some(asks("/usr/bin/sv", Some("status"))),
            (_, Contestant::Supervisord) => Some(self.supervisorctl(stage, &["status", "s:0007"])),
            (Process::Peer(_), _) => None,
        }
    }

    /// The command that lists all services, if there is one.
    pub fn list(&self, stage: &Stage) -> Option<Command> {
        match (&self.process, self.who) {
            (Process::Ours(ours), _) => Some(ours.svc(&["list"])),
            (_, Contestant::Runit) => {
                let mut command = stage.command("/usr/bin/sv");
                let all = (0..self.services.len()).map(|nth| self.dir.join(name_of(nth)));
                command.arg("status").args(all);
                Some(command)
            }
            (_, Contestant::Supervisord) => Some(self.supervisorctl(stage, &["status"])),
            (Process::Peer(_), _) => None,
        }
    }

    fn supervisorctl(&self, stage: &Stage, arguments: &[&str]) -> Command {
        let mut command = stage.command("/usr/bin/supervisorctl");
        command
            .arg("--configuration")
            .arg(self.dir.join("conf"))
            .args(arguments);
        command
    }

    pub fn ours(&mut self) -> Option<&mut Ours> {
        match &mut self.process {
            Process::Ours(ours) => Some(ours),
            Process::Peer(_) => None,
        }
    }

    /// Stops all; says how long it took until the last service was gone.
    pub fn stop(mut self) -> Duration {
        let begin = Instant::now();
        match self.process {
            Process::Ours(ours) => {
                // Until svcd itself has ended, with its log written and its cgroups removed.
                ours.stop()
            }
            Process::Peer(mut child) => {
                let signal = if self.who == Contestant::Runit {
                    Signal::SIGHUP
                } else {
                    Signal::SIGTERM
                };
                terminate(
                    &child,
                    if self.who == Contestant::Busybox {
                        Signal::SIGKILL
                    } else {
                        signal
                    },
                );
                self.services.iter_mut().for_each(Arrival::wait_for_end);
                let took = begin.elapsed();
                child.wait().expect("wait for a peer");
                took
            }
        }
    }
}

/// busybox init, as PID 1 of a root of its own, with these lines for its inittab.
pub fn busybox(stage: &Stage, dir: &Path, inittab: &str) -> Command {
    fs::write(stage.own_root().join("etc/inittab"), inittab).expect("write inittab");
    fs::copy("/bin/busybox", stage.own_root().join("busybox")).expect("copy busybox");
    let mut command = stage.command("/usr/bin/unshare");
    command
        .args(["--pid", "--fork", "--kill-child"])
        .arg(format!("--root={}", stage.own_root().display()));
    command.args(["/busybox", "init"]).current_dir(dir);
    command
}

fn name_of(nth: usize) -> String {
    format!("{nth:04}")
}

fn units(stage: &Stage, count: usize, isolation: &str) -> Vec<(String, String)> {
    let text = format!(
        "[unit]\nwanted-by = [\"default\"]\n[service]\nexec-start = [\"{}\", \"pause\"]\n{}\n\
         [restart]\npolicy = \"always\"\ndelay = \"0s\"\n[isolation]\n{isolation}\n",
        stage.limit().display(),
        stage.environment()
    );
    (0..count).map(|nth| (name_of(nth), text.clone())).collect()
}

/// A directory for each service, whose `run` is the program itself.
fn service_directories(stage: &Stage, dir: &Path, count: usize) {
    for nth in 0..count {
        let service = dir.join(name_of(nth));
        fs::create_dir(&service).expect("make a service directory");
        symlink(stage.limit(), service.join("run")).expect("link the program");
    }
}

fn supervisord_conf(stage: &Stage, dir: &Path, count: usize) -> String {
    let (dir, limit) = (dir.display(), stage.limit());
    format!(
        "[supervisord]\nlogfile={dir}/log\nloglevel=error\npidfile={dir}/pid\nminfds=8192\n\
         [unix_http_server]\nfile={dir}/sock\n\
         [rpcinterface:supervisor]\nsupervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface\n\
         [supervisorctl]\nserverurl=unix://{dir}/sock\n\
         [program:s]\ncommand={} pause\nnumprocs={count}\nprocess_name=%(process_num)04d\nstartsecs=0\n\
         autorestart=true\nstdout_logfile=NONE\nstderr_logfile=NONE\n",
        limit.display()
    )
}
