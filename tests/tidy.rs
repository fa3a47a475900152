//! The architecture as a test: who may name whom, a door on every file, no file that nobody names, `unsafe` in its two
//! rooms, and two ratchets that only go down. It reads the tree as text, so it needs no build of what it judges.

#![allow(
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "a panic here is a failed test"
)]

use std::fs;
use std::path::{Path, PathBuf};

use text::{blanked, functions_in, hosts_in, words};
use tree::{read, root, rust_files, tracked_files};

#[path = "tidy/text.rs"]
mod text;
#[path = "tidy/tree.rs"]
mod tree;

/// Each room with what its files may name: a room, one path of it (`cgroup::probe`), or a room but for one path
/// (`unit` with `!unit::load`). What is not listed is refused. A new room gets its row here or the test fails.
const MAY_NAME: &[(&str, &[&str])] = &[
    ("unit", &[]),
    ("engine", &["unit", "!unit::load"]),
    ("sandbox", &["unit", "sys"]),
    ("cgroup", &["unit", "sys"]),
    ("log", &["unit", "sys"]),
    ("image", &["unit", "sys"]),
    ("net", &["unit", "sys"]),
    ("control", &["unit", "sys"]),
    (
        "supervisor",
        &[
            "unit", "engine", "sandbox", "cgroup", "log", "image", "net", "control", "init", "sys",
        ],
    ),
    (
        "cli",
        &[
            "control",
            "unit",
            "image",
            "log",
            "cgroup::probe",
            "net::probe",
            "sandbox::probe",
        ],
    ),
    ("init", &["sys"]),
    ("sys", &[]),
    ("reaper", &[]),
    // sys: their allocator.
    ("bin", &["supervisor", "cli", "sys"]),
];

/// What the engine may not touch, since it is replayed by the simulation: the world outside its arguments.
const OUT_OF_ENGINE: &str = "std::fs std::io std::net std::os std::process std::thread std::env nix:: \
    rustix:: libc:: tracing:: jiff:: HashMap HashSet";

const LINES_OF_FUNCTION_MAX: usize = 70;
const LINES_OF_FILE_MAX: usize = 400;

/// Functions that are longer, with the lines they have: a row may shrink or go, and none may be added.
const LONG_FUNCTIONS: &[(&str, &str, usize)] = &[("src/engine/service/exits.rs", "on_exited", 90)];

/// Files that are longer, likewise.
const LONG_FILES: &[(&str, usize)] = &[
    ("src/cgroup/tests.rs", 497),
    ("src/cli/up.rs", 480),
    ("src/control/tests.rs", 521),
    ("src/supervisor/answers.rs", 413),
    ("src/supervisor/clients.rs", 394),
    ("tests/sim/judge.rs", 426),
    ("tests/sim/world.rs", 496),
    ("tests/it/files.rs", 417),
    ("tests/it/processes.rs", 469),
];

/// Hosts that an address in the tree may name. Anything else is a place that a reader's machine may not reach.
/// The last ones are no places but names: of SVG's XML namespace, and of a form of JSON Schema.
const HOSTS: &[&str] = &["127.0.0.1", "localhost", "[::1]", "www.w3.org", "json-schema.org"];

#[test]
fn arrows() {
    let mut wrong = Vec::new();
    for file in rust_files("src") {
        let Some(room) = room_of(&file.path) else { continue };
        let Some((_, may)) = MAY_NAME.iter().find(|(name, _)| *name == room) else {
            wrong.push(format!("{}: room {room} has no row in MAY_NAME", file.path));
            continue;
        };
        for (number, line) in file.code.lines().enumerate() {
            for name in names_in(line, &file.path) {
                if !allowed(&name, room, may) {
                    wrong.push(format!("{}:{}: {room} may not name {name}", file.path, number + 1));
                }
            }
        }
    }
    assert_none(&wrong);
}

#[test]
fn arrows_are_plain_paths() {
    let mut wrong = Vec::new();
    for file in rust_files("src") {
        for (number, line) in file.code.lines().enumerate() {
            for hidden in ["crate::{", "svc::{", "super::super", "crate::*"] {
                if line.contains(hidden) {
                    wrong.push(format!(
                        "{}:{}: {hidden} hides which room is meant",
                        file.path,
                        number + 1
                    ));
                }
            }
        }
    }
    assert_none(&wrong);
}

#[test]
fn every_room_of_the_table_is_there() {
    for (room, _) in MAY_NAME {
        assert!(
            root().join("src").join(room).is_dir(),
            "MAY_NAME has a row for {room}, and src/{room} is not there"
        );
    }
}

#[test]
fn every_module_that_a_guest_leaves_out_is_there() {
    let placement = read("tests/guest/placement");
    let rows = placement.lines().filter(|line| !line.starts_with('#'));
    let modules = rows.filter_map(|row| row.split_whitespace().next());
    let gone = modules.filter(|name| !root().join(format!("tests/it/{name}.rs")).is_file());
    assert_none(&gone.map(str::to_owned).collect::<Vec<_>>());
}

#[test]
fn engine_knows_no_world() {
    let mut wrong = Vec::new();
    for file in rust_files("src/engine") {
        for (number, line) in file.code.lines().enumerate() {
            for name in OUT_OF_ENGINE.split_whitespace() {
                if line.contains(name) {
                    wrong.push(format!(
                        "{}:{}: the engine is a pure function and names {name}",
                        file.path,
                        number + 1
                    ));
                }
            }
        }
    }
    assert_none(&wrong);
}

#[test]
fn every_file_has_a_door() {
    let without = rust_files("src").into_iter().chain(rust_files("tests"));
    let without = without.filter(|file| !file.text.starts_with("//! "));
    assert_none(
        &without
            .map(|file| format!("{}: begins without //!", file.path))
            .collect::<Vec<_>>(),
    );
}

#[test]
fn every_file_is_named() {
    let cargo = read("Cargo.toml") + &read("src/reaper/build.rs");
    let mut wrong = Vec::new();
    for file in rust_files("src").into_iter().chain(rust_files("tests")) {
        let path = Path::new(&file.path);
        let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
        let in_tests_root = path.parent() == Some(Path::new("tests"));
        let suite = stem == "main" && path.starts_with("tests");
        let listed = cargo.contains(&file.path) || cargo.contains(&format!("\"{stem}.rs\""));
        if in_tests_root || suite || listed || matches!(file.path.as_str(), "src/lib.rs" | "src/main.rs") {
            continue;
        }
        if !parents_of(path)
            .iter()
            .any(|parent| declares(parent, stem_of_module(path)))
        {
            wrong.push(format!("{}: no parent has `mod` for it", file.path));
        }
    }
    assert_none(&wrong);
}

#[test]
fn unsafe_stays_in_its_rooms() {
    let mut wrong = Vec::new();
    for file in rust_files("src").into_iter().chain(rust_files("tests")) {
        if file.path.starts_with("src/sys/") || file.path.starts_with("src/reaper/") {
            continue;
        }
        for (number, line) in file.code.lines().enumerate() {
            if words(line).any(|word| word == "unsafe") {
                wrong.push(format!(
                    "{}:{}: unsafe outside src/sys and src/reaper",
                    file.path,
                    number + 1
                ));
            }
        }
    }
    assert_none(&wrong);
}

#[test]
fn names_say_what_is_inside() {
    let vague = ["util", "utils", "common", "helper", "helpers", "misc"];
    let wrong = tracked_files().into_iter().filter(|path| {
        let parts = Path::new(path)
            .components()
            .filter_map(|part| part.as_os_str().to_str());
        parts
            .into_iter()
            .any(|part| vague.contains(&part.split('.').next().unwrap_or(part)))
    });
    assert_none(&wrong.collect::<Vec<_>>());
}

#[test]
fn no_place_of_one_machine() {
    let here = root().display().to_string();
    let home = std::env::var("HOME")
        .map(|home| format!("{home}/."))
        .unwrap_or_else(|_| here.clone());
    let mut wrong = Vec::new();
    for path in tracked_files() {
        let Ok(text) = fs::read_to_string(root().join(&path)) else {
            continue;
        };
        for (number, line) in text.lines().enumerate() {
            if line.contains(&here) || line.contains(&home) {
                wrong.push(format!("{path}:{}: a path of this machine", number + 1));
            }
            if path == "Cargo.lock" || path.starts_with("LICENSE") {
                continue;
            }
            for host in hosts_in(line) {
                if !HOSTS.contains(&host) {
                    wrong.push(format!("{path}:{}: names the host {host}", number + 1));
                }
            }
        }
    }
    assert_none(&wrong);
}

#[test]
fn functions_get_no_longer() {
    let mut wrong = Vec::new();
    let mut seen = Vec::new();
    for file in rust_files("src").into_iter().chain(rust_files("tests")) {
        for (name, lines) in functions_in(&file.code) {
            let listed = LONG_FUNCTIONS
                .iter()
                .find(|(path, function, _)| *path == file.path && *function == name);
            if let Some(row) = listed {
                seen.push(row);
            }
            let may = listed.map_or(LINES_OF_FUNCTION_MAX, |(.., lines)| *lines);
            if lines > may {
                wrong.push(format!("{}: fn {name} has {lines} lines, {may} are allowed", file.path));
            } else if listed.is_some() && lines < may {
                wrong.push(format!(
                    "{}: fn {name} has shrunk to {lines} lines: lower its row",
                    file.path
                ));
            }
        }
    }
    let gone = LONG_FUNCTIONS.iter().filter(|row| !seen.contains(row));
    wrong.extend(gone.map(|(path, name, _)| format!("{path}: fn {name} is gone: take its row out")));
    assert_none(&wrong);
}

#[test]
fn files_get_no_longer() {
    let mut wrong = Vec::new();
    let files: Vec<_> = rust_files("src").into_iter().chain(rust_files("tests")).collect();
    for file in &files {
        let lines = file.text.lines().count();
        let listed = LONG_FILES.iter().find(|(path, _)| *path == file.path);
        let may = listed.map_or(LINES_OF_FILE_MAX, |(_, lines)| *lines);
        if lines > may {
            wrong.push(format!(
                "{}: {lines} lines, {may} are allowed: does it serve one purpose?",
                file.path
            ));
        } else if listed.is_some() && lines < may {
            wrong.push(format!("{}: has shrunk to {lines} lines: lower its row", file.path));
        }
    }
    let gone = LONG_FILES
        .iter()
        .filter(|(path, _)| !files.iter().any(|file| file.path == *path));
    wrong.extend(gone.map(|(path, _)| format!("{path}: is gone: take its row out")));
    assert_none(&wrong);
}

fn assert_none(wrong: &[String]) {
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// `src/engine/graph.rs` is of the room `engine`; `src/lib.rs` of none.
fn room_of(path: &str) -> Option<&str> {
    path.strip_prefix("src/")?.split_once('/').map(|(room, _)| room)
}

/// The rooms that a line of code names: `crate::log::reader` gives `log::reader`.
fn names_in(line: &str, path: &str) -> Vec<String> {
    let mut heads = vec!["crate::"];
    if path.starts_with("src/bin/") {
        heads = vec!["svc::"];
    } else if path.ends_with("/mod.rs") && path.matches('/').count() == 2 {
        heads.push("super::");
    }
    let mut found = Vec::new();
    for head in heads {
        for (at, _) in line.match_indices(head) {
            let before = line[..at].chars().next_back();
            if before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == '$' || c == ':') {
                continue;
            }
            let rest = &line[at + head.len()..];
            let name: String = rest
                .chars()
                .take_while(|c| c.is_alphanumeric() || *c == '_' || *c == ':')
                .collect();
            let first = name.split("::").next().unwrap_or_default();
            if head != "super::" || MAY_NAME.iter().any(|(room, _)| *room == first) {
                found.push(name);
            }
        }
    }
    found
}

fn allowed(name: &str, room: &str, may: &[&str]) -> bool {
    let within = |path: &str| name == path || name.starts_with(&format!("{path}::"));
    if within(room) {
        return true;
    }
    let refused = may.iter().filter_map(|path| path.strip_prefix('!'));
    !refused.into_iter().any(within) && may.iter().any(|path| within(path))
}

/// What the `mod` line of a file's parent must say: the file's own name, or its folder's for a `mod.rs`.
fn stem_of_module(path: &Path) -> &str {
    let named = if path.ends_with("mod.rs") {
        path.parent().unwrap_or(path)
    } else {
        path
    };
    named.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default()
}

fn parents_of(path: &Path) -> Vec<PathBuf> {
    let folder = path.parent().unwrap_or(path);
    let folder = if path.ends_with("mod.rs") {
        folder.parent().unwrap_or(folder)
    } else {
        folder
    };
    vec![
        folder.join("mod.rs"),
        folder.join("lib.rs"),
        folder.join("main.rs"),
        folder.with_extension("rs"),
        // The root of a target that cargo is not to find by itself.
        folder.join(folder.file_name().unwrap_or_default()).with_extension("rs"),
    ]
}

fn declares(parent: &Path, module: &str) -> bool {
    let code = blanked(&fs::read_to_string(root().join(parent)).unwrap_or_default());
    code.lines()
        .any(|line| line.trim_end().ends_with(&format!("mod {module};")))
}
