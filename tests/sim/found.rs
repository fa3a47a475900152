//! What the simulation found once, each as a small scenario with a name. The judge is the assertion.

use svc::engine::event::Verb;
use svc::unit::{KillMode, LinkKind, Need, RestartPolicy};

use crate::scenario::{Chaos, Form, Scenario, ServiceSpec, Spec, Step};
use crate::world::{Fault, Look, World};

const CALM: Chaos = Chaos {
    fails: 0,
    crashes: 0,
    hangs: 0,
    deaf: 0,
    stuck: 0,
};

fn unit(form: Form, links: &[(LinkKind, usize)]) -> Option<Spec> {
    Some(Spec {
        form,
        links: links.to_vec(),
        condition: false,
        assert: false,
    })
}

fn service(oneshot: bool) -> Form {
    Form::Service(spec(oneshot))
}

fn spec(oneshot: bool) -> ServiceSpec {
    ServiceSpec {
        oneshot,
        remain: false,
        commands: [0, 1, 0, 0, 0, 0],
        ignore_failure: false,
        reload_signal: true,
        kill: KillMode::ControlGroup,
        send_sigkill: true,
        policy: RestartPolicy::No,
        delay: 1_000,
        stable_after: 1_000_000,
        give_up: None,
        timeouts: [Some(5_000_000), Some(5_000), None],
        log: 0,
        activation: Box::default(),
    }
}

/// Steps are a microsecond apart, so that each comes while the one before is under way.
#[track_caller]
fn holds(chaos: Chaos, units: Vec<Option<Spec>>, steps: Vec<Step>) {
    let scenario = Scenario {
        seed: 1,
        chaos,
        units,
        steps: steps.into_iter().map(|step| (1, step)).collect(),
        stops_each: true,
    };
    let played = World::play(&scenario, Fault::None, Look::Closely);
    let trace: Vec<String> = played.trace.into();
    assert!(played.end.is_ok(), "{:?}\n{}", played.end, trace.join("\n"));
}

#[test]
fn a_stop_answers_the_start_of_one_that_waits() {
    let waits = unit(service(false), &[(LinkKind::Requires(Need::Ready), 0)]);
    let steps = vec![
        Step::Ask(1, Verb::Restart),
        Step::Ask(0, Verb::Stop),
        Step::Ask(1, Verb::Stop),
    ];
    holds(CALM, vec![unit(service(true), &[]), waits], steps);
}

#[test]
fn a_reload_of_one_whose_file_is_gone_is_answered() {
    let steps = vec![
        Step::Ask(0, Verb::Start),
        Step::Sleep(1_000_000),
        Step::Edit(vec![(0, None)]),
        Step::Ask(0, Verb::Reload),
    ];
    holds(CALM, vec![unit(service(false), &[])], steps);
}

#[test]
fn a_oneshot_that_was_stopped_has_not_done_what_it_is_for() {
    let requires = unit(service(false), &[(LinkKind::Requires(Need::Ready), 0)]);
    let steps = vec![
        Step::Ask(0, Verb::Start),
        Step::Ask(0, Verb::Stop),
        Step::Ask(1, Verb::Start),
    ];
    holds(CALM, vec![unit(service(true), &[]), requires], steps);
}

#[test]
fn units_that_require_and_conflict_settle() {
    let requires = |other| [(LinkKind::Requires(Need::Ready), other), (LinkKind::Conflicts, other)];
    let wants = unit(service(false), &[(LinkKind::Wants, 0)]);
    let units = vec![
        unit(service(false), &requires(1)),
        unit(service(false), &requires(0)),
        wants,
    ];
    holds(CALM, units, vec![Step::Ask(2, Verb::Start)]);
}

/// Each that is out of its budget fails without a run: that it is followed by nothing is what ends it.
#[test]
fn units_that_follow_each_others_refusal_settle() {
    let give_up = Some((1, 3_600_000_000));
    let once = || Form::Service(ServiceSpec { give_up, ..spec(false) });
    let fails = Chaos { fails: 100, ..CALM };
    let units = vec![
        unit(once(), &[(LinkKind::OnFailure, 1)]),
        unit(once(), &[(LinkKind::OnFailure, 0)]),
    ];
    holds(fails, units, vec![Step::Ask(0, Verb::Start)]);
}

#[test]
fn a_unit_that_was_masked_is_not_started_after_its_last_run() {
    let requires = unit(service(false), &[(LinkKind::Requires(Need::Ready), 0)]);
    let steps = vec![
        Step::Ask(1, Verb::Start),
        Step::Sleep(1_000_000),
        Step::Edit(vec![(0, unit(Form::Masked, &[]))]),
        Step::Sleep(1_000_000),
    ];
    holds(CALM, vec![unit(service(false), &[]), requires], steps);
}

#[test]
fn a_second_stop_of_one_that_is_stuck_is_answered() {
    let stuck = Chaos {
        deaf: 100,
        stuck: 100,
        ..CALM
    };
    let steps = vec![
        Step::Ask(0, Verb::Start),
        Step::Sleep(1_000_000),
        Step::Ask(0, Verb::Stop),
        Step::Sleep(100_000),
        Step::Ask(0, Verb::Stop),
        Step::Edit(vec![(0, None)]),
    ];
    holds(stuck, vec![unit(service(false), &[])], steps);
}
