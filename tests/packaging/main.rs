//! What is shipped: manual pages, static binaries, packages, and a machine that boots from them.

#![allow(clippy::disallowed_methods, reason = "tests start programs, read clocks and wait")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a panic here is a failed test"
)]

use std::io::{self, Write};
use std::path::Path;
use std::process::{Command, Output};

mod deb;
mod images;
mod linked;
mod man;

/// Says in the one form that tests/run counts that the calling test could not run here, and why. The caller returns.
fn skip(test: &str, why: &str) {
    // Written past the capture of the test runner, which keeps `println!` of a passed test to itself.
    let _ = writeln!(io::stderr(), "SKIPPED: {test}: {why}");
}

/// Runs a command that has to succeed.
#[track_caller]
fn run(command: &mut Command) -> Output {
    let done = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let (out, err) = (
        String::from_utf8_lossy(&done.stdout),
        String::from_utf8_lossy(&done.stderr),
    );
    assert!(done.status.success(), "{command:?}: {}\n{out}{err}", done.status);
    done
}

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}
