//! What changes of the rules as members come and go.

#![expect(clippy::disallowed_methods, reason = "a test runs nft")]

use std::collections::BTreeMap;
use std::process::Command;

use super::harness::{Host, member, not_root, plan, policy, ports, publish, replace, run};
use crate::net::netlink::Socket;
use crate::net::nftables::Batch;
use crate::net::readings::generation;
use crate::net::rules::{self, Written, changes};
use crate::net::{Member, Plan};
use crate::unit::Direction;

fn no_nft() -> Option<&'static str> {
    let nft = Command::new("nft").arg("--version").output();
    not_root().or(nft.is_err().then_some("nft is not installed"))
}

/// As the supervisor does it, one after the other.
fn follow(plan: &Plan, written: Option<&Written>) -> Written {
    let mut socket = Socket::netfilter().unwrap();
    let generation = rules::replace(plan, written, &mut socket).unwrap();
    Written {
        plan: plan.clone(),
        generation,
    }
}

/// Both tables, with the elements of each set in an order: the kernel's is that of a hash.
fn listing() -> String {
    let text = run("nft list ruleset").replace(['\n', '\t'], " ");
    let mut parts = text.split("elements = {");
    let before = parts.next().unwrap_or_default().to_owned();
    parts.fold(before, |listing, part| {
        let (elements, rest) = part.split_once('}').unwrap();
        let mut elements: Vec<&str> = elements.split(',').map(str::trim).collect();
        elements.sort_unstable();
        format!("{listing}elements {elements:?}{rest}")
    })
}

/// Who is on it in turn, and whether elements alone change for it.
fn turns() -> Vec<(Vec<Member>, bool)> {
    let publishes = |nth: u8, outside, inside| Member {
        publish: vec![
            publish(None, outside, inside),
            publish(Some("198.51.100.1"), outside, inside),
        ],
        ..member(nth)
    };
    let web = publishes(3, ports(80, 81), ports(8080, 8081));
    let range = publishes(4, ports(7000, 7009), ports(7000, 7009));
    let shy = Member {
        allow: vec![policy(Direction::In, &["10.9.0.3/32"], Some(ports(80, 80)))],
        ..member(5)
    };
    let moved = Member {
        addresses: vec![member(9).addresses[0]],
        ..member(2)
    };
    vec![
        (vec![member(2)], false),
        (vec![member(2), member(6)], true),
        (vec![member(6)], true),
        (vec![member(6), web.clone()], false),
        (vec![member(7), web.clone(), range.clone()], false),
        (vec![publishes(3, ports(80, 81), ports(80, 81)), range.clone()], false),
        (
            vec![publishes(8, ports(443, 443), ports(443, 443)), web, range.clone()],
            false,
        ),
        (
            vec![publishes(8, ports(444, 444), ports(443, 443)), range.clone()],
            true,
        ),
        (
            vec![
                publishes(4, ports(7005, 7020), ports(7005, 7020)),
                publishes(8, ports(1, 2), ports(3, 4)),
            ],
            true,
        ),
        (vec![shy.clone()], false),
        (vec![shy.clone(), member(2)], true),
        (vec![shy, moved], true),
        (vec![member(2)], false),
        (Vec::new(), false),
        (vec![member(2)], false),
    ]
}

#[test]
fn what_changes_alone_makes_what_the_whole_would_be() {
    if let Some(why) = no_nft() {
        return eprintln!("SKIPPED: what_changes_alone_makes_what_the_whole_would_be: {why}");
    }
    let (machine, other) = (Host::new(), Host::new());
    let (mut written, mut plans): (Option<Written>, Vec<Plan>) = (None, Vec::new());
    for (nth, (members, alone)) in turns().into_iter().enumerate() {
        let plan = plan(members);
        let are = written
            .as_ref()
            .is_some_and(|written| changes(written, &plan).is_some());
        assert_eq!(are, alone, "turn {nth}");
        let whole = |plan: &Plan| {
            let mut batch = Batch::new();
            rules::write(&mut batch, plan, &BTreeMap::new());
            batch
        };
        for before in &plans {
            let same = whole(before).is_like(&whole(&plan));
            let has_members = before.members.is_empty() == plan.members.is_empty();
            assert_eq!(
                rules::differ_in_elements(before, &plan),
                same && has_members,
                "turn {nth}"
            );
        }
        plans.push(plan.clone());
        let (next, last) = (plan.clone(), written.take());
        let (now, is) = machine.run(move || {
            let now = follow(&next, last.as_ref());
            assert_eq!(generation(&mut Socket::netfilter().unwrap()).unwrap(), now.generation);
            (now, listing())
        });
        let whole = other.run(move || {
            replace(&plan).unwrap();
            listing()
        });
        assert_eq!(is, whole, "turn {nth}");
        written = Some(now);
    }
}

#[test]
fn what_somebody_else_has_changed_is_made_right() {
    if let Some(why) = no_nft() {
        return eprintln!("SKIPPED: what_somebody_else_has_changed_is_made_right: {why}");
    }
    Host::new().run(|| {
        let (one, both) = (plan(vec![member(2)]), plan(vec![member(2), member(3)]));
        replace(&both).unwrap();
        let right = listing();
        let written = follow(&one, None);
        run("nft delete element inet svc0 to-members-ip { 10.9.0.2 }");
        // Nor is it if somebody is faster.
        let mut socket = Socket::netfilter().unwrap();
        let late = changes(&written, &both).unwrap().commit(&mut socket);
        assert_eq!(late.unwrap_err().errno, libc::ERESTART);
        let written = follow(&both, Some(&written));
        assert_eq!(listing(), right);
        let now = follow(&one, Some(&written));
        assert_eq!(now.generation, written.generation + 1);
    });
}
