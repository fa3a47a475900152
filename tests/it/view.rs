//! What a service sees of the machine's files, looked at from inside: the `protect-` and `-paths` keys.

use std::fs;
use std::path::Path;

use super::harness::{Plan, Svcd, shell};
use super::machine::{is_root, program, skip};

/// A supervisor that sees what `prepare` mounts, and nobody else does. None: it may not, which has been said.
pub fn plan_with(test: &str, prepare: impl FnOnce(&Path) -> String) -> Option<Plan> {
    if !is_root() {
        skip(test, "not root");
        return None;
    }
    let plan = Plan::new();
    let script = format!("set -e; {}; exec \"$@\"", prepare(plan.dir()));
    let wrapper = ["unshare", "-m", "--propagation", "private", "sh", "-c", &script, "sh"];
    Some(plan.under(&wrapper))
}

/// What a unit has written until it was done.
#[track_caller]
pub fn said(svcd: &Svcd, unit: &str) -> Vec<String> {
    svcd.ok(&["start", unit]);
    svcd.line(unit, "done");
    let mut lines = svcd.lines(unit);
    lines.retain(|line| line != "done");
    lines
}

/// A script whose complaints nobody hears, and that says when it is done.
pub fn look(script: &str) -> String {
    format!("exec 2>/dev/null; {script}; echo done; exec sleep 1000000")
}

/// Says which of these directories can be written to.
pub fn writes(directories: &[String]) -> String {
    let each = directories.join(" ");
    format!("for d in {each}; do if touch $d/probe; then rm $d/probe; echo writes $d; fi; done")
}

const BARE: &str = "[isolation]\nprofile = \"none\"\nmount = true\n";

#[test]
fn homes_are_hidden_or_read_only_or_empty() {
    let fake = |_: &Path| "mount -t tmpfs home /home; echo x >/home/marker".to_owned();
    let Some(plan) = plan_with("homes_are_hidden_or_read_only_or_empty", fake) else {
        return;
    };
    let script =
        look("echo $(ls -A /home) / $(cat /home/marker); if touch /home/new; then rm /home/new; echo writes; fi");
    let unit = |value: &str| shell(&script, &format!("[isolation]\nprotect-home = {value}\n"));
    let svcd = plan
        .unit("open", &unit("false"))
        .unit("hidden", &unit("true"))
        .unit("read", &unit("\"read-only\""))
        .unit("empty", &unit("\"tmpfs\""))
        .start();
    assert_eq!(said(&svcd, "open"), ["marker / x", "writes"]);
    assert_eq!(said(&svcd, "hidden"), ["/"]);
    assert_eq!(said(&svcd, "read"), ["marker / x"]);
    assert_eq!(said(&svcd, "empty"), ["/"]);
    assert_eq!(svcd.status("hidden")["isolation"]["protect-home"], "enforced");
}

#[test]
fn what_says_most_of_a_path_decides() {
    if !is_root() {
        return skip("what_says_most_of_a_path_decides", "not root");
    }
    let plan = Plan::new();
    let at = |name: &str| plan.dir().join(name).display().to_string();
    let tree = ["t", "t/a", "t/a/b", "t/a/b/c", "t/secret", "t/secret/more", "t/linked"].map(at);
    for folder in &tree {
        fs::create_dir(folder).unwrap();
    }
    fs::write(at("t/file"), "secret").unwrap();
    fs::write(at("t/secret/file"), "secret").unwrap();
    std::os::unix::fs::symlink("linked", at("t/link")).unwrap();
    let list = |names: &[&str]| {
        names
            .iter()
            .map(|name| format!("\"{}\"", at(name)))
            .collect::<Vec<_>>()
            .join(", ")
    };
    let keys = format!(
        "[isolation]\nread-only-paths = [{}]\nread-write-paths = [{}, \"-/no/such\"]\ninaccessible-paths = [{}]\n",
        list(&["t/a/b", "t"]),
        list(&["t/a/b/c", "t/a", "t/secret/more", "t/link", "t"]),
        list(&["t/secret", "t/file"]),
    );
    let script = look(&format!(
        "{}; cat {} {}",
        writes(&tree),
        at("t/file"),
        at("t/secret/file")
    ));
    let missing = "[restart]\npolicy = \"no\"\n[isolation]\nread-only-paths = [\"/no/such\"]\n";
    let svcd = plan
        .unit("web", &shell(&script, &keys))
        .unit("naive", &shell(&script, ""))
        .unit("missing", &shell("exit 0", missing))
        .start();
    let at = |name: &str| format!("writes {}", svcd.dir().join(name).display());
    assert_eq!(
        said(&svcd, "naive").len(),
        tree.len() + 1,
        "all is writable, and the files are read"
    );
    assert_eq!(said(&svcd, "web"), [at("t/a"), at("t/a/b/c"), at("t/linked")]);
    assert_ne!(svcd.svc(&["start", "missing"]).code, 0);
    let status = svcd.status("missing");
    assert_eq!(
        (&status["failed-step"], &status["errno"], &status["step-exit-code"]),
        (&"read-only-paths /no/such".into(), &"ENOENT".into(), &226.into())
    );
}

/// CVE-2020-1726: read-only with all that is mounted below; and what the machine has read-only stays so.
#[test]
fn read_only_is_so_for_what_is_mounted_below() {
    let prepare = |dir: &Path| {
        let at = dir.join("volume").display().to_string();
        format!(
            "mkdir -p {at}/below {at}/locked; mount -t tmpfs below {at}/below; mkdir {at}/below/deep; \
             mount -t tmpfs deep {at}/below/deep; mount -t tmpfs -o ro locked {at}/locked"
        )
    };
    let Some(plan) = plan_with("read_only_is_so_for_what_is_mounted_below", prepare) else {
        return;
    };
    let at = |name: &str| plan.dir().join("volume").join(name).display().to_string();
    let folders = ["", "below", "below/deep", "locked"].map(at);
    let keys = format!(
        "[isolation]\nread-only-paths = [\"{}\"]\nread-write-paths = [\"{}\"]\n",
        at(""),
        at("locked")
    );
    let script = look(&writes(&folders));
    let svcd = plan
        .unit("web", &shell(&script, &keys))
        .unit("strict", &shell(&script, "[isolation]\nprotect-system = \"strict\"\n"))
        .unit("naive", &shell(&script, ""))
        .start();
    assert_eq!(said(&svcd, "naive").len(), 3, "the probe can tell");
    assert_eq!(said(&svcd, "web"), [] as [&str; 0]);
    assert_eq!(said(&svcd, "strict"), [] as [&str; 0]);
}

#[test]
fn files_are_executed_where_they_may_be() {
    use std::os::unix::fs::PermissionsExt;
    if !is_root() {
        return skip("files_are_executed_where_they_may_be", "not root");
    }
    let plan = Plan::new();
    for folder in ["x", "x/may"] {
        let folder = plan.dir().join(folder);
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join("program"), "#!/bin/sh\necho ran $0\n").unwrap();
        fs::set_permissions(folder.join("program"), fs::Permissions::from_mode(0o755)).unwrap();
    }
    let at = plan.dir().join("x").display().to_string();
    let script = look(&format!("{at}/program; {at}/may/program"));
    let keys = format!("[isolation]\nno-exec-paths = [\"{at}\"]\nexec-paths = [\"{at}/may\"]\n");
    let svcd = plan
        .unit("web", &shell(&script, &keys))
        .unit("naive", &shell(&script, ""))
        .start();
    assert_eq!(said(&svcd, "naive").len(), 2);
    assert_eq!(said(&svcd, "web"), [format!("ran {at}/may/program")]);
}

#[test]
fn what_a_service_mounts_is_not_seen_outside() {
    if !is_root() {
        return skip("what_a_service_mounts_is_not_seen_outside", "not root");
    }
    let plan = Plan::new();
    let at = plan.dir().join("own");
    fs::create_dir(&at).unwrap();
    let script = look(&format!(
        "mount -t tmpfs own {0} && echo mounted; grep -c {0} /proc/self/mountinfo",
        at.display()
    ));
    let svcd = plan.unit("web", &shell(&script, BARE)).start();
    assert_eq!(said(&svcd, "web"), ["mounted", "1"]);
    let mounts = fs::read_to_string(format!("/proc/{}/mountinfo", svcd.pid())).unwrap();
    assert!(!mounts.contains(at.to_str().unwrap()), "{mounts}");
}

#[test]
fn other_users_processes_are_hidden_in_proc() {
    if !is_root() {
        return skip("other_users_processes_are_hidden_in_proc", "changing users needs root");
    }
    // The first process is the reaper, of root.
    let script = look(
        "if [ -e /proc/1 ]; then echo is there; fi; if [ -r /proc/1/cmdline ] && cat /proc/1/cmdline >/dev/null; then echo is read; fi; [ -e /proc/self/stat ] && echo itself",
    );
    let unit = |value: &str| {
        let keys = format!("user = \"nobody\"\n[isolation]\nprotect-proc = \"{value}\"\n");
        shell(&script, &keys)
    };
    let words = ["default", "noaccess", "invisible", "ptraceable"];
    let plan = words
        .iter()
        .fold(Plan::new(), |plan, word| plan.unit(word, &unit(word)));
    let shared = format!("user = \"nobody\"\n{BARE}protect-proc = \"invisible\"\n");
    let svcd = plan.unit("shared", &shell(&script, &shared)).start();
    assert_eq!(said(&svcd, "default"), ["is there", "is read", "itself"]);
    assert_eq!(said(&svcd, "noaccess"), ["is there", "itself"]);
    assert_eq!(said(&svcd, "invisible"), ["itself"]);
    assert_eq!(said(&svcd, "ptraceable"), ["itself"]);
    assert_eq!(
        said(&svcd, "shared"),
        ["itself"],
        "and in the pid namespace of the machine"
    );
}

/// Asks for a thing by its system call, and says the error that it gets; then says which capabilities can be had.
fn asks(call: &str) -> String {
    let ask = format!(
        "perl -e '$! = 0; my $result = syscall({call}); print \"errno \", ($result == -1 ? $! + 0 : 0), \"\\n\"'"
    );
    look(&format!("{ask}; grep CapBnd /proc/self/status | tr -d '\\t'"))
}

/// Bit N of the bounding set that a unit says it has.
fn has_capability(lines: &[String], number: u32) -> bool {
    let set = lines.iter().find_map(|line| line.strip_prefix("CapBnd:")).unwrap();
    u64::from_str_radix(set, 16).unwrap() & (1 << number) != 0
}

#[test]
fn what_changes_the_kernel_is_taken_away() {
    if !is_root() || program("perl").is_none() || cfg!(not(target_arch = "x86_64")) {
        return skip(
            "what_changes_the_kernel_is_taken_away",
            "not root, no perl(1), or not x86-64",
        );
    }
    // By numbers on x86-64, and so that nothing comes of it: delete_module, syslog, adjtimex, setdomainname.
    let table = [
        ("protect-kernel-modules", "176, 0, 0", vec![16]),
        ("protect-kernel-logs", "103, 10, 0, 0", vec![34]),
        ("protect-clock", "159, 0", vec![25, 35]),
        ("protect-hostname", "171, 0, -1", vec![]),
    ];
    let mut plan = Plan::new();
    for (key, call, _) in &table {
        plan = plan
            .unit(key, &shell(&asks(call), &format!("{BARE}{key} = true\n")))
            .unit(&format!("naive-{key}"), &shell(&asks(call), BARE));
    }
    let svcd = plan.start();
    for (key, _, capabilities) in &table {
        let lines = said(&svcd, key);
        assert_eq!(lines[0], "errno 1", "{key}: {lines:?}");
        for number in capabilities {
            assert!(!has_capability(&lines, *number), "{key}: {lines:?}");
        }
        assert!(has_capability(&lines, 0), "{key} takes no more than it says: {lines:?}");
        let naive = said(&svcd, &format!("naive-{key}"));
        if capabilities.iter().all(|number| has_capability(&naive, *number)) {
            assert_ne!(naive[0], "errno 1", "the probe for {key} tells nothing");
        }
        assert_eq!(svcd.status(key)["isolation"][key], "enforced");
    }
}

#[test]
fn files_of_the_kernel_are_taken_away() {
    if !is_root() {
        return skip("files_of_the_kernel_are_taken_away", "not root");
    }
    let unit = |script: &str, key: &str| shell(&look(script), &format!("{BARE}{key}\n"));
    let modules = "for d in /lib/modules /usr/lib/modules; do [ -z \"$(ls -A $d)\" ] || echo lists $d; done";
    // A character device of another number than /dev/null's is still what it was.
    let logs = "for f in /dev/kmsg /proc/kmsg; do if [ -e $f ] && [ \"$(stat -c %t:%T $f)\" != 1:3 ]; then echo has $f; fi; done";
    // Opened, not asked about: busybox's `[ -w` looks at the mode alone.
    let groups = "find /sys/fs/cgroup -name cgroup.procs | head -n 20 | while read -r f; do (: >>$f) 2>/dev/null && echo writes; done | sort -u";
    let name = "for f in hostname domainname; do (: >>/proc/sys/kernel/$f) 2>/dev/null && echo writes; done";
    let table = [
        ("protect-kernel-modules", modules),
        ("protect-kernel-logs", logs),
        ("protect-control-groups", groups),
        ("protect-hostname", name),
    ];
    let mut plan = Plan::new();
    for (key, script) in table {
        plan = plan
            .unit(key, &unit(script, &format!("{key} = true")))
            .unit(&format!("naive-{key}"), &unit(script, ""));
    }
    let svcd = plan.start();
    for (key, _) in table {
        assert_eq!(said(&svcd, key), [] as [&str; 0], "{key}");
    }
    // Those that are there on every machine show that the probe can tell.
    assert_eq!(said(&svcd, "naive-protect-control-groups"), ["writes"]);
    assert!(!said(&svcd, "naive-protect-kernel-logs").is_empty());
}
