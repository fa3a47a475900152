//! When a unit's persistent timers came last, over power-off: a file for each unit in the state directory, with the
//! microseconds since 1970-01-01 UTC.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use crate::engine::event::Wall;
use crate::sandbox::{self, Child, StepFailed};
use crate::unit::UnitName;

/// As long as any number of 64 bits.
const STAMP_BYTES_MAX: u64 = 32;

fn place(state_dir: &Path, unit: &UnitName) -> PathBuf {
    state_dir.join("timers").join(unit.as_str())
}

/// None: there is none, or none that can be read.
pub fn read(state_dir: &Path, unit: &UnitName) -> Option<Wall> {
    let mut text = String::new();
    let file = File::open(place(state_dir, unit)).ok()?;
    file.take(STAMP_BYTES_MAX).read_to_string(&mut text).ok()?;
    text.trim().parse().ok().map(Wall)
}

/// Writes it in a child, since a disk may take its time. After a power cut there is the old one or the new one.
///
/// # Errors
/// As clone3(2).
pub fn write(state_dir: &Path, unit: &UnitName, at: Wall) -> io::Result<Child> {
    let place = place(state_dir, unit);
    sandbox::start_job(move || {
        let failed = |error: io::Error| {
            StepFailed::new(
                format!("timer stamp {}", place.display()),
                error.raw_os_error().unwrap_or(0),
            )
        };
        write_here(&place, at).map_err(failed)
    })
}

fn write_here(place: &Path, at: Wall) -> io::Result<()> {
    let dir = place.parent().unwrap_or(place);
    fs::create_dir_all(dir)?;
    // No unit's name begins with a dot, and no two children have one number.
    let new = dir.join(format!(".{}", rustix::process::getpid().as_raw_nonzero()));
    let mut file = File::create(&new)?;
    writeln!(file, "{}", at.0)?;
    file.sync_all()?;
    fs::rename(&new, place)?;
    File::open(dir)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_is_there_or_not() {
        let dir = tempfile::tempdir().unwrap();
        let unit = UnitName::new("backup").unwrap();
        assert_eq!(read(dir.path(), &unit), None);
        for at in [Wall(1), Wall(1_700_000_000_000_000)] {
            write_here(&place(dir.path(), &unit), at).unwrap();
            assert_eq!(read(dir.path(), &unit), Some(at));
        }
        for torn in ["", "x", "99999999999999999999999999999999999999"] {
            fs::write(place(dir.path(), &unit), torn).unwrap();
            assert_eq!(read(dir.path(), &unit), None, "{torn}");
        }
    }
}
