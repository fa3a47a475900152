//! What a rule is made of: the expressions of nf_tables, each method a few words of what nft(8) would say; the values
//! are those of linux/netfilter/nf_tables.h.
//!
//! An expression that loads puts its value in a register, one that compares takes it from there: all begin with the
//! first, since no rule here needs a value twice.

use std::net::IpAddr;

use super::fields::{DATA_VALUE, Field, Ip, Verdict, link_name, mask, number_of, octets};
use super::netlink::Message;
use crate::unit::{PortRange, Protocol};

/// `enum nft_list_attributes`.
pub const LIST_ELEMENT: u16 = 1;
/// `enum nft_expr_attributes`.
const EXPRESSION_NAME: u16 = 1;
const EXPRESSION_DATA: u16 = 2;
/// Of four bytes; a longer value goes on in the next ones.
const FIRST_REGISTER: u32 = libc::NFT_REG32_00 as u32;
const REGISTER_BYTES: usize = 4;
const VERDICT_REGISTER: u32 = libc::NFT_REG_VERDICT as u32;
/// The third byte and the fourth of a header of tcp or udp.
const DESTINATION_PORT_OFFSET: u32 = 2;
/// `IPS_DST_NAT` of linux/netfilter/nf_conntrack_common.h.
const STATUS_DNAT: u32 = 1 << 5;

/// What connection tracking says of a packet; `NF_CT_STATE_BIT` of linux/netfilter/nf_conntrack_common.h.
pub mod state {
    /// Of no connection.
    pub const INVALID: u32 = 1;
    /// Of one that was answered.
    pub const ESTABLISHED: u32 = 1 << 1;
    /// Of one that another one made, or an error of one.
    pub const RELATED: u32 = 1 << 2;
}

/// The expressions of a rule, in their order: what does not match ends the rule.
pub struct Rule<'a>(pub &'a mut Message);

/// Whether what is compared is to be the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Is {
    /// `==`
    Same,
    /// `!=`
    Other,
}

impl Rule<'_> {
    /// `iifname NAME`
    pub fn iifname(self, is: Is, name: &str) -> Self {
        self.meta(libc::NFT_META_IIFNAME).compare(is, &link_name(name))
    }

    /// `oifname NAME`
    pub fn oifname(self, is: Is, name: &str) -> Self {
        self.meta(libc::NFT_META_OIFNAME).compare(is, &link_name(name))
    }

    /// `meta nfproto ipv4`
    pub fn ip(self, ip: Ip) -> Self {
        self.meta(libc::NFT_META_NFPROTO).compare(Is::Same, &[ip.nfproto()])
    }

    /// `ether type ip`
    pub fn ether_ip(self, ip: Ip) -> Self {
        self.ether_type(ip.ether_type())
    }

    /// `ether type arp`
    pub fn ether_arp(self) -> Self {
        self.ether_type(libc::ETH_P_ARP as u16)
    }

    /// As the frame says it, so that one with a tag of a VLAN is of none of the protocols.
    fn ether_type(self, kind: u16) -> Self {
        self.payload(libc::NFT_PAYLOAD_LL_HEADER, 12, 2, FIRST_REGISTER)
            .compare(Is::Same, &kind.to_be_bytes())
    }

    /// `meta l4proto tcp`
    pub fn protocol(self, protocol: Protocol) -> Self {
        self.meta(libc::NFT_META_L4PROTO)
            .compare(Is::Same, &[number_of(protocol)])
    }

    /// `th dport FIRST-LAST`, behind a protocol that has ports.
    pub fn ports(self, ports: PortRange) -> Self {
        self.load(Field::DestinationPort, FIRST_REGISTER)
            .between(&ports.first.to_be_bytes(), &ports.last.to_be_bytes())
    }

    /// `icmp type FIRST-LAST` or `icmpv6 type FIRST-LAST`, behind [`Rule::ip`] or [`Rule::ether_ip`].
    pub fn icmp_type(self, ip: Ip, first: u8, last: u8) -> Self {
        let protocol = match ip {
            Ip::V4 => libc::IPPROTO_ICMP as u8,
            Ip::V6 => libc::IPPROTO_ICMPV6 as u8,
        };
        self.meta(libc::NFT_META_L4PROTO)
            .compare(Is::Same, &[protocol])
            .payload(libc::NFT_PAYLOAD_TRANSPORT_HEADER, 0, 1, FIRST_REGISTER)
            .between(&[first], &[last])
    }

    /// `meta nfproto ipv4 ip saddr ADDRESS/PREFIX`
    pub fn source(self, network: (IpAddr, u8)) -> Self {
        let ip = Ip::of(network.0);
        self.ip(ip).within(Is::Same, Field::Source(ip), network)
    }

    /// `meta nfproto ipv4 ip daddr ADDRESS/PREFIX`
    pub fn destination(self, network: (IpAddr, u8)) -> Self {
        let ip = Ip::of(network.0);
        self.ip(ip).within(Is::Same, Field::Destination(ip), network)
    }

    /// Whether an address is in a network, in a packet that is known to have one of that kind.
    pub fn within(self, is: Is, field: Field, (address, prefix): (IpAddr, u8)) -> Self {
        let mask = mask(field.bytes(), prefix);
        let network: Vec<u8> = octets(address)
            .iter()
            .zip(&mask)
            .map(|(byte, mask)| byte & mask)
            .collect();
        let rule = self.load(field, FIRST_REGISTER);
        let is_part = usize::from(prefix) < 8 * field.bytes();
        let rule = if is_part { rule.and(&mask) } else { rule };
        rule.compare(is, &network)
    }

    /// `fib daddr type local`
    pub fn local_destination(self) -> Self {
        self.expression("fib", |fib| {
            fib.number_be(1, FIRST_REGISTER); // NFTA_FIB_DREG
            fib.number_be(2, 3); // NFTA_FIB_RESULT: NFT_FIB_RESULT_ADDRTYPE
            fib.number_be(3, 1 << 1); // NFTA_FIB_FLAGS: NFTA_FIB_F_DADDR
        })
        .compare(Is::Same, &u32::from(libc::RTN_LOCAL).to_ne_bytes())
    }

    /// `ct state STATE,STATE`
    pub fn state(self, states: u32) -> Self {
        self.ct(libc::NFT_CT_STATE)
            .and(&states.to_ne_bytes())
            .compare(Is::Other, &0_u32.to_ne_bytes())
    }

    /// `ct status dnat`: Same is that its destination was changed.
    pub fn redirected(self, is: Is) -> Self {
        let unless = match is {
            Is::Same => Is::Other,
            Is::Other => Is::Same,
        };
        self.ct(libc::NFT_CT_STATUS)
            .and(&STATUS_DNAT.to_ne_bytes())
            .compare(unless, &0_u32.to_ne_bytes())
    }

    /// `FIELD . FIELD @SET`
    pub fn in_set(self, is: Is, fields: &[Field], set: &str) -> Self {
        self.load_all(fields).expression("lookup", |lookup| {
            lookup.name(1, set); // NFTA_LOOKUP_SET
            lookup.number_be(2, FIRST_REGISTER); // NFTA_LOOKUP_SREG
            lookup.number_be(5, u32::from(is == Is::Other)); // NFTA_LOOKUP_FLAGS: NFT_LOOKUP_F_INV
        })
    }

    /// `FIELD . FIELD vmap @MAP`: the verdict of the element, if there is one.
    pub fn vmap(self, fields: &[Field], map: &str) -> Self {
        self.load_all(fields).take(map, VERDICT_REGISTER)
    }

    /// `dnat ip to FIELD . FIELD map @MAP`: an address, and behind it a port where the map has them.
    pub fn dnat(self, ip: Ip, fields: &[Field], map: &str, has_port: bool) -> Self {
        let port = FIRST_REGISTER + Field::Destination(ip).bytes().div_ceil(REGISTER_BYTES) as u32;
        self.load_all(fields)
            .take(map, FIRST_REGISTER)
            .expression("nat", |nat| {
                nat.number_be(1, libc::NFT_NAT_DNAT as u32); // NFTA_NAT_TYPE
                nat.number_be(2, u32::from(ip.nfproto())); // NFTA_NAT_FAMILY
                nat.number_be(3, FIRST_REGISTER); // NFTA_NAT_REG_ADDR_MIN
                if has_port {
                    nat.number_be(5, port); // NFTA_NAT_REG_PROTO_MIN
                }
            })
    }

    /// `masquerade`: the source becomes the machine's own address on the link that it leaves by.
    pub fn masquerade(self) -> Self {
        self.expression("masq", |_| {})
    }

    /// `counter name NAME`
    pub fn counter(self, name: &str) -> Self {
        self.expression("objref", |reference| {
            reference.number_be(1, super::readings::OBJECT_COUNTER); // NFTA_OBJREF_IMM_TYPE
            reference.name(2, name); // NFTA_OBJREF_IMM_NAME
        })
    }

    /// `reject with tcp reset`, behind [`Rule::protocol`]
    pub fn reset(self) -> Self {
        self.expression("reject", |reject| {
            reject.number_be(1, libc::NFT_REJECT_TCP_RST as u32); // NFTA_REJECT_TYPE
        })
    }

    /// `reject with icmpx admin-prohibited`
    pub fn reject(self) -> Self {
        self.expression("reject", |reject| {
            reject.number_be(1, libc::NFT_REJECT_ICMPX_UNREACH as u32); // NFTA_REJECT_TYPE
            reject.attribute(2, &[libc::NFT_REJECT_ICMPX_ADMIN_PROHIBITED as u8]); // NFTA_REJECT_ICMP_CODE
        })
    }

    /// `accept`: past this table.
    pub fn accept(self) -> Self {
        self.then(&Verdict::Accept)
    }

    /// `drop`
    pub fn drop(self) -> Self {
        self.then(&Verdict::Drop)
    }

    /// `return`: behind the rule that jumped here.
    pub fn leave(self) -> Self {
        self.then(&Verdict::Return)
    }

    /// `jump CHAIN`: through it, then on behind this rule.
    pub fn jump(self, chain: &str) -> Self {
        self.then(&Verdict::Jump(chain.to_owned()))
    }

    /// `goto CHAIN`: through it, then on behind the rule that jumped here.
    pub fn goto(self, chain: &str) -> Self {
        self.then(&Verdict::Goto(chain.to_owned()))
    }

    fn then(self, verdict: &Verdict) -> Self {
        self.expression("immediate", |immediate| {
            immediate.number_be(1, VERDICT_REGISTER); // NFTA_IMMEDIATE_DREG
            immediate.nest(2, |data| verdict.write(data)); // NFTA_IMMEDIATE_DATA
        })
    }

    fn meta(self, key: i32) -> Self {
        self.meta_to(key, FIRST_REGISTER)
    }

    fn meta_to(self, key: i32, register: u32) -> Self {
        self.expression("meta", |meta| {
            meta.number_be(1, register); // NFTA_META_DREG
            meta.number_be(2, key.cast_unsigned()); // NFTA_META_KEY
        })
    }

    fn ct(self, key: i32) -> Self {
        self.expression("ct", |ct| {
            ct.number_be(1, FIRST_REGISTER); // NFTA_CT_DREG
            ct.number_be(2, key.cast_unsigned()); // NFTA_CT_KEY
        })
    }

    /// One behind the other, each from a register of its own on.
    fn load_all(self, fields: &[Field]) -> Self {
        let mut register = FIRST_REGISTER;
        fields.iter().fold(self, |rule, field| {
            let rule = rule.load(*field, register);
            register += field.bytes().div_ceil(REGISTER_BYTES) as u32;
            rule
        })
    }

    fn load(self, field: Field, register: u32) -> Self {
        let network = libc::NFT_PAYLOAD_NETWORK_HEADER;
        let transport = libc::NFT_PAYLOAD_TRANSPORT_HEADER;
        let (base, offset) = match field {
            Field::InName => return self.meta_to(libc::NFT_META_IIFNAME, register),
            Field::Protocol => return self.meta_to(libc::NFT_META_L4PROTO, register),
            Field::EtherSource => (libc::NFT_PAYLOAD_LL_HEADER, 6),
            Field::Source(Ip::V4) => (network, 12),
            Field::Destination(Ip::V4) => (network, 16),
            Field::Source(Ip::V6) => (network, 8),
            Field::Destination(Ip::V6) => (network, 24),
            Field::ArpSource => (network, 14),
            Field::NeighbourTarget => (transport, 8),
            Field::DestinationPort => (transport, DESTINATION_PORT_OFFSET),
        };
        self.payload(base, offset, field.bytes(), register)
    }

    fn payload(self, base: i32, offset: u32, bytes: usize, register: u32) -> Self {
        self.expression("payload", |payload| {
            payload.number_be(1, register); // NFTA_PAYLOAD_DREG
            payload.number_be(2, base.cast_unsigned()); // NFTA_PAYLOAD_BASE
            payload.number_be(3, offset); // NFTA_PAYLOAD_OFFSET
            payload.number_be(4, bytes as u32); // NFTA_PAYLOAD_LEN
        })
    }

    fn and(self, mask: &[u8]) -> Self {
        self.expression("bitwise", |bitwise| {
            bitwise.number_be(1, FIRST_REGISTER); // NFTA_BITWISE_SREG
            bitwise.number_be(2, FIRST_REGISTER); // NFTA_BITWISE_DREG
            bitwise.number_be(3, mask.len() as u32); // NFTA_BITWISE_LEN
            bitwise.nest(4, |data| data.attribute(DATA_VALUE, mask)); // NFTA_BITWISE_MASK
            bitwise.nest(5, |data| data.attribute(DATA_VALUE, &vec![0; mask.len()])); // NFTA_BITWISE_XOR
        })
    }

    fn between(self, first: &[u8], last: &[u8]) -> Self {
        if first == last {
            return self.compare(Is::Same, first);
        }
        self.compare_by(libc::NFT_CMP_GTE, first)
            .compare_by(libc::NFT_CMP_LTE, last)
    }

    fn compare(self, is: Is, value: &[u8]) -> Self {
        match is {
            Is::Same => self.compare_by(libc::NFT_CMP_EQ, value),
            Is::Other => self.compare_by(libc::NFT_CMP_NEQ, value),
        }
    }

    fn compare_by(self, operator: i32, value: &[u8]) -> Self {
        self.expression("cmp", |compare| {
            compare.number_be(1, FIRST_REGISTER); // NFTA_CMP_SREG
            compare.number_be(2, operator.cast_unsigned()); // NFTA_CMP_OP
            compare.nest(3, |data| data.attribute(DATA_VALUE, value)); // NFTA_CMP_DATA
        })
    }

    fn take(self, map: &str, register: u32) -> Self {
        self.expression("lookup", |lookup| {
            lookup.name(1, map); // NFTA_LOOKUP_SET
            lookup.number_be(2, FIRST_REGISTER); // NFTA_LOOKUP_SREG
            lookup.number_be(3, register); // NFTA_LOOKUP_DREG
        })
    }

    fn expression(self, name: &str, fill: impl FnOnce(&mut Message)) -> Self {
        self.0.nest(LIST_ELEMENT, |message| {
            message.name(EXPRESSION_NAME, name);
            message.nest(EXPRESSION_DATA, fill);
        });
        self
    }
}
