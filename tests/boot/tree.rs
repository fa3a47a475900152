//! A tree of files, as an initramfs (the kernel's driver-api/early-userspace/buffer-format) or as an ext4 image.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::{Command, Stdio};

/// What is at a path.
#[derive(Clone)]
enum Node {
    Directory,
    File { mode: u32, bytes: Vec<u8> },
    Link(String),
}

/// Paths without a leading slash, parents before what is in them.
#[derive(Clone, Default)]
pub struct Tree(BTreeMap<String, Node>);

impl Tree {
    pub fn directory(&mut self, path: &str) {
        self.put(path, Node::Directory);
    }

    pub fn file(&mut self, path: &str, bytes: impl Into<Vec<u8>>) {
        let bytes = bytes.into();
        self.put(path, Node::File { mode: 0o644, bytes });
    }

    pub fn program(&mut self, path: &str, bytes: impl Into<Vec<u8>>) {
        let bytes = bytes.into();
        self.put(path, Node::File { mode: 0o755, bytes });
    }

    pub fn link(&mut self, path: &str, to: &str) {
        self.put(path, Node::Link(to.to_owned()));
    }

    pub fn remove(&mut self, path: &str) {
        let path = path.trim_start_matches('/');
        let below = format!("{path}/");
        self.0.retain(|its, _| its != path && !its.starts_with(&below));
    }

    /// Each `.ko` becomes a `.ko.gz`, in the modules' index too.
    pub fn pack_modules(&mut self) {
        for (path, node) in std::mem::take(&mut self.0) {
            match node {
                Node::File { bytes, .. } if path.ends_with(".ko") => self.file(&format!("{path}.gz"), gzip(&bytes)),
                Node::File { bytes, .. } if path.ends_with("/modules.dep") => {
                    let index = String::from_utf8(bytes).expect("an index is text");
                    self.file(&path, index.replace(".ko", ".ko.gz"));
                }
                other @ (Node::Directory | Node::File { .. } | Node::Link(_)) => self.put(&path, other),
            }
        }
    }

    /// All that is below a directory of this machine.
    pub fn copy(&mut self, from: &Path) {
        let mut open = vec![from.to_path_buf()];
        while let Some(folder) = open.pop() {
            for entry in fs::read_dir(folder).expect("read a directory") {
                let path = entry.expect("read a directory").path();
                if path.is_dir() {
                    open.push(path);
                } else {
                    let name = path.strip_prefix(from).expect("it is below").display().to_string();
                    self.file(&name, fs::read(&path).expect("read a file"));
                }
            }
        }
    }

    fn put(&mut self, path: &str, node: Node) {
        let path = path.trim_start_matches('/');
        for (at, _) in path.match_indices('/') {
            self.0.entry(path[..at].to_owned()).or_insert(Node::Directory);
        }
        self.0.insert(path.to_owned(), node);
    }

    /// The archive that the kernel unpacks.
    pub fn initramfs(&self) -> Vec<u8> {
        let mut archive = Vec::new();
        for (path, node) in &self.0 {
            match node {
                Node::Directory => append(&mut archive, path, 0o040_755, &[]),
                Node::File { mode, bytes } => append(&mut archive, path, 0o100_000 | mode, bytes),
                Node::Link(to) => append(&mut archive, path, 0o120_777, to.as_bytes()),
            }
        }
        append(&mut archive, "TRAILER!!!", 0, &[]);
        archive
    }

    /// An ext4 file system of this many MiB, with a label and a UUID.
    pub fn ext4(&self, image: &Path, mebibytes: u32, label: &str, uuid: &str) {
        let folder = image.with_extension("files");
        fs::create_dir_all(&folder).expect("make a directory");
        for (path, node) in &self.0 {
            let path = folder.join(path);
            match node {
                Node::Directory => fs::create_dir_all(&path).expect("make a directory"),
                Node::File { mode, bytes } => {
                    fs::write(&path, bytes).expect("write a file");
                    fs::set_permissions(&path, fs::Permissions::from_mode(*mode)).expect("set a mode");
                }
                Node::Link(to) => symlink(to, &path).expect("make a link"),
            }
        }
        let done = Command::new("/sbin/mke2fs")
            .args(["-q", "-F", "-t", "ext4", "-L", label, "-U", uuid, "-d"])
            .args([&folder, image])
            .arg(format!("{mebibytes}M"))
            .output()
            .expect("run mke2fs");
        assert!(
            done.status.success(),
            "mke2fs: {}",
            String::from_utf8_lossy(&done.stderr)
        );
        fs::remove_dir_all(folder).expect("remove a directory");
    }
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut gzip = Command::new("gzip")
        .arg("-c")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("run gzip");
    let mut input = gzip.stdin.take().expect("it has a pipe");
    let bytes = bytes.to_vec();
    let writer = std::thread::spawn(move || input.write_all(&bytes));
    let packed = gzip.wait_with_output().expect("wait for gzip").stdout;
    writer.join().expect("join").expect("write to gzip");
    packed
}

/// One entry of the newc format: a header of hexadecimal numbers, the name, the contents, each filled up to four bytes.
fn append(archive: &mut Vec<u8>, name: &str, mode: u32, bytes: &[u8]) {
    let links = 1;
    let fields = [
        0,
        mode,
        0,
        0,
        links,
        0,
        bytes.len() as u32,
        0,
        0,
        0,
        0,
        name.len() as u32 + 1,
        0,
    ];
    archive.extend(b"070701");
    for field in fields {
        archive.extend(format!("{field:08x}").bytes());
    }
    archive.extend(name.bytes().chain([0]));
    archive.resize(archive.len().next_multiple_of(4), 0);
    archive.extend(bytes);
    archive.resize(archive.len().next_multiple_of(4), 0);
}
