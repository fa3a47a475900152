//! Makes the machine's side as the plan says, whatever is there before: the bridge, its rules, and no port of anyone's who
//! is not on it.

use std::net::IpAddr;

use super::link::{self, Link};
use super::netlink::Socket;
use super::{Bridge, Member, Plan, Refused, Written, attachment, conntrack, refused, rules, sysctl};
use crate::unit::Subnet;

/// Where rules are written, or why there is no such place.
type Rules = Result<Socket, Refused>;

/// Does it. It may block, so a child calls it. `netfilter` is a socket of the caller's, [`Socket::netfilter`], if it could
/// have one: who closes one waits a grace period of RCU for all that was removed to be freed (`nft_rcv_nl_event` of the
/// kernel's nf_tables_api.c), and nobody closes the caller's here.
///
/// `written` is what this did last. Where the bridge is there since, only who is on it is looked at.
///
/// Some: the rules hold, and are of this generation; see [`Written`]. None: this kernel has none, and nobody asks for any
/// that only a rule can hold.
///
/// # Errors
/// The step, and what the kernel said.
pub fn settle(plan: &Plan, written: Option<&Written>, netfilter: Option<Socket>) -> Result<Option<u32>, Refused> {
    let name = &plan.bridge.name;
    let mut socket = Socket::route().map_err(refused("network rtnetlink"))?;
    let rules = netfilter.map_or_else(Socket::netfilter, Ok);
    let rules = &mut rules.map_err(refused("nf_tables"));
    let links = link::all(&mut socket).map_err(refused("network links"))?;
    let bridge = links.iter().find(|link| *link.name == **name);
    let bridge = match bridge {
        Some(link) if !link.hardware.starts_with(&attachment::OURS) => {
            let step = format!("network link {name} is somebody else's");
            return Err(Refused::new(step, libc::EEXIST));
        }
        found => found.map(|link| link.index),
    };
    if plan.members.is_empty() {
        return end(&mut socket, rules, plan, written, bridge);
    }
    let begun = |written: &&Written| written.plan.bridge == plan.bridge && !written.plan.members.is_empty();
    let bridge = match (bridge, written.filter(begun)) {
        (Some(bridge), Some(_)) => bridge,
        (found, _) => begin(&mut socket, &plan.bridge, found)?,
    };
    let holds = hold(rules, plan, written)?;
    let is_left =
        |link: &&Link| link.master == Some(bridge) && !plan.members.iter().any(|member| *member.link == *link.name);
    for left in links.iter().filter(is_left) {
        remove(&mut socket, left.index, &left.name)?;
    }
    Ok(holds)
}

/// There may be one already, of a life that ended at any step of this.
fn begin(socket: &mut Socket, bridge: &Bridge, found: Option<u32>) -> Result<u32, Refused> {
    let name = &bridge.name;
    let step = format!("network bridge {name}");
    let v4 = bridge.v4.map(|(address, prefix)| subnet(address.into(), prefix));
    let v6 = bridge.v6.map(|(address, prefix)| subnet(address.into(), prefix));
    let addresses: Vec<Subnet> = v4.into_iter().chain(v6).collect();
    if found.is_none() {
        link::make_bridge(socket, name, attachment::hardware(&addresses)).map_err(refused(&step))?;
    }
    let index = link::index(name).map_err(refused(&step))?;
    sysctl::set(&format!("ipv4/conf/{name}/send_redirects"), "0")?;
    if v4.is_some() {
        // What is published on 127.0.0.1 leaves by the bridge; that nothing comes in so is among the rules.
        sysctl::set(&format!("ipv4/conf/{name}/route_localnet"), "1")?;
        sysctl::set("ipv4/ip_forward", "1")?;
    }
    if v6.is_some() {
        sysctl::set(&format!("ipv6/conf/{name}/disable_ipv6"), "0")?;
        sysctl::set(&format!("ipv6/conf/{name}/accept_ra"), "0")?;
        sysctl::forward_ipv6()?;
    }
    for its in addresses {
        let step = format!("network address {}/{} of {name}", its.address, its.prefix);
        link::add_address(socket, index, its, true).map_err(refused(&step))?;
    }
    Ok(index)
}

/// Nobody is on it: it goes, with the rules, and with what is left of ports.
fn end(
    socket: &mut Socket,
    rules: &mut Rules,
    plan: &Plan,
    written: Option<&Written>,
    bridge: Option<u32>,
) -> Result<Option<u32>, Refused> {
    let holds = hold(rules, plan, written)?;
    let Some(bridge) = bridge else { return Ok(holds) };
    for port in link::all(socket).map_err(refused("network links"))? {
        if port.master == Some(bridge) {
            remove(socket, port.index, &port.name)?;
        }
    }
    remove(socket, bridge, &plan.bridge.name)?;
    Ok(holds)
}

/// Where the kernel has no rules, services that ask for none are on the bridge without: they reach each other, and the
/// machine. What they publish a proxy leads to them ([`super::proxy`]).
fn hold(rules: &mut Rules, plan: &Plan, written: Option<&Written>) -> Result<Option<u32>, Refused> {
    let replaced = rules.as_mut().map_err(|refused| refused.clone()).and_then(|socket| {
        let generation = rules::replace(plan, written, socket)?;
        conntrack::forget(socket, written.map(|written| &written.plan), plan);
        Ok(generation)
    });
    match replaced {
        Ok(generation) => Ok(Some(generation)),
        Err(refused) => without_rules(plan, refused.what, refused.errno).map(|()| None),
    }
}

fn without_rules(plan: &Plan, what: String, errno: i32) -> Result<(), Refused> {
    let has_none = matches!(errno, libc::EPROTONOSUPPORT | libc::EOPNOTSUPP | libc::EAFNOSUPPORT);
    let asks = |member: &Member| {
        let keys = [("allow", member.allow.is_empty()), ("deny", member.deny.is_empty())];
        keys.into_iter().find(|(_, is_empty)| !is_empty)
    };
    match plan.members.iter().find_map(asks) {
        None if has_none => Ok(()),
        Some((key, _)) if has_none => Err(Refused::new(key.to_owned(), errno)),
        Some(_) | None => Err(Refused::new(format!("network rules {what}"), errno)),
    }
}

/// One that has gone by itself has.
fn remove(socket: &mut Socket, index: u32, name: &str) -> Result<(), Refused> {
    match link::remove(socket, index) {
        Err(error) if error.raw_os_error() != Some(libc::ENODEV) => {
            Err(refused(&format!("network removal of link {name}"))(error))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

fn subnet(address: IpAddr, prefix: u8) -> Subnet {
    Subnet { address, prefix }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::unit::{Direction, Publish};

    #[test]
    fn rules_that_cannot_be_had_refuse_who_asks_for_them() {
        let plain = Member {
            link: "svc0-2".into(),
            addresses: vec!["10.88.0.2".parse().unwrap()],
            publish: Vec::new(),
            allow: Vec::new(),
            deny: Vec::new(),
        };
        let rule = crate::net::Policy {
            direction: Direction::In,
            peers: None,
            ports: None,
            protocol: None,
        };
        let with = |member: Member| Plan {
            bridge: Bridge {
                name: "svc0".into(),
                v4: None,
                v6: None,
            },
            members: vec![plain.clone(), member],
        };
        let none = |plan: &Plan| without_rules(plan, "table svc0".to_owned(), libc::EOPNOTSUPP);
        assert_eq!(none(&with(plain.clone())), Ok(()));
        let publishes = Member {
            publish: vec![Publish::parse("80").unwrap()],
            ..plain.clone()
        };
        assert_eq!(none(&with(publishes)), Ok(()), "a proxy does it");
        let allows = Member {
            allow: vec![rule.clone()],
            ..plain.clone()
        };
        let denies = Member {
            deny: vec![rule],
            ..plain.clone()
        };
        for (key, member) in [("allow", allows), ("deny", denies)] {
            let refused = Refused::new(key.to_owned(), libc::EOPNOTSUPP);
            assert_eq!(none(&with(member.clone())), Err(refused));
            let other = without_rules(&with(member), "table svc0".to_owned(), libc::ENOMEM).unwrap_err();
            assert_eq!(other.what, "network rules table svc0");
        }
    }
}
