//! The supervisor: flags in, [`svc::supervisor::run`], exit status out.

use std::process::ExitCode;

use svc::supervisor::{self, Config, flags, flags::Asked};

#[cfg(target_env = "musl")]
#[global_allocator]
static ALLOCATOR: svc::sys::allocator::Allocator = svc::sys::allocator::Allocator::empty();

fn main() -> ExitCode {
    match flags::parse(std::env::args_os().skip(1)) {
        Ok(Asked::Run(config)) => match supervisor::run(Config {
            arguments: Some(std::env::args_os().collect()),
            ..*config
        }) {
            Ok(status) => ExitCode::from(status),
            Err(why) => {
                eprintln!("svcd: {why}");
                ExitCode::FAILURE
            }
        },
        Ok(Asked::Print(text)) => {
            print!("{text}");
            ExitCode::SUCCESS
        }
        Err(why) => {
            eprintln!("svcd: {why}\nhint: svcd --help");
            ExitCode::from(2)
        }
    }
}
