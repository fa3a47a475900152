//! The files of the tree that a commit would take.

use std::fs;
use std::path::Path;

use super::text::blanked;

/// One file of the tree: as it is, and with comments and the inside of strings blanked.
pub struct Source {
    pub path: String,
    pub text: String,
    pub code: String,
}

pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

pub fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_default()
}

/// All files that a commit would take: hidden folders (but .ci) and build output are left out.
pub fn tracked_files() -> Vec<String> {
    let mut found = Vec::new();
    let mut open = vec![root().to_path_buf()];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            let path = entry.path();
            let name = entry.file_name().to_string_lossy().into_owned();
            let hidden = name.starts_with('.') && ![".ci", ".clippy.toml", ".rustfmt.toml"].contains(&name.as_str());
            if hidden || (folder == root() && name == "target") || path.is_symlink() {
                continue;
            }
            if path.is_dir() {
                open.push(path);
            } else if let Ok(path) = path.strip_prefix(root()) {
                found.push(path.display().to_string());
            }
        }
    }
    found.sort();
    found
}

pub fn rust_files(under: &str) -> Vec<Source> {
    let files = tracked_files().into_iter();
    let files = files.filter(|path| path.starts_with(&format!("{under}/")) && path.ends_with(".rs"));
    files
        .map(|path| {
            let text = read(&path);
            let code = blanked(&text);
            Source { path, text, code }
        })
        .collect()
}
