//! Links of the machine itself, where svcd is its init.

use std::io;
use std::net::IpAddr;

use super::link;
use super::netlink::Socket;
use super::{Refused, refused};
use crate::unit::Subnet;

/// Brings a link up with these addresses, and a default route by each of these routers.
///
/// # Errors
/// The step: ENODEV where there is no such link.
pub fn set_up(name: &str, addresses: &[Subnet], gateways: &[IpAddr]) -> Result<(), Refused> {
    let index = link::index(name).map_err(refused(&format!("link {name}")))?;
    let mut socket = Socket::route().map_err(refused("rtnetlink"))?;
    link::bring_up(&mut socket, index).map_err(refused(&format!("link {name}")))?;
    for its in addresses {
        let step = format!("address {its} of {name}");
        link::add_address(&mut socket, index, *its, true).map_err(refused(&step))?;
    }
    for gateway in gateways {
        match link::add_default_route(&mut socket, index, *gateway) {
            // The kernel, or whoever started us, was there before.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            done => done.map_err(refused(&format!("route by {gateway}")))?,
        }
    }
    Ok(())
}

/// The first link that is not loopback.
pub fn first() -> Option<String> {
    let mut links = link::all(&mut Socket::route().ok()?).ok()?;
    links.sort_by_key(|link| link.index);
    links.into_iter().map(|link| link.name).find(|name| name != "lo")
}
