//! What a child of svcd does for a `[mount]` unit: mounts, or unmounts and says who is in the way. It may block.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, StatxFlags, statx};
use rustix::io::Errno;
use rustix::mount::UnmountFlags;

use super::mount::{self, Failed, Mount};
use super::mounted::{self, Mounted};

/// Mounts it. The place is made where it is not there. What is mounted there already, by the same words, is only given
/// its options: an initramfs, or an earlier svcd, was quicker.
///
/// # Errors
/// What failed.
pub fn up(what: &str, place: &Path, kind: Option<&str>, options: &[&str]) -> Result<(), Failed> {
    fs::create_dir_all(place).or_else(|error| {
        if place.exists() {
            Ok(())
        } else {
            Err(failed(&error, "where"))
        }
    })?;
    let place = fs::canonicalize(place).map_err(|error| failed(&error, "where"))?;
    let mounts = mounted::all().unwrap_or_default();
    if let Some(there) = mounted::at(&mounts, &place)
        && there.what == what
        && kind.is_none_or(|kind| kind == there.kind)
    {
        return mount::reconfigure(&place, options);
    }
    if kind == Some("bind") && is_bound(what, &place, &mounts) {
        return Ok(());
    }
    let kinds = kind.map_or_else(|| mount::kinds_of(Path::new(what)), |kind| vec![kind.to_owned()]);
    let mut last = failed(&Errno::NODEV.into(), "what: no file system that this kernel knows");
    for kind in &kinds {
        let mount = Mount { what, kind, options };
        match mount::mount(&mount, &place) {
            Ok(()) => return Ok(()),
            Err(why) => last = why,
        }
    }
    Err(last)
}

/// Unmounts what is at the place. Nothing there is as it should be.
///
/// # Errors
/// EBUSY: somebody uses it, and `detail` says who.
pub fn down(place: &Path) -> Result<(), Failed> {
    let place = match fs::canonicalize(place) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        found => found.map_err(|error| failed(&error, "where"))?,
    };
    if !super::mounts::is_mount_point(&place) {
        return Ok(());
    }
    match rustix::mount::unmount(&place, UnmountFlags::NOFOLLOW) {
        Err(Errno::BUSY) => Err(failed(&Errno::BUSY.into(), &held_by(&place))),
        done => done.map_err(|error| failed(&error.into(), "")),
    }
}

fn failed(error: &io::Error, detail: &str) -> Failed {
    Failed {
        errno: error.raw_os_error().unwrap_or(libc::EIO),
        detail: detail.to_owned(),
    }
}

/// A place shows the same file or directory as the source does.
fn is_bound(what: &str, place: &Path, mounts: &[Mounted]) -> bool {
    let identity = |path: &Path| fs::metadata(path).map(|meta| (meta.dev(), meta.ino())).ok();
    mounted::at(mounts, place).is_some()
        && identity(place).is_some_and(|place| identity(Path::new(what)) == Some(place))
}

/// Who uses what is mounted at the place, for people.
fn held_by(place: &Path) -> String {
    /// More names than this say nothing more.
    const NAMED_MAX: usize = 5;
    let below = mounted::all().unwrap_or_default().into_iter();
    let below = below.filter(|mounted| mounted.at != place && mounted.at.starts_with(place));
    let mounts = below.map(|mounted| format!("the mount on {}", mounted.at.display()));
    let held: Vec<String> = mounts.chain(processes(place)).take(NAMED_MAX).collect();
    match held.as_slice() {
        [] => "in use, and not by a process that can be seen".to_owned(),
        held => format!("held by {}", held.join(", ")),
    }
}

/// Processes with a file, a directory or their program there, as `sleep (4711)`.
fn processes(place: &Path) -> impl Iterator<Item = String> {
    let wanted = mount_of(place);
    // A copy in another mount namespace has another number and the same device; a bind mount shares its source's.
    let device = (wanted.map(|(_, device)| device))
        .filter(|device| place.parent().and_then(mount_of).map(|of| of.1) != Some(*device));
    let is_there = move |path: PathBuf| {
        mount_of(&path).is_some_and(|(mount, its)| Some(mount) == wanted.map(|of| of.0) || Some(its) == device)
    };
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(move |entry| {
        let number: u32 = entry.file_name().to_str()?.parse().ok()?;
        let folder = entry.path();
        let files = fs::read_dir(folder.join("fd")).into_iter().flatten().flatten();
        let mut links = ["cwd", "root", "exe"]
            .iter()
            .map(|link| folder.join(link))
            .chain(files.map(|file| file.path()));
        if !links.any(&is_there) {
            return None;
        }
        let name = fs::read_to_string(folder.join("comm")).unwrap_or_default();
        Some(format!("{} ({number})", name.trim_end()))
    })
}

/// The number of the mount that a path is on, and its device; statx(2).
fn mount_of(path: impl AsRef<Path>) -> Option<(u64, (u32, u32))> {
    let meta = statx(CWD, path.as_ref(), AtFlags::NO_AUTOMOUNT, StatxFlags::MNT_ID).ok()?;
    Some((meta.stx_mnt_id, (meta.stx_dev_major, meta.stx_dev_minor)))
}
