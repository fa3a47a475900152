//! A program that is prepared ahead, so that executing it allocates nothing: what a handler of a fault can still do.

use std::ffi::{CString, OsString};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::Path;
use std::sync::atomic::{AtomicU8, Ordering};

/// The longest text of [`Program::set_note`].
pub const NOTE_BYTES_MAX: usize = 120;
/// What a program needs until its own handlers stand, with a little to spare.
const BEGINNING_BYTES: usize = 1 << 20;
/// Every [`MEMORY_WAIT_MS`] for ten seconds: memory that stays away for longer stays away.
const MEMORY_TRIES: u32 = 1000;
const MEMORY_WAIT_MS: i64 = 10;

/// What is executed: a program with its arguments and its environment, to which one variable is added, the note.
#[derive(Debug)]
pub struct Program {
    /// The file itself, whatever becomes of its name.
    file: Option<OwnedFd>,
    path: CString,
    /// What the two lists of pointers point to.
    _strings: Vec<CString>,
    arguments: Vec<*const libc::c_char>,
    environment: Vec<*const libc::c_char>,
    /// `NAME=`, then the note and a NUL.
    note: Box<[AtomicU8]>,
    note_begins: usize,
}

// SAFETY: the pointers point into strings that the value owns, that never move or change, and that are only read; the
// note consists of atomics.
unsafe impl Send for Program {}
// SAFETY: as above.
unsafe impl Sync for Program {}

impl Program {
    /// With the arguments from the program's own name on, and all of the environment but the variable `note`, which is
    /// to be set.
    ///
    /// # Errors
    /// A NUL in one of them, which no program can be given.
    pub fn new(
        path: &Path,
        file: Option<OwnedFd>,
        arguments: impl IntoIterator<Item = OsString>,
        environment: impl IntoIterator<Item = (OsString, OsString)>,
        note: &str,
    ) -> io::Result<Self> {
        let arguments = strings(arguments.into_iter())?;
        let variables = environment.into_iter().filter(|(name, _)| name != note);
        let variables = strings(variables.map(|(mut name, value)| {
            name.push("=");
            name.push(value);
            name
        }))?;
        let name = format!("{note}=");
        let note = name.bytes().chain([0; NOTE_BYTES_MAX + 1]).map(AtomicU8::new).collect();
        let mut program = Self {
            file,
            path: CString::new(path.as_os_str().to_owned().into_vec())?,
            arguments: pointers(&arguments),
            environment: pointers(&variables),
            _strings: arguments.into_iter().chain(variables).collect(),
            note,
            note_begins: name.len(),
        };
        program.arguments.push(std::ptr::null());
        program.environment.push(program.note.as_ptr().cast());
        program.environment.push(std::ptr::null());
        Ok(program)
    }

    /// The file's name, for people.
    pub fn path(&self) -> std::borrow::Cow<'_, str> {
        self.path.to_string_lossy()
    }

    /// What the note says to the program; what is too long is cut. Async-signal-safe.
    pub fn set_note(&self, text: &[u8]) {
        let room = self.note.iter().skip(self.note_begins);
        let bytes = text.iter().copied().take(NOTE_BYTES_MAX).chain([0]);
        for (place, byte) in room.zip(bytes) {
            place.store(byte, Ordering::Relaxed);
        }
    }

    /// Executes the file of that name now. Returns only if that fails. execve(2); async-signal-safe.
    pub fn execute_path(&self) -> io::Error {
        await_memory();
        // SAFETY: the path is a C string; both lists end in a null pointer, and each pointer before that is to a C string
        // that lives as long as `self` (the note has a NUL after at most NOTE_BYTES_MAX bytes). The call only reads them.
        unsafe { libc::execve(self.path.as_ptr(), self.arguments.as_ptr(), self.environment.as_ptr()) };
        io::Error::last_os_error()
    }

    /// Executes the file that was open when this was prepared, or else the one of that name. Returns only if that
    /// fails. execveat(2); async-signal-safe.
    pub fn execute_file(&self) -> io::Error {
        await_memory();
        if let Some(file) = &self.file {
            let empty = c"".as_ptr();
            // SAFETY: as in `execute_path`, with an open descriptor and an empty path in the place of the path.
            unsafe {
                libc::syscall(
                    libc::SYS_execveat,
                    file.as_raw_fd(),
                    empty,
                    self.arguments.as_ptr(),
                    self.environment.as_ptr(),
                    libc::AT_EMPTY_PATH,
                )
            };
        }
        self.execute_path()
    }
}

/// Waits until the kernel has memory for a program that begins: its C library takes some before a handler can stand, and
/// is ended by SIGSEGV where it gets none. Async-signal-safe.
fn await_memory() {
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    let pause = libc::timespec {
        tv_sec: 0,
        tv_nsec: MEMORY_WAIT_MS * 1_000_000,
    };
    for _ in 0..MEMORY_TRIES {
        // SAFETY: an anonymous mapping at a place of the kernel's choice touches no memory that anybody has.
        let some = unsafe { libc::mmap(std::ptr::null_mut(), BEGINNING_BYTES, libc::PROT_READ, flags, -1, 0) };
        if some != libc::MAP_FAILED {
            // SAFETY: it was mapped just now, and nobody was told of it.
            unsafe { libc::munmap(some, BEGINNING_BYTES) };
            return;
        }
        // SAFETY: `pause` is alive until the call returns; what is left of it is not asked for.
        unsafe { libc::nanosleep(&raw const pause, std::ptr::null_mut()) };
    }
}

fn strings(texts: impl Iterator<Item = OsString>) -> io::Result<Vec<CString>> {
    texts
        .map(|text| CString::new(text.into_vec()).map_err(io::Error::from))
        .collect()
}

fn pointers(strings: &[CString]) -> Vec<*const libc::c_char> {
    strings.iter().map(|text| text.as_ptr()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::clone::{Cloned, clone3};
    use rustix::process::{WaitId, WaitIdOptions, waitid};
    use std::os::fd::AsFd;

    #[test]
    fn a_prepared_program_gets_its_arguments_environment_and_note() {
        let script = "test \"$1\" = a && test \"$KEPT\" = yes && test \"$NOTE\" = short";
        let arguments = ["sh", "-c", script, "sh", "a"].map(OsString::from);
        let environment = [("KEPT", "yes"), ("NOTE", "old")].map(|(name, value)| (name.into(), value.into()));
        let shell = std::fs::File::open("/bin/sh").unwrap();
        for (path, file) in [("/bin/sh", None), ("/nowhere", Some(shell.into()))] {
            let program = Program::new(Path::new(path), file, arguments.clone(), environment.clone(), "NOTE").unwrap();
            program.set_note(&[b'x'; 1000]);
            program.set_note(b"short");
            match clone3(0, None).unwrap() {
                Cloned::Child => {
                    program.execute_file();
                    crate::sys::child::exit(99)
                }
                Cloned::Parent { pidfd, .. } => {
                    let ended = waitid(WaitId::PidFd(pidfd.as_fd()), WaitIdOptions::EXITED).unwrap();
                    assert_eq!(ended.unwrap().exit_status(), Some(0), "{path}");
                }
            }
        }
    }

    #[test]
    fn what_cannot_be_executed_is_an_error() {
        let program = Program::new(Path::new("/nowhere"), None, ["x".into()], [], "NOTE").unwrap();
        assert_eq!(program.execute_file().raw_os_error(), Some(libc::ENOENT));
    }
}
