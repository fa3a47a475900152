//! `user` of `[isolation]`: ids of a service's own, seen from within and from without.

use std::fs;
use std::os::unix::fs::{MetadataExt, chown};
use std::path::Path;

use super::harness::{Plan, Svcd, shell};
use super::machine::{eventually, is_root, namespace, skip};
use super::privileges::LOOK;
use super::view::{look, said};

mod attacks;
mod roots;

const AUTO: &str = "[isolation]\nuser = \"auto\"\n";
const COUNT: u32 = 65_536;

/// Whether a test can run here; if not, that was said.
fn can(test: &str) -> bool {
    let can = is_root() && Path::new("/proc/self/ns/user").exists();
    if !can {
        skip(test, "no user namespaces in this kernel, or not root");
    }
    can
}

/// Real uid and gid of a unit's main process, as the machine has them.
fn ids(svcd: &Svcd, unit: &str) -> (u32, u32) {
    let status = fs::read_to_string(format!("/proc/{}/status", svcd.main_pid(unit))).unwrap();
    let id = |name: &str| {
        let line = status.lines().find(|line| line.starts_with(name)).unwrap();
        let all: Vec<u32> = line.split_whitespace().skip(1).map(|id| id.parse().unwrap()).collect();
        assert!(all.iter().all(|id| *id == all[0]), "{line}");
        all[0]
    };
    (id("Uid:"), id("Gid:"))
}

/// Which ids of the machine a unit's are, by a file of /proc/PID: inside, outside, count.
fn map(svcd: &Svcd, unit: &str, file: &str) -> Vec<Vec<u32>> {
    let text = fs::read_to_string(format!("/proc/{}/{file}", svcd.main_pid(unit))).unwrap();
    let numbers = |line: &str| line.split_whitespace().map(|word| word.parse().unwrap()).collect();
    text.lines().map(numbers).collect()
}

/// The first id of a unit's range, which is all that there is.
fn range(svcd: &Svcd, unit: &str) -> u32 {
    let [uids, gids] = ["uid_map", "gid_map"].map(|file| map(svcd, unit, file));
    assert_eq!(uids, gids, "{unit}");
    let [line] = uids.as_slice() else {
        panic!("{unit}: {uids:?}")
    };
    assert_eq!((line[0], line[2]), (0, COUNT), "{unit}");
    line[1]
}

#[test]
fn each_unit_has_ids_of_its_own_for_good() {
    if !can("each_unit_has_ids_of_its_own_for_good") {
        return;
    }
    let script = look("echo $(id -u) $(id -g) $(id -G); stat -c '%u %g' /tmp; cat /proc/1/comm");
    let bare = format!("{AUTO}init = false\n");
    let alone = "[isolation]\nprofile = \"none\"\nuser = \"auto\"\n";
    let mut svcd = Svcd::with(&[
        ("root", &shell(&script, AUTO)),
        (
            "web",
            &shell(
                &script,
                &format!("user = \"nobody\"\nsupplementary-groups = [4]\n{AUTO}"),
            ),
        ),
        ("bare", &shell(&script, &bare)),
        ("alone", &shell(&look("id -u"), alone)),
    ]);
    assert_eq!(said(&svcd, "root"), ["0 0 0", "0 0", "svc-reaper"]);
    let lines = said(&svcd, "web");
    let mut groups: Vec<&str> = lines[0].split(' ').collect();
    groups.sort_unstable();
    groups.dedup();
    assert_eq!((groups, &*lines[1]), (vec!["4", "65534"], "0 0"));
    assert_eq!(said(&svcd, "bare"), ["0 0 0", "0 0", "sh"]);
    assert_eq!(said(&svcd, "alone"), ["0"]);
    let units = ["root", "web", "bare", "alone"];
    let ranges = units.map(|unit| range(&svcd, unit));
    for (nth, unit) in units.iter().enumerate() {
        assert!(!ranges[..nth].contains(&ranges[nth]), "{ranges:?}");
        let id = ranges[nth] + if *unit == "web" { 65_534 } else { 0 };
        assert_eq!(ids(&svcd, unit), (id, id), "{unit}");
        let own = namespace(svcd.main_pid(unit), "user");
        assert_ne!(own, namespace(svcd.pid(), "user"), "{unit}");
        assert_eq!(svcd.status(unit)["isolation"]["user"], "enforced", "{unit}");
        let shown = svcd.json(&["ps", unit]);
        let main = shown
            .as_array()
            .unwrap()
            .iter()
            .find(|process| process["main"] == true)
            .unwrap();
        assert_eq!(format!("user:[{}]", main["namespaces"]["user"]), own, "{unit}");
    }
    let record = svcd.dir().join("state/user-ranges");
    let recorded = || fs::read_to_string(&record).unwrap();
    assert!(recorded().contains(&format!("{} web\n", ranges[1])), "{}", recorded());
    // They are there after a restart of the unit, an exec of svcd, and another svcd.
    svcd.ok(&["restart", "root"]);
    assert_eq!(range(&svcd, "root"), ranges[0]);
    svcd.ok(&["reexec"]);
    svcd.ok(&["restart", "root"]);
    assert_eq!(range(&svcd, "root"), ranges[0]);
    svcd.ok(&["stop", "root", "web", "bare", "alone"]);
    svcd.stop();
    svcd.start_again();
    svcd.ok(&["start", "root", "web"]);
    assert_eq!([range(&svcd, "root"), range(&svcd, "web")], [ranges[0], ranges[1]]);
    // A unit that is gone for good needs none any more.
    svcd.ok(&["stop", "root"]);
    svcd.remove("root");
    eventually("the unit is gone", || svcd.status("root").is_null());
    svcd.ok(&["restart", "web"]);
    assert!(
        !recorded().contains(" root\n") && recorded().contains(" web\n"),
        "{}",
        recorded()
    );
}

/// Its root has every capability, and no power over the machine.
#[test]
fn the_same_ids_without_power_over_the_machine() {
    if !can("the_same_ids_without_power_over_the_machine") {
        return;
    }
    let plan = Plan::new();
    let dir = plan.dir().display().to_string();
    fs::write(plan.dir().join("file"), "").unwrap();
    chown(plan.dir().join("file"), Some(33), Some(33)).unwrap();
    // Nothing of it would change the machine.
    let tries = format!(
        "mknod {dir}/$1 c 1 3 && rm {dir}/$1 && echo makes nodes; mount --bind {dir} {dir} && umount {dir} && echo mounts; \
         hostname $(hostname) && echo names; chown 34 {dir}/file && chown 33 {dir}/file && echo owns; stat -c %u {dir}/file"
    );
    let script = |unit: &str| look(&format!("set -- {unit}; {tries}; {LOOK}"));
    let every = "[isolation]\nprofile = \"none\"\ncapabilities = [\"all\"]\n";
    let svcd = plan
        .unit("naive", &shell(&script("naive"), &format!("{every}uts = true\n")))
        .unit(
            "same",
            &shell(&script("same"), &format!("{every}uts = true\nuser = \"identity\"\n")),
        )
        .start();
    let naive = said(&svcd, "naive");
    assert_eq!(
        naive[..5],
        ["makes nodes", "mounts", "names", "owns", "33"],
        "{naive:?}"
    );
    let same = said(&svcd, "same");
    // A host name of its own is in its power, and files are as they are to the machine's root.
    assert_eq!(same[..3], ["names", "owns", "33"], "{same:?}");
    assert!(
        same.iter()
            .any(|line| line.starts_with("CapEff: 000001ff") || line.starts_with("CapEff: 000000ff")),
        "{same:?}"
    );
    assert_eq!(map(&svcd, "same", "uid_map"), [[0, 0, u32::MAX]]);
    assert_eq!(ids(&svcd, "same"), (0, 0));
    assert_eq!(svcd.status("same")["isolation"]["user"], "enforced");
}

#[test]
fn what_it_is_given_belongs_to_its_user() {
    if !can("what_it_is_given_belongs_to_its_user") {
        return;
    }
    let plan = Plan::new();
    let secret = plan.dir().join("secret");
    fs::write(&secret, "hush").unwrap();
    let keys = format!(
        "user = \"nobody\"\nstate-directory = [\"web\"]\nruntime-directory = [\"web\"]\ncredentials = {{ key = \"{}\" }}\n{AUTO}",
        secret.display()
    );
    let script = look(
        "stat -c '%u %g %a' $STATE_DIRECTORY $RUNTIME_DIRECTORY $CREDENTIALS_DIRECTORY/key; cat $CREDENTIALS_DIRECTORY/key; echo; \
         echo kept >$STATE_DIRECTORY/mine; cat $STATE_DIRECTORY/mine; touch /tmp/mine && stat -c %u /tmp/mine; \
         echo x >/dev/null && echo null; test -w /dev/shm && echo shm",
    );
    let dynamic = format!("dynamic-user = true\nstate-directory = [\"dynamic\"]\n{AUTO}");
    let svcd = plan
        .unit("web", &shell(&script, &keys))
        .unit(
            "dynamic",
            &shell(&look("touch $STATE_DIRECTORY/mine && echo writes; id -u"), &dynamic),
        )
        .start();
    let nobody = "65534 65534 755";
    let expected = [
        nobody,
        nobody,
        "65534 65534 400",
        "hush",
        "kept",
        "65534",
        "null",
        "shm",
    ];
    assert_eq!(said(&svcd, "web"), expected);
    let owner = |unit: &str| {
        let mine = svcd.dir().join(format!("state/directories/state/{unit}/mine"));
        fs::metadata(mine).unwrap().uid()
    };
    assert_eq!(owner("web"), range(&svcd, "web") + 65_534);
    let lines = said(&svcd, "dynamic");
    assert_eq!(lines[0], "writes");
    assert_eq!(
        owner("dynamic"),
        range(&svcd, "dynamic") + lines[1].parse::<u32>().unwrap()
    );
}

/// Its namespaces for what root configures are its own.
#[test]
fn it_goes_with_what_else_is_its_own() {
    if !can("it_goes_with_what_else_is_its_own") {
        return;
    }
    let time = if Path::new("/proc/self/ns/time").exists() {
        "time = { boottime = \"100d\" }\n"
    } else {
        ""
    };
    let keys = format!("{AUTO}hostname = \"inside\"\n{time}[network]\nmode = \"none\"\n[resources]\npids-max = 20\n");
    let script = look(
        "hostname; grep -c 127.0.0.1 /proc/net/fib_trie; ls /proc | grep -c '^[0-9]'; ls /proc/1/ns >/dev/null && echo ns",
    );
    let post = format!(
        "exec-start-post = [\"/bin/sh\", \"-c\", \"hostname >$STATE_DIRECTORY/post; id -u >>$STATE_DIRECTORY/post\"]\nstate-directory = [\"web\"]\n{keys}"
    );
    let svcd = Svcd::with(&[("web", &shell(&script, &post))]);
    let lines = said(&svcd, "web");
    assert_eq!(lines[0], "inside");
    assert!(lines[1].parse::<u32>().unwrap() > 0, "loopback is up: {lines:?}");
    let pid = svcd.main_pid("web");
    for kind in ["net", "uts", "ipc", "mnt", "pid", "cgroup"] {
        assert_ne!(namespace(pid, kind), namespace(svcd.pid(), kind), "{kind}");
    }
    // A later command is in the same ones.
    let post = svcd.dir().join("state/directories/state/web/post");
    eventually("the second command has written", || {
        fs::read_to_string(&post).is_ok_and(|text| text == "inside\n0\n")
    });
}

#[test]
fn a_map_is_as_it_says() {
    if !can("a_map_is_as_it_says") {
        return;
    }
    let unit = |user: &str, keys: &str| {
        let keys = format!(
            "user = {user}\n[restart]\npolicy = \"no\"\n[isolation]\nuser = \"0:1000000:1000,5000:1700000:10\"\n{keys}"
        );
        shell(LOOK, &keys)
    };
    let svcd = Svcd::with(&[
        ("web", &unit("5007", "")),
        ("beyond", &unit("5010", "")),
        ("root", &unit("0", "")),
    ]);
    svcd.ok(&["start", "web", "root"]);
    assert_eq!(ids(&svcd, "web"), (1_700_007, 1_700_007));
    assert_eq!(ids(&svcd, "root"), (1_000_000, 1_000_000));
    assert_eq!(
        map(&svcd, "web", "uid_map"),
        [[0, 1_000_000, 1000], [5000, 1_700_000, 10]]
    );
    assert_ne!(svcd.svc(&["start", "beyond"]).code, 0);
    assert!(svcd.status("beyond")["main-pid"].is_null());
}
