//! What a service sees of the machine, and what it does not.

use super::harness::{Plan, SLEEPER, Svcd, shell};
use super::machine::{has_controller, is_root, members, namespace, program, skip};

#[test]
fn namespaces_are_its_own() {
    let svcd = Svcd::with(&[
        ("web", SLEEPER),
        ("alone", &format!("{SLEEPER}[network]\nmode = \"none\"\n")),
    ]);
    svcd.ok(&["start", "web", "alone"]);
    let (web, alone) = (svcd.main_pid("web"), svcd.main_pid("alone"));
    for kind in ["mnt", "pid", "ipc", "uts", "cgroup"] {
        let (own, other) = (namespace(web, kind), namespace(alone, kind));
        assert!(
            !own.is_empty() && own != namespace(svcd.pid(), kind) && own != other,
            "{kind}: {own}, {other}"
        );
    }
    assert_eq!(namespace(web, "net"), namespace(svcd.pid(), "net"));
    assert_ne!(namespace(alone, "net"), namespace(svcd.pid(), "net"));
    let isolation = svcd.status("web")["isolation"].clone();
    for key in ["mount", "pid", "ipc", "uts", "cgroup"] {
        assert_eq!(isolation[key], "enforced", "{isolation:#}");
    }
}

#[test]
fn profile_none_is_a_plain_process() {
    let svcd = Svcd::with(&[("plain", &format!("{SLEEPER}[isolation]\nprofile = \"none\"\n"))]);
    svcd.ok(&["start", "plain"]);
    let pid = svcd.main_pid("plain");
    for kind in ["mnt", "pid", "ipc", "uts", "cgroup", "net", "user"] {
        assert_eq!(namespace(pid, kind), namespace(svcd.pid(), kind), "{kind}");
    }
    assert_eq!(
        members(&svcd.cgroup("plain")),
        [pid],
        "in its own cgroup, with nobody else"
    );
    assert_eq!(svcd.status("plain")["main-pid"]["inside"], pid);
}

#[test]
fn a_reaper_is_process_one() {
    let script = "echo pids $(echo /proc/[0-9]* | tr -d a-z/); read -r name </proc/1/comm; echo one is $name; \
         echo one may $(grep CapPrm /proc/1/status); sleep 1000000";
    let svcd = Svcd::with(&[
        ("web", &shell(script, "")),
        (
            "bare",
            &shell("echo me is $$; sleep 1000000", "[isolation]\ninit = false\n"),
        ),
    ]);
    svcd.ok(&["start", "web", "bare"]);
    let seen = svcd.line("web", "pids");
    assert!(seen.starts_with("pids 1 2"), "nobody of the host is seen: {seen}");
    assert_ne!(svcd.line("web", "one is"), "one is sh");
    assert_eq!(svcd.line("web", "one may"), "one may CapPrm: 0000000000000000");
    assert_eq!(svcd.line("bare", "me is"), "me is 1");
    assert_eq!(svcd.status("bare")["main-pid"]["inside"], 1);
}

#[test]
fn directories_of_the_system_are_read_only() {
    let probe = "for d in /usr /boot /etc /proc/sys/kernel; do if touch $d/svc-probe 2>/dev/null; then echo writes $d; rm -f $d/svc-probe; fi; done; \
                 if echo x 2>/dev/null >/proc/sys/kernel/hostname; then echo writes hostname; fi; \
                 if touch /var/tmp/svc-probe; then rm /var/tmp/svc-probe; echo writes var; fi; echo done; sleep 1000000";
    let svcd = Svcd::with(&[("web", &shell(probe, ""))]);
    svcd.ok(&["start", "web"]);
    svcd.line("web", "done");
    assert_eq!(svcd.lines("web"), ["writes var", "done"]);
}

#[test]
fn tmp_and_dev_are_its_own() {
    let plan = Plan::new();
    let marker = format!("/tmp/svc-it-{}", plan.dir().file_name().unwrap().to_str().unwrap());
    std::fs::write(&marker, "the host's").unwrap();
    let script = format!(
        "if [ -e {marker} ]; then echo sees; fi; echo mine >{marker}; ls /tmp; ls /dev | tr '\\n' ' '; echo; echo done; sleep 1000000"
    );
    let svcd = plan.unit("web", &shell(&script, "")).start();
    svcd.ok(&["start", "web"]);
    svcd.line("web", "done");
    let lines = svcd.lines("web");
    assert!(!lines.contains(&"sees".to_owned()), "{lines:?}");
    assert_eq!(std::fs::read_to_string(&marker).unwrap(), "the host's");
    std::fs::remove_file(&marker).unwrap();
    let dev = lines.iter().find(|line| line.contains("null")).unwrap();
    for name in ["null", "zero", "full", "random", "urandom", "tty", "pts", "shm"] {
        assert!(dev.split(' ').any(|entry| entry == name), "{name} in {dev}");
    }
    for name in ["mem", "kmsg", "sda", "vda", "loop0"] {
        assert!(!dev.split(' ').any(|entry| entry == name), "{name} in {dev}");
    }
}

#[test]
fn kernel_paths_are_masked() {
    let probe = "for f in /proc/kcore /proc/keys /proc/timer_list /proc/sysrq-trigger; do \
                 if [ -e $f ] && head -c 1 $f 2>/dev/null | grep -q .; then echo reads $f; fi; \
                 if echo h 2>/dev/null >$f; then [ $f = /proc/sysrq-trigger ] && echo writes $f; fi; done; \
                 if [ -n \"$(ls /proc/scsi /proc/acpi /sys/firmware 2>/dev/null | grep -v :)\" ]; then echo lists; fi; echo done; sleep 1000000";
    let svcd = Svcd::with(&[("web", &shell(probe, ""))]);
    svcd.ok(&["start", "web"]);
    svcd.line("web", "done");
    assert_eq!(svcd.lines("web"), ["done"]);
}

#[test]
fn capabilities_and_privileges_are_cut() {
    let look = "grep -E '^(Cap|NoNewPrivs)' /proc/self/status | tr -d '\\t'; echo done; sleep 1000000";
    let nobody = "user = \"nobody\"\n";
    let svcd = Svcd::with(&[
        ("web", &shell(look, "")),
        (
            "few",
            &shell(look, "[isolation]\ncapabilities = [\"CAP_NET_BIND_SERVICE\"]\n"),
        ),
        ("nobody", &shell(look, nobody)),
    ]);
    svcd.ok(&["start", "web", "few", "nobody"]);
    let has = |unit: &str, line: &str| {
        svcd.line(unit, "done");
        assert!(
            svcd.lines(unit).contains(&line.to_owned()),
            "{unit} has not {line}: {:?}",
            svcd.lines(unit)
        );
    };
    // Docker's default set.
    has("web", "CapBnd:00000000a80425fb");
    has("web", "NoNewPrivs:1");
    has("web", "CapInh:0000000000000000");
    has("few", "CapBnd:0000000000000400");
    has("few", "CapEff:0000000000000400");
    for set in ["CapEff", "CapPrm", "CapAmb", "CapInh"] {
        has("nobody", &format!("{set}:0000000000000000"));
    }
}

#[test]
fn identity_directory_and_environment_are_set() {
    if !is_root() {
        return skip(
            "identity_directory_and_environment_are_set",
            "changing users needs root",
        );
    }
    let look = "id -u; id -g; pwd; umask; ulimit -n; echo A=$A B=$B; env | cut -d= -f1 | sort | tr '\\n' ' '; echo; echo done; sleep 1000000";
    let keys = "user = \"nobody\"\nworking-directory = \"/usr\"\numask = \"0077\"\nenvironment = { A = \"1\", B = \"2\" }\n\
                unset-environment = [\"B\"]\nrlimits = { nofile = 123 }\n";
    let svcd = Svcd::with(&[("web", &shell(look, keys))]);
    svcd.ok(&["start", "web"]);
    svcd.line("web", "done");
    let lines = svcd.lines("web");
    assert_eq!(
        lines[..6],
        ["65534", "65534", "/usr", "0077", "123", "A=1 B="],
        "{lines:?}"
    );
    assert!(
        !lines[6].contains("CARGO") && !lines[6].contains("SVC_TEST"),
        "nothing is inherited: {}",
        lines[6]
    );
    assert!(lines[6].contains("PATH"), "{}", lines[6]);
}

#[test]
fn no_descriptor_leaks_in() {
    let svcd = Svcd::with(&[(
        "web",
        &shell("ls /proc/self/fd | tr '\\n' ' '; echo; echo done; sleep 1000000", ""),
    )]);
    svcd.ok(&["start", "web"]);
    svcd.line("web", "done");
    // The fourth is the directory that ls itself reads.
    assert_eq!(svcd.lines("web")[0], "0 1 2 3 ");
}

/// EMFILE, once: the limit held before the child had opened what it needs, beside all that svcd had open.
#[test]
fn a_service_starts_however_many_descriptors_svcd_has() {
    if program("prlimit").is_none() {
        return skip("a_service_starts_however_many_descriptors_svcd_has", "no prlimit(1)");
    }
    let plan = Plan::new().under(&["prlimit", "--nofile=64:4096", "--"]);
    let names: Vec<String> = (0..16).map(|nth| format!("unit{nth}")).collect();
    let text = shell("ulimit -Sn; ulimit -Hn; sleep 1000000", "working-directory = \"/\"\n");
    let plan = names.iter().fold(plan, |plan, name| plan.unit(name, &text));
    let svcd = plan.start();
    for name in &names {
        svcd.ok(&["start", name]);
        svcd.line(name, "4096");
        assert_eq!(svcd.lines(name), ["64", "4096"]);
    }
    assert!(svcd.holds().descriptors > 64);
}

#[test]
fn an_unknown_user_is_refused() {
    let table = ["no-such-user", "0day", "0x0", "-1", "4294967295", "99999999999"];
    let plan = table.iter().enumerate().fold(Plan::new(), |plan, (nth, user)| {
        plan.unit(
            &format!("unit{nth}"),
            &format!("{SLEEPER}user = \"{user}\"\n[restart]\npolicy = \"no\"\n"),
        )
    });
    let svcd = plan.start();
    for (nth, user) in table.iter().enumerate() {
        let unit = format!("unit{nth}");
        let done = svcd.svc(&["start", &unit]);
        assert_ne!(done.code, 0, "{user}");
        assert!(members(&svcd.cgroup(&unit)).is_empty(), "{user} runs");
    }
}

#[test]
fn the_cgroup_tree_cannot_be_written_from_inside() {
    if !has_controller("pids") {
        return skip("the_cgroup_tree_cannot_be_written_from_inside", "no pids controller");
    }
    let probe = "find /sys/fs/cgroup -name pids.max 2>/dev/null | while read -r f; do if echo max 2>/dev/null >$f; then echo writes $f; fi; done; \
                 find /sys/fs/cgroup -name release_agent 2>/dev/null | while read -r f; do if echo x 2>/dev/null >$f; then echo writes $f; fi; done; \
                 echo done; sleep 1000000";
    let svcd = Svcd::with(&[("web", &shell(probe, "[resources]\npids-max = 20\n"))]);
    svcd.ok(&["start", "web"]);
    svcd.line("web", "done");
    assert_eq!(svcd.lines("web"), ["done"]);
}
