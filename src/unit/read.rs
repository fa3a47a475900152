//! Values of a tree as values of a unit: one reader for each thing that a key takes, and what is wrong where it fails.
#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "whatever is not what a key takes is wrong"
)]

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::address::Address;
use super::calendar::Calendar;
use super::node::{At, Data, Node, Wrong};
use super::value::{self, Percent, Signal, Size, UnitName};
use super::*;

/// A value, or what is wrong with it.
pub type Read<T> = Result<T, Wrong>;

pub fn wrong<T>(node: &Node, message: impl Into<Box<str>>) -> Read<T> {
    Err((node.at.clone(), message.into()))
}

pub fn text(node: &Node) -> Read<String> {
    match &node.data {
        Data::Text(text) => Ok(text.clone()),
        _ => wrong(node, "expected a text in quotes"),
    }
}

/// Bytes in base64, whatever white space is in it.
pub fn base64(node: &Node) -> Read<Box<[u8]>> {
    parsed(node, value::parse_base64)
}

/// A text, read by one of the parsers of values.
pub fn parsed<T>(node: &Node, parse: impl Fn(&str) -> Result<T, Box<str>>) -> Read<T> {
    parse(&text(node)?).or_else(|why| wrong(node, why))
}

pub fn list<T>(node: &Node, read: impl Fn(&Node) -> Read<T>) -> Read<Vec<T>> {
    match &node.data {
        Data::List(items) => items.iter().map(read).collect(),
        _ => wrong(node, "expected a list: [\"…\"]"),
    }
}

pub fn texts(node: &Node) -> Read<Vec<Box<str>>> {
    list(node, |item| text(item).map(String::into_boxed_str))
}

pub fn boolean(node: &Node) -> Read<bool> {
    match node.data {
        Data::Bool(value) => Ok(value),
        _ => wrong(node, "expected true or false"),
    }
}

pub fn whole(node: &Node, min: i64, max: i64) -> Read<i64> {
    match node.data {
        Data::Whole(number) if (min..=max).contains(&number) => Ok(number),
        _ if max == i64::MAX => wrong(node, format!("expected a whole number from {min}")),
        _ => wrong(node, format!("expected a whole number from {min} to {max}")),
    }
}

pub fn duration(node: &Node) -> Read<Duration> {
    match node.data {
        Data::Whole(number) => wrong(node, format!("a duration has a unit: \"{number}s\"")),
        _ => parsed(node, value::parse_duration),
    }
}

pub fn address(node: &Node) -> Read<Address> {
    match node.data {
        Data::Whole(port) => Address::parse(&port.to_string()).or_else(|why| wrong(node, why)),
        _ => parsed(node, Address::parse),
    }
}

pub fn calendar(node: &Node) -> Read<Calendar> {
    parsed(node, Calendar::parse)
}

pub fn limit(node: &Node) -> Read<Option<Duration>> {
    match &node.data {
        Data::Text(text) if text == "infinity" => Ok(None),
        _ => duration(node).map(Some),
    }
}

pub fn size(node: &Node) -> Read<Size> {
    match node.data {
        Data::Whole(number) => u64::try_from(number)
            .map(Size)
            .or_else(|_| wrong(node, "a size is not negative")),
        _ => parsed(node, Size::parse),
    }
}

pub fn percent(node: &Node) -> Read<Percent> {
    parsed(node, Percent::parse)
}

pub fn signal(node: &Node) -> Read<Signal> {
    parsed(node, Signal::parse)
}

pub fn exits(node: &Node) -> Read<Vec<ExitMatch>> {
    list(node, |item| match item.data {
        Data::Whole(code) => u8::try_from(code)
            .map(ExitMatch::Code)
            .or_else(|_| wrong(item, "an exit code is 0 to 255")),
        _ => signal(item).map(ExitMatch::Signal),
    })
}

pub fn mode(node: &Node) -> Read<u32> {
    parsed(node, value::parse_mode)
}

pub fn path(node: &Node) -> Read<PathBuf> {
    let path = text(node)?;
    if path.starts_with('/') {
        Ok(path.into())
    } else {
        wrong(node, format!("`{path}` is no absolute path"))
    }
}

pub fn paths(node: &Node) -> Read<Vec<OptionalPath>> {
    list(node, |item| {
        let written = text(item)?;
        let (path, optional) = written
            .strip_prefix('-')
            .map_or((written.as_str(), false), |path| (path, true));
        if path.starts_with('/') {
            Ok(OptionalPath {
                path: path.into(),
                optional,
            })
        } else {
            wrong(item, format!("`{path}` is no absolute path"))
        }
    })
}

pub fn commands(node: &Node) -> Read<Vec<Command>> {
    let command = |node: &Node, words: Vec<Box<str>>| value::parse_command(words).or_else(|why| wrong(node, why));
    match &node.data {
        Data::Text(line) => {
            let words = value::split_words(line).or_else(|why| wrong(node, why))?;
            Ok(vec![command(node, words)?])
        }
        Data::List(items) if items.is_empty() => Ok(Vec::new()),
        Data::List(items) if items.iter().all(|item| matches!(item.data, Data::Text(_))) => {
            Ok(vec![command(node, texts(node)?)?])
        }
        Data::List(items) if items.iter().all(|item| matches!(item.data, Data::List(_))) => {
            items.iter().map(|item| command(item, texts(item)?)).collect()
        }
        _ => wrong(
            node,
            "expected a command: a text, or a list of its words; or a list of such lists",
        ),
    }
}

pub fn account(node: &Node) -> Read<Account> {
    match node.data {
        Data::Whole(number) => value::parse_account(&number.to_string()).or_else(|why| wrong(node, why)),
        _ => parsed(node, value::parse_account),
    }
}

pub fn map(node: &Node) -> Read<BTreeMap<Box<str>, Box<str>>> {
    let Data::Table(entries) = &node.data else {
        return wrong(node, "expected a table: { NAME = \"value\" }");
    };
    let pair = |(name, (at, value)): (&String, &(At, Node))| {
        if name.is_empty() || name.contains(['=', '\0']) {
            return Err((at.clone(), format!("`{name}` is no name").into()));
        }
        Ok((name.as_str().into(), text(value)?.into()))
    };
    entries.iter().map(pair).collect()
}

pub fn name(node: &Node) -> Read<UnitName> {
    parsed(node, |text| {
        let text = text.strip_suffix(".toml").map_or(Ok(text), |short| {
            Err(format!("a unit's name has no `.toml`: `{short}`"))
        });
        UnitName::new(text?)
    })
}

pub fn requires(node: &Node) -> Read<Vec<(UnitName, Need, At)>> {
    const NEEDS: [(&str, Need); 5] = [
        ("started", Need::Started),
        ("ready", Need::Ready),
        ("healthy", Need::Healthy),
        ("exited", Need::Exited),
        ("succeeded", Need::Succeeded),
    ];
    let Data::Table(entries) = &node.data else {
        return list(node, |item| name(item).map(|name| (name, Need::Ready, item.at.clone())));
    };
    let pair = |(unit, (at, value)): (&String, &(At, Node))| {
        let unit = UnitName::new(unit).map_err(|why| (at.clone(), why))?;
        let word = text(value)?;
        let need = NEEDS.iter().find(|(known, _)| *known == word).map(|(_, need)| *need);
        match need {
            Some(need) => Ok((unit, need, at.clone())),
            None => wrong(
                value,
                "expected \"started\", \"ready\", \"healthy\", \"exited\" or \"succeeded\"",
            ),
        }
    };
    entries.iter().map(pair).collect()
}

pub fn conditions(node: &Node) -> Read<Vec<Condition>> {
    let one = |(key, (at, value)): (&String, &(At, Node))| {
        let written = text(value)?;
        let (rest, negated) = written
            .strip_prefix('!')
            .map_or((written.as_str(), false), |rest| (rest, true));
        let path = || {
            if rest.starts_with('/') {
                Ok(PathBuf::from(rest))
            } else {
                wrong(value, format!("`{rest}` is no absolute path"))
            }
        };
        let test = match key.as_str() {
            "path-exists" => ConditionTest::PathExists(path()?),
            "path-is-directory" => ConditionTest::PathIsDirectory(path()?),
            "file-not-empty" => ConditionTest::FileNotEmpty(path()?),
            "directory-not-empty" => ConditionTest::DirectoryNotEmpty(path()?),
            "kernel-command-line" => ConditionTest::KernelCommandLine(rest.into()),
            _ => {
                let known = "path-exists, path-is-directory, file-not-empty, directory-not-empty, kernel-command-line";
                return Err((
                    at.clone(),
                    format!("unknown condition `{key}`: there are {known}").into(),
                ));
            }
        };
        Ok(Condition { negated, test })
    };
    let tables = list(node, |item| match &item.data {
        Data::Table(entries) => entries.iter().map(one).collect::<Read<Vec<_>>>(),
        _ => wrong(item, "expected { path-exists = \"/…\" }"),
    })?;
    Ok(tables.into_iter().flatten().collect())
}

pub fn rlimits(node: &Node) -> Read<Vec<Rlimit>> {
    let Data::Table(entries) = &node.data else {
        return wrong(node, "expected { nofile = 65536 }");
    };
    let one = |(name, (at, value)): (&String, &(At, Node))| {
        let written = match &value.data {
            Data::Whole(number) => number.to_string(),
            _ => text(value)?,
        };
        value::parse_rlimit(name, &written).map_err(|why| (at.clone(), why))
    };
    entries.iter().map(one).collect()
}

/// The two entries of a small table, and no others.
pub fn pair<'a>(node: &'a Node, first: &str, second: &str) -> Read<(&'a Node, &'a Node)> {
    let usage = format!("expected {{ {first} = …, {second} = \"…\" }}");
    let Data::Table(entries) = &node.data else {
        return wrong(node, usage);
    };
    if let Some((_, (at, _))) = entries.iter().find(|(key, _)| *key != first && *key != second) {
        return Err((at.clone(), usage.into()));
    }
    match (entries.get(first), entries.get(second)) {
        (Some((_, first)), Some((_, second))) => Ok((first, second)),
        _ => wrong(node, usage),
    }
}

pub fn give_up(node: &Node) -> Read<GiveUp> {
    let (starts, within) = pair(node, "starts", "within")?;
    let starts = whole(starts, 1, i64::from(u32::MAX))?;
    Ok(GiveUp {
        starts: u32::try_from(starts).unwrap_or(u32::MAX),
        within: duration(within)?,
    })
}

pub fn rate_limit(node: &Node) -> Read<RateLimit> {
    let (lines, per) = pair(node, "lines", "per")?;
    Ok(RateLimit {
        lines: whole(lines, 1, i64::MAX)?.unsigned_abs(),
        per: duration(per)?,
    })
}

pub fn output(node: &Node) -> Read<Output> {
    let written = text(node)?;
    let file = |path: &str| {
        if path.starts_with('/') {
            Ok(PathBuf::from(path))
        } else {
            wrong(node, format!("`{path}` is no absolute path"))
        }
    };
    match (written.as_str(), written.split_once(':')) {
        ("log", _) => Ok(Output::Log),
        ("null", _) => Ok(Output::Null),
        ("inherit", _) => Ok(Output::Inherit),
        (_, Some(("file", path))) => file(path).map(Output::File),
        (_, Some(("append", path))) => file(path).map(Output::Append),
        ("tty", _) => Ok(Output::Tty),
        ("socket", _) => Ok(Output::Socket),
        _ => wrong(
            node,
            "expected \"log\", \"null\", \"inherit\", \"tty\", \"socket\", \"file:/…\" or \"append:/…\"",
        ),
    }
}

pub fn forward(node: &Node) -> Read<Forward> {
    let written = text(node)?;
    match (written.as_str(), written.strip_prefix("syslog:")) {
        ("console", _) => Ok(Forward::Console),
        ("kmsg", _) => Ok(Forward::Kmsg),
        (_, Some(path)) if path.starts_with('/') => Ok(Forward::Syslog(path.into())),
        _ => wrong(node, "expected \"console\", \"kmsg\" or \"syslog:/dev/log\""),
    }
}

pub fn capabilities(node: &Node) -> Read<Option<u64>> {
    let names = texts(node)?;
    value::parse_capabilities(names.iter().map(AsRef::as_ref)).or_else(|why| wrong(node, why))
}
