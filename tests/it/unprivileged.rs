//! `svc up` by a plain user: the same units, in a user namespace, as far as the kernel lets it; the rest is named.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::Path;
use std::process::{Command, Stdio};

use super::built::{binary, copy_program, svc_at};
use super::harness::{Plan, SLEEPER, shell};
use super::machine::{eventually, is_root, namespace, program, skip};

/// nobody's, on every machine.
const NOBODY: u32 = 65_534;

/// What they are told.
const WANTED: &str = "[unit]\nwanted-by = [\"default\"]\n";

#[test]
fn a_plain_user_runs_the_same_units() {
    let test = "a_plain_user_runs_the_same_units";
    if !is_root() || program("setpriv").is_none() {
        return skip(test, "it takes root to become nobody, and setpriv(1)");
    }
    let allowed = fs::read_to_string("/proc/sys/kernel/unprivileged_userns_clone").unwrap_or_default();
    if allowed.trim() == "0" {
        return skip(test, "this kernel lets nobody but root make user namespaces");
    }
    let script = "echo id $(id -u) of $(echo /proc/[0-9]* | wc -w); sleep 1000000";
    let once = "[restart]\npolicy = \"no\"\n";
    let units = [
        ("plain", shell(script, "")),
        ("same", format!("{SLEEPER}[isolation]\nuser = \"identity\"\n")),
        (
            "alone",
            format!("{SLEEPER}[isolation]\nprofile = \"strict\"\nuser = \"identity\"\n"),
        ),
        ("own", format!("{SLEEPER}{once}[isolation]\nuser = \"auto\"\n")),
        (
            "best",
            format!("{SLEEPER}[isolation]\nuser = \"auto\"\nbest-effort = [\"user\"]\n"),
        ),
        ("other", format!("{SLEEPER}user = 7\n{once}")),
    ];
    let plan = units.iter().fold(Plan::new(), |plan, (name, text)| {
        plan.unit(name, &format!("{WANTED}{text}"))
    });
    up_as_nobody(plan, &[], look);
}

/// As in a container whose runtime hides parts of /proc.
#[test]
fn a_proc_that_is_hidden_in_part_names_the_key() {
    let test = "a_proc_that_is_hidden_in_part_names_the_key";
    if !is_root() || program("setpriv").is_none() || program("unshare").is_none() {
        return skip(test, "it takes root to become nobody, setpriv(1) and unshare(1)");
    }
    let allowed = fs::read_to_string("/proc/sys/kernel/unprivileged_userns_clone").unwrap_or_default();
    if allowed.trim() == "0" {
        return skip(test, "this kernel lets nobody but root make user namespaces");
    }
    let unit = format!("{WANTED}{SLEEPER}[restart]\npolicy = \"no\"\n");
    let hidden = "mount --bind /dev/null /proc/version && exec \"$@\"";
    let wrapper = ["unshare", "--mount", "sh", "-c", hidden, "sh"];
    up_as_nobody(Plan::new().unit("web", &unit), &wrapper, |_, text| {
        eventually("it says which key cannot be held", || {
            text().contains("pid") && text().contains("parts of the one here are hidden")
        });
    });
}

/// Runs `svc up` for the units of a plan, and looks at it.
fn up_as_nobody(plan: Plan, wrapper: &[&str], look: impl Fn(&Path, &dyn Fn() -> String) + std::panic::RefUnwindSafe) {
    let runtime = plan.dir().join("of-nobody");
    fs::create_dir(&runtime).unwrap();
    chown(&runtime, Some(NOBODY), Some(NOBODY)).unwrap();
    // A copy, since nobody need get to where it was built.
    let svc = plan.dir().join("svc");
    copy_program(&binary("svc"), &svc);
    fs::set_permissions(&svc, fs::Permissions::from_mode(0o755)).unwrap();
    let said = plan.dir().join("said");
    let output = fs::File::create(&said).unwrap();
    // Busybox has one of its own, which a shell of its prefers.
    let setpriv = program("setpriv").unwrap().display().to_string();
    let nobody = [
        setpriv.as_str(),
        "--reuid",
        "65534",
        "--regid",
        "65534",
        "--clear-groups",
    ];
    let words = [wrapper, &nobody].concat();
    let mut up = Command::new(words[0])
        .args(&words[1..])
        .arg(&svc)
        .arg("up")
        .arg(plan.dir().join("units"))
        .env("XDG_RUNTIME_DIR", &runtime)
        .stdin(Stdio::null())
        .stdout(output.try_clone().unwrap())
        .stderr(output)
        .spawn()
        .unwrap();
    let text = || fs::read_to_string(&said).unwrap();
    let looked = std::panic::catch_unwind(|| look(&runtime, &text));
    rustix::process::kill_process(rustix::process::Pid::from_child(&up), rustix::process::Signal::INT).unwrap();
    let ended = up.wait().unwrap();
    let told = text();
    let left: Vec<_> = fs::read_dir(&runtime).unwrap().flatten().collect();
    fs::remove_dir_all(plan.dir()).unwrap();
    assert!(looked.is_ok(), "{told}");
    assert!(ended.success() && left.is_empty(), "{ended}: {told}");
}

/// At what runs, and at what is said of the rest.
fn look(runtime: &Path, text: &dyn Fn() -> String) {
    eventually("it says what cannot be had", || text().contains("65534 is not root"));
    let mut socket = None;
    eventually("it answers", || {
        let nests = fs::read_dir(runtime)
            .unwrap()
            .flatten()
            .map(|nest| nest.path().join("run/control.sock"));
        socket = nests.into_iter().find(|socket| socket.exists());
        socket.is_some()
    });
    let socket = socket.unwrap();
    let status = |unit: &str| -> serde_json::Value {
        let done = svc_at(&socket, &["--json", "status", unit]);
        serde_json::from_str(&done.out).unwrap_or_default()
    };
    for unit in ["plain", "same", "alone", "best"] {
        eventually(&format!("{unit} runs"), || status(unit)["state"] == "running");
        let pid = status(unit)["main-pid"]["host"].as_u64().unwrap() as u32;
        for kind in ["mnt", "pid", "ipc", "uts", "user"] {
            assert_ne!(
                namespace(pid, kind),
                namespace(std::process::id(), kind),
                "{unit}: {kind}"
            );
        }
        let ids = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        assert!(ids.contains("Uid:\t65534\t65534\t65534\t65534"), "{unit}: {ids}");
    }
    eventually("it is root there, with its reaper and nobody else", || {
        text().contains("id 0 of ")
    });
    for unit in ["same", "alone"] {
        assert_eq!(status(unit)["isolation"]["user"], "enforced", "{unit}");
    }
    assert_eq!(status("alone")["isolation"]["mode"], "enforced");
    let skipped = status("best")["isolation"]["user"].clone();
    assert!(
        skipped
            .as_str()
            .unwrap_or_default()
            .starts_with("skipped: svcd itself runs in a user namespace"),
        "{skipped}"
    );
    // What the kernel does not let a plain user have is refused by name.
    for (unit, why) in [("own", "has not all of the ids"), ("other", "")] {
        eventually(&format!("{unit} is refused"), || status(unit)["state"] == "failed");
        let status = status(unit);
        assert!(status["main-pid"].is_null());
        assert!(
            !status["failed-step"].is_null() && status.to_string().contains(why),
            "{unit}: {status:#}"
        );
    }
}
