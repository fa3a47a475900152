//! `status`: one unit in all detail, or the machine at a glance.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::failure::{Failure, Kind};
use super::generations;
use super::list::{about, branches, elapsed};
use super::render::{BAD, BOLD, DIM, Table, bytes, cell, decimal, harmless, number, paint, state_style, stretch};
use super::session::{Session, is_pattern};
use super::time;
use crate::control::Request;
use crate::control::health::Health;
use crate::control::network::Network;
use crate::control::returns;
use crate::control::view::{Amount, Limit, State, UnitLine, UnitStatus, Version};
use crate::log;

/// Lines of its log at the end of a unit's status.
const LOG_LINES: usize = 10;

/// `svc status`.
///
/// # Errors
/// [`Failure`]; of the kind [`Kind::NotRunning`] after a status that was printed.
pub fn run(session: &mut Session<'_>, units: &[String]) -> Result<(), Failure> {
    if units.is_empty() {
        return glance(session);
    }
    let what = format!("status {}", units.join(" "));
    let returns::Statuses {
        units: mut statuses,
        log_dir,
    } = session.statuses(&what, units)?;
    statuses
        .iter_mut()
        .for_each(|status| fill_log_tail(status, Path::new(&log_dir)));
    if session.json {
        match (statuses.as_slice(), units) {
            ([status], [unit]) if !is_pattern(unit) => session.print_json(status)?,
            (statuses, _) => session.print_json(&statuses)?,
        }
    } else {
        let now = time::now();
        for (nth, status) in statuses.iter().enumerate() {
            let gap = if nth == 0 { "" } else { "\n" };
            write!(session.out, "{gap}{}", block(status, now))?;
        }
    }
    match statuses.iter().all(|status| status.state == State::Running) {
        true => Ok(()),
        false => Err(Failure::told(Kind::NotRunning)),
    }
}

/// The log is a file, so it is read here and costs the supervisor nothing.
fn fill_log_tail(status: &mut UnitStatus, dir: &Path) {
    if status.log_tail.is_empty() {
        status.log_tail = log::read::tail(dir, &status.unit, LOG_LINES)
            .into_iter()
            .map(|line| line.text)
            .collect();
    }
}

/// All of one unit, on less than a screen: a word at the left, what it says of the unit beside it.
fn block(status: &UnitStatus, now: i64) -> String {
    let mut lines = Lines(String::new());
    let title = match status.description.is_empty() {
        true => status.kind.clone(),
        false => format!("{}, {}", harmless(&status.description), status.kind),
    };
    let dot = paint(state_style(status.state), "●");
    lines
        .0
        .push_str(&format!("{dot} {}  {}\n", paint(BOLD, &status.unit), paint(DIM, title)));
    lines.say("state", &state(status, now));
    lines.say_some("why", status.reason.as_deref());
    lines.say_some("last run", last_run(status).as_deref());
    lines.say_some("failed at", failed_step(status).as_deref());
    lines.say_some("main pid", main_pid(status).as_deref());
    lines.say_some("restarts", restarts(status, now).as_deref());
    lines.say_list("waits for", &status.waiting_for);
    lines.say_list("blocked by", &status.blocked_by);
    lines.say_some(
        "says",
        Some(status.status_text.as_str()).filter(|text| !text.is_empty()),
    );
    lines.say_some("keeps", stored(status.stored_descriptors).as_deref());
    lines.say_some("health", status.health.as_ref().map(health).as_deref());
    lines.say_some("network", status.network.as_ref().map(network).as_deref());
    lines.say_some("cgroup", status.cgroup.as_deref());
    lines.say_some("uses", usage(status).as_deref());
    lines.say_list("limits", &limits(&status.limits));
    lines.say_list("isolation", &isolation(&status.isolation));
    for finding in &status.findings {
        let place = format!("{}:{}:{}", finding.file, finding.line, finding.column);
        lines.say(
            &finding.severity,
            &format!("{}: {}", harmless(&place), harmless(&finding.message)),
        );
    }
    if !status.log_tail.is_empty() {
        lines.0.push('\n');
        for line in &status.log_tail {
            lines.0.push_str(&format!("  {} {}\n", paint(DIM, "|"), harmless(line)));
        }
    }
    lines.0
}

/// `10.88.0.2/16, fd73:7663::2/64 by link svc0-2, publishes 8080:80/tcp by nftables, [::1]:8080:80/tcp by proxy`.
pub fn network(network: &Network) -> String {
    let mut text = match network.addresses.is_empty() {
        true => network.mode.clone(),
        false => network.addresses.join(", "),
    };
    text.push_str(&format!(" by link {}", network.link));
    if let Some(by) = &network.published_by {
        text.push_str(&format!(", publishes {} by {by}", network.publish.join(", ")));
    }
    if !network.proxied.is_empty() {
        text.push_str(&format!(", {} by proxy", network.proxied.join(", ")));
    }
    text
}

struct Lines(String);

impl Lines {
    fn say(&mut self, word: &str, text: &str) {
        self.0.push_str(&paint(DIM, format_args!("{word:>12}")));
        self.0.push_str(&format!("  {text}\n"));
    }

    fn say_some(&mut self, word: &str, text: Option<&str>) {
        if let Some(text) = text {
            self.say(word, &harmless(text));
        }
    }

    fn say_list(&mut self, word: &str, texts: &[String]) {
        for (nth, text) in texts.iter().enumerate() {
            self.say(if nth == 0 { word } else { "" }, &harmless(text));
        }
    }
}

fn state(status: &UnitStatus, now: i64) -> String {
    let frozen = if status.frozen { ", frozen" } else { "" };
    let word = paint(
        state_style(status.state),
        format_args!("{}{frozen}", status.state.word()),
    );
    let Some(since) = status.since.as_deref().and_then(time::of_contract) else {
        return word;
    };
    format!(
        "{word} for {}, since {}",
        stretch((now - since) / 1000),
        time::local(since)
    )
}

fn last_run(status: &UnitStatus) -> Option<String> {
    status.result_text.clone().or_else(|| status.result.clone())
}

fn failed_step(status: &UnitStatus) -> Option<String> {
    let step = status.failed_step.as_ref()?;
    Some(
        status
            .errno
            .as_ref()
            .map_or_else(|| step.clone(), |errno| format!("{step}: {errno}")),
    )
}

fn main_pid(status: &UnitStatus) -> Option<String> {
    let pid = status.main_pid?;
    Some(match pid.inside {
        Some(inside) if inside != pid.host => format!("{}, inside {inside}", pid.host),
        Some(_) | None => pid.host.to_string(),
    })
}

fn restarts(status: &UnitStatus, now: i64) -> Option<String> {
    let next = status.next_try.as_deref().and_then(time::of_contract);
    match (status.restarts, next) {
        (0, None) => None,
        (count, None) => Some(count.to_string()),
        (count, Some(next)) => Some(format!("{count}, next try in {}", stretch((next - now) / 1000))),
    }
}

fn stored(count: u64) -> Option<String> {
    match count {
        0 => None,
        1 => Some("1 descriptor for its next start".to_owned()),
        _ => Some(format!("{count} descriptors for its next start")),
    }
}

/// `unhealthy, 3 in a row failed; last: exit-code 1: no answer`.
fn health(health: &Health) -> String {
    let failed = match health.failures {
        0 => String::new(),
        failures => format!(", {failures} in a row failed"),
    };
    let last = health
        .probes
        .last()
        .map(|probe| probe.output.lines().next().unwrap_or_default());
    let last = last
        .filter(|last| !last.is_empty())
        .map(|last| format!("; last: {last}"));
    format!("{}{failed}{}", health.state, last.unwrap_or_default())
}

fn usage(status: &UnitStatus) -> Option<String> {
    let usage = status.usage?;
    let mut parts = Vec::new();
    if let Some(memory) = usage.memory {
        let peak = usage
            .memory_peak
            .map_or(String::new(), |peak| format!(" (peak {})", bytes(peak)));
        parts.push(format!("memory {}{peak}", bytes(memory)));
    }
    if let Some(cpu) = usage.cpu_usec {
        parts.push(format!(
            "cpu {}",
            stretch(i64::try_from(cpu / 1000).unwrap_or(i64::MAX))
        ));
    }
    if let Some(tasks) = usage.tasks {
        parts.push(format!("tasks {tasks}"));
    }
    if parts.is_empty() { None } else { Some(parts.join(", ")) }
}

/// `memory-max 64M, now 12.3M, peak 20M`.
pub fn limits(limits: &BTreeMap<String, Limit>) -> Vec<String> {
    let width = limits.keys().map(String::len).max().unwrap_or(0);
    let line = |(key, limit): (&String, &Limit)| {
        let part = |word: &str, value: Option<Amount>| value.map(|value| format!("{word}{}", amount(key, value)));
        let first = part("", limit.limit).unwrap_or_else(|| "no limit".to_owned());
        let rest = [part("now ", limit.current), part("peak ", limit.peak)];
        let text = std::iter::once(first)
            .chain(rest.into_iter().flatten())
            .collect::<Vec<_>>()
            .join(", ");
        format!("{key:<width$}  {text}")
    };
    limits.iter().map(line).collect()
}

/// A limit's number in the unit that its key is written in.
fn amount(key: &str, value: Amount) -> String {
    if key.starts_with("memory-") || key.starts_with("hugetlb-") {
        bytes(value.0 as u64)
    } else if key == "cpu-quota" {
        format!("{}%", decimal(value.0))
    } else {
        decimal(value.0)
    }
}

/// What is enforced on one line, then each key that is not, with the reason.
fn isolation(isolation: &BTreeMap<String, String>) -> Vec<String> {
    let enforced: Vec<&str> = isolation
        .iter()
        .filter(|(_, how)| *how == "enforced")
        .map(|(key, _)| key.as_str())
        .collect();
    let skipped = isolation
        .iter()
        .filter(|(_, how)| *how != "enforced")
        .map(|(key, how)| format!("{key} {how}"));
    let first = (!enforced.is_empty()).then(|| enforced.join(" "));
    first.into_iter().chain(skipped).collect()
}

/// The machine at a glance: who answers, how many are how, and the tree of slices with what sits in them.
fn glance(session: &mut Session<'_>) -> Result<(), Failure> {
    if session.json {
        let statuses = session.statuses("status", &[])?;
        return session.print_json(&statuses.units);
    }
    let version: Version = session.ask("status", &Request::Version)?;
    let request = Request::List {
        all: false,
        failed: false,
    };
    let lines: returns::Lines = session.ask("status", &request)?;
    let now = time::now();
    let up = elapsed(Some(&version.since), now).map_or(String::new(), |up| format!(", up {up}"));
    let head = format!("svcd {}, pid {}{up}", version.version, version.pid);
    writeln!(session.out, "{}: {}", paint(BOLD, head), counts(&lines.units))?;
    for line in version.in_force.iter().filter_map(generations::note) {
        writeln!(session.out, "{line}")?;
    }
    tree(&lines.units).print(session.out)?;
    let invalid = lines.units.iter().filter(|line| line.invalid).count();
    if invalid > 0 {
        writeln!(
            session.out,
            "{}",
            paint(
                BAD,
                format_args!("{invalid} with a file that is not valid: `svc check` shows why")
            )
        )?;
    }
    Ok(())
}

/// `5 running, 1 backoff`.
fn counts(lines: &[UnitLine]) -> String {
    let mut counts: BTreeMap<&str, (usize, State)> = BTreeMap::new();
    for line in lines.iter().filter(|line| line.kind != "slice") {
        counts.entry(line.state.word()).or_insert((0, line.state)).0 += 1;
    }
    let each: Vec<String> = counts
        .into_iter()
        .map(|(word, (count, state))| paint(state_style(state), format_args!("{count} {word}")))
        .collect();
    if each.is_empty() {
        "no unit".to_owned()
    } else {
        each.join(", ")
    }
}

fn tree(lines: &[UnitLine]) -> Table {
    let order = by_slice(lines);
    let depths: Vec<u32> = order.iter().map(|(depth, _)| *depth).collect();
    let mut table = Table::new(&["UNIT", "STATE", "PID", "MEMORY", "ABOUT"]);
    for ((_, line), branch) in order.iter().zip(branches(&depths)) {
        table.row(vec![
            cell(format!("{branch}{}", line.unit)),
            cell(if line.kind == "slice" {
                "slice"
            } else {
                line.state.word()
            })
            .style(state_style(line.state)),
            number(line.main_pid.map(|pid| pid.host)),
            number(line.memory.map(bytes)),
            cell(about(line)).style(DIM),
        ]);
    }
    table
}

/// Every unit below its slice, depth first, by name. Slices that sit in one another in a ring, or in one that is not
/// listed, stand at the top, so that none is lost.
fn by_slice(lines: &[UnitLine]) -> Vec<(u32, &UnitLine)> {
    let names: BTreeSet<&str> = lines.iter().map(|line| line.unit.as_str()).collect();
    let mut children: BTreeMap<Option<&str>, Vec<&UnitLine>> = BTreeMap::new();
    for line in lines {
        let slice = line.slice.as_deref().filter(|slice| names.contains(slice));
        children.entry(slice).or_default().push(line);
    }
    let mut order = Vec::new();
    let mut to_do: Vec<(u32, &UnitLine)> = Vec::new();
    let push = |to_do: &mut Vec<_>, depth: u32, of: &mut Option<Vec<_>>| {
        let mut these: Vec<&UnitLine> = of.take().unwrap_or_default();
        these.sort_unstable_by(|a, b| b.unit.cmp(&a.unit));
        to_do.extend(these.into_iter().map(|line| (depth, line)));
    };
    push(&mut to_do, 0, &mut children.remove(&None));
    loop {
        while let Some((depth, line)) = to_do.pop() {
            order.push((depth, line));
            push(&mut to_do, depth + 1, &mut children.remove(&Some(line.unit.as_str())));
        }
        match children.pop_first() {
            None => return order,
            Some((_, rest)) => push(&mut to_do, 0, &mut Some(rest)),
        }
    }
}
