//! Published ports: maps from where a client connects to, to where its packets go.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::Member;
use super::expressions::Rule;
use super::fields::{Field, Ip, number_of, octets};
use super::sets::{Element, Set, Value, ValueKind, joined};
use crate::unit::{PortRange, Publish};

/// Published ports that one rule is about. Those of one address go before those of any, as the order of fields says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Published {
    /// Of any address of the machine.
    any: bool,
    /// Of a range of ports, each of which stays what it is.
    range: bool,
    ip: Ip,
}

impl Published {
    /// All, each with the ports and where they go.
    pub fn all(members: &[Member]) -> BTreeMap<Self, Vec<Element>> {
        let mut maps: BTreeMap<Self, Vec<Element>> = BTreeMap::new();
        let all = members
            .iter()
            .flat_map(|member| member.publish.iter().map(move |publish| (publish, member)));
        for (publish, member) in all {
            let of_its_kind = |to: &&IpAddr| publish.address.is_none_or(|at| Ip::of(at) == Ip::of(**to));
            for to in member.addresses.iter().filter(of_its_kind) {
                let map = Self {
                    any: publish.address.is_none(),
                    range: publish.outside == publish.inside && publish.outside.first != publish.outside.last,
                    ip: Ip::of(*to),
                };
                maps.entry(map).or_default().extend(map.elements(publish, *to));
            }
        }
        maps
    }

    /// A range as one; others each with the port that it becomes.
    fn elements(self, publish: &Publish, to: IpAddr) -> Vec<Element> {
        let key = |port: u16| {
            let address = publish.address.map(octets).unwrap_or_default();
            joined(&[&address, &[number_of(publish.protocol)], &port.to_be_bytes()])
        };
        let PortRange { first, last } = publish.outside;
        if self.range {
            return vec![Element {
                key: key(first),
                last: Some(key(last)),
                value: Value::Bytes(octets(to)),
            }];
        }
        let inside = publish.inside.first..=publish.inside.last;
        (first..=last)
            .zip(inside)
            .map(|(outside, inside)| Element {
                key: key(outside),
                last: None,
                value: Value::Bytes(joined(&[&octets(to), &inside.to_be_bytes()])),
            })
            .collect()
    }

    fn key(self) -> Vec<Field> {
        let address = (!self.any).then_some(Field::Destination(self.ip));
        address
            .into_iter()
            .chain([Field::Protocol, Field::DestinationPort])
            .collect()
    }

    pub fn set(self, elements: Vec<Element>) -> Set {
        let mut value = vec![Field::Destination(self.ip)];
        value.extend((!self.range).then_some(Field::DestinationPort));
        Set {
            key: self.key(),
            value: ValueKind::Fields(value),
            has_ranges: self.range,
            elements,
        }
    }

    pub fn rule(self, rule: Rule<'_>) -> Rule<'_> {
        let rule = rule.ip(self.ip);
        let rule = if self.any { rule.local_destination() } else { rule };
        rule.dnat(self.ip, &self.key(), &self.name(), !self.range)
    }

    pub fn name(self) -> String {
        let at = if self.any { "any" } else { "address" };
        let what = if self.range { "ranges" } else { "ports" };
        format!("{at}-{what}-{}", self.ip)
    }
}
