//! The built programs: where they are, and `svc` run to its end.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::machine;

/// What an `svc` command came to.
#[derive(Debug)]
pub struct Done {
    pub code: i32,
    pub out: String,
    pub err: String,
    pub took: Duration,
}

/// Runs `svc` against a socket.
pub fn svc_at(socket: &Path, arguments: &[&str]) -> Done {
    let before = Instant::now();
    let patience = (60 * machine::slowness()).to_string();
    let timeout = machine::program("timeout").expect("timeout(1) is installed");
    let done = Command::new(timeout)
        .arg(patience)
        .arg(binary("svc"))
        .arg("--socket")
        .arg(socket)
        .args(arguments)
        .env_remove("SVC_SOCKET")
        .stdin(Stdio::null())
        .output()
        .expect("start svc");
    Done {
        code: done.status.code().unwrap_or(-1),
        out: String::from_utf8_lossy(&done.stdout).into_owned(),
        err: String::from_utf8_lossy(&done.stderr).into_owned(),
        took: before.elapsed(),
    }
}

/// The built program: where cargo put it, or where a guest keeps it.
pub fn binary(name: &str) -> PathBuf {
    let built = if name == "svc" {
        env!("CARGO_BIN_EXE_svc")
    } else {
        env!("CARGO_BIN_EXE_svcd")
    };
    std::env::var_os("SVC_TEST_BIN").map_or_else(|| built.into(), |folder| Path::new(&folder).join(name))
}

/// Copies a program that is run next, by a process of its own: where this one has it open for writing, so has whoever another
/// thread forks just then, and to execute it is refused (ETXTBSY).
#[track_caller]
pub fn copy_program(from: &Path, to: &Path) {
    let copied = Command::new("cp").arg(from).arg(to).status();
    assert!(copied.is_ok_and(|status| status.success()), "cp {}", from.display());
}
