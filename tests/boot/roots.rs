//! Which root a machine comes up with, and what it does without.

use super::machine::{Bus, Machine, probe, svcd};
use super::tree::Tree;

pub const UUID: &str = "0123abcd-4567-89ab-cdef-0123456789ab";

/// What every program expects to be mounted.
const MOUNTS: &str = r#"
for place in /proc /sys /dev /dev/pts /dev/shm /run /tmp /sys/fs/cgroup; do
  echo "$place=$(awk -v at=$place '$2 == at { print $3, $4 }' /proc/mounts)"
done
echo "root=$(awk '$2 == "/" { print $1, $3, $4 }' /proc/mounts)"
echo "fd=$(readlink /dev/fd)"
echo "socket=$(test -S /run/svc/control.sock && echo there)"
echo "pid1=$(tr '\0' ' ' </proc/1/cmdline)"
"#;

/// A root on a disk, with the directories that it cannot make when it is read-only.
pub fn disk(script: &str) -> Tree {
    let mut tree = Tree::default();
    for place in ["dev", "proc", "sys", "run", "tmp", "var/lib", "var/log"] {
        tree.directory(place);
    }
    tree.program("/usr/sbin/svcd", svcd());
    probe(&mut tree, script);
    tree
}

/// A machine without an initramfs: its kernel mounts the disk by itself, and there are svcd and these files.
pub fn from_disk(test: &str, script: &str, files: &[(&str, &str)]) -> Option<Machine> {
    let mut machine = Machine::new(test, script)?;
    machine.initramfs = None;
    let mut tree = disk(script);
    for (path, text) in files {
        tree.file(path, *text);
    }
    Some(machine.disk(&tree, Bus::Nvme, "root", UUID))
}

/// What its kernel has to be told.
pub const FROM_DISK: &str = "root=/dev/nvme0n1 rw rootwait init=/usr/sbin/svcd";

#[test]
fn row_06_nothing_is_mounted_and_there_is_no_etc() {
    let test = "row_06_nothing_is_mounted_and_there_is_no_etc";
    let script = format!("{MOUNTS}echo etc=$(test -e /etc && echo there)\necho name=$(hostname)\n");
    let Some(machine) = Machine::new(test, &script) else {
        return;
    };
    let console = machine.boot();
    for (place, kind) in [
        ("/proc", "proc rw,nosuid,nodev,noexec"),
        ("/sys", "sysfs rw,nosuid,nodev,noexec"),
        ("/dev", "devtmpfs rw,nosuid"),
        ("/dev/pts", "devpts rw,nosuid,noexec"),
        ("/dev/shm", "tmpfs rw,nosuid,nodev"),
        ("/run", "tmpfs rw,nosuid,nodev"),
        ("/tmp", "tmpfs rw,nosuid,nodev"),
        ("/sys/fs/cgroup", "cgroup2 rw,nosuid,nodev,noexec"),
    ] {
        assert!(console.value(place).starts_with(kind), "{place}: {}", console.0);
    }
    assert_eq!(console.value("fd"), "/proc/self/fd");
    assert_eq!((console.value("socket"), console.value("etc")), ("there", ""));
    assert_eq!(console.value("name"), "localhost");
    console.does_not_say("error");
    console.does_not_say("warning");
}

/// The kernel mounts the disk by itself, read-only, with an empty /dev.
#[test]
fn row_05_read_only_root_of_the_kernels_own() {
    let script = format!("{MOUNTS}echo log=$(ls /run/svc)\n");
    let Some(machine) = from_disk("row_05_read_only_root_of_the_kernels_own", &script, &[]) else {
        return;
    };
    let console = machine
        .line("root=/dev/nvme0n1 ro rootwait init=/usr/sbin/svcd quiet splash")
        .boot();
    assert!(console.value("root").starts_with("/dev/root ext4 ro"), "{}", console.0);
    assert!(console.value("/dev").starts_with("devtmpfs"));
    assert_eq!(console.value("socket"), "there");
    assert_eq!(console.value("log"), "control.sock log state state-dir svcd.lock");
    console.says("/var/lib/svc: Read-only file system");
    console.does_not_say("svcd: error");
}

/// An initramfs with the drivers of its disk, and a disk with svcd.
pub fn two_roots(test: &str, script: &str) -> Option<Machine> {
    let machine = Machine::new(test, "echo the initramfs was to be left")?;
    let mut machine = machine.modules(&["virtio_pci", "virtio_blk"]);
    machine.tree().file(
        "/etc/svc/svcd.toml",
        "[boot]\nmodules = [\"virtio_pci\", \"virtio_blk\"]\n",
    );
    Some(machine.disk(&disk(script), Bus::Virtio, "a root", UUID))
}

#[test]
fn an_initramfs_goes_on_from_the_disk() {
    let script = format!("{MOUNTS}echo left=$(awk '$3 == \"rootfs\"' /proc/mounts)\n");
    let Some(machine) = two_roots("an_initramfs_goes_on_from_the_disk", &script) else {
        return;
    };
    let mut machine = machine.line("root=\"LABEL=a root\" rootflags=noatime rw -- --cgroup moved");
    let console = machine.boot();
    assert!(
        console.value("root").starts_with("/dev/vda ext4 rw,noatime"),
        "{}",
        console.0
    );
    // Moved, and nothing mounted twice.
    assert_eq!(console.0.matches("/dev=devtmpfs rw,nosuid").count(), 1);
    assert_eq!(console.value("left"), "");
    assert_eq!(console.value("socket"), "there");
    assert_eq!(console.value("pid1"), "/usr/sbin/svcd --cgroup moved ");
    console.does_not_say("svcd: error");
    machine.line = format!(" root=UUID={}", UUID.to_uppercase());
    let console = machine.boot();
    assert!(console.value("root").starts_with("/dev/vda ext4 ro"), "{}", console.0);
    assert_eq!(console.value("pid1"), "/usr/sbin/svcd ");
}

/// The svcd of the initramfs, whose file is gone by then.
#[test]
fn a_root_without_svcd_gets_the_one_of_the_initramfs() {
    let script = "echo \"pid1=$(tr '\\0' ' ' </proc/1/cmdline)\"; echo \"root=$(ls /)\"";
    let Some(machine) = two_roots("a_root_without_svcd_gets_the_one_of_the_initramfs", script) else {
        return;
    };
    let mut tree = disk(script);
    tree.remove("/usr/sbin/svcd");
    let console = machine
        .disk(&tree, Bus::Virtio, "a root", UUID)
        .line("root=/dev/vda")
        .boot();
    assert_eq!(console.value("pid1"), "/init ");
    assert!(console.0.lines().any(|line| line == "lost+found"), "{}", console.0);
}

#[test]
fn a_root_that_is_not_there_is_said_and_the_initramfs_goes_on() {
    let test = "a_root_that_is_not_there_is_said_and_the_initramfs_goes_on";
    let Some(machine) = Machine::new(test, MOUNTS) else {
        return;
    };
    let console = machine.line("root=PARTUUID=1-2").boot();
    console.says("svcd: error: root=PARTUUID=1-2: svcd knows /dev/NAME, UUID=… and LABEL=…");
    assert!(console.value("root").starts_with("rootfs"));
    assert_eq!(console.value("socket"), "there");
}

/// No driver has the console that is named: the kernel starts init without standard streams, and its /dev is empty.
#[test]
fn a_machine_without_a_console_comes_up() {
    let script = "readlink /proc/1/fd/2 >/proof; echo told nobody; sync; poweroff -f";
    let Some(mut machine) = from_disk("a_machine_without_a_console_comes_up", script, &[]) else {
        return;
    };
    machine.console = "console=none0";
    let machine = machine.line(FROM_DISK);
    machine.run();
    let proof = machine.on_disk("/proof").expect("the probe has run");
    assert_eq!(String::from_utf8_lossy(&proof), "/memfd:no-console (deleted)\n");
}
