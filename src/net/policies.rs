//! Policies: for each member and direction the chain that its packets go through, and the maps that find it.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::expressions::{Is, Rule};
use super::fields::{Field, Ip, LINK_LOCAL, Verdict, octets};
use super::nftables::{Chain, Table};
use super::rules::REFUSE;
use super::sets::{Element, Set, Value, ValueKind};
use super::{Member, Policy};
use crate::unit::{Direction, Protocol};

/// What members send goes through this chain,
pub const FROM_MEMBERS: &str = "from-members";
/// and what is sent to them through this.
pub const TO_MEMBERS: &str = "to-members";

/// A chain for each direction of a member that has a policy, and the two that find the member's.
pub fn members(table: &mut Table<'_>, members: &[Member], bridge: &str, counted: &BTreeMap<String, u64>) {
    for direction in [Direction::Out, Direction::In] {
        let mut elements: BTreeMap<Ip, Vec<Element>> = BTreeMap::new();
        for member in members {
            let verdict = policies(table, member, direction, counted);
            for address in &member.addresses {
                elements.entry(Ip::of(*address)).or_default().push(Element {
                    key: octets(*address),
                    last: None,
                    value: Value::Verdict(verdict.clone()),
                });
            }
        }
        for ip in [Ip::V4, Ip::V6] {
            let set = Set {
                key: vec![member_field(direction, ip)],
                value: ValueKind::Verdict,
                has_ranges: false,
                elements: elements.remove(&ip).unwrap_or_default(),
            };
            table.set(&member_map(direction, ip), &set);
        }
    }
    let find = |chain: &mut Chain<'_, '_>, direction| {
        for ip in [Ip::V4, Ip::V6] {
            let field = member_field(direction, ip);
            chain.rule(|rule| rule.ip(ip).vmap(&[field], &member_map(direction, ip)));
        }
    };
    let mut from = table.chain(FROM_MEMBERS);
    find(&mut from, Direction::Out);
    // Nobody is there by another address, such as that of its link alone, which no policy is about.
    from.rule(|rule| rule.goto(REFUSE));
    let mut to = table.chain(TO_MEMBERS);
    find(&mut to, Direction::In);
    to.rule(|rule| rule.oifname(Is::Same, bridge).destination(LINK_LOCAL).goto(REFUSE));
}

/// What becomes of a member's packets of one direction.
fn policies(table: &mut Table<'_>, member: &Member, direction: Direction, counted: &BTreeMap<String, u64>) -> Verdict {
    let of_direction = |policy: &&Policy| policy.direction == direction;
    let deny: Vec<&Policy> = member.deny.iter().filter(of_direction).collect();
    let allow: Vec<&Policy> = member.allow.iter().filter(of_direction).collect();
    if deny.is_empty() && allow.is_empty() {
        return Verdict::Return;
    }
    let name = format!("{}{}", prefix(direction), member.link);
    table.counter(&name, counted.get(&name).copied().unwrap_or_default());
    let mut chain = table.chain(&name);
    for policy in deny {
        each_match(policy, |found| {
            chain.rule(|rule| found(rule).counter(&name).goto(REFUSE))
        });
    }
    for policy in &allow {
        each_match(policy, |found| chain.rule(|rule| found(rule).leave()));
    }
    if !allow.is_empty() {
        chain.rule(|rule| rule.counter(&name).goto(REFUSE));
    }
    Verdict::Goto(name)
}

/// A rule is about one peer and one protocol.
fn each_match(policy: &Policy, mut each: impl FnMut(&dyn Fn(Rule<'_>) -> Rule<'_>)) {
    let peers: Vec<Option<(IpAddr, u8)>> = match &policy.peers {
        None => vec![None],
        Some(peers) => peers.iter().copied().map(Some).collect(),
    };
    let protocols = match (policy.protocol, policy.ports) {
        (None, None) => vec![None],
        (None, Some(_)) => vec![Some(Protocol::Tcp), Some(Protocol::Udp)],
        (Some(protocol), _) => vec![Some(protocol)],
    };
    for peer in peers {
        for protocol in &protocols {
            each(&|rule: Rule<'_>| {
                let rule = match (policy.direction, peer) {
                    (_, None) => rule,
                    (Direction::In, Some(peer)) => rule.source(peer),
                    (Direction::Out, Some(peer)) => rule.destination(peer),
                };
                let rule = protocol.iter().fold(rule, |rule, protocol| rule.protocol(*protocol));
                policy.ports.iter().fold(rule, |rule, ports| rule.ports(*ports))
            });
        }
    }
}

fn member_field(direction: Direction, ip: Ip) -> Field {
    match direction {
        Direction::In => Field::Destination(ip),
        Direction::Out => Field::Source(ip),
    }
}

/// Of the chain and the counter of a link.
pub fn prefix(direction: Direction) -> &'static str {
    match direction {
        Direction::In => "in-",
        Direction::Out => "out-",
    }
}

fn member_map(direction: Direction, ip: Ip) -> String {
    let towards = match direction {
        Direction::In => TO_MEMBERS,
        Direction::Out => FROM_MEMBERS,
    };
    format!("{towards}-{ip}")
}
