//! Ports, and those of the machine that lead to a service.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

use serde::{Serialize, Serializer};

/// What carries it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Protocol {
    /// tcp(7).
    Tcp,
    /// udp(7).
    Udp,
}

/// Ports from the first to the last, both counted; 1 to 65535.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PortRange {
    /// The lowest.
    pub first: u16,
    /// Not below the first.
    pub last: u16,
}

/// `[network] publish`: `ADDRESS:OUTSIDE:INSIDE/PROTOCOL`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Publish {
    /// Of the machine. None: any of it.
    pub address: Option<IpAddr>,
    /// Of the machine.
    pub outside: PortRange,
    /// Of the service: as many.
    pub inside: PortRange,
    /// tcp where nothing else is said.
    pub protocol: Protocol,
}

impl PortRange {
    /// Reads `80`, or `8000-8010`.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let port = |text: &str| {
            number(text)
                .and_then(|port| u16::try_from(port).ok())
                .filter(|port| *port != 0)
        };
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        let range = Self {
            first: port(first)?,
            last: port(last)?,
        };
        (range.first <= range.last).then_some(range)
    }

    fn count(self) -> u16 {
        self.last - self.first
    }
}

impl Protocol {
    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        }
    }
}

/// Takes the protocol off.
pub(super) fn split_protocol(text: &str) -> (&str, Option<Protocol>) {
    match (text.strip_suffix("/tcp"), text.strip_suffix("/udp")) {
        (Some(rest), _) => (rest, Some(Protocol::Tcp)),
        (_, Some(rest)) => (rest, Some(Protocol::Udp)),
        (None, None) => (text, None),
    }
}

impl Publish {
    /// Reads `80`, `8080:80`, `127.0.0.1:8080:80/tcp`, `[::1]:53:53/udp`, `8000-8010:8000-8010`.
    ///
    /// # Errors
    /// What is wrong with it, in one line.
    pub fn parse(text: &str) -> Result<Self, Box<str>> {
        let wrong = || -> Box<str> {
            Box::from(format!(
                "`{text}` publishes no port: \"8080:80\", \"127.0.0.1:8080:80/tcp\", \"[::1]:8000-8010:8000-8010/udp\""
            ))
        };
        let (rest, protocol) = split_protocol(text);
        let (address, ports) = if let Some(rest) = rest.strip_prefix('[') {
            let (address, ports) = rest.split_once("]:").ok_or_else(wrong)?;
            (
                Some(IpAddr::V6(address.parse::<Ipv6Addr>().map_err(|_| wrong())?)),
                ports,
            )
        } else {
            match rest.split_once(':') {
                Some((first, ports)) if first.contains('.') => (Some(first.parse().map_err(|_| wrong())?), ports),
                Some(_) | None => (None, rest),
            }
        };
        let (outside, inside) = ports.split_once(':').unwrap_or((ports, ports));
        let outside = PortRange::parse(outside).ok_or_else(wrong)?;
        let inside = PortRange::parse(inside).ok_or_else(wrong)?;
        if outside.count() != inside.count() {
            return Err(format!("`{text}` has not as many ports inside as outside").into());
        }
        Ok(Self {
            address: address.filter(|address| !address.is_unspecified()),
            outside,
            inside,
            protocol: protocol.unwrap_or(Protocol::Tcp),
        })
    }

    /// Whether both would take the same port of the same address.
    pub fn meets(&self, other: &Self) -> bool {
        let addresses = match (self.address, other.address) {
            (Some(one), Some(two)) => one == two,
            (None, _) | (_, None) => true,
        };
        let apart = self.outside.last < other.outside.first || other.outside.last < self.outside.first;
        addresses && !apart && self.protocol == other.protocol
    }
}

impl fmt::Display for PortRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.first == self.last {
            true => write!(f, "{}", self.first),
            false => write!(f, "{}-{}", self.first, self.last),
        }
    }
}

impl fmt::Display for Publish {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.address {
            Some(IpAddr::V4(address)) => write!(f, "{address}:")?,
            Some(IpAddr::V6(address)) => write!(f, "[{address}]:")?,
            None => {}
        }
        write!(f, "{}:{}/{}", self.outside, self.inside, self.protocol.as_str())
    }
}

impl Serialize for Publish {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

/// Decimal, and nothing else.
pub(super) fn number(text: &str) -> Option<u32> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_published_there_and_back() {
        for (text, shown) in [
            ("80", "80:80/tcp"),
            ("8080:80", "8080:80/tcp"),
            ("127.0.0.1:8080:80/tcp", "127.0.0.1:8080:80/tcp"),
            ("0.0.0.0:53:53/udp", "53:53/udp"),
            ("[::1]:8000-8010:9000-9010/udp", "[::1]:8000-8010:9000-9010/udp"),
            ("127.0.0.1:80", "127.0.0.1:80:80/tcp"),
        ] {
            let read = Publish::parse(text).unwrap();
            assert_eq!(read.to_string(), shown);
            assert_eq!(Publish::parse(shown).unwrap(), read);
        }
        for text in [
            "",
            "0",
            "65536",
            "80:",
            ":80",
            "a:80",
            "1-3:1-2",
            "3-1:3-1",
            "1.2.3:80:80",
            "80/sctp",
            "+80",
            "::1:80",
        ] {
            assert!(Publish::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn the_same_port_of_the_same_address_meets() {
        let meets = |one: &str, two: &str| Publish::parse(one).unwrap().meets(&Publish::parse(two).unwrap());
        assert!(meets("80", "80:8080"));
        assert!(meets("127.0.0.1:80:1", "80:2"));
        assert!(meets("1-10:1-10", "10:5"));
        assert!(!meets("127.0.0.1:80:1", "127.0.0.2:80:1"));
        assert!(!meets("80", "80/udp"));
        assert!(!meets("80", "81"));
    }
}
