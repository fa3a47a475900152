//! How a service is ended.

use serde::Serialize;

use super::Signal;

/// How a service is ended; systemd.kill(5).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Kill {
    /// First.
    #[serde(rename = "kill-signal")]
    pub signal: Signal,
    /// Who gets it.
    #[serde(rename = "kill-mode")]
    pub mode: KillMode,
    /// After `timeout-stop`, `final_signal` follows.
    pub send_sigkill: bool,
    /// SIGHUP right after the first signal.
    pub send_sighup: bool,
    /// SIGKILL unless the unit says otherwise.
    #[serde(rename = "final-kill-signal")]
    pub final_signal: Signal,
    /// In place of `signal` when it is a restart.
    #[serde(rename = "restart-kill-signal")]
    pub restart_signal: Option<Signal>,
}

/// The scope of a kill.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum KillMode {
    /// Everyone, both signals.
    ControlGroup,
    /// The first to the main process, the final one to everyone.
    Mixed,
    /// Both to the main process alone.
    Process,
    /// Nobody; only the stop commands run.
    None,
}
