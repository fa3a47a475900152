//! Rules for `[root]` and `[[mount]]`: what each key by itself cannot say.

use std::path::{Component, Path};

use super::decode::{Input, Issue, at_of};
use super::node::Data;
use super::{InnerMount, Service};

/// `[root]`.
pub fn root(input: &Input<'_>, service: &Service, issues: &mut Vec<Issue>) {
    let (Some(root), Some(at)) = (&service.root, at_of(input.tree, "root", "path")) else {
        return;
    };
    let wrong = if has_parent_steps(&root.path) {
        "`path` is a path without `..`"
    } else if root.path.components().count() < 2 {
        "without `[root]`, the root is the machine's own"
    } else if !service.isolation.mount {
        "`[root]` needs `mount = true` in `[isolation]`"
    } else {
        return;
    };
    issues.push(Issue::error(at, wrong));
}

/// `[[mount]]`: each has a place, and none is where the kernel's own files are (CVE-2019-16884).
pub fn mounts(input: &Input<'_>, service: &Service, issues: &mut Vec<Issue>) {
    let Some(Data::List(items)) = input.tree.get("mount").map(|(_, node)| &node.data) else {
        return;
    };
    for (nth, (mount, item)) in service.mounts.iter().zip(items).enumerate() {
        let target = &mount.target;
        let under = |place: &str| target.starts_with(place);
        let is_bind = *mount.r#type == *InnerMount::BIND;
        let source = mount.source.as_deref().unwrap_or_default();
        let wrong = if target.as_os_str().is_empty() {
            "a `[[mount]]` needs `target`"
        } else if has_parent_steps(target) {
            "`target` is a path without `..`"
        } else if target.components().count() < 2 {
            "what is at `/` is said by `[root]`"
        } else if under("/proc") || under("/sys") {
            "nothing is mounted on or under /proc and /sys"
        } else if service.mounts.iter().take(nth).any(|other| other.target == *target) {
            "another `[[mount]]` has this `target`"
        } else if is_bind && !source.starts_with('/') {
            "a bind mount needs `source`, an absolute path"
        } else if !service.isolation.mount {
            "`[[mount]]` needs `mount = true` in `[isolation]`"
        } else {
            continue;
        };
        issues.push(Issue::error(item.at.clone(), wrong));
    }
}

/// Its end is told by no look at its text.
pub fn has_parent_steps(path: &Path) -> bool {
    path.components().any(|part| part == Component::ParentDir)
}

/// `runtime-directory` and its like, `credentials`.
pub fn directories(input: &Input<'_>, service: &Service, issues: &mut Vec<Issue>) {
    let mut error = |key: &str, message: String| {
        if let Some(at) = at_of(input.tree, "service", key) {
            issues.push(Issue::error(at, message));
        }
    };
    let is_plain = |part: Component<'_>| matches!(part, Component::Normal(_));
    for (key, _, names, _) in service.directories.kinds() {
        let wrong = |name: &str| name.is_empty() || name.contains(':') || !Path::new(name).components().all(is_plain);
        if let Some(name) = names.iter().find(|name| wrong(name)) {
            error(
                key,
                format!("`{name}` is no path below a root: without `..` and `:`, and relative"),
            );
        }
    }
    for (name, file) in &service.directories.credentials {
        if name.contains('/') || name.starts_with('.') || name.len() > 255 {
            error("credentials", format!("`{name}` is no name for a file"));
        }
        if !file.starts_with('/') {
            error("credentials", format!("`{file}` is no absolute path"));
        }
    }
    if !service.directories.credentials.is_empty() && !service.isolation.mount {
        error(
            "credentials",
            "`credentials` needs `mount = true` in `[isolation]`".to_owned(),
        );
    }
}
