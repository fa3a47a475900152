//! Build script: compiles the reaper with the same compiler, in one plain call, for the sandbox to carry.
#![expect(clippy::disallowed_methods, reason = "a build script runs the compiler")]

use std::env;
use std::path::PathBuf;
use std::process::{Command, ExitCode};

const SOURCE: &str = "src/reaper/main.rs";

fn main() -> ExitCode {
    println!("cargo:rerun-if-changed={SOURCE}");
    println!("cargo:rerun-if-changed=src/reaper/build.rs");
    let (Some(rustc), Ok(target), Ok(host), Some(out)) = (
        env::var_os("RUSTC"),
        env::var("TARGET"),
        env::var("HOST"),
        env::var_os("OUT_DIR"),
    ) else {
        eprintln!("reaper: not run by cargo");
        return ExitCode::FAILURE;
    };
    // It uses no libc, so of one architecture the host's own target does, whatever libc svcd is built for.
    let architecture = |target: &str| target.split('-').next().map(str::to_owned);
    let target = if architecture(&target) == architecture(&host) {
        host
    } else {
        target
    };
    let program = PathBuf::from(out).join("reaper");
    let status = Command::new(rustc)
        .args([
            SOURCE,
            "--crate-name",
            "reaper",
            "--edition",
            "2024",
            "--crate-type",
            "bin",
            "-o",
        ])
        .arg(&program)
        .arg("--target")
        .arg(target)
        .args([
            "-Copt-level=s",
            "-Cpanic=abort",
            "-Cstrip=symbols",
            "-Crelocation-model=static",
        ])
        .args(["-Clinker=cc", "-Cdefault-linker-libraries=no"])
        .args([
            "-Clink-arg=-nostartfiles",
            "-Clink-arg=-nostdlib",
            "-Clink-arg=-static",
            "-Clink-arg=-no-pie",
        ])
        .args(["-Clink-arg=-Wl,--build-id=none", "-Clink-arg=-Wl,-z,noexecstack"])
        .status();
    match status {
        Ok(status) if status.success() => ExitCode::SUCCESS,
        Ok(status) => {
            eprintln!("reaper: rustc: {status}");
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("reaper: rustc: {error}");
            ExitCode::FAILURE
        }
    }
}
