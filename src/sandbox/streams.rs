//! Standard input, output and error of a command, from what its unit says of them; systemd.exec(5), "Logging and standard
//! input/output".

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{Mode, OFlags};

use super::report::StepFailed;
use crate::unit::Output;

/// Where a command's three streams lead.
pub(super) struct Streams<'a> {
    /// The write end of the unit's log pipe.
    pub log: Option<BorrowedFd<'a>>,
    /// Input comes from the terminal; else there is none.
    pub from_terminal: bool,
    pub output: Output,
    pub error: Output,
}

impl Streams<'_> {
    /// Any of them is the terminal.
    pub(super) fn need_terminal(&self) -> bool {
        self.from_terminal || self.output == Output::Tty || self.error == Output::Tty
    }

    /// Sets them up. `terminal` is there where [`Self::need_terminal`] says so.
    pub(super) fn set(&self, terminal: Option<&OwnedFd>) -> Result<(), StepFailed> {
        let null = null(self.output == Output::Null || self.error == Output::Null)?;
        let terminal = terminal.map(AsFd::as_fd);
        let input = terminal.filter(|_| self.from_terminal).unwrap_or(null.as_fd());
        rustix::stdio::dup2_stdin(input).map_err(failed("input"))?;
        let opened = open_file("output", &self.output)?;
        let fd = match &self.output {
            Output::File(_) | Output::Append(_) => opened.as_ref().map(AsFd::as_fd),
            Output::Null => Some(null.as_fd()),
            Output::Log => self.log,
            Output::Tty => terminal,
            // What input has, where that is a terminal; else what svcd itself has.
            Output::Inherit => terminal.filter(|_| self.from_terminal),
        };
        fd.map_or(Ok(()), rustix::stdio::dup2_stdout)
            .map_err(failed("output"))?;
        let opened = open_file("error", &self.error)?;
        let fd = match &self.error {
            Output::File(_) | Output::Append(_) => opened.as_ref().map(AsFd::as_fd),
            Output::Null => Some(null.as_fd()),
            Output::Log => self.log,
            Output::Tty => terminal,
            Output::Inherit => Some(rustix::stdio::stdout()),
        };
        fd.map_or(Ok(()), rustix::stdio::dup2_stderr).map_err(failed("error"))
    }
}

/// The null device; where a list of devices leaves it out, a pipe that is at its end does for who only reads.
fn null(for_writing: bool) -> Result<OwnedFd, StepFailed> {
    match rustix::fs::open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty()) {
        Err(rustix::io::Errno::PERM) if !for_writing => {
            let (reader, _) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).map_err(failed("input"))?;
            Ok(reader)
        }
        opened => opened.map_err(failed("output /dev/null")),
    }
}

fn open_file(stream: &str, output: &Output) -> Result<Option<OwnedFd>, StepFailed> {
    let base = OFlags::WRONLY | OFlags::CREATE | OFlags::CLOEXEC | OFlags::NOCTTY;
    let (path, flags) = match output {
        Output::File(path) => (path, base | OFlags::TRUNC),
        Output::Append(path) => (path, base | OFlags::APPEND),
        Output::Log | Output::Null | Output::Inherit | Output::Tty => return Ok(None),
    };
    let mode = Mode::from_raw_mode(0o640);
    rustix::fs::open(path, flags, mode)
        .map(Some)
        .map_err(failed(&format!("{stream} {}", path.display())))
}

fn failed(what: &str) -> impl Fn(rustix::io::Errno) -> StepFailed + use<> {
    let what = what.to_owned();
    move |error| StepFailed::new(what.clone(), error.raw_os_error())
}
