//! From the directives of some files to drafts, each by its rule.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::commands::command_lines;
use super::draft::Draft;
use super::rules::{self, Fate, Form, Rule};
use super::syntax::{self, Directive};
use super::{Source, finish, names, specifiers, streams, values};

/// A unit that was made, and a word on each directive of it.
pub struct Made {
    pub draft: Draft,
    pub told: Vec<(Directive, Fate)>,
}

/// Which names are units already; None: nobody looks, and every name stays.
pub type Known<'a> = Option<&'a dyn Fn(&str) -> bool>;

/// Makes a unit of each service with what starts it, and of each target, slice and mount.
///
/// # Errors
/// A file and why: a kind that svc has none of, a socket or timer whose service is not among the files.
pub fn convert(sources: &[Source], known: Known<'_>) -> Result<Vec<Made>, (String, String)> {
    let mut made: BTreeMap<String, Made> = BTreeMap::new();
    let (owners, starters): (Vec<&Source>, Vec<&Source>) = sources
        .iter()
        .partition(|source| !matches!(suffix(&source.name), "socket" | "timer" | "path"));
    for source in owners {
        let kinds = ["service", "target", "slice", "mount"];
        let Some(kind) = kinds.into_iter().find(|kind| *kind == suffix(&source.name)) else {
            let why = "svc has no unit of this kind".to_owned();
            return Err((source.path.display().to_string(), why));
        };
        let name = stem(&source.name).to_owned();
        let mut draft = Draft::new(&name, kind);
        draft.comments.push(format!("Imported from {}.", source.name));
        let mut one = Made {
            draft,
            told: Vec::new(),
        };
        apply_all(&mut one, source);
        made.insert(name, one);
    }
    for source in starters {
        let owner = owner_of(source);
        let Some(one) = made.get_mut(&owner) else {
            let why = format!("what it starts, {owner}.service, is not among the files");
            return Err((source.path.display().to_string(), why));
        };
        one.draft.comments.push(format!("Imported from {}.", source.name));
        let has_own_wish = one.draft.get("unit", "wanted-by").is_some();
        apply_all(one, source);
        if suffix(&source.name) == "socket" && !has_own_wish {
            one.draft
                .all("[socket]")
                .for_each(|socket| drop(socket.insert("lazy".to_owned(), true.into())));
        }
    }
    let mut made: Vec<Made> = made.into_values().collect();
    for one in &mut made {
        finish::finish(&mut one.draft);
    }
    names::resolve(&mut made, known);
    for one in &mut made {
        let lost = one.told.iter().filter_map(|(directive, fate)| match fate {
            Fate::Lost(why) => Some(format!("Not here: {}={} ({why}).", directive.name, directive.value)),
            Fate::Kept | Fate::Changed(_) => None,
        });
        let lost: Vec<String> = lost.collect();
        one.draft.comments.extend(lost);
    }
    Ok(made)
}

fn suffix(name: &str) -> &str {
    name.rsplit_once('.').map_or("", |(_, suffix)| suffix)
}

fn stem(name: &str) -> &str {
    name.rsplit_once('.').map_or(name, |(stem, _)| stem)
}

/// What a socket, timer or path starts: what it names, or what is called the same; with Accept=yes the template.
fn owner_of(source: &Source) -> String {
    let said = |name: &str| {
        source
            .directives
            .iter()
            .rev()
            .find(|one| one.name == name)
            .map(|one| one.value.as_str())
    };
    let named = said("Service").or_else(|| said("Unit")).filter(|name| !name.is_empty());
    match named {
        Some(name) => stem(name).replace("%i", "").replace("%I", ""),
        None if said("Accept").is_some_and(|value| values::boolean(value) == Ok(true)) => {
            format!("{}@", stem(&source.name))
        }
        None => stem(&source.name).to_owned(),
    }
}

fn apply_all(made: &mut Made, source: &Source) {
    // A pid file, and a home directory, depend on what may stand further down.
    let first = ["Type", "User"];
    let early = source
        .directives
        .iter()
        .filter(|one| first.contains(&one.name.as_str()));
    for directive in early.chain(
        source
            .directives
            .iter()
            .filter(|one| !first.contains(&one.name.as_str())),
    ) {
        let is_second = suffix(&source.name) != "service" && &*directive.section == "Unit";
        let fate = match is_second
            && matches!(directive.name.as_str(), "Description" | "Documentation")
            && made.draft.kind == "service"
        {
            true => Fate::Changed("what the service says of itself counts".to_owned()),
            false => apply(&mut made.draft, &source.name, directive),
        };
        made.told.push((directive.clone(), fate));
    }
}

fn apply(draft: &mut Draft, file: &str, directive: &Directive) -> Fate {
    if directive.section.starts_with("X-") || directive.name.starts_with("X-") {
        return Fate::Changed("left out: systemd does not read it either".to_owned());
    }
    let Some(rule) = rules::find(&directive.section, &directive.name) else {
        return Fate::Lost(format!("svc does not know it in [{}]", directive.section));
    };
    if directive.value.is_empty() {
        return forget(draft, directive, rule);
    }
    let user = draft
        .get("service", "user")
        .and_then(Value::as_str)
        .unwrap_or_default()
        .to_owned();
    let expanded = match specifiers::expand(&directive.value, file, &user) {
        Ok(expanded) => expanded,
        Err(why) => return Fate::Lost(why),
    };
    let value = expanded.text.as_str();
    let fate = match rule {
        Rule::By(_) if directive.name.starts_with("Limit") => limit(draft, &directive.name, value),
        Rule::By(function) => function(draft, value),
        Rule::Needless(why) => Fate::Changed(format!("left out: {why}")),
        Rule::Never(why) => Fate::Lost(why.to_owned()),
        Rule::As(table, key, form) => match assign(draft, table, key, form, value) {
            Ok(()) => Fate::Kept,
            Err(why) => Fate::Lost(why),
        },
    };
    match fate {
        Fate::Kept if !expanded.notes.is_empty() => Fate::Changed(expanded.notes.join("; ")),
        fate @ (Fate::Kept | Fate::Changed(_) | Fate::Lost(_)) => fate,
    }
}

/// Nothing behind the sign: what was assigned before is forgotten.
fn forget(draft: &mut Draft, directive: &Directive, rule: Rule) -> Fate {
    match (rule, directive.name.as_str()) {
        (Rule::As(table, key, _), _) => drop(draft.remove(table, key)),
        (Rule::By(_), "CapabilityBoundingSet") => draft.set("isolation", "capabilities", json!(["none"])),
        (Rule::By(_), "AmbientCapabilities") => drop(draft.remove("isolation", "ambient-capabilities")),
        (Rule::By(_), "SystemCallFilter") => drop(draft.remove("isolation", "seccomp")),
        (Rule::By(_), "StandardInputText" | "StandardInputData") => {
            for key in [streams::TEXT, streams::DATA] {
                draft.remove("service", key);
            }
        }
        (Rule::By(_), "Environment") => drop(draft.remove("service", "environment")),
        (Rule::By(_), name) if name.starts_with("Condition") => drop(draft.remove("unit", "condition")),
        (Rule::By(_), name) if name.starts_with("Assert") => drop(draft.remove("unit", "assert")),
        (Rule::By(_) | Rule::Needless(_) | Rule::Never(_), _) => {}
    }
    Fate::Kept
}

fn limit(draft: &mut Draft, name: &str, value: &str) -> Fate {
    let resource = name.trim_start_matches("Limit").to_ascii_lowercase();
    match values::rlimit(&resource, value) {
        Ok(value) => {
            draft.insert("service", "rlimits", &resource, value);
            Fate::Kept
        }
        Err(why) => Fate::Lost(why),
    }
}

fn assign(draft: &mut Draft, table: &'static str, key: &'static str, form: Form, value: &str) -> Result<(), String> {
    let mut extend = |made: Value| {
        let items = made.as_array().cloned().unwrap_or_default();
        draft.extend(table, key, items);
        Ok(())
    };
    let one = match form {
        Form::Text => value.into(),
        Form::Bool => values::boolean(value)?.into(),
        Form::Number => json!(
            value
                .parse::<i64>()
                .map_err(|_| format!("`{value}` is no whole number"))?
        ),
        Form::Duration => values::duration(value)?,
        Form::Limit => values::limit(value)?,
        Form::Size => values::size(value)?,
        Form::Mode => values::mode(value)?,
        Form::Account => values::account(value),
        Form::Word(words) => {
            let word = words.iter().find(|(theirs, _)| *theirs == value);
            word.map(|(_, ours)| Value::from(*ours))
                .ok_or_else(|| format!("svc has no `{value}` here"))?
        }
        Form::BoolOr(words) if words.contains(&value) => value.into(),
        Form::BoolOr(_) => values::boolean(value)?.into(),
        Form::Texts => return extend(values::texts(value)?),
        Form::Paths => return extend(values::paths(value)?),
        Form::Exits => return extend(values::exits(value)?),
        Form::Accounts => {
            let accounts = syntax::words(value)?;
            return extend(accounts.iter().map(|word| values::account(word)).collect());
        }
        Form::Commands => {
            command_lines(value)?
                .into_iter()
                .for_each(|line| draft.push(table, key, line));
            return Ok(());
        }
    };
    draft.set(table, key, one);
    Ok(())
}
