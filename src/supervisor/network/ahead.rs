//! Network namespaces that are ready before a service needs them. A start that finds none makes its own.
//!
//! While the kernel makes one, whoever takes mounts away waits (synchronize_rcu(), for which each processor has to be out of
//! what it does in the kernel), and so the very service that had use for the last one: the next is made when it has begun.

use std::io::ErrorKind;
use std::os::fd::OwnedFd;
use std::time::Duration;

use crate::engine::UnitId;
use crate::engine::event::{Mono, Role};
use crate::sandbox::NetworkMaker;
use crate::supervisor::Supervisor;
use crate::supervisor::clock;
use crate::supervisor::poll::{Source, Token, Who};

/// As many are kept. An idle one is some memory of the kernel's.
const READY: usize = 2;
/// By then it has.
const PAUSE: Duration = Duration::from_millis(10);

/// Those that are ready, and who makes more. Nobody does before the first service that has use for one.
#[derive(Debug, Default)]
pub struct Ahead {
    ready: Vec<OwnedFd>,
    asked: usize,
    maker: Option<(NetworkMaker, Token)>,
    /// There was use for one: when more are asked for.
    due: Option<Mono>,
}

impl Ahead {
    /// When more are asked for.
    pub fn deadline(&self) -> Option<Mono> {
        self.due
    }
}

impl Supervisor {
    /// One for a process that makes its run's namespaces, if one is ready.
    pub(in crate::supervisor) fn network_ahead(&mut self, unit: UnitId, who: Who) -> Option<OwnedFd> {
        let sandbox = &self.lives.get(&unit)?.sandbox;
        let makes_them = match who {
            Who::Holder => true,
            Who::Command(role) => role != Role::Probe && !sandbox.needs_holder(),
            Who::Session(_) | Who::Sweeper | Who::Proxy => false,
        };
        if !makes_them || !sandbox.may_have_network_ahead() {
            return None;
        }
        let ahead = &mut self.networks.ahead;
        ahead.due.get_or_insert(Mono(clock::mono().0 + PAUSE));
        ahead.ready.pop()
    }

    /// Asks for as many as should be ready.
    pub(in crate::supervisor) fn order_networks(&mut self) {
        let ahead = &mut self.networks.ahead;
        ahead.due = None;
        if ahead.maker.is_none() {
            let started = NetworkMaker::start().and_then(|maker| {
                let token = self.poll.add(&maker, Source::NetworksAhead)?;
                Ok((maker, token))
            });
            match started {
                Ok(started) => ahead.maker = Some(started),
                Err(error) => tracing::debug!("network namespaces ahead: {error}"),
            }
        }
        let Some((maker, _)) = &ahead.maker else { return };
        while ahead.ready.len() + ahead.asked < READY && maker.ask().is_ok() {
            ahead.asked += 1;
        }
    }

    /// The maker has made one, or has ended: then the next that is wanted starts another.
    pub(in crate::supervisor) fn on_networks_ahead(&mut self) {
        let ahead = &mut self.networks.ahead;
        let Some((maker, token)) = ahead.maker.take() else {
            return;
        };
        match maker.take() {
            Ok(made) => {
                ahead.asked = ahead.asked.saturating_sub(1);
                ahead.ready.extend(made);
                ahead.maker = Some((maker, token));
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => ahead.maker = Some((maker, token)),
            Err(error) => {
                tracing::debug!("network namespaces ahead: {error}");
                self.poll.remove(&maker, token);
                ahead.asked = 0;
            }
        }
    }
}
