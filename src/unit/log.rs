//! `[log]`: what is kept of a unit's output.

use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;

use super::value::{self, Size};

/// `[log]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Log {
    /// Of all that is kept of this unit.
    pub max_size: Size,
    /// None: no limit.
    pub rate_limit: Option<RateLimit>,
    /// Where else lines go.
    pub forward: Vec<Forward>,
}

/// At most this many lines in each stretch of time; what is dropped is counted and said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs)]
pub struct RateLimit {
    pub lines: u64,
    #[serde(serialize_with = "value::serialize_duration")]
    pub per: Duration,
}

/// Where lines go besides the unit's log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Forward {
    /// /dev/console.
    Console,
    /// /dev/kmsg.
    Kmsg,
    /// A datagram socket that speaks RFC 3164, such as /dev/log.
    Syslog(PathBuf),
}
