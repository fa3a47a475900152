//! `edit` and `new`: unit files written by people, and checked before they are there.
#![expect(
    clippy::disallowed_methods,
    reason = "an editor is a program of the caller's, who waits for it"
)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::check;
use super::failure::{Failure, Kind, reason};
use super::render::{BOLD, DIM, paint};
use super::session::Session;
use super::unit_files::{self, UnitFiles, failed};
use crate::unit::UnitName;
use crate::unit::load::{SearchPath, load};
use crate::unit::report::{Finding, Severity};
use crate::unit::value::literal;

/// Where drafts are, below the first directory of units: nothing in it counts as a unit.
const DRAFTS: &str = ".drafts";

/// `svc edit`: the editor gets a draft. It takes the place of the file once it checks, and is kept until then.
///
/// # Errors
/// [`Failure`]; of the kind [`Kind::Invalid`] after what is wrong was printed.
pub fn edit(session: &mut Session<'_>, unit: &str, dirs: &[PathBuf]) -> Result<(), Failure> {
    let what = format!("edit {unit}");
    let files = UnitFiles::find(session, &what, dirs)?;
    let name = unit_files::name_of("edit", unit)?;
    let from = files.file_of(&name).ok_or_else(|| {
        let missing = files.no_such_unit(&what);
        match files.template_of(&name) {
            Some(_) => missing.hint(format!(
                "its template is {}@",
                name.as_str().split('@').next().unwrap_or_default()
            )),
            None => missing.hint(format!("`svc new {name}` writes one")),
        }
    })?;
    let to = files.first().join(format!("{name}.toml"));
    let before = read(&from, &what)?;
    let draft = files.first().join(DRAFTS).join(format!("{name}.toml"));
    let is_old_draft = draft.exists();
    if is_old_draft {
        writeln!(session.err, "going on with the draft {}", draft.display())?;
    } else {
        unit_files::write(&draft, &before).map_err(failed(&what, &draft))?;
    }
    run_editor(&draft, &what)?;
    let after = read(&draft, &what)?;
    if after == before {
        discard(&draft);
        writeln!(session.out, "{} is as it was", paint(BOLD, &name))?;
        return Ok(());
    }
    let kept = format!(
        "the draft is kept: {}; `svc edit {name}` goes on with it",
        draft.display()
    );
    let wrong = findings(&files, &name);
    check::draw(&wrong, session.err)?;
    if wrong.iter().any(|finding| finding.severity == Severity::Error) {
        return Err(Failure::new(Kind::Invalid, &what, "it is not valid").hint(kept));
    }
    // Somebody else may have been faster, and nothing of that is to be lost.
    if read(&from, &what)? != before {
        return Err(Failure::new(
            Kind::Failed,
            &what,
            format_args!("{} has changed meanwhile", from.display()),
        )
        .hint(kept));
    }
    unit_files::write(&to, &after).map_err(|error| failed(&what, &to)(error).hint(kept))?;
    discard(&draft);
    conclude(session, &name, &to)
}

/// `svc new`: a unit file with comments, that checks as it is and starts nothing by itself.
///
/// # Errors
/// [`Failure`]; of the kind [`Kind::Failed`] where there is such a file.
pub fn new(session: &mut Session<'_>, unit: &str, command: &[String], dirs: &[PathBuf]) -> Result<(), Failure> {
    let what = format!("new {unit}");
    let files = UnitFiles::find(session, &what, dirs)?;
    let name = unit_files::name_of("new", unit)?;
    if let Some(file) = files.file_of(&name) {
        let why = format!("{} is there already", file.display());
        return Err(Failure::new(Kind::Failed, &what, why).hint(format!("svc edit {name}")));
    }
    let to = files.first().join(format!("{name}.toml"));
    unit_files::write(&to, &commented(&name, command)).map_err(failed(&what, &to))?;
    conclude(session, &name, &to)
}

fn conclude(session: &mut Session<'_>, name: &UnitName, file: &Path) -> Result<(), Failure> {
    if session.json {
        let written = serde_json::json!({ "unit": name.as_str(), "file": file.display().to_string() });
        return session.print_json(&written);
    }
    writeln!(session.out, "{} {}", paint(BOLD, name), paint(DIM, file.display()))?;
    Ok(())
}

fn read(path: &Path, what: &str) -> Result<String, Failure> {
    fs::read_to_string(path).map_err(failed(what, path))
}

fn discard(draft: &Path) {
    drop(fs::remove_file(draft));
    // Goes only when it is empty.
    drop(draft.parent().map(fs::remove_dir));
}

/// By way of a shell, since `$EDITOR` may have arguments; environ(7).
fn run_editor(path: &Path, what: &str) -> Result<(), Failure> {
    let variable = |name| std::env::var(name).ok().filter(|value| !value.trim().is_empty());
    let editor = variable("VISUAL")
        .or_else(|| variable("EDITOR"))
        .unwrap_or_else(|| "vi".to_owned());
    let mut command = Command::new("/bin/sh");
    command
        .arg("-c")
        .arg(format!("{editor} \"$1\""))
        .arg("svc-edit")
        .arg(path);
    let failed = |why: String| {
        let hint = format!(
            "the draft is kept: {}; VISUAL or EDITOR names another editor",
            path.display()
        );
        Failure::new(Kind::Failed, what, format_args!("{editor}: {why}")).hint(hint)
    };
    match command.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(failed(status.to_string())),
        Err(error) => Err(failed(reason(&error))),
    }
}

/// What is wrong with the unit once the draft is its file.
fn findings(files: &UnitFiles, name: &UnitName) -> Vec<Finding> {
    let mut dirs = files.dirs.clone();
    dirs.insert(0, files.first().join(DRAFTS));
    let found = load(&SearchPath::new(dirs)).findings.into_iter();
    let concerns = |finding: &Finding| {
        let is_cycle = finding.message.starts_with("cycle: ") && finding.message.contains(&format!("{name} ("));
        is_cycle || finding.unit.as_ref() == Some(name)
    };
    found.filter(concerns).collect()
}

fn commented(name: &UnitName, command: &[String]) -> String {
    let words: Vec<String> = match command {
        [] => vec![format!("/usr/bin/{}", name.as_str().trim_end_matches('@'))],
        command => command.to_vec(),
    };
    // As they were typed: nothing in them is put in from elsewhere.
    let word = |word: &String| serde_json::Value::from(literal(word).replace('{', "{{")).to_string();
    let words = words.iter().map(word).collect::<Vec<_>>().join(", ");
    format!(
        r#"# svc.unit(5) describes every key. `svc check` looks for mistakes, `svc plan` shows what a change would do.

[unit]
description = "{name}"
# wanted-by = ["default"]            # comes up with the machine; `svc enable {name}` does the same
# requires = ["database"]            # needs this one, and waits until it is ready
# after = ["network"]                # an order, and nothing more

[service]
exec-start = [{words}]
# user = "www-data"                  # root, where nothing is said
# working-directory = "/srv"
# environment = {{ TZ = "UTC" }}
# exec-reload = "/bin/kill -HUP $MAINPID"
# state-directory = ["example"]      # made for it below /var/lib, and writable

[restart]
policy = "on-failure"                # no | on-success | on-failure | on-abnormal | always

[resources]
# memory-max = "256M"                # more is not given: the unit is ended, and the policy decides
# cpu-quota = "50%"                  # of one CPU

[isolation]
profile = "standard"                 # none | standard | strict: `svc check --security` says what is left open
"#
    )
}
