//! A merged tree to a [`Unit`]: every value checked by its row, all that is wrong told at once, then defaults filled in.
#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "what means nothing here is dropped, whatever is added to the enum"
)]

use super::keys;
use super::node::{At, Data, Node, Table, Wrong};
use super::read::*;
use super::*;

/// A finding whose place is not yet a line.
#[derive(Clone, Debug)]
pub struct Issue {
    pub severity: report::Severity,
    pub at: Option<At>,
    pub message: Box<str>,
    pub hint: Option<Box<str>>,
}

impl Issue {
    pub fn error(at: At, message: impl Into<Box<str>>) -> Self {
        Self {
            severity: report::Severity::Error,
            at: Some(at),
            message: message.into(),
            hint: None,
        }
    }

    pub fn warning(at: At, message: impl Into<Box<str>>) -> Self {
        Self {
            severity: report::Severity::Warning,
            ..Self::error(at, message)
        }
    }

    pub fn hint(mut self, hint: Option<String>) -> Self {
        self.hint = hint.map(String::into_boxed_str);
        self
    }
}

/// What the decoder needs to know beside the tree.
pub struct Input<'a> {
    pub name: &'a UnitName,
    pub tree: &'a Table,
    pub place: &'a dyn Fn(&At) -> Place,
}

/// Checks everything, and builds the unit as far as it goes; it is good only where no issue is an error.
pub fn decode(input: &Input<'_>, issues: &mut Vec<Issue>) -> Unit {
    let mut origin = Origin::default();
    for (table, (at, node)) in input.tree {
        check_table(
            input,
            table,
            at,
            node,
            &mut Found {
                issues,
                origin: &mut origin,
            },
        );
    }
    check_best_effort(input.tree, issues);
    let mut kind = kind_of(input, issues);
    if let Kind::Service(service) = &mut kind
        && read_triggers::is_for_connection(input.name, input.tree)
    {
        // It has a connection, once.
        service.sockets.clear();
        service.restart.policy = RestartPolicy::No;
    }
    let text = |key| get(input.tree, "unit", key, text).unwrap_or_default().into_boxed_str();
    Unit {
        name: input.name.clone(),
        description: text("description"),
        documentation: get(input.tree, "unit", "documentation", texts).unwrap_or_default(),
        links: links(input, issues)
            .into_iter()
            .filter(|link| link.kind != LinkKind::WantedBy || !read_triggers::is_for_connection(input.name, input.tree))
            .collect(),
        condition: get(input.tree, "unit", "condition", conditions).unwrap_or_default(),
        assert: get(input.tree, "unit", "assert", conditions).unwrap_or_default(),
        kind,
        origin,
    }
}

struct Found<'a> {
    issues: &'a mut Vec<Issue>,
    origin: &'a mut Origin,
}

fn check_table(input: &Input<'_>, table: &str, at: &At, node: &Node, found: &mut Found<'_>) {
    if !keys::is_table(table) {
        let known = keys::tables().into_iter().map(|known| known.trim_matches(['[', ']']));
        let hint = nearest(table, known).map(|near| format!("did you mean `[{near}]`?"));
        return found
            .issues
            .push(Issue::error(at.clone(), format!("unknown table `[{table}]`")).hint(hint));
    }
    let several = format!("[{table}]");
    let has_several = keys::all().any(|key| key.table == several);
    let has_one = matches!(table, "target" | "slice") || keys::all().any(|key| key.table == table);
    match &node.data {
        Data::Table(entries) if has_one => check_entries(input, table, entries, found),
        Data::List(items) if has_several => {
            for item in items {
                match &item.data {
                    Data::Table(entries) => check_entries(input, &several, entries, found),
                    _ => found
                        .issues
                        .push(Issue::error(item.at.clone(), format!("`[[{table}]]` is a table"))),
                }
            }
        }
        _ if has_one => found.issues.push(Issue::error(
            at.clone(),
            format!("`{table}` is a table: write `[{table}]`"),
        )),
        _ => found.issues.push(Issue::error(
            at.clone(),
            format!("there can be several of these: write `[[{table}]]`"),
        )),
    }
}

fn check_entries(input: &Input<'_>, table: &str, entries: &Table, found: &mut Found<'_>) {
    for (name, (at, node)) in entries {
        let Some((number, row)) = keys::all()
            .enumerate()
            .find(|(_, row)| row.table == table && row.name == name)
        else {
            found.issues.push(unknown_key(table, name, at));
            continue;
        };
        let place = (input.place)(at);
        found.origin.set.push((number as u16, at.file as u16, place.line));
        kinds::check(row.kind, node, found.issues);
    }
}

fn unknown_key(table: &str, name: &str, at: &At) -> Issue {
    let here = keys::all().filter(|key| key.table == table).map(|key| key.name);
    let elsewhere = || {
        keys::all()
            .find(|key| key.name == name)
            .map(|key| format!("it belongs in `[{}]`", key.table))
    };
    let hint = elsewhere().or_else(|| nearest(name, here).map(|near| format!("did you mean `{near}`?")));
    Issue::error(at.clone(), format!("unknown key `{name}` in `[{table}]`")).hint(hint)
}

/// The likeliest word that was meant.
pub fn nearest<'a>(word: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let scored = known.map(|candidate| (strsim::damerau_levenshtein(word, candidate), candidate));
    scored
        .filter(|(distance, candidate)| *distance <= candidate.len().max(word.len()).div_ceil(3))
        .min()
        .map(|(_, near)| near)
}

fn check_best_effort(tree: &Table, issues: &mut Vec<Issue>) {
    let Some(node) = find(tree, "isolation", "best-effort") else {
        return;
    };
    let Data::List(items) = &node.data else { return };
    for item in items {
        let Data::Text(name) = &item.data else { continue };
        let known = || {
            keys::all()
                .filter(|key| matches!(key.table, "isolation" | "resources" | "network"))
                .map(|key| key.name)
        };
        if !known().any(|key| key == name) {
            let hint = nearest(name, known()).map(|near| format!("did you mean `{near}`?"));
            issues.push(Issue::error(item.at.clone(), format!("`{name}` is no key of isolation or limits")).hint(hint));
        }
    }
}

pub fn find<'a>(tree: &'a Table, table: &str, key: &str) -> Option<&'a Node> {
    match &tree.get(table)?.1.data {
        Data::Table(entries) => entries.get(key).map(|(_, node)| node),
        _ => None,
    }
}

/// A value that its check has passed; one that has not is told already, and None here.
pub fn get<T>(tree: &Table, table: &str, key: &str, read: impl Fn(&Node) -> Result<T, Wrong>) -> Option<T> {
    find(tree, table, key).and_then(|node| read(node).ok())
}

fn links(input: &Input<'_>, issues: &mut Vec<Issue>) -> Vec<Link> {
    let mut links = Vec::new();
    let mut link = |to: UnitName, kind: LinkKind, at: At| {
        if to == *input.name {
            issues.push(Issue::error(at.clone(), format!("{to} names itself")));
        }
        let place = (input.place)(&at);
        links.push(Link { to, kind, place });
    };
    let kinds = [
        ("wanted-by", LinkKind::WantedBy),
        ("wants", LinkKind::Wants),
        ("binds-to", LinkKind::BindsTo),
        ("part-of", LinkKind::PartOf),
        ("after", LinkKind::After),
        ("before", LinkKind::Before),
        ("conflicts", LinkKind::Conflicts),
        ("on-failure", LinkKind::OnFailure),
        ("on-success", LinkKind::OnSuccess),
    ];
    for (key, kind) in kinds {
        let named = get(input.tree, "unit", key, |node| {
            list(node, |item| name(item).map(|name| (name, item.at.clone())))
        });
        named
            .unwrap_or_default()
            .into_iter()
            .for_each(|(to, at)| link(to, kind, at));
    }
    let required = get(input.tree, "unit", "requires", requires).unwrap_or_default();
    required
        .into_iter()
        .for_each(|(to, need, at)| link(to, LinkKind::Requires(need), at));
    // Who is in another unit's namespaces is nothing without it.
    for (table, key) in [("network", "mode"), ("isolation", "pid"), ("isolation", "ipc")] {
        let joined = find(input.tree, table, key).and_then(|node| {
            let unit = namespaces::Namespace::parse_join(&text(node).ok()?)?;
            Some((unit, node.at.clone()))
        });
        joined.into_iter().for_each(|(to, at)| link(to, LinkKind::BindsTo, at));
    }
    let mut bound = std::collections::BTreeSet::new();
    links.retain(|link| link.kind != LinkKind::BindsTo || bound.insert(link.to.clone()));
    links
}

/// A table that nothing of this kind reads would be lost without a word.
fn check_foreign_tables(input: &Input<'_>, kind: &str, issues: &mut Vec<Issue>) {
    let reads = |table: &str| table == "unit" || table == kind || (table == "resources" && kind == "slice");
    let foreign = input
        .tree
        .iter()
        .filter(|(table, _)| !reads(table) && keys::is_table(table));
    for (table, (at, _)) in foreign {
        issues.push(Issue::error(
            at.clone(),
            format!("`[{table}]` says nothing to a {kind}"),
        ));
    }
}

fn kind_of(input: &Input<'_>, issues: &mut Vec<Issue>) -> Kind {
    let is_table = |name: &&str| {
        matches!(
            input.tree.get(*name),
            Some((
                _,
                Node {
                    data: Data::Table(_),
                    ..
                }
            ))
        )
    };
    let kinds: Vec<&str> = ["service", "target", "slice", "mount"]
        .into_iter()
        .filter(is_table)
        .collect();
    if let [kind @ ("target" | "slice" | "mount")] = kinds.as_slice() {
        check_foreign_tables(input, kind, issues);
    }
    match kinds.as_slice() {
        ["service"] => Kind::Service(Box::new(tables::service(input.tree))),
        ["slice"] => Kind::Slice(Box::new(tables::resources(input.tree))),
        ["mount"] => Kind::Mount(Box::new(tables::mount(input.tree))),
        [_] => Kind::Target,
        [] => {
            let message = "a unit is one of [service], [target], [slice], [mount]: none of them is here".into();
            issues.push(Issue {
                severity: report::Severity::Error,
                at: None,
                message,
                hint: None,
            });
            Kind::Target
        }
        [first, second, ..] => {
            let at = input.tree.get(*second).map(|(at, _)| at.clone());
            let message = format!("a unit is one thing: [{first}] or [{second}]").into();
            issues.push(Issue {
                severity: report::Severity::Error,
                at,
                message,
                hint: None,
            });
            Kind::Target
        }
    }
}

/// The tables of a name that there may be several of.
pub fn each<'a>(tree: &'a Table, table: &str) -> impl Iterator<Item = &'a Table> {
    let items = match tree.get(table).map(|(_, node)| &node.data) {
        Some(Data::List(items)) => items.as_slice(),
        Some(_) | None => &[],
    };
    items.iter().filter_map(|item| match &item.data {
        Data::Table(entries) => Some(entries),
        _ => None,
    })
}

/// The place that set a key, for rules across keys.
pub fn at_of(tree: &Table, table: &str, key: &str) -> Option<At> {
    match &tree.get(table)?.1.data {
        Data::Table(entries) => entries.get(key).map(|(at, _)| at.clone()),
        _ => None,
    }
}
