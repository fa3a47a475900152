//! Lists of devices: files on v1, a program on v2, and what processes may then open and make.

use cgroups_rs::fs::devices::{DevicePermissions, DeviceType, DevicesController};

use super::*;
use crate::unit::device::{DeviceRule, Devices};

fn only(devices: &[&str]) -> Resources {
    Resources {
        devices: Devices::Only(devices.iter().map(|text| DeviceRule::parse(text).unwrap()).collect()),
        ..unlimited()
    }
}

/// 0: it could be opened; else what the shell says.
fn opens(group: &Group, script: &CStr) -> bool {
    shell(group, script).wait() == 0
}

#[test]
fn devices_that_are_not_listed_cannot_be_opened() {
    on_each(|t| {
        let mut group = t.make("listed", &only(&["/dev/null rw", "c 1:5 r"])).unwrap();
        assert_eq!(group.enforcement(), [("devices".into(), Enforcement::Enforced)]);
        if !t.is_v2("devices") {
            let path = t.path("devices", &group);
            let allowed = DevicesController::new(path.clone(), path).allowed_devices().unwrap();
            let seen: Vec<_> = allowed.iter().map(|d| (d.major, d.minor, d.access.len())).collect();
            assert_eq!(seen, [(1, 3, 2), (1, 5, 1)]);
            assert_eq!(allowed[0].devtype, DeviceType::Char);
            assert_eq!(allowed[1].access, [DevicePermissions::Read]);
        }
        assert!(opens(&group, c"exec </dev/null >/dev/null"));
        assert!(opens(&group, c"exec 2>/dev/null </dev/zero"));
        assert!(!opens(&group, c"exec 2>/dev/null; : >/dev/zero"), "only to be read");
        assert!(!opens(&group, c"exec 2>/dev/null </dev/full"));
        let node = tempfile::tempdir().unwrap();
        let make =
            |path: &str| std::ffi::CString::new(format!("mknod {}/{path} 2>/dev/null", node.path().display())).unwrap();
        assert!(!opens(&group, &make("zero c 1 5")), "nor made");

        // Live: more, then others.
        let more = only(&["/dev/null rw", "c 1:5 rwm", "c 1:7 r"]);
        assert!(group.apply(&t.tree, &more).unwrap().is_none());
        assert!(opens(&group, &make("zero c 1 5")));
        assert!(opens(&group, c"exec </dev/full"));
        let others = only(&["c 1:* r"]);
        assert!(group.apply(&t.tree, &others).unwrap().is_none());
        assert!(!opens(&group, c": >/dev/null"));
        assert!(opens(&group, c"exec </dev/zero"));
        assert!(group.apply(&t.tree, &unlimited()).unwrap().is_none());
        assert!(opens(&group, c": >/dev/full; exec </dev/zero >/dev/null"));
        until("it may be removed", || group.remove().is_ok());
    });
}

/// The profile's list lets nobody read a disk, and everybody make a node of one: to make it is not to open it.
#[test]
fn the_standard_devices_have_no_disk() {
    on_each(|t| {
        let limits = Resources {
            devices: Devices::Standard(None),
            ..unlimited()
        };
        let group = t.make("standard", &limits).unwrap();
        assert!(opens(&group, c"exec </dev/null </dev/zero </dev/urandom >/dev/null"));
        let node = tempfile::tempdir().unwrap();
        let script = |then: &str| {
            let path = node.path().join("disk");
            std::ffi::CString::new(format!("rm -f {0}; mknod {0} b 7 0 && {then} {0}", path.display())).unwrap()
        };
        assert!(opens(&group, &script("test -b")));
        assert!(!opens(&group, &script("exec 2>/dev/null; head -c 1")));
        until("it may be removed", || group.remove().is_ok());
    });
}

/// What a slice denies, nobody in it can allow; and its list is not written again for each unit.
#[test]
fn devices_of_a_slice_bound_those_in_it() {
    on_each(|t| {
        let slices = [(unit("apps"), &only(&["c 1:3 rwm"]))];
        let make = |name: &str, resources: &Resources| t.tree.make(&unit(name), &slices, resources, &[]).unwrap();
        let first = make("first", &unlimited());
        let second = make("second", &unlimited());
        for group in [&first, &second] {
            assert!(opens(group, c"exec </dev/null"));
            assert!(!opens(group, c"exec 2>/dev/null </dev/zero"));
        }
        for group in [first, second] {
            until("it may be removed", || group.remove().is_ok());
        }
        assert_eq!(t.directories(), 0);
    });
}
