//! The README's lines about images, as a newcomer types them.

use std::fs;
use std::path::Path;
use std::process::Command;

use super::registry::Registry;
use super::{Images, can_run};
use crate::built::binary;

/// What the tour before these lines has started; at the end of them it is to end.
const SUPERVISOR: &str = "
mkdir units; svcd --units units --runtime-dir run --state-dir state --log-dir log & trap 'kill $!; wait $!' EXIT
export SVC_SOCKET=run/control.sock; until svc list >/dev/null 2>&1; do sleep 0.05; done
";

#[test]
fn each_line_about_images_works() {
    if !can_run("each_line_about_images_works", &["busybox", "docker-registry", "bash"]) {
        return;
    }
    let readme = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).expect("read README.md");
    let section = readme.split("\n## Images").nth(1).expect("README.md tells of images");
    let section = section.split("\n## ").next().expect("it has an end");
    let blocks = section
        .split("```")
        .skip(1)
        .step_by(2)
        .filter_map(|block| block.split_once('\n'));
    let lines = blocks.map(|(_, lines)| lines).collect::<Vec<_>>().join(SUPERVISOR);
    assert!(lines.lines().count() > 24, "the blocks are short: {lines}");
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
    assert!(said.contains("A /greeting"), "{said}");
    assert!(said.contains("PID 1 is svc-reaper, this is 2"), "{said}");
    assert!(said.contains("it said hi"), "{said}");
}
