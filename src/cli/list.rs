//! `list`, `show`, `cat`, `deps`, `ps`, `version`: one question each, and its answer in lines.

use super::arguments::List;
use super::failure::Failure;
use super::render::{self, BOLD, DIM, PLAIN, Table, bytes, cell, harmless, number, paint, state_style};
use super::session::Session;
use super::time;
use super::triggers;
use crate::control::Request;
use crate::control::returns;
use crate::control::view::{Dependency, Process, State, UnitLine, Version};

/// `svc list`, of units or of their triggers.
///
/// # Errors
/// [`Failure`].
pub fn lines(session: &mut Session<'_>, which: &List) -> Result<(), Failure> {
    let kinds = [
        (which.timers, "timer"),
        (which.sockets, "socket"),
        (which.paths, "path"),
    ];
    let kinds = kinds.iter().filter(|(asked, _)| *asked).map(|(_, kind)| *kind);
    match kinds.collect::<Vec<_>>().as_slice() {
        [] => list(session, which.all, which.failed),
        kinds => triggers::list(session, kinds),
    }
}

/// A line for each unit.
///
/// # Errors
/// [`Failure`].
pub fn list(session: &mut Session<'_>, all: bool, failed: bool) -> Result<(), Failure> {
    let lines: returns::Lines = session.ask("list", &Request::List { all, failed })?;
    if session.json {
        return session.print_json(&lines.units);
    }
    if lines.units.is_empty() {
        let which = if failed { "failed unit" } else { "unit" };
        writeln!(
            session.out,
            "no {which}{}",
            if all || failed {
                ""
            } else {
                "; --all shows those that need not run, too"
            }
        )?;
        return Ok(());
    }
    let now = time::now();
    let mut table = Table::new(&["UNIT", "STATE", "FOR", "PID", "RESTARTS", "MEMORY", "ABOUT"]);
    for line in &lines.units {
        table.row(vec![
            cell(&line.unit).style(BOLD),
            cell(line.state.word()).style(state_style(line.state)),
            number(elapsed(line.since.as_deref(), now)),
            number(line.main_pid.map(|pid| pid.host)),
            number(Some(line.restarts)),
            number(line.memory.map(bytes)),
            cell(about(line)).style(if line.state == State::Running { PLAIN } else { DIM }),
        ]);
    }
    table.print(session.out)?;
    Ok(())
}

/// What a line says of a unit: why it is as it is where that is news, else its description.
pub fn about(line: &UnitLine) -> String {
    let news = match line.state {
        State::Running => None,
        State::Inactive | State::Failed | State::Backoff | State::Stopping => {
            line.reason.clone().or_else(|| line.result_text.clone())
        }
        State::Waiting | State::Starting | State::Blocked | State::Skipped | State::Masked => line.reason.clone(),
    };
    let text = harmless(&news.unwrap_or_else(|| line.description.clone()));
    if line.invalid {
        format!("(its file is not valid) {text}").trim_end().to_owned()
    } else {
        text
    }
}

/// How long ago a time of the contract was.
pub fn elapsed(since: Option<&str>, now: i64) -> Option<String> {
    let since = time::of_contract(since?)?;
    Some(render::stretch((now - since) / 1000))
}

/// `svc show`: TOML again, each value with where it came from.
///
/// # Errors
/// [`Failure`].
pub fn show(session: &mut Session<'_>, unit: String) -> Result<(), Failure> {
    let values: returns::Values = session.ask(&format!("show {unit}"), &Request::Show { unit })?;
    if session.json {
        return session.print_json(&values.values);
    }
    let width = values
        .values
        .iter()
        .map(|v| v.key.len() + v.value.chars().count() + 3)
        .filter(|w| *w <= 60)
        .max();
    let mut table = "";
    for value in &values.values {
        if value.table != table {
            let gap = if table.is_empty() { "" } else { "\n" };
            writeln!(session.out, "{gap}{}", paint(BOLD, format_args!("[{}]", value.table)))?;
            table = &value.table;
        }
        let text = harmless(&value.value);
        let length = value.key.len() + text.chars().count() + 3;
        let fill = width.unwrap_or(0).saturating_sub(length);
        writeln!(
            session.out,
            "{} = {text}{:fill$}  {}",
            value.key,
            "",
            paint(DIM, format_args!("# {}", value.origin))
        )?;
    }
    Ok(())
}

/// `svc cat`.
///
/// # Errors
/// [`Failure`].
pub fn cat(session: &mut Session<'_>, unit: String) -> Result<(), Failure> {
    let files: returns::Files = session.ask(&format!("cat {unit}"), &Request::Cat { unit })?;
    if session.json {
        return session.print_json(&files.files);
    }
    for (nth, file) in files.files.iter().enumerate() {
        let gap = if nth == 0 { "" } else { "\n" };
        writeln!(session.out, "{gap}{}", paint(DIM, format_args!("# {}", file.path)))?;
        for line in file.text.lines() {
            writeln!(session.out, "{}", harmless(line))?;
        }
    }
    Ok(())
}

/// `svc deps`.
///
/// # Errors
/// [`Failure`].
pub fn deps(session: &mut Session<'_>, unit: String, reverse: bool) -> Result<(), Failure> {
    let tree: returns::Tree = session.ask(&format!("deps {unit}"), &Request::Dependencies { unit, reverse })?;
    if session.json {
        return session.print_json(&tree.tree);
    }
    let depths: Vec<u32> = tree.tree.iter().map(|line| line.depth).collect();
    for (line, branch) in tree.tree.iter().zip(branches(&depths)) {
        writeln!(session.out, "{}{}", paint(DIM, branch), dependency(line))?;
    }
    Ok(())
}

fn dependency(line: &Dependency) -> String {
    let state = match line.state {
        Some(state) => paint(state_style(state), state.word()),
        None => paint(render::BAD, "no such unit"),
    };
    let link = if line.link.is_empty() {
        String::new()
    } else {
        paint(DIM, format_args!("  {}", line.link))
    };
    let repeated = if line.repeated {
        paint(DIM, "  (see above)")
    } else {
        String::new()
    };
    format!("{}  {state}{link}{repeated}", paint(BOLD, &line.unit))
}

/// The lines before each entry of a tree that is given by its depths, depth first: `│  ├─ `. Depth 0 has none.
pub fn branches(depths: &[u32]) -> Vec<String> {
    let mut all = Vec::with_capacity(depths.len());
    for (place, depth) in depths.iter().enumerate() {
        let after = depths.get(place + 1..).unwrap_or_default();
        // At each level: does another entry of that level follow, before one of a level above?
        let goes_on = |level: u32| after.iter().find(|d| **d <= level) == Some(&level);
        let mut branch = String::new();
        for level in 1..*depth {
            branch.push_str(if goes_on(level) { "│  " } else { "   " });
        }
        if *depth > 0 {
            branch.push_str(if goes_on(*depth) { "├─ " } else { "└─ " });
        }
        all.push(branch);
    }
    all
}

/// `svc ps`.
///
/// # Errors
/// [`Failure`].
pub fn ps(session: &mut Session<'_>, unit: String) -> Result<(), Failure> {
    let what = format!("ps {unit}");
    let processes: returns::Processes = session.ask(&what, &Request::Processes { unit })?;
    if session.json {
        return session.print_json(&processes.processes);
    }
    if processes.processes.is_empty() {
        writeln!(session.out, "no process")?;
        return Ok(());
    }
    let mut table = Table::new(&["HOST", "INSIDE", "", "COMMAND"]);
    for process in &processes.processes {
        table.row(vec![
            number(Some(process.host)),
            number(process.inside),
            cell(if process.main { "main" } else { "" }).style(render::GOOD),
            cell(harmless(&process.command)),
        ]);
    }
    table.print(session.out)?;
    let main = processes.processes.iter().find(|process| process.main);
    if let Some(process) = main.or(processes.processes.first()) {
        let namespaces = namespaces(process);
        writeln!(
            session.out,
            "{}",
            paint(DIM, format_args!("namespaces of {}: {namespaces}", process.host))
        )?;
    }
    if let Some(network) = &processes.network {
        let network = harmless(&super::status::network(network));
        writeln!(session.out, "{}", paint(DIM, format_args!("network: {network}")))?;
    }
    Ok(())
}

fn namespaces(process: &Process) -> String {
    let each: Vec<String> = process
        .namespaces
        .iter()
        .map(|(name, inode)| format!("{name} {inode}"))
        .collect();
    if each.is_empty() {
        "not known".to_owned()
    } else {
        each.join(", ")
    }
}

/// `svc version`: ours, and the supervisor's if one answers. That none does is no failure.
///
/// # Errors
/// Standard output cannot be written.
pub fn version(session: &mut Session<'_>) -> Result<(), Failure> {
    let ours = env!("CARGO_PKG_VERSION");
    let theirs: Option<Version> = session.ask("version", &Request::Version).ok();
    if session.json {
        return session.print_json(&serde_json::json!({ "svc": ours, "svcd": theirs }));
    }
    writeln!(session.out, "svc {ours}")?;
    match theirs {
        None => writeln!(session.out, "svcd: none answers at {}", session.socket.display())?,
        Some(svcd) => {
            writeln!(session.out, "svcd {}, pid {}", svcd.version, svcd.pid)?;
            for (word, text) in [
                ("units", svcd.units.join(", ")),
                ("runtime", svcd.runtime_dir),
                ("state", svcd.state_dir),
                ("logs", svcd.log_dir),
                ("cgroup", svcd.cgroup),
                ("reload", svcd.reload),
            ] {
                writeln!(session.out, "  {word:<8} {text}")?;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_is_drawn_from_its_depths() {
        assert_eq!(
            branches(&[0, 1, 2, 2, 1, 2]),
            ["", "├─ ", "│  ├─ ", "│  └─ ", "└─ ", "   └─ "]
        );
        assert_eq!(branches(&[0, 1, 2, 3, 1]), ["", "├─ ", "│  └─ ", "│     └─ ", "└─ "]);
        assert!(branches(&[]).is_empty());
    }
}
