//! `top`: what units use now, the busiest first, over and over.
#![expect(clippy::disallowed_methods, reason = "a share of a CPU is time used by time passed")]

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rustix::event::{Timespec, poll};

use super::failure::Failure;
use super::render::{BAD, BOLD, DIM, MOVING, Table, bytes, cell, number, paint, state_style, stretch};
use super::session::Session;
use crate::control::Request;
use crate::control::returns::Stats;
use crate::control::stats::{IoStats, UnitStats};

/// The time between two readings that a share is reckoned from.
const READING_PAUSE: Duration = Duration::from_secs(1);

/// Lines of a terminal where nobody knows.
const HEIGHT_DEFAULT: usize = 24;

/// `svc top`: on a terminal until it is interrupted, otherwise once.
///
/// # Errors
/// [`Failure`].
pub fn run(session: &mut Session<'_>) -> Result<(), Failure> {
    let mut before = Reading::take(session)?;
    let forever = session.is_terminal && !session.json;
    loop {
        wait(READING_PAUSE);
        let now = Reading::take(session)?;
        let mut shares = now.shares(&before);
        shares.sort_by(|a, b| b.1.total_cmp(&a.1).then_with(|| a.0.unit.cmp(&b.0.unit)));
        if session.json {
            return session.print_json(
                &shares
                    .iter()
                    .map(|(unit, share)| with_share(unit, *share))
                    .collect::<Vec<_>>(),
            );
        }
        if forever {
            shares.truncate(height().saturating_sub(3));
        }
        let mut page = Vec::new();
        table(&shares).print(&mut page)?;
        let page = String::from_utf8_lossy(&page);
        if !forever {
            return Ok(session.out.write_all(page.as_bytes())?);
        }
        // Home; each line to its end; what is left of the page before.
        let head = format!(
            "svc top: {} units, every {}, Ctrl-C ends",
            now.units.len(),
            stretch(READING_PAUSE.as_millis() as i64)
        );
        writeln!(session.out, "\x1b[H{}\x1b[K", paint(DIM, head))?;
        for line in page.lines() {
            writeln!(session.out, "{line}\x1b[K")?;
        }
        write!(session.out, "\x1b[J")?;
        session.out.flush()?;
        before = now;
    }
}

/// All units at one moment.
struct Reading {
    at: Instant,
    units: Vec<UnitStats>,
}

impl Reading {
    fn take(session: &Session<'_>) -> Result<Self, Failure> {
        let stats: Stats = session.ask("top", &Request::Stats { units: Vec::new() })?;
        Ok(Self {
            at: Instant::now(),
            units: stats.units,
        })
    }

    /// Each unit with its share of one CPU since the reading before, in percent.
    fn shares<'a>(&'a self, before: &Self) -> Vec<(&'a UnitStats, f64)> {
        let used: BTreeMap<&str, u64> = before
            .units
            .iter()
            .filter_map(|unit| Some((unit.unit.as_str(), unit.cpu.usage_usec?)))
            .collect();
        let passed = self.at.duration_since(before.at).as_secs_f64().max(0.001);
        let share = |unit: &UnitStats| {
            let now = unit.cpu.usage_usec?;
            // A run that has begun anew counts from nought.
            let since = used
                .get(unit.unit.as_str())
                .filter(|then| **then <= now)
                .copied()
                .unwrap_or(0);
            Some((now - since) as f64 / passed / 10_000.0)
        };
        self.units
            .iter()
            .map(|unit| (unit, share(unit).unwrap_or(0.0)))
            .collect()
    }
}

fn with_share(unit: &UnitStats, share: f64) -> serde_json::Value {
    let mut value = serde_json::to_value(unit).unwrap_or_default();
    if let Some(fields) = value.as_object_mut() {
        fields.insert("cpu_percent".to_owned(), ((share * 10.0).round() / 10.0).into());
    }
    value
}

fn table(shares: &[(&UnitStats, f64)]) -> Table {
    let mut table = Table::new(&[
        "UNIT", "CPU%", "MEMORY", "LIMIT", "TASKS", "READ", "WRITTEN", "STALLED", "STATE",
    ]);
    for (unit, share) in shares {
        let sum = |of: &dyn Fn(&IoStats) -> u64| unit.io.as_ref().map(|all| bytes(all.iter().map(of).sum()));
        let stalled = unit
            .pressure
            .values()
            .map(|pressure| pressure.some.avg10)
            .fold(None, |most: Option<f64>, stall| {
                Some(most.map_or(stall, |most| most.max(stall)))
            });
        let near =
            |used: Option<u64>, limit: Option<u64>| used.zip(limit).is_some_and(|(used, limit)| used >= limit / 10 * 9);
        let memory = number(unit.memory.current.map(bytes));
        let is_near = near(unit.memory.current, unit.memory.limit);
        table.row(vec![
            cell(&unit.unit).style(BOLD),
            number(Some(format!("{share:.1}"))),
            if is_near { memory.style(BAD) } else { memory },
            number(unit.memory.limit.map(bytes)),
            number(unit.pids.current),
            number(sum(&|io| io.read_bytes)),
            number(sum(&|io| io.written_bytes)),
            number(stalled.map(|stall| format!("{stall:.1}%"))),
            if unit.frozen {
                cell("frozen").style(MOVING)
            } else {
                cell(unit.state.word()).style(state_style(unit.state))
            },
        ]);
    }
    table
}

fn wait(time: Duration) {
    let timeout = Timespec {
        tv_sec: i64::try_from(time.as_secs()).unwrap_or(1),
        tv_nsec: time.subsec_nanos().into(),
    };
    // A signal that ends the wait early makes a shorter reading.
    let _ = poll(&mut [], Some(&timeout));
}

fn height() -> usize {
    let size = rustix::termios::tcgetwinsize(rustix::stdio::stdout());
    size.map_or(HEIGHT_DEFAULT, |size| usize::from(size.ws_row).max(4))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::stats::CpuStats;

    fn reading(at: Instant, usage: &[(&str, Option<u64>)]) -> Reading {
        let unit = |(name, usage): &(&str, Option<u64>)| UnitStats {
            unit: (*name).to_owned(),
            cpu: CpuStats {
                usage_usec: *usage,
                ..CpuStats::default()
            },
            ..UnitStats::default()
        };
        Reading {
            at,
            units: usage.iter().map(unit).collect(),
        }
    }

    #[test]
    fn shares_are_of_the_time_between() {
        let begin = Instant::now();
        let before = reading(begin, &[("a", Some(1_000_000)), ("b", Some(900_000)), ("c", None)]);
        let after = reading(
            begin + Duration::from_secs(2),
            &[
                ("a", Some(1_500_000)),
                ("b", Some(100_000)),
                ("c", None),
                ("d", Some(2_000_000)),
            ],
        );
        let shares: Vec<(String, f64)> = after
            .shares(&before)
            .into_iter()
            .map(|(unit, share)| (unit.unit.clone(), share))
            .collect();
        let expected = [("a", 25.0), ("b", 5.0), ("c", 0.0), ("d", 100.0)];
        assert_eq!(shares, expected.map(|(name, share)| (name.to_owned(), share)));
    }
}
