//! What people call images: `registry:5000/team/web:1.2`, `web`, `web@sha256:…`.
//!
//! The grammar is the one of the OCI distribution specification. A name whose first part looks like a host is of that
//! registry; another one is this machine's own.

use std::fmt;
use std::str::FromStr;

use super::{Digest, Error, Result};

/// What a name without tag and digest means.
pub const DEFAULT_TAG: &str = "latest";

/// The longest repository, host included, in letters.
const REPOSITORY_LENGTH_MAX: usize = 255;

/// The longest tag, in letters.
const TAG_LENGTH_MAX: usize = 128;

/// What an entry of the store's `index.json` says of its image.
pub mod annotation {
    /// The name.
    pub const NAME: &str = "org.opencontainers.image.ref.name";
    /// What the registry's tag said when it was pulled: the digest of an index, as often as not.
    pub const PULLED_AS: &str = "dev.svc.image.pulled-as";
}

/// An image's name: a repository, and which of its images.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Name {
    /// The registry's host, with its port; None: this machine's own.
    pub host: Option<String>,
    /// The repository without the host: `team/web`.
    pub path: String,
    /// Which one of it.
    pub version: Version,
}

/// Which image of a repository.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    /// What this tag says at the time.
    Tag(String),
    /// This one for ever, whatever else the name said.
    Digest(Digest),
}

impl Name {
    /// The repository with its host.
    pub fn repository(&self) -> String {
        match &self.host {
            Some(host) => format!("{host}/{}", self.path),
            None => self.path.clone(),
        }
    }

    /// Another image of the same repository.
    pub fn with_digest(&self, digest: Digest) -> Self {
        Self {
            version: Version::Digest(digest),
            ..self.clone()
        }
    }

    /// As a registry is asked for it: the tag, or the digest.
    pub fn reference(&self) -> String {
        match &self.version {
            Version::Tag(tag) => tag.clone(),
            Version::Digest(digest) => digest.to_string(),
        }
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let repository = self.repository();
        match &self.version {
            Version::Tag(tag) => write!(f, "{repository}:{tag}"),
            Version::Digest(digest) => write!(f, "{repository}@{digest}"),
        }
    }
}

impl FromStr for Name {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let refused = |why: &str| Error::refused(format_args!("image name {text:?}"), why);
        let (named, digest) = match text.split_once('@') {
            Some((named, digest)) => (named, Some(digest.parse()?)),
            None => (text, None),
        };
        // A colon behind the last slash is a tag's; one before it is a port's.
        let (repository, tag) = match named.rsplit_once(':') {
            Some((repository, tag)) if !tag.contains('/') => (repository, Some(tag)),
            _ => (named, None),
        };
        if repository.len() > REPOSITORY_LENGTH_MAX {
            return Err(refused("is too long"));
        }
        let (host, path) = match repository.split_once('/') {
            Some((first, path)) if is_host(first) => (Some(first.to_owned()), path),
            _ => (None, repository),
        };
        if !path.split('/').all(is_component) {
            return Err(refused("is not small letters, digits and single . _ - between them"));
        }
        if !tag.is_none_or(is_tag) {
            return Err(refused("has a tag that is none"));
        }
        let version = match digest {
            Some(digest) => Version::Digest(digest),
            None => Version::Tag(tag.unwrap_or(DEFAULT_TAG).to_owned()),
        };
        Ok(Self {
            host,
            path: path.to_owned(),
            version,
        })
    }
}

/// `registry.example`, `localhost`, `127.0.0.1:5000`, `[::1]:5000`.
fn is_host(text: &str) -> bool {
    let looks = text == "localhost" || text.contains(['.', ':']);
    let letters = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | ':' | '[' | ']');
    looks && text.chars().all(letters) && text.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '[')
}

/// Words of small letters and digits, between them one of `.`, `_`, `__` or any number of `-`.
fn is_component(text: &str) -> bool {
    let word = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let mut rest = text;
    loop {
        let after = rest.trim_start_matches(word);
        if after.len() == rest.len() {
            return false;
        }
        if after.is_empty() {
            return true;
        }
        let dashes = after.trim_start_matches('-');
        rest = match dashes.len() < after.len() {
            true => dashes,
            false => match after.strip_prefix("__").or_else(|| after.strip_prefix(['.', '_'])) {
                Some(rest) => rest,
                None => return false,
            },
        };
    }
}

fn is_tag(text: &str) -> bool {
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    text.len() <= TAG_LENGTH_MAX && text.starts_with(word) && text.chars().all(|c| word(c) || matches!(c, '.' | '-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_registries_read_them() {
        let hex = "a".repeat(64);
        for (text, host, path, shown) in [
            ("busybox", None, "busybox", "busybox:latest".to_owned()),
            ("busybox:1.36", None, "busybox", "busybox:1.36".to_owned()),
            ("team/web", None, "team/web", "team/web:latest".to_owned()),
            (
                "localhost/web",
                Some("localhost"),
                "web",
                "localhost/web:latest".to_owned(),
            ),
            (
                "127.0.0.1:5000/a/b:c",
                Some("127.0.0.1:5000"),
                "a/b",
                "127.0.0.1:5000/a/b:c".to_owned(),
            ),
            (
                "[::1]:5000/a",
                Some("[::1]:5000"),
                "a",
                "[::1]:5000/a:latest".to_owned(),
            ),
            ("a__b-c.d_e", None, "a__b-c.d_e", "a__b-c.d_e:latest".to_owned()),
            (&format!("web:1@sha256:{hex}"), None, "web", format!("web@sha256:{hex}")),
        ] {
            let name: Name = text.parse().unwrap();
            assert_eq!((name.host.as_deref(), name.path.as_str()), (host, path), "{text}");
            assert_eq!(name.to_string(), shown);
            assert_eq!(shown.parse::<Name>().unwrap(), name, "it reads what it writes");
        }
    }

    #[test]
    fn what_is_no_name_is_refused() {
        let long = "a".repeat(300);
        for text in [
            "",
            ":",
            "a:",
            "a::b",
            "A",
            "a//b",
            "/a",
            "a/",
            "../a",
            "a/../b",
            ".a",
            "a.",
            "a..b",
            "a___b",
            "a b",
            "a\n",
            "a:.b",
            "a@sha256:12",
            "a@md5:12",
            "a@",
            "ex.ample/",
            "ex.ample/A",
            "ex_.ample:5/B",
            &long,
            "a@sha256:../../../../etc/passwd",
        ] {
            assert!(text.parse::<Name>().is_err(), "{text:?} was taken");
        }
    }
}
