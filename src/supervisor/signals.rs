//! Signals to svcd, turned into bytes that the loop can wait for; signal(7).
//!
//! A byte means "look", not "count": signals of one kind that come together are one.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::{Errno, read};
use signal_hook::consts::{SIGCHLD, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGWINCH};

use crate::control::Power;
use crate::init::Role;
use crate::unit::Signal;

/// One kind of signal and the end of the pipe that its handler writes to.
#[derive(Debug)]
pub struct SignalPipe {
    /// Which.
    pub kind: SignalKind,
    pipe: OwnedFd,
}

/// What svcd listens to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignalKind {
    /// SIGCHLD: somebody has ended, an orphan perhaps.
    Child,
    /// SIGHUP: read the unit files again.
    Reload,
    /// Go on as the program that is on disk now.
    Reexec,
    /// Stop everything, then end; a machine so.
    Stop(&'static str, Option<Power>),
    /// For the main unit of a container.
    Forward(Signal),
}

/// The first real-time signal as people and container managers count them; a C library may keep more for itself, but
/// none that is listened to here.
const SIGRTMIN: i32 = 34;

/// Which signals mean what to whom. To a machine's init SIGINT is Ctrl-Alt-Del and SIGPWR a power failure; SIGUSR1,
/// SIGUSR2 and SIGTERM are what busybox's halt, poweroff and reboot send; the real-time ones are those of systemd(1), which
/// container managers send too.
fn meanings(role: Role) -> Vec<(i32, SignalKind)> {
    use SignalKind::{Child, Forward, Reexec, Reload, Stop};
    let mut all = vec![(SIGCHLD, Child), (SIGHUP, Reload), (SIGRTMIN + 25, Reexec)];
    match role {
        Role::Machine => all.extend([
            (SIGINT, Stop("SIGINT", Some(Power::Reboot))),
            (SIGTERM, Stop("SIGTERM", Some(Power::Reboot))),
            (SIGUSR1, Stop("SIGUSR1", Some(Power::Halt))),
            (SIGUSR2, Stop("SIGUSR2", Some(Power::Off))),
        ]),
        Role::Container | Role::Plain => {
            all.extend([(SIGINT, Stop("SIGINT", None)), (SIGTERM, Stop("SIGTERM", None))]);
        }
    }
    if role != Role::Plain {
        all.extend([
            (libc::SIGPWR, Stop("SIGPWR", Some(Power::Off))),
            (SIGRTMIN + 3, Stop("SIGRTMIN+3", Some(Power::Halt))),
            (SIGRTMIN + 4, Stop("SIGRTMIN+4", Some(Power::Off))),
            (SIGRTMIN + 5, Stop("SIGRTMIN+5", Some(Power::Reboot))),
        ]);
    }
    if role == Role::Container {
        let passed = [SIGUSR1, SIGUSR2, SIGWINCH, SIGQUIT].into_iter();
        all.extend(passed.filter_map(|signal| Some((signal, Forward(Signal(u8::try_from(signal).ok()?))))));
    }
    all
}

/// Takes over the signals that svcd acts on. Those that a predecessor held back over its exec come now.
///
/// # Errors
/// Where a pipe cannot be made or a handler not set.
pub fn listen(role: Role) -> io::Result<Vec<SignalPipe>> {
    let listened = |(signal, kind)| {
        let (pipe, handlers_end) =
            rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC | rustix::pipe::PipeFlags::NONBLOCK)?;
        signal_hook::low_level::pipe::register(signal, handlers_end)?;
        Ok(SignalPipe { kind, pipe })
    };
    let pipes = meanings(role).into_iter().map(listened).collect::<io::Result<_>>()?;
    nix::sys::signal::SigSet::empty().thread_set_mask()?;
    Ok(pipes)
}

impl SignalPipe {
    /// Takes what is in the pipe; true if there was anything.
    pub fn drain(&self) -> bool {
        let mut bytes = [0_u8; 256];
        let mut any = false;
        loop {
            match read(&self.pipe, &mut bytes) {
                Ok(0) => return any,
                Ok(_) => any = true,
                Err(Errno::INTR) => {}
                Err(_) => return any,
            }
        }
    }
}

impl AsFd for SignalPipe {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.pipe.as_fd()
    }
}
