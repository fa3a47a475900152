//! One log process at a time: two that drain one pipe would write its lines twice.
//!
//! The one whose turn it is holds a lock on svcd's lock file, for as long as it lives. So one that outlived its svcd is
//! found by whoever comes next.

use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::sys::lock;

/// The byte that is locked; svcd itself locks another.
const BYTE: i64 = 1;

/// How often one that waits looks again. It does so only while the one before it is dying.
const PAUSE_MS: u16 = 5;

/// What holds the turn.
#[derive(Debug)]
pub struct Turn {
    _lock: Option<File>,
}

/// Waits until no other log process has the turn, and takes it. None: svcd, at the other end of the socket, is gone
/// before that. Where there are no locks to be had nobody waits.
pub fn pass(path: &Path, svcd: BorrowedFd<'_>) -> Option<Turn> {
    let opened = File::options().read(true).write(true).open(path);
    let Ok(file) = opened else {
        return Some(Turn { _lock: None });
    };
    loop {
        match lock::take(&file, BYTE) {
            Ok(true) => return Some(Turn { _lock: Some(file) }),
            Ok(false) => {}
            Err(_) => return Some(Turn { _lock: None }),
        }
        let mut waited = [PollFd::new(svcd, PollFlags::empty())];
        if poll(&mut waited, PollTimeout::from(PAUSE_MS)).is_ok_and(|ended| ended > 0) {
            return None;
        }
    }
}

/// The number of the log process that has the turn.
pub fn holder(lock_file: impl AsFd) -> Option<i32> {
    lock::holder(lock_file, BYTE).ok().flatten().filter(|pid| *pid > 0)
}
