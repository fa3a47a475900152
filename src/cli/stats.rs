//! `stats`: all that is counted for a unit.

use super::failure::Failure;
use super::render::{BOLD, DIM, bytes, decimal, paint, state_style, stretch};
use super::session::{Session, is_pattern};
use crate::control::Request;
use crate::control::returns::Stats;
use crate::control::stats::{CpuStats, MemoryStats, PidsStats, Pressure, UnitStats};

/// `svc stats UNIT…`.
///
/// # Errors
/// [`Failure`].
pub fn run(session: &mut Session<'_>, units: Vec<String>) -> Result<(), Failure> {
    let one = matches!(units.as_slice(), [unit] if !is_pattern(unit));
    let what = format!("stats {}", units.join(" "));
    let stats: Stats = session.ask(&what, &Request::Stats { units })?;
    if session.json {
        return match stats.units.as_slice() {
            [unit] if one => session.print_json(unit),
            all => session.print_json(&all),
        };
    }
    for (nth, unit) in stats.units.iter().enumerate() {
        let gap = if nth == 0 { "" } else { "\n" };
        write!(session.out, "{gap}{}", block(unit))?;
    }
    Ok(())
}

/// A word at the left, and what was counted beside it.
fn block(unit: &UnitStats) -> String {
    let frozen = if unit.frozen { ", frozen" } else { "" };
    let state = paint(state_style(unit.state), format_args!("{}{frozen}", unit.state.word()));
    let mut text = format!("{}  {state}\n", paint(BOLD, &unit.unit));
    for (word, parts) in [
        cpu(&unit.cpu),
        throttled(&unit.cpu),
        memory(&unit.memory),
        met(unit),
        tasks(&unit.pids),
    ] {
        say(&mut text, word, &parts.into_iter().flatten().collect::<Vec<_>>());
    }
    for device in unit.io.iter().flatten() {
        let (read, written) = (bytes(device.read_bytes), bytes(device.written_bytes));
        let (name, reads, writes) = (&device.device, device.reads, device.writes);
        say(
            &mut text,
            "io",
            &[format!("{name}: read {read} in {reads}, written {written} in {writes}")],
        );
    }
    say(&mut text, "network", &network(unit));
    for (name, pressure) in &unit.pressure {
        say(&mut text, &format!("{name} stalls"), &[stalls(pressure)]);
    }
    text
}

/// What was counted, and what the kernel notes on what is sent.
fn network(unit: &UnitStats) -> Vec<String> {
    let of = |word: &str, count: u64, packets: u64| format!("{word} {} in {packets}", bytes(count));
    let counted = unit.network.iter().flat_map(|network| {
        let received = of("received", network.received_bytes, network.received_packets);
        [received, of("sent", network.sent_bytes, network.sent_packets)]
    });
    let class = unit.net_class.iter().map(|class| format!("class {class}"));
    let priorities = unit.net_priority.iter();
    let priorities = priorities.map(|(interface, priority)| format!("priority {priority} on {interface}"));
    counted.chain(class).chain(priorities).collect()
}

fn say(text: &mut String, word: &str, parts: &[String]) {
    if !parts.is_empty() {
        let word = paint(DIM, format_args!("{word:>12}"));
        text.push_str(&format!("{word}  {}\n", parts.join(", ")));
    }
}

/// A word, and what is known of it.
type Line = (&'static str, Vec<Option<String>>);

fn cpu(cpu: &CpuStats) -> Line {
    let quota = cpu.quota.map(|quota| format!("quota {}%", decimal(quota)));
    let (user, system) = (time(cpu.user_usec, "user "), time(cpu.system_usec, "system "));
    ("cpu", vec![time(cpu.usage_usec, ""), user, system, quota])
}

fn throttled(cpu: &CpuStats) -> Line {
    let both = cpu.throttled.zip(cpu.periods);
    let held_back = both.map(|(held, all)| format!("held back in {held} of {all} periods"));
    ("throttled", vec![held_back, time(cpu.throttled_usec, "for ")])
}

fn memory(memory: &MemoryStats) -> Line {
    let size = |value: Option<u64>, before: &str| value.map(|value| format!("{before}{}", bytes(value)));
    let (now, peak, swap) = (
        size(memory.current, ""),
        size(memory.peak, "peak "),
        size(memory.swap, "swap "),
    );
    let by = memory.counted_by.as_deref().filter(|by| *by == "processes");
    let by = by.map(|_| "summed over its processes".to_owned());
    ("memory", vec![now, peak, swap, size(memory.limit, "limit "), by])
}

/// How often a limit was met, where it was.
fn met(unit: &UnitStats) -> Line {
    let times = |count: Option<u64>, before: &str, after: &str| {
        let some = count.filter(|count| *count > 0);
        some.map(|count| format!("{before}{count}{after}"))
    };
    let (memory, refused) = (&unit.memory, unit.pids.refused);
    let parts = vec![
        times(memory.high, "memory-high ", " times"),
        times(memory.max, "memory-max ", " times"),
        times(memory.oom_kills, "", " killed for memory"),
        times(refused, "", " forks refused"),
    ];
    ("met limits", parts)
}

fn tasks(pids: &PidsStats) -> Line {
    let count = |value: Option<u64>, before: &str| value.map(|value| format!("{before}{value}"));
    let (now, peak, limit) = (
        count(pids.current, ""),
        count(pids.peak, "peak "),
        count(pids.limit, "limit "),
    );
    ("tasks", vec![now, peak, limit])
}

fn time(microseconds: Option<u64>, before: &str) -> Option<String> {
    microseconds.map(|microseconds| format!("{before}{}", span(microseconds)))
}

/// `1.5% of 10s, 0.1% of 60s, 0% of 300s, 12s in all`: time in which some task waited.
fn stalls(pressure: &Pressure) -> String {
    let stall = &pressure.some;
    let (ten, sixty, long) = (decimal(stall.avg10), decimal(stall.avg60), decimal(stall.avg300));
    format!(
        "{ten}% of 10s, {sixty}% of 60s, {long}% of 300s, {} in all",
        span(stall.total_usec)
    )
}

/// Below a second to the millisecond.
fn span(microseconds: u64) -> String {
    stretch(i64::try_from(microseconds / 1000).unwrap_or(i64::MAX))
}
