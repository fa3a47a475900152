//! The README's tour, line by line, as a newcomer types it.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Command;

use super::harness::{Plan, binary};
use super::machine::{cgroups, is_root, program, skip};

/// The text of the tour's nth fenced block.
fn block(readme: &str, nth: usize) -> &str {
    let tour = readme.split("\n## A tour").nth(1).expect("README.md has a tour");
    let fenced = tour.split("```").nth(2 * nth + 1).expect("the tour has so many blocks");
    fenced.split_once('\n').expect("a block has lines").1
}

/// Each line as a step that says which one failed; the supervisor gets a group of its own and is waited for.
fn script(lines: &str, group: &str) -> String {
    let mut script = "set -u\nrun() { eval \"$1\" || { echo \"FAILED with $?: $1\"; exit 1; }; }\n".to_owned();
    for line in lines.lines() {
        let typed = line.split(" #").next().unwrap_or_default().trim();
        match typed.strip_prefix("svcd ").and_then(|flags| flags.strip_suffix('&')) {
            // Whoever types is slower than a service that comes up: the next line waits for it.
            Some(flags) => {
                let _ = writeln!(script, "svcd --cgroup {group} {flags} 2>svcd.err &\nsvcd=$!");
                script.push_str(
                    "trap 'kill $svcd; wait $svcd' EXIT\nuntil svc --socket run/control.sock status web >up 2>&1; do sleep 0.02; done\n",
                );
            }
            None => {
                let _ = writeln!(script, "run '{}'", typed.replace('\'', r"'\''"));
            }
        }
    }
    script
}

#[test]
fn each_line_of_the_tour_works() {
    if !is_root() || program("python3").is_none() || program("bash").is_none() {
        return skip("each_line_of_the_tour_works", "it takes root, bash(1) and python3(1)");
    }
    let readme = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).expect("read README.md");
    let plan = Plan::new();
    let (dir, group) = (plan.dir().to_owned(), format!("svc-test-tour-{}", std::process::id()));
    fs::write(dir.join("units/web.toml"), block(&readme, 0)).expect("write the tour's unit");
    let lines = block(&readme, 1);
    assert!(lines.lines().count() > 8, "the tour is short: {lines}");
    let programs = binary("svc").parent().expect("a program has a directory").to_owned();
    // Its bridge is in a network of the test's own.
    let done = Command::new("unshare")
        .args(["--net", "bash", "-c"])
        .arg(format!("ip link set lo up\n{}", script(lines, &group)))
        .current_dir(&dir)
        .env("PATH", format!("{}:/usr/bin:/bin", programs.display()))
        .env_remove("SVC_SOCKET")
        .output()
        .expect("start bash");
    let said = String::from_utf8_lossy(&done.stdout).into_owned() + &String::from_utf8_lossy(&done.stderr);
    let supervisor = fs::read_to_string(dir.join("svcd.err")).unwrap_or_default();
    fs::remove_dir_all(&dir).expect("remove the directory");
    assert!(done.status.success(), "{said}\nsvcd: {supervisor}");
    assert!(cgroups(&group).is_empty(), "groups are left");
}
