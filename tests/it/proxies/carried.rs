//! What a proxy carries: bytes both ways, datagrams, and the ends of both sides.

use std::io::{Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpListener, UdpSocket};
use std::thread;

use super::{PATIENCE, inside, nothing_is_taken, on_bridge, patient, without_nf_tables};
use crate::lan::{Lan, address, can_have_links};

#[test]
fn a_proxy_carries_both_ways_and_each_side_ends_by_itself() {
    if !can_have_links("a_proxy_carries_both_ways_and_each_side_ends_by_itself") {
        return;
    }
    let lan = Lan::new();
    let outside = lan.neighbour();
    let plan = lan.plan().unit("box", &on_bridge("publish = [\"5000:50\"]"));
    let svcd = without_nf_tables(|| plan.start());
    svcd.ok(&["start", "box"]);
    let bytes: Vec<u8> = (0..(20_usize << 20)).map(|nth| (nth * 31 + nth / 251) as u8).collect();
    for v4 in [true, false] {
        let its = address(&svcd, "box", v4);
        let service = inside(&svcd, "box", || TcpListener::bind((its, 50)).unwrap());
        let at = if v4 { "192.0.2.1:5000" } else { "[::1]:5000" };
        let client = if v4 {
            outside.inside(|| patient(at))
        } else {
            lan.inside(|| patient(at))
        };
        let served = service.accept().unwrap().0;
        // Who serves sees itself.
        assert_eq!(served.peer_addr().unwrap().ip(), its);
        thread::scope(|scope| {
            let bytes = &bytes;
            for mut one in [&client, &served] {
                scope.spawn(move || {
                    one.write_all(bytes).unwrap();
                    one.shutdown(Shutdown::Write).unwrap();
                });
                scope.spawn(move || {
                    let mut heard = Vec::new();
                    one.read_to_end(&mut heard).unwrap();
                    assert!(heard == *bytes, "{} bytes came", heard.len());
                });
            }
        });
    }
}

#[test]
fn a_proxy_carries_datagrams_and_answers_from_where_they_went() {
    if !can_have_links("a_proxy_carries_datagrams_and_answers_from_where_they_went") {
        return;
    }
    let lan = Lan::new();
    let outside = lan.neighbour();
    lan.ip("addr add 192.0.2.7/24 dev up0");
    let plan = lan
        .plan()
        .unit("box", &on_bridge("publish = [\"5000-5001:50-51/udp\"]"));
    let svcd = without_nf_tables(|| plan.start());
    svcd.ok(&["start", "box"]);
    let services: Vec<UdpSocket> = [true, false]
        .map(|v4| {
            let its: IpAddr = address(&svcd, "box", v4);
            inside(&svcd, "box", || UdpSocket::bind((its, 51)).unwrap())
        })
        .into();
    for (lan, to, service) in [
        (&lan, "127.0.0.1:5001", &services[0]),
        (&lan, "[::1]:5001", &services[1]),
        (&outside, "192.0.2.1:5001", &services[0]),
        // The second address of the link, which is not the one that the kernel would answer from.
        (&outside, "192.0.2.7:5001", &services[0]),
    ] {
        let to: SocketAddr = to.parse().unwrap();
        let open = || {
            let any: IpAddr = if to.is_ipv4() { [0; 4].into() } else { [0_u16; 8].into() };
            let client = lan.inside(|| UdpSocket::bind((any, 0)).unwrap());
            client.set_read_timeout(Some(PATIENCE)).unwrap();
            client
        };
        let (one, other) = (open(), open());
        let mut bytes = [0; 1 << 16];
        for round in 0..3_u8 {
            for (client, said) in [(&one, 1), (&other, 2)] {
                client.send_to(&[said, round], to).unwrap();
                service.set_read_timeout(Some(PATIENCE)).unwrap();
                let (count, from) = service.recv_from(&mut bytes).unwrap();
                assert_eq!(bytes[..count], [said, round]);
                service.send_to(&[said, round, 9], from).unwrap();
                let (count, from) = client.recv_from(&mut bytes).unwrap();
                assert_eq!((&bytes[..count], from), (&[said, round, 9][..], to));
            }
        }
    }
    svcd.ok(&["stop", "box"]);
    nothing_is_taken(&lan);
}
