//! Numbers of limits, as clients see them.

use serde::{Deserialize, Serialize, Serializer};

/// A number. Whole ones are written without a point, so that bytes look like bytes; exact up to 2^53.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd, Deserialize)]
pub struct Amount(pub f64);

impl From<u64> for Amount {
    fn from(value: u64) -> Self {
        Self(value as f64)
    }
}

impl From<f64> for Amount {
    fn from(value: f64) -> Self {
        Self(value)
    }
}

impl Serialize for Amount {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        // 2^63: what does not fit is written with a point.
        if self.0.fract() == 0.0 && self.0.abs() < 9_223_372_036_854_775_808.0 {
            to.serialize_i64(self.0 as i64)
        } else {
            to.serialize_f64(self.0)
        }
    }
}
