//! Whoever keeps the terminal of a command that its caller has turned away from: with nobody on its other side the command
//! would be hung up. What it still prints goes to the unit's log. The first who asks for it, at a socket, gets the terminal
//! and all else that the caller had, and the keeper is gone.
#![expect(
    clippy::disallowed_methods,
    reason = "this program of ours is to outlive the one that starts it, and has a socket"
)]

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use rustix::fs::Mode;

use crate::control::channel::Held;

/// The verb that [`keep`] is behind; nobody types it.
pub const VERB: &str = "keep-terminal";

/// Copied in one go.
const BYTES: usize = 16 << 10;

/// Starts another `svc` that keeps it, in a session of its own, until somebody asks for it at this `place`. None, or one that
/// cannot be listened at: nobody can.
///
/// # Errors
/// As fork(2) and execve(2).
pub fn start(held: &Held, place: Option<&Path>) -> io::Result<()> {
    let listener = place.and_then(|place| listen(place).ok());
    let null = || File::open("/dev/null").map(OwnedFd::from);
    let listener = listener.map(OwnedFd::from).map_or_else(null, Ok)?;
    let (ours, theirs) = UnixStream::pair()?;
    // Its own process group: what is typed at the caller's terminal does not reach it.
    Command::new(std::env::current_exe()?)
        .arg(VERB)
        .stdin(Stdio::from(listener))
        .stdout(Stdio::from(OwnedFd::from(theirs)))
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()?;
    held.send(&ours)
}

/// For nobody but the caller's own user, and root. One that was killed has left its socket.
fn listen(place: &Path) -> io::Result<UnixListener> {
    let _ = fs::remove_file(place);
    let before = rustix::process::umask(Mode::from_raw_mode(0o177));
    let listener = UnixListener::bind(place);
    rustix::process::umask(before);
    listener
}

/// Asks for what is kept at a place. None: nobody is there, or somebody else was before.
///
/// # Errors
/// As connect(2) and recvmsg(2).
pub fn ask(place: &Path) -> io::Result<Option<Held>> {
    use io::ErrorKind::{ConnectionRefused, ConnectionReset, NotFound};
    let held = UnixStream::connect(place).and_then(|keeper| Held::receive(&keeper));
    match held {
        Err(error) if matches!(error.kind(), NotFound | ConnectionRefused | ConnectionReset) => Ok(None),
        other => other,
    }
}

/// Copies until nobody has the other side of the terminal any more, or somebody has asked for it.
///
/// # Errors
/// As recvmsg(2) and poll(2).
pub fn keep() -> io::Result<()> {
    let _ = rustix::process::setsid();
    let handed = UnixStream::from(io::stdout().as_fd().try_clone_to_owned()?);
    let Some(held) = Held::receive(&handed)? else {
        return Ok(());
    };
    drop(handed);
    let listener = UnixListener::from(io::stdin().as_fd().try_clone_to_owned()?);
    let place = listener
        .local_addr()
        .ok()
        .and_then(|address| address.as_pathname().map(Path::to_owned));
    let ended = keep_until(&held, place.as_ref().map(|place| (&listener, place)));
    place.map(fs::remove_file);
    ended
}

fn keep_until(held: &Held, asked: Option<(&UnixListener, &PathBuf)>) -> io::Result<()> {
    let Some(terminal) = &held.begun.terminal else {
        return Ok(());
    };
    let mut terminal = File::from(terminal.try_clone()?);
    let log = held.begun.log.as_ref().map(OwnedFd::try_clone).transpose()?;
    let mut log = log.map(File::from);
    let mut bytes = [0; BYTES];
    loop {
        let mut waited = vec![PollFd::new(terminal.as_fd(), PollFlags::POLLIN)];
        waited.extend(asked.map(|(listener, _)| PollFd::new(listener.as_fd(), PollFlags::POLLIN)));
        match poll(&mut waited, PollTimeout::NONE) {
            Err(nix::Error::EINTR) => continue,
            other => other?,
        };
        let mut ready = waited.iter().map(|fd| fd.any().unwrap_or(false));
        let (is_printed, is_asked) = (ready.next() == Some(true), ready.next() == Some(true));
        if is_asked && let Some((listener, place)) = asked {
            let (caller, _) = listener.accept()?;
            // Whoever comes after this one finds nobody.
            let _ = fs::remove_file(place);
            return held.send(&caller);
        }
        if is_printed {
            // EIO: nobody has the other side open any more.
            let count = match terminal.read(&mut bytes) {
                Ok(0) | Err(_) => return Ok(()),
                Ok(count) => count,
            };
            let printed = bytes.get(..count).unwrap_or_default();
            log.as_mut().map(|log| log.write_all(printed));
        }
    }
}
