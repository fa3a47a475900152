//! Clients of udp: each has a socket of its own to the service, so that the answers are known to be its; udp(7). It is
//! forgotten when neither side has said anything for a while. Answers come from the address that the client has written to.

use std::collections::BTreeMap;
use std::io::{IoSlice, IoSliceMut};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use nix::sys::socket::{
    ControlMessage, ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg, sendmsg, setsockopt, sockopt,
};
use rustix::event::epoll;
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, connect, recv, send};

use super::way::new_socket;
use super::{Inlet, Token};
use crate::unit::Protocol;

/// Silence after which a client is forgotten: as long as the kernel's own tables remember one who is answered;
/// nf_conntrack-sysctl.rst, nf_conntrack_udp_timeout_stream.
const SILENCE_MAX: Duration = Duration::from_secs(120);
/// It is not looked more often than this who is to be forgotten.
const LOOK_PAUSE: Duration = Duration::from_secs(1);
/// The longest datagram.
const DATAGRAM_BYTES_MAX: usize = 64 << 10;
/// Datagrams of one socket before others are looked at.
const TURN_DATAGRAMS: usize = 64;

/// Those that there are.
pub struct Clients {
    all: Vec<Option<Client>>,
    places: BTreeMap<Key, usize>,
    free: Vec<usize>,
    most: usize,
    /// When it is looked who is to be forgotten.
    due: Option<Duration>,
    datagram: Box<[u8]>,
}

/// Who a client is: by which inlet it comes, and who has written to whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    inlet: usize,
    from: SocketAddr,
    to: Destination,
}

/// The address that a client has written to, and the link that it has come by where only that tells which one is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Destination {
    address: IpAddr,
    link: u32,
}

struct Client {
    key: Key,
    inside: OwnedFd,
    last: Duration,
}

impl Clients {
    pub fn new(most: usize) -> Self {
        Self {
            all: Vec::new(),
            places: BTreeMap::new(),
            free: Vec::new(),
            most,
            due: None,
            datagram: vec![0; DATAGRAM_BYTES_MAX].into(),
        }
    }

    /// When it is to look again; None while there is nobody.
    pub fn due(&self) -> Option<Duration> {
        self.due
    }

    /// Passes on what has come by an inlet. What nobody takes is lost, as datagrams are.
    pub fn receive(&mut self, place: usize, inlet: &Inlet, epoll: &OwnedFd, now: Duration) {
        for _ in 0..TURN_DATAGRAMS {
            let Some((count, from, to)) = receive(inlet, &mut self.datagram) else {
                return;
            };
            if !inlet.way.admits(from) {
                continue;
            }
            let key = Key { inlet: place, from, to };
            let place = self.place_of(key, inlet.way.to, epoll, now);
            let Ok(Some(Some(client))) = place.map(|place| self.all.get_mut(place)) else {
                continue;
            };
            client.last = now;
            let datagram = self.datagram.get(..count).unwrap_or_default();
            // The first call may only tell that the datagram before this one was refused.
            if send(&client.inside, datagram, SendFlags::NOSIGNAL) == Err(Errno::CONNREFUSED) {
                let _ = send(&client.inside, datagram, SendFlags::NOSIGNAL);
            }
        }
    }

    fn place_of(&mut self, key: Key, to: SocketAddr, epoll: &OwnedFd, now: Duration) -> Result<usize, Errno> {
        match self.places.get(&key) {
            Some(place) => Ok(*place),
            None => self.begin(key, to, epoll, now),
        }
    }

    fn begin(&mut self, key: Key, to: SocketAddr, epoll: &OwnedFd, now: Duration) -> Result<usize, Errno> {
        if self.places.len() >= self.most {
            let silent = self.all.iter().flatten().min_by_key(|client| client.last);
            silent
                .map(|client| client.key)
                .into_iter()
                .for_each(|key| self.end(key));
        }
        let inside = new_socket(to, Protocol::Udp)?;
        connect(&inside, &to)?;
        let place = self.free.last().copied().unwrap_or(self.all.len());
        epoll::add(epoll, &inside, Token::Client(place).data(), epoll::EventFlags::IN)?;
        let client = Client { key, inside, last: now };
        match self.all.get_mut(place) {
            Some(slot) => {
                *slot = Some(client);
                self.free.pop();
            }
            None => self.all.push(Some(client)),
        }
        self.places.insert(key, place);
        self.due.get_or_insert(now + SILENCE_MAX);
        Ok(place)
    }

    fn end(&mut self, key: Key) {
        if let Some(place) = self.places.remove(&key)
            && let Some(slot) = self.all.get_mut(place)
        {
            *slot = None;
            self.free.push(place);
        }
    }

    /// Passes on what the service has answered.
    pub fn answer(&mut self, place: usize, inlets: &[Inlet], now: Duration) {
        for _ in 0..TURN_DATAGRAMS {
            let Some(Some(client)) = self.all.get_mut(place) else {
                return;
            };
            let Some(inlet) = inlets.get(client.key.inlet) else {
                return;
            };
            match recv(&client.inside, &mut *self.datagram, RecvFlags::empty()) {
                Ok((_, count)) => {
                    client.last = now;
                    send_from(inlet, self.datagram.get(..count).unwrap_or_default(), &client.key);
                }
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return,
                // Nobody listens, of which udp has no word for the client.
                Err(_) => {
                    let key = client.key;
                    return self.end(key);
                }
            }
        }
    }

    /// Forgets who has been silent for long enough.
    pub fn forget(&mut self, now: Duration) {
        if self.due.is_none_or(|due| due > now) {
            return;
        }
        let clients = self.all.iter().flatten();
        let silent: Vec<Key> = clients
            .filter(|client| client.last + SILENCE_MAX <= now)
            .map(|client| client.key)
            .collect();
        silent.into_iter().for_each(|key| self.end(key));
        let next = self.all.iter().flatten().map(|client| client.last + SILENCE_MAX).min();
        self.due = next.map(|next| next.max(now + LOOK_PAUSE));
    }
}

/// The socket is told where its datagrams were sent to: ip(7), IP_PKTINFO; ipv6(7), IPV6_RECVPKTINFO.
pub fn tell_destinations(socket: BorrowedFd<'_>, v4: bool) -> nix::Result<()> {
    match v4 {
        true => setsockopt(&socket, sockopt::Ipv4PacketInfo, &true),
        false => setsockopt(&socket, sockopt::Ipv6RecvPacketInfo, &true),
    }
}

/// How long it is, from whom, and to whom. None: nothing more is there.
fn receive(inlet: &Inlet, bytes: &mut [u8]) -> Option<(usize, SocketAddr, Destination)> {
    let mut space = nix::cmsg_space!(libc::in_pktinfo, libc::in6_pktinfo);
    let mut parts = [IoSliceMut::new(bytes)];
    let received = loop {
        match recvmsg::<SockaddrStorage>(
            inlet.socket.as_raw_fd(),
            &mut parts,
            Some(&mut space),
            MsgFlags::MSG_DONTWAIT,
        ) {
            Err(nix::Error::EINTR) => {}
            other => break other.ok()?,
        }
    };
    let from = address_of(&received.address?)?;
    let mut to = Destination {
        address: inlet.way.at.ip(),
        link: 0,
    };
    for message in received.cmsgs().ok()? {
        if let ControlMessageOwned::Ipv4PacketInfo(info) = message {
            to.address = Ipv4Addr::from(info.ipi_spec_dst.s_addr.to_ne_bytes()).into();
        } else if let ControlMessageOwned::Ipv6PacketInfo(info) = message {
            let address = Ipv6Addr::from(info.ipi6_addr.s6_addr);
            to = match (address.is_multicast(), address.is_unicast_link_local()) {
                (true, _) => to,
                (false, false) => Destination {
                    address: address.into(),
                    link: 0,
                },
                (false, true) => Destination {
                    address: address.into(),
                    link: info.ipi6_ifindex,
                },
            };
        }
    }
    Some((received.bytes, from, to))
}

/// What is not taken is lost, as datagrams are.
fn send_from(inlet: &Inlet, bytes: &[u8], key: &Key) {
    let parts = [IoSlice::new(bytes)];
    let client = SockaddrStorage::from(key.from);
    let socket = inlet.socket.as_raw_fd();
    let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
    let _ = match key.to.address {
        IpAddr::V4(address) => {
            let info = libc::in_pktinfo {
                ipi_ifindex: 0,
                ipi_spec_dst: libc::in_addr {
                    s_addr: u32::from_ne_bytes(address.octets()),
                },
                ipi_addr: libc::in_addr { s_addr: 0 },
            };
            sendmsg(
                socket,
                &parts,
                &[ControlMessage::Ipv4PacketInfo(&info)],
                flags,
                Some(&client),
            )
        }
        IpAddr::V6(address) => {
            let info = libc::in6_pktinfo {
                ipi6_addr: libc::in6_addr {
                    s6_addr: address.octets(),
                },
                ipi6_ifindex: key.to.link,
            };
            sendmsg(
                socket,
                &parts,
                &[ControlMessage::Ipv6PacketInfo(&info)],
                flags,
                Some(&client),
            )
        }
    };
}

fn address_of(storage: &SockaddrStorage) -> Option<SocketAddr> {
    let v4 = storage
        .as_sockaddr_in()
        .map(|address| SocketAddr::V4((*address).into()));
    v4.or_else(|| {
        storage
            .as_sockaddr_in6()
            .map(|address| SocketAddr::V6((*address).into()))
    })
}
