//! The caller's side of a command that has its streams: what is typed goes in, what is printed comes out, signals are
//! handed on, until the supervisor tells how it ended.
//!
//! A stream that is no terminal goes to the command as it is. A terminal of the caller's never does: whoever has it could
//! read what is typed to others; so the command gets a pipe, or a terminal of its own, and what passes is copied.

use std::fs::File;
use std::io::{self, IsTerminal, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use rustix::process::{Signal, pidfd_send_signal};
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr, tcsetwinsize};
use serde::de::DeserializeOwned;
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGWINCH};

use super::failure::{Failure, Kind};
use crate::control::channel::{Begun, Channel, Held};
use crate::control::client::Client;
use crate::control::{Request, WindowSize};

mod copy;
mod keeper;

use copy::{Copy, Keys, Typed};
pub use keeper::keep;

/// Handed on to the command.
const SIGNALS: [i32; 7] = [SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGWINCH];

/// Which streams the command is to have.
#[derive(Clone, Copy, Debug)]
pub struct Wanted {
    /// Standard input; else it reads nothing.
    pub input: bool,
    /// A terminal.
    pub terminal: bool,
}

/// What came of it.
#[derive(Debug)]
pub enum Came<T> {
    /// The supervisor's answer.
    Answer(T),
    /// The caller has turned away, and the command goes on.
    Detached,
}

impl Wanted {
    /// The size of the caller's terminal, for the one that the command gets.
    ///
    /// # Errors
    /// [`Failure`]: a terminal is wanted for input that comes from elsewhere.
    pub fn size(self, what: &str) -> Result<Option<WindowSize>, Failure> {
        if self.terminal && self.input && !io::stdin().is_terminal() {
            let failure = Failure::new(Kind::Usage, what, "-t, and standard input is no terminal");
            return Err(failure.hint("-i alone hands input on as it is"));
        }
        Ok(Some(size()).filter(|_| self.terminal))
    }
}

fn size() -> WindowSize {
    let found = tcgetwinsize(io::stdin()).or_else(|_| tcgetwinsize(io::stdout()));
    found.map_or(WindowSize { rows: 24, columns: 80 }, |size| WindowSize {
        rows: size.ws_row,
        columns: size.ws_col,
    })
}

/// Asks over a connection, and stands between the caller and the command until it has ended. Whoever turns away leaves the
/// terminal at this `place`.
///
/// # Errors
/// [`Failure`] that names `what`.
pub fn follow<T: DeserializeOwned>(
    mut client: Client,
    what: &str,
    request: &Request,
    wanted: Wanted,
    place: Option<&Path>,
) -> Result<Came<T>, Failure> {
    let failed = |error: io::Error| Failure::new(Kind::Failed, what, error);
    let (channel, theirs) = Channel::new().map_err(failed)?;
    let mut attached = Attached::new(wanted).map_err(failed)?;
    let given: Vec<BorrowedFd<'_>> = std::iter::once(theirs.as_fd())
        .chain(attached.given.iter().map(AsFd::as_fd))
        .collect();
    let sent = client.send_with(request, false, &given);
    sent.map_err(|error| Failure::of_call(what, error))?;
    drop(theirs);
    attached.given.clear();
    go_on(what, client, Some(channel), attached, place)
}

/// Goes on where another has turned away.
///
/// # Errors
/// [`Failure`] that names `what`; nobody has, or another has come back already.
pub fn come_back<T: DeserializeOwned>(what: &str, place: &Path) -> Result<Came<T>, Failure> {
    let failed = |error: io::Error| Failure::new(Kind::Failed, what, error);
    let wanted = Wanted {
        input: true,
        terminal: true,
    };
    wanted.size(what)?;
    let Some(held) = keeper::ask(place).map_err(failed)? else {
        let failure = Failure::new(Kind::Failed, what, "no terminal of it waits for anybody");
        return Err(failure.hint("`svc run -it` leaves one at Ctrl-P Ctrl-Q, for one caller at a time"));
    };
    let mut attached = Attached::new(wanted).map_err(failed)?;
    attached.begin(held.begun).map_err(failed)?;
    attached.redraw();
    go_on(what, Client::taken_over(held.connection), None, attached, Some(place))
}

fn go_on<T: DeserializeOwned>(
    what: &str,
    mut client: Client,
    channel: Option<Channel>,
    mut attached: Attached,
    place: Option<&Path>,
) -> Result<Came<T>, Failure> {
    let failed = |error: io::Error| Failure::new(Kind::Failed, what, error);
    let of_call = |error| Failure::of_call(what, error);
    let signals = Signals::register().map_err(failed)?;
    loop {
        if let Some(reply) = client.receive_ready::<T>().map_err(of_call)? {
            attached.drain();
            return Ok(Came::Answer(reply.value));
        }
        attached.wait(&client, channel.as_ref(), &signals).map_err(failed)?;
        if let Some(channel) = &channel {
            attached.hear(channel).map_err(failed)?;
        }
        for signal in signals.take() {
            attached.on_signal(signal).map_err(failed)?;
        }
        if attached.copy() == Typed::Detach {
            attached.leave(&client, place).map_err(failed)?;
            return Ok(Came::Detached);
        }
    }
}

/// Those that have come, and a pipe that is readable then.
struct Signals {
    pipe: UnixStream,
    came: Vec<(i32, Arc<AtomicBool>)>,
}

impl Signals {
    fn register() -> io::Result<Self> {
        let (pipe, writer) = UnixStream::pair()?;
        pipe.set_nonblocking(true)?;
        let one = |signal: &i32| {
            let came = Arc::new(AtomicBool::new(false));
            // In this order: what is readable has come.
            signal_hook::flag::register(*signal, Arc::clone(&came))?;
            signal_hook::low_level::pipe::register(*signal, writer.try_clone()?)?;
            Ok((*signal, came))
        };
        let came = SIGNALS.iter().map(one).collect::<io::Result<_>>()?;
        Ok(Self { pipe, came })
    }

    fn take(&self) -> impl Iterator<Item = i32> {
        while (&self.pipe).read(&mut [0; 64]).is_ok_and(|count| count > 0) {}
        let came = self.came.iter();
        came.filter(|(_, came)| came.swap(false, Ordering::Relaxed))
            .map(|(signal, _)| *signal)
    }
}

/// What stands between the caller and the command.
struct Attached {
    /// To be sent along.
    given: Vec<OwnedFd>,
    begun: Option<Begun>,
    /// Has ended its part with the channel.
    told: bool,
    wanted: Wanted,
    input: Option<Copy>,
    outputs: Vec<Copy>,
    raw: Option<Raw>,
}

impl Attached {
    fn new(wanted: Wanted) -> io::Result<Self> {
        let mut new = Self {
            given: Vec::new(),
            begun: None,
            told: false,
            wanted,
            input: None,
            outputs: Vec::new(),
            raw: None,
        };
        if wanted.terminal {
            return Ok(new);
        }
        let (stdin, stdout, stderr) = (io::stdin(), io::stdout(), io::stderr());
        let input = match (wanted.input, stdin.is_terminal()) {
            (false, _) => File::open("/dev/null")?.into(),
            (true, false) => stdin.as_fd().try_clone_to_owned()?,
            (true, true) => {
                let (reader, writer) = io::pipe()?;
                new.input = Some(Copy::new(stdin.as_fd(), writer.as_fd(), None)?);
                reader.into()
            }
        };
        let output = new.output(stdout.as_fd(), stdout.is_terminal())?;
        let error = new.output(stderr.as_fd(), stderr.is_terminal())?;
        new.given = vec![input, output, error];
        Ok(new)
    }

    fn output(&mut self, own: BorrowedFd<'_>, is_terminal: bool) -> io::Result<OwnedFd> {
        if !is_terminal {
            return own.try_clone_to_owned();
        }
        let (reader, writer) = io::pipe()?;
        self.outputs.push(Copy::new(reader.as_fd(), own, None)?);
        Ok(writer.into())
    }

    fn wait(&self, client: &Client, channel: Option<&Channel>, signals: &Signals) -> io::Result<()> {
        let of = |fd| PollFd::new(fd, PollFlags::POLLIN);
        let mut waited = vec![of(client.as_fd()), of(signals.pipe.as_fd())];
        let channel = channel.filter(|_| !self.told);
        waited.extend(channel.map(|channel| of(channel.as_fd())));
        waited.extend(self.input.iter().chain(&self.outputs).filter_map(Copy::waits_for));
        match poll(&mut waited, PollTimeout::NONE) {
            Err(nix::Error::EINTR) => Ok(()),
            other => Ok(other.map(|_| ())?),
        }
    }

    /// The command has begun, and perhaps has a terminal.
    fn hear(&mut self, channel: &Channel) -> io::Result<()> {
        let mut ready = [PollFd::new(channel.as_fd(), PollFlags::POLLIN)];
        if self.told || poll(&mut ready, PollTimeout::ZERO)? == 0 {
            return Ok(());
        }
        self.told = true;
        channel.receive()?.map_or(Ok(()), |begun| self.begin(begun))
    }

    fn begin(&mut self, begun: Begun) -> io::Result<()> {
        let Some(terminal) = &self.begun.insert(begun).terminal else {
            return Ok(());
        };
        self.outputs
            .push(Copy::new(terminal.as_fd(), io::stdout().as_fd(), None)?);
        if self.wanted.input {
            self.raw = Some(Raw::set()?);
            self.input = Some(Copy::new(io::stdin().as_fd(), terminal.as_fd(), Some(Keys::default()))?);
        }
        resize(terminal);
        Ok(())
    }

    fn on_signal(&self, signal: i32) -> io::Result<()> {
        let Some(begun) = &self.begun else {
            // There is nobody to hand it on to.
            return match signal {
                SIGWINCH => Ok(()),
                _ => Err(io::ErrorKind::Interrupted.into()),
            };
        };
        match (&begun.terminal, Signal::from_named_raw(signal)) {
            (Some(terminal), _) if signal == SIGWINCH => resize(terminal),
            (None, _) if signal == SIGWINCH => {}
            (_, Some(signal)) => drop(pidfd_send_signal(&begun.pidfd, signal)),
            (_, None) => {}
        }
        Ok(())
    }

    fn copy(&mut self) -> Typed {
        for output in &mut self.outputs {
            output.go_on();
        }
        self.outputs.retain(|output| !output.is_over());
        let typed = self.input.as_mut().map_or(Typed::Nothing, Copy::go_on);
        if self.input.as_ref().is_some_and(Copy::is_over) {
            self.input = None;
        }
        typed
    }

    /// All that the command had still printed.
    fn drain(&mut self) {
        for output in &mut self.outputs {
            output.finish();
        }
    }

    /// What draws on all of the terminal does so again where its size is another one.
    fn redraw(&self) {
        let terminal = self.begun.as_ref().and_then(|begun| begun.terminal.as_ref());
        if let (Some(terminal), Ok(mut size)) = (terminal, tcgetwinsize(io::stdin())) {
            size.ws_row = size.ws_row.saturating_add(1);
            let _ = tcsetwinsize(terminal, size);
            resize(terminal);
        }
    }

    /// The terminal goes to somebody who keeps it, or its end would hang the command up.
    fn leave(&mut self, client: &Client, place: Option<&Path>) -> io::Result<()> {
        self.raw = None;
        self.input = None;
        self.outputs.clear();
        let Some(begun) = self.begun.take().filter(|begun| begun.terminal.is_some()) else {
            return Ok(());
        };
        let connection = client.as_fd().try_clone_to_owned()?;
        keeper::start(&Held { connection, begun }, place)
    }
}

fn resize(terminal: &OwnedFd) {
    if let Ok(size) = tcgetwinsize(io::stdin()) {
        let _ = tcsetwinsize(terminal, size);
    }
}

/// The caller's terminal hands every key on as it is; as it was before when this goes; termios(3).
struct Raw(Termios);

impl Raw {
    fn set() -> io::Result<Self> {
        let before = tcgetattr(io::stdin())?;
        let mut raw = before.clone();
        raw.make_raw();
        tcsetattr(io::stdin(), OptionalActions::Now, &raw)?;
        Ok(Self(before))
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        let _ = tcsetattr(io::stdin(), OptionalActions::Now, &self.0);
        let _ = io::stdout().flush();
    }
}
