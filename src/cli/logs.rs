//! `logs`: read straight from the files, so that they can be read when no supervisor answers.

use std::path::{Path, PathBuf};

use super::arguments::Logs;
use super::failure::{Failure, Kind, reason};
use super::render::{DIM, harmless_coloured, paint, unit_style};
use super::session::{Session, is_pattern};
use super::time;
use crate::control::view::timestamp;
use crate::log::read::{Line, Query, lines};

/// Where the machine's own supervisor keeps logs.
const DEFAULT_DIR: &str = "/var/log/svc";

/// What `-f` shows of what was before.
const FOLLOW_LINES: usize = 10;

/// `svc logs`.
///
/// # Errors
/// [`Failure`].
pub fn run(session: &mut Session<'_>, logs: Logs) -> Result<(), Failure> {
    let what = format!("logs {}", logs.units.join(" "));
    let what = what.trim_end();
    let (dir, units) = find(session, what, &logs.units)?;
    let width = if units.len() == 1 {
        None
    } else {
        units.iter().map(|unit| unit.len()).max()
    };
    let last = logs
        .lines
        .or((logs.follow && logs.since.is_none()).then_some(FOLLOW_LINES));
    let query = Query {
        units,
        last,
        since: logs.since,
        until: logs.until,
        grep: logs
            .grep
            .map(|regex| Box::new(move |text: &str| regex.is_match(text)) as Box<dyn Fn(&str) -> bool>),
        follow: logs.follow,
    };
    let found = lines(&dir, query).map_err(|error| Failure::new(Kind::Failed, what, reason(&error)))?;
    for line in found {
        print(session, &line, width)?;
        if logs.follow {
            session.out.flush()?;
        }
    }
    Ok(())
}

fn print(session: &mut Session<'_>, line: &Line, width: Option<usize>) -> Result<(), Failure> {
    if session.json {
        let text = serde_json::json!({ "time": timestamp(line.time), "unit": &*line.unit, "text": line.text });
        writeln!(session.out, "{text}")?;
        return Ok(());
    }
    let when = paint(DIM, time::local_exact(line.time));
    let text = harmless_coloured(&line.text);
    match width {
        None => writeln!(session.out, "{when} {text}")?,
        Some(width) => {
            let name = paint(unit_style(&line.unit), format_args!("{:<width$} |", line.unit));
            writeln!(session.out, "{when} {name} {text}")?;
        }
    }
    Ok(())
}

/// Where the logs are, and whose to read: what the supervisor knows, and units that are gone but left a log.
fn find(session: &Session<'_>, what: &str, asked: &[String]) -> Result<(PathBuf, Vec<Box<str>>), Failure> {
    let dir = match session.log_dir(what) {
        Ok(dir) => dir,
        Err(failure) if failure.kind == Kind::NoSupervisor && session.is_default_socket() => {
            if !Path::new(DEFAULT_DIR).is_dir() {
                return Err(failure);
            }
            return in_files(Path::new(DEFAULT_DIR), what, asked).map(|units| (DEFAULT_DIR.into(), units));
        }
        Err(failure) => return Err(failure),
    };
    let mut units: Vec<Box<str>> = Vec::new();
    if asked.is_empty() {
        units = in_files(&dir, what, asked)?;
    }
    for name in asked {
        match session.statuses(what, std::slice::from_ref(name)) {
            Ok(known) => units.extend(known.units.into_iter().map(|status| status.unit.into_boxed_str())),
            Err(failure) if failure.kind == Kind::NoSuchUnit && has_log(&dir, name) => units.push(name.as_str().into()),
            Err(failure) => return Err(failure),
        }
    }
    units.sort_unstable();
    units.dedup();
    Ok((dir, units))
}

/// Whose to read, going by what is there alone.
fn in_files(dir: &Path, what: &str, asked: &[String]) -> Result<Vec<Box<str>>, Failure> {
    if asked.is_empty() {
        let failed = |error| {
            Failure::new(
                Kind::Failed,
                what,
                format_args!("{}: {}", dir.display(), reason(&error)),
            )
        };
        let names = std::fs::read_dir(dir)
            .map_err(failed)?
            .flatten()
            .map(|entry| entry.file_name());
        let mut units: Vec<Box<str>> = names.filter_map(|name| Some(name.to_str()?.into())).collect();
        units.retain(|unit| has_log(dir, unit));
        units.sort_unstable();
        return Ok(units);
    }
    match asked.iter().find(|name| !has_log(dir, name)) {
        None => Ok(asked.iter().map(|name| name.as_str().into()).collect()),
        Some(name) => {
            let hint = if is_pattern(name) {
                "patterns need a supervisor that answers"
            } else {
                "no supervisor answers; only units with a log are known"
            };
            Err(Failure::new(Kind::NoSuchUnit, what, format_args!("no such unit: {name}")).hint(hint))
        }
    }
}

/// A name that is none leads nowhere: it never becomes a path.
fn has_log(dir: &Path, name: &str) -> bool {
    crate::unit::UnitName::new(name).is_ok() && dir.join(name).is_dir()
}
