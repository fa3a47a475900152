//! A, step by step: what an isolated start takes more for each thing that is asked of it. Nothing is traced: each line is a
//! unit that asks for what the lines above it ask for and one thing more, all are started in turn, and medians are
//! compared, so that no step is slowed down by being looked at. What a step costs at the end of a start, such as the end
//! of a namespace, is in its line too.

use crate::ours::Ours;
use crate::stage::Stage;
use crate::table::{Table, figure, median};

const ROUNDS: usize = 150;

/// What is asked for more: its name, its table (empty: `[isolation]`), and its keys.
const STEPS: &[(&str, &str, &str)] = &[
    ("clone, cgroup, exec", "", "init = false"),
    (
        "limits of processor, memory, tasks",
        "resources",
        "cpu-quota = \"50%\"\nmemory-max = \"64M\"\npids-max = 16",
    ),
    (
        "namespaces uts, ipc, cgroup",
        "",
        "uts = true\nipc = true\ncgroup = true",
    ),
    ("network namespace, loopback", "network", "mode = \"none\""),
    ("mount namespace", "", "mount = true"),
    ("pid namespace, /proc", "", "pid = true"),
    ("private /tmp", "", "private-tmp = true"),
    ("private /dev", "", "private-devices = true"),
    ("read-only system", "", "protect-system = \"full\""),
    ("masked and read-only /proc, /sys", "", "protect-kernel-tunables = true"),
    ("no new privileges", "", "no-new-privileges = true"),
    ("keyring", "", "keyring-mode = \"private\""),
    ("capabilities", "", "capabilities = [\"CAP_CHOWN\", \"CAP_KILL\"]"),
    (
        "system-call filter",
        "",
        "seccomp = \"default\"\nrestrict-suid-sgid = true",
    ),
    ("all of profile standard", "", "profile = \"standard\""),
    ("a reaper as process 1", "", "init = true"),
];

pub fn run(stage: &Stage) {
    let units: Vec<_> = (0..STEPS.len()).map(|last| (name(last), unit(stage, last))).collect();
    let mut ours = Ours::start(stage, "steps", &units);
    let names: Vec<String> = (0..STEPS.len()).map(name).collect();
    let took = ours.starts(stage.rounds(ROUNDS), &names, |_, _| {});
    ours.stop();
    let mut table = Table::new(
        "A. Isolated start, step by step: each line has those above it too",
        "ms",
    );
    let mut before = 0.0;
    for (samples, (step, ..)) in took.into_iter().zip(STEPS) {
        let now = median(&samples);
        let line = table.add(*step, samples, None);
        table.note(line, format!("{} more", figure(now - before)));
        before = now;
    }
    table.print();
}

fn name(last: usize) -> String {
    format!("step{last}")
}

/// With all steps up to this one.
fn unit(stage: &Stage, last: usize) -> String {
    let mut isolation = vec!["profile = \"none\""];
    let mut tables = String::new();
    for (_, table, keys) in &STEPS[..=last] {
        match *table {
            "" if keys.starts_with("profile") => isolation = vec!["init = false"],
            "" if *keys == "init = true" => isolation = Vec::new(),
            "" => isolation.push(keys),
            table => tables.push_str(&format!("[{table}]\n{keys}\n")),
        }
    }
    format!(
        "[service]\ntype = \"oneshot\"\nexec-start = [\"{}\", \"true\"]\n{tables}[isolation]\n{}\n",
        stage.limit().display(),
        isolation.join("\n")
    )
}
