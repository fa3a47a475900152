//! The paths of one unit, and what has become of them.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::Look;
use super::look::Found;
use crate::unit::PathTest;

/// Those of one unit.
#[derive(Debug, Default)]
pub struct Watched {
    pub each: Vec<One>,
    /// Somebody asks for what comes.
    pub on: bool,
    /// The kernel's watches, by number.
    pub places: BTreeMap<i32, Vec<PathBuf>>,
    pub look: Option<Look>,
    /// It is to be looked at; what a look that is under way sees may be older.
    pub is_stale: bool,
}

#[derive(Debug)]
pub struct One {
    pub test: PathTest,
    pub path: PathBuf,
    pub found: Found,
    /// Whether it existed when somebody last asked.
    pub existed: Option<bool>,
    /// It was changed since somebody asks.
    pub changed: bool,
}

impl Watched {
    pub fn paths(&self) -> Vec<(PathTest, PathBuf)> {
        self.each.iter().map(|one| (one.test, one.path.clone())).collect()
    }
}

impl One {
    pub fn text(&self) -> String {
        format!("{} {}", self.test.word(), self.path.display())
    }

    /// What it says, if its time has come. A change is told once, what is there each time.
    pub fn came(&mut self) -> Option<String> {
        let exists = self.found.exists;
        let flipped = self.existed.replace(exists).is_some_and(|existed| existed != exists);
        let changed = std::mem::take(&mut self.changed);
        let came = match self.test {
            PathTest::Exists => exists,
            PathTest::DirectoryNotEmpty => self.found.is_filled,
            PathTest::Changed | PathTest::Modified => changed || flipped,
        };
        came.then(|| self.text())
    }
}
