//! `[network]` of `svcd.toml`: the bridge that services with `mode = "bridge"` are on.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde::Deserialize;
use serde::de::{Deserializer, Error};

use super::machine::LinkSettings;
use crate::net::Bridge;
use crate::unit::Subnet;

/// `[network]`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct NetworkSettings {
    /// The bridge's name, 1 to 8 bytes, which no other supervisor of this machine's network has.
    #[serde(deserialize_with = "name")]
    pub bridge: Box<str>,
    /// IPv4 addresses of the bridge and of the services on it, with a prefix of 8 to 30 bits; `"none"`: none.
    #[serde(deserialize_with = "v4")]
    pub subnet: Option<Subnet>,
    /// IPv6 addresses likewise, with a prefix of 16 to 112 bits; `"none"`: none.
    #[serde(deserialize_with = "v6")]
    pub subnet6: Option<Subnet>,
    /// `[network.links]`: as a machine's init, its own links.
    pub links: BTreeMap<Box<str>, LinkSettings>,
}

/// The last number of an address in its subnet that is given out.
const LAST: u32 = 65_534;

impl Default for NetworkSettings {
    fn default() -> Self {
        Self {
            bridge: "svc0".into(),
            subnet: Some(Subnet {
                address: IpAddr::V4(Ipv4Addr::new(10, 88, 0, 0)),
                prefix: 16,
            }),
            // Of the addresses that are for everybody's own use; RFC 4193.
            subnet6: Some(Subnet {
                address: IpAddr::V6(Ipv6Addr::new(0xfd73, 0x7663, 0, 0, 0, 0, 0, 0)),
                prefix: 64,
            }),
            links: BTreeMap::new(),
        }
    }
}

impl NetworkSettings {
    /// The bridge with its own addresses, which are the first of each subnet. Without IPv6 in the kernel there is none.
    pub fn made(&self, has_ipv6: bool) -> Bridge {
        let first = |subnet: Option<Subnet>| subnet.map(|subnet| (nth(subnet, 1), subnet.prefix));
        let v4 = first(self.subnet).and_then(|(address, prefix)| match address {
            IpAddr::V4(address) => Some((address, prefix)),
            IpAddr::V6(_) => None,
        });
        let v6 = first(self.subnet6).and_then(|(address, prefix)| match address {
            IpAddr::V6(address) => Some((address, prefix)),
            IpAddr::V4(_) => None,
        });
        Bridge {
            name: self.bridge.clone(),
            v4,
            v6: v6.filter(|_| has_ipv6),
        }
    }

    /// The subnets.
    pub fn subnets(&self) -> impl Iterator<Item = Subnet> {
        [self.subnet, self.subnet6].into_iter().flatten()
    }

    /// The numbers of addresses that services can have: not that of the network, of the bridge, or for all.
    pub fn numbers(&self) -> std::ops::RangeInclusive<u32> {
        let last = self
            .subnet
            .map_or(LAST, |subnet| (u32::MAX >> subnet.prefix).saturating_sub(1).min(LAST));
        2..=last
    }
}

/// The address with this number in a subnet.
pub fn nth(subnet: Subnet, number: u32) -> IpAddr {
    match subnet.address {
        IpAddr::V4(address) => {
            let network = u32::from(address) & u32::MAX.checked_shl(32 - u32::from(subnet.prefix)).unwrap_or(0);
            Ipv4Addr::from(network | number).into()
        }
        IpAddr::V6(address) => {
            let network = u128::from(address) & u128::MAX.checked_shl(128 - u32::from(subnet.prefix)).unwrap_or(0);
            Ipv6Addr::from(network | u128::from(number)).into()
        }
    }
}

fn name<'de, D: Deserializer<'de>>(from: D) -> Result<Box<str>, D::Error> {
    let name = Box::<str>::deserialize(from)?;
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    match (1..=8).contains(&name.len()) && name.chars().all(plain) {
        true => Ok(name),
        false => Err(D::Error::custom("expected a name of 1 to 8 letters and digits")),
    }
}

fn v4<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Subnet>, D::Error> {
    let what = "expected an IPv4 subnet with a prefix of 8 to 30, such as \"10.88.0.0/16\", or \"none\"";
    subnet(
        from,
        |its| its.address.is_ipv4() && (8..=30).contains(&its.prefix),
        what,
    )
}

fn v6<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Subnet>, D::Error> {
    let what = "expected an IPv6 subnet with a prefix of 16 to 112, such as \"fd73:7663::/64\", or \"none\"";
    subnet(
        from,
        |its| its.address.is_ipv6() && (16..=112).contains(&its.prefix),
        what,
    )
}

fn subnet<'de, D: Deserializer<'de>>(
    from: D,
    fits: impl Fn(&Subnet) -> bool,
    what: &str,
) -> Result<Option<Subnet>, D::Error> {
    let text = String::deserialize(from)?;
    if text == "none" {
        return Ok(None);
    }
    let read = Subnet::parse(&text).ok().filter(fits);
    read.map(Some).ok_or_else(|| D::Error::custom(what))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bridge_is_the_first_of_its_subnets() {
        let bridge = NetworkSettings::default().made(true);
        assert_eq!(bridge.v4, Some((Ipv4Addr::new(10, 88, 0, 1), 16)));
        assert_eq!(bridge.v6, Some(("fd73:7663::1".parse().unwrap(), 64)));
        assert_eq!(NetworkSettings::default().made(false).v6, None);
        assert_eq!(NetworkSettings::default().numbers(), 2..=65_534);
    }

    #[test]
    fn settings_are_read_or_refused() {
        let read = |text: &str| toml::from_str::<NetworkSettings>(text);
        let small = read("bridge = \"b1\"\nsubnet = \"192.168.7.9/30\"\nsubnet6 = \"none\"").unwrap();
        assert_eq!(small.numbers(), 2..=2);
        assert_eq!(nth(small.subnet.unwrap(), 2), "192.168.7.10".parse::<IpAddr>().unwrap());
        for wrong in [
            "bridge = \"\"",
            "bridge = \"a/b\"",
            "bridge = \"ninebytes\"",
            "subnet = \"10.0.0.0\"",
            "subnet = \"fd00::/64\"",
            "subnet6 = \"10.0.0.0/8\"",
            "subnet = \"10.0.0.0/31\"",
            "lan = 1",
        ] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}
