//! Real files in directories of their own, through [`load`]: what is read, what is refused, and in which words.

mod calendar;
mod exposure;
mod files;
mod findings;
mod graph;
mod rows;
mod triggers;

use std::fs;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use super::load::{SearchPath, load};
use super::report::{Finding, Severity};
use super::*;

/// Directories of units, highest first; gone with the value.
struct Units {
    root: tempfile::TempDir,
    directories: Vec<PathBuf>,
}

impl Units {
    /// One directory with these files.
    fn new(files: &[(&str, &str)]) -> Self {
        Self::layered(&[files])
    }

    /// Several directories, highest first.
    fn layered(layers: &[&[(&str, &str)]]) -> Self {
        let root = tempfile::tempdir().unwrap();
        let directories: Vec<PathBuf> = (0..layers.len()).map(|nth| root.path().join(nth.to_string())).collect();
        for (directory, files) in directories.iter().zip(layers) {
            fs::create_dir(directory).unwrap();
            for (name, text) in *files {
                let file = directory.join(name);
                fs::create_dir_all(file.parent().unwrap()).unwrap();
                fs::write(file, text).unwrap();
            }
        }
        Self { root, directories }
    }

    fn path(&self) -> SearchPath {
        SearchPath::new(self.directories.clone())
    }

    fn load(&self) -> UnitSet {
        load(&self.path())
    }

    /// A file of the highest directory.
    fn file(&self, name: &str) -> PathBuf {
        self.directories[0].join(name)
    }

    /// `a.toml:3:7: error: message (hint)` for each finding, without the directory.
    fn told(&self) -> Vec<String> {
        let set = self.load();
        set.findings
            .iter()
            .map(|finding| shown(finding, self.root.path()))
            .collect()
    }

    /// The one unit of this name, with nothing wrong anywhere.
    fn unit(&self, name: &str) -> Rc<Unit> {
        let set = self.load();
        assert_eq!(set.findings, [], "{name}");
        set.units[&UnitName::new(name).unwrap()].clone()
    }
}

fn shown(finding: &Finding, root: &Path) -> String {
    let file = Path::new(&*finding.file);
    let file = file.strip_prefix(root).unwrap_or(file);
    // The number of the directory says nothing where there is one.
    let file = file.strip_prefix("0").unwrap_or(file).display();
    let severity = match finding.severity {
        Severity::Error => "",
        Severity::Warning => "warning: ",
    };
    let hint = finding
        .hint
        .as_ref()
        .map(|hint| format!(" ({hint})"))
        .unwrap_or_default();
    let root = format!("{}/0/", root.display());
    let message = finding.message.replace(&root, "");
    format!("{file}:{}:{}: {severity}{message}{hint}", finding.line, finding.column)
}

/// A service with nothing but a command.
const PLAIN: &str = "[service]\nexec-start = \"/bin/true\"\n";

fn service(unit: &Unit) -> &Service {
    let Kind::Service(service) = &unit.kind else {
        panic!("{} is no service", unit.name);
    };
    service
}

/// The unit that this text is, as `t`, with nothing wrong.
fn unit_of(text: &str) -> Rc<Unit> {
    Units::new(&[("t.toml", text)]).unit("t")
}
