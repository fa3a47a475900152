//! The README's lines about images, as a newcomer types them.

use std::fs;
use std::path::Path;
use std::process::Command;

use super::registry::Registry;
use super::{Images, can_run};
use crate::built::binary;

#[test]
fn each_line_about_images_works() {
    if !can_run("each_line_about_images_works", &["busybox", "docker-registry", "bash"]) {
        return;
    }
    let readme = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).expect("read README.md");
    let section = readme.split("\n## Images").nth(1).expect("README.md tells of images");
    let lines = section
        .split("```")
        .nth(1)
        .and_then(|block| block.split_once('\n'))
        .expect("it has a block")
        .1;
    assert!(lines.lines().count() > 8, "the block is short: {lines}");
    let images = Images::new();
    let registry = Registry::start(&images, "", "");
    let script = lines.replace("localhost:5000", &registry.host);
    let programs = binary("svc").parent().expect("a program has a directory").to_owned();
    let done = Command::new("bash")
        .args(["-euc", &script])
        .current_dir(&images.dir)
        .env("PATH", format!("{}:/usr/bin:/bin", programs.display()))
        .output()
        .expect("start bash");
    let said = String::from_utf8_lossy(&done.stdout).into_owned() + &String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{said}");
    assert!(
        images.store("index.json").exists(),
        "it is the directory of the test that was used"
    );
    assert!(said.contains("pushed") && said.contains("pulled"), "{said}");
}
