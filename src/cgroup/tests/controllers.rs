//! Each controller with its keys, on the kernel that this is: what is set is read back by others.

use cgroups_rs::fs::MaxValue;
use cgroups_rs::fs::blkio::BlkIoController;
use cgroups_rs::fs::cpuset::CpuSetController;
use cgroups_rs::fs::hugetlb::HugeTlbController;
use cgroups_rs::fs::memory::MemController;

use super::*;
use crate::unit::resources::{ClassId, IoMax};
use crate::unit::value::NumberList;

/// Limits that this kernel has no controller for are skipped: the guests have what the machine has not.
fn has(t: &TestTree, controller: &str) -> bool {
    t.tree.backend(controller).is_ok()
}

pub fn file(t: &TestTree, controller: &str, group: &Group, on_v2: &str, on_v1: &str) -> String {
    let name = if t.is_v2(controller) { on_v2 } else { on_v1 };
    std::fs::read_to_string(t.path(controller, group).join(name))
        .unwrap()
        .trim_end()
        .to_owned()
}

/// How many programs that stand in for a controller are attached to a group.
fn attached(t: &TestTree, controller: &str, group: &Group) -> usize {
    let kind = if controller == "devices" {
        crate::sys::bpf::Kind::Device
    } else {
        crate::sys::bpf::Kind::Egress
    };
    let dir = std::fs::File::open(t.path(controller, group)).unwrap();
    crate::sys::bpf::attached(kind, dir).unwrap().len()
}

fn numbers(text: &str) -> Option<NumberList> {
    NumberList::parse(text).ok()
}

#[test]
fn cpusets() {
    on_each(|t| {
        if !has(t, "cpuset") {
            return;
        }
        let limits = Resources {
            cpuset_cpus: numbers("0"),
            cpuset_mems: numbers("0"),
            ..unlimited()
        };
        let mut group = t.make("set", &limits).unwrap();
        let path = t.path("cpuset", &group);
        let reader = CpuSetController::new(path.clone(), path, t.is_v2("cpuset"));
        assert_eq!(
            (reader.cpuset().cpus, reader.cpuset().mems),
            (vec![(0, 0)], vec![(0, 0)])
        );
        let mut process = shell(&group, c"grep -q 'Cpus_allowed_list:.0$' /proc/self/status");
        assert_eq!(process.wait(), 0, "it runs there");

        // Lifted, it has what the group above has.
        assert!(group.apply(&t.tree, &unlimited()).unwrap().is_none());
        let all = std::fs::read_to_string("/sys/devices/system/cpu/online").unwrap();
        assert_eq!(
            file(t, "cpuset", &group, "cpuset.cpus.effective", "cpuset.cpus"),
            all.trim_end()
        );
        assert!(group.enforcement().is_empty());

        // A CPU that is not there.
        let none = Resources {
            cpuset_cpus: numbers("4000"),
            ..unlimited()
        };
        assert_eq!(&*t.make("none", &none).unwrap_err().key, "cpuset-cpus");
        until("it may be removed", || group.remove().is_ok());
        assert_eq!(t.directories(), 0);
    });
}

#[test]
fn memory_is_protected_on_v2() {
    on_each(|t| {
        let limits = Resources {
            memory_min: Some(Size(4 << 20)),
            memory_low: Some(Size(8 << 20)),
            memory_high: Some(Size(32 << 20)),
            ..unlimited()
        };
        if !t.is_v2("memory") {
            let keys: Vec<_> = t.tree.check(&limits).into_iter().map(|why| why.key).collect();
            assert_eq!(keys, ["memory-min", "memory-low", "memory-high"].map(Into::into));
            return;
        }
        let group = t.make("kept", &limits).unwrap();
        let path = t.path("memory", &group);
        let reader = MemController::new(path.clone(), path, true).get_mem().unwrap();
        assert_eq!(reader.min, Some(MaxValue::Value(4 << 20)));
        assert_eq!(reader.low, Some(MaxValue::Value(8 << 20)));
        assert_eq!(reader.high, Some(MaxValue::Value(32 << 20)));
        group.remove().unwrap();
    });
}

/// The machine's own disk, if there is one that limits can be set for.
fn disk() -> Option<PathBuf> {
    ["/dev/vda", "/dev/nvme0n1", "/dev/loop0"]
        .map(PathBuf::from)
        .into_iter()
        .find(|node| super::block::disk(node).is_ok())
}

#[test]
fn disks_are_limited_by_number() {
    on_each(|t| {
        let (Some(device), true) = (disk(), has(t, "io")) else {
            return;
        };
        let number = super::block::disk(&device).unwrap();
        let limits = |rbps: Option<u64>, wiops: Option<u64>| Resources {
            io_max: vec![IoMax {
                device: device.clone(),
                rbps: rbps.map(Size),
                wbps: None,
                riops: None,
                wiops,
            }],
            ..unlimited()
        };
        let mut group = t.make("disk", &limits(Some(1 << 20), Some(100))).unwrap();
        assert_eq!(group.enforcement(), [("io-max".into(), Enforcement::Enforced)]);
        if t.is_v2("io") {
            let all = format!("{number} rbps=1048576 wbps=max riops=max wiops=100");
            assert_eq!(file(t, "io", &group, "io.max", ""), all);
        } else {
            let path = t.path("io", &group);
            let throttle = BlkIoController::new(path.clone(), path, false).blkio().throttle;
            let [read] = throttle.read_bps_device.as_slice() else {
                panic!("{throttle:?}")
            };
            assert_eq!(
                (format!("{}:{}", read.major, read.minor), read.data),
                (number.clone(), 1 << 20)
            );
            assert_eq!(throttle.write_iops_device[0].data, 100);
            assert!(throttle.write_bps_device.is_empty());
        }
        assert!(group.apply(&t.tree, &limits(Some(2 << 20), None)).unwrap().is_none());
        let now = file(t, "io", &group, "io.max", "blkio.throttle.read_bps_device");
        assert!(
            [
                format!("{number} rbps=2097152 wbps=max riops=max wiops=max"),
                format!("{number} 2097152")
            ]
            .contains(&now),
            "{now}"
        );
        let other = file(t, "io", &group, "io.max", "blkio.throttle.write_iops_device");
        assert!(!other.contains("100"), "{other}");
        assert!(group.apply(&t.tree, &unlimited()).unwrap().is_none());
        assert_eq!(file(t, "io", &group, "io.max", "blkio.throttle.read_bps_device"), "");
        group.remove().unwrap();

        let none = Resources {
            io_max: vec![IoMax {
                device: "/dev/null".into(),
                ..limits(Some(1), None).io_max[0].clone()
            }],
            ..unlimited()
        };
        let why = t.make("none", &none).unwrap_err();
        assert_eq!((&*why.key, &*why.cause), ("io-max", "/dev/null: no block device"));
        assert_eq!(t.directories(), 0);
    });
}

#[test]
fn an_io_weight_is_held_or_refused() {
    on_each(|t| {
        let weight = |weight| Resources {
            io_weight: Some(weight),
            ..unlimited()
        };
        match t.make("weighed", &weight(200)) {
            Err(why) => {
                assert_eq!(&*why.key, "io-weight");
                assert!(!why.cause.is_empty());
            }
            Ok(mut group) => {
                let held = file(t, "io", &group, "io.weight", "blkio.bfq.weight");
                assert!(["default 200", "109"].contains(&held.lines().next().unwrap()), "{held}");
                assert!(group.apply(&t.tree, &unlimited()).unwrap().is_none());
                let held = file(t, "io", &group, "io.weight", "blkio.bfq.weight");
                assert!(["default 100", "100"].contains(&held.lines().next().unwrap()), "{held}");
                group.remove().unwrap();
            }
        }
    });
}

#[test]
fn huge_pages_are_limited_in_whole_ones() {
    on_each(|t| {
        if !has(t, "hugetlb") {
            return;
        }
        let limits = Resources {
            hugetlb_max: [("2MB".into(), Size(5 << 20))].into(),
            ..unlimited()
        };
        let group = t.make("huge", &limits).unwrap();
        let path = t.path("hugetlb", &group);
        let reader = HugeTlbController::new(path.clone(), path, t.is_v2("hugetlb"));
        assert_eq!(reader.limit_in_bytes("2MB").unwrap(), 4 << 20);
        let usage = group.usage();
        assert_eq!(
            (&*usage[0].key, usage[0].limit, usage[0].current),
            ("hugetlb-max.2MB", Some(5 << 20), Some(0))
        );
        group.remove().unwrap();
        let none = Resources {
            hugetlb_max: [("3MB".into(), Size(0))].into(),
            ..unlimited()
        };
        let why = t.make("none", &none).unwrap_err();
        assert_eq!((&*why.key, why.errno), ("hugetlb-max", libc::ENOENT));
        assert!(why.cause.contains("hugetlb.3MB"), "{}", why.cause);
    });
}

/// Devices and resources that this machine does not have are refused by name, whichever of the controllers it has.
#[test]
fn what_is_not_there_cannot_be_limited() {
    on_each(|t| {
        let rdma = Resources {
            rdma_max: [(
                "svc0".into(),
                crate::unit::resources::RdmaMax {
                    hca_handle: Some(1),
                    hca_object: None,
                },
            )]
            .into(),
            ..unlimited()
        };
        let misc = Resources {
            misc_max: [("svc0".into(), 1)].into(),
            ..unlimited()
        };
        for (resources, key) in [(rdma, "rdma-max"), (misc, "misc-max")] {
            let why = t.make("none", &resources).unwrap_err();
            assert_eq!(&*why.key, key);
            assert!(
                why.cause.contains("svc0") || why.cause.contains("controller"),
                "{}",
                why.cause
            );
            let group = t.tree.make(&unit("none"), &[], &resources, &[key.into()]).unwrap();
            assert!(matches!(&group.enforcement()[0], (its, Enforcement::Skipped(_)) if &**its == key));
            group.remove().unwrap();
            assert_eq!(t.directories(), 0);
        }
    });
}

#[test]
fn packets_have_a_class_or_a_priority() {
    on_each(|t| {
        if !has(t, "net_cls") {
            return;
        }
        let class = Resources {
            net_classid: Some(ClassId(0x10_0001)),
            ..unlimited()
        };
        let priority = Resources {
            net_priority: [("lo".into(), 5)].into(),
            ..unlimited()
        };
        for (resources, controller, on_v1) in [
            (&class, "net_cls", "net_cls.classid"),
            (&priority, "net_prio", "net_prio.ifpriomap"),
        ] {
            let mut group = t.make("net", resources).unwrap();
            if t.is_v2(controller) {
                assert_eq!(attached(t, controller, &group), 1);
            } else {
                let held = file(t, controller, &group, "", on_v1);
                assert!(held == "1048577" || held.lines().any(|line| line == "lo 5"), "{held}");
            }
            assert!(group.apply(&t.tree, &unlimited()).unwrap().is_none());
            if t.is_v2(controller) {
                assert_eq!(attached(t, controller, &group), 0);
            } else {
                let held = file(t, controller, &group, "", on_v1);
                assert!(held == "0" || held.lines().any(|line| line == "lo 0"), "{held}");
            }
            group.remove().unwrap();
        }
    });
}

/// `perf stat -G svc/web`: the group is there by this name in the hierarchy that counts events.
/// On v2 both would set the one number that a packet has, and the second undo the first.
#[test]
fn a_class_beside_a_priority_is_refused_on_v2() {
    on_each(|t| {
        if !has(t, "net_cls") || !t.is_v2("net_cls") {
            return;
        }
        let class = Resources {
            net_classid: Some(ClassId(0x10_0001)),
            ..unlimited()
        };
        let priority = Resources {
            net_priority: [("lo".into(), 5)].into(),
            ..unlimited()
        };
        let both = Resources {
            net_priority: priority.net_priority.clone(),
            ..class.clone()
        };
        let why = t.make("net", &both).unwrap_err();
        assert_eq!(
            (&*why.key, &*why.cause),
            ("net-priority", "on cgroup v2 it cannot be had beside net-classid")
        );
        let mut group = t.make("net", &class).unwrap();
        assert_eq!(&*group.apply(&t.tree, &both).unwrap_err().key, "net-priority");
        assert!(
            group.apply(&t.tree, &priority).unwrap().is_none(),
            "one in place of the other"
        );
        assert_eq!(&*group.apply(&t.tree, &both).unwrap_err().key, "net-classid");
        assert_eq!(attached(t, "net_cls", &group), 1);
        group.remove().unwrap();
    });
}

#[test]
fn perf_can_name_the_group() {
    on_each(|t| {
        let group = t.make("counted", &unlimited()).unwrap();
        let mut process = run(&group, &[c"/bin/sleep", c"1000"]);
        let on_v1 = t
            .tree
            .hierarchies
            .iter()
            .find(|h| h.version == Version::V1 && h.has("perf_event"));
        match on_v1 {
            Some(hierarchy) => until("it is there", || {
                let procs = hierarchy.home_path.join(group.path()).join("cgroup.procs");
                std::fs::read_to_string(procs).unwrap() == format!("{}\n", process.pid)
            }),
            None => assert!(t.v1_alone || group.clone_into().is_some()),
        }
        until("it has joined", || group.members().unwrap() == [process.pid]);
        group.kill_all().unwrap();
        process.wait();
        until("it may be removed", || group.remove().is_ok());
    });
}
