//! `[network]`: the network that a service sees.

use serde::{Serialize, Serializer};

use super::UnitName;

/// `[network]`, as far as it is built.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Network {
    /// svcd's own network.
    Host,
    /// A namespace with nothing but loopback, which is up.
    None,
    /// That of another unit.
    Join(UnitName),
}

impl Serialize for Network {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Host => to.serialize_str("host"),
            Self::None => to.serialize_str("none"),
            Self::Join(unit) => to.collect_str(&format_args!("join:{unit}")),
        }
    }
}
