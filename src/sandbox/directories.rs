//! Directories that a service is given: made before the start and owned by its user, and removed again.
//!
//! Every step is by descriptor and follows no link, since a former run may have left anything in them (CVE-2017-18078,
//! CVE-2018-6954, CVE-2018-15687).

use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use rustix::fs::{
    AtFlags, Dir, FileType, Gid, Mode, OFlags, RenameFlags, Uid, chownat, fchmod, fchown, fstat, mkdirat, open, openat,
    renameat_with, unlinkat,
};
use rustix::io::Errno;

use super::Context;
use super::report::StepFailed;
use crate::unit::UnitName;

/// Where directories are made, for each kind; and svcd's own runtime directory.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct Roots {
    pub runtime: PathBuf,
    pub state: PathBuf,
    pub cache: PathBuf,
    pub logs: PathBuf,
    pub own: PathBuf,
    /// Where persistent roots are.
    pub uppers: PathBuf,
}

impl Roots {
    /// In the order of [`Directories::kinds`](crate::unit::directories::Directories::kinds).
    fn kinds(&self) -> [&Path; 4] {
        [&self.runtime, &self.state, &self.cache, &self.logs]
    }

    /// Where what a service writes to its persistent root is: below it are `upper` and `work`.
    pub fn upper(&self, unit: &UnitName) -> PathBuf {
        self.uppers.join(unit.as_str())
    }

    /// Where the directories of sockets are on which units say what they have to say, and where a service sees its own.
    pub fn notify(&self) -> PathBuf {
        self.own.join("notify")
    }

    /// Where a service sees its credentials.
    pub fn credentials(&self) -> PathBuf {
        self.own.join("credentials")
    }
}

/// One that is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Directory {
    key: &'static str,
    root: PathBuf,
    name: Box<str>,
    mode: u32,
}

impl Directory {
    pub fn path(&self) -> PathBuf {
        self.root.join(&*self.name)
    }
}

/// All that a service wants.
pub fn of(context: &Context<'_>) -> Vec<Directory> {
    let kinds = context
        .service
        .directories
        .kinds()
        .into_iter()
        .zip(context.roots.kinds());
    let of_kind = |((key, _, names, mode), root): ((&'static str, _, &[Box<str>], u32), &Path)| {
        let one = |name: &str| Directory {
            key,
            root: root.to_owned(),
            name: name.into(),
            mode,
        };
        names.iter().map(|name| one(name)).collect::<Vec<_>>()
    };
    kinds.flat_map(of_kind).collect()
}

/// The variables that name them, and the directory of credentials.
pub fn variables(context: &Context<'_>) -> Vec<(String, String)> {
    let wanted = of(context);
    let mut variables = Vec::new();
    for (key, variable, ..) in context.service.directories.kinds() {
        let its = wanted.iter().filter(|directory| directory.key == key);
        let paths: Vec<String> = its.map(|directory| directory.path().display().to_string()).collect();
        if !paths.is_empty() {
            variables.push((variable.to_owned(), paths.join(":")));
        }
    }
    if !context.service.directories.credentials.is_empty() {
        let place = context.roots.credentials().display().to_string();
        variables.push(("CREDENTIALS_DIRECTORY".to_owned(), place));
    }
    variables
}

/// One that is there, and not the user's yet.
pub struct Made {
    wanted: Directory,
    fd: OwnedFd,
}

const OPEN: OFlags = OFlags::RDONLY
    .union(OFlags::DIRECTORY)
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC);

/// Makes them, as root's.
pub fn make(wanted: &[Directory]) -> Result<Vec<Made>, StepFailed> {
    let one = |wanted: &Directory| {
        let fd = make_one(wanted).map_err(failed(wanted.key, &wanted.path()))?;
        Ok(Made {
            wanted: wanted.clone(),
            fd,
        })
    };
    wanted.iter().map(one).collect()
}

fn make_one(wanted: &Directory) -> io::Result<OwnedFd> {
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o755)
        .create(&wanted.root)?;
    let mut at = open(&wanted.root, OPEN, Mode::empty())?;
    for name in Path::new(&*wanted.name) {
        match mkdirat(&at, name, Mode::from_raw_mode(0o755)) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(error) => return Err(error.into()),
        }
        at = openat(&at, name, OPEN, Mode::empty())?;
    }
    Ok(at)
}

/// Gives them to the user: with all that is in them where they were another's.
pub fn own(made: &[Made], (uid, gid): (u32, u32)) -> Result<(), StepFailed> {
    made.iter().try_for_each(|made| {
        let wanted = &made.wanted;
        own_one(&made.fd, wanted.mode, Uid::from_raw(uid), Gid::from_raw(gid))
            .map_err(failed(wanted.key, &wanted.path()))
    })
}

fn own_one(fd: &OwnedFd, mode: u32, uid: Uid, gid: Gid) -> io::Result<()> {
    let meta = fstat(fd)?;
    if (meta.st_uid, meta.st_gid) != (uid.as_raw(), gid.as_raw()) {
        own_below(fd, meta.st_dev, uid, gid)?;
        fchown(fd, Some(uid), Some(gid))?;
    }
    Ok(fchmod(fd, Mode::from_raw_mode(mode))?)
}

/// Deeper than this nothing is given to another user: the start is refused. Each level takes a descriptor.
const DEPTH_MAX: usize = 128;

/// What has another name elsewhere may be another's, and stays as it is; so does what is mounted below.
fn own_below(top: &OwnedFd, device: u64, uid: Uid, gid: Gid) -> io::Result<()> {
    let mut open_ones = vec![Dir::read_from(top)?];
    while let Some(dir) = open_ones.last_mut() {
        let Some(entry) = dir.read() else {
            open_ones.pop();
            continue;
        };
        let entry = entry?;
        let name = entry.file_name();
        if is_self_or_parent(name) {
            continue;
        }
        let at = dir.fd()?;
        match openat(at, name, OPEN, Mode::empty()) {
            Ok(below) => {
                if fstat(&below)?.st_dev != device {
                    continue;
                }
                fchown(&below, Some(uid), Some(gid))?;
                if open_ones.len() == DEPTH_MAX {
                    return Err(Errno::LOOP.into());
                }
                open_ones.push(Dir::read_from(&below)?);
            }
            Err(Errno::NOTDIR | Errno::LOOP | Errno::NOENT) => own_file(at, name, uid, gid)?,
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

fn own_file(at: impl AsFd, name: &CStr, uid: Uid, gid: Gid) -> io::Result<()> {
    let file = match openat(
        at,
        name,
        OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC,
        Mode::empty(),
    ) {
        Err(Errno::NOENT) => return Ok(()),
        opened => opened?,
    };
    let meta = fstat(&file)?;
    let kind = FileType::from_raw_mode(meta.st_mode);
    if kind == FileType::Directory || kind != FileType::Symlink && meta.st_nlink > 1 {
        return Ok(());
    }
    Ok(chownat(&file, "", Some(uid), Some(gid), AtFlags::EMPTY_PATH)?)
}

/// Removes directories below a root, with all that is in them. What is not there needs no removal.
///
/// # Errors
/// The first that could not be removed.
pub fn remove(root: &Path, names: &[Box<str>]) -> Result<(), StepFailed> {
    for name in names {
        let path = root.join(&**name);
        remove_one(root, Path::new(&**name)).map_err(failed("remove", &path))?;
    }
    Ok(())
}

fn remove_one(root: &Path, name: &Path) -> io::Result<()> {
    let mut at = match open(root, OPEN, Mode::empty()) {
        Err(Errno::NOENT) => return Ok(()),
        opened => opened?,
    };
    for above in name.parent().into_iter().flatten() {
        at = match openat(&at, above, OPEN, Mode::empty()) {
            Err(Errno::NOENT) => return Ok(()),
            opened => opened?,
        };
    }
    let last = name
        .file_name()
        .and_then(|last| CString::new(last.as_encoded_bytes()).ok());
    last.map_or(Ok(()), |last| remove_tree(&at, &last))
}

/// However deep it is: what lies two levels down is moved up to the first, so that no more than two are ever open.
fn remove_tree(at: &OwnedFd, name: &CStr) -> io::Result<()> {
    if remove_entry(at, name)? {
        return Ok(());
    }
    let top = openat(at, name, OPEN, Mode::empty())?;
    let mut moved = 0_u64;
    while !remove_entry(at, name)? {
        for entry in names_in(&top)? {
            if remove_entry(&top, &entry)? {
                continue;
            }
            let below = openat(&top, &entry, OPEN, Mode::empty())?;
            for deeper in names_in(&below)? {
                if !remove_entry(&below, &deeper)? {
                    move_up(&below, &deeper, &top, &mut moved)?;
                }
            }
            unlinkat(&top, &entry, AtFlags::REMOVEDIR)?;
        }
    }
    Ok(())
}

/// False: it is a directory with something in it.
fn remove_entry(at: &OwnedFd, name: &CStr) -> io::Result<bool> {
    match unlinkat(at, name, AtFlags::REMOVEDIR) {
        Ok(()) | Err(Errno::NOENT) => Ok(true),
        Err(Errno::NOTEMPTY | Errno::EXIST) => Ok(false),
        Err(Errno::NOTDIR) => match unlinkat(at, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(true),
            Err(error) => Err(error.into()),
        },
        Err(error) => Err(error.into()),
    }
}

fn move_up(from: &OwnedFd, name: &CStr, to: &OwnedFd, moved: &mut u64) -> io::Result<()> {
    loop {
        *moved += 1;
        match renameat_with(from, name, to, format!(".svc-{moved}"), RenameFlags::NOREPLACE) {
            Err(Errno::EXIST) => {}
            done => return Ok(done?),
        }
    }
}

fn names_in(dir: &OwnedFd) -> io::Result<Vec<CString>> {
    let mut names = Vec::new();
    for entry in Dir::read_from(dir)? {
        let entry = entry?;
        if !is_self_or_parent(entry.file_name()) {
            names.push(entry.file_name().to_owned());
        }
    }
    Ok(names)
}

fn is_self_or_parent(name: &CStr) -> bool {
    matches!(name.to_bytes(), b"." | b"..")
}

fn failed<'a>(what: &'a str, path: &'a Path) -> impl Fn(io::Error) -> StepFailed + use<'a> {
    move |error| StepFailed::new(format!("{what} {}", path.display()), error.raw_os_error().unwrap_or(0))
}
