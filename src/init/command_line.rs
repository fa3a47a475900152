//! What the kernel was started with; bootparam(7), and the kernel's admin-guide/kernel-parameters.

use std::fs::File;
use std::io::Read;

/// Bytes of a command line that are looked at; x86 has 2 KiB, no architecture more than 64.
const LINE_BYTES_MAX: u64 = 1 << 16;

/// The words of a kernel command line. Where one is there several times, the last counts, as for the kernel.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CommandLine(Vec<(String, Option<String>)>);

impl CommandLine {
    /// The running kernel's; without /proc it has no words.
    pub fn read() -> Self {
        let mut line = Vec::new();
        let file = File::open("/proc/cmdline").and_then(|file| file.take(LINE_BYTES_MAX).read_to_end(&mut line));
        if let Err(error) = file {
            tracing::error!("/proc/cmdline: {error}");
        }
        Self::parse(&String::from_utf8_lossy(&line))
    }

    /// Words are parted by white space, which double quotes keep; what stands after `--` is for init, not for us to read.
    pub fn parse(line: &str) -> Self {
        let mut quoted = false;
        let parts = line.split(|letter: char| {
            quoted ^= letter == '"';
            letter.is_whitespace() && !quoted
        });
        let words = parts.take_while(|part| *part != "--").map(|part| part.replace('"', ""));
        let pair = |word: String| match word.split_once('=') {
            Some((key, value)) => (key.to_owned(), Some(value.to_owned())),
            None => (word, None),
        };
        Self(words.filter(|word| !word.is_empty()).map(pair).collect())
    }

    /// The value of `key=value`; the last one.
    pub fn value(&self, key: &str) -> Option<&str> {
        let with_key = self.0.iter().rev().filter(|(its, _)| its == key);
        with_key.filter_map(|(_, value)| value.as_deref()).next()
    }

    /// Every value of `key=value`, in their order: `console=` may be there several times.
    pub fn values<'a>(&'a self, key: &'a str) -> impl Iterator<Item = &'a str> {
        let with_key = self.0.iter().filter(move |(its, _)| its == key);
        with_key.filter_map(|(_, value)| value.as_deref())
    }

    /// Which of these words, without a value, comes last: of `ro` and `rw`, the one that counts.
    pub fn last_of<'a>(&self, words: &[&'a str]) -> Option<&'a str> {
        let bare = self.0.iter().rev().filter(|(_, value)| value.is_none());
        bare.filter_map(|(key, _)| words.iter().find(|word| *word == key))
            .copied()
            .next()
    }

    /// The word is there, without a value.
    pub fn has(&self, word: &str) -> bool {
        self.last_of(&[word]).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words() {
        let line = CommandLine::parse(
            "console=tty0 console=ttyS0,115200n8\tro quiet root=\"LABEL=a b\" rw x= svc.target=rescue\n -- ro root=/dev/no",
        );
        assert_eq!(line.value("console"), Some("ttyS0,115200n8"));
        assert_eq!(line.values("console").collect::<Vec<_>>(), ["tty0", "ttyS0,115200n8"]);
        assert_eq!(line.value("root"), Some("LABEL=a b"));
        assert_eq!(line.value("svc.target"), Some("rescue"));
        assert_eq!(line.value("x"), Some(""));
        assert_eq!(line.value("quiet"), None);
        assert_eq!(line.last_of(&["ro", "rw"]), Some("rw"));
        assert!(line.has("quiet") && !line.has("console") && !line.has("splash"));
    }

    #[test]
    fn rubbish_is_no_word() {
        for line in ["", "   ", "\"", "\"\"", "--", "-- a=b", "=", "\u{fffd}"] {
            let read = CommandLine::parse(line);
            assert_eq!(read.value("a"), None, "{line:?}");
            assert!(!read.has("a"), "{line:?}");
        }
        assert!(
            CommandLine::parse("\"a b=c").value("a b").is_some(),
            "an open quote ends with the line"
        );
    }
}
