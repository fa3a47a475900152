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
    /// What the unit says that it is.
    Data,
}

impl super::Service {
    /// What is read from standard input, in two parts, where that is data.
    pub fn input_data(&self) -> Option<[&[u8]; 2]> {
        match self.standard_input {
            Input::Data => Some([self.standard_input_text.as_bytes(), &self.standard_input_data]),
            Input::Null | Input::Tty | Input::Socket => None,
        }
    }
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
