//! `check`: what is wrong with unit files, drawn in their text; no supervisor is needed.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use annotate_snippets::{AnnotationKind, Group, Level, Origin, Renderer, Snippet};

use super::failure::{Failure, Kind, reason};
use super::render::{BAD, GOOD, MOVING, harmless, paint};
use super::session::Session;
use crate::cgroup::probe;
use crate::control::view;
use crate::unit::check::unenforceable;
use crate::unit::load::{SearchPath, load};
use crate::unit::report::{Finding, Severity};
use crate::unit::{self, Resources, Unit, UnitSet};

/// `svc check`: of the text, and of limits that this machine does not hold. Several directories are one search path, the first one the highest. A file is read with those that lie
/// beside it, since it may name them, and only what is wrong with it is told.
///
/// # Errors
/// [`Failure`]; of the kind [`Kind::Failed`] after findings were printed.
pub fn run(session: &mut Session<'_>, paths: &[PathBuf]) -> Result<(), Failure> {
    let Looked {
        mut findings,
        good,
        units,
    } = look(paths)?;
    findings.extend(on_this_machine(&units));
    if session.json {
        let findings: Vec<view::Finding> = findings.iter().map(Into::into).collect();
        session.print_json(&findings)?;
    } else {
        draw(&findings, session.out)?;
        writeln!(session.out, "{}", summary(&findings, good))?;
    }
    if findings.is_empty() {
        Ok(())
    } else {
        Err(Failure::told(Kind::Failed))
    }
}

/// Limits that the start would be refused for here; what a unit does without is left out.
fn on_this_machine(units: &[Rc<Unit>]) -> Vec<Finding> {
    let limited: Vec<(&Unit, &Resources, &[Box<str>])> = units
        .iter()
        .filter_map(|unit| match &unit.kind {
            unit::Kind::Service(service) => Some((&**unit, &*service.resources, &*service.isolation.best_effort)),
            unit::Kind::Slice(resources) => Some((&**unit, &**resources, [].as_slice())),
            unit::Kind::Masked | unit::Kind::Target | unit::Kind::Mount(_) => None,
        })
        .collect();
    let mut findings = Vec::new();
    let unheld = probe::check(limited.iter().map(|(_, resources, _)| *resources));
    for ((unit, _, best_effort), all) in limited.iter().zip(unheld) {
        let counts = all.iter().filter(|why| !best_effort.contains(&why.key));
        findings.extend(counts.filter_map(|why| unenforceable(unit, why)));
    }
    findings
}

/// What was read.
pub struct Looked {
    /// All that is wrong.
    pub findings: Vec<Finding>,
    /// How many units are good, templates included.
    pub good: usize,
    /// Those of them that can be started.
    pub units: Vec<Rc<Unit>>,
}

impl From<UnitSet> for Looked {
    fn from(set: UnitSet) -> Self {
        Self {
            findings: set.findings,
            good: set.units.len(),
            units: set.units.into_values().collect(),
        }
    }
}

/// Reads files and directories; without any, the search path.
///
/// # Errors
/// [`Failure`]: a path that is not there, or is no unit file.
pub fn look(paths: &[PathBuf]) -> Result<Looked, Failure> {
    if paths.is_empty() {
        return Ok(load(&SearchPath::standard()).into());
    }
    for path in paths {
        std::fs::metadata(path)
            .map_err(|error| Failure::new(Kind::Failed, format!("check {}", path.display()), reason(&error)))?;
    }
    let (dirs, files): (Vec<PathBuf>, Vec<PathBuf>) = paths.iter().cloned().partition(|path| path.is_dir());
    let mut all = match dirs.is_empty() {
        true => UnitSet::default().into(),
        false => Looked::from(load(&SearchPath::new(dirs))),
    };
    for file in &files {
        let of_file = look_at_file(file)?;
        let news = of_file
            .findings
            .into_iter()
            .filter(|finding| !all.findings.contains(finding));
        all.findings.extend(news.collect::<Vec<_>>());
        all.good += of_file.good;
        all.units.extend(of_file.units);
    }
    Ok(all)
}

fn look_at_file(file: &Path) -> Result<Looked, Failure> {
    let Some((dir, unit)) = place(file) else {
        let what = format!("check {}", file.display());
        return Err(Failure::new(
            Kind::Usage,
            what,
            "a unit file is called NAME.toml, or NAME.toml.d/ANY.toml for a drop-in",
        ));
    };
    let set = load(&SearchPath::new(vec![dir]));
    let same = |finding: &Finding| match &finding.unit {
        Some(name) => name.as_str() == unit,
        None => Path::new(&*finding.file).file_name() == file.file_name(),
    };
    let findings: Vec<Finding> = set.findings.into_iter().filter(same).collect();
    let good = !findings.iter().any(|finding| finding.severity == Severity::Error);
    let units = set.units.get(unit.as_str()).filter(|_| good).cloned();
    Ok(Looked {
        findings,
        good: usize::from(good),
        units: units.into_iter().collect(),
    })
}

/// The unit directory that a file lies in, and the unit that it is about.
fn place(file: &Path) -> Option<(PathBuf, String)> {
    let name = file.file_name()?.to_str()?.strip_suffix(".toml")?;
    let parent = |path: &Path| match path.parent() {
        Some(parent) if parent.as_os_str().is_empty() => PathBuf::from("."),
        Some(parent) => parent.to_owned(),
        None => PathBuf::from("/"),
    };
    let dir = parent(file);
    let drop_in = dir
        .file_name()
        .and_then(|name| name.to_str())
        .and_then(|name| name.strip_suffix(".toml.d"));
    Some(match drop_in {
        Some(unit) => (parent(&dir), unit.to_owned()),
        None => (dir.clone(), name.to_owned()),
    })
}

/// Draws findings: the file, the line, the text underlined, what is wrong and what would be right.
///
/// # Errors
/// As writing to `to`.
pub fn draw(findings: &[Finding], to: &mut dyn Write) -> io::Result<()> {
    let renderer = Renderer::styled();
    for finding in findings {
        writeln!(to, "{}\n", renderer.render(&[group(finding)]))?;
    }
    Ok(())
}

fn group(finding: &Finding) -> Group<'_> {
    let level = match finding.severity {
        Severity::Warning => Level::WARNING,
        Severity::Error => Level::ERROR,
    };
    let mut group = Group::with_title(level.primary_title(harmless(&finding.message)));
    let source = finding.source.as_deref();
    let span = finding.span.clone().and_then(|span| {
        let source = source?;
        // What a finding says of a text that is another by now must not end the drawing.
        source.get(span.clone()).is_some().then_some((source, span))
    });
    group = match span {
        Some((source, span)) => group.element(
            Snippet::source(source)
                .path(&*finding.file)
                .annotation(AnnotationKind::Primary.span(span)),
        ),
        None => group.element(match finding.line {
            0 => Origin::path(&*finding.file),
            line => Origin::path(&*finding.file)
                .line(line as usize)
                .char_column(finding.column as usize),
        }),
    };
    match &finding.hint {
        Some(hint) => group.element(Level::HELP.message(harmless(hint))),
        None => group,
    }
}

/// `4 units, 1 error, 2 warnings`.
fn summary(findings: &[Finding], units: usize) -> String {
    let count = |severity| findings.iter().filter(|finding| finding.severity == severity).count();
    let some = |count: usize, word: &str| format!("{count} {word}{}", if count == 1 { "" } else { "s" });
    let mut parts = vec![some(units, "good unit")];
    for (count, word, style) in [
        (count(Severity::Error), "error", BAD),
        (count(Severity::Warning), "warning", MOVING),
    ] {
        if count > 0 {
            parts.push(paint(style, some(count, word)));
        }
    }
    let style = if parts.len() == 1 { GOOD } else { super::render::PLAIN };
    paint(style, parts.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(findings: &[Finding]) -> String {
        let mut out = anstream::AutoStream::never(Vec::new());
        draw(findings, &mut out).unwrap();
        String::from_utf8(out.into_inner()).unwrap()
    }

    fn finding(span: Option<std::ops::Range<usize>>) -> Finding {
        Finding {
            severity: Severity::Error,
            unit: None,
            file: "units/web.toml".into(),
            span,
            line: 2,
            column: 1,
            source: Some("[resources]\nmemory-mx = \"64M\"\n".into()),
            message: "unknown key `memory-mx` in [resources]".into(),
            hint: Some("did you mean `memory-max`?".into()),
        }
    }

    #[test]
    fn a_finding_underlines_its_text() {
        assert_eq!(
            plain(&[finding(Some(12..21))]),
            "error: unknown key `memory-mx` in [resources]
 --> units/web.toml:2:1
  |
2 | memory-mx = \"64M\"
  | ^^^^^^^^^
  |
  = help: did you mean `memory-max`?

"
        );
    }

    #[test]
    fn a_finding_without_a_span_or_with_a_wrong_one_names_the_file() {
        for span in [None, Some(20..400), Some(400..410)] {
            let drawn = plain(&[finding(span)]);
            assert!(drawn.contains("--> units/web.toml:2:1"), "{drawn}");
            assert!(drawn.contains("did you mean `memory-max`?"), "{drawn}");
        }
    }

    #[test]
    fn a_file_has_its_place() {
        for (file, dir, unit) in [
            ("web.toml", ".", "web"),
            ("units/web.toml", "units", "web"),
            ("/etc/svc/units/web@.toml", "/etc/svc/units", "web@"),
            ("/u/web.toml.d/10-more.toml", "/u", "web"),
            ("web.toml.d/10-more.toml", ".", "web"),
        ] {
            assert_eq!(place(Path::new(file)), Some((dir.into(), unit.into())), "{file}");
        }
        assert_eq!(place(Path::new("web.service")), None);
    }

    #[test]
    fn the_summary_counts() {
        let mut warning = finding(None);
        warning.severity = Severity::Warning;
        let text = |findings: &[Finding], units| anstream::adapter::strip_str(&summary(findings, units)).to_string();
        assert_eq!(text(&[], 1), "1 good unit");
        assert_eq!(
            text(&[finding(None), warning.clone(), warning], 3),
            "3 good units, 1 error, 2 warnings"
        );
    }
}
