//! `[network]`: the network that a service sees.

use super::*;
use crate::unit::keys::OfNetwork as N;

#[rustfmt::skip]
pub static NETWORK: &[Key] = &[
    key("network", "mode", OfNetwork(N::Mode), Restart,
        "What network it sees. host: svcd's own. none: one with nothing but loopback. bridge: one of its own with a link \
         to svcd's bridge, over which it reaches the other services on it by their names, and what the machine reaches; \
         svcd.toml says the bridge's name and subnets. macvlan, ipvlan: one of its own with a link that shares parent; \
         ip-link(8). path: one that is there already; ip-netns(8). join:UNIT: that of another unit, which binds-to then \
         names: it is started first, and without it there is no start."),
    key("network", "address", OfNetwork(N::Subnets), Restart,
        "Its own address, with the length of its network's prefix: \"10.88.0.7/16\", or a list of one of each family. On \
         the bridge auto, which is the default, takes one of the bridge's subnets that no other unit has; it is recorded, \
         and stays the unit's as long as there is a file of it, over restarts and boots. On a parent the default is none."),
    key("network", "parent", OfNetwork(N::Parent), Restart,
        "The link of the machine that a macvlan or ipvlan link shares."),
    key("network", "gateway", OfNetwork(N::Addresses), Restart,
        "Routers on its parent's network, at most one of each family, by which it reaches all else."),
    key("network", "publish", OfNetwork(N::Publish), Restart,
        "Ports of the machine that lead to the service: [\"127.0.0.1:8080:80/tcp\"] is address, port outside, port inside. \
         Without an address it is any of the machine's; without a port inside it is the same; ranges are as long inside as \
         outside. What comes so keeps the address that it came from. nftables does it. Between two runs of the service it \
         leads on: who connects then waits for the next. What comes to ::1, and all of it where the \
         kernel has no nftables, a proxy leads: a process of svcd's in the service's cgroup, svc-proxy, which the service sees \
         as itself, and which counts for pids-max and memory-max; it has 1024 sockets at most, one for each port and family."),
    key("network", "dns", OfNetwork(N::Addresses), Restart,
        "Name servers, in an /etc/resolv.conf of its own; resolv.conf(5). By default a service on the bridge that has a \
         root of its own sees those of the machine that are not on its loopback."),
    key("network", "hosts", OfNetwork(N::Hosts), Restart,
        "Names to addresses, in an /etc/hosts of its own, besides the services on the bridge; hosts(5)."),
    key("network", "allow", OfNetwork(N::Rules), Restart,
        "Who may talk to it, and to whom it may: [\"in:web:5432/tcp\", \"out:10.0.0.0/8\"] is direction, peer and port; a peer \
         is a unit on the bridge, addresses, or * for all. A direction that has a rule lets nothing else pass, and one that \
         has none all. Answers always pass. What is refused is told to who asked, by ICMP."),
    key("network", "deny", OfNetwork(N::Rules), Restart,
        "Who may not, likewise; it goes before allow."),
];
