//! Who else is moved when units change: those that go down with a unit that they require, are bound to or are part of.

use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

use super::Engine;
use super::changes::{Deed, Images, UnitChange};
use crate::unit::{LinkKind, Unit, UnitName};

impl Engine {
    /// What these units would change, as [`Engine::changes`], and who would be moved with those that stop or restart.
    pub fn changes_with_touched(&self, units: &[Rc<Unit>], images: &Images) -> Vec<UnitChange> {
        let mut changes: BTreeMap<UnitName, UnitChange> = self
            .changes(units, images)
            .into_iter()
            .map(|change| (change.name.clone(), change))
            .collect();
        let mut moved: VecDeque<(UnitName, Deed)> = changes
            .values()
            .filter(|change| goes_down(change.deed))
            .map(|change| (change.name.clone(), change.deed))
            .collect();
        let dependents = if moved.is_empty() {
            BTreeMap::new()
        } else {
            dependents_of_each(units)
        };
        while let Some((name, deed)) = moved.pop_front() {
            for other in dependents.get(&name).into_iter().flatten() {
                let is_up = self.names.get(*other).is_some_and(|id| self.is_up(*id));
                let change = changes.entry((*other).clone()).or_insert_with(|| UnitChange {
                    name: (*other).clone(),
                    deed: Deed::Same,
                    fields: Vec::new(),
                    with: None,
                });
                if is_up && !goes_down(change.deed) {
                    // With one that is gone it stops, and waits for it to come back.
                    change.deed = deed;
                    change.with = Some(name.clone());
                    moved.push_back(((*other).clone(), deed));
                }
            }
        }
        changes
            .into_values()
            .filter(|change| change.deed != Deed::Same)
            .collect()
    }
}

fn goes_down(deed: Deed) -> bool {
    matches!(deed, Deed::Restart | Deed::Stop)
}

fn dependents_of_each(units: &[Rc<Unit>]) -> BTreeMap<&UnitName, Vec<&UnitName>> {
    let mut dependents: BTreeMap<&UnitName, Vec<&UnitName>> = BTreeMap::new();
    for unit in units {
        for link in &unit.links {
            if matches!(link.kind, LinkKind::Requires(_) | LinkKind::BindsTo | LinkKind::PartOf) {
                dependents.entry(&link.to).or_default().push(&unit.name);
            }
        }
    }
    dependents
}
