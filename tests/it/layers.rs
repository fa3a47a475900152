//! A root of layers that lie over one another: `[root] layers`, `writable`, `size`.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, FileType, Mode, XattrFlags, mknodat, setxattr};

use super::harness::{Plan, Svcd, shell};
use super::machine::{eventually, is_root, skip};
use super::roots::{folder, programs};
use super::view::{look, said, writes};

/// `[root]` of these directories, topmost first, with the machine's programs in it.
fn root_of(layers: &[PathBuf], keys: &str) -> String {
    let layers: Vec<String> = layers.iter().map(|layer| format!("\"{}\"", layer.display())).collect();
    format!("[root]\nlayers = [{}]\n{keys}\n{}", layers.join(", "), programs())
}

/// A file with a line in it, and the directories on the way.
fn file(at: &Path, line: &str) {
    fs::create_dir_all(at.parent().unwrap()).unwrap();
    fs::write(at, format!("{line}\n")).unwrap();
}

/// Everything below a directory.
fn all(directory: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut ahead = vec![directory.to_owned()];
    while let Some(next) = ahead.pop() {
        for entry in fs::read_dir(next).unwrap().flatten() {
            let path = entry.path();
            found.push(path.strip_prefix(directory).unwrap().display().to_string());
            if entry.file_type().unwrap().is_dir() {
                ahead.push(path);
            }
        }
    }
    found.sort();
    found
}

/// What a unit says when it is started, and once more when it is started again.
fn twice(svcd: &Svcd, unit: &str) -> [Vec<String>; 2] {
    let first = said(svcd, unit);
    svcd.ok(&["restart", unit]);
    let done = |lines: &[String]| lines.iter().filter(|line| *line == "done").count();
    eventually("it is done again", || done(&svcd.lines(unit)) == 2);
    let mut second = svcd.lines(unit);
    second.retain(|line| line != "done");
    let second = second.split_off(first.len());
    [first, second]
}

/// As the OCI specification has an image: what a layer above has hides what is below it, and so do whiteouts.
#[test]
fn the_upper_layer_hides_the_lower_one() {
    if !is_root() {
        return skip("the_upper_layer_hides_the_lower_one", "not root");
    }
    let plan = Plan::new();
    let (top, base) = (folder(&plan, "top"), folder(&plan, "base"));
    file(&base.join("both"), "below");
    file(&base.join("gone"), "below");
    file(&base.join("mixed/below"), "below");
    file(&base.join("opaque/below"), "below");
    file(&top.join("both"), "above");
    file(&top.join("mixed/above"), "above");
    file(&top.join("opaque/above"), "above");
    mknodat(CWD, top.join("gone"), FileType::CharacterDevice, Mode::empty(), 0).unwrap();
    setxattr(top.join("opaque"), "trusted.overlay.opaque", b"y", XattrFlags::empty()).unwrap();
    fs::set_permissions(&top, fs::Permissions::from_mode(0o751)).unwrap();
    let before = (all(&top), all(&base));
    let script = look(
        "cat /both; ls -d /gone; echo $(ls /mixed) / $(ls /opaque); stat -c %a /; rm /both; echo new >/made; \
         rmdir /mixed; rm -r /mixed; ls -d /both /made /mixed",
    );
    let svcd = plan
        .unit("web", &shell(&script, &root_of(&[top.clone(), base.clone()], "")))
        .start();
    for run in twice(&svcd, "web") {
        assert_eq!(run, ["above", "above below / above", "751", "/made"]);
    }
    svcd.ok(&["stop", "web"]);
    assert_eq!((all(&top), all(&base)), before, "nothing is written to a layer");
}

#[test]
fn what_is_written_stays_where_it_is_to_stay() {
    if !is_root() {
        return skip("what_is_written_stays_where_it_is_to_stay", "not root");
    }
    let plan = Plan::new();
    let base = folder(&plan, "base");
    file(&base.join("count"), "0");
    fs::create_dir(base.join("data")).unwrap();
    let script = look("read n </count; n=$((n + 1)); echo $n >/count; echo run $n; echo x >/data/$n");
    let unit = |writable: &str| {
        shell(
            &script,
            &root_of(std::slice::from_ref(&base), &format!("writable = \"{writable}\"\n")),
        )
    };
    let path = format!(
        "[root]\npath = \"{}\"\nwritable = \"persistent\"\n{}",
        base.display(),
        programs()
    );
    let svcd = plan
        .unit("stays", &unit("persistent"))
        .unit("goes", &unit("tmpfs"))
        .unit("path", &shell(&script, &path))
        .start();
    for (unit, runs) in [
        ("stays", ["run 1", "run 2"]),
        ("goes", ["run 1", "run 1"]),
        ("path", ["run 1", "run 2"]),
    ] {
        assert_eq!(twice(&svcd, unit).concat(), runs, "{unit}");
    }
    let upper = |unit: &str| svcd.dir().join("state/roots").join(unit).join("upper");
    let mut written = all(&upper("stays"));
    // Besides the places for what is mounted there.
    written.retain(|path| path.starts_with("count") || path.starts_with("data"));
    assert_eq!(written, ["count", "data", "data/1", "data/2"]);
    assert_eq!(fs::read_to_string(upper("path").join("count")).unwrap(), "2\n");
    assert!(!upper("goes").exists());
    assert_eq!(
        fs::metadata(svcd.dir().join("state/roots")).unwrap().mode() & 0o777,
        0o700
    );
    assert_eq!(fs::read_to_string(base.join("count")).unwrap(), "0\n");
}

#[test]
fn a_root_that_is_not_writable() {
    if !is_root() {
        return skip("a_root_that_is_not_writable", "not root");
    }
    let plan = Plan::new();
    let base = folder(&plan, "base");
    for name in ["tmp", "srv"] {
        fs::create_dir(base.join(name)).unwrap();
    }
    let script = look(&writes(
        &["/", "/srv", "/tmp", "/dev/shm", "/volume"].map(str::to_owned),
    ));
    let volume = format!(
        "[[mount]]\ntarget = \"/volume\"\nsource = \"{}\"\n",
        folder(&plan, "volume").display()
    );
    let layers = root_of(std::slice::from_ref(&base), "writable = \"none\"\n") + &volume;
    let path = format!(
        "[root]\npath = \"{}\"\nwritable = \"none\"\n{}{volume}",
        base.display(),
        programs()
    );
    let svcd = plan
        .unit("layers", &shell(&script, &layers))
        .unit("path", &shell(&script, &path))
        .start();
    for unit in ["layers", "path"] {
        assert_eq!(
            said(&svcd, unit),
            ["writes /tmp", "writes /dev/shm", "writes /volume"],
            "{unit}"
        );
    }
}

/// moby and podman stop at 128 layers; docs.docker.com, overlayfs driver.
#[test]
fn a_hundred_and_twenty_eight_layers() {
    if !is_root() {
        return skip("a_hundred_and_twenty_eight_layers", "not root");
    }
    let plan = Plan::new();
    let layers: Vec<PathBuf> = (0..128).map(|nth| folder(&plan, &format!("layer-{nth}"))).collect();
    for (nth, layer) in layers.iter().enumerate() {
        file(&layer.join(format!("all/{nth}")), "");
        file(&layer.join("topmost"), &nth.to_string());
    }
    let script = look("ls /all | wc -l; cat /topmost");
    let svcd = plan.unit("web", &shell(&script, &root_of(&layers, ""))).start();
    assert_eq!(said(&svcd, "web"), ["128", "0"]);
}

/// Any number of units share layers, and none sees what another writes.
#[test]
fn units_share_layers_and_nothing_else() {
    if !is_root() {
        return skip("units_share_layers_and_nothing_else", "not root");
    }
    let plan = Plan::new();
    let layers = [folder(&plan, "top"), folder(&plan, "base")];
    file(&layers[1].join("shared"), "below");
    let script = |name: &str| {
        look(&format!(
            "cat /shared; echo {name} >/shared; cat /shared; stat -f -c %T / | head -n 1"
        ))
    };
    let svcd = plan
        .unit("one", &shell(&script("one"), &root_of(&layers, "")))
        .unit("other", &shell(&script("other"), &root_of(&layers, "")))
        .start();
    assert_eq!(said(&svcd, "one")[..2], ["below", "one"]);
    assert_eq!(said(&svcd, "other")[..2], ["below", "other"]);
    assert_eq!(root_file(&svcd, "one", "shared"), "one\n");
}

/// A file in the root of a service that runs.
fn root_file(svcd: &Svcd, unit: &str, name: &str) -> String {
    fs::read_to_string(format!("/proc/{}/root/{name}", svcd.main_pid(unit))).unwrap()
}

#[test]
fn no_more_is_written_than_the_size_says() {
    if !is_root() {
        return skip("no_more_is_written_than_the_size_says", "not root");
    }
    let plan = Plan::new();
    let base = folder(&plan, "base");
    let script = look("dd if=/dev/zero of=/big bs=64k count=64; wc -c </big");
    let svcd = plan
        .unit("web", &shell(&script, &root_of(&[base], "size = \"1M\"\n")))
        .start();
    let lines = said(&svcd, "web");
    let written: u64 = lines[0].parse().unwrap();
    assert!(written > 512 << 10 && written <= 1 << 20, "{written}");
}

#[test]
fn a_layer_that_is_not_there_is_named() {
    if !is_root() {
        return skip("a_layer_that_is_not_there_is_named", "not root");
    }
    let plan = Plan::new();
    let layers = [folder(&plan, "top"), plan.dir().join("absent")];
    let unit = shell(
        "exit 0",
        &format!("[restart]\npolicy = \"no\"\n{}", root_of(&layers, "")),
    );
    let svcd = plan.unit("web", &unit).start();
    let done = svcd.svc(&["start", "web"]);
    assert_eq!(done.code, 1);
    let step = format!("root {}", layers[1].display());
    assert!(done.err.contains(&format!("spawn {step}: ENOENT")), "{}", done.err);
    assert_eq!(svcd.status("web")["failed-step"], step);
}

/// As `docker diff` tells it: parents of what differs are changed, and what is mounted is nobody's change. CVE-2018-15664,
/// CVE-2019-18466, CVE-2023-0778: no link of the service's is followed outside of it.
#[test]
fn root_and_diff_tell_what_a_root_is_and_has_become() {
    if !is_root() {
        return skip("root_and_diff_tell_what_a_root_is_and_has_become", "not root");
    }
    let plan = Plan::new();
    let layers = [folder(&plan, "top"), folder(&plan, "base")];
    for place in ["proc", "sys", "dev", "tmp", "bin", "lib", "lib64", "usr"] {
        fs::create_dir(layers[1].join(place)).unwrap();
    }
    for name in [
        "opt/kept",
        "opt/edited",
        "opt/gone",
        "srv/deep/down/file",
        "srv/mode",
        "hidden",
    ] {
        file(&layers[1].join(name), "below");
    }
    mknodat(
        CWD,
        layers[0].join("hidden"),
        FileType::CharacterDevice,
        Mode::empty(),
        0,
    )
    .unwrap();
    let script = look(
        "echo other >/opt/edited; rm /opt/gone; chmod 600 /srv/mode; mkdir /new; echo x >/new/file; echo y >/tmp/unseen; \
         ln -s /etc /new/link; rm -r /srv/deep; mkdir /srv/deep",
    );
    let unit = |writable: &str| shell(&script, &root_of(&layers, &format!("writable = \"{writable}\"\n")));
    let svcd = plan
        .unit("goes", &unit("tmpfs"))
        .unit("stays", &unit("persistent"))
        .start();
    let shown: Vec<String> = layers.iter().map(|layer| layer.display().to_string()).collect();
    for unit in ["goes", "stays"] {
        said(&svcd, unit);
        let root = svcd.json(&["root", unit]);
        assert_eq!(root["lower"], serde_json::json!(shown), "{unit}");
        assert_eq!(root["merged"], format!("/proc/{}/root", svcd.main_pid(unit)), "{unit}");
        assert_eq!(
            svcd.ok(&["diff", unit]),
            "A /new\nA /new/file\nA /new/link\nC /opt\nC /opt/edited\nD /opt/gone\nC /srv\nC /srv/deep\n\
             D /srv/deep/down\nC /srv/mode\n",
            "{unit}"
        );
    }
    let upper = svcd.dir().join("state/roots/stays");
    let told = svcd.ok(&["root", "stays"]);
    for line in [
        format!("lower   {}", shown[0]),
        format!("upper   {}/upper", upper.display()),
        format!("work    {}/work", upper.display()),
    ] {
        assert!(told.lines().any(|its| its.trim_end() == line), "{line}: {told}");
    }
    assert!(!svcd.ok(&["root", "goes"]).contains("upper"));
}

#[test]
fn the_root_of_the_machine_is_none_to_compare() {
    let svcd = Svcd::with(&[("plain", &shell("exec sleep 1000000", ""))]);
    svcd.ok(&["start", "plain"]);
    for verb in ["root", "diff"] {
        let done = svcd.svc(&[verb, "plain"]);
        assert_eq!(done.code, 1);
        assert!(
            done.err
                .contains(&format!("{verb} plain: its root is the machine's own")),
            "{}",
            done.err
        );
    }
}
