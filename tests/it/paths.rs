//! `[[path]]`: a service that begins with a file, or with what is done to it.

use std::fs;

use super::harness::{Plan, shell};

#[test]
fn a_path_that_comes_runs_it() {
    let plan = Plan::new();
    let spool = plan.dir().join("spool/jobs");
    let work = format!(
        "for job in {0}/*; do [ -e $job ] || exit 0; echo \"job $(basename $job)\"; rm $job; done",
        spool.display()
    );
    let oneshot = "type = \"oneshot\"\n[isolation]\nprofile = \"none\"\n[unit]\nwanted-by = [\"default\"]\n";
    let unit = shell(
        &work,
        &format!("{oneshot}[[path]]\ndirectory-not-empty = \"{}\"\n", spool.display()),
    );
    let mut svcd = plan.unit("work", &unit).start();
    let status = svcd.reaches("work", "waiting");
    assert!(
        status["waiting-for"].to_string().contains("path (directory-not-empty"),
        "{status:#}"
    );
    fs::create_dir_all(&spool).unwrap();
    for nth in 0..6 {
        match nth % 3 {
            1 => drop(svcd.ok(&["reexec"])),
            2 => {
                svcd.kill();
                svcd.start_again();
            }
            _ => {}
        }
        fs::write(spool.join(format!("{nth}")), "").unwrap();
        svcd.line("work", &format!("job {nth}"));
        svcd.reaches("work", "waiting");
    }
    assert!(svcd.ok(&["why", "work"]).contains("its path, directory-not-empty"));
    assert!(svcd.ok(&["list", "--paths"]).contains("directory-not-empty"));
}
