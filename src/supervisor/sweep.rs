//! What is given to a service in the file system: where, and how it is taken away after a run, by a child, since there may
//! be very much in it.

use std::path::Path;
use std::rc::Rc;

use super::poll::Who;
use super::{Config, Supervisor};
use crate::engine::UnitId;
use crate::sandbox::{self, Roots};
use crate::unit::Kind;
use crate::unit::directories::Preserve;

/// systemd's places where svcd's own directories are the default ones, else below those: so that any number of
/// supervisors run side by side.
pub fn roots(config: &Config) -> Roots {
    let default = Config::default();
    let of = |its: &Path, default: &Path, root: &str, else_below: &str| match its == default {
        true => root.into(),
        false => its.join(else_below),
    };
    // Sockets have short names, so the runtime directory is as it was given; a child looks it up from the root of what it sees.
    let own = std::path::absolute(&config.runtime_dir).unwrap_or_else(|_| config.runtime_dir.clone());
    Roots {
        runtime: of(&own, &default.runtime_dir, "/run", "directories"),
        state: of(&config.state_dir, &default.state_dir, "/var/lib", "directories/state"),
        cache: of(&config.state_dir, &default.state_dir, "/var/cache", "directories/cache"),
        // No unit has such a name.
        logs: of(&config.log_dir, &default.log_dir, "/var/log", ".directories"),
        own,
        uppers: config.state_dir.join("roots"),
    }
}

/// The mode of the state directory: where services have theirs below it, they pass through it.
pub fn state_mode(config: &Config) -> u32 {
    if config.state_dir == Config::default().state_dir {
        0o700
    } else {
        0o711
    }
}

/// What was only made to hold others goes with the supervisor.
pub fn remove_roots(config: &Config) {
    let roots = roots(config);
    drop(std::fs::remove_dir(roots.credentials()));
    if roots.runtime.starts_with(&roots.own) {
        drop(std::fs::remove_dir(roots.runtime));
    }
}

impl Supervisor {
    /// Begins to remove the runtime directories of a run that is over; `again`: another follows. False: none is to go.
    pub(super) fn sweep(&mut self, unit: UnitId, again: bool) -> bool {
        let Some(life) = self.lives.get(&unit) else {
            return false;
        };
        let definition = Rc::clone(&life.unit);
        let Kind::Service(service) = &definition.kind else {
            return false;
        };
        let stays = match service.directories.runtime_directory_preserve {
            Preserve::No => false,
            Preserve::Restart => again,
            Preserve::Yes => true,
        };
        let names = &service.directories.runtime_directory;
        if stays || names.is_empty() {
            return false;
        }
        let root = roots(&self.config).runtime;
        match sandbox::start_job(|| sandbox::remove_directories(&root, names)) {
            Ok(child) => self.watch_process(unit, Who::Sweeper, child).is_ok(),
            Err(error) => {
                tracing::warn!("{}: its runtime directories stay: {error}", definition.name);
                false
            }
        }
    }

    /// They are gone, or stay.
    pub(super) fn on_swept(&mut self, unit: UnitId) {
        if let Some(life) = self.lives.get(&unit) {
            let (run, keep) = (life.run, life.keep_after_sweep);
            self.release_swept(run, keep);
        }
    }
}
