//! `[network]`: the network that a service sees.

use super::*;

#[rustfmt::skip]
pub static NETWORK: &[Key] = &[
    key("network", "mode", Network, Only(&["host", "none", "join:"]), Restart,
        "What network it sees. host: svcd's own. none: one with nothing but loopback. bridge: one of its own, \
         connected to the others through a bridge. macvlan: an address of its own on the machine's link. join:UNIT: \
         that of another unit, which binds-to then names: it is started first, and without it there is no start."),
    key("network", "address", Text, NOTHING, Restart,
        "Its address on the bridge: \"auto\", or one with its prefix, such as \"10.88.0.7/16\"."),
    key("network", "publish", Texts, NOTHING, Restart,
        "Ports that are reached from outside: [\"127.0.0.1:8080:80/tcp\"] is address, port outside, port inside."),
    key("network", "dns", Texts, NOTHING, Restart,
        "Name servers in its /etc/resolv.conf."),
    key("network", "hosts", Map, NOTHING, Restart,
        "Names to addresses, for its /etc/hosts."),
];
