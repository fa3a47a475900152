//! Who a service runs as: users and groups by name and number, from the files of its own root.

use std::fs;
use std::process::Command;

use super::harness::{Plan, SLEEPER, Svcd, shell};
use super::machine::{is_root, members, program, skip};
use super::privileges::{LOOK, has};

/// A supervisor whose /etc is this directory of the plan's, in a mount namespace of its own.
fn with_etc(plan: Plan, etc: &str) -> Svcd {
    let place = plan.dir().join(etc).display().to_string();
    let script = format!("mount -o bind {place} /etc && exec \"$@\"");
    plan.under(&["unshare", "-m", "sh", "-c", &script, "sh"]).start()
}

/// What stands in place of /etc/passwd and /etc/group, and what becomes of the start.
#[rustfmt::skip]
const ODD: [(&str, &str, &str, &str, &str); 7] = [
    ("fifo", "mkfifo passwd", "user = \"web\"", "read /etc/passwd", "EINVAL"),
    ("device", "mknod passwd c 1 5", "user = \"web\"", "read /etc/passwd", "EINVAL"),
    ("link", "mkfifo far; ln -s far passwd", "user = \"web\"", "read /etc/passwd", "EINVAL"),
    ("loop", "ln -s passwd passwd", "user = \"web\"", "read /etc/passwd", "ELOOP"),
    ("directory", "mkdir passwd", "user = \"web\"", "read /etc/passwd", "EINVAL"),
    ("huge", "truncate -s 1G passwd", "user = \"web\"", "read /etc/passwd", "EFBIG"),
    ("group", ": >passwd; truncate -s 1G group", "user = 7", "read /etc/group", "EFBIG"),
];

/// Row 46, CVE-2024-9676, CVE-2026-47262: /etc/passwd and /etc/group are read in the child, by a parser with bounds.
#[test]
fn row_46_odd_passwd_files_are_refused() {
    if !is_root() || program("unshare").is_none() {
        return skip(
            "row_46_odd_passwd_files_are_refused",
            "it takes a mount namespace, and unshare(1)",
        );
    }
    for (name, make, user, step, errno) in ODD {
        let keys = format!("{user}\n[restart]\npolicy = \"no\"\n");
        let plan = Plan::new().unit("web", &format!("{SLEEPER}{keys}"));
        let etc = plan.dir().join("etc");
        fs::create_dir(&etc).unwrap();
        let made = Command::new("sh").args(["-c", make]).current_dir(&etc).status();
        assert!(made.unwrap().success(), "{make}");
        let svcd = with_etc(plan, "etc");
        assert_ne!(svcd.svc(&["start", "web"]).code, 0, "{name}");
        let status = svcd.reaches("web", "failed");
        assert_eq!(
            (&status["failed-step"], &status["errno"]),
            (&step.into(), &errno.into()),
            "{name}: {status:#}"
        );
        assert_eq!(status["step-exit-code"], 217, "{name}");
    }
}

/// CVE-2016-3697, CVE-2024-40635: a number is that number, whatever the passwd file calls it, up to the highest there is;
/// CVE-2022-36109, CVE-2022-2989, CVE-2022-2990, CVE-2023-25173: with its primary group, and no group of root's.
#[test]
fn a_number_is_never_looked_up_as_a_name() {
    if !is_root() || program("unshare").is_none() {
        return skip(
            "a_number_is_never_looked_up_as_a_name",
            "it takes a mount namespace, and unshare(1)",
        );
    }
    let table = [
        ("n1000", "1000", "1000", "1000"),
        ("n2147483648", "2147483648", "2147483648", "2147483648"),
        ("n4294967294", "4294967294", "4294967294", "4294967294"),
        ("web", "\"web\"", "33", "33 50"),
    ];
    let plan = table.iter().fold(Plan::new(), |plan, (name, user, ..)| {
        plan.unit(name, &shell(LOOK, &format!("user = {user}\n")))
    });
    fs::create_dir(plan.dir().join("etc")).unwrap();
    let passwd = "root:x:0:0::/root:/bin/sh\n1000:x:0:0::/root:/bin/sh\nweb:x:33:33::/:/bin/sh\n";
    fs::write(plan.dir().join("etc/passwd"), passwd).unwrap();
    fs::write(
        plan.dir().join("etc/group"),
        "root:x:0:\n1000:x:0:\nweb:x:33:\nlogs:x:50:web\n",
    )
    .unwrap();
    let svcd = with_etc(plan, "etc");
    for (name, _, uid, groups) in table {
        svcd.ok(&["start", name]);
        has(
            &svcd,
            name,
            &[&format!("Uid: {uid} {uid} {uid} {uid}"), &format!("Groups: {groups}")],
        );
    }
}

/// CVE-2017-1000082, CVE-2020-13776, CVE-2026-46680, CVE-2026-30892: no number and no name is an error before anything is started.
#[test]
fn what_is_no_user_is_refused_before_anything_starts() {
    let svcd = Svcd::with(&[]);
    for user in [
        "0day",
        "0x0",
        "-1",
        "",
        "1:2",
        "4294967295",
        "4294967296",
        "99999999999",
        "01",
    ] {
        svcd.write("web", &format!("{SLEEPER}user = \"{user}\"\n"));
        let file = svcd.dir().join("units/web.toml").display().to_string();
        let checked = svcd.svc(&["check", &file]);
        assert_eq!(checked.code, 1, "{user}");
        assert!(checked.out.contains("is no user or group"), "{user}: {}", checked.out);
        assert_ne!(svcd.svc(&["start", "web"]).code, 0, "{user}");
        assert!(members(&svcd.cgroup("web")).is_empty(), "{user}");
    }
}

/// CVE-2019-3843: a user of a range while it runs, recorded, the same at each start, and nothing that could outlive it
/// with its rights.
#[test]
fn a_dynamic_user_is_there_while_it_runs() {
    if !is_root() {
        return skip("a_dynamic_user_is_there_while_it_runs", "changing users needs root");
    }
    let script = "id -u; id -g; echo USER=$USER HOME=$HOME; cp /bin/true /var/tmp/own; \
                  chmod 4755 /var/tmp/own 2>/dev/null && echo raises; chmod 2755 /var/tmp/own 2>/dev/null && echo raises; \
                  stat -c %a /var/tmp/own; ";
    let script = format!("{script}{LOOK}");
    let plain = "dynamic-user = true\n[isolation]\nprofile = \"none\"\nprivate-tmp = true\nmount = true\n";
    let svcd = Svcd::with(&[
        ("web", &shell(&script, "dynamic-user = true\n")),
        ("named", &shell(&script, "dynamic-user = true\nuser = \"cache\"\n")),
        ("plain", &shell(&script, plain)),
    ]);
    let mut seen = Vec::new();
    for (unit, name) in [("web", "web"), ("named", "cache"), ("plain", "plain")] {
        svcd.ok(&["start", unit]);
        has(
            &svcd,
            unit,
            &[
                "NoNewPrivs: 1",
                "CapPrm: 0000000000000000",
                "CapEff: 0000000000000000",
                "Seccomp: 2",
            ],
        );
        let lines = svcd.lines(unit);
        let id: u32 = lines[0].parse().unwrap();
        assert!((61_184..=65_519).contains(&id) && lines[1] == lines[0], "{lines:?}");
        assert_eq!(lines[2], format!("USER={name} HOME=/"), "{lines:?}");
        assert_eq!(lines[3], "755", "no file of it raises privileges: {lines:?}");
        let record = svcd.dir().join(format!("run/dynamic-users/{id}"));
        assert_eq!(fs::read_to_string(&record).unwrap(), unit);
        assert!(!seen.contains(&id));
        seen.push(id);
    }
    svcd.ok(&["restart", "web"]);
    let uid = |unit: &str| {
        let status = fs::read_to_string(format!("/proc/{}/status", svcd.main_pid(unit))).unwrap();
        let line = status.lines().find(|line| line.starts_with("Uid:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<u32>().unwrap()
    };
    assert_eq!(uid("web"), seen[0]);
    svcd.ok(&["stop", "web", "named", "plain"]);
    assert!(
        !svcd.dir().join("run/dynamic-users").exists(),
        "they are gone with their services"
    );
}

#[test]
fn a_dynamic_user_has_no_privileges_to_gain() {
    let svcd = Svcd::with(&[]);
    for keys in [
        "user = 7\n",
        "group = \"web\"\n",
        "[isolation]\nno-new-privileges = false\n",
        "[isolation]\nrestrict-suid-sgid = false\n",
    ] {
        svcd.write("web", &format!("{SLEEPER}dynamic-user = true\n{keys}"));
        let file = svcd.dir().join("units/web.toml").display().to_string();
        let checked = svcd.svc(&["check", &file]);
        assert_eq!(checked.code, 1, "{keys}");
        assert!(checked.out.contains("`dynamic-user` "), "{keys}: {}", checked.out);
    }
}
