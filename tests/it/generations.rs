//! Generations: each set of files that was put in force can be put in force again, and one that does no good gives way.

use std::fs;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use super::harness::{Plan, SLEEPER, Svcd, shell};
use super::machine::{self, alive, eventually, skip};
use super::strace::Trace;

pub fn with_settings(units: &[(&str, &str)], settings: &str) -> Svcd {
    let plan = units
        .iter()
        .fold(Plan::new(), |plan, (name, text)| plan.unit(name, text));
    let path = plan.dir().join("svcd.toml");
    fs::write(&path, settings).unwrap();
    plan.argument("--settings").argument(path.display().to_string()).start()
}

/// Runs until it is ended, with this niceness to be known by.
pub fn nice(value: u8) -> String {
    format!("{SLEEPER}nice = {value}\n")
}

pub fn is_nice(svcd: &Svcd, unit: &str, value: i32) -> bool {
    let pid = svcd.status(unit)["main-pid"]["host"].as_u64();
    pid.is_some_and(|pid| machine::nice(pid as u32) == Some(value))
}

fn generations(svcd: &Svcd) -> Vec<Value> {
    svcd.json(&["generations"]).as_array().expect("a list").clone()
}

/// `1 good, 2* probation`.
pub fn told(svcd: &Svcd) -> String {
    let told = generations(svcd).into_iter().map(|generation| {
        let mark = if generation["in-force"] == true { "*" } else { "" };
        format!(
            "{}{mark} {}",
            generation["number"],
            generation["state"].as_str().unwrap()
        )
    });
    told.collect::<Vec<_>>().join(", ")
}

pub fn in_force(svcd: &Svcd) -> u64 {
    let all = generations(svcd);
    let mut in_force = all.iter().filter(|generation| generation["in-force"] == true);
    let number = in_force.next().expect("one is in force")["number"].as_u64().unwrap();
    assert!(in_force.next().is_none(), "{all:?}");
    number
}

#[test]
fn each_edit_is_a_generation_and_a_rollback_holds_until_the_next() {
    let settings = "[deploy]\nprobation = \"0s\"\n";
    let mut svcd = with_settings(&[("web", &nice(1)), ("other", SLEEPER)], settings);
    svcd.ok(&["start", "web", "other"]);
    assert_eq!(told(&svcd), "1* unknown");
    let other = svcd.main_pid("other");
    svcd.write("web", &nice(2));
    eventually("the edit is in force", || is_nice(&svcd, "web", 2));
    assert_eq!(told(&svcd), "1 unknown, 2* unknown");
    assert_eq!(generations(&svcd)[1]["by"]["kind"], "files");
    // What changes nothing is none.
    svcd.write("web", &format!("# said otherwise\n{}", nice(2)));
    svcd.ok(&["plan"]);
    assert_eq!(in_force(&svcd), 2);
    let differs = svcd.ok(&["diff", "1", "2"]);
    assert!(
        differs.contains("~ web changed\n    [service] nice: 1 -> 2"),
        "{differs}"
    );
    assert_eq!(svcd.svc(&["diff", "1", "x"]).code, 2);

    svcd.ok(&["rollback"]);
    eventually("the one before is in force", || is_nice(&svcd, "web", 1));
    assert_eq!(in_force(&svcd), 1);
    let says = svcd.ok(&["status"]);
    assert!(
        says.contains("generation 1 is in force, and not what the files say: rolled back from generation 2 by uid"),
        "{says}"
    );
    let planned = svcd.svc(&["plan"]);
    assert!(
        planned.code == 2 && planned.out.contains("not what the files say") && planned.out.contains("nice: 1 -> 2"),
        "{}",
        planned.out
    );
    // Whatever becomes of svcd, and of instances and transient units meanwhile.
    svcd.write("job@", SLEEPER);
    svcd.write("more", SLEEPER);
    svcd.ok(&["reexec"]);
    assert_eq!(in_force(&svcd), 3, "a new file is an edit, and the disk is in force");
    svcd.ok(&["rollback", "1"]);
    eventually("it is back", || is_nice(&svcd, "web", 1));
    svcd.ok(&["run", "--name", "passing", "-d", "--", "/bin/sleep", "1000000"]);
    svcd.ok(&["start", "job@1"]);
    assert!(is_nice(&svcd, "web", 1) && in_force(&svcd) == 1);
    svcd.ok(&["reexec"]);
    assert!(is_nice(&svcd, "web", 1) && in_force(&svcd) == 1);
    svcd.kill();
    svcd.start_again();
    assert!(is_nice(&svcd, "web", 1) && in_force(&svcd) == 1);
    for name in ["passing", "job@1", "other"] {
        assert_eq!(svcd.state(name), "running", "{name}");
    }
    assert_eq!(svcd.main_pid("other"), other, "nobody else noticed");
    svcd.stop();
    svcd.start_again();
    svcd.ok(&["start", "web"]);
    assert!(is_nice(&svcd, "web", 1) && in_force(&svcd) == 1);
    // The next edit, of whichever file, puts the disk in force again.
    svcd.write("other", &nice(3));
    eventually("the disk is in force", || is_nice(&svcd, "web", 2));
    assert_eq!(in_force(&svcd), 4);
    assert!(!svcd.ok(&["status"]).contains("not what the files say"));
    assert_eq!(svcd.svc(&["rollback", "77"]).code, 78);
    let mode = std::os::unix::fs::PermissionsExt::mode(
        &fs::metadata(svcd.dir().join("state/generations"))
            .unwrap()
            .permissions(),
    );
    assert_eq!(mode & 0o777, 0o700, "files may hold secrets");
}

#[test]
fn an_apply_is_a_generation_and_what_waits_for_one_is_none() {
    let settings = "[reload]\nmode = \"manual\"\n";
    let mut svcd = with_settings(&[("web", &nice(1))], settings);
    svcd.ok(&["start", "web"]);
    svcd.write("web", &nice(2));
    assert_eq!(svcd.svc(&["plan"]).code, 2);
    // Over a boot either nothing is taken over that nobody has applied.
    svcd.stop();
    svcd.start_again();
    svcd.ok(&["start", "web"]);
    assert!(is_nice(&svcd, "web", 1) && in_force(&svcd) == 1);
    let applied = svcd.json(&["apply"]);
    assert_eq!(applied["generation"], 2, "{applied:#}");
    eventually("it is applied", || is_nice(&svcd, "web", 2));
    assert_eq!(generations(&svcd)[1]["by"]["kind"], "operator");
    assert_eq!(svcd.json(&["apply"])["generation"], 2, "nothing was to be done");
    svcd.ok(&["set", "--persist", "web", "memory-max=64M"]);
    assert_eq!(in_force(&svcd), 3);
    assert!(svcd.ok(&["diff", "2", "3"]).contains("memory-max"));
    svcd.ok(&["reexec"]);
    svcd.ok(&["apply"]);
    assert_eq!(in_force(&svcd), 3);
    assert!(svcd.ok(&["show", "web"]).contains("memory-max"));
}

#[test]
fn a_generation_that_keeps_failing_gives_way_to_the_last_good_one() {
    let settings = "[deploy]\nprobation = \"4s\"\n";
    let svcd = with_settings(&[("web", &nice(1)), ("other", SLEEPER)], settings);
    svcd.ok(&["start", "web", "other"]);
    let other = svcd.main_pid("other");
    eventually("it has shown that it is good", || told(&svcd) == "1* good");
    svcd.write("web", &shell("echo no; exit 3", ""));
    eventually("the good one is back", || told(&svcd) == "1* good, 2 failed");
    eventually("with what it had", || is_nice(&svcd, "web", 1));
    let why = generations(&svcd)[1]["why"].as_str().unwrap().to_owned();
    assert!(
        why.contains("web, which was up before, keeps failing: exit-code 3"),
        "{why}"
    );
    assert!(svcd.said().contains("generation 1 takes its place"), "{}", svcd.said());
    assert!(svcd.ok(&["status"]).contains("generation 2 failed: web"));
    let caused = svcd.ok(&["why", "web"]);
    assert!(caused.contains("generation 2 failed"), "{caused}");
    // A unit that was never up is no reason, and neither is one that somebody stops.
    svcd.write(
        "new",
        &format!("[unit]\nwanted-by = [\"default\"]\n{}", shell("exit 1", "")),
    );
    svcd.write("web", &nice(2));
    eventually("the edit is in force", || is_nice(&svcd, "web", 2));
    svcd.ok(&["stop", "other"]);
    eventually("it has shown that it is good", || told(&svcd).ends_with("* good"));
    assert!(!alive(other));
    // A unit that does not come back has failed at once.
    svcd.write("web", &format!("{}[restart]\npolicy = \"no\"\n", shell("exit 3", "")));
    eventually("and again", || {
        told(&svcd).ends_with(" failed") && is_nice(&svcd, "web", 2)
    });
}

/// svcd and all that it runs are gone at once, as by a power cut, and another boot of the machine follows.
fn lose_power(svcd: &mut Svcd) {
    let members = machine::members(&svcd.cgroup(""));
    svcd.kill();
    // With the reaper of its namespace a process is gone already.
    for pid in members.iter().filter_map(|pid| Pid::from_raw(pid.cast_signed())) {
        let _ = kill_process(pid, Signal::KILL);
    }
    eventually("all are gone", || members.iter().all(|pid| !alive(*pid)));
    fs::remove_file(svcd.dir().join("run/state")).unwrap();
    let state = svcd.dir().join("state/generations/state.json");
    let text = fs::read_to_string(&state).unwrap();
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
    fs::write(&state, text.replace(boot.trim(), "another boot")).unwrap();
}

#[test]
fn a_generation_that_the_machine_dies_under_gives_way() {
    let settings = "[deploy]\nprobation = \"1s\"\n";
    let units = [("web", format!("[unit]\nwanted-by = [\"default\"]\n{}", nice(1)))];
    let mut svcd = with_settings(&[("web", &units[0].1)], settings);
    eventually("it has shown that it is good", || told(&svcd) == "1* good");
    fs::write(svcd.dir().join("svcd.toml"), "[deploy]\nprobation = \"1h\"\n").unwrap();
    svcd.stop();
    svcd.start_again();
    svcd.write("web", &units[0].1.replace("nice = 1", "nice = 2"));
    eventually("the edit is in force", || is_nice(&svcd, "web", 2));
    assert_eq!(told(&svcd), "1 good, 2* probation");
    // A kill of svcd alone, a re-exec and an end in order say nothing.
    svcd.ok(&["reexec"]);
    svcd.kill();
    svcd.start_again();
    assert_eq!(told(&svcd), "1 good, 2* probation");
    svcd.stop();
    svcd.start_again();
    eventually("it is up", || is_nice(&svcd, "web", 2));
    assert_eq!(told(&svcd), "1 good, 2* probation");
    lose_power(&mut svcd);
    svcd.start_again();
    assert_eq!(told(&svcd), "1* good, 2 failed");
    eventually("the good one is up", || is_nice(&svcd, "web", 1));
    assert!(
        svcd.ok(&["status"])
            .contains("the machine went down before its probation was over")
    );
    // It stays so over the next boot.
    lose_power(&mut svcd);
    svcd.start_again();
    eventually("the good one is up", || is_nice(&svcd, "web", 1));
    assert_eq!(told(&svcd), "1* good, 2 failed");
}

#[test]
fn a_bad_file_changes_nothing_over_a_boot_either() {
    let wanted = format!("[unit]\nwanted-by = [\"default\"]\n{}", nice(1));
    let mut svcd = with_settings(&[("web", &wanted)], "");
    eventually("it is up", || is_nice(&svcd, "web", 1));
    svcd.write("web", "[service]\nexec-");
    svcd.stop();
    svcd.start_again();
    eventually("it is up as it was", || is_nice(&svcd, "web", 1));
    assert!(!svcd.status("web")["findings"].as_array().unwrap().is_empty());
    svcd.write("web", &wanted.replace("nice = 1", "nice = 2"));
    eventually("it is mended", || is_nice(&svcd, "web", 2));
}

#[test]
fn row_39_kill_at_any_call_of_an_apply() {
    if let Some(why) = Trace::missing() {
        return skip("row_39_kill_at_any_call_of_an_apply", why);
    }
    let settings = "[reload]\nmode = \"manual\"\n";
    let mut svcd = with_settings(&[("web", &nice(1)), ("db", &nice(1)), ("steady", SLEEPER)], settings);
    svcd.ok(&["start", "web", "db", "steady"]);
    let steady = svcd.main_pid("steady");
    let mut value = 1;
    for call in [
        "openat",
        "write",
        "fsync",
        "rename",
        "clone3",
        "pwrite64",
        "epoll_pwait",
    ] {
        for nth in [1, 2, 4] {
            value = 3 - value;
            let before = in_force(&svcd);
            svcd.write("web", &nice(value));
            svcd.write("db", &nice(value));
            let trace = Trace::attach(&svcd, &[&format!("inject={call}:signal=SIGKILL:when={nth}")]);
            let done = svcd.svc(&["apply"]);
            drop(trace);
            svcd.start_again_if_gone();
            let what = format!("{call} {nth}: {}{}", done.out, done.err);
            eventually(&format!("both are of one generation: {what}"), || {
                ["web", "db"].iter().all(|unit| svcd.state(unit) == "running")
                    && generations_agree(&svcd, before, i32::from(value))
            });
            assert_eq!(svcd.main_pid("steady"), steady, "{what}");
            if in_force(&svcd) == before {
                svcd.ok(&["apply"]);
                eventually("it can be applied", || generations_agree(&svcd, 0, i32::from(value)));
            }
        }
    }
}

/// Both units are as the generation in force says: as before, or as the new one has them.
fn generations_agree(svcd: &Svcd, before: u64, new: i32) -> bool {
    let expected = if in_force(svcd) == before { 3 - new } else { new };
    ["web", "db"].iter().all(|unit| is_nice(svcd, unit, expected))
}
