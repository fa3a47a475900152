//! `svc image gc` beside a supervisor whose units run images.

use serde_json::{Value, json};

use super::layout::Tar;
use super::roots::{layer, load, root, svc_image};
use super::{Images, can_run};
use crate::harness::{Plan, shell};

/// The names of the images that are there.
fn listed(dir: &std::path::Path) -> Vec<String> {
    let rows: Value = serde_json::from_str(&svc_image(dir, &["--json", "list"])).expect("JSON");
    let name = |row: &Value| row["name"].as_str().unwrap_or("none").to_owned();
    rows.as_array().expect("a list").iter().map(name).collect()
}

#[test]
fn a_budget_takes_no_image_that_a_unit_runs_or_can_go_back_to() {
    if !can_run(
        "a_budget_takes_no_image_that_a_unit_runs_or_can_go_back_to",
        &["busybox"],
    ) {
        return;
    }
    let (plan, images) = (Plan::new(), Images::new());
    let of = |text: &str| layer(Tar::default().file("version", &format!("{text}\n")));
    for (name, text) in [("idle:1", "idle"), ("web:1", "old"), ("used:1", "used")] {
        load(plan.dir(), &images, name, &of(text), &json!({}));
    }
    let unit = shell("cat /version; sleep 1000000", &root("web:1", ""));
    let svcd = plan.unit("web", &unit).start();
    svcd.ok(&["start", "web"]);
    svcd.line("web", "old");
    // The name leads to another image now, with which the unit goes on.
    load(svcd.dir(), &images, "web:1", &of("new"), &json!({}));
    svcd.ok(&["restart", "web"]);
    svcd.line("web", "new");
    let gc = |arguments: &[&str]| {
        let state = svcd.dir().join("state").display().to_string();
        svcd.svc(&[&["image", "--state-dir", &state, "gc"], arguments].concat())
    };
    let plan = gc(&["--plan", "--budget", "1K", "--keep", "used:1"]);
    assert!(
        plan.out.contains("image idle:1 (") && plan.out.contains("would go"),
        "{}",
        plan.out
    );
    assert_eq!((plan.code, listed(svcd.dir()).len()), (1, 3), "{}", plan.err);
    let done = gc(&["--budget", "1K", "--keep", "used:1"]);
    assert!(
        done.code == 1 && done.err.contains("more than the budget"),
        "{}",
        done.err
    );
    assert_eq!(listed(svcd.dir()), ["used:1", "web:1"]);
    assert_eq!(
        images.names(&svcd.dir().join("state/images/layers")).len(),
        3,
        "the old one is there too"
    );
    assert_eq!(gc(&["--budget", "1G"]).code, 0);
    svcd.ok(&["restart", "web"]);
    assert_eq!(svcd.lines("web").last().map(String::as_str), Some("new"));
    assert_eq!(gc(&["--keep", "used:1"]).code, 2, "--keep is of a budget");
}

/// `svc run --rm` leaves no unit, and nothing that keeps its image.
#[test]
fn what_a_passing_unit_ran_is_no_longer_kept() {
    if !can_run("what_a_passing_unit_ran_is_no_longer_kept", &["busybox"]) {
        return;
    }
    let (plan, images) = (Plan::new(), Images::new());
    load(plan.dir(), &images, "box:1", &layer(Tar::default()), &json!({}));
    let svcd = plan.start();
    svcd.ok(&["run", "--rm", "--name", "passing", "box:1", "/bin/echo", "said"]);
    svc_image(svcd.dir(), &["gc", "--budget", "0"]);
    assert_eq!(listed(svcd.dir()), Vec::<String>::new());
}
