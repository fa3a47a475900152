//! The store, and what comes in and goes out, by images made here byte by byte.

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::archive::{self, Form, Loaded, Source};
use super::document::{Descriptor, Platform, media_type};
use super::references::Reference;
use super::*;

mod budget;
mod refusals;

/// A store in a directory of the test's own.
struct Place {
    dir: tempfile::TempDir,
    store: Store,
}

impl Place {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("images")).unwrap();
        Self { dir, store }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn load(&self, path: &Path) -> Result<Vec<Loaded>> {
        let source = Source::open(path, &self.store.path("ingest"))?;
        archive::load(&self.store, &source, None, &Platform::of_this_machine(), &|_| Ok(()))
    }

    fn names(&self) -> Vec<String> {
        let all = self.store.references().unwrap();
        all.iter()
            .filter_map(|one| Some(one.name.as_ref()?.to_string()))
            .collect()
    }
}

/// A layout that is written as it is described, right or wrong.
struct Layout(PathBuf);

impl Layout {
    fn new(at: PathBuf) -> Self {
        fs::create_dir_all(at.join("blobs/sha256")).unwrap();
        fs::write(at.join("oci-layout"), store::LAYOUT).unwrap();
        Self(at)
    }

    fn blob(&self, bytes: &[u8]) -> Value {
        let digest = Digest::of(bytes);
        fs::write(self.blob_path(digest), bytes).unwrap();
        json!({ "digest": digest, "size": bytes.len() })
    }

    fn blob_path(&self, digest: Digest) -> PathBuf {
        self.0.join("blobs/sha256").join(digest.hex())
    }

    fn typed(&self, media_type: &str, bytes: &[u8]) -> Value {
        let mut blob = self.blob(bytes);
        blob["mediaType"] = json!(media_type);
        blob
    }

    /// A manifest with layers of these contents.
    fn manifest(&self, layers: &[&[u8]]) -> Value {
        let diff_ids: Vec<Digest> = layers.iter().map(|layer| Digest::of(layer)).collect();
        let config = json!({
            "architecture": Platform::of_this_machine().architecture, "os": "linux", "created": "2026-01-02T03:04:05Z",
            "config": { "Cmd": ["/bin/sh"], "Env": ["A=b"] },
            "rootfs": { "type": "layers", "diff_ids": diff_ids },
            "history": [{ "created_by": "a step" }],
        });
        let config = self.typed(media_type::CONFIG, config.to_string().as_bytes());
        let layers: Vec<Value> = layers
            .iter()
            .map(|layer| self.typed(media_type::LAYER, layer))
            .collect();
        json!({ "schemaVersion": 2, "mediaType": media_type::MANIFEST, "config": config, "layers": layers })
    }

    fn index(&self, mut manifest: Value, name: &str) {
        manifest["annotations"] = json!({ "org.opencontainers.image.ref.name": name });
        let index = json!({ "schemaVersion": 2, "manifests": [manifest] });
        fs::write(self.0.join("index.json"), index.to_string()).unwrap();
    }

    /// An image that is right in all.
    fn good(at: PathBuf) -> Self {
        let layout = Self::new(at);
        let manifest = layout.manifest(&[b"first layer", b"second layer"]);
        layout.image(&manifest);
        layout
    }

    fn image(&self, manifest: &Value) {
        self.index(
            self.typed(media_type::MANIFEST, manifest.to_string().as_bytes()),
            "web:1",
        );
    }
}

#[test]
fn a_layout_comes_in_and_goes_out_as_it_was() {
    let place = Place::new();
    Layout::good(place.path("layout"));
    let loaded = place.load(&place.path("layout")).unwrap();
    assert_eq!(place.names(), ["web:1"]);
    let images = [place.store.find("web:1").unwrap()];
    let id = place.store.image(loaded[0].digest).unwrap().id();
    archive::save_to_directory(&place.store, &images, &place.path("saved")).unwrap();
    let mut files = vec![place.path("saved")];
    for form in [Form::Oci, Form::Docker] {
        let mut plain = Vec::new();
        archive::save(&place.store, &images, form, &mut plain).unwrap();
        let mut gzip = archive::gzip(Vec::new());
        gzip.write_all(&plain).unwrap();
        let zstd = zstd::encode_all(&plain[..], 3).unwrap();
        for (ending, bytes) in [("tar", plain), ("tgz", gzip.finish().unwrap()), ("zst", zstd)] {
            let path = place.path(&format!("{form:?}.{ending}"));
            fs::write(&path, bytes).unwrap();
            files.push(path);
        }
    }
    for file in files {
        let other = Place::new();
        let again = other.load(&file).unwrap();
        assert_eq!(
            (again.len(), &again[0].name),
            (1, &loaded[0].name),
            "{}",
            file.display()
        );
        let image = other.store.image(again[0].digest).unwrap();
        assert_eq!(image.id(), id);
        // What `docker save` writes has no manifest, so that a new one is made.
        let is_layout = !file.display().to_string().contains("Docker");
        assert!(!is_layout || again == loaded, "{}", file.display());
        assert_eq!(image.config.rootfs.diff_ids[1], Digest::of(b"second layer"));
    }
}

#[test]
fn an_image_for_many_machines_is_chosen_by_platform() {
    let place = Place::new();
    let layout = Layout::new(place.path("layout"));
    let mut all = Vec::new();
    for (architecture, layer) in [
        ("s390x", &b"other"[..]),
        (&Platform::of_this_machine().architecture, b"own"),
    ] {
        let manifest = layout.manifest(&[layer]);
        let mut entry = layout.typed(media_type::MANIFEST, manifest.to_string().as_bytes());
        entry["platform"] = json!({ "os": "linux", "architecture": architecture });
        all.push(entry);
    }
    let index = json!({ "schemaVersion": 2, "mediaType": media_type::INDEX, "manifests": all });
    let entry = layout.typed(media_type::INDEX, index.to_string().as_bytes());
    layout.index(entry.clone(), "web:1");
    let loaded = place.load(&place.path("layout")).unwrap();
    let image = place.store.image(loaded[0].digest).unwrap();
    assert_eq!(image.manifest.layers[0].digest, Digest::of(b"own"));
    let pinned = format!("web@{}", entry["digest"].as_str().unwrap());
    assert_eq!(
        place.store.find(&pinned).unwrap().digest,
        loaded[0].digest,
        "by what the tag said"
    );
    let source = Source::open(&place.path("layout"), &place.store.path("ingest")).unwrap();
    let error = archive::load(&place.store, &source, None, &"linux/mips".parse().unwrap(), &|_| Ok(())).unwrap_err();
    assert!(error.to_string().contains("linux/s390x, linux/"), "{error}");
}

#[test]
fn the_store_is_for_its_owner_alone() {
    let place = Place::new();
    let root = place.store.path("");
    assert_eq!(fs::metadata(&root).unwrap().permissions().mode() & 0o7777, 0o700);
    fs::set_permissions(&root, fs::Permissions::from_mode(0o755)).unwrap();
    Store::open(&root).unwrap();
    assert_eq!(
        fs::metadata(&root).unwrap().permissions().mode() & 0o7777,
        0o700,
        "it is private again"
    );
}

#[test]
fn a_blob_that_was_cut_off_is_gone_on_with() {
    let place = Place::new();
    let blob = Descriptor::of(media_type::LAYER, b"0123456789");
    let mut ingest = place.store.ingest(&blob).unwrap().unwrap();
    ingest.write_all(b"01234").unwrap();
    drop(ingest);
    assert!(!place.store.has(blob.digest), "a half has no name");
    let mut ingest = place.store.ingest(&blob).unwrap().unwrap();
    assert_eq!(ingest.begun(), 5);
    ingest.write_all(b"56789").unwrap();
    ingest.finish().unwrap();
    assert!(place.store.has(blob.digest) && place.store.ingest(&blob).unwrap().is_none());
    assert_eq!(fs::read_dir(place.store.path("ingest")).unwrap().count(), 0);
}

#[test]
fn a_blob_that_is_wrong_or_too_long_is_not_kept() {
    let place = Place::new();
    let blob = Descriptor::of(media_type::LAYER, b"0123456789");
    let mut ingest = place.store.ingest(&blob).unwrap().unwrap();
    ingest.write_all(b"012345678X").unwrap();
    assert_eq!(ingest.finish().unwrap_err().kind, Kind::Refused);
    let mut ingest = place.store.ingest(&blob).unwrap().unwrap();
    assert_eq!(ingest.begun(), 0, "what was wrong is not gone on with");
    assert!(ingest.write_all(b"0123456789X").is_err());
    drop(ingest);
    assert!(!place.store.has(blob.digest));
}

#[test]
fn names_move_and_what_nobody_names_goes() {
    let place = Place::new();
    Layout::good(place.path("layout"));
    let loaded = place.load(&place.path("layout")).unwrap();
    let found = place.store.find("web:1").unwrap();
    place
        .store
        .name(Reference {
            name: Some("other:2".parse().unwrap()),
            ..found.clone()
        })
        .unwrap();
    let id = place.store.image(found.digest).unwrap().id().hex();
    for text in [
        "other:2",
        &id,
        id.get(..12).unwrap(),
        &format!("sha256:{id}"),
        found.digest.hex().get(..8).unwrap(),
    ] {
        assert_eq!(place.store.find(text).unwrap().digest, loaded[0].digest, "{text}");
    }
    for text in ["third", "web", "abcd", "..", "sha256:"] {
        assert_eq!(place.store.find(text).unwrap_err().kind, Kind::NoSuchImage, "{text}");
    }
    place.store.forget("web:1").unwrap();
    assert_eq!(
        place.store.garbage(None).unwrap(),
        garbage::Garbage::default(),
        "another name keeps it"
    );
    fs::create_dir(place.store.layer_path(Digest::of(b"first layer"))).unwrap();
    place.store.forget(id.get(..12).unwrap()).unwrap();
    {
        let _adding = place.store.adding().unwrap();
        assert_eq!(place.store.collect(None).unwrap(), None, "not while somebody adds");
    }
    let gone = place.store.collect(None).unwrap().unwrap();
    assert_eq!((gone.blobs.len(), gone.layers.len()), (4, 1));
    for below in ["blobs/sha256", "layers", "ingest"] {
        assert_eq!(fs::read_dir(place.store.path(below)).unwrap().count(), 0, "{below}");
    }
}

#[test]
fn a_document_that_was_changed_on_disk_is_not_believed() {
    let place = Place::new();
    Layout::good(place.path("layout"));
    let loaded = place.load(&place.path("layout")).unwrap();
    let image = place.store.image(loaded[0].digest).unwrap();
    let mut bytes = image.config_bytes.clone();
    bytes[5] ^= 1;
    fs::write(place.store.blob_path(image.id()), bytes).unwrap();
    let error = place.store.image(loaded[0].digest).unwrap_err();
    assert!(error.to_string().contains("changed on disk"), "{error}");
}

#[test]
fn archives_with_links_out_and_doubles_are_refused() {
    let place = Place::new();
    let member = |archive: &mut tar::Builder<Vec<u8>>, kind, name: &str, link: &str| {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.set_size(0);
        if !link.is_empty() {
            header.set_link_name_literal(link).unwrap();
        }
        header.as_gnu_mut().unwrap().name[..name.len()].copy_from_slice(name.as_bytes());
        header.set_cksum();
        archive.append(&header, &b""[..]).unwrap();
    };
    type Members = &'static [(tar::EntryType, &'static str, &'static str)];
    let cases: [(&str, Members); 4] = [
        (
            "link out",
            &[(tar::EntryType::Symlink, "a/oci-layout", "../../etc/passwd")],
        ),
        ("link out", &[(tar::EntryType::Symlink, "oci-layout", "/etc/passwd")]),
        (
            "twice",
            &[
                (tar::EntryType::Regular, "oci-layout", ""),
                (tar::EntryType::Regular, "oci-layout", ""),
            ],
        ),
        ("no plain file", &[(tar::EntryType::Fifo, "oci-layout", "")]),
    ];
    for (why, members) in cases {
        let mut archive = tar::Builder::new(Vec::new());
        members
            .iter()
            .for_each(|(kind, name, link)| member(&mut archive, *kind, name, link));
        fs::write(place.path("a.tar"), archive.into_inner().unwrap()).unwrap();
        let error = place.load(&place.path("a.tar")).unwrap_err().to_string();
        assert!(error.contains(why), "{error}");
    }
    // And in a directory: a link to a file outside is not followed.
    let layout = Layout::good(place.path("layout"));
    let path = layout.blob_path(Digest::of(b"first layer"));
    fs::rename(&path, place.path("outside")).unwrap();
    std::os::unix::fs::symlink(place.path("outside"), &path).unwrap();
    assert!(place.load(&layout.0).is_err());
}

#[test]
fn a_member_of_which_too_much_is_said_is_refused_unread() {
    let place = Place::new();
    let mut header = tar::Header::new_ustar();
    header.set_entry_type(tar::EntryType::XHeader);
    header.set_size(8 << 30);
    header.set_cksum();
    // The body is a hole, eight gigabytes long: nobody reads it.
    let file = fs::File::create(place.path("a.tar")).unwrap();
    (&file).write_all(header.as_bytes()).unwrap();
    file.set_len((8 << 30) + 2048).unwrap();
    let error = place.load(&place.path("a.tar")).unwrap_err().to_string();
    assert!(error.contains("says too much"), "{error}");
}

#[test]
fn a_blob_that_claims_to_have_all_bytes_is_no_trouble() {
    let place = Place::new();
    let blob = Descriptor::new(media_type::LAYER, Digest::of(b"x"), u64::MAX);
    let mut ingest = place.store.ingest(&blob).unwrap().unwrap();
    ingest.write_all(b"x").unwrap();
    assert_eq!(ingest.finish().unwrap_err().kind, Kind::Refused);
}
