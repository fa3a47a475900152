//! What a peer of no rights sends, and what a process of a service may be mistaken for.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::process::Command;

use rustix::process::Signal;
use rustix::thread::{Gid, Uid};

use super::super::harness::{Plan, SLEEPER, Svcd, binary};
use super::super::machine::{eventually, is_root, send, skip, state_and_parent};
use super::{asked, call};

/// A supervisor to which everybody comes, with one unit that runs.
fn open_to_all() -> Svcd {
    let svcd = Svcd::with(&[("web", SLEEPER)]);
    svcd.ok(&["start", "web"]);
    for (path, mode) in [(svcd.dir().join("run"), 0o755), (svcd.socket(), 0o666)] {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }
    svcd
}

/// Does it as nobody: the ids are those of the one thread.
fn as_nobody<T: Send>(act: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            let (uid, gid) = (Uid::from_raw(65534), Gid::from_raw(65534));
            rustix::thread::set_thread_groups(&[]).unwrap();
            rustix::thread::set_thread_res_gid(gid, gid, gid).unwrap();
            rustix::thread::set_thread_res_uid(uid, uid, uid).unwrap();
            act()
        });
        thread.join().unwrap()
    })
}

/// CVE-2017-5985, CVE-2018-6556, CVE-2022-47952, CVE-2026-39402: one with privileges looks at a path for one without, who
/// learns by the answer what is there.
#[test]
fn no_path_of_a_peer_is_looked_at() {
    if !is_root() {
        return skip("no_path_of_a_peer_is_looked_at", "not root");
    }
    let svcd = open_to_all();
    let hidden = svcd.dir().join("hidden");
    fs::create_dir(&hidden).unwrap();
    fs::set_permissions(&hidden, fs::Permissions::from_mode(0o700)).unwrap();
    fs::write(hidden.join("there.toml"), SLEEPER).unwrap();
    let answers = |name: &str| -> Vec<(&str, String)> {
        let path = hidden.join(name).display().to_string();
        let sees = fs::metadata(&path).map_err(|error| error.kind());
        assert_eq!(sees.err(), Some(std::io::ErrorKind::PermissionDenied));
        let shown = |answer: serde_json::Value| answer.to_string().replace(&path, "PATH");
        let answers = asked(&svcd, &path);
        let told = |(verb, answer): (_, Option<_>)| (verb, answer.map_or_else(String::new, shown));
        answers.into_iter().map(told).collect()
    };
    let (there, absent) = as_nobody(|| (answers("there.toml"), answers("none.toml")));
    assert_eq!(there, absent);
    assert!(there.iter().all(|(_, answer)| answer.contains("error")), "{there:#?}");
    assert_eq!(svcd.state("web"), "running");
}

/// CVE-2026-29111, CVE-2026-40223, CVE-2026-40227: what anybody may send reaches an assertion of the first process, such
/// as a null among the names.
#[test]
fn nothing_that_nobody_sends_ends_svcd() {
    if !is_root() {
        return skip("nothing_that_nobody_sends_ends_svcd", "not root");
    }
    let svcd = open_to_all();
    let about =
        r#"{"method":"org.varlink.service.GetInterfaceDescription","parameters":{"interface":"dev.svc.Supervisor"}}"#;
    let about = call(&svcd, about).unwrap()["parameters"]["description"].clone();
    let methods = about.as_str().unwrap().lines();
    let methods: Vec<&str> = methods
        .filter_map(|line| line.strip_prefix("method ")?.split('(').next())
        .filter(|method| *method != "Watch")
        .collect();
    assert!(methods.len() > 12, "{about}");
    let deep = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));
    let odd = [
        "null",
        "[null]",
        "[[]]",
        "{}",
        "[{\"unit\":null}]",
        "-1",
        "1e400",
        "\"\"",
        "\"/../\"",
        "[\"\\u0000\"]",
        &deep,
    ];
    as_nobody(|| {
        for method in &methods {
            for value in odd {
                for key in ["unit", "units", "cgroup"] {
                    let text =
                        format!("{{\"method\":\"dev.svc.Supervisor.{method}\",\"parameters\":{{\"{key}\":{value}}}}}");
                    let answer = call(&svcd, &text).map(|answer| answer.to_string());
                    let changed = answer.as_ref().is_some_and(|answer| answer.contains("\"done\""));
                    assert!(!changed, "{text:.100}: {answer:?}");
                }
            }
        }
    });
    svcd.answers_in_time();
    assert_eq!(svcd.state("web"), "running");
    assert!(!svcd.said().contains("panicked"), "{}", svcd.said());
}

/// CVE-2018-15686: what a peer calls itself is saved, and read by the next svcd as more than a name.
#[test]
fn the_name_of_a_peer_is_no_line_of_what_is_saved() {
    let plan = Plan::new().unit("web", SLEEPER).unit("other", SLEEPER);
    // At most 15 bytes of it are the program's name.
    let odd = plan.dir().join("x\"}\n{\"nth\":9");
    symlink(binary("svc"), &odd).unwrap();
    let mut svcd = plan.start();
    let done = Command::new(&odd)
        .arg("--socket")
        .arg(svcd.socket())
        .args(["start", "web"])
        .output()
        .unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let told = |svcd: &Svcd| {
        let status = svcd.status("web");
        let fields = ["state", "main-pid", "restarts", "since", "invocation"].map(|field| status[field].clone());
        (fields, svcd.state("other"))
    };
    let before = told(&svcd);
    assert_eq!((&before.0[0], &*before.1), (&"running".into(), "inactive"));
    svcd.kill();
    svcd.start_again();
    assert_eq!(told(&svcd), before);
    svcd.ok(&["reexec"]);
    assert_eq!(told(&svcd), before);
}

/// CVE-2025-4598: between a crash and the look at it another process has the number. The end is asked of the pidfd, and
/// until that is answered nobody can have the number.
#[test]
fn a_crash_is_that_of_the_process_and_not_of_its_number() {
    let keys = "[restart]\npolicy = \"no\"\n";
    let svcd = Svcd::with(&[("web", &format!("{SLEEPER}{keys}"))]);
    svcd.ok(&["start", "web"]);
    let main = svcd.main_pid("web");
    send(svcd.pid(), Signal::STOP);
    send(main, Signal::SEGV);
    eventually("it has crashed", || {
        state_and_parent(main).is_some_and(|(state, _)| state == 'Z')
    });
    // However many come meanwhile, none is given the number.
    for _ in 0..super::super::machine::often(200) {
        let mut other = Command::new("true").spawn().unwrap();
        assert_ne!(other.id(), main);
        other.wait().unwrap();
    }
    assert_eq!(state_and_parent(main).map(|(state, _)| state), Some('Z'));
    send(svcd.pid(), Signal::CONT);
    eventually("it is told", || svcd.state("web") == "failed");
    let status = svcd.status("web");
    assert_eq!(status["signal"], "SIGSEGV", "{status:#}");
    eventually("it is reaped", || state_and_parent(main).is_none());
}
