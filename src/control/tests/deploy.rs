//! Deployment: plans and generations in the interface text, and their requests.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Value, json};

use super::ours;
use crate::control::deploy::{FieldChange, Generation, InForce, Plan, UnitDifference, UnitPlan};
use crate::control::{Request, returns};

pub fn samples() -> BTreeMap<&'static str, Value> {
    fn of<T: Serialize>(value: T) -> Value {
        serde_json::to_value(value).unwrap()
    }
    let planned = || {
        of(returns::Planned {
            plan: Plan::default(),
            generation: Some(1),
        })
    };
    BTreeMap::from([
        ("FieldChange", of(FieldChange::default())),
        ("UnitPlan", of(UnitPlan::default())),
        ("WholePlan", of(Plan::default())),
        ("InForce", of(InForce::default())),
        ("Generation", of(Generation::default())),
        ("UnitDifference", of(UnitDifference::default())),
        ("Plan", planned()),
        ("Apply", planned()),
        ("Rollback", planned()),
        ("Generations", of(returns::Generations::default())),
        ("CompareGenerations", of(returns::Differences::default())),
    ])
}

#[test]
fn each_request_is_read_as_it_is_written() {
    for (method, parameters, request) in [
        ("Generations", json!({}), Request::Generations),
        (
            "CompareGenerations",
            json!({ "before": 3, "after": 5 }),
            Request::CompareGenerations { before: 3, after: 5 },
        ),
        (
            "Rollback",
            json!({ "generation": 3 }),
            Request::Rollback { generation: Some(3) },
        ),
        (
            "Rollback",
            json!({ "generation": null }),
            Request::Rollback { generation: None },
        ),
    ] {
        assert_eq!(request.parameters(), parameters);
        assert!(request.method().ends_with(method));
        assert_eq!(ours(method, &parameters.to_string()), Ok(request));
    }
    for wrong in [json!({ "before": 1 }), json!({ "before": -1, "after": "x" })] {
        assert!(ours("CompareGenerations", &wrong.to_string()).is_err());
    }
    assert!(!Request::Rollback { generation: None }.only_reads() && Request::Generations.only_reads());
}
