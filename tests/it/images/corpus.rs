//! Layer group 3: archives by chance, that are read as GNU tar, bsdtar and Python read them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;
use std::process::Command;

use super::layers::load;
use super::layout::{DIRECTORY, FIFO, FILE, HARDLINK, SYMLINK, Tar, header, hex};
use super::{Images, can_run, text};
use crate::machine::often;

const ENTRIES: usize = 60;

const PYTHON: &str = "import sys, tarfile
with tarfile.open(sys.argv[1], encoding='utf-8') as archive:
    archive.extraction_filter = staticmethod(lambda member, path: member)
    archive.extractall(sys.argv[2], numeric_owner=True)";

/// splitmix64: the same archives wherever they are made.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) % end as u64) as usize
    }

    fn of<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[self.below(all.len())]
    }
}

/// What an entry says besides its path.
#[derive(Clone)]
struct Said {
    kind: u8,
    link: String,
    content: Vec<u8>,
    mode: u32,
    uid: u32,
    mtime: u64,
}

/// An archive under way.
struct Archive {
    random: Random,
    tar: Tar,
    directories: Vec<String>,
    /// Those that have one name, and the others.
    files: Vec<(String, Said)>,
    linked: BTreeSet<String>,
    taken: BTreeSet<String>,
}

impl Archive {
    fn made(seed: u64) -> Vec<u8> {
        let mut archive = Self {
            random: Random(seed),
            tar: Tar::default(),
            directories: vec![String::new()],
            files: Vec::new(),
            linked: BTreeSet::new(),
            taken: BTreeSet::new(),
        };
        for _ in 0..ENTRIES {
            archive.next();
        }
        archive.tar.end()
    }

    fn next(&mut self) {
        let long = "long ".repeat(24);
        let longest = "x".repeat(255);
        let names = [
            "a",
            "b",
            "c",
            "d",
            "-e",
            "f f",
            "\u{e4}\u{df}",
            "..g",
            "back\\slash",
            "new\nline",
            "*",
            &long,
            &longest,
        ];
        let (parent, name) = (self.random.of(&self.directories).clone(), *self.random.of(&names));
        let path = if parent.is_empty() {
            name.to_owned()
        } else {
            format!("{parent}/{name}")
        };
        let mut said = Said {
            kind: *self
                .random
                .of(&[DIRECTORY, DIRECTORY, FILE, FILE, FILE, SYMLINK, HARDLINK, FIFO]),
            link: String::new(),
            content: Vec::new(),
            mode: *self.random.of(&[0o644, 0o755, 0o600, 0o4755, 0o2750, 0o1777, 0o000]),
            uid: *self.random.of(&[0, 1, 1000, 65_534, 3_000_000_000]),
            mtime: 1_000_000_000 + self.random.below(700_000_000) as u64,
        };
        if path.len() > 1500 || !self.taken.insert(path.clone()) {
            return self.again();
        }
        match said.kind {
            DIRECTORY => self.directories.push(path.clone()),
            FILE => {
                let length = *self.random.of(&[0, 1, 511, 512, 513, 10_000]);
                said.content = (0..length).map(|_| self.random.below(256) as u8).collect();
                self.files.push((path.clone(), said.clone()));
            }
            SYMLINK => {
                let targets = ["a", "../b", "/etc/passwd", "nowhere/at all", &long];
                said.link = (*self.random.of(&targets)).to_owned();
                said.mode = 0o777;
            }
            HARDLINK if self.files.is_empty() => return,
            HARDLINK => {
                let (target, file) = self.random.of(&self.files).clone();
                self.linked.insert(target.clone());
                said = Said {
                    kind: HARDLINK,
                    link: target,
                    content: Vec::new(),
                    ..file
                };
            }
            _ => {}
        }
        self.write(&path, &said);
    }

    /// A file once more: the later one counts. One of several names is left alone, since readers differ in that.
    fn again(&mut self) {
        let single: Vec<(String, Said)> = self
            .files
            .iter()
            .filter(|(path, _)| !self.linked.contains(path))
            .cloned()
            .collect();
        if let Some((path, said)) = single.last() {
            let content = b"later".to_vec();
            self.write(
                path,
                &Said {
                    content,
                    ..said.clone()
                },
            );
        }
    }

    /// In one of the ways in which it can be written.
    fn write(&mut self, path: &str, said: &Said) {
        let decorated = match self.random.below(3) {
            0 => format!("./{path}"),
            _ => path.to_owned(),
        };
        let slash = said.kind == DIRECTORY && self.random.below(2) == 0;
        let path = if slash { format!("{decorated}/") } else { decorated };
        let fits = path.len() <= 100 && said.link.len() <= 100;
        let way = match fits {
            true => self.random.below(4),
            false => 2 + self.random.below(2),
        };
        // Of a name with a line's end in PAX we do not read the rest, and refuse it.
        let has_end = path.contains('\n') || said.link.contains('\n');
        let way = if way == 3 && has_end { 2 } else { way };
        let (mut name, mut link, mut length) = (path.as_str(), said.link.as_str(), said.content.len());
        let mut tar = std::mem::take(&mut self.tar);
        if way == 2 {
            for (kind, text) in [(b'K', link), (b'L', name)] {
                let bytes = [text.as_bytes(), b"\0"].concat();
                if text.len() > 100 {
                    tar = tar.entry(kind, "././@LongLink", "", &bytes, 0o644);
                }
            }
        } else if way == 3 {
            let (size, mtime) = (length.to_string(), format!("{}.5", said.mtime));
            let mut records = vec![("path", name), ("mtime", &mtime)];
            if !link.is_empty() {
                records.push(("linkpath", link));
            }
            if said.kind == FILE {
                // What the header says then is not so.
                records.push(("size", &size));
                length = 0;
            }
            tar = tar.pax_of(&records);
        }
        if name.len() > 100 || way == 3 {
            name = "short";
        }
        if link.len() > 100 || way == 3 {
            link = if link.is_empty() { "" } else { "short" };
        }
        let mut header = header(said.kind, name, link, length as u64, said.mode, 0);
        // The owner in base 256, and the time in digits.
        for at in [108, 116] {
            header[at] = 0x80;
            header[at + 1..at + 4].fill(0);
            header[at + 4..at + 8].copy_from_slice(&said.uid.to_be_bytes());
        }
        header[136..147].copy_from_slice(format!("{:011o}", said.mtime).as_bytes());
        if way == 1 {
            // As before POSIX: no magic; of a directory only the slash tells.
            header[257..265].fill(0);
            header[156] = if said.kind == FILE || slash { 0 } else { said.kind };
        }
        self.tar = tar.raw(&header, &said.content);
    }
}

/// Each path with all that can be seen of it.
fn tree(root: &Path) -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    let mut open = vec![root.to_owned()];
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir(directory).expect("read a directory").flatten() {
            let (path, met) = (entry.path(), fs::symlink_metadata(entry.path()).expect("look"));
            let kind = met.file_type();
            let what = if kind.is_dir() {
                open.push(path.clone());
                format!("directory at {}", met.mtime())
            } else if kind.is_symlink() {
                format!("link to {:?}", fs::read_link(&path).expect("read a link"))
            } else if kind.is_fifo() {
                format!("fifo at {}", met.mtime())
            } else {
                let content = fs::read(&path).expect("read a file");
                format!("file {} of {} names at {}", hex(&content), met.nlink(), met.mtime())
            };
            let name = path.strip_prefix(root).expect("it is below").display().to_string();
            all.insert(name, format!("{what}, {:o} of {}:{}", met.mode(), met.uid(), met.gid()));
        }
    }
    all
}

/// GNU tar leaves some directories with the time of their last entry, and with the set-group-ID bit that they have from the
/// one above; mkdir(2). The other two are asked for both.
fn judged(what: &str, peer: &str) -> String {
    match what
        .split_once(", ")
        .filter(|_| peer == "tar" && what.starts_with("directory"))
    {
        Some((_, rest)) => format!("directory of {}", rest.rsplit(' ').next().unwrap_or_default()),
        None => what.to_owned(),
    }
}

#[test]
fn group_3_archives_by_chance_are_read_as_gnu_tar_bsdtar_and_python_read_them() {
    let test = "group_3_archives_by_chance_are_read_as_gnu_tar_bsdtar_and_python_read_them";
    if !can_run(test, &["tar", "bsdtar", "python3"]) {
        return;
    }
    let images = Images::new();
    for seed in 0..often(32) as u64 {
        let tar = Archive::made(seed);
        fs::write(images.path("a.tar"), &tar).expect("write an archive");
        text(&load(&images, &tar, &tar), &["load", &format!("seed {seed}")]);
        let own = tree(&images.store("layers").join(hex(&tar)));
        assert!(own.len() > ENTRIES / 6, "seed {seed} has {} paths", own.len());
        for (peer, arguments) in [
            ("tar", vec!["--numeric-owner", "-xpf", "a.tar", "-C"]),
            ("bsdtar", vec!["--numeric-owner", "-xpf", "a.tar", "-C"]),
            ("python3", vec!["-c", PYTHON, "a.tar"]),
        ] {
            let root = images.path(&format!("{peer}-{seed}"));
            fs::create_dir(&root).expect("make a directory");
            let mut command = Command::new(peer);
            command
                .args(arguments)
                .arg(&root)
                .current_dir(&images.dir)
                .env("LC_ALL", "C.UTF-8");
            text(
                &command.output().expect("start a peer"),
                &[peer, &format!("seed {seed}")],
            );
            let theirs = tree(&root);
            let differs = |path: &&String| {
                let [own, theirs] = [&own, &theirs].map(|tree| tree.get(*path).map(|what| judged(what, peer)));
                own != theirs
            };
            let paths: BTreeSet<&String> = own.keys().chain(theirs.keys()).collect();
            if let Some(path) = paths.into_iter().find(differs) {
                panic!(
                    "seed {seed}: {path:?} is {:?}, and by {peer} {:?}",
                    own.get(path),
                    theirs.get(path)
                );
            }
        }
    }
}
