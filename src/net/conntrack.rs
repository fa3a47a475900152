//! What the kernel tracks of datagrams to published ports; linux/netfilter/nfnetlink_conntrack.h.
//!
//! An address is changed for the first packet of what is tracked, and for all others as for that. Of tcp a new connection is
//! a new one; of udp there are none, and who goes on sending keeps alive what was tracked before its port was published, or
//! while that led elsewhere: none of it would ever reach the service. So that is forgotten, and nobody else's.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket};

use super::Plan;
use super::netlink::{ACK, DUMP, Message, Socket, attributes};
use crate::unit::{Protocol, Publish};

/// `enum cntl_msg_types`.
const GET: i32 = 1;
const DELETE: i32 = 2;
/// `enum ctattr_type`.
const ORIGINAL: u16 = 1;
const ID: u16 = 12;
const ZONE: u16 = 18;
/// `enum ctattr_tuple`, `enum ctattr_ip`, `enum ctattr_l4proto`.
const TUPLE_IP: u16 = 1;
const TUPLE_PROTOCOL: u16 = 2;
const TUPLE_ZONE: u16 = 3;
const IP_V4_DESTINATION: u16 = 2;
const IP_V6_DESTINATION: u16 = 4;
const PROTOCOL_NUMBER: u16 = 1;
const PROTOCOL_DESTINATION: u16 = 3;
/// `struct nfgenmsg`.
const HEADER_BYTES: usize = 4;

/// Forgets what was tracked to ports of udp that lead elsewhere now than before. A kernel that cannot say what it tracks
/// forgets nothing.
pub fn forget(socket: &mut Socket, before: Option<&Plan>, now: &Plan) {
    let (before, now) = (before.map(published).unwrap_or_default(), published(now));
    let only = |these: &[Way], those: &[Way]| -> Vec<Publish> {
        let changed = these.iter().filter(|way| !those.contains(way));
        changed.map(|(publish, _)| *publish).collect()
    };
    let changed = [only(&before, &now), only(&now, &before)].concat();
    if !changed.is_empty() {
        let _ = forget_ways(socket, &changed);
    }
}

type Way = (Publish, Vec<IpAddr>);

fn published(plan: &Plan) -> Vec<Way> {
    let all = plan.members.iter().flat_map(|member| {
        let udp = member.publish.iter().filter(|its| its.protocol == Protocol::Udp);
        udp.map(|publish| (*publish, member.addresses.clone()))
    });
    all.collect()
}

fn forget_ways(socket: &mut Socket, changed: &[Publish]) -> io::Result<()> {
    let message = |what: i32, flags, family| {
        let kind = (libc::NFNL_SUBSYS_CTNETLINK << 8 | what) as u16;
        Message::new(kind, flags, &[family, 0, 0, 0])
    };
    let mut is_own = BTreeMap::new();
    let mut stale = Vec::new();
    socket.ask(message(GET, DUMP, libc::AF_UNSPEC as u8), |_, body| {
        let tracked = body.get(HEADER_BYTES..).unwrap_or_default();
        let Some((to, port)) = datagrams_to(tracked) else {
            return;
        };
        let leads = |publish: &Publish| {
            let ports = publish.outside.first..=publish.outside.last;
            ports.contains(&port) && publish.address.is_none_or(|at| at == to)
        };
        if changed.iter().any(leads) && *is_own.entry(to).or_insert_with(|| is_of_machine(to)) {
            let mut forgets = message(DELETE, ACK, body.first().copied().unwrap_or_default());
            for (kind, value) in attributes(tracked) {
                match kind {
                    ORIGINAL => forgets.nest(kind, |tuple| tuple.fixed(value)),
                    ID => forgets.attribute(kind, value),
                    _ => {}
                }
            }
            stale.push(forgets);
        }
    })?;
    for forgets in stale {
        // It may have ended by itself.
        let _ = socket.request(forgets);
    }
    Ok(())
}

/// Where something of udp was sent to at first, if it is not of a zone of somebody's.
fn datagrams_to(tracked: &[u8]) -> Option<(IpAddr, u16)> {
    let all = attributes(tracked).collect::<BTreeMap<u16, &[u8]>>();
    let original = attributes(all.get(&ORIGINAL)?).collect::<BTreeMap<u16, &[u8]>>();
    if all.contains_key(&ZONE) || original.contains_key(&TUPLE_ZONE) {
        return None;
    }
    let protocol = attributes(original.get(&TUPLE_PROTOCOL)?).collect::<BTreeMap<u16, &[u8]>>();
    if **protocol.get(&PROTOCOL_NUMBER)? != [libc::IPPROTO_UDP as u8] {
        return None;
    }
    let port = u16::from_be_bytes((*protocol.get(&PROTOCOL_DESTINATION)?).try_into().ok()?);
    let to = attributes(original.get(&TUPLE_IP)?).find_map(|(kind, address)| match kind {
        IP_V4_DESTINATION => Some(Ipv4Addr::from(<[u8; 4]>::try_from(address).ok()?).into()),
        IP_V6_DESTINATION => Some(Ipv6Addr::from(<[u8; 16]>::try_from(address).ok()?).into()),
        _ => None,
    });
    Some((to?, port))
}

/// What the kernel sends to an address of the machine has that address, unless it is one of loopback. Nothing is sent.
fn is_of_machine(address: IpAddr) -> bool {
    let any = match address {
        IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
    };
    let from = UdpSocket::bind((any, 0)).and_then(|socket| {
        socket.connect((address, 9))?;
        socket.local_addr()
    });
    address.is_loopback() || from.is_ok_and(|from| from.ip() == address)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn datagrams_to_a_port_are_known_and_nothing_else_is_taken_for_them() {
        let tracked = |number: i32, zone: bool| {
            let mut message = Message::new(0, 0, &[]);
            message.nest(ORIGINAL, |tuple| {
                tuple.nest(TUPLE_IP, |ip| {
                    ip.attribute(1, &[192, 0, 2, 2]);
                    ip.attribute(IP_V4_DESTINATION, &[192, 0, 2, 1]);
                });
                tuple.nest(TUPLE_PROTOCOL, |protocol| {
                    protocol.attribute(PROTOCOL_NUMBER, &[number as u8]);
                    protocol.attribute(2, &7_u16.to_be_bytes());
                    protocol.attribute(PROTOCOL_DESTINATION, &53_u16.to_be_bytes());
                });
            });
            if zone {
                message.attribute(ZONE, &9_u16.to_be_bytes());
            }
            // Behind nlmsghdr.
            message.finish(0)[16..].to_vec()
        };
        let to = ("192.0.2.1".parse().unwrap(), 53);
        assert_eq!(datagrams_to(&tracked(libc::IPPROTO_UDP, false)), Some(to));
        assert_eq!(datagrams_to(&tracked(libc::IPPROTO_UDP, true)), None);
        assert_eq!(datagrams_to(&tracked(libc::IPPROTO_TCP, false)), None);
        assert_eq!(datagrams_to(&[]), None);
    }

    #[test]
    fn an_address_is_the_machines_or_not() {
        for (address, is) in [
            ("127.0.0.53", true),
            ("127.0.0.1", true),
            ("::1", true),
            ("192.0.2.77", false),
        ] {
            assert_eq!(is_of_machine(address.parse().unwrap()), is, "{address}");
        }
    }
}
