//! Pull, unpack and start of an image of 200 MB in ten layers from a registry on loopback: ours beside podman's, each as one
//! command on an empty store.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::ours::{Ours, program};
use crate::stage::{Stage, milliseconds, timed};
use crate::table::{Goal, Table};

const ROUNDS: usize = 5;
const LAYERS: usize = 10;
/// Of a layer, in files of 256 KiB.
const FILES: usize = 80;
const FILE_BYTES: usize = 256 << 10;

/// Debian's docker-registry; ended when dropped.
struct Registry {
    child: Child,
    host: String,
}

impl Registry {
    fn start(dir: &Path) -> Self {
        let settings = format!(
            "version: 0.1\nlog: {{ level: info, accesslog: {{ disabled: true }} }}\n\
             storage: {{ filesystem: {{ rootdirectory: {}/data }} }}\nhttp: {{ addr: 127.0.0.1:0 }}\n",
            dir.display()
        );
        fs::write(dir.join("settings.yml"), settings).expect("write the registry's settings");
        let child = Command::new("docker-registry")
            .args(["serve", "settings.yml"])
            .current_dir(dir)
            .stdout(Stdio::null())
            .stderr(File::create(dir.join("said")).expect("make a file"))
            .spawn()
            .expect("start docker-registry");
        let mut registry = Self {
            child,
            host: String::new(),
        };
        let end = Instant::now() + Duration::from_secs(30);
        loop {
            let said = fs::read_to_string(dir.join("said")).unwrap_or_default();
            let behind = said.split("listening on 127.0.0.1:").nth(1).unwrap_or_default();
            let port: String = behind.chars().take_while(char::is_ascii_digit).collect();
            if !port.is_empty() && port.len() < behind.len() {
                registry.host = format!("127.0.0.1:{port}");
                return registry;
            }
            assert!(Instant::now() < end, "the registry never listened: {said}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub fn run(stage: &Stage) {
    let registry = Registry::start(&stage.fresh("registry"));
    let name = format!("{}/bench/image:1", registry.host);
    push(stage, &name);
    let ours = Ours::start(stage, "images", &[]);
    let theirs = stage.fresh("podman");
    let (mut own, mut others) = (Vec::new(), Vec::new());
    for _ in 0..stage.rounds(ROUNDS) {
        let mut command = ours.svc(&["run", "--rm", "--net", "none", &name, "/limit", "true"]);
        own.push(milliseconds(timed(command.stderr(Stdio::null()))));
        timed(&mut image(&ours.state_dir(), &["rm", &name]));
        others.push(milliseconds(timed(&mut podman(
            &theirs,
            &RUN,
            &[&name, "/limit", "true"],
        ))));
        timed(&mut podman(&theirs, &["rmi", "--force"], &[&name]));
    }
    ours.stop();
    // Its storage is mounted on itself.
    let _ = Command::new("umount")
        .arg("--recursive")
        .arg(theirs.join("storage/overlay"))
        .stderr(Stdio::null())
        .status();
    let mut table = Table::new(
        "Images: pull, unpack and start of 200 MB in 10 layers from a registry on loopback",
        "ms",
    );
    let podman = table.add("podman run", others, None);
    let ours = table.add("svc run", own, Some(podman));
    table.goal(ours, Goal::Times(1.0));
    table.note(podman, "the limit of this table");
    table.print();
}

const RUN: [&str; 9] = [
    "run",
    "--rm",
    "--network=none",
    "--tls-verify=false",
    "--quiet",
    "--log-driver=none",
    "--ulimit=nofile=1024:1024",
    "--ulimit=nproc=1024:1024",
    "--pull=always",
];

fn podman(dir: &Path, verb: &[&str], words: &[&str]) -> Command {
    let mut command = Command::new("podman");
    for (flag, below) in [("--root", "storage"), ("--runroot", "run"), ("--tmpdir", "tmp")] {
        command.arg(flag).arg(dir.join(below));
    }
    command.args([
        "--storage-driver",
        "overlay",
        "--cgroup-manager",
        "cgroupfs",
        "--events-backend",
        "file",
        "--runtime",
        "runc",
    ]);
    command
        .args(verb)
        .args(words)
        .stdin(Stdio::null())
        .stdout(Stdio::null());
    command
}

/// `svc image` with a store.
pub fn image(state_dir: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(program("svc"));
    command.arg("image").arg("--state-dir").arg(state_dir).args(arguments);
    command.stdout(Stdio::null()).stderr(Stdio::null());
    command
}

/// Layer by layer, with the C program in the first one.
fn push(stage: &Stage, name: &str) {
    let (store, tree) = (stage.fresh("made"), stage.fresh("layer"));
    let mut base: Option<String> = None;
    for nth in 0..LAYERS {
        let layer = layer(stage, &tree, nth);
        let made = format!("made:{nth}");
        let mut arguments = vec!["commit"];
        arguments.extend(base.as_deref().into_iter().flat_map(|base| ["--base", base]));
        let layer = layer.display().to_string();
        arguments.extend([layer.as_str(), &made]);
        timed(&mut image(&store, &arguments));
        base = Some(made);
    }
    let last = base.expect("a layer");
    timed(&mut image(&store, &["push", "--quiet", &last, name]));
    fs::remove_dir_all(store).expect("remove a directory");
    fs::remove_dir_all(tree).expect("remove a directory");
}

/// Files of which one half can be compressed, as programs can.
fn layer(stage: &Stage, tree: &Path, nth: usize) -> PathBuf {
    let dir = tree.join(nth.to_string());
    let below = dir.join(format!("data-{nth}"));
    fs::create_dir_all(&below).expect("make a directory");
    if nth == 0 {
        for place in ["proc", "sys", "dev", "etc", "tmp"] {
            fs::create_dir(dir.join(place)).expect("make a directory");
        }
        fs::copy(stage.limit(), dir.join("limit")).expect("copy the program");
    }
    let mut seed = nth as u64 + 1;
    for file in 0..FILES {
        let mut to = File::create(below.join(file.to_string())).expect("make a file");
        let mut bytes = Vec::with_capacity(FILE_BYTES);
        while bytes.len() < FILE_BYTES {
            for _ in 0..128 {
                seed ^= seed << 13;
                seed ^= seed >> 7;
                seed ^= seed << 17;
                bytes.extend(seed.to_le_bytes());
            }
            bytes.extend([b'-'; 1024]);
        }
        to.write_all(&bytes).expect("write a file");
    }
    dir
}
