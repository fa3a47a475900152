//! How long a unit took to come up: `svc analyze`.

use serde::{Deserialize, Serialize};

use super::view::State;

/// When a unit came up for the first time, in microseconds since svcd began.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnitTiming {
    /// Which unit.
    pub unit: String,
    /// As in [`super::view::UnitStatus`].
    pub kind: String,
    /// Where it stands now.
    pub state: State,
    /// Nothing stood in its way any more.
    pub starting_usec: u64,
    /// It was ready; none: it never was.
    pub ready_usec: Option<u64>,
    /// The unit that it waited for last; none: it waited for nobody.
    pub released_by: Option<String>,
}
