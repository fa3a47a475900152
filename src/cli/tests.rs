//! Verbs against a supervisor that answers from a script: what is printed, word for word, and the exit status.

use std::io::Write;
use std::os::unix::net::UnixListener;

use fake::{Done, Fake, outcome, outcomes, run, svc};
use looks::{running_web, some_lines};
use serde_json::json;

use super::session::Session;
use crate::control::reply::{Failure, Told};

mod fake;
mod looks;
mod verbs;

#[test]
fn nobody_answers() {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("control.sock");
    for line in [
        "start web",
        "stop web",
        "kill web",
        "status",
        "status web",
        "list",
        "logs web",
        "show web",
        "cat web",
        "deps web",
        "ps web",
        "plan",
        "apply",
        "why web",
        "history",
    ] {
        let done = svc(socket.clone(), line);
        assert_eq!((done.status, done.out.as_str()), (5, ""), "{line}");
        assert!(
            done.err.starts_with(&format!("svc: {line}: no supervisor answers at ")),
            "{}",
            done.err
        );
        assert!(done.err.contains("\nhint: "), "{}", done.err);
    }
    let version = svc(socket.clone(), "version");
    assert_eq!(version.status, 0);
    assert!(version.out.contains("none answers"), "{}", version.out);
    // A socket file that nobody listens at is the same to people.
    drop(UnixListener::bind(&socket).unwrap());
    assert_eq!(svc(socket, "list").status, 5);
}

#[test]
fn refusals_have_their_status() {
    let told = || Told {
        what: "web".into(),
        why: "not for you".into(),
        hint: None,
    };
    for (failure, status, err) in [
        (
            Failure::NoSuchUnit {
                unit: "wbe".into(),
                hint: Some("did you mean `web`?".into()),
            },
            4,
            "svc: show wbe: no such unit: wbe\nhint: did you mean `web`?\n",
        ),
        (Failure::Unenforceable(told()), 78, "svc: web: not for you\n"),
        (
            Failure::PermissionDenied {
                what: "show web".into(),
                why: "only root may".into(),
            },
            6,
            "svc: show web: only root may\n",
        ),
        (Failure::Failed(told()), 1, "svc: web: not for you\n"),
    ] {
        let fake = Fake::new([("Show", vec![Err(failure)])]);
        let expected = Done {
            status,
            out: String::new(),
            err: err.into(),
        };
        assert_eq!(svc(fake.socket(), "show wbe"), expected);
    }
}

#[test]
fn a_start_tells_what_became_of_it() {
    let done = outcome("web", "done", "running", None);
    let late = outcome("late", "timed-out", "starting", None);
    let masked = outcome("old", "refused", "masked", Some("masked by /etc/svc/units/old.toml"));
    for (answers, status, out, err) in [
        (vec![done.clone()], 0, "web running\n", ""),
        (
            vec![outcome("web", "accepted", "starting", None)],
            0,
            "web starting\n",
            "",
        ),
        (
            vec![masked.clone()],
            78,
            "",
            "svc: start old: masked by /etc/svc/units/old.toml\n",
        ),
        (
            vec![late.clone()],
            1,
            "",
            "svc: start late: still starting after the timeout; it goes on\n",
        ),
        (
            vec![done, late, masked],
            1,
            "web running\n",
            "svc: start late: still starting after the timeout; it goes on\nsvc: start old: masked by /etc/svc/units/old.toml\n",
        ),
    ] {
        let fake = Fake::new([("Start", outcomes(answers))]);
        let said = run(fake.socket(), "start web late old", true);
        let expected = Done {
            status,
            out: out.into(),
            err: format!("\r{err}"),
        };
        // The line that is replaced goes back to its start and is cleared, which a stream without colour leaves out.
        assert_eq!(said, expected);
    }
}

#[test]
fn a_start_that_fails_shows_the_last_lines() {
    let failed = outcome("web", "failed", "failed", Some("exit-code 3"));
    let fake = Fake::new([("Start", outcomes(vec![failed]))]);
    let lines: Vec<String> = (1..=12).map(|nth| format!("line {nth}")).collect();
    fake.log("web", &lines.iter().map(String::as_str).collect::<Vec<_>>());
    let shown: String = lines[2..].iter().map(|line| format!("  | {line}\n")).collect();
    let expected = Done {
        status: 1,
        out: String::new(),
        err: format!("svc: start web: exit-code 3\n{shown}"),
    };
    assert_eq!(svc(fake.socket(), "start web"), expected);
}

#[test]
fn logs_are_read_from_the_files() {
    let web = || json!({ "units": [running_web()] });
    let fake = Fake::new([("Status", vec![Ok(web())])]);
    fake.log("web", &["one", "two \u{1b}[2J", "three"]);
    fake.log("gone", &["last"]);
    let texts = |line: &str| {
        let done = svc(fake.socket(), line);
        assert_eq!((done.status, done.err.as_str()), (0, ""), "{line}");
        let of_line = |line: &str| line.get(24..).unwrap().to_owned();
        done.out.lines().map(of_line).collect::<Vec<_>>()
    };
    assert_eq!(texts("logs web"), ["one", "two \\u{1b}[2J", "three"]);
    assert_eq!(texts("logs web -n 1"), ["three"]);
    assert_eq!(texts("logs web --grep ^t"), ["two \\u{1b}[2J", "three"]);
    assert_eq!(
        texts("logs web --since 2026-11-24T03:37:01Z --until 2026-11-24T03:37:02Z"),
        ["two \\u{1b}[2J"]
    );
    assert_eq!(
        texts("logs"),
        ["gone | last", "web  | one", "web  | two \\u{1b}[2J", "web  | three"]
    );
    assert_eq!(
        svc(fake.socket(), "logs web -n 1 --json").out,
        "{\"text\":\"three\",\"time\":\"2026-11-24T03:37:02.000Z\",\"unit\":\"web\"}\n"
    );
}

#[test]
fn logs_of_a_unit_that_is_gone_can_be_read_and_of_none_cannot() {
    let absent = || Failure::NoSuchUnit {
        unit: "gone".into(),
        hint: None,
    };
    let fake = Fake::new([("Status", vec![Err(absent())])]);
    assert_eq!(svc(fake.socket(), "logs gone").status, 4);
    assert_eq!(svc(fake.socket(), "logs ../log").status, 4);
    fake.log("gone", &["last"]);
    let done = svc(fake.socket(), "logs gone");
    assert!(done.status == 0 && done.out.ends_with(" last\n"), "{done:?}");
}

#[test]
fn a_script_hears_nothing_when_all_is_well() {
    let fake = Fake::new([("Stop", outcomes(vec![outcome("web", "done", "inactive", None)]))]);
    let silent = Done {
        status: 0,
        out: String::new(),
        err: String::new(),
    };
    assert_eq!(svc(fake.socket(), "stop web"), silent);
    let json = svc(fake.socket(), "stop web --json");
    assert_eq!(
        json.out,
        "[{\"hint\":null,\"outcome\":\"done\",\"result-text\":null,\"state\":\"inactive\",\"unit\":\"web\",\"why\":null}]\n"
    );
}

#[test]
fn progress_is_shown_on_a_terminal_alone() {
    let progress =
        json!({ "outcomes": [], "progress": { "unit": "db", "state": "starting", "text": "exec-start-pre 1 of 2" } });
    let end = json!({ "outcomes": [outcome("db", "done", "running", None)], "progress": null });
    let fake = Fake::new([("Restart", vec![Ok(progress), Ok(end)])]);
    let shown = run(fake.socket(), "restart db", true);
    assert_eq!((shown.status, shown.err.as_str()), (0, "\rdb exec-start-pre 1 of 2\r"));
    assert_eq!(svc(fake.socket(), "restart db").err, "");
}

#[test]
fn an_answer_that_makes_no_sense_is_a_failure() {
    let fake = Fake::new([
        ("Why", vec![Err(Failure::Other("a.b.Strange".into()))]),
        ("Cat", vec![Ok(json!({ "files": 1 }))]),
    ]);
    assert_eq!(svc(fake.socket(), "why web").err, "svc: why web: a.b.Strange\n");
    let garbled = svc(fake.socket(), "cat web");
    assert_eq!(garbled.status, 1);
    assert!(
        garbled
            .err
            .starts_with("svc: cat web: the supervisor's answer makes no sense: "),
        "{}",
        garbled.err
    );
}

#[test]
fn a_reader_that_is_gone_ends_it_quietly() {
    struct Gone;
    impl Write for Gone {
        fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
            Err(std::io::ErrorKind::BrokenPipe.into())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let fake = Fake::new([("List", vec![Ok(some_lines())])]);
    let mut err = Vec::new();
    let mut session = Session {
        out: &mut Gone,
        err: &mut err,
        json: false,
        shows_progress: false,
        is_terminal: false,
        socket: fake.socket(),
    };
    let failure = super::list::list(&mut session, false, false).unwrap_err();
    failure.tell(session.err);
    assert_eq!((failure.kind.status(), err.as_slice()), (0, &b""[..]));
}
