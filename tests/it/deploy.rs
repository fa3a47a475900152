//! Deployment by editing files: plan, apply, and what either does when the world has moved.

use std::fs;

use super::harness::{Plan, SLEEPER, Svcd};
use super::machine::{alive, eventually};

/// A supervisor that takes over what is saved only when it is told to.
fn by_hand(units: &[(&str, &str)]) -> Svcd {
    let plan = units
        .iter()
        .fold(Plan::new(), |plan, (name, text)| plan.unit(name, text));
    let settings = plan.dir().join("svcd.toml");
    fs::write(&settings, "[reload]\nmode = \"manual\"\n").unwrap();
    plan.argument("--settings")
        .argument(settings.display().to_string())
        .start()
}

/// `restart web with db`, for each unit of a plan.
fn deeds(plan: &serde_json::Value) -> Vec<String> {
    let units = plan["units"].as_array().expect("a list of units").iter();
    let deed = |unit: &serde_json::Value| {
        let with = unit["with"].as_str().map(|with| format!(" with {with}"));
        let (action, name) = (unit["action"].as_str().unwrap(), unit["unit"].as_str().unwrap());
        format!("{action} {name}{}", with.unwrap_or_default())
    };
    units.map(deed).collect()
}

fn with_environment(value: &str) -> String {
    format!("{SLEEPER}environment = {{ A = \"{value}\" }}\n")
}

#[test]
fn a_plan_names_each_deed_and_who_is_touched() {
    let requires = |other: &str| format!("[unit]\nrequires = [\"{other}\"]\n{SLEEPER}");
    let svcd = by_hand(&[
        ("db", SLEEPER),
        ("web", &requires("db")),
        ("front", &requires("web")),
        ("limited", SLEEPER),
        ("gone", SLEEPER),
        ("needs-gone", &requires("gone")),
        ("other", SLEEPER),
    ]);
    svcd.ok(&["start", "front", "limited", "needs-gone", "other"]);
    assert_eq!(svcd.svc(&["plan"]).code, 0, "nothing to do");
    svcd.write("db", &with_environment("1"));
    svcd.write("limited", &format!("{SLEEPER}[log]\nmax-size = \"1M\"\n"));
    svcd.write("new", &format!("[unit]\nwanted-by = [\"default\"]\n{SLEEPER}"));
    svcd.write("spare", SLEEPER);
    svcd.remove("gone");
    let done = svcd.svc(&["plan"]);
    assert_eq!(done.code, 2, "something to do: {}{}", done.out, done.err);
    assert!(done.out.contains("! web restart with db"), "{}", done.out);
    let plan = svcd.json(&["plan"]);
    let expected = [
        "restart db",
        "restart front with web",
        "stop gone",
        "live-update limited",
        "stop needs-gone with gone",
        "start new",
        "load spare",
        "restart web with db",
    ];
    assert_eq!(deeds(&plan), expected, "{plan:#}");
    // `default`, too, which is there without a file.
    assert_eq!(plan["same"], 2, "{plan:#}");
    let field = &plan["units"][0]["fields"][0];
    assert_eq!(field["key"], "[service] environment", "{plan:#}");
    let pids = |names: &[&str]| names.iter().map(|name| svcd.main_pid(name)).collect::<Vec<_>>();
    let (moved, still) = (pids(&["db", "web", "front", "needs-gone"]), pids(&["limited", "other"]));
    svcd.ok(&["apply", "--plan", plan["hash"].as_str().unwrap()]);
    for name in ["db", "web", "front", "new"] {
        eventually("all that restarts is back", || svcd.state(name) == "running");
    }
    assert!(moved.iter().all(|pid| !alive(*pid)), "each was moved as planned");
    assert_eq!(pids(&["limited", "other"]), still);
    svcd.reaches("needs-gone", "blocked");
    assert_eq!(svcd.svc(&["plan"]).code, 0, "all of it is done");
}

#[test]
fn a_plan_of_another_world_is_not_applied() {
    let svcd = by_hand(&[("web", SLEEPER)]);
    svcd.ok(&["start", "web"]);
    let before = svcd.main_pid("web");
    let hash = || svcd.json(&["plan"])["hash"].as_str().unwrap().to_owned();
    let refused = |hash: &str| {
        let done = svcd.svc(&["apply", "--plan", hash]);
        assert_ne!(done.code, 0, "{}", done.out);
        assert!(done.err.contains("have changed since that plan"), "{}", done.err);
    };
    // A unit that is not known yet has no values that differ, and is another one all the same.
    svcd.write("new", SLEEPER);
    let plan = hash();
    svcd.write("new", &with_environment("1"));
    refused(&plan);
    svcd.write("web", &with_environment("1"));
    let plan = hash();
    svcd.write("web", &with_environment("2"));
    refused(&plan);
    assert_eq!(svcd.main_pid("web"), before);
    // What runs is part of the world.
    let plan = hash();
    svcd.ok(&["stop", "web"]);
    refused(&plan);
    svcd.ok(&["apply", "--plan", &hash()]);
    assert_eq!(svcd.state("web"), "inactive");
}

#[test]
fn one_bad_file_refuses_the_whole_apply() {
    let svcd = by_hand(&[("web", SLEEPER), ("db", SLEEPER)]);
    svcd.ok(&["start", "web", "db"]);
    let before = (svcd.main_pid("web"), svcd.main_pid("db"));
    svcd.write("web", &with_environment("1"));
    svcd.write("db", "[service]\nexec-strat = [\"/bin/true\"]\n");
    svcd.write("new", &format!("[unit]\nwanted-by = [\"default\"]\n{SLEEPER}"));
    assert_eq!(svcd.svc(&["plan"]).code, 78);
    let done = svcd.svc(&["apply"]);
    assert_eq!(done.code, 78, "{}", done.err);
    assert!(
        done.err.contains("units/db.toml:1:2: "),
        "it names the file: {}",
        done.err
    );
    assert_eq!((svcd.main_pid("web"), svcd.main_pid("db")), before);
    assert!(svcd.status("new").is_null(), "nothing was taken over");
}
