//! When a service counts as ready, and whose word is taken for it.

use serde::Serialize;

use super::Service;

/// When a service counts as ready; systemd.service(5), `Type=`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ServiceType {
    /// Once its main command has executed.
    Exec,
    /// Once it has said so; sd_notify(3).
    Notify,
    /// Likewise; and it says when a reload, which a signal asks for, has ended.
    NotifyReload,
    /// Once its first process has ended and left another behind, which is the main one from then on.
    Forking,
    /// Once its last command has ended with success.
    Oneshot,
}

impl Service {
    /// It can be asked to take new settings over.
    pub fn reloads(&self) -> bool {
        let by_signal = self.r#type == ServiceType::NotifyReload || self.reload_signal.is_some();
        by_signal || !self.exec_reload.is_empty()
    }
}

impl ServiceType {
    /// What each is called.
    pub const WORDS: [(&str, Self); 5] = [
        ("exec", Self::Exec),
        ("notify", Self::Notify),
        ("notify-reload", Self::NotifyReload),
        ("oneshot", Self::Oneshot),
        ("forking", Self::Forking),
    ];

    /// It is ready when it says so.
    pub fn says_ready(self) -> bool {
        matches!(self, Self::Notify | Self::NotifyReload)
    }
}

/// Whose notifications are taken; systemd.service(5), `NotifyAccess=`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum NotifyAccess {
    /// Nobody's: there is no socket.
    None,
    /// The main process's.
    Main,
    /// Those of the processes that svcd has started.
    Exec,
    /// Those of every process of the unit.
    All,
}

impl NotifyAccess {
    /// What each is called.
    pub const WORDS: [(&str, Self); 4] = [
        ("none", Self::None),
        ("main", Self::Main),
        ("exec", Self::Exec),
        ("all", Self::All),
    ];
}
