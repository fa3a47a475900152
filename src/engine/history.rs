//! Who caused what: the moves of all units, bounded.

use std::collections::VecDeque;

use super::UnitId;
use super::action::Change;
use super::event::Wall;

/// Moves that are remembered, over all units: at some 100 bytes each, half a megabyte.
const ENTRIES_MAX: usize = 4096;

/// One move of a unit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// When.
    pub at: Wall,
    /// Whose.
    pub unit: UnitId,
    /// What.
    pub what: Change,
}

/// The last moves, oldest first.
#[derive(Debug, Default)]
pub struct History {
    entries: VecDeque<Entry>,
    /// Moves of all time.
    count: u64,
    /// So many of them are in the last record.
    recorded: u64,
}

impl History {
    pub fn add(&mut self, entry: Entry) {
        if self.entries.len() == ENTRIES_MAX {
            self.entries.pop_front();
        }
        self.entries.push_back(entry);
        self.count += 1;
    }

    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &Entry> {
        self.entries.iter()
    }

    /// How many moves the last record does not have.
    pub fn unrecorded(&self) -> u64 {
        self.count - self.recorded
    }

    /// The moves that the last record does not have, or with `whole` all, each with its number from the first on.
    pub fn record(&mut self, whole: bool) -> impl Iterator<Item = (u64, &Entry)> {
        let first = self.count - self.entries.len() as u64;
        let from = if whole { first } else { self.recorded };
        self.recorded = self.count;
        (first..).zip(&self.entries).filter(move |(nth, _)| *nth >= from)
    }

    /// What was written out, in its order; the rest of a record that was never made whole again is older than we keep.
    pub fn restore(moves: impl Iterator<Item = (u64, Entry)>) -> Self {
        let mut history = Self::default();
        for (nth, entry) in moves {
            history.add(entry);
            history.count = history.count.max(nth.saturating_add(1));
        }
        history
    }
}
