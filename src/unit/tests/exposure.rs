//! What a service leaves open, by its text.

use super::keys;
use super::*;
use crate::unit::exposure::{self, Exposure};

fn of(keys: &str) -> Exposure {
    exposure::of(&unit_of(&format!("{PLAIN}{keys}"))).unwrap()
}

fn opened(exposure: &Exposure) -> Vec<String> {
    exposure
        .open
        .iter()
        .map(|open| format!("{}: {}", open.key, open.what))
        .collect()
}

const CLOSED: &str = "dynamic-user = true\numask = \"0077\"\n[network]\nmode = \"none\"\n[isolation]\nprotect-system = \"strict\"\n\
    capabilities = [\"none\"]\nmemory-deny-write-execute = true\nsystem-call-architectures = [\"native\"]\n\
    restrict-address-families = [\"AF_UNIX\"]\n\
    seccomp = { allow = [\"@standard\"], deny = [\"@clock\", \"@debug\", \"@privileged\", \"@resources\"] }\n";

#[test]
fn the_profiles_are_in_order_and_the_scale_ends_where_it_says() {
    let none = of("[isolation]\nprofile = \"none\"\n");
    let standard = of("");
    let closed = of(CLOSED);
    assert!(
        none.exposure >= 9.0 && none.exposure <= 10.0,
        "{}: {:#?}",
        none.exposure,
        opened(&none)
    );
    assert!(
        standard.exposure < none.exposure - 3.0,
        "{}: {:#?}",
        standard.exposure,
        opened(&standard)
    );
    assert!(closed.exposure < 2.0, "{}: {:#?}", closed.exposure, opened(&closed));
    assert!(["unsafe", "dangerous"].contains(&none.rating), "{}", none.rating);
    let sum: f64 = standard.open.iter().map(|open| open.exposure).sum();
    assert!(
        (sum - standard.exposure).abs() < 0.06,
        "the parts make the whole: {sum}"
    );
    assert!(standard.open.is_sorted_by(|one, other| one.exposure >= other.exposure));
}

/// Each of these keys closes what it is said to close, and opens nothing.
#[test]
fn what_is_said_to_close_it_does() {
    let before = opened(&of(""));
    for (keys, closes) in [
        ("dynamic-user = true\n", "[service] user: runs as root"),
        ("user = \"www-data\"\n", "[service] user: runs as root"),
        (
            "umask = \"0077\"\n",
            "[service] umask: makes files that others may read",
        ),
        (
            "[network]\nmode = \"none\"\n",
            "[network] mode: reaches the network of the machine",
        ),
        (
            "[isolation]\nsystem-call-architectures = [\"native\"]\n",
            "[isolation] system-call-architectures: makes system calls of other architectures",
        ),
        (
            "[isolation]\nseccomp = { allow = [\"@standard\"], deny = [\"@debug\"] }\n",
            "[isolation] seccomp: may call @debug: ptrace",
        ),
        (
            "[isolation]\ncapabilities = [\"CAP_CHOWN\"]\n",
            "[isolation] capabilities: signals any process that it sees: CAP_KILL",
        ),
    ] {
        assert!(before.iter().any(|open| open == closes), "{closes}: {before:#?}");
        let after = opened(&of(keys));
        assert!(!after.iter().any(|open| open == closes), "{keys}: {after:#?}");
    }
    for (keys, opens) in [
        (
            "[isolation]\nseccomp = \"none\"\n",
            "[isolation] seccomp: may call @mount",
        ),
        (
            "[isolation]\nrestrict-namespaces = [\"net\"]\n",
            "[isolation] restrict-namespaces: makes namespaces",
        ),
        (
            "[isolation]\nprivate-tmp = false\n",
            "[isolation] private-tmp: shares /tmp and /var/tmp",
        ),
        (
            "[isolation]\nkeyring-mode = \"inherit\"\n",
            "[isolation] keyring-mode: shares svcd's keyring",
        ),
    ] {
        assert!(!before.iter().any(|open| open == opens), "{opens}");
        let after = opened(&of(keys));
        assert!(after.iter().any(|open| open == opens), "{keys}: {after:#?}");
    }
}

#[test]
fn every_opening_names_a_key() {
    for open in of("[isolation]\nprofile = \"none\"\n").open {
        let (table, key) = open.key.trim_start_matches('[').split_once("] ").unwrap();
        assert!(keys::find(table, key).is_some(), "{}", open.key);
        assert!(!open.fix.is_empty() && !open.what.is_empty(), "{}", open.key);
    }
}

#[test]
fn a_target_leaves_nothing_open() {
    let target = Unit::target(UnitName::new("t").unwrap());
    assert_eq!(exposure::of(&target), None);
}
