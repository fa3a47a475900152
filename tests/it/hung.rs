//! File systems that do not answer, and very many of them: only the unit that needs one waits.

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::time::{Duration, Instant};

use super::harness::{Plan, SLEEPER, Svcd, shell};
use super::machine::{bar, cpu_time, eventually, is_root, often, program, skip};

/// A server of /dev/fuse that says it is there and then hears nothing: whoever asks waits. With its end they get an error. The numbers are those of linux/fuse.h and, for mount(2), of x86-64.
const SERVER: &str = r#"$SIG{TERM} = sub { exit 0 };
my ($at, $ready) = @ARGV;
syscall(166, $at, 2);
sysopen(my $fuse, '/dev/fuse', 2) or die "/dev/fuse: $!";
my $options = 'fd=' . fileno($fuse) . ',rootmode=40000,user_id=0,group_id=0,allow_other';
my ($what, $kind) = ('hung', 'fuse');
syscall(165, $what, $at, $kind, 0, $options) == 0 or die "mount: $!";
sysread($fuse, my $asked, 65536) or die "init: $!";
my ($unique) = unpack('x8 Q', $asked);
# Without FUSE_PARALLEL_DIROPS, whoever looks into a directory waits for the others there, and cannot be killed.
my $answer = pack('L L L L S S L L S S L8', 7, 31, 0, 1 << 18, 64, 48, 65536, 1, 0, 0, (0) x 8);
syswrite($fuse, pack('L l Q', 16 + length $answer, 0, $unique) . $answer) or die "answer: $!";
open(my $file, '>', $ready); close $file;
sleep 1000000;
"#;

/// A supervisor with a directory `hung` that does not answer, which its unit `server` serves. None: it may not be.
fn plan(test: &str) -> Option<Plan> {
    if !is_root() || program("perl").is_none() || !Path::new("/dev/fuse").exists() || cfg!(not(target_arch = "x86_64"))
    {
        skip(test, "not root, no perl(1), no /dev/fuse, or not x86-64");
        return None;
    }
    let plan = Plan::new().under(&["unshare", "-m", "--propagation", "private"]);
    fs::create_dir(plan.dir().join("hung")).unwrap();
    fs::write(plan.dir().join("server.pl"), SERVER).unwrap();
    let (at, ready) = (plan.dir().join("hung"), plan.dir().join("ready"));
    let line = format!(
        "exec perl {} {} {}",
        plan.dir().join("server.pl").display(),
        at.display(),
        ready.display()
    );
    Some(plan.unit(
        "server",
        &shell(&line, "[restart]\npolicy = \"no\"\n[isolation]\nprofile = \"none\"\n"),
    ))
}

fn serve(svcd: &Svcd) {
    let ready = svcd.dir().join("ready");
    let _ = fs::remove_file(&ready);
    svcd.ok(&["start", "server"]);
    eventually("the file system is mounted", || ready.exists());
}

#[test]
fn row_45_a_hung_file_system_holds_up_only_who_needs_it() {
    let Some(plan) = plan("row_45_a_hung_file_system_holds_up_only_who_needs_it") else {
        return;
    };
    let hung = plan.dir().join("hung").display().to_string();
    let once = "timeout-start = \"1s\"\ntimeout-stop = \"1s\"\n[restart]\npolicy = \"no\"\n";
    let unit = |keys: &str| format!("{SLEEPER}{keys}{once}");
    let units = [
        ("directory", unit(&format!("working-directory = \"{hung}/x\"\n"))),
        ("program", unit("").replace("/bin/sleep", &format!("{hung}/sleep"))),
        ("variables", unit(&format!("environment-file = [\"{hung}/env\"]\n"))),
        ("output", unit(&format!("standard-output = \"append:{hung}/out\"\n"))),
        ("secret", unit(&format!("credentials = {{ key = \"{hung}/key\" }}\n"))),
        ("root", format!("{}[root]\npath = \"{hung}/root\"\n", unit(""))),
        (
            "bind",
            format!("{}[[mount]]\ntarget = \"/mnt\"\nsource = \"{hung}/data\"\n", unit("")),
        ),
        (
            "paths",
            format!("{}[isolation]\nread-only-paths = [\"{hung}/path\"]\n", unit("")),
        ),
        (
            "condition",
            format!(
                "[unit]\ncondition = [{{ path-exists = \"{hung}/flag\" }}]\n{}",
                unit("")
            ),
        ),
        (
            "assertion",
            format!(
                "[unit]\nassert = [{{ directory-not-empty = \"{hung}/flags\" }}]\n{}",
                unit("")
            ),
        ),
    ];
    let plan = units.iter().fold(plan, |plan, (name, text)| plan.unit(name, text));
    let svcd = plan.unit("other", SLEEPER).start();
    let names = units.map(|(name, _)| name);
    hang(&svcd, &names);
    // Each unit that has run keeps its log: what is left of a round shows after the next.
    let before = svcd.holds();
    hang(&svcd, &names);
    svcd.is_back_to(before);
}

/// Whose child works on its set-up has the ports of no other open meanwhile.
#[test]
fn a_port_is_nobodys_once_its_unit_is_down_whoever_hangs_in_set_up() {
    let Some(plan) = plan("a_port_is_nobodys_once_its_unit_is_down_whoever_hangs_in_set_up") else {
        return;
    };
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = free.local_addr().unwrap();
    drop(free);
    let hung = plan.dir().join("hung/x").display().to_string();
    let stuck = format!("{SLEEPER}working-directory = \"{hung}\"\ntimeout-start = \"infinity\"\n");
    let web = format!("{SLEEPER}[[socket]]\nlisten-stream = \"{port}\"\n");
    let svcd = plan.unit("stuck", &stuck).unit("web", &web).start();
    serve(&svcd);
    svcd.ok(&["start", "web"]);
    svcd.ok(&["start", "--no-wait", "stuck"]);
    eventually("it works on its set-up", || {
        let all = svcd.json(&["ps", "stuck"]);
        all.as_array().is_some_and(|all| !all.is_empty())
    });
    svcd.ok(&["stop", "web"]);
    eventually("its port is free", || TcpListener::bind(port).is_ok());
    assert_eq!(svcd.state("stuck"), "starting");
    svcd.ok(&["stop", "server", "stuck"]);
}

/// Starts them all where nothing answers, sees that svcd and others do, and ends it.
fn hang(svcd: &Svcd, names: &[&str]) {
    const LOOKED_AT: [&str; 2] = ["condition", "assertion"];
    serve(svcd);
    svcd.ok(&["start", "other"]);
    for name in names {
        svcd.ok(&["start", "--no-wait", name]);
        svcd.answers_in_time();
    }
    // Who needs none of it goes on as ever.
    let started = Instant::now();
    svcd.ok(&["restart", "other"]);
    assert!(started.elapsed() < bar(1_000), "{:?}", started.elapsed());
    for name in names.iter().filter(|name| !LOOKED_AT.contains(name)) {
        eventually(&format!("the start of {name} is given up"), || {
            svcd.status(name)["result-text"] == "timeout start"
        });
    }
    for name in LOOKED_AT {
        assert_eq!(svcd.state(name), "starting");
    }
    svcd.answers_in_time();
    // What is only asked for is left at once.
    svcd.ok(&["stop", "condition", "assertion", "other"]);
    svcd.ok(&["stop", "server"]);
}

/// Whoever looks at watched paths waits, for that unit alone.
#[test]
fn row_45_a_path_that_does_not_answer_holds_up_no_other() {
    let Some(plan) = plan("row_45_a_path_that_does_not_answer_holds_up_no_other") else {
        return;
    };
    let dir = plan.dir().to_owned();
    let once = |path: &Path| {
        let work = format!("type = \"oneshot\"\n[[path]]\nchanged = \"{}\"\n", path.display());
        shell("echo it came", &work)
    };
    let svcd = plan
        .unit("hung", &once(&dir.join("hung/flag")))
        .unit("watched", &once(&dir.join("flag")))
        .start();
    for round in 1..=2 {
        serve(&svcd);
        for unit in ["hung", "watched"] {
            svcd.ok(&["start", unit]);
            svcd.reaches(unit, "waiting");
        }
        svcd.answers_in_time();
        let before = svcd.lines("watched").len();
        // Nobody tells when it is watched, so it is written until that is seen.
        eventually("a path that answers is seen", || {
            fs::write(dir.join("flag"), "").unwrap();
            svcd.lines("watched").len() > before
        });
        // It was run by hand, and by nothing else.
        assert_eq!(svcd.lines("hung").len(), round);
        svcd.ok(&["stop", "hung", "watched", "server"]);
        svcd.answers_in_time();
    }
}

/// How long a start takes at best, as a client sees it.
fn start_of(svcd: &Svcd, unit: &str) -> Duration {
    let once = |_| {
        let took = svcd.svc(&["start", unit]).took;
        svcd.ok(&["stop", unit]);
        took
    };
    (0..15).map(once).min().unwrap_or_default()
}

/// Mounts so many file systems where svcd is.
const STORM: &str = r#"my ($at, $count, $ready) = @ARGV;
my ($kind, $options) = ('tmpfs', 'size=4k');
mkdir $at;
for my $nth (1 .. $count) {
    my ($what, $place) = ('storm', "$at/$nth");
    mkdir $place;
    syscall(165, $what, $place, $kind, 0, $options) == 0 or die "mount: $!";
}
open(my $file, '>', $ready); close $file; sleep 1000000;
"#;

#[test]
fn row_47_ten_thousand_mounts() {
    let test = "row_47_ten_thousand_mounts";
    if !is_root() || program("perl").is_none() || cfg!(not(target_arch = "x86_64")) {
        return skip(test, "not root, no perl(1), or not x86-64");
    }
    let plan = Plan::new().under(&["unshare", "-m", "--propagation", "private"]);
    let (script, ready) = (plan.dir().join("storm.pl"), plan.dir().join("ready"));
    fs::write(&script, STORM).unwrap();
    let count = often(10_000);
    let line = format!(
        "exec perl {} {} {count} {}",
        script.display(),
        plan.dir().join("mounts").display(),
        ready.display()
    );
    let plain = "[isolation]\nprofile = \"none\"\n";
    let svcd = plan
        .unit("storm", &shell(&line, &format!("[restart]\npolicy = \"no\"\n{plain}")))
        .unit("plain", &format!("{SLEEPER}{plain}"))
        .start();
    let before = start_of(&svcd, "plain");
    let used = cpu_time(svcd.pid());
    svcd.ok(&["start", "storm"]);
    eventually("all is mounted", || ready.exists());
    let mounts = fs::read_to_string(format!("/proc/{}/mounts", svcd.pid())).unwrap();
    assert!(mounts.lines().filter(|line| line.starts_with("storm ")).count() >= count);
    // A reader of mountinfo would have had seconds of work.
    let spent = cpu_time(svcd.pid()) - used;
    assert!(spent < bar(50), "svcd worked {spent:?} for mounts that are not its own");
    let after = start_of(&svcd, "plain");
    assert!(after < before + bar(5), "a start took {before:?}, and now {after:?}");
}
