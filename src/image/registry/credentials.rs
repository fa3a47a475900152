//! Who we are to a registry: the files that `podman login` and `docker login` write; containers-auth.json(5).

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

use crate::image::{Error, Name, Result};

/// A user and a password. Never printed: there is no `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// `user:password` in base64, as the header `Authorization: Basic` has it.
    encoded: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct File {
    auths: BTreeMap<String, Entry>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Entry {
    auth: Option<String>,
}

impl Credentials {
    /// For an image's repository, by the most specific entry of the first file that has one. `variable` reads the
    /// environment.
    ///
    /// # Errors
    /// A file that is there and cannot be read; its contents are never part of the message.
    pub fn find(name: &Name, variable: &dyn Fn(&str) -> Option<PathBuf>) -> Result<Option<Self>> {
        for path in files(variable) {
            let text = match std::fs::read(&path) {
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
                other => other.map_err(Error::at(&path))?,
            };
            let found = Self::of_file(&text, name).map_err(|why| Error::refused(path.display(), why))?;
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    }

    fn of_file(text: &[u8], name: &Name) -> std::result::Result<Option<Self>, &'static str> {
        let file: File = serde_json::from_slice(text).map_err(|_| "is no file of credentials")?;
        let repository = name.repository();
        let mut part = Some(repository.as_str());
        while let Some(key) = part {
            let entry = file.auths.iter().find(|(written, _)| host_of(written) == key);
            if let Some(auth) = entry.and_then(|(_, entry)| entry.auth.as_deref()) {
                let decoded = STANDARD.decode(auth).map_err(|_| "has an entry that is not base64")?;
                let is_pair = decoded.contains(&b':');
                return is_pair
                    .then(|| {
                        Some(Self {
                            encoded: auth.to_owned(),
                        })
                    })
                    .ok_or("has an entry without a colon");
            }
            part = key.rsplit_once('/').map(|(shorter, _)| shorter);
        }
        Ok(None)
    }

    /// The value of the header.
    pub fn header(&self) -> String {
        format!("Basic {}", self.encoded)
    }
}

/// Older clients wrote an address where newer ones write a host.
fn host_of(written: &str) -> &str {
    let rest = written.split_once("://").map_or(written, |(_, rest)| rest);
    let is_address = rest.len() < written.len();
    match rest.split_once('/') {
        Some((host, _)) if is_address => host,
        _ => rest,
    }
}

fn files(variable: &dyn Fn(&str) -> Option<PathBuf>) -> Vec<PathBuf> {
    if let Some(file) = variable("REGISTRY_AUTH_FILE") {
        return vec![file];
    }
    let below = |folder: Option<PathBuf>, path: &str| folder.map(|folder| folder.join(path));
    let home = variable("HOME");
    let config = variable("XDG_CONFIG_HOME").or_else(|| below(home.clone(), ".config"));
    let docker = variable("DOCKER_CONFIG").or_else(|| below(home, ".docker"));
    [
        below(variable("XDG_RUNTIME_DIR"), "containers/auth.json"),
        Some(Path::new("/run/containers/0/auth.json").to_owned()).filter(|_| rustix::process::geteuid().is_root()),
        below(config, "containers/auth.json"),
        below(docker, "config.json"),
    ]
    .into_iter()
    .flatten()
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str, name: &str) -> std::result::Result<Option<String>, &'static str> {
        let found = Credentials::of_file(text.as_bytes(), &name.parse().unwrap());
        found.map(|one| one.map(|one| one.header()))
    }

    #[test]
    fn the_most_specific_entry_is_taken() {
        // "u:p", "a:b" and "x:y".
        let text = r#"{"auths": {"localhost:5": {"auth": "dTpw"}, "localhost:5/team": {"auth": "YTpi"},
                       "https://127.0.0.1:6/v1/": {"auth": "eDp5"}, "localhost:7": {}}, "credsStore": "x"}"#;
        for (name, expected) in [
            ("localhost:5/web", Some("Basic dTpw")),
            ("localhost:5/team/web", Some("Basic YTpi")),
            ("localhost:5/teams/web", Some("Basic dTpw")),
            ("127.0.0.1:6/web", Some("Basic eDp5")),
            ("localhost:7/web", None),
            ("localhost/web", None),
        ] {
            assert_eq!(found(text, name).unwrap().as_deref(), expected, "{name}");
        }
    }

    #[test]
    fn a_bad_file_is_told_without_what_is_in_it() {
        for text in [
            "secret",
            r#"{"auths": {"localhost:5": {"auth": "secret!"}}}"#,
            r#"{"auths": {"localhost:5": {"auth": "c2VjcmV0"}}}"#,
        ] {
            let why = found(text, "localhost:5/web").unwrap_err();
            assert!(!why.contains("secret"), "{why}");
        }
    }

    #[test]
    fn files_are_looked_for_where_logins_write_them() {
        let of = |pairs: &[(&str, &str)]| {
            files(&|name| {
                pairs
                    .iter()
                    .find(|(key, _)| *key == name)
                    .map(|(_, value)| PathBuf::from(value))
            })
        };
        assert_eq!(
            of(&[("REGISTRY_AUTH_FILE", "/a"), ("HOME", "/h")]),
            [PathBuf::from("/a")]
        );
        let all = of(&[("HOME", "/h"), ("XDG_RUNTIME_DIR", "/r")]);
        for path in [
            "/r/containers/auth.json",
            "/h/.config/containers/auth.json",
            "/h/.docker/config.json",
        ] {
            assert!(all.contains(&PathBuf::from(path)), "{path} of {all:?}");
        }
    }
}
