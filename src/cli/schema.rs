//! `schema`: what unit files may say, as a JSON Schema (draft-07, which taplo and editors read), made of the rows of keys.
//!
//! It knows each value's form, and no rule across keys: those are `svc check`'s.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::failure::Failure;
use super::session::Session;
use crate::unit::keys::{self, Change, Key};
use crate::unit::{Service, Unit, UnitName, show};

mod forms;

/// `svc schema`.
///
/// # Errors
/// Standard output cannot be written.
pub fn run(session: &mut Session<'_>) -> Result<(), Failure> {
    let text = serde_json::to_string_pretty(&schema()).map_err(std::io::Error::from)?;
    Ok(writeln!(session.out, "{text}")?)
}

/// What a table is for, by its name; the same as svc.unit(5) says of it.
fn purpose(table: &str) -> &'static str {
    match table {
        "unit" => "What any unit may say of itself and of others.",
        "service" => "A program that is kept running, or run once.",
        "restart" => "When a service that has ended is started again.",
        "resources" => "Limits of a service or slice, held by its cgroup.",
        "isolation" => "What a service sees of the machine, and what it may do.",
        "root" => "The root directory that a service sees; absent, it is the machine's own.",
        "network" => "The network that a service sees.",
        "log" => "What is kept of a service's output.",
        "health" => "How a service is asked whether it is well.",
        "[socket]" => "Sockets that are opened before the service and passed to it; sd_listen_fds(3).",
        "[timer]" => "When the service is started.",
        "[path]" => "Paths that start the service when something happens to them.",
        "[mount]" => "What is mounted in the service's root.",
        "mount" => "A mounted file system.",
        "target" => "A unit that groups others, and is ready once those that it wants have settled.",
        "slice" => "A unit that is a cgroup that others sit in; its limits are in [resources].",
        _ => "",
    }
}

fn schema() -> Value {
    let defaults = defaults();
    let mut properties: BTreeMap<&str, Vec<Value>> = BTreeMap::new();
    for table in keys::tables() {
        let own = of_table(table, &defaults);
        let all = properties.entry(table.trim_matches(['[', ']'])).or_default();
        match table.starts_with('[') {
            true => all.push(json!({ "type": "array", "items": own, "description": purpose(table) })),
            false => all.push(own),
        }
    }
    let properties: Map<String, Value> = properties
        .into_iter()
        .map(|(name, mut forms)| match forms.len() {
            1 => (name.to_owned(), forms.remove(0)),
            _ => (name.to_owned(), json!({ "anyOf": forms })),
        })
        .collect();
    let is_mount = json!({ "required": ["mount"], "properties": { "mount": { "type": "object" } } });
    json!({
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "A unit of svcd",
        "description": "svc.unit(5)",
        "type": "object",
        "properties": properties,
        "additionalProperties": false,
        // One of these makes it what it is.
        "anyOf": [{ "required": ["service"] }, { "required": ["target"] }, { "required": ["slice"] }, is_mount],
    })
}

fn of_table(table: &str, defaults: &BTreeMap<(&str, &str), Value>) -> Value {
    let rows = keys::all().filter(|row| row.table == table);
    let properties: Map<String, Value> = rows
        .map(|row| (row.name.to_owned(), of_key(row, defaults.get(&(row.table, row.name)))))
        .collect();
    json!({
        "type": "object",
        "description": purpose(table),
        "properties": properties,
        "additionalProperties": false,
    })
}

fn of_key(row: &Key, default: Option<&Value>) -> Value {
    let mut schema = forms::of(row.kind);
    if let Value::Object(entries) = &mut schema {
        entries.insert("description".to_owned(), described(row).into());
        if let Some(default) = default {
            entries.insert("default".to_owned(), default.clone());
        }
    }
    schema
}

/// What the key does, and what an editor's user should know besides.
fn described(row: &Key) -> String {
    let change = match row.change {
        Change::Live => "",
        Change::Restart => " A change restarts the service.",
    };
    format!("{}{change}", row.doc)
}

/// What a service has where its file is silent, by table and key.
fn defaults() -> BTreeMap<(&'static str, &'static str), Value> {
    let unit = Unit {
        kind: crate::unit::Kind::Service(Box::<Service>::default()),
        ..Unit::target(UnitName::default_target())
    };
    let shown = show::effective(&unit).into_iter();
    let value = |text: &str| {
        let parsed: Value = toml::from_str::<Value>(&format!("value = {text}")).ok()?;
        parsed.get("value").cloned()
    };
    shown
        .filter_map(|one| Some(((one.table, one.key), value(&one.value)?)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A pattern or an enumeration that does not take the default of its own key would be wrong.
    #[test]
    fn every_key_is_in_the_schema_with_its_words_and_its_default() {
        let schema = schema();
        let properties = &schema["properties"];
        for row in keys::all() {
            let name = row.table.trim_matches(['[', ']']);
            let table = &properties[name];
            let forms = match table.get("anyOf").and_then(Value::as_array) {
                Some(forms) => forms.clone(),
                None => vec![table.clone()],
            };
            let found = forms.iter().find_map(|form| {
                let is_several = row.table.starts_with('[');
                let object = if is_several { form.get("items")? } else { form };
                object.get("properties")?.get(row.name)
            });
            let found = found.unwrap_or_else(|| panic!("[{}] {} is not there", row.table, row.name));
            let doc = found["description"].as_str().unwrap();
            assert!(doc.starts_with(row.doc), "{}", row.name);
        }
        let kill_mode = &properties["service"]["properties"]["kill-mode"];
        assert_eq!(kill_mode["default"], "control-group");
        assert_eq!(properties["service"]["properties"]["timeout-start"]["default"], "30s");
        assert_eq!(properties["isolation"]["properties"]["private-tmp"]["default"], true);
    }

    #[test]
    fn every_table_has_a_purpose() {
        for table in keys::tables() {
            assert!(!purpose(table).is_empty(), "{table}");
        }
    }
}
