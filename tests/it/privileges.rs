//! What a service may do: capabilities, no-new-privileges, system calls, keyrings. Each is looked at from inside, by what
//! the kernel says of the process or answers to it.

use std::fs;

use super::harness::{Plan, SLEEPER, Svcd, shell};
use super::machine::{is_root, members, program, skip};

/// Prints the five sets, and what goes with them.
pub const LOOK: &str =
    "grep -E '^(Cap|NoNewPrivs|Seccomp:|Uid|Groups)' /proc/self/status | tr '\\t' ' '; echo done; sleep 1000000";

/// The lines of `/proc/self/status` of a unit that runs [`LOOK`].
#[track_caller]
pub fn has(svcd: &Svcd, unit: &str, expected: &[&str]) {
    svcd.line(unit, "done");
    let lines = svcd.lines(unit);
    for line in expected {
        assert!(
            lines.iter().any(|its| its.trim_end() == *line),
            "{unit} has not {line}: {lines:#?}"
        );
    }
}

/// Inheritable, permitted, effective, bounding, ambient.
fn sets(five: [u64; 5]) -> Vec<String> {
    let names = ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"];
    names
        .iter()
        .zip(five)
        .map(|(name, set)| format!("{name}: {set:016x}"))
        .collect()
}

/// Docker's default set.
const STANDARD: u64 = 0xa804_25fb;
const NET_BIND_SERVICE: u64 = 1 << 10;

/// CVE-2016-8867, CVE-2018-10856, CVE-2022-24769: all five sets, for root, root with few, a user by name, a user by a number
/// that nobody has, and a user with ambient ones; also where svcd itself was started with inheritable ones.
#[test]
fn capability_sets_are_exact_for_five_kinds_of_user() {
    if !is_root() {
        return skip(
            "capability_sets_are_exact_for_five_kinds_of_user",
            "changing users needs root",
        );
    }
    let few = "[isolation]\ncapabilities = [\"CAP_NET_BIND_SERVICE\"]\n";
    let ambient = "user = \"nobody\"\n[isolation]\nambient-capabilities = [\"CAP_NET_BIND_SERVICE\"]\n";
    let none = "[isolation]\ncapabilities = [\"none\"]\n";
    let units: [(&str, &str, [u64; 5]); 6] = [
        ("root", "", [0, STANDARD, STANDARD, STANDARD, 0]),
        ("few", few, [0, NET_BIND_SERVICE, NET_BIND_SERVICE, NET_BIND_SERVICE, 0]),
        ("none", none, [0, 0, 0, 0, 0]),
        ("named", "user = \"nobody\"\n", [0, 0, 0, STANDARD, 0]),
        ("numbered", "user = 54321\n", [0, 0, 0, STANDARD, 0]),
        (
            "ambient",
            ambient,
            [
                NET_BIND_SERVICE,
                NET_BIND_SERVICE,
                NET_BIND_SERVICE,
                STANDARD,
                NET_BIND_SERVICE,
            ],
        ),
    ];
    let plan = || {
        units
            .iter()
            .fold(Plan::new(), |plan, (name, keys, _)| plan.unit(name, &shell(LOOK, keys)))
    };
    let mut started = vec![plan().start()];
    match program("setpriv") {
        Some(setpriv) => {
            let setpriv = setpriv.display().to_string();
            started.push(plan().under(&[&setpriv, "--inh-caps=+chown,+net_raw"]).start());
        }
        None => skip("svcd_with_inheritable_capabilities", "no setpriv(1) here"),
    }
    for svcd in started {
        for (name, _, five) in units {
            svcd.ok(&["start", name]);
            let five = sets(five);
            has(&svcd, name, &five.iter().map(String::as_str).collect::<Vec<_>>());
        }
        has(&svcd, "named", &["Uid: 65534 65534 65534 65534", "Groups: 65534"]);
        has(&svcd, "numbered", &["Uid: 54321 54321 54321 54321", "Groups: 54321"]);
    }
}

/// The shell that looks has the inheritable set that it was given, so the test above can see one.
#[test]
fn profile_none_has_all_capabilities_and_none_to_inherit() {
    let svcd = Svcd::with(&[("plain", &shell(LOOK, "[isolation]\nprofile = \"none\"\n"))]);
    svcd.ok(&["start", "plain"]);
    has(
        &svcd,
        "plain",
        &["CapInh: 0000000000000000", "NoNewPrivs: 0", "Seccomp: 0"],
    );
    let own = fs::read_to_string("/proc/self/status").unwrap();
    let bounding = own
        .lines()
        .find(|line| line.starts_with("CapBnd"))
        .unwrap()
        .replace('\t', " ");
    has(&svcd, "plain", &[&bounding]);
}

#[test]
fn ambient_capabilities_are_within_the_bounding_set() {
    let svcd = Svcd::with(&[(
        "web",
        &format!("{SLEEPER}[isolation]\nambient-capabilities = [\"CAP_SYS_TIME\"]\n"),
    )]);
    assert_ne!(svcd.svc(&["start", "web"]).code, 0);
    let file = svcd.dir().join("units/web.toml").display().to_string();
    let checked = svcd.svc(&["check", &file]);
    assert!(
        checked.out.contains("`ambient-capabilities` are within `capabilities`"),
        "{}",
        checked.out
    );
}

/// The filter is given last: without no-new-privileges by CAP_SYS_ADMIN, which is gone with the exec.
#[test]
fn a_filter_needs_no_new_privileges_or_leaves_none() {
    if !is_root() {
        return skip(
            "a_filter_needs_no_new_privileges_or_leaves_none",
            "it takes CAP_SYS_ADMIN",
        );
    }
    let without = "[isolation]\nno-new-privileges = false\n";
    let svcd = Svcd::with(&[
        ("web", &shell(LOOK, "")),
        ("root", &shell(LOOK, without)),
        ("nobody", &shell(LOOK, &format!("user = \"nobody\"\n{without}"))),
    ]);
    svcd.ok(&["start", "web", "root", "nobody"]);
    has(&svcd, "web", &["NoNewPrivs: 1", "Seccomp: 2"]);
    let five = sets([0, STANDARD, STANDARD, STANDARD, 0]);
    has(
        &svcd,
        "root",
        &[
            &["NoNewPrivs: 0", "Seccomp: 2"][..],
            &five.iter().map(String::as_str).collect::<Vec<_>>(),
        ]
        .concat(),
    );
    let five = sets([0, 0, 0, STANDARD, 0]);
    has(
        &svcd,
        "nobody",
        &[
            &["NoNewPrivs: 0", "Seccomp: 2"][..],
            &five.iter().map(String::as_str).collect::<Vec<_>>(),
        ]
        .concat(),
    );
    for key in [
        "seccomp",
        "restrict-namespaces",
        "lock-personality",
        "restrict-realtime",
        "restrict-suid-sgid",
        "keyring-mode",
    ] {
        assert_eq!(svcd.status("web")["isolation"][key], "enforced", "{key}");
    }
}

#[test]
fn a_filter_of_ones_own_fails_calls_or_kills() {
    let script = "mkdir /tmp/made 2>&1; echo done; sleep 1000000";
    let deny =
        |errno: &str| format!("[isolation]\nseccomp = {{ deny = [\"mkdir\", \"mkdirat\"], errno = \"{errno}\" }}\n");
    let allow = "[isolation]\nseccomp = { allow = [\"@system-service\"], deny = [\"@keyring\"] }\n";
    let kill = "[restart]\npolicy = \"no\"\n";
    let svcd = Svcd::with(&[
        ("errno", &shell(script, &deny("EROFS"))),
        (
            "kill",
            &shell("exec mkdir /tmp/made", &format!("{kill}{}", deny("kill"))),
        ),
        ("allow", &shell(script, allow)),
        ("nothing", &shell(script, "[isolation]\nseccomp = \"none\"\n")),
    ]);
    svcd.ok(&["start", "errno", "allow", "nothing"]);
    assert!(svcd.line("errno", "mkdir").contains("Read-only file system"));
    svcd.line("allow", "done");
    assert_eq!(svcd.lines("allow"), ["done"], "what is let through is made");
    svcd.svc(&["start", "kill"]);
    let status = svcd.reaches("kill", "failed");
    assert_eq!(status["signal"], "SIGSYS", "{status:#}");
    // The keys that restrict single calls hold without a filter of calls too.
    svcd.line("nothing", "done");
    let isolation = svcd.status("nothing")["isolation"].clone();
    assert!(isolation.get("seccomp").is_none(), "{isolation:#}");
    assert_eq!(isolation["restrict-namespaces"], "enforced");
}

#[test]
fn words_of_a_filter_are_known() {
    let svcd = Svcd::with(&[]);
    for (value, told) in [
        ("{ allow = [\"@system-servise\"] }", "no group of system calls"),
        ("{ allow = [\"opennat\"] }", "no system call"),
        ("{ deny = [\"openat\"], errno = \"EPERMM\" }", "no error of errno(3)"),
        (
            "{ deny = [\"openat\"], action = \"kill\" }",
            "expected \"default\", \"none\"",
        ),
        ("{}", "expected \"default\", \"none\""),
        ("\"off\"", "expected \"default\", \"none\""),
    ] {
        svcd.write("bad", &format!("{SLEEPER}[isolation]\nseccomp = {value}\n"));
        let file = svcd.dir().join("units/bad.toml").display().to_string();
        let checked = svcd.svc(&["check", &file]);
        assert_eq!(checked.code, 1, "{value}");
        assert!(checked.out.contains(told), "{value}: {}", checked.out);
    }
}

#[test]
fn the_machine_is_what_personality_says() {
    if cfg!(not(target_arch = "x86_64")) {
        return skip("the_machine_is_what_personality_says", "not x86-64");
    }
    let script = "uname -m; setarch -R true 2>/dev/null && echo unlocked; echo done; sleep 1000000";
    let svcd = Svcd::with(&[
        ("plain", &shell(script, "[isolation]\nlock-personality = false\n")),
        ("x86", &shell(script, "[isolation]\npersonality = \"x86\"\n")),
        ("arm", &format!("{SLEEPER}[isolation]\npersonality = \"arm64\"\n")),
        (
            "skip",
            &format!("{SLEEPER}[isolation]\npersonality = \"arm64\"\nbest-effort = [\"personality\"]\n"),
        ),
    ]);
    svcd.ok(&["start", "plain", "x86", "skip"]);
    svcd.line("plain", "done");
    svcd.line("x86", "done");
    assert_eq!(svcd.lines("x86"), ["i686", "done"]);
    assert_eq!(svcd.lines("plain")[0], "x86_64");
    if program("setarch").is_some() {
        assert_eq!(svcd.lines("plain")[1], "unlocked", "the lock is what holds it above");
    }
    let done = svcd.svc(&["start", "arm"]);
    assert_eq!(done.code, 78, "{}", done.err);
    assert!(
        done.err.contains("personality") && done.err.contains("another architecture"),
        "{}",
        done.err
    );
    let skipped = svcd.status("skip")["isolation"]["personality"].clone();
    assert!(skipped.as_str().unwrap().starts_with("skipped: "), "{skipped}");
}

/// A failed step is no end of the program: it has a name, an errno, and systemd's exit code.
#[test]
fn a_failed_step_has_a_name_and_the_exit_code_of_systemd() {
    if !is_root() {
        return skip(
            "a_failed_step_has_a_name_and_the_exit_code_of_systemd",
            "changing users needs root",
        );
    }
    let once = "[restart]\npolicy = \"no\"\n";
    let table = [
        (
            "chdir",
            "working-directory = \"/nowhere\"\n",
            "chdir /nowhere",
            "ENOENT",
            200,
        ),
        ("group", "group = \"nowhere\"\n", "group nowhere", "ESRCH", 216),
        ("user", "user = \"nowhere\"\n", "user nowhere", "ESRCH", 217),
        (
            "file",
            "environment-file = [\"/nowhere\"]\n",
            "environment-file /nowhere",
            "ENOENT",
            241,
        ),
        (
            "output",
            "standard-output = \"file:/nowhere/x\"\n",
            "output /nowhere/x",
            "ENOENT",
            209,
        ),
    ];
    let mut plan = Plan::new();
    for (name, keys, ..) in table {
        plan = plan.unit(name, &format!("{SLEEPER}{keys}{once}"));
    }
    let svcd = plan
        .unit("exec", &format!("[service]\nexec-start = \"/nowhere/x\"\n{once}"))
        .unit("exit", &shell("exit 203", once))
        .start();
    let exec = ("exec", "", "exec /nowhere/x", "ENOENT", 203);
    for (name, _, step, errno, code) in table.into_iter().chain([exec]) {
        assert_ne!(svcd.svc(&["start", name]).code, 0);
        let status = svcd.reaches(name, "failed");
        assert_eq!(status["failed-step"], step, "{status:#}");
        assert_eq!(status["errno"], errno, "{status:#}");
        assert_eq!(status["step-exit-code"], code, "{status:#}");
        assert_eq!(status["result"], "spawn", "{status:#}");
        assert!(
            status["exit-code"].is_null() && members(&svcd.cgroup(name)).is_empty(),
            "{status:#}"
        );
    }
    svcd.svc(&["start", "exit"]);
    let status = svcd.reaches("exit", "failed");
    assert_eq!(
        (&status["exit-code"], &status["failed-step"]),
        (&203.into(), &serde_json::Value::Null),
        "{status:#}"
    );
}

/// Only what is listed can be reached: read, written, executed.
#[test]
fn landlock_lets_reach_what_is_listed() {
    let plan = Plan::new();
    let [srv, other] = ["srv", "other"].map(|name| plan.dir().join(name));
    for place in [&srv, &other] {
        fs::create_dir(place).unwrap();
        fs::write(place.join("file"), "text\n").unwrap();
    }
    let (srv, other) = (srv.display(), other.display());
    let landlock = |also: &str, written: &str| {
        let read = format!("read-only = [\"/usr\", \"/lib\", \"/etc\", \"/dev\", \"-/nowhere\"{also}]");
        let execute = "execute = [\"/usr/bin\", \"/bin\"]";
        format!("[isolation]\nlandlock = {{ {read}, {execute}, read-write = [{written}] }}\n")
    };
    let script = format!(
        "cat {srv}/file && echo reads; echo more >>{srv}/file && echo appends; echo x >{srv}/new && echo makes; \
         cat {other}/file && echo reads other; ls / >/tmp/x && echo lists; cp /bin/true {srv}/true && {srv}/true && echo executes; \
         echo done; sleep 1000000"
    );
    let missing =
        format!("{SLEEPER}[restart]\npolicy = \"no\"\n[isolation]\nlandlock = {{ read-only = [\"/nowhere\"] }}\n");
    let svcd = plan
        .unit("writes", &shell(&script, &landlock("", &format!("\"{srv}\""))))
        .unit("reads", &shell(&script, &landlock(&format!(", \"{srv}\""), "")))
        .unit("missing", &missing)
        .start();
    let started = svcd.svc(&["start", "writes", "reads"]);
    if started.code == 78 && started.err.contains("this kernel") {
        assert!(started.err.contains("landlock"), "{}", started.err);
        return skip("landlock_lets_reach_what_is_listed", started.err.trim());
    }
    assert_eq!(started.code, 0, "{}", started.err);
    let said = |unit: &str| {
        svcd.line(unit, "done");
        let words = ["reads", "appends", "makes", "reads other", "lists", "executes", "done"];
        let lines = svcd.lines(unit);
        lines
            .into_iter()
            .filter(|line| words.contains(&line.as_str()))
            .collect::<Vec<_>>()
    };
    assert_eq!(said("writes"), ["reads", "appends", "makes", "done"]);
    assert_eq!(said("reads"), ["reads", "done"]);
    assert_eq!(svcd.status("reads")["isolation"]["landlock"], "enforced");
    assert_ne!(svcd.svc(&["start", "missing"]).code, 0);
    let status = svcd.reaches("missing", "failed");
    assert_eq!(status["failed-step"], "landlock /nowhere", "{status:#}");
    assert_eq!(status["errno"], "ENOENT", "{status:#}");
}
