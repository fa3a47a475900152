//! Layer group 7: documents and blobs that are not what they say.

use super::*;

type Spoil = fn(&Layout, Value);
type Case = (&'static str, &'static str, Spoil);

fn of_blobs() -> Vec<Case> {
    vec![
        ("a changed layer", "has the digest", |layout, manifest| {
            layout.image(&manifest);
            fs::write(layout.blob_path(Digest::of(b"second layer")), "second layeR").unwrap();
        }),
        ("a truncated layer", "is 11 bytes long, not 12", |layout, manifest| {
            layout.image(&manifest);
            fs::write(layout.blob_path(Digest::of(b"second layer")), "second laye").unwrap();
        }),
        (
            "bytes behind a layer",
            "is 13 bytes long, not 12",
            |layout, manifest| {
                layout.image(&manifest);
                fs::write(layout.blob_path(Digest::of(b"second layer")), "second layer!").unwrap();
            },
        ),
        (
            "a layer that is missing",
            "is not in the archive",
            |layout, manifest| {
                layout.image(&manifest);
                fs::remove_file(layout.blob_path(Digest::of(b"first layer"))).unwrap();
            },
        ),
        ("a size that is not", "long, not 99", |layout, mut manifest| {
            manifest["layers"][0]["size"] = json!(99);
            layout.image(&manifest);
        }),
    ]
}

fn of_manifests() -> Vec<Case> {
    vec![
        (
            "an index that is a manifest too (CVE-2021-41190)",
            "index and a manifest at once",
            |layout, mut manifest| {
                manifest["manifests"] = json!([]);
                layout.image(&manifest);
            },
        ),
        (
            "a digest that is a path (CVE-2024-3727)",
            "hexadecimal",
            |layout, mut manifest| {
                manifest["layers"][0]["digest"] = json!("sha256:../../../../etc/passwd");
                layout.image(&manifest);
            },
        ),
        ("an unknown algorithm", "algorithm sha256", |layout, mut manifest| {
            manifest["layers"][0]["digest"] = json!(format!("md5:{}", "a".repeat(32)));
            layout.image(&manifest);
        }),
        (
            "a layer that the configuration lacks",
            "has 1 layers, and its manifest has 2",
            |layout, mut manifest| {
                let other = layout.manifest(&[b"first layer"]);
                manifest["config"] = other["config"].clone();
                layout.image(&manifest);
            },
        ),
    ]
}

fn of_indexes() -> Vec<Case> {
    vec![
        ("indexes without an end", "index of indexes", |layout, manifest| {
            let mut inner = layout.typed(media_type::MANIFEST, manifest.to_string().as_bytes());
            for _ in 0..6 {
                let index = json!({ "schemaVersion": 2, "mediaType": media_type::INDEX, "manifests": [inner] });
                inner = layout.typed(media_type::INDEX, index.to_string().as_bytes());
            }
            layout.index(inner, "web:1");
        }),
        (
            "an index that names itself",
            "is not what its digest",
            |layout, manifest| {
                let other = layout.typed(media_type::INDEX, b"{}");
                let index = json!({ "schemaVersion": 2, "manifests": [other.clone()] });
                let path = layout.blob_path(serde_json::from_value(other["digest"].clone()).unwrap());
                fs::write(path, index.to_string()).unwrap();
                layout.index(other, "web:1");
                drop(manifest);
            },
        ),
        ("another schema", "schema version 1", |layout, mut manifest| {
            manifest["schemaVersion"] = json!(1);
            layout.image(&manifest);
        }),
        ("an artifact that is no image", "is no image", |layout, mut manifest| {
            manifest["config"]["mediaType"] = json!("application/vnd.example+json");
            layout.image(&manifest);
        }),
    ]
}

#[test]
fn group_7_what_is_not_what_it_says_is_refused_before_use() {
    let cases = [of_blobs(), of_manifests(), of_indexes()].concat();
    for (what, why, spoil) in cases {
        let place = Place::new();
        let layout = Layout::new(place.path("layout"));
        let manifest = layout.manifest(&[b"first layer", b"second layer"]);
        spoil(&layout, manifest);
        let error = place.load(&place.path("layout")).expect_err(what);
        assert_eq!(error.kind, Kind::Refused, "{what}: {error}");
        assert!(error.to_string().contains(why), "{what}: {error}");
        assert_eq!(place.names(), Vec::<String>::new(), "{what}: it has a name");
        for blob in fs::read_dir(place.store.path("blobs/sha256")).unwrap().flatten() {
            let name = blob.file_name().into_string().unwrap();
            let bytes = fs::read(blob.path()).unwrap();
            assert_eq!(
                Digest::of(&bytes).hex(),
                name,
                "{what}: a blob under a name that is not its own"
            );
        }
    }
}
