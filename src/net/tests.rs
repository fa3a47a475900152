//! The rules in the kernel, with real packets, in network namespaces of the tests' own.

use std::io::ErrorKind;
use std::net::UdpSocket;

use harness::{Network, PATIENCE, member, obstacle, plan, policy, ports, publish};

use super::Plan;
use super::rules::refused;
use crate::unit::Direction;

mod changes;
mod harness;
mod listing;

#[test]
fn a_published_port_is_reached_from_everywhere_and_nothing_else_from_outside() {
    if let Some(why) = obstacle() {
        return eprintln!("SKIPPED: a_published_port_is_reached_from_everywhere_and_nothing_else_from_outside: {why}");
    }
    let mut web = member(2);
    web.publish = vec![
        publish(None, ports(8080, 8081), ports(80, 81)),
        publish(None, ports(9000, 9009), ports(9000, 9009)),
        publish(Some("198.51.100.1"), ports(443, 443), ports(80, 80)),
        publish(Some("2001:db8::1"), ports(444, 444), ports(80, 80)),
        publish(Some("127.0.0.1"), ports(445, 445), ports(80, 80)),
    ];
    let network = Network::new(&plan(vec![web, member(3)]));
    let [web, client] = &network.members[..] else { panic!() };
    for port in [80, 81, 9000, 9005] {
        web.tell(&format!("0.0.0.0:{port}"));
        web.tell(&format!("[fd09::2]:{port}"));
    }
    // Whoever asks keeps its address,
    let outside = |at: &str| network.outside.ask(at);
    for port in [8080, 8081, 9000, 9005, 443] {
        assert_eq!(
            outside(&format!("198.51.100.1:{port}")).as_deref(),
            Ok("198.51.100.2"),
            "{port}"
        );
    }
    for port in [8080, 9005, 444] {
        assert_eq!(
            outside(&format!("[2001:db8::1]:{port}")).as_deref(),
            Ok("2001:db8::2"),
            "{port}"
        );
    }
    // but for who would not get an answer: the machine by its loopback, and who is on the bridge too.
    let machine = |at: &str| network.machine.ask(at);
    for at in ["127.0.0.1:8080", "127.0.0.1:9005", "127.0.0.1:445", "10.9.0.1:8080"] {
        assert_eq!(machine(at).as_deref(), Ok("10.9.0.1"), "{at}");
    }
    assert_eq!(machine("198.51.100.1:443").as_deref(), Ok("198.51.100.1"));
    assert_eq!(machine("[2001:db8::1]:444").as_deref(), Ok("2001:db8::1"));
    assert_eq!(client.ask("198.51.100.1:8080").as_deref(), Ok("10.9.0.1"));
    assert_eq!(web.ask("198.51.100.1:8080").as_deref(), Ok("10.9.0.1"));
    assert_eq!(web.ask("[2001:db8::1]:444").as_deref(), Ok("fd09::1"));
    // On the bridge, and from the machine, all of it is there; outside nothing is, and that is said.
    assert_eq!(client.ask("10.9.0.2:80").as_deref(), Ok("10.9.0.3"));
    assert_eq!(client.ask("[fd09::2]:81").as_deref(), Ok("fd09::3"));
    assert_eq!(machine("10.9.0.2:80").as_deref(), Ok("10.9.0.1"));
    for at in ["10.9.0.2:80", "[fd09::2]:80"] {
        assert_eq!(outside(at), Err(ErrorKind::ConnectionRefused), "{at}");
    }
    assert_eq!(outside("198.51.100.1:445"), Err(ErrorKind::ConnectionRefused));
    assert_eq!(machine("127.0.0.1:443"), Err(ErrorKind::ConnectionRefused));
    // Out into the world with the machine's address.
    network.outside.tell("198.51.100.2:7");
    network.outside.tell("[2001:db8::2]:7");
    assert_eq!(client.ask("198.51.100.2:7").as_deref(), Ok("198.51.100.1"));
    assert_eq!(client.ask("[2001:db8::2]:7").as_deref(), Ok("2001:db8::1"));
    // No members, no rules: what is in the way of nobody goes through the machine as before.
    network.settle(&plan(Vec::new()));
    assert_eq!(outside("10.9.0.2:80").as_deref(), Ok("198.51.100.2"));
}

#[test]
fn a_policy_refuses_at_once_and_counts() {
    if let Some(why) = obstacle() {
        return eprintln!("SKIPPED: a_policy_refuses_at_once_and_counts: {why}");
    }
    let (mut web, mut shy, mut wary) = (member(2), member(3), member(4));
    web.publish = vec![publish(None, ports(8080, 8080), ports(80, 80))];
    web.allow = vec![
        policy(
            Direction::In,
            &["10.9.0.3/32", "10.9.0.4/32", "fd09::3/128"],
            Some(ports(80, 80)),
        ),
        policy(Direction::In, &["198.51.100.0/24"], Some(ports(80, 80))),
    ];
    shy.allow = vec![policy(
        Direction::Out,
        &["10.9.0.2/32", "fd09::2/128"],
        Some(ports(80, 81)),
    )];
    wary.deny = vec![policy(Direction::Out, &["198.51.100.0/24"], Some(ports(7, 7)))];
    let plan = plan(vec![web, shy, wary, member(5)]);
    let network = Network::new(&plan);
    let [web, shy, wary, stranger] = &network.members[..] else {
        panic!()
    };
    let (machine, outside) = (&network.machine, &network.outside);
    for at in ["0.0.0.0:80", "0.0.0.0:81", "[fd09::2]:80"] {
        web.tell(at);
    }
    for at in ["198.51.100.2:7", "198.51.100.2:8"] {
        outside.tell(at);
    }
    for at in ["10.9.0.1:22", "[::]:23"] {
        machine.tell(at);
    }
    let not = Err(ErrorKind::ConnectionRefused);
    // In: from whom and to what the service allows, by whichever way.
    assert_eq!(shy.ask("10.9.0.2:80").as_deref(), Ok("10.9.0.3"));
    assert_eq!(shy.ask("[fd09::2]:80").as_deref(), Ok("fd09::3"));
    assert_eq!(shy.ask("198.51.100.1:8080").as_deref(), Ok("10.9.0.1"));
    assert_eq!(outside.ask("198.51.100.1:8080").as_deref(), Ok("198.51.100.2"));
    assert_eq!(shy.ask("10.9.0.2:81"), not);
    assert_eq!(stranger.ask("10.9.0.2:80"), not);
    assert_eq!(stranger.ask("198.51.100.1:8080"), not);
    assert_eq!(stranger.ask("[fd09::2]:80"), not);
    assert_eq!(machine.ask("127.0.0.1:8080"), not);
    assert_eq!(machine.ask("10.9.0.2:80"), not);
    // Out: to others, outside and the machine.
    assert_eq!(shy.ask("198.51.100.2:8"), not);
    assert_eq!(shy.ask("10.9.0.1:22"), not);
    assert_eq!(shy.ask("[fd09::1]:23"), not);
    assert_eq!(wary.ask("198.51.100.2:7"), not);
    assert_eq!(wary.ask("198.51.100.2:8").as_deref(), Ok("198.51.100.1"));
    assert_eq!(wary.ask("10.9.0.2:80").as_deref(), Ok("10.9.0.4"));
    assert_eq!(web.ask("198.51.100.2:7").as_deref(), Ok("198.51.100.1"));
    assert_eq!(stranger.ask("10.9.0.1:22").as_deref(), Ok("10.9.0.5"));
    // Not past it by the addresses of links.
    let own = machine.ip("-6 -o addr show dev svc0 scope link");
    let (own, _) = own.split_once("fe80").unwrap().1.split_once('/').unwrap();
    let link = stranger.ip("-o link show eth0");
    let at = format!("[fe80{own}%{}]:23", link.split_once(':').unwrap().0);
    assert_eq!(stranger.ask(&at), not);

    counts_last_as_long_as_their_links(&network, &plan);
}

fn counts_last_as_long_as_their_links(network: &Network, plan: &Plan) {
    let counts = || network.machine.run(|| refused("svc0").unwrap());
    let before = counts();
    let links: Vec<&str> = before.keys().map(String::as_str).collect();
    assert_eq!(links, ["svc0-2", "svc0-3", "svc0-4"]);
    assert!(before["svc0-2"].0 >= 6 && before["svc0-2"].1 == 0, "{before:?}");
    assert!(before["svc0-3"].1 >= 3 && before["svc0-3"].0 == 0, "{before:?}");
    assert!(before["svc0-4"].1 >= 1, "{before:?}");
    network.settle(plan);
    assert_eq!(counts(), before);
    let mut fewer = plan.clone();
    fewer.members.remove(0);
    network.settle(&fewer);
    assert!(!counts().contains_key("svc0-2"));
}

#[test]
fn a_service_has_no_address_but_its_own() {
    if let Some(why) = obstacle() {
        return eprintln!("SKIPPED: a_service_has_no_address_but_its_own: {why}");
    }
    let network = Network::new(&plan(vec![member(2), member(3), member(4)]));
    let [server, liar, absent] = &network.members[..] else {
        panic!()
    };
    for (mine, other, length, at, nodad) in [
        ("10.9.0.3", "10.9.0.4", 32, "10.9.0.2:5", ""),
        ("[fd09::3]", "[fd09::4]", 128, "[fd09::2]:5", " nodad"),
    ] {
        let address = other.trim_matches(['[', ']']);
        absent.ip(&format!("addr del {address}/{length} dev eth0"));
        liar.ip(&format!("addr add {address}/{length} dev eth0{nodad}"));
        // What it sends as another does not arrive: what it sends after that as itself comes first.
        let receiver = server.run(move || UdpSocket::bind(at).unwrap());
        receiver.set_read_timeout(Some(PATIENCE)).unwrap();
        for from in [other, mine] {
            let from = format!("{from}:0");
            liar.run(move || UdpSocket::bind(from).unwrap().send_to(b"x", at).unwrap());
        }
        let (_, from) = receiver.recv_from(&mut [0]).unwrap();
        assert_eq!(from.ip().to_string(), mine.trim_matches(['[', ']']));
        // Nor is it found as another.
        let listening = format!("{other}:80");
        liar.tell(&listening);
        assert_eq!(network.machine.ask(&listening), Err(ErrorKind::HostUnreachable));
    } // Nor does it take another's hardware address.
    let gateway = network.machine.ip("-o link show svc0");
    let gateway = gateway.split_once("link/ether ").unwrap().1.split(' ').next().unwrap();
    let receiver = server.run(|| UdpSocket::bind("10.9.0.2:6").unwrap());
    receiver.set_read_timeout(Some(PATIENCE)).unwrap();
    for last in [4, 3] {
        liar.ip(&format!("link set eth0 address 02:73:0a:09:00:0{last}"));
        liar.ip(&format!("neigh replace 10.9.0.1 lladdr {gateway} dev eth0"));
        liar.run(move || {
            let socket = UdpSocket::bind("10.9.0.3:0").unwrap();
            socket.send_to(&[last], "10.9.0.2:6").unwrap()
        });
    }
    let mut said = [0];
    receiver.recv_from(&mut said).unwrap();
    assert_eq!(said, [3]);
}
