//! A command's environment, and what of it stands in its arguments: systemd.exec(5), systemd.service(5).

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use super::identity::Person;
use super::regular;
use super::report::StepFailed;
use super::terminal;
use crate::unit::OptionalPath;

/// An environment file is not longer than this.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// Where a program without a slash is looked for, and `$PATH`, as systemd.exec(5) has it.
pub const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Where a command's environment comes from, lowest first.
pub struct Environment<'a> {
    /// What `$TERM` is about.
    pub terminal: Option<PathBuf>,
    pub set: &'a BTreeMap<Box<str>, Box<str>>,
    pub passed: Vec<(OsString, OsString)>,
    pub files: Vec<OptionalPath>,
    pub told: Vec<(String, String)>,
    pub unset: Vec<Box<str>>,
}

/// Names to values.
pub type Variables = BTreeMap<OsString, OsString>;

/// Puts it together, lowest first: the user's own, the terminal's, passed on, set, from files, told by svcd; then names are taken out.
pub fn gather(from: &Environment<'_>, person: &Person, path: &[PathBuf]) -> Result<Variables, StepFailed> {
    let mut variables = Variables::new();
    let search = path
        .iter()
        .map(|dir| dir.as_os_str().to_owned())
        .collect::<Vec<_>>()
        .join(OsStr::new(":"));
    variables.insert(
        "PATH".into(),
        if path.is_empty() { DEFAULT_PATH.into() } else { search },
    );
    let of_user = [
        ("USER", &person.name),
        ("LOGNAME", &person.name),
        ("HOME", &person.home),
        ("SHELL", &person.shell),
    ];
    variables.extend(
        of_user
            .into_iter()
            .filter_map(|(name, value)| Some((name.into(), value.clone()?.into()))),
    );
    if let Some(terminal) = &from.terminal {
        variables.insert("TERM".into(), terminal::kind(terminal).into());
    }
    variables.extend(from.passed.iter().cloned());
    variables.extend(
        from.set
            .iter()
            .map(|(name, value)| (OsString::from(&**name), OsString::from(&**value))),
    );
    for file in &from.files {
        variables.extend(read_file(file)?);
    }
    variables.extend(from.told.iter().map(|(name, value)| (name.into(), value.into())));
    for name in &from.unset {
        variables.remove(OsStr::new(&**name));
    }
    Ok(variables)
}

fn read_file(file: &OptionalPath) -> Result<Vec<(OsString, OsString)>, StepFailed> {
    let failed = |errno: i32| StepFailed::new(format!("environment-file {}", file.path.display()), errno);
    let bytes = match regular::read(&file.path, FILE_BYTES_MAX) {
        Ok(bytes) => bytes,
        Err(libc::ENOENT) if file.optional => return Ok(Vec::new()),
        Err(errno) => return Err(failed(errno)),
    };
    let text = String::from_utf8(bytes).map_err(|_| failed(libc::EILSEQ))?;
    Ok(parse_file(&text)
        .into_iter()
        .map(|(name, value)| (name.into(), value.into()))
        .collect())
}

/// `NAME=value` a line; `#` and `;` begin comments; values may be quoted; a `\` at the end goes on with the next line.
fn parse_file(text: &str) -> Vec<(String, String)> {
    let joined = text.replace("\\\r\n", "").replace("\\\n", "");
    let pair = |line: &str| {
        let line = line.trim();
        if line.starts_with(['#', ';']) {
            return None;
        }
        let (name, value) = line.split_once('=')?;
        let name = name.trim_end();
        let starts = name
            .bytes()
            .next()
            .is_some_and(|byte| byte.is_ascii_alphabetic() || byte == b'_');
        let good = starts && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        (good && !value.contains('\0')).then(|| (name.to_owned(), unquoted(value.trim())))
    };
    joined.lines().filter_map(pair).collect()
}

fn unquoted(value: &str) -> String {
    let mut out = String::new();
    let mut quote = None;
    let mut characters = value.chars();
    while let Some(character) = characters.next() {
        match (quote, character) {
            (None, '\'' | '"') => quote = Some(character),
            (Some(open), _) if open == character => quote = None,
            (None | Some('"'), '\\') => out.extend(characters.next()),
            _ => out.push(character),
        }
    }
    out
}

/// Arguments with `$NAME` as a word of its own split at white space, `${NAME}` put in anywhere, `$$` a dollar; a name
/// that is not set is nothing. The first word is never expanded.
pub fn expand(arguments: &[Box<str>], variables: &Variables) -> Vec<OsString> {
    let mut out: Vec<OsString> = arguments.first().map(|first| (&**first).into()).into_iter().collect();
    for word in arguments.iter().skip(1) {
        match word.strip_prefix('$').filter(|name| is_name(name)) {
            Some(name) => {
                let value = variables
                    .get(OsStr::new(name))
                    .map(|value| value.to_string_lossy().into_owned());
                out.extend(value.unwrap_or_default().split_whitespace().map(OsString::from));
            }
            None => out.push(expand_inside(word, variables)),
        }
    }
    out
}

fn is_name(text: &str) -> bool {
    let starts = text
        .bytes()
        .next()
        .is_some_and(|byte| byte.is_ascii_alphabetic() || byte == b'_');
    starts && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

fn expand_inside(word: &str, variables: &Variables) -> OsString {
    let mut out = OsString::new();
    let mut rest = word;
    while let Some((before, after)) = rest.split_once('$') {
        out.push(before);
        if let Some(tail) = after.strip_prefix('$') {
            out.push("$");
            rest = tail;
        } else if let Some((name, tail)) = after
            .strip_prefix('{')
            .and_then(|inside| inside.split_once('}'))
            .filter(|(name, _)| is_name(name))
        {
            out.push(
                variables
                    .get(OsStr::new(name))
                    .map(OsString::as_os_str)
                    .unwrap_or_default(),
            );
            rest = tail;
        } else {
            out.push("$");
            rest = after;
        }
    }
    out.push(OsStr::from_bytes(rest.as_bytes()));
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_expand_as_in_systemd() {
        let variables: Variables = [("A", "one two"), ("B", "x")]
            .into_iter()
            .map(|(name, value)| (name.into(), value.into()))
            .collect();
        for (word, expected) in [
            ("$A", vec!["one", "two"]),
            ("${A}", vec!["one two"]),
            ("-${B}-", vec!["-x-"]),
            ("$B-", vec!["$B-"]),
            ("$$A", vec!["$A"]),
            ("${NOPE}", vec![""]),
            ("$NOPE", vec![]),
            ("${", vec!["${"]),
            ("$", vec!["$"]),
        ] {
            let words = expand(&["prog".into(), word.into()], &variables);
            assert_eq!(words.get(1..).unwrap(), expected, "{word}");
        }
        assert_eq!(expand(&["$A".into()], &variables), ["$A"]);
    }

    #[test]
    fn environment_files() {
        let text = "# c\n; c\nA=1\n B = two words \nC='a \"b\"'\nD=\"x\\\"y\"\nE=a\\\nb\n=x\n1A=x\nnoequals\nF=\n";
        let expected = [
            ("A", "1"),
            ("B", "two words"),
            ("C", "a \"b\""),
            ("D", "x\"y"),
            ("E", "ab"),
            ("F", ""),
        ];
        let expected: Vec<(String, String)> = expected
            .iter()
            .map(|(a, b)| ((*a).to_owned(), (*b).to_owned()))
            .collect();
        assert_eq!(parse_file(text), expected);
    }
}
