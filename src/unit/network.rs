//! `[network]`: the network that a service sees.

use serde::Serialize;

/// `[network]`, as far as it is built.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Network {
    /// svcd's own network.
    Host,
    /// A namespace with nothing but loopback, which is up.
    None,
}
