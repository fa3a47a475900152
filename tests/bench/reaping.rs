//! D: ten thousand orphans by double fork, reaped by PID 1 of a pid namespace; and restarts in the midst of them.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::contestants::busybox;
use crate::ours::{Ours, program};
use crate::stage::{Stage, milliseconds};
use crate::table::{Goal, Table, median, quantile};

const ORPHANS: usize = 10_000;
const ROUNDS: usize = 5;
const BETWEEN_KILLS: Duration = Duration::from_millis(5);
/// A program that is PID 1 while the storm lasts, and how long that took.
type Contestant = (&'static str, fn(&Stage) -> Duration);

const CONTESTANTS: [Contestant; 5] = [
    ("limit: waitpid", under_limit),
    ("svcd", under_svcd),
    ("tini", under_tini),
    ("busybox init", under_busybox),
    ("s6-svscan", under_s6),
];
const OURS: usize = 1;
const TINI: usize = 2;
/// "No slower": what one run of tini differs from the next.
const TOLERANCE: f64 = 1.03;

pub fn run(stage: &Stage) {
    let mut samples: Vec<Vec<f64>> = CONTESTANTS.iter().map(|_| Vec::new()).collect();
    let mut restarts = Vec::new();
    for _ in 0..stage.rounds(ROUNDS) {
        for ((_, storm_under), samples) in CONTESTANTS.iter().zip(&mut samples) {
            samples.push(milliseconds(storm_under(stage)));
        }
        restarts.extend(restarts_in_a_storm(stage));
    }
    let tini = median(&samples[TINI]);
    let mut table = Table::new(
        format!("D. Orphans: {ORPHANS} double-forked, by PID 1, until none is left"),
        "ms",
    );
    for ((name, _), samples) in CONTESTANTS.iter().zip(samples) {
        table.add(*name, samples, Some(0));
    }
    table.goal(OURS, Goal::Most(tini * TOLERANCE));
    table.print();
    let mut table = Table::new("D. Restart of a service in the midst of such a storm", "ms");
    let slowest = vec![quantile(&restarts, 0.99)];
    table.add("svcd, profile \"none\"", restarts, None);
    let line = table.add("  of 100, the slowest but one", slowest, None);
    table.goal(line, Goal::Most(2.0));
    table.print();
}

/// A program as PID 1 of a pid namespace.
fn namespace(stage: &Stage) -> Command {
    let mut command = stage.command("/usr/bin/unshare");
    command.args(["--pid", "--fork", "--kill-child", "--mount-proc"]);
    command
}

/// What reports is the storm; whoever started it is then ended, with all that is left in its namespace.
fn storm_by(stage: &Stage, mut command: Command) -> Duration {
    let mut child = command.spawn().expect("start a peer");
    let took = stage.arrival(&format!("{command:?}")).told();
    child.kill().expect("end a peer");
    child.wait().expect("wait for a peer");
    took
}

fn with_storm(stage: &Stage, mut command: Command) -> Command {
    command.arg(stage.limit()).arg("storm").arg(ORPHANS.to_string());
    command
}

fn under_limit(stage: &Stage) -> Duration {
    let mut command = namespace(stage);
    command.arg(stage.limit()).args(["reap", "this", "--"]);
    storm_by(stage, with_storm(stage, command))
}

fn under_tini(stage: &Stage) -> Duration {
    let mut command = namespace(stage);
    command.args(["/usr/bin/tini", "--"]);
    storm_by(stage, with_storm(stage, command))
}

fn under_busybox(stage: &Stage) -> Duration {
    let dir = stage.fresh("busybox");
    storm_by(stage, busybox(stage, &dir, &format!("::once:/limit storm {ORPHANS}\n")))
}

fn under_s6(stage: &Stage) -> Duration {
    let dir = stage.fresh("s6");
    let run = dir.join("storm/run");
    fs::create_dir(dir.join("storm")).expect("make a service directory");
    let script = format!("#!/bin/sh\nexec {} storm {ORPHANS}\n", stage.limit().display());
    fs::write(&run, script).expect("write a script");
    fs::set_permissions(&run, fs::Permissions::from_mode(0o755)).expect("chmod");
    let mut command = namespace(stage);
    command.arg("/usr/bin/s6-svscan").arg(&dir);
    storm_by(stage, command)
}

fn storm_unit(stage: &Stage) -> (String, String) {
    let text = format!(
        "[service]\ntype = \"oneshot\"\nexec-start = [\"{}\", \"storm\", \"{ORPHANS}\"]\n{}\n[isolation]\nprofile = \"none\"\n",
        stage.limit().display(),
        stage.environment()
    );
    ("storm".to_owned(), text)
}

fn under_svcd(stage: &Stage) -> Duration {
    let mut command = namespace(stage);
    command.arg(program("svcd"));
    let mut ours = Ours::spawn_by(stage, command, "init", &[storm_unit(stage)]);
    ours.start_unit("storm", false);
    let took = stage.arrival("svcd").told();
    ours.shut_down();
    took
}

/// svcd as the reaper of orphans that it is anywhere: kills a service again and again while a storm lasts.
fn restarts_in_a_storm(stage: &Stage) -> Vec<f64> {
    let victim = format!(
        "[service]\nexec-start = [\"{}\", \"pause\"]\n{}\n[restart]\npolicy = \"always\"\ndelay = \"0s\"\n[isolation]\nprofile = \"none\"\n",
        stage.limit().display(),
        stage.environment()
    );
    let mut ours = Ours::start(stage, "storm", &[storm_unit(stage), ("victim".to_owned(), victim)]);
    ours.start_unit("victim", true);
    let mut victim = stage.arrival("svcd");
    ours.start_unit("storm", false);
    let mut took = Vec::new();
    loop {
        std::thread::sleep(BETWEEN_KILLS);
        let begin = Instant::now();
        victim.kill();
        let arrival = stage.arrival("svcd");
        if !arrival.is_pausing() {
            // The storm tells that it is over. The victim's successor comes after it.
            stage.arrival("svcd");
            break;
        }
        took.push(milliseconds(arrival.at - begin));
        victim = arrival;
    }
    ours.stop();
    took
}
