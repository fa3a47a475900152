//! What clients see of the network of a service.

use serde::{Deserialize, Serialize};

/// What a running service has of svcd's bridge, or of a link of the machine.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Network {
    /// `bridge`, `macvlan`, `ipvlan`.
    pub mode: String,
    /// The link on the machine's side: its port of the bridge, or the parent of its own.
    pub link: String,
    /// Its addresses with the lengths of their prefixes.
    pub addresses: Vec<String>,
    /// Ports that lead to it: `8080:80/tcp`.
    pub publish: Vec<String>,
    /// What makes them do so: `nftables`, or `proxy`; none where nothing is published.
    pub published_by: Option<String>,
    /// Those of `::1`, where the others are led by rules and they by a proxy.
    pub proxied: Vec<String>,
}

/// What a service has sent and received over its port of the bridge since its namespace was made; and what its rules, or
/// the others', have refused it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkStats {
    /// Bytes.
    pub received_bytes: u64,
    /// Frames.
    pub received_packets: u64,
    /// Bytes.
    pub sent_bytes: u64,
    /// Frames.
    pub sent_packets: u64,
}
