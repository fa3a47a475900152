//! What a service may see and do; systemd.exec(5), "Sandboxing".

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::commands::set;
use super::draft::Draft;
use super::rules::Form::{Bool, BoolOr, Paths, Text, Word};
use super::rules::Rule::{self, As, By, Needless, Never};
use super::rules::{Fate, Form};
use super::syntax::words;
use super::values;
use crate::unit::{filter, value};

#[rustfmt::skip]
pub const RULES: &[(&str, Rule)] = &[
    ("PrivateTmp", As("isolation", "private-tmp", Bool)),
    ("PrivateDevices", As("isolation", "private-devices", Bool)),
    ("PrivateNetwork", By(private_network)),
    ("PrivateUsers", By(private_users)),
    ("PrivateIPC", As("isolation", "ipc", Bool)),
    ("PrivateMounts", As("isolation", "mount", Bool)),
    ("RemoveIPC", By(remove_ipc)),
    ("MountFlags", Needless("what is mounted within a namespace stays there")),
    ("ProtectSystem", As("isolation", "protect-system", BoolOr(&["full", "strict"]))),
    ("ProtectHome", As("isolation", "protect-home", BoolOr(&["read-only", "tmpfs"]))),
    ("ProtectKernelTunables", As("isolation", "protect-kernel-tunables", Bool)),
    ("ProtectKernelModules", As("isolation", "protect-kernel-modules", Bool)),
    ("ProtectKernelLogs", As("isolation", "protect-kernel-logs", Bool)),
    ("ProtectControlGroups", As("isolation", "protect-control-groups", Bool)),
    ("ProtectClock", As("isolation", "protect-clock", Bool)),
    ("ProtectHostname", As("isolation", "protect-hostname", Bool)),
    ("ProtectProc", As("isolation", "protect-proc", Word(&[("default", "default"), ("noaccess", "noaccess"), ("invisible", "invisible"), ("ptraceable", "ptraceable")]))),
    ("ProcSubset", Never("/proc has all of its files; protect-proc hides processes")),
    ("ReadOnlyPaths", As("isolation", "read-only-paths", Paths)),
    ("ReadOnlyDirectories", As("isolation", "read-only-paths", Paths)),
    ("ReadWritePaths", As("isolation", "read-write-paths", Paths)),
    ("ReadWriteDirectories", As("isolation", "read-write-paths", Paths)),
    ("InaccessiblePaths", As("isolation", "inaccessible-paths", Paths)),
    ("InaccessibleDirectories", As("isolation", "inaccessible-paths", Paths)),
    ("ExecPaths", As("isolation", "exec-paths", Paths)),
    ("NoExecPaths", As("isolation", "no-exec-paths", Paths)),
    ("BindPaths", By(|draft, value| bind(draft, value, false))),
    ("BindReadOnlyPaths", By(|draft, value| bind(draft, value, true))),
    ("TemporaryFileSystem", By(temporary)),
    ("NoNewPrivileges", As("isolation", "no-new-privileges", Bool)),
    ("CapabilityBoundingSet", By(|draft, value| capabilities(draft, "capabilities", value))),
    ("AmbientCapabilities", By(|draft, value| capabilities(draft, "ambient-capabilities", value))),
    ("Capabilities", Needless("systemd does not read it either")),
    ("SecureBits", Never("securebits stay as the kernel has them")),
    ("SystemCallFilter", By(system_calls)),
    ("SystemCallErrorNumber", By(|draft, value| {
        draft.insert("isolation", "seccomp", "errno", value.into());
        Fate::Kept
    })),
    ("SystemCallLog", Never("calls are not logged")),
    ("SystemCallArchitectures", As("isolation", "system-call-architectures", Form::Texts)),
    ("RestrictAddressFamilies", By(families)),
    ("RestrictNamespaces", By(namespaces)),
    ("LockPersonality", As("isolation", "lock-personality", Bool)),
    ("MemoryDenyWriteExecute", As("isolation", "memory-deny-write-execute", Bool)),
    ("RestrictRealtime", As("isolation", "restrict-realtime", Bool)),
    ("RestrictSUIDSGID", As("isolation", "restrict-suid-sgid", Bool)),
    ("RestrictFileSystems", Never("what is mounted is what may be reached")),
    ("Personality", As("isolation", "personality", Word(&[("x86-64", "x86-64"), ("x86", "x86"), ("arm64", "arm64"), ("arm", "arm")]))),
    ("KeyringMode", As("isolation", "keyring-mode", Word(&[("inherit", "inherit"), ("private", "private"), ("shared", "shared")]))),
    ("AppArmorProfile", Never("svc loads no profiles of AppArmor")),
    ("SELinuxContext", Never("svc sets no contexts of SELinux")),
    ("SmackProcessLabel", Never("svc sets no labels of Smack")),
    ("NetworkNamespacePath", Never("[network] mode = \"join:UNIT\" joins that of a unit")),
    ("RootImage", Never("[root] image is an OCI image")),
    ("MountAPIVFS", Needless("a root of its own has /proc, /sys and /dev")),
    ("Hostname", As("isolation", "hostname", Text)),
];

fn private_network(draft: &mut Draft, value: &str) -> Fate {
    match values::boolean(value) {
        Ok(true) => set(draft, "network", "mode", Ok("none".into())),
        Ok(false) => Fate::Kept,
        Err(why) => Fate::Lost(why),
    }
}

fn private_users(draft: &mut Draft, value: &str) -> Fate {
    match values::boolean(value) {
        Ok(true) => {
            draft.set("isolation", "user", "identity");
            Fate::Changed("user = \"identity\": all ids stay, the power over the machine goes".to_owned())
        }
        Ok(false) => Fate::Kept,
        Err(why) => Fate::Lost(why),
    }
}

fn remove_ipc(draft: &mut Draft, value: &str) -> Fate {
    match values::boolean(value) {
        Ok(true) => {
            draft.set("isolation", "ipc", true);
            Fate::Changed("ipc = true: what is in a namespace of its own goes with it".to_owned())
        }
        Ok(false) => Fate::Kept,
        Err(why) => Fate::Lost(why),
    }
}

/// `SOURCE[:TARGET[:OPTIONS]]`, several of them.
fn bind(draft: &mut Draft, value: &str, read_only: bool) -> Fate {
    let list = match words(value) {
        Ok(list) => list,
        Err(why) => return Fate::Lost(why),
    };
    let mut fate = Fate::Kept;
    for word in list {
        let plain = word.trim_start_matches('-');
        if plain != word {
            fate = Fate::Changed("what is mounted has to be there".to_owned());
        }
        let mut parts = plain.split(':');
        let source = parts.next().unwrap_or_default();
        let target = parts.next().filter(|target| !target.is_empty()).unwrap_or(source);
        let mut mount = Map::from_iter([
            ("target".to_owned(), json!(target)),
            ("source".to_owned(), json!(source)),
        ]);
        if read_only {
            mount.insert("read-only".to_owned(), json!(true));
        }
        draft.add("[mount]", mount);
    }
    fate
}

/// `TARGET[:OPTIONS]`.
fn temporary(draft: &mut Draft, value: &str) -> Fate {
    for word in value.split_whitespace() {
        let (target, options) = word.split_once(':').unwrap_or((word, ""));
        let mut mount = Map::from_iter([
            ("target".to_owned(), json!(target)),
            ("type".to_owned(), json!("tmpfs")),
        ]);
        let options: Vec<&str> = options.split(',').filter(|option| !option.is_empty()).collect();
        if !options.is_empty() {
            mount.insert("options".to_owned(), json!(options));
        }
        draft.add("[mount]", mount);
    }
    Fate::Kept
}

/// The first one with `~` is all but those; each further one adds or takes away; systemd.exec(5).
fn capabilities(draft: &mut Draft, key: &'static str, value: &str) -> Fate {
    let all = || {
        value::capability_names(u64::MAX)
            .into_iter()
            .collect::<BTreeSet<String>>()
    };
    let before = draft.get("isolation", key).and_then(Value::as_array);
    let before: Option<BTreeSet<String>> = before.map(|list| {
        let names = list.iter().filter_map(Value::as_str).filter(|name| *name != "none");
        names.map(str::to_owned).collect()
    });
    let (takes, names) = value.strip_prefix('~').map_or((false, value), |names| (true, names));
    let listed: BTreeSet<String> = names.split_whitespace().map(str::to_ascii_uppercase).collect();
    let (known, unknown): (BTreeSet<String>, BTreeSet<String>) = listed
        .into_iter()
        .partition(|name| value::capability_number(name).is_some());
    let set = match (before, takes) {
        (None, false) => known,
        (None, true) => &all() - &known,
        (Some(before), false) => &before | &known,
        (Some(before), true) => &before - &known,
    };
    let names: Vec<Value> = set.into_iter().map(Value::from).collect();
    draft.set(
        "isolation",
        key,
        if names.is_empty() {
            json!(["none"])
        } else {
            names.into()
        },
    );
    match unknown.is_empty() {
        true => Fate::Kept,
        false => Fate::Changed(format!(
            "without {}, which svc does not know",
            unknown.into_iter().collect::<Vec<_>>().join(", ")
        )),
    }
}

/// A list that begins without `~` allows; what is taken out of it, or of all, is denied.
fn system_calls(draft: &mut Draft, value: &str) -> Fate {
    let (denies, names) = value.strip_prefix('~').map_or((false, value), |names| (true, names));
    // A call may have an error number of its own.
    let names = names
        .split_whitespace()
        .map(|name| name.split(':').next().unwrap_or(name));
    let (known, unknown): (Vec<&str>, Vec<&str>) = names.partition(|name| filter::parse_entry(name).is_ok());
    let key = if denies { "deny" } else { "allow" };
    let before = draft
        .get("isolation", "seccomp")
        .and_then(|filter| filter.get(key)?.as_array().cloned());
    let mut list = before.unwrap_or_default();
    list.extend(known.into_iter().map(Value::from));
    draft.insert("isolation", "seccomp", key, list.into());
    match unknown.is_empty() {
        true => Fate::Kept,
        false => Fate::Changed(format!("without {}, which svc does not know", unknown.join(", "))),
    }
}

fn families(draft: &mut Draft, value: &str) -> Fate {
    let (denies, names) = value.strip_prefix('~').map_or((false, value), |names| (true, names));
    let list = names
        .split_whitespace()
        .map(|name| Value::from(format!("{}{name}", if denies { "~" } else { "" })));
    draft.extend("isolation", "restrict-address-families", list.collect());
    Fate::Kept
}

/// What may be made: none, all, those of a list, or with `~` all but those.
fn namespaces(draft: &mut Draft, value: &str) -> Fate {
    if let Ok(none) = values::boolean(value) {
        return set(draft, "isolation", "restrict-namespaces", Ok(none.into()));
    }
    let kinds = ["cgroup", "ipc", "net", "mnt", "pid", "user", "uts"];
    let (denies, names) = value.strip_prefix('~').map_or((false, value), |names| (true, names));
    let listed: Vec<&str> = names.split_whitespace().collect();
    let allowed = kinds.into_iter().filter(|kind| listed.contains(kind) != denies);
    let allowed: Vec<Value> = allowed.map(Value::from).collect();
    set(draft, "isolation", "restrict-namespaces", Ok(allowed.into()))
}

/// What every program needs; systemd.resource-control(5), `DevicePolicy=closed`.
const HARMLESS: [&str; 7] = [
    "/dev/null rw",
    "/dev/zero rw",
    "/dev/full rw",
    "/dev/random rw",
    "/dev/urandom rw",
    "/dev/tty rw",
    "char-pts rw",
];

pub fn device_policy(draft: &mut Draft, value: &str) -> Fate {
    match value {
        "auto" => Fate::Kept,
        "closed" => {
            draft.extend("resources", "devices", HARMLESS.into_iter().map(Value::from).collect());
            Fate::Kept
        }
        "strict" => Fate::Changed("the devices of DeviceAllow are the only ones".to_owned()),
        _ => Fate::Lost("svc has no such policy".to_owned()),
    }
}

/// Besides those that every program needs, which svc has to be told.
pub fn device_allow(draft: &mut Draft, value: &str) -> Fate {
    let mut parts = value.split_whitespace();
    let device = parts.next().unwrap_or_default();
    let access = parts.next().unwrap_or("rwm");
    if !device.starts_with("/dev/") && !device.starts_with("char-") && !device.starts_with("block-") {
        return Fate::Lost(format!("`{device}` is no device that svc can name"));
    }
    let more = HARMLESS
        .into_iter()
        .map(Value::from)
        .chain([format!("{device} {access}").into()]);
    draft.extend("resources", "devices", more.collect());
    Fate::Kept
}
