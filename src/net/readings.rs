//! What the kernel tells of rules: what was counted, and which generation they are.

use std::collections::BTreeMap;
use std::io;

use super::netlink::{ACK, DUMP, Message, Socket, attributes, text};
use super::nftables::Family;

/// `NFT_OBJECT_COUNTER`.
pub const OBJECT_COUNTER: u32 = 1;
/// `enum nft_object_attributes`: of a request and of an answer.
pub const OBJECT_TABLE: u16 = 1;
pub const OBJECT_NAME: u16 = 2;
pub const OBJECT_TYPE: u16 = 3;
pub const OBJECT_DATA: u16 = 4;
/// `enum nft_counter_attributes`.
pub const COUNTER_BYTES: u16 = 1;
pub const COUNTER_PACKETS: u16 = 2;
/// `NFTA_GEN_ID`.
const GENERATION: u16 = 1;
/// `struct nfgenmsg`.
const HEADER_BYTES: usize = 4;

/// Which generation of the network namespace's rules this is, whosever they are: each change makes the next.
///
/// # Errors
/// What the kernel answers.
pub fn generation(socket: &mut Socket) -> io::Result<u32> {
    let kind = (libc::NFNL_SUBSYS_NFTABLES << 8 | libc::NFT_MSG_GETGEN) as u16;
    let mut found = None;
    let request = Message::new(kind, ACK, &[libc::AF_UNSPEC as u8, 0, 0, 0]);
    socket.ask(request, |_, body| {
        let mut values = attributes(body.get(HEADER_BYTES..).unwrap_or_default());
        let generation = values.find(|(kind, _)| *kind == GENERATION);
        found = generation.and_then(|(_, value)| Some(u32::from_be_bytes(value.try_into().ok()?)));
    })?;
    found.ok_or_else(|| io::ErrorKind::InvalidData.into())
}

/// The counters of a table by their names: packets. A table that is not there has none.
///
/// # Errors
/// As the kernel's dump of objects.
pub fn counters(socket: &mut Socket, family: Family, table: &str) -> io::Result<BTreeMap<String, u64>> {
    let kind = (libc::NFNL_SUBSYS_NFTABLES << 8 | libc::NFT_MSG_GETOBJ) as u16;
    let mut request = Message::new(kind, DUMP, &[family.nfproto(), 0, 0, 0]);
    request.name(OBJECT_TABLE, table);
    request.number_be(OBJECT_TYPE, OBJECT_COUNTER);
    let mut found = BTreeMap::new();
    socket.ask(request, |_, body| {
        let object: BTreeMap<u16, &[u8]> = attributes(body.get(HEADER_BYTES..).unwrap_or_default()).collect();
        let value = |kind| object.get(&kind).copied().unwrap_or_default();
        let packets = attributes(value(OBJECT_DATA)).find(|(kind, _)| *kind == COUNTER_PACKETS);
        let packets = packets
            .and_then(|(_, packets)| packets.try_into().ok())
            .map(u64::from_be_bytes);
        found.extend(packets.map(|packets| (text(value(OBJECT_NAME)), packets)));
    })?;
    Ok(found)
}
