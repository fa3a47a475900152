//! Ranges of ids for user namespaces: each unit has one that no other has, for as long as it has a file, over restarts of
//! it, of svcd and of the machine, since files that it made are owned by those ids.
//!
//! They are recorded in one file of the state directory, a line for each: the first id, and the unit's name.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use rustix::io::Errno;

use super::Supervisor;
use super::dynamic_users::runs;
use super::spawn::unenforceable;
use crate::engine::UnitId;
use crate::engine::event::SpawnFailure;
use crate::unit::namespaces::{AUTO_COUNT, AUTO_FIRST, AUTO_LAST};
use crate::unit::{Unenforceable, UnitName};

const RANGES: u32 = (AUTO_LAST - AUTO_FIRST) / AUTO_COUNT;

/// Gives ranges out.
#[derive(Debug)]
pub struct UserRanges {
    record: PathBuf,
    /// By their first id. Why not: nobody knows whose they are, so none is given out.
    taken: Result<BTreeMap<u32, UnitName>, String>,
}

impl UserRanges {
    /// Goes on with those that are recorded in the state directory.
    pub fn open(state_dir: &Path) -> Self {
        let record = state_dir.join("user-ranges");
        let taken = read(&record).map_err(|why| format!("{}: {why}", record.display()));
        Self { record, taken }
    }

    /// The first id of a unit's range: the one that it has, or another, which is recorded before it is used.
    ///
    /// # Errors
    /// EUSERS: all are taken. Where the record cannot be read or written.
    pub fn take(&mut self, unit: &UnitName) -> io::Result<u32> {
        let taken = self.taken.as_mut().map_err(|why| io::Error::other(why.clone()))?;
        if let Some((first, _)) = taken.iter().find(|(_, its)| *its == unit) {
            return Ok(*first);
        }
        // Another supervisor's unit may have the range; it is seen while that runs.
        let free = candidates(&self.record, unit).find(|first| !taken.contains_key(first) && !runs(*first));
        let first = free.ok_or(Errno::USERS)?;
        taken.insert(first, unit.clone());
        write(&self.record, taken).inspect_err(|_| {
            taken.remove(&first);
        })?;
        Ok(first)
    }

    /// Others may have the ranges of units that are not there any more.
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

impl Supervisor {
    /// The ids of its own that a unit has, where it is to have some: the same ones at each start.
    pub(super) fn user_range_of(&mut self, unit: UnitId) -> Result<Option<u32>, SpawnFailure> {
        let Some(life) = self.lives.get(&unit).filter(|life| life.sandbox.needs_range()) else {
            return Ok(None);
        };
        let name = life.unit.name.clone();
        self.release_user_ranges();
        let error = match self.user_ranges.take(&name) {
            Ok(first) => return Ok(Some(first)),
            Err(error) => error,
        };
        let cause = error.to_string();
        if self
            .lives
            .get_mut(&unit)
            .is_some_and(|life| life.do_without("user", &cause))
        {
            return Ok(None);
        }
        Err(unenforceable(Unenforceable {
            key: "user".into(),
            cause: cause.into(),
            errno: error.raw_os_error().unwrap_or(0),
        }))
    }

    /// Units that are gone for good need no ids any more.
    fn release_user_ranges(&mut self) {
        let running: Vec<&UnitName> = self.lives.iter().map(|(_, life)| &life.unit.name).collect();
        let (engine, path) = (&self.engine, &self.files.path);
        // An instance is there as long as its template is.
        let has_template = |name: &UnitName| {
            let template = name
                .as_str()
                .split_once('@')
                .map(|(template, _)| format!("{template}@.toml"));
            template.is_some_and(|file| path.directories().iter().any(|dir| dir.join(&file).exists()))
        };
        self.user_ranges.release_all_but(|name| {
            engine.find(name.as_str()).is_some() || running.contains(&name) || has_template(name)
        });
    }
}

fn read(record: &Path) -> Result<BTreeMap<u32, UnitName>, String> {
    let text = match fs::read_to_string(record) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(BTreeMap::new()),
        Err(error) => return Err(error.to_string()),
    };
    let mut taken = BTreeMap::new();
    for (nth, line) in text.lines().enumerate() {
        let parts = line.split_once(' ').and_then(|(first, unit)| {
            let first = first.parse().ok().filter(|first| is_first(*first))?;
            Some((first, UnitName::new(unit).ok()?))
        });
        let (first, unit) = parts.ok_or_else(|| format!("line {} is no range with its unit", nth + 1))?;
        if taken.insert(first, unit).is_some() {
            return Err(format!("line {}: the range has two units", nth + 1));
        }
    }
    Ok(taken)
}

fn is_first(id: u32) -> bool {
    (AUTO_FIRST..AUTO_LAST).contains(&id) && (id - AUTO_FIRST).is_multiple_of(AUTO_COUNT)
}

/// Whole or not at all, and on the disk before it is relied on.
fn write(record: &Path, taken: &BTreeMap<u32, UnitName>) -> io::Result<()> {
    let new = record.with_extension("new");
    let mut file = File::create(&new)?;
    for (first, unit) in taken {
        writeln!(file, "{first} {unit}")?;
    }
    file.sync_all()?;
    fs::rename(&new, record)?;
    record.parent().map_or(Ok(()), |dir| File::open(dir)?.sync_all())
}

/// Every range, from a place that the unit and its supervisor decide: one whose record is lost most likely has it again,
/// and of two supervisors' units few meet.
fn candidates(record: &Path, unit: &UnitName) -> impl Iterator<Item = u32> + use<> {
    let bytes = record
        .as_os_str()
        .as_encoded_bytes()
        .iter()
        .chain(unit.as_str().as_bytes());
    let hash = bytes.fold(0_u32, |hash, byte| hash.wrapping_mul(31).wrapping_add(u32::from(*byte)));
    (0..RANGES).map(move |nth| AUTO_FIRST + (hash % RANGES + nth) % RANGES * AUTO_COUNT)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> UnitName {
        UnitName::new(text).unwrap()
    }

    #[test]
    fn no_two_units_have_one_range_and_one_unit_has_the_same_for_good() {
        let dir = tempfile::tempdir().unwrap();
        let mut ranges = UserRanges::open(dir.path());
        let web = ranges.take(&name("web")).unwrap();
        assert!(is_first(web));
        // The place of a name is no promise: another may be there.
        let all: Vec<u32> = (0..200)
            .map(|nth| ranges.take(&name(&format!("u{nth}"))).unwrap())
            .collect();
        let different: std::collections::BTreeSet<u32> = all.iter().copied().chain([web]).collect();
        assert_eq!(different.len(), 201);
        assert_eq!(ranges.take(&name("web")).unwrap(), web);
        let mut next = UserRanges::open(dir.path());
        assert_eq!(next.take(&name("web")).unwrap(), web);
        assert_eq!(next.take(&name("u7")).unwrap(), all[7]);
        next.release_all_but(|unit| unit.as_str() == "web");
        let record = fs::read_to_string(dir.path().join("user-ranges")).unwrap();
        assert_eq!(record, format!("{web} web\n"));
    }

    #[test]
    fn every_range_is_tried_once() {
        let mut all: Vec<u32> = candidates(Path::new("/x"), &name("web")).collect();
        all.sort_unstable();
        let expected = (AUTO_FIRST..AUTO_LAST).step_by(AUTO_COUNT as usize);
        assert!(all.iter().copied().eq(expected));
    }

    /// Rather none than one that another may have.
    #[test]
    fn a_record_that_cannot_be_read_gives_none() {
        let dir = tempfile::tempdir().unwrap();
        let both = format!("{AUTO_FIRST} a\n{AUTO_FIRST} b\n");
        for text in ["rubbish\n", "7 web\n", "1073741825 web\n", "1073741824 -\n", &both] {
            fs::write(dir.path().join("user-ranges"), text).unwrap();
            let mut ranges = UserRanges::open(dir.path());
            let error = ranges.take(&name("web")).unwrap_err().to_string();
            assert!(error.contains("user-ranges: line"), "{text}: {error}");
        }
    }
}
