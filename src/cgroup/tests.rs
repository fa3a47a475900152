//! Groups on the machine's own hierarchies: with v2 beside v1 where there is a v2 tree, and on v1 alone. As root.
#![expect(
    clippy::disallowed_methods,
    reason = "a test that waits for a condition gives up after a while"
)]

use std::ffi::CStr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use super::*;
use crate::sys::testing::{Process, is_root, spawn, within};
use crate::unit::{Enforcement, OomPolicy, Percent, Signal, Size};

mod begun;
mod controllers;
mod devices;
mod live;

/// A tree of a test's own, all of which is killed and removed when the test ends.
struct TestTree {
    tree: Tree,
    v1_alone: bool,
}

impl TestTree {
    fn new(v1_alone: bool) -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let nth = COUNT.fetch_add(1, Ordering::Relaxed);
        let base = format!("svc-test-{}-{nth}", std::process::id());
        let tree = Self::on(&base, v1_alone);
        assert_eq!(tree.unavailable(), None);
        Self { tree, v1_alone }
    }

    fn on(base: &str, v1_alone: bool) -> Tree {
        let read = |path: &str| std::fs::read(path).unwrap();
        let mut mounted = layout::mounts(&read("/proc/self/mountinfo"), &read("/proc/self/cgroup"));
        if v1_alone {
            mounted.retain(|m| m.version == Version::V1);
        }
        Tree::on(base, &mounted, layout::known(&read("/proc/cgroups")))
    }

    fn make(&self, name: &str, resources: &Resources) -> Result<Group, Unenforceable> {
        self.tree.make(&unit(name), &[], resources, &[])
    }

    /// The directory of a group in the hierarchy of a controller.
    fn path(&self, controller: &str, group: &Group) -> PathBuf {
        let number = self.tree.backend(controller).unwrap();
        self.tree.hierarchies[number].home_path.join(group.path())
    }

    fn is_v2(&self, controller: &str) -> bool {
        self.tree.hierarchies[self.tree.backend(controller).unwrap()].version == Version::V2
    }

    /// All directories under the base, in every hierarchy.
    fn directories(&self) -> usize {
        let mut count = 0;
        for hierarchy in &self.tree.hierarchies {
            if let Some(base) = hierarchy.base_if_there().unwrap() {
                base.walk(|_| {
                    count += 1;
                    Ok(())
                })
                .unwrap();
                count -= 1;
            }
        }
        count
    }
}

impl Drop for TestTree {
    fn drop(&mut self) {
        for group in self.tree.strangers(&BTreeSet::new()) {
            let _ = group.kill_all();
            until("leftovers are gone", || group.remove().is_ok());
        }
        self.tree.remove_base();
    }
}

/// Runs a test on each kind of layout that this machine has.
fn on_each(test: impl Fn(&TestTree)) {
    if !is_root() {
        return;
    }
    let machine = TestTree::new(false);
    test(&machine);
    if machine
        .tree
        .hierarchies
        .iter()
        .any(|h| h.version == Version::V1 && h.has("freezer"))
    {
        test(&TestTree::new(true));
    }
}

fn unit(name: &str) -> UnitName {
    UnitName::new(name).unwrap()
}

fn unlimited() -> Resources {
    Resources {
        oom_policy: OomPolicy::Continue,
        ..Resources::default()
    }
}

fn run(group: &Group, argv: &[&CStr]) -> Process {
    spawn(argv, group.clone_into(), group.join_files(), None)
}

fn shell(group: &Group, script: &CStr) -> Process {
    run(group, &[c"/bin/sh", c"-c", script])
}

fn until(what: &str, mut done: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !done() {
        assert!(begin.elapsed() < within(20_000), "waited in vain until {what}");
        std::thread::yield_now();
    }
}

#[test]
fn a_process_is_in_its_group_and_the_group_goes_when_it_has_gone() {
    on_each(|t| {
        let group = t.make("web@1", &unlimited()).unwrap();
        assert!(group.path().ends_with("/web@1"), "{}", group.path());
        let v2 = t.tree.hierarchies.iter().any(|h| h.version == Version::V2);
        assert_eq!(group.clone_into().is_some(), v2);
        assert!(!group.populated().unwrap());
        let mut process = run(&group, &[c"/bin/sleep", c"1000"]);
        until("it has joined", || group.members().unwrap() == [process.pid]);
        assert!(group.populated().unwrap());
        // RELIABILITY b 31: busy is said, not waited for.
        let begin = Instant::now();
        assert_eq!(group.remove().unwrap_err().raw_os_error(), Some(libc::EBUSY));
        assert!(begin.elapsed() < within(100));
        group.signal_all(Signal::TERM, &[process.pid]).unwrap();
        group.signal_all(Signal(64), &[]).unwrap();
        assert_eq!(
            process.wait(),
            128 + 64,
            "the excepted one was spared, and real-time signals arrive"
        );
        until("it may be removed", || group.remove().is_ok());
        assert_eq!(t.directories(), 0);
        assert!(group.members().unwrap().is_empty(), "gone is empty");
        group.remove().unwrap();
    });
}

#[test]
fn pids_max_refuses_forks() {
    on_each(|t| {
        let limits = Resources {
            pids_max: Some(3),
            ..unlimited()
        };
        let group = t.make("few", &limits).unwrap();
        let mut process = shell(
            &group,
            c"exec 2>/dev/null; sleep 1000 & sleep 1000 & sleep 1000 & sleep 1000 & wait",
        );
        assert_eq!(process.wait(), 2, "the shell's own status for a fork that was refused");
        let usage = group.usage();
        assert_eq!(
            (&*usage[0].key, usage[0].limit, usage[0].peak),
            ("pids-max", Some(3), Some(3))
        );
        group.kill_all().unwrap();
        until("it may be removed", || group.remove().is_ok());
    });
}

/// RELIABILITY b 27: also when it is a grandchild that dies.
#[test]
fn oom_is_counted() {
    on_each(|t| {
        let limits = Resources {
            memory_max: Some(Size(16 << 20)),
            ..unlimited()
        };
        let group = t.make("hungry", &limits).unwrap();
        assert_eq!(group.oom_kills(), 0);
        let mut process = shell(
            &group,
            c"exec 2>/dev/null; sh -c 'dd if=/dev/zero of=/dev/null bs=64M count=1; true'; true",
        );
        assert_eq!(process.wait(), 0, "the shells above the one that was killed go on");
        assert_eq!(group.oom_kills(), 1);
        assert_eq!(group.memory_limit(), Some(16 << 20));
        assert!(group.memory_peak().unwrap() > 15 << 20);
        group.kill_all().unwrap();
        until("it may be removed", || group.remove().is_ok());
    });
}

#[test]
fn cpu_time_is_counted_and_the_quota_is_felt() {
    on_each(|t| {
        let limits = Resources {
            cpu_quota: Some(Percent(20.0)),
            ..unlimited()
        };
        let group = t.make("busy", &limits).unwrap();
        let _process = shell(&group, c"while :; do :; done");
        until("it was throttled", || {
            let usage = group.usage();
            usage[0]
                .throttled
                .is_some_and(|t| t.count > 0 && t.time > Duration::ZERO && t.periods >= t.count)
        });
        until("it has used time", || {
            group.cpu_time().is_some_and(|time| time > Duration::from_millis(15))
        });
        group.kill_all().unwrap();
        until("it may be removed", || group.remove().is_ok());
    });
}

/// RELIABILITY b 24 and 34: empty in 2 s, and not frozen.
#[test]
fn a_fork_bomb_is_killed() {
    on_each(|t| {
        let limits = Resources {
            pids_max: Some(512),
            ..unlimited()
        };
        let group = t.make("bomb", &limits).unwrap();
        let mut process = run(&group, &[c"/usr/bin/perl", c"-e", c"fork while 1"]);
        until("it has grown", || group.members().unwrap().len() == 512);
        let begin = Instant::now();
        group.kill_all().unwrap();
        process.wait();
        until("nobody is left", || {
            // Those that the freezer was too late for, as the supervisor does it.
            if t.v1_alone && group.populated().unwrap() {
                group.kill_all().unwrap();
            }
            !group.populated().unwrap()
        });
        assert!(begin.elapsed() < within(2000), "{:?}", begin.elapsed());
        until("it may be removed", || group.remove().is_ok());
    });
}

/// RELIABILITY b 32.
#[test]
fn a_group_of_a_former_life_is_refused_by_name() {
    on_each(|t| {
        let group = t.make("old", &unlimited()).unwrap();
        let process = run(&group, &[c"/bin/sleep", c"1000"]);
        until("it has joined", || !group.members().unwrap().is_empty());
        let why = t.make("old", &unlimited()).unwrap_err();
        assert_eq!((&*why.key, why.errno), (&*group.step(), libc::EEXIST));
        assert!(why.cause.contains(&format!("such as {}", process.pid)), "{}", why.cause);
        assert!(group.populated().unwrap(), "it was left alone");

        // A new svcd finds it, with whatever it has made below.
        let (version, dir) = group.membership().unwrap();
        dir.make(c"below").unwrap();
        let leftovers = t.tree.strangers(&BTreeSet::new());
        assert_eq!(leftovers.iter().map(Group::path).collect::<Vec<_>>(), [group.path()]);
        assert_eq!(leftovers[0].members().unwrap(), [process.pid]);
        leftovers[0].kill_all().unwrap();
        drop(process);
        until("it may be removed", || leftovers[0].remove().is_ok());
        assert_eq!(t.directories(), 0);

        // Frozen: refused too. With nobody in it: made anew.
        let group = t.make("old", &unlimited()).unwrap();
        let (_, dir) = group.membership().unwrap();
        let (file, frozen, thawed) = match version {
            Version::V1 => ("freezer.state", "FROZEN", "THAWED"),
            Version::V2 => ("cgroup.freeze", "1", "0"),
        };
        dir.write(file, frozen).unwrap();
        let why = t.make("old", &unlimited()).unwrap_err();
        assert!(why.cause.contains("frozen"), "{}", why.cause);
        dir.write(file, thawed).unwrap();
        t.make("old", &unlimited()).unwrap().remove().unwrap();
    });
}

#[test]
fn frozen_processes_are_killed_and_thawed() {
    on_each(|t| {
        let group = t.make("cold", &unlimited()).unwrap();
        let mut process = run(&group, &[c"/bin/sleep", c"1000"]);
        until("it has joined", || !group.members().unwrap().is_empty());
        let (version, dir) = group.membership().unwrap();
        match version {
            Version::V1 => dir.write("freezer.state", "FROZEN").unwrap(),
            Version::V2 => dir.write("cgroup.freeze", "1").unwrap(),
        }
        group.kill_all().unwrap();
        assert_eq!(process.wait(), 128 + 9);
        if version == Version::V1 {
            assert_eq!(dir.read("freezer.state").unwrap(), "THAWED\n");
        }
        until("it may be removed", || group.remove().is_ok());
    });
}

#[test]
fn slices_hold_together_what_is_in_them() {
    on_each(|t| {
        let outer = Resources {
            pids_max: Some(100),
            ..unlimited()
        };
        let inner = Resources {
            memory_max: Some(Size(32 << 20)),
            ..unlimited()
        };
        let slices = [(unit("apps"), &outer), (unit("pids.max"), &inner)];
        let web = t.tree.make(&unit("web"), &slices, &unlimited(), &[]).unwrap();
        let db = t.tree.make(&unit("tasks"), &slices, &unlimited(), &[]).unwrap();
        assert!(web.path().ends_with("/apps/_pids.max/web"), "{}", web.path());
        assert!(db.path().ends_with("/apps/_pids.max/_tasks"), "{}", db.path());
        assert!(web.enforcement().is_empty());
        let apps = |controller: &str, below: &str| {
            let number = t.tree.backend(controller).unwrap();
            t.tree.hierarchies[number].home_path.join(&*t.tree.base).join(below)
        };
        let held = |path: PathBuf| std::fs::read_to_string(path).unwrap();
        assert_eq!(held(apps("pids", "apps").join("pids.max")), "100\n");
        let file = if t.is_v2("memory") {
            "memory.max"
        } else {
            "memory.limit_in_bytes"
        };
        assert_eq!(held(apps("memory", "apps/_pids.max").join(file)), "33554432\n");
        let mut process = run(&web, &[c"/bin/sleep", c"1000"]);
        for controller in ["pids", "memory"].into_iter().filter(|c| !t.is_v2(c)) {
            let line = format!(":{controller}:/");
            until("it has joined", || {
                let joined = std::fs::read_to_string(format!("/proc/{}/cgroup", process.pid)).unwrap();
                joined.lines().any(|l| l.contains(&line) && l.ends_with(web.path()))
            });
        }
        web.kill_all().unwrap();
        process.wait();
        until("it may be removed", || web.remove().is_ok());
        assert_ne!(t.directories(), 0, "a slice stays while somebody is in it");
        db.remove().unwrap();
        assert_eq!(t.directories(), 0);
    });
}

/// RELIABILITY b 33: what no controller can hold is refused by name, or skipped by name; without limits all is well.
#[test]
fn what_cannot_be_held_is_refused() {
    on_each(|t| {
        if !t.is_v2("memory") {
            let high = Resources {
                memory_high: Some(Size(1 << 20)),
                memory_max: Some(Size(2 << 20)),
                ..unlimited()
            };
            let why = t.make("high", &high).unwrap_err();
            assert_eq!(&*why.key, "memory-high");
            assert_eq!(t.tree.check(&high), [why]);
            assert_eq!(t.directories(), 0, "nothing is left of it");
            let group = t.tree.make(&unit("high"), &[], &high, &["memory-high".into()]).unwrap();
            assert!(matches!(&group.enforcement()[0], (key, Enforcement::Skipped(_)) if &**key == "memory-high"));
            assert_eq!(group.enforcement()[1], ("memory-max".into(), Enforcement::Enforced));
            group.remove().unwrap();
        }
        // What the kernel itself refuses.
        let many = Resources {
            pids_max: Some(u64::MAX),
            ..unlimited()
        };
        let why = t.make("many", &many).unwrap_err();
        assert_eq!((&*why.key, why.errno), ("pids-max", libc::ERANGE));
        assert_eq!(t.directories(), 0, "nothing is left of it");
    });
}

#[test]
fn without_any_hierarchy_units_run_and_limits_are_refused() {
    let known = vec![Known {
        name: "memory".into(),
        enabled: false,
    }];
    let tree = Tree::on("svc", &[], known);
    assert_eq!(tree.unavailable(), Some("no cgroup file system is mounted"));
    let group = tree.make(&unit("web"), &[], &Resources::default(), &[]).unwrap();
    assert!(group.clone_into().is_none() && group.join_files().is_empty());
    assert_eq!(group.members().unwrap_err().kind(), std::io::ErrorKind::Unsupported);
    assert_eq!(group.kill_all().unwrap_err().kind(), std::io::ErrorKind::Unsupported);
    group.remove().unwrap();
    for (resources, cause) in [
        (
            Resources {
                pids_max: Some(1),
                ..unlimited()
            },
            "this kernel has no pids controller",
        ),
        (
            Resources {
                memory_max: Some(Size(1)),
                ..unlimited()
            },
            "cgroup_disable",
        ),
    ] {
        let why = tree.make(&unit("web"), &[], &resources, &[]).unwrap_err();
        assert!(why.cause.contains(cause), "{}", why.cause);
        assert_eq!(tree.check(&resources), [why]);
    }
    for base in ["", "/", "a/../b", ".", "a\0b"] {
        assert!(
            Tree::on(base, &[], vec![]).unavailable().unwrap().contains("no name"),
            "{base:?}"
        );
    }
}

/// A directory that is not writable, or is no cgroup file system any more.
#[test]
fn closed_hierarchies_are_named() {
    let nothing = tempfile::tempdir().unwrap();
    let mounted = |at: &Path| Mounted {
        version: Version::V1,
        controllers: vec!["pids".into()],
        at: at.to_owned(),
        own: Some(PathBuf::new()),
    };
    for (at, cause) in [
        (nothing.path(), "no cgroup file system"),
        (Path::new("/nowhere"), "os error 2"),
    ] {
        let tree = Tree::on("svc", &[mounted(at)], vec![]);
        assert!(tree.unavailable().unwrap().contains(cause), "{:?}", tree.unavailable());
        let limits = Resources {
            pids_max: Some(1),
            ..unlimited()
        };
        let why = tree.make(&unit("web"), &[], &limits, &[]).unwrap_err();
        assert_eq!(&*why.key, "pids-max");
        assert!(why.cause.contains(cause), "{}", why.cause);
    }
}

/// A part of RELIABILITY b 31.
#[test]
fn a_thousand_groups_leave_nothing() {
    on_each(|t| {
        let limits = Resources {
            memory_max: Some(Size(64 << 20)),
            pids_max: Some(64),
            ..unlimited()
        };
        let slice = [(unit("apps"), &unlimited())];
        let descriptors = || std::fs::read_dir("/proc/self/fd").unwrap().count();
        let before = descriptors();
        for n in 0..1000 {
            let resources = if n % 10 == 0 { &limits } else { &unlimited() };
            t.tree
                .make(&unit(&format!("u{n}")), &slice, resources, &[])
                .unwrap()
                .remove()
                .unwrap();
        }
        assert_eq!(t.directories(), 0);
        // Other tests open some of theirs meanwhile, but not a thousand.
        assert!(descriptors() < before + 500);
    });
}

/// RELIABILITY b 48, in small: what a service nests is removed with no recursion.
#[test]
fn nested_groups_are_removed_from_below() {
    on_each(|t| {
        let group = t.make("deep", &unlimited()).unwrap();
        let (_, top) = group.membership().unwrap();
        let mut dir = top.sub(c".").unwrap();
        for _ in 0..200 {
            dir.make(c"beside").unwrap();
            dir = dir.make_and_open(c"below").unwrap();
        }
        assert!(group.members().unwrap().is_empty());
        group.remove().unwrap();
        assert_eq!(t.directories(), 0);
    });
}
