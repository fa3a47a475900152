//! `svc run`: a unit made of flags, run at once.

use std::fs;
use std::process::{Command, Stdio};

use rustix::process::Signal;

use super::built::binary;
use super::harness::{SLEEPER, Svcd};
use super::machine::{self, eventually, has_controller, is_root, skip};

#[test]
fn what_is_run_prints_and_ends_as_it_does_and_nothing_of_it_stays() {
    let svcd = Svcd::with(&[]);
    let done = svcd.svc(&[
        "run",
        "--rm",
        "--name",
        "once",
        "--",
        "sh",
        "-c",
        "echo out; echo err >&2; exit 5",
    ]);
    assert_eq!((done.code, &*done.out, &*done.err), (5, "out\n", "err\n"));
    assert_eq!(svcd.svc(&["status", "once"]).code, 4, "the unit is gone by then");
    assert_eq!(fs::read_dir(svcd.dir().join("run/transient")).unwrap().count(), 0);
    // So its name is free at once.
    for _ in 0..machine::often(30) {
        assert_eq!(
            svcd.ok(&["run", "--rm", "--name", "once", "--", "echo", "again"]),
            "again\n"
        );
    }
    for (script, code) in [("exit 0", 0), ("kill -TERM $$", 143)] {
        assert_eq!(
            svcd.svc(&["run", "--rm", "--", "sh", "-c", script]).code,
            code,
            "{script}"
        );
    }
    let done = svcd.svc(&["run", "--rm", "--name", "no", "--", "/nosuch"]);
    assert_eq!((done.code, &*done.err), (127, "svc: run no: exec /nosuch: ENOENT\n"));
    svcd.ok(&[
        "run",
        "-d",
        "--rm",
        "--name",
        "once",
        "--",
        "sh",
        "-c",
        "echo hello; sleep 1000000",
    ]);
    svcd.line("once", "hello");
    svcd.ok(&["stop", "once"]);
    // Its log was the last of it.
    eventually("there is no log of any of them", || {
        fs::read_dir(svcd.dir().join("log")).unwrap().count() == 0
    });
    assert_eq!(svcd.svc(&["run"]).code, 2);
}

#[test]
fn the_state_directory_is_linked_beside_the_socket_for_as_long_as_it_answers() {
    let mut svcd = Svcd::with(&[]);
    let (link, state) = (svcd.dir().join("run/state-dir"), svcd.dir().join("state"));
    assert_eq!(fs::read_link(&link).unwrap(), state);
    svcd.kill();
    svcd.start_again();
    assert_eq!(fs::read_link(&link).unwrap(), state);
    assert_eq!(svcd.stop(), Some(0));
    assert!(link.symlink_metadata().is_err());
}

#[test]
fn whoever_begins_sees_the_first_process_as_it_stays() {
    let svcd = Svcd::with(&[]);
    for _ in 0..machine::often(20).max(1) {
        let script = "read name </proc/1/comm; echo $name";
        assert_eq!(svcd.ok(&["run", "--rm", "--", "sh", "-c", script]), "svc-reaper\n");
    }
}

#[test]
fn a_unit_that_was_run_stays_until_its_file_is_removed() {
    let svcd = Svcd::with(&[]);
    assert_eq!(
        svcd.ok(&[
            "run",
            "-d",
            "--name",
            "kept",
            "--",
            "sh",
            "-c",
            "echo hello; sleep 1000000"
        ]),
        "kept\n"
    );
    svcd.line("kept", "hello");
    let first = svcd.main_pid("kept");
    let done = svcd.svc(&["run", "--name", "kept", "--", "true"]);
    assert_eq!(done.code, 78, "{}", done.err);
    assert!(
        done.err
            .starts_with("svc: run kept: there is such a unit already\nhint: `svc start kept`"),
        "{}",
        done.err
    );
    svcd.ok(&["stop", "kept"]);
    svcd.ok(&["start", "kept"]);
    assert_ne!(svcd.main_pid("kept"), first);
    svcd.ok(&["reexec"]);
    assert_eq!(svcd.state("kept"), "running");
    fs::remove_file(svcd.dir().join("run/transient/kept.toml")).expect("its file is where the hint says");
    eventually("it is gone with its file", || svcd.svc(&["status", "kept"]).code == 4);
}

#[test]
fn a_unit_that_goes_when_it_has_ended_goes_after_an_upgrade_too() {
    let svcd = Svcd::with(&[]);
    svcd.ok(&["run", "-d", "--rm", "--name", "passing", "--", "sleep", "1000000"]);
    svcd.ok(&["reexec"]);
    assert_eq!(svcd.state("passing"), "running");
    svcd.ok(&["stop", "passing"]);
    eventually("it is gone", || svcd.svc(&["status", "passing"]).code == 4);
}

#[test]
fn the_unit_that_is_printed_is_the_one_that_is_run() {
    let svcd = Svcd::with(&[]);
    let flags = ["-e", "A=b c", "-w", "/usr", "--hostname", "box", "--pids", "7"];
    let words = ["--", "sh", "-c", "echo $A $(pwd) $(hostname) {unit}; sleep 1000000"];
    let printed = svcd.ok(&[&["run", "--print-unit"], &flags[..], &words[..]].concat());
    svcd.write("printed", &printed);
    svcd.ok(&["check", &svcd.dir().join("units/printed.toml").display().to_string()]);
    svcd.ok(&["apply"]);
    svcd.ok(&["start", "printed"]);
    svcd.ok(&[&["run", "-d", "--name", "run"], &flags[..], &words[..]].concat());
    for unit in ["printed", "run"] {
        svcd.line(unit, "b c /usr box {unit}");
    }
    let of = |unit: &str| {
        let shown = svcd.json(&["show", unit]);
        let values = shown.as_array().expect("a list").iter();
        let values = values.map(|value| (value["table"].clone(), value["key"].clone(), value["value"].clone()));
        values.map(|value| format!("{value:?}")).collect::<Vec<_>>()
    };
    assert_eq!(of("printed"), of("run"));
}

#[test]
fn flags_are_limits() {
    let test = "flags_are_limits";
    if !has_controller("pids") || !has_controller("memory") {
        return skip(test, "there are no pids and memory controllers");
    }
    let svcd = Svcd::with(&[]);
    svcd.ok(&[
        "run", "-d", "--name", "held", "--pids", "7", "-m", "64m", "--cpu", "0.2", "--", "sleep", "1000000",
    ]);
    let limits = &svcd.status("held")["limits"];
    assert_eq!(limits["pids-max"]["limit"], 7.0);
    assert_eq!(limits["memory-max"]["limit"], f64::from(64 << 20));
    assert_eq!(limits["cpu-quota"]["limit"], 20.0);
}

#[test]
fn signals_of_the_caller_reach_what_it_runs() {
    let svcd = Svcd::with(&[]);
    let script = "trap 'echo heard; exit 9' TERM; echo here; while :; do sleep 0.02; done";
    let mut command = Command::new(binary("svc"));
    command
        .arg("--socket")
        .arg(svcd.socket())
        .args(["run", "--rm", "--", "sh", "-c", script]);
    let mut child = command.stdout(Stdio::piped()).spawn().expect("start svc");
    let mut out = child.stdout.take().unwrap();
    let mut said = [0; 5];
    std::io::Read::read_exact(&mut out, &mut said).expect("it is there");
    machine::send(child.id(), Signal::TERM);
    assert_eq!(child.wait().unwrap().code(), Some(9));
    assert_eq!(std::io::read_to_string(out).unwrap(), "heard\n");
}

#[test]
fn a_directory_is_a_root_that_stays_as_it_is() {
    let test = "a_directory_is_a_root_that_stays_as_it_is";
    let Some(busybox) = machine::program("busybox").filter(|_| is_root()) else {
        return skip(test, "it takes root and busybox");
    };
    let svcd = Svcd::with(&[]);
    let root = svcd.dir().join("root");
    fs::create_dir_all(root.join("bin")).unwrap();
    fs::copy(busybox, root.join("bin/busybox")).unwrap();
    for name in ["sh", "touch", "ls"] {
        std::os::unix::fs::symlink("busybox", root.join("bin").join(name)).unwrap();
    }
    let root_text = root.display().to_string();
    let script = "touch /made; ls /made /bin/busybox";
    assert_eq!(
        svcd.ok(&["run", "--rm", &root_text, "sh", "-c", script]),
        "/bin/busybox\n/made\n"
    );
    assert!(!root.join("made").exists());
    let done = svcd.svc(&["run", "--rm", "--read-only", &root_text, "touch", "/made"]);
    assert_eq!(done.code, 1, "{}", done.err);
    // What is written stays as long as the unit.
    let keep = [
        "run",
        "--name",
        "kept",
        &root_text,
        "sh",
        "-c",
        "ls /made || touch /made",
    ];
    assert_eq!(svcd.svc(&keep).code, 0);
    svcd.ok(&["start", "kept"]);
    svcd.line("kept", "/made");
}

/// What was saved a moment before is taken over all the same: `svc run` reads its own file, and takes no event for read but
/// its own.
#[test]
fn a_run_right_after_an_edit_does_not_swallow_it() {
    let svcd = Svcd::with(&[("web", SLEEPER)]);
    svcd.ok(&["start", "web"]);
    for nth in 0..machine::often(8) {
        let edited = format!("{SLEEPER}[unit]\ndescription = \"edit {nth}\"\n");
        svcd.write("web", &edited);
        let said = svcd.json(&[
            "run",
            "-d",
            "--rm",
            "--name",
            &format!("n{nth}"),
            "--",
            "sleep",
            "1000000",
        ]);
        assert_eq!(said["unit"], format!("n{nth}"));
        eventually("the edit is in force", || {
            svcd.status("web")["description"] == format!("edit {nth}")
        });
    }
}

#[test]
fn what_is_run_with_a_policy_comes_back_until_it_is_stopped() {
    let svcd = Svcd::with(&[]);
    let arguments = [
        "run",
        "-d",
        "--restart",
        "always",
        "--name",
        "again",
        "--",
        "sh",
        "-c",
        "sleep 0.1",
    ];
    svcd.ok(&arguments);
    eventually("it has come back", || {
        svcd.status("again")["restarts"].as_u64() > Some(1)
    });
    svcd.ok(&["stop", "again"]);
    assert_eq!(svcd.state("again"), "inactive");
    let typed = |more: &[&str]| svcd.svc(&[&["run", "--restart"], more, &["--", "true"]].concat()).code;
    assert_eq!((typed(&["always"]), typed(&["sometimes", "-d"])), (2, 2));
}
