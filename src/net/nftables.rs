//! nf_tables: tables, chains, sets and rules as messages of nfnetlink, all in one transaction; linux/netfilter/nfnetlink.h
//! and nf_tables.h, whose numbers these are.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::expressions::{LIST_ELEMENT, Rule};
use super::netlink::{ACK, APPEND, CREATE, Message, Socket};
use super::readings::{
    COUNTER_BYTES, COUNTER_PACKETS, OBJECT_COUNTER, OBJECT_DATA, OBJECT_NAME, OBJECT_TABLE, OBJECT_TYPE,
};
use super::sets::{Element, Set};
use super::{Refused, refused};

/// `NFNL_BATCH_GENID` of linux/netfilter/nfnetlink.h.
const BATCH_GENERATION: u16 = 1;
/// A message has as many elements: an attribute ends at 65535 bytes, and an element has less than 200.
const ELEMENTS_MAX: usize = 256;

/// What a table is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Family {
    /// What goes through the machine by IPv4 and IPv6.
    Inet,
    /// What goes through its bridges.
    Bridge,
}

impl Family {
    /// As a header of a message has it.
    pub fn nfproto(self) -> u8 {
        match self {
            Self::Inet => libc::NFPROTO_INET as u8,
            Self::Bridge => libc::NFPROTO_BRIDGE as u8,
        }
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Inet => "inet",
            Self::Bridge => "bridge",
        })
    }
}

/// Where the kernel asks a chain. The order of `enum nf_inet_hooks`, and of those of bridges.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hook {
    /// What came in.
    Prerouting,
    /// What is for the machine.
    Input,
    /// What is not.
    Forward,
    /// What the machine itself sends.
    Output,
    /// What goes out.
    Postrouting,
}

/// What a chain may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Let pass or not.
    Filter,
    /// Change addresses; it sees the first packet of each connection alone.
    Nat,
}

/// What is to be done, all or nothing.
#[derive(Debug)]
pub struct Batch {
    messages: Vec<Message>,
    /// What each is about.
    about: Vec<String>,
    /// What is in each set. It follows all else: a verdict names a chain.
    elements: BTreeMap<SetName, BTreeSet<Element>>,
    elements_alone: bool,
}

/// Of which table, and its name.
type SetName = (Family, String, String);

impl Batch {
    /// With nothing in it.
    pub fn new() -> Self {
        let mut batch = Self {
            messages: Vec::new(),
            about: Vec::new(),
            elements: BTreeMap::new(),
            elements_alone: false,
        };
        batch.bound(libc::NFNL_MSG_BATCH_BEGIN);
        batch
    }

    /// One that takes elements of sets, and nothing else.
    pub fn of_elements() -> Self {
        Self {
            elements_alone: true,
            ..Self::new()
        }
    }

    /// What makes the elements of one those of the other, which has the same sets. It is refused, ERESTART, unless the
    /// kernel's rules are of this generation still. None where they do not differ.
    pub fn changes(from: &Self, to: &Self, generation: u32) -> Option<Self> {
        let mut batch = Self::new();
        let begin = batch.messages.first_mut()?;
        begin.number_be(BATCH_GENERATION, generation);
        for (kind, all, but) in [
            (libc::NFT_MSG_DELSETELEM, from, to),
            (libc::NFT_MSG_NEWSETELEM, to, from),
        ] {
            for ((name, elements), others) in all.elements.iter().zip(but.elements.values()) {
                batch.put_elements(kind, name, elements.difference(others));
            }
        }
        (batch.messages.len() > 1).then_some(batch)
    }

    /// Whether they have the same but for elements.
    #[cfg(test)]
    pub fn is_like(&self, other: &Self) -> bool {
        self.messages == other.messages
    }

    /// Removes a table and all that is in it; it need not be there.
    pub fn remove(&mut self, family: Family, name: &str) {
        // It cannot be removed unless it is there, but made it can be anyhow.
        let mut table = self.table(family, name);
        table.add(libc::NFT_MSG_DELTABLE, 0, String::new, |table, name| {
            table.name(1, name)
        }); // NFTA_TABLE_NAME
    }

    /// Makes a table.
    pub fn table<'a>(&'a mut self, family: Family, name: &'a str) -> Table<'a> {
        let mut table = Table {
            batch: self,
            family,
            name,
            sets: 0,
        };
        table.add(libc::NFT_MSG_NEWTABLE, CREATE, String::new, |table, name| {
            table.name(1, name); // NFTA_TABLE_NAME
        });
        table
    }

    /// Does it.
    ///
    /// # Errors
    /// What the kernel refuses of it: nothing is done then.
    pub fn commit(mut self, socket: &mut Socket) -> Result<(), Refused> {
        self.put_all_elements();
        self.want_answer();
        self.bound(libc::NFNL_MSG_BATCH_END);
        self.send(socket)
    }

    /// Finds whether it could be done: the kernel takes all back that no END follows.
    ///
    /// # Errors
    /// What the kernel refuses of it.
    pub fn check(mut self) -> Result<(), Refused> {
        self.put_all_elements();
        self.want_answer();
        self.send(&mut Socket::netfilter().map_err(refused("nf_tables"))?)
    }

    /// BEGIN and END are not answered before Linux 6.13: the one before the END is, once all is done.
    fn want_answer(&mut self) {
        if let Some(last) = self.messages.last_mut() {
            last.want(ACK);
        }
    }

    fn send(self, socket: &mut Socket) -> Result<(), Refused> {
        let about = |at| self.about.get(at).map_or("nf_tables", String::as_str);
        socket
            .each(self.messages)
            .map_err(|(at, error)| refused(about(at))(error))
    }

    fn put_all_elements(&mut self) {
        for (name, elements) in std::mem::take(&mut self.elements) {
            self.put_elements(libc::NFT_MSG_NEWSETELEM, &name, elements.iter());
        }
    }

    fn put_elements<'e>(&mut self, kind: i32, name: &SetName, elements: impl Iterator<Item = &'e Element>) {
        let (family, table, set) = name;
        let elements: Vec<&Element> = elements.collect();
        for elements in elements.chunks(ELEMENTS_MAX) {
            self.put(
                *family,
                table,
                kind,
                CREATE,
                || format!(", set {set}"),
                |message| {
                    message.name(1, table); // NFTA_SET_ELEM_LIST_TABLE
                    message.name(2, set); // NFTA_SET_ELEM_LIST_SET
                    message.nest(3, |list| {
                        // NFTA_SET_ELEM_LIST_ELEMENTS
                        elements
                            .iter()
                            .for_each(|element| list.nest(LIST_ELEMENT, |message| element.write(message)));
                    });
                },
            );
        }
    }

    fn put(
        &mut self,
        family: Family,
        table: &str,
        kind: i32,
        flags: u16,
        what: impl FnOnce() -> String,
        fill: impl FnOnce(&mut Message),
    ) {
        if self.elements_alone {
            return;
        }
        let kind = (libc::NFNL_SUBSYS_NFTABLES << 8 | kind) as u16;
        let mut message = Message::new(kind, flags, &[family.nfproto(), 0, 0, 0]);
        fill(&mut message);
        self.messages.push(message);
        self.about.push(format!("table {family} {table}{}", what()));
    }

    fn bound(&mut self, kind: i32) {
        let [high, low] = (libc::NFNL_SUBSYS_NFTABLES as u16).to_be_bytes();
        self.messages.push(Message::new(kind as u16, 0, &[0, 0, high, low]));
        self.about.push("nf_tables".to_owned());
    }
}

/// A table under way.
pub struct Table<'b> {
    batch: &'b mut Batch,
    family: Family,
    name: &'b str,
    sets: u32,
}

impl<'b> Table<'b> {
    /// A chain that rules and elements jump to.
    pub fn chain(&mut self, name: &str) -> Chain<'_, 'b> {
        self.make_chain(name, |_| {})
    }

    /// A chain that the kernel asks; those with the lower priority first. What it does not refuse it accepts.
    pub fn hooked_chain(&mut self, name: &str, kind: Kind, hook: Hook, priority: i32) -> Chain<'_, 'b> {
        self.make_chain(name, |chain| {
            chain.nest(4, |to| {
                // NFTA_CHAIN_HOOK
                to.number_be(1, hook as u32); // NFTA_HOOK_HOOKNUM
                to.number_be(2, priority.cast_unsigned()); // NFTA_HOOK_PRIORITY
            });
            chain.number_be(5, libc::NF_ACCEPT.cast_unsigned()); // NFTA_CHAIN_POLICY
            chain.name(
                7, // NFTA_CHAIN_TYPE
                match kind {
                    Kind::Filter => "filter",
                    Kind::Nat => "nat",
                },
            );
        })
    }

    fn make_chain(&mut self, name: &str, fill: impl FnOnce(&mut Message)) -> Chain<'_, 'b> {
        self.add(
            libc::NFT_MSG_NEWCHAIN,
            CREATE,
            || format!(", chain {name}"),
            |chain, table| {
                chain.name(1, table); // NFTA_CHAIN_TABLE
                chain.name(3, name); // NFTA_CHAIN_NAME
                fill(chain);
            },
        );
        Chain {
            table: self,
            name: name.to_owned(),
            rules: 0,
        }
    }

    /// A counter that rules name, at a number of packets.
    pub fn counter(&mut self, name: &str, packets: u64) {
        self.add(
            libc::NFT_MSG_NEWOBJ,
            CREATE,
            || format!(", counter {name}"),
            |object, table| {
                object.name(OBJECT_TABLE, table);
                object.name(OBJECT_NAME, name);
                object.number_be(OBJECT_TYPE, OBJECT_COUNTER);
                object.nest(OBJECT_DATA, |counter| {
                    counter.attribute(COUNTER_BYTES, &0_u64.to_be_bytes());
                    counter.attribute(COUNTER_PACKETS, &packets.to_be_bytes());
                });
            },
        );
    }

    /// A set or a map with all that is in it.
    pub fn set(&mut self, name: &str, set: &Set) {
        self.sets += 1;
        let id = self.sets;
        self.add(
            libc::NFT_MSG_NEWSET,
            CREATE,
            || format!(", set {name}"),
            |message, table| {
                message.name(1, table); // NFTA_SET_TABLE
                message.name(2, name); // NFTA_SET_NAME
                message.number_be(10, id); // NFTA_SET_ID
                set.describe(message);
            },
        );
        let of = (self.family, self.name.to_owned(), name.to_owned());
        self.batch.elements.insert(of, set.elements.iter().cloned().collect());
    }

    fn add(&mut self, kind: i32, flags: u16, what: impl FnOnce() -> String, fill: impl FnOnce(&mut Message, &str)) {
        let name = self.name;
        self.batch
            .put(self.family, name, kind, flags, what, |message| fill(message, name));
    }
}

/// A chain under way.
pub struct Chain<'t, 'b> {
    table: &'t mut Table<'b>,
    name: String,
    rules: usize,
}

impl Chain<'_, '_> {
    /// A rule behind the others.
    pub fn rule(&mut self, write: impl FnOnce(Rule<'_>) -> Rule<'_>) {
        self.rules += 1;
        let what = || format!(", chain {}, rule {}", self.name, self.rules);
        self.table
            .add(libc::NFT_MSG_NEWRULE, CREATE | APPEND, what, |rule, table| {
                rule.name(1, table); // NFTA_RULE_TABLE
                rule.name(2, &self.name); // NFTA_RULE_CHAIN
                rule.nest(4, |expressions| {
                    // NFTA_RULE_EXPRESSIONS
                    write(Rule(expressions));
                });
            });
    }
}
