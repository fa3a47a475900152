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
            (_, '\\') => escape(&mut rest, word.get_or_insert_default()),
            _ => word.get_or_insert_default().push(letter),
        }
    }
    if quote.is_some() {
        return Err("a quote is not closed".to_owned());
    }
    words.extend(word);
    Ok(words)
}

/// What follows a backslash. One that means nothing stays as it is.
fn escape(rest: &mut std::iter::Peekable<std::str::Chars<'_>>, word: &mut String) {
    let Some(letter) = rest.next() else {
        return word.push('\\');
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
        let number = u32::from_str_radix(&digits, radix).ok().and_then(char::from_u32);
        return word.extend(number);
    }
    match letter {
        'a' => word.push('\u{7}'),
        'b' => word.push('\u{8}'),
        'f' => word.push('\u{c}'),
        'n' => word.push('\n'),
        'r' => word.push('\r'),
        's' => word.push(' '),
        't' => word.push('\t'),
        'v' => word.push('\u{b}'),
        '\\' | '"' | '\'' => word.push(letter),
        other => word.extend(['\\', other]),
    }
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
}
