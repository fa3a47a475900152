//! `svc plan`, `svc apply`: what the files on disk would change, and taking that over.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::rc::Rc;

use super::Supervisor;
use super::clients::Peer;
use crate::control::call::Call;
use crate::control::reply::{Failure, Told};
use crate::control::view;
use crate::engine::UnitId;
use crate::engine::changes::{Deed, Images, UnitChange};
use crate::unit::Unit;

impl Supervisor {
    /// What these units, which the disk has, and these images would change.
    pub(super) fn plan(&self, units: &[Rc<Unit>], images: &Images) -> view::Plan {
        let changes = self.engine.changes_with_touched(units, images);
        let known = units
            .iter()
            .filter(|unit| self.engine.find(unit.name.as_str()).is_some());
        let changed = |unit: &&Rc<Unit>| changes.iter().any(|change| change.name == unit.name);
        let same = known.filter(|unit| !changed(unit)).count() as u64;
        let plans: Vec<view::UnitPlan> = changes.into_iter().map(plan_of).collect();
        view::Plan {
            hash: self.hash(units, &plans),
            units: plans,
            same,
            findings: self.files.findings.iter().map(view::Finding::from).collect(),
            instead_of_disk: self.in_force().and_then(|in_force| in_force.instead_of_disk),
        }
    }

    /// Names a plan within one life of svcd, by all that is on disk and what it does to what runs: it tells whether the
    /// world has moved since, and guards against nothing else.
    fn hash(&self, units: &[Rc<Unit>], plans: &[view::UnitPlan]) -> String {
        let mut hasher = DefaultHasher::new();
        for unit in units {
            (unit.name.as_str(), &unit.origin.files, &unit.origin.texts).hash(&mut hasher);
        }
        for plan in plans {
            (&plan.unit, plan.action as u8, &plan.with).hash(&mut hasher);
            for field in &plan.fields {
                (&field.key, &field.before, &field.after).hash(&mut hasher);
            }
        }
        for finding in &self.files.findings {
            (&finding.file, finding.line, &finding.message).hash(&mut hasher);
        }
        format!("{:016x}", hasher.finish())
    }

    /// Takes over what is on disk: all of it, and what was planned, or nothing.
    pub(super) fn apply(&mut self, client: u64, call: &Call, peer: &Peer, hash: Option<&str>) {
        let units = self.units_on_disk();
        let images = self.image_changes(&units, |unit| self.digest_of_image(unit));
        let plan = self.plan(&units, &images);
        if let Some(why) = self.obstacle_to_apply(&plan, hash) {
            let failure = Failure::Refused(Told {
                what: "apply".to_owned(),
                why,
                hint: Some("`svc plan` shows what it would do".to_owned()),
            });
            return self.respond(client, call, Err(failure));
        }
        self.files.pending = None;
        let anybody = UnitId(u64::MAX);
        let job = self.requests.wait_for_apply(client, plan, anybody);
        self.take_over_disk(units, images, peer.cause(), Some(job));
        self.settle();
    }

    fn obstacle_to_apply(&self, plan: &view::Plan, hash: Option<&str>) -> Option<String> {
        if hash.is_some_and(|hash| hash != plan.hash) {
            return Some("the files, or what runs, have changed since that plan".to_owned());
        }
        if let Some(dir) = &self.files.vanished {
            return Some(format!("{} is gone", dir.display()));
        }
        let bad = plan.findings.iter().find(|finding| finding.severity == "error")?;
        Some(format!("{}:{}:{}: {}", bad.file, bad.line, bad.column, bad.message))
    }
}

fn plan_of(change: UnitChange) -> view::UnitPlan {
    view::UnitPlan {
        unit: change.name.to_string(),
        action: action(change.deed),
        fields: change.fields.into_iter().map(Into::into).collect(),
        with: change.with.map(|name| name.to_string()),
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
