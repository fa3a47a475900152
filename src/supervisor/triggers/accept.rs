//! `accept`: an instance of a template for each connection, which is there as long as it runs.

use std::os::fd::{AsFd, OwnedFd};

use rustix::io::Errno;
use rustix::net::{SocketFlags, accept_with};

use crate::engine::UnitId;
use crate::engine::event::{Cause, Event, Verb};
use crate::supervisor::Supervisor;
use crate::supervisor::keep::FILES;
use crate::unit::{Texts, UnitName, load};

/// Instances of one template at once, as systemd's `MaxConnections=`.
const CONNECTIONS_MAX: usize = 64;
/// Connections that are taken before others have their turn.
const CONNECTIONS_A_TURN: usize = 16;

impl Supervisor {
    /// Takes connections that came to a socket of a unit. `what` is that socket, for people. False: the machine is short of
    /// something, so that nobody can be taken for now.
    pub(super) fn accept(&mut self, unit: UnitId, listener: &OwnedFd, what: &str) -> bool {
        let Some(name) = self.engine.unit(unit).map(|unit| unit.name.clone()) else {
            return true;
        };
        for _ in 0..CONNECTIONS_A_TURN {
            let connection = match accept_with(listener.as_fd(), SocketFlags::CLOEXEC) {
                Ok(connection) => connection,
                Err(Errno::MFILE | Errno::NFILE | Errno::NOMEM | Errno::NOBUFS) => return false,
                // Nobody waits any more.
                Err(_) => return true,
            };
            if let Err(why) = self.serve_connection(&name, connection, what) {
                tracing::warn!("{name}: a connection is closed: {why}");
            }
        }
        true
    }

    fn serve_connection(&mut self, listener: &UnitName, connection: OwnedFd, what: &str) -> Result<(), String> {
        let prefix = format!("{listener}@");
        let running = self
            .files
            .passing
            .iter()
            .filter(|name| name.as_str().starts_with(&prefix));
        if running.count() >= CONNECTIONS_MAX {
            return Err(format!("{CONNECTIONS_MAX} are served already"));
        }
        let name = loop {
            self.triggers.last_connection += 1;
            let name = UnitName::new(&format!("{prefix}{}", self.triggers.last_connection))?;
            if self.engine.find(name.as_str()).is_none() {
                break name;
            }
        };
        let mut texts = Texts::new();
        let instance = load::instantiate(&self.files.path, &name, &mut texts);
        let instance = instance.map_err(|_| "its template cannot be read".to_owned())?;
        self.keep.take_texts(texts);
        self.files.instance(name.clone());
        self.files.passing.insert(name.clone());
        self.keep.touch(FILES);
        self.take_over_units(|units| units.push(instance), Cause::Files);
        let unit = self.engine.find(name.as_str()).ok_or("it went away meanwhile")?;
        self.triggers.connections.insert(unit, connection);
        self.queue.push_back(Event::Ask {
            job: None,
            unit,
            verb: Verb::Start,
            by: Cause::Connection(what.into()),
        });
        Ok(())
    }
}
