//! What rules and sets are about: things in a packet, their values as nf_tables has them, and what becomes of the packet;
//! linux/netfilter/nf_tables.h.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

use super::netlink::Message;
use crate::unit::Protocol;

/// `enum nft_data_attributes`.
pub const DATA_VALUE: u16 = 1;
const DATA_VERDICT: u16 = 2;
/// `enum nft_verdict_attributes`.
const VERDICT_CODE: u16 = 1;
const VERDICT_CHAIN: u16 = 2;

/// Names of links are compared whole.
const LINK_NAME_BYTES: usize = libc::IFNAMSIZ;

/// Addresses that each link gives itself; RFC 4291.
pub const LINK_LOCAL: (IpAddr, u8) = (IpAddr::V6(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0)), 10);

/// An Internet protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Ip {
    /// RFC 791.
    V4,
    /// RFC 8200.
    V6,
}

impl Ip {
    /// Of an address.
    pub fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(_) => Self::V4,
            IpAddr::V6(_) => Self::V6,
        }
    }

    /// Its number in netfilter.
    pub fn nfproto(self) -> u8 {
        match self {
            Self::V4 => libc::NFPROTO_IPV4 as u8,
            Self::V6 => libc::NFPROTO_IPV6 as u8,
        }
    }

    /// Its number in a frame.
    pub fn ether_type(self) -> u16 {
        match self {
            Self::V4 => libc::ETH_P_IP as u16,
            Self::V6 => libc::ETH_P_IPV6 as u16,
        }
    }
}

/// As nft(8) has it.
impl fmt::Display for Ip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::V4 => "ip",
            Self::V6 => "ip6",
        })
    }
}

/// Something of a packet that is looked up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field {
    /// Of the link that it came in by.
    InName,
    /// Of a frame.
    EtherSource,
    /// Of IP.
    Source(Ip),
    /// Of IP.
    Destination(Ip),
    /// Of IPv4, as ARP says it.
    ArpSource,
    /// Whom an advertisement of a neighbour is about; RFC 4861.
    NeighbourTarget,
    /// The protocol in IP.
    Protocol,
    /// Of tcp and udp, at the same place.
    DestinationPort,
}

impl Field {
    /// How long it is.
    pub fn bytes(self) -> usize {
        match self {
            Self::InName => LINK_NAME_BYTES,
            Self::EtherSource => 6,
            Self::Source(Ip::V4) | Self::Destination(Ip::V4) | Self::ArpSource => 4,
            Self::Source(Ip::V6) | Self::Destination(Ip::V6) | Self::NeighbourTarget => 16,
            Self::Protocol => 1,
            Self::DestinationPort => 2,
        }
    }

    /// What nft(8) takes it for when it lists a set; the kernel does not look at it.
    pub fn data_type(self) -> u32 {
        match self {
            Self::InName => 41,
            Self::EtherSource => 9,
            Self::Source(Ip::V4) | Self::Destination(Ip::V4) | Self::ArpSource => 7,
            Self::Source(Ip::V6) | Self::Destination(Ip::V6) | Self::NeighbourTarget => 8,
            Self::Protocol => 12,
            Self::DestinationPort => 13,
        }
    }
}

/// How a packet goes on.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// Past this table.
    Accept,
    /// Nowhere.
    Drop,
    /// Behind the rule that jumped here.
    Return,
    /// Through a chain, then behind this rule.
    Jump(String),
    /// Through a chain, then behind the rule that jumped here.
    Goto(String),
}

impl Verdict {
    /// As the value of a rule or an element.
    pub fn write(&self, message: &mut Message) {
        let (code, chain) = match self {
            Self::Accept => (libc::NF_ACCEPT, None),
            Self::Drop => (libc::NF_DROP, None),
            Self::Return => (libc::NFT_RETURN, None),
            Self::Jump(chain) => (libc::NFT_JUMP, Some(chain)),
            Self::Goto(chain) => (libc::NFT_GOTO, Some(chain)),
        };
        message.nest(DATA_VERDICT, |message| {
            message.number_be(VERDICT_CODE, code.cast_unsigned());
            if let Some(chain) = chain {
                message.name(VERDICT_CHAIN, chain);
            }
        });
    }
}

/// Its number in IP.
pub fn number_of(protocol: Protocol) -> u8 {
    match protocol {
        Protocol::Tcp => libc::IPPROTO_TCP as u8,
        Protocol::Udp => libc::IPPROTO_UDP as u8,
    }
}

/// An address as it is in a packet.
pub fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}

/// A name as the kernel has it in its register.
pub fn link_name(name: &str) -> [u8; LINK_NAME_BYTES] {
    let mut bytes = [0; LINK_NAME_BYTES];
    for (to, from) in bytes.iter_mut().zip(name.bytes()) {
        *to = from;
    }
    bytes
}

/// The first bits of an address.
pub fn mask(bytes: usize, prefix: u8) -> Vec<u8> {
    let ones = |at: usize| usize::from(prefix).saturating_sub(8 * at).min(8);
    (0..bytes).map(|at| !(0xff_u16 >> ones(at)) as u8).collect()
}
