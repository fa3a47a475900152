//! A service's own links: made by its child, half on the machine's side and half in its new namespace.

use std::net::IpAddr;
use std::os::fd::{AsFd, OwnedFd};

use super::link::{self, Pair};
use super::netlink::Socket;
use super::sysctl;
use super::{Refused, refused};
use crate::sys::loopback;
use crate::unit::{Sharing, Subnet};

/// The name of the link inside.
const INSIDE: &str = "eth0";

/// What to make.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attachment {
    /// What its link leads to.
    pub to: To,
    /// The link's addresses.
    pub addresses: Vec<Subnet>,
    /// The way out, at most one of each family.
    pub gateways: Vec<IpAddr>,
}

/// What a link leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum To {
    /// A bridge, by a port of this name; what is said of it names the unit.
    Bridge {
        /// The bridge.
        bridge: Box<str>,
        /// The link on the machine's side.
        port: Box<str>,
        /// Whose it is.
        unit: Box<str>,
    },
    /// A link of the machine.
    Parent(Sharing, Box<str>),
}

impl Attachment {
    /// Makes it. The caller is in the machine's network; `enter` takes it into the service's, and gives that.
    ///
    /// # Errors
    /// The step, and what the kernel said.
    pub fn make<E: From<Refused>>(&self, enter: impl FnOnce() -> Result<OwnedFd, E>) -> Result<(), E> {
        let mut outside = Socket::route().map_err(refused("network rtnetlink"))?;
        let onto = match &self.to {
            To::Bridge { bridge: onto, .. } | To::Parent(_, onto) => onto,
        };
        let onto = link::index(onto).map_err(refused(&format!("network link {onto}")))?;
        let namespace = enter()?;
        match &self.to {
            To::Bridge { port, unit, .. } => {
                let pair = Pair {
                    port,
                    alias: unit,
                    bridge: onto,
                    inside: INSIDE,
                    hardware: hardware(&self.addresses),
                    namespace: namespace.as_fd(),
                };
                link::make_pair(&mut outside, &pair).map_err(refused(&format!("network veth {port}")))?;
            }
            To::Parent(kind, parent) => {
                let kind = match kind {
                    Sharing::Macvlan => "macvlan",
                    Sharing::Ipvlan => "ipvlan",
                };
                link::make_on(&mut outside, kind, onto, INSIDE, namespace.as_fd())
                    .map_err(refused(&format!("network {kind} on {parent}")))?;
            }
        }
        Ok(self.configure()?)
    }

    /// From within.
    fn configure(&self) -> Result<(), Refused> {
        loopback::bring_up().map_err(refused("network loopback"))?;
        let mut inside = Socket::route().map_err(refused("network rtnetlink"))?;
        let index = link::index(INSIDE).map_err(refused("network link eth0"))?;
        // Neither a router's advice nor a neighbour's is needed: all that leads out is written here.
        sysctl::set("ipv4/conf/all/accept_redirects", "0")?;
        sysctl::set("ipv4/conf/eth0/accept_redirects", "0")?;
        if self.addresses.iter().any(|its| its.address.is_ipv6()) {
            sysctl::set("ipv6/conf/eth0/disable_ipv6", "0")?;
            sysctl::set("ipv6/conf/eth0/accept_ra", "0")?;
            sysctl::set("ipv6/conf/eth0/accept_redirects", "0")?;
        }
        let on_bridge = matches!(self.to, To::Bridge { .. });
        link::bring_up(&mut inside, index).map_err(refused("network link eth0"))?;
        for its in &self.addresses {
            link::add_address(&mut inside, index, *its, !on_bridge)
                .map_err(refused(&format!("network address {}/{}", its.address, its.prefix)))?;
        }
        for gateway in &self.gateways {
            let step = format!("network route by {gateway}");
            if on_bridge {
                link::add_route_to(&mut inside, index, *gateway).map_err(refused(&step))?;
            }
            link::add_default_route(&mut inside, index, *gateway).map_err(refused(&step))?;
        }
        Ok(())
    }
}

/// What hardware addresses of our links begin with: locally administered ones.
pub const OURS: [u8; 2] = [0x02, 0x73];

/// The same as long as the address is: what neighbours have learned stays true.
pub fn hardware(addresses: &[Subnet]) -> [u8; 6] {
    let [a, b, c, d] = match addresses.first().map(|its| its.address) {
        Some(IpAddr::V4(address)) => address.octets(),
        Some(IpAddr::V6(address)) => (u128::from(address) as u32).to_be_bytes(),
        None => [0; 4],
    };
    let [first, second] = OURS;
    [first, second, a, b, c, d]
}
