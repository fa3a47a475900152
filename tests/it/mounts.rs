//! `[mount]` units: up by mounting, down by unmounting, in a mount namespace of svcd's own so that the machine sees none.

use std::fs;
use std::path::{Path, PathBuf};

use super::harness::{Plan, Svcd, until_there};
use super::machine::{self, eventually, skip};

/// A unit that mounts a tmpfs at a place below the supervisor's directory.
fn tmpfs(at: &Path, options: &str) -> String {
    format!(
        "[mount]\nwhat = \"scratch\"\nwhere = \"{}\"\ntype = \"tmpfs\"\noptions = [{options}]\n",
        at.display()
    )
}

/// A plain service: it sees what svcd sees.
fn plain(script: &str, more: &str) -> String {
    let script = script.replace('$', "$$");
    format!("{more}[service]\nexec-start = [\"/bin/sh\", \"-c\", '''{script}''']\n[isolation]\nprofile = \"none\"\n")
}

/// A supervisor that mounts where nobody else sees it. None: it may not, which has been said.
fn plan(test: &str) -> Option<Plan> {
    if !machine::is_root() {
        skip(test, "not root");
        return None;
    }
    Some(Plan::new().under(&["unshare", "-m", "--propagation", "private"]))
}

/// What svcd sees mounted at a place: kind, source and options of each, in their order.
fn mounts_at(svcd: &Svcd, at: &Path) -> Vec<String> {
    let mounts = fs::read_to_string(format!("/proc/{}/mounts", svcd.pid())).expect("read svcd's mounts");
    let words = mounts.lines().map(|line| line.split(' ').collect::<Vec<_>>());
    let there = words.filter(|words| Path::new(words[1]) == at);
    there
        .map(|words| format!("{} {} {}", words[2], words[0], words[3]))
        .collect()
}

/// The same path as svcd's own processes see it.
fn seen(svcd: &Svcd, path: &Path) -> PathBuf {
    PathBuf::from(format!("/proc/{}/root{}", svcd.pid(), path.display()))
}

#[test]
fn a_mount_is_there_for_who_requires_it_and_gone_after() {
    let Some(plan) = plan("a_mount_is_there_for_who_requires_it_and_gone_after") else {
        return;
    };
    let at = plan.dir().join("made/data");
    let user = plain(
        &format!("echo kept > {}/file; exec sleep 1000000", at.display()),
        "[unit]\nrequires = [\"data\"]\n",
    );
    let svcd = plan
        .unit("data", &tmpfs(&at, "\"size=64k\", \"noexec,nodev\""))
        .unit("user", &user)
        .start();
    svcd.ok(&["start", "user"]);
    let mounts = mounts_at(&svcd, &at);
    assert_eq!(mounts.len(), 1, "{mounts:?}");
    assert!(
        mounts[0].starts_with("tmpfs scratch rw,nodev,noexec,relatime,size=64k"),
        "{mounts:?}"
    );
    assert_eq!(svcd.state("data"), "running");
    let file = seen(&svcd, &at).join("file");
    eventually("the service has written to it", || file.exists());
    // Who requires it goes first, so nothing is in the way.
    svcd.ok(&["stop", "data"]);
    assert_eq!(mounts_at(&svcd, &at), [] as [&str; 0]);
    let status = svcd.status("data");
    assert_eq!(
        (status["state"].as_str(), status["result"].as_str()),
        (Some("inactive"), Some("success"))
    );
    assert_ne!(svcd.state("user"), "running");
    svcd.ok(&["start", "data"]);
    svcd.reaches("user", "running");
}

#[test]
fn a_mount_that_fails_says_its_step_and_what_the_kernel_said() {
    let Some(plan) = plan("a_mount_that_fails_says_its_step_and_what_the_kernel_said") else {
        return;
    };
    let at = plan.dir().join("data");
    let device = format!(
        "[mount]\nwhat = \"/dev/svc-no-such\"\nwhere = \"{}\"\ntype = \"ext4\"\n",
        at.display()
    );
    let user = plain("exec sleep 1000000", "[unit]\nrequires = [\"data\"]\n");
    let svcd = plan
        .unit("data", &tmpfs(&at, "\"bogus=1\""))
        .unit("device", &device)
        .unit("user", &user)
        .start();
    let failed = svcd.svc(&["start", "data"]);
    assert_eq!(failed.code, 1, "{}", failed.err);
    assert!(
        failed.err.contains(&format!("spawn mount {}: EINVAL: ", at.display())),
        "{}",
        failed.err
    );
    assert!(failed.err.contains("bogus"), "{}", failed.err);
    let status = svcd.status("data");
    assert_eq!(status["state"], "failed");
    assert_eq!(status["failed-step"], format!("mount {}", at.display()));
    assert_eq!(status["errno"], "EINVAL");
    assert_eq!(svcd.svc(&["start", "user"]).code, 1);
    assert_eq!(svcd.state("user"), "blocked");
    let failed = svcd.svc(&["start", "device"]);
    assert!(failed.err.contains("ENOENT"), "{}", failed.err);
    assert_eq!(mounts_at(&svcd, &at), [] as [&str; 0]);
    // Mended, it comes up, and with it who waits for it.
    svcd.write("data", &tmpfs(&at, ""));
    eventually("the new definition is there", || svcd.svc(&["start", "data"]).code == 0);
    svcd.reaches("user", "running");
}

#[test]
fn a_mount_in_use_stays_and_its_stop_says_who_uses_it() {
    let Some(plan) = plan("a_mount_in_use_stays_and_its_stop_says_who_uses_it") else {
        return;
    };
    let (at, gone) = (plan.dir().join("data"), plan.dir().join("gone"));
    // It asks nothing of the mount, so no order keeps it off.
    let script = format!("{}; cd {}; exec sleep 1000000", until_there(&gone), at.display());
    let svcd = plan
        .unit("data", &tmpfs(&at, ""))
        .unit("squatter", &plain(&script, ""))
        .start();
    svcd.ok(&["start", "squatter"]);
    svcd.ok(&["start", "data"]);
    fs::write(&gone, "").unwrap();
    let squatter = svcd.main_pid("squatter");
    let cwd = format!("/proc/{squatter}/cwd");
    eventually("it sits there", || fs::read_link(&cwd).is_ok_and(|cwd| cwd == at));
    let refused = svcd.svc(&["stop", "data"]);
    assert_eq!(refused.code, 1, "{}", refused.err);
    let why = format!("unmount {}: EBUSY: held by sleep ({squatter})", at.display());
    assert!(refused.err.contains(&why), "{}", refused.err);
    let status = svcd.status("data");
    assert_eq!(status["state"], "running");
    assert!(svcd.ok(&["history", "data"]).contains(&why));
    assert_eq!(mounts_at(&svcd, &at).len(), 1);
    let refused = svcd.svc(&["restart", "data"]);
    assert_eq!(refused.code, 1, "{}", refused.err);
    svcd.ok(&["stop", "squatter"]);
    svcd.ok(&["stop", "data"]);
    assert_eq!(mounts_at(&svcd, &at), [] as [&str; 0]);
}

/// The end of a supervisor does not wait for a mount that another program uses.
#[test]
fn a_mount_in_use_does_not_hold_up_the_end() {
    let Some(plan) = plan("a_mount_in_use_does_not_hold_up_the_end") else {
        return;
    };
    let at = plan.dir().join("data");
    let svcd = plan.unit("data", &tmpfs(&at, "")).start();
    svcd.ok(&["start", "data"]);
    // Ours, in svcd's namespace through /proc, and not svcd's to kill.
    let held = fs::File::open(seen(&svcd, &at)).expect("open what is mounted");
    let refused = svcd.svc(&["stop", "data"]);
    assert_eq!(refused.code, 1, "{}", refused.err);
    assert!(
        refused.err.contains(&format!("({})", std::process::id())),
        "{}",
        refused.err
    );
    drop(svcd);
    drop(held);
}

#[test]
fn what_is_mounted_already_is_not_mounted_over() {
    let Some(plan) = plan("what_is_mounted_already_is_not_mounted_over") else {
        return;
    };
    let (at, source, seen_at) = (
        plan.dir().join("data"),
        plan.dir().join("source"),
        plan.dir().join("seen"),
    );
    for folder in [&at, &source, &seen_at] {
        fs::create_dir(folder).unwrap();
    }
    fs::write(source.join("file"), "").unwrap();
    let before = format!(
        "mount -t tmpfs -o size=32k scratch {}; mount --bind {} {}; exec \"$@\"",
        at.display(),
        source.display(),
        seen_at.display()
    );
    let bind = format!(
        "[mount]\nwhat = \"{}\"\nwhere = \"{}\"\ntype = \"bind\"\n",
        source.display(),
        seen_at.display()
    );
    let svcd = plan
        .under(&["unshare", "-m", "--propagation", "private", "sh", "-c", &before, "sh"])
        .unit("data", &tmpfs(&at, "\"size=64k\""))
        .unit("bound", &bind)
        .start();
    svcd.ok(&["start", "data", "bound"]);
    let mounts = mounts_at(&svcd, &at);
    assert_eq!(mounts.len(), 1, "{mounts:?}");
    assert!(
        mounts[0].contains("size=64k"),
        "the unit's options are in force: {mounts:?}"
    );
    assert_eq!(mounts_at(&svcd, &seen_at).len(), 1);
    svcd.ok(&["stop", "bound"]);
    assert_eq!(mounts_at(&svcd, &seen_at), [] as [&str; 0]);
    svcd.ok(&["start", "bound"]);
    assert!(seen(&svcd, &seen_at).join("file").exists());
}
