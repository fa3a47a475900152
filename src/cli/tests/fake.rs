//! A supervisor that answers from a script, and what a command line says to its answers.
#![expect(clippy::disallowed_methods, reason = "the supervisor of these tests is a thread")]

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::thread::JoinHandle;

use serde_json::{Value, json};

use crate::cli::arguments::Arguments;
use crate::cli::session::Session;
use crate::cli::up::Foreground;
use crate::control::call::{Call, NoCall};
use crate::control::frame::{Decoder, REQUEST_BYTES_MAX};
use crate::control::reply::{Failure, reply};

/// What to answer to a method: replies, all but the last one with `continues`.
pub type Script = BTreeMap<&'static str, Vec<Result<Value, Failure>>>;

/// A supervisor that knows nothing but its script.
pub struct Fake {
    dir: tempfile::TempDir,
    thread: Option<JoinHandle<()>>,
}

impl Fake {
    pub fn new(script: impl IntoIterator<Item = (&'static str, Vec<Result<Value, Failure>>)>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let log_dir = dir.path().join("log");
        std::fs::create_dir(&log_dir).unwrap();
        let version = json!({ "version": "9.9.9", "pid": 42, "since": "2026-11-23T10:00:00.000Z", "units": ["/units"],
            "runtime_dir": "/run/x", "state_dir": "/var/x", "log_dir": log_dir, "cgroup": "x", "reload": "auto" });
        let mut all = Script::from([("Version", vec![Ok(version)])]);
        all.extend(script);
        let listener = UnixListener::bind(dir.path().join("control.sock")).unwrap();
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if !serve(&mut stream.unwrap(), &all) {
                    return;
                }
            }
        });
        Self {
            dir,
            thread: Some(thread),
        }
    }

    /// A unit's log, one line each second from 03:37:00 on.
    pub fn log(&self, unit: &str, lines: &[&str]) {
        let dir = self.dir.path().join("log").join(unit);
        std::fs::create_dir(&dir).unwrap();
        let stamped = |(nth, line): (usize, &&str)| format!("2026-11-24T03:37:{nth:02}.000000Z {line}\n");
        std::fs::write(
            dir.join("current"),
            lines.iter().enumerate().map(stamped).collect::<String>(),
        )
        .unwrap();
    }

    pub fn socket(&self) -> PathBuf {
        self.dir.path().join("control.sock")
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        // What is no call ends the thread.
        UnixStream::connect(self.socket()).unwrap().write_all(b"end\0").unwrap();
        let ended = self.thread.take().unwrap().join();
        assert!(ended.is_ok() || std::thread::panicking());
    }
}

/// Answers one connection; false when it was told to end.
fn serve(stream: &mut UnixStream, script: &Script) -> bool {
    let mut decoder = Decoder::new(REQUEST_BYTES_MAX);
    let mut bytes = [0; 4096];
    loop {
        let count = match stream.read(&mut bytes) {
            Ok(0) | Err(_) => return true,
            Ok(count) => count,
        };
        decoder.push(&bytes[..count]);
        while let Some(frame) = decoder.next_frame().unwrap() {
            let call = match Call::parse(frame) {
                Ok(call) => call,
                Err(NoCall::Malformed) => return false,
                Err(other) => panic!("{other:?}"),
            };
            let method = call.request.method();
            let name = method.rsplit_once('.').unwrap().1;
            let Some(replies) = script.get(name) else {
                panic!("{name} is not in the script")
            };
            for (nth, answer) in replies.iter().enumerate() {
                let bytes = match answer {
                    Ok(value) => reply(value, nth + 1 < replies.len()),
                    Err(failure) => failure.reply(),
                };
                let _ = stream.write_all(&bytes);
            }
        }
    }
}

/// What a command line has printed, and its exit status.
#[derive(Debug, PartialEq, Eq)]
pub struct Done {
    pub status: u8,
    pub out: String,
    pub err: String,
}

pub fn svc(socket: PathBuf, line: &str) -> Done {
    run(socket, line, false)
}

pub fn run(socket: PathBuf, line: &str, terminal: bool) -> Done {
    let arguments = Arguments::of(
        ["svc"]
            .into_iter()
            .chain(line.split_whitespace())
            .map(Into::into)
            .collect(),
    )
    .unwrap();
    let mut out = anstream::AutoStream::never(Vec::new());
    let mut err = anstream::AutoStream::never(Vec::new());
    let mut session = Session {
        out: &mut out,
        err: &mut err,
        json: arguments.of_all.json,
        shows_progress: terminal,
        is_terminal: terminal,
        socket,
    };
    let foreground = Foreground {
        start: |_| Err(std::io::Error::other("not here")),
    };
    let done = crate::cli::carry_out(&mut session, arguments.verb, &foreground);
    let status = done.map_or_else(
        |failure| {
            failure.tell(session.err);
            failure.kind.status()
        },
        |()| 0,
    );
    let text = |stream: anstream::AutoStream<Vec<u8>>| String::from_utf8(stream.into_inner()).unwrap();
    Done {
        status,
        out: text(out),
        err: text(err),
    }
}

pub fn outcome(unit: &str, outcome: &str, state: &str, why: Option<&str>) -> Value {
    json!({ "unit": unit, "outcome": outcome, "why": why, "hint": null, "state": state, "result_text": null })
}

pub fn outcomes(outcomes: Vec<Value>) -> Vec<Result<Value, Failure>> {
    vec![Ok(json!({ "outcomes": outcomes, "progress": null }))]
}
