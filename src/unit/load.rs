//! Files to units: the search path, drop-ins, templates, masks. Nothing else of this room opens files.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use super::report::{Finding, Severity};
use super::{Kind, TextId, Texts, Unit, UnitName, UnitSet, check, sources};

mod disk;

pub use disk::{read_file, toml_files};

/// Directories in which units are looked for, highest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SearchPath {
    directories: Vec<PathBuf>,
    overrides: Option<PathBuf>,
}

impl SearchPath {
    /// These directories, highest first.
    pub fn new(directories: Vec<PathBuf>) -> Self {
        Self {
            directories,
            overrides: None,
        }
    }

    /// Those of INTERFACE section 1.
    pub fn standard() -> Self {
        let all = [
            "/etc/svc/units",
            "/run/svc/units",
            "/usr/local/lib/svc/units",
            "/usr/lib/svc/units",
        ];
        Self::new(all.map(PathBuf::from).to_vec())
    }

    /// With a directory above all others that has drop-ins only: what `svc set` has set until the next boot.
    pub fn with_overrides(self, directory: PathBuf) -> Self {
        Self {
            overrides: Some(directory),
            ..self
        }
    }

    /// With another directory below all others.
    pub fn with_last(mut self, directory: PathBuf) -> Self {
        self.directories.push(directory);
        self
    }

    /// Highest first.
    pub fn directories(&self) -> &[PathBuf] {
        &self.directories
    }

    /// The directory of [`SearchPath::with_overrides`].
    pub fn overrides(&self) -> Option<&Path> {
        self.overrides.as_deref()
    }
}

/// Reads all units, the good and the bad, and tells all that is wrong.
pub fn load(path: &SearchPath) -> UnitSet {
    let mut set = UnitSet::default();
    let files = unit_files(path, &mut set);
    for (name, file) in &files {
        if name.as_str().ends_with('@') {
            let listener = UnitName::new(name.as_str().trim_end_matches('@'));
            set.templates.extend(listener.clone());
            if let Some(name) = listener.ok().filter(|name| !files.contains_key(name)) {
                add_listener(path, &name, file, &mut set);
            }
        } else {
            let read = read_unit(path, name, file, &mut set.texts);
            take(read, name, &mut set);
        }
    }
    add_instances(path, &mut set);
    add_default(&mut set);
    let found = check::units(&set.units);
    set.findings.extend(found.into_iter().map(with_source));
    set
}

/// A template with sockets of which each connection has an instance: a unit of its own waits for these.
fn add_listener(path: &SearchPath, name: &UnitName, template: &Path, set: &mut UnitSet) {
    let mut texts = Texts::new();
    let read = read_unit(path, name, template, &mut texts);
    if matches!(&read.0, Some(unit) if matches!(&unit.kind, Kind::Service(service) if service.accepts())) {
        set.texts.extend(texts);
        take(read, name, set);
    }
}

/// One instance of a template, by its whole name, such as `web@1`. The texts of its files go to the others.
///
/// # Errors
/// What is wrong with its files; nothing, where there is no such template.
pub fn instantiate(path: &SearchPath, name: &UnitName, texts: &mut Texts) -> Result<Rc<Unit>, Vec<Finding>> {
    let Some(template) = template_of(path, name) else {
        return Err(Vec::new());
    };
    let (unit, findings) = read_unit(path, name, &template, texts);
    unit.filter(|_| !has_error(&findings)).map(Rc::new).ok_or(findings)
}

/// One unit of a file of its own beside others that are known, and what is odd about it. Its texts go to the others.
///
/// # Errors
/// What is wrong with its files, or with it beside the others; nothing, where there is no such file.
pub fn one(
    path: &SearchPath,
    name: &UnitName,
    others: Vec<Rc<Unit>>,
    texts: &mut Texts,
) -> Result<(Rc<Unit>, Vec<Finding>), Vec<Finding>> {
    let mut files = path.directories().iter().map(|dir| dir.join(format!("{name}.toml")));
    let Some(file) = files.find(|file| file.symlink_metadata().is_ok()) else {
        return Err(Vec::new());
    };
    let (unit, mut findings) = read_unit(path, name, &file, texts);
    let Some(unit) = unit.map(Rc::new) else {
        return Err(findings);
    };
    let mut units: BTreeMap<UnitName, Rc<Unit>> = others.into_iter().map(|unit| (unit.name.clone(), unit)).collect();
    units.insert(name.clone(), Rc::clone(&unit));
    let beside = check::units(&units)
        .into_iter()
        .filter(|finding| concerns(finding, name));
    findings.extend(beside.map(with_source));
    match has_error(&findings) {
        true => Err(findings),
        false => Ok((unit, findings)),
    }
}

fn has_error(findings: &[Finding]) -> bool {
    findings.iter().any(|finding| finding.severity == Severity::Error)
}

/// The units of these files and directories, as if they were the search path.
pub fn check_files(paths: &[PathBuf]) -> UnitSet {
    let mut set = UnitSet::default();
    for path in paths {
        if path.is_dir() {
            let found = load(&SearchPath::new(vec![path.clone()]));
            set.units.extend(found.units);
            set.findings.extend(found.findings);
            continue;
        }
        let dir = path
            .parent()
            .filter(|dir| !dir.as_os_str().is_empty())
            .unwrap_or(Path::new("."));
        let found = load(&SearchPath::new(vec![dir.to_owned()]));
        match name_of(path) {
            Some(Ok(name)) => {
                set.findings
                    .extend(found.findings.into_iter().filter(|finding| concerns(finding, &name)));
                set.units
                    .extend(found.units.into_iter().filter(|(its, _)| *its == name));
                if !path.exists() {
                    set.findings.push(of_file(path, Some(name), "no such file"));
                }
            }
            Some(Err(why)) => set.findings.push(of_file(path, None, &why)),
            None => set.findings.push(of_file(path, None, "a unit file ends in .toml")),
        }
    }
    set
}

/// A cycle is told at one of its units and concerns all.
fn concerns(finding: &Finding, name: &UnitName) -> bool {
    let member = |text: &str| {
        text.split(" → ")
            .any(|edge| edge.split(' ').next() == Some(name.as_str()))
    };
    finding.unit.as_ref() == Some(name) || finding.message.strip_prefix("cycle: ").is_some_and(member)
}

fn take((unit, findings): (Option<Unit>, Vec<Finding>), name: &UnitName, set: &mut UnitSet) {
    let bad = has_error(&findings);
    set.findings.extend(findings);
    if let Some(mut unit) = unit.filter(|_| !bad) {
        share(&mut unit, &set.units);
        set.units.insert(name.clone(), Rc::new(unit));
    }
}

/// Takes the tables that fill most of a service from one of the last few units, where one says the same: a thousand
/// services hold few that differ.
fn share(unit: &mut Unit, units: &BTreeMap<UnitName, Rc<Unit>>) {
    const LOOKED_AT: usize = 8;
    let Kind::Service(service) = &mut unit.kind else { return };
    for other in units.values().rev().take(LOOKED_AT) {
        let Kind::Service(other) = &other.kind else { continue };
        if service.environment == other.environment {
            service.environment = Rc::clone(&other.environment);
        }
        if service.resources == other.resources {
            service.resources = Rc::clone(&other.resources);
        }
        if service.isolation == other.isolation {
            service.isolation = Rc::clone(&other.isolation);
        }
    }
}

/// The file of each name, of the highest directory that has one. Only `NAME.toml` counts: what editors leave does not.
fn unit_files(path: &SearchPath, set: &mut UnitSet) -> BTreeMap<UnitName, PathBuf> {
    let mut files = BTreeMap::new();
    for dir in path.directories() {
        let found = toml_files(dir).unwrap_or_else(|error| {
            let finding = unreadable(dir, None, &error);
            set.unreadable
                .get_or_insert_with(|| (dir.clone(), finding.message.clone()));
            set.findings.push(finding);
            Vec::new()
        });
        for file in found {
            match name_of(&file) {
                Some(Ok(name)) => drop(files.entry(name).or_insert(file)),
                Some(Err(why)) if !is_hidden(&file) => set.findings.push(of_file(&file, None, &why)),
                Some(Err(_)) | None => {}
            }
        }
    }
    files
}

fn is_hidden(file: &Path) -> bool {
    file.file_name()
        .is_some_and(|name| name.as_encoded_bytes().starts_with(b"."))
}

/// The name that a file's name says; None: it is not `NAME.toml`.
fn name_of(file: &Path) -> Option<Result<UnitName, Box<str>>> {
    let name = file.file_name()?.to_str()?.strip_suffix(".toml")?;
    Some(UnitName::new(name))
}

fn template_of(path: &SearchPath, name: &UnitName) -> Option<PathBuf> {
    let (template, instance) = name.as_str().split_once('@')?;
    let file = |dir: &PathBuf| dir.join(format!("{template}@.toml"));
    (!instance.is_empty()).then(|| {
        path.directories()
            .iter()
            .map(file)
            .find(|file| file.symlink_metadata().is_ok())
    })?
}

/// Instances that units name, and those that these name in turn.
fn add_instances(path: &SearchPath, set: &mut UnitSet) {
    let mut tried = BTreeSet::new();
    loop {
        let named = set.units.values().flat_map(|unit| &unit.links).map(|link| &link.to);
        let wanted = named
            .filter(|name| name.as_str().contains('@') && !set.units.contains_key(*name) && !tried.contains(*name));
        let Some(name) = wanted.min().cloned() else { return };
        if let Some(template) = template_of(path, &name) {
            let read = read_unit(path, &name, &template, &mut set.texts);
            take(read, &name, set);
        }
        tried.insert(name);
    }
}

/// The target that boots is there without a file.
fn add_default(set: &mut UnitSet) {
    let name = UnitName::default_target();
    let is_bad = set
        .findings
        .iter()
        .any(|finding| finding.unit.as_ref() == Some(&name) && finding.severity == Severity::Error);
    if !is_bad {
        set.units
            .entry(name.clone())
            .or_insert_with(|| Rc::new(Unit::target(name)));
    }
}

/// A unit's file and its drop-ins, merged and decoded.
fn read_unit(path: &SearchPath, name: &UnitName, file: &Path, texts: &mut Texts) -> (Option<Unit>, Vec<Finding>) {
    let mut files = Vec::new();
    let mut findings = Vec::new();
    let drop_ins = drop_ins(path, name, &mut findings);
    for (nth, file) in std::iter::once(file.to_owned()).chain(drop_ins).enumerate() {
        match read_file(&file) {
            // An empty unit file masks, and says so below; an empty drop-in says nothing.
            Ok(text) if text.is_empty() && nth > 0 => {}
            Ok(text) => files.push((file.display().to_string().into(), text)),
            Err(why) => findings.push(of_file(&file, Some(name.clone()), &why)),
        }
        if files.is_empty() {
            return (None, findings);
        }
    }
    let (unit, found) = sources::parse(name, &files, findings);
    texts.extend(files.iter().map(|(_, text)| (TextId::of(text), text.clone())));
    (Some(unit), found)
}

/// Drop-ins of all directories, in the order of their file names; one in a higher directory hides its namesake. An
/// instance has its template's too.
fn drop_ins(path: &SearchPath, name: &UnitName, findings: &mut Vec<Finding>) -> Vec<PathBuf> {
    let mut by_name: BTreeMap<_, PathBuf> = BTreeMap::new();
    let template = name
        .as_str()
        .split_once('@')
        .map(|(template, _)| format!("{template}@"));
    for of in template.into_iter().chain([name.to_string()]) {
        let mut level: BTreeMap<_, PathBuf> = BTreeMap::new();
        for dir in path.overrides.iter().chain(path.directories()) {
            let dir = dir.join(format!("{of}.toml.d"));
            let found = toml_files(&dir).unwrap_or_else(|error| {
                findings.push(unreadable(&dir, Some(name.clone()), &error));
                Vec::new()
            });
            for file in found {
                if let Some(file_name) = file.file_name().filter(|_| !is_hidden(&file)) {
                    level.entry(file_name.to_owned()).or_insert(file);
                }
            }
        }
        by_name.extend(level);
    }
    by_name.into_values().collect()
}

fn unreadable(dir: &Path, unit: Option<UnitName>, error: &std::io::Error) -> Finding {
    of_file(dir, unit, &format!("cannot be read: {error}"))
}

fn of_file(path: &Path, unit: Option<UnitName>, message: &str) -> Finding {
    Finding {
        severity: Severity::Error,
        unit,
        file: path.display().to_string().into(),
        span: None,
        line: 0,
        column: 0,
        source: None,
        message: message.into(),
        hint: None,
    }
}

/// A finding across units knows a line only: it gets the text of that line to underline.
fn with_source(mut finding: Finding) -> Finding {
    if finding.line == 0 || finding.source.is_some() {
        return finding;
    }
    let Ok(text) = read_file(Path::new(&*finding.file)) else {
        return finding;
    };
    let start: usize = text
        .split_inclusive('\n')
        .take(finding.line as usize - 1)
        .map(str::len)
        .sum();
    let line = text
        .get(start..)
        .and_then(|rest| rest.lines().next())
        .unwrap_or_default();
    finding.span = Some(start..start + line.len());
    finding.source = Some(text);
    finding
}
