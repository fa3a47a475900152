//! `[log]`: what is kept of a unit's output.

use super::*;

#[rustfmt::skip]
pub static LOG: &[Key] = &[
    key("log", "max-size", Size, Live,
        "How much is kept of this unit's output in all; the oldest goes first."),
    key("log", "rate-limit", RateLimit, Live,
        "At most so many lines in each stretch of time, such as { lines = 10000, per = \"1s\" }; what is dropped is \
         counted and told."),
    key("log", "forward", Forward, Live,
        "Where lines go besides: `console`, `kmsg`, or `syslog:` and a socket such as /dev/log."),
];
