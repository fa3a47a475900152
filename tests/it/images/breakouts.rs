//! Layer groups 1 and 2: archives that would leave their root, each with what becomes of it instead. The names are those
//! of the list in RELIABILITY.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

use super::layout::{self, Tar};
use super::{Images, can_run};

/// What has to become of an archive.
enum Then {
    /// The image is not taken, for a reason with this in it.
    Refused(&'static str),
    /// This file has this content.
    Holds(&'static str, &'static str),
    /// These are one file.
    Same(&'static str, &'static str),
    /// These are links to the same.
    SameLink(&'static str, &'static str),
    /// This hides what lower layers have.
    Hides(&'static str),
}
use Then::{Hides, Holds, Refused, Same, SameLink};

fn etc() -> Tar {
    Tar::default().directory("etc").file("/etc/passwd", "inside")
}

fn unbroken(tar: Tar, name: &str) -> Tar {
    tar.file(name, "unbroken")
}

#[rustfmt::skip]
fn cases() -> Vec<(&'static str, Tar, Then)> {
    let dirs = || Tar::default().directory("etc").directory("dummy");
    vec![
        ("SymlinkAbsolute", unbroken(dirs().symlink("/etc", "localetc"), "/localetc/unbroken"), Holds("etc/unbroken", "unbroken")),
        ("SymlinkUpAndOut", unbroken(dirs().symlink("/dummy/../etc", "localetc"), "/localetc/unbroken"), Holds("etc/unbroken", "unbroken")),
        ("SymlinkMultipleAbsolute", unbroken(dirs().symlink("/etc", "/dummy/etc").symlink("/dummy/etc", "localetc"), "/localetc/unbroken"), Holds("etc/unbroken", "unbroken")),
        ("SymlinkMultipleRelative", unbroken(dirs().symlink("/etc", "/dummy/etc").symlink("./dummy/etc", "localetc"), "/localetc/unbroken"), Holds("etc/unbroken", "unbroken")),
        ("SymlinkRelativeOut", unbroken(dirs().symlink("../../../../../../../../etc", "localetc"), "/localetc/unbroken"), Holds("etc/unbroken", "unbroken")),
        ("SymlinkEmptyFile", etc().file("etc/emptied", "full").symlink("/etc", "localetc").file("localetc/emptied", ""), Holds("etc/emptied", "")),
        ("SymlinkEmptyFilename", etc().symlink("/etc/", "").hardlink("/etc/passwd", "localpasswd"), Refused("root is not a directory")),
        ("SymlinkParentDirectory", etc().symlink("/etc/", "..").hardlink("/etc/passwd", "localpasswd"), Refused("root is not a directory")),
        ("SymlinkParentRelative", etc().symlink("/etc/", "localetc/sub/..").hardlink("/etc/passwd", "/localetc/localpasswd"), Same("etc/localpasswd", "etc/passwd")),
        ("SymlinkSlashEnded", etc().directory("localetc/").hardlink("/etc/passwd", "/localetc/localpasswd"), Same("localetc/localpasswd", "etc/passwd")),
        ("SymlinkOverrideDirectory", etc().directory("localetc").symlink("/etc", "localetc").hardlink("/etc/passwd", "/localetc/localpasswd"), Same("etc/localpasswd", "etc/passwd")),
        ("SymlinkOverrideDirectoryRelative", etc().directory("localetc").symlink("../../etc", "localetc").hardlink("/etc/passwd", "/localetc/localpasswd"), Same("etc/localpasswd", "etc/passwd")),
        ("SymlinkOverrideFullDirectory", etc().directory("localetc/a/b").file("localetc/a/b/c", "gone").symlink("/etc", "localetc"), Holds("localetc/passwd", "inside")),
        ("DirectoryOverrideSymlink", etc().symlink("/etc", "localetc").directory("/localetc/").hardlink("/etc/passwd", "/localetc/localpasswd"), Same("localetc/localpasswd", "etc/passwd")),
        ("DirectoryOverrideSymlinkAndHardlink", etc().symlink("etc", "localetc").hardlink("/etc/passwd", "/localetc/localpasswd").directory("/localetc/").file("/localetc/localpasswd", "different"), Holds("etc/passwd", "inside")),
        ("HardlinkRelative", etc().directory("breakouts").symlink("../../etc", "breakouts/d1").hardlink("/breakouts/d1/passwd", "breakouts/mypasswd"), Same("breakouts/mypasswd", "etc/passwd")),
        ("HardlinkDownAndOut", etc().directory("breakouts").directory("downandout").symlink("../downandout/../../etc", "breakouts/d1").hardlink("/breakouts/d1/passwd", "breakouts/mypasswd"), Same("breakouts/mypasswd", "etc/passwd")),
        ("HardlinkAbsolute", etc().symlink("/etc", "localetc").hardlink("/localetc/passwd", "localpasswd"), Same("localpasswd", "etc/passwd")),
        ("HardlinkRelativeLong", etc().symlink("../../../../../../../etc", "localetc").hardlink("/localetc/passwd", "localpasswd"), Same("localpasswd", "etc/passwd")),
        ("HardlinkRelativeUpAndOut", etc().directory("upandout").symlink("upandout/../../../etc", "localetc").hardlink("/localetc/passwd", "localpasswd"), Same("localpasswd", "etc/passwd")),
        ("HardlinkDirectRelative", etc().hardlink("../../../../../etc/passwd", "localpasswd"), Same("localpasswd", "etc/passwd")),
        ("HardlinkDirectAbsolute", etc().hardlink("/etc/passwd", "localpasswd"), Same("localpasswd", "etc/passwd")),
        ("HardlinkOutOfTheLayer", Tar::default().hardlink("/etc/passwd", "localpasswd"), Refused("which this layer does not have")),
        ("HardlinkToADirectory", etc().hardlink("/etc", "localetc"), Refused("which is no file")),
        ("HardlinkToItself", etc().hardlink("etc/passwd", "etc/passwd"), Holds("etc/passwd", "inside")),
        ("HardlinkSymlinkBeforeCreateTarget", Tar::default().directory("etc").symlink("/etc/passwd", "localpasswd").hardlink("localpasswd", "localpasswd-dup").file("/etc/passwd", "after"), Holds("localpasswd-dup", "after")),
        ("HardlinkSymlinkRelative", etc().symlink("../../../../../etc/passwd", "passwdlink").hardlink("/passwdlink", "localpasswd"), SameLink("localpasswd", "passwdlink")),
        ("HardlinkSymlinkAbsolute", etc().symlink("/etc/passwd", "passwdlink").hardlink("/passwdlink", "localpasswd"), SameLink("localpasswd", "passwdlink")),
        ("HardlinkSymlinkChmod", Tar::default().symlink("MARKER", "link").entry(b'1', "sketchylink", "link", b"", 0o777), SameLink("sketchylink", "link")),
        ("WhiteoutRootParent", etc().file(".wh...", ""), Refused("a whiteout of a directory itself")),
        ("WhiteoutParent", etc().file("etc/.wh...", ""), Refused("a whiteout of a directory itself")),
        ("WhiteoutRoot", etc().file(".wh..", ""), Refused("a whiteout of a directory itself")),
        ("WhiteoutCurrentDirectory", etc().file("etc/.wh..", ""), Refused("a whiteout of a directory itself")),
        ("WhiteoutOfNothing", etc().file("etc/.wh.", ""), Refused("a whiteout of a directory itself")),
        ("WhiteoutSymlink", etc().file(".wh.localetc", ""), Hides("localetc")),
        ("WhiteoutSymlinkPath", etc().symlink("/etc", "localetc").file("localetc/.wh.whitedout", ""), Hides("etc/whitedout")),
        ("WhiteoutDirectoryName", etc().file(".wh.etc/somefile", "non-empty"), Refused("a whiteout has something in it")),
        ("WhiteoutDeadSymlinkParent", etc().symlink("/dne", "localetc").file("localetc/.wh.etc", ""), Hides("dne/etc")),
        ("WhiteoutRelativePath", etc().file("dne/../.wh.gone", ""), Hides("gone")),
        ("FileOutByName", Tar::default().file("../../../../../../marker", "broken"), Holds("marker", "broken")),
        ("FileThroughLinkToMarker", Tar::default().symlink("MARKER", "link").file("link", "broken"), Holds("link", "broken")),
        ("FileInAFile", etc().file("etc/passwd/in", "x"), Refused("is a file, and has something in it")),
        ("LinksInACircle", Tar::default().symlink("b", "a").symlink("a", "b").file("a/c", "x"), Refused("ymbolic link")),
        ("ChmodThroughSymlink (RUSTSEC-2026-0067)", Tar::default().symlink("MARKER", "link").entry(b'5', "link", "", b"", 0o777), Holds("link/", "")),
    ]
}

/// A path of the layer's, its links followed within the layer, by names.
fn within(root: &Path, path: &str) -> PathBuf {
    let mut found = root.to_owned();
    let mut ahead: Vec<String> = path.split('/').rev().map(str::to_owned).collect();
    for _ in 0..100 {
        let Some(name) = ahead.pop() else { return found };
        match name.as_str() {
            "" | "." => continue,
            ".." if found == root => continue,
            ".." => {
                found.pop();
                continue;
            }
            name => found.push(name),
        }
        if let Ok(target) = fs::read_link(&found) {
            found.pop();
            if target.is_absolute() {
                found = root.to_owned();
            }
            let names = target.components().rev().filter_map(|part| match part {
                Component::Normal(name) => Some(name.to_string_lossy().into_owned()),
                Component::ParentDir => Some("..".to_owned()),
                Component::Prefix(_) | Component::RootDir | Component::CurDir => None,
            });
            ahead.extend(names);
        }
    }
    panic!("{path}: links without an end")
}

fn judge(root: &Path, then: &Then) -> Result<(), String> {
    let met = |path: &str| fs::symlink_metadata(root.join(path)).map_err(|error| format!("{path}: {error}"));
    match then {
        Refused(_) => Err("it was taken".to_owned()),
        Holds(path, content) if path.ends_with('/') => match met(path.trim_end_matches('/'))?.is_dir() {
            true => Ok(()),
            false => Err(format!("{path} is no directory {content}")),
        },
        Holds(path, content) => match fs::read_to_string(within(root, path)) {
            Ok(text) if text == *content => Ok(()),
            other => Err(format!("{path}: {other:?}")),
        },
        Same(one, other) => match (met(one)?, met(other)?) {
            (one, other) if one.ino() == other.ino() && one.is_file() => Ok(()),
            other => Err(format!("{other:?}")),
        },
        SameLink(one, other) => match (fs::read_link(root.join(one)), fs::read_link(root.join(other))) {
            (Ok(one), Ok(other)) if one == other => Ok(()),
            other => Err(format!("{other:?}")),
        },
        Hides(path) => {
            let met = met(path)?;
            match met.mode() & 0o170_000 == 0o020_000 && met.rdev() == 0 {
                true => Ok(()),
                false => Err(format!("{path} hides nothing")),
            }
        }
    }
}

#[test]
fn groups_1_and_2_no_archive_leaves_its_root() {
    if !can_run("groups_1_and_2_no_archive_leaves_its_root", &[]) {
        return;
    }
    let mut wrong = Vec::new();
    for (name, tar, then) in cases() {
        let images = Images::new();
        let marker = images.path("marker").display().to_string();
        assert!(marker.len() < 90, "the marker's path has to fit into a header");
        // Links that are to lead to the marker: its path in the place of the word.
        let mut bytes = Tar::default();
        for block in tar.end().chunks(512) {
            let block: [u8; 512] = block.try_into().expect("archives are made of blocks");
            bytes = match block[157..].starts_with(b"MARKER\0") {
                true => {
                    let mut header = block;
                    header[157..157 + marker.len()].copy_from_slice(marker.as_bytes());
                    bytes.raw(&header, b"")
                }
                false => Tar([bytes.0, block.to_vec()].concat()),
            };
        }
        layout::write(&images.path("layout"), "evil", &bytes.0, &bytes.0);
        let done = images.run(&["load", "-i", "layout"]);
        let said = String::from_utf8_lossy(&done.stderr).into_owned();
        match (&then, done.status.code()) {
            (Refused(why), Some(78)) if said.contains(why) => {}
            (Refused(_), code) => wrong.push(format!("{name}: {code:?} {said}")),
            (_, Some(0)) => {
                let layer = images.names(&images.store("layers"))[0].clone();
                if let Err(why) = judge(&images.store("layers").join(layer), &then) {
                    wrong.push(format!("{name}: {why}"));
                }
            }
            (_, code) => wrong.push(format!("{name}: {code:?} {said}")),
        }
        if matches!(then, Refused(_)) && !images.names(&images.store("layers")).is_empty() {
            wrong.push(format!("{name}: a layer was published"));
        }
        if !images.untouched() || images.names(&images.dir) != ["layout", "marker", "state"] {
            wrong.push(format!(
                "{name}: something outside was touched: {:?}",
                images.names(&images.dir)
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
