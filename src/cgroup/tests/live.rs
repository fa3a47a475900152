//! Limits that change while processes run.

use cgroups_rs::fs::MaxValue;
use cgroups_rs::fs::cpu::CpuController;
use cgroups_rs::fs::memory::MemController;
use cgroups_rs::fs::pid::PidController;

use super::controllers::file;
use super::*;

/// What svc says that it has set, cgroups-rs reads.
#[test]
fn another_reader_sees_the_limits() {
    on_each(|t| {
        let limits = Resources {
            cpu_quota: Some(Percent(20.0)),
            cpu_weight: Some(50),
            memory_max: Some(Size((64 << 20) + 5)),
            pids_max: Some(64),
            ..Resources::default()
        };
        let mut group = t.make("limited", &limits).unwrap();
        let held = |key: &str| (key.into(), Enforcement::Enforced);
        assert_eq!(
            group.enforcement(),
            ["cpu-quota", "cpu-weight", "memory-max", "pids-max"].map(held)
        );

        let pids = t.path("pids", &group);
        let pids = PidController::new(pids.clone(), pids, t.is_v2("pids"));
        assert_eq!(pids.get_pid_max().unwrap(), MaxValue::Value(64));
        let cpu = t.path("cpu", &group);
        let cpu_reader = CpuController::new(cpu.clone(), cpu.clone(), t.is_v2("cpu"));
        if t.is_v2("cpu") {
            assert_eq!(std::fs::read_to_string(cpu.join("cpu.max")).unwrap(), "20000 100000\n");
        } else {
            assert_eq!(cpu_reader.cfs_quota().unwrap(), 20_000);
            assert_eq!(cpu_reader.cfs_period().unwrap(), 100_000);
            assert_eq!(cpu_reader.shares().unwrap(), 512);
        }
        let memory = t.path("memory", &group);
        let memory = MemController::new(memory.clone(), memory, t.is_v2("memory"));
        assert_eq!(memory.memory_stat().limit_in_bytes, 64 << 20);

        // One more, one less, one other; and the old ones where one cannot be.
        let fewer = Resources {
            cpu_weight: None,
            pids_max: Some(10),
            cpu_period: Some(Duration::from_millis(50)),
            ..limits.clone()
        };
        assert!(group.apply(&t.tree, &fewer).unwrap().is_none());
        assert_eq!(pids.get_pid_max().unwrap(), MaxValue::Value(10));
        let seen: Vec<_> = group
            .usage()
            .into_iter()
            .map(|u| (u.key.to_string(), u.limit))
            .collect();
        let expected = [("memory-max", (64 << 20) + 5), ("cpu-quota", 200_000), ("pids-max", 10)];
        for (key, limit) in expected {
            assert!(seen.contains(&(key.to_owned(), Some(limit))), "{key} in {seen:?}");
        }
        if !t.is_v2("cpu") {
            assert_eq!(cpu_reader.shares().unwrap(), 1024);
            assert_eq!(cpu_reader.cfs_period().unwrap(), 50_000);
        }
        let impossible = Resources {
            cpu_quota: Some(Percent(30.0)),
            pids_max: Some(u64::MAX),
            ..fewer
        };
        assert_eq!(&*group.apply(&t.tree, &impossible).unwrap_err().key, "pids-max");
        assert_eq!(pids.get_pid_max().unwrap(), MaxValue::Value(10));
        let quota = group.usage().into_iter().find(|u| *u.key == *"cpu-quota").unwrap();
        assert_eq!(quota.limit, Some(200_000));
        if !t.is_v2("cpu") {
            assert_eq!(cpu_reader.cfs_quota().unwrap(), 10_000, "set back");
        }
        group.remove().unwrap();
    });
}

/// Memory and swap, in each order in which v1 would refuse one before the other.
#[test]
fn memory_and_swap_change_together() {
    on_each(|t| {
        let limits = |memory: u64, swap: Option<u64>| Resources {
            memory_max: Some(Size(memory << 20)),
            memory_swap_max: swap.map(|swap| Size(swap << 20)),
            ..unlimited()
        };
        let seen = |group: &Group| {
            (
                file(t, "memory", group, "memory.max", "memory.limit_in_bytes"),
                file(t, "memory", group, "memory.swap.max", "memory.memsw.limit_in_bytes"),
            )
        };
        let expected = |memory: u64, swap: u64| {
            let second = if t.is_v2("memory") { swap } else { memory + swap };
            ((memory << 20).to_string(), (second << 20).to_string())
        };
        let mut group = match t.make("both", &limits(64, Some(16))) {
            Err(why) if &*why.key == "memory-swap-max" && why.errno == libc::ENOENT => return,
            made => made.unwrap(),
        };
        assert_eq!(seen(&group), expected(64, 16));
        for (memory, swap) in [(128, 16), (32, 0), (32, 64), (256, 0), (16, 512), (300, 1)] {
            assert!(group.apply(&t.tree, &limits(memory, Some(swap))).unwrap().is_none());
            assert_eq!(seen(&group), expected(memory, swap));
        }
        assert!(group.apply(&t.tree, &limits(8, None)).unwrap().is_none());
        assert_eq!(seen(&group).0, (8_u64 << 20).to_string());
        let swap = seen(&group).1;
        assert!(swap == "max" || swap.len() > 15, "{swap}");
        if !t.is_v2("memory") {
            let why = group
                .apply(
                    &t.tree,
                    &Resources {
                        memory_swap_max: Some(Size(1)),
                        ..unlimited()
                    },
                )
                .unwrap_err();
            assert_eq!(&*why.key, "memory-swap-max");
        }
        group.remove().unwrap();
    });
}

/// A limit that comes while the unit runs, of a controller that its processes have not joined (v1), holds for them.
#[test]
fn a_new_limit_reaches_processes_that_run() {
    on_each(|t| {
        let mut group = t.make("late", &unlimited()).unwrap();
        let mut process = shell(&group, c"sleep 1000 & sleep 1000 & wait");
        until("all are there", || group.members().unwrap().len() == 3);
        let limits = Resources {
            memory_max: Some(Size(64 << 20)),
            pids_max: Some(20),
            ..unlimited()
        };
        let joining = group.apply(&t.tree, &limits).unwrap();
        assert_eq!(joining.is_none(), t.is_v2("memory") && t.is_v2("pids"));
        if let Some(joining) = joining {
            joining.run().unwrap();
        }
        let members = group.members().unwrap();
        for controller in ["memory", "pids"] {
            let path = t.path(controller, &group).join("cgroup.procs");
            let mut inside: Vec<i32> = std::fs::read_to_string(path)
                .unwrap()
                .lines()
                .map(|line| line.parse().unwrap())
                .collect();
            inside.sort_unstable();
            assert_eq!(inside, members);
        }
        // Who comes later joins by itself.
        let mut later = shell(&group, c"cat /proc/self/cgroup >/dev/null");
        assert_eq!(later.wait(), 0);
        group.kill_all().unwrap();
        process.wait();
        until("it may be removed", || group.remove().is_ok());
        assert_eq!(t.directories(), 0);
    });
}

/// A limit of a slice that changes holds for who is in it.
#[test]
fn a_slice_changes_with_units_in_it() {
    on_each(|t| {
        let few = Resources {
            pids_max: Some(50),
            ..unlimited()
        };
        let slices = [(unit("apps"), &few)];
        let mut group = t.tree.make(&unit("web"), &slices, &unlimited(), &[]).unwrap();
        let held = || {
            let number = t.tree.backend("pids").unwrap();
            let apps = t.tree.hierarchies[number].home_path.join(&*t.tree.base).join("apps");
            std::fs::read_to_string(apps.join("pids.max")).unwrap()
        };
        assert_eq!(held(), "50\n");
        let fewer = Resources {
            pids_max: Some(30),
            ..unlimited()
        };
        assert!(group.apply_slice(&t.tree, &unit("apps"), &fewer).unwrap().is_none());
        assert_eq!(held(), "30\n");
        assert!(
            group
                .apply_slice(&t.tree, &unit("other"), &unlimited())
                .unwrap()
                .is_none()
        );
        assert_eq!(held(), "30\n");
        assert!(
            group
                .apply_slice(&t.tree, &unit("apps"), &unlimited())
                .unwrap()
                .is_none()
        );
        assert_eq!(held(), "max\n");
        assert!(group.enforcement().is_empty());
        group.remove().unwrap();
    });
}

/// Why svcd sets limits itself, and leaves cgroups-rs to read them back: its setters make the file that is not there,
/// so that where a controller is not mounted the limit counts as set.
#[test]
fn a_limit_that_no_controller_holds_is_refused() {
    let place = tempfile::tempdir().unwrap();
    let (path, file) = (place.path().to_owned(), place.path().join("pids.max"));
    let theirs = PidController::new(path.clone(), path.clone(), false);
    theirs.set_pid_max(MaxValue::Value(7)).unwrap();
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "7", "a plain file");
    std::fs::remove_file(&file).unwrap();
    let ours = dir::Dir::open(&path).unwrap().write_and_read_back("pids.max", "7");
    assert_eq!(ours.unwrap_err().kind(), std::io::ErrorKind::NotFound);
    assert!(!file.exists());
}
