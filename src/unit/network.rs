//! `[network]`: the network that a service sees.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;

use serde::{Serialize, Serializer};

use super::UnitName;
use super::ports::{PortRange, Protocol, Publish, number, split_protocol};

/// `[network] mode`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Network {
    /// svcd's own network.
    Host,
    /// A namespace with nothing but loopback, which is up.
    None,
    /// A namespace with a link to svcd's bridge.
    Bridge,
    /// A namespace with a link of this kind on a link of the machine.
    On(Sharing),
    /// A namespace that is there, by a path such as /run/netns/NAME; ip-netns(8).
    Path(PathBuf),
    /// That of another unit.
    Join(UnitName),
}

/// How a link shares another, its parent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sharing {
    /// With a hardware address of its own.
    Macvlan,
    /// With that of its parent.
    Ipvlan,
}

impl Network {
    /// It has links of its own, which svcd makes.
    pub fn has_links(&self) -> bool {
        matches!(self, Self::Bridge | Self::On(_))
    }
}

impl Network {
    /// Reads a mode.
    pub fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "host" => Self::Host,
            "none" => Self::None,
            "bridge" => Self::Bridge,
            "macvlan" => Self::On(Sharing::Macvlan),
            "ipvlan" => Self::On(Sharing::Ipvlan),
            other => match (other.strip_prefix("path:"), other.strip_prefix("join:")) {
                (Some(path), _) => Self::Path(path.starts_with('/').then(|| path.into())?),
                (None, Some(unit)) => Self::Join(UnitName::new(unit).ok()?),
                (None, None) => return None,
            },
        })
    }
}

impl Serialize for Network {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Host => to.serialize_str("host"),
            Self::None => to.serialize_str("none"),
            Self::Bridge => to.serialize_str("bridge"),
            Self::On(Sharing::Macvlan) => to.serialize_str("macvlan"),
            Self::On(Sharing::Ipvlan) => to.serialize_str("ipvlan"),
            Self::Path(path) => to.collect_str(&format_args!("path:{}", path.display())),
            Self::Join(unit) => to.collect_str(&format_args!("join:{unit}")),
        }
    }
}

/// The rest of `[network]`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Connectivity {
    /// Its own addresses, at most one of each family. Empty: svcd chooses on its bridge; on a parent it has none.
    pub address: Vec<Subnet>,
    /// The link of the machine that its own is on.
    pub parent: Option<Box<str>>,
    /// Routers on its parent's network, at most one of each family.
    pub gateway: Vec<IpAddr>,
    /// What is reached from outside.
    pub publish: Vec<Publish>,
    /// Name servers.
    pub dns: Vec<IpAddr>,
    /// Names that it knows.
    pub hosts: BTreeMap<Box<str>, IpAddr>,
    /// Where a direction has one, nothing else of it passes.
    pub allow: Vec<Rule>,
    /// Goes before what is allowed.
    pub deny: Vec<Rule>,
}

/// An address with the length of its network's prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Subnet {
    /// Of the network or of somebody in it.
    pub address: IpAddr,
    /// 0 to 32, or 128.
    pub prefix: u8,
}

/// A rule: `DIRECTION:PEER:PORTS/PROTOCOL`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Seen from the service.
    pub direction: Direction,
    /// The other side.
    pub peer: Peer,
    /// Of the one who is connected to. None: any, and of any protocol where that is absent too.
    pub ports: Option<PortRange>,
    /// None: tcp and udp where there are ports, else all.
    pub protocol: Option<Protocol>,
}

/// Who connects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// The other to the service.
    In,
    /// The service to the other.
    Out,
}

/// The other side of a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Peer {
    /// Everybody.
    Any,
    /// A unit on the bridge.
    Unit(UnitName),
    /// Everybody in it.
    Subnet(Subnet),
}

impl Subnet {
    /// Reads `10.88.0.7/16`; without a prefix it is the address alone.
    ///
    /// # Errors
    /// What is wrong with it, in one line.
    pub fn parse(text: &str) -> Result<Self, Box<str>> {
        let wrong = || format!("`{text}` is no address with the length of a prefix, such as \"10.88.0.7/16\"");
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| wrong())?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let prefix = match prefix {
            None => Some(most),
            Some(prefix) => number(prefix).and_then(|prefix| u8::try_from(prefix).ok()),
        };
        match prefix.filter(|prefix| *prefix <= most) {
            Some(prefix) => Ok(Self { address, prefix }),
            None => Err(wrong().into()),
        }
    }

    /// Whether an address is in the network that this one is in.
    pub fn contains(&self, other: IpAddr) -> bool {
        let bits = |address: IpAddr| match address {
            IpAddr::V4(address) => (u128::from(u32::from(address)) << 96, 4),
            IpAddr::V6(address) => (u128::from(address), 6),
        };
        let ((one, family), (two, other)) = (bits(self.address), bits(other));
        family == other && (self.prefix == 0 || (one ^ two) >> (128 - u32::from(self.prefix)) == 0)
    }
}

impl Rule {
    /// Reads `in:web:5432/tcp`, `out:10.0.0.0/8`, `in:*:80`, `out:[fd00::/8]:53/udp`.
    ///
    /// # Errors
    /// What is wrong with it, in one line.
    pub fn parse(text: &str) -> Result<Self, Box<str>> {
        let wrong = || -> Box<str> {
            Box::from(format!(
                "`{text}` is no rule: \"in:web:5432/tcp\", \"out:10.0.0.0/8\", \"in:*:80\", \"out:[fd00::/8]:53/udp\""
            ))
        };
        let (direction, rest) = text.split_once(':').ok_or_else(wrong)?;
        let direction = match direction {
            "in" => Direction::In,
            "out" => Direction::Out,
            _ => return Err(wrong()),
        };
        let (rest, protocol) = split_protocol(rest);
        let (peer, ports) = if let Some(rest) = rest.strip_prefix('[') {
            let (peer, behind) = rest.split_once(']').ok_or_else(wrong)?;
            match behind.strip_prefix(':') {
                Some(ports) => (peer, Some(ports)),
                None if behind.is_empty() => (peer, None),
                None => return Err(wrong()),
            }
        } else {
            rest.split_once(':')
                .map_or((rest, None), |(peer, ports)| (peer, Some(ports)))
        };
        let peer = match peer {
            "*" => Peer::Any,
            address if address.contains(['.', ':', '/']) && Subnet::parse(address).is_ok() => {
                Peer::Subnet(Subnet::parse(address)?)
            }
            unit => Peer::Unit(UnitName::new(unit).map_err(|_| wrong())?),
        };
        let ports = ports
            .map(|ports| PortRange::parse(ports).ok_or_else(wrong))
            .transpose()?;
        Ok(Self {
            direction,
            peer,
            ports,
            protocol,
        })
    }
}

impl fmt::Display for Subnet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.direction {
            Direction::In => "in:",
            Direction::Out => "out:",
        })?;
        match &self.peer {
            Peer::Any => f.write_str("*")?,
            Peer::Unit(unit) => write!(f, "{unit}")?,
            Peer::Subnet(subnet) if subnet.address.is_ipv6() => write!(f, "[{subnet}]")?,
            Peer::Subnet(subnet) => write!(f, "{subnet}")?,
        }
        if let Some(ports) = self.ports {
            write!(f, ":{ports}")?;
        }
        self.protocol
            .map_or(Ok(()), |protocol| write!(f, "/{}", protocol.as_str()))
    }
}

impl Serialize for Subnet {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl Serialize for Rule {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_there_and_back() {
        for text in [
            "in:web:5432/tcp",
            "out:10.0.0.0/8",
            "in:*:80",
            "out:[fd00::/8]:53/udp",
            "in:web/udp",
            "out:*",
            "in:[::1/128]",
            "in:web@1:1-2",
        ] {
            assert_eq!(Rule::parse(text).unwrap().to_string(), text);
        }
        assert_eq!(Rule::parse("out:1.2.3.4").unwrap().to_string(), "out:1.2.3.4/32");
        for text in [
            "",
            "in",
            "in:",
            "up:web",
            "in:web:",
            "in:web:0",
            "out:[fd00::/8",
            "out:10.0.0.0/33:1",
            "in:a b",
        ] {
            assert!(Rule::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_subnet_contains_its_own() {
        let subnet = Subnet::parse("10.88.0.1/16").unwrap();
        assert!(subnet.contains("10.88.255.9".parse().unwrap()));
        assert!(!subnet.contains("10.89.0.1".parse().unwrap()));
        assert!(!subnet.contains("::1".parse().unwrap()));
        assert!(Subnet::parse("0.0.0.0/0").unwrap().contains("9.9.9.9".parse().unwrap()));
        assert!(Subnet::parse("fd00::/8").unwrap().contains("fd73::1".parse().unwrap()));
    }
}
