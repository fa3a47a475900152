//! `svc attach`: back to the terminal of what was run, where its caller has turned away.

use rustix::process::Signal;

use super::exec::{on_terminal, resize};
use super::harness::Svcd;
use super::machine::{alive, eventually, is_root, skip};
use super::terminals::Terminal;

/// Says what it is told, and ends with 7.
const SCRIPT: &str = "echo here; while read -r line; do case $line in end) exit 7;; size) stty size;; esac; \
    echo \"told <$line>\"; done";

const DETACH: &str = "\x10\x11";

/// Runs it on a terminal, and turns away.
fn detached(svcd: &Svcd) {
    let terminal = Terminal::new();
    let mut child = on_terminal(
        svcd,
        &terminal,
        &["run", "-it", "--rm", "--name", "shell", "--", "sh", "-c", SCRIPT],
    );
    terminal.shows("here");
    terminal.type_in(DETACH);
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn whoever_comes_back_has_the_terminal_and_its_end() {
    if !is_root() {
        return skip(
            "whoever_comes_back_has_the_terminal_and_its_end",
            "it takes root to make a devpts",
        );
    }
    let svcd = Svcd::with(&[]);
    detached(&svcd);
    let pid = svcd.main_pid("shell");
    // Another svcd by then is no other to it.
    svcd.ok(&["reexec"]);
    for turn in ["one", "two"] {
        let terminal = Terminal::new();
        resize(&terminal, 33, 101);
        let mut child = on_terminal(&svcd, &terminal, &["attach", "shell"]);
        terminal.type_in(&format!("{turn}\rsize\r"));
        terminal.shows(&format!("told <{turn}>"));
        terminal.shows("33 101");
        let second = svcd.svc(&["attach", "shell"]);
        assert_eq!(second.code, 2, "its input is no terminal: {}", second.err);
        let other = Terminal::new();
        let mut second = on_terminal(&svcd, &other, &["attach", "shell"]);
        other.shows("svc: attach shell: no terminal of it waits for anybody");
        assert_eq!(second.wait().unwrap().code(), Some(1));
        terminal.type_in(DETACH);
        assert_eq!(child.wait().unwrap().code(), Some(0));
        assert_eq!(svcd.main_pid("shell"), pid);
    }
    let terminal = Terminal::new();
    let mut child = on_terminal(&svcd, &terminal, &["attach", "shell"]);
    terminal.type_in("end\r");
    assert_eq!(
        child.wait().unwrap().code(),
        Some(7),
        "as whoever had run it would have ended"
    );
    assert_eq!(svcd.svc(&["status", "shell"]).code, 4, "nothing of it stays");
    let mut child = on_terminal(&svcd, &terminal, &["attach", "shell"]);
    assert_eq!(child.wait().unwrap().code(), Some(4));
}

#[test]
fn a_terminal_that_nobody_came_back_to_goes_with_its_unit() {
    if !is_root() {
        return skip(
            "a_terminal_that_nobody_came_back_to_goes_with_its_unit",
            "it takes root to make a devpts",
        );
    }
    let svcd = Svcd::with(&[]);
    detached(&svcd);
    let socket = svcd.dir().join("run/terminal-shell.sock");
    assert!(socket.exists());
    let pid = svcd.main_pid("shell");
    svcd.ok(&["kill", "-s", "SIGKILL", "shell"]);
    eventually("all of it is gone", || {
        !alive(pid) && !socket.exists() && svcd.svc(&["status", "shell"]).code == 4
    });
    // Whoever is attached hears how it ended.
    detached(&svcd);
    let terminal = Terminal::new();
    let mut child = on_terminal(&svcd, &terminal, &["attach", "shell"]);
    terminal.type_in("three\r");
    terminal.shows("told <three>");
    super::machine::send(svcd.main_pid("shell"), Signal::KILL);
    assert_eq!(child.wait().unwrap().code(), Some(137));
}
