//! The flags of svcd, each defined once: what is parsed, `--help` and svcd(8) come from these rows.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use super::Config;
use crate::init::{self, Role};

/// A row.
#[derive(Debug)]
pub struct Flag {
    /// `--units`.
    pub name: &'static str,
    /// What it takes, such as `DIR`; empty: nothing.
    pub value: &'static str,
    /// What is so without it; empty: nothing is.
    pub default: &'static str,
    /// A line.
    pub doc: &'static str,
    act: Act,
}

#[derive(Debug)]
enum Act {
    Set(fn(&mut Config, OsString) -> Result<(), String>),
    Print(fn() -> String),
}

/// What was asked of svcd.
#[derive(Debug)]
pub enum Asked {
    /// A supervisor.
    Run(Box<Config>),
    /// This text.
    Print(String),
}

/// Every flag, in the order that `--help` shows.
pub static FLAGS: &[Flag] = &[
    Flag {
        name: "--units",
        value: "DIR",
        default: "",
        doc: "read units from DIR; repeatable, highest first; replaces the search path",
        act: Act::Set(|config, value| set(|dir| config.units.get_or_insert_default().push(dir), value)),
    },
    Flag {
        name: "--runtime-dir",
        value: "DIR",
        default: "/run/svc",
        doc: "sockets and state that die with the boot",
        act: Act::Set(|config, value| set(|dir| config.runtime_dir = dir, value)),
    },
    Flag {
        name: "--state-dir",
        value: "DIR",
        default: "/var/lib/svc",
        doc: "state that outlives the boot",
        act: Act::Set(|config, value| set_absolute(|dir| config.state_dir = dir, value)),
    },
    Flag {
        name: "--log-dir",
        value: "DIR",
        default: "/var/log/svc",
        doc: "logs, a directory for each unit",
        act: Act::Set(|config, value| set_absolute(|dir| config.log_dir = dir, value)),
    },
    Flag {
        name: "--cgroup",
        value: "NAME",
        default: "svc",
        doc: "the group under which all groups are made",
        act: Act::Set(|config, value| {
            config.cgroup = value.into_string().map_err(|_| "not UTF-8".to_owned())?;
            Ok(())
        }),
    },
    Flag {
        name: "--settings",
        value: "FILE",
        default: "/etc/svc/svcd.toml; none with --units",
        doc: "the supervisor's settings",
        act: Act::Set(|config, value| set(|file| config.settings = Some(file), value)),
    },
    Flag {
        name: "--help",
        value: "",
        default: "",
        doc: "this text",
        act: Act::Print(usage),
    },
    Flag {
        name: "--version",
        value: "",
        default: "",
        doc: "the version",
        act: Act::Print(|| format!("svcd {}\n", env!("CARGO_PKG_VERSION"))),
    },
];

fn set(put: impl FnOnce(PathBuf), value: OsString) -> Result<(), String> {
    put(value.into());
    Ok(())
}

/// A child looks it up from the root of what it sees.
fn set_absolute(put: impl FnOnce(PathBuf), value: OsString) -> Result<(), String> {
    put(std::path::absolute(value).map_err(|error| error.to_string())?);
    Ok(())
}

/// Reads the arguments that follow the program's name: `--flag VALUE` or `--flag=VALUE`.
///
/// A machine's first process is given what the kernel did not know of its command line (`splash`), and must come up
/// whatever that is: there, what is wrong is said and left out.
///
/// # Errors
/// What is wrong with them, in one line.
pub fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Asked, String> {
    super::notice::to_stderr();
    parse_as(init::role(), arguments)
}

fn parse_as(role: Role, arguments: impl IntoIterator<Item = OsString>) -> Result<Asked, String> {
    let mut arguments = arguments.into_iter();
    let mut config = Config {
        settings: None,
        ..Config::default()
    };
    while let Some(argument) = arguments.next() {
        match take(&mut config, &argument, &mut arguments) {
            Ok(None) => {}
            Ok(Some(text)) => return Ok(Asked::Print(text)),
            Err(why) if role == Role::Machine => tracing::warn!("argument {why}; left out"),
            Err(why) => return Err(why),
        }
    }
    if config.settings.is_none() && config.units.is_none() {
        config.settings = Config::default().settings;
    }
    Ok(Asked::Run(Box::new(config)))
}

/// Takes one flag with its value; or gives back what it wants printed.
fn take(
    config: &mut Config,
    argument: &OsStr,
    rest: &mut impl Iterator<Item = OsString>,
) -> Result<Option<String>, String> {
    let mut parts = argument.as_bytes().splitn(2, |byte| *byte == b'=');
    let name = String::from_utf8_lossy(parts.next().unwrap_or_default());
    let attached = parts.next().map(|value| OsStr::from_bytes(value).to_owned());
    let flag = FLAGS.iter().find(|flag| flag.name == name);
    let flag = flag.ok_or_else(|| format!("{name}: no such flag"))?;
    match (&flag.act, attached) {
        (Act::Print(text), None) => Ok(Some(text())),
        (Act::Print(_), Some(_)) => Err(format!("{name}: it takes no value")),
        (Act::Set(act), attached) => {
            let value = attached.or_else(|| rest.next());
            let value = value.ok_or_else(|| format!("{name}: a value is missing"))?;
            act(config, value).map_err(|why| format!("{name}: {why}"))?;
            Ok(None)
        }
    }
}

fn usage() -> String {
    let mut text = "svcd: a declarative workload supervisor\n\nusage: svcd [FLAG VALUE]...\n\n".to_owned();
    for flag in FLAGS {
        let form = format!("{} {}", flag.name, flag.value);
        let default = if flag.default.is_empty() {
            String::new()
        } else {
            format!(" [{}]", flag.default)
        };
        text.push_str(&format!("  {form:<18} {}{default}\n", flag.doc));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Asked, String> {
        parse(line.split_whitespace().map(OsString::from))
    }

    fn config(line: &str) -> Config {
        match parsed(line) {
            Ok(Asked::Run(config)) => *config,
            other => panic!("{line}: {other:?}"),
        }
    }

    #[test]
    fn every_flag_is_taken_in_both_forms() {
        for joined in [' ', '='] {
            let all = FLAGS.iter().filter(|flag| !flag.value.is_empty());
            let all: Vec<String> = all.map(|flag| format!("{}{joined}/x", flag.name)).collect();
            let config = config(&all.join(" "));
            let path = PathBuf::from("/x");
            assert_eq!(config.units, Some(vec![path.clone()]));
            assert_eq!(config.settings, Some(path.clone()));
            assert_eq!([&config.runtime_dir, &config.state_dir, &config.log_dir], [&path; 3]);
            assert_eq!(config.cgroup, "/x");
        }
    }

    #[test]
    fn a_machine_comes_up_whatever_the_kernel_passes_on() {
        let line = "splash single --bogus x=y --units /u --cgroup";
        assert!(parsed(line).is_err());
        match parse_as(Role::Machine, line.split_whitespace().map(OsString::from)) {
            Ok(Asked::Run(config)) => assert_eq!((config.units, &*config.cgroup), (Some(vec!["/u".into()]), "svc")),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn units_are_many_and_do_without_the_machines_settings() {
        assert_eq!(config("").settings, Some("/etc/svc/svcd.toml".into()));
        let both = config("--units a --units b");
        assert_eq!(both.units, Some(vec!["a".into(), "b".into()]));
        assert_eq!(both.settings, None);
        assert_eq!(config("--settings s --units a").settings, Some("s".into()));
    }

    #[test]
    fn the_defaults_that_are_shown_are_those_of_the_configuration() {
        let config = Config::default();
        let path = |path: PathBuf| path.display().to_string();
        for (name, default) in [
            ("--runtime-dir", path(config.runtime_dir)),
            ("--state-dir", path(config.state_dir)),
            ("--log-dir", path(config.log_dir)),
            ("--cgroup", config.cgroup),
            ("--settings", path(config.settings.unwrap())),
        ] {
            let row = FLAGS.iter().find(|flag| flag.name == name).unwrap();
            assert_eq!(row.default.split(';').next(), Some(&*default), "{name}");
        }
    }

    #[test]
    fn help_tells_of_each_and_what_is_wrong_is_named() {
        let Ok(Asked::Print(help)) = parsed("--units a --help") else {
            panic!()
        };
        assert!(
            FLAGS
                .iter()
                .all(|flag| help.contains(flag.name) && help.contains(flag.doc)),
            "{help}"
        );
        for (line, why) in [
            ("--fly", "--fly: no such flag"),
            ("units", "units: no such flag"),
            ("--units", "--units: a value is missing"),
            ("--help=x", "--help: it takes no value"),
        ] {
            assert_eq!(parsed(line).unwrap_err(), why);
        }
    }
}
