//! The rules of a [`Plan`], as the text of nft(8) would have them: a table `inet` of what goes through the machine, and a
//! table `bridge` of what a port may send. Both have the name of the bridge, and no other table is looked at.
//!
//! - A service is reached from outside by its published ports alone, from the machine by all, from others on the bridge by
//!   all that neither side's policy refuses. A policy sees a port as it is inside, a client as it is before its address is
//!   changed: a process of the machine that goes through 127.0.0.1 has that address.
//! - Who is refused hears it at once. What is wrong (an address that is not one's own, a packet of no connection) is dropped.
//! - An address of a service is its own: its frames, its ARP and its advertisements of neighbours say no other, and it
//!   advertises no routes (CVE-2020-10749). Loopback is the machine's own (CVE-2020-8558).
//! - A client's address is changed only where its answers would not come back otherwise (CVE-2021-20199).
//! - Nothing here leads from `::1`: the kernel sends nothing with that address out by another link. A proxy does
//!   ([`super::proxy`]).

use std::collections::BTreeMap;
#[cfg(test)]
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::expressions::{Is, state};
use super::fields::Ip;
use super::netlink::Socket;
use super::nftables::{Batch, Family, Hook, Kind, Table};
#[cfg(test)]
use super::policies::prefix;
use super::policies::{FROM_MEMBERS, TO_MEMBERS, members};
use super::ports::ports;
use super::published::Published;
use super::readings::{counters, generation};
use super::{Member, Plan, Policy, Refused};
use crate::unit::{Direction, PortRange, Protocol, Publish};

/// Priorities of linux/netfilter_ipv4.h: before connection tracking, and where addresses change.
const RAW: i32 = -300;
const DESTINATION: i32 = -100;
const FILTER: i32 = 0;
const SOURCE: i32 = 100;

/// Types of ICMP: RFC 792, RFC 4861.
const REDIRECT_V4: u8 = 5;
const REDIRECT_V6: u8 = 137;
const ROUTER_SOLICITATION: u8 = 133;
const NEIGHBOUR_ADVERTISEMENT: u8 = 136;

const LOOPBACK_V4: (IpAddr, u8) = (IpAddr::V4(Ipv4Addr::new(127, 0, 0, 0)), 8);
const LOOPBACK_V6: (IpAddr, u8) = (IpAddr::V6(Ipv6Addr::LOCALHOST), 128);

const PUBLISHED: &str = "published";
/// What becomes of what is refused.
pub const REFUSE: &str = "refuse";

/// Rules that were written, and nobody has changed any since: the plan, and the generation that it made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// What they are of.
    pub plan: Plan,
    /// Of the kernel's rules; 0: not known.
    pub generation: u32,
}

/// Makes the tables of the plan's bridge what the plan says, in one step: no packet sees a part of it. With no members there
/// are no tables. What was counted of links that stay is kept.
///
/// Where `written` is what is there still, and the plan differs in elements of sets alone, they alone change: that is who
/// comes and goes without a policy. Else the tables are replaced whole.
///
/// Returns the generation that it made, 0 if that is not known. (One that somebody else makes just before is taken for it;
/// then the next does not match, and the tables are replaced whole again.)
///
/// # Errors
/// What the kernel refuses; then all is as it was.
pub fn replace(plan: &Plan, written: Option<&Written>, socket: &mut Socket) -> Result<u32, Refused> {
    let now = generation(socket).unwrap_or(0);
    let next = if now == 0 { 0 } else { now.checked_add(1).unwrap_or(1) };
    let is_there = written.filter(|written| now != 0 && written.generation == now);
    if is_there.is_some_and(|written| written.plan == *plan) {
        return Ok(now);
    }
    if let Some(batch) = is_there.and_then(|written| changes(written, plan))
        && batch.commit(socket).is_ok()
    {
        return Ok(next);
    }
    let name = &plan.bridge.name;
    let mut batch = Batch::new();
    batch.remove(Family::Inet, name);
    batch.remove(Family::Bridge, name);
    if !plan.members.is_empty() {
        // A count is no reason to fail.
        let counted = counters(socket, Family::Inet, name).unwrap_or_default();
        write(&mut batch, plan, &counted);
    }
    batch.commit(socket).map(|()| next)
}

/// What alone is to be changed, if that is all.
pub fn changes(written: &Written, plan: &Plan) -> Option<Batch> {
    if !differ_in_elements(&written.plan, plan) {
        return None;
    }
    let of = |plan: &Plan| {
        let mut batch = Batch::of_elements();
        write(&mut batch, plan, &BTreeMap::new());
        batch
    };
    Batch::changes(&of(&written.plan), &of(plan), written.generation)
}

/// Whether [`write`] writes the same chains, rules, counters and sets of both.
pub fn differ_in_elements(one: &Plan, other: &Plan) -> bool {
    one.bridge == other.bridge
        && one.members.is_empty() == other.members.is_empty()
        && policies(one).eq(policies(other))
        && Published::all(&one.members)
            .keys()
            .eq(Published::all(&other.members).keys())
}

fn policies(plan: &Plan) -> impl Iterator<Item = (&str, &[Policy], &[Policy])> {
    let members = plan.members.iter();
    let members = members.filter(|member| !member.allow.is_empty() || !member.deny.is_empty());
    members.map(|member| (&*member.link, &*member.allow, &*member.deny))
}

/// Whether this kernel has what the rules need. Changes nothing; needs CAP_NET_ADMIN.
///
/// # Errors
/// What it refuses of an example with each kind of rule.
pub fn probe() -> Result<(), Refused> {
    let mut batch = Batch::new();
    write(&mut batch, &example(), &BTreeMap::new());
    batch.check()
}

/// How many packets of each link were refused by its policy: to it, and from it. Links without a policy are not there.
///
/// # Errors
/// As the kernel's dump.
#[cfg(test)]
pub fn refused(bridge: &str) -> io::Result<BTreeMap<String, (u64, u64)>> {
    let mut links: BTreeMap<String, (u64, u64)> = BTreeMap::new();
    for (name, packets) in counters(&mut Socket::netfilter()?, Family::Inet, bridge)? {
        if let Some(link) = name.strip_prefix(prefix(Direction::In)) {
            links.entry(link.to_owned()).or_default().0 = packets;
        } else if let Some(link) = name.strip_prefix(prefix(Direction::Out)) {
            links.entry(link.to_owned()).or_default().1 = packets;
        }
    }
    Ok(links)
}

pub fn write(batch: &mut Batch, plan: &Plan, counted: &BTreeMap<String, u64>) {
    let name = &plan.bridge.name;
    let mut inet = batch.table(Family::Inet, name);
    loopback(&mut inet, name);
    refuse(&mut inet);
    publish(&mut inet, &plan.members);
    source(&mut inet, plan);
    members(&mut inet, &plan.members, name, counted);
    filter(&mut inet, name);
    ports(&mut batch.table(Family::Bridge, name), &plan.members);
}

/// The bridge routes 127.0.0.0/8, so that it can be published (`route_localnet` of ip-sysctl.rst); no one else may use it.
fn loopback(table: &mut Table<'_>, bridge: &str) {
    let mut raw = table.hooked_chain("raw", Kind::Filter, Hook::Prerouting, RAW);
    raw.rule(|rule| rule.iifname(Is::Same, bridge).destination(LOOPBACK_V4).drop());
    raw.rule(|rule| rule.iifname(Is::Other, "lo").source(LOOPBACK_V4).drop());
    raw.rule(|rule| rule.iifname(Is::Other, "lo").source(LOOPBACK_V6).drop());
}

/// Whoever is refused is told. By tcp itself, since the kernel sends few errors of ICMP to one address: one in a second, and
/// none just after a redirect (`icmp_ratelimit`), which is what it thinks of for a packet that goes back to the bridge.
fn refuse(table: &mut Table<'_>) {
    let mut refuse = table.chain(REFUSE);
    refuse.rule(|rule| rule.protocol(Protocol::Tcp).reset());
    refuse.rule(|rule| rule.reject());
}

/// Published ports, for who is outside and for the machine itself.
fn publish(table: &mut Table<'_>, members: &[Member]) {
    let maps = Published::all(members);
    for (map, elements) in &maps {
        table.set(&map.name(), &map.set(elements.clone()));
    }
    let mut published = table.chain(PUBLISHED);
    for map in maps.keys() {
        published.rule(|rule| map.rule(rule));
    }
    let mut outside = table.hooked_chain("dstnat", Kind::Nat, Hook::Prerouting, DESTINATION);
    outside.rule(|rule| rule.jump(PUBLISHED));
    let mut machine = table.hooked_chain("dstnat-output", Kind::Nat, Hook::Output, DESTINATION);
    machine.rule(|rule| rule.destination(LOOPBACK_V6).accept());
    machine.rule(|rule| rule.jump(PUBLISHED));
}

/// Whose address is changed: who leaves the bridge, since nobody outside knows the way back; loopback that goes to the bridge;
/// and who comes back to the bridge by a published port, so that the answers come back through the machine too.
fn source(table: &mut Table<'_>, plan: &Plan) {
    let bridge = &plan.bridge.name;
    let v4 = plan.bridge.v4.map(|(address, prefix)| (IpAddr::V4(address), prefix));
    let v6 = plan.bridge.v6.map(|(address, prefix)| (IpAddr::V6(address), prefix));
    let mut source = table.hooked_chain("srcnat", Kind::Nat, Hook::Postrouting, SOURCE);
    source.rule(|rule| rule.oifname(Is::Same, bridge).source(LOOPBACK_V4).masquerade());
    for subnet in v4.into_iter().chain(v6) {
        source.rule(|rule| rule.oifname(Is::Other, bridge).source(subnet).masquerade());
        source.rule(|rule| {
            let rule = rule.oifname(Is::Same, bridge).source(subnet).destination(subnet);
            rule.redirected(Is::Same).masquerade()
        });
    }
}

/// Who may talk to whom. Neighbours find each other in any case: nothing else works without it.
fn filter(table: &mut Table<'_>, bridge: &str) {
    let neighbours = (ROUTER_SOLICITATION, NEIGHBOUR_ADVERTISEMENT);
    let passed = state::ESTABLISHED | state::RELATED;

    let mut input = table.hooked_chain("input", Kind::Filter, Hook::Input, FILTER);
    input.rule(|rule| rule.iifname(Is::Other, bridge).accept());
    input.rule(|rule| rule.state(passed).accept());
    input.rule(|rule| rule.state(state::INVALID).drop());
    input.rule(|rule| rule.ip(Ip::V6).icmp_type(Ip::V6, neighbours.0, neighbours.1).accept());
    input.rule(|rule| rule.jump(FROM_MEMBERS));

    let mut forward = table.hooked_chain("forward", Kind::Filter, Hook::Forward, FILTER);
    forward.rule(|rule| {
        let rule = rule.iifname(Is::Other, bridge).oifname(Is::Other, bridge);
        rule.accept()
    });
    forward.rule(|rule| rule.state(passed).accept());
    forward.rule(|rule| rule.state(state::INVALID).drop());
    forward.rule(|rule| rule.iifname(Is::Same, bridge).jump(FROM_MEMBERS));
    forward.rule(|rule| rule.iifname(Is::Other, bridge).redirected(Is::Other).goto(REFUSE));
    forward.rule(|rule| rule.oifname(Is::Same, bridge).jump(TO_MEMBERS));

    // The link that a packet leaves by is another here where its destination was changed: members are found by address.
    let mut output = table.hooked_chain("output", Kind::Filter, Hook::Output, FILTER);
    for (ip, redirect) in [(Ip::V4, REDIRECT_V4), (Ip::V6, REDIRECT_V6)] {
        output.rule(|rule| {
            let rule = rule.oifname(Is::Same, bridge).ip(ip);
            rule.icmp_type(ip, redirect, redirect).drop()
        });
    }
    // An error that tells of a refusal is of no connection.
    output.rule(|rule| rule.state(passed | state::INVALID).accept());
    output.rule(|rule| rule.ip(Ip::V6).icmp_type(Ip::V6, neighbours.0, neighbours.1).accept());
    output.rule(|rule| rule.jump(TO_MEMBERS));
}

/// A plan that needs each kind of rule.
pub fn example() -> Plan {
    let v4 = Ipv4Addr::new(192, 0, 2, 1);
    let v6 = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1);
    let ports = |first, last| PortRange { first, last };
    let publish = |address, outside, inside| Publish {
        address,
        outside,
        inside,
        protocol: Protocol::Tcp,
    };
    let policy = |direction, peer| Policy {
        direction,
        peers: Some(vec![(peer, 24)]),
        ports: Some(ports(1, 2)),
        protocol: None,
    };
    Plan {
        bridge: super::Bridge {
            name: "svc-probe".into(),
            v4: Some((v4, 24)),
            v6: Some((v6, 64)),
        },
        members: vec![Member {
            link: "svc-probe1".into(),
            addresses: vec![v4.into(), v6.into()],
            publish: vec![
                publish(None, ports(80, 80), ports(8080, 8080)),
                publish(Some(v4.into()), ports(1, 9), ports(1, 9)),
            ],
            allow: vec![policy(Direction::In, v4.into())],
            deny: vec![policy(Direction::Out, v6.into())],
        }],
    }
}
