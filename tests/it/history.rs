//! History: what happened to units and who caused it, over boots.

use std::fs;

use super::harness::{Plan, SLEEPER, Svcd, shell};
use super::machine::eventually;

fn texts(svcd: &Svcd, arguments: &[&str]) -> Vec<String> {
    let entries = svcd.json(arguments);
    let text = |entry: &serde_json::Value| {
        let behind = entry["behind"].as_array().expect("a list").iter();
        let causes = std::iter::once(&entry["by"])
            .chain(behind)
            .map(|by| by["kind"].as_str().unwrap());
        let causes = causes.collect::<Vec<_>>().join(" < ");
        format!(
            "{} {} ({causes})",
            entry["unit"].as_str().unwrap(),
            entry["text"].as_str().unwrap()
        )
    };
    entries.as_array().expect("a list").iter().map(text).collect()
}

#[test]
fn each_move_has_its_causes_and_its_caller() {
    let svcd = Svcd::with(&[
        ("db", SLEEPER),
        ("web", &format!("[unit]\nrequires = [\"db\"]\n{SLEEPER}")),
    ]);
    svcd.ok(&["start", "web"]);
    svcd.ok(&["stop", "db"]);
    assert_eq!(
        texts(&svcd, &["history", "db"])[..2],
        ["db starting (unit < operator)", "db ready (policy)"]
    );
    let web = texts(&svcd, &["history", "web"]);
    assert!(web.contains(&"web stopping (unit < operator)".to_owned()), "{web:?}");
    let entries = svcd.json(&["history", "db"]);
    let stop = entries
        .as_array()
        .unwrap()
        .iter()
        .find(|entry| entry["what"] == "stopping")
        .unwrap();
    assert_eq!(stop["by"]["uid"], rustix::process::getuid().as_raw(), "{stop:#}");
    assert!(stop["by"]["pid"].as_u64().is_some_and(|pid| pid > 0), "{stop:#}");
    assert!(stop["by"]["text"].as_str().unwrap().contains("by svc, pid"), "{stop:#}");
    assert!(svcd.ok(&["history", "web"]).contains("stopped with db, uid"));
}

#[test]
fn who_sent_a_deadly_signal_is_told() {
    let svcd = Svcd::with(&[("web", &format!("{SLEEPER}[restart]\npolicy = \"no\"\n"))]);
    svcd.ok(&["start", "web"]);
    svcd.ok(&["kill", "-s", "KILL", "web"]);
    let status = svcd.reaches("web", "failed");
    assert_eq!(
        (&status["result"], &status["signal"]),
        (&"signal".into(), &"SIGKILL".into())
    );
    let text = status["result-text"].as_str().unwrap();
    assert!(
        text.starts_with("signal SIGKILL by uid ") && text.contains(" by svc, pid "),
        "{text}"
    );
    let told = texts(&svcd, &["history", "web"]);
    assert!(told.contains(&"web sent SIGKILL (operator)".to_owned()), "{told:?}");
    // In its next run somebody else ends it, of whom the kernel does not tell.
    svcd.ok(&["start", "web"]);
    super::machine::send(svcd.main_pid("web"), rustix::process::Signal::KILL);
    let status = svcd.reaches("web", "failed");
    assert_eq!(status["result-text"], "signal SIGKILL");
}

#[test]
fn history_outlives_svcd_and_its_units_and_is_bounded() {
    let mut svcd = Plan::new()
        .unit("web", SLEEPER)
        .unit("gone", SLEEPER)
        .unit(
            "loop",
            &shell("exit 1", "[restart]\ndelay = \"1ms\"\nmax-delay = \"1ms\"\n"),
        )
        .start();
    svcd.ok(&["start", "web", "gone"]);
    svcd.stop();
    svcd.start_again();
    // Why it is as it is, of the life of svcd's before.
    assert_eq!(
        texts(&svcd, &["why", "web"]),
        ["web ended: success (policy)", "web stopping (signal)"]
    );
    assert!(svcd.ok(&["why", "web"]).contains("SIGTERM to svcd"));
    svcd.ok(&["start", "web"]);
    assert_eq!(texts(&svcd, &["why", "web"]).last().unwrap(), "web starting (operator)");
    svcd.remove("gone.toml");
    eventually("it is gone", || svcd.svc(&["status", "gone"]).code == 4);
    let starts = |unit: &str| {
        texts(&svcd, &["history", unit])
            .iter()
            .filter(|text| text.contains(" starting"))
            .count()
    };
    assert_eq!((starts("web"), starts("gone")), (2, 1));
    assert_eq!(svcd.svc(&["history", "nobody"]).code, 4);
    // A line that was cut short costs that line.
    let file = svcd.dir().join("state/history");
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, format!("{{\"at\":\n{text}")).unwrap();
    assert_eq!(starts("web"), 2);
    // Nearly full: the next moves make it the old one.
    let line = text.lines().next().unwrap();
    fs::write(&file, format!("{line}\n").repeat((1 << 20) / line.len() + 2)).unwrap();
    svcd.ok(&["reexec"]);
    svcd.ok(&["start", "loop", "--no-wait"]);
    eventually("the file is a new one", || {
        svcd.dir().join("state/history.old").exists()
    });
    svcd.ok(&["stop", "loop"]);
    let size = |name: &str| fs::metadata(svcd.dir().join("state").join(name)).map_or(0, |meta| meta.len());
    assert!(size("history") < 2 << 20 && size("history.old") < 2 << 20);
    assert!(svcd.json(&["history"]).as_array().unwrap().len() <= 2_000);
}
