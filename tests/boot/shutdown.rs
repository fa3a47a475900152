//! The end of a machine: by every signal that an init gets, in time, in order, and with its disk whole.

use std::process::Command;

use super::machine::{CTRL_ALT_DEL, Machine, PULL_THE_PLUG};
use super::roots::{FROM_DISK, from_disk};

/// A unit that is up until it is told to stop, and then says so.
fn unit(name: &str, more: &str, script: &str) -> String {
    format!(
        "[unit]\nwanted-by = [\"default\"]\n{more}\n[service]\nexec-start = [\"/bin/sh\", \"-c\", '''{script}''']\n\
         exec-stop = [\"/bin/sh\", \"-c\", \"echo stopping {name}\"]\nstandard-output = \"inherit\"\n\
         [isolation]\nprofile = \"none\"\n"
    )
}

/// Not even SIGKILL ends what the first freezer holds.
const FREEZE: &str = "mkdir -p /sys/fs/cgroup/freezer/ice; echo 0 >/sys/fs/cgroup/freezer/ice/tasks; : >/run/frozen; \
    echo FROZEN >/sys/fs/cgroup/freezer/ice/freezer.state; sleep 1000";

const SLEEP: &str = "while :; do sleep 1000; done";

/// A machine with a unit that says when it is stopped, and a probe that ends the machine and waits for that. What has
/// not begun yet is not stopped by its exec-stop: so the probe comes after the unit.
fn ended_by(test: &str, command: &str) -> Option<Machine> {
    let mut machine = Machine::new(test, &format!("{command}\n{SLEEP}"))?;
    machine
        .tree()
        .file("/etc/svc/units/web.toml", unit("web", "before = [\"probe\"]", SLEEP));
    Some(machine)
}

#[test]
fn signals_end_a_machine() {
    for (command, end) in [
        // SIGRTMIN+4 and +5, as container and machine managers send them.
        ("kill -38 1", "reboot: Power down"),
        ("kill -39 1", "reboot: Restarting system"),
        // Busybox's own, by SIGUSR2 and SIGTERM.
        ("busybox poweroff", "reboot: Power down"),
        ("busybox reboot", "reboot: Restarting system"),
    ] {
        let Some(machine) = ended_by("signals_end_a_machine", command) else {
            return;
        };
        let console = machine.run();
        console.says("stopping web");
        console.says(end);
    }
}

/// By SIGUSR1. It stands still, switched on.
#[test]
fn busybox_halts_a_machine() {
    let Some(machine) = ended_by("busybox_halts_a_machine", "busybox halt") else {
        return;
    };
    let console = machine.talk(&[("reboot: System halted", PULL_THE_PLUG)]);
    console.says("stopping web");
}

#[test]
fn ctrl_alt_del_reboots_a_machine_in_order() {
    let Some(machine) = ended_by("ctrl_alt_del_reboots_a_machine_in_order", "echo at the keyboard") else {
        return;
    };
    let console = machine.talk(&[("at the keyboard", CTRL_ALT_DEL)]);
    console.says("stopping web");
    console.says("reboot: Restarting system");
}

#[test]
fn row_41_a_stuck_machine_powers_off_in_time_and_in_order() {
    let test = "row_41_a_stuck_machine_powers_off_in_time_and_in_order";
    let script = "until [ -e /run/frozen ]; do sleep 0.1; done\necho begun=$(cut -d' ' -f1 /proc/uptime); kill -PWR 1; sleep 1000";
    let Some(machine) = Machine::new(test, script) else {
        return;
    };
    let stubborn = "trap '' TERM; while :; do sleep 0.1; done";
    let mut machine = machine.line("svc.cgroup=v1");
    let tree = machine.tree();
    tree.file("/etc/svc/svcd.toml", "[shutdown]\ntimeout = \"24s\"\n");
    tree.file("/etc/svc/units/disk.toml", unit("disk", "", SLEEP));
    tree.file("/etc/svc/units/db.toml", unit("db", "after = [\"disk\"]", SLEEP));
    tree.file("/etc/svc/units/web.toml", unit("web", "after = [\"db\"]", SLEEP));
    let never = |text: String| text.replace("[isolation]", "timeout-stop = \"infinity\"\n[isolation]");
    tree.file("/etc/svc/units/stubborn.toml", never(unit("stubborn", "", stubborn)));
    tree.file("/etc/svc/units/frozen.toml", never(unit("frozen", "", FREEZE)));
    let console = machine.run();
    let begun: f64 = console.value("begun").parse().expect("a number");
    let took = console.when("reboot: Power down") - begun;
    assert!((16.0..=25.0).contains(&took), "{took} s\n{}", console.0);
    let place = |name: &str| console.0.find(&format!("stopping {name}")).expect(name);
    assert!(
        place("web") < place("db") && place("db") < place("disk"),
        "{}",
        console.0
    );
    console.says("svcd: warning: waiting for stubborn: ");
    console.says(" /bin/sh -c trap '' TERM");
    console.says("svcd: warning: not even killed: ");
    console.says("svcd: powering off");
}

#[test]
fn a_disk_is_whole_after_a_power_off() {
    let script = "echo root=$(awk '$2 == \"/\" { print $4 }' /proc/mounts)\nexec 3>/held; echo held >&3; kill -PWR 1; sleep 1000";
    let Some(machine) = from_disk("a_disk_is_whole_after_a_power_off", script, &[]) else {
        return;
    };
    let machine = machine.line(FROM_DISK);
    let console = machine.run();
    assert!(console.value("root").starts_with("rw"), "{}", console.0);
    console.says("reboot: Power down");
    console.does_not_say("svcd: error");
    let shown = Command::new("/sbin/dumpe2fs").arg("-h").arg(machine.image()).output();
    let shown = String::from_utf8_lossy(&shown.expect("run dumpe2fs").stdout).into_owned();
    assert!(shown.contains("Filesystem state:         clean"), "{shown}");
    assert!(!shown.contains("needs_recovery"), "{shown}");
    assert_eq!(machine.on_disk("/held").as_deref(), Some(&b"held\n"[..]));
}

/// What holds a file of the disk and cannot be killed keeps the machine from unmounting it, and from nothing else: what was
/// written is there.
#[test]
fn row_41_a_disk_under_a_stuck_unit_keeps_what_was_written() {
    let test = "row_41_a_disk_under_a_stuck_unit_keeps_what_was_written";
    let script = format!("until [ -e /run/frozen ]; do sleep 0.1; done\nbusybox poweroff\n{SLEEP}");
    let holds = unit("frozen", "", &format!("exec 3>/held; echo held >&3; {FREEZE}"));
    let files = [
        ("/etc/svc/units/frozen.toml", &*holds),
        ("/etc/svc/svcd.toml", "[shutdown]\ntimeout = \"24s\"\n"),
    ];
    let Some(machine) = from_disk(test, &script, &files) else {
        return;
    };
    let machine = machine.line("svc.cgroup=v1").line(FROM_DISK);
    let console = machine.run();
    console.says("svcd: warning: not even killed: ");
    console.says("svcd: warning: remount / ro: ");
    console.says("reboot: Power down");
    let checked = Command::new("/sbin/e2fsck").arg("-p").arg(machine.image()).output();
    let checked = checked.expect("run e2fsck");
    // Its journal is played, and nothing had to be mended besides; e2fsck(8).
    assert!(checked.status.code().is_some_and(|code| code <= 1), "{checked:?}");
    assert_eq!(machine.on_disk("/held").as_deref(), Some(&b"held\n"[..]));
}
