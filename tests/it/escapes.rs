//! Ways out of a service that others have left open, and ways of a peer to what is not its own: each was a CVE somewhere.
//! What is about one key, one command or images is with the tests of that.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};

use serde_json::Value;

use super::harness::{Plan, SLEEPER, Svcd, shell};
use super::machine::{alive, hierarchies, is_root, program, send, skip};

mod peers;
mod roots;

/// One call of varlink, and its answer; None: svcd has hung up.
fn call(svcd: &Svcd, text: &str) -> Option<Value> {
    let mut stream = UnixStream::connect(svcd.socket()).unwrap();
    stream.set_read_timeout(Some(super::machine::bar(10_000))).unwrap();
    let _ = stream.write_all(text.as_bytes()).and_then(|()| stream.write_all(&[0]));
    let mut reply = Vec::new();
    let mut byte = [0];
    while matches!(stream.read(&mut byte), Ok(1)) && byte[0] != 0 {
        reply.push(byte[0]);
    }
    serde_json::from_slice(&reply).ok()
}

/// Every verb that takes the name of a unit, with that name, and how it was answered.
fn asked(svcd: &Svcd, name: &str) -> Vec<(&'static str, Option<Value>)> {
    let name = serde_json::to_string(name).unwrap();
    let verbs = [
        ("Freeze", "units", ",\"wait\":true"),
        ("Thaw", "units", ",\"wait\":true"),
        ("Stats", "units", ""),
        ("Processes", "unit", ""),
        ("Status", "units", ""),
        ("Show", "unit", ""),
        ("Cat", "unit", ""),
        ("Set", "unit", ",\"settings\":[\"pids-max=1000\"],\"persist\":false"),
        ("Kill", "units", ",\"signal\":\"SIGKILL\",\"whom\":\"all\""),
        ("Restart", "units", ",\"wait\":true"),
        ("Stop", "units", ",\"wait\":true"),
        ("Start", "units", ",\"wait\":true"),
    ];
    let answer = |(verb, key, more)| {
        let value = if key == "units" {
            format!("[{name}]")
        } else {
            name.clone()
        };
        let parameters = format!("{{\"{key}\":{value}{more}}}");
        let text = format!("{{\"method\":\"dev.svc.Supervisor.{verb}\",\"parameters\":{parameters}}}");
        (verb, call(svcd, &text))
    };
    verbs.map(answer).into()
}

/// CVE-2026-15059: a name of a peer's that leads out of our part of the cgroup tree, to the processes of another.
#[test]
fn no_name_of_a_peer_leads_to_another_cgroup() {
    if !is_root() {
        return skip("no_name_of_a_peer_leads_to_another_cgroup", "not root");
    }
    let svcd = Svcd::with(&[("web", SLEEPER)]);
    svcd.ok(&["start", "web"]);
    let base = svcd.cgroup("");
    let victim = format!("{base}-victim");
    let groups: Vec<_> = hierarchies().into_iter().map(|(_, at)| at.join(&victim)).collect();
    groups.iter().for_each(|group| fs::create_dir(group).unwrap());
    let mut process = Command::new("sleep")
        .arg("1000000")
        .stdin(Stdio::null())
        .spawn()
        .unwrap();
    for group in groups.iter().filter(|group| !group.join("cpuset.cpus").exists()) {
        let _ = fs::write(group.join("cgroup.procs"), process.id().to_string());
    }
    let pid = process.id();
    let frozen = || {
        groups.iter().any(|group| {
            let is =
                |file: &str, word: &str| fs::read_to_string(group.join(file)).is_ok_and(|text| text.trim() == word);
            is("cgroup.freeze", "1") || is("freezer.state", "FROZEN")
        })
    };
    let paths = [
        format!("../{victim}"),
        format!("web/../../{victim}"),
        format!("/{victim}"),
        format!("/sys/fs/cgroup/{victim}"),
        format!("..%2f{victim}"),
        format!("{victim}\u{0}"),
        "..".to_owned(),
        ".".to_owned(),
        "/".to_owned(),
        String::new(),
    ];
    let refused = |answer: &Option<Value>| answer.as_ref().is_none_or(|answer| answer["error"].is_string());
    for path in &paths {
        for (verb, answer) in asked(&svcd, path) {
            assert!(refused(&answer), "{verb} {path:?}: {answer:?}");
        }
    }
    assert!(alive(pid) && !frozen());
    // The same process would have gone, had anything led there.
    send(pid, rustix::process::Signal::KILL);
    process.wait().unwrap();
    for group in &groups {
        super::machine::eventually("the group goes", || fs::remove_dir(group).is_ok());
    }
    // With a name that is one, each is answered.
    for (verb, answer) in asked(&svcd, "web") {
        assert!(!refused(&answer) || verb == "Set", "{verb}: {answer:?}");
    }
}

/// The same by a file: a slice, or a unit, whose name is a path.
#[test]
fn no_name_of_a_unit_leads_to_another_cgroup() {
    let unit = |slice: &str| format!("{SLEEPER}[resources]\nslice = \"{slice}\"\n");
    let svcd = Plan::new()
        .unit("up", &unit(".."))
        .unit("out", &unit("../other"))
        .unit("root", &unit("/"))
        .unit("...toml", SLEEPER)
        .start();
    for name in ["up", "out", "root", ".", "..", "..."] {
        let done = svcd.svc(&["start", name]);
        assert_ne!(done.code, 0, "{name}: {}{}", done.out, done.err);
    }
    let parent = svcd.svc(&["check", &svcd.dir().join("units").display().to_string()]);
    assert_eq!(parent.code, 1, "{}", parent.out);
}

/// CVE-2017-11610: the name of a method that leads on to what was never meant to be called.
#[test]
fn a_method_is_one_of_a_closed_list() {
    let svcd = Svcd::with(&[("web", SLEEPER)]);
    for method in [
        "dev.svc.Supervisor.supervisor.reexec",
        "dev.svc.Supervisor.__class__",
        "dev.svc.Supervisor.Status.Status",
        "dev.svc.Supervisor.",
        "dev.svc.Supervisor",
        "Status",
        "",
        "org.varlink.service.GetInfo.x",
        "dev.svc.Supervisor.../Status",
    ] {
        let answer = call(&svcd, &format!("{{\"method\":\"{method}\",\"parameters\":{{}}}}"));
        let refused = answer.as_ref().is_none_or(|answer| answer["error"].is_string());
        assert!(refused, "{method}: {answer:?}");
    }
    svcd.answers_in_time();
}

/// CVE-2019-6454, CVE-2021-33910: what a peer sends decides on no more memory than it may have.
#[test]
fn a_field_of_16_mib_is_refused() {
    let svcd = Svcd::with(&[("web", SLEEPER)]);
    svcd.ok(&["start", "web"]);
    let before = svcd.holds();
    let long = "x".repeat(16 << 20);
    let path = "x/".repeat(8 << 20);
    for text in [
        format!("{{\"method\":\"{long}\",\"parameters\":{{}}}}"),
        format!("{{\"method\":\"dev.svc.Supervisor.Status\",\"parameters\":{{\"units\":[\"{path}\"]}}}}"),
        format!("{{\"method\":\"dev.svc.Supervisor.Status\",\"parameters\":{{\"{long}\":1}}}}"),
        format!("{}{}", "[".repeat(8 << 20), "]".repeat(8 << 20)),
    ] {
        let answer = call(&svcd, &text);
        assert!(
            answer.as_ref().is_none_or(|answer| answer["error"].is_string()),
            "{answer:?}"
        );
    }
    svcd.is_back_to(before);
}

/// CVE-2020-15257: an abstract socket has no permissions, and is reached from any container of the same network.
#[test]
fn svcd_listens_on_no_abstract_socket() {
    let svcd = Svcd::with(&[("web", SLEEPER)]);
    svcd.ok(&["start", "web"]);
    let inodes: Vec<String> = fs::read_dir(format!("/proc/{}/fd", svcd.pid()))
        .unwrap()
        .filter_map(|entry| fs::read_link(entry.ok()?.path()).ok())
        .filter_map(|link| {
            Some(
                link.to_str()?
                    .strip_prefix("socket:[")?
                    .trim_end_matches(']')
                    .to_owned(),
            )
        })
        .collect();
    let table = fs::read_to_string("/proc/net/unix").unwrap();
    let ours = table.lines().filter(|line| {
        let mut words = line.split_whitespace();
        words.nth(6).is_some_and(|inode| inodes.iter().any(|own| own == inode))
    });
    let names: Vec<&str> = ours.filter_map(|line| line.split_whitespace().nth(7)).collect();
    assert!(
        names.iter().any(|name| name.ends_with("control.sock")),
        "{names:?} of {inodes:?}"
    );
    assert!(!names.iter().any(|name| name.starts_with('@')), "{names:?}");
}

/// CVE-2020-14370: what one service was told in its environment shows up in the next one's.
#[test]
fn two_services_in_a_row_share_no_environment() {
    let script = "env; echo done; exec sleep 1000000";
    let secret = shell(script, "environment = { SECRET = \"of-the-first\" }\n");
    let svcd = Svcd::with(&[("first", &secret), ("second", &shell(script, ""))]);
    for name in ["first", "second"] {
        svcd.ok(&["start", name]);
        svcd.line(name, "done");
    }
    assert!(svcd.lines("first").iter().any(|line| line == "SECRET=of-the-first"));
    let second = svcd.lines("second");
    assert!(
        !second
            .iter()
            .any(|line| line.contains("SECRET") || line.contains("of-the-first")),
        "{second:?}"
    );
    let invocation = |name: &str| svcd.line(name, "INVOCATION_ID=");
    assert_ne!(invocation("first"), invocation("second"));
}

/// CVE-2017-16539, CVE-2018-10892: paths of /proc and /sys that were not masked.
#[test]
fn what_of_proc_and_sys_does_too_much_is_masked() {
    if !is_root() {
        return skip("what_of_proc_and_sys_does_too_much_is_masked", "not root");
    }
    const HIDDEN: &str =
        "/proc/scsi /proc/acpi /proc/kcore /proc/keys /proc/timer_list /proc/sched_debug /sys/firmware";
    let script = format!(
        "for p in {HIDDEN}; do [ -e $p ] || continue; echo there $p; \
         if [ -d $p ]; then [ -z \"$(ls -A $p)\" ] || echo shown $p; else [ -z \"$(head -c 1 $p | od -c)\" ] || \
         [ -c $p ] || echo shown $p; fi; done; \
         (: >>/proc/sysrq-trigger) 2>/dev/null && echo shown sysrq; echo done; exec sleep 1000000"
    );
    let svcd = Svcd::with(&[
        ("naive", &shell(&script, "[isolation]\nprofile = \"none\"\n")),
        ("web", &shell(&script, "")),
    ]);
    let lines = |unit: &str, word: &str| -> Vec<String> {
        svcd.ok(&["start", unit]);
        svcd.line(unit, "done");
        let mut lines = svcd.lines(unit);
        lines.retain(|line| line.starts_with(word));
        lines
    };
    assert!(
        !lines("naive", "shown").is_empty(),
        "without a sandbox nothing is hidden"
    );
    assert_eq!(lines("web", "shown"), [""; 0]);
    assert_eq!(lines("web", "there").len(), lines("naive", "there").len());
}

/// CVE-2021-41091, CVE-2021-41103, CVE-2024-25621: directories of state that any user may pass through, to what is set-user-ID
/// in them.
#[test]
fn nobody_passes_through_what_svcd_keeps() {
    if !is_root() {
        return skip("nobody_passes_through_what_svcd_keeps", "not root");
    }
    let svcd = Svcd::with(&[("web", SLEEPER)]);
    svcd.ok(&["start", "web"]);
    let state = svcd.dir().join("state");
    for entry in fs::read_dir(&state).unwrap().flatten() {
        // Where services have directories of their own, they pass.
        if entry.file_name() == "directories" {
            continue;
        }
        let mode = entry.metadata().unwrap().mode();
        assert_eq!(mode & 0o077, 0, "{}: {mode:o}", entry.path().display());
    }
    let saved: Vec<_> = fs::read_dir(svcd.dir().join("run")).unwrap().flatten().collect();
    assert!(!saved.is_empty());
    let Some(setpriv) = program("setpriv") else {
        return skip("nobody_passes_through_what_svcd_keeps", "no setpriv(1)");
    };
    // As nobody: what svcd has saved of its units cannot be read, and nothing can be made beside it.
    let script = format!(
        "for f in {0}/run/* {0}/state/*; do [ -f $f ] && [ -r $f ] && [ -s $f ] && echo $f; done; \
         touch {0}/run/x {0}/state/x 2>/dev/null && echo made",
        svcd.dir().display()
    );
    let done = Command::new(setpriv)
        .args(["--reuid=65534", "--regid=65534", "--clear-groups", "sh", "-c", &script])
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&done.stdout), "");
}
