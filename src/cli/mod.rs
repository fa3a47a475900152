//! The command line: a verb in, one question to the supervisor, an answer for people or for scripts.
//!
//! [`arguments`] is what can be typed, [`failure`] what can go wrong and the exit status, [`render`] how things look;
//! the rest is a file for each verb, or for a few that are alike. Knows the wire and the files that are read without a
//! supervisor (units, logs, images); never the supervisor, which [`up`] is given as a function.

use std::ffi::OsString;
use std::io::{self, BufWriter, IsTerminal, Write};
use std::process::ExitCode;

use anstream::AutoStream;

mod analyze;
pub mod arguments;
mod attach;
mod check;
mod completions;
mod difference;
mod doctor;
mod edit;
mod enable;
mod exec;
pub mod failure;
mod generations;
mod history;
#[cfg(feature = "image")]
mod image;
mod import;
mod jobs;
mod list;
mod logs;
mod notify;
mod plan;
mod power;
mod reexec;
pub mod render;
mod root;
mod run;
mod schema;
mod security;
mod session;
mod set;
mod stats;
mod status;
mod time;
mod top;
mod triggers;
mod unit_files;
pub mod up;

use arguments::{Arguments, Units, Verb};
use failure::{Failure, Kind};
use session::Session;
pub use up::{Foreground, Started, UpRequest};

use crate::control;

/// Carries out what was typed, program name first. `foreground` is the supervisor that `svc up` runs.
pub fn run(arguments: impl IntoIterator<Item = OsString>, foreground: &Foreground) -> ExitCode {
    let arguments = match Arguments::of(run::arguments::keep_escape(arguments)) {
        Ok(arguments) => arguments,
        Err(error) => return explain(&error),
    };
    // Buffered below, not above: what takes colour out writes in small pieces.
    let stdout: Box<dyn Write> = Box::new(BufWriter::new(io::stdout().lock()));
    let mut out = AutoStream::new(stdout, session::colour(&io::stdout(), arguments.of_all.no_color));
    let mut err = AutoStream::new(
        io::stderr().lock(),
        session::colour(&io::stderr(), arguments.of_all.no_color),
    );
    let mut session = Session {
        is_terminal: io::stdout().is_terminal(),
        shows_progress: io::stderr().is_terminal() && !arguments.of_all.json,
        out: &mut out,
        err: &mut err,
        json: arguments.of_all.json,
        socket: session::socket(arguments.of_all.socket, std::env::var_os("SVC_SOCKET")),
    };
    let done = carry_out(&mut session, arguments.verb, foreground);
    let printed = session.out.flush();
    match done.and_then(|()| Ok(printed?)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            failure.tell(session.err);
            ExitCode::from(failure.kind.status())
        }
    }
}

fn carry_out(session: &mut Session<'_>, verb: Verb, foreground: &Foreground) -> Result<(), Failure> {
    match verb {
        Verb::Up { dir } => up::run(session, &dir, foreground),
        Verb::Start(job) => jobs::run(session, control::Verb::Start, job),
        Verb::Stop(job) => jobs::run(session, control::Verb::Stop, job),
        Verb::Restart(job) => jobs::run(session, control::Verb::Restart, job),
        Verb::Reload(job) => jobs::run(session, control::Verb::Reload, job),
        Verb::Reset(job) => jobs::run(session, control::Verb::Reset, job),
        Verb::Freeze(job) => jobs::run(session, control::Verb::Freeze, job),
        Verb::Thaw(job) => jobs::run(session, control::Verb::Thaw, job),
        Verb::Set {
            unit,
            settings,
            persist,
            ..
        } => set::run(session, unit, settings, persist),
        Verb::Stats { units } => stats::run(session, units),
        Verb::Top => top::run(session),
        Verb::Doctor => doctor::run(session),
        Verb::Kill { signal, whom, units } => jobs::kill(session, units, signal, whom.into()),
        Verb::Status(Units { units }) => status::run(session, &units),
        Verb::List(which) => list::lines(session, &which),
        Verb::Show { unit } => list::show(session, unit),
        Verb::Cat { unit } => list::cat(session, unit),
        Verb::Deps { reverse, unit } => list::deps(session, unit, reverse),
        Verb::Logs(logs) => logs::run(session, logs),
        Verb::Ps { unit } => list::ps(session, unit),
        Verb::Root { unit } => root::root(session, &unit),
        Verb::Diff { what } => match what.as_slice() {
            [before, after] => generations::compare(session, before, after),
            units => units.iter().try_for_each(|unit| root::diff(session, unit)),
        },
        Verb::Check { security: true, paths } => security::run(session, &paths),
        Verb::Check { security: false, paths } => check::run(session, &paths),
        Verb::Enable(files) => enable::enable(session, &files.units, &files.dirs),
        Verb::Disable(files) => enable::disable(session, &files.units, &files.dirs),
        Verb::Mask(files) => enable::mask(session, &files.units, &files.dirs),
        Verb::Unmask(files) => enable::unmask(session, &files.units, &files.dirs),
        Verb::Edit { unit, dirs } => edit::edit(session, &unit, &dirs),
        Verb::New { unit, command, dirs } => edit::new(session, &unit, &command, &dirs),
        Verb::Plan => plan::plan(session),
        Verb::Apply { plan } => plan::apply(session, plan),
        Verb::Generations => generations::list(session),
        Verb::Rollback { generation } => plan::rollback(session, generation),
        Verb::Why { unit } => history::why(session, unit),
        Verb::History { unit } => history::history(session, unit),
        Verb::Analyze { way } => analyze::run(session, way),
        Verb::Completions { shell } => completions::run(session, shell),
        Verb::Schema => schema::run(session),
        Verb::Import(order) => import::run(session, &order),
        Verb::Poweroff => power::run(session, control::Power::Off),
        Verb::Reboot => power::run(session, control::Power::Reboot),
        Verb::Halt => power::run(session, control::Power::Halt),
        Verb::Reexec => reexec::run(session),
        #[cfg(feature = "image")]
        Verb::Image(image) => image::run(session, image),
        Verb::Run(order) => run::run(session, &order),
        Verb::Exec(order) => exec::run(session, order),
        Verb::Attach { unit } => run::attach(session, &unit),
        Verb::KeepTerminal => Ok(attach::keep()?),
        Verb::Notify(said) => notify::run(said),
        Verb::Version => list::version(session),
    }
}

/// Help to standard output; what was typed wrong to standard error, in the form of all messages.
fn explain(error: &clap::Error) -> ExitCode {
    if !error.use_stderr() {
        let shown = error.print().map_err(Failure::from);
        return ExitCode::from(shown.map_or_else(|failure| failure.kind.status(), |()| 0));
    }
    let text = error.render().to_string();
    let text = text
        .strip_prefix("error: ")
        .map_or_else(|| text.clone(), |rest| format!("svc: usage: {rest}"));
    let _ = io::stderr().write_all(text.as_bytes());
    ExitCode::from(Kind::Usage.status())
}

#[cfg(test)]
mod tests;
