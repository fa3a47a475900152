//! Numbers that units have for good: each has one that no other has, for as long as it has a file, over restarts of it, of
//! svcd and of the machine.
//!
//! They are recorded in one file of the state directory, a line for each: the number, and the unit's name.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::files::Files;
use super::lives::Lives;
use crate::engine::Engine;
use crate::unit::UnitName;

/// Gives numbers of one kind out.
#[derive(Debug)]
pub struct UnitNumbers {
    record: PathBuf,
    /// Why not: nobody knows whose they are, so none is given out.
    taken: Result<BTreeMap<u32, UnitName>, String>,
}

impl UnitNumbers {
    /// Goes on with those that are recorded; `is_one` knows a number of this kind.
    pub fn open(record: PathBuf, is_one: fn(u32) -> bool) -> Self {
        let taken = read(&record, is_one).map_err(|why| format!("{}: {why}", record.display()));
        Self { record, taken }
    }

    /// Where they are recorded.
    pub fn record(&self) -> &Path {
        &self.record
    }

    /// The number that a unit has, or the first of the candidates that nobody has, which is recorded before it is used.
    /// None: all are taken.
    ///
    /// # Errors
    /// Where the record cannot be read or written.
    pub fn take(&mut self, unit: &UnitName, mut candidates: impl Iterator<Item = u32>) -> io::Result<Option<u32>> {
        let taken = self.taken.as_mut().map_err(|why| io::Error::other(why.clone()))?;
        if let Some((number, _)) = taken.iter().find(|(_, its)| *its == unit) {
            return Ok(Some(*number));
        }
        let Some(number) = candidates.find(|number| !taken.contains_key(number)) else {
            return Ok(None);
        };
        taken.insert(number, unit.clone());
        write(&self.record, taken).inspect_err(|_| {
            taken.remove(&number);
        })?;
        Ok(Some(number))
    }

    /// Others may have the numbers of units that are not there any more.
    pub fn release_all_but(&mut self, is_there: impl Fn(&UnitName) -> bool) {
        let Ok(taken) = &mut self.taken else { return };
        let before = taken.len();
        taken.retain(|_, unit| is_there(unit));
        if taken.len() != before
            && let Err(error) = write(&self.record, taken)
        {
            tracing::warn!("{}: {error}", self.record.display());
        }
    }
}

/// Whether a unit is there still: it has a file, or runs; an instance is as long as its template is.
pub fn there(lives: &Lives, engine: &Engine, files: &Files) -> impl Fn(&UnitName) -> bool {
    move |name| {
        let template = name
            .as_str()
            .split_once('@')
            .map(|(template, _)| format!("{template}@.toml"));
        let has_template = || {
            template
                .as_ref()
                .is_some_and(|file| files.path.directories().iter().any(|dir| dir.join(file).exists()))
        };
        let runs = || lives.iter().any(|(_, life)| life.unit.name == *name);
        engine.find(name.as_str()).is_some() || runs() || has_template()
    }
}

fn read(record: &Path, is_one: fn(u32) -> bool) -> Result<BTreeMap<u32, UnitName>, String> {
    let text = match fs::read_to_string(record) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(BTreeMap::new()),
        Err(error) => return Err(error.to_string()),
    };
    let mut taken = BTreeMap::new();
    for (nth, line) in text.lines().enumerate() {
        let parts = line.split_once(' ').and_then(|(number, unit)| {
            let number = number.parse().ok().filter(|number| is_one(*number))?;
            Some((number, UnitName::new(unit).ok()?))
        });
        let (number, unit) = parts.ok_or_else(|| format!("line {} is no number with its unit", nth + 1))?;
        if taken.insert(number, unit).is_some() {
            return Err(format!("line {}: the number has two units", nth + 1));
        }
    }
    Ok(taken)
}

/// Whole or not at all, and on the disk before it is relied on.
fn write(record: &Path, taken: &BTreeMap<u32, UnitName>) -> io::Result<()> {
    let new = record.with_extension("new");
    let mut file = File::create(&new)?;
    for (number, unit) in taken {
        writeln!(file, "{number} {unit}")?;
    }
    file.sync_all()?;
    fs::rename(&new, record)?;
    record.parent().map_or(Ok(()), |dir| File::open(dir)?.sync_all())
}
