//! Links of services: that they go, that they cannot be another's, and those that are not on the bridge. As in
//! [`super::bridge`], all of it is in network namespaces of the tests' own.

mod resting;

use std::fs::{self, File};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use nix::sched::{CloneFlags, setns};

use super::lan::{Lan, address, can_have_links, server, until_all_served, until_served, who, who_from};
use super::machine::{eventually, often, processes, program, skip, stays, v1};

#[test]
fn a_service_with_users_of_its_own_is_on_the_bridge_too() {
    if !can_have_links("a_service_with_users_of_its_own_is_on_the_bridge_too") {
        return;
    }
    let lan = Lan::new();
    let plan = lan.plan();
    let mapped = "publish = [\"8080:80\"]\n[isolation]\nuser = \"0:1500000:65536\"";
    let own = server(plan.dir(), "own", 80, mapped);
    let no_init = server(plan.dir(), "no-init", 80, "[isolation]\ninit = false");
    let svcd = plan.unit("own", &own).unit("no-init", &no_init).start();
    svcd.ok(&["start", "own", "no-init"]);
    until_served(&lan, "127.0.0.1:8080", "own");
    until_all_served(&lan, &svcd, &[("no-init", 80)]);
    assert_eq!(who_from(&svcd, "own", "no-init").as_deref(), Some("no-init"));
    // The namespace is its own user namespace's: its root may configure it, if it has the capability.
    let main = svcd.main_pid("own");
    let users = fs::read_link(format!("/proc/{main}/ns/user")).unwrap();
    assert_ne!(users, fs::read_link("/proc/self/ns/user").unwrap());
}

/// CVE-2020-10749 and its like are rules of the bridge's; here, that no service can be another.
#[test]
fn a_service_cannot_speak_for_another() {
    if !can_have_links("a_service_cannot_speak_for_another") {
        return;
    }
    let lan = Lan::new();
    let plan = lan.plan();
    let db = server(plan.dir(), "db", 5432, "allow = [\"in:web\"]");
    let web = server(plan.dir(), "web", 80, "");
    // One that may do anything with its own network, and takes another's address.
    let thief = server(
        plan.dir(),
        "thief",
        80,
        "[isolation]\ncapabilities = [\"CAP_NET_ADMIN\", \"CAP_NET_RAW\", \"CAP_NET_BIND_SERVICE\"]",
    );
    let svcd = plan.unit("db", &db).unit("web", &web).unit("thief", &thief).start();
    svcd.ok(&["start", "db", "web", "thief"]);
    let at = format!("{}:5432", address(&svcd, "db", true));
    eventually("db serves", || who_from(&svcd, "web", &at).as_deref() == Some("db"));
    let (of_web, of_db) = (address(&svcd, "web", true), address(&svcd, "db", true));
    let ip = program("ip").unwrap().display().to_string();
    let taken = svcd.svc(&[
        "exec",
        "thief",
        "--",
        &ip,
        "addr",
        "add",
        &format!("{of_web}/32"),
        "dev",
        "eth0",
    ]);
    assert_eq!(taken.code, 0, "{}", taken.err);
    let script = format!("{ip} route replace {of_db} via 10.88.0.1 src {of_web}");
    let routed = svcd.svc(&["exec", "thief", "--", "/bin/sh", "-c", &script]);
    assert_eq!(routed.code, 0, "{}", routed.err);
    assert_eq!(who_from(&svcd, "thief", &at), None);
    assert_eq!(who_from(&svcd, "web", &at).as_deref(), Some("db"), "who it is may");
}

/// A published port leads on over restarts, and where a `[[socket]]` holds the port nobody is ever refused.
#[test]
fn a_hundred_restarts_under_load_from_outside_refuse_nobody() {
    if !can_have_links("a_hundred_restarts_under_load_from_outside_refuse_nobody") {
        return;
    }
    let lan = Lan::new();
    let outside = lan.neighbour();
    let plan = lan.plan();
    // A server for each connection, so that a restart ends none that is open.
    let script = plan.dir().join("answer.sh");
    fs::write(
        &script,
        "while read -r line && [ ${#line} -gt 1 ]; do :; done; printf 'HTTP/1.0 200 OK\\r\\n\\r\\nheld'\n",
    )
    .unwrap();
    let held = format!(
        "[service]\nexec-start = [\"/bin/sh\", \"{}\"]\nstandard-input = \"socket\"\nstandard-output = \"socket\"\n\
         type = \"oneshot\"\n[network]\nmode = \"bridge\"\n[[socket]]\nlisten-stream = \"8080\"\naccept = true\n",
        script.display()
    );
    let web = server(plan.dir(), "web", 80, "publish = [\"8081:80\"]");
    let svcd = plan.unit("held@", &held).unit("web", &web).start();
    svcd.ok(&["start", "held", "web"]);
    let over = Arc::new(AtomicBool::new(false));
    let asked = Arc::new(AtomicUsize::new(0));
    let clients = [0, 1].map(|_| {
        let (over, asked, file) = (
            Arc::clone(&over),
            Arc::clone(&asked),
            File::open(outside.path()).unwrap(),
        );
        thread::spawn(move || {
            setns(file, CloneFlags::CLONE_NEWNET).unwrap();
            let mut wrong = Vec::new();
            while !over.load(Ordering::Relaxed) {
                match who("192.0.2.1:8080") {
                    Ok(text) if text == "held" => {}
                    other => wrong.push(other),
                }
                asked.fetch_add(1, Ordering::Relaxed);
            }
            wrong
        })
    });
    for _ in 0..often(100) {
        svcd.ok(&["restart", "web"]);
    }
    eventually("some have asked", || asked.load(Ordering::Relaxed) >= 10);
    over.store(true, Ordering::Relaxed);
    for client in clients {
        assert_eq!(client.join().unwrap(), []);
    }
    until_served(&outside, "192.0.2.1:8081", "web");
}

#[test]
fn nothing_of_the_network_is_left() {
    if !can_have_links("nothing_of_the_network_is_left") {
        return;
    }
    let lan = Lan::new();
    let before = lan.links();
    let plan = lan.plan();
    let web = server(plan.dir(), "web", 80, "publish = [\"8080:80\"]");
    let fails =
        server(plan.dir(), "fails", 80, "").replace("exec-start", "exec-start-pre = [\"/nonexistent\"]\nexec-start");
    let mut svcd = plan.unit("web", &web).unit("fails", &fails).start();
    for _ in 0..often(100) {
        svcd.ok(&["start", "web"]);
        svcd.ok(&["stop", "web"]);
        assert_eq!(lan.links(), before, "a stop that is done leaves no link");
    }
    assert_ne!(svcd.svc(&["start", "fails"]).code, 0);
    svcd.ok(&["stop", "fails"]);
    assert_eq!(lan.links(), before);
    // A crash leaves the service and its links; what has ended meanwhile is put away by the next one.
    svcd.ok(&["start", "web"]);
    let main = svcd.main_pid("web");
    until_served(&lan, "127.0.0.1:8080", "web");
    svcd.kill();
    assert_eq!(lan.inside(|| who("127.0.0.1:8080")).as_deref(), Ok("web"), "it goes on");
    super::machine::send(main, rustix::process::Signal::KILL);
    svcd.start_again();
    svcd.ok(&["stop", "web"]);
    eventually("the links are gone", || lan.links() == before);
    // It is nobody's child by now, nor is the main process, which the reaper of its namespace waits for.
    let of_web = |pid: u32| {
        let groups = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default();
        groups.contains(&svcd.cgroup("web"))
    };
    eventually("its reaper has ended", || !processes().into_iter().any(of_web));
    assert!(lan.inside(|| who("127.0.0.1:8080")).is_err());
    svcd.stop();
    assert_eq!(lan.links(), before);
    if program("nft").is_some() {
        let rules = lan.inside(|| Command::new("nft").args(["list", "ruleset"]).output().unwrap());
        assert_eq!(String::from_utf8_lossy(&rules.stdout), "");
    }
}

/// Killed at any time, a supervisor leaves nothing that the next does not find.
#[test]
fn a_bridge_of_a_former_life_is_found_and_goes() {
    if !can_have_links("a_bridge_of_a_former_life_is_found_and_goes") {
        return;
    }
    let lan = Lan::new();
    // What a crash between two steps leaves: a bridge of svcd's without anything else, and a port of nobody's.
    lan.ip("link add svc0 address 02:73:0a:58:00:01 type bridge");
    lan.ip("link add svc0-9 type veth peer name x9");
    lan.ip("link set svc0-9 master svc0");
    let svcd = lan.plan().start();
    eventually("it is gone", || lan.links() == ["lo"]);
    drop(svcd);
    // Somebody else's is not touched.
    lan.ip("link add svc0 type bridge");
    let plan = lan.plan();
    let web = server(plan.dir(), "web", 80, "");
    let svcd = plan.unit("web", &web).start();
    let done = svcd.svc(&["start", "web"]);
    assert!(
        done.err.contains("network link svc0 is somebody else's"),
        "{}",
        done.err
    );
    svcd.ok(&["stop", "web"]);
    assert!(stays(200, || lan.links() == ["lo", "svc0"]));
}

#[test]
fn macvlan_and_ipvlan_on_a_parent() {
    if !can_have_links("macvlan_and_ipvlan_on_a_parent") {
        return;
    }
    let lan = Lan::new();
    let outside = lan.neighbour();
    let plan = lan.plan();
    let on = |kind: &str, last: u8| {
        let network = format!("parent = \"up0\"\naddress = \"192.0.2.{last}/24\"\ngateway = \"192.0.2.2\"");
        server(plan.dir(), kind, 80, &network).replace("mode = \"bridge\"", &format!("mode = \"{kind}\""))
    };
    let (macvlan, ipvlan, no_parent) = (
        on("macvlan", 10),
        on("ipvlan", 11),
        on("macvlan", 12).replace("up0", "none0"),
    );
    let svcd = plan
        .unit("macvlan", &macvlan)
        .unit("ipvlan", &ipvlan)
        .unit("no-parent", &no_parent)
        .start();
    svcd.ok(&["start", "macvlan"]);
    assert_eq!(svcd.status("macvlan")["network"]["link"], "up0");
    until_served(&outside, "192.0.2.10:80", "macvlan");
    svcd.ok(&["stop", "macvlan"]);
    assert!(
        svcd.svc(&["start", "no-parent"])
            .err
            .contains("network link none0: ENODEV")
    );
    let done = svcd.svc(&["start", "ipvlan"]);
    if done.err.contains("EOPNOTSUPP") {
        return skip("macvlan_and_ipvlan_on_a_parent", "this kernel has no ipvlan");
    }
    assert_eq!(done.code, 0, "{}", done.err);
    until_served(&outside, "192.0.2.11:80", "ipvlan");
}

#[test]
fn a_namespace_that_is_there_is_entered_by_its_path() {
    if !can_have_links("a_namespace_that_is_there_is_entered_by_its_path") {
        return;
    }
    let (lan, there) = (Lan::new(), Lan::new());
    let plan = lan.plan();
    let by_path =
        |path: &str| server(plan.dir(), "web", 80, "").replace("mode = \"bridge\"", &format!("mode = \"path:{path}\""));
    let (web, wrong) = (by_path(&there.path()), by_path("/etc/passwd"));
    let svcd = plan.unit("web", &web).unit("wrong", &wrong).start();
    svcd.ok(&["start", "web"]);
    until_served(&there, "127.0.0.1:80", "web");
    assert!(lan.inside(|| who("127.0.0.1:80")).is_err());
    let done = svcd.svc(&["start", "wrong"]);
    assert!(done.err.contains("network /etc/passwd: EINVAL"), "{}", done.err);
}

/// As net_cls and net_prio, or what stands in for them on v2, do it; `svc stats` says what.
#[test]
fn what_a_service_sends_has_its_class_or_its_priority() {
    let name = "what_a_service_sends_has_its_class_or_its_priority";
    if !can_have_links(name) {
        return;
    }
    let has_v2 = fs::read_to_string("/proc/self/mounts").is_ok_and(|mounts| mounts.contains(" cgroup2 "));
    if program("nft").is_none() || v1("net_cls").is_none() && !has_v2 {
        return skip(name, "no nft(8), or neither net_cls nor cgroup v2");
    }
    let lan = Lan::new();
    let plan = lan.plan();
    let unit = |web: &str, port: u16, resources: &str| {
        let page = server(plan.dir(), web, port, "").replace("mode = \"bridge\"", "mode = \"host\"");
        format!("{page}[resources]\n{resources}\n")
    };
    let units = [
        ("classed", unit("classed", 8081, "net-classid = \"10:1\"")),
        ("urgent", unit("urgent", 8082, "net-priority = { lo = 5 }")),
    ];
    let svcd = units
        .iter()
        .fold(plan, |plan, (name, text)| plan.unit(name, text))
        .start();
    // A class of v1 is the socket's, of v2 the packet's once it is about to leave.
    let (hook, class) = match v1("net_cls") {
        Some(_) => ("inet", "meta cgroup 0x100001"),
        None => ("netdev", "meta priority 10:1"),
    };
    let egress = "type filter hook egress device lo priority 0";
    let output = "type filter hook output priority 0";
    let of_class = if hook == "inet" { output } else { egress };
    let rules = format!(
        "table {hook} classed {{ chain seen {{ {of_class}; {class} counter; }}; }}\n\
         table netdev urgent {{ chain seen {{ {egress}; meta priority 0:5 counter; }}; }}\n"
    );
    let file = svcd.dir().join("rules.nft");
    std::fs::write(&file, rules).unwrap();
    lan.run(&["nft", "-f", &file.display().to_string()]);
    let seen = |family: &str, unit: &str| -> u64 {
        let listed = lan.run(&["nft", "list", "table", family, unit]);
        let count = listed.split("packets ").nth(1).and_then(|rest| rest.split(' ').next());
        count.expect("a counter").parse().unwrap()
    };
    svcd.ok(&["start", "classed", "urgent"]);
    assert_eq!((seen(hook, "classed"), seen("netdev", "urgent")), (0, 0));
    for (family, name, port) in [(hook, "classed", 8081), ("netdev", "urgent", 8082)] {
        until_served(&lan, &format!("127.0.0.1:{port}"), name);
        assert!(seen(family, name) > 2, "{name}");
    }
    assert_eq!(svcd.json(&["stats", "classed"])["net-class"], "10:1");
    assert_eq!(svcd.json(&["stats", "urgent"])["net-priority"]["lo"], 5);
    let told = svcd.ok(&["stats", "classed", "urgent"]);
    assert!(
        told.contains("class 10:1") && told.contains("priority 5 on lo"),
        "{told}"
    );
}
