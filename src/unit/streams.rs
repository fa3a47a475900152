//! Where the three streams of a command lead.

use std::fmt;
use std::path::PathBuf;

use serde::Serialize;

/// Where standard input comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Input {
    /// /dev/null.
    Null,
    /// The terminal, as the controlling one of a session of its own.
    Tty,
    /// The unit's socket.
    Socket,
}

/// Where an output goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// The unit's log.
    Log,
    /// /dev/null.
    Null,
    /// For standard error: where standard output goes. For standard output: the terminal where input is that, else what
    /// svcd has.
    Inherit,
    /// The terminal.
    Tty,
    /// The unit's socket.
    Socket,
    /// Truncated at each start.
    File(PathBuf),
    /// Written at its end.
    Append(PathBuf),
}

impl fmt::Display for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Log => f.write_str("log"),
            Self::Null => f.write_str("null"),
            Self::Inherit => f.write_str("inherit"),
            Self::Tty => f.write_str("tty"),
            Self::Socket => f.write_str("socket"),
            Self::File(path) => write!(f, "file:{}", path.display()),
            Self::Append(path) => write!(f, "append:{}", path.display()),
        }
    }
}
