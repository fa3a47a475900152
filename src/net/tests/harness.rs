//! Machines of a test: threads that each have a network of their own, and programs that change it.

#![expect(
    clippy::disallowed_methods,
    reason = "a test runs ip, in threads that each have a network"
)]

use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

use nix::sched::{CloneFlags, unshare};

use crate::net::netlink::Socket;
use crate::net::{Bridge, Member, Plan, Policy};
use crate::net::{Refused, rules};
use crate::unit::{Direction, PortRange, Protocol, Publish};

/// What does not come at all is waited for so long before that is believed; what comes is never waited for.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Makes the rules of the caller's network what the plan says.
pub fn replace(plan: &Plan) -> Result<(), Refused> {
    rules::replace(plan, None, &mut Socket::netfilter().unwrap()).map(|_| ())
}

/// A thread with a network of its own, which the programs that it starts have too.
pub struct Host {
    number: i32,
    work: Sender<Box<dyn FnOnce() + Send>>,
}

impl Host {
    pub fn new() -> Self {
        let (work, todo) = channel::<Box<dyn FnOnce() + Send>>();
        let (say, number) = channel();
        std::thread::spawn(move || {
            unshare(CloneFlags::CLONE_NEWNET).unwrap();
            say.send(nix::unistd::gettid().as_raw()).unwrap();
            todo.into_iter().for_each(|work| work());
        });
        let number = number.recv().expect("a network namespace");
        Self { number, work }
    }

    /// Does it there.
    pub fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> T {
        let (say, done) = channel();
        self.work.send(Box::new(move || drop(say.send(work())))).unwrap();
        done.recv().expect("done without a panic")
    }

    pub fn ip(&self, line: &str) -> String {
        let words = format!("ip {line}");
        self.run(move || run(&words))
    }

    pub fn set(&self, key: &str, value: &'static str) {
        let path = format!("/proc/sys/net/{key}");
        self.run(move || std::fs::write(path, value).unwrap());
    }

    /// Tells each who connects to a port which address it has.
    pub fn tell(&self, at: &str) {
        let at: SocketAddr = at.parse().unwrap();
        let listener = self.run(move || TcpListener::bind(at).unwrap());
        std::thread::spawn(move || {
            while let Ok((mut stream, peer)) = listener.accept() {
                let _ = stream.write_all(peer.ip().to_string().as_bytes());
            }
        });
    }

    /// Which address it has for who is at a port.
    pub fn ask(&self, at: &str) -> Result<String, ErrorKind> {
        let at: SocketAddr = at.parse().unwrap();
        self.run(move || {
            let mut stream = TcpStream::connect_timeout(&at, PATIENCE).map_err(|error| error.kind())?;
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            let mut said = String::new();
            stream.read_to_string(&mut said).map_err(|error| error.kind())?;
            Ok(said)
        })
    }
}

pub fn run(line: &str) -> String {
    let mut words = line.split(' ');
    let done = Command::new(words.next().unwrap()).args(words).output().unwrap();
    assert!(
        done.status.success(),
        "{line}: {}",
        String::from_utf8_lossy(&done.stderr)
    );
    String::from_utf8(done.stdout).unwrap()
}

/// Why no rule can be made, if none can.
pub fn not_root() -> Option<&'static str> {
    (!crate::sys::testing::is_root()).then_some("not root")
}

/// Why there can be no network with packets, if there can be none.
pub fn obstacle() -> Option<&'static str> {
    if let Some(why) = not_root() {
        return Some(why);
    }
    // That of busybox knows no such links.
    let version = Command::new("ip").arg("-V").output();
    let is_there = version.is_ok_and(|said| String::from_utf8_lossy(&said.stdout).contains("iproute2"));
    (!is_there).then_some("ip of iproute2 is not installed")
}

pub fn ports(first: u16, last: u16) -> PortRange {
    PortRange { first, last }
}

pub fn publish(address: Option<&str>, outside: PortRange, inside: PortRange) -> Publish {
    Publish {
        address: address.map(|address| address.parse().unwrap()),
        outside,
        inside,
        protocol: Protocol::Tcp,
    }
}

pub fn plan(members: Vec<Member>) -> Plan {
    Plan {
        bridge: Bridge {
            name: "svc0".into(),
            v4: Some((Ipv4Addr::new(10, 9, 0, 1), 24)),
            v6: Some(("fd09::1".parse().unwrap(), 64)),
        },
        members,
    }
}

/// The nth of the bridge: 10.9.0.N and fd09::N by the link svc0-N.
pub fn member(nth: u8) -> Member {
    Member {
        link: format!("svc0-{nth}").into(),
        addresses: vec![
            Ipv4Addr::new(10, 9, 0, nth).into(),
            Ipv6Addr::new(0xfd09, 0, 0, 0, 0, 0, 0, nth.into()).into(),
        ],
        publish: Vec::new(),
        allow: Vec::new(),
        deny: Vec::new(),
    }
}

pub fn policy(direction: Direction, peers: &[&str], ports: Option<PortRange>) -> Policy {
    let peer = |text: &&str| {
        let (address, prefix) = text.split_once('/').unwrap();
        (address.parse().unwrap(), prefix.parse().unwrap())
    };
    Policy {
        direction,
        peers: Some(peers.iter().map(peer).collect()),
        ports,
        protocol: None,
    }
}

/// A machine with a bridge, whoever is on it, and somebody outside: 198.51.100.2 and 2001:db8::2.
pub struct Network {
    pub machine: Host,
    pub outside: Host,
    pub members: Vec<Host>,
}

impl Network {
    pub fn new(plan: &Plan) -> Self {
        let machine = Host::new();
        machine.ip("link set lo up");
        machine.ip("link add svc0 type bridge");
        machine.set("ipv6/conf/svc0/accept_dad", "0");
        machine.set("ipv4/neigh/svc0/retrans_time_ms", "50");
        machine.set("ipv6/neigh/svc0/retrans_time_ms", "50");
        machine.ip("addr add 10.9.0.1/24 dev svc0");
        machine.ip("addr add fd09::1/64 dev svc0 nodad");
        machine.ip("link set svc0 up");
        let outside = Host::new();
        machine.ip(&format!(
            "link add out0 type veth peer name eth0 netns {}",
            outside.number
        ));
        for (host, link, last) in [(&machine, "out0", 1), (&outside, "eth0", 2)] {
            host.ip(&format!("addr add 198.51.100.{last}/24 dev {link}"));
            host.ip(&format!("addr add 2001:db8::{last}/64 dev {link} nodad"));
            host.ip(&format!("link set {link} up"));
        }
        // Somebody who knows the way to the services, as a neighbour of the machine may.
        outside.ip("route add 10.9.0.0/24 via 198.51.100.1");
        outside.ip("route add fd09::/64 via 2001:db8::1");
        machine.set("ipv4/ip_forward", "1");
        machine.set("ipv6/conf/all/forwarding", "1");
        machine.set("ipv4/conf/svc0/route_localnet", "1");
        // With it the kernel sends what comes back to the bridge (to a published port, from a service) from port to port,
        // past the machine, where ports are isolated: br_netfilter's bridged destination NAT.
        for kind in ["ip", "ip6"]
            .iter()
            .filter(|_| Path::new("/proc/sys/net/bridge").exists())
        {
            machine.set(&format!("bridge/bridge-nf-call-{kind}tables"), "0");
        }
        let members = plan.members.iter().map(|member| attach(&machine, member)).collect();
        let network = Self {
            machine,
            outside,
            members,
        };
        network.settle(plan);
        network
    }

    pub fn settle(&self, plan: &Plan) {
        let plan = plan.clone();
        self.machine.run(move || replace(&plan).unwrap());
    }
}

fn attach(machine: &Host, member: &Member) -> Host {
    let host = Host::new();
    let link = &member.link;
    machine.ip(&format!(
        "link add {link} type veth peer name eth0 netns {}",
        host.number
    ));
    machine.ip(&format!("link set {link} master svc0 up"));
    machine.ip(&format!("link set {link} type bridge_slave isolated on"));
    host.set("ipv6/conf/eth0/accept_dad", "0");
    let Some(IpAddr::V4(first)) = member.addresses.first() else {
        panic!()
    };
    let [a, b, c, d] = first.octets();
    host.ip(&format!("link set eth0 address 02:73:{a:02x}:{b:02x}:{c:02x}:{d:02x}"));
    host.ip("link set eth0 up");
    for address in &member.addresses {
        let (length, gateway, nodad) = match address {
            IpAddr::V4(_) => (32, "10.9.0.1", ""),
            IpAddr::V6(_) => (128, "fd09::1", " nodad"),
        };
        host.ip(&format!("addr add {address}/{length} dev eth0{nodad}"));
        host.ip(&format!("route add {gateway} dev eth0"));
        host.ip(&format!("route add default via {gateway}"));
    }
    host
}
