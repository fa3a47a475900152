//! Ways out of a user namespace, and into one with ids that it has not: each by the name of where it worked.

use std::fs;

use super::super::harness::{Plan, SLEEPER, Svcd, shell};
use super::super::machine::{eventually, is_root, program, skip, v1};
use super::super::privileges::LOOK;
use super::super::view::{look, said};
use super::{AUTO, can, ids, range};

/// CVE-2024-40635, CVE-2026-46680: a number that its user namespace does not have is no other one.
#[test]
fn numbers_beyond_its_ids_are_refused() {
    if !can("numbers_beyond_its_ids_are_refused") {
        return;
    }
    let unit = |user: &str| shell(LOOK, &format!("user = {user}\n[restart]\npolicy = \"no\"\n{AUTO}"));
    let table = ["65536", "2147483648", "4294967294"];
    let plan = table
        .iter()
        .fold(Plan::new(), |plan, user| plan.unit(&format!("u{user}"), &unit(user)));
    let svcd = plan.unit("last", &unit("65535")).start();
    for user in table {
        let name = format!("u{user}");
        let done = svcd.svc(&["start", &name]);
        assert!(
            done.code != 0 && done.err.contains("its user namespace has no such id"),
            "{user}: {}",
            done.err
        );
        assert!(svcd.status(&name)["main-pid"].is_null(), "{user}");
    }
    svcd.ok(&["start", "last"]);
    assert_eq!(ids(&svcd, "last").0, range(&svcd, "last") + 65_535);
}

/// CVE-2021-43784: no length of what a child is told wraps: an error before anything starts, or all of it, exactly.
#[test]
fn long_maps_and_environments_are_whole_or_refused() {
    let svcd = Svcd::with(&[]);
    let map = |count: u32| {
        let ranges = (0..count).map(|nth| format!("{nth}:{}:1", nth + 1_000_000));
        ranges.collect::<Vec<_>>().join(",")
    };
    for (count, why) in [
        (100_000, "longer than 1 MiB"),
        (50_000, "340 ranges"),
        (341, "340 ranges"),
    ] {
        svcd.write("web", &format!("{SLEEPER}[isolation]\nuser = \"{}\"\n", map(count)));
        let file = svcd.dir().join("units/web.toml").display().to_string();
        let checked = svcd.svc(&["check", &file]);
        assert!(
            checked.code == 1 && checked.out.contains(why),
            "{count}: {}",
            checked.out.len()
        );
        assert_ne!(svcd.svc(&["start", "web"]).code, 0, "{count}");
    }
    if !is_root() {
        return skip("long_maps_and_environments_are_whole_or_refused", "the rest needs root");
    }
    // One variable is as long as the kernel takes it, or the start says why not.
    let value = |length: usize| "x".repeat(length);
    let names: Vec<String> = (0..9).map(|nth| format!("V{nth} = \"{}\"", value(100_000))).collect();
    let keys = |variables: &str| format!("environment = {{ {variables} }}\n[restart]\npolicy = \"no\"\n{AUTO}");
    svcd.write("many", &shell(&look("env | grep ^V | wc -c"), &keys(&names.join(", "))));
    svcd.write("long", &shell("exit 0", &keys(&format!("V = \"{}\"", value(200_000)))));
    eventually("the units are read", || !svcd.status("many").is_null());
    let expected = 9 * ("V0=\n".len() + 100_000);
    assert_eq!(said(&svcd, "many"), [expected.to_string()]);
    let done = svcd.svc(&["start", "long"]);
    assert_ne!(done.code, 0, "a variable is longer than execve(2) takes");
}

/// CVE-2022-0492: who is root in a namespace of its own sets no program for the machine's root to run.
#[test]
fn release_agents_are_out_of_reach() {
    let test = "release_agents_are_out_of_reach";
    if !can(test) {
        return;
    }
    if v1("pids").is_none() || program("unshare").is_none() {
        return skip(test, "no cgroup v1 here, or no unshare(1)");
    }
    // What is written is what was there, so the machine is as it was.
    let probe = "for f in $(find /sys/fs/cgroup /tmp/group -name release_agent); do a=$(cat $f); echo \"$a\" >$f && echo writes; done";
    let mounts = "mkdir -p /tmp/group; for c in $(cut -d: -f2 /proc/self/cgroup); do mount -t cgroup -o $c none /tmp/group || continue; \
                  echo mounted; break; done";
    let plan = Plan::new();
    let (outer, inner) = (plan.dir().join("outer.sh"), plan.dir().join("inner.sh"));
    fs::write(&inner, format!("{mounts}; {probe}\n")).unwrap();
    let nested = format!("echo nested; unshare -UrCm sh {}", inner.display());
    fs::write(&outer, format!("{probe}; {mounts}; {probe}; {nested}\n")).unwrap();
    let run = look(&format!("sh {}", outer.display()));
    let open = "seccomp = \"none\"\nrestrict-namespaces = false\ncapabilities = [\"all\"]\nno-new-privileges = false\n";
    let naive = "[isolation]\nprofile = \"none\"\nprivate-tmp = true\nmount = true\n";
    let svcd = plan
        .unit("naive", &shell(&run, naive))
        .unit("standard", &shell(&run, "[isolation]\nrestrict-namespaces = false\n"))
        .unit("users", &shell(&run, &format!("{AUTO}{open}")))
        .start();
    assert!(
        said(&svcd, "naive").contains(&"writes".to_owned()),
        "the probe tells nothing"
    );
    for unit in ["standard", "users"] {
        let lines = said(&svcd, unit);
        assert!(!lines.contains(&"writes".to_owned()), "{unit}: {lines:?}");
        assert!(lines.contains(&"nested".to_owned()), "{unit}: {lines:?}");
    }
}
