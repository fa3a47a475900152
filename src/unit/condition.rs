//! What must be true of the machine for a unit to run.

use std::path::PathBuf;

/// Something about the machine that decides whether a unit runs at all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition {
    /// True when the value began with `!`.
    pub negated: bool,
    /// What is looked at.
    pub test: ConditionTest,
}

/// The look-ups that a condition can ask for; systemd.unit(5), "Conditions and Asserts".
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConditionTest {
    /// The path is there, whatever it is.
    PathExists(PathBuf),
    /// The path is a directory.
    PathIsDirectory(PathBuf),
    /// The path is a regular file of more than no bytes.
    FileNotEmpty(PathBuf),
    /// The path is a directory with an entry.
    DirectoryNotEmpty(PathBuf),
    /// The kernel command line has this word, or this `key=value`.
    KernelCommandLine(Box<str>),
}
