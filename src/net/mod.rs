//! The network of services: a bridge of svc's own, a pair of links for each service on it, and the rules that hold
//! between them, all by netlink; rtnetlink(7), and nf_tables as the kernel's uapi headers have it.
//!
//! [`Plan`] is what should be there, whole: [`settle`] makes it so, in a child, whatever is there before. Each service's
//! own child makes its links ([`Attachment`]), which end with its namespace.
//!
//! What rules cannot lead to a service, or where there are none, a [`proxy`] does.
//!
//! Two services on the bridge do not see each other's frames: each port is isolated, and what one sends to another goes
//! through the machine as all else does. So one place, the machine's forwarding, holds who may talk to whom.

mod attachment;
mod conntrack;
mod expressions;
mod fields;
mod link;
pub mod machine;
mod netlink;
mod nftables;
mod policies;
mod ports;
pub mod probe;
pub mod proxy;
mod published;
mod readings;
mod rules;
mod sets;
mod settle;
mod sysctl;
#[cfg(test)]
mod tests;

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

pub use attachment::{Attachment, To};
pub use netlink::Socket;
pub use rules::Written;
pub use settle::settle;

use crate::unit::{Direction, PortRange, Protocol, Publish};

/// All that should be there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// With its addresses, which are the services' gateways.
    pub bridge: Bridge,
    /// Who is on it. With none there is no bridge, and no rule.
    pub members: Vec<Member>,
}

/// The bridge of this supervisor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bridge {
    /// Of the link, and of the tables of rules: 1 to 8 bytes.
    pub name: Box<str>,
    /// Its own address with the length of the subnet's prefix; None: no IPv4.
    pub v4: Option<(Ipv4Addr, u8)>,
    /// Likewise.
    pub v6: Option<(Ipv6Addr, u8)>,
}

/// A service on the bridge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Its port: the name of the link on the machine's side.
    pub link: Box<str>,
    /// At most one of each family.
    pub addresses: Vec<IpAddr>,
    /// What is reached from outside. No two members have the same.
    pub publish: Vec<Publish>,
    /// Where a direction has one, nothing else of it passes.
    pub allow: Vec<Policy>,
    /// Goes before what is allowed.
    pub deny: Vec<Policy>,
}

/// What a rule is about. Answers to what passed always pass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Seen from the service.
    pub direction: Direction,
    /// Addresses with the lengths of their prefixes. None: anybody.
    pub peers: Option<Vec<(IpAddr, u8)>>,
    /// Of the one who is connected to. None: any, and of any protocol where that is absent too.
    pub ports: Option<PortRange>,
    /// None: tcp and udp where there are ports, else all.
    pub protocol: Option<Protocol>,
}

/// What could not be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// The step: `network bridge svc0`.
    pub what: String,
    /// As errno(3).
    pub errno: i32,
}

impl Refused {
    fn new(what: String, errno: i32) -> Self {
        Self { what, errno }
    }
}

fn refused(what: &str) -> impl Fn(io::Error) -> Refused + use<> {
    let what = what.to_owned();
    move |error| Refused::new(what.clone(), error.raw_os_error().unwrap_or(0))
}
