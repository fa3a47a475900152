//! What clients see of the root of a service's files.

use serde::{Deserialize, Serialize};

/// What the root of a service's files is made of; overlayfs(5).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Root {
    /// The image that it is, by name.
    pub image: Option<String>,
    /// The directories that are not written to, topmost first.
    pub lower: Vec<String>,
    /// The directory that is written to. None: a tmpfs that only the service sees, or nothing.
    pub upper: Option<String>,
    /// Where overlayfs prepares what it writes.
    pub work: Option<String>,
    /// The whole, as the service sees it, while it runs.
    pub merged: Option<String>,
}
