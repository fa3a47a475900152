//! What a service is given in the file system: directories of its own and secrets.

use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::harness::{Plan, SLEEPER, Svcd, shell};
use super::machine::{eventually, is_root, often, send, skip};
use super::view::{look, plan_with, said};

/// Where a directory of a kind is for a supervisor of a test.
fn place(svcd: &Svcd, kind: &str, name: &str) -> PathBuf {
    let root = match kind {
        "RUNTIME" => "run/directories",
        "STATE" => "state/directories/state",
        "CACHE" => "state/directories/cache",
        _ => "log/.directories",
    };
    svcd.dir().join(root).join(name)
}

/// Owner, group and mode.
fn owned(path: &Path) -> (u32, u32, u32) {
    let meta = fs::symlink_metadata(path).unwrap();
    (meta.uid(), meta.gid(), meta.mode() & 0o7777)
}

const EVERY: &str = "runtime-directory = [\"web\", \"web.d/deep\"]\nruntime-directory-mode = \"0710\"\n\
    state-directory = [\"web\"]\nstate-directory-mode = \"0700\"\ncache-directory = [\"web\"]\nlogs-directory = [\"web\"]\n";

#[test]
fn directories_are_made_for_the_user_and_named_to_it() {
    if !is_root() {
        return skip(
            "directories_are_made_for_the_user_and_named_to_it",
            "changing users needs root",
        );
    }
    let script = look(
        "for d in $(echo $RUNTIME_DIRECTORY | tr : ' ') $STATE_DIRECTORY $CACHE_DIRECTORY $LOGS_DIRECTORY; do \
         echo $d; touch $d/mine || echo cannot write $d; done",
    );
    let strict = format!("user = \"nobody\"\n{EVERY}[isolation]\nprotect-system = \"strict\"\n");
    let plain = format!("user = \"nobody\"\n{EVERY}[isolation]\nprofile = \"none\"\n");
    let svcd = Svcd::with(&[("strict", &shell(&script, &strict)), ("plain", &shell(&script, &plain))]);
    for unit in ["strict", "plain"] {
        let at = |kind: &str, name: &str| place(&svcd, kind, name);
        let expected = [
            (at("RUNTIME", "web"), 0o710),
            (at("RUNTIME", "web.d/deep"), 0o710),
            (at("STATE", "web"), 0o700),
            (at("CACHE", "web"), 0o755),
            (at("LOGS", "web"), 0o755),
        ];
        let paths: Vec<String> = expected.iter().map(|(path, _)| path.display().to_string()).collect();
        assert_eq!(said(&svcd, unit), paths, "{unit}");
        for (path, mode) in &expected {
            assert_eq!(owned(path), (65534, 65534, *mode), "{unit}: {}", path.display());
            assert_eq!(owned(&path.join("mine")).0, 65534);
        }
        assert_eq!(owned(&at("RUNTIME", "web.d")).0, 0, "what is on the way is root's");
        svcd.ok(&["stop", unit]);
        assert!(
            !at("RUNTIME", "web").exists() && !at("RUNTIME", "web.d/deep").exists(),
            "{unit}"
        );
        for kind in ["STATE", "CACHE", "LOGS"] {
            assert!(at(kind, "web").join("mine").exists(), "{unit}: {kind} stays");
        }
    }
    fs::remove_dir(place(&svcd, "RUNTIME", "web.d")).unwrap();
}

#[test]
fn runtime_directories_stay_as_long_as_they_are_to() {
    let unit = |name: &str, value: &str| {
        let keys = format!("runtime-directory = [\"{name}\"]\nruntime-directory-preserve = {value}\n");
        shell("exec sleep 1000000", &keys)
    };
    let svcd = Svcd::with(&[
        ("no", &unit("false", "false")),
        ("over", &unit("restart", "\"restart\"")),
        ("always", &unit("true", "true")),
    ]);
    svcd.ok(&["start", "no", "over", "always"]);
    let file = |name: &str| place(&svcd, "RUNTIME", name).join("file");
    for name in ["false", "restart", "true"] {
        fs::write(file(name), "").unwrap();
    }
    svcd.ok(&["restart", "no", "over", "always"]);
    let there = ["false", "restart", "true"].map(|name| file(name).exists());
    assert_eq!(there, [false, true, true]);
    // A crash is followed by a restart too.
    let before = svcd.main_pid("over");
    send(before, rustix::process::Signal::KILL);
    eventually("it is up again", || {
        svcd.state("over") == "running" && svcd.status("over")["main-pid"]["host"] != before
    });
    assert!(file("restart").exists());
    svcd.ok(&["stop", "no", "over", "always"]);
    assert!(!file("restart").exists() && file("true").exists());
    fs::remove_dir_all(place(&svcd, "RUNTIME", "true")).unwrap();
}

/// CVE-2017-18078, CVE-2018-6954, CVE-2018-15687, CVE-2018-21269: what a former user left in a state directory gives the
/// next one nothing of anybody else's: no link, no hard link, and none that is swapped in while the start is under way.
#[test]
fn what_was_left_in_a_state_directory_gives_nothing_of_others() {
    if !is_root() {
        return skip(
            "what_was_left_in_a_state_directory_gives_nothing_of_others",
            "changing users needs root",
        );
    }
    let keys = "user = \"nobody\"\nstate-directory = [\"web\"]\n";
    let linked = "user = \"nobody\"\nstate-directory = [\"linked\"]\n[restart]\npolicy = \"no\"\n";
    let once = "type = \"oneshot\"\nuser = \"nobody\"\nstate-directory = [\"swapped\"]\n[restart]\npolicy = \"no\"\n";
    let svcd = Svcd::with(&[
        ("web", &shell("exec sleep 1000000", keys)),
        ("linked", &shell("exit 0", linked)),
        ("swapped", &shell("exit 0", once)),
    ]);
    let outside = svcd.dir().join("outside");
    fs::create_dir(&outside).unwrap();
    let marker = outside.join("marker");
    fs::write(&marker, "untouched").unwrap();
    let before = (owned(&outside), owned(&marker));
    let state = place(&svcd, "STATE", "web");
    fs::create_dir_all(state.join("own/deep")).unwrap();
    fs::write(state.join("own/deep/file"), "").unwrap();
    fs::hard_link(&marker, state.join("hard")).unwrap();
    symlink(&marker, state.join("soft")).unwrap();
    symlink(&outside, state.join("folder")).unwrap();
    svcd.ok(&["start", "web"]);
    assert_eq!(
        owned(&state.join("own/deep/file")).0,
        65534,
        "what was nobody else's comes with it"
    );
    assert_eq!(owned(&state.join("soft")).0, 65534, "a link itself may");
    // The directory itself is a link.
    symlink(&outside, place(&svcd, "STATE", "linked")).unwrap();
    assert_ne!(svcd.svc(&["start", "linked"]).code, 0);
    let status = svcd.status("linked");
    assert!(
        status["failed-step"].as_str().unwrap().starts_with("state-directory "),
        "{status:#}"
    );
    assert_eq!(status["step-exit-code"], 238);
    swap_under_starts(&svcd, &outside);
    assert_eq!((owned(&outside), owned(&marker)), before);
    assert_eq!(fs::read_to_string(&marker).unwrap(), "untouched");
}

/// Starts while a directory of the state directory is swapped for a link to the outside, over and over.
fn swap_under_starts(svcd: &Svcd, outside: &Path) {
    let state = place(svcd, "STATE", "swapped");
    fs::create_dir_all(state.join("one/two")).unwrap();
    symlink(outside, state.join("link")).unwrap();
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let (cwd, flags) = (rustix::fs::CWD, rustix::fs::RenameFlags::EXCHANGE);
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                rustix::fs::renameat_with(cwd, state.join("one"), cwd, state.join("link"), flags).unwrap();
            }
        });
        let end = std::time::Instant::now() + Duration::from_secs(3);
        while std::time::Instant::now() < end {
            svcd.svc(&["start", "swapped"]);
            // So that the next start has all to give away again.
            std::os::unix::fs::lchown(&state, Some(0), Some(0)).unwrap();
        }
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
    });
}

#[test]
fn secrets_are_for_the_user_alone() {
    if !is_root() {
        return skip("secrets_are_for_the_user_alone", "changing users needs root");
    }
    const SECRET: &str = "hunter2-of-the-test";
    let plan = Plan::new();
    let file = plan.dir().join("key");
    fs::write(&file, SECRET).unwrap();
    std::os::unix::fs::chown(&file, Some(0), Some(0)).unwrap();
    fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let script = look(
        "cd $CREDENTIALS_DIRECTORY; stat -c '%n %u %a' . *; [ $(cat tls.key | wc -c) = 19 ] && echo read; \
         touch new || echo read-only; echo y >tls.key || echo unwritable; stat -f -c %T .",
    );
    let key = format!("credentials = {{ \"tls.key\" = \"{}\" }}\n", file.display());
    let missing = "credentials = { a = \"/no/such\" }\n[restart]\npolicy = \"no\"\n";
    let svcd = plan
        .unit("web", &shell(&script, &format!("user = \"nobody\"\n{key}")))
        .unit("missing", &shell("exit 0", missing))
        .unit(
            "other",
            &shell(&look("ls -A $0"), "user = \"nobody\"\n").replace("$$0", "DIR"),
        )
        .start();
    let lines = said(&svcd, "web");
    assert_eq!(
        lines[..5],
        [". 65534 500", "tls.key 65534 400", "read", "read-only", "unwritable"]
    );
    assert!(
        ["ramfs", "UNKNOWN"].iter().any(|kind| lines[5].contains(kind)) || lines[5].contains("858458f6"),
        "{lines:?}"
    );
    let credentials = svcd.dir().join("run/credentials");
    assert_eq!(fs::read_dir(&credentials).unwrap().count(), 0, "nobody else sees any");
    assert_ne!(svcd.svc(&["start", "missing"]).code, 0);
    let status = svcd.status("missing");
    assert_eq!(
        (&status["failed-step"], &status["errno"], &status["step-exit-code"]),
        (&"credentials /no/such".into(), &"ENOENT".into(), &243.into())
    );
    let told = [
        svcd.said(),
        svcd.ok(&["show", "web"]),
        svcd.ok(&["--json", "status", "web"]),
        svcd.lines("web").join("\n"),
    ];
    assert!(!told.iter().any(|text| text.contains(SECRET)), "{told:#?}");
    let main = svcd.main_pid("web");
    for what in ["environ", "cmdline"] {
        assert!(
            !fs::read_to_string(format!("/proc/{main}/{what}"))
                .unwrap()
                .contains(SECRET)
        );
    }
}

/// A tree that no recursion survives is removed all the same, by a child, while svcd answers. It is in memory, as /run is.
#[test]
fn row_48_deep_trees_are_removed_outside_the_loop() {
    let prepare = |dir: &Path| {
        let at = dir.join("run/directories").display().to_string();
        format!("mkdir -p {at}; mount -t tmpfs run {at}")
    };
    let Some(plan) = plan_with("row_48_deep_trees_are_removed_outside_the_loop", prepare) else {
        return;
    };
    let unit = format!("{SLEEPER}runtime-directory = [\"deep\"]\n");
    let mut svcd = plan.unit("deep", &unit).start();
    svcd.ok(&["start", "deep"]);
    let at = place(&svcd, "RUNTIME", "deep");
    let at = PathBuf::from(format!("/proc/{}/root{}", svcd.pid(), at.display()));
    let mut open = fs::File::open(&at).unwrap();
    for _ in 0..often(100_000) {
        rustix::fs::mkdirat(&open, "d", rustix::fs::Mode::from_raw_mode(0o755)).unwrap();
        let flags = rustix::fs::OFlags::RDONLY | rustix::fs::OFlags::DIRECTORY;
        open = rustix::fs::openat(&open, "d", flags, rustix::fs::Mode::empty())
            .unwrap()
            .into();
    }
    drop(open);
    fs::write(at.join("file"), "").unwrap();
    symlink("/etc", at.join("link")).unwrap();
    let before = svcd.holds();
    svcd.ok(&["stop", "--no-wait", "deep"]);
    svcd.answers_in_time();
    eventually("the tree is gone", || !at.exists());
    svcd.reaches("deep", "inactive");
    svcd.is_back_to(before);
    assert!(Path::new("/etc/passwd").exists());
    svcd.stop();
    // Its mount went with svcd.
    fs::remove_dir(svcd.dir().join("run/directories")).unwrap();
}

/// Directories that svcd was given relative to where it was started are still those for a child, which is elsewhere.
#[test]
fn relative_directories_are_where_svcd_was_started() {
    if !is_root() {
        return skip(
            "relative_directories_are_where_svcd_was_started",
            "credentials are mounts",
        );
    }
    let plan = Plan::new();
    fs::write(plan.dir().join("secret"), "word\n").unwrap();
    let keys = format!(
        "state-directory = [\"web\"]\nruntime-directory = [\"web\"]\ncredentials = {{ KEY = \"{}/secret\" }}\n",
        plan.dir().display()
    );
    let script =
        look("cat $CREDENTIALS_DIRECTORY/KEY; echo $STATE_DIRECTORY $RUNTIME_DIRECTORY; touch $STATE_DIRECTORY/mine");
    let change = format!("cd {}; exec \"$@\"", plan.dir().display());
    let mut plan = plan
        .under(&["sh", "-c", &change, "sh"])
        .unit("web", &shell(&script, &keys));
    for (flag, folder) in [("--runtime-dir", "run"), ("--state-dir", "state"), ("--log-dir", "log")] {
        plan = plan.argument(flag).argument(folder);
    }
    let svcd = plan.start();
    let given = ["STATE", "RUNTIME"].map(|kind| place(&svcd, kind, "web"));
    let shown = given.each_ref().map(|path| path.display().to_string()).join(" ");
    assert_eq!(said(&svcd, "web"), ["word", &*shown]);
    assert!(given[0].join("mine").exists());
}
