//! E: a machine's boot, from the hand-over to PID 1 until fifty services are up; and what its init then holds.
//!
//! Each init is PID 1 of the same guest: Debian's kernel under qemu, with one processor whose clock counts instructions,
//! so that neither this machine's speed nor its load matters. PID 1 is at first the C program, which takes the time,
//! leaves a process that waits for the fiftieth service, and becomes the init.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::ours::program;
use crate::stage::Stage;
use crate::table::{Goal, Table};
use crate::tree::Tree;

const SERVICES: usize = 50;
const ROUNDS: usize = 3;
/// A guest that is not up after so many seconds never will be.
const PATIENCE_SECONDS: u32 = 300;
const QEMU: &str = "qemu-system-x86_64 -accel tcg -icount shift=1,sleep=off -cpu max -m 384 -smp 1 -nodefaults \
    -no-user-config -nographic -no-reboot -serial stdio -monitor none";

/// Its name, what its initramfs holds, and the command line that PID 1 becomes.
type Contestant = (&'static str, fn(&mut Tree), &'static str);

const CONTESTANTS: [Contestant; 7] = [
    ("limit: fork, exec", |_| {}, "/limit up-all 50"),
    ("svcd, profile \"none\"", |tree| svcd(tree, "none"), "/init"),
    ("svcd, profile \"standard\"", |tree| svcd(tree, "standard"), "/init"),
    ("busybox init", busybox, "/sbin/init"),
    ("s6-svscan", s6, "/usr/bin/s6-svscan -c 60 /service"),
    ("runsvdir", runit, "/usr/bin/runsvdir /service"),
    ("systemd, nothing else", systemd, "/lib/systemd/systemd"),
];
const LIMIT: usize = 0;
const GOALS: [(usize, Goal); 2] = [(1, Goal::Times(2.0)), (2, Goal::Times(4.0))];

pub fn run(stage: &Stage) {
    let machines: Vec<(PathBuf, &str)> = CONTESTANTS
        .iter()
        .map(|(name, fill, init)| {
            let mut tree = Tree::default();
            tree.program("/limit", fs::read(stage.limit()).expect("read the C program"));
            fill(&mut tree);
            let file = stage.dir.join(name.replace([' ', '"'], "-"));
            fs::write(&file, tree.initramfs()).expect("write an initramfs");
            (file, *init)
        })
        .collect();
    let mut samples = vec![(Vec::new(), Vec::new()); CONTESTANTS.len()];
    for _ in 0..stage.rounds(ROUNDS) {
        for ((file, init), (times, memory)) in machines.iter().zip(&mut samples) {
            let (nanoseconds, kibibytes) = boot(file, init);
            times.push(nanoseconds / 1e6);
            memory.push(kibibytes);
        }
    }
    let title =
        format!("E. Boot of a guest: hand-over to PID 1 until {SERVICES} services are up, by the guest's clock");
    let mut table = Table::new(title, "ms");
    for ((name, ..), (times, _)) in CONTESTANTS.iter().zip(&samples) {
        table.add(*name, times.clone(), Some(LIMIT));
    }
    for (line, goal) in GOALS {
        table.goal(line, goal);
    }
    table.print();
    let mut table = Table::new(
        format!("E. Memory as init: PSS of PID 1 and helpers with {SERVICES} services"),
        "KiB",
    );
    for ((name, ..), (_, memory)) in CONTESTANTS.iter().zip(samples).skip(1) {
        table.add(*name, memory, None);
    }
    table.print();
}

/// Nanoseconds until all were up, and KiB.
fn boot(initramfs: &Path, init: &str) -> (f64, f64) {
    let kernel = std::env::var("SVC_BENCH_KERNEL").expect("use tests/bench/run");
    let done = Command::new("timeout")
        .arg(PATIENCE_SECONDS.to_string())
        .args(QEMU.split_whitespace())
        .args(["-kernel", &kernel, "-initrd"])
        .arg(initramfs)
        .arg("-append")
        .arg(format!(
            "console=ttyS0 quiet loglevel=1 panic=-1 rdinit=/limit -- hand-over {SERVICES} {init}"
        ))
        .output()
        .expect("run qemu");
    let said = String::from_utf8_lossy(&done.stdout).replace('\r', "");
    let figure = |unit: &str| {
        let mut lines = said
            .lines()
            .filter_map(|line| line.strip_prefix("BOOT: ")?.strip_suffix(unit));
        let figure = lines.next().and_then(|figure| figure.trim().parse().ok());
        figure.unwrap_or_else(|| panic!("{init}: never up:\n{said}"))
    };
    (figure(" ns"), figure(" KiB"))
}

fn svcd(tree: &mut Tree, profile: &str) {
    tree.program("/init", fs::read(program("svcd")).expect("read svcd"));
    for nth in 0..SERVICES {
        let unit = format!(
            "[unit]\nwanted-by = [\"default\"]\n[service]\nexec-start = [\"/limit\", \"up\"]\n[isolation]\nprofile = \"{profile}\"\n"
        );
        tree.file(&format!("/etc/svc/units/s{nth}.toml"), unit);
    }
}

fn busybox(tree: &mut Tree) {
    copy(tree, "/bin/busybox");
    tree.link("/sbin/init", "/bin/busybox");
    // Of lines that are the same, it keeps one.
    let line = |nth| format!("::respawn:/limit up {nth}\n");
    tree.file("/etc/inittab", (0..SERVICES).map(line).collect::<String>());
}

fn s6(tree: &mut Tree) {
    copy(tree, "/usr/bin/s6-svscan");
    copy(tree, "/usr/bin/s6-supervise");
    service_directories(tree);
}

fn runit(tree: &mut Tree) {
    copy(tree, "/usr/bin/runsvdir");
    copy(tree, "/usr/bin/runsv");
    service_directories(tree);
}

fn service_directories(tree: &mut Tree) {
    for nth in 0..SERVICES {
        tree.link(&format!("/service/s{nth}/run"), "/limit");
    }
}

/// No journal, no udev, and no target before this one.
fn systemd(tree: &mut Tree) {
    copy(tree, "/lib/systemd/systemd");
    let names: Vec<String> = (0..SERVICES).map(|nth| format!("s{nth}.service")).collect();
    let target = format!("[Unit]\nDefaultDependencies=no\nWants={}\n", names.join(" "));
    tree.file("/etc/systemd/system/default.target", target);
    let service =
        "[Unit]\nDefaultDependencies=no\n[Service]\nExecStart=/limit up\nStandardOutput=null\nStandardError=null\n";
    for name in names {
        tree.file(&format!("/etc/systemd/system/{name}"), service);
    }
    tree.file("/etc/machine-id", "0123456789abcdef0123456789abcdef\n");
}

/// A program of this machine, with the libraries and the loader that ldd(1) names.
fn copy(tree: &mut Tree, program: &str) {
    tree.program(
        program,
        fs::read(program).unwrap_or_else(|error| panic!("{program}: {error}")),
    );
    let libraries = Command::new("ldd").arg(program).output().expect("run ldd");
    for word in String::from_utf8_lossy(&libraries.stdout).split_whitespace() {
        if word.starts_with('/') {
            tree.program(word, fs::read(word).expect("read a library"));
        }
    }
}
