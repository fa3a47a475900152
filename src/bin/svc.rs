//! The command line: what was typed in, [`svc::cli::run`], exit status out.

use std::io;
use std::process::ExitCode;

use svc::cli::{self, Foreground, Started, UpRequest};
use svc::supervisor::{self, Config, foreground};

#[cfg(target_env = "musl")]
#[global_allocator]
static ALLOCATOR: svc::sys::allocator::Allocator = svc::sys::allocator::Allocator::empty();

fn main() -> ExitCode {
    #[cfg(target_env = "musl")]
    svc::sys::allocator::warm();
    cli::run(std::env::args_os(), &Foreground { start })
}

/// The supervisor of `svc up`, which the command line cannot name.
fn start(request: UpRequest) -> io::Result<Started> {
    let child = foreground::start(|lifeline| {
        supervisor::run(Config {
            units: Some(vec![request.units]),
            runtime_dir: request.runtime_dir,
            state_dir: request.state_dir,
            log_dir: request.log_dir,
            cgroup: request.cgroup,
            settings: None,
            start_default: false,
            tell_moves: false,
            lifeline: Some(lifeline),
            arguments: None,
        })
    })?;
    Ok(Started {
        pidfd: child.pidfd,
        lifeline: child.lifeline,
        notices: child.notices,
        restricted: child.restricted,
    })
}
