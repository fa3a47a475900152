//! Who is at the other end of a control socket, and what they may do.

use crate::engine::event::Cause;

/// Who calls, as the kernel says; unix(7), SO_PEERCRED.
#[derive(Clone, Debug)]
pub struct Peer {
    /// The user.
    pub uid: u32,
    /// The process, for people.
    pub pid: u32,
    /// The name of its program, for people.
    pub program: Box<str>,
}

impl Peer {
    /// What the engine's history keeps.
    pub fn cause(&self) -> Cause {
        Cause::Operator {
            uid: self.uid,
            pid: self.pid,
            program: self.program.clone(),
        }
    }

    /// Root, and whoever svcd itself runs as, may do all; others may read.
    pub fn may_change(&self) -> bool {
        self.uid == 0 || self.uid == rustix::process::geteuid().as_raw()
    }
}
