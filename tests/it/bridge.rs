//! `[network] mode = "bridge"`: names, rules, published ports, addresses, as units and those who ask them see them. Every
//! supervisor here is in a network namespace of the test's own, and so is whoever connects from outside.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::UdpSocket;
use std::thread;
use std::time::Duration;

use super::harness::SLEEPER;
use super::lan::{Lan, address, can_have_links, server, until_all_served, until_served, who, who_from};
use super::machine::eventually;
use super::proxies::inside;

#[test]
fn services_find_each_other_by_name_and_a_third_is_refused_by_policy() {
    if !can_have_links("services_find_each_other_by_name_and_a_third_is_refused_by_policy") {
        return;
    }
    let lan = Lan::new();
    let plan = lan.plan();
    let db = server(plan.dir(), "db", 5432, "allow = [\"in:web:5432/tcp\"]");
    let web = server(plan.dir(), "web", 80, "deny = [\"out:other\"]");
    let other = server(plan.dir(), "other", 80, "");
    let svcd = plan.unit("db", &db).unit("web", &web).unit("other", &other).start();
    svcd.ok(&["start", "db", "web", "other"]);
    until_all_served(&lan, &svcd, &[("web", 80), ("other", 80)]);
    eventually("db serves", || {
        who_from(&svcd, "web", "db:5432").as_deref() == Some("db")
    });
    assert_eq!(who_from(&svcd, "other", "web").as_deref(), Some("web"));
    // Over IPv6 too.
    let v6 = address(&svcd, "db", false);
    let by_v6 = format!("[{v6}]:5432");
    assert_eq!(who_from(&svcd, "web", &by_v6).as_deref(), Some("db"));
    for (from, at) in [
        ("other", "db:5432".to_owned()),
        ("other", by_v6),
        ("web", "other".to_owned()),
    ] {
        assert_eq!(who_from(&svcd, from, &at), None, "{from} to {at}");
    }
    // The machine is a peer as the others are.
    let to_db = format!("{}:5432", address(&svcd, "db", true));
    assert!(lan.inside(|| who(&to_db)).is_err());
    // A rule that is edited counts for the next run, and the address is the same.
    let before = address(&svcd, "db", true);
    let open = server(svcd.dir(), "db", 5432, "");
    svcd.write("db", &open);
    svcd.ok(&["apply"]);
    svcd.reaches("db", "running");
    assert_eq!(address(&svcd, "db", true), before);
    until_served(&lan, &to_db, "db");
    assert_eq!(who_from(&svcd, "other", "db:5432").as_deref(), Some("db"));
}

#[test]
fn a_published_port_is_reached_from_everywhere_and_keeps_the_address_of_who_asks() {
    if !can_have_links("a_published_port_is_reached_from_everywhere_and_keeps_the_address_of_who_asks") {
        return;
    }
    let lan = Lan::new();
    let outside = lan.neighbour();
    let plan = lan.plan();
    let web = server(
        plan.dir(),
        "web",
        80,
        "publish = [\"8080:80\", \"127.0.0.1:9000-9001:80-81\"]",
    );
    let other = server(plan.dir(), "other", 80, "");
    let svcd = plan.unit("web", &web).unit("other", &other).start();
    svcd.ok(&["start", "web", "other"]);
    until_all_served(&lan, &svcd, &[("web", 80), ("other", 80)]);
    let status = svcd.status("web");
    assert_eq!(status["network"]["publish"][0], "8080:80/tcp", "{status:#}");
    assert_eq!(status["network"]["published-by"], "nftables");
    for at in ["127.0.0.1:8080", "192.0.2.1:8080", "10.88.0.1:8080", "127.0.0.1:9000"] {
        assert_eq!(lan.inside(|| who(at)).as_deref(), Ok("web"), "{at}");
    }
    assert_eq!(outside.inside(|| who("192.0.2.1:8080")).as_deref(), Ok("web"));
    // From the service itself, and from another.
    for unit in ["web", "other"] {
        assert_eq!(
            who_from(&svcd, unit, "192.0.2.1:8080").as_deref(),
            Some("web"),
            "from {unit}"
        );
    }
    // CVE-2021-20199: who asks from outside is who the service sees.
    svcd.line("web", "192.0.2.2");
    // What is not published is nobody's to reach.
    let direct = format!("{}:80", address(&svcd, "other", true));
    assert!(outside.inside(|| who(&direct)).is_err());
    assert!(
        outside.inside(|| who("192.0.2.1:9000")).is_err(),
        "published on loopback alone"
    );
    svcd.ok(&["stop", "web"]);
    assert!(lan.inside(|| who("127.0.0.1:8080")).is_err());
}

/// What the kernel has tracked of them before leads them elsewhere, for as long as they go on.
#[test]
fn datagrams_that_were_sent_before_are_no_reason_not_to_reach_the_service() {
    if !can_have_links("datagrams_that_were_sent_before_are_no_reason_not_to_reach_the_service") {
        return;
    }
    let lan = Lan::new();
    let outside = lan.neighbour();
    let published = |address: &str| {
        format!("{SLEEPER}[network]\nmode = \"bridge\"\naddress = \"{address}/16\"\npublish = [\"5353:53/udp\"]\n")
    };
    let plan = lan.plan();
    let other = server(plan.dir(), "other", 80, "");
    let svcd = plan.unit("echo", &published("10.88.7.7")).unit("other", &other).start();
    // With it there are rules, and what they need is tracked.
    svcd.ok(&["start", "other"]);
    let client = outside.inside(|| UdpSocket::bind("0.0.0.0:0").unwrap());
    client.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
    let asks = || {
        client.send_to(b"?", "192.0.2.1:5353").unwrap();
        client.recv(&mut [0]).is_ok()
    };
    assert!(!(0..5).any(|_| asks()), "nobody is there");
    for address in ["10.88.7.7", "10.88.7.8"] {
        svcd.write("echo", &published(address));
        svcd.ok(&["apply"]);
        svcd.ok(&["start", "echo"]);
        eventually("it is there", || {
            super::lan::address(&svcd, "echo", true).to_string() == address
        });
        svcd.reaches("echo", "running");
        let service = inside(&svcd, "echo", || UdpSocket::bind("0.0.0.0:53").unwrap());
        service.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        thread::scope(|scope| {
            scope.spawn(|| {
                let from = service.recv_from(&mut [0]).unwrap().1;
                service.send_to(b"!", from).unwrap();
            });
            eventually("it is answered", asks);
        });
    }
    svcd.ok(&["stop", "echo"]);
    assert!(!(0..5).any(|_| asks()));
}

#[test]
fn a_service_reaches_what_the_machine_reaches() {
    if !can_have_links("a_service_reaches_what_the_machine_reaches") {
        return;
    }
    let lan = Lan::new();
    let outside = lan.neighbour();
    let plan = lan.plan();
    let web = server(plan.dir(), "web", 80, "");
    let svcd = plan.unit("web", &web).start();
    svcd.ok(&["start", "web"]);
    let listener = outside.inside(|| std::net::TcpListener::bind("192.0.2.2:7000").unwrap());
    let answers = thread::spawn(move || {
        let (mut stream, from) = listener.accept().unwrap();
        let mut asked = BufReader::new(stream.try_clone().unwrap()).lines();
        while asked.next().is_some_and(|line| !line.unwrap().is_empty()) {}
        stream.write_all(b"HTTP/1.0 200 OK\r\n\r\nfar away").unwrap();
        from
    });
    assert_eq!(who_from(&svcd, "web", "192.0.2.2:7000").as_deref(), Some("far away"));
    let from = answers.join().unwrap();
    assert_eq!(
        from.ip().to_string(),
        "192.0.2.1",
        "by the machine's address, since nobody outside knows another"
    );
}

#[test]
fn an_address_is_a_units_for_good() {
    if !can_have_links("an_address_is_a_units_for_good") {
        return;
    }
    let lan = Lan::new();
    let plan = lan.plan();
    let units = ["a", "b"].map(|name| (name, server(plan.dir(), name, 80, "")));
    let fixed = server(plan.dir(), "fixed", 80, "address = \"10.88.7.7/16\"");
    let plan = units.iter().fold(plan, |plan, (name, text)| plan.unit(name, text));
    let mut svcd = plan.unit("fixed", &fixed).start();
    svcd.ok(&["start", "a", "b", "fixed"]);
    let (a, b) = (address(&svcd, "a", true), address(&svcd, "b", true));
    assert_ne!(a, b);
    assert_eq!(address(&svcd, "fixed", true).to_string(), "10.88.7.7");
    let shown = svcd.ok(&["show", "fixed"]);
    assert!(shown.contains("[\"10.88.7.7/16\"]"), "{shown}");
    svcd.ok(&["stop", "a", "b"]);
    svcd.ok(&["start", "b"]);
    assert_eq!(address(&svcd, "b", true), b);
    // A name that comes later finds both taken.
    svcd.write("c", &server(svcd.dir(), "c", 80, ""));
    svcd.ok(&["apply"]);
    svcd.ok(&["start", "c"]);
    assert!(![a, b].contains(&address(&svcd, "c", true)));
    // Over a crash: who runs goes on with what it has, and who starts has what it had.
    svcd.kill();
    svcd.start_again();
    assert_eq!(address(&svcd, "b", true), b);
    until_all_served(&lan, &svcd, &[("b", 80), ("fixed", 80)]);
    assert_eq!(who_from(&svcd, "c", "b").as_deref(), Some("b"));
    svcd.ok(&["start", "a"]);
    assert_eq!(address(&svcd, "a", true), a);
    svcd.ok(&["reexec"]);
    assert_eq!(who_from(&svcd, "a", "fixed").as_deref(), Some("fixed"));
}

#[test]
fn what_another_has_is_refused_by_name() {
    if !can_have_links("what_another_has_is_refused_by_name") {
        return;
    }
    let lan = Lan::new();
    let plan = lan.plan();
    let units = [
        ("web", "address = \"10.88.7.7/16\"\npublish = [\"8080:80\"]"),
        ("same-port", "publish = [\"127.0.0.1:8080:80\"]"),
        ("same-address", "address = \"10.88.7.7/16\""),
        ("elsewhere", "address = \"10.99.0.2/16\""),
        ("taken", "publish = [\"7001:80\"]"),
    ];
    let listener = lan.inside(|| std::net::TcpListener::bind("0.0.0.0:7001").unwrap());
    let texts = units.map(|(name, network)| (name, server(plan.dir(), name, 80, network)));
    let svcd = texts
        .iter()
        .fold(plan, |plan, (name, text)| plan.unit(name, text))
        .start();
    svcd.ok(&["start", "web"]);
    for (unit, key, why) in [
        ("same-port", "publish", "published by web"),
        ("same-address", "address", "web has it"),
        ("elsewhere", "address", "no address of the bridge"),
        ("taken", "publish", "taken by a process of the machine"),
    ] {
        let done = svcd.svc(&["start", unit]);
        assert_eq!(done.code, 78, "{}", done.err);
        assert!(done.err.contains(key) && done.err.contains(why), "{}", done.err);
        assert_eq!(svcd.status(unit)["step-exit-code"], 225);
    }
    drop(listener);
}

/// Names come and go in the file that is mounted where a service is.
#[test]
fn names_come_and_go_in_a_running_service() {
    if !can_have_links("names_come_and_go_in_a_running_service") {
        return;
    }
    let lan = Lan::new();
    let plan = lan.plan();
    let web = server(
        plan.dir(),
        "web",
        80,
        "hosts = { far = \"192.0.2.9\" }\ndns = [\"192.0.2.53\"]",
    );
    let db = server(plan.dir(), "db", 80, "");
    let svcd = plan.unit("web", &web).unit("db", &db).start();
    svcd.ok(&["start", "web"]);
    let main = svcd.main_pid("web");
    let seen = |file: &str| fs::read_to_string(format!("/proc/{main}/root/etc/{file}")).unwrap();
    assert!(seen("hosts").contains("192.0.2.9 far\n"), "{}", seen("hosts"));
    assert!(!seen("hosts").contains(" db\n"));
    assert_eq!(seen("resolv.conf"), "nameserver 192.0.2.53\n");
    svcd.ok(&["start", "db"]);
    let line = format!("{} db\n", address(&svcd, "db", true));
    assert!(seen("hosts").contains(&line), "{}", seen("hosts"));
    svcd.ok(&["stop", "db"]);
    assert!(!seen("hosts").contains(" db\n"));
    assert!(!fs::read_to_string("/etc/hosts").unwrap().contains("192.0.2.9"));
    svcd.ok(&["stop", "web"]);
    assert!(!svcd.dir().join("run/network/web.hosts").exists());
}

#[test]
fn what_goes_over_a_port_is_counted() {
    if !can_have_links("what_goes_over_a_port_is_counted") {
        return;
    }
    let lan = Lan::new();
    let plan = lan.plan();
    let web = server(plan.dir(), "web", 80, "publish = [\"8080:80\"]");
    let svcd = plan.unit("web", &web).start();
    svcd.ok(&["start", "web"]);
    until_served(&lan, "127.0.0.1:8080", "web");
    let counted = || svcd.json(&["stats", "web"])["network"].clone();
    let before = counted();
    assert_eq!(lan.inside(|| who("127.0.0.1:8080")).as_deref(), Ok("web"));
    let after = counted();
    for way in ["received-packets", "sent-packets"] {
        assert!(
            after[way].as_u64() >= before[way].as_u64().map(|count| count + 3),
            "{way}: {before} {after}"
        );
    }
    let ps = svcd.ok(&["ps", "web"]);
    assert!(
        ps.contains("10.88.0.2/16") && ps.contains("publishes 8080:80/tcp by nftables"),
        "{ps}"
    );
    let status = svcd.ok(&["status", "web"]);
    assert!(
        status.contains("by link svc0-2, publishes 8080:80/tcp by nftables, [::1]:8080:80/tcp by proxy"),
        "{status}"
    );
}
