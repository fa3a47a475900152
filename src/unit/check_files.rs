//! Rules for `[root]` and `[[mount]]`: what each key by itself cannot say.

use std::path::{Component, Path};

use super::decode::{Input, Issue, at_of, find};
use super::node::{Data, Node};
use super::{InnerMount, LAYERS_MAX, RootFrom, Service, Writable};

/// `[root]`.
pub fn root(input: &Input<'_>, service: &Service, issues: &mut Vec<Issue>) {
    let at = |key| at_of(input.tree, "root", key);
    let Some(root) = &service.root else {
        let without = ["writable", "size"].into_iter().find_map(at);
        issues.extend(without.map(|at| Issue::error(at, "`[root]` needs `image`, `path` or `layers`")));
        return;
    };
    let mut places = ["layers", "path", "image"].into_iter().filter_map(at);
    let Some(place) = places.next() else { return };
    let layers = root.layers();
    let is_image = matches!(root.from, RootFrom::Image(_));
    let wrong = if places.next().is_some() {
        "a root is one of `image`, `path` and `layers`"
    } else if layers.iter().any(|layer| has_parent_steps(layer)) {
        "a path without `..`"
    } else if layers.iter().any(|layer| layer.components().count() < 2) {
        "without `[root]`, the root is the machine's own"
    } else if find(input.tree, "root", "layers").is_some_and(has_optional) {
        "no layer is optional"
    } else if layers.is_empty() && !is_image {
        "a root has at least one layer"
    } else if layers.len() > LAYERS_MAX {
        "a root has at most 500 layers"
    } else if !service.isolation.mount {
        "`[root]` needs `mount = true` in `[isolation]`"
    } else if root.writable == Some(Writable::Persistent) && !service.isolation.init {
        "`persistent` needs `init = true` in `[isolation]`: without it each command would have a root of its own"
    } else if root.size.is_some() && root.writable != Some(Writable::Tmpfs) {
        "`size` is that of a tmpfs: it needs `writable = \"tmpfs\"`"
    } else {
        return;
    };
    issues.push(Issue::error(place, wrong));
}

fn has_optional(list: &Node) -> bool {
    let is_optional = |item: &Node| matches!(&item.data, Data::Text(text) if text.starts_with('-'));
    matches!(&list.data, Data::List(items) if items.iter().any(is_optional))
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
