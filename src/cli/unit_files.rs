//! Unit files as the verbs that write them see them: where they are looked for, and how one is written so that whoever
//! reads meanwhile, and whoever comes after a power cut, finds the old one or the new one.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, symlink};
use std::path::{Path, PathBuf};

use super::failure::{Failure, Kind, reason};
use super::session::Session;
use crate::control::Request;
use crate::control::view::Version;
use crate::unit::load::{SearchPath, load};
use crate::unit::{LinkKind, Unit, UnitName, UnitSet};

/// What a verb works on.
pub struct UnitFiles {
    /// Where files are looked for, highest first; what is written goes into the first.
    pub dirs: Vec<PathBuf>,
}

impl UnitFiles {
    /// These directories; without any, those of the supervisor that answers; without one, those of the machine.
    ///
    /// # Errors
    /// [`Failure`]: another supervisor was asked for, and does not answer.
    pub fn find(session: &Session<'_>, what: &str, dirs: &[PathBuf]) -> Result<Self, Failure> {
        if !dirs.is_empty() {
            return Ok(Self { dirs: dirs.to_vec() });
        }
        match session.ask::<Version>(what, &Request::Version) {
            Ok(version) => Ok(Self {
                dirs: of_files(version),
            }),
            Err(failure) if failure.kind == Kind::NoSupervisor && session.is_default_socket() => Ok(Self {
                dirs: SearchPath::standard().directories().to_vec(),
            }),
            Err(failure) if failure.kind == Kind::NoSupervisor => {
                Err(failure.hint("--units DIR names the unit directory where no supervisor runs"))
            }
            Err(failure) => Err(failure),
        }
    }

    /// Where what is written goes.
    pub fn first(&self) -> &Path {
        self.dirs.first().map_or(Path::new("."), PathBuf::as_path)
    }

    /// The file of a unit that counts.
    pub fn file_of(&self, name: &UnitName) -> Option<PathBuf> {
        let mut files = self.dirs.iter().map(|dir| dir.join(format!("{name}.toml")));
        files.find(|file| file.symlink_metadata().is_ok())
    }

    /// The file of the template that it is an instance of.
    pub fn template_of(&self, name: &UnitName) -> Option<PathBuf> {
        let (template, instance) = name.as_str().split_once('@')?;
        let mut files = self.dirs.iter().map(|dir| dir.join(format!("{template}@.toml")));
        files.find(|file| !instance.is_empty() && file.exists())
    }

    /// All units as they are on disk now.
    pub fn load(&self) -> UnitSet {
        load(&SearchPath::new(self.dirs.clone()))
    }

    /// A failure that says there is no such unit.
    pub fn no_such_unit(&self, what: &str) -> Failure {
        let dirs: Vec<String> = self.dirs.iter().map(|dir| dir.display().to_string()).collect();
        Failure::new(
            Kind::NoSuchUnit,
            what,
            format_args!("no such unit in {}", dirs.join(", ")),
        )
    }
}

/// Without the directory of transient units, which is the supervisor's own.
fn of_files(version: Version) -> Vec<PathBuf> {
    let own = Path::new(&version.runtime_dir).join("transient");
    let dirs = version.units.into_iter().map(PathBuf::from);
    dirs.filter(|dir| *dir != own).collect()
}

/// The targets that want it.
pub fn wanted_by(unit: &Unit) -> Vec<String> {
    let links = unit.links.iter().filter(|link| link.kind == LinkKind::WantedBy);
    links.map(|link| link.to.to_string()).collect()
}

/// A name, or why it is none.
///
/// # Errors
/// [`Failure`] of the kind [`Kind::Usage`].
pub fn name_of(verb: &str, text: &str) -> Result<UnitName, Failure> {
    let name = text.strip_suffix(".toml").unwrap_or(text);
    UnitName::new(name).map_err(|why| Failure::new(Kind::Usage, format!("{verb} {text}"), why))
}

/// A failure to write.
pub fn failed<'a>(what: &'a str, path: &'a Path) -> impl Fn(io::Error) -> Failure + 'a {
    move |error| {
        let is_forbidden = error.kind() == io::ErrorKind::PermissionDenied;
        let kind = if is_forbidden { Kind::NotPermitted } else { Kind::Failed };
        Failure::new(kind, what, format_args!("{}: {}", path.display(), reason(&error)))
    }
}

/// Writes a file, whole or not at all.
///
/// # Errors
/// As open(2), write(2), fsync(2), rename(2).
pub fn write(path: &Path, text: &str) -> io::Result<()> {
    in_place(path, |new| {
        let mut options = OpenOptions::new();
        let mut file = options.create_new(true).write(true).mode(0o644).open(new)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()
    })
}

/// Makes a link, in the place of whatever is there.
///
/// # Errors
/// As symlink(2), rename(2).
pub fn link(path: &Path, to: &Path) -> io::Result<()> {
    in_place(path, |new| symlink(to, new))
}

/// Removes a file; that it is not there is no error.
///
/// # Errors
/// As unlink(2).
pub fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => sync_dir(path),
    }
}

fn in_place(path: &Path, make: impl FnOnce(&Path) -> io::Result<()>) -> io::Result<()> {
    let dir = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(dir)?;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    // Hidden, and of no ending that counts: nobody takes it for a unit.
    let new = dir.join(format!(".{name}.new"));
    drop(fs::remove_file(&new));
    let made = make(&new)
        .and_then(|()| fs::rename(&new, path))
        .and_then(|()| sync_dir(path));
    made.inspect_err(|_| drop(fs::remove_file(&new)))
}

fn sync_dir(path: &Path) -> io::Result<()> {
    let dir = path.parent().unwrap_or(Path::new("."));
    match File::open(dir) {
        Ok(dir) => dir.sync_all(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}
