//! `svc reexec`, SIGRTMIN+25: svcd goes on as the program that is on disk now, with its process number, its children, its
//! descriptors and its clients.
//!
//! All that can fail is done before the execve(2), and undone where something does: then the old svcd goes on.

use std::io;
use std::os::fd::{AsFd, AsRawFd};

use nix::sys::signal::SigSet;

use super::Supervisor;
use super::crash::{self, Mode};
use super::settings::Settings;
use crate::control::reply::{Failure, Told, reply};
use crate::control::returns;
use crate::sys;

impl Supervisor {
    /// Executes the program, if somebody has asked for that. Comes back only if it cannot be, and tells who asked.
    pub(super) fn reexec_if_asked(&mut self) {
        // Who moves processes is soon done, and tells nobody else.
        if !self.reexec_asked || !self.requests.movers.are_done() {
            return;
        }
        self.reexec_asked = false;
        let error = self.reexec();
        tracing::error!("reexec: {error}; going on as before");
        self.answer_reexec(Err(error));
    }

    fn reexec(&mut self) -> String {
        let Some(program) = crash::program() else {
            return "this supervisor is part of another program".to_owned();
        };
        // With settings that are wrong it would go on without any.
        if let Some(Err(why)) = self.config.settings.as_deref().map(Settings::read) {
            return why;
        }
        let snapshot = match self.snapshot() {
            Ok(snapshot) => snapshot,
            Err(error) => return format!("save the state: {error}"),
        };
        let record = snapshot.as_fd().as_raw_fd();
        crash::remember(record);
        crash::note(program, Mode::Asked, record);
        crash::hold_signals();
        let error = match sys::inherit::keep_all_at_exec(crash::highest()) {
            Ok(()) => program.execute_path(),
            Err(error) => error,
        };
        let closed = sys::inherit::close_all_at_exec();
        let undone = SigSet::empty().thread_set_mask().map_err(io::Error::from);
        match closed.and(undone) {
            Ok(()) => format!("execute {}: {error}", program.path()),
            Err(also) => format!("execute {}: {error}; and to undo that: {also}", program.path()),
        }
    }

    /// Tells those who asked for it, once it is over: the version before, or why it could not be.
    pub(super) fn answer_reexec(&mut self, outcome: Result<String, String>) {
        let bytes = match outcome {
            Ok(before) => reply(
                &returns::Reexecuted {
                    before,
                    after: env!("CARGO_PKG_VERSION").to_owned(),
                    pid: std::process::id(),
                },
                false,
            ),
            Err(why) => Failure::Failed(Told {
                what: "reexec".to_owned(),
                why,
                hint: Some("svcd goes on as it was".to_owned()),
            })
            .reply(),
        };
        for client in self.requests.take_reexecs() {
            self.clients.send(client, &bytes, &mut self.poll);
            self.clients.finish(client, &mut self.poll);
            self.serve(client);
        }
    }
}
