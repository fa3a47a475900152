//! Images that other tools make, and what those tools read of ours.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;

use serde_json::Value;

use super::{Images, can_run};

/// A layout `made:web` of two layers, made by umoci: a busybox root, and a change of it with a whiteout.
pub fn make(images: &Images) {
    let umoci = |arguments: &[&str]| images.peer("umoci", arguments);
    umoci(&["init", "--layout", "made"]);
    umoci(&["new", "--image", "made:web"]);
    umoci(&["unpack", "--image", "made:web", "bundle"]);
    let root = images.path("bundle/rootfs");
    for folder in ["bin", "etc", "tmp", "var/lib/gone"] {
        fs::create_dir_all(root.join(folder)).expect("make a directory");
    }
    fs::copy("/bin/busybox", root.join("bin/busybox")).expect("copy busybox");
    for name in ["sh", "ls", "cat"] {
        symlink("busybox", root.join("bin").join(name)).expect("make a link");
    }
    fs::hard_link(root.join("bin/busybox"), root.join("bin/hard")).expect("make a link");
    fs::write(root.join("etc/passwd"), "root:x:0:0::/:/bin/sh\n").expect("write a file");
    fs::write(root.join("var/lib/gone/file"), "x").expect("write a file");
    fs::set_permissions(root.join("tmp"), fs::Permissions::from_mode(0o1777)).expect("change a mode");
    std::os::unix::fs::chown(root.join("etc/passwd"), Some(12), Some(34)).expect("change an owner");
    umoci(&["repack", "--image", "made:web", "bundle"]);
    umoci(&[
        "config",
        "--image",
        "made:web",
        "--config.cmd",
        "/bin/sh",
        "--config.env",
        "A=b",
    ]);
    fs::remove_dir_all(images.path("bundle")).expect("remove the bundle");
    umoci(&["unpack", "--image", "made:web", "bundle"]);
    fs::remove_dir_all(root.join("var/lib/gone")).expect("remove a directory");
    fs::write(root.join("etc/new"), "new").expect("write a file");
    umoci(&["repack", "--image", "made:web", "bundle"]);
    fs::remove_dir_all(images.path("bundle")).expect("remove the bundle");
}

/// Every path with its type and mode, owner, size, links, content, and extended attributes of users.
pub fn tree(root: &Path) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut open = vec![root.to_owned()];
    while let Some(path) = open.pop() {
        let met = fs::symlink_metadata(&path).expect("look at a path");
        let name = path.strip_prefix(root).expect("below the root").display().to_string();
        let content = match (met.is_file(), met.is_symlink()) {
            (true, _) => super::layout::hex(&fs::read(&path).expect("read a file")),
            (_, true) => fs::read_link(&path).expect("read a link").display().to_string(),
            _ => String::new(),
        };
        let size = if met.is_dir() { 0 } else { met.size() };
        let links = if met.is_dir() { 0 } else { met.nlink() };
        let mut names = vec![0; 1024];
        let length = rustix::fs::llistxattr(&path, &mut names[..]).unwrap_or(0);
        let attributes = String::from_utf8_lossy(&names[..length]).into_owned();
        found.insert(
            name,
            format!(
                "{:o} {}:{} {size} {links} {content} {attributes:?}",
                met.mode(),
                met.uid(),
                met.gid()
            ),
        );
        if met.is_dir() {
            open.extend(
                fs::read_dir(&path)
                    .expect("read a directory")
                    .flatten()
                    .map(|entry| entry.path()),
            );
        }
    }
    found
}

#[test]
fn umoci_unpacks_the_same_tree() {
    if !can_run("umoci_unpacks_the_same_tree", &["umoci", "busybox", "mount", "umount"]) {
        return;
    }
    let images = Images::new();
    make(&images);
    images.ok(&["load", "-i", "made", "--name", "web:1"]);
    images.peer("umoci", &["unpack", "--image", "made:web", "bundle"]);
    let inspected: Vec<Value> = serde_json::from_str(&images.ok(&["inspect", "web:1"])).expect("JSON");
    let lower = inspected[0]["GraphDriver"]["Data"]["LowerDir"]
        .as_str()
        .expect("directories")
        .to_owned();
    assert_eq!(lower.matches(':').count(), 1, "two layers: {lower}");
    fs::create_dir(images.path("merged")).expect("make a directory");
    let merged = images.path("merged").display().to_string();
    images.peer(
        "mount",
        &[
            "-t",
            "overlay",
            "-o",
            &format!("ro,lowerdir={lower}"),
            "overlay",
            &merged,
        ],
    );
    let own = tree(&images.path("merged"));
    images.peer("umount", &[&merged]);
    let theirs = tree(&images.path("bundle/rootfs"));
    assert!(
        theirs.contains_key("etc/new") && !theirs.contains_key("var/lib/gone"),
        "the oracle has both layers"
    );
    assert_eq!(own, theirs);
}

#[test]
fn skopeo_makes_what_we_read_and_reads_what_we_make() {
    if !can_run(
        "skopeo_makes_what_we_read_and_reads_what_we_make",
        &["umoci", "skopeo", "busybox"],
    ) {
        return;
    }
    let images = Images::new();
    make(&images);
    let skopeo = |from: &str, to: &str| images.peer("skopeo", &["--insecure-policy", "copy", "-q", from, to]);
    skopeo("oci:made:web", "docker-archive:theirs.tar:localhost/web:1");
    skopeo("oci:made:web", "oci-archive:theirs.oci.tar:localhost/web:2");
    for (file, name) in [("theirs.tar", "localhost/web:1"), ("theirs.oci.tar", "localhost/web:2")] {
        assert_eq!(images.ok(&["load", "-i", file]), format!("loaded {name}\n"));
    }
    let id = |name: &str| {
        let all: Vec<Value> = serde_json::from_str(&images.ok(&["inspect", name])).expect("JSON");
        all[0]["Id"].as_str().expect("an id").to_owned()
    };
    assert_eq!(id("localhost/web:1"), id("localhost/web:2"), "one image in two forms");
    images.ok(&["save", "-o", "ours.tar.gz", "--format", "docker", "localhost/web:2"]);
    assert!(
        images.peer("tar", &["tzf", "ours.tar.gz"]).contains("manifest.json"),
        "gzip and tar read it"
    );
    images.ok(&["save", "-o", "ours.tar", "--format", "docker", "localhost/web:2"]);
    images.ok(&["save", "-o", "ours.oci.tar", "localhost/web:2"]);
    images.ok(&["save", "-o", "ours/", "localhost/web:2"]);
    let of = |source: &str| -> Value {
        let text = images.peer("skopeo", &["inspect", "--config", "--raw", source]);
        serde_json::from_str(&text).expect("JSON")
    };
    let expected = of("oci:made:web");
    for source in ["docker-archive:ours.tar", "oci-archive:ours.oci.tar", "oci:ours"] {
        assert_eq!(of(source), expected, "{source}");
        skopeo(source, &format!("dir:{}", source.replace(':', "-")));
    }
    // The store itself is a layout.
    assert_eq!(of("oci:state/images:localhost/web:2"), expected);
}

#[test]
fn an_image_is_listed_named_looked_at_and_removed() {
    if !can_run("an_image_is_listed_named_looked_at_and_removed", &["umoci", "busybox"]) {
        return;
    }
    let images = Images::new();
    make(&images);
    images.ok(&["load", "-i", "made", "--name", "web:1"]);
    images.ok(&["tag", "web:1", "localhost/web:stable"]);
    let rows: Vec<Value> = serde_json::from_str(&images.ok(&["ls", "--json"])).expect("JSON");
    assert_eq!(rows.len(), 2);
    assert_eq!(
        (&rows[0]["name"], &rows[1]["name"]),
        (&"localhost/web:stable".into(), &"web:1".into())
    );
    assert_eq!(rows[0]["unique"], rows[0]["size"], "both names are of one image");
    let table = images.ok(&["list"]);
    assert!(table.starts_with("NAME") && table.lines().count() == 3, "{table}");
    let all: Vec<Value> = serde_json::from_str(&images.ok(&["inspect", "web:1"])).expect("JSON");
    assert_eq!(all[0]["RepoTags"].as_array().map(Vec::len), Some(2));
    assert_eq!(all[0]["Config"]["Cmd"], serde_json::json!(["/bin/sh"]));
    assert_eq!(all[0]["RootFS"]["Layers"].as_array().map(Vec::len), Some(2));
    let id = all[0]["Id"]
        .as_str()
        .expect("an id")
        .trim_start_matches("sha256:")
        .to_owned();
    assert!(images.ok(&["history", &id[..12]]).lines().count() >= 3);
    images.ok(&["rm", "web:1"]);
    assert_eq!(images.names(&images.store("layers")).len(), 2, "another name keeps it");
    assert_eq!(images.ok(&["gc", "--plan"]), "0B would be freed\n");
    images.ok(&["rm", &id[..12]]);
    for below in ["layers", "blobs/sha256", "ingest"] {
        assert_eq!(images.names(&images.store(below)), Vec::<String>::new(), "{below}");
    }
    let gone = images.run(&["inspect", "web:1"]);
    let said = String::from_utf8_lossy(&gone.stderr).into_owned();
    assert_eq!(gone.status.code(), Some(1));
    assert!(
        said.starts_with("svc: image inspect: web:1: no such image\nhint: "),
        "{said}"
    );
}
