//! `enable`, `disable`, `mask`, `unmask`: whether a unit comes up with a target, and whether it can come up at all. They
//! write files, and need no supervisor; one that runs takes them over as it takes over any edit.

use std::path::{Path, PathBuf};

use rustix::fs::{CWD, RenameFlags, renameat_with};
use serde::Serialize;

use super::failure::{Failure, Kind};
use super::render::{BOLD, DIM, paint};
use super::session::Session;
use super::unit_files::{self, UnitFiles, failed, wanted_by};
use crate::unit::{self, UnitName};

/// The drop-in of `enable` and `disable`, which comes after what people write.
const DROP_IN: &str = "zz-enabled.toml";

/// What was done to one unit.
#[derive(Serialize)]
struct Done {
    unit: String,
    /// `wanted by default`.
    now: String,
    /// The file that was written or removed; none: it was so already.
    file: Option<PathBuf>,
}

/// A verb, on one unit: what is said of it, and the file that was changed.
type Deed = fn(&UnitFiles, &UnitName, &str) -> Result<(String, Option<PathBuf>), Failure>;

/// `svc enable`.
///
/// # Errors
/// [`Failure`].
pub fn enable(session: &mut Session<'_>, units: &[String], dirs: &[PathBuf]) -> Result<(), Failure> {
    each(session, "enable", units, dirs, enable_one)
}

/// `svc disable`.
///
/// # Errors
/// [`Failure`].
pub fn disable(session: &mut Session<'_>, units: &[String], dirs: &[PathBuf]) -> Result<(), Failure> {
    each(session, "disable", units, dirs, disable_one)
}

/// `svc mask`.
///
/// # Errors
/// [`Failure`].
pub fn mask(session: &mut Session<'_>, units: &[String], dirs: &[PathBuf]) -> Result<(), Failure> {
    each(session, "mask", units, dirs, mask_one)
}

/// `svc unmask`.
///
/// # Errors
/// [`Failure`].
pub fn unmask(session: &mut Session<'_>, units: &[String], dirs: &[PathBuf]) -> Result<(), Failure> {
    each(session, "unmask", units, dirs, unmask_one)
}

fn each(session: &mut Session<'_>, verb: &str, units: &[String], dirs: &[PathBuf], deed: Deed) -> Result<(), Failure> {
    let files = UnitFiles::find(session, verb, dirs)?;
    let mut all = Vec::new();
    for unit in units {
        let name = unit_files::name_of(verb, unit)?;
        let (now, file) = deed(&files, &name, &format!("{verb} {unit}"))?;
        let unit = name.to_string();
        all.push(Done { unit, now, file });
    }
    if session.json {
        return session.print_json(&all);
    }
    for done in &all {
        let file = match &done.file {
            Some(file) => file.display().to_string(),
            None => "it was so already".to_owned(),
        };
        let (unit, file) = (paint(BOLD, &done.unit), paint(DIM, file));
        writeln!(session.out, "{unit} {}  {file}", done.now)?;
    }
    Ok(())
}

fn drop_in(files: &UnitFiles, name: &UnitName) -> PathBuf {
    files.first().join(format!("{name}.toml.d")).join(DROP_IN)
}

/// The targets that want it, as its files say by now; None: masked.
fn wanted(files: &UnitFiles, name: &UnitName, what: &str) -> Result<Option<Vec<String>>, Failure> {
    let set = files.load();
    let Some(unit) = set.units.get(name) else {
        let wrong = set.findings.iter().find(|finding| finding.unit.as_ref() == Some(name));
        return Err(match wrong {
            Some(wrong) => {
                let why = format!("{}:{}:{}: {}", wrong.file, wrong.line, wrong.column, wrong.message);
                Failure::new(Kind::Invalid, what, why)
            }
            None => files.no_such_unit(what),
        });
    };
    Ok((unit.kind != unit::Kind::Masked).then(|| wanted_by(unit)))
}

fn enable_one(files: &UnitFiles, name: &UnitName, what: &str) -> Result<(String, Option<PathBuf>), Failure> {
    let mut changed = None;
    if files.file_of(name).is_none()
        && let Some(template) = files.template_of(name)
    {
        // An instance that nobody names needs a file of its own: the template's.
        let file = files.first().join(format!("{name}.toml"));
        unit_files::link(&file, &template).map_err(failed(what, &file))?;
        changed = Some(file);
    }
    let masked = || Failure::new(Kind::Failed, what, "it is masked").hint(format!("svc unmask {name}"));
    let told = |by: &[String]| format!("is wanted by {}", by.join(", "));
    let by = wanted(files, name, what)?.ok_or_else(masked)?;
    if !by.is_empty() {
        return Ok((told(&by), changed));
    }
    let path = drop_in(files, name);
    if path.exists() {
        unit_files::remove(&path).map_err(failed(what, &path))?;
        let by = wanted(files, name, what)?.unwrap_or_default();
        if !by.is_empty() {
            return Ok((told(&by), Some(path)));
        }
    }
    let text = "# Written by svc enable.\n[unit]\nwanted-by = [\"default\"]\n";
    unit_files::write(&path, text).map_err(failed(what, &path))?;
    Ok((told(&["default".to_owned()]), Some(path)))
}

fn disable_one(files: &UnitFiles, name: &UnitName, what: &str) -> Result<(String, Option<PathBuf>), Failure> {
    let said = || "is wanted by no target".to_owned();
    let own = files.first().join(format!("{name}.toml"));
    let path = drop_in(files, name);
    if files.template_of(name).is_some() && own.is_symlink() && !is_mask(&own) {
        unit_files::remove(&path).map_err(failed(what, &path))?;
        unit_files::remove(&own).map_err(failed(what, &own))?;
        return Ok((said(), Some(own)));
    }
    let is_wanted = || -> Result<bool, Failure> {
        let by = wanted(files, name, what)?;
        Ok(by.is_some_and(|by| !by.is_empty()))
    };
    if !is_wanted()? {
        return Ok((said(), None));
    }
    unit_files::remove(&path).map_err(failed(what, &path))?;
    if is_wanted()? {
        let text = "# Written by svc disable.\n[unit]\nwanted-by = []\n";
        unit_files::write(&path, text).map_err(failed(what, &path))?;
    }
    Ok((said(), Some(path)))
}

/// A link to /dev/null, or an empty file.
fn is_mask(path: &Path) -> bool {
    path.canonicalize().is_ok_and(|target| target == Path::new("/dev/null"))
        || path.metadata().is_ok_and(|meta| meta.is_file() && meta.len() == 0)
}

/// Where a file is kept while its unit is masked.
fn aside(path: &Path) -> PathBuf {
    path.with_extension("toml.masked")
}

fn mask_one(files: &UnitFiles, name: &UnitName, what: &str) -> Result<(String, Option<PathBuf>), Failure> {
    let path = files.first().join(format!("{name}.toml"));
    let said = || "is masked".to_owned();
    if files.file_of(name).is_none() && files.template_of(name).is_none() {
        return Err(files.no_such_unit(what));
    }
    if is_mask(&path) {
        return Ok((said(), None));
    }
    if path.symlink_metadata().is_err() {
        unit_files::link(&path, Path::new("/dev/null")).map_err(failed(what, &path))?;
        return Ok((said(), Some(path)));
    }
    // Its file changes places with the link, so that there is one or the other at each moment; renameat2(2).
    let aside = aside(&path);
    if aside.symlink_metadata().is_ok() {
        let why = format!("{} is there, from an earlier mask", aside.display());
        return Err(Failure::new(Kind::Failed, what, why));
    }
    unit_files::link(&aside, Path::new("/dev/null")).map_err(failed(what, &aside))?;
    let swapped = renameat_with(CWD, &aside, CWD, &path, RenameFlags::EXCHANGE);
    swapped.map_err(|errno| {
        drop(unit_files::remove(&aside));
        failed(what, &path)(errno.into())
    })?;
    Ok((format!("is masked; its file is {}", aside.display()), Some(path)))
}

fn unmask_one(files: &UnitFiles, name: &UnitName, what: &str) -> Result<(String, Option<PathBuf>), Failure> {
    let path = files.first().join(format!("{name}.toml"));
    let said = || "is not masked".to_owned();
    if !is_mask(&path) {
        return match files.file_of(name) {
            Some(other) if is_mask(&other) => {
                let why = format!("it is masked by {}", other.display());
                Err(Failure::new(Kind::Failed, what, why))
            }
            Some(_) => Ok((said(), None)),
            None => Err(files.no_such_unit(what)),
        };
    }
    let aside = aside(&path);
    if aside.symlink_metadata().is_ok() {
        std::fs::rename(&aside, &path).map_err(failed(what, &path))?;
    } else {
        unit_files::remove(&path).map_err(failed(what, &path))?;
    }
    Ok((said(), Some(path)))
}
