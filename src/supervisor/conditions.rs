//! Conditions and assertions, looked up: systemd.unit(5), "Conditions and Asserts".

use std::path::Path;

use crate::engine::event::Unmet;
use crate::unit::{Condition, ConditionTest, Unit};

/// The first that does not hold. Assertions come after conditions, as in systemd.
pub fn first_unmet(unit: &Unit) -> Option<Unmet> {
    let conditions = unit.condition.iter().map(|condition| (condition, false));
    let assertions = unit.assert.iter().map(|condition| (condition, true));
    conditions
        .chain(assertions)
        .find(|(condition, _)| !holds(condition))
        .map(|(condition, assertion)| Unmet {
            assertion,
            text: condition.to_string().into(),
        })
}

fn holds(condition: &Condition) -> bool {
    let found = match &condition.test {
        ConditionTest::PathExists(path) => path.symlink_metadata().is_ok(),
        ConditionTest::PathIsDirectory(path) => path.is_dir(),
        ConditionTest::FileNotEmpty(path) => path.metadata().is_ok_and(|meta| meta.is_file() && meta.len() > 0),
        ConditionTest::DirectoryNotEmpty(path) => has_entry(path),
        ConditionTest::KernelCommandLine(word) => on_kernel_command_line(word),
    };
    found != condition.negated
}

fn has_entry(path: &Path) -> bool {
    std::fs::read_dir(path).is_ok_and(|mut entries| entries.next().is_some())
}

/// A word is there as it is, or as the key of `key=value`.
fn on_kernel_command_line(wanted: &str) -> bool {
    std::fs::read_to_string("/proc/cmdline").is_ok_and(|line| {
        line.split_whitespace()
            .any(|word| word == wanted || word.split_once('=').is_some_and(|(key, _)| key == wanted))
    })
}
