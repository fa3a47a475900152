//! Keys on a machine that cannot hold them: the start is refused with the key and the cause, and with `best-effort` it
//! goes on and status says what was skipped. The machine is made so by running svcd as a service of another svcd, which
//! takes something from it; what it takes, and from which keys, is the table of [`lacks`].

use std::collections::BTreeSet;

use svc::unit::keys;

use super::harness::SLEEPER;
use super::inner::Inner;
use super::machine::{hierarchies, is_root, skip};
use lacks::{Before, Case, Lack, PURE};

pub mod lacks;

/// A test for each lack, and all of them for [`every_key_has_its_case`].
macro_rules! tests {
    ($($name:ident: $lack:ident,)*) => {
        $(#[test] fn $name() { holds(stringify!($name), &lacks::$lack); })*
        pub const TESTED: &[&Lack] = &[$(&lacks::$lack),*];
    };
}

tests! {
    without_filters: FILTERS,
    without_landlock: LANDLOCK,
    without_keyrings: KEYRINGS,
    without_the_right_to_keyrings: RIGHT_TO_KEYRINGS,
    without_capabilities: CAPABILITIES,
    without_the_right_to_ids: RIGHT_TO_IDS,
    without_ids: IDS,
    without_rights: RIGHTS,
    without_namespaces: NAMESPACES,
    without_mount_calls: MOUNT_CALLS,
    without_the_right_to_mount_calls: RIGHT_TO_MOUNT_CALLS,
    without_other_keys: OTHER_KEYS,
    without_another_machine: MACHINE,
    without_cgroups_to_write: CGROUPS_TO_WRITE,
    without_cgroups: CGROUPS,
}

/// A key that is added to these tables needs a lack that takes it, or a reason why nothing does.
#[test]
fn every_key_has_its_case() {
    let of_tables = |row: &&keys::Key| ["isolation", "resources", "[mount]", "network"].contains(&row.table);
    let rows = keys::all().filter(of_tables);
    let wanted: BTreeSet<(&str, &str)> = rows.map(|row| (row.table, row.name)).collect();
    let tested = TESTED.iter().flat_map(|lack| lack.keys).copied().flatten();
    let tested: BTreeSet<_> = tested.map(|(table, key, ..)| (*table, *key)).collect();
    let pure: BTreeSet<_> = PURE.iter().map(|(table, key, _)| (*table, *key)).collect();
    let both: Vec<_> = tested.intersection(&pure).collect();
    assert!(both.is_empty(), "cannot be refused, and is: {both:?}");
    let all: BTreeSet<_> = tested.union(&pure).copied().collect();
    let missing: Vec<_> = wanted.difference(&all).collect();
    assert!(missing.is_empty(), "no case for {missing:?}");
    let unknown: Vec<_> = all.difference(&wanted).collect();
    assert!(unknown.is_empty(), "a case for what is no key: {unknown:?}");
}

/// Holds the rule for all keys of a lack.
fn holds(test: &str, lack: &Lack) {
    if !is_root() {
        return skip(test, "it takes root to take something from svcd");
    }
    let cases: Vec<&Case> = lack.keys.iter().copied().flatten().collect();
    let mut units = Vec::new();
    for case in &cases {
        let best = [lack.beside, &[key_of(case)]].concat();
        units.push((format!("must-{}", case.1), unit(case, lack.beside)));
        units.push((format!("may-{}", case.1), unit(case, &best)));
    }
    let inner = Inner::start(lack.taken, &before(lack.before), &units);
    for case in cases {
        let must = format!("must-{}", case.1);
        let cause = is_refused(&inner, &must, case, lack);
        let may = format!("may-{}", case.1);
        if case.0 == "[mount]" {
            is_refused(&inner, &may, case, lack);
        } else {
            is_skipped(&inner, &may, case.1, cause);
        }
    }
}

fn before(what: Before) -> String {
    match what {
        Before::Nothing => String::new(),
        Before::Run(commands) => commands.to_owned(),
        Before::ForEachHierarchy(commands) => {
            let places = hierarchies().into_iter().map(|(_, at)| at.display().to_string());
            places.map(|at| commands.replace("AT", &at)).collect()
        }
    }
}

/// A service that asks for the key and for nothing else. Its devices are its own matter, not the profile's.
fn unit((table, key, value, _): &Case, best: &[&str]) -> String {
    let best: Vec<String> = best.iter().map(|key| format!("\"{key}\"")).collect();
    let more = format!("best-effort = [{}]\n", best.join(", "));
    let once = "[restart]\npolicy = \"no\"\n";
    let isolation = "[isolation]\nprofile = \"none\"\n";
    let (table, mount) = match *table {
        "isolation" => (String::new(), ""),
        "[mount]" => ("[[mount]]\n".to_owned(), "mount = true\n"),
        table => (format!("[{table}]\n"), ""),
    };
    match table.as_str() {
        "" => format!("{SLEEPER}{once}{isolation}{key} = {value}\n{more}"),
        table => format!("{SLEEPER}{once}{isolation}{mount}{more}{table}{key} = {value}\n"),
    }
}

/// The key that a refusal names.
fn key_of((table, key, ..): &Case) -> &'static str {
    if *table == "[mount]" { "mount" } else { key }
}

/// Gives the cause that was told.
fn is_refused(inner: &Inner, unit: &str, case: &Case, lack: &Lack) -> &'static str {
    let key = key_of(case);
    let done = inner.svc(&["start", unit]);
    assert_eq!(done.code, 78, "{unit}: {}\n{}", done.err, inner.outer.said());
    let told = lack.causes.iter().find(|(cause, _)| done.err.contains(cause));
    let (cause, errno) = *told.unwrap_or_else(|| panic!("{unit}: another cause: {}", done.err));
    assert!(done.err.contains(key), "{unit}: {}", done.err);
    let status = inner.status(unit);
    assert_eq!(
        (&status["failed-step"], &status["step-exit-code"]),
        (&key.into(), &case.3.into()),
        "{status:#}"
    );
    let expected = (!errno.is_empty()).then_some(errno);
    assert_eq!(status["errno"].as_str(), expected, "{status:#}");
    assert!(
        status["main-pid"].is_null() && status["exit-code"].is_null(),
        "{status:#}"
    );
    cause
}

fn is_skipped(inner: &Inner, unit: &str, key: &str, cause: &str) {
    let done = inner.svc(&["start", unit]);
    assert_eq!(done.code, 0, "{unit}: {}", done.err);
    let status = inner.status(unit);
    let told = status["isolation"][key].as_str().unwrap_or_default().to_owned();
    assert!(
        told.starts_with("skipped: ") && told.contains(cause),
        "{unit}: {status:#}"
    );
    assert_eq!(status["state"], "running");
}

#[test]
fn a_root_of_its_own_without_mount_calls() {
    if !is_root() {
        return skip("a_root_of_its_own_without_mount_calls", "it takes CAP_SYS_ADMIN");
    }
    let best = "[isolation]\nprofile = \"none\"\nmount = true\nbest-effort = [\"mount\"]\n";
    let units = [("root".to_owned(), format!("{SLEEPER}{best}[root]\npath = \"/srv\"\n"))];
    let lack = &lacks::RIGHT_TO_MOUNT_CALLS;
    let inner = Inner::start(lack.taken, "", &units);
    is_refused(&inner, "root", &("root", "root", "", 226), lack);
}

#[test]
fn a_profile_is_refused_as_its_keys_are() {
    if !is_root() {
        return skip("a_profile_is_refused_as_its_keys_are", "it takes CAP_SYS_ADMIN");
    }
    let best = format!("{SLEEPER}[isolation]\nbest-effort = [\"keyring-mode\"]\n");
    let units = [("standard".to_owned(), SLEEPER.to_owned()), ("best".to_owned(), best)];
    let inner = Inner::start(lacks::KEYRINGS.taken, "", &units);
    let done = inner.svc(&["start", "standard"]);
    assert_eq!(done.code, 78, "{}", done.err);
    assert!(done.err.contains("keyring-mode"), "{}", done.err);
    assert_eq!(inner.svc(&["start", "best"]).code, 0);
    let isolation = inner.status("best")["isolation"].clone();
    assert_eq!(isolation["keyring-mode"], "skipped: this kernel has no keyring: ENOSYS");
    assert_eq!(isolation["seccomp"], "enforced");
}
