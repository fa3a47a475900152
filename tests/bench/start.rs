//! A: an isolated start, from the request until the program has ended and been waited for; and what limits cost that are
//! set by cgroups-rs instead of by svc's own writes.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use cgroups_rs::fs::MaxValue;
use cgroups_rs::fs::cpu::CpuController;
use cgroups_rs::fs::memory::MemController;
use cgroups_rs::fs::pid::PidController;
use nix::sys::resource::{UsageWho, getrusage};
use serde_json::json;

use crate::images::image;
use crate::ours::Ours;
use crate::processes;
use crate::stage::{Stage, is_hybrid, milliseconds, timed};
use crate::table::{Goal, Table, figure, median};

const ROUNDS: usize = 150;

/// Longer than it takes to put a start away: what svcd makes ahead for the next follows 10 ms behind it.
const PAUSE: Duration = Duration::from_millis(30);

/// One contestant: wall time of each start, and processor time of all.
struct Contestant<'a> {
    name: &'static str,
    start: Box<dyn FnMut() -> Duration + 'a>,
    /// The svcd whose processor time counts; without one that of the commands themselves.
    svcd: Option<u32>,
    took: Vec<f64>,
    cpu: Duration,
}

pub fn run(stage: &Stage) {
    let mut bare = Ours::start(stage, "bare", &[unit(stage, false)]);
    let mut reaper = Ours::start(stage, "reaper", &[unit(stage, true)]);
    let whole = Ours::start(stage, "whole", &[unit(stage, false)]);
    let mut layered = Ours::start(stage, "layered", &[overlay(stage)]);
    let ran = Ours::start(stage, "ran", &[]);
    let own_root = stage.own_root().display().to_string();
    timed(&mut image(&ran.state_dir(), &["commit", &own_root, "bench:1"]));
    let (bare_pid, reaper_pid, layered_pid) = (bare.child.id(), reaper.child.id(), layered.child.id());
    let mut contestants = vec![
        Contestant::command("limit, a root of its own", limit(stage, "own", "/limit".into())),
        Contestant::command("limit, the machine's root", limit(stage, "machine", stage.limit())),
        Contestant::ours("svcd, the machine's root", bare_pid, || request(&mut bare)),
        Contestant::ours("svcd, and a reaper as PID 1", reaper_pid, || request(&mut reaper)),
        Contestant::command("svc start, whole command", whole.svc(&["start", "isolated"])),
        Contestant::ours("svcd, an overlay root", layered_pid, || request(&mut layered)),
        Contestant::command("svc run of an image, whole command", ran.svc(&RUN)),
        Contestant::command("bwrap (no cgroup)", bwrap(stage)),
        Contestant::command("crun", runtime(stage, "crun")),
        Contestant::command("runc", runtime(stage, "runc")),
    ];
    let rounds = stage.rounds(ROUNDS);
    for _ in 0..rounds {
        for contestant in &mut contestants {
            // What the one before leaves to the kernel and to its supervisor is no part of this one's time.
            std::thread::sleep(PAUSE);
            contestant.play();
        }
    }
    let mut table = Table::new(
        "A. Isolated start: six namespaces, three limits, request until the program's end",
        "ms",
    );
    for contestant in &contestants {
        let line = table.add(contestant.name, contestant.took.clone(), Some(0));
        table.note(
            line,
            format!("{} ms CPU", figure(milliseconds(contestant.cpu) / rounds as f64)),
        );
    }
    table.goal(2, Goal::Times(1.5));
    table.goal(4, Goal::Times(2.0));
    table.goal(5, Goal::Times(1.6));
    table.goal(6, Goal::Times(2.0));
    table.print();
    let start = median(&contestants[2].took);
    drop(contestants);
    for ours in [bare, reaper, whole, layered, ran] {
        ours.stop();
    }
    setters(stage, start);
}

impl<'a> Contestant<'a> {
    fn new(name: &'static str, svcd: Option<u32>, start: impl FnMut() -> Duration + 'a) -> Self {
        Self {
            name,
            start: Box::new(start),
            svcd,
            took: Vec::new(),
            cpu: Duration::ZERO,
        }
    }

    fn command(name: &'static str, mut command: Command) -> Self {
        Self::new(name, None, move || timed(&mut command))
    }

    fn ours(name: &'static str, svcd: u32, start: impl FnMut() -> Duration + 'a) -> Self {
        Self::new(name, Some(svcd), start)
    }

    fn play(&mut self) {
        let before = self.cpu_so_far();
        self.took.push(milliseconds((self.start)()));
        self.cpu += self.cpu_so_far().saturating_sub(before);
    }

    fn cpu_so_far(&self) -> Duration {
        if let Some(svcd) = self.svcd {
            return processes::cpu_with_children(svcd);
        }
        let usage = getrusage(UsageWho::RUSAGE_CHILDREN).expect("getrusage");
        let of =
            |time: nix::sys::time::TimeVal| Duration::new(time.tv_sec().unsigned_abs(), time.tv_usec() as u32 * 1000);
        of(usage.user_time()) + of(usage.system_time())
    }
}

fn unit(stage: &Stage, init: bool) -> (String, String) {
    let text = format!(
        "[service]\ntype = \"oneshot\"\nexec-start = [\"{}\", \"true\"]\n\
         [resources]\ncpu-quota = \"50%\"\nmemory-max = \"64M\"\npids-max = 16\n\
         [isolation]\ninit = {init}\n[network]\nmode = \"none\"\n",
        stage.limit().display()
    );
    ("isolated".to_owned(), text)
}

/// The same in a root of one layer that it may write on.
fn overlay(stage: &Stage) -> (String, String) {
    let (name, text) = unit(stage, false);
    let text = text.replace(&stage.limit().display().to_string(), "/limit");
    let root = format!(
        "[root]\nlayers = [\"{}\"]\nwritable = \"tmpfs\"\n",
        stage.own_root().display()
    );
    (name, text + &root)
}

/// The same of a stored image.
const RUN: [&str; 14] = [
    "run",
    "--rm",
    "--init=false",
    "--net",
    "none",
    "--cpu",
    "50%",
    "--memory",
    "64M",
    "--pids",
    "16",
    "bench:1",
    "/limit",
    "true",
];

fn request(ours: &mut Ours) -> Duration {
    let begin = Instant::now();
    ours.start_unit("isolated", true);
    begin.elapsed()
}

fn limit(stage: &Stage, root: &str, program: PathBuf) -> Command {
    let mut command = stage.command(stage.limit());
    command
        .args(["isolate", root])
        .args(stage.limiting_groups())
        .arg("--")
        .arg(program)
        .arg("true");
    command
}

fn bwrap(stage: &Stage) -> Command {
    let mut command = stage.command("/usr/bin/bwrap");
    for namespace in ["pid", "uts", "ipc", "net", "cgroup"] {
        command.arg(format!("--unshare-{namespace}"));
    }
    command.arg("--bind").arg(stage.own_root()).arg("/");
    command.args([
        "--proc",
        "/proc",
        "--dev",
        "/dev",
        "--ro-bind",
        "/sys",
        "/sys",
        "/limit",
        "true",
    ]);
    command
}

/// An OCI runtime with the bundle that asks for the same.
fn runtime(stage: &Stage, name: &str) -> Command {
    let bundle = stage.fresh(name);
    let kinds = ["pid", "mount", "uts", "ipc", "network", "cgroup"];
    let mount = |to: &str, kind: &str, options: &[&str]| json!({ "destination": to, "type": kind, "source": kind, "options": options });
    let config = json!({
        "ociVersion": "1.0.2",
        "process": { "terminal": false, "user": { "uid": 0, "gid": 0 }, "args": ["/limit", "true"], "env": [], "cwd": "/" },
        "root": { "path": stage.own_root() },
        "mounts": [
            mount("/proc", "proc", &[]),
            mount("/dev", "tmpfs", &["nosuid", "mode=755", "size=65536k"]),
            mount("/sys", "sysfs", &["nosuid", "noexec", "nodev", "ro"]),
        ],
        "linux": {
            "cgroupsPath": format!("/{}", stage.group(name)),
            "namespaces": kinds.map(|kind| json!({ "type": kind })),
            "resources": {
                "cpu": { "quota": 50_000, "period": 100_000 },
                "memory": { "limit": 64 << 20 },
                "pids": { "limit": 16 },
            },
        },
    });
    fs::write(bundle.join("config.json"), config.to_string()).expect("write a bundle");
    let program = ["/usr/bin", "/usr/sbin"].map(|dir| PathBuf::from(dir).join(name));
    let program = program.iter().find(|path| path.exists());
    let program = program.unwrap_or_else(|| panic!("no {name}"));
    let mut command = stage.command(program);
    if name == "crun" && is_hybrid() {
        // crun refuses such a machine; what hides half of it from crun costs a quarter of a millisecond.
        command = stage.command(stage.limit());
        command.args(["on-v1", "this", "--"]).arg(program);
    }
    command
        .arg("--root")
        .arg(bundle.join("state"))
        .arg("run")
        .arg("--bundle")
        .arg(&bundle)
        .arg("isolated");
    command
}

/// Three groups, a limit in each, and away again: by plain writes, and by the typed setters of cgroups-rs.
fn setters(stage: &Stage, start: f64) {
    let groups = stage.limiting_groups();
    if groups.len() != 3 {
        println!("cgroups-rs: measured on v1 only, one hierarchy for each limit");
        return;
    }
    let dirs: Vec<PathBuf> = groups
        .iter()
        .filter_map(|group| Some(PathBuf::from(group.split_once(':')?.0).join("setters")))
        .collect();
    let mut samples = [Vec::new(), Vec::new()];
    for _ in 0..stage.rounds(ROUNDS) {
        for (set, samples) in [set_plainly as fn(&[PathBuf]), set_by_cgroups_rs]
            .into_iter()
            .zip(&mut samples)
        {
            let begin = Instant::now();
            dirs.iter().for_each(|dir| fs::create_dir(dir).expect("make a group"));
            set(&dirs);
            dirs.iter().for_each(|dir| fs::remove_dir(dir).expect("remove a group"));
            samples.push(milliseconds(begin.elapsed()));
        }
    }
    let [plain, theirs] = samples;
    let more = (median(&theirs) - median(&plain)) / start * 100.0;
    let mut table = Table::new("A. Three groups with a limit each, made and removed", "ms");
    table.add("plain writes", plain, None);
    let line = table.add("typed setters of cgroups-rs", theirs, None);
    table.note(
        line,
        format!("{more:.1} % of an isolated start more (kept out above 5 %)"),
    );
    table.print();
}

fn set_plainly(dirs: &[PathBuf]) {
    for (dir, file, value) in [
        (&dirs[0], "cpu.cfs_quota_us", "50000"),
        (&dirs[1], "memory.limit_in_bytes", "67108864"),
        (&dirs[2], "pids.max", "16"),
    ] {
        fs::write(dir.join(file), value).expect("set a limit");
    }
}

fn set_by_cgroups_rs(dirs: &[PathBuf]) {
    let at = |place: usize| (dirs[place].clone(), dirs[place].clone());
    let (path, root) = at(0);
    CpuController::new(path, root, false)
        .set_cfs_quota(50_000)
        .expect("set a limit");
    let (path, root) = at(1);
    MemController::new(path, root, false)
        .set_limit(64 << 20)
        .expect("set a limit");
    let (path, root) = at(2);
    PidController::new(path, root, false)
        .set_pid_max(MaxValue::Value(16))
        .expect("set a limit");
}
