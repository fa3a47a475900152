//! What is wrong with unit files, as a client sees it.

use serde::{Deserialize, Serialize};

/// Something about a unit file that its writer should know.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// `error` or `warning`.
    pub severity: String,
    /// The unit, where one is known.
    pub unit: Option<String>,
    /// The file.
    pub file: String,
    /// From 1; 0: the file as a whole.
    pub line: u32,
    /// In characters, from 1; 0: the file as a whole.
    pub column: u32,
    /// What is wrong.
    pub message: String,
    /// What would be right.
    pub hint: Option<String>,
}

impl From<&crate::unit::report::Finding> for Finding {
    fn from(finding: &crate::unit::report::Finding) -> Self {
        let is_error = finding.severity == crate::unit::report::Severity::Error;
        Self {
            severity: if is_error { "error" } else { "warning" }.to_owned(),
            unit: finding.unit.as_ref().map(ToString::to_string),
            file: finding.file.to_string(),
            line: finding.line,
            column: finding.column,
            message: finding.message.to_string(),
            hint: finding.hint.as_deref().map(str::to_owned),
        }
    }
}
