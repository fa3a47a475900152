//! `svc image commit`: a change of an overlay becomes one layer, and every reader sees the same tree.

use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::peers::{make, tree};
use super::{Images, can_run};

fn long_name() -> String {
    "l".repeat(120)
}

/// A file more, one less, one changed, a directory made anew, a link, two names of one file, a long name.
fn change(merged: &Path) {
    fs::write(merged.join("etc/more"), "more").expect("write a file");
    fs::remove_file(merged.join("bin/cat")).expect("remove a file");
    fs::write(merged.join("etc/passwd"), "changed\n").expect("change a file");
    fs::remove_dir_all(merged.join("etc/../tmp")).expect("remove a directory");
    fs::create_dir(merged.join("tmp")).expect("make a directory");
    symlink("../etc/more", merged.join("tmp/link")).expect("make a link");
    fs::hard_link(merged.join("etc/more"), merged.join("etc/same")).expect("make a link");
    fs::write(merged.join(long_name()), "long").expect("write a file");
}

/// An overlay of these directories, mounted, with `upper` for what is changed.
fn mounted(images: &Images, lower: &str) -> PathBuf {
    for folder in ["upper", "work", "merged"] {
        fs::create_dir(images.path(folder)).expect("make a directory");
    }
    let merged = images.path("merged");
    let options = format!(
        "lowerdir={lower},upperdir={},workdir={}",
        images.path("upper").display(),
        images.path("work").display()
    );
    images.peer(
        "mount",
        &[
            "-t",
            "overlay",
            "-o",
            &options,
            "overlay",
            &merged.display().to_string(),
        ],
    );
    merged
}

#[test]
fn a_change_of_an_overlay_becomes_exactly_one_layer() {
    let test = "a_change_of_an_overlay_becomes_exactly_one_layer";
    if !can_run(test, &["umoci", "busybox", "mount", "umount"]) {
        return;
    }
    let images = Images::new();
    make(&images);
    images.ok(&["load", "-i", "made", "--name", "web:1"]);
    let lower = images.inspect("web:1")["GraphDriver"]["Data"]["LowerDir"]
        .as_str()
        .expect("directories")
        .to_owned();
    let merged = mounted(&images, &lower);
    change(&merged);
    let expected = tree(&merged);
    images.peer("umount", &[&merged.display().to_string()]);
    images.ok(&[
        "commit",
        "--base",
        "web:1",
        "-m",
        "by hand",
        "--cmd",
        r#"["/bin/ls"]"#,
        "upper",
        "web:2",
    ]);
    let (before, after) = (images.inspect("web:1"), images.inspect("web:2"));
    let layers = |of: &Value| of["RootFS"]["Layers"].as_array().expect("layers").clone();
    assert_eq!(layers(&after).len(), layers(&before).len() + 1);
    assert!(layers(&after).starts_with(&layers(&before)));
    assert_eq!(after["Config"]["Cmd"], serde_json::json!(["/bin/ls"]));
    assert_eq!(
        after["Config"]["Env"], before["Config"]["Env"],
        "what was not asked for stays"
    );
    assert!(
        images
            .ok(&["history", "web:2"])
            .lines()
            .nth(1)
            .expect("a step")
            .contains("svc image commit")
    );
    // What was put in, and nothing else.
    let lower = after["GraphDriver"]["Data"]["LowerDir"].as_str().expect("directories");
    let changed: Vec<String> = tree(Path::new(lower.split(':').next().expect("a layer")))
        .into_keys()
        .collect();
    let long = long_name();
    let names = [
        "",
        "bin",
        "bin/cat",
        "etc",
        "etc/more",
        "etc/passwd",
        "etc/same",
        &long,
        "tmp",
        "tmp/link",
    ];
    assert_eq!(changed, names);
    // Two other readers: overlayfs over our directories, and umoci over the archive.
    images.ok(&["save", "-o", "saved/", "web:2"]);
    images.peer("umoci", &["unpack", "--image", "saved:web:2", "bundle"]);
    assert_eq!(tree(&images.path("bundle/rootfs")), expected);
}

#[test]
fn a_directory_becomes_an_image_of_its_own() {
    let test = "a_directory_becomes_an_image_of_its_own";
    if !can_run(test, &["umoci"]) {
        return;
    }
    let images = Images::new();
    fs::create_dir_all(images.path("tree/etc")).expect("make a directory");
    fs::write(images.path("tree/etc/file"), "text").expect("write a file");
    images.ok(&["commit", "tree", "own:1"]);
    images.ok(&["commit", "-m", "again", "tree", "own:3"]);
    let layers = |name: &str| images.inspect(name)["RootFS"]["Layers"].clone();
    assert_eq!(
        layers("own:3"),
        layers("own:1"),
        "the same directory gives the same layer"
    );
    images.ok(&["rm", "own:3"]);
    images.ok(&["save", "-o", "saved/", "own:1"]);
    images.peer("umoci", &["unpack", "--image", "saved:own:1", "bundle"]);
    assert_eq!(
        fs::read_to_string(images.path("bundle/rootfs/etc/file")).expect("the file"),
        "text"
    );
    let met = fs::metadata(images.path("bundle/rootfs/etc/file")).expect("the file");
    assert_eq!(met.uid(), 0);
    // A name that would hide something in a layer cannot be part of one.
    fs::write(images.path("tree/.wh.etc"), "").expect("write a file");
    let done = images.run(&["commit", "tree", "own:2"]);
    let said = String::from_utf8_lossy(&done.stderr).into_owned();
    assert!(
        done.status.code() == Some(1) && said.contains("would hide something"),
        "{said}"
    );
    assert_eq!(images.ok(&["ls"]).lines().count(), 2);
}
