//! `svc set`: `KEY=VALUE` to the drop-in that says the same.

use super::decode::nearest;
use super::keys::{self, Change, Key, Kind};

/// What is to be set, or to be what the unit's other files say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assignment {
    /// Its row.
    pub key: &'static Key,
    /// As a file would say it; None: nothing.
    pub value: Option<String>,
}

impl Assignment {
    /// Reads `memory-max=64M`. What a file writes in quotes needs none here.
    ///
    /// # Errors
    /// What is wrong with it, in one line. Whether the value is one that the key takes shows when the drop-in is read.
    pub fn parse(text: &str) -> Result<Self, Box<str>> {
        let Some((name, value)) = text.split_once('=') else {
            return Err(format!("`{text}` is no KEY=VALUE, such as memory-max=64M").into());
        };
        let (name, value) = (name.trim(), value.trim());
        let Some(key) = keys::find("resources", name) else {
            let known = keys::all().filter(|key| key.table == "resources" && key.change == Change::Live);
            let near = nearest(name, known.map(|key| key.name));
            let hint = near.map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
            return Err(format!("`{name}` is no limit{hint}").into());
        };
        if key.change != Change::Live {
            return Err(format!("`{name}` takes another run: write it into the unit's file").into());
        }
        let value = (!value.is_empty()).then(|| as_in_file(key.kind, value));
        Ok(Self { key, value })
    }

    /// The name of the drop-in: one for each key, after all that people write.
    pub fn file_name(&self) -> String {
        format!("zz-set-{}.toml", self.key.name)
    }

    /// What stands in it; None: it is not to be there.
    pub fn text(&self) -> Option<String> {
        let value = self.value.as_ref()?;
        Some(format!(
            "# Written by svc set.\n[{}]\n{} = {value}\n",
            self.key.table, self.key.name
        ))
    }
}

/// Numbers, tables, lists and what is in quotes stand as they are; all else is a text.
fn as_in_file(kind: Kind, value: &str) -> String {
    let is_number = value.bytes().all(|byte| byte.is_ascii_digit());
    let takes_number = matches!(kind, Kind::Whole(..) | Kind::Size);
    let is_bare = matches!(kind, Kind::Bool) || (takes_number && is_number);
    if is_bare || value.starts_with(['[', '{', '"', '\'']) {
        return value.to_owned();
    }
    let quoted = serde_json::Value::String(value.to_owned()).to_string();
    if kind == Kind::Resource(keys::Resource::Devices) {
        format!("[{quoted}]")
    } else {
        quoted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_need_no_quotes() {
        for (given, line) in [
            ("memory-max=64M", "memory-max = \"64M\""),
            ("memory-max=67108864", "memory-max = 67108864"),
            ("pids-max=17", "pids-max = 17"),
            ("cpu-quota = 20%", "cpu-quota = \"20%\""),
            ("cpuset-cpus=0-1", "cpuset-cpus = \"0-1\""),
            ("cpuset-cpus=\"0\"", "cpuset-cpus = \"0\""),
            ("oom-policy=stop", "oom-policy = \"stop\""),
            ("hugetlb-max={\"2MB\" = \"4M\"}", "hugetlb-max = {\"2MB\" = \"4M\"}"),
            ("devices=/dev/null rw", "devices = [\"/dev/null rw\"]"),
            ("devices=[\"c *:* rwm\"]", "devices = [\"c *:* rwm\"]"),
            ("net-classid=10:1", "net-classid = \"10:1\""),
        ] {
            let text = Assignment::parse(given).unwrap().text().unwrap();
            assert!(text.ends_with(&format!("[resources]\n{line}\n")), "{given}: {text}");
        }
        let none = Assignment::parse("memory-max=").unwrap();
        assert_eq!(
            (none.text(), none.file_name().as_str()),
            (None, "zz-set-memory-max.toml")
        );
    }

    #[test]
    fn what_cannot_be_set_is_told() {
        for (given, why) in [
            ("memory-max", "no KEY=VALUE"),
            ("memory-mx=1M", "did you mean `memory-max`?"),
            ("exec-start=/bin/true", "no limit"),
            ("slice=apps", "another run"),
            ("=5", "no limit"),
        ] {
            let told = Assignment::parse(given).unwrap_err();
            assert!(told.contains(why), "{told}");
        }
    }
}
