//! Values of `[isolation]` that have a form of their own; the rest is in [`super::read`].

use super::calls::Architecture;
use super::filter::{CallFilter, Denial, NamespaceKinds, Seccomp, SocketFamilies, parse_entry};
use super::isolation::Landlock;
use super::namespaces::{Namespace, TimeOffset, TimeOffsets, UserNamespace};
use super::node::{Data, Node, Table};
use super::read::{Read, list, parsed, paths, text, texts, wrong};

pub fn seccomp(node: &Node) -> Read<Seccomp> {
    const USAGE: &str =
        "expected \"default\", \"none\", or { allow = [\"@system-service\"], deny = [\"@mount\"], errno = \"EPERM\" }";
    let entries = match &node.data {
        Data::Text(word) if word == "default" => return Ok(Seccomp::Default),
        Data::Text(word) if word == "none" => return Ok(Seccomp::None),
        Data::Table(entries) => entries,
        Data::Text(_) | Data::Bool(_) | Data::Whole(_) | Data::List(_) | Data::Other => return wrong(node, USAGE),
    };
    only(entries, &["allow", "deny", "errno"], USAGE)?;
    let calls = |node: &Node| list(node, |item| parsed(item, parse_entry));
    let of = |key: &str| entries.get(key).map(|(_, node)| node);
    let allow = of("allow").map(calls).transpose()?;
    let deny = of("deny").map(calls).transpose()?.unwrap_or_default();
    if allow.is_none() && deny.is_empty() {
        return wrong(node, USAGE);
    }
    let denial = of("errno").map_or(Ok(Denial::DEFAULT), |node| parsed(node, Denial::parse))?;
    Ok(Seccomp::Calls(Box::new(CallFilter { allow, deny, denial })))
}

pub fn landlock(node: &Node) -> Read<Landlock> {
    const USAGE: &str = "expected { read-only = [\"/usr\"], read-write = [\"/srv\"], execute = [\"/usr/bin\"] }";
    let Data::Table(entries) = &node.data else {
        return wrong(node, USAGE);
    };
    only(entries, &["read-only", "read-write", "execute"], USAGE)?;
    let of = |key: &str| entries.get(key).map_or(Ok(Vec::new()), |(_, node)| paths(node));
    Ok(Landlock {
        read_only: of("read-only")?,
        read_write: of("read-write")?,
        execute: of("execute")?,
    })
}

pub fn time_offsets(node: &Node) -> Read<TimeOffsets> {
    const USAGE: &str = "expected { boottime = \"100d\", monotonic = \"0s\" }";
    let Data::Table(entries) = &node.data else {
        return wrong(node, USAGE);
    };
    only(entries, &["boottime", "monotonic"], USAGE)?;
    let of = |clock: &str| match entries.get(clock) {
        Some((_, offset)) => parsed(offset, TimeOffset::parse),
        None => Ok(TimeOffset::default()),
    };
    Ok(TimeOffsets {
        boottime: of("boottime")?,
        monotonic: of("monotonic")?,
    })
}

pub fn namespace(node: &Node) -> Read<Namespace> {
    const USAGE: &str = "expected true, false, or \"join:UNIT\"";
    match &node.data {
        Data::Bool(own) => Ok(Namespace::own(*own)),
        Data::Text(word) => {
            Namespace::parse_join(word).map_or_else(|| wrong(node, USAGE), |unit| Ok(Namespace::Join(unit)))
        }
        Data::Whole(_) | Data::List(_) | Data::Table(_) | Data::Other => wrong(node, USAGE),
    }
}

/// None: `false`.
pub fn user_namespace(node: &Node) -> Read<Option<UserNamespace>> {
    match &node.data {
        Data::Bool(false) => Ok(None),
        Data::Text(word) => UserNamespace::parse(word).map(Some).or_else(|why| wrong(node, why)),
        Data::Bool(true) | Data::Whole(_) | Data::List(_) | Data::Table(_) | Data::Other => wrong(
            node,
            "expected false, \"auto\", \"identity\", or \"INSIDE:OUTSIDE:COUNT\"",
        ),
    }
}

/// A table has these keys and no others.
fn only(entries: &Table, known: &[&str], usage: &str) -> Read<()> {
    match entries.iter().find(|(key, _)| !known.contains(&key.as_str())) {
        Some((_, (at, _))) => Err((at.clone(), usage.into())),
        None => Ok(()),
    }
}

pub fn ambient(node: &Node) -> Read<u64> {
    match super::read::capabilities(node)? {
        Some(set) => Ok(set),
        None => wrong(node, "ambient capabilities are named one by one"),
    }
}

pub fn namespace_kinds(node: &Node) -> Read<NamespaceKinds> {
    match &node.data {
        Data::Bool(true) => Ok(NamespaceKinds::all()),
        Data::Bool(false) => Ok(NamespaceKinds::NONE),
        Data::Text(_) | Data::Whole(_) | Data::List(_) | Data::Table(_) | Data::Other => {
            let names =
                texts(node).map_err(|(at, _)| (at, "expected true, false, or a list of those allowed".into()))?;
            NamespaceKinds::all_but(names.iter().map(AsRef::as_ref)).or_else(|why| wrong(node, why))
        }
    }
}

pub fn socket_families(node: &Node) -> Read<SocketFamilies> {
    let names = texts(node)?;
    SocketFamilies::parse(names.iter().map(AsRef::as_ref)).or_else(|why| wrong(node, why))
}

/// Each once, `native` by its own name.
pub fn architectures(node: &Node) -> Read<Vec<Architecture>> {
    let one = |item: &Node| {
        let word = text(item)?;
        let known = Architecture::NAMES.iter().find(|(name, _)| *name == word);
        match known {
            Some((_, architecture)) => Ok(*architecture),
            None if word == "native" => Ok(Architecture::NATIVE),
            None => wrong(item, "expected \"native\", \"x86-64\", \"x86\" or \"arm64\""),
        }
    };
    let mut all = list(node, one)?;
    all.dedup();
    Ok(all)
}
