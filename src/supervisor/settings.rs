//! `svcd.toml`: the supervisor's own settings (INTERFACE section 1).

use std::io;
use std::path::Path;
use std::time::Duration;

use serde::Deserialize;

pub use super::network::NetworkSettings;

/// All settings, with their defaults.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct Settings {
    /// The target that boots.
    pub default_target: Box<str>,
    /// `[reload]`.
    pub reload: Reload,
    /// `[deploy]`.
    pub deploy: Deploy,
    /// `[log]`.
    pub log: LogSettings,
    /// `[network]`.
    pub network: NetworkSettings,
    /// `[shutdown]`.
    pub shutdown: Shutdown,
    /// `[container]`: where svcd is a container's PID 1.
    pub container: Container,
    /// `[boot]`: where svcd is a machine's init.
    pub boot: crate::init::Settings,
}

/// `[reload]`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct Reload {
    /// What an edited unit file does.
    pub mode: ReloadMode,
}

/// What an edited unit file does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ReloadMode {
    /// It is checked and taken over after a short settle.
    #[default]
    Auto,
    /// `svc apply` takes it over.
    Manual,
}

/// `[deploy]`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct Deploy {
    /// For so long a generation has to show that it is good, or gives way to the last good one; "0s": none ever does.
    #[serde(deserialize_with = "probation")]
    pub probation: Duration,
}

/// `[log]`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct LogSettings {
    /// Bytes of all units' logs together, such as `"1G"`.
    #[serde(deserialize_with = "size")]
    pub budget: u64,
}

/// `[shutdown]`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct Shutdown {
    /// All of it takes no longer: units have two thirds of this to stop, in reverse order; what is left then is ended,
    /// and file systems unmounted, in the last third. 1 s to 1 day.
    #[serde(deserialize_with = "shutdown_timeout")]
    pub timeout: Duration,
}

/// `[container]`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct Container {
    /// The unit that the container is for: when it has ended for good, so does the container, with its exit status.
    /// SIGUSR1, SIGUSR2, SIGWINCH and SIGQUIT to svcd are passed on to it. Absent: the container ends when it is told to.
    pub main: Option<Box<str>>,
}

/// Settles this long after the last change of a unit directory …
pub const RELOAD_SETTLE: Duration = Duration::from_millis(200);
/// … but no longer than this after the first.
pub const RELOAD_SETTLE_MAX: Duration = Duration::from_millis(900);

impl Default for Settings {
    fn default() -> Self {
        Self {
            default_target: "default".into(),
            reload: Reload::default(),
            shutdown: Shutdown::default(),
            container: Container::default(),
            deploy: Deploy::default(),
            log: LogSettings::default(),
            network: NetworkSettings::default(),
            boot: crate::init::Settings::default(),
        }
    }
}

impl Default for Shutdown {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(90),
        }
    }
}

impl Default for Deploy {
    fn default() -> Self {
        Self {
            probation: Duration::from_secs(30),
        }
    }
}

impl Default for LogSettings {
    fn default() -> Self {
        Self { budget: 1 << 30 }
    }
}

impl Settings {
    /// Reads a settings file; one that is not there is all defaults.
    ///
    /// # Errors
    /// A file that cannot be read or says something unknown, in one line with the file's name.
    pub fn read(path: &Path) -> Result<Self, String> {
        match std::fs::read_to_string(path) {
            Ok(text) => toml::from_str(&text).map_err(|error| {
                let line = error.span().map_or(0, |span| {
                    text.bytes().take(span.start).filter(|b| *b == b'\n').count() + 1
                });
                format!("{}:{line}: {}", path.display(), error.message())
            }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(format!("{}: {error}", path.display())),
        }
    }
}

fn shutdown_timeout<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
    let timeout = crate::unit::value::parse_duration(&String::deserialize(from)?).map_err(serde::de::Error::custom)?;
    let range = Duration::from_secs(1)..=Duration::from_secs(86_400);
    let wrong = || serde::de::Error::custom("expected a duration from \"1s\" to \"1d\"");
    range.contains(&timeout).then_some(timeout).ok_or_else(wrong)
}

fn probation<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
    let probation =
        crate::unit::value::parse_duration(&String::deserialize(from)?).map_err(serde::de::Error::custom)?;
    let wrong = || serde::de::Error::custom("expected a duration up to \"1d\"");
    (probation <= Duration::from_secs(86_400))
        .then_some(probation)
        .ok_or_else(wrong)
}

fn size<'de, D: serde::Deserializer<'de>>(from: D) -> Result<u64, D::Error> {
    let text = String::deserialize(from)?;
    crate::unit::Size::parse(&text)
        .map(|size| size.0)
        .map_err(serde::de::Error::custom)
}
