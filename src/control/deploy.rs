//! What clients see of deployment: plans, and generations, the sets of units that were put in force.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::view::{Cause, Finding};

/// What differs between disk and running: `svc plan`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// Names this plan: Apply with it does this or nothing.
    pub hash: String,
    /// Every unit with something to do; the same ones are left out.
    pub units: Vec<UnitPlan>,
    /// How many are the same.
    #[serde(default)]
    pub same: u64,
    /// What is wrong on disk; with an error among them nothing can be applied.
    pub findings: Vec<Finding>,
    /// Why something else than the disk is in force, where that is so.
    #[serde(default)]
    pub instead_of_disk: Option<String>,
}

/// What a plan does to one unit.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnitPlan {
    /// Which unit.
    pub unit: String,
    /// What is done to it.
    pub action: PlanAction,
    /// Why: what is different.
    pub fields: Vec<FieldChange>,
    /// It goes down with this unit, which it requires or is part of.
    #[serde(default)]
    pub with: Option<String>,
}

/// What a plan can do to a unit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PlanAction {
    /// Nothing: it is there and as it should be.
    #[default]
    Same,
    /// Values are taken over while it runs.
    LiveUpdate,
    /// Its reload command or signal.
    Reload,
    /// Down and up again.
    Restart,
    /// It is new, and wanted.
    Start,
    /// It is gone.
    Stop,
    /// It is new or changed, and does not run: only what is known of it changes.
    Load,
}

/// One key that differs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FieldChange {
    /// `[service] exec-start`.
    pub key: String,
    /// As running; none: not set.
    pub before: Option<String>,
    /// As on disk; none: not set.
    pub after: Option<String>,
}

/// The set of units that is in force.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct InForce {
    /// Its number.
    pub generation: u64,
    /// It has still to show that it is good.
    pub on_probation: bool,
    /// Why it is in force though the disk says something else; none: the disk says the same.
    pub instead_of_disk: Option<String>,
}

/// A set of units that was put in force: a line of `svc generations`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Generation {
    /// From 1 on.
    pub number: u64,
    /// When it was made.
    pub at: String,
    /// Who brought it.
    pub by: Cause,
    /// True for one of them.
    pub in_force: bool,
    /// `good`, `failed`, `probation`; `unknown`: another took its place before it could show.
    pub state: String,
    /// Why it failed.
    pub why: Option<String>,
    /// How many units it has.
    pub units: u64,
    /// What the images of its units were, by digest.
    pub images: BTreeMap<String, String>,
}

/// What differs of one unit between two generations.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnitDifference {
    /// Which unit.
    pub unit: String,
    /// How.
    pub difference: DifferenceKind,
    /// In what, where it is in both.
    pub fields: Vec<FieldChange>,
}

/// How a unit differs between two generations.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DifferenceKind {
    /// It is in the second only.
    Added,
    /// It is in both.
    #[default]
    Changed,
    /// It is in the first only.
    Removed,
}

impl From<crate::unit::show::Difference> for FieldChange {
    fn from(difference: crate::unit::show::Difference) -> Self {
        Self {
            key: difference.key.into(),
            before: difference.old,
            after: difference.new,
        }
    }
}
