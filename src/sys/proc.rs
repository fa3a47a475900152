//! How /proc writes paths into its tables: proc_pid_mountinfo(5), proc_pid_mounts(5), proc_swaps(5).

/// The path that a word stands for: blank, tab, newline and backslash are written as a backslash and three octal digits.
pub fn unescaped(mut word: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(word.len());
    loop {
        match word {
            [] => return plain,
            [b'\\', a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', rest @ ..] => {
                plain.push(((a - b'0') << 6) | ((b - b'0') << 3) | (c - b'0'));
                word = rest;
            }
            [first, rest @ ..] => {
                plain.push(*first);
                word = rest;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_escape_is_taken_as_it_is() {
        for (written, plain) in [
            ("/a\\040b\\134c", "/a b\\c"),
            ("/a\\04", "/a\\04"),
            ("/a\\", "/a\\"),
            ("/\\777", "/\\777"),
            ("", ""),
        ] {
            assert_eq!(unescaped(written.as_bytes()), plain.as_bytes(), "{written}");
        }
    }
}
