//! `notify`: what a service written in shell says of itself to whoever supervises it; sd_notify(3).

use std::ffi::{CString, OsString};
use std::io::IoSlice;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use rustix::pipe::{PipeFlags, pipe_with};

use super::failure::{Failure, Kind};

/// How long the supervisor may take to hear it.
const HEARD_WITHIN: Duration = Duration::from_secs(5);

// What a service says of itself. No rustdoc: it would be the help text of the verb.
#[allow(missing_docs)]
#[derive(Debug, Args)]
pub struct Notification {
    /// It is ready, or done with a reload
    #[arg(long)]
    pub ready: bool,
    /// It has begun to reload
    #[arg(long)]
    pub reloading: bool,
    /// It is about to end
    #[arg(long)]
    pub stopping: bool,
    /// One line for people, which `svc status` shows
    #[arg(long, value_name = "TEXT")]
    pub status: Option<String>,
    /// Its main process is this one from now on
    #[arg(long, value_name = "PID")]
    pub main_pid: Option<u32>,
    /// Anything else of sd_notify(3), such as WATCHDOG=1
    #[arg(value_name = "NAME=VALUE", value_parser = line)]
    pub lines: Vec<String>,
    /// Becomes this program once it is said
    #[arg(last = true, value_name = "COMMAND")]
    pub command: Vec<OsString>,
}

fn line(text: &str) -> Result<String, String> {
    let named = text.split_once('=').is_some_and(|(name, _)| !name.is_empty());
    (named && !text.contains('\n'))
        .then(|| text.to_owned())
        .ok_or_else(|| "expected NAME=VALUE, in one line".to_owned())
}

/// `svc notify`. With a command, becomes that once it is said.
///
/// # Errors
/// [`Failure`]: nobody supervises it, nothing is to be said, or it was not heard in time.
pub fn run(said: Notification) -> Result<(), Failure> {
    let failed = |why: &dyn std::fmt::Display| Failure::new(Kind::Failed, "notify", why);
    let lines = lines(&said);
    if lines.is_empty() {
        return Err(Failure::new(Kind::Usage, "notify", "nothing to say").hint("try --ready, or --status TEXT"));
    }
    let path = std::env::var_os("NOTIFY_SOCKET").map(PathBuf::from).ok_or_else(|| {
        failed(&"$NOTIFY_SOCKET is not set").hint("a unit has it with `type = \"notify\"`, or `notify-access`")
    })?;
    let socket = UnixDatagram::unbound()?;
    socket
        .connect(&path)
        .map_err(|error| failed(&format!("{}: {error}", path.display())))?;
    socket.send(lines.join("\n").as_bytes())?;
    // Whoever is asked who it was must still find us: the other end is closed once all that was sent before is heard.
    let (heard, closed_then) = pipe_with(PipeFlags::CLOEXEC).map_err(std::io::Error::from)?;
    send_with(&socket, b"BARRIER=1", closed_then.as_fd())?;
    drop(closed_then);
    if !ends_within(&heard, HEARD_WITHIN) {
        return Err(failed(&"it was not heard in time"));
    }
    match said.command.split_first() {
        None => Ok(()),
        Some((program, _)) => Err(become_program(program, &said.command)),
    }
}

fn send_with(socket: &UnixDatagram, bytes: &[u8], descriptor: BorrowedFd<'_>) -> std::io::Result<()> {
    use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let descriptors = [descriptor];
    control.push(SendAncillaryMessage::ScmRights(&descriptors));
    sendmsg(socket, &[IoSlice::new(bytes)], &mut control, SendFlags::NOSIGNAL)?;
    Ok(())
}

fn lines(said: &Notification) -> Vec<String> {
    let flags = [
        (said.reloading, "RELOADING=1"),
        (said.ready, "READY=1"),
        (said.stopping, "STOPPING=1"),
    ];
    let mut lines: Vec<String> = flags
        .iter()
        .filter(|(on, _)| *on)
        .map(|(_, line)| (*line).into())
        .collect();
    lines.extend(
        said.status
            .iter()
            .map(|text| format!("STATUS={}", text.replace('\n', " "))),
    );
    lines.extend(said.main_pid.iter().map(|pid| format!("MAINPID={pid}")));
    lines.extend(said.lines.iter().cloned());
    lines
}

fn ends_within(pipe: impl AsFd, most: Duration) -> bool {
    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
    let mut waited = [PollFd::new(pipe.as_fd(), PollFlags::POLLIN)];
    poll(&mut waited, PollTimeout::try_from(most).unwrap_or(PollTimeout::MAX)).is_ok_and(|ready| ready > 0)
}

/// Gives back only why it could not.
fn become_program(program: &std::ffi::OsString, words: &[std::ffi::OsString]) -> Failure {
    let arguments: Option<Vec<CString>> = words.iter().map(|word| CString::new(word.as_bytes()).ok()).collect();
    let why = match arguments.as_deref() {
        Some(all @ [first, ..]) => match nix::unistd::execvp(first, all) {
            Err(error) => error.desc().to_owned(),
            Ok(never) => match never {},
        },
        Some([]) | None => "no such program".to_owned(),
    };
    Failure::new(Kind::Failed, program.to_string_lossy(), why)
}
