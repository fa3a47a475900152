//! What a proxy is to lead where, and the sockets that it is reached by.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd, OwnedFd};

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, listen, socket_with, sockopt};

use super::udp;
use crate::unit::{Protocol, Publish};

/// Connections that wait to be accepted; the kernel takes no more than net.core.somaxconn.
const BACKLOG: i32 = 4096;

/// A port of the machine that leads to one of a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Way {
    /// Of the machine; an unspecified address is all of its family.
    pub at: SocketAddr,
    /// Of the service.
    pub to: SocketAddr,
    /// Of both.
    pub protocol: Protocol,
}

/// What of the published ports a proxy leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// All.
    All,
    /// Those of `::1` alone, which no rule of nf_tables leads anywhere.
    LoopbackV6,
}

/// What a proxy is to lead for a service with these addresses. Without an address, a port is of each family that the service
/// has.
pub fn ways(publish: &[Publish], addresses: &[IpAddr], reach: Reach) -> Vec<Way> {
    let mut ways = Vec::new();
    for published in publish {
        let loopback = IpAddr::V6(Ipv6Addr::LOCALHOST);
        let of_family = |v4: bool| addresses.iter().copied().find(|to| to.is_ipv4() == v4);
        let any: [IpAddr; 2] = match reach {
            Reach::All => [Ipv4Addr::UNSPECIFIED.into(), Ipv6Addr::UNSPECIFIED.into()],
            Reach::LoopbackV6 => [loopback; 2],
        };
        let ends: Vec<(IpAddr, Option<IpAddr>)> = match (published.address, reach) {
            (None, Reach::All) => any.iter().map(|at| (*at, of_family(at.is_ipv4()))).collect(),
            (None, Reach::LoopbackV6) => vec![(loopback, of_family(false))],
            // Whoever asks for `::1` by itself means the machine's processes, whichever family the service has.
            (Some(at), _) if at == loopback => vec![(at, of_family(false).or_else(|| of_family(true)))],
            (Some(at), Reach::All) => vec![(at, of_family(at.is_ipv4()))],
            (Some(_), Reach::LoopbackV6) => Vec::new(),
        };
        for (at, to) in ends {
            let Some(to) = to else { continue };
            let outside = published.outside.first..=published.outside.last;
            let inside = published.inside.first..=published.inside.last;
            ways.extend(outside.zip(inside).map(|(outside, inside)| Way {
                at: SocketAddr::new(at, outside),
                to: SocketAddr::new(to, inside),
                protocol: published.protocol,
            }));
        }
    }
    ways
}

impl Way {
    /// Whether a client may come by it: to `::1` itself alone, since rules may be about who it is.
    pub fn admits(&self, client: SocketAddr) -> bool {
        self.at.ip() != IpAddr::V6(Ipv6Addr::LOCALHOST) || client.ip() == self.at.ip()
    }
}

/// A socket of the machine's network by which a service is reached.
#[derive(Debug)]
pub struct Inlet {
    /// Where, and where to.
    pub way: Way,
    /// Bound, and listening where connections are made.
    pub socket: OwnedFd,
}

impl Inlet {
    /// Takes the port. An address need not be the machine's yet.
    ///
    /// # Errors
    /// `AddrInUse`: somebody has it. As socket(2), bind(2), listen(2).
    pub fn open(way: Way) -> io::Result<Self> {
        let socket = new_socket(way.at, way.protocol)?;
        if way.at.is_ipv6() {
            sockopt::set_ipv6_v6only(&socket, true)?;
            sockopt::set_ipv6_freebind(&socket, true)?;
        } else {
            sockopt::set_ip_freebind(&socket, true)?;
        }
        if way.protocol == Protocol::Tcp {
            sockopt::set_socket_reuseaddr(&socket, true)?;
        }
        bind(&socket, &way.at)?;
        match way.protocol {
            Protocol::Tcp => listen(&socket, BACKLOG)?,
            Protocol::Udp => udp::tell_destinations(socket.as_fd(), way.at.is_ipv4())?,
        }
        Ok(Self { way, socket })
    }

    /// Whether a socket is bound as this way says.
    pub fn is_bound(socket: impl AsFd, way: &Way) -> bool {
        let kind = match way.protocol {
            Protocol::Tcp => SocketType::STREAM,
            Protocol::Udp => SocketType::DGRAM,
        };
        let at = rustix::net::getsockname(&socket).and_then(SocketAddr::try_from);
        at == Ok(way.at) && sockopt::socket_type(&socket) == Ok(kind)
    }
}

/// A child that is being cloned has a copy until its first step, which closes it. A port of TCP is not taken by that: what
/// does not listen is in the way of nobody who says SO_REUSEADDR; tcp(7), ip(7).
impl Drop for Inlet {
    fn drop(&mut self) {
        if self.way.protocol == Protocol::Tcp {
            let _ = rustix::net::shutdown(&self.socket, rustix::net::Shutdown::Both);
        }
    }
}

/// One that never waits.
pub fn new_socket(address: SocketAddr, protocol: Protocol) -> Result<OwnedFd, Errno> {
    let family = if address.is_ipv4() {
        AddressFamily::INET
    } else {
        AddressFamily::INET6
    };
    let kind = match protocol {
        Protocol::Tcp => SocketType::STREAM,
        Protocol::Udp => SocketType::DGRAM,
    };
    socket_with(family, kind, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK, None)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(publish: &[&str], addresses: &[&str], reach: Reach) -> Vec<String> {
        let publish: Vec<Publish> = publish.iter().map(|text| Publish::parse(text).unwrap()).collect();
        let addresses: Vec<IpAddr> = addresses.iter().map(|text| text.parse().unwrap()).collect();
        let ways = ways(&publish, &addresses, reach);
        ways.iter()
            .map(|way| format!("{} {} {}", way.at, way.to, way.protocol.as_str()))
            .collect()
    }

    #[test]
    fn a_port_leads_to_the_address_of_its_family() {
        let both = ["10.88.0.2", "fd73::2"];
        assert_eq!(
            shown(&["8080:80"], &both, Reach::All),
            ["0.0.0.0:8080 10.88.0.2:80 tcp", "[::]:8080 [fd73::2]:80 tcp"]
        );
        assert_eq!(
            shown(&["8080:80"], &both[..1], Reach::All),
            ["0.0.0.0:8080 10.88.0.2:80 tcp"]
        );
        assert_eq!(
            shown(&["127.0.0.1:5-6:7-8/udp"], &both, Reach::All),
            ["127.0.0.1:5 10.88.0.2:7 udp", "127.0.0.1:6 10.88.0.2:8 udp"]
        );
        assert_eq!(shown(&["127.0.0.1:5:7"], &both[1..], Reach::All), [""; 0]);
    }

    #[test]
    fn what_rules_lead_is_left_to_them() {
        let both = ["10.88.0.2", "fd73::2"];
        let ports = ["8080:80", "127.0.0.1:1:1", "[::1]:2:2/udp"];
        assert_eq!(
            shown(&ports, &both, Reach::LoopbackV6),
            ["[::1]:8080 [fd73::2]:80 tcp", "[::1]:2 [fd73::2]:2 udp"]
        );
        assert_eq!(
            shown(&ports, &both[..1], Reach::LoopbackV6),
            ["[::1]:2 10.88.0.2:2 udp"]
        );
    }
}
