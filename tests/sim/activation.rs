//! What starts a service beside a wish, and what it says of itself: triggers, readiness, probes.

use std::time::Duration;

use svc::unit::{Command, OnUnhealthy, Service, ServiceType, Socket, Timer, WatchedPath};

use crate::scenario::{RELOAD_SIGNAL, Random};

#[derive(Clone, Debug, Default)]
pub struct Activation {
    pub says: Option<Says>,
    pub triggers: Vec<Trigger>,
    pub probes: Option<Probes>,
}

/// What a service says itself; sd_notify(3).
#[derive(Clone, Copy, Debug)]
pub enum Says {
    Ready,
    /// And when a reload begins and ends.
    Reloads,
    /// That it is ready, and never that it is alive, which it should within so many microseconds.
    Alive(u64),
}

#[derive(Clone, Copy, Debug)]
pub enum Trigger {
    Timer,
    Path,
    LazySocket,
    /// It starts nothing, and has to be there first.
    Socket,
}

/// Microseconds, a count, and what follows.
#[derive(Clone, Copy, Debug)]
pub struct Probes {
    pub interval: u64,
    pub timeout: u64,
    pub retries: u32,
    pub start_period: u64,
    pub then: OnUnhealthy,
}

const SECOND: u64 = 1_000_000;

impl Activation {
    /// Most have none of it.
    pub fn of(random: &mut Random, oneshot: bool) -> Self {
        let all = [Trigger::Timer, Trigger::Path, Trigger::LazySocket, Trigger::Socket];
        let says = match random.below(100) {
            0..8 => Some(Says::Ready),
            8..14 => Some(Says::Reloads),
            14..17 => Some(Says::Alive(random.time(20 * SECOND))),
            _ => None,
        };
        let probes = Probes {
            interval: 60 * SECOND + random.time(600 * SECOND),
            timeout: random.time(SECOND),
            retries: 1 + random.below(3) as u32,
            start_period: random.time(10 * SECOND),
            then: random.pick(&[OnUnhealthy::Restart, OnUnhealthy::Stop, OnUnhealthy::None]),
        };
        let triggers = if random.percent(15) { 1 + random.index(2) } else { 0 };
        Self {
            says: says.filter(|_| !oneshot),
            triggers: (0..triggers).map(|_| random.pick(&all)).collect(),
            probes: (random.percent(12) && !oneshot).then_some(probes),
        }
    }

    pub fn put(&self, service: &mut Service) {
        match self.says {
            Some(Says::Ready) => service.r#type = ServiceType::Notify,
            Some(Says::Alive(within)) => {
                service.r#type = ServiceType::Notify;
                service.watchdog = Duration::from_micros(within);
            }
            Some(Says::Reloads) => {
                service.r#type = ServiceType::NotifyReload;
                service.reload_signal = Some(RELOAD_SIGNAL);
            }
            None => {}
        }
        for trigger in &self.triggers {
            match trigger {
                Trigger::Timer => service.timers.push(hourly()),
                Trigger::Path => service.paths.push(WatchedPath {
                    exists: Some("/x".into()),
                    ..WatchedPath::default()
                }),
                Trigger::LazySocket => service.sockets.push(socket(true)),
                Trigger::Socket => service.sockets.push(socket(false)),
            }
        }
        if let Some(probes) = self.probes {
            service.health.exec = vec![Command::default()];
            service.health.interval = Duration::from_micros(probes.interval);
            service.health.timeout = Duration::from_micros(probes.timeout);
            service.health.retries = probes.retries;
            service.health.start_period = Duration::from_micros(probes.start_period);
            service.health.on_unhealthy = probes.then;
        }
    }
}

fn hourly() -> Timer {
    Timer {
        every: Some(Duration::from_secs(3600)),
        ..Timer::default()
    }
}

fn socket(lazy: bool) -> Socket {
    Socket {
        listen_stream: None,
        listen_datagram: None,
        listen_sequential_packet: None,
        listen_fifo: Some("/x".into()),
        name: None,
        lazy,
        accept: false,
        mode: 0o600,
        user: None,
        group: None,
        backlog: 1,
    }
}
