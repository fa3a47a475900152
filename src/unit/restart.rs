//! `[restart]`: after which ends a service is started again, and how often.

use std::time::Duration;

use serde::Serialize;

use super::ExitMatch;
use super::value;

/// `[restart]`.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Restart {
    /// After which ends it is started again.
    pub policy: RestartPolicy,
    /// The first delay; it doubles with jitter …
    #[serde(serialize_with = "value::serialize_duration")]
    pub delay: Duration,
    /// … up to this.
    #[serde(serialize_with = "value::serialize_duration")]
    pub max_delay: Duration,
    /// Up this long, and the delay starts again from `delay`.
    #[serde(serialize_with = "value::serialize_duration")]
    pub stable_after: Duration,
    /// None: it never gives up.
    pub give_up: Option<GiveUp>,
    /// Ends that are never followed by a restart.
    pub prevent_exit_status: Vec<ExitMatch>,
    /// Ends that always are.
    pub force_exit_status: Vec<ExitMatch>,
}

/// A restart budget: this many starts within this time, and it has failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct GiveUp {
    /// At least 1.
    pub starts: u32,
    /// The sliding window.
    #[serde(serialize_with = "value::serialize_duration")]
    pub within: Duration,
}

/// systemd.service(5), `Restart=`, the table "Exit causes and the effect of the Restart= settings".
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs)]
pub enum RestartPolicy {
    No,
    OnSuccess,
    OnFailure,
    OnAbnormal,
    OnWatchdog,
    Always,
}
