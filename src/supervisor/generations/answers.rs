//! `svc generations`, `svc rollback`, `svc diff A B`, and what `svc status` says of the one in force.

use std::rc::Rc;

use super::store::{Generation, Verdict};
use crate::control::call::Call;
use crate::control::reply::{Failure, Told, reply};
use crate::control::{returns, view};
use crate::engine::UnitId;
use crate::supervisor::Supervisor;
use crate::supervisor::clients::Peer;
use crate::unit::Unit;
use crate::unit::show::differences;

impl Supervisor {
    /// The number of the one in force.
    pub(in crate::supervisor) fn generation(&self) -> Option<u64> {
        Some(self.generations.state.number).filter(|number| *number > 0)
    }

    /// What is in force.
    pub(in crate::supervisor) fn in_force(&self) -> Option<view::InForce> {
        let state = &self.generations.state;
        Some(view::InForce {
            generation: self.generation()?,
            on_probation: state.probation.is_some(),
            instead_of_disk: state.instead_of_disk.clone(),
        })
    }

    pub(in crate::supervisor) fn list_generations(&self) -> returns::Generations {
        let store = &self.generations.store;
        let kept = store.numbers().into_iter().filter_map(|number| store.read(number).ok());
        returns::Generations {
            generations: kept.map(|generation| self.generation_view(generation)).collect(),
        }
    }

    fn generation_view(&self, generation: Generation) -> view::Generation {
        let state = &self.generations.state;
        let in_force = state.number == generation.number;
        let (word, why) = match state.verdicts.get(&generation.number) {
            Some(Verdict::Failed(why)) => ("failed", Some(why.clone())),
            Some(Verdict::Good) => ("good", None),
            None if in_force && state.probation.is_some() => ("probation", None),
            None => ("unknown", None),
        };
        view::Generation {
            number: generation.number,
            at: view::timestamp(generation.at),
            by: generation.by,
            in_force,
            state: word.to_owned(),
            why,
            units: generation.units.len() as u64,
            images: generation.images,
        }
    }

    /// Puts a kept generation in force: that one, or the last before this one that has not failed.
    pub(in crate::supervisor) fn rollback(&mut self, client: u64, call: &Call, peer: &Peer, number: Option<u64>) {
        let told = |why: String| {
            Failure::Refused(Told {
                what: "rollback".to_owned(),
                why,
                hint: Some("`svc generations` shows which there are".to_owned()),
            })
        };
        let planned = number
            .or_else(|| self.generation_before())
            .ok_or_else(|| "there is none before this one".to_owned())
            .and_then(|number| {
                let units = self.units_of(number, &self.units_in_force())?;
                let images = self.image_changes_to(&self.generations.store.read(number)?, &units);
                Ok((number, self.plan(&units, &images)))
            });
        let (number, mut plan) = match planned {
            Ok(planned) => planned,
            Err(why) => return self.respond(client, call, Err(told(why))),
        };
        // What is wrong on disk has nothing to do with it.
        plan.findings.clear();
        let job = self.requests.wait_for_apply(client, plan, UnitId(u64::MAX));
        let by = peer.cause();
        self.generations.state.to_start_again.clear();
        let before = self.generations.state.number;
        let why = format!("rolled back from generation {before} by {}", self.cause(Some(&by)).text);
        if let Err(why) = self.put_in_force(number, why, by, Some(job)) {
            self.requests.forget(client);
            return self.respond(client, call, Err(told(why)));
        }
        self.settle();
    }

    fn generation_before(&self) -> Option<u64> {
        let state = &self.generations.state;
        let has_failed = |number: &u64| matches!(state.verdicts.get(number), Some(Verdict::Failed(_)));
        let mut before = self.generations.store.numbers().into_iter().rev();
        before.find(|number| *number < state.number && !has_failed(number))
    }

    /// What differs between two of them.
    pub(in crate::supervisor) fn compare_generations(&self, before: u64, after: u64) -> Result<Vec<u8>, Failure> {
        let read = |number: u64| {
            let read = self.generations.store.read(number);
            let read = read.and_then(|generation| Ok((generation.read_units()?.0, generation)));
            read.map_err(|why| {
                Failure::Refused(Told {
                    what: format!("generation {number}"),
                    why,
                    hint: Some("`svc generations` shows which there are".to_owned()),
                })
            })
        };
        let ((old, before), (new, after)) = (read(before)?, read(after)?);
        let find = |units: &[Rc<Unit>], name: &Unit| units.iter().find(|unit| unit.name == name.name).cloned();
        let mut units = Vec::new();
        for unit in &new {
            let Some(old) = find(&old, unit) else {
                units.push(difference(unit, view::DifferenceKind::Added, Vec::new()));
                continue;
            };
            let mut fields: Vec<view::FieldChange> = differences(&old, unit).into_iter().map(Into::into).collect();
            let image = |generation: &Generation| generation.images.get(unit.name.as_str()).cloned();
            if image(&before) != image(&after) {
                fields.push(view::FieldChange {
                    key: "image".to_owned(),
                    before: image(&before),
                    after: image(&after),
                });
            }
            if !fields.is_empty() {
                units.push(difference(unit, view::DifferenceKind::Changed, fields));
            }
        }
        let gone = old.iter().filter(|unit| find(&new, unit).is_none());
        units.extend(gone.map(|unit| difference(unit, view::DifferenceKind::Removed, Vec::new())));
        units.sort_by(|one, other| one.unit.cmp(&other.unit));
        Ok(reply(&returns::Differences { units }, false))
    }
}

fn difference(unit: &Unit, kind: view::DifferenceKind, fields: Vec<view::FieldChange>) -> view::UnitDifference {
    view::UnitDifference {
        unit: unit.name.to_string(),
        difference: kind,
        fields,
    }
}
