//! What each program links: svcd none of what only `svc` needs.

use std::process::Command;

use super::{repository, run};

/// Images, registries and the command line.
const OF_SVC: [&str; 10] = [
    "clap",
    "regex",
    "tar",
    "flate2",
    "zstd",
    "sha2",
    "ureq",
    "rustls",
    "ring",
    "rustls-native-certs",
];

/// The names of all crates that are linked with these features.
fn crates(features: &[&str]) -> Vec<String> {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args([
        "tree",
        "--offline",
        "--locked",
        "-e",
        "normal",
        "--prefix",
        "none",
        "--format",
        "{p}",
    ]);
    let tree = run(cargo.args(features).current_dir(repository()));
    let lines = String::from_utf8_lossy(&tree.stdout).into_owned();
    lines
        .lines()
        .filter_map(|line| line.split(' ').next().map(str::to_owned))
        .collect()
}

#[test]
fn svcd_links_no_image_and_no_registry_code() {
    let (svcd, svc) = (crates(&["--no-default-features"]), crates(&[]));
    for name in OF_SVC {
        assert!(
            svc.iter().any(|other| other == name),
            "svc does not link {name}: the list is out of date"
        );
        assert!(!svcd.iter().any(|other| other == name), "svcd links {name}");
    }
    assert!(
        svcd.iter().any(|name| name == "toml"),
        "svcd's own crates are told: {svcd:?}"
    );
}
