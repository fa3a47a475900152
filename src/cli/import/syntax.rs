//! Unit files of systemd as they are written: sections, directives, comments, lines that go on; systemd.syntax(7).

use std::path::Path;
use std::rc::Rc;

/// An assignment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Directive {
    #[allow(missing_docs)]
    pub file: Rc<Path>,
    /// From 1.
    pub line: usize,
    /// `Service`.
    pub section: Rc<str>,
    /// `ExecStart`.
    pub name: String,
    /// Without the white space around it; empty: what was assigned before is forgotten.
    pub value: String,
}

/// The assignments of a file, and the lines that are none.
pub fn parse(file: &Path, text: &str) -> (Vec<Directive>, Vec<usize>) {
    let file: Rc<Path> = file.into();
    let (mut directives, mut strays) = (Vec::new(), Vec::new());
    let mut section: Rc<str> = "".into();
    for (line, text) in lines(text) {
        let text = text.trim();
        if let Some(name) = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            section = name.into();
        } else if let Some((name, value)) = text.split_once('=') {
            directives.push(Directive {
                file: Rc::clone(&file),
                line,
                section: Rc::clone(&section),
                name: name.trim_end().to_owned(),
                value: value.trim_start().to_owned(),
            });
        } else {
            strays.push(line);
        }
    }
    (directives, strays)
}

/// Lines without comments, those that end with a backslash joined with the next by a blank.
fn lines(text: &str) -> Vec<(usize, String)> {
    let mut joined: Vec<(usize, String)> = Vec::new();
    let mut goes_on = false;
    for (nth, line) in text.lines().enumerate() {
        let start = line.trim_start();
        // A comment within lines that go on is none of them.
        if start.starts_with(['#', ';']) || (start.is_empty() && !goes_on) {
            continue;
        }
        let (line, continued) = match line.strip_suffix('\\') {
            Some(line) => (line, true),
            None => (line, false),
        };
        match joined.last_mut().filter(|_| goes_on) {
            Some((_, before)) => {
                before.push(' ');
                before.push_str(line);
            }
            None => joined.push((nth + 1, line.to_owned())),
        }
        goes_on = continued;
    }
    joined
}

/// Words at white space, with quotes and the escapes of C taken out of them; systemd.syntax(7), "Quoting".
///
/// # Errors
/// A quote that is not closed.
pub fn words(text: &str) -> Result<Vec<String>, String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote: Option<char> = None;
    let mut rest = text.chars().peekable();
    while let Some(letter) = rest.next() {
        match (quote, letter) {
            (None, letter) if letter.is_whitespace() => words.extend(word.take()),
            (None, '"' | '\'') if word.as_ref().is_none_or(String::is_empty) => {
                quote = Some(letter);
                word.get_or_insert_default();
            }
            (Some(open), letter) if open == letter => quote = None,
            (_, '\\') => match escape(&mut rest) {
                Escape::Letter(letter) => word.get_or_insert_default().push(letter),
                Escape::Byte(byte) => word.get_or_insert_default().push(char::from(byte)),
                Escape::Nothing(next) => word.get_or_insert_default().extend(['\\'].into_iter().chain(next)),
            },
            _ => word.get_or_insert_default().push(letter),
        }
    }
    if quote.is_some() {
        return Err("a quote is not closed".to_owned());
    }
    words.extend(word);
    Ok(words)
}

/// A text with the escapes of C taken out of it, as bytes; StandardInputText= of systemd.exec(5).
///
/// # Errors
/// A backslash that means nothing.
pub fn bytes(text: &str) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let mut rest = text.chars().peekable();
    while let Some(letter) = rest.next() {
        let what = if letter == '\\' {
            escape(&mut rest)
        } else {
            Escape::Letter(letter)
        };
        match what {
            Escape::Letter(letter) => bytes.extend_from_slice(letter.encode_utf8(&mut [0; 4]).as_bytes()),
            // As `specifiers::expand` has left the others.
            Escape::Byte(b'{') => bytes.extend_from_slice(b"{{"),
            Escape::Byte(byte) => bytes.push(byte),
            Escape::Nothing(_) => return Err("a backslash means nothing".to_owned()),
        }
    }
    Ok(bytes)
}

/// What a backslash and what follows it stand for.
enum Escape {
    Letter(char),
    Byte(u8),
    /// For themselves.
    Nothing(Option<char>),
}

/// What follows a backslash.
fn escape(rest: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Escape {
    let Some(letter) = rest.next() else {
        return Escape::Nothing(None);
    };
    let (radix, most) = match letter {
        'x' => (16, 2),
        'u' => (16, 4),
        'U' => (16, 8),
        '0'..='7' => (8, 3),
        _ => (0, 0),
    };
    if radix != 0 {
        let mut digits = if radix == 8 { letter.to_string() } else { String::new() };
        while digits.len() < most && rest.peek().is_some_and(|next| next.is_digit(radix)) {
            digits.extend(rest.next());
        }
        let number = u32::from_str_radix(&digits, radix).ok();
        let byte = number.and_then(|number| u8::try_from(number).ok());
        return match (most, byte) {
            (2 | 3, Some(byte)) => Escape::Byte(byte),
            _ => number
                .and_then(char::from_u32)
                .map_or(Escape::Nothing(Some(letter)), Escape::Letter),
        };
    }
    Escape::Letter(match letter {
        'a' => '\u{7}',
        'b' => '\u{8}',
        'f' => '\u{c}',
        'n' => '\n',
        'r' => '\r',
        's' => ' ',
        't' => '\t',
        'v' => '\u{b}',
        '\\' | '"' | '\'' => letter,
        other => return Escape::Nothing(Some(other)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_go_on_and_comments_are_none() {
        let text = "# a comment\n[Unit]\nDescription = A \\\n; within\n  long one\n\n[Service]\nExecStart=/bin/a \\\n  b\nstray\nUser=\n";
        let (directives, strays) = parse(Path::new("a.service"), text);
        let shown: Vec<String> = directives
            .iter()
            .map(|one| format!("{} {} {}={}", one.line, one.section, one.name, one.value))
            .collect();
        assert_eq!(
            shown,
            [
                "3 Unit Description=A    long one",
                "8 Service ExecStart=/bin/a    b",
                "11 Service User="
            ]
        );
        assert_eq!(strays, [10]);
    }

    #[test]
    fn words_are_split_as_systemd_splits_them() {
        for (text, expected) in [
            ("a b  c", vec!["a", "b", "c"]),
            (r#""a b" 'c d'"#, vec!["a b", "c d"]),
            (r#"'a "b"' x"y"#, vec!["a \"b\"", "x\"y"]),
            (r"a\sb \x41 \101 \; \n", vec!["a b", "A", "A", r"\;", "\n"]),
            (r#""" x"#, vec!["", "x"]),
        ] {
            assert_eq!(words(text).unwrap(), expected, "{text}");
        }
        assert!(words("'a").is_err());
    }

    #[test]
    fn bytes_are_what_escapes_stand_for() {
        let all = bytes(r"a\tb \\ \xff\101\u00e9 \x7b é").unwrap();
        assert_eq!(all, b"a\tb \\ \xffA\xc3\xa9 {{ \xc3\xa9");
        assert_eq!(bytes(r"\0").unwrap(), b"\0");
        for wrong in [r"\q", r"\", r"\x"] {
            assert!(bytes(wrong).is_err(), "{wrong}");
        }
    }
}
