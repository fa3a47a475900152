//! Ranges of ids for user namespaces: each unit has one that no other has, for as long as it has a file, over restarts of
//! it, of svcd and of the machine, since files that it made are owned by those ids.
//!
//! They are recorded in one file of the state directory, a line for each: the first id, and the unit's name.

use std::io;
use std::path::Path;

use rustix::io::Errno;

use super::Supervisor;
use super::dynamic_users::runs;
use super::spawn::unenforceable;
use super::unit_numbers::{UnitNumbers, there};
use crate::engine::UnitId;
use crate::engine::event::SpawnFailure;
use crate::unit::namespaces::{AUTO_COUNT, AUTO_FIRST, AUTO_LAST};
use crate::unit::{Unenforceable, UnitName};

const RANGES: u32 = (AUTO_LAST - AUTO_FIRST) / AUTO_COUNT;

/// Gives ranges out, by their first ids.
#[derive(Debug)]
pub struct UserRanges(UnitNumbers);

impl UserRanges {
    /// Goes on with those that are recorded in the state directory.
    pub fn open(state_dir: &Path) -> Self {
        Self(UnitNumbers::open(state_dir.join("user-ranges"), is_first))
    }

    /// The first id of a unit's range: the one that it has, or another, which is recorded before it is used.
    ///
    /// # Errors
    /// EUSERS: all are taken. Where the record cannot be read or written.
    pub fn take(&mut self, unit: &UnitName) -> io::Result<u32> {
        // Another supervisor's unit may have the range; it is seen while that runs.
        let candidates = candidates(self.0.record(), unit).filter(|first| !runs(*first));
        let taken = self.0.take(unit, candidates)?;
        taken.ok_or_else(|| Errno::USERS.into())
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
        let is_there = there(&self.lives, &self.engine, &self.files);
        self.user_ranges.0.release_all_but(is_there);
    }
}

fn is_first(id: u32) -> bool {
    (AUTO_FIRST..AUTO_LAST).contains(&id) && (id - AUTO_FIRST).is_multiple_of(AUTO_COUNT)
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
    use std::fs;

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
        next.0.release_all_but(|unit| unit.as_str() == "web");
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
