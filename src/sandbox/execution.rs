//! The last step of a child: signals' defaults, the descriptors that are passed on, rules for files, the filter, and then
//! the program, with nothing in between that a filter could refuse.

use std::ffi::{CString, OsString};
use std::io;
use std::os::fd::BorrowedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::environment::{self, Variables};
use super::landlock;
use super::report::StepFailed;
use super::seccomp::Program;
use crate::sys::inherit;
use crate::unit::Command;

/// A program to become.
pub(super) struct Execution<'a> {
    /// Descriptors from 3 on, and their names; sd_listen_fds(3).
    pub descriptors: Vec<(BorrowedFd<'a>, Box<str>)>,
    pub command: Command,
    /// Where a program without a slash is looked for.
    pub path: Vec<PathBuf>,
    pub ignore_sigpipe: bool,
    pub filter: Option<&'a Program>,
}

impl Execution<'_> {
    /// Gives back only a failure: success is another program.
    pub(super) fn perform(&self, mut variables: Variables, files: Option<landlock::Rules>) -> Result<(), StepFailed> {
        let what = format!("exec {}", self.command.program);
        self.tell_of_descriptors(&mut variables);
        let words = environment::expand(&self.command.arguments, &variables);
        let arguments: Vec<CString> = words
            .iter()
            .filter_map(|word| CString::new(word.as_bytes()).ok())
            .collect();
        let pair = |(name, value): (&OsString, &OsString)| [name.as_bytes(), b"=", value.as_bytes()].concat();
        let variables: Vec<CString> = variables
            .iter()
            .filter_map(|entry| CString::new(pair(entry)).ok())
            .collect();
        if self.ignore_sigpipe {
            inherit::ignore_sigpipe();
        }
        inherit::close_all_at_exec().map_err(of_io("descriptors"))?;
        let mut last = libc::ENOENT;
        let programs: Vec<CString> = candidates(&self.command.program, &self.path)
            .iter()
            .filter_map(|program| CString::new(program.as_os_str().as_bytes()).ok())
            .collect();
        if let Some(files) = files {
            files.hold()?;
        }
        let descriptors: Vec<BorrowedFd<'_>> = self.descriptors.iter().map(|(fd, _)| *fd).collect();
        inherit::pass_on(&descriptors).map_err(of_io("descriptors"))?;
        if let Some(filter) = self.filter {
            filter.install().map_err(of_io("seccomp"))?;
        }
        for program in programs {
            let Err(error) = nix::unistd::execve(&program, &arguments, &variables);
            // execvp(3): what is not there, or not to be run, is looked for further on; what else is wrong is final.
            if !matches!(error, nix::errno::Errno::ENOENT | nix::errno::Errno::ENOTDIR) {
                last = error as i32;
                if error != nix::errno::Errno::EACCES {
                    break;
                }
            }
        }
        Err(StepFailed::new(what, last))
    }

    fn tell_of_descriptors(&self, variables: &mut Variables) {
        if self.descriptors.is_empty() {
            return;
        }
        let names: Vec<&str> = self.descriptors.iter().map(|(_, name)| &**name).collect();
        let pid = rustix::process::getpid().as_raw_nonzero();
        for (name, value) in [
            ("LISTEN_FDS", self.descriptors.len().to_string()),
            ("LISTEN_PID", pid.to_string()),
            ("LISTEN_FDNAMES", names.join(":")),
        ] {
            variables.insert(name.into(), value.into());
        }
    }
}

/// Where a program may be: where it says, or in each directory of the search path.
fn candidates(program: &str, path: &[PathBuf]) -> Vec<PathBuf> {
    if program.contains('/') {
        return vec![PathBuf::from(program)];
    }
    let default = || {
        environment::DEFAULT_PATH
            .split(':')
            .map(Path::new)
            .map(Path::to_owned)
            .collect()
    };
    let dirs: Vec<PathBuf> = if path.is_empty() { default() } else { path.to_vec() };
    dirs.iter().map(|dir| dir.join(program)).collect()
}

fn of_io(what: &'static str) -> impl Fn(io::Error) -> StepFailed {
    move |error| StepFailed::new(what, error.raw_os_error().unwrap_or(0))
}
