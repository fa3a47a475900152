//! `import`: units of systemd as units of svc, with a word on each directive. A service, its sockets, its timers and its
//! paths become one file; drop-ins are read where they lie beside a file.
//!
//! [`syntax`] reads what is written, [`rules`] says what each directive is here, [`draft`] is the file that it becomes.

use std::path::{Path, PathBuf};

use super::failure::{Failure, Kind, reason};
use super::session::Session;

mod commands;
mod convert;
mod draft;
mod finish;
mod isolation;
mod links;
mod names;
mod report;
mod rules;
mod several;
mod specifiers;
mod streams;
mod syntax;
mod values;

use convert::Made;
use syntax::Directive;

// Which files, and where to. No rustdoc: it would be the help text of the verb.
#[allow(missing_docs)]
#[derive(Debug, clap::Args)]
pub struct Import {
    /// Write NAME.toml here, and the report to standard output [default: units to standard output, the report to standard error]
    #[arg(short, long, value_name = "DIR")]
    pub output: Option<PathBuf>,
    /// Replace files that are there
    #[arg(long, requires = "output")]
    pub force: bool,
    /// Such as /lib/systemd/system/web.service; a service with its sockets and timers together
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
}

/// A file with its drop-ins.
struct Source {
    path: PathBuf,
    /// `web.service`.
    name: String,
    directives: Vec<Directive>,
}

/// `svc import`.
///
/// # Errors
/// [`Failure`] that names the file; nothing is written then.
pub fn run(session: &mut Session<'_>, order: &Import) -> Result<(), Failure> {
    let sources = order
        .files
        .iter()
        .map(|path| read(path))
        .collect::<Result<Vec<_>, _>>()?;
    let is_known = |name: &str| {
        let file = |name: &str| {
            order
                .output
                .as_ref()
                .is_some_and(|dir| dir.join(format!("{name}.toml")).exists())
        };
        let template = name.split_once('@').map(|(prefix, _)| format!("{prefix}@"));
        file(name) || template.is_some_and(|template| file(&template))
    };
    let made = convert::convert(
        &sources,
        order.output.is_some().then_some(&is_known as &dyn Fn(&str) -> bool),
    )
    .map_err(|(what, why)| Failure::new(Kind::Usage, format!("import {what}"), why))?;
    match &order.output {
        Some(dir) => write_all(dir, &made, order.force)?,
        None if session.json => {}
        None => {
            for one in &made {
                if made.len() > 1 {
                    writeln!(session.out, "# {}.toml", one.draft.name)?;
                }
                writeln!(session.out, "{}", one.draft.render())?;
            }
        }
    }
    if session.json {
        let told: Vec<_> = made.iter().map(report::json).collect();
        return session.print_json(&told);
    }
    let to: &mut dyn std::io::Write = if order.output.is_some() {
        session.out
    } else {
        session.err
    };
    Ok(report::tell(to, &made)?)
}

fn read(path: &Path) -> Result<Source, Failure> {
    let wrong = |path: &Path, why: &dyn std::fmt::Display| {
        Failure::new(Kind::Failed, format!("import {}", path.display()), why)
    };
    let text = |path: &Path| std::fs::read_to_string(path).map_err(|error| wrong(path, &reason(&error)));
    let name = path
        .file_name()
        .and_then(|name| name.to_str())
        .unwrap_or_default()
        .to_owned();
    let (mut directives, mut strays) = syntax::parse(path, &text(path)?);
    for drop_in in drop_ins(path) {
        let (more, strange) = syntax::parse(&drop_in, &text(&drop_in)?);
        directives.extend(more);
        strays.extend(strange);
    }
    match strays.first() {
        Some(line) => Err(wrong(
            path,
            &format_args!("line {line} is neither a section nor an assignment"),
        )),
        None => Ok(Source {
            path: path.to_owned(),
            name,
            directives,
        }),
    }
}

/// `NAME.d/*.conf` beside it, in the order of their names; systemd.unit(5).
fn drop_ins(path: &Path) -> Vec<PathBuf> {
    let folder = PathBuf::from(format!("{}.d", path.display()));
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut found: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
    found.retain(|path| path.extension().is_some_and(|extension| extension == "conf"));
    found.sort();
    found
}

fn write_all(dir: &Path, made: &[Made], force: bool) -> Result<(), Failure> {
    let path = |one: &Made| dir.join(format!("{}.toml", one.draft.name));
    let failed = |path: &Path, why: &dyn std::fmt::Display| {
        Failure::new(Kind::Failed, "import", format_args!("{}: {why}", path.display()))
    };
    if let Some(there) = made.iter().map(path).find(|path| path.exists() && !force) {
        return Err(failed(&there, &"is there already").hint("--force replaces it"));
    }
    std::fs::create_dir_all(dir).map_err(|error| failed(dir, &reason(&error)))?;
    for one in made {
        let path = path(one);
        std::fs::write(&path, one.draft.render()).map_err(|error| failed(&path, &reason(&error)))?;
    }
    Ok(())
}
