//! The engine in simulation: seeded scenarios, played against a world where spawns fail, processes crash, hang and do
//! not die, clocks jump and everybody does everything at once, and judged from outside.
//!
//! `SVC_SIM_SEED=n` plays that one scenario and prints what happened; `SVC_SIM_EVENTS=n` plays until n events were
//! handled, with seeds from `SVC_SIM_FROM`. A failure prints its seed and the smallest scenario that was found for it.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::wildcard_enum_match_arm,
    reason = "a panic here is a failed test"
)]
#![allow(clippy::disallowed_methods, reason = "it starts itself, for each processor")]

mod activation;
mod found;
mod judge;
mod random;
mod scenario;
mod shrink;
mod world;

use std::process::{Child, Command, Stdio};

use scenario::Scenario;
use shrink::{shrink, weight};
use world::{Fault, Look, World};

/// As the programs have it: musl's own is behind a lock that threads sleep for, and slower.
#[cfg(target_env = "musl")]
#[global_allocator]
static ALLOCATOR: svc::sys::allocator::Allocator = svc::sys::allocator::Allocator::empty();

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

/// Plays one scenario; tells what is wrong, if something is, with the smallest scenario that shows it.
fn play(scenario: &Scenario) -> u64 {
    let played = World::play(scenario, Fault::None, Look::Away);
    if let Err(violation) = played.end {
        let small = shrink(scenario.clone(), violation.rule, Fault::None);
        let again = World::play(&small, Fault::None, Look::Closely);
        let trace: Vec<String> = again.trace.into();
        panic!(
            "seed {} breaks the rule `{}`: {}\nsmallest: {small:?}\n{}\n{:?}",
            scenario.seed,
            violation.rule,
            violation.text,
            trace.join("\n"),
            again.end,
        );
    }
    played.events
}

#[test]
fn a_million_events_break_no_rule() {
    if let Some(seed) = number("SVC_SIM_SEED") {
        // Line by line, so that one that never ends is seen too (with --nocapture).
        let played = World::play(&Scenario::of(seed), Fault::None, Look::Loud);
        return assert!(played.end.is_ok(), "{:?}", played.end);
    }
    let most = number("SVC_SIM_EVENTS").unwrap_or(1_000_000);
    let from = number("SVC_SIM_FROM").unwrap_or(1);
    if let Some(every) = number("SVC_SIM_EVERY") {
        return play_many(from, every, most);
    }
    // A process for each processor: threads would wait for each other's memory.
    let processors = std::thread::available_parallelism().map_or(1, usize::from) as u64;
    let share = |nth: u64| {
        let mut process = Command::new(std::env::current_exe().unwrap());
        process.args(["--exact", "a_million_events_break_no_rule", "--nocapture"]);
        process.env("SVC_SIM_EVENTS", (most / processors).to_string());
        process.env("SVC_SIM_FROM", (from + nth).to_string());
        process.env("SVC_SIM_EVERY", processors.to_string());
        process.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    };
    let shares: Vec<Child> = (0..processors).map(share).collect();
    for share in shares {
        let done = share.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&done.stdout).into_owned() + &String::from_utf8_lossy(&done.stderr);
        assert!(done.status.success() && said.contains(" events, seeds "), "{said}");
        println!("{said}");
    }
}

/// Each so manieth seed, until so many events were handled.
fn play_many(from: u64, every: u64, most: u64) {
    let (mut seed, mut events) = (from, 0);
    while events < most {
        events += play(&Scenario::of(seed));
        seed += every;
    }
    println!("{events} events, seeds {from} to {}, each {every}.", seed - every);
}

#[test]
fn ten_thousand_units_break_no_rule() {
    // In some, hardly anybody can come up.
    let events = (10_000..10_004)
        .map(|seed| play(&Scenario::sized(seed, 10_000, 300)))
        .max();
    assert!(events > Some(10_000), "{events:?} events: too few came up");
}

#[test]
fn the_same_seed_says_the_same() {
    for seed in 1..=60 {
        let scenario = Scenario::of(seed);
        let (one, two) = (
            World::play(&scenario, Fault::None, Look::Closely),
            World::play(&scenario, Fault::None, Look::Closely),
        );
        assert_eq!((one.events, one.said), (two.events, two.said), "seed {seed}");
    }
}

/// With another seed the delays are others: the comparison above does compare.
#[test]
fn another_seed_says_something_else() {
    let differs = (1..=60).any(|seed| {
        let scenario = Scenario::of(seed);
        let other = World::play_with_seed(&scenario, seed + 1, Fault::None, Look::Closely);
        other.said != World::play(&scenario, Fault::None, Look::Closely).said
    });
    assert!(differs);
}

/// A judge that never sees anything would pass everything.
#[test]
fn the_judge_sees_each_fault_and_makes_it_small() {
    let faults = [
        (Fault::AnswerTwice, &["answered once"][..]),
        (Fault::AnswerLost, &["answered once"]),
        (Fault::SpawnTwice, &["one main process"]),
        (Fault::AwaitLost, &["stalled"]),
        (Fault::ReleaseLost, &["stalled"]),
        (Fault::NoLinks, &["requires", "order"]),
        (Fault::NoBudget, &["budget"]),
        (Fault::NoConflicts, &["conflicts"]),
        (Fault::StoppedTwice, &["all stopped"]),
        (Fault::ReadyHidden, &["ready", "requires"]),
        (Fault::TriggerHidden, &["triggered"]),
        (Fault::ProbeTwice, &["one probe"]),
        (Fault::DisarmLost, &["disarmed"]),
    ];
    for (fault, rules) in faults {
        let found = (1..3_000).find_map(|seed| {
            let scenario = Scenario::of(seed);
            // Large ones take too many tries to be made small.
            let violation = World::play(&scenario, fault, Look::Away).end.err()?;
            (scenario.units.len() <= 48).then_some((scenario, violation))
        });
        let (scenario, violation) = found.unwrap_or_else(|| panic!("{fault:?} is not seen"));
        assert!(rules.contains(&violation.rule), "{fault:?}: {violation:?}");
        let before = weight(&scenario);
        let small = shrink(scenario, violation.rule, fault);
        assert!(weight(&small) <= before.min(20), "{fault:?}: {small:?}");
    }
}
