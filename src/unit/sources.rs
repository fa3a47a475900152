//! A unit from the texts of its files: parsed, merged, decoded and checked, with a place for whatever is wrong.

use std::rc::Rc;

use toml::de::DeTable;

use super::decode::{self, Input, Issue};
use super::node::{self, At, Names, Table};
use super::report::Finding;
use super::{Kind, Origin, Place, TextId, Unit, UnitName, check};

/// A unit as its files say it, path and text of each, the unit file first: how [`super::load`] made it, whenever that was.
/// What is wrong with it comes along, after what is known to be wrong already.
pub fn parse(name: &UnitName, files: &[(Rc<str>, Rc<str>)], known: Vec<Finding>) -> (Unit, Vec<Finding>) {
    let origin = Origin {
        files: files.iter().map(|(path, _)| path.clone()).collect(),
        texts: files.iter().map(|(_, text)| TextId::of(text)).collect(),
        set: Vec::new(),
    };
    if files.first().is_none_or(|(_, text)| text.is_empty()) {
        let masked = Unit {
            kind: Kind::Masked,
            origin,
            ..Unit::target(name.clone())
        };
        return (masked, known);
    }
    let mut sources = Sources {
        files: Vec::new(),
        findings: known,
    };
    let mut tree = Table::new();
    for (path, text) in files {
        let table = sources.parse(path, text, name);
        if tree.is_empty() {
            tree = table;
        } else {
            node::merge(&mut tree, table);
        }
    }
    let mut issues = Vec::new();
    let place = |at: &At| sources.place(at);
    let input = Input {
        name,
        tree: &tree,
        place: &place,
    };
    let mut unit = decode::decode(&input, &mut issues);
    // What a broken file does not say is not told as missing.
    if sources.findings.is_empty() {
        check::unit(&input, &unit, &mut issues);
        let mut found: Vec<Finding> = issues.into_iter().map(|issue| sources.finding(issue, name)).collect();
        found.sort_by_key(|finding| (finding.file.clone(), finding.line, finding.column));
        sources.findings.extend(found);
    } else {
        let placed = issues.into_iter().filter(|issue| issue.at.is_some());
        let found: Vec<Finding> = placed.map(|issue| sources.finding(issue, name)).collect();
        sources.findings.extend(found);
    }
    let set = std::mem::take(&mut unit.origin.set);
    unit.origin = Origin { set, ..origin };
    (unit, sources.findings)
}

/// The files of one unit, for places and underlining.
struct Sources {
    files: Vec<(Rc<str>, Rc<str>)>,
    findings: Vec<Finding>,
}

impl Sources {
    fn parse(&mut self, path: &Rc<str>, text: &Rc<str>, name: &UnitName) -> Table {
        let number = self.files.len();
        self.files.push((path.clone(), text.clone()));
        let (table, mut errors) = DeTable::parse_recoverable(text);
        // The parser reports by phase; people read from the top. What comes after the first error follows from it.
        errors.sort_by_key(|error| error.span().map_or(usize::MAX, |span| span.start));
        if let Some(error) = errors.first() {
            let at = At {
                file: number,
                span: error.span().unwrap_or(0..0),
            };
            let issue = Issue::error(at, plain(error.message()));
            let finding = self.finding(issue, name);
            self.findings.push(finding);
            return Table::new();
        }
        let of_template = self.files.first().is_some_and(|(path, _)| path.ends_with("@.toml"));
        let instance = name.as_str().split_once('@').map(|(_, instance)| instance);
        let instance = instance.or(of_template.then_some(""));
        let mut wrong = Vec::new();
        let tree = node::table(
            table.get_ref(),
            number,
            Names {
                unit: name.as_str(),
                instance,
            },
            &mut wrong,
        );
        for (at, message) in wrong {
            let finding = self.finding(Issue::error(at, message), name);
            self.findings.push(finding);
        }
        tree
    }

    fn place(&self, at: &At) -> Place {
        match self.files.get(at.file) {
            Some((file, text)) => Place {
                file: file.clone(),
                line: line_of(text, at.span.start),
            },
            None => Place::default(),
        }
    }

    fn finding(&self, issue: Issue, name: &UnitName) -> Finding {
        let source = |at: &At| self.files.get(at.file).map(|(_, text)| text.clone());
        let text = issue.at.as_ref().and_then(source);
        let start = issue.at.as_ref().map_or(0, |at| at.span.start);
        let (line, column) = match &text {
            Some(text) => (line_of(text, start), column_of(text, start)),
            None => (0, 0),
        };
        let file = issue.at.as_ref().map_or(0, |at| at.file);
        Finding {
            severity: issue.severity,
            unit: Some(name.clone()),
            file: self.files.get(file).map(|(file, _)| file.clone()).unwrap_or_default(),
            span: issue.at.map(|at| at.span),
            line,
            column,
            source: text,
            message: issue.message,
            hint: issue.hint,
        }
    }
}

/// From 1.
fn line_of(text: &str, offset: usize) -> u32 {
    let before = text.as_bytes().get(..offset).unwrap_or(text.as_bytes());
    before.iter().filter(|byte| **byte == b'\n').count() as u32 + 1
}

/// In characters, from 1.
fn column_of(text: &str, offset: usize) -> u32 {
    let before = text.get(..offset).unwrap_or(text);
    before.rsplit('\n').next().unwrap_or_default().chars().count() as u32 + 1
}

/// The parser's words, for people who do not know it.
fn plain(message: &str) -> String {
    message.lines().collect::<Vec<_>>().join(", ")
}
