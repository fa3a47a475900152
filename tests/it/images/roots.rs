//! `[root] image`: a service that runs in an image.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use super::layout::{Tar, write_with};
use super::{Images, can_run, text};
use crate::built::binary;
use crate::harness::{Plan, SLEEPER, Svcd, shell};
use crate::machine::eventually;
use crate::view::{look, said};

/// A layer with a shell in it, and what else is given.
pub(super) fn layer(more: Tar) -> Vec<u8> {
    let busybox = fs::read("/bin/busybox").expect("a static busybox");
    let directories = ["bin/", "etc/", "srv/", "tmp/"];
    let tar = directories.iter().fold(more, |tar, name| tar.directory(name));
    let tar = tar.entry(b'0', "bin/busybox", "", &busybox, 0o755);
    let applets = ["sh", "cat", "echo", "id", "ls", "pwd", "sleep", "touch", "wc"];
    let tar = applets
        .iter()
        .fold(tar, |tar, name| tar.symlink("busybox", &format!("bin/{name}")));
    tar.end()
}

/// Loads an image into the store of a plan's supervisor.
#[track_caller]
pub(super) fn load(dir: &Path, images: &Images, name: &str, layer: &[u8], config: &Value) {
    let at = images.path("layout");
    drop(fs::remove_dir_all(&at));
    write_with(&at, "made", layer, layer, config);
    svc_image(dir, &["load", "--name", name, "-i", &at.display().to_string()]);
}

#[track_caller]
pub(super) fn svc_image(dir: &Path, arguments: &[&str]) -> String {
    let mut command = Command::new(binary("svc"));
    command
        .arg("image")
        .arg("--state-dir")
        .arg(dir.join("state"))
        .args(arguments);
    text(&command.output().expect("start svc"), arguments)
}

pub(super) fn root(image: &str, keys: &str) -> String {
    format!("[root]\nimage = \"{image}\"\n{keys}\n")
}

/// The OCI image specification, config.md: what an image says is done, unless the unit says otherwise.
#[test]
fn an_image_says_how_it_is_run_and_the_unit_wins() {
    if !can_run("an_image_says_how_it_is_run_and_the_unit_wins", &["busybox"]) {
        return;
    }
    let (plan, images) = (Plan::new(), Images::new());
    let script = "echo $0 $1 $(id -u) $(id -g) $(pwd) $COLOUR $SHAPE; trap 'echo asked; exit 0' USR1; \
                  echo done; while :; do sleep 0.02; done";
    let config = json!({
        "Env": ["PATH=/bin", "COLOUR=red", "SHAPE=round"], "WorkingDir": "/srv", "User": "web:4713", "StopSignal": "SIGUSR1",
        "Entrypoint": ["sh", "-c", script], "Cmd": ["zero", "one$two"],
        "ExposedPorts": { "80/tcp": {} }, "Volumes": { "/data": {} },
    });
    let passwd = Tar::default().file("etc/passwd", "web:x:4711:4712:web:/:/bin/sh\n");
    load(plan.dir(), &images, "web:1", &layer(passwd), &config);
    let own =
        "user = \"0\"\nworking-directory = \"/tmp\"\nkill-signal = \"SIGKILL\"\nenvironment = { COLOUR = \"blue\" }\n";
    let script = look("echo $(id -u) $(pwd) $COLOUR $SHAPE");
    let svcd = plan
        .unit("image", &format!("[service]\n{}", root("web:1", "")))
        .unit("unit", &shell(&script, &format!("{own}{}", root("web:1", ""))))
        .start();
    assert_eq!(said(&svcd, "image"), ["zero one$two 4711 4713 /srv red round"]);
    svcd.ok(&["stop", "image"]);
    svcd.line("image", "asked");
    assert_eq!(svcd.status("image")["result"], "success");
    assert_eq!(said(&svcd, "unit"), ["0 /tmp blue round"]);
}

#[test]
fn what_an_image_cannot_be_run_with_is_named() {
    if !can_run("what_an_image_cannot_be_run_with_is_named", &["busybox"]) {
        return;
    }
    let (plan, images) = (Plan::new(), Images::new());
    let command = json!(["/bin/sleep", "1000000"]);
    let configs = [
        ("silent", json!({}), "has no command, and the unit has no `exec-start`"),
        (
            "nobody",
            json!({ "Cmd": command, "User": "4294967296" }),
            "`4294967296` is no user or group",
        ),
        (
            "odd",
            json!({ "Cmd": command, "StopSignal": "SIGODD" }),
            "has the stop signal \"SIGODD\"",
        ),
        (
            "nowhere",
            json!({ "Cmd": command, "WorkingDir": "srv" }),
            "has the working directory \"srv\", which is not absolute",
        ),
        (
            "mute",
            json!({ "Cmd": command, "Env": ["=x"] }),
            "has \"=x\" in its environment",
        ),
    ];
    let blob = layer(Tar::default());
    for (name, config, _) in &configs {
        load(plan.dir(), &images, name, &blob, config);
    }
    let unit = |name: &str| format!("[service]\n[restart]\npolicy = \"no\"\n{}", root(name, ""));
    let plan = configs
        .iter()
        .fold(plan, |plan, (name, ..)| plan.unit(name, &unit(name)));
    let svcd = plan.unit("absent", &unit("no/such:image")).start();
    let absent = ("absent", json!({}), "no/such:image: no such image");
    for (name, _, why) in configs.iter().chain([&absent]) {
        let done = svcd.svc(&["start", name]);
        assert_eq!(done.code, 1, "{name}: {}", done.err);
        assert!(done.err.contains(why), "{name}: {}", done.err);
        assert_eq!(svcd.status(name)["failed-step"], "root image", "{name}");
    }
}

/// What runs goes on with the image that it was started with, wherever its name leads by then, and gc leaves that alone.
#[test]
fn a_name_that_leads_elsewhere_counts_from_the_next_start_on() {
    if !can_run(
        "a_name_that_leads_elsewhere_counts_from_the_next_start_on",
        &["busybox"],
    ) {
        return;
    }
    let (plan, images) = (Plan::new(), Images::new());
    let dir = plan.dir().to_owned();
    let config = json!({ "Cmd": ["/bin/sh", "-c", look("cat /srv/version")] });
    let version = |number: &str| layer(Tar::default().file("srv/version", &format!("version {number}\n")));
    load(&dir, &images, "web", &version("1"), &config);
    let svcd = plan.unit("web", &format!("[service]\n{}", root("web", ""))).start();
    assert_eq!(said(&svcd, "web"), ["version 1"]);
    load(&dir, &images, "web", &version("2"), &config);
    svc_image(&dir, &["gc"]);
    let running = |svcd: &Svcd| fs::read_to_string(format!("/proc/{}/root/srv/version", svcd.main_pid("web"))).unwrap();
    assert_eq!(running(&svcd), "version 1\n");
    let layers = || fs::read_dir(dir.join("state/images/layers")).unwrap().count();
    assert_eq!(layers(), 2, "what runs is not taken away");
    svcd.ok(&["restart", "web"]);
    svcd.line("web", "version 2");
    assert_eq!(running(&svcd), "version 2\n");
    svc_image(&dir, &["gc"]);
    assert_eq!(layers(), 2, "nor is what it ran well with before");
    svcd.ok(&["restart", "web"]);
    svc_image(&dir, &["gc"]);
    assert_eq!(layers(), 1);
}

/// A generation is put in force again with the image that it had, and gc leaves that of the one before.
#[test]
fn a_rollback_brings_the_image_back() {
    if !can_run("a_rollback_brings_the_image_back", &["busybox"]) {
        return;
    }
    let (plan, images) = (Plan::new(), Images::new());
    let dir = plan.dir().to_owned();
    fs::write(dir.join("svcd.toml"), "[deploy]\nprobation = \"1s\"\n").unwrap();
    let config = json!({ "Cmd": ["/bin/sh", "-c", look("cat /srv/version")] });
    let version = |number: &str| layer(Tar::default().file("srv/version", &format!("version {number}\n")));
    load(&dir, &images, "web", &version("1"), &config);
    let unit = format!("[service]\n{}", root("web", ""));
    let settings = dir.join("svcd.toml").display().to_string();
    let svcd = plan
        .unit("web", &unit)
        .argument("--settings")
        .argument(settings)
        .start();
    assert_eq!(said(&svcd, "web"), ["version 1"]);
    let is = |number: u64, state: &str| {
        let all = svcd.json(&["generations"]);
        all.as_array()
            .unwrap()
            .iter()
            .any(|one| one["number"] == number && one["state"] == state)
    };
    eventually("it has shown that it is good", || is(1, "good"));
    load(&dir, &images, "web", &version("2"), &config);
    svcd.write("web", &unit.replace("[service]", "[service]\nnice = 2"));
    svcd.line("web", "version 2");
    let differs = svcd.ok(&["diff", "1", "2"]);
    assert!(differs.contains("    image: sha256:"), "{differs}");
    svc_image(&dir, &["gc"]);
    svcd.ok(&["rollback"]);
    let running = || {
        let pid = svcd.status("web")["main-pid"]["host"].as_u64()?;
        fs::read_to_string(format!("/proc/{pid}/root/srv/version")).ok()
    };
    eventually("it runs in the image that it had", || {
        running().as_deref() == Some("version 1\n")
    });
    svcd.ok(&["restart", "web"]);
    eventually("and starts in it", || running().as_deref() == Some("version 1\n"));
}

/// A unit on an image whose name is led elsewhere.
struct Moving {
    svcd: Svcd,
    images: Images,
}

impl Moving {
    /// The unit `web` runs in version 1, and `beside` is bound to it.
    fn start() -> Self {
        let (plan, images) = (Plan::new(), Images::new());
        lead(&images, plan.dir(), 1);
        let unit = format!("[service]\n{}", root("web", ""));
        let beside = format!("[unit]\nbinds-to = [\"web\"]\n{SLEEPER}");
        let svcd = plan
            .unit("web", &unit)
            .unit("beside", &beside)
            .unit("other", SLEEPER)
            .start();
        svcd.ok(&["start", "beside", "other"]);
        Self { svcd, images }
    }

    fn lead_to(&self, version: u32) {
        lead(&self.images, self.svcd.dir(), version);
    }

    fn runs(&self, version: u32) {
        eventually(&format!("it runs in version {version}"), || {
            let pid = self.svcd.status("web")["main-pid"]["host"].as_u64();
            let read = |pid| fs::read_to_string(format!("/proc/{pid}/root/srv/version")).ok();
            pid.and_then(read).is_some_and(|text| text == format!("{version}\n"))
        });
    }

    /// The plan, by its exit status, its hash, and what it does to the unit and to the other one.
    fn plan(&self) -> (i32, String, [Value; 2]) {
        let done = self.svcd.svc(&["--json", "plan"]);
        let plan: Value = serde_json::from_str(&done.out).expect("JSON");
        let of = |name: &str| {
            let units = plan["units"].as_array().into_iter().flatten();
            units
                .clone()
                .find(|one| one["unit"] == name)
                .cloned()
                .unwrap_or_default()
        };
        let hash = plan["hash"].as_str().expect("a hash").to_owned();
        (done.code, hash, [of("web"), of("beside")])
    }
}

fn lead(images: &Images, dir: &Path, version: u32) {
    let config = json!({ "Cmd": ["/bin/sleep", "1000000"] });
    let layer = layer(Tar::default().file("srv/version", &format!("{version}\n")));
    load(dir, images, "web", &layer, &config);
}

/// A name that leads elsewhere than when its unit was started is a difference, which only an apply takes over.
#[test]
fn a_name_that_leads_to_another_image_makes_a_plan() {
    if !can_run("a_name_that_leads_to_another_image_makes_a_plan", &["busybox"]) {
        return;
    }
    let moving = Moving::start();
    let svcd = &moving.svcd;
    moving.runs(1);
    let (code, nothing, _) = moving.plan();
    assert_eq!(code, 0);
    moving.lead_to(2);
    let pid = svcd.main_pid("web");
    // Neither what another unit's file says moves it, nor svcd that begins anew.
    svcd.write("other", &format!("{SLEEPER}nice = 2\n"));
    eventually("the file is taken over", || {
        svcd.ok(&["show", "other"]).contains("other.toml:3")
    });
    svcd.ok(&["reexec"]);
    assert_eq!(svcd.main_pid("web"), pid);
    let (code, hash, [web, beside]) = moving.plan();
    assert_eq!(
        (code, &web["action"], &web["fields"][0]["key"]),
        (2, &"restart".into(), &"image".into())
    );
    let digest = |which: &str| web["fields"][0][which].as_str().unwrap_or_default().to_owned();
    assert!(
        ["before", "after"]
            .iter()
            .all(|which| digest(which).starts_with("sha256:")),
        "{web:#}"
    );
    assert_eq!((&beside["action"], &beside["with"]), (&"restart".into(), &"web".into()));
    moving.lead_to(3);
    let (_, other, [again, _]) = moving.plan();
    assert!(hash != nothing && hash != other, "another image is another plan");
    assert_eq!(again["fields"][0]["before"], web["fields"][0]["before"]);
    assert_eq!(svcd.svc(&["apply", "--plan", &hash]).code, 78);
    assert_eq!(svcd.main_pid("web"), pid, "nothing was done");
    svcd.ok(&["apply", "--plan", &other]);
    moving.runs(3);
    assert_ne!(svcd.main_pid("web"), pid);
    svcd.reaches("beside", "running");
    assert_eq!(moving.plan().0, 0);
}

/// An image alone makes a generation, and one can go back to the one before.
#[test]
fn an_image_that_was_taken_over_is_a_generation() {
    if !can_run("an_image_that_was_taken_over_is_a_generation", &["busybox"]) {
        return;
    }
    let moving = Moving::start();
    let svcd = &moving.svcd;
    moving.runs(1);
    svcd.ok(&["apply"]);
    let numbers = || svcd.json(&["generations"]).as_array().map_or(0, Vec::len);
    assert_eq!(numbers(), 1);
    moving.lead_to(2);
    svcd.ok(&["apply"]);
    moving.runs(2);
    assert_eq!(numbers(), 2);
    let differs = svcd.ok(&["diff", "1", "2"]);
    assert!(differs.contains("    image: sha256:"), "{differs}");
    svcd.ok(&["rollback"]);
    moving.runs(1);
    // The disk has the other one still; until it is applied, every start is with this one.
    svcd.ok(&["restart", "web"]);
    moving.runs(1);
    assert_eq!(moving.plan().0, 2);
    svcd.ok(&["apply"]);
    moving.runs(2);
    assert_eq!(moving.plan().0, 0);
}

/// Any number of units share one copy of a layer.
#[test]
fn a_hundred_units_on_one_image_hold_one_copy() {
    if !can_run("a_hundred_units_on_one_image_hold_one_copy", &["busybox"]) {
        return;
    }
    let (plan, images) = (Plan::new(), Images::new());
    let dir = plan.dir().to_owned();
    let config = json!({ "Cmd": ["/bin/sleep", "1000000"] });
    load(&dir, &images, "web", &layer(Tar::default()), &config);
    let bytes = || -> u64 { size(&dir.join("state")) };
    let before = bytes();
    let names: Vec<String> = (0..100).map(|nth| format!("web-{nth}")).collect();
    let unit = format!("[service]\n{}", root("web", "size = \"1M\""));
    let svcd = names.iter().fold(plan, |plan, name| plan.unit(name, &unit)).start();
    let all: Vec<&str> = std::iter::once("start")
        .chain(names.iter().map(String::as_str))
        .collect();
    svcd.ok(&all);
    for name in &names {
        let program = fs::metadata(format!("/proc/{}/root/bin/busybox", svcd.main_pid(name))).unwrap();
        assert!(program.len() > 0, "{name}");
    }
    assert!(bytes() - before < 100 << 10, "a digest for each, and no copy");
}

fn size(directory: &Path) -> u64 {
    let entries = fs::read_dir(directory).unwrap().flatten();
    let each = entries.map(|entry| match entry.file_type().unwrap().is_dir() {
        true => size(&entry.path()),
        false => entry.metadata().unwrap().len(),
    });
    each.sum()
}

/// docker run(1): words that are typed go behind the image's entry point, and take the place of its command.
#[test]
fn what_is_run_of_an_image_begins_with_its_entry_point() {
    if !can_run("what_is_run_of_an_image_begins_with_its_entry_point", &["busybox"]) {
        return;
    }
    let (plan, images) = (Plan::new(), Images::new());
    let config = json!({ "Entrypoint": ["/bin/echo", "first"], "Cmd": ["default"], "Env": ["A=image"] });
    load(plan.dir(), &images, "said:1", &layer(Tar::default()), &config);
    let svcd = plan.start();
    assert_eq!(svcd.ok(&["run", "--rm", "said:1"]), "first default\n");
    assert_eq!(svcd.ok(&["run", "--rm", "said:1", "typed", "$A"]), "first typed $A\n");
    let script = ["run", "--rm", "--entrypoint", "/bin/sh", "said:1", "-c", "echo $A"];
    assert_eq!(svcd.ok(&script), "image\n");
    let done = svcd.svc(&["run", "--rm", "nosuch:1", "true"]);
    assert_eq!(done.code, 1, "{}", done.err);
    assert!(done.err.ends_with(": nosuch:1: no such image\n"), "{}", done.err);
}
