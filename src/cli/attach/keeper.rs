//! Whoever keeps the terminal of a command that its caller has turned away from: with nobody on its other side the command
//! would be hung up. What it still prints goes to the unit's log.
#![expect(
    clippy::disallowed_methods,
    reason = "this program of ours is to outlive the one that starts it"
)]

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

/// The verb that [`keep`] is behind; nobody types it.
pub const VERB: &str = "keep-terminal";

/// Starts another `svc` that keeps it, in a session of its own.
///
/// # Errors
/// As fork(2) and execve(2).
pub fn start(terminal: OwnedFd, log: Option<OwnedFd>) -> io::Result<()> {
    let null = || File::options().write(true).open("/dev/null").map(OwnedFd::from);
    let log = log.map_or_else(null, Ok)?;
    let program = std::env::current_exe()?;
    // Its own process group: what is typed at the caller's terminal does not reach it.
    let keeper = Command::new(program)
        .arg(VERB)
        .stdin(Stdio::from(terminal))
        .stdout(Stdio::from(log))
        .stderr(Stdio::null())
        .process_group(0)
        .spawn();
    keeper.map(drop)
}

/// Copies until nobody has the other side of the terminal any more.
pub fn keep() {
    let _ = rustix::process::setsid();
    let _ = io::copy(&mut io::stdin(), &mut io::stdout());
}
