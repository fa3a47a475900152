//! A failing scenario, made smaller as long as it breaks the same rule: steps go, units go, then what is left of them.

use crate::activation::Activation;
use crate::scenario::{Form, Scenario};
use crate::world::{Fault, Look, World};

/// Plays at most this often.
const TRIES_MAX: u32 = 3_000;

pub fn shrink(scenario: Scenario, rule: &str, fault: Fault) -> Scenario {
    let mut tries = 0;
    let mut fails = |scenario: &Scenario| {
        tries += 1;
        tries <= TRIES_MAX && matches!(World::play(scenario, fault, Look::Away).end, Err(found) if found.rule == rule)
    };
    let mut best = scenario;
    loop {
        let before = weight(&best);
        take_out(&mut best, |scenario| &mut scenario.steps, &mut fails);
        take_units(&mut best, &mut fails);
        simplify(&mut best, &mut fails);
        if weight(&best) >= before {
            return best;
        }
    }
}

/// How much a reader has to look at.
pub fn weight(scenario: &Scenario) -> usize {
    let links = scenario.units.iter().flatten().map(|spec| 1 + spec.links.len());
    scenario.steps.len() + links.sum::<usize>()
}

/// Takes parts of a list out: halves first, then ever smaller ones (Zeller, Hildebrandt: IEEE TSE 28, 2002).
fn take_out<T: Clone>(
    best: &mut Scenario,
    list: impl Fn(&mut Scenario) -> &mut Vec<T>,
    fails: &mut impl FnMut(&Scenario) -> bool,
) {
    let mut size = list(best).len().div_ceil(2);
    while size > 0 {
        let mut from = 0;
        while from < list(best).len() {
            let mut less = best.clone();
            let to = (from + size).min(list(&mut less).len());
            list(&mut less).drain(from..to);
            if fails(&less) {
                *best = less;
            } else {
                from += size;
            }
        }
        size /= 2;
    }
}

/// Units keep their numbers: one that goes has no file any more, in no step either.
fn take_units(best: &mut Scenario, fails: &mut impl FnMut(&Scenario) -> bool) {
    for place in 0..best.units.len() {
        if best.units[place].is_none() {
            continue;
        }
        let mut less = best.clone();
        less.units[place] = None;
        for spec in less.units.iter_mut().flatten() {
            spec.links.retain(|(_, to)| *to != place);
        }
        if fails(&less) {
            *best = less;
        }
    }
}

fn simplify(best: &mut Scenario, fails: &mut impl FnMut(&Scenario) -> bool) {
    for place in 0..best.units.len() {
        let links = best.units[place].as_ref().map_or(0, |spec| spec.links.len());
        for nth in (0..links).rev() {
            let mut less = best.clone();
            if let Some(spec) = &mut less.units[place] {
                spec.links.remove(nth);
            }
            if fails(&less) {
                *best = less;
            }
        }
        let mut less = best.clone();
        if let Some(Form::Service(service)) = less.units[place].as_mut().map(|spec| &mut spec.form) {
            *service.activation = Activation::default();
            if fails(&less) {
                *best = less;
            }
        }
        for command in 0..6 {
            let mut less = best.clone();
            if let Some(Form::Service(service)) = less.units[place].as_mut().map(|spec| &mut spec.form) {
                let least = usize::from(command == 1);
                if service.commands[command] == least {
                    continue;
                }
                service.commands[command] = least;
                if fails(&less) {
                    *best = less;
                }
            }
        }
    }
}
