//! Whoever runs an image hears of its end before its namespaces are put away.

use std::process::{Child, Command};

use rustix::process::Signal;
use serde_json::json;

use super::layout::Tar;
use super::roots::{layer, load};
use super::{Images, can_run};
use crate::built::binary;
use crate::harness::{Plan, Svcd};
use crate::machine;
use crate::machine::eventually;

/// How many mount namespaces svcd keeps.
fn held(svcd: &Svcd) -> usize {
    let files = machine::open_files(svcd.pid());
    files.iter().filter(|file| file.starts_with("mnt:[")).count()
}

/// A caller of `svc run`, whose program runs by now.
fn caller(svcd: &Svcd, flags: &[&str]) -> Child {
    let mut command = Command::new(binary("svc"));
    command.arg("--socket").arg(svcd.socket());
    command.args(["run", "--rm", "--name", "left"]).args(flags);
    let child = command
        .args(["held:1", "/bin/sleep", "1000000"])
        .spawn()
        .expect("start svc");
    eventually("it runs", || {
        svcd.svc(&["status", "left"]).code == 0 && svcd.state("left") == "running"
    });
    child
}

#[test]
fn namespaces_are_held_no_longer_than_a_caller_waits() {
    if !can_run("namespaces_are_held_no_longer_than_a_caller_waits", &["busybox"]) {
        return;
    }
    let (plan, images) = (Plan::new(), Images::new());
    load(plan.dir(), &images, "held:1", &layer(Tar::default()), &json!({}));
    let svcd = plan.start();
    // PIDFD_GET_MNT_NAMESPACE is there from 6.11 on.
    let most = usize::from(machine::kernel() >= (6, 11));
    // With something of the machine's mounted in it, that is free at the end.
    for (flags, expected) in [(&[][..], most), (&["-v", "/etc:/srv"][..], 0)] {
        let mut caller = caller(&svcd, flags);
        assert_eq!(held(&svcd), expected, "{flags:?}");
        if flags.is_empty() {
            svcd.ok(&["restart", "left"]);
            assert_eq!(held(&svcd), 0, "those of a run that another follows");
        }
        machine::send(caller.id(), Signal::KILL);
        caller.wait().unwrap();
        eventually("none is held for a caller who is gone", || held(&svcd) == 0);
        svcd.ok(&["stop", "left"]);
    }
    for _ in 0..3 {
        svcd.ok(&["run", "--rm", "held:1", "/bin/echo", "-n"]);
        svcd.ok(&["list"]);
        assert_eq!(held(&svcd), 0, "nor for one who has heard of the end");
    }
}
