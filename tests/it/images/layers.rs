//! Layer groups 3 to 8: what is in an entry, whiteouts, and what is not for a root; [`super::bombs`] has the large ones.

use std::fs;
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use super::layout::{self, CHARACTER, FIFO, FILE, Tar, header};
use super::{Images, can_run};
use crate::machine::skip;

/// Loads an image of one layer.
pub(super) fn load(images: &Images, layer: &[u8], plain: &[u8]) -> Output {
    layout::write(&images.path("layout"), "one", layer, plain);
    images.run(&["load", "-i", "layout"])
}

/// Loads one that is right, and gives its directory.
#[track_caller]
pub(super) fn unpacked(images: &Images, layer: &[u8]) -> PathBuf {
    super::text(&load(images, layer, layer), &["load"]);
    let names = images.names(&images.store("layers"));
    images.store("layers").join(&names[0])
}

#[track_caller]
pub(super) fn refused(images: &Images, layer: &[u8], plain: &[u8], why: &str) {
    let done = load(images, layer, plain);
    let said = String::from_utf8_lossy(&done.stderr).into_owned();
    assert!(
        done.status.code() == Some(78) && said.contains(why),
        "{:?}, not {why}: {said}",
        done.status
    );
    assert_eq!(
        images.names(&images.store("layers")),
        Vec::<String>::new(),
        "a layer was published"
    );
    assert_eq!(images.ok(&["ls", "--json"]).trim(), "[]", "it has a name");
    let under_way = images.names(&images.store("ingest"));
    assert!(
        !under_way.iter().any(|name| name.ends_with(".layer")),
        "half a layer is left: {under_way:?}"
    );
}

fn xattr(path: &Path, name: &str) -> Option<Vec<u8>> {
    let mut value = vec![0; 256];
    let length = rustix::fs::lgetxattr(path, name, &mut value[..]).ok()?;
    value.truncate(length);
    Some(value)
}

#[test]
fn owners_modes_times_and_links_are_as_the_archive_says() {
    if !can_run("owners_modes_times_and_links_are_as_the_archive_says", &[]) {
        return;
    }
    let images = Images::new();
    let tar = Tar::default()
        .raw(&header(b'5', "./", "", 0, 0o751, 12), b"")
        .raw(&header(b'5', "d", "", 0, 0o1777, 3), b"")
        .raw(&header(FILE, "d/suid", "", 4, 0o4755, 1000), b"text")
        .pax_of(&[
            ("mtime", "1600000000.5"),
            ("uid", "4000000000"),
            ("SCHILY.xattr.user.kind", "plain"),
        ])
        .raw(&header(FILE, "big-uid", "", 0, 0o600, 0), b"")
        .raw(&header(FIFO, "fifo", "", 0, 0o620, 7), b"")
        .symlink("nowhere", "link")
        .hardlink("d/suid", "other");
    let root = unpacked(&images, &tar.end());
    let met = |name: &str| fs::symlink_metadata(root.join(name)).expect(name);
    assert_eq!((met("").mode() & 0o7777, met("").uid()), (0o751, 12), "the root's own");
    assert_eq!(
        (met("d").mode() & 0o7777, met("d").uid(), met("d").mtime()),
        (0o1777, 3, 1_700_000_000)
    );
    assert_eq!((met("d/suid").mode() & 0o7777, met("d/suid").uid()), (0o4755, 1000));
    assert_eq!(met("other").ino(), met("d/suid").ino());
    assert_eq!(
        (
            met("big-uid").uid(),
            met("big-uid").mtime(),
            met("big-uid").mtime_nsec()
        ),
        (4_000_000_000, 1_600_000_000, 500_000_000)
    );
    // A tmpfs of a kernel before 6.6 has no attributes of users.
    let plain = rustix::fs::lsetxattr(
        images.path("marker"),
        "user.kind",
        b"plain",
        rustix::fs::XattrFlags::empty(),
    );
    let expected = plain.is_ok().then(|| b"plain".to_vec());
    assert_eq!(xattr(&root.join("big-uid"), "user.kind"), expected);
    assert_eq!((met("fifo").mode() & 0o177_777, met("fifo").uid()), (0o010_620, 7));
    assert_eq!(fs::read_link(root.join("link")).expect("a link"), Path::new("nowhere"));
}

#[test]
fn group_3_a_size_that_is_said_twice_is_read_as_others_read_it() {
    if !can_run("group_3_a_size_that_is_said_twice_is_read_as_others_read_it", &["tar"]) {
        return;
    }
    let version = Command::new("tar").arg("--version").output().expect("start tar");
    if !String::from_utf8_lossy(&version.stdout).contains("GNU") {
        return skip(
            "group_3_a_size_that_is_said_twice_is_read_as_others_read_it",
            "it takes GNU tar",
        );
    }
    // The header says that the file is empty, PAX that it has a block: the next header is either what follows or content.
    let hidden = Tar::default().file("hidden", "").0;
    let tar = Tar::default()
        .pax("size", "512")
        .raw(&header(FILE, "outer", "", 0, 0o644, 0), &hidden)
        .file("last", "x")
        .end();
    let images = Images::new();
    fs::write(images.path("a.tar"), &tar).expect("write an archive");
    let listed: Vec<String> = images
        .peer("tar", &["tf", "a.tar"])
        .lines()
        .map(str::to_owned)
        .collect();
    let root = unpacked(&images, &tar);
    let mut own = images.names(&root);
    own.sort_by_key(|name| listed.iter().position(|other| other == name));
    assert_eq!(own, listed, "GNU tar reads the same");
    assert_eq!(own, ["outer", "last"]);
}

#[test]
fn group_4_numbers_out_of_range_and_sparse_maps_are_refused() {
    if !can_run("group_4_numbers_out_of_range_and_sparse_maps_are_refused", &[]) {
        return;
    }
    let of_uid = |uid: &str| Tar::default().pax("uid", uid).file("a", "").end();
    for uid in ["4294967295", "4294967296", "99999999999"] {
        let tar = of_uid(uid);
        refused(&Images::new(), &tar, &tar, "has a user that is out of range");
    }
    unpacked(&Images::new(), &of_uid("2147483648"));
    let tar = Tar::default().raw(&header(b'S', "sparse", "", 0, 0o644, 0), b"").end();
    refused(&Images::new(), &tar, &tar, "sparse");
    let tar = Tar::default().pax("GNU.sparse.major", "1").file("a", "").end();
    refused(&Images::new(), &tar, &tar, "a sparse file");
}

#[test]
fn group_5_whiteouts_become_what_overlayfs_reads() {
    if !can_run("group_5_whiteouts_become_what_overlayfs_reads", &[]) {
        return;
    }
    let images = Images::new();
    let tar = Tar::default()
        .file(".wh..wh..opq", "")
        .directory("opaque")
        .file("opaque/kept", "x")
        .file("opaque/.wh..wh..opq", "")
        .file(".wh.replaced", "")
        .directory("replaced")
        .file("own", "mine")
        .file(".wh.own", "")
        .directory("later")
        .file(".wh.later", "")
        .file(".wh..wh.plnk", "")
        .pax("SCHILY.xattr.trusted.overlay.redirect", "/etc")
        .directory("forged")
        .pax("SCHILY.xattr.user.overlay.opaque", "y")
        .directory("forged-too")
        .pax("SCHILY.xattr.security.capability", "\u{1}\u{0}\u{0}\u{2}")
        .file("capable", "x")
        .raw(&header(CHARACTER, "device", "", 0, 0o666, 0), b"");
    let root = unpacked(&images, &tar.end());
    let opaque = |name: &str| xattr(&root.join(name), "trusted.overlay.opaque");
    for name in ["", "opaque", "replaced", "later"] {
        assert_eq!(opaque(name).as_deref(), Some(&b"y"[..]), "{name:?} hides what is below");
    }
    assert!(
        root.join("opaque/kept").is_file(),
        "an opaque directory keeps what its own layer has"
    );
    assert_eq!(
        fs::read_to_string(root.join("own")).expect("a whiteout hides nothing of its own layer"),
        "mine"
    );
    assert_eq!(xattr(&root.join("forged"), "trusted.overlay.redirect"), None);
    assert_eq!(xattr(&root.join("forged-too"), "user.overlay.opaque"), None);
    assert_eq!(xattr(&root.join("capable"), "security.capability"), None);
    let names = images.names(&root);
    assert_eq!(
        names,
        ["capable", "forged", "forged-too", "later", "opaque", "own", "replaced"],
        "group 8: no device"
    );
}

#[test]
fn group_7_what_is_not_its_diff_id_is_never_published() {
    if !can_run("group_7_what_is_not_its_diff_id_is_never_published", &[]) {
        return;
    }
    let tar = Tar::default().file("a", "text").end();
    let gzip = |bytes: &[u8]| {
        let mut to = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        to.write_all(bytes).expect("compress");
        to.finish().expect("compress")
    };
    refused(
        &Images::new(),
        &tar,
        b"something else",
        "without compression, not sha256:",
    );
    let doubled = [gzip(&tar[..512]), gzip(&tar[512..])].concat();
    refused(&Images::new(), &doubled, &tar, "second gzip member");
    let trailing = [gzip(&tar), b"garbage".to_vec()].concat();
    refused(&Images::new(), &trailing, &tar, "behind the end of its gzip stream");
    let behind = [tar.clone(), b"garbage".to_vec()].concat();
    refused(&Images::new(), &behind, &behind, "behind the end of its archive");
    let cut = &gzip(&tar)[..40];
    refused(&Images::new(), cut, &tar, "");
    let short = Tar::default()
        .raw(&header(FILE, "a", "", 5000, 0o644, 0), b"only this")
        .0;
    refused(&Images::new(), &short, &short, "");
    unpacked(&Images::new(), &tar);
}
