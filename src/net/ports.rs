//! What a port of the bridge may send: what says that it is from the member's own addresses. Its other frames are dropped, and
//! those of ports that are not ours are let be.

use std::net::{IpAddr, Ipv6Addr};

use super::Member;
use super::attachment;
use super::expressions::{Is, Rule};
use super::fields::{Field, Ip, LINK_LOCAL, link_name, octets};
use super::nftables::{Hook, Kind, Table};
use super::sets::{Element, Set, Value, ValueKind, joined};
use crate::unit::Subnet;

/// `NF_BR_PRI_NAT_DST_BRIDGED` of linux/netfilter_bridge.h; before the bridge learns where an address is.
const FIRST: i32 = -300;
/// Types of ICMPv6: RFC 4861.
const ROUTER_ADVERTISEMENT: u8 = 134;
const NEIGHBOUR_ADVERTISEMENT: u8 = 136;
const REDIRECT: u8 = 137;
/// Of who has no address yet.
const UNSPECIFIED: (IpAddr, u8) = (IpAddr::V6(Ipv6Addr::UNSPECIFIED), 128);

const PORTS: &str = "ports";
const HARDWARE: &str = "hardware";

/// The rules of the table of frames.
pub fn ports(table: &mut Table<'_>, members: &[Member]) {
    let all = members
        .iter()
        .flat_map(|member| member.addresses.iter().map(move |address| (member, *address)));
    for ip in [Ip::V4, Ip::V6] {
        let elements = all.clone().filter(|(_, address)| Ip::of(*address) == ip);
        let key = |(member, address): (&Member, IpAddr)| joined(&[&link_name(&member.link), &octets(address)]);
        table.set(
            &sources(ip),
            &plain_set(vec![Field::InName, Field::Source(ip)], elements.map(key)),
        );
    }
    let links = members.iter().map(|member| link_name(&member.link).to_vec());
    table.set(PORTS, &plain_set(vec![Field::InName], links));
    let key = |member: &Member| joined(&[&link_name(&member.link), &hardware(&member.addresses)]);
    let keys = members.iter().map(key);
    table.set(HARDWARE, &plain_set(vec![Field::InName, Field::EtherSource], keys));

    let mut first = table.hooked_chain("prerouting", Kind::Filter, Hook::Prerouting, FIRST);
    first.rule(|rule| rule.in_set(Is::Other, &[Field::InName], PORTS).accept());
    // Else the bridge would learn from it that another's frames go there.
    let hardware = [Field::InName, Field::EtherSource];
    first.rule(|rule| rule.in_set(Is::Other, &hardware, HARDWARE).drop());
    first.rule(|rule| own(rule.ether_ip(Ip::V4), Is::Same, Ip::V4, Field::Source(Ip::V4)).accept());
    first.rule(|rule| own(rule.ether_arp(), Is::Same, Ip::V4, Field::ArpSource).accept());
    for kind in [ROUTER_ADVERTISEMENT, REDIRECT] {
        first.rule(|rule| rule.ether_ip(Ip::V6).icmp_type(Ip::V6, kind, kind).drop());
    }
    first.rule(|rule| {
        let rule = rule.ether_ip(Ip::V6);
        let rule = rule.icmp_type(Ip::V6, NEIGHBOUR_ADVERTISEMENT, NEIGHBOUR_ADVERTISEMENT);
        let rule = rule.within(Is::Other, Field::NeighbourTarget, LINK_LOCAL);
        own(rule, Is::Other, Ip::V6, Field::NeighbourTarget).drop()
    });
    first.rule(|rule| own(rule.ether_ip(Ip::V6), Is::Same, Ip::V6, Field::Source(Ip::V6)).accept());
    // With these neighbours find each other, and nothing is reached (chain `from-members`).
    for network in [LINK_LOCAL, UNSPECIFIED] {
        first.rule(|rule| {
            let rule = rule.ether_ip(Ip::V6);
            rule.within(Is::Same, Field::Source(Ip::V6), network).accept()
        });
    }
    first.rule(|rule| rule.drop());
}

/// Whether an address is of whom the port belongs to: `iifname . FIELD @sources-ip`
fn own(rule: Rule<'_>, is: Is, ip: Ip, field: Field) -> Rule<'_> {
    rule.in_set(is, &[Field::InName, field], &sources(ip))
}

fn sources(ip: Ip) -> String {
    format!("sources-{ip}")
}

fn hardware(addresses: &[IpAddr]) -> [u8; 6] {
    let subnet = |address: &IpAddr| Subnet {
        address: *address,
        prefix: 0,
    };
    attachment::hardware(&addresses.iter().map(subnet).collect::<Vec<Subnet>>())
}

fn plain_set(key: Vec<Field>, keys: impl Iterator<Item = Vec<u8>>) -> Set {
    let element = |key| Element {
        key,
        last: None,
        value: Value::Nothing,
    };
    Set {
        key,
        value: ValueKind::Nothing,
        has_ranges: false,
        elements: keys.map(element).collect(),
    }
}
