//! What services write, and what `svc logs` makes of it.

use std::process::{Command, Stdio};

use rustix::process::Signal;

use super::harness::{SLEEPER, Svcd, binary, shell};
use super::machine::{alive, eventually, send, state_and_parent};

#[test]
fn both_outputs_come_in_order_with_their_time() {
    let svcd = Svcd::with(&[("web", &shell("echo one; echo two >&2; echo three; sleep 1000000", ""))]);
    svcd.ok(&["start", "web"]);
    svcd.line("web", "three");
    assert_eq!(svcd.lines("web"), ["one", "two", "three"]);
    let printed = svcd.ok(&["--json", "logs", "web"]);
    let first: serde_json::Value = serde_json::from_str(printed.lines().next().unwrap()).unwrap();
    assert_eq!(first["unit"], "web");
    assert!(
        first["time"]
            .as_str()
            .is_some_and(|time| time.starts_with("20") && time.ends_with('Z')),
        "{first}"
    );
    assert_eq!(
        svcd.status("web")["log-tail"],
        serde_json::json!(["one", "two", "three"])
    );
}

#[test]
fn lines_are_chosen() {
    let svcd = Svcd::with(&[(
        "count",
        &shell(
            "for n in 1 2 3 4 5 6 7 8 9 10 11 12; do echo line $n; done",
            "type = \"oneshot\"",
        ),
    )]);
    svcd.ok(&["start", "count"]);
    let texts = |arguments: &[&str]| {
        let printed = svcd.ok(arguments);
        printed
            .lines()
            .map(|line| line.rsplit_once("line ").unwrap().1.to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(texts(&["logs", "count", "-n", "2"]), ["11", "12"]);
    assert_eq!(texts(&["logs", "count", "--grep", "line 1.$"]), ["10", "11", "12"]);
    assert_eq!(texts(&["logs", "count", "--since", "1 hour ago"]).len(), 12);
    assert!(texts(&["logs", "count", "--until", "1 hour ago"]).is_empty());
    assert_eq!(svcd.svc(&["logs", "nobody"]).code, 4);
}

#[test]
fn follow_goes_on_with_what_comes() {
    let svcd = Svcd::with(&[(
        "web",
        &shell(
            "echo before; while read -r line </dev/null || sleep 0.1; do echo tick; done",
            "",
        ),
    )]);
    svcd.ok(&["start", "web"]);
    svcd.line("web", "tick");
    let mut follower = Command::new(binary("svc"))
        .arg("--socket")
        .arg(svcd.socket())
        .args(["logs", "-f", "web"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(follower.stdout.take().unwrap()));
    let seen: Vec<String> = lines.by_ref().take(20).map(|line| line.unwrap()).collect();
    assert!(
        seen.iter()
            .all(|line| line.ends_with("tick") || line.ends_with("before")),
        "{seen:?}"
    );
    follower.kill().unwrap();
    follower.wait().unwrap();
}

#[test]
fn the_last_lines_before_a_crash_are_there_when_it_is_reported() {
    let script = "n=0; while [ $n -lt 500 ]; do echo line $n; n=$((n + 1)); done; echo last words; kill -KILL $$";
    let svcd = Svcd::with(&[("bad", &shell(script, "[restart]\npolicy = \"no\""))]);
    svcd.svc(&["start", "bad"]);
    svcd.reaches("bad", "failed");
    let lines = svcd.lines("bad");
    assert_eq!(
        (lines.len(), lines.last().map(String::as_str)),
        (501, Some("last words"))
    );
}

#[test]
fn a_line_without_an_end_is_kept() {
    let svcd = Svcd::with(&[("bad", &shell("printf 'no end'; exit 1", "[restart]\npolicy = \"no\""))]);
    svcd.svc(&["start", "bad"]);
    svcd.reaches("bad", "failed");
    assert_eq!(svcd.lines("bad"), ["no end"]);
}

#[test]
fn nothing_is_lost_when_the_log_process_is_killed() {
    let script = "n=0; while [ $n -lt 3000 ]; do echo line $n; n=$((n + 1)); done; echo end; sleep 1000000";
    let svcd = Svcd::with(&[("web", &shell(script, ""))]);
    let loggers = || {
        let children = super::machine::processes().into_iter();
        let units = super::machine::members(&svcd.cgroup("web"));
        let mine =
            |pid: &u32| state_and_parent(*pid).is_some_and(|(state, parent)| state != 'Z' && parent == svcd.pid());
        children
            .filter(mine)
            .filter(|pid| !units.contains(pid))
            .collect::<Vec<_>>()
    };
    svcd.ok(&["start", "--no-wait", "web"]);
    for _ in 0..3 {
        eventually("there is a log process", || !loggers().is_empty());
        let logger = loggers()[0];
        send(logger, Signal::KILL);
        eventually("it is gone", || !alive(logger));
    }
    svcd.line("web", "end");
    let lines: Vec<String> = svcd
        .lines("web")
        .into_iter()
        .filter(|line| line.starts_with("line "))
        .collect();
    let expected: Vec<String> = (0..3000).map(|nth| format!("line {nth}")).collect();
    assert!(
        lines == expected,
        "{} lines, first difference at {:?}",
        lines.len(),
        lines.iter().zip(&expected).position(|(a, b)| a != b)
    );
}

#[test]
fn what_is_kept_is_capped_and_rotated() {
    let script = "n=0; while [ $n -lt 40000 ]; do echo this is line number $n of a service that talks a lot; n=$((n + 1)); done; echo end";
    let svcd = Svcd::with(&[("web", &shell(script, "type = \"oneshot\"\n[log]\nmax-size = \"256K\""))]);
    svcd.ok(&["start", "web"]);
    svcd.line("web", "end");
    let files: Vec<_> = std::fs::read_dir(svcd.dir().join("log/web"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    let bytes: u64 = files.iter().map(|file| file.metadata().unwrap().len()).sum();
    assert!(bytes <= 256 << 10, "{bytes} bytes in {files:?}");
    assert!(bytes > 64 << 10, "and not thrown away for no reason: {bytes} bytes");
    let lines = svcd.lines("web");
    assert_eq!(
        lines[lines.len() - 2],
        "this is line number 39999 of a service that talks a lot",
        "the newest are kept"
    );
}

#[test]
fn a_rate_limit_counts_what_it_drops() {
    let script = "n=0; while [ $n -lt 1000 ]; do echo line $n; n=$((n + 1)); done";
    let svcd = Svcd::with(&[(
        "web",
        &shell(
            script,
            "type = \"oneshot\"\n[log]\nrate-limit = { lines = 100, per = \"1h\" }",
        ),
    )]);
    svcd.ok(&["start", "web"]);
    eventually("it is told how many were dropped", || {
        svcd.lines("web").iter().any(|line| line.contains("900"))
    });
    assert_eq!(
        svcd.lines("web")
            .iter()
            .filter(|line| line.starts_with("line "))
            .count(),
        100
    );
}

#[test]
fn outputs_go_where_the_unit_says() {
    let plan = super::harness::Plan::new();
    let (file, more) = (plan.dir().join("out"), plan.dir().join("more"));
    std::fs::write(&more, "already here\n").unwrap();
    let to = |key: &str, how: &str, path: &std::path::Path| format!("{key} = \"{how}:{}\"\n", path.display());
    let keys = format!(
        "type = \"oneshot\"\n{}{}",
        to("standard-output", "file", &file),
        to("standard-error", "append", &more)
    );
    let svcd = plan
        .unit("web", &shell("echo out; echo err >&2", &keys))
        .unit("quiet", &quiet())
        .start();
    svcd.ok(&["start", "web", "web", "quiet"]);
    svcd.ok(&["start", "web"]);
    assert_eq!(
        std::fs::read_to_string(&file).unwrap(),
        "out\n",
        "truncated at each start"
    );
    let appended = std::fs::read_to_string(&more).unwrap();
    assert!(appended.starts_with("already here\nerr\n"), "{appended}");
    assert_eq!(svcd.lines("quiet"), Vec::<String>::new());
}

fn quiet() -> String {
    shell(
        "echo nobody hears this",
        "type = \"oneshot\"\nstandard-output = \"null\"",
    )
}

#[test]
fn a_service_that_logs_does_not_need_its_neighbour() {
    let svcd = Svcd::with(&[("web", SLEEPER), ("talks", &shell("echo hello", "type = \"oneshot\""))]);
    svcd.ok(&["start", "web", "talks"]);
    assert_eq!(svcd.lines("talks"), ["hello"]);
    assert_eq!(svcd.lines("web"), Vec::<String>::new());
}
