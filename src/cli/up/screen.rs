//! What `up` prints: each line of output behind its unit's name, moves of units and our own words in between, dimmed.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::{self, Write};

use serde_json::json;

use crate::cli::render::{BAD, DIM, harmless, harmless_coloured, paint, unit_style};
use crate::cli::status;
use crate::control::view::{Change, Progress, UnitStatus, kebab, timestamp};
use crate::log::read::Line;

/// Longer names push their line to the right.
const NAME_WIDTH_MAX: usize = 20;

/// The screen: how wide names are, and what is kept for the summary.
#[derive(Debug)]
pub(super) struct Screen {
    width: usize,
    /// Lines and moves as JSON, one on each line, and nothing else.
    json: bool,
    /// How often each unit failed.
    failures: RefCell<BTreeMap<String, u64>>,
}

impl Screen {
    /// A screen for units of these names.
    pub(super) fn new<'a>(names: impl Iterator<Item = &'a str>, json: bool) -> Self {
        Self {
            json,
            width: names.map(str::len).max().unwrap_or(0).min(NAME_WIDTH_MAX),
            failures: RefCell::default(),
        }
    }

    /// `web | text`.
    pub(super) fn line(&self, to: &mut dyn Write, line: &Line) -> io::Result<()> {
        if self.json {
            return writeln!(
                to,
                "{}",
                json!({ "time": timestamp(line.time), "unit": &*line.unit, "text": line.text })
            );
        }
        writeln!(to, "{} {}", self.name(&line.unit), harmless_coloured(&line.text))
    }

    /// `crash | -- exited with code 3, next try in 200ms --`.
    pub(super) fn change(&self, to: &mut dyn Write, change: &Change) -> io::Result<()> {
        if matches!(change.what.as_str(), "backoff" | "gave-up") {
            *self.failures.borrow_mut().entry(change.unit.clone()).or_default() += 1;
        }
        if self.json {
            return writeln!(to, "{}", kebab(serde_json::to_value(change)?));
        }
        let text = if change.text.is_empty() {
            change.what.clone()
        } else {
            harmless(&change.text)
        };
        let style = if matches!(change.what.as_str(), "gave-up" | "refused" | "blocked" | "invalid") {
            BAD
        } else {
            DIM
        };
        writeln!(
            to,
            "{} {}",
            self.name(&change.unit),
            paint(style, format_args!("-- {text} --"))
        )
    }

    /// What a stop is waiting for.
    pub(super) fn progress(&self, to: &mut dyn Write, progress: &Progress) -> io::Result<()> {
        if self.json {
            return Ok(());
        }
        let text = if progress.text.is_empty() {
            progress.state.word().to_owned()
        } else {
            harmless(&progress.text)
        };
        writeln!(
            to,
            "{} {}",
            self.name(&progress.unit),
            paint(DIM, format_args!("-- {text} --"))
        )
    }

    /// What the supervisor says of itself.
    pub(super) fn notice(&self, to: &mut dyn Write, text: &str) -> io::Result<()> {
        if self.json {
            return Ok(());
        }
        writeln!(
            to,
            "{}",
            paint(DIM, format_args!("{:<1$} | {2}", "svcd", self.width, harmless(text)))
        )
    }

    /// Our own words.
    pub(super) fn say(&self, to: &mut dyn Write, text: &str) -> io::Result<()> {
        if self.json {
            return Ok(());
        }
        writeln!(to, "{}", paint(DIM, format_args!("-- {text} --")))
    }

    /// How near each unit is to its limits, then what is not enforced, each reason once.
    pub(super) fn enforcement(&self, to: &mut dyn Write, statuses: &[UnitStatus]) -> io::Result<()> {
        if self.json {
            return Ok(());
        }
        for status in statuses {
            let limits = status::limits(&status.limits).into_iter().map(|line| squeeze(&line));
            let limits: Vec<String> = limits.filter(|line| line.contains(',')).collect();
            if !limits.is_empty() {
                writeln!(
                    to,
                    "{} {}",
                    self.name(&status.unit),
                    paint(DIM, format_args!("-- {} --", limits.join("; ")))
                )?;
            }
        }
        for line in skipped(statuses) {
            self.say(to, &line)?;
        }
        Ok(())
    }

    /// How it went.
    pub(super) fn summary(&self, to: &mut dyn Write) -> io::Result<()> {
        let failures = self.failures.borrow();
        let each: Vec<String> = failures
            .iter()
            .map(|(unit, count)| format!("{unit} failed {}", times(*count)))
            .collect();
        let rest = if each.is_empty() {
            String::new()
        } else {
            format!("; {}", each.join(", "))
        };
        self.say(to, &format!("all stopped{rest}"))
    }

    fn name(&self, unit: &str) -> String {
        paint(unit_style(unit), format_args!("{unit:<0$} |", self.width))
    }
}

/// One line for each reason: which keys, in how many units.
fn skipped(statuses: &[UnitStatus]) -> Vec<String> {
    let mut by_reason: BTreeMap<&str, (Vec<&str>, Vec<&str>)> = BTreeMap::new();
    for status in statuses {
        for (key, how) in &status.isolation {
            let Some(reason) = how.strip_prefix("skipped: ") else {
                continue;
            };
            let (keys, units) = by_reason.entry(reason).or_default();
            if !keys.contains(&key.as_str()) {
                keys.push(key);
            }
            if !units.contains(&status.unit.as_str()) {
                units.push(&status.unit);
            }
        }
    }
    let line = |(reason, (keys, units)): (&str, (Vec<&str>, Vec<&str>))| {
        let units = match units.as_slice() {
            [unit] => (*unit).to_owned(),
            units => format!("{} units", units.len()),
        };
        format!("not enforced in {units}: {} ({})", keys.join(", "), harmless(reason))
    };
    by_reason.into_iter().map(line).collect()
}

/// Columns to single spaces.
fn squeeze(line: &str) -> String {
    line.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn times(count: u64) -> String {
    match count {
        1 => "once".to_owned(),
        2 => "twice".to_owned(),
        count => format!("{count} times"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::view::{Limit, State};

    fn change(unit: &str, what: &str, text: &str) -> Change {
        Change {
            at: "2026-11-23T10:00:00.000Z".into(),
            unit: unit.into(),
            what: what.into(),
            text: text.into(),
            state: State::Backoff,
        }
    }

    fn line(unit: &str, text: &str) -> Line {
        Line {
            time: 0,
            unit: unit.into(),
            text: text.into(),
        }
    }

    fn printed(json: bool, print: impl Fn(&Screen, &mut dyn Write) -> io::Result<()>) -> String {
        let screen = Screen::new(["web", "crash"].into_iter(), json);
        let mut out = anstream::AutoStream::never(Vec::new());
        print(&screen, &mut out).unwrap();
        String::from_utf8(out.into_inner()).unwrap()
    }

    #[test]
    fn names_stand_in_one_column() {
        let text = printed(false, |screen, to| {
            screen.line(to, &line("web", "hello"))?;
            screen.line(to, &line("crash", "\u{1b}[31moh\u{1b}[2J"))?;
            screen.line(to, &line("a-later-one", "hi"))?;
            screen.change(to, &change("crash", "backoff", "exited with code 3, next try in 200ms"))?;
            screen.change(to, &change("crash", "backoff", "again"))?;
            screen.change(to, &change("web", "ready", ""))?;
            screen.notice(to, "watching /units")?;
            screen.summary(to)
        });
        assert_eq!(
            text,
            "\
web   | hello
crash | oh\\u{1b}[2J
a-later-one | hi
crash | -- exited with code 3, next try in 200ms --
crash | -- again --
web   | -- ready --
svcd  | watching /units
-- all stopped; crash failed twice --
"
        );
    }

    #[test]
    fn what_is_not_enforced_is_told_once_for_each_reason() {
        let unit = |name: &str, skipped: &[(&str, &str)]| {
            let mut status = UnitStatus::new(name, "service");
            status.isolation = skipped
                .iter()
                .map(|(key, how)| ((*key).into(), (*how).into()))
                .collect();
            status
        };
        let mut busy = unit("busy", &[("seccomp", "skipped: ENOSYS"), ("pid", "enforced")]);
        let (limit, current) = (Some(20.0.into()), Some(19.84.into()));
        busy.limits.insert(
            "cpu-quota".into(),
            Limit {
                limit,
                current,
                peak: None,
            },
        );
        busy.limits.insert(
            "cpu-weight".into(),
            Limit {
                limit,
                current: None,
                peak: None,
            },
        );
        let web = unit(
            "web",
            &[("seccomp", "skipped: ENOSYS"), ("memory-max", "skipped: not root")],
        );
        let text = printed(false, |screen, to| screen.enforcement(to, &[busy.clone(), web.clone()]));
        assert_eq!(
            text,
            "\
busy  | -- cpu-quota 20%, now 19.8% --
-- not enforced in 2 units: seccomp (ENOSYS) --
-- not enforced in web: memory-max (not root) --
"
        );
    }

    #[test]
    fn json_is_lines_and_moves_and_nothing_else() {
        let text = printed(true, |screen, to| {
            screen.say(to, "hello")?;
            screen.line(to, &line("web", "hello"))?;
            screen.change(to, &change("crash", "backoff", "again"))?;
            screen.summary(to)
        });
        assert_eq!(
            text,
            "\
{\"text\":\"hello\",\"time\":\"1970-01-01T00:00:00.000Z\",\"unit\":\"web\"}
{\"at\":\"2026-11-23T10:00:00.000Z\",\"state\":\"backoff\",\"text\":\"again\",\"unit\":\"crash\",\"what\":\"backoff\"}
"
        );
    }
}
