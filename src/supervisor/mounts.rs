//! [`Action::Spawn`](crate::engine::Action::Spawn) of a `[mount]` unit: a child mounts, or unmounts.

use std::rc::Rc;

use super::Supervisor;
use super::lives::Life;
use super::poll::Who;
use super::spawn::{from_io, unenforceable};
use crate::engine::RunId;
use crate::engine::event::{Role, SpawnFailure};
use crate::init::mount_unit;
use crate::sandbox::{self, StepFailed};
use crate::unit::{Mount, Unit};

impl Supervisor {
    pub(super) fn spawn_mount(
        &mut self,
        run: RunId,
        role: Role,
        unit: &Rc<Unit>,
        mount: &Mount,
    ) -> Result<(), SpawnFailure> {
        let current = self.lives.get(&run.unit).is_some_and(|life| life.run == run);
        if !current {
            let sandbox = self.sandboxes.decide(&mount.service, &self.kernel);
            let sandbox = sandbox.map_err(unenforceable)?;
            // Without a cgroup: what works for it is a child of svcd's own.
            let life = Life::new(run, Rc::clone(unit), None, sandbox);
            self.lives.insert(run.unit, life);
        }
        let child = sandbox::start_job(|| perform(role, mount)).map_err(|error| from_io("clone", &error))?;
        self.watch_process(run.unit, Who::Command(role), child)
    }
}

fn perform(role: Role, mount: &Mount) -> Result<(), StepFailed> {
    let (word, done) = if matches!(role, Role::Stop(_)) {
        ("unmount", mount_unit::down(&mount.place))
    } else {
        let options: Vec<&str> = mount.options.iter().map(|option| &**option).collect();
        let done = mount_unit::up(&mount.what, &mount.place, mount.r#type.as_deref(), &options);
        ("mount", done)
    };
    let step = format!("{word} {}", mount.place.display());
    done.map_err(|failed| StepFailed::new(step, failed.errno).because(failed.detail))
}
