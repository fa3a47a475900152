//! `WWW-Authenticate`: how a registry wants to be asked; RFC 9110 section 11, and the token specification of the
//! distribution project.

/// What is wanted.
#[derive(Debug, PartialEq, Eq)]
pub enum Challenge {
    /// User and password.
    Basic,
    /// A token that another server gives.
    Bearer {
        /// Where it is to be had.
        realm: String,
        #[allow(missing_docs)]
        service: Option<String>,
        #[allow(missing_docs)]
        scope: Option<String>,
    },
}

impl Challenge {
    /// Reads the header. None: it is of no kind that is known.
    pub fn read(header: &str) -> Option<Self> {
        let (scheme, rest) = header.trim().split_once(' ').unwrap_or((header.trim(), ""));
        if scheme.eq_ignore_ascii_case("basic") {
            return Some(Self::Basic);
        }
        if !scheme.eq_ignore_ascii_case("bearer") {
            return None;
        }
        let (mut realm, mut service, mut scope) = (None, None, None);
        for (key, value) in parameters(rest) {
            match key.to_ascii_lowercase().as_str() {
                "realm" => realm = Some(value),
                "service" => service = Some(value),
                "scope" => scope = Some(value),
                _ => {}
            }
        }
        Some(Self::Bearer {
            realm: realm?,
            service,
            scope,
        })
    }
}

/// `key="value", key=value`; commas within quotes are the value's.
fn parameters(mut rest: &str) -> Vec<(&str, String)> {
    let mut found = Vec::new();
    while let Some((key, behind)) = rest.split_once('=') {
        let value;
        (value, rest) = match behind.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"').unwrap_or((quoted, "")),
            None => behind.split_once(',').unwrap_or((behind, "")),
        };
        found.push((key.trim_matches([' ', ',']), value.trim().to_owned()));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn challenges_are_read_as_registries_write_them() {
        let bearer = |realm: &str, service: Option<&str>, scope: Option<&str>| Challenge::Bearer {
            realm: realm.to_owned(),
            service: service.map(str::to_owned),
            scope: scope.map(str::to_owned),
        };
        for (header, expected) in [
            ("Basic realm=\"x\"", Some(Challenge::Basic)),
            (
                "Bearer realm=\"https://localhost/token\",service=\"registry\",scope=\"repository:a/b:pull,push\"",
                Some(bearer(
                    "https://localhost/token",
                    Some("registry"),
                    Some("repository:a/b:pull,push"),
                )),
            ),
            (
                "bearer realm=https://localhost/t, service=s",
                Some(bearer("https://localhost/t", Some("s"), None)),
            ),
            ("Bearer service=\"s\"", None),
            ("Negotiate", None),
            ("", None),
            ("Bearer realm=\"unclosed", Some(bearer("unclosed", None, None))),
        ] {
            assert_eq!(Challenge::read(header), expected, "{header}");
        }
    }
}
