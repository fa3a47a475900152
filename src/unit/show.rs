//! A unit's values as text: every effective one with its origin, and the differences of two units.
#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "what means nothing here is dropped, whatever is added to the enum"
)]

use std::fmt;

use serde_json::Value;

use super::keys::{self, Change, Key};
use super::value::split_words;
use super::*;

/// One value and where it came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Effective {
    /// `service`.
    pub table: &'static str,
    /// `exec-start`.
    pub key: &'static str,
    /// As a file would say it.
    pub value: String,
    /// Where it came from.
    pub origin: ValueOrigin,
}

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ValueOrigin {
    /// A file set it.
    File(Place),
    /// The profile did.
    Profile(&'static str),
    /// Nobody did.
    Default,
}

impl fmt::Display for ValueOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(place) => write!(f, "{}:{}", place.file, place.line),
            Self::Profile(name) => write!(f, "profile {name}"),
            Self::Default => f.write_str("default"),
        }
    }
}

/// One key that differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// `[service] exec-start`.
    pub key: Box<str>,
    /// In the first unit.
    pub old: Option<String>,
    /// In the second.
    pub new: Option<String>,
    /// What the difference means for a unit that runs.
    pub change: Change,
}

/// Every value that is in force, in the order of the rows. What is not set and has no default is left out.
pub fn effective(unit: &Unit) -> Vec<Effective> {
    let json = Json::of(unit);
    let rows = keys::all().enumerate();
    rows.filter_map(|(number, row)| {
        let value = json.get(row)?;
        Some(Effective {
            table: row.table,
            key: row.name,
            value,
            origin: origin(unit, number, row),
        })
    })
    .collect()
}

fn origin(unit: &Unit, number: usize, row: &Key) -> ValueOrigin {
    let set = unit
        .origin
        .set
        .iter()
        .rev()
        .find(|(its, _, _)| usize::from(*its) == number);
    if let Some((_, file, line)) = set
        && let Some(file) = unit.origin.files.get(usize::from(*file))
    {
        return ValueOrigin::File(Place {
            file: file.clone(),
            line: *line,
        });
    }
    match &unit.kind {
        Kind::Service(service)
            if (row.table == "isolation" && !matches!(row.name, "best-effort" | "hostname" | "init"))
                || (row.table, row.name) == ("resources", "devices")
                || (row.table, row.name) == ("network", "mode") && service.isolation.profile == Profile::Strict =>
        {
            ValueOrigin::Profile(match service.isolation.profile {
                Profile::None => "none",
                Profile::Standard => "standard",
                Profile::Strict => "strict",
            })
        }
        _ => ValueOrigin::Default,
    }
}

/// What differs between two definitions of a unit. Equal ones cost one comparison.
pub fn differences(old: &Unit, new: &Unit) -> Vec<Difference> {
    if old == new || same_but_for_places(old, new) {
        return Vec::new();
    }
    let (before, after) = (Json::of(old), Json::of(new));
    let mut found = Vec::new();
    if std::mem::discriminant(&old.kind) != std::mem::discriminant(&new.kind) {
        found.push(Difference {
            key: "kind".into(),
            old: None,
            new: None,
            change: Change::Restart,
        });
    }
    for row in keys::all() {
        let (old, new) = (before.get(row), after.get(row));
        if old != new {
            found.push(Difference {
                key: format!("[{}] {}", row.table, row.name).into(),
                old,
                new,
                change: row.change,
            });
        }
    }
    found
}

fn same_but_for_places(old: &Unit, new: &Unit) -> bool {
    old.kind == new.kind
        && old.links == new.links
        && old.description == new.description
        && old.documentation == new.documentation
        && old.condition == new.condition
        && old.assert == new.assert
}

/// A link that another key draws: whoever joins a unit's namespaces is bound to it.
fn is_implied(unit: &Unit, link: &Link) -> bool {
    let Kind::Service(service) = &unit.kind else {
        return false;
    };
    let joins = [service.isolation.pid.joined(), service.isolation.ipc.joined()];
    let network = matches!(&service.network, Network::Join(unit) if *unit == link.to);
    link.kind == LinkKind::BindsTo && (network || joins.contains(&Some(&link.to)))
}

/// A unit as JSON, in which the rows find their values.
struct Json {
    unit: Value,
    links: Vec<Link>,
}

impl Json {
    fn of(unit: &Unit) -> Self {
        Self {
            unit: serde_json::to_value(unit).unwrap_or_default(),
            links: unit
                .links
                .iter()
                .filter(|link| !is_implied(unit, link))
                .cloned()
                .collect(),
        }
    }

    fn get(&self, row: &Key) -> Option<String> {
        let kind = self.unit.get("kind")?;
        let value = match row.table {
            "unit" => return self.unit_key(row.name),
            "service" | "mount" => kind.get(row.table)?.get(row.name)?,
            "network" if row.name == "mode" => kind.get("service")?.get("network")?,
            "network" => kind.get("service")?.get("connectivity")?.get(row.name)?,
            "resources" if kind.get("slice").is_some() => kind.get("slice")?.get(row.name)?,
            "[mount]" | "[socket]" | "[timer]" | "[path]" => {
                let table = row.table.trim_matches(['[', ']']);
                return of_each(kind.get("service")?.get(table)?, row.name);
            }
            table => kind.get("service")?.get(table)?.get(row.name)?,
        };
        (!is_nothing(value)).then(|| match value {
            Value::Array(commands) if matches!(row.kind, keys::Kind::Commands) => command_lines(commands),
            _ => text(value),
        })
    }

    fn unit_key(&self, name: &str) -> Option<String> {
        let kind = match name {
            "wanted-by" => LinkKind::WantedBy,
            "wants" => LinkKind::Wants,
            "binds-to" => LinkKind::BindsTo,
            "part-of" => LinkKind::PartOf,
            "after" => LinkKind::After,
            "before" => LinkKind::Before,
            "conflicts" => LinkKind::Conflicts,
            "on-failure" => LinkKind::OnFailure,
            "on-success" => LinkKind::OnSuccess,
            "requires" => return self.requires(),
            _ => {
                let value = self.unit.get(name)?;
                return (!is_nothing(value)).then(|| text(value));
            }
        };
        let names = self.links.iter().filter(|link| link.kind == kind);
        let names: Vec<Value> = names.map(|link| Value::String(link.to.to_string())).collect();
        (!names.is_empty()).then(|| text(&Value::Array(names)))
    }

    /// A list of names where all need `ready`, which is the default, otherwise a table of name and condition.
    fn requires(&self) -> Option<String> {
        let needs = self.links.iter().filter_map(|link| match link.kind {
            LinkKind::Requires(need) => Some((link.to.to_string(), need)),
            _ => None,
        });
        let needs: Vec<(String, Need)> = needs.collect();
        let value = if needs.iter().all(|(_, need)| *need == Need::Ready) {
            Value::Array(needs.into_iter().map(|(name, _)| Value::String(name)).collect())
        } else {
            let word = |need: Need| Value::String(format!("{need:?}").to_lowercase());
            Value::Object(needs.into_iter().map(|(name, need)| (name, word(need))).collect())
        };
        (!is_nothing(&value)).then(|| text(&value))
    }
}

/// A key of a table that there may be several of: its value, or those of all in their order, with `-` for none.
fn of_each(tables: &Value, key: &str) -> Option<String> {
    let values: Vec<&Value> = tables.as_array()?.iter().map(|table| &table[key]).collect();
    match values.as_slice() {
        [one] => (!is_nothing(one)).then(|| text(one)),
        all if all.iter().all(|value| is_nothing(value)) => None,
        all => {
            let each = all
                .iter()
                .map(|value| if is_nothing(value) { "-".to_owned() } else { text(value) });
            Some(each.collect::<Vec<_>>().join(", "))
        }
    }
}

/// One command is a line of text; several are lists of words, since a list of texts is the words of one.
fn command_lines(commands: &[Value]) -> String {
    match commands {
        [line] => text(line),
        lines => {
            let words = lines.iter().filter_map(|line| split_words(line.as_str()?).ok());
            let lists =
                words.map(|words| Value::Array(words.iter().map(|word| Value::String(word.to_string())).collect()));
            text(&Value::Array(lists.collect()))
        }
    }
}

fn is_nothing(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(entries) => entries.is_empty(),
        Value::Bool(_) | Value::Number(_) => false,
    }
}

/// As TOML would write it.
fn text(value: &Value) -> String {
    match value {
        Value::Array(items) => format!("[{}]", items.iter().map(text).collect::<Vec<_>>().join(", ")),
        Value::Object(entries) => {
            let pairs: Vec<String> = entries
                .iter()
                .map(|(key, value)| format!("{key} = {}", text(value)))
                .collect();
            format!("{{ {} }}", pairs.join(", "))
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.to_string(),
    }
}
