//! Commands with the prefixes of systemd.service(5), "Command lines".

use std::fmt;

use serde::{Serialize, Serializer};

use super::words::quoted;
use crate::unit::{Command, Privileges};

/// Takes the prefixes off the first word of a command.
///
/// # Errors
/// No words, a prefix twice, `+` and `!` together, `@` with nothing after it, a program with a `/` that is not absolute.
pub fn parse_command(mut words: Vec<Box<str>>) -> Result<Command, Box<str>> {
    let first = words.first().cloned().ok_or("a command without words")?;
    let mut rest: &str = &first;
    let (mut ignore_failure, mut own_name, mut privileges) = (false, false, Privileges::Own);
    loop {
        let seen = match rest.chars().next() {
            Some('-') => std::mem::replace(&mut ignore_failure, true),
            Some('@') => std::mem::replace(&mut own_name, true),
            Some('!') => std::mem::replace(&mut privileges, Privileges::Root) != Privileges::Own,
            Some('+') => std::mem::replace(&mut privileges, Privileges::Full) != Privileges::Own,
            _ => break,
        };
        if seen {
            return Err(format!("`{first}`: a prefix twice, or `+` and `!` together").into());
        }
        rest = rest.get(1..).unwrap_or_default();
    }
    if rest.is_empty() {
        return Err(format!("`{first}`: no program").into());
    }
    if rest.contains('/') && !rest.starts_with('/') {
        return Err(format!("`{rest}`: an absolute path, or a name without `/`").into());
    }
    let program: Box<str> = rest.into();
    if own_name {
        words.remove(0);
        if words.is_empty() {
            return Err(format!("`{first}`: after `@` the next word is argv[0]").into());
        }
    } else if let Some(word) = words.first_mut() {
        *word = program.clone();
    }
    Ok(Command {
        program,
        arguments: words,
        ignore_failure,
        privileges,
    })
}

/// A word of which nothing is expanded.
pub fn literal(word: &str) -> String {
    word.replace('$', "$$")
}

impl Command {
    /// Words that are taken as they are. None: there is no program.
    pub fn literal<'a>(words: impl IntoIterator<Item = &'a String>) -> Option<Self> {
        let arguments: Vec<Box<str>> = words.into_iter().map(|word| literal(word).into()).collect();
        let program = arguments.first().filter(|program| !program.is_empty()).cloned()?;
        Some(Self {
            program,
            arguments,
            ..Self::default()
        })
    }
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let own_name = self.arguments.first() != Some(&self.program);
        if self.ignore_failure {
            f.write_str("-")?;
        }
        f.write_str(match self.privileges {
            Privileges::Own => "",
            Privileges::Root => "!",
            Privileges::Full => "+",
        })?;
        if own_name {
            write!(f, "@{} ", quoted(&self.program))?;
        }
        let words: Vec<String> = self.arguments.iter().map(|word| quoted(word)).collect();
        f.write_str(&words.join(" "))
    }
}

impl Serialize for Command {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::unit::value::split_words;

    #[test]
    fn prefixes() {
        let parse = |text: &str| parse_command(split_words(text).unwrap());
        let command = parse("-@/bin/sh mysh -c x").unwrap();
        assert!(command.ignore_failure && command.privileges == Privileges::Own);
        assert_eq!(&*command.program, "/bin/sh");
        assert_eq!(command.arguments, ["mysh".into(), "-c".into(), "x".into()]);
        assert_eq!(command.to_string(), "-@/bin/sh mysh -c x");
        for (text, privileges) in [("+/bin/true", Privileges::Full), ("-!/bin/true", Privileges::Root)] {
            let command = parse(text).unwrap();
            assert_eq!((command.privileges, command.to_string()), (privileges, text.to_owned()));
        }
        for text in ["", "-", "--/bin/true", "+!/bin/true", "@/bin/sh", "bin/true", "./x"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
