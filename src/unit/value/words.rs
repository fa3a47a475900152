//! One string to words, as a shell would split it, with no shell.

/// Splits at white space; single quotes keep all, double quotes all but `\`, and `\` outside of quotes keeps the next
/// character. Nothing is expanded.
///
/// # Errors
/// A quote that is not closed, a `\` at the end.
pub fn split_words(text: &str) -> Result<Vec<Box<str>>, Box<str>> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote: Option<char> = None;
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match (quote, character) {
            (None, ' ' | '\t' | '\n') => words.extend(word.take().map(String::into_boxed_str)),
            (None, '\'' | '"') => {
                quote = Some(character);
                word.get_or_insert_default();
            }
            (Some(open), _) if open == character => quote = None,
            (None | Some('"'), '\\') => match characters.next() {
                Some(next) => word.get_or_insert_default().push(next),
                None => return Err("a `\\` at the end".into()),
            },
            _ => word.get_or_insert_default().push(character),
        }
    }
    if quote.is_some() {
        return Err("a quote that is not closed".into());
    }
    words.extend(word.map(String::into_boxed_str));
    Ok(words)
}

/// A word as [`split_words`] reads it back.
pub(super) fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,@%+${}*?!~".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', "'\\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn as_a_shell_splits() {
        for (text, expected) in [
            ("a b  c", vec!["a", "b", "c"]),
            ("'a b' \"c d\"", vec!["a b", "c d"]),
            (r#"a\ b "c\"d" '\'"#, vec!["a b", "c\"d", "\\"]),
            ("''", vec![""]),
            ("a'b'c", vec!["abc"]),
            ("  ", vec![]),
        ] {
            let words: Vec<String> = split_words(text).unwrap().iter().map(ToString::to_string).collect();
            assert_eq!(words, expected, "{text}");
        }
        for text in ["'", "\"a", "a\\"] {
            assert!(split_words(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn quoting_reads_back(words in prop::collection::vec("\\PC*", 0..4)) {
            let text: Vec<String> = words.iter().map(|word| quoted(word)).collect();
            let read: Vec<String> = split_words(&text.join(" ")).unwrap().iter().map(ToString::to_string).collect();
            prop_assert_eq!(read, words);
        }
    }
}
