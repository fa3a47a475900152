//! `[boot]` of `svcd.toml`: what a machine's init does before the first unit. It means nothing where svcd is not that.

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;
use serde::de::{self, Deserializer, Visitor};

/// `[boot]`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct Settings {
    /// Kernel modules to load, in this order, each after what it depends on. Words after a name are its parameters:
    /// `"loop max_loop=4"`. modules-load.d(5) without the files.
    pub modules: Vec<Box<str>>,
    /// The machine's name, 1 to 64 bytes. Absent: the first line of /etc/hostname, or else `localhost`. hostname(7).
    pub hostname: Option<Box<str>>,
    /// Kernel settings by their names below /proc/sys: `{ "net.ipv4.ip_forward" = 1 }`. sysctl(8), sysctl.d(5).
    pub sysctl: BTreeMap<Box<str>, SysctlValue>,
    /// A name below /usr/share/zoneinfo, `"Europe/Berlin"`, which /etc/localtime is made to link to; localtime(5).
    /// Absent: /etc/localtime as it is.
    pub timezone: Option<Box<str>>,
    /// Which control groups to mount where none are; `svc.cgroup=v1` on the kernel's command line goes before.
    pub cgroup: CgroupVersion,
}

/// The two generations of control groups; cgroups(7).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CgroupVersion {
    /// A hierarchy for each controller.
    V1,
    /// One tree for all.
    #[default]
    V2,
}

/// What is written to a file of /proc/sys: a number or a text of one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SysctlValue(pub Box<str>);

impl<'de> Deserialize<'de> for SysctlValue {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Value;
        impl Visitor<'_> for Value {
            type Value = SysctlValue;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number, or a text of one line")
            }
            fn visit_i64<E: de::Error>(self, number: i64) -> Result<SysctlValue, E> {
                Ok(SysctlValue(number.to_string().into()))
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<SysctlValue, E> {
                // A second line could smuggle in what the first does not show (CVE-2022-0811).
                if text.contains(['\n', '\0']) {
                    return Err(E::invalid_value(de::Unexpected::Str(text), &self));
                }
                Ok(SysctlValue(text.into()))
            }
        }
        from.deserialize_any(Value)
    }
}
