//! A root of a service's own and what is mounted in it: all is looked up by descriptor, so no link leads out.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::harness::{Plan, Svcd, shell};
use super::machine::{bar, is_root, skip};
use super::view::{look, plan_with, said, writes};

/// What the machine has its programs in, to be seen in a root that has none.
pub fn programs() -> String {
    let there = ["bin", "lib", "lib64", "usr"]
        .into_iter()
        .filter(|name| Path::new("/").join(name).is_dir());
    there
        .map(|name| format!("[[mount]]\ntarget = \"/{name}\"\nsource = \"/{name}\"\nread-only = true\n"))
        .collect()
}

/// `[root]` of this directory, with the machine's programs in it.
fn root_at(root: &Path) -> String {
    format!("[root]\npath = \"{}\"\n{}", root.display(), programs())
}

/// A directory below the plan's own.
pub fn folder(plan: &Plan, name: &str) -> PathBuf {
    let folder = plan.dir().join(name);
    fs::create_dir_all(&folder).unwrap();
    folder
}

#[test]
fn a_service_has_what_it_mounts() {
    let prepare = |dir: &Path| {
        let data = dir.join("data").display().to_string();
        format!("mkdir -p {data}/below; mount -t tmpfs below {data}/below; echo deep >{data}/below/file")
    };
    let Some(plan) = plan_with("a_service_has_what_it_mounts", prepare) else {
        return;
    };
    let data = folder(&plan, "data");
    fs::write(data.join("file"), "kept\n").unwrap();
    let at = |name: &str| plan.dir().join("seen").join(name).display().to_string();
    let source = data.display();
    let mounts = format!(
        "[[mount]]\ntarget = \"{}\"\nsource = \"{source}\"\nread-only = true\n\
         [[mount]]\ntarget = \"{}\"\nsource = \"{source}\"\n\
         [[mount]]\ntarget = \"{}\"\nsource = \"{source}/file\"\n\
         [[mount]]\ntarget = \"{}\"\ntype = \"tmpfs\"\noptions = [\"size=64k\", \"noexec\"]\n\
         [isolation]\nprotect-system = \"strict\"\n",
        at("read"),
        at("write"),
        at("one/file"),
        at("scratch"),
    );
    let script = look(&format!(
        "cat {0}/file {0}/below/file {1}; {2}; grep -c ' {3} .*noexec.*size=64k' /proc/self/mounts",
        at("read"),
        at("one/file"),
        writes(&["read", "read/below", "write", "write/below", "scratch"].map(at)),
        at("scratch"),
    ));
    let svcd = plan.unit("web", &shell(&script, &mounts)).start();
    let at = |name: &str| svcd.dir().join("seen").join(name).display().to_string();
    let written = ["write", "write/below", "scratch"].map(|name| format!("writes {}", at(name)));
    let lines = said(&svcd, "web");
    assert_eq!(lines[..3], ["kept", "deep", "kept"]);
    assert_eq!(lines[3..6], written);
    // The pattern's dots fit any option between.
    assert_eq!(lines[6..].len(), 1, "{lines:?}");
    let outside = fs::read_to_string(format!("/proc/{}/mounts", svcd.pid())).unwrap();
    assert!(!outside.contains("/seen/"), "{outside}");
}

#[test]
fn a_directory_is_the_root() {
    if !is_root() {
        return skip("a_directory_is_the_root", "not root");
    }
    let plan = Plan::new();
    let root = folder(&plan, "root");
    fs::create_dir(root.join("etc")).unwrap();
    fs::write(
        root.join("etc/passwd"),
        "web:x:4711:4712:web:/home:/bin/sh\n1000:x:0:0::/:/bin/sh\n",
    )
    .unwrap();
    fs::write(root.join("marker"), "inside\n").unwrap();
    let script = look(&format!(
        "echo $(id -u) $(id -g) $HOME; cat /marker; ls -d {}; ls /proc | grep -c '^[0-9]'; ls /dev | grep -x null; \
         ls -d /sys/kernel; grep -c ' / / ' /proc/self/mountinfo; cat /proc/self/root/marker",
        plan.dir().display()
    ));
    let keys = |user: &str| format!("user = {user}\n{}", root_at(&root));
    // CVE-2016-3697: a number is no name, whatever the passwd file of the root says of one.
    let number = shell(&look("id -u"), &keys("1000"));
    let foreign = format!("{}[restart]\npolicy = \"no\"\n", shell("exit 0", &keys("\"daemon\"")));
    let svcd = plan
        .unit("web", &shell(&script, &keys("\"web\"")))
        .unit("number", &number)
        .unit("foreign", &foreign)
        .start();
    let lines = said(&svcd, "web");
    assert_eq!(lines[..2], ["4711 4712 /home", "inside"]);
    assert!(
        lines.contains(&"null".to_owned()) && lines.contains(&"/sys/kernel".to_owned()),
        "{lines:?}"
    );
    assert_eq!(lines.last().unwrap(), "inside");
    assert!(
        !lines.iter().any(|line| line.contains("svc-test")),
        "the machine's files are out of reach: {lines:?}"
    );
    assert_eq!(said(&svcd, "number"), ["1000"]);
    assert_ne!(
        svcd.svc(&["start", "foreign"]).code,
        0,
        "a user of the machine's is none of the root's"
    );
    assert_eq!(svcd.status("foreign")["failed-step"], "user daemon");
}

/// A unit of a root with this line in the way of a start, and how that ended.
#[track_caller]
fn fails(svcd: &Svcd, unit: &str, step: &str, errno: &str) {
    assert_ne!(svcd.svc(&["start", unit]).code, 0, "{unit}");
    let status = svcd.status(unit);
    assert_eq!(
        (&status["failed-step"], &status["errno"]),
        (&step.into(), &errno.into()),
        "{status:#}"
    );
}

/// CVE-2019-16884, CVE-2019-19921, CVE-2023-27561, CVE-2023-28642, CVE-2026-41579, CVE-2026-47766: where the kernel's
/// files go there is an ordinary directory or no start, and nothing of the machine changes.
#[test]
fn kernel_files_go_to_ordinary_directories() {
    if !is_root() {
        return skip("kernel_files_go_to_ordinary_directories", "not root");
    }
    let plan = Plan::new();
    let marker = folder(&plan, "outside").join("marker");
    fs::write(&marker, "untouched").unwrap();
    let outside = marker.parent().unwrap().to_owned();
    let mut plan = plan;
    for name in ["proc", "dev", "sys"] {
        for (how, to) in [("out", outside.as_path()), ("in", Path::new("/bad"))] {
            let root = folder(&plan, &format!("{name}-{how}"));
            fs::create_dir(root.join("bad")).unwrap();
            symlink(to, root.join(name)).unwrap();
            let once = "[restart]\npolicy = \"no\"\n";
            let unit = shell("exit 0", &format!("{once}{}", root_at(&root)));
            plan = plan.unit(&format!("{name}-{how}"), &unit);
        }
    }
    // Links that nothing is mounted on lead nowhere either.
    let root = folder(&plan, "linked");
    for name in ["run", "etc", "tmp"] {
        symlink("../outside", root.join(name)).unwrap();
    }
    let linked = shell(&look("ls /run/ /etc/ /tmp/; cat /etc/marker"), &root_at(&root));
    let svcd = plan.unit("linked", &linked).start();
    for name in ["proc", "dev", "sys"] {
        for how in ["out", "in"] {
            fails(&svcd, &format!("{name}-{how}"), &format!("mount /{name}"), "ELOOP");
        }
    }
    assert_eq!(said(&svcd, "linked"), [] as [&str; 0]);
    assert_eq!(fs::read_to_string(&marker).unwrap(), "untouched");
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 1, "nothing was made there");
}

/// CVE-2019-16884, CVE-2019-19921: nothing goes over /proc and /sys, nor where a link leads there.
#[test]
fn nothing_is_mounted_on_proc_or_sys() {
    if !is_root() {
        return skip("nothing_is_mounted_on_proc_or_sys", "not root");
    }
    let plan = Plan::new();
    symlink("/proc", plan.dir().join("link")).unwrap();
    symlink("/sys/fs/cgroup", plan.dir().join("groups")).unwrap();
    let unit = |target: &str| {
        let mount = format!("[restart]\npolicy = \"no\"\n[[mount]]\ntarget = \"{target}\"\ntype = \"tmpfs\"\n");
        shell("exit 0", &mount)
    };
    let at = |name: &str| plan.dir().join(name).display().to_string();
    let links = ["link", "link/sys", "link/self/attr", "groups"].map(at);
    let mut plan = links.iter().enumerate().fold(Plan::new(), |plan, (nth, link)| {
        plan.unit(&format!("u{nth}"), &unit(link))
    });
    for (nth, target) in ["/proc", "/proc/sys/kernel", "//sys/", "/srv/../proc"]
        .iter()
        .enumerate()
    {
        plan = plan.unit(&format!("p{nth}"), &unit(target));
    }
    let svcd = plan.start();
    for nth in 0..4 {
        let done = svcd.svc(&["start", &format!("p{nth}")]);
        assert!(
            done.code != 0 && done.err.contains(&format!("p{nth}.toml")),
            "such a unit is not even read: {}",
            done.err
        );
    }
    for (nth, link) in links.iter().enumerate() {
        let unit = format!("u{nth}");
        let done = svcd.svc(&["start", &unit]);
        assert_ne!(done.code, 0, "{unit}");
        let status = svcd.status(&unit);
        assert_eq!(status["failed-step"], format!("mount {link}"), "{status:#}");
    }
}

/// CVE-2019-18837, CVE-2026-41568, CVE-2026-42306: a link in the way of a target stays within the root.
#[test]
fn links_to_mount_targets_stay_within_the_root() {
    if !is_root() {
        return skip("links_to_mount_targets_stay_within_the_root", "not root");
    }
    let plan = Plan::new();
    let outside = folder(&plan, "outside");
    fs::write(outside.join("marker"), "untouched").unwrap();
    let root = folder(&plan, "root");
    symlink(&outside, root.join("absolute")).unwrap();
    symlink("../../../../../../..", root.join("up")).unwrap();
    let up = format!("/up{}", outside.display());
    let mount = |target: &str| format!("[[mount]]\ntarget = \"{target}\"\ntype = \"tmpfs\"\n");
    let mounts = mount("/absolute/made/deep") + &mount(&format!("{up}/two"));
    // The first link leads nowhere within the root, so there is no place to make anything in.
    let dangling = format!(
        "[restart]\npolicy = \"no\"\n{}{}",
        root_at(&root),
        mount("/absolute/made")
    );
    let whole = folder(&plan, "whole");
    symlink("../../../../../../..", whole.join("up")).unwrap();
    let script = look(&format!("grep -c ' {}/two ' /proc/self/mounts", outside.display()));
    let climbs = root_at(&whole) + &mount(&format!("{up}/two"));
    let svcd = plan
        .unit("dangling", &shell("exit 0", &dangling))
        .unit(
            "both",
            &shell(
                "exit 0",
                &format!("[restart]\npolicy = \"no\"\n{}{mounts}", root_at(&root)),
            ),
        )
        .unit("climbs", &shell(&script, &climbs))
        .start();
    assert_ne!(svcd.svc(&["start", "dangling"]).code, 0);
    assert_ne!(svcd.svc(&["start", "both"]).code, 0);
    assert_eq!(
        said(&svcd, "climbs"),
        ["1"],
        "it is mounted at the same path within the root"
    );
    let entries: Vec<_> = fs::read_dir(&outside)
        .unwrap()
        .flatten()
        .map(|entry| entry.file_name())
        .collect();
    assert_eq!(entries, ["marker"], "nothing was made outside");
    assert_eq!(fs::read_to_string(outside.join("marker")).unwrap(), "untouched");
}

/// CVE-2021-30465, CVE-2024-45310: two services share a volume, and what one mounts on and makes there is swapped for a
/// link to the outside, over and over. Nothing is made, mounted or changed outside.
#[test]
fn a_volume_that_changes_under_a_start_leads_nowhere() {
    if !is_root() {
        return skip("a_volume_that_changes_under_a_start_leads_nowhere", "not root");
    }
    let plan = Plan::new();
    let (outside, volume, root) = (folder(&plan, "outside"), folder(&plan, "volume"), folder(&plan, "root"));
    fs::write(outside.join("marker"), "untouched").unwrap();
    fs::create_dir(volume.join("swapped")).unwrap();
    symlink(&outside, volume.join("link")).unwrap();
    let victim = format!(
        "type = \"oneshot\"\n[restart]\npolicy = \"no\"\n{}[[mount]]\ntarget = \"/volume\"\nsource = \"{}\"\n\
         [[mount]]\ntarget = \"/volume/swapped/made/deep\"\ntype = \"tmpfs\"\n",
        root_at(&root),
        volume.display()
    );
    let svcd = plan.unit("victim", &shell("exit 0", &victim)).start();
    let stop = AtomicBool::new(false);
    let (mut starts, mut good) = (0, 0);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let flags = rustix::fs::RenameFlags::EXCHANGE;
            while !stop.load(Ordering::Relaxed) {
                let cwd = rustix::fs::CWD;
                rustix::fs::renameat_with(cwd, volume.join("swapped"), cwd, volume.join("link"), flags).unwrap();
            }
        });
        let end = Instant::now() + Duration::from_secs(6).min(bar(6_000));
        while Instant::now() < end || starts == 0 {
            good += u32::from(svcd.svc(&["start", "victim"]).code == 0);
            starts += 1;
        }
        stop.store(true, Ordering::Relaxed);
    });
    eprintln!("{starts} starts, {good} of them good");
    let entries: Vec<_> = fs::read_dir(&outside)
        .unwrap()
        .flatten()
        .map(|entry| entry.file_name())
        .collect();
    assert_eq!(entries, ["marker"], "nothing was made outside, in {starts} starts");
    assert_eq!(fs::read_to_string(outside.join("marker")).unwrap(), "untouched");
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    assert!(!mounts.contains(&outside.display().to_string()));
}

/// CVE-2024-21626: svcd's own descriptors are open until the program is executed, and no directory is behind them.
#[test]
fn a_working_directory_is_not_one_of_svcds_descriptors() {
    let numbers = (3..64)
        .map(|number| format!("/proc/self/fd/{number}"))
        .collect::<Vec<_>>();
    let unit = |directory: &str, more: &str| {
        let keys = format!("working-directory = \"{directory}\"\n[restart]\npolicy = \"no\"\n{more}");
        shell(&look("pwd"), &keys)
    };
    let plain = "[isolation]\nprofile = \"none\"\n";
    let plan = numbers.iter().enumerate().fold(Plan::new(), |plan, (nth, path)| {
        plan.unit(&format!("u{nth}"), &unit(path, if nth % 2 == 0 { "" } else { plain }))
    });
    let svcd = plan.unit("good", &unit("/usr", "")).start();
    for (nth, path) in numbers.iter().enumerate() {
        let unit = format!("u{nth}");
        assert_ne!(svcd.svc(&["start", &unit]).code, 0, "{path}");
        let status = svcd.status(&unit);
        assert_eq!(status["failed-step"], format!("chdir {path}"), "{status:#}");
    }
    assert_eq!(said(&svcd, "good"), ["/usr"]);
}

/// openat2(2) gives up a walk through a link with `..` where anybody renames or mounts meanwhile: it is walked again.
#[test]
fn a_link_is_walked_again_while_others_rename() {
    if !is_root() {
        return skip("a_link_is_walked_again_while_others_rename", "not root");
    }
    let plan = Plan::new();
    let (busy, root) = (folder(&plan, "busy"), folder(&plan, "root"));
    fs::create_dir(busy.join("one")).unwrap();
    symlink("../elsewhere", root.join("tmp")).unwrap();
    let once = format!("type = \"oneshot\"\n[restart]\npolicy = \"no\"\n{}", root_at(&root));
    let svcd = plan.unit("once", &shell("exit 0", &once)).start();
    let stop = AtomicBool::new(false);
    let done = std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                fs::rename(busy.join("one"), busy.join("other")).unwrap();
                fs::rename(busy.join("other"), busy.join("one")).unwrap();
            }
        });
        let done = (0..20)
            .map(|_| svcd.svc(&["start", "once"]))
            .find(|done| done.code != 0);
        stop.store(true, Ordering::Relaxed);
        done
    });
    assert!(done.is_none(), "{}", done.map(|done| done.err).unwrap_or_default());
}
