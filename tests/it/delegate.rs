//! `delegate`: a service that manages the groups below its own, and nothing besides.

use std::fs;
use std::path::PathBuf;

use super::harness::{Plan, SLEEPER, Svcd, shell};
use super::machine::{cgroups, eventually, hierarchies, is_root, members, skip};

/// Where hierarchies are mounted of which a part can be given away.
fn mounts() -> Vec<PathBuf> {
    const FREE_BELOW: [&str; 3] = ["blkio", "net_cls", "net_prio"];
    let may = |options: &str| {
        let mut words = options.split(',');
        words.all(|word| !FREE_BELOW.contains(&word) && !word.starts_with("name="))
    };
    let found = hierarchies().into_iter().filter(|(options, _)| may(options));
    found.map(|(_, at)| at).collect()
}

fn v2_mount() -> Option<PathBuf> {
    let mut v2 = hierarchies().into_iter().filter(|(options, _)| options.is_empty());
    v2.next().map(|(_, at)| at)
}

/// Says which files of its own groups it can write to, then makes a group below in each, with a process in all of them,
/// and freezes it. `below` is the group's path from a mount point.
fn manager(below: &str) -> String {
    let groups: Vec<String> = mounts().iter().map(|at| at.join(below).display().to_string()).collect();
    let script = r#"sleep 1000000 & pid=$!
for g in GROUPS; do
  for f in $g/*; do if [ -f $f ] && (: >>$f) 2>/dev/null; then echo writes ${f##*/}; fi; done
  mkdir $g/inner || { echo no $g; continue; }
  if ! [ -e $g/cgroup.controllers ] && [ -e $g/cpuset.cpus ]; then
    cat $g/cpuset.cpus >$g/inner/cpuset.cpus; cat $g/cpuset.mems >$g/inner/cpuset.mems
  fi
  echo $pid >$g/inner/cgroup.procs || echo no $g
done
for g in GROUPS; do
  if [ -e $g/inner/cgroup.freeze ]; then echo 1 >$g/inner/cgroup.freeze; fi
  if [ -e $g/inner/freezer.state ]; then echo FROZEN >$g/inner/freezer.state; fi
done
echo done; exec sleep 1000000"#;
    script.replace("GROUPS", &groups.join(" "))
}

const LIMITS: &str = "timeout-stop = \"1s\"\n[resources]\ndelegate = true\npids-max = 50\nmemory-max = \"64M\"\n";
const BEST: &str = "best-effort = [\"pids-max\", \"memory-max\"]\n";

/// What such a service has written before it was done.
fn said(svcd: &Svcd, unit: &str) -> Vec<String> {
    svcd.ok(&["start", unit]);
    svcd.line(unit, "done");
    svcd.lines(unit)
}

/// Only what places processes and hands controllers down could be written to, and all was made.
#[track_caller]
fn managed_its_own(svcd: &Svcd, unit: &str, owner: u32) {
    use std::os::unix::fs::MetadataExt;
    let lines = said(svcd, unit);
    // The last is everybody's in any group of v1, and says only whom to tell of events.
    let given = [
        "cgroup.procs",
        "cgroup.threads",
        "cgroup.subtree_control",
        "tasks",
        "cgroup.event_control",
    ];
    for line in lines.iter().filter(|line| *line != "done") {
        let file = line.strip_prefix("writes ");
        assert!(file.is_some_and(|file| given.contains(&file)), "{unit}: {lines:#?}");
    }
    let inner = cgroups(&svcd.cgroup(&format!("{unit}/inner")));
    assert!(inner.len() >= mounts().len(), "{unit}: {inner:?} of {:?}", mounts());
    for group in &inner {
        let its = fs::metadata(group.parent().unwrap()).unwrap();
        assert_eq!(its.uid(), owner, "{}", group.display());
        let procs = fs::read_to_string(group.join("cgroup.procs")).unwrap();
        assert_eq!(procs.lines().count(), 1, "{}: {procs}", group.display());
    }
    // Whoever is in a group below is the unit's.
    assert_eq!(svcd.status(unit)["isolation"]["delegate"], "enforced");
    let sleeper = fs::read_to_string(inner[0].join("cgroup.procs")).unwrap();
    let processes = svcd.json(&["ps", unit]).to_string();
    assert!(
        processes.contains(&format!(":{},", sleeper.trim())),
        "{sleeper}: {processes}"
    );
    svcd.ok(&["stop", unit]);
    assert_eq!(members(&svcd.cgroup(unit)), [] as [u32; 0]);
    assert_eq!(cgroups(&svcd.cgroup(unit)), [] as [PathBuf; 0]);
}

#[test]
fn a_service_manages_the_groups_below_its_own() {
    if !is_root() {
        return skip("a_service_manages_the_groups_below_its_own", "not root");
    }
    let plan = Plan::new();
    let name = plan.dir().file_name().unwrap().to_str().unwrap().to_owned();
    let unit = |user: &str, below: &str, keys: &str| {
        shell(&manager(below), &format!("{user}{LIMITS}[isolation]\n{BEST}{keys}"))
    };
    let nobody = "user = \"nobody\"\n";
    let below = |unit: &str| format!("{name}/{unit}");
    let svcd = plan
        .unit("nobody", &unit(nobody, "", ""))
        .unit("root", &unit("", "", ""))
        .unit("alone", &unit(nobody, "", "init = false\n"))
        .unit("plain", &unit(nobody, &below("plain"), "profile = \"none\"\n"))
        .unit("seen", &unit("", &below("seen"), "cgroup = false\n"))
        .unit("range", &unit(nobody, "", "user = \"0:600000:65536\"\n"))
        .start();
    managed_its_own(&svcd, "nobody", 65534);
    managed_its_own(&svcd, "root", 0);
    managed_its_own(&svcd, "alone", 65534);
    managed_its_own(&svcd, "plain", 65534);
    managed_its_own(&svcd, "seen", 0);
    managed_its_own(&svcd, "range", 600_000 + 65534);
}

/// Of the tree, only the part that was given can be written to, by root too; and without the key, none. CVE-2023-25809.
#[test]
fn no_group_but_its_own_can_be_written_to() {
    if !is_root() {
        return skip("no_group_but_its_own_can_be_written_to", "not root");
    }
    let plan = Plan::new();
    let name = plan.dir().file_name().unwrap().to_str().unwrap().to_owned();
    // In every directory of svcd's own tree.
    let script = |but: &str| {
        format!(
            "for f in $(find /sys/fs/cgroup/ -type d -path '*{name}*' {but}); do \
             if mkdir $f/made; then echo made $f; rmdir $f/made; fi; done; echo done; exec sleep 1000000"
        )
    };
    let unit = |but: &str, keys: &str| shell(&script(but), keys);
    let svcd = plan
        .unit("naive", &unit("", "[isolation]\nprofile = \"none\"\n"))
        .unit("standard", &unit("", ""))
        .unit(
            "given",
            &unit(
                "! -path '*/given*'",
                "[resources]\ndelegate = true\n[isolation]\ncgroup = false\n",
            ),
        )
        .start();
    let made = |unit: &str| -> Vec<String> {
        let mut lines = said(&svcd, unit);
        lines.retain(|line| line.starts_with("made "));
        lines
    };
    assert!(
        made("naive").len() > 1,
        "without a sandbox the groups of others can be written to"
    );
    assert_eq!(made("standard"), [""; 0]);
    assert_eq!(made("given"), [""; 0]);
}

/// The kernel lets no group of v2 hand controllers down that has processes: what svcd starts besides is elsewhere.
#[test]
fn controllers_are_handed_down_and_commands_still_start() {
    let test = "controllers_are_handed_down_and_commands_still_start";
    let Some(at) = v2_mount().filter(|_| is_root()) else {
        return skip(test, "not root, or no cgroup v2");
    };
    if fs::read_to_string(at.join("cgroup.controllers"))
        .unwrap()
        .trim()
        .is_empty()
    {
        return skip(test, "no controller is on v2");
    }
    let at = at.display();
    let script = format!(
        "mkdir {at}/main; echo $$ >{at}/main/cgroup.procs; sed 's/^/left /' {at}/cgroup.procs; \
         for c in $(cat {at}/cgroup.controllers); do \
         if echo +$c >{at}/cgroup.subtree_control; then echo down $c; else echo refused $c; fi; done; \
         echo done; exec sleep 1000000"
    );
    let more = "exec-reload = [\"/bin/sh\", \"-c\", \"echo reloaded\"]\nexec-stop = [\"/bin/sh\", \"-c\", \"echo stopping\"]\n\
                exec-start-pre = [\"/bin/sh\", \"-c\", \"echo before\"]\nuser = \"nobody\"\n";
    let rest = "[resources]\ndelegate = true\n[restart]\npolicy = \"always\"\ndelay = \"0s\"\n";
    let svcd = Svcd::with(&[("manager", &shell(&script, &format!("{more}{rest}")))]);
    svcd.ok(&["start", "manager"]);
    svcd.line("manager", "done");
    let lines = svcd.lines("manager");
    assert!(lines.iter().any(|line| line.starts_with("down ")), "{lines:?}");
    let wrong = |line: &&String| line.starts_with("left ") || line.starts_with("refused ");
    assert_eq!(lines.iter().find(wrong), None, "{lines:?}");
    svcd.ok(&["reload", "manager"]);
    svcd.line("manager", "reloaded");
    // The next run has a group of its own.
    let first = svcd.main_pid("manager");
    super::machine::send(first, rustix::process::Signal::KILL);
    let runs = || svcd.lines("manager").iter().filter(|line| *line == "done").count();
    eventually("it runs again", || svcd.state("manager") == "running" && runs() == 2);
    svcd.ok(&["stop", "manager"]);
    svcd.line("manager", "stopping");
}

/// A supervisor that was killed finds the groups as they are.
#[test]
fn a_delegated_group_is_adopted() {
    if !is_root() {
        return skip("a_delegated_group_is_adopted", "not root");
    }
    let keys = format!(
        "user = \"nobody\"\nexec-reload = [\"/bin/sh\", \"-c\", \"echo reloaded\"]\n{LIMITS}[isolation]\n{BEST}"
    );
    let mut svcd = Svcd::with(&[("manager", &shell(&manager(""), &keys))]);
    svcd.ok(&["start", "manager"]);
    svcd.line("manager", "done");
    let before = svcd.main_pid("manager");
    svcd.kill();
    svcd.start_again();
    assert_eq!(svcd.main_pid("manager"), before);
    svcd.ok(&["reload", "manager"]);
    svcd.line("manager", "reloaded");
    svcd.ok(&["stop", "manager"]);
    assert!(cgroups(&svcd.cgroup("manager")).is_empty());
}

#[test]
fn without_groups_there_is_nothing_to_manage() {
    if !is_root() {
        return skip("without_groups_there_is_nothing_to_manage", "not root");
    }
    let all = hierarchies()
        .into_iter()
        .map(|(_, at)| format!("mount -o remount,bind,ro {}; ", at.display()));
    let script = format!("{}exec \"$@\"", all.collect::<String>());
    let wrapper = ["unshare", "-m", "--propagation", "private", "sh", "-c", &script, "sh"];
    let sleeper =
        |best: &str| SLEEPER.to_owned() + "[resources]\ndelegate = true\n[isolation]\nprofile = \"none\"\n" + best;
    let svcd = Plan::new()
        .under(&wrapper)
        .unit("must", &sleeper(""))
        .unit("may", &sleeper("best-effort = [\"delegate\"]\n"))
        .start();
    let done = svcd.svc(&["start", "must"]);
    assert_eq!(done.code, 78, "{}", done.err);
    assert!(done.err.contains("delegate"), "{}", done.err);
    svcd.ok(&["start", "may"]);
    let status = svcd.status("may").to_string();
    assert!(status.contains("delegate") && status.contains("skipped"), "{status}");
}
