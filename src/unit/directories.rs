//! Directories and secrets that a service is given: `runtime-directory` and its like, `credentials`.

use std::collections::BTreeMap;

use serde::{Serialize, Serializer};

use super::value;

/// Directories that are made before the start and belong to the user; systemd.exec(5), `RuntimeDirectory=`. Names are
/// relative to a root for each kind, without `..`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs)]
pub struct Directories {
    pub runtime_directory: Vec<Box<str>>,
    #[serde(serialize_with = "value::serialize_mode")]
    pub runtime_directory_mode: u32,
    pub runtime_directory_preserve: Preserve,
    pub state_directory: Vec<Box<str>>,
    #[serde(serialize_with = "value::serialize_mode")]
    pub state_directory_mode: u32,
    pub cache_directory: Vec<Box<str>>,
    #[serde(serialize_with = "value::serialize_mode")]
    pub cache_directory_mode: u32,
    pub logs_directory: Vec<Box<str>>,
    #[serde(serialize_with = "value::serialize_mode")]
    pub logs_directory_mode: u32,
    /// Names to files of the machine; each is copied into the directory that $CREDENTIALS_DIRECTORY names.
    pub credentials: BTreeMap<Box<str>, Box<str>>,
}

/// Whether runtime directories stay after a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Preserve {
    /// They do not.
    #[default]
    No,
    /// They do until the next run that follows by itself or by `svc restart`.
    Restart,
    /// They do.
    Yes,
}

impl Serialize for Preserve {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::No => to.serialize_bool(false),
            Self::Restart => to.serialize_str("restart"),
            Self::Yes => to.serialize_bool(true),
        }
    }
}

/// The mode of a directory of which nothing is said.
const MODE: u32 = 0o755;

impl Default for Directories {
    fn default() -> Self {
        Self {
            runtime_directory: Vec::new(),
            runtime_directory_mode: MODE,
            runtime_directory_preserve: Preserve::No,
            state_directory: Vec::new(),
            state_directory_mode: MODE,
            cache_directory: Vec::new(),
            cache_directory_mode: MODE,
            logs_directory: Vec::new(),
            logs_directory_mode: MODE,
            credentials: BTreeMap::new(),
        }
    }
}

impl Directories {
    /// Each kind: its key, the variable that names its directories, the directories, and their mode.
    pub fn kinds(&self) -> [(&'static str, &'static str, &[Box<str>], u32); 4] {
        let (runtime, state) = (&*self.runtime_directory, &*self.state_directory);
        let (cache, logs) = (&*self.cache_directory, &*self.logs_directory);
        [
            (
                "runtime-directory",
                "RUNTIME_DIRECTORY",
                runtime,
                self.runtime_directory_mode,
            ),
            ("state-directory", "STATE_DIRECTORY", state, self.state_directory_mode),
            ("cache-directory", "CACHE_DIRECTORY", cache, self.cache_directory_mode),
            ("logs-directory", "LOGS_DIRECTORY", logs, self.logs_directory_mode),
        ]
    }
}
