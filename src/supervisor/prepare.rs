//! Before the first unit: the settings, and a place for each of our directories; where svcd is a machine's init, the
//! machine.

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, access};

use super::Config;
use super::notice;
use super::settings::Settings;
use crate::init::{self, Role};

/// Reads the settings, boots the machine if it is ours to boot, and makes our directories. As the first process svcd
/// has to come up with what there is: wrong settings are said and left out, and what cannot be written to a read-only
/// root is kept in the runtime directory, until the end of this boot. So has one who goes on from a predecessor, by
/// whom the machine was booted.
///
/// # Errors
/// In one line: a settings file that is wrong, or a directory that cannot be made.
pub fn prepare(config: &mut Config, resumed: bool) -> Result<Settings, String> {
    let role = init::role();
    let read = config
        .settings
        .as_deref()
        .map_or_else(|| Ok(Settings::default()), Settings::read);
    let has_to = role != Role::Plain || resumed;
    let mut settings = match read {
        Ok(settings) => settings,
        Err(why) if !has_to => return Err(why),
        Err(why) => {
            tracing::error!("{why}; all settings are left out");
            Settings::default()
        }
    };
    if role == Role::Machine {
        let line = if resumed {
            init::CommandLine::read()
        } else {
            let line = init::boot(&settings.boot, &config.state_dir);
            super::network::machine::bring_up(&settings.network, &line);
            line
        };
        if line.has("quiet") {
            notice::be_quiet();
        }
        if let Some(target) = line.value("svc.target") {
            settings.default_target = target.into();
        }
    }
    make_directory(&config.runtime_dir, 0o755)?;
    let state_mode = super::sweep::state_mode(config);
    let places = [
        (&mut config.state_dir, "state", state_mode),
        (&mut config.log_dir, "log", 0o755),
    ];
    for (place, name, mode) in places {
        match make_writable_directory(place, mode) {
            Err(why) if has_to => {
                *place = config.runtime_dir.join(name);
                tracing::warn!("{why}; using {} until the next boot", place.display());
                make_directory(place, mode)?;
            }
            made => made?,
        }
    }
    Ok(settings)
}

fn make_writable_directory(path: &PathBuf, mode: u32) -> Result<(), String> {
    make_directory(path, mode)?;
    access(path, Access::WRITE_OK).map_err(|error| format!("{}: {error}", path.display()))
}

fn make_directory(path: &Path, mode: u32) -> Result<(), String> {
    DirBuilder::new()
        .recursive(true)
        .mode(mode)
        .create(path)
        .map_err(|error| format!("{}: {error}", path.display()))
}
