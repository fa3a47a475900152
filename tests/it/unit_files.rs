//! Verbs that write unit files: with a supervisor, which takes over what they write, and without one.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use super::harness::{Done, Plan, SLEEPER, Svcd, binary, svc_at};
use super::machine::eventually;

/// `svc` where no supervisor is, on these units.
fn offline(plan: &Plan, arguments: &[&str]) -> Done {
    let units = plan.dir().join("units").display().to_string();
    let split = arguments
        .iter()
        .position(|word| *word == "--")
        .unwrap_or(arguments.len());
    let (before, after) = arguments.split_at(split);
    let line = [before, &["--units", &units], after].concat();
    svc_at(&plan.dir().join("no.sock"), &line)
}

/// `svc edit` with an editor that replaces the file by this text.
fn edit(socket: &Path, dir: &Path, unit: &str, text: &str) -> Done {
    let new = dir.join("typed");
    fs::write(&new, text).unwrap();
    let done = Command::new(binary("svc"))
        .arg("--socket")
        .arg(socket)
        .args(["edit", unit])
        .env("VISUAL", format!("cp {}", new.display()))
        .stdin(Stdio::null())
        .output()
        .expect("start svc");
    Done {
        code: done.status.code().unwrap_or(-1),
        out: String::from_utf8_lossy(&done.stdout).into_owned(),
        err: String::from_utf8_lossy(&done.stderr).into_owned(),
        took: std::time::Duration::ZERO,
    }
}

fn files(dir: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut open = vec![dir.to_path_buf()];
    while let Some(dir) = open.pop() {
        for entry in fs::read_dir(dir).unwrap().flatten() {
            match entry.file_type().unwrap().is_dir() {
                true => open.push(entry.path()),
                false => found.push(entry.file_name().to_string_lossy().into_owned()),
            }
        }
    }
    found.sort();
    found
}

#[test]
fn enable_and_disable_without_a_supervisor() {
    let wanted = format!("[unit]\nwanted-by = [\"default\"]\n{SLEEPER}");
    let plan = Plan::new()
        .unit("web", &wanted)
        .unit("db", SLEEPER)
        .unit("job@", SLEEPER);
    let done = offline(&plan, &["enable", "web", "db", "job@1"]);
    assert_eq!(done.code, 0, "{}", done.err);
    let units = plan.dir().join("units");
    assert_eq!(
        files(&units),
        [
            "db.toml",
            "job@.toml",
            "job@1.toml",
            "web.toml",
            "zz-enabled.toml",
            "zz-enabled.toml"
        ]
    );
    assert_eq!(offline(&plan, &["disable", "web"]).code, 0);
    for (verb, units, code) in [
        ("enable", "nobody", 4),
        ("enable", "-x", 2),
        ("disable", "nobody", 4),
        ("mask", "nobody", 4),
    ] {
        let done = offline(&plan, &[verb, "--", units]);
        assert_eq!(done.code, code, "{verb} {units}: {}", done.err);
    }
    assert_eq!(svc_at(&plan.dir().join("no.sock"), &["enable", "db"]).code, 5);
    // What comes up with the machine is what was said.
    let svcd = plan.start();
    svcd.reaches("db", "running");
    svcd.reaches("job@1", "running");
    assert_eq!(svcd.state("web"), "inactive");
    // With one that runs it is taken over at once.
    svcd.ok(&["enable", "web"]);
    svcd.reaches("web", "running");
    svcd.ok(&["disable", "web", "job@1"]);
    eventually("nobody wants them", || {
        !svcd.ok(&["show", "web"]).contains("wanted-by = [\"default\"]") && svcd.svc(&["status", "job@1"]).code == 4
    });
    assert_eq!(svcd.state("web"), "running", "what runs goes on");
    svcd.ok(&["disable", "db"]);
    svcd.ok(&["enable", "web"]);
    assert!(
        !files(&svcd.dir().join("units")).contains(&"zz-enabled.toml".to_owned()),
        "nothing is left"
    );
}

#[test]
fn a_mask_keeps_the_file() {
    let svcd = Svcd::with(&[("web", SLEEPER)]);
    let file = svcd.dir().join("units/web.toml");
    svcd.ok(&["mask", "web"]);
    eventually("it is masked", || svcd.state("web") == "masked");
    assert_eq!(svcd.svc(&["start", "web"]).code, 78);
    assert_eq!(svcd.svc(&["enable", "web"]).code, 1, "a mask is stronger");
    svcd.ok(&["mask", "web"]);
    svcd.ok(&["unmask", "web"]);
    assert_eq!(fs::read_to_string(&file).unwrap(), SLEEPER);
    eventually("it can be started", || svcd.svc(&["start", "web"]).code == 0);
    svcd.ok(&["unmask", "web"]);
    assert_eq!(files(&svcd.dir().join("units")), ["web.toml"]);
}

#[test]
fn an_edit_is_saved_once_it_is_valid() {
    let svcd = Svcd::with(&[("web", SLEEPER)]);
    svcd.ok(&["start", "web"]);
    let (socket, dir) = (svcd.socket(), svcd.dir().to_owned());
    let draft = dir.join("units/.drafts/web.toml");
    let done = edit(&socket, &dir, "web", SLEEPER);
    assert!(
        done.code == 0 && done.out.contains("as it was"),
        "{}{}",
        done.out,
        done.err
    );
    let done = edit(&socket, &dir, "web", "[service]\nexec-strat = \"/bin/true\"\n");
    assert_eq!(done.code, 78, "{}", done.err);
    assert!(
        done.err.contains("exec-strat") && done.err.contains("the draft is kept"),
        "{}",
        done.err
    );
    assert_eq!(fs::read_to_string(dir.join("units/web.toml")).unwrap(), SLEEPER);
    assert!(draft.exists());
    let done = edit(&socket, &dir, "web", &format!("{SLEEPER}nice = 3\n"));
    assert!(
        done.code == 0 && done.err.contains("going on with the draft"),
        "{}{}",
        done.out,
        done.err
    );
    eventually("it is taken over", || svcd.ok(&["show", "web"]).contains("nice = 3"));
    assert!(!draft.parent().unwrap().exists());
    assert_eq!(edit(&socket, &dir, "nobody", SLEEPER).code, 4);
}

#[test]
fn a_new_unit_checks_as_it_is() {
    let plan = Plan::new();
    for line in [
        &["new", "web"][..],
        &["new", "job@"],
        &["new", "echo", "--", "/bin/echo", "a b", "{x}", "\"", "$HOME"],
    ] {
        let done = offline(&plan, line);
        assert_eq!(done.code, 0, "{}", done.err);
    }
    assert_eq!(offline(&plan, &["new", "web"]).code, 1, "nothing is written over");
    let units = plan.dir().join("units").display().to_string();
    let done = svc_at(&plan.dir().join("no.sock"), &["check", &units]);
    assert_eq!(done.code, 0, "{}{}", done.out, done.err);
    // What is commented out is as valid.
    let text = fs::read_to_string(plan.dir().join("units/web.toml")).unwrap();
    let used = text.lines().map(|line| match line.strip_prefix("# ") {
        Some(rest) if rest.contains(" = ") && !rest.starts_with("svc.unit") => rest.to_owned(),
        _ => line.to_owned(),
    });
    let used = used
        .collect::<Vec<_>>()
        .join("\n")
        .replace("requires = [\"database\"]", "requires = [\"echo\"]");
    fs::write(plan.dir().join("units/used.toml"), used).unwrap();
    let done = svc_at(&plan.dir().join("no.sock"), &["check", &units]);
    assert!(
        !done.out.contains("error") && !done.err.contains("error"),
        "{}{}",
        done.out,
        done.err
    );
    let svcd = plan.start();
    assert_eq!(svcd.state("web"), "inactive", "it starts nothing by itself");
    svcd.svc(&["start", "echo"]);
    svcd.line("echo", "a b {x} \" $HOME");
}
