//! Which address a unit has on the bridge, and whether what it asks for is free.

use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsFd;

use rustix::io::Errno;
use rustix::net::{bind, sockopt};

use super::{Joined, Networks, Port, settings};
use crate::engine::UnitId;
use crate::engine::event::SpawnFailure;
use crate::net::proxy::new_socket;
use crate::net::{Attachment, Bridge, Member, To};
use crate::supervisor::Supervisor;
use crate::supervisor::spawn::{from_io, unenforceable};
use crate::supervisor::unit_numbers::there;
use crate::unit::{Kind, Protocol, Publish, Service, Subnet, Unenforceable, UnitName};

impl Supervisor {
    pub(super) fn put_on_bridge(
        &mut self,
        unit: UnitId,
        name: &UnitName,
        service: &Service,
    ) -> Result<(), SpawnFailure> {
        let number = self.number_of(name)?;
        let addresses = self.addresses_with(service, number)?;
        let taken = self.networks.members.iter().find(|(other, joined)| {
            **other != unit
                && joined
                    .member
                    .addresses
                    .iter()
                    .any(|its| addresses.iter().any(|own| own.address == *its))
        });
        if let Some((_, joined)) = taken {
            return Err(refused("address", format!("{} has it", joined.unit), Errno::ADDRINUSE));
        }
        let Bridge { name: bridge, v4, v6 } = &self.networks.bridge;
        let link: Box<str> = format!("{bridge}-{number}").into();
        let gateways = [v4.map(|its| IpAddr::V4(its.0)), v6.map(|its| IpAddr::V6(its.0))];
        let has = |gateway: &IpAddr| addresses.iter().any(|its| its.address.is_ipv4() == gateway.is_ipv4());
        let attachment = Attachment {
            to: To::Bridge {
                bridge: bridge.clone(),
                port: link.clone(),
                unit: name.as_str().into(),
            },
            gateways: gateways.into_iter().flatten().filter(has).collect(),
            addresses,
        };
        let its = &service.connectivity;
        let joined = Joined {
            unit: name.clone(),
            member: Member {
                link,
                addresses: attachment.addresses.iter().map(|its| its.address).collect(),
                publish: its.publish.clone(),
                allow: Vec::new(),
                deny: Vec::new(),
            },
            rules: (its.allow.clone(), its.deny.clone()),
        };
        self.networks.members.insert(unit, joined);
        self.networks.changes += 1;
        if let Some(life) = self.lives.get_mut(&unit) {
            let before = life.port.take();
            life.port = Some(Port {
                run: life.run,
                attachment,
                waits_for: None,
                leaves: false,
                proxied: before.map(|before| before.proxied).unwrap_or_default(),
            });
        }
        Ok(())
    }

    /// A unit's number, which its addresses and the name of its link have.
    fn number_of(&mut self, unit: &UnitName) -> Result<u32, SpawnFailure> {
        let written: Vec<IpAddr> = self
            .engine
            .ids()
            .filter_map(|id| match self.engine.unit(id).map(|unit| &unit.kind) {
                Some(Kind::Service(service)) => Some(&service.connectivity.address),
                _ => None,
            })
            .flatten()
            .map(|its| its.address)
            .collect();
        let Networks { numbers, settings, .. } = &mut self.networks;
        numbers.release_all_but(there(&self.lives, &self.engine, &self.files));
        let is_written = |number: &u32| {
            settings
                .subnets()
                .any(|subnet| written.contains(&settings::nth(subnet, *number)))
        };
        match numbers.take(unit, settings.numbers().filter(|number| !is_written(number))) {
            Ok(Some(number)) => Ok(number),
            Ok(None) => Err(refused(
                "address",
                "all of the bridge's are taken".to_owned(),
                Errno::ADDRNOTAVAIL,
            )),
            Err(error) => Err(from_io("address", &error)),
        }
    }

    fn addresses_with(&self, service: &Service, number: u32) -> Result<Vec<Subnet>, SpawnFailure> {
        let Networks { settings, bridge, .. } = &self.networks;
        let written = &service.connectivity.address;
        if let Some(other) = written.iter().find(|its| !self.networks.is_on_bridge(its.address)) {
            let subnets: Vec<String> = settings.subnets().map(|subnet| subnet.to_string()).collect();
            let why = format!(
                "{} is no address of the bridge, which has {}",
                other.address,
                subnets.join(" and ")
            );
            return Err(refused("address", why, Errno::ADDRNOTAVAIL));
        }
        if !written.is_empty() {
            return Ok(written.clone());
        }
        let v4 = settings.subnet.filter(|_| bridge.v4.is_some());
        let v6 = settings.subnet6.filter(|_| bridge.v6.is_some());
        let own = |subnet: Subnet| Subnet {
            address: settings::nth(subnet, number),
            ..subnet
        };
        Ok(v4.into_iter().chain(v6).map(own).collect())
    }

    /// Whether nobody else has a port: none of the units, and no process of the machine.
    pub(super) fn is_free(&self, unit: UnitId, publish: &Publish) -> Result<(), SpawnFailure> {
        let members = self.networks.members.iter().filter(|(other, _)| **other != unit);
        let taken = members.filter(|(_, joined)| joined.member.publish.iter().any(|other| other.meets(publish)));
        if let Some((_, other)) = taken.into_iter().next() {
            return Err(refused(
                "publish",
                format!("{publish} is published by {}", other.unit),
                Errno::ADDRINUSE,
            ));
        }
        let before = self.lives.get(&unit).and_then(|life| life.port.as_ref());
        let any: [IpAddr; 2] = [[0; 4].into(), [0_u16; 8].into()];
        let addresses = publish.address.map_or_else(|| any.to_vec(), |address| vec![address]);
        for address in addresses {
            for port in publish.outside.first..=publish.outside.last {
                if !before.is_some_and(|before| before.proxied.has(port, publish.protocol))
                    && is_bound(SocketAddr::new(address, port), publish.protocol)
                {
                    let why = format!("port {port} is taken by a process of the machine");
                    return Err(refused("publish", why, Errno::ADDRINUSE));
                }
            }
        }
        Ok(())
    }

    /// A kernel that is known to have no rules refuses who asks for some, and nobody else with it.
    pub(super) fn can_have_rules(&self, service: &Service) -> Result<(), SpawnFailure> {
        let its = &service.connectivity;
        let asks = [("allow", &its.allow), ("deny", &its.deny)];
        match asks.into_iter().find(|(_, rules)| !rules.is_empty()) {
            Some((key, _)) if self.networks.without_rules => {
                let why = "this kernel has no nf_tables".to_owned();
                Err(refused(key, why, Errno::PROTONOSUPPORT))
            }
            Some(_) | None => Ok(()),
        }
    }

    /// The addresses of a unit that another's rules name: those that it has, or will have.
    pub(super) fn addresses_of(&mut self, unit: &UnitName) -> Vec<IpAddr> {
        let found = self
            .engine
            .find(unit.as_str())
            .and_then(|id| self.engine.unit(id))
            .cloned();
        let Some(found) = found else { return Vec::new() };
        let Kind::Service(service) = &found.kind else {
            return Vec::new();
        };
        let number = self.number_of(unit).ok();
        let its = number.and_then(|number| self.addresses_with(service, number).ok());
        its.unwrap_or_default().into_iter().map(|its| its.address).collect()
    }
}

/// Somebody has this port; a port below 1024 may be nobody's to look at.
fn is_bound(address: SocketAddr, protocol: Protocol) -> bool {
    let tried = new_socket(address, protocol).and_then(|socket| {
        if address.is_ipv6() {
            sockopt::set_ipv6_v6only(&socket, true)?;
        }
        if protocol == Protocol::Tcp {
            sockopt::set_socket_reuseaddr(&socket, true)?;
        }
        bind(socket.as_fd(), &address)
    });
    tried == Err(Errno::ADDRINUSE)
}

pub(super) fn refused(key: &str, cause: String, errno: Errno) -> SpawnFailure {
    unenforceable(Unenforceable {
        key: key.into(),
        cause: cause.into(),
        errno: errno.raw_os_error(),
    })
}
