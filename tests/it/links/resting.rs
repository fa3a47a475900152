//! Units between two runs: in back-off, over a restart, and while they wait for others. They stay on the bridge, and only
//! their links go.

use std::fs;
use std::io::{BufRead, BufReader, ErrorKind};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread;

use rustix::process::Signal;

use crate::harness::Svcd;
use crate::lan::{Lan, address, can_have_links, server, until_served, who};
use crate::machine::{eventually, often, program, send, skip};

/// Until somebody asks, it does not come back by itself.
const LONG_BACKOFF: &str =
    "publish = [\"8080:80\"]\n[restart]\npolicy = \"always\"\ndelay = \"1h\"\nmax-delay = \"1h\"";

/// What nft(8) lists, if it is there.
fn rules(lan: &Lan) -> Option<String> {
    program("nft").map(|_| lan.run(&["nft", "list", "ruleset"]))
}

fn falls_into_backoff(lan: &Lan, svcd: &Svcd, unit: &str) {
    let link = svcd.status(unit)["network"]["link"].as_str().unwrap().to_owned();
    send(svcd.main_pid(unit), Signal::KILL);
    svcd.reaches(unit, "backoff");
    eventually("its link goes with its namespace", || !lan.links().contains(&link));
}

/// Asked for while the unit is between two runs.
fn a_connection_waits_for(outside: &Lan, starts: impl FnOnce()) {
    let begun = AtomicBool::new(false);
    thread::scope(|scope| {
        let connected = scope.spawn(|| {
            outside.inside(|| {
                loop {
                    match TcpStream::connect("192.0.2.1:8080") {
                        Ok(_) => return,
                        // Its namespace is there, and it does not listen yet.
                        Err(error) if error.kind() == ErrorKind::ConnectionRefused => {
                            assert!(begun.load(Ordering::Relaxed), "it was refused by who is not there");
                        }
                        Err(error) => assert_eq!(error.kind(), ErrorKind::HostUnreachable),
                    }
                }
            })
        });
        let tcp = || outside.inside(|| fs::read_to_string("/proc/thread-self/net/tcp").unwrap());
        eventually("a connection is asked for", || {
            connected.is_finished() || tcp().contains("010200C0:1F90 02 ")
        });
        begun.store(true, Ordering::Relaxed);
        starts();
        connected.join().unwrap();
    });
}

#[test]
fn between_two_runs_a_unit_keeps_its_name_its_address_and_its_rules() {
    if !can_have_links("between_two_runs_a_unit_keeps_its_name_its_address_and_its_rules") {
        return;
    }
    let lan = Lan::new();
    let outside = lan.neighbour();
    let before = lan.links();
    let plan = lan.plan();
    let web = server(plan.dir(), "web", 80, LONG_BACKOFF);
    let (other, rival) = (
        server(plan.dir(), "other", 80, ""),
        server(plan.dir(), "rival", 80, "publish = [\"8080:80\"]"),
    );
    let plan = plan.unit("web", &web).unit("other", &other).unit("rival", &rival);
    let mut svcd = plan.start();
    svcd.ok(&["start", "web", "other"]);
    until_served(&outside, "192.0.2.1:8080", "web");
    let its = address(&svcd, "web", true);
    falls_into_backoff(&lan, &svcd, "web");
    let is_in_its_place = |svcd: &Svcd| {
        assert_eq!(svcd.state("web"), "backoff");
        assert_eq!(address(svcd, "web", true), its);
        assert!(svcd.ok(&["show", "web"]).contains(&its.to_string()));
        let hosts = fs::read_to_string(format!("/proc/{}/root/etc/hosts", svcd.main_pid("other"))).unwrap();
        assert!(hosts.contains(&format!("{its} web\n")), "{hosts}");
        assert!(rules(&lan).is_none_or(|rules| rules.contains("8080")));
        let refused = svcd.svc(&["start", "rival"]).err;
        assert!(refused.contains("published by web"), "{refused}");
    };
    is_in_its_place(&svcd);
    svcd.ok(&["reexec"]);
    is_in_its_place(&svcd);
    svcd.kill();
    svcd.start_again();
    // Carried out again by now: it has another in it.
    eventually("other is served", || {
        lan.inside(|| who(&format!("{}:80", address(&svcd, "other", true))))
            .is_ok()
    });
    is_in_its_place(&svcd);

    a_connection_waits_for(&outside, || drop(svcd.ok(&["start", "web"])));
    until_served(&outside, "192.0.2.1:8080", "web");
    assert_eq!(address(&svcd, "web", true), its);

    // A stop that is done has left nothing, at once.
    falls_into_backoff(&lan, &svcd, "web");
    svcd.ok(&["stop", "web"]);
    assert!(rules(&lan).is_none_or(|rules| !rules.contains("8080")));
    svcd.ok(&["start", "rival"]);
    svcd.ok(&["stop", "rival", "other"]);
    assert_eq!(lan.links(), before);
    assert!(rules(&lan).is_none_or(|rules| rules.is_empty()));
}

#[test]
fn who_waits_for_another_stays_on_the_bridge_and_a_stop_waits_until_it_has_left() {
    if !can_have_links("who_waits_for_another_stays_on_the_bridge_and_a_stop_waits_until_it_has_left") {
        return;
    }
    let lan = Lan::new();
    let before = lan.links();
    let plan = lan.plan();
    let go = plan.dir().join("go");
    fs::write(&go, "").unwrap();
    let script = format!("until [ -e {} ]; do sleep 0.02; done", go.display());
    let db = crate::harness::shell("exec sleep 1000000", "").replace(
        "exec-start",
        &format!("exec-start-pre = [\"/bin/sh\", \"-c\", \"{script}\"]\nexec-start"),
    );
    let web = "[unit]\nrequires = [\"db\"]\n".to_owned() + &server(plan.dir(), "web", 80, "publish = [\"8080:80\"]");
    let mut svcd = plan.unit("db", &db).unit("web", &web).start();
    for crashes in [false, true] {
        svcd.ok(&["start", "web"]);
        until_served(&lan, "127.0.0.1:8080", "web");
        fs::remove_file(&go).unwrap();
        svcd.ok(&["restart", "--no-wait", "db"]);
        svcd.reaches("db", "starting");
        svcd.reaches("web", "waiting");
        if crashes {
            svcd.kill();
            svcd.start_again();
            eventually("it is on the bridge again", || {
                lan.links().contains(&"svc0".to_owned()) && svcd.state("web") == "waiting"
            });
        }
        let its = address(&svcd, "web", true);
        assert!(rules(&lan).is_none_or(|rules| rules.contains(&its.to_string())));
        svcd.ok(&["stop", "web"]);
        assert_eq!(lan.links(), before);
        assert!(rules(&lan).is_none_or(|rules| rules.is_empty()));
        fs::write(&go, "").unwrap();
        svcd.reaches("db", "running");
    }
    // One that is blocked does not come soon.
    svcd.ok(&["start", "web"]);
    svcd.write("db", &db.replace("/bin/sh", "/nonexistent"));
    svcd.ok(&["apply"]);
    svcd.reaches("web", "blocked");
    assert_eq!(lan.links(), before);
    svcd.ok(&["stop", "web"]);
}

/// The kernel tells of each change.
#[test]
fn a_restart_changes_no_rule() {
    if !can_have_links("a_restart_changes_no_rule") {
        return;
    }
    if program("nft").is_none() {
        return skip("a_restart_changes_no_rule", "no nft(8)");
    }
    let lan = Lan::new();
    let plan = lan.plan();
    let web = server(plan.dir(), "web", 80, "publish = [\"8080:80\"]\nallow = [\"in:*:80\"]");
    let svcd = plan.unit("web", &web).start();
    svcd.ok(&["start", "web"]);
    let mut monitor = lan.inside(|| {
        let mut monitor = Command::new("nft");
        monitor.arg("monitor").stdout(Stdio::piped()).spawn().unwrap()
    });
    let lines = BufReader::new(monitor.stdout.take().unwrap()).lines();
    let (tell, told) = mpsc::channel();
    let reader = thread::spawn(move || lines.for_each(|line| tell.send(line.unwrap()).unwrap()));
    // It listens once it has told of this, and has told of all before once it tells of that.
    eventually("it listens", || {
        lan.run(&["nft", "add table inet begins; delete table inet begins"]);
        told.try_recv().is_ok()
    });
    for _ in 0..=often(20) {
        svcd.ok(&["restart", "web"]);
    }
    lan.run(&["nft", "add table inet ends"]);
    let told: Vec<String> = told.iter().take_while(|line| !line.contains("ends")).collect();
    monitor.kill().unwrap();
    monitor.wait().unwrap();
    reader.join().unwrap();
    // The first writes them anew, since nft(8) has changed some.
    let is_by_svcd = |line: &&String| line.contains("new generation") && !line.contains("(nft)");
    assert_eq!(told.iter().filter(is_by_svcd).count(), 1, "{told:#?}");
    until_served(&lan, "127.0.0.1:8080", "web");
    // Where somebody else has taken them away, it brings them back.
    lan.run(&["nft", "flush ruleset"]);
    svcd.ok(&["restart", "web"]);
    until_served(&lan, "127.0.0.1:8080", "web");
    assert!(rules(&lan).unwrap().contains("8080"));
}

/// svcd held its ports for the run that follows, which takes them itself.
#[test]
fn who_leaves_the_bridge_by_an_edit_has_its_ports_itself() {
    if !can_have_links("who_leaves_the_bridge_by_an_edit_has_its_ports_itself") {
        return;
    }
    let lan = Lan::new();
    let before = lan.links();
    let plan = lan.plan();
    let web = server(plan.dir(), "web", 80, "publish = [\"8080:80\"]");
    let svcd = plan.unit("web", &web).start();
    svcd.ok(&["start", "web"]);
    for (at, port) in [("[::1]:8080", 8080), ("127.0.0.1:8081", 8081)] {
        until_served(&lan, "[::1]:8080", "web");
        let host = server(svcd.dir(), "web", port, "").replace("\"bridge\"", "\"host\"");
        svcd.write("web", &host);
        svcd.ok(&["apply"]);
        svcd.reaches("web", "running");
        until_served(&lan, at, "web");
        eventually("the bridge is gone", || lan.links() == before);
        // Another port of the same address is another place on the bridge.
        svcd.write("web", &web.replace("8080:80", "8082:80"));
        svcd.ok(&["apply"]);
        until_served(&lan, "127.0.0.1:8082", "web");
        svcd.write("web", &web);
        svcd.ok(&["apply"]);
        until_served(&lan, "127.0.0.1:8080", "web");
        assert!(lan.inside(|| who("127.0.0.1:8082")).is_err());
    }
}
