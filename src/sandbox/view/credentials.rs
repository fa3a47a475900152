//! Secrets of the unit: copied into memory that is never swapped, where the service alone sees them.

use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{FileType, Gid, Mode, OFlags, Uid, fchmod, fchown, openat};

use super::place;
use crate::sandbox::report::StepFailed;
use crate::sandbox::user_namespace::{self, Users};
use crate::sandbox::{identity, regular};
use crate::sys::mount::{READ_ONLY, set_attributes};
use crate::unit::Account;

/// One credential is not longer than this; systemd.exec(5), `LoadCredential=`.
const BYTES_MAX: u64 = 1 << 20;

/// What a service is given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credentials {
    /// Names to files of the machine.
    pub files: Vec<(Box<str>, Box<str>)>,
    /// Whose they are.
    pub user: Option<Account>,
    pub group: Option<Account>,
    /// Where they are seen.
    pub at: PathBuf,
}

/// Names with what the files hold.
pub type Secrets = Vec<(Box<str>, Vec<u8>)>;

impl Credentials {
    /// Reads the files, as the machine has them.
    pub fn read(&self) -> Result<Secrets, StepFailed> {
        let one = |(name, file): &(Box<str>, Box<str>)| {
            let bytes = regular::read(Path::new(&**file), BYTES_MAX);
            let bytes = bytes.map_err(|errno| StepFailed::new(format!("credentials {file}"), errno))?;
            Ok((name.clone(), bytes))
        };
        self.files.iter().map(one).collect()
    }

    /// Lays them where the service sees them, in its own root, as its user's.
    pub fn lay(&self, secrets: &Secrets, users: Option<&Users>) -> Result<(), StepFailed> {
        let ids = identity::ids(self.user.as_ref(), self.group.as_ref())?;
        let (uid, gid) = user_namespace::outside(users, ids)?;
        let owner = (Uid::from_raw(uid), Gid::from_raw(gid));
        let laid = fill(secrets, owner).and_then(|filled| {
            let place = place::make(&self.at, FileType::Directory)?;
            place::attach(filled, place)
        });
        laid.map_err(|error| StepFailed::new("credentials", error.raw_os_error().unwrap_or(0)))
    }
}

fn fill(secrets: &Secrets, (uid, gid): (Uid, Gid)) -> io::Result<OwnedFd> {
    let made = place::new_mount("ramfs", &["mode=0500", "nosuid", "nodev", "noexec"])?;
    for (name, secret) in secrets {
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::WRONLY | OFlags::CLOEXEC;
        let mut file = std::fs::File::from(openat(&made, &**name, flags, Mode::from_raw_mode(0o400))?);
        file.write_all(secret)?;
        fchown(&file, Some(uid), Some(gid))?;
        fchmod(&file, Mode::from_raw_mode(0o400))?;
    }
    let top = openat(
        &made,
        ".",
        OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC,
        Mode::empty(),
    )?;
    fchown(&top, Some(uid), Some(gid))?;
    set_attributes(&made, READ_ONLY)?;
    Ok(made)
}
