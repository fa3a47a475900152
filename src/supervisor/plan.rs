//! `svc plan`: what the files on disk would change, without changing it.

use std::hash::{DefaultHasher, Hash, Hasher};

use super::Supervisor;
use crate::control::view;
use crate::engine::changes::Deed;

impl Supervisor {
    /// Reads the disk, and compares.
    pub(super) fn plan(&mut self) -> view::Plan {
        let units = self.units_on_disk();
        let changes = self.engine.changes(&units);
        let plans: Vec<view::UnitPlan> = changes
            .into_iter()
            .map(|change| view::UnitPlan {
                unit: change.name.to_string(),
                action: action(change.deed),
                fields: change
                    .fields
                    .into_iter()
                    .map(|field| view::FieldChange {
                        key: field.key.into(),
                        before: field.old,
                        after: field.new,
                    })
                    .collect(),
            })
            .collect();
        let findings: Vec<view::Finding> = self.files.findings.iter().map(view::Finding::from).collect();
        view::Plan {
            hash: hash(&plans),
            units: plans,
            findings,
        }
    }
}

fn action(deed: Deed) -> view::PlanAction {
    match deed {
        Deed::Same => view::PlanAction::Same,
        Deed::Load => view::PlanAction::Load,
        Deed::LiveUpdate => view::PlanAction::LiveUpdate,
        Deed::Restart => view::PlanAction::Restart,
        Deed::Start => view::PlanAction::Start,
        Deed::Stop => view::PlanAction::Stop,
    }
}

/// Names a plan within one life of svcd: it tells whether the world has moved since, and guards against nothing else.
fn hash(plans: &[view::UnitPlan]) -> String {
    let mut hasher = DefaultHasher::new();
    for plan in plans {
        (&plan.unit, plan.action as u8).hash(&mut hasher);
        for field in &plan.fields {
            (&field.key, &field.before, &field.after).hash(&mut hasher);
        }
    }
    format!("{:016x}", hasher.finish())
}
