//! Ports that are taken, and when they are not any more.

use std::net::TcpListener;

use super::{nothing_is_taken, on_bridge, without_nf_tables};
use crate::lan::{Lan, can_have_links};
use crate::machine::often;

#[test]
fn a_port_that_a_proxy_is_to_have_is_refused_where_it_is_taken() {
    if !can_have_links("a_port_that_a_proxy_is_to_have_is_refused_where_it_is_taken") {
        return;
    }
    let lan = Lan::new();
    let plan = lan
        .plan()
        .unit("taken", &on_bridge("publish = [\"7001:80\"]"))
        .unit("many", &on_bridge("publish = [\"10000-12000:10000-12000\"]"));
    let svcd = without_nf_tables(|| plan.start());
    let listener = lan.inside(|| TcpListener::bind("0.0.0.0:7001").unwrap());
    for (unit, why) in [("taken", "port 7001 is taken"), ("many", "1024 at most")] {
        let done = svcd.svc(&["start", unit]);
        assert_eq!(done.code, 78, "{}", done.err);
        assert!(done.err.contains("publish") && done.err.contains(why), "{}", done.err);
    }
    drop(listener);
    svcd.ok(&["start", "taken"]);
    svcd.ok(&["stop", "taken"]);
    nothing_is_taken(&lan);
}

/// Who is being started meanwhile has a copy of svcd's descriptors until it executes.
#[test]
fn a_port_is_nobodys_once_its_unit_is_down_whoever_is_being_started() {
    if !can_have_links("a_port_is_nobodys_once_its_unit_is_down_whoever_is_being_started") {
        return;
    }
    let lan = Lan::new();
    let ends = "[service]\ntype = \"exec\"\nexec-start = [\"/bin/false\"]\n[network]\nmode = \"bridge\"\n";
    let publishes = format!("{ends}publish = [\"8080:80\"]\n");
    let again_and_again = format!("{ends}[restart]\ndelay = \"3ms\"\nmax-delay = \"3ms\"\n");
    let plan = lan.plan().unit("a", &publishes).unit("b", &publishes);
    let svcd = plan.unit("again", &again_and_again).start();
    svcd.ok(&["start", "again"]);
    for _ in 0..often(40) {
        for unit in ["a", "b"] {
            svcd.ok(&["start", unit]);
            svcd.ok(&["stop", unit]);
        }
    }
    svcd.ok(&["stop", "again"]);
    nothing_is_taken(&lan);
}
