//! Standard input, output and error of a command, from what its unit says of them; systemd.exec(5), "Logging and standard
//! input/output".

use std::fs::File;
use std::io::{self, Seek, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{MemfdFlags, Mode, OFlags, SealFlags};
use rustix::io::Errno;

use super::report::StepFailed;
use crate::unit::Output;

/// Where a command's three streams lead.
pub(super) struct Streams<'a> {
    /// The write end of the unit's log pipe.
    pub log: Option<BorrowedFd<'a>>,
    /// Input comes from the terminal; else there is none.
    pub from_terminal: bool,
    /// Input comes from the socket.
    pub from_socket: bool,
    /// Input is this.
    pub data: Option<[&'a [u8]; 2]>,
    /// The unit's socket, where this command gets it.
    pub socket: Option<BorrowedFd<'a>>,
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
        let writes_nothing = |output: &Output| matches!(output, Output::Null | Output::Socket);
        let null = null(writes_nothing(&self.output) || writes_nothing(&self.error))?;
        let terminal = terminal.map(AsFd::as_fd);
        let data = self.data.map(data).transpose()?;
        let input = match (self.from_terminal, self.from_socket) {
            (true, _) => terminal,
            (false, true) => self.socket,
            (false, false) => data.as_ref().map(AsFd::as_fd),
        };
        let input = input.unwrap_or(null.as_fd());
        rustix::stdio::dup2_stdin(input).map_err(failed("input"))?;
        let opened = open_file("output", &self.output)?;
        let fd = match &self.output {
            Output::File(_) | Output::Append(_) => opened.as_ref().map(AsFd::as_fd),
            Output::Null => Some(null.as_fd()),
            Output::Log => self.log,
            Output::Tty => terminal,
            Output::Socket => self.socket.or(Some(null.as_fd())),
            // What input has, where that is a terminal or a socket; else what svcd itself has.
            Output::Inherit if self.from_socket => self.socket,
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
            Output::Socket => self.socket.or(Some(null.as_fd())),
            Output::Inherit => Some(rustix::stdio::stdout()),
        };
        fd.map_or(Ok(()), rustix::stdio::dup2_stderr).map_err(failed("error"))
    }
}

/// The null device; where a list of devices leaves it out, a pipe that is at its end does for who only reads.
fn null(for_writing: bool) -> Result<OwnedFd, StepFailed> {
    match rustix::fs::open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty()) {
        Err(Errno::PERM) if !for_writing => {
            let (reader, _) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).map_err(failed("input"))?;
            Ok(reader)
        }
        opened => opened.map_err(failed("output /dev/null")),
    }
}

/// A file of these bytes, at its beginning, that nobody can change; it is the unit's memory. memfd_create(2).
fn data(parts: [&[u8]; 2]) -> Result<OwnedFd, StepFailed> {
    let make = || {
        let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
        // Kernels from 6.3 on may want to be told that it is never executed; older ones do not know the flag.
        let memfd = match rustix::fs::memfd_create("svc-input", flags | MemfdFlags::NOEXEC_SEAL) {
            Err(Errno::INVAL) => rustix::fs::memfd_create("svc-input", flags)?,
            other => other?,
        };
        let mut file = File::from(memfd);
        parts.iter().try_for_each(|part| file.write_all(part))?;
        file.rewind()?;
        let seals = SealFlags::WRITE | SealFlags::GROW | SealFlags::SHRINK | SealFlags::SEAL;
        rustix::fs::fcntl_add_seals(&file, seals)?;
        Ok(OwnedFd::from(file))
    };
    make().map_err(|error: io::Error| StepFailed::new("input", error.raw_os_error().unwrap_or(0)))
}

fn open_file(stream: &str, output: &Output) -> Result<Option<OwnedFd>, StepFailed> {
    let base = OFlags::WRONLY | OFlags::CREATE | OFlags::CLOEXEC | OFlags::NOCTTY;
    let (path, flags) = match output {
        Output::File(path) => (path, base | OFlags::TRUNC),
        Output::Append(path) => (path, base | OFlags::APPEND),
        Output::Log | Output::Null | Output::Inherit | Output::Tty | Output::Socket => return Ok(None),
    };
    let mode = Mode::from_raw_mode(0o640);
    rustix::fs::open(path, flags, mode)
        .map(Some)
        .map_err(failed(&format!("{stream} {}", path.display())))
}

fn failed(what: &str) -> impl Fn(Errno) -> StepFailed + use<> {
    let what = what.to_owned();
    move |error| StepFailed::new(what.clone(), error.raw_os_error())
}
