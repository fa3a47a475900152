//! What services say of themselves: readiness, reloads, watchdogs, main processes; and who is not heard.

use std::fs;
use std::os::unix::net::UnixDatagram;

use rustix::process::Signal;

use super::harness::{Plan, SLEEPER, Svcd, binary, shell, until_there};
use super::machine::{alive, eventually, often, send, stays};

/// `svc`, where a service with a /tmp of its own finds it.
const SVC: &str = "/tmp/svc";

fn shows_svc() -> String {
    format!(
        "[[mount]]\ntarget = \"{SVC}\"\nsource = \"{}\"\n",
        binary("svc").display()
    )
}

/// Says that it is ready once there is a file named `go`, and then waits.
fn ready_at_go(plan: &Plan) -> String {
    let script = format!(
        "{}\nexec {SVC} notify --ready --status 'at your service' -- sleep 1000000",
        until_there(&plan.dir().join("go"))
    );
    shell(&script, &format!("type = \"notify\"\n{}", shows_svc()))
}

fn go(svcd: &Svcd) {
    fs::write(svcd.dir().join("go"), "").unwrap();
}

#[test]
fn it_is_ready_when_it_says_so() {
    let plan = Plan::new();
    let web = ready_at_go(&plan);
    let after = format!("[unit]\nrequires = [\"web\"]\n{SLEEPER}");
    let svcd = plan.unit("web", &web).unit("after", &after).start();
    svcd.ok(&["start", "--no-wait", "after"]);
    svcd.reaches("web", "starting");
    assert!(stays(200, || svcd.state("web") == "starting"
        && svcd.state("after") == "waiting"));
    go(&svcd);
    svcd.reaches("after", "running");
    let status = svcd.status("web");
    assert_eq!(status["state"], "running");
    assert_eq!(status["status-text"], "at your service");
    assert!(svcd.ok(&["status", "web"]).contains("at your service"));
    svcd.ok(&["stop", "web"]);
    assert_eq!(svcd.status("web")["result"], "success");
}

#[test]
fn who_ends_before_it_is_ready_has_failed() {
    let units = [
        (
            "early",
            shell("exit 0", "type = \"notify\"\n[restart]\npolicy = \"no\"\n"),
        ),
        (
            "late",
            shell(
                "exec sleep 1000000",
                "type = \"notify\"\ntimeout-start = \"300ms\"\n[restart]\npolicy = \"no\"\n",
            ),
        ),
    ];
    let svcd = Svcd::with(&units.each_ref().map(|(name, text)| (*name, text.as_str())));
    let done = svcd.svc(&["start", "early"]);
    assert_eq!(done.code, 1);
    assert!(done.err.contains("it ended before it said READY=1"), "{}", done.err);
    assert_eq!(svcd.status("early")["result"], "protocol");
    assert_eq!(svcd.svc(&["start", "late"]).code, 1);
    assert_eq!(svcd.status("late")["result"], "timeout");
}

#[test]
fn a_start_takes_as_long_as_it_says() {
    let script = format!(
        "{SVC} notify EXTEND_TIMEOUT_USEC=60000000; touch $RUNTIME_DIRECTORY/said; sleep 1; exec {SVC} notify --ready -- sleep 1000000"
    );
    let keys = "type = \"notify\"\nnotify-access = \"all\"\nruntime-directory = [\"web\"]\ntimeout-start = \"800ms\"\n";
    let svcd = Svcd::with(&[("web", &shell(&script, &format!("{keys}{}", shows_svc())))]);
    svcd.ok(&["start", "web"]);
    assert_eq!(svcd.status("web")["restarts"], 0);
}

#[test]
fn a_reload_ends_when_the_service_says_so() {
    let script = format!(
        "reload() {{ echo reloads; {SVC} notify --reloading; {until}; rm {go}; {SVC} notify --ready --status anew; }}\n\
         trap reload HUP\n{SVC} notify --ready\nwhile :; do sleep 0.05; done",
        until = "until [ -e $GO ]; do sleep 0.02; done",
        go = "$GO",
    );
    let plan = Plan::new();
    let keys = format!(
        "type = \"notify-reload\"\nnotify-access = \"all\"\nenvironment = {{ GO = \"{}\" }}\n{}",
        plan.dir().join("go").display(),
        shows_svc()
    );
    let svcd = plan.unit("web", &shell(&script, &keys)).start();
    svcd.ok(&["start", "web"]);
    let before = svcd.main_pid("web");
    svcd.ok(&["reload", "--no-wait", "web"]);
    svcd.line("web", "reloads");
    assert_eq!(svcd.status("web")["status-text"], "");
    go(&svcd);
    eventually("it is anew", || svcd.status("web")["status-text"] == "anew");
    go(&svcd);
    svcd.ok(&["reload", "web"]);
    assert_eq!(svcd.main_pid("web"), before);
}

#[test]
fn a_silent_service_is_bitten_by_its_watchdog() {
    let script = format!(
        "trap 'echo aborted; exit 7' ABRT\n{SVC} notify --ready\nfor i in 1 2 3 4 5 6; do sleep 0.2; {SVC} notify WATCHDOG=1; done\n\
         echo silent from here\nwhile :; do sleep 0.05; done"
    );
    let keys = format!(
        "type = \"notify\"\nnotify-access = \"all\"\nwatchdog = \"2s\"\n[restart]\npolicy = \"on-watchdog\"\ndelay = \"60s\"\nmax-delay = \"60s\"\n{}",
        shows_svc()
    );
    let svcd = Svcd::with(&[("web", &shell(&script, &keys))]);
    svcd.ok(&["start", "web"]);
    svcd.line("web", "silent from here");
    let status = svcd.reaches("web", "backoff");
    assert_eq!(status["result"], "watchdog", "{status}");
    svcd.line("web", "aborted");
}

#[test]
fn a_service_may_want_to_be_taken_for_dead() {
    let script = format!("{SVC} notify --ready\n{SVC} notify WATCHDOG=trigger\nexec sleep 1000000");
    let keys = format!(
        "type = \"notify\"\nnotify-access = \"all\"\n[restart]\npolicy = \"no\"\n{}",
        shows_svc()
    );
    let svcd = Svcd::with(&[("web", &shell(&script, &keys))]);
    svcd.svc(&["start", "web"]);
    assert_eq!(svcd.reaches("web", "failed")["result"], "watchdog");
}

/// Row 29: who it says is its main process is looked at.
#[test]
fn row_29_a_main_process_is_one_of_the_unit() {
    let script = format!(
        "for n in 0 1 1073741824 4294967295 99999999999 -1 x $STRANGER; do {SVC} notify MAINPID=$n; done\n\
         {SVC} notify --ready --status refused\n{until}\nsleep 1000000 &\n{SVC} notify --main-pid $! --status changed\nwait",
        until = "until [ -e $GO ]; do sleep 0.02; done",
    );
    for profile in ["standard", "none"] {
        let plan = Plan::new();
        let program = if profile == "none" {
            binary("svc").display().to_string()
        } else {
            SVC.to_owned()
        };
        let mount = if profile == "none" { String::new() } else { shows_svc() };
        let keys = format!(
            "type = \"notify\"\nnotify-access = \"all\"\nenvironment = {{ GO = \"{}\", STRANGER = \"{}\" }}\n{mount}[isolation]\nprofile = \"{profile}\"\n",
            plan.dir().join("go").display(),
            std::process::id(),
        );
        let svcd = plan.unit("web", &shell(&script.replace(SVC, &program), &keys)).start();
        svcd.ok(&["start", "web"]);
        eventually("all is said", || svcd.status("web")["status-text"] == "refused");
        let first = svcd.main_pid("web");
        go(&svcd);
        eventually("the main process is another", || {
            svcd.status("web")["status-text"] == "changed"
        });
        let second = svcd.main_pid("web");
        assert_ne!(first, second, "{profile}");
        // The first is one of the unit's processes now, and its end is not the unit's.
        send(first, Signal::KILL);
        eventually("the first is gone", || !alive(first));
        assert_eq!(svcd.state("web"), "running");
        send(second, Signal::KILL);
        eventually("its end is the unit's", || {
            svcd.status("web")["restarts"].as_u64() >= Some(1) || svcd.state("web") == "backoff"
        });
        assert!(
            svcd.said()
                .contains(&format!("MAINPID={} by process", std::process::id())),
            "{}",
            svcd.said()
        );
    }
}

/// Rows 28 and 29, CVE-2016-7795, CVE-2016-7796: datagrams of strangers, of any shape and number.
#[test]
fn row_28_a_flood_of_strange_datagrams_costs_nobody_anything() {
    let plan = Plan::new();
    let go_file = plan.dir().join("go");
    let loud = shell(
        "exec sleep 1000000",
        "type = \"notify\"\ntimeout-start = \"infinity\"\n",
    );
    let web = ready_at_go(&plan);
    let svcd = plan.unit("loud", &loud).unit("web", &web).start();
    svcd.ok(&["start", "--no-wait", "loud", "web"]);
    svcd.reaches("loud", "starting");
    let path = svcd.dir().join("run/notify/loud/socket");
    eventually("the socket is there", || path.exists());
    let stranger = UnixDatagram::unbound().unwrap();
    stranger.connect(&path).unwrap();
    let before = svcd.holds();
    let long = vec![b'x'; 65_536];
    for shape in [
        &b""[..],
        b"\0",
        b"READY=1",
        b"READY=1\nMAINPID=1\n",
        b"=\n=\n\n\0=",
        b"\xff\xfe",
        &long[..4096],
        &long[..4097],
        &long,
    ] {
        stranger.send(shape).unwrap();
    }
    let one = fs::File::open("/dev/null").unwrap();
    let many = vec![std::os::fd::AsFd::as_fd(&one); 253];
    send_with(&stranger, b"READY=1\nFDSTORE=1", &many);
    for nth in 0..often(100_000) {
        stranger.send(b"READY=1\nSTATUS=spoofed\nWATCHDOG=trigger").unwrap();
        if nth == 50 {
            fs::write(&go_file, "").unwrap();
        }
    }
    svcd.reaches("web", "running");
    svcd.answers_in_time();
    assert_eq!(svcd.state("loud"), "starting", "nobody heard the stranger");
    assert_eq!(svcd.status("loud")["status-text"], "");
    svcd.is_back_to(before);
}

fn send_with(socket: &UnixDatagram, bytes: &[u8], descriptors: &[std::os::fd::BorrowedFd<'_>]) {
    use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
    let mut space = vec![std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(253))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    assert!(control.push(SendAncillaryMessage::ScmRights(descriptors)));
    sendmsg(
        socket,
        &[std::io::IoSlice::new(bytes)],
        &mut control,
        SendFlags::empty(),
    )
    .unwrap();
}

#[test]
fn a_former_life_is_heard_by_the_next() {
    let plan = Plan::new();
    let web = ready_at_go(&plan);
    let mut svcd = plan.unit("web", &web).start();
    svcd.ok(&["start", "--no-wait", "web"]);
    svcd.reaches("web", "starting");
    let main = svcd.main_pid("web");
    svcd.ok(&["reexec"]);
    assert_eq!(svcd.state("web"), "starting");
    svcd.kill();
    svcd.start_again();
    assert_eq!(svcd.state("web"), "starting");
    go(&svcd);
    svcd.reaches("web", "running");
    assert_eq!(svcd.main_pid("web"), main);
}
