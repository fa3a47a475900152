//! The machine's time zone: what /etc/localtime links to, and what the kernel counts FAT's time stamps in; localtime(5).

use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Component, Path};

use jiff::{Timestamp, tz::TimeZone};

const ZONES: &str = "/usr/share/zoneinfo";
const LINK: &str = "/etc/localtime";

/// Makes /etc/localtime link to the zone, where one is told and it does not yet, and tells the kernel.
///
/// # Errors
/// A zone that is not there, or a link that cannot be made, in one line.
pub fn set(told: Option<&str>) -> Result<(), String> {
    let linked = told.map_or(Ok(()), |name| link(Path::new(ZONES), name, Path::new(LINK)));
    let zone = TimeZone::try_system().unwrap_or(TimeZone::UTC);
    let east = zone.to_offset(Timestamp::now()).seconds() / 60;
    crate::sys::clock::set_kernel_time_zone(-east).map_err(|error| format!("settimeofday: {error}"))?;
    linked
}

fn link(zones: &Path, name: &str, link: &Path) -> Result<(), String> {
    let plain = |part| matches!(part, Component::Normal(_));
    let zone = zones.join(name);
    if name.is_empty() || !Path::new(name).components().all(plain) || !zone.is_file() {
        return Err(format!("{name}: no such zone in {}", zones.display()));
    }
    if fs::read_link(link).is_ok_and(|to| to == zone) {
        return Ok(());
    }
    let failed = |error: io::Error| format!("{}: {error}", link.display());
    let draft = link.with_extension("new");
    match fs::remove_file(&draft) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
        Ok(()) | Err(_) => {}
    }
    symlink(&zone, &draft)
        .and_then(|()| fs::rename(&draft, link))
        .map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_link_is_made_and_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let zones = dir.path().join("zones");
        fs::create_dir_all(zones.join("Europe")).unwrap();
        for zone in ["UTC", "Europe/Oslo"] {
            fs::write(zones.join(zone), "").unwrap();
        }
        let place = dir.path().join("localtime");
        for zone in ["UTC", "Europe/Oslo", "Europe/Oslo"] {
            link(&zones, zone, &place).unwrap();
            assert_eq!(fs::read_link(&place).unwrap(), zones.join(zone));
        }
        for bad in ["", "Europe", "Mars/Base", "../localtime", "/etc/passwd", "./UTC"] {
            assert!(link(&zones, bad, &place).unwrap_err().contains("no such zone"), "{bad}");
        }
        assert_eq!(fs::read_link(&place).unwrap(), zones.join("Europe/Oslo"));
    }
}
