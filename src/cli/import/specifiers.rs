//! Specifiers of systemd.unit(5) in what svc writes for them, and braces that are svc's in a unit's own text.

/// What came of a text.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Expanded {
    #[allow(missing_docs)]
    pub text: String,
    /// What is not quite the same.
    pub notes: Vec<String>,
}

/// Replaces each, for a file of this name (`web@.service`).
///
/// # Errors
/// One that svc has nothing for.
pub fn expand(text: &str, file: &str, user: &str) -> Result<Expanded, String> {
    let stem = file.rsplit_once('.').map_or(file, |(stem, _)| stem);
    let prefix = stem.split('@').next().unwrap_or(stem);
    let mut expanded = Expanded::default();
    let mut note = |text: &str| expanded.notes.push(text.to_owned());
    let mut out = String::new();
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        match letter {
            // Two are a brace of the unit's own; behind a dollar it is the environment's, and stays.
            '{' if !out.ends_with('$') => out.push_str("{{"),
            '%' => {
                let which = letters.next().unwrap_or('%');
                let value = match which {
                    '%' => "%",
                    'i' => "{instance}",
                    'I' => {
                        note("%I is the instance as it is written");
                        "{instance}"
                    }
                    'n' => {
                        note("%n is the name without its suffix");
                        "{unit}"
                    }
                    'N' => "{unit}",
                    'p' | 'P' | 'j' | 'J' => prefix,
                    't' => "/run",
                    'S' => "/var/lib",
                    'C' => "/var/cache",
                    'L' => "/var/log",
                    'E' => "/etc",
                    'T' => "/tmp",
                    'V' => "/var/tmp",
                    'd' => "${CREDENTIALS_DIRECTORY}",
                    'u' if !user.is_empty() => user,
                    'u' => "root",
                    'h' if user.is_empty() || user == "root" => "/root",
                    other => return Err(format!("svc has nothing for the specifier %{other}")),
                };
                out.push_str(value);
            }
            other => out.push(other),
        }
    }
    expanded.text = out;
    Ok(expanded)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn specifiers_and_braces() {
        for (text, expected) in [
            ("/run/%p-%i.pid 100%%", "/run/web-{instance}.pid 100%"),
            ("${HOME} { echo; } {x}", "${HOME} {{ echo; } {{x}"),
            ("%t/%u %h", "/run/www %h"),
        ] {
            let user = if text.contains("%h") { "www" } else { "" };
            match expand(text, "web@.service", user) {
                Ok(expanded) => assert_eq!(expanded.text, expected),
                Err(why) => assert!(why.ends_with("%h"), "{why}"),
            }
        }
        assert_eq!(expand("%I", "web@.service", "").unwrap().notes.len(), 1);
    }
}
