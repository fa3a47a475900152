//! `[isolation]`: what a service may see and do.

use serde::Serialize;

use super::OptionalPath;
use super::calls::Architecture;
use super::filter::{NamespaceKinds, Seccomp, SocketFamilies};
use super::namespaces::{Namespace, TimeOffsets, UserNamespace, serialize_user};
use super::value;
use super::view::View;

/// `[isolation]`, with the profile applied: every value is what is wanted of the kernel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs)]
pub struct Isolation {
    pub profile: Profile,
    pub mount: bool,
    pub pid: Namespace,
    pub ipc: Namespace,
    pub uts: bool,
    pub cgroup: bool,
    #[serde(serialize_with = "serialize_user")]
    /// None: svcd's own.
    pub user: Option<UserNamespace>,
    /// None: svcd's own clocks.
    pub time: Option<TimeOffsets>,
    pub init: bool,
    pub hostname: Option<Box<str>>,
    pub private_tmp: bool,
    pub private_devices: bool,
    pub protect_system: ProtectSystem,
    /// Masked and read-only paths of /proc and /sys.
    pub protect_kernel_tunables: bool,
    #[serde(flatten)]
    pub view: View,
    pub no_new_privileges: bool,
    #[serde(serialize_with = "value::serialize_capabilities")]
    /// The bounding set, bit N for capability N of capabilities(7); None: all that the kernel has.
    pub capabilities: Option<u64>,
    #[serde(serialize_with = "value::serialize_ambient")]
    /// What programs of a user other than root hold, likewise; within the bounding set.
    pub ambient_capabilities: u64,
    pub seccomp: Seccomp,
    pub landlock: Option<Box<Landlock>>,
    pub restrict_namespaces: NamespaceKinds,
    pub lock_personality: bool,
    pub memory_deny_write_execute: bool,
    pub restrict_realtime: bool,
    pub restrict_suid_sgid: bool,
    /// None: any.
    pub restrict_address_families: Option<SocketFamilies>,
    /// Empty: all that the filter knows.
    pub system_call_architectures: Vec<Architecture>,
    /// None: svcd's own.
    pub personality: Option<Personality>,
    pub keyring_mode: KeyringMode,
    /// Keys that may be skipped where they cannot be enforced.
    pub best_effort: Vec<Box<str>>,
}

/// The sets of defaults for `[isolation]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs)]
pub enum Profile {
    None,
    Standard,
    Strict,
}

/// systemd.exec(5), `ProtectSystem=`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProtectSystem {
    /// Nothing is read-only.
    No,
    /// /usr and /boot are.
    Yes,
    /// /etc too.
    Full,
    /// Everything but /dev, /proc and /sys.
    Strict,
}

/// The files that a service may reach, and what for; landlock(7). A path is a file or all below a directory.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Landlock {
    /// Read and list.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub read_only: Vec<OptionalPath>,
    /// That, and write, make, rename, remove.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub read_write: Vec<OptionalPath>,
    /// Execute, and read.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub execute: Vec<OptionalPath>,
}

/// The execution domain of personality(2), by the machine that uname(2) then tells of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[allow(missing_docs)]
pub enum Personality {
    #[serde(rename = "x86-64")]
    X86_64,
    #[serde(rename = "x86")]
    X86,
    #[serde(rename = "arm64")]
    Aarch64,
    #[serde(rename = "arm")]
    Arm,
}

/// systemd.exec(5), `KeyringMode=`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum KeyringMode {
    /// The session keyring of svcd.
    Inherit,
    /// A session keyring of its own.
    Private,
    /// That, with the user's keyring linked into it.
    Shared,
}
