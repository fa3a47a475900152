//! `reexec`: the supervisor goes on as the program that is on disk now.

use super::failure::Failure;
use super::session::Session;
use crate::control::Request;
use crate::control::returns::Reexecuted;

/// `svc reexec`.
///
/// # Errors
/// [`Failure`]: it could not be, and the supervisor goes on as it was.
pub fn run(session: &mut Session<'_>) -> Result<(), Failure> {
    let done: Reexecuted = session.ask("reexec", &Request::Reexec)?;
    if session.json {
        return session.print_json(&done);
    }
    let Reexecuted { before, after, pid } = done;
    if before == after {
        writeln!(session.out, "svcd {after} executed anew, pid {pid}")?;
    } else {
        writeln!(session.out, "svcd {before} goes on as {after}, pid {pid}")?;
    }
    Ok(())
}
