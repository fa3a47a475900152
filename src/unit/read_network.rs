//! The values of `[network]`, as [`super::read`] does it for the others.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::decode::{Issue, at_of, get, nearest};
use super::keys::OfNetwork;
use super::node::{Data, Node, Table};
use super::read::{Read, list, map, parsed, text, wrong};
use super::{Connectivity, Network, Publish, Rule, Service, Subnet};

/// Whether it can be read.
pub fn check(which: OfNetwork, node: &Node, issues: &mut Vec<Issue>) {
    let checked = match which {
        OfNetwork::Mode => mode(node).map(drop),
        OfNetwork::Subnets => subnets(node).map(drop),
        OfNetwork::Parent => parent(node).map(drop),
        OfNetwork::Addresses => addresses(node).map(drop),
        OfNetwork::Publish => list(node, |item| parsed(item, Publish::parse)).map(drop),
        OfNetwork::Hosts => hosts(node).map(drop),
        OfNetwork::Rules => rules(node).map(drop),
    };
    if let Err((at, message)) = checked {
        let shown = text(node).unwrap_or_default();
        let words = ["host", "none", "bridge", "macvlan", "ipvlan", "path:", "join:"];
        let near = nearest(&shown, words.into_iter()).filter(|_| which == OfNetwork::Mode);
        issues.push(Issue::error(at, message).hint(near.map(|near| format!("did you mean `{near}`?"))));
    }
}

/// The whole table but for the mode.
pub fn connectivity(tree: &Table) -> Connectivity {
    Connectivity {
        address: get(tree, "network", "address", subnets).unwrap_or_default(),
        parent: get(tree, "network", "parent", parent),
        gateway: get(tree, "network", "gateway", addresses).unwrap_or_default(),
        publish: get(tree, "network", "publish", |node| {
            list(node, |item| parsed(item, Publish::parse))
        })
        .unwrap_or_default(),
        dns: get(tree, "network", "dns", addresses).unwrap_or_default(),
        hosts: get(tree, "network", "hosts", hosts).unwrap_or_default(),
        allow: get(tree, "network", "allow", rules).unwrap_or_default(),
        deny: get(tree, "network", "deny", rules).unwrap_or_default(),
    }
}

/// What goes only together with another key.
pub fn together(tree: &Table, service: &Service, issues: &mut Vec<Issue>) {
    let its = &service.connectivity;
    let mut error = |key: &str, message: String| {
        if let Some(at) = at_of(tree, "network", key) {
            issues.push(Issue::error(at, message));
        }
    };
    let on_bridge = service.network == Network::Bridge;
    let on_parent = matches!(service.network, Network::On(_));
    let needs: [(&str, bool, bool, &str); 6] = [
        (
            "address",
            !its.address.is_empty(),
            on_bridge || on_parent,
            "\"bridge\", \"macvlan\" or \"ipvlan\"",
        ),
        ("parent", its.parent.is_some(), on_parent, "\"macvlan\" or \"ipvlan\""),
        (
            "gateway",
            !its.gateway.is_empty(),
            on_parent,
            "\"macvlan\" or \"ipvlan\"",
        ),
        ("publish", !its.publish.is_empty(), on_bridge, "\"bridge\""),
        ("allow", !its.allow.is_empty(), on_bridge, "\"bridge\""),
        ("deny", !its.deny.is_empty(), on_bridge, "\"bridge\""),
    ];
    for (key, is_set, fits, modes) in needs {
        if is_set && !fits {
            error(key, format!("`{key}` needs `mode` {modes}"));
        }
    }
    if on_parent && its.parent.is_none() {
        error(
            "mode",
            "it needs a `parent`, the link of the machine that its own is on".to_owned(),
        );
    }
    if !service.isolation.mount {
        for (key, is_set) in [("dns", !its.dns.is_empty()), ("hosts", !its.hosts.is_empty())] {
            if is_set {
                error(key, format!("`{key}` needs `mount = true` in `[isolation]`"));
            }
        }
    }
    for (nth, one) in its.publish.iter().enumerate() {
        if its.publish.iter().skip(nth + 1).any(|other| one.meets(other)) {
            error("publish", format!("`{one}` is there twice"));
        }
    }
}

pub fn mode(node: &Node) -> Read<Network> {
    match Network::parse(&text(node)?) {
        Some(mode) => Ok(mode),
        None => wrong(
            node,
            "expected \"host\", \"none\", \"bridge\", \"macvlan\", \"ipvlan\", \"path:/run/netns/NAME\" or \"join:UNIT\"",
        ),
    }
}

/// `"auto"`, an address, or one of each family.
fn subnets(node: &Node) -> Read<Vec<Subnet>> {
    let found = match &node.data {
        Data::Text(word) if word == "auto" => Vec::new(),
        Data::Text(_) => vec![parsed(node, own_address)?],
        Data::Bool(_) | Data::Whole(_) | Data::List(_) | Data::Table(_) | Data::Other => {
            list(node, |item| parsed(item, own_address))?
        }
    };
    match one_of_each(found.iter().map(|its| its.address)) {
        true => Ok(found),
        false => wrong(node, "expected at most one address of each family"),
    }
}

fn own_address(text: &str) -> Result<Subnet, Box<str>> {
    let its = Subnet::parse(text)?;
    match text.contains('/') && !its.address.is_unspecified() && !its.address.is_multicast() {
        true => Ok(its),
        false => Err(format!("`{text}` is no address with the length of its prefix, such as \"10.88.0.7/16\"").into()),
    }
}

fn one_of_each(addresses: impl Iterator<Item = IpAddr>) -> bool {
    let all: Vec<bool> = addresses.map(|address| address.is_ipv4()).collect();
    all.iter().filter(|v4| **v4).count() <= 1 && all.iter().filter(|v4| !**v4).count() <= 1
}

/// A name of a link; netdevice(7), IFNAMSIZ.
fn parent(node: &Node) -> Read<Box<str>> {
    let name = text(node)?;
    let good = (1..=15).contains(&name.len()) && !name.contains(['/', ':']) && !name.contains(char::is_whitespace);
    match good && name != "." && name != ".." {
        true => Ok(name.into()),
        false => wrong(node, format!("`{name}` is no name of a link")),
    }
}

fn address(text: &str) -> Result<IpAddr, Box<str>> {
    text.parse().map_err(|_| format!("`{text}` is no address").into())
}

/// One, or a list.
fn addresses(node: &Node) -> Read<Vec<IpAddr>> {
    match &node.data {
        Data::Text(_) => Ok(vec![parsed(node, address)?]),
        Data::Bool(_) | Data::Whole(_) | Data::List(_) | Data::Table(_) | Data::Other => {
            list(node, |item| parsed(item, address))
        }
    }
}

fn hosts(node: &Node) -> Read<BTreeMap<Box<str>, IpAddr>> {
    let mut found = BTreeMap::new();
    for (name, its) in map(node)? {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '@');
        if name.is_empty() || name.len() > 253 || !name.chars().all(plain) {
            return wrong(node, format!("`{name}` is no name of a host"));
        }
        match address(&its) {
            Ok(its) => found.insert(name, its),
            Err(why) => return wrong(node, why),
        };
    }
    Ok(found)
}

fn rules(node: &Node) -> Read<Vec<Rule>> {
    list(node, |item| parsed(item, Rule::parse))
}
