//! Flags and the unit files that they mean.

use super::*;
use crate::cli::arguments::{Arguments, Verb};
use crate::unit::{Kind, UnitName, sources};

fn typed(line: &[&str]) -> Run {
    let words = ["svc", "run"].iter().chain(line).map(|word| (*word).into());
    let words = crate::cli::run::arguments::keep_escape(words);
    let Verb::Run(run) = Arguments::of(words).unwrap().verb else {
        panic!("{line:?}");
    };
    *run
}

fn written(line: &[&str], entry_point: &[&str]) -> Result<String, String> {
    let order = typed(line);
    let root = root(&order)?;
    unit(&order, &root, entry_point.iter().map(ToString::to_string).collect())
}

#[test]
fn each_flag_is_a_key_that_check_accepts() {
    let cases: &[(&[&str], &[&str])] = &[
        (&["web:1"], &["[root]\nimage = \"web:1\"", "writable = \"persistent\""]),
        (
            &["--rm", "web:1", "sh", "-c", "ls"],
            &["exec-start = [\"sh\", \"-c\", \"ls\"]", "writable = \"tmpfs\""],
        ),
        (
            &["-d", "--restart", "unless-stopped", "web:1"],
            &["[restart]\npolicy = \"always\""],
        ),
        (&["--read-only", "web:1"], &["writable = \"none\""]),
        (&["--read-only", "--", "/bin/true"], &["protect-system = \"strict\""]),
        (&["/srv/root", "/bin/sh"], &["layers = [\"/srv/root\"]"]),
        (
            &["--", "sh", "-c", "echo $HOME ${x} {y}"],
            &["\"echo $$HOME $${x} {{y}\""],
        ),
        (
            &["-e", "A=b\"c", "-e", "D=", "web:1"],
            &["environment = { \"A\" = \"b\\\"c\", \"D\" = \"\" }"],
        ),
        (
            &["-u", "1000:100", "-w", "/srv", "web:1"],
            &["user = \"1000\"", "group = \"100\"", "working-directory = \"/srv\""],
        ),
        (
            &["--cpu", "20%", "-m", "64m", "--pids", "5", "web:1"],
            &["cpu-quota = \"20%\"", "memory-max = \"64M\"", "pids-max = 5"],
        ),
        (
            &["--cpus", "1.5", "--memory", "1gb", "web:1"],
            &["cpu-quota = \"150%\"", "memory-max = \"1G\""],
        ),
        (
            &["-v", "/srv/data:/data:ro", "web:1"],
            &["[[mount]]\nsource = \"/srv/data\"\ntarget = \"/data\"\nread-only = true"],
        ),
        (
            &["--net", "none", "--hostname", "h", "--init", "web:1"],
            &["mode = \"none\"", "hostname = \"h\""],
        ),
        (&["--net", "container:db", "web:1"], &["mode = \"join:db\""]),
        (&["--init=false", "web:1"], &["init = false", "writable = \"tmpfs\""]),
        (&["--user-ns", "auto", "web:1"], &["user = \"auto\""]),
        (&["--cap-drop", "all", "web:1"], &["capabilities = [\"none\"]"]),
        (
            &["--cap-drop", "ALL", "--cap", "chown", "web:1"],
            &["capabilities = [\"CAP_CHOWN\"]"],
        ),
        (&["--cap", "all", "web:1"], &["capabilities = [\"all\"]"]),
        (
            &["--cap", "CAP_NET_ADMIN", "web:1"],
            &["\"CAP_CHOWN\"", "\"CAP_NET_ADMIN\""],
        ),
    ];
    for (line, parts) in cases {
        let text = written(line, &[]).unwrap();
        for part in *parts {
            assert!(text.contains(part), "{line:?}: no {part} in\n{text}");
        }
        let files = [("run.toml".into(), text.as_str().into())];
        let (_, findings) = sources::parse(&UnitName::new("run").unwrap(), &files, Vec::new());
        assert!(findings.is_empty(), "{line:?}: {findings:?}\n{text}");
    }
}

#[test]
fn words_go_behind_the_entry_point_and_are_what_was_typed() {
    let words = |line: &[&str], entry_point: &[&str]| -> Vec<String> {
        let files = [("run.toml".into(), written(line, entry_point).unwrap().as_str().into())];
        let (unit, findings) = sources::parse(&UnitName::new("run").unwrap(), &files, Vec::new());
        assert!(findings.is_empty(), "{findings:?}");
        let Kind::Service(service) = unit.kind else { panic!() };
        let command = &service.exec_start[0];
        command.arguments.iter().map(ToString::to_string).collect()
    };
    assert_eq!(words(&["web:1", "sh", "--", "x"], &[]), ["sh", "--", "x"]);
    assert_eq!(words(&["web:1", "--", "--", "x"], &["sh"]), ["sh", "--", "--", "x"]);
    assert_eq!(words(&["--", "sh", "--", "-x"], &[]), ["sh", "--", "-x"]);
    assert_eq!(
        words(&["web:1", "-c", "{unit} $x"], &["/bin/sh"]),
        ["/bin/sh", "-c", "{unit} $$x"]
    );
    assert_eq!(
        words(&["--entrypoint", "/bin/ls", "web:1", "-l"], &["/bin/ls"]),
        ["/bin/ls", "-l"]
    );
    assert_eq!(
        words(&["--", "/bin/echo", "-n", "a\u{7f}\t\"b\""], &[]),
        ["/bin/echo", "-n", "a\u{7f}\t\"b\""]
    );
}

#[test]
fn what_means_nothing_is_said() {
    for (line, part) in [
        (&[] as &[&str], "an image, a directory"),
        (&["/srv/root"], "no command"),
        (&["web:1", "-x"], "is no program"),
        (&["-v", "data:/data", "web:1"], "no named volumes"),
        (&["-v", "/data", "web:1"], "expected SOURCE:TARGET"),
        (&["--cpu", "much", "web:1"], "--cpu much"),
        (&["--cap", "fly", "web:1"], "fly is no capability"),
    ] {
        let why = written(line, &[]).unwrap_err();
        assert!(why.contains(part), "{line:?}: {why}");
    }
}

#[test]
fn a_name_says_what_is_run() {
    for (line, word) in [
        (&["localhost:5000/team/web:1"] as &[&str], "web-"),
        (&["--", "/bin/sleep", "1"], "sleep-"),
        (&["/", "/bin/sh"], "run-"),
    ] {
        let order = typed(line);
        let name = name(&order, &root(&order).unwrap());
        assert!(
            name.starts_with(word) && UnitName::new(&name).is_ok(),
            "{line:?}: {name}"
        );
    }
}
