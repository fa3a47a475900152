//! The clock: the only file that reads one.
#![expect(clippy::disallowed_methods, reason = "this file is the clock")]

use std::time::{Duration, SystemTime};

use rustix::time::{ClockId, clock_gettime};

use crate::engine::Now;
use crate::engine::event::{Mono, Wall};

/// Both clocks, now.
pub fn now() -> Now {
    Now {
        mono: mono(),
        wall: wall(),
    }
}

/// CLOCK_MONOTONIC: what deadlines are on; clock_gettime(2).
pub fn mono() -> Mono {
    let time = clock_gettime(ClockId::Monotonic);
    Mono(Duration::new(
        time.tv_sec.unsigned_abs(),
        u32::try_from(time.tv_nsec).unwrap_or(0),
    ))
}

/// The wall clock, which may jump and may stand before 1970.
fn wall() -> Wall {
    let since = match SystemTime::now().duration_since(SystemTime::UNIX_EPOCH) {
        Ok(after) => i64::try_from(after.as_micros()),
        Err(before) => i64::try_from(before.duration().as_micros()).map(|micros| -micros),
    };
    Wall(since.unwrap_or(i64::MAX))
}
