//! Where a unit came from: its files, what stood in them, and which of them set which key.

use std::collections::BTreeMap;
use std::rc::Rc;

use super::Place;

/// Which files a unit came from, and which of them set which key.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Origin {
    /// The unit file first, then its drop-ins in the order they were merged.
    pub files: Vec<Rc<str>>,
    /// What stood in each of them.
    pub texts: Vec<TextId>,
    /// (row in [`crate::unit::keys::all`], file, line) for each key that a file set.
    pub set: Vec<(u16, u16, u32)>,
}

impl Origin {
    /// Where a key was set: the last place that counts; None where it has its default.
    pub fn place(&self, table: &str, name: &str) -> Option<Place> {
        let number = super::keys::all().position(|key| key.table == table && key.name == name)?;
        let (_, file, line) = self.set.iter().rfind(|(row, ..)| usize::from(*row) == number)?;
        let file = self.files.get(usize::from(*file))?.clone();
        Some(Place { file, line: *line })
    }
}

/// The text of a unit file, by a hash of it: svcd keeps texts outside of itself, so that it knows what is in force
/// whatever becomes of the files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TextId(pub u64);

impl TextId {
    /// Of this text.
    pub fn of(text: &str) -> Self {
        use std::hash::Hasher;
        let mut hasher = std::hash::DefaultHasher::new();
        hasher.write(text.as_bytes());
        Self(hasher.finish())
    }
}

/// The texts of unit files.
pub type Texts = BTreeMap<TextId, Rc<str>>;
