//! `[[socket]]`: what is open before a service and stays so after it, and a service that begins with the first connection.

use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::unix::fs::{FileTypeExt, MetadataExt, symlink};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;

use super::harness::{Plan, Svcd, shell};
use super::machine::{eventually, is_root, program, send, skip, stays};

/// Accepts on descriptor 3 for ever, and answers each connection with its own number and what it was given.
const SERVER: &str = r#"
import os, socket
assert os.environ["LISTEN_PID"] == str(os.getpid())
names = os.environ["LISTEN_FDNAMES"].split(":")
assert len(names) == int(os.environ["LISTEN_FDS"])
listener = socket.socket(fileno=3)
while True:
    connection, _ = listener.accept()
    try:
        connection.sendall(("%d %s\n" % (os.getpid(), ",".join(names))).encode())
    except OSError:
        pass
    connection.close()
"#;

fn python() -> Option<String> {
    let python = program("python3")?;
    Some(python.display().to_string())
}

/// A port of this machine that nobody has.
fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    listener.local_addr().unwrap().port()
}

fn server(python: &str, script: &Path, more: &str) -> String {
    format!(
        "[unit]\nwanted-by = [\"default\"]\n[service]\nexec-start = [\"{python}\", \"{}\"]\n{more}",
        script.display()
    )
}

/// A supervisor with `web`, a server of these sockets.
fn serving(python: &str, more: &str) -> Plan {
    let plan = Plan::new();
    let script = plan.dir().join("server.py");
    fs::write(&script, SERVER).unwrap();
    let text = server(python, &script, more);
    plan.unit("web", &text)
}

fn answer(mut stream: impl Read) -> String {
    let mut text = String::new();
    let _ = stream.read_to_string(&mut text);
    text.trim().to_owned()
}

fn connected(port: u16) -> Option<String> {
    let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(120))).unwrap();
    Some(answer(stream))
}

#[test]
fn a_lazy_server_begins_with_the_first_connection() {
    let Some(python) = python() else {
        return skip("a_lazy_server_begins_with_the_first_connection", "no python3");
    };
    let port = free_port();
    let sockets = format!("[[socket]]\nlisten-stream = \"127.0.0.1:{port}\"\nname = \"http\"\nlazy = true\n");
    let plan = serving(&python, &sockets).unit("needs", "[unit]\nrequires = [\"web\"]\n[target]\n");
    let svcd = plan.start();
    let status = svcd.reaches("web", "waiting");
    let waits = status["waiting-for"].to_string();
    assert!(
        waits.contains(&format!("socket (listen-stream 127.0.0.1:{port})")),
        "{waits}"
    );
    svcd.ok(&["start", "needs"]);
    assert_eq!(svcd.state("web"), "waiting", "to wait is as good as to be ready");
    let text = connected(port).expect("nobody is refused");
    assert!(text.ends_with(" http"), "{text}");
    assert_eq!(svcd.state("web"), "running");
    assert!(
        svcd.ok(&["why", "web"])
            .contains(&format!("a connection, listen-stream 127.0.0.1:{port}"))
    );
    let listed = svcd.json(&["list", "--sockets"]);
    assert_eq!(
        (&listed[0]["unit"], &listed[0]["kind"]),
        (&"web".into(), &"socket".into()),
        "{listed:#}"
    );
    // A stop closes it.
    svcd.ok(&["stop", "web"]);
    assert_eq!(connected(port), None);
    assert_eq!(svcd.json(&["list", "--sockets"]), Value::Array(Vec::new()));
}

#[test]
fn a_hundred_restarts_under_load_refuse_no_connection() {
    let Some(python) = python() else {
        return skip("a_hundred_restarts_under_load_refuse_no_connection", "no python3");
    };
    let port = free_port();
    let sockets = format!(
        "[[socket]]\nlisten-stream = \"{port}\"\nlazy = true\n[restart]\ndelay = \"1ms\"\nmax-delay = \"1ms\"\n"
    );
    let svcd = serving(&python, &sockets).start();
    svcd.reaches("web", "waiting");
    let done = Arc::new(AtomicBool::new(false));
    let (refused, served) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let clients: Vec<_> = (0..2)
        .map(|_| {
            let (done, refused, served) = (done.clone(), refused.clone(), served.clone());
            thread::spawn(move || {
                while !done.load(Ordering::Relaxed) {
                    match TcpStream::connect((Ipv4Addr::LOCALHOST, port)) {
                        // What the server had accepted when it was killed ends with it.
                        Ok(stream) if answer(&stream).is_empty() => {}
                        Ok(_) => _ = served.fetch_add(1, Ordering::Relaxed),
                        Err(_) => _ = refused.fetch_add(1, Ordering::Relaxed),
                    }
                }
            })
        })
        .collect();
    for nth in 0..super::machine::often(100) {
        let mut main = None;
        eventually("it serves", || {
            main = svcd.status("web")["main-pid"]["host"].as_u64();
            main.is_some()
        });
        match nth % 3 {
            0 => drop(svcd.ok(&["restart", "web"])),
            1 => send(main.unwrap_or_default() as u32, Signal::KILL),
            _ => drop(svcd.ok(&["restart", "--no-wait", "web"])),
        }
        let before = served.load(Ordering::Relaxed);
        eventually("it serves again", || served.load(Ordering::Relaxed) > before);
    }
    done.store(true, Ordering::Relaxed);
    clients.into_iter().for_each(|client| client.join().unwrap());
    assert_eq!(
        refused.load(Ordering::Relaxed),
        0,
        "of {}",
        served.load(Ordering::Relaxed)
    );
}

#[test]
fn rows_36_to_39_sockets_stay_open_whatever_becomes_of_svcd() {
    let Some(python) = python() else {
        return skip("rows_36_to_39_sockets_stay_open_whatever_becomes_of_svcd", "no python3");
    };
    let (port, idle) = (free_port(), free_port());
    let eager = format!("[[socket]]\nlisten-stream = \"127.0.0.1:{port}\"\n");
    let plan = serving(&python, &eager);
    let script = plan.dir().join("server.py");
    let lazy = format!("[[socket]]\nlisten-stream = \"127.0.0.1:{idle}\"\nlazy = true\n");
    let lazy = server(&python, &script, &lazy);
    let mut svcd = plan.unit("idle", &lazy).start();
    svcd.reaches("idle", "waiting");
    let first = connected(port).unwrap();
    // A third crash within a minute would be one too many.
    for nth in 0..8 {
        match nth % 4 {
            3 => {
                svcd.kill();
                assert_eq!(connected(port).as_ref(), Some(&first), "the service has it too");
                svcd.start_again();
                // What nobody had is opened anew.
                eventually("the other one is open", || {
                    TcpStream::connect((Ipv4Addr::LOCALHOST, idle)).is_ok()
                });
            }
            2 => {
                send(svcd.pid(), Signal::SEGV);
                eventually("it goes on", || svcd.svc(&["status"]).code == 0);
            }
            _ => drop(svcd.ok(&["reexec"])),
        }
        assert_eq!(connected(port).as_ref(), Some(&first), "{nth}");
        assert!(
            connected(idle).is_some_and(|text| !text.is_empty()),
            "nobody is refused"
        );
        let idle = svcd.reaches("idle", "running");
        send(idle["main-pid"]["host"].as_u64().unwrap() as u32, Signal::TERM);
        svcd.reaches("idle", "waiting");
    }
    assert!(stays(200, || svcd.state("idle") == "waiting"));
}

#[test]
fn sockets_of_each_kind_with_their_owners() {
    let Some(python) = python().filter(|_| is_root()) else {
        return skip("sockets_of_each_kind_with_their_owners", "no python3, or not root");
    };
    let plan = Plan::new();
    let at = |name: &str| plan.dir().join("sockets").join(name);
    let port = free_port();
    let script = plan.dir().join("kinds.py");
    let told = "
import os, socket, stat
for fd in range(3, 3 + int(os.environ['LISTEN_FDS'])):
    mode = os.fstat(fd).st_mode
    kind = 'fifo' if stat.S_ISFIFO(mode) else socket.socket(fileno=os.dup(fd)).getsockopt(socket.SOL_SOCKET, socket.SO_TYPE)
    print(fd, os.environ['LISTEN_FDNAMES'].split(':')[fd - 3], kind, flush=True)
print('others', [fd for fd in range(3 + int(os.environ['LISTEN_FDS']), 64) if os.path.exists('/proc/self/fd/%d' % fd)], flush=True)
";
    fs::write(&script, told).unwrap();
    let sockets = format!(
        "[[socket]]\nlisten-stream = \"{}\"\nmode = \"0600\"\nuser = \"daemon\"\ngroup = 2\n\
         [[socket]]\nlisten-datagram = \"{}\"\nname = \"log\"\n\
         [[socket]]\nlisten-sequential-packet = \"{}\"\nmode = \"0660\"\n\
         [[socket]]\nlisten-fifo = \"{}\"\nmode = \"0620\"\nuser = 1\n\
         [[socket]]\nlisten-datagram = \"127.0.0.1:{port}\"\n",
        at("stream").display(),
        at("datagram").display(),
        at("packet").display(),
        at("fifo").display(),
    );
    let strict = "[isolation]\nprofile = \"none\"\n";
    let oneshot = format!(
        "[service]\ntype = \"oneshot\"\nexec-start = [\"{python}\", \"{}\"]\n{strict}{sockets}",
        script.display()
    );
    let svcd = plan.unit("kinds", &oneshot).start();
    let at = |name: &str| svcd.dir().join("sockets").join(name);
    svcd.ok(&["start", "kinds"]);
    let expected = [
        "3 kinds 1",
        "4 log 2",
        "5 kinds 5",
        "6 kinds fifo",
        "7 kinds 2",
        "others []",
    ];
    svcd.line("kinds", "others");
    assert_eq!(svcd.lines("kinds"), expected);
    assert!(
        !at("stream").exists() && !at("fifo").exists(),
        "a oneshot that is done needs them no more"
    );
    // While they are open:
    svcd.write("kinds", &format!("{oneshot}[[timer]]\non-calendar = \"2190-01-01\"\n"));
    svcd.ok(&["apply"]);
    svcd.ok(&["start", "kinds"]);
    svcd.reaches("kinds", "waiting");
    let owner = |name: &str| {
        let meta = fs::metadata(at(name)).unwrap();
        (meta.mode() & 0o777, meta.uid(), meta.gid())
    };
    assert_eq!((owner("stream"), owner("datagram")), ((0o600, 1, 2), (0o666, 0, 0)));
    assert_eq!(
        (owner("packet"), owner("fifo").0, owner("fifo").1),
        ((0o660, 0, 0), 0o620, 1)
    );
    assert!(fs::metadata(at("fifo")).unwrap().file_type().is_fifo());
    svcd.ok(&["stop", "kinds"]);
    eventually("their paths go", || {
        fs::read_dir(svcd.dir().join("sockets")).unwrap().next().is_none()
    });
}

#[test]
fn what_is_in_the_way_and_a_link_of_a_stranger() {
    if !is_root() {
        return skip("what_is_in_the_way_and_a_link_of_a_stranger", "not root");
    }
    let plan = Plan::new();
    let dir = plan.dir().to_owned();
    let unit = |path: &Path| {
        let socket = format!(
            "[[socket]]\nlisten-stream = \"{}\"\nlazy = true\n[restart]\npolicy = \"no\"\n",
            path.display()
        );
        shell("exec sleep 1000000", &socket)
    };
    let outside = dir.join("outside");
    fs::create_dir_all(&outside).unwrap();
    symlink(&outside, dir.join("root-link")).unwrap();
    symlink(&outside, dir.join("stranger-link")).unwrap();
    rustix::fs::chownat(
        rustix::fs::CWD,
        dir.join("stranger-link"),
        Some(rustix::fs::Uid::from_raw(1)),
        None,
        rustix::fs::AtFlags::SYMLINK_NOFOLLOW,
    )
    .unwrap();
    fs::write(dir.join("file"), "mine").unwrap();
    drop(UnixListener::bind(dir.join("stale")).unwrap());
    let alive = UnixListener::bind(dir.join("alive")).unwrap();
    let svcd = plan
        .unit("file", &unit(&dir.join("file")))
        .unit("alive", &unit(&dir.join("alive")))
        .unit("stale", &unit(&dir.join("stale")))
        .unit("stranger", &unit(&dir.join("stranger-link/x.sock")))
        .unit("ours", &unit(&dir.join("root-link/y.sock")))
        .start();
    for (name, why) in [("file", "EEXIST"), ("alive", "EADDRINUSE"), ("stranger", "ELOOP")] {
        let done = svcd.svc(&["start", name]);
        assert!(done.code != 0 && done.err.contains(why), "{name}: {}", done.err);
        assert_eq!(svcd.status(name)["errno"], why);
    }
    assert_eq!(fs::read_to_string(dir.join("file")).unwrap(), "mine");
    drop(alive);
    for (name, path) in [("stale", "stale"), ("ours", "outside/y.sock"), ("alive", "alive")] {
        svcd.ok(&["start", name]);
        UnixStream::connect(dir.join(path)).unwrap();
    }
    assert!(!outside.join("x.sock").exists());
}

#[test]
fn a_socket_as_standard_input_and_output() {
    let plan = Plan::new();
    let path = plan.dir().join("cat.sock");
    let unit = format!(
        "[service]\ntype = \"oneshot\"\nexec-start = [\"/bin/cat\"]\nstandard-input = \"socket\"\nstandard-output = \"file:{}\"\n\
         [isolation]\nprofile = \"none\"\n[[socket]]\nlisten-fifo = \"{}\"\nlazy = true\n",
        plan.dir().join("out").display(),
        path.display()
    );
    let svcd = plan
        .unit("cat", &format!("[unit]\nwanted-by = [\"default\"]\n{unit}"))
        .start();
    svcd.reaches("cat", "waiting");
    let mut fifo = fs::OpenOptions::new().write(true).open(&path).unwrap();
    fifo.write_all(b"hello\n").unwrap();
    eventually("it has read", || {
        fs::read_to_string(svcd.dir().join("out")).is_ok_and(|text| text == "hello\n")
    });
    assert!(svcd.ok(&["why", "cat"]).contains("a connection, listen-fifo"));
    svcd.ok(&["stop", "cat"]);
}

#[test]
fn an_instance_for_each_connection() {
    let plan = Plan::new();
    let path = plan.dir().join("echo.sock");
    let echo = format!(
        "[unit]\nwanted-by = [\"default\"]\n[service]\nexec-start = [\"/bin/cat\"]\nstandard-input = \"socket\"\n\
         standard-output = \"socket\"\nstandard-error = \"log\"\n[[socket]]\nlisten-stream = \"{}\"\naccept = true\n",
        path.display()
    );
    let svcd = plan.unit("echo@", &echo).start();
    svcd.reaches("echo", "waiting");
    svcd.ok(&["start", "echo"]);
    let mut clients: Vec<UnixStream> = (0..3).map(|_| UnixStream::connect(&path).unwrap()).collect();
    for (nth, client) in clients.iter_mut().enumerate() {
        let said = format!("{nth}\n");
        client.write_all(said.as_bytes()).unwrap();
        let mut heard = [0; 2];
        client.read_exact(&mut heard).unwrap();
        assert_eq!(heard, said.as_bytes());
    }
    let units = |svcd: &Svcd| {
        let all = svcd.json(&["list"]);
        let names = all
            .as_array()
            .unwrap()
            .iter()
            .filter_map(|line| line["unit"].as_str().map(str::to_owned));
        names.filter(|name| name.starts_with("echo@")).collect::<Vec<_>>()
    };
    assert_eq!(units(&svcd).len(), 3, "{:?}", units(&svcd));
    let one = units(&svcd).remove(0);
    assert!(svcd.ok(&["why", &one]).contains("a connection, listen-stream"));
    svcd.ok(&["reexec"]);
    clients[0].write_all(b"x\n").unwrap();
    clients[0].read_exact(&mut [0; 2]).unwrap();
    drop(clients);
    eventually("they go when they have ended", || units(&svcd).is_empty());
    assert_eq!(svcd.state("echo"), "waiting");
    let refused = svcd.dir().join("units/plain.toml");
    svcd.write("plain", &echo);
    let told = svcd.svc(&["check", &refused.display().to_string()]);
    assert!(told.out.contains("NAME@.toml"), "{}{}", told.out, told.err);
}
