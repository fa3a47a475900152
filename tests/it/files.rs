//! Unit files on disk and what svcd makes of them while it runs: drop-ins, templates, masks, edits, broken edits, and
//! directories that come and go.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::harness::{Plan, SLEEPER, Svcd, shell};
use super::machine::{alive, bar, eventually, is_root, program, send, skip, stays};

#[test]
fn a_drop_in_changes_what_it_names() {
    let svcd = Plan::new()
        .unit(
            "web",
            &shell(
                "echo $COLOUR $SHAPE; sleep 1000000",
                "environment = { COLOUR = \"red\", SHAPE = \"round\" }",
            ),
        )
        .unit(
            "web.toml.d/20-later.toml",
            "[service]\nenvironment = { COLOUR = \"green\" }\n",
        )
        .unit(
            "web.toml.d/10-earlier.toml",
            "[service]\nenvironment = { COLOUR = \"blue\" }\n",
        )
        .start();
    svcd.ok(&["start", "web"]);
    svcd.line("web", "green round");
    let shown = svcd.ok(&["cat", "web"]);
    let place = |text: &str| shown.find(text).unwrap_or_else(|| panic!("{text} is not in {shown}"));
    assert!(place("web.toml") < place("10-earlier.toml") && place("10-earlier.toml") < place("20-later.toml"));
}

#[test]
fn a_template_has_instances() {
    let unit = "[unit]\ndescription = \"{unit} for {instance}\"\n[service]\nenvironment = { WHO = \"{instance}\" }\n";
    let line = "exec-start = [\"/bin/sh\", \"-c\", \"echo hello $$WHO; sleep 1000000\"]\n";
    let svcd = Svcd::with(&[("greet@", &format!("{unit}{line}"))]);
    svcd.ok(&["start", "greet@ann", "greet@bob"]);
    svcd.line("greet@ann", "hello ann");
    svcd.line("greet@bob", "hello bob");
    assert_eq!(svcd.status("greet@bob")["description"], "greet@bob for bob");
    assert_eq!(svcd.svc(&["start", "greet@"]).code, 4, "a template itself cannot run");
}

#[test]
fn an_empty_file_and_a_link_to_null_mask() {
    let plan = Plan::new().unit("empty", "");
    symlink("/dev/null", plan.dir().join("units/linked.toml")).unwrap();
    let svcd = plan.start();
    for unit in ["empty", "linked"] {
        assert_eq!(svcd.state(unit), "masked");
        let done = svcd.svc(&["start", unit]);
        assert_eq!(done.code, 78, "{}", done.err);
        assert!(done.err.contains("masked"), "{}", done.err);
    }
}

#[test]
fn check_shows_every_finding_with_its_place() {
    let plan = Plan::new();
    let dir = plan.dir().join("units");
    fs::write(
        dir.join("a.toml"),
        "[service]\nexec-strat = [\"/bin/true\"]\nnice = \"high\"\n",
    )
    .unwrap();
    fs::write(
        dir.join("b.toml"),
        "[service]\nexec-start = [\"/bin/true\"]\n[resources]\nmemory-max = \"64Q\"\n",
    )
    .unwrap();
    fs::write(dir.join("good.toml"), SLEEPER).unwrap();
    let done = super::harness::svc_at("/nowhere".as_ref(), &["check", dir.to_str().unwrap()]);
    assert_eq!(done.code, 1, "{}{}", done.out, done.err);
    let said = done.out + &done.err;
    for part in ["a.toml:2:1", "exec-start", "a.toml:3:", "b.toml:4:", "64Q"] {
        assert!(said.contains(part), "{part} is not in:\n{said}");
    }
    let json = super::harness::svc_at("/nowhere".as_ref(), &["--json", "check", dir.to_str().unwrap()]);
    let json: serde_json::Value = serde_json::from_str(&json.out).unwrap();
    let found = json.as_array().or_else(|| json["findings"].as_array()).unwrap();
    assert!(
        found
            .iter()
            .any(|finding| finding["line"] == 2 && finding["file"].as_str().unwrap().ends_with("a.toml"))
    );
    fs::remove_dir_all(plan.dir()).unwrap();
}

#[test]
fn a_saved_edit_is_taken_over() {
    let svcd = Svcd::with(&[("web", SLEEPER), ("other", SLEEPER)]);
    svcd.ok(&["start", "web", "other"]);
    let (web, other) = (svcd.main_pid("web"), svcd.main_pid("other"));
    svcd.write("web", &format!("{SLEEPER}environment = {{ A = \"1\" }}\n"));
    eventually("web runs as the new file says", || {
        !alive(web) && svcd.state("web") == "running"
    });
    svcd.write(
        "web",
        &format!("{SLEEPER}environment = {{ A = \"1\" }}\n[log]\nmax-size = \"1M\"\n"),
    );
    eventually("a live key is taken over", || svcd.ok(&["show", "web"]).contains("1M"));
    svcd.write("new", &format!("{SLEEPER}[unit]\nwanted-by = [\"default\"]\n"));
    svcd.reaches("new", "running");
    svcd.remove("new");
    eventually("a removed unit stops and is gone", || {
        svcd.svc(&["status", "new"]).code == 4
    });
    assert_eq!(svcd.main_pid("other"), other, "nobody else noticed");
}

#[test]
fn manual_mode_waits_for_apply() {
    let plan = Plan::new().unit("web", SLEEPER);
    fs::write(plan.dir().join("svcd.toml"), "[reload]\nmode = \"manual\"\n").unwrap();
    let settings = plan.dir().join("svcd.toml").display().to_string();
    let svcd = plan.argument("--settings").argument(settings).start();
    svcd.ok(&["start", "web"]);
    let before = svcd.main_pid("web");
    svcd.write("web", &format!("{SLEEPER}environment = {{ A = \"1\" }}\n"));
    eventually("the plan shows the edit", || {
        svcd.json(&["plan"]).to_string().contains("environment")
    });
    assert_eq!(svcd.main_pid("web"), before);
    let plan = svcd.json(&["plan"]);
    assert_ne!(
        svcd.svc(&["apply", "--plan", "0000"]).code,
        0,
        "a plan of another hash is not applied"
    );
    svcd.ok(&["apply", "--plan", plan["hash"].as_str().unwrap()]);
    eventually("web runs as the new file says", || {
        !alive(before) && svcd.state("web") == "running"
    });
}

#[test]
fn row_15_half_written_unit_file() {
    let svcd = Svcd::with(&[("web", SLEEPER)]);
    svcd.ok(&["start", "web"]);
    let before = svcd.main_pid("web");
    svcd.write("web", "[service]\nexec-start = [\"/bin/sle");
    eventually("status shows the error", || {
        !svcd.status("web")["findings"].as_array().unwrap().is_empty()
    });
    assert_eq!((svcd.state("web").as_str(), svcd.main_pid("web")), ("running", before));
    assert!(svcd.ok(&["status", "web"]).contains("web.toml:2:"), "people see it too");
    send(before, Signal::KILL);
    eventually("it restarts as its last good file says", || {
        svcd.status("web")["restarts"] == 1 && svcd.state("web") == "running"
    });
    let restarted = svcd.main_pid("web");
    svcd.write("web", SLEEPER);
    eventually("the error goes with its cause", || {
        svcd.status("web")["findings"].as_array().unwrap().is_empty()
    });
    assert_eq!(svcd.main_pid("web"), restarted);
}

/// How an editor or a tool saves a file: the words of a shell, with the new text in `$NEW` and the unit file in `$UNIT`.
const SAVE_PATTERNS: &[(&str, &str)] = &[
    (
        "vim backupcopy=no",
        "cd $DIR; touch .web.toml.swp 4913; rm 4913; mv web.toml web.toml~; cat $NEW >web.toml; rm web.toml~ .web.toml.swp",
    ),
    (
        "vim backupcopy=yes",
        "cd $DIR; touch .web.toml.swp; cp web.toml web.toml~; cat $NEW >web.toml; rm web.toml~ .web.toml.swp",
    ),
    (
        "in place, in pieces",
        "head -c 20 $NEW >$UNIT; tail -c +21 $NEW >>$UNIT",
    ),
    ("cp", "cp $NEW $UNIT"),
    ("mv over it", "cp $NEW $DIR/.tmp123; mv $DIR/.tmp123 $UNIT"),
    ("removed and made anew", "rm $UNIT; cp $NEW $UNIT"),
    ("sed -i", "sed -i \"s/^description.*/$(grep ^description $NEW)/\" $UNIT"),
    ("rsync", "rsync --checksum $NEW $UNIT"),
    ("rsync --inplace", "rsync --checksum --inplace $NEW $UNIT"),
    (
        "git checkout",
        "cd $DIR; git init -q .; git add web.toml; git -c user.name=t -c user.email=t@t commit -qm a; cp $NEW web.toml; \
      git -c user.name=t -c user.email=t@t commit -qam b; git checkout -q HEAD~1; git checkout -q -",
    ),
    (
        "directory swapped",
        "UP=$(dirname $DIR); cp -r $DIR $UP/next; rm -f $UP/next/web.toml; cp $NEW $UP/next/web.toml; \
      mv $DIR $UP/old; mv $UP/next $DIR",
    ),
];

#[test]
fn row_16_editor_save_patterns() {
    for (name, script) in SAVE_PATTERNS {
        let tool = name.split(' ').next().unwrap_or_default();
        if ["rsync", "git"].contains(&tool) && program(tool).is_none() {
            continue;
        }
        let svcd = Svcd::with(&[(
            "web",
            &format!("[unit]\ndescription = \"old\"\nwanted-by = [\"default\"]\n{SLEEPER}"),
        )]);
        svcd.reaches("web", "running");
        let before = svcd.main_pid("web");
        let new = svcd.dir().join("new.toml");
        fs::write(
            &new,
            format!("[unit]\ndescription = \"new\"\nwanted-by = [\"default\"]\n{SLEEPER}"),
        )
        .unwrap();
        save(script, &svcd.dir().join("units"), &new);
        let saved = Instant::now();
        eventually(&format!("{name}: the new text is in force"), || {
            svcd.status("web")["description"] == "new"
        });
        assert!(saved.elapsed() <= bar(1000), "{name}: took {:?}", saved.elapsed());
        assert!(stays(300, || alive(before)), "{name}: web was taken for deleted");
        let history = svcd.json(&["history", "web"]).to_string();
        assert!(!history.contains("stopping"), "{name}: {history}");
    }
}

fn save(script: &str, dir: &Path, new: &Path) {
    let done = Command::new("/bin/sh")
        .args(["-ec", script])
        .envs([("DIR", dir), ("NEW", new), ("UNIT", &dir.join("web.toml"))])
        .output()
        .unwrap();
    assert!(
        done.status.success(),
        "{script}: {}",
        String::from_utf8_lossy(&done.stderr)
    );
}

#[test]
fn row_16_an_edit_that_matters_restarts_once() {
    let plan = Plan::new();
    let count = plan.dir().join("count");
    let unit = |value: &str| {
        let pre = format!(
            "exec-start-pre = [\"/bin/sh\", \"-c\", \"echo start >> {}\"]\n",
            count.display()
        );
        format!("{SLEEPER}{pre}environment = {{ A = \"{value}\" }}\n[unit]\nwanted-by = [\"default\"]\n")
    };
    let svcd = plan.unit("web", &unit("0")).start();
    svcd.reaches("web", "running");
    let path = svcd.dir().join("units/web.toml");
    for (nth, byte) in unit("1").bytes().enumerate() {
        // A writer in small pieces: each is an event of its own.
        let mut text = fs::read(&path).unwrap();
        text.truncate(nth);
        text.push(byte);
        fs::write(&path, text).unwrap();
    }
    eventually("the new text is in force", || {
        svcd.ok(&["show", "web"]).contains("A = \"1\"") && svcd.state("web") == "running"
    });
    assert!(
        stays(500, || fs::read_to_string(&count).unwrap().lines().count() == 2),
        "one restart"
    );
}

#[test]
fn row_17_inotify_overflow() {
    let svcd = Svcd::with(&[
        ("web", SLEEPER),
        ("gone", &format!("{SLEEPER}[unit]\nwanted-by = [\"default\"]\n")),
    ]);
    svcd.ok(&["start", "web"]);
    svcd.reaches("gone", "running");
    let queue: usize = fs::read_to_string("/proc/sys/fs/inotify/max_queued_events")
        .unwrap()
        .trim()
        .parse()
        .unwrap();
    send(svcd.pid(), Signal::STOP);
    let units = svcd.dir().join("units");
    for nth in 0..=queue / 2 {
        let path = units.join(format!("noise{nth}.toml"));
        fs::write(&path, "").unwrap();
        fs::remove_file(&path).unwrap();
    }
    // The queue is full: nobody is told of what follows.
    svcd.remove("gone");
    svcd.write("new", &format!("{SLEEPER}[unit]\nwanted-by = [\"default\"]\n"));
    svcd.write("web", &format!("{SLEEPER}[unit]\ndescription = \"after the flood\"\n"));
    send(svcd.pid(), Signal::CONT);
    svcd.reaches("new", "running");
    eventually("the state equals a cold load", || {
        svcd.svc(&["status", "gone"]).code == 4 && svcd.status("web")["description"] == "after the flood"
    });
}

#[test]
fn row_18_unit_directory_moved_and_back() {
    let svcd = Svcd::with(&[("web", &format!("{SLEEPER}[unit]\nwanted-by = [\"default\"]\n"))]);
    svcd.reaches("web", "running");
    let before = svcd.main_pid("web");
    let (units, away) = (svcd.dir().join("units"), svcd.dir().join("away"));
    let table: &[&dyn Fn()] = &[&|| fs::rename(&units, &away).unwrap(), &|| {
        fs::create_dir_all(&away).unwrap();
        fs::copy(units.join("web.toml"), away.join("web.toml")).unwrap();
        fs::remove_dir_all(&units).unwrap();
    }];
    for vanish in table {
        vanish();
        assert!(
            stays(1500, || alive(before)),
            "web stopped because its directory vanished"
        );
        fs::rename(&away, &units).unwrap();
        is_watched(&svcd);
        assert_eq!(svcd.main_pid("web"), before);
    }
}

#[test]
fn row_18_unit_directory_unmounted() {
    if !is_root() {
        return skip("row_18_unit_directory_unmounted", "mounting needs root");
    }
    let plan = Plan::new();
    let units = plan.dir().join("units");
    let mount = |arguments: &[&str]| {
        let done = Command::new(program("mount").unwrap())
            .args(arguments)
            .arg(&units)
            .status()
            .unwrap();
        assert!(done.success());
    };
    mount(&["-t", "tmpfs", "tmpfs"]);
    // A mount namespace of its own would keep the file system alive, and the kernel would tell of no unmount.
    let plain = format!("{SLEEPER}[isolation]\nprofile = \"none\"\n");
    let svcd = plan
        .unit("web", &format!("{plain}[unit]\nwanted-by = [\"default\"]\n"))
        .start();
    svcd.reaches("web", "running");
    let before = svcd.main_pid("web");
    let done = Command::new(program("umount").unwrap())
        .arg("-l")
        .arg(&units)
        .status()
        .unwrap();
    assert!(done.success());
    assert!(
        stays(1500, || alive(before)),
        "web stopped because its directory was unmounted"
    );
    svcd.write("web", &format!("{plain}[unit]\nwanted-by = [\"default\"]\n"));
    let edited = format!("{plain}[unit]\ndescription = \"edited\"\nwanted-by = [\"default\"]\n");
    svcd.write("web", &edited);
    eventually("an edit is seen", || svcd.status("web")["description"] == "edited");
    assert_eq!(svcd.main_pid("web"), before);
}

/// The directory is back: it is watched again within a second, so that an edit made at once is seen after its settle.
fn is_watched(svcd: &Svcd) {
    static NTH: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
    let nth = NTH.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    svcd.write(
        "web",
        &format!("{SLEEPER}[unit]\ndescription = \"edit {nth}\"\nwanted-by = [\"default\"]\n"),
    );
    let saved = Instant::now();
    eventually("an edit is seen", || {
        svcd.status("web")["description"] == format!("edit {nth}")
    });
    assert!(saved.elapsed() <= bar(1500), "seen after {:?}", saved.elapsed());
}

#[test]
fn row_20_reload_with_no_change() {
    let units: Vec<_> = (0..20).map(|nth| format!("unit{nth}")).collect();
    let text = format!("{SLEEPER}[unit]\nwanted-by = [\"default\"]\ncondition = [{{ path-exists = \"/\" }}]\n");
    let svcd = units
        .iter()
        .fold(Plan::new(), |plan, unit| plan.unit(unit, &text))
        .start();
    let pids = || units.iter().map(|unit| svcd.main_pid(unit)).collect::<Vec<_>>();
    units.iter().for_each(|unit| drop(svcd.reaches(unit, "running")));
    let before = pids();
    for unit in &units {
        svcd.write(unit, &text);
    }
    send(svcd.pid(), Signal::HUP);
    svcd.ok(&["apply"]);
    assert!(stays(800, || before.iter().all(|pid| alive(*pid))));
    assert_eq!(pids(), before);
    let plan = svcd.json(&["plan"]);
    assert!(plan["units"].as_array().unwrap().is_empty(), "{plan}");
}

#[test]
fn a_settle_is_short() {
    let svcd = Svcd::with(&[]);
    let saved = Instant::now();
    svcd.write("web", &format!("{SLEEPER}[unit]\nwanted-by = [\"default\"]\n"));
    svcd.reaches("web", "running");
    assert!(
        saved.elapsed() < bar(1000) + Duration::from_millis(200),
        "{:?}",
        saved.elapsed()
    );
}
