//! What editors and shells get: the schema, judged by validators that are not ours, and names of units, completed by bash.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::built::{binary, svc_at};
use super::harness::{SLEEPER, Svcd};
use super::machine::{program, skip};

const VALIDATE: &str = "import json, sys, tomllib, jsonschema
schema = json.load(open(sys.argv[1]))
jsonschema.Draft7Validator.check_schema(schema)
validator = jsonschema.Draft7Validator(schema)
for path in sys.argv[2:]:
    with open(path, 'rb') as file:
        wrong = list(validator.iter_errors(tomllib.load(file)))
    print(path, 'wrong' if wrong else 'right', *[error.message for error in wrong])";

/// Units that are wrong in one thing each.
const WRONG: [&str; 16] = [
    "[service]\nexec-strat = \"/bin/true\"",
    "[servise]\nexec-start = \"/bin/true\"",
    "[unit]\ndescription = \"nothing of a kind\"",
    "[service]\nexec-start = 1",
    "[service]\ntype = \"simple\"",
    "[service]\ntimeout-start = \"5 minutes\"",
    "[service]\ntimeout-start = 5",
    "[service]\nnice = 20",
    "[service]\numask = \"0999\"",
    "[service]\nworking-directory = \"srv\"",
    "[service]\n[restart]\ngive-up = { starts = 5 }",
    "[service]\n[resources]\nmemory-max = \"64MB\"",
    "[service]\n[isolation]\nprotect-system = \"yes\"",
    "[service]\n[isolation]\ncapabilities = [\"NET_ADMIN\"]",
    "[service]\nrlimits = { files = 5 }",
    "[service]\nsocket = { listen-stream = \"/run/x\" }",
];

/// A Python with a package, and a program that lies beside it.
fn python() -> Option<PathBuf> {
    std::env::var_os("SVC_TEST_PYTHON")
        .map(PathBuf::from)
        .filter(|path| path.exists())
}

/// The schema in a file, and files of units, right ones and then wrong ones.
fn written(dir: &Path) -> (PathBuf, Vec<PathBuf>, Vec<PathBuf>) {
    let schema = dir.join("schema.json");
    fs::write(&schema, svc_at(Path::new("/none"), &["schema"]).out).expect("write the schema");
    let mut right = Vec::new();
    let mut open = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("units")];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(folder).expect("units that ship").flatten() {
            match entry.path() {
                path if path.is_dir() => open.push(path),
                path if path.extension().is_some_and(|extension| extension == "toml") => right.push(path),
                _ => {}
            }
        }
    }
    let wrong = WRONG.iter().enumerate().map(|(nth, text)| {
        let path = dir.join(format!("wrong-{nth}.toml"));
        fs::write(&path, text).expect("write a unit");
        path
    });
    (schema, right, wrong.collect())
}

#[test]
fn the_schema_takes_every_unit_that_ships_and_none_that_is_wrong() {
    let test = "the_schema_takes_every_unit_that_ships_and_none_that_is_wrong";
    let has_package = |python: &PathBuf| {
        let asked = Command::new(python).args(["-c", "import jsonschema, tomllib"]).output();
        asked.is_ok_and(|done| done.status.success())
    };
    let Some(python) = python().filter(has_package) else {
        return skip(test, "no Python with the jsonschema package; tests/run makes one");
    };
    let dir = tempfile::tempdir().expect("make a directory");
    let (schema, right, wrong) = written(dir.path());
    assert!(right.len() > 8, "{right:?}");
    let mut command = Command::new(python);
    command.args(["-c", VALIDATE]).arg(schema).args(&right).args(&wrong);
    let done = command.output().expect("start Python");
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let said = String::from_utf8_lossy(&done.stdout).into_owned();
    for (files, verdict) in [(right, "right"), (wrong, "wrong")] {
        for file in files {
            let line = said
                .lines()
                .find_map(|line| line.strip_prefix(&format!("{} ", file.display())));
            let text = fs::read_to_string(&file).expect("read a unit");
            assert!(line.is_some_and(|line| line.starts_with(verdict)), "{text}\n{line:?}");
        }
    }
}

#[test]
fn taplo_takes_the_schema() {
    let Some(taplo) = python()
        .map(|python| python.with_file_name("taplo"))
        .filter(|path| path.exists())
    else {
        return skip("taplo_takes_the_schema", "no taplo; tests/run fetches it");
    };
    let dir = tempfile::tempdir().expect("make a directory");
    let (schema, right, wrong) = written(dir.path());
    let check = |files: &[PathBuf]| {
        let mut command = Command::new(&taplo);
        command.args(["check", "--no-auto-config", "--schema"]);
        command.arg(format!("file://{}", schema.display())).args(files);
        command.output().expect("start taplo")
    };
    let done = check(&right);
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    for file in wrong {
        let done = check(std::slice::from_ref(&file));
        assert!(!done.status.success(), "{}", fs::read_to_string(file).unwrap());
    }
}

/// As bash does it at a press of the tabulator: the function that is registered, with the words so far.
const COMPLETE: &str = r#"
source "$1"
shift
COMP_LINE="$*"
COMP_POINT=${#COMP_LINE}
COMP_WORDS=("$@")
COMP_CWORD=$(($# - 1))
function=$(complete -p svc | grep -o -- '-F [^ ]*')
"${function#-F }" svc "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}"
printf '%s\n' "${COMPREPLY[@]}"
"#;

#[test]
fn bash_completes_the_names_of_units() {
    let test = "bash_completes_the_names_of_units";
    let Some(bash) = program("bash") else {
        return skip(test, "it takes bash");
    };
    let svcd = Svcd::with(&[("web", SLEEPER), ("worker@", SLEEPER), ("db", SLEEPER)]);
    svcd.ok(&["start", "worker@1"]);
    let dir = svcd.dir();
    fs::write(dir.join("completions"), svcd.ok(&["completions", "bash"])).expect("write the script");
    std::os::unix::fs::symlink(binary("svc"), dir.join("svc")).expect("link svc");
    let complete = |words: &[&str]| {
        let path = format!("{}:{}", dir.display(), std::env::var("PATH").unwrap_or_default());
        let mut command = Command::new(&bash);
        command
            .args(["-c", COMPLETE, "bash"])
            .arg(dir.join("completions"))
            .args(words);
        let done = command
            .env("PATH", path)
            .env("SVC_SOCKET", svcd.socket())
            .output()
            .expect("start bash");
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        let mut all: Vec<String> = String::from_utf8_lossy(&done.stdout)
            .lines()
            .map(str::to_owned)
            .collect();
        all.sort();
        all.dedup();
        all
    };
    assert_eq!(complete(&["svc", "start", "w"]), ["web", "worker@1"]);
    assert_eq!(complete(&["svc", "--json", "status", "d"]), ["db", "default"]);
    let socket = svcd.socket().display().to_string();
    assert_eq!(complete(&["svc", "--socket", &socket, "stop", "we"]), ["web"]);
    // A word that bash divides is completed behind its last part.
    assert_eq!(complete(&["svc", "start", "worker@"]), ["1"]);
    assert!(
        complete(&["svc", "start", "--"]).contains(&"--socket".to_owned()),
        "flags too"
    );
    assert!(
        !complete(&["svc", "image", "w"]).contains(&"web".to_owned()),
        "where no unit is asked for"
    );
    assert_eq!(complete(&["svc", "stat"]), ["stats", "status"]);
}
