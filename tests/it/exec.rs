//! `svc exec`: a command in the namespaces and the cgroup of a unit, with nothing of the caller's but its streams.

use std::fs;
use std::io::{Read, Write};
use std::process::{Child, Command, Stdio};

use rustix::process::Signal;

use super::built::binary;
use super::harness::{Plan, SLEEPER, Svcd, shell};
use super::machine::{self, alive, eventually, is_root, members, skip};
use super::terminals::Terminal;

/// `svc` with these arguments, its streams yet to be given.
fn svc(svcd: &Svcd, arguments: &[&str]) -> Command {
    let mut command = Command::new(binary("svc"));
    command.arg("--socket").arg(svcd.socket()).args(arguments);
    command
}

fn piped(svcd: &Svcd, arguments: &[&str]) -> Child {
    let mut command = svc(svcd, arguments);
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    command.spawn().expect("start svc")
}

/// Waits until the command has said that it is there.
#[track_caller]
fn says_here(beside: &mut Child) {
    let mut said = [0; 5];
    let out = beside.stdout.as_mut().expect("its output is ours");
    out.read_exact(&mut said).expect("it says something");
    assert_eq!(&said, b"here\n");
}

/// On a terminal of the test's own, as a person has it.
pub fn on_terminal(svcd: &Svcd, terminal: &Terminal, arguments: &[&str]) -> Child {
    let slave = || Stdio::from(terminal.slave.as_ref().unwrap().try_clone().unwrap());
    let mut command = svc(svcd, arguments);
    command
        .stdin(slave())
        .stdout(slave())
        .stderr(slave())
        .env("TERM", "xterm");
    command.spawn().expect("start svc")
}

/// The file of a process that says what it is kept from.
const KEPT: [&str; 8] = [
    "Uid",
    "Gid",
    "Groups",
    "CapEff",
    "CapBnd",
    "CapAmb",
    "NoNewPrivs",
    "Seccomp",
];

fn kept_from(status: &str) -> Vec<String> {
    let is_one = |line: &&str| KEPT.iter().any(|name| line.starts_with(&format!("{name}:")));
    status.lines().filter(is_one).map(str::to_owned).collect()
}

#[test]
fn a_command_is_all_where_the_unit_is_and_no_freer() {
    let units = [
        ("web", SLEEPER),
        ("bare", &format!("{SLEEPER}[isolation]\nprofile = \"none\"\n")),
    ];
    let svcd = Svcd::with(&units);
    for unit in ["web", "bare"] {
        svcd.ok(&["start", unit]);
        let main = svcd.main_pid(unit);
        // It stays until it was looked at from outside.
        let mut beside = piped(&svcd, &["exec", "-i", unit, "sh", "-c", "echo here; read line"]);
        says_here(&mut beside);
        let all = members(&svcd.cgroup(unit));
        let comm = |pid: &u32| fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
        let pid = match machine::hierarchies().is_empty() {
            true => None,
            false => all
                .iter()
                .copied()
                .find(|pid| comm(pid) == "sh\n" || comm(pid) == "busybox\n"),
        };
        if let Some(pid) = pid {
            for kind in ["mnt", "pid", "ipc", "uts", "net", "cgroup", "user"] {
                assert_eq!(
                    machine::namespace(pid, kind),
                    machine::namespace(main, kind),
                    "{unit} {kind}"
                );
            }
            let status = |pid: u32| kept_from(&fs::read_to_string(format!("/proc/{pid}/status")).unwrap());
            assert_eq!(status(pid), status(main), "{unit}");
            assert_eq!(
                machine::open_descriptors(pid),
                3,
                "{unit}: nothing of svcd's or the caller's is open in it"
            );
        } else {
            assert!(!is_root(), "{unit}: the command is in its cgroup: {all:?}");
        }
        drop(beside.stdin.take());
        assert_ne!(beside.wait().unwrap().code(), Some(0), "read(1) met the end");
        assert!(alive(main), "{unit}");
    }
}

#[test]
fn a_command_gets_what_it_is_given_and_its_end_is_ours() {
    let text = shell(
        "sleep 1000000",
        "environment = { A = \"unit\", B = \"unit\" }\nworking-directory = \"/usr\"",
    );
    let svcd = Svcd::with(&[("web", &text)]);
    svcd.ok(&["start", "web"]);
    let script = "echo $A $B $(pwd) $SECRET";
    assert_eq!(svcd.ok(&["exec", "web", "sh", "-c", script]), "unit unit /usr\n");
    let flags = ["exec", "-e", "A=given", "-w", "/", "web", "sh", "-c", script];
    assert_eq!(svcd.ok(&flags), "given unit /\n", "no variable of the caller's");
    assert_eq!(
        svcd.ok(&["exec", "web", "echo", "$A", "{unit}"]),
        "$A {unit}\n",
        "as it was typed"
    );
    if is_root() {
        let as_nobody = ["exec", "-u", "65534:65534", "web", "id", "-u"];
        assert_eq!(svcd.ok(&as_nobody), "65534\n");
    }
    for (script, code) in [
        ("exit 0", 0),
        ("exit 3", 3),
        ("kill -TERM $$", 143),
        ("kill -KILL $$", 137),
    ] {
        assert_eq!(svcd.svc(&["exec", "web", "sh", "-c", script]).code, code, "{script}");
    }
    let mut child = piped(&svcd, &["exec", "-i", "web", "cat"]);
    child
        .stdin
        .take()
        .unwrap()
        .write_all(&b"line\n".repeat(10_000))
        .expect("write");
    let out = child.wait_with_output().unwrap();
    assert_eq!(out.stdout.len(), 50_000);
    let done = svcd.svc(&["exec", "web", "/nosuch"]);
    assert_eq!((done.code, &*done.err), (127, "svc: exec web: exec /nosuch: ENOENT\n"));
    assert_eq!(svcd.svc(&["exec", "web", "/usr"]).code, 126);
    assert_eq!(svcd.svc(&["exec", "nosuch", "true"]).code, 4);
    svcd.ok(&["stop", "web"]);
    let done = svcd.svc(&["exec", "web", "true"]);
    assert_eq!((done.code, &*done.err), (1, "svc: exec web: it does not run\n"));
}

/// A directory outside of the unit's root would be a way out of it (CVE-2016-9962, CVE-2024-21626).
#[test]
fn a_stream_that_is_a_directory_is_refused() {
    let svcd = Svcd::with(&[("web", SLEEPER)]);
    svcd.ok(&["start", "web"]);
    let directory = fs::File::open("/").expect("open /");
    let mut command = svc(&svcd, &["exec", "-i", "web", "ls", "/proc/self/fd/0/"]);
    let done = command.stdin(directory).output().expect("start svc");
    let said = String::from_utf8_lossy(&done.stderr).into_owned();
    assert_eq!(done.status.code(), Some(2), "{said}");
    assert!(done.stdout.is_empty() && said.contains("descriptors"), "{said}");
}

#[test]
fn the_end_of_a_unit_is_that_of_what_runs_beside_it() {
    let svcd = Svcd::with(&[("web", SLEEPER)]);
    svcd.ok(&["start", "web"]);
    let before = svcd.holds();
    for _ in 0..3 {
        svcd.ok(&["start", "web"]);
        let mut beside = piped(&svcd, &["exec", "web", "sh", "-c", "echo here; exec sleep 1000000"]);
        says_here(&mut beside);
        svcd.ok(&["stop", "web"]);
        assert_eq!(beside.wait().unwrap().code(), Some(143));
    }
    svcd.ok(&["start", "web"]);
    svcd.is_back_to(before);
}

/// A caller that is killed leaves the command as it is; then the unit's end is its end too.
#[test]
fn a_caller_that_is_gone_holds_nothing_up() {
    let svcd = Svcd::with(&[("web", SLEEPER)]);
    svcd.ok(&["start", "web"]);
    let mut beside = piped(&svcd, &["exec", "web", "sh", "-c", "echo here; exec sleep 1000000"]);
    says_here(&mut beside);
    beside.kill().unwrap();
    beside.wait().unwrap();
    assert_eq!(svcd.ok(&["exec", "web", "echo", "next"]), "next\n");
    svcd.ok(&["stop", "web"]);
}

#[test]
fn commands_beside_a_unit_outlive_an_upgrade_of_svcd() {
    let svcd = Svcd::with(&[("web", SLEEPER)]);
    svcd.ok(&["start", "web"]);
    let mut beside = piped(
        &svcd,
        &[
            "exec",
            "-i",
            "web",
            "sh",
            "-c",
            "echo here; read line; echo got $line; exit 7",
        ],
    );
    says_here(&mut beside);
    let mut out = beside.stdout.take().unwrap();
    svcd.ok(&["reexec"]);
    beside.stdin.take().unwrap().write_all(b"more\n").unwrap();
    let mut rest = String::new();
    out.read_to_string(&mut rest).unwrap();
    assert_eq!((&*rest, beside.wait().unwrap().code()), ("got more\n", Some(7)));
}

/// ioctl_tty(2), TIOCSWINSZ.
pub fn resize(terminal: &Terminal, rows: u16, columns: u16) {
    let size = rustix::termios::Winsize {
        ws_row: rows,
        ws_col: columns,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    rustix::termios::tcsetwinsize(terminal.slave.as_ref().unwrap(), size).unwrap();
}

#[test]
fn a_terminal_is_the_units_own_and_has_our_size() {
    let test = "a_terminal_is_the_units_own_and_has_our_size";
    if !is_root() {
        return skip(test, "it takes root to make a devpts");
    }
    let svcd = Svcd::with(&[("web", SLEEPER)]);
    svcd.ok(&["start", "web"]);
    let terminal = Terminal::new();
    resize(&terminal, 33, 101);
    let script = "trap 'echo now $(stty size)' WINCH; echo \"$(tty) $(stty size) $TERM\"; \
                  while :; do sleep 0.05; done";
    let modes = || {
        let found = nix::sys::termios::tcgetattr(terminal.slave.as_ref().unwrap()).unwrap();
        (
            found.input_flags,
            found.output_flags,
            found.control_flags,
            found.local_flags,
        )
    };
    let before = modes();
    let mut child = on_terminal(&svcd, &terminal, &["exec", "-it", "web", "sh", "-c", script]);
    terminal.shows("/dev/pts/0 33 101 xterm");
    resize(&terminal, 44, 102);
    machine::send(child.id(), Signal::WINCH);
    terminal.shows("now 44 102");
    // Ctrl-C is typed, and so is the command's to hear.
    terminal.type_in("\x03");
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert_eq!(before, modes(), "the caller's terminal is as it was");
}

/// CVE-2025-52565: what a unit has put where the multiplexer of terminals is expected is not taken for it.
#[test]
fn what_a_unit_put_in_the_place_of_a_terminal_is_no_terminal() {
    let test = "what_a_unit_put_in_the_place_of_a_terminal_is_no_terminal";
    if !is_root() {
        return skip(test, "it takes root to mount");
    }
    let script = "umount /dev/pts; mkdir -p /dev/pts; mkfifo /dev/pts/ptmx; echo ready; exec sleep 1000000";
    let free = "[isolation]\ncapabilities = [\"all\"]\nseccomp = \"none\"\n";
    let svcd = Plan::new().unit("web", &shell(script, free)).start();
    svcd.ok(&["start", "web"]);
    svcd.line("web", "ready");
    let terminal = Terminal::new();
    let mut child = on_terminal(&svcd, &terminal, &["exec", "-it", "web", "sh"]);
    assert_eq!(child.wait().unwrap().code(), Some(1));
    terminal.shows("svc: exec web: terminal: ");
    assert_eq!(svcd.ok(&["exec", "web", "echo", "fine"]), "fine\n");
}

#[test]
fn whoever_detaches_leaves_the_command_running() {
    let test = "whoever_detaches_leaves_the_command_running";
    if !is_root() {
        return skip(test, "it takes root to make a devpts");
    }
    let svcd = Svcd::with(&[]);
    let go = svcd.dir().join("go");
    let script = format!(
        "echo here; until [ -e {} ]; do sleep 0.05; done; echo after; sleep 1000000",
        go.display()
    );
    let terminal = Terminal::new();
    let mut child = on_terminal(
        &svcd,
        &terminal,
        &["run", "-it", "--name", "shell", "--", "sh", "-c", &script],
    );
    terminal.shows("here");
    terminal.type_in("\x10\x11");
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert_eq!(svcd.state("shell"), "running");
    fs::write(&go, "").unwrap();
    svcd.line("shell", "after");
    svcd.ok(&["stop", "shell"]);
    eventually("whoever kept the terminal is gone", || {
        let keeps = |pid: u32| {
            fs::read(format!("/proc/{pid}/cmdline"))
                .unwrap_or_default()
                .ends_with(b"keep-terminal\0")
        };
        let ours = |pid: u32| {
            let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
            String::from_utf8_lossy(&environment).contains(&*svcd.dir().to_string_lossy())
        };
        !machine::processes().into_iter().any(|pid| keeps(pid) && ours(pid))
    });
}

/// The caller hears that svcd is gone; the command is known again by the next svcd, and ends with its unit.
#[test]
fn a_command_beside_a_unit_outlives_a_svcd_that_is_killed() {
    let mut svcd = Svcd::with(&[("web", SLEEPER)]);
    svcd.ok(&["start", "web"]);
    svcd.ok(&["run", "-d", "--rm", "--name", "passing", "--", "sleep", "1000000"]);
    let script = "echo here; exec sleep 1000000";
    let mut beside = piped(&svcd, &["exec", "web", "sh", "-c", script]);
    says_here(&mut beside);
    svcd.kill();
    assert_eq!(beside.wait().unwrap().code(), Some(1));
    svcd.start_again();
    assert_eq!(svcd.ok(&["exec", "web", "echo", "next"]), "next\n");
    let listed = svcd.json(&["ps", "web"]);
    let is_it = |process: &serde_json::Value| process["command"].as_str().unwrap_or_default().contains("sleep");
    let sleepers = listed
        .as_array()
        .expect("a list")
        .iter()
        .filter(|process| is_it(process));
    assert_eq!(sleepers.count(), 2, "{listed:#}");
    svcd.ok(&["stop", "web", "passing"]);
    eventually("the unit that was to go is gone", || {
        svcd.svc(&["status", "passing"]).code == 4
    });
}

#[test]
fn another_user_is_another_user_beside_a_dynamic_one_too() {
    let test = "another_user_is_another_user_beside_a_dynamic_one_too";
    if !is_root() {
        return skip(test, "it takes root to be others");
    }
    let svcd = Svcd::with(&[("web", &shell("sleep 1000000", "dynamic-user = true"))]);
    svcd.ok(&["start", "web"]);
    let own = svcd.ok(&["exec", "web", "id", "-u"]);
    assert!(own.trim().parse::<u32>().unwrap() >= 61_184, "{own}");
    assert_eq!(svcd.ok(&["exec", "-u", "65534", "web", "id", "-u"]), "65534\n");
}
