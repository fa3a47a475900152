//! Roots of a service with ids of its own: it sees the ids that the files have, and so does whoever sees the disk.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;

use super::super::harness::{Svcd, binary, shell};
use super::super::machine::eventually;
use super::super::roots::programs;
use super::super::view::{look, plan_with, said};
use super::{AUTO, can, ids, range};

/// An ext4 on `disk.d`, whose files can be shown with other ids on every kernel: with a root in it, and svcd's state.
fn disk(dir: &Path) -> String {
    format!(
        "cd {}; truncate -s 16M disk; mke2fs -q -F disk >/dev/null; mkdir disk.d state root; mount -t ext4 -o loop disk disk.d; \
         mkdir disk.d/root disk.d/state; mount -o bind disk.d/root root; mount -o bind disk.d/state state; cd root; mkdir etc data; \
         echo web:x:33:34::/data:/bin/sh >etc/passwd; echo secret >data/file; chmod 0700 data; chown -R 33:34 data; cd /",
        dir.display()
    )
}

/// No file of it changes its owner, on the disk or for the service.
#[test]
fn a_root_has_the_ids_that_its_files_have() {
    let test = "a_root_has_the_ids_that_its_files_have";
    if !can(test) {
        return;
    }
    let Some(plan) = plan_with(test, disk) else { return };
    let root = format!("[root]\npath = \"{}/root\"\n{}", plan.dir().display(), programs());
    let script = look(
        "stat -c '%u %g' /data /etc /usr | tr '\\n' ,; echo; cat /data/file; echo new >/data/new && stat -c '%u %g' /data/new; touch /etc/mine && echo writes etc",
    );
    let web = shell(&script, &format!("user = \"web\"\n{AUTO}{root}"));
    let svcd = plan
        .unit("web", &web)
        .unit(
            "root",
            &shell(&script, &format!("{AUTO}protect-system = false\n{root}")),
        )
        .start();
    // The machine's own files are nobody's.
    assert_eq!(said(&svcd, "web"), ["33 34,0 0,65534 65534,", "secret", "33 34"]);
    let first = range(&svcd, "web");
    assert_eq!(ids(&svcd, "web"), (first + 33, first + 34));
    // On the disk, as its own svcd sees it, all is as it was: 33 is 33.
    let seen = |file: &str| {
        let meta = fs::metadata(format!("/proc/{}/root{}/root/{file}", svcd.pid(), svcd.dir().display())).unwrap();
        (meta.uid(), meta.gid())
    };
    assert_eq!(
        [seen("data"), seen("data/file"), seen("data/new"), seen("etc")],
        [(33, 34), (33, 34), (33, 34), (0, 0)]
    );
    svcd.ok(&["stop", "web"]);
    assert_eq!(
        said(&svcd, "root"),
        ["33 34,0 0,65534 65534,", "secret", "33 34", "writes etc"]
    );
    assert_ne!(range(&svcd, "root"), first);
    assert_eq!(seen("etc/mine"), (0, 0));
}

/// Layers are shown so too, and what is written to: on the disk all have the ids that the service knows.
#[test]
fn layers_have_the_ids_that_their_files_have() {
    let test = "layers_have_the_ids_that_their_files_have";
    if !can(test) {
        return;
    }
    let Some(plan) = plan_with(test, disk) else { return };
    let root = |writable: &str| {
        let path = plan.dir().display();
        format!(
            "[root]\nlayers = [\"{path}/root\"]\nwritable = \"{writable}\"\n{}",
            programs()
        )
    };
    let script = look(
        "cat /data/file; echo more >>/data/file; touch /data/new; stat -c '%u %g' /data/new /data/file /data /; wc -l </data/file",
    );
    let unit = |writable: &str| shell(&script, &format!("user = \"web\"\n{AUTO}{}", root(writable)));
    let (passing, lasting) = (unit("tmpfs"), unit("persistent"));
    let svcd = plan.unit("passing", &passing).unit("lasting", &lasting).start();
    let expected = ["secret", "33 34", "33 34", "33 34", "0 0", "2"];
    for unit in ["passing", "lasting"] {
        assert_eq!(said(&svcd, unit), expected, "{unit}");
    }
    svcd.ok(&["restart", "lasting"]);
    eventually("it says so again", || {
        svcd.lines("lasting").iter().filter(|line| *line == "done").count() == 2
    });
    assert!(svcd.lines("lasting").contains(&"3".to_owned()));
    let upper = format!(
        "/proc/{}/root{}/state/roots/lasting/upper/data/new",
        svcd.pid(),
        svcd.dir().display()
    );
    let meta = fs::metadata(&upper).unwrap_or_else(|error| panic!("{upper}: {error}"));
    assert_eq!((meta.uid(), meta.gid()), (33, 34));
    // And so has whoever compares: what differs is what the service did, who has other ids outside.
    for unit in ["passing", "lasting"] {
        let told = diff_where_svcd_is(&svcd, unit);
        let told: Vec<&str> = told.lines().collect();
        assert_eq!(told, ["C /data", "C /data/file", "A /data/new"], "{unit}");
    }
}

/// `svc diff` by one who sees the disk as svcd does.
fn diff_where_svcd_is(svcd: &Svcd, unit: &str) -> String {
    let done = Command::new("nsenter")
        .args(["-t", &svcd.pid().to_string(), "-m"])
        .arg(binary("svc"))
        .arg("--socket")
        .arg(svcd.socket())
        .args(["diff", unit])
        .output()
        .expect("start nsenter");
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8_lossy(&done.stdout).into_owned()
}

#[test]
fn a_root_that_cannot_be_shown_with_other_ids_is_refused() {
    let test = "a_root_that_cannot_be_shown_with_other_ids_is_refused";
    if !can(test) {
        return;
    }
    let make = |dir: &Path| format!("mkdir {0}/root; mount -t ramfs none {0}/root", dir.display());
    let Some(plan) = plan_with(test, make) else { return };
    let root = format!(
        "[restart]\npolicy = \"no\"\n[root]\npath = \"{}/root\"\n{}",
        plan.dir().display(),
        programs()
    );
    let unit = |user: &str| shell(&look("stat -c %u /"), &format!("[isolation]\nuser = {user}\n{root}"));
    let svcd = plan
        .unit("web", &unit("\"auto\""))
        .unit("same", &unit("\"identity\""))
        .start();
    let done = svcd.svc(&["start", "web"]);
    assert_eq!(done.code, 78, "{}", done.err);
    assert!(done.err.contains("user") && done.err.contains("ramfs"), "{}", done.err);
    let status = svcd.status("web");
    assert_eq!(
        (&status["failed-step"], &status["errno"], &status["step-exit-code"]),
        (&"user".into(), &"EINVAL".into(), &217.into()),
        "{status:#}"
    );
    assert_eq!(said(&svcd, "same"), ["0"], "the same ids need not be shown as others");
}

/// Where the unit may do without ids of its own it starts, and every command of it, before and after a `kill -9` of svcd.
#[test]
fn a_root_that_cannot_be_shown_with_other_ids_may_be_had_without() {
    let test = "a_root_that_cannot_be_shown_with_other_ids_may_be_had_without";
    if !can(test) {
        return;
    }
    let make = |dir: &Path| {
        let mount = |kind: &str| format!("mkdir -p {0}/{kind}; mount -t {kind} none {0}/{kind}", dir.display());
        format!("{}; {}", mount("ramfs"), mount("tmpfs"))
    };
    let Some(plan) = plan_with(test, make) else { return };
    let dir = plan.dir().display().to_string();
    let unit = |kind: &str, more: &str| {
        let script = look("echo ready");
        let keys = "exec-reload = [\"/bin/echo\", \"reloaded\"]\nexec-start-pre = [\"/bin/echo\", \"before\"]";
        let isolation = format!("[isolation]\nuser = \"auto\"\nbest-effort = [\"user\"]\n{more}");
        let root = format!("[root]\npath = \"{dir}/{kind}\"\n{}", programs());
        shell(&script, &format!("{keys}\n{isolation}{root}"))
    };
    let mut svcd = plan
        .unit("held", &unit("ramfs", ""))
        .unit("alone", &unit("ramfs", "init = false\n"))
        .unit("tmpfs", &unit("tmpfs", ""))
        .start();
    // A tmpfs can be shown so from Linux 6.3 on.
    let without = |svcd: &Svcd, unit: &str| {
        let status = svcd.status(unit);
        let user = status["isolation"]["user"].as_str().unwrap().to_owned();
        let kind = if unit == "tmpfs" { "tmpfs" } else { "ramfs" };
        let is_skipped = user.starts_with("skipped: ") && user.contains(kind);
        assert!(is_skipped || unit == "tmpfs" && user == "enforced", "{unit}: {user}");
        assert_eq!(ids(svcd, unit).0 == 0, is_skipped, "{unit}: {user}");
        assert_eq!(ids(svcd, unit).0 == 0, user != "enforced", "{unit}: {user}");
    };
    for unit in ["held", "alone", "tmpfs"] {
        assert_eq!(said(&svcd, unit), ["before", "ready"], "{unit}");
        without(&svcd, unit);
    }
    svcd.kill();
    svcd.start_again();
    for unit in ["held", "alone", "tmpfs"] {
        without(&svcd, unit);
        svcd.ok(&["reload", unit]);
        svcd.line(unit, "reloaded");
    }
}
