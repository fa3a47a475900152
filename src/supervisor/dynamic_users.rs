//! Users that are there while a service runs: a uid that nobody else has, and the gid of the same number.
//!
//! Each is recorded as a file of its number in the runtime directory, which holds the unit's name, so that who owned a
//! process or a file can be told, and the next svcd knows which are still used.

use std::fs::{self, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

use rustix::io::Errno;
use rustix::process::{Uid, getpriority_user};

use crate::unit::UnitName;

/// The range that is set apart for it: systemd's UIDS-GIDS, "Special Systemd UID ranges".
const FIRST: u32 = 61_184;
const LAST: u32 = 65_519;

/// Gives users out.
#[derive(Debug)]
pub struct DynamicUsers {
    records: PathBuf,
}

/// A user that is taken. Dropped, it is free again.
#[derive(Debug)]
pub struct DynamicUser {
    /// Its number, and its group's.
    pub id: u32,
    record: PathBuf,
}

impl DynamicUsers {
    /// Keeps its records below the runtime directory. What a former svcd has left there and nobody runs as is free.
    pub fn open(runtime_dir: &Path) -> Self {
        let records = runtime_dir.join("dynamic-users");
        for entry in fs::read_dir(&records).into_iter().flatten().flatten() {
            let id = entry.file_name().to_str().and_then(|name| name.parse().ok());
            if !id.is_some_and(runs) {
                let _ = fs::remove_file(entry.path());
            }
        }
        let _ = fs::remove_dir(&records);
        Self { records }
    }

    /// Takes a user for a unit: the same one each time, unless another unit has it.
    ///
    /// # Errors
    /// EUSERS: all are taken. Where the record cannot be written.
    pub fn take(&self, unit: &UnitName) -> io::Result<DynamicUser> {
        match fs::create_dir(&self.records) {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(error),
            Ok(()) | Err(_) => {}
        }
        for id in candidates(unit.as_str()).filter(|id| !runs(*id)) {
            let record = self.records.join(id.to_string());
            match OpenOptions::new().write(true).create_new(true).open(&record) {
                Ok(mut file) => {
                    let user = DynamicUser { id, record };
                    file.write_all(unit.as_str().as_bytes())?;
                    return Ok(user);
                }
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
        Err(Errno::USERS.into())
    }
}

impl DynamicUsers {
    /// The user that a unit had in a former life. None: the record cannot be written.
    pub fn take_again(&self, id: u32, unit: &UnitName) -> Option<DynamicUser> {
        let record = self.records.join(id.to_string());
        let _ = fs::create_dir(&self.records);
        fs::write(&record, unit.as_str()).ok()?;
        Some(DynamicUser { id, record })
    }
}

impl Drop for DynamicUser {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.record);
        // The last one takes the directory along.
        let _ = self.record.parent().map(fs::remove_dir);
    }
}

/// Every number of the range, from a place that the name decides.
fn candidates(name: &str) -> impl Iterator<Item = u32> {
    const COUNT: u32 = LAST - FIRST + 1;
    let hash = name
        .bytes()
        .fold(0_u32, |hash, byte| hash.wrapping_mul(31).wrapping_add(u32::from(byte)));
    (0..COUNT).map(move |nth| FIRST + (hash % COUNT + nth) % COUNT)
}

/// Whether a process of this user is seen from here; getpriority(2).
pub(super) fn runs(id: u32) -> bool {
    !matches!(getpriority_user(Uid::from_raw(id)), Err(Errno::SRCH))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> UnitName {
        UnitName::new(text).unwrap()
    }

    #[test]
    fn no_two_units_have_one_user_and_one_unit_has_the_same_again() {
        let dir = tempfile::tempdir().unwrap();
        let users = DynamicUsers::open(dir.path());
        let web = users.take(&name("web")).unwrap();
        let other = users.take(&name("web")).unwrap();
        assert!((FIRST..=LAST).contains(&web.id) && (FIRST..=LAST).contains(&other.id));
        assert_ne!(web.id, other.id);
        let record = dir.path().join(format!("dynamic-users/{}", web.id));
        assert_eq!(fs::read_to_string(&record).unwrap(), "web");
        let id = web.id;
        drop(web);
        assert!(!record.exists());
        assert_eq!(users.take(&name("web")).unwrap().id, id);
        drop(other);
        assert!(!dir.path().join("dynamic-users").exists());
    }

    #[test]
    fn every_number_of_the_range_is_tried_once() {
        let mut all: Vec<u32> = candidates("web@1").collect();
        all.sort_unstable();
        assert!(all.iter().copied().eq(FIRST..=LAST));
    }

    /// What is left of a former svcd does not take users away for good.
    #[test]
    fn records_of_nobody_are_forgotten() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("dynamic-users")).unwrap();
        let own = rustix::process::getuid().as_raw();
        for record in ["61184", "rubbish", &own.to_string()] {
            fs::write(dir.path().join("dynamic-users").join(record), "old").unwrap();
        }
        let users = DynamicUsers::open(dir.path());
        let left: Vec<_> = fs::read_dir(&users.records)
            .unwrap()
            .flatten()
            .map(|entry| entry.file_name())
            .collect();
        assert_eq!(left, [std::ffi::OsString::from(own.to_string())], "we run as that user");
    }
}
