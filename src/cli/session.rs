//! What every verb is given: where to print, in which form, and the supervisor to ask.

use std::ffi::OsString;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anstream::{AutoStream, ColorChoice};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::failure::Failure;
use crate::control::Request;
use crate::control::client::Client;
use crate::control::returns;
use crate::control::view::{self, kebab};
use crate::image::DEFAULT_STATE_DIR;

/// Where the machine's own supervisor listens.
pub const DEFAULT_SOCKET: &str = "/run/svc/control.sock";

/// How long a verb that does not wait for a unit waits for its answer. A supervisor answers in milliseconds.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// One run of a verb.
pub struct Session<'a> {
    /// Standard output, which takes out colour that is not wanted.
    pub out: &'a mut dyn Write,
    /// Standard error.
    pub err: &'a mut dyn Write,
    /// Print JSON.
    pub json: bool,
    /// Standard error is a terminal: what is waited for can be shown.
    pub shows_progress: bool,
    /// Standard output is a terminal.
    pub is_terminal: bool,
    /// Where the supervisor listens.
    pub socket: PathBuf,
}

/// Which socket: the flag, or the variable, or the default.
pub fn socket(flag: Option<PathBuf>, variable: Option<OsString>) -> PathBuf {
    let variable = variable.filter(|path| !path.is_empty()).map(PathBuf::from);
    flag.or(variable).unwrap_or_else(|| DEFAULT_SOCKET.into())
}

/// Where images are, likewise.
pub fn state_dir(flag: Option<PathBuf>, variable: Option<OsString>) -> PathBuf {
    let variable = variable.filter(|path| !path.is_empty()).map(PathBuf::from);
    flag.or(variable).unwrap_or_else(|| DEFAULT_STATE_DIR.into())
}

/// Whether to colour what goes to a stream: only on a terminal, and never against NO_COLOR or the flag.
pub fn colour<S: anstream::stream::RawStream>(stream: &S, no_color: bool) -> ColorChoice {
    if no_color {
        ColorChoice::Never
    } else {
        AutoStream::choice(stream)
    }
}

impl Session<'_> {
    /// A connection.
    ///
    /// # Errors
    /// [`Failure`] that names `what`.
    pub fn connect(&self, what: &str) -> Result<Client, Failure> {
        Client::connect(&self.socket).map_err(|error| Failure::of_call(what, error))
    }

    /// Asks once. `what` is the word for it that a failure names: `status web`.
    ///
    /// # Errors
    /// [`Failure`] that names `what`.
    pub fn ask<T: DeserializeOwned>(&self, what: &str, request: &Request) -> Result<T, Failure> {
        self.ask_with(what, request, Some(PATIENCE))
    }

    /// The same of what takes as long as a unit takes.
    ///
    /// # Errors
    /// [`Failure`] that names `what`.
    pub fn ask_for_long<T: DeserializeOwned>(&self, what: &str, request: &Request) -> Result<T, Failure> {
        self.ask_with(what, request, None)
    }

    fn ask_with<T: DeserializeOwned>(
        &self,
        what: &str,
        request: &Request,
        patience: Option<Duration>,
    ) -> Result<T, Failure> {
        let mut client = self.connect(what)?;
        client
            .call(request, patience)
            .map_err(|error| Failure::of_call(what, error))
    }

    /// Prints a view in the contract's form: on a terminal over several lines, otherwise on one.
    ///
    /// # Errors
    /// Standard output cannot be written.
    pub fn print_json<T: Serialize>(&mut self, value: &T) -> Result<(), Failure> {
        let value = kebab(serde_json::to_value(value).map_err(io::Error::from)?);
        let text = if self.is_terminal {
            serde_json::to_string_pretty(&value)
        } else {
            serde_json::to_string(&value)
        };
        writeln!(self.out, "{}", text.map_err(io::Error::from)?)?;
        Ok(())
    }

    /// Where the supervisor keeps the units' logs.
    ///
    /// # Errors
    /// [`Failure`] that names `what`.
    pub fn log_dir(&self, what: &str) -> Result<PathBuf, Failure> {
        let version: view::Version = self.ask(what, &Request::Version)?;
        Ok(version.log_dir.into())
    }

    /// The states of units by names and patterns.
    ///
    /// # Errors
    /// [`Failure`] that names `what`.
    pub fn statuses(&self, what: &str, units: &[String]) -> Result<returns::Statuses, Failure> {
        self.ask(what, &Request::Status { units: units.to_vec() })
    }

    /// True where no socket was chosen: the machine's own supervisor is meant.
    pub fn is_default_socket(&self) -> bool {
        self.socket == Path::new(DEFAULT_SOCKET)
    }
}

/// True for what may name several units: `web@*`.
pub fn is_pattern(unit: &str) -> bool {
    unit.contains(['*', '?', '['])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_flag_wins_over_the_variable() {
        for (flag, variable, expected) in [
            (Some("/flag"), Some("/variable"), "/flag"),
            (None, Some("/variable"), "/variable"),
            (None, Some(""), DEFAULT_SOCKET),
            (None, None, DEFAULT_SOCKET),
        ] {
            assert_eq!(
                socket(flag.map(Into::into), variable.map(Into::into)),
                PathBuf::from(expected)
            );
        }
    }
}
