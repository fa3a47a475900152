//! `join:UNIT`: the process of another unit that stands for its namespaces.

use std::os::fd::AsFd;

use super::Supervisor;
use super::lives::Life;
use super::spawn::unenforceable;
use crate::engine::event::SpawnFailure;
use crate::sandbox::Joined;
use crate::unit::Unenforceable;

impl Supervisor {
    /// What a run shares with other units, for whoever makes its namespaces. Nothing once they are held: who joins later
    /// enters those.
    pub(super) fn joined_of(&self, life: &Life) -> Result<Vec<Joined<'_>>, SpawnFailure> {
        if life.holder.is_some() {
            return Ok(Vec::new());
        }
        let joins = life.sandbox.joins();
        let joined = joins.iter().map(|join| {
            let other = self.engine.find(join.unit.as_str()).and_then(|id| self.lives.get(&id));
            let process = other.and_then(|life| {
                let holder = life.holder.as_ref().filter(|holder| holder.report.is_none());
                holder.or_else(|| life.main())
            });
            let process = process.ok_or_else(|| {
                unenforceable(Unenforceable {
                    key: join.key.into(),
                    cause: format!("{} has no process whose namespace could be joined", join.unit).into(),
                    errno: 0,
                })
            })?;
            Ok(join.of(process.pidfd.as_fd()))
        });
        joined.collect()
    }
}
