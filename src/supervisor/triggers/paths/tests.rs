//! What comes of paths, with the look made here.

use std::fs;

use super::*;
use crate::unit::{PathTest, WatchedPath};

const UNIT: UnitId = UnitId(7);

struct Play {
    paths: Paths,
    dir: tempfile::TempDir,
}

impl Play {
    fn new(test: PathTest, name: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut paths = Paths::new().unwrap();
        let watched = WatchedPath::of(test, dir.path().join(name));
        paths.set(UNIT, &[watched]);
        paths.look_here();
        paths.watch(UNIT, true);
        Self { paths, dir }
    }

    fn comes(&mut self) -> bool {
        self.paths.on_readable();
        self.paths.look_here();
        self.paths.take_due(UNIT).is_some()
    }

    fn at(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }
}

#[test]
fn a_path_that_comes_with_the_directories_above_it() {
    let mut play = Play::new(PathTest::Exists, "a/b/go");
    assert!(!play.comes());
    fs::create_dir(play.at("a")).unwrap();
    assert!(!play.comes());
    fs::create_dir(play.at("a/b")).unwrap();
    assert!(!play.comes());
    fs::write(play.at("a/b/go"), "").unwrap();
    assert!(play.comes());
    assert!(play.comes(), "as long as it is there");
    fs::remove_dir_all(play.at("a")).unwrap();
    assert!(!play.comes());
    fs::create_dir_all(play.at("a/b")).unwrap();
    fs::write(play.at("a/b/go"), "").unwrap();
    assert!(play.comes(), "a directory that was made anew is found");
}

#[test]
fn a_change_is_told_once() {
    let mut play = Play::new(PathTest::Changed, "file");
    assert!(!play.comes());
    fs::write(play.at("file"), "a").unwrap();
    assert!(play.comes() && !play.comes());
    fs::write(play.at("file"), "b").unwrap();
    assert!(play.comes() && !play.comes());
    // Another file in its place, as editors save.
    fs::write(play.at("new"), "c").unwrap();
    assert!(!play.comes());
    fs::rename(play.at("new"), play.at("file")).unwrap();
    assert!(play.comes() && !play.comes());
    fs::write(play.at("file"), "d").unwrap();
    assert!(play.comes() && !play.comes());
    fs::remove_file(play.at("file")).unwrap();
    assert!(play.comes() && !play.comes());
}

#[test]
fn what_happens_while_it_runs_is_no_trigger_but_what_is_there_after_it() {
    let mut play = Play::new(PathTest::Changed, "file");
    fs::write(play.at("file"), "a").unwrap();
    assert!(play.comes());
    play.paths.watch(UNIT, false);
    fs::write(play.at("file"), "b").unwrap();
    assert!(!play.comes());
    play.paths.watch(UNIT, true);
    assert!(!play.comes());
    play.paths.watch(UNIT, false);
    fs::remove_file(play.at("file")).unwrap();
    assert!(!play.comes());
    play.paths.watch(UNIT, true);
    assert!(play.comes());
}

#[test]
fn each_write_and_what_is_in_a_directory() {
    use std::io::Write;
    let mut play = Play::new(PathTest::Modified, "file");
    let mut file = fs::File::create(play.at("file")).unwrap();
    assert!(play.comes());
    file.write_all(b"x").unwrap();
    assert!(play.comes(), "it is not closed yet");
    let mut play = Play::new(PathTest::DirectoryNotEmpty, "spool");
    fs::create_dir(play.at("spool")).unwrap();
    assert!(!play.comes());
    fs::write(play.at("spool/job"), "").unwrap();
    assert!(play.comes());
    fs::remove_file(play.at("spool/job")).unwrap();
    assert!(!play.comes());
}
