//! What the probes of a unit say.

use serde::{Deserialize, Serialize};

/// How well it is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Health {
    /// `starting`: it was not well yet; `healthy`; `unhealthy`.
    pub state: String,
    /// Probes in a row that failed.
    pub failures: u64,
    /// The last ones, oldest first.
    pub probes: Vec<Probe>,
}

/// One probe.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Probe {
    /// When it ended.
    pub at: String,
    /// It was well.
    pub ok: bool,
    /// What it said, and how it ended where that was not well.
    pub output: String,
}
