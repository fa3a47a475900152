//! The form of each kind of value, as JSON Schema says it.
//!
//! A text of a template may have `{instance}` or `{unit}` in it, whatever it becomes then; so every pattern lets those pass.

use serde_json::{Value, json};

use crate::unit::keys::{Kind, OfNetwork, Resource};

const DURATION: &str = r"\s*(?:\d+(?:d|h|min|m|s|ms|us|ns)\s*)+";
const OFFSET: &str = r"[-+]?\s*(?:\d+(?:d|h|min|m|s|ms|us|ns)\s*)+";
const SIZE: &str = r"\d+[KMGT]?";
const SIGNAL: &str = r"(?:SIG)?[A-Z][A-Z0-9]*(?:\+\d+)?|\d+";
const PATH: &str = r"/[\s\S]*";
const OPTIONAL_PATH: &str = r"-?/[\s\S]*";
const UNIT: &str = r"[A-Za-z0-9:_][A-Za-z0-9:_.@-]{0,127}";

/// What a value of this kind may be.
pub fn of(kind: Kind) -> Value {
    match kind {
        Kind::Texts => list(of(Kind::Text)),
        Kind::Bool => json!({ "type": "boolean" }),
        Kind::Whole(min, i64::MAX) => json!({ "type": "integer", "minimum": min }),
        Kind::Whole(min, max) => whole(min, max),
        Kind::Duration => pattern(DURATION),
        Kind::Limit => pattern(&format!("infinity|{DURATION}")),
        Kind::Size => any([json!({ "type": "integer", "minimum": 0 }), pattern(SIZE)]),
        Kind::Percent => pattern(r"[\d.]+%"),
        Kind::Signal => pattern(SIGNAL),
        Kind::Exits => list(any([whole(0, 255), pattern(SIGNAL)])),
        Kind::Mode => pattern("[0-7]{1,4}"),
        Kind::Path => pattern(PATH),
        Kind::Paths => list(pattern(OPTIONAL_PATH)),
        Kind::Commands => any([
            json!({ "type": "string", "minLength": 1 }),
            list(of(Kind::Text)),
            list(list(of(Kind::Text))),
        ]),
        Kind::Account => any([of(Kind::Text), whole(0, i64::from(u32::MAX) - 1)]),
        Kind::Accounts => list(of(Kind::Account)),
        Kind::Word(words) => json!({ "enum": words }),
        Kind::BoolOr(words) => any([of(Kind::Bool), of(Kind::Word(words))]),
        Kind::Map => table_of(of(Kind::Text)),
        Kind::Requires => {
            let needs = json!({ "enum": ["started", "ready", "healthy", "exited", "succeeded"] });
            any([list(pattern(UNIT)), table_of(needs)])
        }
        Kind::Name => pattern(UNIT),
        Kind::Names => list(pattern(UNIT)),
        Kind::Conditions => conditions(),
        Kind::Rlimits => rlimits(),
        Kind::GiveUp => pair(("starts", whole(1, i64::from(u32::MAX))), ("within", pattern(DURATION))),
        Kind::RateLimit => pair(
            ("lines", json!({ "type": "integer", "minimum": 1 })),
            ("per", pattern(DURATION)),
        ),
        Kind::Output => pattern(&format!("log|null|inherit|tty|socket|(?:file|append):{PATH}")),
        Kind::Forward => list(pattern(&format!("console|kmsg|syslog:{PATH}"))),
        Kind::Capabilities => list(pattern("all|none|CAP_[A-Z_]+")),
        Kind::Ambient => list(pattern("none|CAP_[A-Z_]+")),
        Kind::Seccomp => seccomp(),
        Kind::Landlock => {
            let paths = || of(Kind::Paths);
            table(&[("read-only", paths()), ("read-write", paths()), ("execute", paths())])
        }
        Kind::NamespaceKinds => {
            let kinds = ["cgroup", "ipc", "net", "mnt", "pid", "time", "user", "uts"];
            any([of(Kind::Bool), list(json!({ "enum": kinds }))])
        }
        Kind::SocketFamilies => list(pattern("none|~?AF_[A-Z0-9_]+")),
        Kind::Architectures => list(json!({ "enum": ["native", "x86-64", "x86", "arm64"] })),
        Kind::OfNetwork(which) => of_network(which),
        Kind::Resource(resource) => of_resource(resource),
        Kind::TimeOffsets => table(&[("boottime", pattern(OFFSET)), ("monotonic", pattern(OFFSET))]),
        Kind::Namespace => any([of(Kind::Bool), pattern(&format!("join:{UNIT}"))]),
        Kind::UserNamespace => any([
            json!({ "const": false }),
            pattern(r"auto|identity|\d+:\d+:\d+(?:\s*,\s*\d+:\d+:\d+)*"),
        ]),
        Kind::Base64 => pattern(r"[A-Za-z0-9+/\s]*(?:=\s*){0,2}"),
        Kind::Text | Kind::Calendar | Kind::Address => json!({ "type": "string" }),
    }
}

fn of_network(which: OfNetwork) -> Value {
    let protocol = "(?:/(?:tcp|udp))?";
    let ports = r"\d+(?:-\d+)?";
    match which {
        OfNetwork::Mode => pattern(&format!("host|none|bridge|macvlan|ipvlan|path:{PATH}|join:{UNIT}")),
        OfNetwork::Subnets => {
            let one = || pattern(r"auto|[0-9a-fA-F:.]+/\d+");
            any([one(), list(one())])
        }
        OfNetwork::Parent => pattern(r"[^\s/:]{1,15}"),
        OfNetwork::Addresses => {
            let one = || pattern("[0-9a-fA-F:.]+");
            any([one(), list(one())])
        }
        OfNetwork::Publish => list(pattern(&format!(
            r"(?:[\d.]+:|\[[0-9a-fA-F:.]+\]:)?{ports}(?::{ports})?{protocol}"
        ))),
        OfNetwork::Hosts => table_of(pattern("[0-9a-fA-F:.]+")),
        OfNetwork::Rules => list(pattern(&format!(
            r"(?:in|out):(?:\*|\[[0-9a-fA-F:.]+(?:/\d+)?\]|[\d.]+(?:/\d+)?|{UNIT})(?::{ports})?{protocol}"
        ))),
    }
}

fn of_resource(resource: Resource) -> Value {
    let count = |min: i64| json!({ "type": "integer", "minimum": min });
    match resource {
        Resource::Numbers => pattern(r"[\d\s,-]+"),
        Resource::Devices => list(of(Kind::Text)),
        Resource::IoMax => {
            let mut limit = table(&[
                ("device", pattern("/dev/.+")),
                ("rbps", of(Kind::Size)),
                ("wbps", of(Kind::Size)),
                ("riops", count(1)),
                ("wiops", count(1)),
            ]);
            set(&mut limit, "required", json!(["device"]));
            list(limit)
        }
        Resource::HugetlbMax => json!({
            "type": "object",
            "propertyNames": { "pattern": "^[0-9]+[KMG]B$" },
            "additionalProperties": of(Kind::Size),
        }),
        Resource::RdmaMax => table_of(table(&[("hca-handle", count(0)), ("hca-object", count(0))])),
        Resource::MiscMax => table_of(count(0)),
        Resource::ClassId => pattern("[0-9a-fA-F]+:[0-9a-fA-F]+"),
        Resource::Priorities => table_of(whole(0, i64::from(u32::MAX))),
    }
}

fn rlimits() -> Value {
    let names = crate::unit::value::RLIMITS.map(|(name, _)| name);
    let value = any([
        json!({ "type": "integer", "minimum": 0 }),
        pattern(&format!("(?:infinity|{SIZE})(?::(?:infinity|{SIZE}))?")),
    ]);
    json!({ "type": "object", "propertyNames": { "enum": names }, "additionalProperties": value })
}

fn seccomp() -> Value {
    let calls = list(of(Kind::Text));
    let filter = table(&[("allow", calls.clone()), ("deny", calls), ("errno", of(Kind::Text))]);
    any([json!({ "enum": ["default", "none"] }), filter])
}

fn conditions() -> Value {
    let path = || pattern(&format!("!?{PATH}"));
    list(table(&[
        ("path-exists", path()),
        ("path-is-directory", path()),
        ("file-not-empty", path()),
        ("directory-not-empty", path()),
        ("kernel-command-line", of(Kind::Text)),
    ]))
}

fn pattern(of: &str) -> Value {
    json!({ "type": "string", "pattern": format!(r"^(?:{of})$|\{{(?:instance|unit)\}}") })
}

fn whole(min: i64, max: i64) -> Value {
    json!({ "type": "integer", "minimum": min, "maximum": max })
}

fn list(items: Value) -> Value {
    json!({ "type": "array", "items": items })
}

fn any(forms: impl IntoIterator<Item = Value>) -> Value {
    json!({ "anyOf": forms.into_iter().collect::<Vec<_>>() })
}

/// A table of any names.
fn table_of(values: Value) -> Value {
    json!({ "type": "object", "additionalProperties": values })
}

/// A table of these names.
fn table(entries: &[(&str, Value)]) -> Value {
    let entries: serde_json::Map<String, Value> = entries
        .iter()
        .map(|(name, form)| ((*name).to_owned(), form.clone()))
        .collect();
    json!({ "type": "object", "properties": entries, "additionalProperties": false })
}

/// Both of them.
fn pair(first: (&str, Value), second: (&str, Value)) -> Value {
    let required = json!([first.0, second.0]);
    let mut both = table(&[first, second]);
    set(&mut both, "required", required);
    both
}

fn set(schema: &mut Value, name: &str, value: Value) {
    if let Value::Object(entries) = schema {
        entries.insert(name.to_owned(), value);
    }
}
