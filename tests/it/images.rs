//! `svc image`: the store, layers that break out, and what other tools make and read.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::Value;

use super::built::binary;
use super::machine::{is_root, program, skip};

mod bombs;
mod breakouts;
mod commits;
mod corpus;
mod gc;
mod held;
mod layers;
mod layout;
mod peers;
mod registry;
mod roots;
mod server;
mod store;
mod tour;

/// A directory of the test's own with a store in it, and a file beside the store that nobody may touch.
struct Images {
    dir: PathBuf,
}

const MARKER: &str = "nobody touches this";

impl Images {
    fn new() -> Self {
        static NTH: AtomicU32 = AtomicU32::new(0);
        let name = format!(
            "svc-test-images-{}-{}",
            std::process::id(),
            NTH.fetch_add(1, Ordering::Relaxed)
        );
        let base = std::env::var_os("SVC_TEST_DIR").map_or_else(std::env::temp_dir, PathBuf::from);
        let dir = base.join(name);
        fs::create_dir_all(dir.join("state")).expect("make a directory");
        fs::write(dir.join("marker"), MARKER).expect("write the marker");
        Self { dir }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    fn store(&self, below: &str) -> PathBuf {
        self.dir.join("state/images").join(below)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(binary("svc"));
        command
            .arg("image")
            .arg("--state-dir")
            .arg(self.path("state"))
            .args(arguments)
            .current_dir(&self.dir);
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().expect("start svc")
    }

    /// Runs what has to succeed, and gives what it prints.
    #[track_caller]
    fn ok(&self, arguments: &[&str]) -> String {
        text(&self.run(arguments), arguments)
    }

    /// What `inspect` says of an image.
    #[track_caller]
    fn inspect(&self, name: &str) -> Value {
        let all: Value = serde_json::from_str(&self.ok(&["inspect", name])).expect("JSON");
        all[0].clone()
    }

    /// Runs another program that has to succeed.
    #[track_caller]
    fn peer(&self, name: &str, arguments: &[&str]) -> String {
        let done = Command::new(name).args(arguments).current_dir(&self.dir).output();
        text(&done.unwrap_or_else(|error| panic!("{name}: {error}")), arguments)
    }

    /// The names of what is in a directory; none where it is not there.
    fn names(&self, folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).into_iter().flatten().flatten();
        let mut names: Vec<String> = entries
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }

    fn untouched(&self) -> bool {
        use std::os::unix::fs::PermissionsExt;
        let mode = fs::metadata(self.path("marker")).map(|met| met.permissions().mode() & 0o7777);
        fs::read_to_string(self.path("marker")).is_ok_and(|text| text == MARKER) && mode.is_ok_and(|mode| mode == 0o644)
    }
}

impl Drop for Images {
    fn drop(&mut self) {
        let left = fs::remove_dir_all(&self.dir);
        if !std::thread::panicking() {
            left.expect("remove the test's directory");
        }
    }
}

#[track_caller]
fn text(done: &Output, arguments: &[&str]) -> String {
    let said = String::from_utf8_lossy(&done.stderr).into_owned();
    assert!(done.status.success(), "{arguments:?}: {}\n{said}", done.status);
    String::from_utf8_lossy(&done.stdout).into_owned()
}

/// False, and says so, where a test cannot run.
fn can_run(test: &str, programs: &[&str]) -> bool {
    if !is_root() {
        skip(test, "layers are unpacked by root");
        return false;
    }
    match programs.iter().find(|name| program(name).is_none()) {
        Some(name) => {
            skip(test, &format!("it takes {name}(1)"));
            false
        }
        None => true,
    }
}
