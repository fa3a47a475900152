//! Rules across keys and across units: what each key by itself cannot say.

use std::collections::BTreeMap;
use std::path::{Component, Path};
use std::rc::Rc;
use std::time::Duration;

use super::check_files;
use super::check_type;
use super::decode::{Input, Issue, at_of};
use super::report::{Finding, Severity};
use super::*;

/// Rules across the keys of one unit.
pub(super) fn unit(input: &Input<'_>, unit: &Unit, issues: &mut Vec<Issue>) {
    match &unit.kind {
        Kind::Service(service) => check_service(input, service, issues),
        Kind::Slice(resources) => check_resources(input, resources, issues),
        Kind::Mount(mount) => check_mount(input, mount, issues),
        Kind::Masked | Kind::Target => {}
    }
}

fn check_mount(input: &Input<'_>, mount: &Mount, issues: &mut Vec<Issue>) {
    let table = input.tree.get("mount").map(|(at, _)| at.clone());
    let mut error = |key: &str, message: &str| {
        let at = at_of(input.tree, "mount", key).or_else(|| table.clone());
        issues.push(Issue {
            severity: Severity::Error,
            at,
            message: message.into(),
            hint: None,
        });
    };
    if mount.what.is_empty() {
        error("what", "a mount needs `what`");
    }
    let plain = |part| matches!(part, Component::RootDir | Component::Normal(_));
    if mount.place.as_os_str().is_empty() {
        error("where", "a mount needs `where`");
    } else if mount.place == Path::new("/") {
        error("where", "the root is mounted by the kernel's `root=`");
    } else if !mount.place.components().all(plain) {
        error("where", "a place to mount on is a path without `..`");
    }
    if mount
        .options
        .iter()
        .any(|words| words.split(',').any(|word| word == "remount"))
    {
        error("options", "`remount` changes a mount; a unit is one");
    }
}

fn check_service(input: &Input<'_>, service: &Service, issues: &mut Vec<Issue>) {
    let at = |table, key| at_of(input.tree, table, key);
    let mut error = |at: Option<At>, message: &str| {
        issues.push(Issue {
            severity: Severity::Error,
            at,
            message: message.into(),
            hint: None,
        })
    };
    let service_at = input.tree.get("service").map(|(at, _)| at.clone());
    if service.exec_start.is_empty() {
        error(
            at("service", "exec-start").or(service_at),
            "a service needs `exec-start`",
        );
    }
    if service.exec_start.len() > 1 && service.r#type != ServiceType::Oneshot {
        error(
            at("service", "exec-start"),
            "several commands are for `type = \"oneshot\"`",
        );
    }
    if service.reload_signal.is_some() && !service.exec_reload.is_empty() {
        error(
            at("service", "reload-signal"),
            "`reload-signal` or `exec-reload`, not both",
        );
    }
    let isolation = &service.isolation;
    if service.dynamic_user && !(isolation.no_new_privileges && isolation.restrict_suid_sgid) {
        error(
            at("service", "dynamic-user"),
            "`dynamic-user` needs `no-new-privileges` and `restrict-suid-sgid`",
        );
    }
    if service.dynamic_user && (matches!(service.user, Some(Account::Id(_))) || service.group.is_some()) {
        error(
            at("service", "dynamic-user"),
            "`dynamic-user` has a number and a group of its own: `user` is a name, and there is no `group`",
        );
    }
    if service.scheduling.cpu_scheduling_priority.is_some() && !service.scheduling.cpu_scheduling_policy.is_realtime() {
        error(
            at("service", "cpu-scheduling-priority"),
            "`cpu-scheduling-priority` needs `cpu-scheduling-policy = \"fifo\"` or \"rr\"",
        );
    }
    if service.restart.delay > service.restart.max_delay {
        error(at("restart", "max-delay"), "`max-delay` is below `delay`");
    }
    check_input_data(input, service, issues);
    check_type::check(input, service, issues);
    check_isolation(input, &service.isolation, issues);
    check_files::root(input, service, issues);
    check_files::mounts(input, service, issues);
    read_triggers::check(input, service, issues);
    check_files::directories(input, service, issues);
    super::read_network::together(input.tree, service, issues);
    check_resources(input, &service.resources, issues);
}

fn check_input_data(input: &Input<'_>, service: &Service, issues: &mut Vec<Issue>) {
    for key in ["standard-input-text", "standard-input-data"] {
        let unread = at_of(input.tree, "service", key).filter(|_| service.input_data().is_none());
        let why = format!("`{key}` needs `standard-input = \"data\"`, which is the default beside it");
        issues.extend(unread.map(|at| Issue::error(at, why)));
    }
}

fn check_isolation(input: &Input<'_>, isolation: &Isolation, issues: &mut Vec<Issue>) {
    let at = |key| at_of(input.tree, "isolation", key);
    let mut error = |at: Option<At>, message: &str| {
        issues.push(Issue {
            severity: Severity::Error,
            at,
            message: message.into(),
            hint: None,
        })
    };
    if isolation.hostname.is_some() && !isolation.uts {
        error(at("hostname"), "`hostname` needs `uts = true`");
    }
    if let Some(hostname) = &isolation.hostname {
        let good = (1..=64).contains(&hostname.len())
            && hostname
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'.');
        if !good {
            error(at("hostname"), "a host name has 1 to 64 letters, digits, `-` and `.`");
        }
    }
    let needs_mount = [
        ("private-tmp", isolation.private_tmp),
        ("private-devices", isolation.private_devices),
        ("protect-system", isolation.protect_system != ProtectSystem::No),
        ("protect-kernel-tunables", isolation.protect_kernel_tunables),
    ];
    for (key, on) in needs_mount.into_iter().chain(isolation.view.need_mounts()) {
        if on && !isolation.mount {
            let at = at(key).or_else(|| at("mount"));
            error(at, &format!("`{key}` needs `mount = true`"));
        }
    }
    for (key, list) in isolation.view.lists() {
        if list.iter().any(|listed| check_files::has_parent_steps(&listed.path)) {
            error(at(key), &format!("`{key}` takes paths without `..`"));
        }
    }
    if isolation.ambient_capabilities & !isolation.bounding().unwrap_or(u64::MAX) != 0 {
        error(
            at("ambient-capabilities"),
            "`ambient-capabilities` are within `capabilities`, and none of those that a `protect-` key takes away",
        );
    }
}

use super::node::At;

fn check_resources(input: &Input<'_>, resources: &Resources, issues: &mut Vec<Issue>) {
    let at = |key| at_of(input.tree, "resources", key);
    if let Some(period) = resources.cpu_period
        && !(Duration::from_millis(1)..=Duration::from_secs(1)).contains(&period)
    {
        let message = "`cpu-period` is 1ms to 1s".into();
        issues.push(Issue {
            severity: Severity::Error,
            at: at("cpu-period"),
            message,
            hint: None,
        });
    }
    if let (Some(high), Some(max)) = (resources.memory_high, resources.memory_max)
        && high > max
        && let Some(at) = at("memory-high")
    {
        issues.push(Issue::warning(
            at,
            "`memory-high` is above `memory-max`, and so is never reached",
        ));
    }
}

/// Rules across units: cycles, names that nobody has, slices that are none.
pub fn units(units: &BTreeMap<UnitName, Rc<Unit>>) -> Vec<Finding> {
    let mut findings = cycles(units);
    for unit in units.values() {
        for link in &unit.links {
            if !units.contains_key(&link.to) {
                let hint = decode::nearest(link.to.as_str(), units.keys().map(UnitName::as_str));
                let hint = hint.map(|near| format!("did you mean `{near}`?"));
                findings.push(at_place(
                    unit,
                    &link.place,
                    Severity::Warning,
                    format!("no such unit: `{}`", link.to),
                    hint,
                ));
            }
        }
        findings.extend(slice_finding(unit, units));
    }
    findings
}

/// A limit that this machine does not hold, so that the start would be refused; None: the unit's files do not ask for it.
pub fn unenforceable(unit: &Unit, why: &Unenforceable) -> Option<Finding> {
    let place = unit.origin.place("resources", &why.key)?;
    let message = format!("`{}` cannot be enforced on this machine: {}", why.key, why.cause);
    let hint = format!(
        "with `best-effort = [\"{}\"]` in `[isolation]` the unit starts without it",
        why.key
    );
    Some(at_place(unit, &place, Severity::Warning, message, Some(hint)))
}

fn slice_of(unit: &Unit) -> Option<&UnitName> {
    match &unit.kind {
        Kind::Service(service) => service.resources.slice.as_ref(),
        Kind::Slice(resources) => resources.slice.as_ref(),
        Kind::Masked | Kind::Target | Kind::Mount(_) => None,
    }
}

fn slice_finding(unit: &Unit, units: &BTreeMap<UnitName, Rc<Unit>>) -> Option<Finding> {
    let mut next = slice_of(unit);
    let mut depth = 0;
    while let Some(name) = next {
        depth += 1;
        let slice = units.get(name).filter(|slice| matches!(slice.kind, Kind::Slice(_)));
        let message = match slice {
            None => format!("`{name}` is no slice"),
            Some(_) if depth > units.len() => format!("slice `{name}` sits in itself"),
            Some(slice) => {
                next = slice_of(slice);
                continue;
            }
        };
        let place = Place {
            file: unit.origin.files.first().cloned().unwrap_or_default(),
            line: 0,
        };
        return Some(at_place(unit, &place, Severity::Warning, message, None));
    }
    None
}

/// Every cycle of the order of starts, each edge with its file and line; iterative, since a chain may be long.
pub fn cycles(units: &BTreeMap<UnitName, Rc<Unit>>) -> Vec<Finding> {
    let places: BTreeMap<&str, usize> = units
        .keys()
        .enumerate()
        .map(|(place, name)| (name.as_str(), place))
        .collect();
    let all: Vec<&Rc<Unit>> = units.values().collect();
    let mut waits: Vec<Vec<(usize, Place)>> = vec![Vec::new(); all.len()];
    for (from, unit) in all.iter().enumerate() {
        for link in &unit.links {
            let Some(to) = places.get(link.to.as_str()).copied() else {
                continue;
            };
            let is_target = all.get(to).is_some_and(|unit| matches!(unit.kind, Kind::Target));
            let (waiter, awaited) = match link.kind {
                LinkKind::Requires(_) | LinkKind::Wants | LinkKind::BindsTo | LinkKind::After => (from, to),
                LinkKind::Before => (to, from),
                LinkKind::WantedBy if is_target => (to, from),
                LinkKind::WantedBy
                | LinkKind::PartOf
                | LinkKind::Conflicts
                | LinkKind::OnFailure
                | LinkKind::OnSuccess => continue,
            };
            // One edge for two words that say the same, or a cycle would be told twice.
            if waiter != awaited
                && let Some(list) = waits.get_mut(waiter)
                && !list.iter().any(|(known, _)| *known == awaited)
            {
                list.push((awaited, link.place.clone()));
            }
        }
    }
    let mut findings = Vec::new();
    let mut done = vec![false; all.len()];
    for root in 0..all.len() {
        find_cycles(root, &waits, &mut done, |path| findings.push(describe(path, &all)));
    }
    findings
}

/// Depth first; an edge to a unit that is on the path closes a cycle.
fn find_cycles(
    root: usize,
    waits: &[Vec<(usize, Place)>],
    done: &mut [bool],
    mut found: impl FnMut(&[(usize, Place)]),
) {
    let mut path: Vec<(usize, usize)> = vec![(root, 0)];
    let mut on_path = std::collections::BTreeMap::from([(root, 0_usize)]);
    while let Some((unit, nth)) = path.last_mut() {
        let unit = *unit;
        let edge = if done.get(unit).copied().unwrap_or(true) {
            None
        } else {
            waits.get(unit).and_then(|list| list.get(*nth))
        };
        match edge {
            Some((next, _)) => {
                *nth += 1;
                if let Some(start) = on_path.get(next).copied() {
                    let members = path.get(start..).unwrap_or_default();
                    let edges = members.iter().filter_map(|(unit, taken)| {
                        let (_, place) = waits.get(*unit)?.get(taken.checked_sub(1)?)?;
                        Some((*unit, place.clone()))
                    });
                    found(&edges.collect::<Vec<_>>());
                } else if !done.get(*next).copied().unwrap_or(true) {
                    on_path.insert(*next, path.len());
                    path.push((*next, 0));
                }
            }
            None => {
                path.pop();
                on_path.remove(&unit);
                if let Some(done) = done.get_mut(unit) {
                    *done = true;
                }
            }
        }
    }
}

fn describe(path: &[(usize, Place)], all: &[&Rc<Unit>]) -> Finding {
    let name = |unit: usize| all.get(unit).map_or("", |unit| unit.name.as_str());
    let mut text = String::from("cycle: ");
    for (unit, place) in path {
        text.push_str(&format!("{} ({}:{}) → ", name(*unit), place.file, place.line));
    }
    text.push_str(path.first().map_or("", |(unit, _)| name(*unit)));
    let first = path.first().and_then(|(unit, place)| Some((all.get(*unit)?, place)));
    match first {
        // A cycle is no fault of one file: its units load all the same, and the engine blocks those that are in it.
        Some((unit, place)) => at_place(unit, place, Severity::Error, text, None),
        None => at_place(
            &Unit::target(UnitName::default_target()),
            &Place::default(),
            Severity::Error,
            text,
            None,
        ),
    }
}

fn at_place(unit: &Unit, place: &Place, severity: Severity, message: String, hint: Option<String>) -> Finding {
    Finding {
        severity,
        unit: Some(unit.name.clone()),
        file: place.file.clone(),
        span: None,
        line: place.line,
        column: u32::from(place.line > 0),
        source: None,
        message: message.into(),
        hint: hint.map(String::into_boxed_str),
    }
}
