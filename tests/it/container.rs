//! svcd as the first process of a container: with namespaces of unshare(1), with and without privileges and a /proc of its
//! own.

use std::fs;
use std::os::unix::fs::chown;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Instant;

use rustix::process::Signal;

use super::harness::{Plan, SLEEPER, Svcd, shell};
use super::machine::{alive, bar, eventually, is_root, processes, program, send, skip, state_and_parent, zombies_of};

/// A user who may do nothing.
const NOBODY: u32 = 65_534;

/// What a container is made with, or why it cannot be here.
fn unshare(flags: &[&str]) -> Result<Vec<String>, &'static str> {
    if !is_root() {
        return Err("a pid namespace needs root");
    }
    let program = program("unshare").ok_or("no unshare(1) here")?;
    let words = ["--pid", "--fork", "--kill-child"].iter().chain(flags);
    Ok(std::iter::once(program.display().to_string())
        .chain(words.map(ToString::to_string))
        .collect())
}

/// The same as a user who may do nothing, in a user namespace where that is root.
fn unprivileged(flags: &[&str]) -> Result<Vec<String>, &'static str> {
    let wrapper = unshare(&[&["--user", "--map-root-user"], flags].concat())?;
    let setpriv = program("setpriv").ok_or("no setpriv(1) here")?;
    let as_nobody = ["--reuid", "65534", "--regid", "65534", "--clear-groups"];
    let line: Vec<String> = std::iter::once(setpriv.display().to_string())
        .chain(as_nobody.map(str::to_owned))
        .chain(wrapper)
        .collect();
    let tried = Command::new(&line[0])
        .args(&line[1..])
        .arg("true")
        .stderr(Stdio::null())
        .status();
    match tried {
        Ok(status) if status.success() => Ok(line),
        _ => Err("no user namespace for who is not root"),
    }
}

trait InContainer {
    /// To be started by these words, with these settings.
    fn inside(self, wrapper: &[String], settings: &str) -> Plan;
}

impl InContainer for Plan {
    fn inside(self, wrapper: &[String], settings: &str) -> Plan {
        let file = self.dir().join("svcd.toml");
        fs::write(&file, settings).unwrap();
        let words: Vec<&str> = wrapper.iter().map(String::as_str).collect();
        self.under(&words)
            .argument("--settings")
            .argument(file.display().to_string())
    }
}

/// The host's number of a container's first process.
fn first(svcd: &Svcd) -> u32 {
    let ours = |pid: &u32| state_and_parent(*pid).is_some_and(|(_, parent)| parent == svcd.pid());
    processes().into_iter().find(ours).expect("svcd is a child of unshare")
}

fn until_gone(svcd: &Svcd) {
    eventually("the container has ended", || !alive(svcd.pid()));
}

const BOOTS: &str = "[unit]\nwanted-by = [\"default\"]\n";
const PLAIN: &str = "[isolation]\nprofile = \"none\"\n";

#[test]
fn a_container_ends_with_the_status_of_its_main_unit() {
    let wrapper = match unshare(&["--mount-proc"]) {
        Ok(wrapper) => wrapper,
        Err(why) => return skip("a_container_ends_with_the_status_of_its_main_unit", why),
    };
    for (script, more, status) in [
        ("exit 0", "", 0),
        ("exit 7", "[restart]\npolicy = \"no\"\n", 7),
        ("kill -KILL $$", "[restart]\npolicy = \"no\"\n", 137),
        // Brought back twice, and then it has ended for good.
        (
            "echo x >>{unit}; [ $(wc -l <{unit}) = 3 ]",
            "[restart]\ndelay = \"1ms\"\n",
            0,
        ),
        (
            "exit 1",
            "[restart]\ndelay = \"1ms\"\ngive-up = { starts = 3, within = \"1m\" }\n",
            1,
        ),
    ] {
        let plan = Plan::new().ends_with(status);
        let script = script.replace("{unit}", &plan.dir().join("starts").display().to_string());
        let svcd = plan
            .unit("app", &shell(&script, &format!("{more}{PLAIN}")))
            // It goes down with the container.
            .unit("beside", &format!("{BOOTS}{SLEEPER}"))
            .inside(&wrapper, "[container]\nmain = \"app\"\n")
            .start_without_waiting();
        until_gone(&svcd);
    }
}

#[test]
fn a_main_unit_that_cannot_be_had_is_78() {
    let wrapper = match unshare(&["--mount-proc"]) {
        Ok(wrapper) => wrapper,
        Err(why) => return skip("a_main_unit_that_cannot_be_had_is_78", why),
    };
    for (unit, said) in [("other", "main unit app: no such unit"), ("app", "misc-max")] {
        let unenforceable = format!("{SLEEPER}[resources]\nmisc-max = {{ nosuch = 1 }}\n");
        let svcd = Plan::new()
            .ends_with(78)
            .unit(unit, &unenforceable)
            .inside(&wrapper, "[container]\nmain = \"app\"\n")
            .start_without_waiting();
        until_gone(&svcd);
        assert!(svcd.said().contains(said), "{}", svcd.said());
    }
}

#[test]
fn a_container_without_privileges_keeps_units_and_reaps() {
    let test = "a_container_without_privileges_keeps_units_and_reaps";
    for flags in [&[][..], &["--mount-proc"]] {
        let wrapper = match unprivileged(flags) {
            Ok(wrapper) => wrapper,
            Err(why) => return skip(test, why),
        };
        let storm = "n=0; while [ $n -lt 200 ]; do (:&); n=$((n + 1)); done; echo over; exec sleep 1000000";
        let plan = Plan::new();
        let tries = plan.dir().join("tries");
        let dying = format!(
            "echo x >>{}; [ $(wc -l <{0}) -ge 3 ] && exec sleep 1000000",
            tries.display()
        );
        let svcd = plan
            .unit("storm", &format!("{BOOTS}{}", shell(storm, PLAIN)))
            .unit(
                "dying",
                &format!(
                    "{BOOTS}{}",
                    shell(&dying, &format!("[restart]\ndelay = \"1ms\"\n{PLAIN}"))
                ),
            )
            .unit(
                "isolated",
                &format!("{BOOTS}{}", shell("echo I am $$; exec sleep 1000000", "")),
            )
            .inside(&wrapper, "");
        chown(svcd.dir(), Some(NOBODY), Some(NOBODY)).unwrap();
        let svcd = svcd.start();
        for unit in ["storm", "dying", "isolated"] {
            svcd.reaches(unit, "running");
        }
        eventually("it was brought back", || svcd.status("dying")["restarts"] == 2);
        svcd.line("storm", "over");
        let one = first(&svcd);
        eventually("all orphans are reaped", || zombies_of(one).is_empty());
        let shown = svcd.ok(&["ps", "dying"]);
        assert!(shown.contains("sleep 1000000"), "{flags:?}: {shown}");
        send(one, Signal::TERM);
        until_gone(&svcd);
    }
}

#[test]
fn what_a_container_cannot_give_is_refused_by_key() {
    let test = "what_a_container_cannot_give_is_refused_by_key";
    let Some(setpriv) = program("setpriv") else {
        return skip(test, "no setpriv(1) here");
    };
    let mut wrapper = match unshare(&["--mount-proc"]) {
        Ok(wrapper) => wrapper,
        Err(why) => return skip(test, why),
    };
    // As container managers do it: root, without the rights that count.
    wrapper.extend([setpriv.display().to_string(), "--bounding-set=-all".to_owned()]);
    let wishes = "[isolation]\nbest-effort = [\"mount\", \"pid\", \"ipc\", \"uts\", \"cgroup\", \"private-tmp\", \
        \"private-devices\", \"protect-system\", \"protect-kernel-tunables\"]\n";
    let svcd = Plan::new()
        .unit("standard", SLEEPER)
        .unit("wishes", &format!("{SLEEPER}{wishes}"))
        .unit("plain", &format!("{SLEEPER}{PLAIN}"))
        .inside(&wrapper, "")
        .start();
    let done = svcd.svc(&["start", "standard"]);
    assert_eq!(done.code, 78, "{}", done.err);
    assert!(done.err.contains("spawn mount: "), "{}", done.err);
    assert!(done.err.contains("CAP_SYS_ADMIN"), "{}", done.err);
    svcd.ok(&["start", "wishes", "plain"]);
    let isolation = &svcd.status("wishes")["isolation"];
    assert!(
        isolation["pid"]
            .as_str()
            .unwrap()
            .starts_with("skipped: it takes CAP_SYS_ADMIN"),
        "{isolation:#}"
    );
    send(first(&svcd), Signal::TERM);
    until_gone(&svcd);
}

#[test]
fn signals_for_a_program_reach_the_main_unit() {
    let wrapper = match unshare(&["--mount-proc"]) {
        Ok(wrapper) => wrapper,
        Err(why) => return skip("signals_for_a_program_reach_the_main_unit", why),
    };
    let script = "trap 'echo got USR1' USR1; trap 'echo got WINCH' WINCH; trap 'exit 5' TERM; echo ready; \
        while :; do sleep 0.02; done";
    let svcd = Plan::new()
        .ends_with(5)
        .unit("app", &shell(script, ""))
        .inside(&wrapper, "[container]\nmain = \"app\"\n")
        .start();
    svcd.line("app", "ready");
    let one = first(&svcd);
    for (signal, said) in [(Signal::USR1, "got USR1"), (Signal::WINCH, "got WINCH")] {
        send(one, signal);
        svcd.line("app", said);
    }
    send(one, Signal::TERM);
    until_gone(&svcd);
}

/// Every way to end a container: a verb, or a signal to its first process.
#[test]
fn a_container_is_ended_by_verb_and_by_signal() {
    let wrapper = match unshare(&["--mount-proc"]) {
        Ok(wrapper) => wrapper,
        Err(why) => return skip("a_container_is_ended_by_verb_and_by_signal", why),
    };
    let unit = format!("{BOOTS}{SLEEPER}{PLAIN}");
    let start = || {
        let svcd = Plan::new().unit("web", &unit).inside(&wrapper, "").start();
        svcd.reaches("web", "running");
        svcd
    };
    for verb in ["poweroff", "reboot", "halt"] {
        let svcd = start();
        svcd.ok(&[verb]);
        until_gone(&svcd);
    }
    // SIGINT, SIGPWR, and SIGRTMIN+3 as the managers of containers send it.
    for signal in ["INT", "PWR", "37"] {
        let svcd = start();
        let kill = program("kill").expect("kill(1) is installed");
        let sent = Command::new(kill)
            .args(["-s", signal, &first(&svcd).to_string()])
            .status();
        assert!(sent.unwrap().success(), "{signal}");
        until_gone(&svcd);
    }
}

#[test]
fn a_supervisor_that_is_no_init_refuses_to_power_off() {
    let svcd = Svcd::with(&[("web", SLEEPER)]);
    svcd.ok(&["start", "web"]);
    for verb in ["poweroff", "reboot", "halt"] {
        let done = svcd.svc(&[verb]);
        assert_eq!(done.code, 78, "{}", done.err);
        let why = format!(
            "svc: {verb}: svcd is process {} here, and not the init of a machine",
            svcd.pid()
        );
        assert!(done.err.starts_with(&why), "{}", done.err);
    }
    assert_eq!(svcd.state("web"), "running");
}

#[test]
fn row_41_a_shutdown_takes_no_longer_than_it_may() {
    let wrapper = match unshare(&["--mount-proc"]) {
        Ok(wrapper) => wrapper,
        Err(why) => return skip("row_41_a_shutdown_takes_no_longer_than_it_may", why),
    };
    let stubborn = "trap '' TERM; while :; do sleep 0.05; done";
    let never = "timeout-stop = \"infinity\"\n";
    let svcd = Plan::new()
        .unit(
            "stubborn",
            &format!("{BOOTS}{}", shell(stubborn, &format!("{never}{PLAIN}"))),
        )
        // Not even killed: what it leaves is nobody's.
        .unit(
            "stuck",
            &format!(
                "{BOOTS}{}",
                shell(
                    stubborn,
                    &format!("timeout-stop = \"100ms\"\nsend-sigkill = false\n{PLAIN}")
                )
            ),
        )
        .unit("web", &format!("{BOOTS}{SLEEPER}"))
        .inside(&wrapper, "[shutdown]\ntimeout = \"12s\"\n")
        .start();
    for unit in ["stubborn", "stuck", "web"] {
        svcd.reaches(unit, "running");
    }
    let pid = svcd.main_pid("stubborn");
    send(first(&svcd), Signal::TERM);
    let begun = Instant::now();
    svcd.answers_in_time();
    until_gone(&svcd);
    assert!(begun.elapsed() <= bar(12_000), "it took {:?}", begun.elapsed());
    let said = svcd.said();
    let waited = format!("waiting for stubborn: {pid} /bin/sh -c trap '' TERM");
    assert!(said.contains(&waited), "{waited}: {said}");
    assert!(said.contains("3 s left"), "{said}");
    assert!(said.contains("units had 8s to stop, and that is over"), "{said}");
}

#[test]
fn row_41_units_stop_in_reverse_order() {
    let wrapper = match unshare(&["--mount-proc"]) {
        Ok(wrapper) => wrapper,
        Err(why) => return skip("row_41_units_stop_in_reverse_order", why),
    };
    let plan = Plan::new();
    let order: PathBuf = plan.dir().join("order");
    let unit = |name: &str, after: &str| {
        let stop = format!("sleep 0.1; echo {name} >>{}", order.display());
        format!("{BOOTS}after = [{after}]\n{SLEEPER}exec-stop = [\"/bin/sh\", \"-c\", \"{stop}\"]\n{PLAIN}")
    };
    let svcd = plan
        .unit("disk", &unit("disk", ""))
        .unit("db", &unit("db", "\"disk\""))
        .unit("web", &unit("web", "\"db\""))
        .inside(&wrapper, "")
        .start();
    svcd.reaches("web", "running");
    svcd.ok(&["poweroff"]);
    until_gone(&svcd);
    assert_eq!(fs::read_to_string(&order).unwrap(), "web\ndb\ndisk\n");
}

#[test]
fn a_supervisor_that_is_no_init_ends_in_time_too() {
    let stubborn = "trap '' TERM; while :; do sleep 0.05; done";
    let plan = Plan::new().ends_with(1);
    let settings = plan.dir().join("svcd.toml");
    fs::write(&settings, "[shutdown]\ntimeout = \"3s\"\n").unwrap();
    let mut svcd = plan
        .unit("stubborn", &shell(stubborn, "timeout-stop = \"infinity\"\n"))
        .argument("--settings")
        .argument(settings.display().to_string())
        .start();
    svcd.ok(&["start", "stubborn"]);
    let pid = svcd.main_pid("stubborn");
    assert_eq!(svcd.stop(), Some(1));
    assert!(
        svcd.said()
            .contains(&format!("svcd: did not stop: stubborn: {pid} /bin/sh")),
        "{}",
        svcd.said()
    );
}
