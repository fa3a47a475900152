//! `poweroff`, `reboot`, `halt`: the end of a machine, or of a container.

use super::failure::Failure;
use super::session::Session;
use crate::control::returns::Ending;
use crate::control::{Power, Request};

/// Asks for the end. It has begun when this returns: there may be no time to tell more.
///
/// # Errors
/// [`Failure`]: refused where the supervisor is no init, or to who is not root.
pub fn run(session: &mut Session<'_>, power: Power) -> Result<(), Failure> {
    let ending: Ending = session.ask(power.word(), &Request::Shutdown { power: Some(power) })?;
    if session.json {
        session.print_json(&ending)
    } else {
        Ok(())
    }
}
