//! `svc import` of what Debian's packages bring for systemd.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use super::built::svc_at;
use super::machine::{program, skip};

/// The unit files of the packages, fetched once. None: they cannot be had here, which has been said.
fn debian(test: &str) -> Option<PathBuf> {
    if program("apt-get").is_none() || program("dpkg-deb").is_none() {
        skip(test, "no apt-get and dpkg-deb");
        return None;
    }
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("import");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/import/units");
    let done = Command::new(script)
        .arg(&folder)
        .output()
        .expect("start tests/import/units");
    if !done.status.success() {
        let said = String::from_utf8_lossy(&done.stderr).into_owned();
        skip(
            test,
            &format!("no packages: {}", said.lines().last().unwrap_or_default()),
        );
        return None;
    }
    Some(folder.join("units"))
}

fn unit_files(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).expect("unit files").flatten();
    // A link is another name of one of them.
    let files = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_file()));
    let mut files: Vec<String> = files.map(|entry| entry.path().display().to_string()).collect();
    files.retain(|file| {
        [".service", ".socket", ".timer"]
            .iter()
            .any(|suffix| file.ends_with(suffix))
    });
    files.sort();
    files
}

#[test]
fn the_units_of_twenty_one_debian_packages_become_units_that_check_accepts() {
    let test = "the_units_of_twenty_one_debian_packages_become_units_that_check_accepts";
    let Some(folder) = debian(test) else { return };
    let files = unit_files(&folder);
    assert!(files.len() > 40, "{files:?}");
    let dir = tempfile::tempdir().expect("make a directory");
    let output = dir.path().display().to_string();
    let files: Vec<&str> = files.iter().map(String::as_str).collect();
    let none = Path::new("/none");
    let done = svc_at(none, &[&["--json", "import", "--output", &output], &files[..]].concat());
    assert_eq!(done.code, 0, "{}", done.err);
    let told: Value = serde_json::from_str(&done.out).expect("JSON");
    let directives = || {
        let units = told.as_array().expect("a list").iter();
        units.flat_map(|unit| unit["directives"].as_array().expect("a list"))
    };
    let lost: Vec<&Value> = directives().filter(|one| one["fate"] == "no counterpart").collect();
    assert!(
        lost.iter()
            .all(|one| one["how"].as_str().is_some_and(|why| !why.is_empty()))
    );
    let all = directives().count();
    assert!(
        all > 600 && lost.len() * 10 <= all,
        "{} of {all} have no counterpart: {lost:#?}",
        lost.len()
    );
    let checked = svc_at(none, &["--json", "check", &output]);
    let findings: Value = serde_json::from_str(&checked.out).expect("JSON");
    assert!(findings.as_array().expect("a list").is_empty(), "{findings:#}");
    let again = svc_at(none, &[&["import", "--output", &output], &files[..]].concat());
    assert!(
        again.code == 1 && again.err.contains("is there already"),
        "{}",
        again.err
    );
}

/// A unit that is imported runs as it did: who it is, what it sees, and its drop-in.
#[test]
fn what_is_imported_is_what_was_written() {
    let dir = tempfile::tempdir().expect("make a directory");
    let write = |name: &str, text: &str| {
        let path = dir.path().join(name);
        fs::create_dir_all(path.parent().expect("a directory")).expect("make a directory");
        fs::write(&path, text).expect("write a file");
        path.display().to_string()
    };
    let service = write(
        "web.service",
        "[Unit]\nDescription=A web server\nAfter=network-online.target db.service\nRequires=db.service\n\
         [Service]\nType=dbus\nExecStart=/bin/sh -c \"echo $$HOME; \\\n  exec sleep {1}\"\nExecReload=/bin/kill -HUP $MAINPID\n\
         Restart=on-failure\nRestartSec=2\nUser=www-data\nLimitNOFILE=1024:4096\nProtectSystem=strict\nAppArmorProfile=web\n\
         Frobnicate=yes\n[Install]\nWantedBy=multi-user.target\nAlias=http.service\n",
    );
    write("web.service.d/limits.conf", "[Service]\nExecReload=\nMemoryMax=64M\n");
    let socket = write(
        "web.socket",
        "[Socket]\nListenStream=80\nSocketMode=0660\n[Install]\nWantedBy=sockets.target\n",
    );
    let timer = write("web.timer", "[Timer]\nOnCalendar=daily\nPersistent=true\n");
    let done = svc_at(Path::new("/none"), &["import", &service, &socket, &timer]);
    assert_eq!(done.code, 0, "{}", done.err);
    let expected = "# Imported from web.service.\n# Imported from web.socket.\n# Imported from web.timer.\n\
        # Not here: AppArmorProfile=web (svc loads no profiles of AppArmor).\n\
        # Not here: Frobnicate=yes (svc does not know it in [Service]).\n\n\
        [unit]\ndescription = \"A web server\"\nwanted-by = [\"default\"]\nrequires = [\"db\"]\nafter = [\"network-online\", \"db\"]\n\n\
        [service]\ntype = \"exec\"\nexec-start = [\"/bin/sh\", \"-c\", \"echo $$HOME;    exec sleep {{1}\"]\nuser = \"www-data\"\n\
        timeout-start = \"90s\"\ntimeout-stop = \"90s\"\nrlimits = { nofile = \"1024:4096\" }\n\n\
        [restart]\npolicy = \"on-failure\"\ndelay = \"2s\"\nmax-delay = \"2s\"\ngive-up = { starts = 5, within = \"10s\" }\n\n\
        [resources]\nmemory-max = \"64M\"\n\n\
        [isolation]\nprofile = \"none\"\nmount = true\nprotect-system = \"strict\"\n\n\
        [[socket]]\nlisten-stream = \"80\"\n\n\
        [[timer]]\non-calendar = \"daily\"\npersistent = true\n\n";
    assert_eq!(done.out, expected);
    for line in ["[Service] Type", "changed", "no counterpart", "kept, "] {
        assert!(done.err.contains(line), "{line}: {}", done.err);
    }
    let alone = svc_at(Path::new("/none"), &["import", &socket]);
    assert!(
        alone.code == 2 && alone.err.contains("web.service, is not among the files"),
        "{}",
        alone.err
    );
    let stray = write("bad.service", "[Service]\nnothing\n");
    let bad = svc_at(Path::new("/none"), &["import", &stray]);
    assert!(bad.code == 1 && bad.err.contains("line 2 is neither"), "{}", bad.err);
}

/// Lines before the first bytes are text, in svc's own order; whatever comes after them is bytes too.
#[test]
fn what_a_unit_reads_is_imported() {
    let dir = tempfile::tempdir().expect("make a directory");
    let made = |more: &str| {
        let path = dir.path().join("web@.service");
        fs::write(&path, format!("[Service]\nExecStart=/bin/cat\n{more}")).expect("write a file");
        let done = svc_at(Path::new("/none"), &["import", &path.display().to_string()]);
        assert_eq!(done.code, 0, "{}", done.err);
        let lines = done
            .out
            .lines()
            .filter(|line| line.starts_with("standard-input") || line.contains("Not here"));
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    let text = "StandardInput=data\nStandardInputText=for %i: {a}\\t\\x7b\nStandardInputText=end\n";
    let first = r#"standard-input-text = "for {instance}: {{a}\t{{\nend\n""#;
    assert_eq!(made(text), ["standard-input = \"data\"", first]);
    let data = "StandardInputText=gone\nStandardInputText=\nStandardInputText=a\nStandardInputData=AP8=\nStandardInputText={b}\n";
    assert_eq!(
        made(data),
        ["standard-input-text = \"a\\n\"", "standard-input-data = \"AP97Yn0K\""]
    );
    assert_eq!(made("StandardInputText=\\xff\n"), ["standard-input-data = \"/wo=\""]);
    assert_eq!(
        made("StandardInput=null\nStandardInputText=a\n"),
        ["standard-input = \"null\""]
    );
    let lost = made("StandardInputData=AP8=\nStandardInputText=%i\nStandardInputData=?\n");
    assert_eq!(lost.len(), 3, "{lost:?}");
}
