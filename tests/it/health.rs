//! Probes: what they say of a service, who waits for that, and what follows where it is not well.

use std::fs;
use std::path::Path;

use super::harness::{Plan, SLEEPER, Svcd};
use super::machine::{eventually, program, skip, stays};

/// A service that is well while a file is there.
fn well_while(file: &Path, more: &str) -> String {
    format!(
        "{SLEEPER}[health]\nexec = [\"/bin/sh\", \"-c\", \"echo looked at it; test -e {}\"]\ninterval = \"50ms\"\n{more}\n",
        file.display()
    )
}

fn health(svcd: &Svcd, unit: &str) -> String {
    svcd.status(unit)["health"]["state"]
        .as_str()
        .unwrap_or("none")
        .to_owned()
}

#[test]
fn who_needs_a_healthy_unit_waits_until_it_is() {
    let plan = Plan::new();
    let file = plan.dir().join("well");
    let db = well_while(&file, "");
    let web = format!("[unit]\nrequires = {{ db = \"healthy\" }}\n{SLEEPER}");
    let svcd = plan.unit("db", &db).unit("web", &web).start();
    svcd.ok(&["start", "--no-wait", "web"]);
    svcd.reaches("db", "running");
    eventually("it was looked at", || {
        !svcd.status("db")["health"]["probes"].as_array().unwrap().is_empty()
    });
    assert_eq!(health(&svcd, "db"), "starting");
    assert_eq!(svcd.status("db")["health"]["failures"], 0, "the start period forgives");
    assert!(stays(150, || svcd.state("web") == "waiting"));
    assert_eq!(svcd.status("web")["waiting-for"], serde_json::json!(["db"]));
    fs::write(&file, "").unwrap();
    svcd.reaches("web", "running");
    assert_eq!(health(&svcd, "db"), "healthy");
    let last = svcd.status("db")["health"]["probes"]
        .as_array()
        .unwrap()
        .last()
        .unwrap()
        .clone();
    assert_eq!((&last["ok"], &last["output"]), (&true.into(), &"looked at it".into()));
    assert!(svcd.ok(&["status", "db"]).contains("healthy; last: looked at it"));
}

#[test]
fn an_unhealthy_unit_is_restarted_stopped_or_left() {
    let cases = [("restart", "running", 1), ("stop", "failed", 0), ("none", "running", 0)];
    let plan = Plan::new();
    let file = plan.dir().join("well");
    fs::write(&file, "").unwrap();
    let svcd = cases
        .iter()
        .fold(plan, |plan, (then, ..)| {
            let more = format!("retries = 2\non-unhealthy = \"{then}\"\n[restart]\npolicy = \"no\"\ndelay = \"0s\"\n");
            plan.unit(then, &well_while(&file, &more))
        })
        .start();
    for (unit, ..) in cases {
        svcd.ok(&["start", unit]);
        eventually("it is healthy", || health(&svcd, unit) == "healthy");
    }
    let before: Vec<u32> = cases.iter().map(|(unit, ..)| svcd.main_pid(unit)).collect();
    fs::remove_file(&file).unwrap();
    eventually("all are found unhealthy", || {
        svcd.status("stop")["state"] == "failed"
            && svcd.status("restart")["restarts"].as_u64() >= Some(1)
            && health(&svcd, "none") == "unhealthy"
    });
    fs::write(&file, "").unwrap();
    assert_eq!(svcd.status("stop")["result"], "unhealthy");
    svcd.reaches("restart", "running");
    eventually("what is left becomes well again", || health(&svcd, "none") == "healthy");
    assert_eq!(svcd.main_pid("none"), before[2]);
    let said = svcd.ok(&["history", "none"]);
    assert!(said.contains("unhealthy: 2 probes in a row failed"), "{said}");
}

#[test]
fn a_probe_that_hangs_has_failed() {
    let keys = "[health]\nexec = \"/bin/sleep 1000000\"\ntimeout = \"100ms\"\ninterval = \"50ms\"\nretries = 2\nstart-period = \"0s\"\non-unhealthy = \"none\"\n";
    let svcd = Svcd::with(&[("web", &format!("{SLEEPER}{keys}"))]);
    svcd.ok(&["start", "web"]);
    eventually("it is unhealthy", || health(&svcd, "web") == "unhealthy");
    let probes = svcd.status("web")["health"]["probes"].clone();
    assert!(probes[0]["output"].as_str().unwrap().contains("SIGKILL"), "{probes}");
    svcd.ok(&["stop", "web"]);
    assert_eq!(svcd.status("web")["result"], "success");
}

/// A probe is in the service's own network: nobody else could be asked at that address.
#[test]
fn http_and_tcp_ask_from_within_the_network() {
    if program("busybox").is_none() {
        return skip("http_and_tcp_ask_from_within_the_network", "no busybox");
    }
    let plan = Plan::new();
    let page = plan.dir().join("page");
    fs::create_dir(&page).unwrap();
    fs::write(page.join("healthz"), "well").unwrap();
    let unit = |health: &str| {
        format!(
            "[service]\nexec-start = [\"busybox\", \"httpd\", \"-f\", \"-p\", \"127.0.0.1:8099\", \"-h\", \"{}\"]\n[network]\nmode = \"none\"\n\
             [health]\n{health}\ninterval = \"100ms\"\nretries = 2\nstart-period = \"0s\"\non-unhealthy = \"none\"\n",
            page.display()
        )
    };
    let cases = [
        (
            "page",
            unit("http = \"http://127.0.0.1:8099/healthz\""),
            "healthy",
            "200",
        ),
        (
            "missing",
            unit("http = \"http://localhost:8099/nowhere\""),
            "unhealthy",
            "404",
        ),
        ("open", unit("tcp = \"127.0.0.1:8099\""), "healthy", "connected"),
        ("closed", unit("tcp = \"127.0.0.1:8098\""), "unhealthy", "refused"),
    ];
    let svcd = cases
        .iter()
        .fold(plan, |plan, (name, text, ..)| plan.unit(name, text))
        .start();
    for (name, _, state, said) in &cases {
        svcd.ok(&["start", name]);
        eventually(&format!("{name} is {state}"), || health(&svcd, name) == *state);
        let probes = svcd.status(name)["health"]["probes"].clone();
        let last = probes.as_array().unwrap().last().unwrap()["output"]
            .as_str()
            .unwrap()
            .to_owned();
        assert!(last.contains(said), "{name}: {last}");
    }
}

/// Another process of the service is there to be probed, and its user is the service's.
#[test]
fn a_probe_is_in_the_services_namespaces() {
    let unit = format!(
        "{SLEEPER}[health]\nexec = [\"/bin/sh\", \"-c\", \"echo $(readlink /proc/self/ns/pid) $(readlink /proc/self/ns/mnt)\"]\n",
    );
    let svcd = Svcd::with(&[("web", &unit.replace("$(", "$$("))]);
    svcd.ok(&["start", "web"]);
    eventually("it is healthy", || health(&svcd, "web") == "healthy");
    let main = svcd.main_pid("web");
    let of = |name: &str| {
        fs::read_link(format!("/proc/{main}/ns/{name}"))
            .unwrap()
            .display()
            .to_string()
    };
    let probes = svcd.status("web")["health"]["probes"].clone();
    assert_eq!(probes[0]["output"], format!("{} {}", of("pid"), of("mnt")));
}

#[test]
fn health_goes_on_over_lives_of_svcd_and_changes_live() {
    let plan = Plan::new();
    let file = plan.dir().join("well");
    fs::write(&file, "").unwrap();
    let unit = well_while(&file, "retries = 2\non-unhealthy = \"none\"\n");
    let mut svcd = plan.unit("web", &unit).start();
    svcd.ok(&["start", "web"]);
    eventually("it is healthy", || health(&svcd, "web") == "healthy");
    let main = svcd.main_pid("web");
    svcd.ok(&["reexec"]);
    svcd.kill();
    svcd.start_again();
    fs::remove_file(&file).unwrap();
    eventually("it is unhealthy", || health(&svcd, "web") == "unhealthy");
    svcd.write(
        "web",
        &format!("{SLEEPER}[health]\nexec = \"/bin/true\"\ninterval = \"50ms\"\n"),
    );
    svcd.ok(&["apply"]);
    eventually("another probe finds it well", || health(&svcd, "web") == "healthy");
    svcd.write("web", SLEEPER);
    svcd.ok(&["apply"]);
    eventually("nobody asks any more", || health(&svcd, "web") == "none");
    assert_eq!(svcd.main_pid("web"), main);
}

/// How a service is stopped is live: what it was started with does not count any more.
#[test]
fn a_live_edit_of_how_it_is_stopped_is_taken_over() {
    let plan = Plan::new();
    let file = plan.dir().join("stopped");
    let unit = |stop: &str| format!("[service]\nexec-start = \"/bin/sleep 1000000\"\n{stop}");
    let svcd = plan.unit("web", &unit("")).start();
    svcd.ok(&["start", "web"]);
    let main = svcd.main_pid("web");
    svcd.write(
        "web",
        &unit(&format!("exec-stop = \"/bin/touch {}\"\n", file.display())),
    );
    svcd.ok(&["apply"]);
    assert_eq!(svcd.main_pid("web"), main);
    svcd.ok(&["stop", "web"]);
    assert!(file.exists());
}
