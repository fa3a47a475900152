//! Which images give way to a budget.

use std::time::{Duration, SystemTime};

use super::*;
use crate::image::budget::{Budget, Verdict};

/// The layer that all images of a test have.
const BASE: &[u8] = &[b'b'; 300_000];

/// A store with an image of each name, of the base and a layer of its own; the first was used the longest time ago.
fn with_images(names: &[&str]) -> Place {
    let place = Place::new();
    for (nth, name) in names.iter().enumerate() {
        let layout = Layout::new(place.path(name));
        let own = [name.as_bytes(), &[b'x'; 100_000]].concat();
        let manifest = layout.manifest(&[BASE, &own]);
        layout.index(
            layout.typed(media_type::MANIFEST, manifest.to_string().as_bytes()),
            name,
        );
        let loaded = place.load(&place.path(name)).unwrap();
        let manifest = fs::File::open(place.store.blob_path(loaded[0].digest)).unwrap();
        let used = SystemTime::UNIX_EPOCH + Duration::from_secs(nth as u64);
        manifest.set_modified(used).unwrap();
    }
    place
}

impl Place {
    fn digest(&self, name: &str) -> Digest {
        self.store.find(name).unwrap().digest
    }

    fn verdict(&self, bytes: u64, keep: &[&str]) -> (Vec<String>, bool) {
        let keep = keep.iter().map(|name| self.digest(name)).collect();
        let Verdict { idle, over } = self.store.idle(&Budget { bytes, keep }).unwrap();
        let names = idle.iter().flat_map(|idle| &idle.names).map(ToString::to_string);
        (names.collect(), over > 0)
    }
}

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(ToString::to_string).collect()
}

#[test]
fn what_was_not_used_for_the_longest_time_goes_first_until_the_budget_holds() {
    let place = with_images(&["a:1", "b:1", "c:1"]);
    // Three layers of 100 KB, and the base once.
    assert_eq!(place.verdict(700_000, &[]), (names(&[]), false));
    assert_eq!(place.verdict(600_000, &[]), (names(&["a:1"]), false));
    assert_eq!(place.verdict(450_000, &[]), (names(&["a:1", "b:1"]), false));
    assert_eq!(place.verdict(0, &[]), (names(&["a:1", "b:1", "c:1"]), false));
    pins::touch(&place.store.path(""), place.digest("a:1"));
    assert_eq!(place.verdict(600_000, &[]), (names(&["b:1"]), false));
    assert_eq!(place.verdict(600_000, &["b:1"]), (names(&["c:1"]), false));
    let plan = place
        .store
        .garbage(Some(&Budget {
            bytes: 450_000,
            keep: vec![],
        }))
        .unwrap();
    let done = place
        .store
        .collect(Some(&Budget {
            bytes: 450_000,
            keep: vec![],
        }))
        .unwrap();
    assert_eq!(done, Some(plan), "what is told is what is done");
    assert_eq!(place.names(), ["a:1"]);
    let image = place.store.image(place.digest("a:1")).unwrap();
    assert_eq!(
        image.manifest.layers[0].digest,
        Digest::of(BASE),
        "what it shared is there"
    );
}

#[test]
fn what_units_run_and_ran_well_before_stays_whatever_the_budget() {
    let place = with_images(&["a:1", "b:1", "c:1", "d:1"]);
    let store = place.store.path("");
    for (name, ended_well) in [("a:1", true), ("b:1", false), ("c:1", false)] {
        pins::pin(&store, "web", place.digest(name)).unwrap();
        if ended_well {
            pins::approve(&store, "web").unwrap();
        }
    }
    let (idle, over) = place.verdict(0, &[]);
    assert_eq!((idle, over), (names(&["d:1", "b:1"]), true), "c runs, and a ran well");
    let a = place.digest("a:1");
    place.store.forget("a:1").unwrap();
    let gone = place
        .store
        .collect(Some(&Budget { bytes: 0, keep: vec![] }))
        .unwrap()
        .unwrap();
    assert!(gone.verdict.over > 0 && place.names() == ["c:1"]);
    assert!(place.store.image(a).is_ok(), "without a name too");
    pins::forget(&store, "web");
    place.store.collect(None).unwrap();
    assert!(place.store.image(a).is_err());
}
