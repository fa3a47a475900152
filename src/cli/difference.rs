//! What differs between the whole that a service sees and the directories that it was made of, as `docker diff` tells it.
//!
//! The upper directory of a tmpfs is nobody's to read, so the whole is compared: by kind, mode, owner, device, size, time and
//! the target of a link. What is mounted in it is left out. No link is followed, since the service may put one anywhere.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{
    AtFlags, CWD, Dir, FileType, Mode, OFlags, Statx, StatxFlags, fgetxattr, makedev, openat, readlinkat, statx,
};
use rustix::io::Errno;
use serde::Serialize;

use crate::unit::namespaces::IdMap;

/// One path that differs.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Change {
    /// From the root, with a leading `/`.
    pub path: String,
    /// How.
    pub what: What,
}

/// How a path differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum What {
    /// It was not there.
    Added,
    /// It is another, or something below it is.
    Changed,
    /// It is not there any more.
    Deleted,
}

/// Compares these directories, topmost first, with the whole, sorted by path. A service with `ids` of its own is shown the
/// directories so that their files have the same ids inside; outside, the whole has those of the machine.
///
/// # Errors
/// One of them cannot be read.
pub fn of(lower: &[String], merged: &str, ids: IdMap) -> io::Result<Vec<Change>> {
    // The path to the whole is a link of /proc, and is the only link that is followed.
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let open = |path: &str| openat(CWD, path, flags, Mode::empty());
    let layers = lower.iter().map(|path| open(path)).collect::<Result<Vec<_>, _>>()?;
    let merged = open(merged)?;
    let met = look(&merged, "")?;
    let mut walk = Walk {
        device: device(&met),
        ids,
        changes: Vec::new(),
    };
    walk.directory("", &layers, &merged)?;
    walk.changes.sort_by(|one, other| one.path.cmp(&other.path));
    Ok(walk.changes)
}

struct Walk {
    /// The file system that the whole is: directories of another one are mounted in it.
    device: (u32, u32),
    /// Those that there are for the service.
    ids: IdMap,
    changes: Vec<Change>,
}

/// A name in the layers of a directory.
struct Lower {
    met: Statx,
    /// If it is a directory: the directories that it is merged from, topmost first.
    layers: Vec<OwnedFd>,
}

impl Walk {
    /// True: something below differs.
    fn directory(&mut self, path: &str, layers: &[OwnedFd], merged: &OwnedFd) -> io::Result<bool> {
        let mut below = lower_names(layers)?;
        let before = self.changes.len();
        let mount = look(merged, "")?.stx_mnt_id;
        for name in names(merged)? {
            let shown = format!("{path}/{}", String::from_utf8_lossy(&name));
            let lower = below.remove(&name);
            let met = match look(merged, &*name) {
                Ok(met) => met,
                // It has gone since.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(error),
            };
            let is_directory = kind(&met) == FileType::Directory;
            // A directory of it that is mounted on itself, to be read-only, is still of it.
            let is_of_it = if is_directory {
                device(&met) == self.device
            } else {
                met.stx_mnt_id == mount
            };
            if !is_of_it {
                continue;
            }
            let mut what = match &lower {
                None => Some(What::Added),
                Some(lower) => (!self.is_same(&lower.met, &met) || !same_link(lower, layers, merged, &name))
                    .then_some(What::Changed),
            };
            if is_directory {
                let layers = lower.map(|lower| lower.layers).unwrap_or_default();
                let differs = self.directory(&shown, &layers, &open(merged, &name)?)?;
                what = what.or(differs.then_some(What::Changed));
            }
            self.changes.extend(what.map(|what| Change { path: shown, what }));
        }
        for name in below.into_keys() {
            let path = format!("{path}/{}", String::from_utf8_lossy(&name));
            self.changes.push(Change {
                path,
                what: What::Deleted,
            });
        }
        Ok(self.changes.len() > before)
    }

    fn is_same(&self, lower: &Statx, whole: &Statx) -> bool {
        let of_all = |met: &Statx| (met.stx_mode, makedev(met.stx_rdev_major, met.stx_rdev_minor));
        let of_files = |met: &Statx| (met.stx_size, met.stx_mtime.tv_sec, met.stx_mtime.tv_nsec);
        let is_file = kind(lower) != FileType::Directory;
        of_all(lower) == of_all(whole)
            && self.has_same_owners(lower, whole)
            && (!is_file || of_files(lower) == of_files(whole))
    }

    /// As the service sees it, for which an id that it does not have is nobody's.
    fn has_same_owners(&self, lower: &Statx, whole: &Statx) -> bool {
        let of_lower = |id: u32| self.ids.outside(id).map(|_| id);
        let of_whole = |id: u32| self.ids.inside(id);
        (of_lower(lower.stx_uid), of_lower(lower.stx_gid)) == (of_whole(whole.stx_uid), of_whole(whole.stx_gid))
    }
}

/// All names that layers have together, without what an upper one hides; overlayfs(5), whiteouts and opaque directories.
fn lower_names(layers: &[OwnedFd]) -> io::Result<BTreeMap<Vec<u8>, Lower>> {
    let mut found: BTreeMap<Vec<u8>, Lower> = BTreeMap::new();
    let mut closed = BTreeSet::new();
    for layer in layers {
        for name in names(layer)? {
            if closed.contains(&name) {
                continue;
            }
            let met = look(layer, &*name)?;
            if kind(&met) != FileType::Directory {
                closed.insert(name.clone());
                if !is_whiteout(&met) && !found.contains_key(&name) {
                    found.insert(
                        name,
                        Lower {
                            met,
                            layers: Vec::new(),
                        },
                    );
                }
                continue;
            }
            let directory = open(layer, &name)?;
            if is_opaque(&directory) {
                closed.insert(name.clone());
            }
            let lower = found.entry(name).or_insert(Lower {
                met,
                layers: Vec::new(),
            });
            lower.layers.push(directory);
        }
    }
    Ok(found)
}

fn is_whiteout(met: &Statx) -> bool {
    kind(met) == FileType::CharacterDevice && (met.stx_rdev_major, met.stx_rdev_minor) == (0, 0)
}

fn is_opaque(directory: &OwnedFd) -> bool {
    let mut value = [0_u8; 2];
    ["trusted.overlay.opaque", "user.overlay.opaque"]
        .into_iter()
        .any(|name| fgetxattr(directory, name, &mut value) == Ok(1) && value.starts_with(b"y"))
}

fn same_link(lower: &Lower, layers: &[OwnedFd], merged: &OwnedFd, name: &[u8]) -> bool {
    let target = |at: &OwnedFd| readlinkat(at, name, Vec::new()).ok();
    kind(&lower.met) != FileType::Symlink || layers.iter().find_map(target) == target(merged)
}

fn device(met: &Statx) -> (u32, u32) {
    (met.stx_dev_major, met.stx_dev_minor)
}

fn kind(met: &Statx) -> FileType {
    FileType::from_raw_mode(met.stx_mode.into())
}

fn look(at: &OwnedFd, name: impl rustix::path::Arg) -> io::Result<Statx> {
    let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::EMPTY_PATH;
    let wanted = StatxFlags::BASIC_STATS | StatxFlags::MNT_ID;
    Ok(statx(at, name, flags, wanted)?)
}

fn open(at: &OwnedFd, name: &[u8]) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(openat(at, name, flags, Mode::empty())?)
}

fn names(directory: impl AsFd) -> io::Result<Vec<Vec<u8>>> {
    let entries = Dir::read_from(directory)?.map(|entry| Ok(entry?.file_name().to_bytes().to_vec()));
    let names: Result<Vec<_>, Errno> = entries.collect();
    Ok(names?
        .into_iter()
        .filter(|name| name != b"." && name != b"..")
        .collect())
}
