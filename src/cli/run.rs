//! `run`: a unit made of flags, run at once. [`arguments`] is what can be typed, [`text`] the unit file that it means.

use std::path::PathBuf;

use super::attach::{self, Came, Wanted};
use super::failure::{Failure, Kind};
use super::session::{self, Session};
use super::{exec, jobs};
use crate::control::returns::Ran;
use crate::control::view::OutcomeKind;
use crate::control::{self, Request, STATE_LINK};
use crate::image;

pub mod arguments;
mod text;

use arguments::Run;
use text::Root;

/// `svc run`.
///
/// # Errors
/// [`Failure`], whose exit status is the command's, wherever it has begun.
pub fn run(session: &mut Session<'_>, order: &Run) -> Result<(), Failure> {
    let root = text::root(order).map_err(|why| Failure::new(Kind::Usage, "run", why))?;
    let name = match &order.name {
        Some(name) => name.clone(),
        None => text::name(order, &root),
    };
    let what = format!("run {name}");
    let client = session.connect(&what);
    let entry_point = match &root {
        Root::Image(image) => entry_point(session, &what, image, order)?,
        Root::Directory(_) | Root::Machine => Vec::new(),
    };
    let text = text::unit(order, &root, entry_point).map_err(|why| Failure::new(Kind::Usage, &what, why))?;
    if order.print_unit {
        return Ok(write!(session.out, "{text}")?);
    }
    let wanted = Wanted {
        input: order.streams.interactive,
        terminal: order.streams.tty,
    };
    let request = Request::Run(control::Run {
        unit: name.clone(),
        text,
        remove: order.rm,
        size: wanted.size(&what)?,
    });
    if order.detach {
        let ran = client?.call::<Ran>(&request, None);
        let ran = ran.map_err(|error| Failure::of_call(&what, error))?;
        jobs::conclude_failed(session, "run", &ran.outcomes)?;
        return match session.json {
            true => session.print_json(&serde_json::json!({ "unit": name })),
            false => Ok(writeln!(session.out, "{name}")?),
        };
    }
    let came = attach::follow(client?, &what, &request, wanted, Some(&terminal_of(session, &name)))?;
    conclude(session, &what, came)
}

/// `svc attach`: back to the terminal of what was run, where it was left.
///
/// # Errors
/// As [`run`], and where it was not left or another has come back.
pub fn attach(session: &mut Session<'_>, unit: &str) -> Result<(), Failure> {
    let what = format!("attach {unit}");
    // That there is no such unit goes before.
    session.statuses(&what, &[unit.to_owned()])?;
    let came = attach::come_back(&what, &terminal_of(session, unit))?;
    conclude(session, &what, came)
}

/// Where the terminal of a unit is left: beside the supervisor's socket.
fn terminal_of(session: &Session<'_>, unit: &str) -> PathBuf {
    session.socket.with_file_name(format!("terminal-{unit}.sock"))
}

fn conclude(session: &mut Session<'_>, what: &str, came: Came<Ran>) -> Result<(), Failure> {
    let ran = match came {
        Came::Answer(ran) => ran,
        Came::Detached => return Ok(()),
    };
    match ran.outcomes.first() {
        None => exec::ended(ran.code, ran.signal.as_deref()),
        Some(outcome) => match spawn_step(outcome.result_text.as_deref()) {
            Some((step, errno)) if outcome.outcome == OutcomeKind::Failed => Err(exec::not_begun(what, step, errno)),
            _ => jobs::conclude_failed(session, "run", &ran.outcomes),
        },
    }
}

/// `spawn exec /bin/x: ENOENT`, the step and the error.
fn spawn_step(result: Option<&str>) -> Option<(&str, Option<&str>)> {
    let step = result?.strip_prefix("spawn ")?;
    Some(
        step.rsplit_once(": ")
            .map_or((step, None), |(step, errno)| (step, Some(errno))),
    )
}

/// The words before those that were typed: docker run(1). An image that is not here is fetched, where its name says from
/// which registry.
fn entry_point(session: &mut Session<'_>, what: &str, image: &str, order: &Run) -> Result<Vec<String>, Failure> {
    // That of the supervisor that answers, or of the one that would.
    let linked = std::fs::read_link(session.socket.with_file_name(STATE_LINK)).ok();
    let state_dir = session::state_dir(linked, std::env::var_os("SVC_STATE_DIR"));
    let look = || image::root::entry_point(&state_dir.join(image::STORE), image);
    let mut found = look();
    #[cfg(feature = "registry")]
    if found
        .as_ref()
        .is_err_and(|error| error.kind == image::Kind::NoSuchImage)
        && !order.print_unit
    {
        let name = image.parse::<image::Name>().ok();
        if name.is_some_and(|name| name.host.is_some()) {
            super::image::fetch(session, &state_dir, image)?;
            found = look();
        }
    }
    let overridden = order.entrypoint.clone().map(|program| vec![program]);
    match found {
        Ok(words) => Ok(overridden.unwrap_or(words)),
        Err(error) if error.kind == image::Kind::Refused => Err(Failure::new(Kind::Invalid, what, error)),
        Err(error) => Err(Failure::new(Kind::Failed, what, error)),
    }
}

/// `NAME=VALUE`, or the caller's own value of NAME, as docker has it; and what kind of terminal there is.
pub fn environment(given: &[String], terminal: bool) -> Vec<String> {
    let own = |name: &str| std::env::var(name).ok().map(|value| format!("{name}={value}"));
    let of_terminal = own("TERM").filter(|_| terminal);
    let each = given.iter().filter_map(|pair| match pair.contains('=') {
        true => Some(pair.clone()),
        false => own(pair),
    });
    of_terminal.into_iter().chain(each).collect()
}
