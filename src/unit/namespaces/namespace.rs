//! A kind of namespace of which a unit may have its own, or another unit's.

use serde::{Serialize, Serializer};

use crate::unit::UnitName;

/// Whose namespace of some kind a service is in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Namespace {
    /// svcd's.
    Shared,
    /// One that nobody else is in.
    Own,
    /// Another unit's.
    Join(UnitName),
}

impl Namespace {
    /// As a flag has it.
    pub fn own(own: bool) -> Self {
        if own { Self::Own } else { Self::Shared }
    }

    /// Reads `join:UNIT`. None: it is something else, or no unit can have such a name.
    pub fn parse_join(text: &str) -> Option<UnitName> {
        UnitName::new(text.strip_prefix("join:")?).ok()
    }

    /// The unit whose it is, where that is another one.
    pub fn joined(&self) -> Option<&UnitName> {
        match self {
            Self::Join(unit) => Some(unit),
            Self::Shared | Self::Own => None,
        }
    }
}

impl Serialize for Namespace {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Shared => to.serialize_bool(false),
            Self::Own => to.serialize_bool(true),
            Self::Join(unit) => to.collect_str(&format_args!("join:{unit}")),
        }
    }
}
