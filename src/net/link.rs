//! Links, addresses and routes as rtnetlink(7) has them.

use std::io;
use std::net::IpAddr;
use std::os::fd::{AsRawFd, BorrowedFd};

use rustix::net::{AddressFamily, SocketFlags, SocketType, netdevice, socket_with};

use super::netlink::{CREATE, DUMP, EXCLUSIVE, Message, REPLACE, Socket, attributes, number, text};
use crate::unit::Subnet;

/// linux/if_link.h, what libc does not have; linux/veth.h.
const VETH_INFO_PEER: u16 = 1;
const BRPORT_ISOLATED: u16 = 33;
const MACVLAN_MODE: u16 = 1;
/// Those on one parent see each other.
const MACVLAN_MODE_BRIDGE: u32 = 4;
const IPVLAN_MODE: u16 = 1;
/// They answer for their addresses themselves; the kernel's ipvlan document.
const IPVLAN_MODE_L2: u16 = 0;
/// `struct ifinfomsg`.
const LINK_HEADER_BYTES: usize = 16;
const UP: u32 = libc::IFF_UP as u32;

/// A link of the network namespace that was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    pub index: u32,
    pub name: String,
    /// The bridge that it is a port of.
    pub master: Option<u32>,
    pub hardware: Vec<u8>,
}

/// The number of a link of the caller's network namespace.
pub fn index(name: &str) -> io::Result<u32> {
    let socket = socket_with(AddressFamily::INET, SocketType::DGRAM, SocketFlags::CLOEXEC, None)?;
    Ok(netdevice::name_to_index(&socket, name)?)
}

/// All links.
pub fn all(socket: &mut Socket) -> io::Result<Vec<Link>> {
    let mut found = Vec::new();
    socket.ask(Message::new(libc::RTM_GETLINK, DUMP, &header(0, 0)), |kind, body| {
        if kind == libc::RTM_NEWLINK {
            found.extend(read(body));
        }
    })?;
    Ok(found)
}

fn read(body: &[u8]) -> Option<Link> {
    let mut link = Link {
        index: number(body, 4)?,
        name: String::new(),
        master: None,
        hardware: Vec::new(),
    };
    for (kind, value) in attributes(body.get(LINK_HEADER_BYTES..)?) {
        match kind {
            libc::IFLA_IFNAME => link.name = text(value),
            libc::IFLA_MASTER => link.master = number(value, 0),
            libc::IFLA_ADDRESS => link.hardware = value.to_vec(),
            _ => {}
        }
    }
    Some(link)
}

/// Makes a bridge, which is up. It keeps this hardware address whoever joins it.
pub fn make_bridge(socket: &mut Socket, name: &str, hardware: [u8; 6]) -> io::Result<()> {
    let mut message = Message::new(libc::RTM_NEWLINK, CREATE | EXCLUSIVE, &header(0, UP));
    message.name(libc::IFLA_IFNAME, name);
    message.attribute(libc::IFLA_ADDRESS, &hardware);
    kind(&mut message, "bridge", |_| {});
    socket.request(message)
}

/// A pair of links: a port of a bridge, which is up, and its other end in another network namespace.
pub struct Pair<'a> {
    pub port: &'a str,
    pub alias: &'a str,
    pub bridge: u32,
    pub inside: &'a str,
    pub hardware: [u8; 6],
    pub namespace: BorrowedFd<'a>,
}

/// Makes it. The port exchanges no frames with other ports that are made so. One of that name may be there, of a run that
/// is over and whose namespace the kernel has not put away yet.
pub fn make_pair(socket: &mut Socket, pair: &Pair<'_>) -> io::Result<()> {
    match try_make_pair(socket, pair) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        made => return made,
    }
    let mut message = Message::new(libc::RTM_DELLINK, 0, &header(0, 0));
    message.name(libc::IFLA_IFNAME, pair.port);
    match socket.request(message) {
        Err(error) if error.raw_os_error() != Some(libc::ENODEV) => return Err(error),
        Ok(()) | Err(_) => {}
    }
    try_make_pair(socket, pair)
}

fn try_make_pair(socket: &mut Socket, pair: &Pair<'_>) -> io::Result<()> {
    let mut message = Message::new(libc::RTM_NEWLINK, CREATE | EXCLUSIVE, &header(0, UP));
    message.name(libc::IFLA_IFNAME, pair.port);
    message.number(libc::IFLA_MASTER, pair.bridge);
    kind(&mut message, "veth", |data| {
        data.nest(VETH_INFO_PEER, |peer| {
            peer.fixed(&header(0, 0));
            peer.name(libc::IFLA_IFNAME, pair.inside);
            peer.attribute(libc::IFLA_ADDRESS, &pair.hardware);
            peer.number(libc::IFLA_NET_NS_FD, pair.namespace.as_raw_fd().cast_unsigned());
        });
    });
    socket.request(message)?;
    // By its name: the caller may be in another namespace than the socket's.
    let mut message = Message::new(libc::RTM_NEWLINK, 0, &header(0, 0));
    message.name(libc::IFLA_IFNAME, pair.port);
    message.attribute(libc::IFLA_IFALIAS, pair.alias.as_bytes());
    message.nest(libc::IFLA_LINKINFO, |info| {
        info.name(libc::IFLA_INFO_SLAVE_KIND, "bridge");
        info.nest(libc::IFLA_INFO_SLAVE_DATA, |data| data.attribute(BRPORT_ISOLATED, &[1]));
    });
    socket.request(message)
}

/// Makes a macvlan or ipvlan link on another, in another network namespace.
pub fn make_on(
    socket: &mut Socket,
    which: &str,
    parent: u32,
    inside: &str,
    namespace: BorrowedFd<'_>,
) -> io::Result<()> {
    let mut message = Message::new(libc::RTM_NEWLINK, CREATE | EXCLUSIVE, &header(0, 0));
    message.name(libc::IFLA_IFNAME, inside);
    message.number(libc::IFLA_LINK, parent);
    message.number(libc::IFLA_NET_NS_FD, namespace.as_raw_fd().cast_unsigned());
    kind(&mut message, which, |data| match which {
        "macvlan" => data.number(MACVLAN_MODE, MACVLAN_MODE_BRIDGE),
        _ => data.attribute(IPVLAN_MODE, &IPVLAN_MODE_L2.to_ne_bytes()),
    });
    socket.request(message)
}

/// Brings one up.
pub fn bring_up(socket: &mut Socket, index: u32) -> io::Result<()> {
    socket.request(Message::new(libc::RTM_NEWLINK, 0, &header(index, UP)))
}

/// Removes one, and a pair's other end with it.
pub fn remove(socket: &mut Socket, index: u32) -> io::Result<()> {
    socket.request(Message::new(libc::RTM_DELLINK, 0, &header(index, 0)))
}

/// Gives a link an address: with a route to all of its network, or without one. It is told to be nobody else's, so that
/// IPv6 does not wait to find that out.
pub fn add_address(socket: &mut Socket, index: u32, its: Subnet, with_route: bool) -> io::Result<()> {
    let flags = match (its.address, with_route) {
        (IpAddr::V4(_), true) => 0,
        (IpAddr::V4(_), false) => libc::IFA_F_NOPREFIXROUTE,
        (IpAddr::V6(_), true) => libc::IFA_F_NODAD,
        (IpAddr::V6(_), false) => libc::IFA_F_NODAD | libc::IFA_F_NOPREFIXROUTE,
    };
    let mut fixed = [family(its.address), its.prefix, 0, 0, 0, 0, 0, 0];
    put(&mut fixed, 4, &index.to_ne_bytes());
    let mut message = Message::new(libc::RTM_NEWADDR, CREATE | REPLACE, &fixed);
    let bytes = octets(its.address);
    message.attribute(libc::IFA_LOCAL, &bytes);
    message.attribute(libc::IFA_ADDRESS, &bytes);
    message.number(libc::IFA_FLAGS, flags);
    socket.request(message)
}

/// Reaches one address by the link alone: its network has no route.
pub fn add_route_to(socket: &mut Socket, index: u32, address: IpAddr) -> io::Result<()> {
    let mut message = Message::new(
        libc::RTM_NEWROUTE,
        CREATE | EXCLUSIVE,
        &route(address, 8 * octets(address).len() as u8, libc::RT_SCOPE_LINK),
    );
    message.attribute(libc::RTA_DST, &octets(address));
    message.number(libc::RTA_OIF, index);
    socket.request(message)
}

/// Reaches all else through a router.
pub fn add_default_route(socket: &mut Socket, index: u32, gateway: IpAddr) -> io::Result<()> {
    let mut message = Message::new(
        libc::RTM_NEWROUTE,
        CREATE | EXCLUSIVE,
        &route(gateway, 0, libc::RT_SCOPE_UNIVERSE),
    );
    message.attribute(libc::RTA_GATEWAY, &octets(gateway));
    message.number(libc::RTA_OIF, index);
    socket.request(message)
}

fn kind(message: &mut Message, name: &str, data: impl FnOnce(&mut Message)) {
    message.nest(libc::IFLA_LINKINFO, |info| {
        info.name(libc::IFLA_INFO_KIND, name);
        info.nest(libc::IFLA_INFO_DATA, data);
    });
}

/// `struct ifinfomsg`.
fn header(index: u32, flags: u32) -> [u8; LINK_HEADER_BYTES] {
    let mut bytes = [0; LINK_HEADER_BYTES];
    put(&mut bytes, 4, &index.to_ne_bytes());
    put(&mut bytes, 8, &flags.to_ne_bytes());
    put(&mut bytes, 12, &flags.to_ne_bytes());
    bytes
}

/// `struct rtmsg`.
fn route(address: IpAddr, length: u8, scope: u8) -> [u8; 12] {
    let (table, by, kind) = (libc::RT_TABLE_MAIN, libc::RTPROT_STATIC, libc::RTN_UNICAST);
    [family(address), length, 0, 0, table, by, scope, kind, 0, 0, 0, 0]
}

fn put(bytes: &mut [u8], at: usize, value: &[u8]) {
    for (to, from) in bytes.iter_mut().skip(at).zip(value) {
        *to = *from;
    }
}

fn family(address: IpAddr) -> u8 {
    match address {
        IpAddr::V4(_) => libc::AF_INET as u8,
        IpAddr::V6(_) => libc::AF_INET6 as u8,
    }
}

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}
