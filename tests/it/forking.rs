//! Commands of a unit besides the main one, and services that leave their main process behind.

use std::fs;

use rustix::process::Signal;

use super::harness::{Plan, Svcd, shell};
use super::machine::{alive, eventually, is_root, send, skip};

/// A service that goes into the background leaves its main process behind, which its PID file names or which is the only one.
#[test]
fn a_forking_service_is_its_daemon() {
    for (name, file, profile) in [
        ("guess", false, "standard"),
        ("file", true, "standard"),
        ("plain", true, "none"),
    ] {
        let plan = Plan::new();
        let place = plan.dir().join("web.pid");
        let script = format!(
            "(sleep 1000000 & n=$!; sleep 0.3; echo $n >{0}.new; mv {0}.new {0}; wait) &\n\
             {1} exit 0",
            place.display(),
            if file { "" } else { "sleep 0.1;" },
        );
        let script = if file {
            script
        } else {
            "sleep 1000000 & exit 0".to_owned()
        };
        let key = if file {
            format!("pid-file = \"{}\"\n", place.display())
        } else {
            String::new()
        };
        let keys =
            format!("type = \"forking\"\n{key}[restart]\npolicy = \"always\"\n[isolation]\nprofile = \"{profile}\"\n");
        let mut svcd = plan.unit("web", &shell(&script, &keys)).start();
        svcd.ok(&["start", "web"]);
        let main = svcd.main_pid("web");
        let command = fs::read_to_string(format!("/proc/{main}/cmdline")).unwrap();
        assert!(command.starts_with("sleep\0"), "{name}: {command:?}");
        svcd.ok(&["reexec"]);
        assert_eq!(svcd.main_pid("web"), main, "{name}");
        svcd.kill();
        svcd.start_again();
        assert_eq!(svcd.main_pid("web"), main, "{name}");
        send(main, Signal::KILL);
        eventually("it runs anew", || {
            let status = svcd.status("web");
            status["state"] == "running" && status["main-pid"]["host"] != main
        });
        svcd.ok(&["stop", "web"]);
        assert_eq!(svcd.state("web"), "inactive");
    }
}

/// CVE-2018-16888: a PID file that names a process of somebody else's is none.
#[test]
fn row_29_a_pid_file_names_no_stranger() {
    let plan = Plan::new();
    let (file, link) = (plan.dir().join("web.pid"), plan.dir().join("link.pid"));
    fs::write(&file, format!("{}\n", std::process::id())).unwrap();
    std::os::unix::fs::symlink("/proc/1/environ", &link).unwrap();
    let unit = |file: &std::path::Path| {
        shell(
            "sleep 1000000 & exit 0",
            &format!(
                "type = \"forking\"\ntimeout-start = \"500ms\"\npid-file = \"{}\"\n[restart]\npolicy = \"no\"\n[isolation]\nprofile = \"none\"\n",
                file.display()
            ),
        )
    };
    let (stranger, elsewhere) = (unit(&file), unit(&link));
    let svcd = plan.unit("stranger", &stranger).unit("elsewhere", &elsewhere).start();
    for name in ["stranger", "elsewhere"] {
        assert_eq!(svcd.svc(&["start", name]).code, 1);
        assert_eq!(svcd.status(name)["result"], "timeout", "{name}");
        assert_eq!(svcd.status(name)["main-pid"], serde_json::Value::Null);
    }
    assert!(svcd.said().contains("its PID file names"), "{}", svcd.said());
}

#[test]
fn who_leaves_nobody_behind_has_failed() {
    let svcd = Svcd::with(&[(
        "web",
        &shell("exit 0", "type = \"forking\"\n[restart]\npolicy = \"no\"\n"),
    )]);
    let done = svcd.svc(&["start", "web"]);
    assert!(done.err.contains("left nobody behind"), "{}", done.err);
    assert_eq!(svcd.status("web")["result"], "protocol");
}

#[test]
fn several_that_are_left_behind_are_the_unit_until_the_last_ends() {
    let script = "sleep 1000000 & echo one $! ; sleep 1000000 & echo two $!; exit 0";
    let keys = "type = \"forking\"\n[restart]\npolicy = \"no\"\n[isolation]\nprofile = \"none\"\n";
    let svcd = Svcd::with(&[("web", &shell(script, keys))]);
    svcd.ok(&["start", "web"]);
    assert_eq!(svcd.status("web")["main-pid"], serde_json::Value::Null);
    let number = |word: &str| -> u32 { svcd.line("web", word).rsplit(' ').next().unwrap().parse().unwrap() };
    let (one, two) = (number("one "), number("two "));
    send(one, Signal::KILL);
    eventually("one is gone", || !alive(one));
    assert_eq!(svcd.state("web"), "running");
    svcd.ok(&["reexec"]);
    send(two, Signal::KILL);
    svcd.reaches("web", "inactive");
}

#[test]
fn a_condition_command_skips_or_fails_the_unit() {
    let unit = |condition: &str| {
        format!(
            "[service]\nexec-start = \"/bin/sleep 1000000\"\nexec-condition = {condition}\n[restart]\npolicy = \"always\"\n"
        )
    };
    let cases = [
        ("met", unit("\"/bin/true\""), "running"),
        (
            "unmet",
            unit("[[\"/bin/true\"], [\"/bin/sh\", \"-c\", \"exit 3\"]]"),
            "skipped",
        ),
        ("ignored", unit("\"-/bin/false\""), "running"),
        (
            "failed",
            unit("[\"/bin/sh\", \"-c\", \"exit 255\"]").replace("\"always\"", "\"no\""),
            "failed",
        ),
        (
            "killed",
            unit("[\"/bin/sh\", \"-c\", \"kill -9 $$$$\"]").replace("\"always\"", "\"no\""),
            "failed",
        ),
    ];
    let svcd = Svcd::with(&cases.each_ref().map(|(name, text, _)| (*name, text.as_str())));
    for (name, _, state) in &cases {
        let done = svcd.svc(&["start", name]);
        assert_eq!(svcd.state(name), *state, "{name}: {}", done.err);
        assert_eq!(done.code, i32::from(*state == "failed"), "{name}");
    }
    assert!(svcd.svc(&["status", "unmet"]).out.contains("exec-condition"));
}

/// `+` is svcd itself, `!` is root with everything else of the unit's; systemd.service(5).
#[test]
fn prefixes_give_privileges_to_one_command() {
    if !is_root() {
        return skip("prefixes_give_privileges_to_one_command", "changing users needs root");
    }
    let plan = Plan::new();
    let look = |word: &str, prefix: &str| {
        format!(
            "[\"{prefix}/bin/sh\", \"-c\", \"echo {word} $(id -u) $(readlink /proc/self/ns/mnt) $(grep NoNewPrivs /proc/self/status | tr -dc 0-9)\"]"
        )
    };
    let unit = format!(
        "[service]\ntype = \"oneshot\"\nuser = \"nobody\"\nexec-start = [{}, {}, {}]\n",
        look("own", "").replace('$', "$$"),
        look("root", "!").replace('$', "$$"),
        look("full", "+").replace('$', "$$"),
    );
    let svcd = plan.unit("web", &unit).start();
    svcd.ok(&["start", "web"]);
    let mine = fs::read_link("/proc/self/ns/mnt").unwrap().display().to_string();
    let said = |word: &str| -> Vec<String> { svcd.line("web", word).split_whitespace().map(str::to_owned).collect() };
    let (own, root, full) = (said("own "), said("root "), said("full "));
    assert_eq!(
        (own[1].as_str(), root[1].as_str(), full[1].as_str()),
        ("65534", "0", "0")
    );
    assert_eq!(own[2], root[2], "the unit's own files");
    assert_ne!(own[2], mine);
    assert_eq!(full[2], mine);
    assert_eq!((own[3].as_str(), root[3].as_str(), full[3].as_str()), ("1", "1", "0"));
}
