//! The start of a service on the bridge, until it has executed, beside the same one without a network of its own: each line
//! is a unit that asks for what the lines above it ask for and one thing more, all are started and stopped in turn. svcd has
//! a network of its own, and one service is on the bridge throughout.

use std::process::Command;

use svc::control::Verb;

use crate::ours::{Ours, program};
use crate::stage::Stage;
use crate::table::{Goal, Table, figure, median};

const ROUNDS: usize = 150;

/// What is asked for more: its name, its keys of `[network]`.
const STEPS: &[(&str, &str)] = &[
    ("the machine's network", ""),
    ("a network namespace with loopback", "mode = \"none\""),
    ("on the bridge: link, address, route", "mode = \"bridge\""),
    ("a port that is published", "publish = [\"8080:80\"]"),
    ("a rule", "allow = [\"in:*:80/tcp\"]"),
];
/// The one that the goal is about.
const BRIDGE: usize = 2;

pub fn run(stage: &Stage) {
    let mut units: Vec<_> = (0..STEPS.len()).map(|last| (name(last), unit(stage, last))).collect();
    units.push(("other".to_owned(), unit(stage, BRIDGE)));
    let mut command = Command::new("unshare");
    command.args(["--net", "sh", "-c", "ip link set lo up; exec \"$0\" \"$@\""]);
    command.arg(program("svcd"));
    let mut ours = Ours::spawn_by(stage, command, "network", &units);
    ours.start_unit("other", true);
    let names: Vec<String> = (0..STEPS.len()).map(name).collect();
    let stop = |ours: &mut Ours, unit: &str| ours.job(Verb::Stop, unit, true);
    let took = ours.starts(stage.rounds(ROUNDS), &names, stop);
    ours.stop();
    let mut table = Table::new(
        "Network: request until the service has executed; each line has those above it too",
        "ms",
    );
    let mut before = None;
    for (samples, (step, _)) in took.into_iter().zip(STEPS) {
        let now = median(&samples);
        let line = table.add(*step, samples, Some(0));
        if let Some(before) = before.replace(now) {
            table.note(line, format!("{} more", figure(now - before)));
        }
    }
    table.goal(BRIDGE, Goal::Times(2.0));
    table.print();
}

fn name(last: usize) -> String {
    format!("network{last}")
}

/// With all steps up to this one; a mode takes the place of the one before.
fn unit(stage: &Stage, last: usize) -> String {
    let (modes, keys): (Vec<&str>, Vec<&str>) =
        (STEPS[..=last].iter().map(|(_, keys)| *keys)).partition(|keys| keys.starts_with("mode"));
    let mode = modes.last().copied().unwrap_or_default();
    format!(
        "[service]\ntype = \"exec\"\nexec-start = [\"{}\", \"stay\"]\n[network]\n{mode}\n{}\n",
        stage.limit().display(),
        keys.join("\n")
    )
}
