//! Services that have a terminal: `standard-input = "tty"` and what goes with it.

use std::fs;
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use nix::pty::openpty;

use super::harness::{Plan, SLEEPER, Svcd, shell};
use super::machine::{eventually, is_root, skip};

/// A terminal of the test's own, and what came out of it so far.
pub struct Terminal {
    path: PathBuf,
    keyboard: fs::File,
    pub slave: Option<OwnedFd>,
    screen: Arc<Mutex<Vec<u8>>>,
}

impl Terminal {
    pub fn new() -> Self {
        let pair = openpty(None, None).expect("a terminal");
        let path = nix::unistd::ttyname(&pair.slave).expect("a terminal has a name");
        let keyboard = fs::File::from(pair.master);
        let mut master = keyboard.try_clone().expect("share a file");
        let screen = Arc::new(Mutex::new(Vec::new()));
        let filled = Arc::clone(&screen);
        std::thread::spawn(move || {
            let mut bytes = [0; 1024];
            // EIO only says that nobody has the other end open just now.
            loop {
                match master.read(&mut bytes) {
                    Ok(0) => return,
                    Ok(count) => filled.lock().unwrap().extend(&bytes[..count]),
                    Err(_) if Arc::strong_count(&filled) == 1 => return,
                    Err(_) => std::thread::sleep(std::time::Duration::from_millis(5)),
                }
            }
        });
        let slave = Some(pair.slave);
        Self {
            path,
            keyboard,
            slave,
            screen,
        }
    }

    /// Keys of `[service]` that put a unit on it.
    fn keys(&self) -> String {
        let path = self.path.display();
        format!("standard-input = \"tty\"\nstandard-output = \"tty\"\ntty-path = \"{path}\"\n")
    }

    pub fn shows(&self, part: &str) {
        eventually(&format!("the terminal shows {part:?}"), || {
            String::from_utf8_lossy(&self.screen.lock().unwrap()).contains(part)
        });
    }

    pub fn type_in(&self, keys: &str) {
        (&self.keyboard).write_all(keys.as_bytes()).expect("type");
    }
}

/// Session, terminal and the terminal's foreground group of a process; proc(5), /proc/PID/stat.
fn session_of(pid: u32) -> (u32, u64, u32) {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let rest: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    (
        rest[3].parse().unwrap(),
        rest[4].parse().unwrap(),
        rest[5].parse().unwrap(),
    )
}

#[test]
fn the_terminal_is_the_controlling_one_of_a_session_of_its_own() {
    let terminal = Terminal::new();
    let script = "echo \"TERM is $TERM\"; read -r line; echo \"read <$line>\"; exec sleep 1000000";
    let more = format!("{}[restart]\npolicy = \"no\"\n", terminal.keys());
    // With the standard profile the service has a /dev without that terminal.
    let svcd = Svcd::with(&[("login", &shell(script, &more))]);
    svcd.ok(&["start", "login"]);
    terminal.shows("TERM is vt220");
    terminal.type_in("hello\n");
    terminal.shows("read <hello>");
    let pid = svcd.main_pid("login");
    let (session, number, foreground) = session_of(pid);
    assert_eq!(
        (session, foreground),
        (pid, pid),
        "it leads its session, in the foreground"
    );
    assert_eq!(number, fs::metadata(&terminal.path).unwrap().rdev(), "on that terminal");
    // Ctrl-C.
    terminal.type_in("\x03");
    svcd.reaches("login", "inactive");
    assert_eq!(svcd.status("login")["signal"], "SIGINT");
}

#[test]
fn whoever_had_the_terminal_open_is_hung_up() {
    let test = "whoever_had_the_terminal_open_is_hung_up";
    if !is_root() {
        return skip(test, "it takes root to hang a terminal up");
    }
    let mut terminal = Terminal::new();
    let mut before = fs::File::from(terminal.slave.take().expect("still there"));
    let more = format!("{}[isolation]\nprofile = \"none\"\n", terminal.keys());
    let svcd = Svcd::with(&[("login", &shell("echo welcome; exec cat", &more))]);
    svcd.ok(&["start", "login"]);
    // With the end of its line, which is a write of its own: what is typed before it would be echoed within the line.
    terminal.shows("welcome\r\n");
    assert_eq!(before.read(&mut [0; 16]).unwrap(), 0, "its end is read");
    let error = before.write(b"password: ").unwrap_err();
    assert_eq!(error.raw_os_error(), Some(libc::EIO));
    terminal.type_in("typed\n");
    terminal.shows("typed\r\ntyped\r\n");
}

#[test]
fn a_raw_terminal_is_made_sane() {
    let terminal = Terminal::new();
    let slave = terminal.slave.as_ref().expect("still there").as_fd();
    let mut modes = nix::sys::termios::tcgetattr(slave).unwrap();
    nix::sys::termios::cfmakeraw(&mut modes);
    nix::sys::termios::tcsetattr(slave, nix::sys::termios::SetArg::TCSANOW, &modes).unwrap();
    let script = "read -r line; echo \"read <$line>\"; exec sleep 1000000";
    let svcd = Svcd::with(&[("login", &shell(script, &terminal.keys()))]);
    svcd.ok(&["start", "login"]);
    // Enter sends a carriage return, which a raw terminal leaves as it is.
    terminal.type_in("hello\r");
    terminal.shows("read <hello>\r\n");
}

#[test]
fn a_terminal_of_another_session_is_waited_for() {
    let terminal = Terminal::new();
    let unit = shell("echo here is {unit}; exec sleep 1000000", &terminal.keys());
    let svcd = Svcd::with(&[("first", &unit), ("second", &unit)]);
    svcd.ok(&["start", "first"]);
    terminal.shows("here is first");
    let done = svcd.svc(&["start", "second"]);
    let why = format!("spawn terminal {}: EBUSY", terminal.path.display());
    assert_eq!(done.code, 1);
    assert!(done.err.contains(&why), "{}", done.err);
    svcd.ok(&["stop", "first"]);
    terminal.shows("here is second");
}

#[test]
fn what_is_no_terminal_is_refused_by_name() {
    let more = "standard-input = \"tty\"\ntty-path = \"/dev/null\"\n[restart]\npolicy = \"no\"\n";
    let unit = SLEEPER.to_owned() + more;
    let svcd = Svcd::with(&[("login", &unit)]);
    let done = svcd.svc(&["start", "login"]);
    assert_eq!(done.code, 1);
    assert!(done.err.contains("spawn terminal /dev/null: ENOTTY"), "{}", done.err);
}

#[test]
fn commands_beside_the_main_one_leave_the_terminal_to_it() {
    let terminal = Terminal::new();
    let script = "while read -r line; do echo \"read <$line>\"; done";
    let more = format!(
        "exec-start-post = [\"/bin/sh\", \"-c\", \"read -r line; echo post has nothing to read\"]\n\
         exec-reload = [\"/bin/sh\", \"-c\", \"echo reloaded\"]\n{}",
        terminal.keys()
    );
    let svcd = Svcd::with(&[("login", &shell(script, &more))]);
    svcd.ok(&["start", "login"]);
    terminal.shows("post has nothing to read");
    svcd.ok(&["reload", "login"]);
    terminal.shows("reloaded");
    terminal.type_in("still here\n");
    terminal.shows("read <still here>");
    assert_eq!(svcd.status("login")["restarts"], 0);
}

/// What svcd says goes to a terminal that nobody reads, and then somebody does.
#[test]
fn row_44_a_console_that_nobody_reads() {
    let pair = openpty(None, None).expect("a terminal");
    let path = nix::unistd::ttyname(&pair.slave).expect("a terminal has a name");
    let onto = format!("exec \"$@\" 2>{}", path.display());
    let short = "[restart]\npolicy = \"always\"\ndelay = \"0s\"\nmax-delay = \"0s\"\n[isolation]\nprofile = \"none\"\n";
    let plan = Plan::new().unit("short", &shell("exit 0", short)).unit("web", SLEEPER);
    let svcd = plan.under(&["/bin/sh", "-c", &onto, "sh"]).start();
    svcd.ok(&["start", "web", "short"]);
    svcd.ok(&["stop", "short"]);
    let before = svcd.holds();
    svcd.ok(&["start", "short"]);
    // Each time round it says three lines: this is more than a terminal and svcd together keep.
    eventually("more was said than is kept", || {
        svcd.answers_in_time();
        svcd.status("short")["restarts"].as_u64() > Some(1_500)
    });
    svcd.ok(&["restart", "web"]);
    svcd.ok(&["stop", "short"]);
    svcd.is_back_to(before);
    let mut master = fs::File::from(pair.master);
    let mut said = Vec::new();
    eventually("what was kept is said, and what was not is counted", || {
        let mut bytes = [0; 65_536];
        let count = master.read(&mut bytes).expect("svcd has the terminal open");
        said.extend(&bytes[..count]);
        String::from_utf8_lossy(&said).contains("lines are missing here: nobody took them")
    });
    assert!(String::from_utf8_lossy(&said).contains("svcd: short: starting\r\n"));
}
