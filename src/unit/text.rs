//! Values that stand in a file as one text, as that text.

use serde::Serialize;

use super::{Condition, ConditionTest, ExitMatch, Forward, OptionalPath, Output, ProtectHome, ProtectSystem};

impl std::fmt::Display for OptionalPath {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}{}", if self.optional { "-" } else { "" }, self.path.display())
    }
}

/// A code is a number, a signal its name.
impl Serialize for ExitMatch {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Code(code) => to.serialize_u8(*code),
            Self::Signal(signal) => to.collect_str(signal),
        }
    }
}

impl std::fmt::Display for Forward {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Console => f.write_str("console"),
            Self::Kmsg => f.write_str("kmsg"),
            Self::Syslog(path) => write!(f, "syslog:{}", path.display()),
        }
    }
}

impl Condition {
    /// The key and the value that a file has for it.
    fn written(&self) -> (&'static str, String) {
        let (key, value) = match &self.test {
            ConditionTest::PathExists(path) => ("path-exists", path.display().to_string()),
            ConditionTest::PathIsDirectory(path) => ("path-is-directory", path.display().to_string()),
            ConditionTest::FileNotEmpty(path) => ("file-not-empty", path.display().to_string()),
            ConditionTest::DirectoryNotEmpty(path) => ("directory-not-empty", path.display().to_string()),
            ConditionTest::KernelCommandLine(word) => ("kernel-command-line", word.to_string()),
        };
        (key, format!("{}{value}", if self.negated { "!" } else { "" }))
    }
}

impl std::fmt::Display for Condition {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (key, value) = self.written();
        write!(f, "{key} {value}")
    }
}

impl Serialize for Condition {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let (key, value) = self.written();
        to.collect_map([(key, value)])
    }
}

impl Serialize for ProtectSystem {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::No => to.serialize_bool(false),
            Self::Yes => to.serialize_bool(true),
            Self::Full => to.serialize_str("full"),
            Self::Strict => to.serialize_str("strict"),
        }
    }
}

impl Serialize for ProtectHome {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::No => to.serialize_bool(false),
            Self::Yes => to.serialize_bool(true),
            Self::ReadOnly => to.serialize_str("read-only"),
            Self::Tmpfs => to.serialize_str("tmpfs"),
        }
    }
}

/// What stands in a file as one text is shown as that text.
macro_rules! serialize_as_text {
    ($($name:ty),*) => {$(
        impl Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                to.collect_str(self)
            }
        }
    )*};
}
serialize_as_text!(OptionalPath, Output, Forward);
