//! A parsed file as a tree in which every value knows its place, so that files can be merged and errors underlined.

use std::collections::BTreeMap;
use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// Where something stands: which of the unit's files, and which bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct At {
    pub file: usize,
    pub span: Range<usize>,
}

/// A value and its place.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    pub at: At,
    pub data: Data,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Data {
    Text(String),
    Whole(i64),
    /// A number that is not whole, out of range, or a date: none of our keys takes one.
    Other,
    Bool(bool),
    List(Vec<Node>),
    Table(Table),
}

/// Keys with their own place and their value.
pub type Table = BTreeMap<String, (At, Node)>;

/// What `{instance}` and `{unit}` mean in a file.
#[derive(Clone, Copy, Debug)]
pub struct Names<'a> {
    pub unit: &'a str,
    pub instance: Option<&'a str>,
}

/// Something wrong at a place.
pub type Wrong = (At, Box<str>);

/// Takes a parsed file over, with names expanded in its texts.
pub fn table(from: &DeTable<'_>, file: usize, names: Names<'_>, wrong: &mut Vec<Wrong>) -> Table {
    let entries = from.iter().map(|(key, value)| {
        let at = At { file, span: key.span() };
        (key.get_ref().to_string(), (at, node(value, file, names, wrong)))
    });
    entries.collect()
}

fn node(from: &Spanned<DeValue<'_>>, file: usize, names: Names<'_>, wrong: &mut Vec<Wrong>) -> Node {
    let at = At {
        file,
        span: from.span(),
    };
    let data = match from.get_ref() {
        DeValue::String(text) => Data::Text(expand(text, names).unwrap_or_else(|why| {
            wrong.push((at.clone(), why));
            String::new()
        })),
        DeValue::Integer(number) => match i64::from_str_radix(number.as_str(), number.radix()) {
            Ok(number) => Data::Whole(number),
            Err(_) => Data::Other,
        },
        DeValue::Boolean(value) => Data::Bool(*value),
        DeValue::Array(items) => Data::List(items.iter().map(|item| node(item, file, names, wrong)).collect()),
        DeValue::Table(inner) => Data::Table(table(inner, file, names, wrong)),
        DeValue::Float(_) | DeValue::Datetime(_) => Data::Other,
    };
    Node { at, data }
}

/// `{instance}`, `{unit}`, and `{{` for a brace. `${NAME}` is the environment's and stays.
fn expand(text: &str, names: Names<'_>) -> Result<String, Box<str>> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('{') {
        let (before, from) = rest.split_at(at);
        out.push_str(before);
        let inside = from.get(1..).unwrap_or_default();
        if before.ends_with('$') {
            out.push('{');
            rest = inside;
        } else if let Some(tail) = inside.strip_prefix('{') {
            out.push('{');
            rest = tail;
        } else {
            let named = inside.split_once('}').filter(|(name, _)| is_word(name));
            let Some((name, tail)) = named else {
                // A brace of some other language, such as a shell's.
                out.push('{');
                rest = inside;
                continue;
            };
            match (name, names.instance) {
                ("unit", _) => out.push_str(names.unit),
                ("instance", Some(instance)) => out.push_str(instance),
                ("instance", None) => return Err("`{instance}` in a unit that is no template".into()),
                _ => {
                    return Err(format!(
                        "`{{{name}}}` is unknown; there are {{instance}} and {{unit}}, and `{{{{` is a literal brace"
                    )
                    .into());
                }
            }
            rest = tail;
        }
    }
    out.push_str(rest);
    Ok(out)
}

fn is_word(text: &str) -> bool {
    !text.is_empty()
        && text
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte == b'-' || byte == b'_')
}

/// Lays one file over another: tables merge key by key, arrays and scalars replace.
pub fn merge(under: &mut Table, over: Table) {
    for (name, (at, value)) in over {
        match (under.get_mut(&name), value.data) {
            (
                Some((
                    _,
                    Node {
                        data: Data::Table(below),
                        ..
                    },
                )),
                Data::Table(above),
            ) => merge(below, above),
            (_, data) => drop(under.insert(name, (at, Node { at: value.at, data }))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_expand() {
        let names = Names {
            unit: "web@1",
            instance: Some("1"),
        };
        for (text, expected) in [
            ("a {instance} {unit}", "a 1 web@1"),
            ("{{instance}", "{instance}"),
            ("${HOME}/{instance}", "${HOME}/1"),
            ("plain }", "plain }"),
            ("f() { echo; }", "f() { echo; }"),
            ("{", "{"),
        ] {
            assert_eq!(expand(text, names).as_deref(), Ok(expected));
        }
        for text in ["{x}", "{instances}"] {
            assert!(expand(text, names).is_err(), "{text}");
        }
        assert!(
            expand(
                "{instance}",
                Names {
                    unit: "web",
                    instance: None
                }
            )
            .is_err()
        );
    }
}
