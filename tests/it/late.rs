//! svcd that is busy, or stopped, for longer than others may take: who was in time is not late.

use std::fs;
use std::time::Instant;

use rustix::process::Signal;

use super::harness::{Plan, shell, until_there};
use super::machine::{eventually, send, stretch, zombies_of};

#[test]
fn a_start_that_was_done_in_time_is_so_though_svcd_hears_of_it_later() {
    let most = stretch(4000);
    let plan = Plan::new();
    let go = plan.dir().join("go");
    let keys = format!(
        "type = \"oneshot\"\ntimeout-start = \"{}ms\"\n[restart]\npolicy = \"no\"\n",
        most.as_millis()
    );
    let svcd = plan.unit("once", &shell(&until_there(&go), &keys)).start();
    svcd.ok(&["start", "--no-wait", "once"]);
    svcd.reaches("once", "starting");
    let main = svcd.main_pid("once");
    send(svcd.pid(), Signal::STOP);
    let stopped = Instant::now();
    fs::write(&go, "").unwrap();
    eventually("it is done", || zombies_of(svcd.pid()).contains(&main));
    eventually("its time is over", || stopped.elapsed() > most);
    send(svcd.pid(), Signal::CONT);
    let status = svcd.reaches("once", "inactive");
    assert_eq!(status["result"], "success", "{status:#}");
}
