//! What nft(8) reads back of the rules, and what the kernel says of rules that it does not take.

#![expect(clippy::disallowed_methods, reason = "a test runs nft")]

use std::net::{Ipv4Addr, Ipv6Addr};
use std::process::Command;

use super::harness::{Host, not_root, plan, ports, publish, replace, run};
use crate::net::Refused;
use crate::net::rules::{example, probe, refused};

/// As it is meant, with the names of the example.
const INET: &str = include_str!("inet.nft");
const FRAMES: &str = include_str!("bridge.nft");

#[test]
fn the_rules_are_to_nft_what_they_are_to_us() {
    let nft = Command::new("nft").arg("--version").output();
    if let Some(why) = not_root().or(nft.is_err().then_some("nft is not installed")) {
        return eprintln!("SKIPPED: the_rules_are_to_nft_what_they_are_to_us: {why}");
    }
    let machine = Host::new();
    machine.run(|| replace(&example()).unwrap());
    let list = |family: &str| {
        let line = format!("nft list table {family} svc-probe");
        machine.run(move || run(&line))
    };
    assert_eq!(lines(&list("inet")), lines(INET));
    assert_eq!(lines(&list("bridge")), lines(FRAMES));
}

/// But for counters, whose order is that of a hash which is another each time: the rules name them.
fn lines(listing: &str) -> Vec<String> {
    let mut in_counter = false;
    let lines = listing.lines().map(str::trim).filter(|line| {
        in_counter |= line.starts_with("counter ") && line.ends_with('{');
        let kept = !in_counter && !line.is_empty();
        in_counter &= *line != "}";
        kept
    });
    lines.map(str::to_owned).collect()
}

#[test]
fn a_probe_changes_nothing_and_no_other_table_is_touched() {
    if let Some(why) = not_root() {
        return eprintln!("SKIPPED: a_probe_changes_nothing_and_no_other_table_is_touched: {why}");
    }
    let machine = Host::new();
    machine.run(|| {
        let count = |name: &str| refused(name).unwrap().len();
        probe().unwrap();
        assert_eq!(count("svc-probe"), 0);
        let mut other = example();
        replace(&other).unwrap();
        other.bridge.name = "svc1".into();
        replace(&other).unwrap();
        assert_eq!((count("svc-probe"), count("svc1")), (1, 1));
        other.members.clear();
        replace(&other).unwrap();
        assert_eq!((count("svc-probe"), count("svc1")), (1, 0));
        // Where there is none there is none to remove.
        replace(&other).unwrap();
    });
}

#[test]
fn a_refusal_names_what_was_refused_and_leaves_all_as_it_was() {
    if let Some(why) = not_root() {
        return eprintln!("SKIPPED: a_refusal_names_what_was_refused_and_leaves_all_as_it_was: {why}");
    }
    let machine = Host::new();
    machine.run(|| {
        let mut plan = example();
        replace(&plan).unwrap();
        plan.members.push(plan.members[0].clone());
        plan.members[1].publish[0].inside = ports(81, 81);
        let error = replace(&plan).unwrap_err();
        let its = Refused::new("table inet svc-probe, set any-ports-ip".to_owned(), libc::EEXIST);
        assert_eq!(error, its);
        assert!(refused("svc-probe").unwrap().contains_key("svc-probe1"));
    });
}

/// A thousand services with three ports each, in both families.
#[test]
fn a_thousand_services_are_one_transaction() {
    if let Some(why) = not_root() {
        return eprintln!("SKIPPED: a_thousand_services_are_one_transaction: {why}");
    }
    let machine = Host::new();
    machine.run(|| {
        let members = (0..1000_u16).map(|nth| {
            let [high, low] = (nth + 2).to_be_bytes();
            let mut member = example().members.remove(0);
            member.link = format!("svc0-{nth}").into();
            member.addresses = vec![
                Ipv4Addr::new(10, 9, high, low).into(),
                Ipv6Addr::new(0xfd09, 0, 0, 0, 0, 0, 0, nth + 2).into(),
            ];
            let first = 1024 + 3 * nth;
            member.publish = (first..first + 3)
                .map(|port| publish(None, ports(port, port), ports(80, 80)))
                .collect();
            member
        });
        let plan = plan(members.collect());
        replace(&plan).unwrap();
        replace(&plan).unwrap();
        assert_eq!(refused("svc0").unwrap().len(), 1000);
    });
}
