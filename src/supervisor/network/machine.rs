//! The machine's own links, where svcd is its init: `[network.links]` of svcd.toml, or `ip=` on the kernel's command line
//! as the kernel's admin-guide/nfs/nfsroot document has it, which most distributions' kernels leave to their init.

use std::collections::BTreeMap;
use std::fs;
use std::net::{IpAddr, Ipv4Addr};

use serde::Deserialize;
use serde::de::{Deserializer, Error};

use super::NetworkSettings;
use crate::init::CommandLine;
use crate::net::machine as links;
use crate::unit::Subnet;

/// `[network.links.NAME]`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct LinkSettings {
    /// Its addresses, with the lengths of their networks' prefixes.
    #[serde(deserialize_with = "subnets")]
    pub address: Vec<Subnet>,
    /// Routers to all else, at most one of each family.
    #[serde(deserialize_with = "addresses")]
    pub gateway: Vec<IpAddr>,
    /// An instance of the unit `dhcp@` asks for them.
    pub dhcp: bool,
}

const RESOLVERS: &str = "/etc/resolv.conf";

/// Links by name, with what is to be done about each; and name servers.
#[derive(Debug, Default, PartialEq, Eq)]
struct Wanted {
    links: BTreeMap<Box<str>, LinkSettings>,
    dns: Vec<IpAddr>,
}

/// Brings up what is asked for. What cannot be had is said, and the rest is done.
pub fn bring_up(settings: &NetworkSettings, line: &CommandLine) {
    let wanted = wanted(settings, line);
    for (name, link) in &wanted.links {
        if let Err(refused) = links::set_up(name, &link.address, &link.gateway) {
            tracing::error!("{}: {}", refused.what, std::io::Error::from_raw_os_error(refused.errno));
        }
    }
    let has_resolvers = fs::metadata(RESOLVERS).is_ok_and(|meta| meta.len() > 0);
    if !wanted.dns.is_empty() && !has_resolvers {
        let text: String = wanted
            .dns
            .iter()
            .map(|server| format!("nameserver {server}\n"))
            .collect();
        if let Err(error) = fs::write(RESOLVERS, text) {
            tracing::error!("{RESOLVERS}: {error}");
        }
    }
}

/// The links whose addresses are asked for by DHCP.
pub fn by_dhcp(settings: &NetworkSettings, line: &CommandLine) -> Vec<Box<str>> {
    let links = wanted(settings, line).links.into_iter();
    links.filter(|(_, link)| link.dhcp).map(|(name, _)| name).collect()
}

/// The settings go before the command line.
fn wanted(settings: &NetworkSettings, line: &CommandLine) -> Wanted {
    let links = settings.links.clone();
    match line.value("ip") {
        Some(text) if links.is_empty() => of_kernel(text, links::first).unwrap_or_else(|| {
            tracing::error!("ip={text}: not understood");
            Wanted::default()
        }),
        Some(_) | None => Wanted { links, dns: Vec::new() },
    }
}

/// `CLIENT:SERVER:GATEWAY:NETMASK:HOSTNAME:DEVICE:AUTOCONF:DNS0:DNS1`, or AUTOCONF alone.
fn of_kernel(text: &str, first: impl Fn() -> Option<String>) -> Option<Wanted> {
    const BY_DHCP: [&str; 4] = ["dhcp", "on", "any", "both"];
    let parts: Vec<&str> = text.split(':').collect();
    let part = |nth: usize| parts.get(nth).copied().unwrap_or_default();
    let (client, autoconf) = match parts.as_slice() {
        [alone] if alone.parse::<Ipv4Addr>().is_err() => ("", *alone),
        _ => (part(0), part(6)),
    };
    if ["off", "none"].contains(&autoconf) && client.is_empty() {
        return Some(Wanted::default());
    }
    let name: Box<str> = match part(5) {
        "" => first()?.into(),
        name => name.into(),
    };
    let address = |text: &str| (!text.is_empty()).then(|| text.parse::<Ipv4Addr>());
    let mut link = LinkSettings::default();
    match address(client) {
        Some(client) => {
            let client = client.ok()?;
            let prefix = match part(3) {
                "" => class_prefix(client),
                mask => prefix_of(mask.parse().ok()?)?,
            };
            link.address.push(Subnet {
                address: client.into(),
                prefix,
            });
            link.gateway
                .extend(address(part(2)).transpose().ok()?.map(IpAddr::from));
        }
        None if autoconf.is_empty() || BY_DHCP.contains(&autoconf) => link.dhcp = true,
        None => return None,
    }
    let dns = [part(7), part(8)].into_iter().filter_map(address);
    Some(Wanted {
        links: [(name, link)].into(),
        dns: dns
            .map(|server| server.map(IpAddr::from))
            .collect::<Result<_, _>>()
            .ok()?,
    })
}

fn prefix_of(mask: Ipv4Addr) -> Option<u8> {
    let bits = u32::from(mask);
    (bits.leading_ones() + bits.trailing_zeros() == 32).then_some(bits.leading_ones() as u8)
}

/// What the kernel takes where no netmask is given.
fn class_prefix(address: Ipv4Addr) -> u8 {
    match address.octets() {
        [0..128, ..] => 8,
        [128..192, ..] => 16,
        _ => 24,
    }
}

fn subnets<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<Subnet>, D::Error> {
    let texts = Vec::<String>::deserialize(from)?;
    let read = |text: String| match Subnet::parse(&text) {
        Ok(subnet) if text.contains('/') => Ok(subnet),
        Ok(_) => Err(D::Error::custom(format!("`{text}` lacks the length of its prefix"))),
        Err(why) => Err(D::Error::custom(why)),
    };
    texts.into_iter().map(read).collect()
}

fn addresses<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<IpAddr>, D::Error> {
    let texts = Vec::<String>::deserialize(from)?;
    let read = |text: String| {
        text.parse()
            .map_err(|_| D::Error::custom(format!("`{text}` is no address")))
    };
    texts.into_iter().map(read).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Option<Wanted> {
        of_kernel(text, || Some("eth9".to_owned()))
    }

    #[test]
    fn the_kernels_own_words() {
        let full = read("192.0.2.5::192.0.2.1:255.255.255.128:edge:eth0:off:192.0.2.53").unwrap();
        let link = &full.links["eth0"];
        assert_eq!(link.address, [Subnet::parse("192.0.2.5/25").unwrap()]);
        assert_eq!(link.gateway, ["192.0.2.1".parse::<IpAddr>().unwrap()]);
        assert_eq!(full.dns, ["192.0.2.53".parse::<IpAddr>().unwrap()]);
        assert!(!link.dhcp);
        assert_eq!(
            read("10.1.2.3").unwrap().links["eth9"].address,
            [Subnet::parse("10.1.2.3/8").unwrap()]
        );
        for text in ["dhcp", "on", ":::::eth9:dhcp", "any"] {
            let wanted = read(text).unwrap_or_else(|| panic!("{text}"));
            assert!(wanted.links["eth9"].dhcp, "{text}");
        }
        for text in ["off", "none", "::::::none"] {
            assert_eq!(read(text), Some(Wanted::default()), "{text}");
        }
        for text in ["bootpd", "1.2.3", "10.0.0.1:::255.0.255.0", "10.0.0.1::x"] {
            assert_eq!(read(text), None, "{text}");
        }
    }

    #[test]
    fn settings_of_links() {
        let read = |text: &str| toml::from_str::<NetworkSettings>(text);
        let text = "[links.eth0]\naddress = [\"192.0.2.5/24\", \"2001:db8::5/64\"]\ngateway = [\"192.0.2.1\"]\n[links.eth1]\ndhcp = true\n";
        let settings = read(text).unwrap();
        assert_eq!(by_dhcp(&settings, &CommandLine::default()), ["eth1".into()]);
        for text in [
            "[links.eth0]\naddress = [\"192.0.2.5\"]",
            "[links.eth0]\ngateway = [\"x\"]",
            "[links.eth0]\nmtu = 1",
        ] {
            assert!(read(text).is_err(), "{text}");
        }
    }
}
