//! `exec`: a command in the namespaces and the cgroup of a unit that runs.

use super::arguments::Exec;
use super::attach::{self, Came, Wanted};
use super::failure::{Failure, Kind};
use super::session::Session;
use crate::control::call::parse_signal;
use crate::control::returns::Executed;
use crate::control::{self, Request};

/// What a shell says of a command that is not there, and of one that cannot be run; the exit status section of bash(1).
const NOT_FOUND: u8 = 127;
const NOT_EXECUTABLE: u8 = 126;

/// `svc exec`.
///
/// # Errors
/// [`Failure`], whose exit status is the command's, wherever it has begun.
pub fn run(session: &mut Session<'_>, order: Exec) -> Result<(), Failure> {
    let what = format!("exec {}", order.unit);
    let wanted = Wanted {
        input: order.streams.interactive,
        terminal: order.streams.tty,
    };
    let request = Request::Exec(control::Exec {
        unit: order.unit,
        command: order.command,
        environment: super::run::environment(&order.environment, wanted.terminal),
        user: order.user,
        working_directory: order.workdir,
        size: wanted.size(&what)?,
    });
    let answer: Executed = match attach::follow(session.connect(&what)?, &what, &request, wanted, None)? {
        Came::Answer(answer) => answer,
        Came::Detached => return Ok(()),
    };
    match answer.failed_step {
        None => ended(answer.code, answer.signal.as_deref()),
        Some(step) => Err(not_begun(&what, &step, answer.errno.as_deref())),
    }
}

/// How a command has ended is how `svc` ends.
///
/// # Errors
/// [`Failure`] with its exit status, unless that is 0.
pub fn ended(code: Option<u8>, signal: Option<&str>) -> Result<(), Failure> {
    let signal = signal
        .and_then(parse_signal)
        .map(|signal| 128_u8.saturating_add(signal.0));
    match code.or(signal) {
        Some(0) => Ok(()),
        Some(status) => Err(Failure::told(Kind::Command(status))),
        None => Err(Failure::told(Kind::Failed)),
    }
}

/// A step before the command failed, or its exec: as `exec sh: ENOENT`.
pub fn not_begun(what: &str, step: &str, errno: Option<&str>) -> Failure {
    let kind = match errno {
        _ if !step.starts_with("exec ") => Kind::Failed,
        Some("ENOENT" | "ENOTDIR") => Kind::Command(NOT_FOUND),
        Some(_) | None => Kind::Command(NOT_EXECUTABLE),
    };
    let errno = errno.map(|errno| format!(": {errno}"));
    Failure::new(kind, what, format_args!("{step}{}", errno.unwrap_or_default()))
}
