//! What a finding about a unit file looks like, before anybody draws it.

use std::rc::Rc;

/// Something about a file that its writer should know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Error: the unit is not used, or, where it is in a cycle, not started. Warning: it is.
    pub severity: Severity,
    /// The unit, where one is known.
    pub unit: Option<super::UnitName>,
    /// The file.
    pub file: Rc<str>,
    /// The bytes of the file that are meant; None: the file as a whole.
    pub span: Option<std::ops::Range<usize>>,
    /// Line of the start, from 1; 0 without a span.
    pub line: u32,
    /// Column of the start, in characters, from 1; 0 without a span.
    pub column: u32,
    /// The file's text, to underline in; shared by all findings of a file.
    pub source: Option<Rc<str>>,
    /// One line: what is wrong, without a full stop.
    pub message: Box<str>,
    /// What would be right: "did you mean `memory-max`?"
    pub hint: Option<Box<str>>,
}

/// How bad.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs)]
pub enum Severity {
    Warning,
    Error,
}
