//! Rust source as text, read well enough to judge its shape: comments and strings blanked, functions measured.

pub fn words(line: &str) -> impl Iterator<Item = &str> {
    line.split(|c: char| !c.is_alphanumeric() && c != '_')
}

pub fn hosts_in(line: &str) -> Vec<&str> {
    let mut found = Vec::new();
    for (at, mark) in line.match_indices("://") {
        if line[..at].ends_with("http") || line[..at].ends_with("https") {
            let rest = &line[at + mark.len()..];
            let end = rest
                .find(|c: char| "/:\"'`<>) \\{".contains(c) && !rest.starts_with('['))
                .unwrap_or(rest.len());
            found.push(if rest.starts_with('[') { "[::1]" } else { &rest[..end] });
        }
    }
    found.retain(|host| !host.is_empty());
    found
}

/// Name and number of lines of each function with a body.
pub fn functions_in(code: &str) -> Vec<(String, usize)> {
    let mut found = Vec::new();
    for (at, _) in code.match_indices("fn ") {
        let before = code[..at].chars().next_back();
        let name: String = code[at + 3..]
            .chars()
            .take_while(|c| c.is_alphanumeric() || *c == '_')
            .collect();
        if before.is_some_and(|c| !c.is_whitespace()) || name.is_empty() {
            continue;
        }
        let (mut depth, mut end) = (0_i32, at);
        for (offset, c) in code[at..].char_indices() {
            match c {
                '{' | '(' | '[' => depth += 1,
                '}' | ')' | ']' => depth -= 1,
                _ => {}
            }
            if depth == 0 && matches!(c, '}' | ';') {
                end = at + offset;
                break;
            }
        }
        found.push((name, code[at..end].lines().count()));
    }
    found
}

/// The text with every comment and the inside of every string and character turned into blanks; lines stay where they are.
pub fn blanked(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    while at < chars.len() {
        let end = end_of_blank(&chars, at);
        if end == at {
            out.push(chars[at]);
            at += 1;
        } else {
            out.extend(chars[at..end].iter().map(|c| if *c == '\n' { '\n' } else { ' ' }));
            at = end;
        }
    }
    out
}

/// Where the comment, string or character that begins at `at` ends; `at` itself where none begins.
fn end_of_blank(chars: &[char], at: usize) -> usize {
    let starts = |word: &str| {
        word.chars()
            .enumerate()
            .all(|(offset, c)| chars.get(at + offset) == Some(&c))
    };
    let in_word = at > 0 && (chars[at - 1].is_alphanumeric() || chars[at - 1] == '_');
    let find = |from: usize, end: &str| {
        let end: Vec<char> = end.chars().collect();
        let hit = (from..chars.len()).find(|from| chars[*from..].starts_with(&end));
        hit.map_or(chars.len(), |hit| hit + end.len())
    };
    if starts("//") {
        return (at..chars.len()).find(|at| chars[*at] == '\n').unwrap_or(chars.len());
    }
    if starts("/*") {
        return find(at, "*/");
    }
    if starts("r\"") && !in_word {
        return find(at + 2, "\"");
    }
    if starts("r#") && !in_word {
        let hashes = chars[at + 1..].iter().take_while(|c| **c == '#').count();
        if chars.get(at + 1 + hashes) == Some(&'"') {
            return find(at + 2 + hashes, &format!("\"{}", "#".repeat(hashes)));
        }
    }
    if starts("'\\") {
        return find(at + 3, "'");
    }
    if starts("'") && chars.get(at + 2) == Some(&'\'') {
        return at + 3;
    }
    if !starts("\"") {
        return at;
    }
    let mut end = at + 1;
    while end < chars.len() && chars[end] != '"' {
        end += if chars[end] == '\\' { 2 } else { 1 };
    }
    (end + 1).min(chars.len())
}

#[test]
fn blanks_what_is_not_code() {
    let table = [
        ("a // b\nc", "a     \nc"),
        ("a /* b */ c", "a         c"),
        (r#"f("x\"y", 1)"#, "f(      , 1)"),
        (r##"f(r#"a"b"#)"##, "f(        )"),
        (r"('\'', '{', 'a')", "(    ,    ,    )"),
        ("fn f<'a>(x: &'a u8)", "fn f<'a>(x: &'a u8)"),
    ];
    for (text, code) in table {
        assert_eq!(blanked(text), code, "{text}");
    }
}

#[test]
fn measures_functions() {
    let code = "fn a() { b() }\ntrait T { fn c(&self);\nfn d() {\n let x = [1; 2];\n }\n}";
    let lengths = [("a", 1), ("c", 1), ("d", 3)].map(|(name, lines)| (name.to_owned(), lines));
    assert_eq!(functions_in(code), lengths);
}
