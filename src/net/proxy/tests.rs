//! The proxy on loopback: whole connections, datagrams, ends and resets, as both sides see them.
#![allow(clippy::disallowed_methods, reason = "tests have threads")]

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use std::net::{IpAddr, Ipv6Addr};

use super::*;
use crate::unit::Protocol::{Tcp, Udp};

/// One at work, until this is dropped.
struct Working {
    at: Vec<SocketAddr>,
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Working {
    /// Leads there, each by a free port of loopback.
    fn to(all: &[(SocketAddr, Protocol)]) -> Self {
        Self::with(all, |_| {})
    }

    fn with(all: &[(SocketAddr, Protocol)], change: impl FnOnce(&mut Proxy<'_>) + Send + 'static) -> Self {
        let open = |(to, protocol): &(SocketAddr, Protocol)| {
            let at = SocketAddr::new(to.ip(), 0);
            let mut inlet = Inlet::open(Way {
                at,
                to: *to,
                protocol: *protocol,
            })
            .unwrap();
            let bound = rustix::net::getsockname(&inlet.socket).unwrap();
            inlet.way.at = SocketAddr::try_from(bound).unwrap();
            inlet
        };
        let inlets: Vec<Inlet> = all.iter().map(open).collect();
        let at = inlets.iter().map(|inlet| inlet.way.at).collect();
        let over = Arc::new(AtomicBool::new(false));
        let its = Arc::clone(&over);
        let thread = thread::spawn(move || {
            let mut proxy = Proxy::new(&inlets).unwrap();
            change(&mut proxy);
            while !its.load(Ordering::Relaxed) {
                proxy.turn().unwrap();
            }
        });
        Self {
            at,
            over,
            thread: Some(thread),
        }
    }
}

impl Drop for Working {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        // It waits for something to come.
        for at in &self.at {
            drop(TcpStream::connect(at));
            drop(UdpSocket::bind(SocketAddr::new(at.ip(), 0)).unwrap().send_to(b"", at));
        }
        let ended = self.thread.take().unwrap().join();
        assert!(ended.is_ok() || thread::panicking());
    }
}

fn listener(v4: bool) -> TcpListener {
    TcpListener::bind(if v4 { "127.0.0.1:0" } else { "[::1]:0" }).unwrap()
}

/// Bytes that show when they come in another order.
fn pattern(count: usize) -> Vec<u8> {
    (0..count).map(|nth| (nth * 31 + nth / 251) as u8).collect()
}

/// So that a bug is a failure, and not a test that hangs.
fn patient(stream: TcpStream) -> TcpStream {
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    stream.set_write_timeout(Some(Duration::from_secs(60))).unwrap();
    stream
}

#[test]
fn both_ways_at_once_and_each_side_ends_by_itself() {
    for v4 in [true, false] {
        let service = listener(v4);
        let proxy = Working::to(&[(service.local_addr().unwrap(), Tcp)]);
        let (question, answer) = (pattern(8 << 20), pattern(5 << 20));
        let mut client = patient(TcpStream::connect(proxy.at[0]).unwrap());
        let mut inside = patient(service.accept().unwrap().0);
        let said = answer.clone();
        let serves = thread::spawn(move || {
            // The answer goes first, and its end is not the end of the question.
            inside.write_all(&said).unwrap();
            inside.shutdown(Shutdown::Write).unwrap();
            let mut heard = Vec::new();
            inside.read_to_end(&mut heard).unwrap();
            heard
        });
        let mut sender = client.try_clone().unwrap();
        let asked = question.clone();
        let asks = thread::spawn(move || {
            sender.write_all(&asked).unwrap();
            sender.shutdown(Shutdown::Write).unwrap();
        });
        let mut heard = Vec::new();
        client.read_to_end(&mut heard).unwrap();
        asks.join().unwrap();
        assert!(heard == answer, "{} bytes came back", heard.len());
        assert!(serves.join().unwrap() == question);
    }
}

#[test]
fn who_is_refused_inside_is_reset() {
    let nobody = listener(true).local_addr().unwrap();
    let proxy = Working::to(&[(nobody, Tcp)]);
    // It may be so soon that connect(2) tells it.
    let client = TcpStream::connect(proxy.at[0]);
    let error = client.and_then(|client| patient(client).read(&mut [0])).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
}

#[test]
fn a_reset_of_one_side_is_one_of_the_other() {
    let service = listener(true);
    let proxy = Working::to(&[(service.local_addr().unwrap(), Tcp)]);
    let open = || {
        let client = patient(TcpStream::connect(proxy.at[0]).unwrap());
        (client, patient(service.accept().unwrap().0))
    };
    for by_service in [true, false] {
        let (client, inside) = open();
        let (one, mut other) = if by_service { (inside, client) } else { (client, inside) };
        rustix::net::sockopt::set_socket_linger(&one, Some(Duration::ZERO)).unwrap();
        drop(one);
        let error = other.read(&mut [0; 1]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionReset, "by the service: {by_service}");
    }
}

/// A server that answers and goes, with a question that nobody has read to its end.
#[test]
fn an_answer_is_not_lost_with_a_question_that_is_not_heard_out() {
    let service = listener(true);
    let proxy = Working::to(&[(service.local_addr().unwrap(), Tcp)]);
    let mut client = patient(TcpStream::connect(proxy.at[0]).unwrap());
    let mut inside = patient(service.accept().unwrap().0);
    inside.write_all(&pattern(100_000)).unwrap();
    inside.shutdown(Shutdown::Both).unwrap();
    let mut heard = Vec::new();
    client.write_all(b"more").unwrap();
    client.read_to_end(&mut heard).unwrap();
    assert!(heard == pattern(100_000), "{}", heard.len());
}

/// One whose other side takes nothing holds up nobody, and no more than its share is read of it.
#[test]
fn who_does_not_read_holds_up_nobody() {
    let service = listener(true);
    let proxy = Working::to(&[(service.local_addr().unwrap(), Tcp)]);
    let stuck = TcpStream::connect(proxy.at[0]).unwrap();
    let reads_nothing = service.accept().unwrap().0;
    stuck.set_nonblocking(true).unwrap();
    let mut sent = 0;
    let mut quiet = 0;
    // Until the kernel's buffers are full, which takes a moment each time the proxy has taken some.
    while quiet < 50 {
        match (&stuck).write(&[7; 1 << 16]) {
            Ok(count) => (sent, quiet) = (sent + count, 0),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::WouldBlock);
                quiet += 1;
                let mut other = patient(TcpStream::connect(proxy.at[0]).unwrap());
                let mut inside = patient(service.accept().unwrap().0);
                other.write_all(b"x").unwrap();
                inside.read_exact(&mut [0]).unwrap();
            }
        }
    }
    assert!(sent > 0);
    drop((stuck, reads_nothing));
}

/// More than there is room for wait, and come in when others have gone.
#[test]
fn who_finds_no_room_waits_for_it() {
    let service = listener(true);
    let to = [(service.local_addr().unwrap(), Tcp)];
    let proxy = Working::with(&to, |proxy| proxy.connections = Connections::new(2));
    let clients: Vec<TcpStream> = (0..5)
        .map(|_| patient(TcpStream::connect(proxy.at[0]).unwrap()))
        .collect();
    for mut client in clients {
        let mut inside = patient(service.accept().unwrap().0);
        inside.write_all(b"y").unwrap();
        drop(inside);
        let mut heard = Vec::new();
        client.read_to_end(&mut heard).unwrap();
        assert_eq!(heard, b"y");
    }
}

#[test]
fn each_client_of_udp_hears_its_own_answers() {
    for v4 in [true, false] {
        let loopback: IpAddr = if v4 {
            [127, 0, 0, 1].into()
        } else {
            Ipv6Addr::LOCALHOST.into()
        };
        let service = UdpSocket::bind((loopback, 0)).unwrap();
        service.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        let to = [(service.local_addr().unwrap(), Udp)];
        let proxy = Working::to(&to);
        let open = || {
            let client = UdpSocket::bind((loopback, 0)).unwrap();
            client.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
            client.connect(proxy.at[0]).unwrap();
            client
        };
        let clients = [open(), open()];
        let mut bytes = [0; 1 << 16];
        for round in 0..3_u8 {
            for (nth, client) in clients.iter().enumerate() {
                client.send(&[nth as u8, round]).unwrap();
            }
            for _ in 0..2 {
                let (count, from) = service.recv_from(&mut bytes).unwrap();
                service.send_to(&[&bytes[..count], b"!"].concat(), from).unwrap();
            }
            for (nth, client) in clients.iter().enumerate() {
                let count = client.recv(&mut bytes).unwrap();
                assert_eq!(bytes[..count], [nth as u8, round, b'!']);
            }
        }
        // The longest that fits, and an empty one.
        for length in [60_000, 0] {
            clients[0].send(&pattern(length)).unwrap();
            let (count, from) = service.recv_from(&mut bytes).unwrap();
            assert!(bytes[..count] == pattern(length));
            service.send_to(&bytes[..count], from).unwrap();
            assert_eq!(clients[0].recv(&mut bytes).unwrap(), length);
        }
    }
}

#[test]
fn the_client_that_was_silent_for_longest_makes_room() {
    let service = UdpSocket::bind("127.0.0.1:0").unwrap();
    service.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let to = [(service.local_addr().unwrap(), Udp)];
    let proxy = Working::with(&to, |proxy| proxy.clients = Clients::new(1));
    let mut heard = Vec::new();
    let clients: Vec<UdpSocket> = (0..3).map(|_| UdpSocket::bind("127.0.0.1:0").unwrap()).collect();
    for client in &clients {
        client.send_to(b"x", proxy.at[0]).unwrap();
        heard.push(service.recv_from(&mut [0; 8]).unwrap().1);
    }
    // What is answered to who was forgotten goes nowhere, and to the last it goes.
    service.send_to(b"late", heard[0]).unwrap();
    service.send_to(b"now", heard[2]).unwrap();
    clients[2].set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    assert_eq!(clients[2].recv(&mut [0; 8]).unwrap(), 3);
    clients[0].set_nonblocking(true).unwrap();
    assert_eq!(clients[0].recv(&mut [0; 8]).unwrap_err().kind(), ErrorKind::WouldBlock);
}

#[test]
fn a_silent_client_is_forgotten_and_then_nothing_is_due() {
    let service = UdpSocket::bind("127.0.0.1:0").unwrap();
    let way = Way {
        at: "127.0.0.1:0".parse().unwrap(),
        to: service.local_addr().unwrap(),
        protocol: Udp,
    };
    let inlets = [Inlet::open(way).unwrap()];
    let at = SocketAddr::try_from(rustix::net::getsockname(&inlets[0].socket).unwrap()).unwrap();
    let mut proxy = Proxy::new(&inlets).unwrap();
    assert!(proxy.timeout().is_none());
    let client = UdpSocket::bind("127.0.0.1:0").unwrap();
    client.send_to(b"x", at).unwrap();
    proxy.turn().unwrap();
    service.recv_from(&mut [0; 8]).unwrap();
    let due = proxy.clients.due().unwrap();
    proxy.clients.forget(due - Duration::from_secs(1));
    assert!(proxy.timeout().is_some());
    proxy.clients.forget(due);
    assert!(proxy.timeout().is_none());
}

#[test]
fn a_port_that_is_taken_is_refused() {
    let taken = listener(true).local_addr().unwrap();
    let way = Way {
        at: taken,
        to: taken,
        protocol: Tcp,
    };
    let first = Inlet::open(way).unwrap();
    assert!(Inlet::is_bound(&first.socket, &way));
    assert_eq!(Inlet::open(way).unwrap_err().kind(), ErrorKind::AddrInUse);
    drop(first);
    Inlet::open(way).unwrap();
}
