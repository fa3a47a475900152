//! Starting a supervisor, and starting another after it was killed.

use std::fs::{self, File};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use super::super::built::copy_program;
use super::super::machine::eventually;
use super::{Plan, Svcd};

impl Plan {
    /// Starts a copy of svcd of the test's own, to be found at [`Svcd::program`].
    pub fn with_own_program(mut self) -> Self {
        let own = self.dir.join("svcd");
        copy_program(&self.program, &own);
        self.program = own;
        self
    }

    /// Starts svcd and waits until it answers.
    pub fn start(self) -> Svcd {
        let mut svcd = self.start_without_waiting();
        svcd.wait_until_it_answers();
        svcd
    }

    /// Starts svcd, which may have ended by itself when this returns.
    pub fn start_without_waiting(self) -> Svcd {
        let child = self.launch();
        Svcd { plan: self, child }
    }

    fn launch(&self) -> Child {
        let said = File::options()
            .create(true)
            .append(true)
            .open(self.dir.join("svcd.err"));
        let said = said.expect("make a file");
        let mut line = self.wrapper.clone();
        line.push(self.program.display().to_string());
        for (flag, folder) in [
            ("--units", "units"),
            ("--runtime-dir", "run"),
            ("--state-dir", "state"),
            ("--log-dir", "log"),
        ] {
            line.extend([flag.to_owned(), self.dir.join(folder).display().to_string()]);
        }
        line.extend(["--cgroup".to_owned(), self.name.clone()]);
        line.extend(self.arguments.clone());
        Command::new(&line[0])
            .args(&line[1..])
            .stdin(Stdio::null())
            .stdout(said.try_clone().expect("share a file"))
            .stderr(said)
            .spawn()
            .expect("start svcd")
    }
}

/// With or without a supervisor, what the test has written goes.
impl Drop for Plan {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.dir);
    }
}

impl Svcd {
    /// The file that it was started from.
    pub fn program(&self) -> PathBuf {
        self.plan.program.clone()
    }

    /// `kill -9`: its services go on without it.
    pub fn kill(&mut self) {
        self.child.kill().expect("kill svcd");
        self.wait_until_it_is_gone();
    }

    /// Waits for a svcd that ends by itself, or that somebody else kills.
    pub fn wait_until_it_is_gone(&mut self) {
        eventually("svcd ends", || self.child.try_wait().is_ok_and(|ended| ended.is_some()));
    }

    pub fn is_gone(&mut self) -> bool {
        self.child.try_wait().is_ok_and(|ended| ended.is_some())
    }

    /// Starts another one in the place of one that is gone, and waits until it answers.
    pub fn start_again(&mut self) {
        self.child = self.plan.launch();
        self.wait_until_it_answers();
    }

    /// Likewise, where it is gone; else it answers. One that is killed hangs up before it is gone.
    pub fn start_again_if_gone(&mut self) {
        eventually("it is gone or answers", || {
            self.is_gone() || self.svc(&["list"]).code == 0
        });
        if self.is_gone() {
            self.start_again();
        }
    }

    fn wait_until_it_answers(&mut self) {
        eventually("svcd answers", || {
            let ended = self.child.try_wait().expect("look at svcd");
            assert!(ended.is_none(), "svcd ended at once: {ended:?}: {}", self.said());
            UnixStream::connect(self.socket()).is_ok()
        });
    }
}
