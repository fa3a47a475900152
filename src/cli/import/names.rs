//! Names of units that nobody has.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::convert::{Known, Made};
use super::draft::Draft;

/// Lists of units.
const LINKS: [&str; 10] = [
    "requires",
    "wants",
    "binds-to",
    "part-of",
    "after",
    "before",
    "conflicts",
    "on-failure",
    "on-success",
    "wanted-by",
];

/// What is started comes first here, so that a milestone which a unit both starts and comes before is only come before.
const STARTS: [&str; 3] = ["requires", "wants", "binds-to"];

/// Other names that units have are replaced by theirs. Milestones become targets of their own, and what is only ordered
/// or wanted, and there is not, is left out.
pub fn resolve(made: &mut Vec<Made>, known: Known<'_>) {
    let aliases = aliases(made);
    for one in made.iter_mut() {
        for key in LINKS {
            let own = one.draft.name.clone();
            let names = one.draft.names(key).into_iter();
            let names = names.map(|name| aliases.get(&name).cloned().unwrap_or(name));
            keep(one, key, names.filter(|name| *name != own).collect());
        }
        let before = one.draft.names("before");
        for key in STARTS {
            let (late, kept): (Vec<String>, Vec<String>) =
                one.draft.names(key).into_iter().partition(|name| before.contains(name));
            if !late.is_empty() {
                let late = late.join(", ");
                let line = format!("Left out of `{key}`, since the unit comes before what it would start: {late}.");
                one.draft.comments.push(line);
                keep(one, key, kept);
            }
        }
    }
    if let Some(known) = known {
        complete(made, known);
    }
}

/// Each Alias= with the name of its unit.
fn aliases(made: &[Made]) -> BTreeMap<String, String> {
    let of = |one: &Made| {
        let named = one.told.iter().filter(|(directive, _)| directive.name == "Alias");
        let words = named.flat_map(|(directive, _)| directive.value.split_whitespace().collect::<Vec<_>>());
        let stems = words.filter_map(|word| Some(word.rsplit_once('.')?.0.to_owned()));
        stems.map(|alias| (alias, one.draft.name.clone())).collect::<Vec<_>>()
    };
    made.iter().flat_map(of).collect()
}

fn keep(one: &mut Made, key: &'static str, names: Vec<String>) {
    drop(one.draft.remove("unit", key));
    if !names.is_empty() {
        one.draft
            .extend("unit", key, names.into_iter().map(Value::from).collect());
    }
}

fn complete(made: &mut Vec<Made>, known: &dyn Fn(&str) -> bool) {
    let mut names: BTreeSet<String> = made.iter().map(|one| one.draft.name.clone()).collect();
    let template = |name: &str| name.split_once('@').map(|(prefix, _)| format!("{prefix}@"));
    let milestones: BTreeSet<String> = made
        .iter()
        .flat_map(|one| &one.told)
        .flat_map(|(directive, _)| directive.value.split_whitespace())
        .filter_map(|word| word.strip_suffix(".target").map(str::to_owned))
        .collect();
    for one in made.iter_mut() {
        for key in LINKS {
            let is_there = |name: &String| {
                let of_template = template(name).is_some_and(|name| names.contains(&name));
                let is_needed = matches!(key, "requires" | "binds-to");
                names.contains(name)
                    || of_template
                    || known(name)
                    || name == "default"
                    || is_needed
                    || milestones.contains(name)
            };
            let (kept, gone): (Vec<String>, Vec<String>) = one.draft.names(key).into_iter().partition(is_there);
            if !gone.is_empty() {
                keep(one, key, kept);
                let line = format!("Left out of `{key}`, since there is no such unit: {}.", gone.join(", "));
                one.draft.comments.push(line);
            }
        }
    }
    let named: BTreeSet<String> = made
        .iter()
        .flat_map(|one| LINKS.iter().flat_map(|key| one.draft.names(key)))
        .collect();
    for name in named
        .into_iter()
        .filter(|name| milestones.contains(name) && !known(name))
    {
        if name != "default" && names.insert(name.clone()) {
            made.push(milestone(&name));
        }
    }
}

/// An empty target: whatever leads to it is to be named in it.
fn milestone(name: &str) -> Made {
    let mut draft = Draft::new(name, "target");
    draft.comments.push(format!(
        "A milestone that imported units name ({name}.target): say here what it waits for."
    ));
    draft.set("unit", "description", format!("Milestone {name}"));
    Made {
        draft,
        told: Vec::new(),
    }
}
