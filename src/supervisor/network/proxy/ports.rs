//! The ports that svcd holds for a unit's proxy: taken, taken back from a former life, and shown.

use std::net::{IpAddr, Ipv6Addr};
use std::os::fd::OwnedFd;

use rustix::io::Errno;
use rustix::process::{PidfdGetfdFlags, pidfd_getfd};

use super::Proxied;
use crate::engine::UnitId;
use crate::engine::event::SpawnFailure;
use crate::net::proxy::{Inlet, Reach, Way, ways};
use crate::supervisor::Supervisor;
use crate::supervisor::children::signal;
use crate::supervisor::former::Former;
use crate::supervisor::kept::{Descriptor, KeptLife};
use crate::supervisor::lives::{Life, Process};
use crate::supervisor::network::addresses::refused;
use crate::supervisor::processes;
use crate::supervisor::spawn::from_io;
use crate::unit::{Direction, Kind, Peer, Publish, Rule, Service, Signal};

/// Sockets of one unit: each is a descriptor of svcd's.
const INLETS_MAX: usize = 1024;

impl Supervisor {
    /// Takes the ports that a proxy is to lead to a unit that is on the bridge by now.
    pub(in crate::supervisor::network) fn take_ports(&mut self, unit: UnitId) -> Result<(), SpawnFailure> {
        let Some(life) = self.lives.get(&unit) else {
            return Ok(());
        };
        let Kind::Service(service) = &life.unit.kind else {
            return Ok(());
        };
        let reach = match self.networks.without_rules {
            true => Reach::All,
            false => Reach::LoopbackV6,
        };
        let ways = self.ways_of(unit, service, reach);
        if ways.len() > INLETS_MAX {
            let why = format!("it takes {} sockets, and a proxy has {INLETS_MAX} at most", ways.len());
            return Err(refused("publish", why, Errno::TOOBIG));
        }
        // Those of the run before that are to lead to the same ports; the others are nobody's from now on.
        let port = self.lives.get_mut(&unit).and_then(|life| life.port.as_mut());
        let mut held = port
            .map(|port| std::mem::take(&mut port.proxied.inlets))
            .unwrap_or_default();
        let inlets = ways.into_iter().map(|way| {
            let is_same = |inlet: &Inlet| inlet.way.at == way.at && inlet.way.protocol == way.protocol;
            let Some(place) = held.iter().position(is_same) else {
                return Inlet::open(way).map_err(|error| (way, error));
            };
            let mut inlet = held.swap_remove(place);
            inlet.way = way;
            Ok(inlet)
        });
        let inlets: Vec<Inlet> = inlets.collect::<Result<_, _>>().map_err(|(way, error)| {
            match error.raw_os_error().map(Errno::from_raw_os_error) {
                Some(Errno::ADDRINUSE) => {
                    let why = format!("port {} is taken by a process of the machine", way.at.port());
                    refused("publish", why, Errno::ADDRINUSE)
                }
                Some(_) | None => from_io(&format!("publish {}", way.at), &error),
            }
        })?;
        if let Some(port) = self.lives.get_mut(&unit).and_then(|life| life.port.as_mut()) {
            port.proxied = Proxied {
                inlets,
                ..Proxied::default()
            };
        }
        Ok(())
    }

    /// What it publishes that a proxy leads. Rules hold for `::1` too, of which all clients have that one address.
    fn ways_of(&self, unit: UnitId, service: &Service, reach: Reach) -> Vec<Way> {
        let its = &service.connectivity;
        let addresses = self.networks.members.get(&unit).map(|joined| &*joined.member.addresses);
        let mut ways = ways(&its.publish, addresses.unwrap_or_default(), reach);
        let local = IpAddr::V6(Ipv6Addr::LOCALHOST);
        ways.retain(|way| way.at.ip() != local || admits(&its.allow, &its.deny, local, way));
        ways
    }

    /// What leads to its published ports, and which of `::1` a proxy leads besides.
    pub(in crate::supervisor::network) fn means_of_publishing(
        &self,
        life: &Life,
        service: &Service,
    ) -> (&'static str, Vec<String>) {
        let local = IpAddr::V6(Ipv6Addr::LOCALHOST);
        let inlets = life.port.iter().flat_map(|port| &port.proxied.inlets);
        let of_local = inlets.clone().filter(|inlet| inlet.way.at.ip() == local);
        let publish = &service.connectivity.publish;
        if self.networks.without_rules
            || inlets.clone().count() > of_local.clone().count()
            || publish.iter().all(|published| published.address == Some(local))
        {
            return ("proxy", Vec::new());
        }
        let is_proxied = |published: &&Publish| {
            let ports = published.outside.first..=published.outside.last;
            let mut ways = of_local.clone().map(|inlet| &inlet.way);
            ways.any(|way| way.protocol == published.protocol && ports.contains(&way.at.port()))
        };
        let at_local = |published: &Publish| Publish {
            address: Some(local),
            ..*published
        };
        let all = publish
            .iter()
            .filter(|published| published.address.is_none_or(|at| at == local));
        let proxied = all.filter(is_proxied).map(|published| at_local(published).to_string());
        ("nftables", proxied.collect())
    }

    /// What a former life's run had published by a proxy: handed over, or still open in that.
    pub(in crate::supervisor) fn take_ports_back(&mut self, unit: UnitId, kept: &KeptLife, former: &mut Former) {
        let Some(life) = self.lives.get(&unit) else { return };
        let Kind::Service(service) = &life.unit.kind else {
            return;
        };
        let mut known = self.ways_of(unit, service, Reach::All);
        known.extend(self.ways_of(unit, service, Reach::LoopbackV6));
        let handed_over: Vec<OwnedFd> = kept.inlets.iter().filter_map(|its| former.take(its)).collect();
        let sockets = match (&life.proxy, handed_over.len() == kept.inlets.len()) {
            (Some(proxy), false) => open_in(proxy, &kept.inlets),
            (Some(_) | None, _) => handed_over,
        };
        let inlets = sockets.into_iter().filter_map(|socket| {
            let way = known.iter().find(|way| Inlet::is_bound(&socket, way))?;
            Some(Inlet { way: *way, socket })
        });
        let inlets: Vec<Inlet> = inlets.collect();
        let lost = inlets.len() < kept.inlets.len();
        let proxy = self.lives.get(&unit).and_then(|life| life.proxy.as_ref());
        if lost && let Some(proxy) = proxy {
            signal(&proxy.pidfd, Signal::KILL);
        }
        let is_alone = proxy.is_none() && !kept.inlets.is_empty();
        if let Some(port) = self.lives.get_mut(&unit).and_then(|life| life.port.as_mut()) {
            port.proxied.inlets = if lost { Vec::new() } else { inlets };
            port.proxied.lost = lost;
            if lost || is_alone {
                port.proxied.try_again();
            }
        }
    }
}

/// Those of these sockets that a process has open.
fn open_in(process: &Process, wanted: &[Descriptor]) -> Vec<OwnedFd> {
    let entries = processes::file(process.pid, "fd").and_then(|dir| std::fs::read_dir(dir).ok());
    let numbers = entries
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let all = numbers.filter_map(|number| pidfd_getfd(&process.pidfd, number, PidfdGetfdFlags::empty()).ok());
    all.filter(|fd| wanted.iter().any(|its| its.key() != (0, 0) && its.is(fd)))
        .collect()
}

/// Whether a unit's rules let a client come in; what refuses goes first, as in the tables of [`crate::net`].
fn admits(allow: &[Rule], deny: &[Rule], client: IpAddr, way: &Way) -> bool {
    let is_about = |rule: &&Rule| {
        let peer = match &rule.peer {
            Peer::Any => true,
            Peer::Unit(_) => false,
            Peer::Subnet(subnet) => subnet.contains(client),
        };
        let port = way.to.port();
        let ports = rule
            .ports
            .is_none_or(|ports| (ports.first..=ports.last).contains(&port));
        let protocol = rule.protocol.is_none_or(|protocol| protocol == way.protocol);
        peer && ports && protocol
    };
    let of_clients = |rules: &'_ [Rule]| -> Vec<Rule> {
        let rules = rules.iter().filter(|rule| rule.direction == Direction::In);
        rules.cloned().collect()
    };
    let (allow, deny) = (of_clients(allow), of_clients(deny));
    !deny.iter().any(|rule| is_about(&rule)) && (allow.is_empty() || allow.iter().any(|rule| is_about(&rule)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::unit::Protocol;

    #[test]
    fn rules_hold_for_who_comes_by_a_proxy() {
        let way = Way {
            at: "[::1]:8080".parse().unwrap(),
            to: "[fd73::2]:80".parse().unwrap(),
            protocol: Protocol::Tcp,
        };
        let rules = |texts: &[&str]| -> Vec<Rule> { texts.iter().map(|text| Rule::parse(text).unwrap()).collect() };
        for (allow, deny, admitted) in [
            (&[][..], &[][..], true),
            (&["in:*:80"], &[], true),
            (&["in:[::1]"], &[], true),
            (&["in:*:80/udp"], &[], false),
            (&["in:*:8080"], &[], false),
            (&["in:web:80"], &[], false),
            (&["out:web:80"], &[], true),
            (&[], &["in:[::/0]"], false),
            (&["in:*:80"], &["in:[::1]:80/tcp"], false),
            (&[], &["in:10.0.0.0/8", "out:*"], true),
        ] {
            let local = "::1".parse().unwrap();
            assert_eq!(
                admits(&rules(allow), &rules(deny), local, &way),
                admitted,
                "{allow:?} {deny:?}"
            );
        }
    }
}
