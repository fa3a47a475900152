//! Published ports that a proxy leads: all of them where the kernel has no nf_tables, `::1` everywhere. Such a kernel is
//! shown by a filter of system calls around svcd that answers as one does: no socket of NETLINK_NETFILTER.

mod carried;
mod taken;

use std::fs::{self, File};
use std::io::{ErrorKind, Read};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use nix::sched::{CloneFlags, setns};
use rustix::process::Signal;

use super::harness::{SLEEPER, Svcd, svc_at};
use super::lan::{Lan, address, can_have_links, server, until_served, who};
use super::machine::{eventually, often, send};

const PATIENCE: Duration = Duration::from_secs(60);

/// What is started in here is without nf_tables, with all that it starts.
fn without_nf_tables<T: Send>(act: impl FnOnce() -> T + Send) -> T {
    use libc::{BPF_ABS, BPF_JEQ, BPF_JMP, BPF_K, BPF_LD, BPF_RET, BPF_W, SECCOMP_RET_ALLOW, SECCOMP_RET_ERRNO};
    let (load, equal, answer) = (BPF_LD | BPF_W | BPF_ABS, BPF_JMP | BPF_JEQ | BPF_K, BPF_RET | BPF_K);
    // Offsets of struct seccomp_data: the number of the call, the low halves of its first and third argument.
    let program = [
        (load, 0, 0),
        (equal, libc::SYS_socket as u32, 5),
        (load, 16, 0),
        (equal, libc::AF_NETLINK as u32, 3),
        (load, 32, 0),
        (equal, libc::NETLINK_NETFILTER as u32, 1),
        (answer, SECCOMP_RET_ERRNO | libc::EPROTONOSUPPORT as u32, 0),
        (answer, SECCOMP_RET_ALLOW, 0),
    ];
    let program = program.map(|(code, k, jf)| libc::sock_filter {
        code: code as u16,
        jt: 0,
        jf,
        k,
    });
    thread::scope(|scope| {
        let done = scope.spawn(|| {
            // Of this thread alone.
            svc::sys::seccomp::install(&program).unwrap();
            act()
        });
        done.join().unwrap()
    })
}

/// Does something in a unit's network.
pub fn inside<T: Send>(svcd: &Svcd, unit: &str, act: impl FnOnce() -> T + Send) -> T {
    let file = File::open(format!("/proc/{}/ns/net", svcd.main_pid(unit))).unwrap();
    thread::scope(|scope| {
        let done = scope.spawn(move || {
            setns(file, CloneFlags::CLONE_NEWNET).unwrap();
            act()
        });
        done.join().unwrap()
    })
}

fn on_bridge(network: &str) -> String {
    format!("{SLEEPER}[network]\nmode = \"bridge\"\n{network}\n")
}

/// The numbers of a unit's proxies.
fn proxies(svcd: &Svcd, unit: &str) -> Vec<i32> {
    let all = svcd.json(&["ps", unit]);
    let all = all.as_array().unwrap_or_else(|| panic!("{all:#}"));
    let named = all.iter().filter(|process| process["command"] == "svc-proxy");
    named.map(|process| process["host"].as_i64().unwrap() as i32).collect()
}

fn patient(at: &str) -> TcpStream {
    let stream = TcpStream::connect(at).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// Nobody has a port here: of neither family, and of neither protocol.
fn nothing_is_taken(lan: &Lan) {
    lan.inside(|| {
        for table in ["tcp", "tcp6", "udp", "udp6"] {
            let sockets = fs::read_to_string(format!("/proc/thread-self/net/{table}")).unwrap();
            // 0A: LISTEN; 07: a socket of udp that is bound.
            let taken = sockets.lines().skip(1).filter(|line| {
                let state = line.split_whitespace().nth(3).unwrap();
                state == "0A" || state == "07"
            });
            assert_eq!(taken.collect::<Vec<_>>(), [""; 0], "{table}");
        }
    });
}

#[test]
fn without_nf_tables_a_proxy_leads_to_what_is_published() {
    if !can_have_links("without_nf_tables_a_proxy_leads_to_what_is_published") {
        return;
    }
    let lan = Lan::new();
    let outside = lan.neighbour();
    lan.ip("addr add 2001:db8::1/64 dev up0 nodad");
    outside.ip("addr add 2001:db8::2/64 dev eth0 nodad");
    let plan = lan.plan();
    let ports = "publish = [\"8080:80\", \"127.0.0.1:9000-9001:80-81\", \"192.0.2.1:7000:80\"]";
    let web = server(plan.dir(), "web", 80, ports);
    let plan = plan.unit("web", &web);
    let svcd = without_nf_tables(|| plan.start());
    svcd.ok(&["start", "web"]);
    let status = svcd.status("web");
    assert_eq!(status["network"]["published-by"], "proxy", "{status:#}");
    assert!(
        svcd.ok(&["status", "web"])
            .contains("publishes 8080:80/tcp, 127.0.0.1:9000-9001:80-81/tcp, 192.0.2.1:7000:80/tcp by proxy")
    );
    for at in [
        "127.0.0.1:8080",
        "[::1]:8080",
        "192.0.2.1:8080",
        "[2001:db8::1]:8080",
        "10.88.0.1:8080",
        "127.0.0.1:9000",
        "192.0.2.1:7000",
    ] {
        until_served(&lan, at, "web");
    }
    for at in ["192.0.2.1:8080", "[2001:db8::1]:8080", "192.0.2.1:7000"] {
        assert_eq!(outside.inside(|| who(at)).as_deref(), Ok("web"), "{at}");
    }
    // Nothing listens inside: the client is reset. What is published elsewhere is nobody's.
    // It may be so soon that connect(2) tells it.
    let ask = || TcpStream::connect("127.0.0.1:9001").and_then(|mut stream| stream.read(&mut [0]));
    let error = lan.inside(|| ask().unwrap_err());
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    for at in ["192.0.2.1:9000", "127.0.0.1:7000"] {
        let error = lan.inside(|| TcpStream::connect(at).unwrap_err());
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused, "{at}");
    }
    let [proxy] = proxies(&svcd, "web")[..] else {
        panic!("{:?}", proxies(&svcd, "web"))
    };
    has_its_work_alone(&svcd, "web", proxy, 5);
    svcd.ok(&["stop", "web"]);
    nothing_is_taken(&lan);
    assert!(!Path::new(&format!("/proc/{proxy}")).exists());
}

/// It is in the unit's cgroup, and may do nothing else.
fn has_its_work_alone(svcd: &Svcd, unit: &str, proxy: i32, sockets: usize) {
    let of = |name: &str| fs::read_to_string(format!("/proc/{proxy}/{name}")).unwrap();
    assert!(of("cgroup").contains(&svcd.cgroup(unit)), "{}", of("cgroup"));
    for none in [
        "CapEff:\t0000000000000000",
        "CapPrm:\t0000000000000000",
        "NoNewPrivs:\t1",
        "Seccomp:\t2",
    ] {
        assert!(of("status").contains(none), "{}", of("status"));
    }
    let open = fs::read_dir(format!("/proc/{proxy}/fd")).unwrap().count();
    // Standard ones, the epoll, and connections that are not quite over.
    assert!(open <= 3 + 1 + sockets + 2, "{open}");
}

#[test]
fn without_nf_tables_who_has_rules_is_refused_and_nobody_else() {
    if !can_have_links("without_nf_tables_who_has_rules_is_refused_and_nobody_else") {
        return;
    }
    let lan = Lan::new();
    let plan = lan
        .plan()
        .unit("plain", &on_bridge("publish = [\"8080:80\"]"))
        .unit("allows", &on_bridge("publish = [\"8081:80\"]\nallow = [\"in:*:80\"]"))
        .unit("denies", &on_bridge("deny = [\"out:*\"]"))
        .unit("third", &on_bridge(""));
    let svcd = without_nf_tables(|| plan.start());
    // Before anything is known of the kernel: the first is alone in its plan, and the other two in the next.
    assert_eq!(svcd.svc(&["start", "plain", "denies", "third"]).code, 78);
    assert_eq!(svcd.state("third"), "running");
    for (unit, key) in [("allows", "allow"), ("denies", "deny")] {
        let done = svcd.svc(&["start", unit]);
        assert_eq!(done.code, 78, "{}", done.err);
        assert!(
            done.err.contains(key) && done.err.contains("no nf_tables"),
            "{}",
            done.err
        );
    }
    assert_eq!(svcd.status("plain")["state"], "running");
    let doctor = without_nf_tables(|| svc_at(Path::new("/nowhere/control.sock"), &["doctor"]));
    let said = "published ports go by a proxy, and rules are refused";
    assert!(doctor.out.contains(said), "{}", doctor.out);
}

/// The rules of nf_tables lead from 127.0.0.1; from `::1` they cannot.
#[test]
fn with_nf_tables_a_proxy_leads_from_loopback_of_ipv6() {
    if !can_have_links("with_nf_tables_a_proxy_leads_from_loopback_of_ipv6") {
        return;
    }
    let lan = Lan::new();
    let plan = lan.plan();
    let units = [
        ("web", "publish = [\"8080:80\"]"),
        ("local", "publish = [\"[::1]:8081:80\"]"),
        ("let-in", "publish = [\"8082:80\"]\nallow = [\"in:[::1]:80/tcp\"]"),
        ("kept-out", "publish = [\"8083:80\"]\ndeny = [\"in:[::1]\"]"),
        ("v4", "publish = [\"127.0.0.1:8084:80\"]"),
    ];
    let texts = units.map(|(name, network)| (name, server(plan.dir(), name, 80, network)));
    let plan = texts.iter().fold(plan, |plan, (name, text)| plan.unit(name, text));
    let svcd = plan.start();
    for (name, _) in units {
        svcd.ok(&["start", name]);
    }
    for (at, name) in [
        ("127.0.0.1:8080", "web"),
        ("[::1]:8080", "web"),
        ("[::1]:8081", "local"),
        ("[::1]:8082", "let-in"),
        ("127.0.0.1:8083", "kept-out"),
        ("127.0.0.1:8084", "v4"),
    ] {
        until_served(&lan, at, name);
    }
    // What its rules refuse, they refuse here too.
    for at in ["127.0.0.1:8082", "[::1]:8083", "[::1]:8084"] {
        assert!(lan.inside(|| who(at)).is_err(), "{at}");
    }
    let by = |unit: &str| svcd.status(unit)["network"].clone();
    assert_eq!(by("web")["published-by"], "nftables");
    assert_eq!(by("web")["proxied"][0], "[::1]:8080:80/tcp");
    assert_eq!(by("local")["published-by"], "proxy");
    assert_eq!(by("v4")["proxied"].as_array().map(Vec::len), Some(0), "{:#}", by("v4"));
    for (unit, count) in [("web", 1), ("local", 1), ("let-in", 1), ("kept-out", 0), ("v4", 0)] {
        assert_eq!(proxies(&svcd, unit).len(), count, "{unit}");
    }
}

/// Its end is the service's own: the proxy is none of its processes, and goes with it.
#[test]
fn a_service_that_ends_has_ended_whatever_its_proxy_does() {
    if !can_have_links("a_service_that_ends_has_ended_whatever_its_proxy_does") {
        return;
    }
    let lan = Lan::new();
    let plan = lan.plan();
    let go = plan.dir().join("go");
    let script = format!("until [ -e {} ]; do sleep 0.02; done", go.display());
    let ends = super::harness::shell(
        &script,
        "[isolation]\nprivate-tmp = false\n[network]\nmode = \"bridge\"\npublish = [\"8080:80\"]",
    );
    // Without a reaper nobody but the service itself keeps its namespaces.
    let alone = on_bridge("publish = [\"8081:80\"]") + "[isolation]\ninit = false\npid = false\n";
    let plan = plan.unit("ends", &ends).unit("alone", &alone);
    let svcd = without_nf_tables(|| plan.start());
    svcd.ok(&["start", "ends", "alone"]);
    assert_eq!(proxies(&svcd, "ends").len(), 1);
    fs::write(go, "").unwrap();
    svcd.reaches("ends", "inactive");
    eventually("alone has its proxy", || proxies(&svcd, "alone").len() == 1);
    let its = address(&svcd, "alone", true);
    let service = inside(&svcd, "alone", || TcpListener::bind((its, 80)).unwrap());
    drop(lan.inside(|| patient("127.0.0.1:8081")));
    drop(service.accept().unwrap());
    drop(service);
    svcd.ok(&["stop", "alone"]);
    nothing_is_taken(&lan);
}

#[test]
fn a_proxy_that_is_killed_has_a_successor() {
    if !can_have_links("a_proxy_that_is_killed_has_a_successor") {
        return;
    }
    let lan = Lan::new();
    let plan = lan.plan();
    let web = server(plan.dir(), "web", 80, "publish = [\"8080:80\"]");
    let plan = plan.unit("web", &web);
    let mut svcd = without_nf_tables(|| plan.start());
    svcd.ok(&["start", "web"]);
    until_served(&lan, "127.0.0.1:8080", "web");
    let main = svcd.main_pid("web");
    let [first] = proxies(&svcd, "web")[..] else { panic!() };
    send(first as u32, Signal::KILL);
    // Who connects meanwhile waits, and is not refused.
    assert_eq!(lan.inside(|| who("127.0.0.1:8080")).as_deref(), Ok("web"));
    assert!(
        svcd.said().contains("the proxy of its published ports has ended"),
        "{}",
        svcd.said()
    );
    let [second] = proxies(&svcd, "web")[..] else { panic!() };
    assert_ne!(first, second);
    // A crash of svcd is nothing to it, and the next svcd knows it again.
    svcd.kill();
    assert_eq!(lan.inside(|| who("127.0.0.1:8080")).as_deref(), Ok("web"));
    without_nf_tables(|| svcd.start_again());
    assert_eq!(proxies(&svcd, "web"), [second]);
    assert_eq!(lan.inside(|| who("[::1]:8080")).as_deref(), Ok("web"));
    svcd.ok(&["reexec"]);
    assert_eq!(proxies(&svcd, "web"), [second]);
    // It has the ports again: they outlive this one too.
    send(second as u32, Signal::KILL);
    assert_eq!(lan.inside(|| who("127.0.0.1:8080")).as_deref(), Ok("web"));
    let [third] = proxies(&svcd, "web")[..] else { panic!() };
    // Both at once: the ports are taken anew.
    svcd.kill();
    send(third as u32, Signal::KILL);
    without_nf_tables(|| svcd.start_again());
    until_served(&lan, "127.0.0.1:8080", "web");
    assert_eq!(svcd.main_pid("web"), main, "the service itself has never stopped");
    assert_eq!(svcd.status("web")["network"]["published-by"], "proxy");
    svcd.ok(&["stop", "web"]);
    nothing_is_taken(&lan);
}

#[test]
fn a_restart_under_load_refuses_nobody_who_connects() {
    if !can_have_links("a_restart_under_load_refuses_nobody_who_connects") {
        return;
    }
    let lan = Lan::new();
    let outside = lan.neighbour();
    let plan = lan.plan();
    let keys = "publish = [\"8080:80\"]\n[restart]\npolicy = \"always\"\ndelay = \"10ms\"";
    let web = server(plan.dir(), "web", 80, keys);
    let plan = plan.unit("web", &web);
    let svcd = without_nf_tables(|| plan.start());
    svcd.ok(&["start", "web"]);
    let (over, asked) = (AtomicBool::new(false), AtomicUsize::new(0));
    thread::scope(|scope| {
        let client = scope.spawn(|| {
            outside.inside(|| {
                while !over.load(Ordering::Relaxed) {
                    // What was connected to the one that ends, ends: but nobody is refused.
                    match TcpStream::connect("192.0.2.1:8080") {
                        Err(error) if error.kind() != ErrorKind::ConnectionReset => panic!("{error}"),
                        Ok(_) | Err(_) => {}
                    }
                    asked.fetch_add(1, Ordering::Relaxed);
                }
            });
        });
        for _ in 0..often(10) {
            svcd.ok(&["restart", "web"]);
            // By itself too.
            let main = svcd.main_pid("web");
            send(main, Signal::KILL);
            eventually("it is back", || {
                let status = svcd.status("web");
                let now = status["main-pid"]["host"].as_u64();
                status["state"] == "running" && now.is_some_and(|pid| pid != u64::from(main))
            });
        }
        eventually("some have asked", || {
            asked.load(Ordering::Relaxed) >= 10 || client.is_finished()
        });
        over.store(true, Ordering::Relaxed);
        client.join().unwrap();
    });
    until_served(&outside, "192.0.2.1:8080", "web");
    assert_eq!(proxies(&svcd, "web").len(), 1);
}
