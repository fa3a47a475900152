//! Sets and maps of nf_tables: what packets are looked up in; linux/netfilter/nf_tables.h.

use super::expressions::LIST_ELEMENT;
use super::fields::{DATA_VALUE, Field, Verdict};
use super::netlink::Message;

/// How many bits nft(8) has for a type in one that is put together of several; `TYPE_BITS`.
const DATA_TYPE_BITS: u32 = 6;
/// `NFT_SET_CONCAT`.
const SET_CONCAT: u32 = 0x80;
/// Type, length and value of what nft(8) notes of a set's key; the kernel keeps it unread.
const NOTE_HOST_ORDER: [u8; 6] = if cfg!(target_endian = "little") {
    [0, 4, 1, 0, 0, 0]
} else {
    [0, 4, 0, 0, 0, 1]
};

/// What packets are looked up in, and what is found.
#[derive(Debug)]
pub struct Set {
    /// What of a packet, one behind the other.
    pub key: Vec<Field>,
    /// What is found there.
    pub value: ValueKind,
    /// Whether an element may be all keys from one to another.
    pub has_ranges: bool,
    /// No two have the same key.
    pub elements: Vec<Element>,
}

/// What is found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ValueKind {
    /// That it is there.
    Nothing,
    /// What becomes of the packet.
    Verdict,
    /// Values of these, one behind the other.
    Fields(Vec<Field>),
}

/// One of a set.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Element {
    /// Its fields, each filled up to whole registers: [`joined`].
    pub key: Vec<u8>,
    /// The last that it is about.
    pub last: Option<Vec<u8>>,
    /// What is found.
    pub value: Value,
}

/// What is found with one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Value {
    /// That it is there.
    Nothing,
    /// What becomes of the packet.
    Verdict(Verdict),
    /// Like a key.
    Bytes(Vec<u8>),
}

impl Set {
    /// What it is, without its elements.
    pub fn describe(&self, message: &mut Message) {
        let joined = self.key.len() > 1;
        let is_map = self.value != ValueKind::Nothing;
        let flags = [
            (self.has_ranges, libc::NFT_SET_INTERVAL as u32),
            (is_map, libc::NFT_SET_MAP as u32),
            (joined, SET_CONCAT),
        ];
        let flags = flags.iter().filter(|(is, _)| *is).map(|(_, flag)| flag).sum();
        message.number_be(3, flags); // NFTA_SET_FLAGS
        message.number_be(4, data_type(&self.key)); // NFTA_SET_KEY_TYPE
        message.number_be(5, bytes(&self.key)); // NFTA_SET_KEY_LEN
        match &self.value {
            ValueKind::Nothing => {}
            ValueKind::Verdict => message.number_be(6, libc::NFT_DATA_VERDICT), // NFTA_SET_DATA_TYPE
            ValueKind::Fields(fields) => {
                message.number_be(6, data_type(fields)); // NFTA_SET_DATA_TYPE
                message.number_be(7, bytes(fields)); // NFTA_SET_DATA_LEN
            }
        }
        if self.key == [Field::InName] {
            // NFTA_SET_USERDATA: without this note nft(8) lists an empty name.
            message.attribute(13, &NOTE_HOST_ORDER);
        }
        if joined {
            message.nest(9, |description| {
                // NFTA_SET_DESC
                description.nest(2, |fields| {
                    // NFTA_SET_DESC_CONCAT
                    for field in &self.key {
                        fields.nest(LIST_ELEMENT, |length| length.number_be(1, field.bytes() as u32)); // NFTA_SET_FIELD_LEN
                    }
                });
            });
        }
    }
}

impl Element {
    /// As one of the list of a message.
    pub fn write(&self, message: &mut Message) {
        message.nest(1, |key| key.attribute(DATA_VALUE, &self.key)); // NFTA_SET_ELEM_KEY
        if let Some(last) = &self.last {
            message.nest(10, |key| key.attribute(DATA_VALUE, last)); // NFTA_SET_ELEM_KEY_END
        }
        match &self.value {
            Value::Nothing => {}
            // NFTA_SET_ELEM_DATA
            Value::Verdict(verdict) => message.nest(2, |value| verdict.write(value)),
            Value::Bytes(bytes) => message.nest(2, |value| value.attribute(DATA_VALUE, bytes)),
        }
    }
}

/// Values of fields as the registers have them, one behind the other.
pub fn joined(values: &[&[u8]]) -> Vec<u8> {
    values.iter().fold(Vec::new(), |mut bytes, value| {
        bytes.extend(*value);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    })
}

/// One alone is as long as it is, several are filled up to whole registers each.
fn bytes(fields: &[Field]) -> u32 {
    match fields {
        [field] => field.bytes() as u32,
        fields => fields
            .iter()
            .map(|field| field.bytes().next_multiple_of(4) as u32)
            .sum(),
    }
}

fn data_type(fields: &[Field]) -> u32 {
    fields
        .iter()
        .fold(0, |kind, field| kind << DATA_TYPE_BITS | field.data_type())
}
