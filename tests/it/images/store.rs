//! The store under fire: killed at every step (row 40, layer group 9), two at once, a full disk.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use super::super::machine::{is_root, often, program, skip};
use super::layout::{self, Tar, hex};
use super::{Images, can_run};

fn write_layout(images: &Images) {
    let tar = Tar::default()
        .directory("etc")
        .file("etc/a", &"text".repeat(1000))
        .file("b", "x")
        .end();
    layout::write(&images.path("layout"), "one", &tar, &tar);
}

/// Every blob is what its name says, every layer is whole, and whatever has a name can be read.
fn is_sound(images: &Images) -> Result<(), String> {
    for name in images.names(&images.store("blobs/sha256")) {
        let bytes = fs::read(images.store("blobs/sha256").join(&name)).expect("read a blob");
        if hex(&bytes) != name {
            return Err(format!("blob {name} is not what its name says"));
        }
    }
    for name in images.names(&images.store("layers")) {
        let layer = images.store("layers").join(&name);
        if fs::read_to_string(layer.join("etc/a")).map_or(0, |text| text.len()) != 4000 || !layer.join("b").is_file() {
            return Err(format!("layer {name} is not whole"));
        }
    }
    let listed = images.run(&["ls", "--json"]);
    match listed.status.success() {
        true => Ok(()),
        false => Err(String::from_utf8_lossy(&listed.stderr).into_owned()),
    }
}

#[test]
fn group_9_and_row_40_killed_at_any_step_the_store_is_sound_and_goes_on() {
    let test = "group_9_and_row_40_killed_at_any_step_the_store_is_sound_and_goes_on";
    if !can_run(test, &["strace"]) {
        return;
    }
    // Each call that changes the disk, and the first of each kind that follows it.
    for calls in [
        "mkdir,mkdirat",
        "openat",
        "write",
        "fsync,syncfs",
        "rename,renameat,renameat2",
        "ftruncate,unlink,unlinkat",
        "clone3",
        "fchown,fchmod,utimensat",
        "flock",
    ] {
        let mut killed = 0;
        let steps = (1..=often(48).max(2)).map(|nth| if nth > 8 { nth * nth / 8 } else { nth });
        for nth in steps {
            let images = Images::new();
            write_layout(&images);
            let inject = format!("inject={calls}:signal=SIGKILL:when={nth}");
            let command = images.command(&["load", "-i", "layout"]);
            let mut strace = Command::new("strace");
            strace.args([
                "-f",
                "-qq",
                "-o",
                "/dev/null",
                "-e",
                &format!("trace={calls}"),
                "-e",
                &inject,
            ]);
            strace
                .arg(command.get_program())
                .args(command.get_args())
                .current_dir(&images.dir);
            let done = strace
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .status()
                .expect("start strace");
            is_sound(&images).unwrap_or_else(|why| panic!("killed at {calls} {nth}: {why}"));
            images.ok(&["load", "-i", "layout"]);
            is_sound(&images).unwrap_or_else(|why| panic!("after {calls} {nth}: {why}"));
            assert_eq!(images.names(&images.store("layers")).len(), 1);
            images.ok(&["gc"]);
            assert_eq!(
                images.names(&images.store("ingest")),
                Vec::<String>::new(),
                "{calls} {nth}"
            );
            if done.success() {
                break;
            }
            killed += 1;
        }
        assert!(killed > 0, "{calls} is never called");
    }
}

#[test]
fn many_that_load_the_same_share_it() {
    if !can_run("many_that_load_the_same_share_it", &[]) {
        return;
    }
    let images = Images::new();
    write_layout(&images);
    let start = |_| {
        images
            .command(&["load", "-i", "layout"])
            .stdout(Stdio::null())
            .spawn()
            .expect("start svc")
    };
    let all: Vec<_> = (0..8).map(start).collect();
    for mut one in all {
        assert!(one.wait().expect("wait for svc").success());
    }
    is_sound(&images).expect("sound");
    assert_eq!(images.names(&images.store("layers")).len(), 1);
    assert_eq!(images.names(&images.store("ingest")), Vec::<String>::new());
}

#[test]
fn a_full_disk_leaves_no_visible_layer() {
    let test = "a_full_disk_leaves_no_visible_layer";
    if !can_run(test, &["mount", "umount"]) {
        return;
    }
    let images = Images::new();
    let tar = Tar::default().file("big", &"x".repeat(700 << 10)).end();
    layout::write(&images.path("layout"), "one", &tar, &tar);
    let state = images.path("state").display().to_string();
    // The blob fits, and its layer does not.
    images.peer("mount", &["-t", "tmpfs", "-o", "size=1m", "none", &state]);
    let done = images.run(&["load", "-i", "layout"]);
    let layers = images.names(&images.store("layers"));
    let under_way = images.names(&images.store("ingest"));
    let listed = images.ok(&["ls", "--json"]);
    images.peer("umount", &[&state]);
    let said = String::from_utf8_lossy(&done.stderr).into_owned();
    assert!(
        done.status.code() == Some(1) && said.contains("No space left"),
        "{said}"
    );
    assert_eq!((layers.len(), under_way.len(), listed.trim()), (0, 0, "[]"));
}

#[test]
fn the_store_is_closed_to_others() {
    let test = "the_store_is_closed_to_others";
    if !is_root() || program("setpriv").is_none() {
        return skip(test, "it takes root and setpriv(1)");
    }
    let images = Images::new();
    write_layout(&images);
    images.ok(&["load", "-i", "layout"]);
    let script = format!(
        "ls {} || cat {}",
        images.store("").display(),
        images.store("index.json").display()
    );
    let done = Command::new("setpriv")
        .args(["--reuid=65534", "--regid=65534", "--clear-groups", "sh", "-c", &script])
        .output()
        .expect("start setpriv");
    assert!(!done.status.success(), "nobody can look into the store");
    assert!(Path::new(&images.store("index.json")).exists());
}
