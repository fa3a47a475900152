//! How services share the machine: what the kernel says of their processes.

use std::fs;

use super::harness::{SLEEPER, Svcd};
use super::machine::{is_root, skip};

/// Fields of /proc/PID/stat by their numbers in proc(5).
fn stat(pid: u32, field: usize) -> String {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let rest = stat.rsplit_once(')').unwrap().1;
    rest.split_whitespace().nth(field - 3).unwrap().to_owned()
}

const NICE: usize = 19;
const PRIORITY: usize = 40;
const POLICY: usize = 41;

#[test]
fn scheduling_is_what_the_unit_says() {
    if !is_root() {
        return skip(
            "scheduling_is_what_the_unit_says",
            "real-time policies take CAP_SYS_NICE",
        );
    }
    let fifo = "cpu-scheduling-policy = \"fifo\"\ncpu-scheduling-priority = 7\noom-score-adj = 300\n";
    let svcd = Svcd::with(&[
        ("plain", SLEEPER),
        ("fifo", &format!("{SLEEPER}{fifo}")),
        (
            "idle",
            &format!(
                "{SLEEPER}cpu-scheduling-policy = \"idle\"\nio-scheduling-class = \"idle\"\ntimer-slack = \"1ms\"\n"
            ),
        ),
        (
            "rr",
            &format!("{SLEEPER}cpu-scheduling-policy = \"rr\"\nio-scheduling-priority = 2\n"),
        ),
        ("nice", &format!("{SLEEPER}nice = -5\ncpu-affinity = \"0\"\n")),
    ]);
    svcd.ok(&["start", "plain", "fifo", "idle", "rr", "nice"]);
    let of = |unit: &str, field| stat(svcd.main_pid(unit), field);
    // sched(7): SCHED_OTHER is 0, FIFO 1, RR 2, IDLE 5.
    for (unit, policy, priority) in [
        ("plain", "0", "0"),
        ("fifo", "1", "7"),
        ("idle", "5", "0"),
        ("rr", "2", "1"),
    ] {
        assert_eq!(
            (of(unit, POLICY).as_str(), of(unit, PRIORITY).as_str()),
            (policy, priority),
            "{unit}"
        );
    }
    assert_eq!(
        (of("plain", NICE), of("nice", NICE)),
        (stat(svcd.pid(), NICE), "-5".to_owned())
    );
    let read = |unit: &str, file: &str| fs::read_to_string(format!("/proc/{}/{file}", svcd.main_pid(unit))).unwrap();
    assert_eq!(read("fifo", "oom_score_adj").trim(), "300");
    assert_eq!(read("plain", "oom_score_adj").trim(), "0");
    assert_eq!(read("idle", "timerslack_ns").trim(), "1000000");
    assert_eq!(read("plain", "timerslack_ns").trim(), "50000", "the kernel's own");
    let status = read("nice", "status");
    assert!(status.contains("Cpus_allowed_list:\t0\n"), "{status}");
    for (unit, shown) in [
        ("plain", "none: prio 0"),
        ("idle", "idle"),
        ("rr", "best-effort: prio 2"),
    ] {
        let Some(ionice) = super::machine::program("ionice") else {
            return skip("io_scheduling_is_what_the_unit_says", "no ionice(1) here");
        };
        let pid = svcd.main_pid(unit).to_string();
        let told = std::process::Command::new(ionice).args(["-p", &pid]).output().unwrap();
        assert_eq!(String::from_utf8_lossy(&told.stdout).trim(), shown, "{unit}");
    }
}

/// What cannot be set is a failed step with its key, and the service does not run with less.
#[test]
fn scheduling_that_cannot_be_had_fails_the_start() {
    let once = "[restart]\npolicy = \"no\"\n";
    let table = [
        (
            "fifo",
            "cpu-scheduling-policy = \"fifo\"",
            "cpu-scheduling-policy",
            "EPERM",
            214,
        ),
        (
            "disk",
            "io-scheduling-class = \"realtime\"",
            "io-scheduling-class",
            "EPERM",
            211,
        ),
        ("nice", "nice = -5", "nice", "EACCES", 201),
        ("cpus", "cpu-affinity = \"1000-1020\"", "cpu-affinity", "EINVAL", 215),
        ("score", "oom-score-adj = -500", "oom-score-adj", "EACCES", 206),
    ];
    // Without these capabilities a supervisor can raise nothing.
    let Some(setpriv) = super::machine::program("setpriv").filter(|_| is_root()) else {
        return skip(
            "scheduling_that_cannot_be_had_fails_the_start",
            "not root, or no setpriv(1)",
        );
    };
    let less = "--bounding-set=-sys_nice,-sys_resource,-sys_admin";
    let plan = super::harness::Plan::new().under(&[&setpriv.display().to_string(), less]);
    let plan = table.iter().fold(plan, |plan, (name, key, ..)| {
        plan.unit(
            name,
            &format!("{SLEEPER}{key}\n{once}[isolation]\nprofile = \"none\"\n"),
        )
    });
    let svcd = plan.start();
    for (name, _, step, errno, code) in table {
        assert_ne!(svcd.svc(&["start", name]).code, 0, "{name}");
        let status = svcd.reaches(name, "failed");
        assert_eq!(
            (&status["failed-step"], &status["errno"]),
            (&step.into(), &errno.into()),
            "{status:#}"
        );
        assert_eq!(status["step-exit-code"], code, "{status:#}");
    }
}
