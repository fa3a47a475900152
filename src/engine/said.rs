//! What a run has said of itself, in [`Slot`].

use std::time::Duration;

use super::slot::{Slot, State};
use crate::unit::ServiceType;

/// What a run has said of itself, and what follows from that; sd_notify(3).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Said {
    /// One line for people.
    pub status: Box<str>,
    /// Its watchdog's time, in place of what the unit says; zero: none.
    pub watchdog: Option<Duration>,
    /// Of a reload that it says the end of.
    pub reload: ReloadStage,
    /// Its first process has ended as it should, and whoever is the main one now is looked for.
    pub forked: bool,
}

/// How far a reload is of which the service says when it ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ReloadStage {
    /// There is none.
    #[default]
    None,
    /// The signal is sent.
    Asked,
    /// It has said `RELOADING=1`.
    Begun,
}

impl Slot {
    /// How long it may be silent.
    pub fn watchdog(&self) -> Option<Duration> {
        let of_unit = self.service().map(|service| service.watchdog);
        self.said.watchdog.or(of_unit).filter(|limit| !limit.is_zero())
    }

    /// It is up as long as any process of it is, since which one is the main one is not known.
    pub fn lives_by_its_group(&self) -> bool {
        let forks = self
            .service()
            .is_some_and(|service| service.r#type == ServiceType::Forking);
        forks && matches!(self.state, State::Running { main_alive: false, .. })
    }
}
