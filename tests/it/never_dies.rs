//! svcd crashes: services do not notice.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;

use super::harness::{Plan, SLEEPER, Svcd, shell};
use super::machine::{self, alive, eventually, send, skip, stretch, zombies_of};
use super::strace::Trace;

/// Writes a numbered line every few milliseconds, so that a gap or a repetition shows.
const COUNTER: &str = "n=0; while :; do n=$((n+1)); echo line $n; sleep 0.02; done";

/// Three services of each kind that is adopted differently.
pub fn plan() -> Plan {
    Plan::new()
        .unit("counter", &shell(COUNTER, ""))
        .unit("plain", &format!("{SLEEPER}[isolation]\nprofile = \"none\"\n"))
        .unit(
            "forks",
            &shell("sleep 1000001 & sleep 1000002 & wait", "[restart]\ndelay = \"50ms\"\n"),
        )
}

pub const UNITS: [&str; 3] = ["counter", "plain", "forks"];

pub fn started() -> Svcd {
    let svcd = plan().start();
    svcd.ok(&["start", "counter", "plain", "forks"]);
    svcd
}

/// Asks svcd over a connection of its own, and gives the connection and the first answer; None: there is none in time.
pub fn ask(svcd: &Svcd, method: &str, parameters: &str, patience: Duration) -> Option<(UnixStream, Value)> {
    let mut client = UnixStream::connect(svcd.socket()).unwrap();
    let call = format!(r#"{{"method":"dev.svc.Supervisor.{method}","parameters":{parameters},"more":true}}"#);
    client.write_all(call.as_bytes()).unwrap();
    client.write_all(&[0]).unwrap();
    client.set_read_timeout(Some(patience)).unwrap();
    let answer = next_message(&mut client)?;
    Some((client, answer))
}

/// The next message of a connection, in the time that it was given.
pub fn next_message(client: &mut UnixStream) -> Option<Value> {
    let mut message = Vec::new();
    let mut byte = [0];
    loop {
        match client.read(&mut byte) {
            Ok(1) if byte[0] == 0 => return serde_json::from_slice(&message).ok(),
            Ok(1) => message.push(byte[0]),
            Ok(_) | Err(_) => return None,
        }
    }
}

/// Everything by which it would show that a service was touched.
pub fn untouched(svcd: &Svcd) -> Vec<(u32, Value, Value)> {
    let of = |unit: &&str| {
        let status = svcd.status(unit);
        assert_eq!(status["state"], "running", "{unit}: {status:#}");
        (svcd.main_pid(unit), status["since"].clone(), status["restarts"].clone())
    };
    UNITS.iter().map(of).collect()
}

/// Each line of the counter once, in order, up to now.
pub fn no_line_is_lost(svcd: &Svcd) {
    let before = svcd.lines("counter").len();
    eventually("the counter goes on", || svcd.lines("counter").len() > before + 5);
    let lines = svcd.lines("counter");
    let expected: Vec<String> = (1..=lines.len()).map(|n| format!("line {n}")).collect();
    assert_eq!(lines, expected);
}

/// Services that were adopted are watched, restarted and stopped as any other.
pub fn still_supervised(svcd: &Svcd) {
    let main = svcd.main_pid("forks");
    send(main, Signal::KILL);
    eventually("a killed service is back", || {
        let status = svcd.status("forks");
        status["restarts"] == 1 && status["state"] == "running" && svcd.main_pid("forks") != main
    });
    svcd.ok(&["stop", "counter", "plain", "forks"]);
    for unit in UNITS {
        assert_eq!(machine::members(&svcd.cgroup(unit)), [0; 0], "{unit}");
    }
}

/// Whether svcd answers again after so many crashes.
pub fn has_gone_on(svcd: &Svcd, crashes: usize) -> bool {
    let said = svcd.said().matches("going on from what was saved").count();
    said == crashes && svcd.svc(&["status", "counter"]).code == 0
}

#[test]
fn row_35_a_fault_restarts_nothing() {
    for signal in [Signal::SEGV, Signal::ABORT, Signal::BUS, Signal::ILL, Signal::FPE] {
        let svcd = started();
        let before = untouched(&svcd);
        let holds = svcd.holds();
        send(svcd.pid(), signal);
        eventually("it goes on", || has_gone_on(&svcd, 1));
        assert_eq!(untouched(&svcd), before, "{signal:?}");
        svcd.is_back_to(holds);
        no_line_is_lost(&svcd);
        still_supervised(&svcd);
    }
}

#[test]
fn row_35_the_third_crash_in_a_minute_leaves_a_reaper() {
    let svcd = started();
    let before = untouched(&svcd);
    for nth in 1..=3 {
        send(svcd.pid(), Signal::SEGV);
        if nth < 3 {
            eventually("it goes on", || has_gone_on(&svcd, nth));
            assert_eq!(untouched(&svcd), before);
        }
    }
    eventually("it has crashed", || svcd.said().matches("SIGSEGV").count() == 3);
    assert!(svcd.said().contains("from now on only reaping"), "{}", svcd.said());
    let pids: Vec<u32> = before.iter().map(|(pid, _, _)| *pid).collect();
    assert!(pids.iter().all(|pid| alive(*pid)), "the services go on");
    // Nobody answers, and nobody stays a zombie.
    assert!(ask(&svcd, "Version", "{}", Duration::from_millis(200)).is_none());
    send(pids[2], Signal::KILL);
    eventually("it reaps", || !alive(pids[2]) && zombies_of(svcd.pid()).is_empty());
    // An operator who has mended what was wrong has it back, and it finds out what has happened.
    send(svcd.pid(), Signal::HUP);
    eventually("it answers again", || svcd.svc(&["status", "counter"]).code == 0);
    assert_eq!((svcd.main_pid("counter"), svcd.main_pid("plain")), (pids[0], pids[1]));
    eventually("who died meanwhile is back", || svcd.status("forks")["restarts"] == 1);
    svcd.reaches("forks", "running");
    no_line_is_lost(&svcd);
}

#[test]
fn row_03_a_failed_allocation_is_no_end() {
    if let Some(why) = Trace::missing() {
        return skip("row_03_a_failed_allocation_is_no_end", why);
    }
    let svcd = started();
    let before = untouched(&svcd);
    let trace = Trace::attach(&svcd, &["inject=mmap,brk,mremap:error=ENOMEM:when=1..30"]);
    // More at once than the heap has to spare.
    let mut client = UnixStream::connect(svcd.socket()).unwrap();
    client.set_write_timeout(Some(machine::bar(1000))).unwrap();
    let _ = client.write_all(&vec![b' '; 1 << 20]);
    // For longer than the first failure: a program executed meanwhile would be ended before its handlers stand.
    eventually("memory has run out for a while", || trace.injected() >= 30);
    drop(trace);
    eventually("it goes on", || has_gone_on(&svcd, 1));
    assert_eq!(untouched(&svcd), before);
    still_supervised(&svcd);
}

#[test]
fn row_43_backoff_survives_reexec_and_crash() {
    // Long enough for an exec of svcd in between.
    let first = stretch(200).as_millis();
    let growing = format!("[restart]\ndelay = \"{first}ms\"\nmax-delay = \"1h\"\n");
    let svcd = Svcd::with(&[("flaky", &shell("exit 3", &growing))]);
    svcd.svc(&["start", "flaky"]);
    let mut delays = Vec::new();
    for nth in 1..=3 {
        eventually("the next delay begins", || svcd.status("flaky")["restarts"] == nth);
        if nth == 2 {
            send(svcd.pid(), Signal::ABORT);
            eventually("it goes on", || {
                svcd.said().contains("going on") && svcd.svc(&["list"]).code == 0
            });
        } else {
            svcd.ok(&["reexec"]);
        }
        delays.extend(svcd.delays("flaky").pop());
    }
    // Each delay is twice the one before, less at most a quarter.
    let grows = |pair: &[Duration]| pair[1] * 2 >= pair[0] * 3;
    assert!(delays.windows(2).all(grows), "{delays:?}");
}

#[test]
fn row_37_what_units_say_forges_no_state() {
    let forged = r#"x\nunit 1 {\"name\":\"web\",\"state\":\"Failed\"}\nengine  {}\n\u0000\u0001"#;
    let long = "y".repeat(200_000);
    let unit = format!("[unit]\ndescription = \"{forged}{long}\"\n{SLEEPER}");
    let svcd = Svcd::with(&[("web", &unit), ("other", SLEEPER)]);
    svcd.ok(&["start", "web", "other"]);
    let (pid, shown) = (svcd.main_pid("web"), svcd.ok(&["show", "web"]));
    svcd.ok(&["reexec"]);
    send(svcd.pid(), Signal::SEGV);
    eventually("it goes on", || svcd.svc(&["show", "web"]).out == shown);
    assert!(svcd.said().contains("going on from what was saved"), "{}", svcd.said());
    assert_eq!(svcd.main_pid("web"), pid);
    assert_eq!(svcd.state("web"), "running");
}
