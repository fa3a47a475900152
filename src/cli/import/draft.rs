//! A unit file under way: values by table and key, and the text that it becomes.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde_json::{Map, Value};

use crate::unit::keys;

/// A longer list stands on several lines.
const LINE_BYTES_MAX: usize = 100;

/// Tables in the order in which people read them. Those in brackets may be there several times.
const TABLES: [&str; 15] = [
    "unit",
    "service",
    "target",
    "slice",
    "mount",
    "restart",
    "resources",
    "isolation",
    "root",
    "[mount]",
    "network",
    "log",
    "[socket]",
    "[timer]",
    "[path]",
];

/// A unit file.
#[derive(Debug, Default)]
pub struct Draft {
    /// Without `.toml`.
    pub name: String,
    values: BTreeMap<(&'static str, &'static str), Value>,
    several: Vec<(&'static str, Map<String, Value>)>,
    /// The table that says by being there what the unit is.
    pub kind: &'static str,
    /// Lines at its top.
    pub comments: Vec<String>,
}

impl Draft {
    #[allow(missing_docs)]
    pub fn new(name: &str, kind: &'static str) -> Self {
        Self {
            name: name.to_owned(),
            kind,
            ..Self::default()
        }
    }

    #[allow(missing_docs)]
    pub fn get(&self, table: &'static str, key: &'static str) -> Option<&Value> {
        self.values.get(&(table, key))
    }

    #[allow(missing_docs)]
    pub fn set(&mut self, table: &'static str, key: &'static str, value: impl Into<Value>) {
        self.values.insert((table, key), value.into());
    }

    /// Sets what nothing was said of.
    pub fn otherwise(&mut self, table: &'static str, key: &'static str, value: impl Into<Value>) {
        self.values.entry((table, key)).or_insert_with(|| value.into());
    }

    #[allow(missing_docs)]
    pub fn remove(&mut self, table: &'static str, key: &'static str) -> Option<Value> {
        self.values.remove(&(table, key))
    }

    /// Adds to a list, each value once.
    pub fn extend(&mut self, table: &'static str, key: &'static str, more: Vec<Value>) {
        if let Value::Array(list) = self
            .values
            .entry((table, key))
            .or_insert_with(|| Value::Array(Vec::new()))
        {
            for value in more {
                if !list.contains(&value) {
                    list.push(value);
                }
            }
        }
    }

    /// Adds to a list as it is.
    pub fn push(&mut self, table: &'static str, key: &'static str, value: Value) {
        if let Value::Array(list) = self
            .values
            .entry((table, key))
            .or_insert_with(|| Value::Array(Vec::new()))
        {
            list.push(value);
        }
    }

    /// Adds to a table within a key.
    pub fn insert(&mut self, table: &'static str, key: &'static str, name: &str, value: Value) {
        if let Value::Object(entries) = self
            .values
            .entry((table, key))
            .or_insert_with(|| Value::Object(Map::new()))
        {
            entries.insert(name.to_owned(), value);
        }
    }

    /// One more of a table that there may be several of.
    pub fn add(&mut self, table: &'static str, entries: Map<String, Value>) {
        self.several.push((table, entries));
    }

    /// All of them.
    pub fn all(&mut self, table: &'static str) -> impl Iterator<Item = &mut Map<String, Value>> {
        self.several
            .iter_mut()
            .filter(move |(its, _)| *its == table)
            .map(|(_, entries)| entries)
    }

    /// Whether anything is said in a table.
    pub fn has(&self, table: &'static str) -> bool {
        self.values.keys().any(|(its, _)| *its == table)
    }

    /// The names in a list of units.
    pub fn names(&self, key: &'static str) -> Vec<String> {
        let list = self.get("unit", key).and_then(Value::as_array);
        let names = list.into_iter().flatten().filter_map(Value::as_str);
        names.map(str::to_owned).collect()
    }

    /// The text of the file.
    pub fn render(&self) -> String {
        let mut text: String = self.comments.iter().map(|line| format!("# {line}\n")).collect();
        for table in TABLES {
            if table.starts_with('[') {
                for (_, entries) in self.several.iter().filter(|(its, _)| *its == table) {
                    let _ = write!(text, "\n[{table}]\n");
                    let rows = keys::all().filter(|row| row.table == table);
                    for (row, value) in rows.filter_map(|row| Some((row, entries.get(row.name)?))) {
                        let _ = writeln!(text, "{} = {}", row.name, toml(value));
                    }
                }
            } else if self.has(table) || self.kind == table {
                let _ = write!(text, "\n[{table}]\n");
                let rows = keys::all().filter(|row| row.table == table);
                for (row, value) in rows.filter_map(|row| Some((row, self.values.get(&(table, row.name))?))) {
                    let _ = writeln!(text, "{} = {}", row.name, toml(value));
                }
            }
        }
        text.trim_start().to_owned()
    }
}

/// As TOML has it. A text of JSON is one of TOML too.
fn toml(value: &Value) -> String {
    match value {
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(toml).collect();
            let line = format!("[{}]", items.join(", "));
            match line.len() > LINE_BYTES_MAX && items.len() > 1 {
                true => format!(
                    "[\n{}]",
                    items.iter().map(|item| format!("    {item},\n")).collect::<String>()
                ),
                false => line,
            }
        }
        Value::Object(entries) => {
            let pairs: Vec<String> = entries
                .iter()
                .map(|(name, value)| format!("{} = {}", bare(name), toml(value)))
                .collect();
            format!("{{ {} }}", pairs.join(", "))
        }
        // JSON lets it stand, TOML does not.
        Value::String(text) => Value::from(text.as_str()).to_string().replace('\u{7f}', "\\u007f"),
        Value::Null | Value::Bool(_) | Value::Number(_) => value.to_string(),
    }
}

fn bare(name: &str) -> String {
    let is_bare = !name.is_empty()
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte));
    if is_bare {
        name.to_owned()
    } else {
        Value::from(name).to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_draft_becomes_a_file_that_reads_back() {
        let mut draft = Draft::default();
        draft.set(
            "service",
            "exec-start",
            json!(["/bin/sh", "-c", "echo \"a\\b\"\n\u{7f}"]),
        );
        draft.insert("service", "environment", "A.B", "x".into());
        draft.extend("unit", "after", vec!["b".into(), "b".into()]);
        draft.add(
            "[socket]",
            Map::from_iter([("listen-stream".to_owned(), json!("/run/x"))]),
        );
        draft.comments.push("made".to_owned());
        let text = draft.render();
        assert!(
            text.starts_with("# made\n\n[unit]\nafter = [\"b\"]\n\n[service]\n"),
            "{text}"
        );
        let read: toml::Table = toml::from_str(&text).unwrap();
        assert_eq!(read["service"]["exec-start"][2].as_str(), Some("echo \"a\\b\"\n\u{7f}"));
        assert_eq!(read["service"]["environment"]["A.B"].as_str(), Some("x"));
        assert_eq!(read["socket"][0]["listen-stream"].as_str(), Some("/run/x"));
        for table in crate::unit::keys::tables() {
            assert!(TABLES.contains(&table) || table == "health", "{table}");
        }
    }
}
