//! `[[socket]]`, `[[timer]]` and `[[path]]` of a checked tree, and the rules for them.

use super::UnitName;
use super::decode::{Input, Issue, each};
use super::node::{At, Data, Node, Table, Wrong};
use super::read::{account, address, boolean, calendar, duration, mode, path, text, whole};
use super::{Input as From, Listen, Output, Service, Socket, Timer, WatchedPath};

/// As systemd's `SocketMode=`.
const MODE: u32 = 0o666;
/// The kernel's own, since 5.4; listen(2).
const BACKLOG: i64 = 4096;
/// More than any service has.
const SOCKETS_MAX: usize = 64;

/// One for each table, also where it is wrong.
pub fn timers(tree: &Table) -> Vec<Timer> {
    let one = |entries: &Table| Timer {
        on_calendar: value(entries, "on-calendar", calendar),
        every: value(entries, "every", duration),
        on_boot: value(entries, "on-boot", duration),
        persistent: value(entries, "persistent", boolean).unwrap_or(false),
        randomized_delay: value(entries, "randomized-delay", duration).unwrap_or_default(),
    };
    each(tree, "timer").map(one).collect()
}

/// Likewise.
pub fn paths(tree: &Table) -> Vec<WatchedPath> {
    let one = |entries: &Table| WatchedPath {
        exists: value(entries, "exists", path),
        changed: value(entries, "changed", path),
        modified: value(entries, "modified", path),
        directory_not_empty: value(entries, "directory-not-empty", path),
    };
    each(tree, "path").map(one).collect()
}

/// Whether a unit is for one connection that another one has accepted.
pub fn is_for_connection(name: &UnitName, tree: &Table) -> bool {
    name.as_str().contains('@') && sockets(tree).iter().any(|socket| socket.accept)
}

/// Likewise.
pub fn sockets(tree: &Table) -> Vec<Socket> {
    let one = |entries: &Table| Socket {
        listen_stream: value(entries, "listen-stream", address),
        listen_datagram: value(entries, "listen-datagram", address),
        listen_sequential_packet: value(entries, "listen-sequential-packet", address),
        listen_fifo: value(entries, "listen-fifo", path),
        name: value(entries, "name", text).map(String::into_boxed_str),
        lazy: value(entries, "lazy", boolean).unwrap_or(false),
        accept: value(entries, "accept", boolean).unwrap_or(false),
        mode: value(entries, "mode", mode).unwrap_or(MODE),
        user: value(entries, "user", account),
        group: value(entries, "group", account),
        backlog: value(entries, "backlog", |node| whole(node, 0, i64::from(u32::MAX)))
            .and_then(|backlog| u32::try_from(backlog).ok())
            .unwrap_or(BACKLOG as u32),
    };
    each(tree, "socket").map(one).collect()
}

/// A value that its check has passed.
fn value<T>(entries: &Table, key: &str, read: impl Fn(&Node) -> Result<T, Wrong>) -> Option<T> {
    entries.get(key).and_then(|(_, node)| read(node).ok())
}

/// What each key by itself cannot say.
pub fn check(input: &Input<'_>, service: &Service, issues: &mut Vec<Issue>) {
    for (timer, item) in service.timers.iter().zip(items(input.tree, "timer")) {
        let wrong = if timer.on_calendar.is_none() && timer.every.is_none() && timer.on_boot.is_none() {
            // One that is there and wrong is told already.
            if is_set(item, &["on-calendar", "every", "on-boot"]) {
                continue;
            }
            "a `[[timer]]` needs `on-calendar`, `every` or `on-boot`"
        } else if timer.every.is_some_and(|every| every.is_zero()) {
            "`every` is longer than nothing"
        } else if timer.persistent && timer.on_calendar.is_none() {
            "`persistent` needs `on-calendar`: only a time of the wall clock can be missed"
        } else {
            continue;
        };
        issues.push(Issue::error(item.at.clone(), wrong));
    }
    for (watched, item) in service.paths.iter().zip(items(input.tree, "path")) {
        let keys = ["exists", "changed", "modified", "directory-not-empty"];
        if watched.tests().next().is_none() && !is_set(item, &keys) {
            let wrong = "a `[[path]]` needs `exists`, `changed`, `modified` or `directory-not-empty`";
            issues.push(Issue::error(item.at.clone(), wrong));
        }
    }
    check_sockets(input, service, issues);
}

/// The unit's own file is that of a template.
fn is_template(input: &Input<'_>) -> bool {
    let first = At { file: 0, span: 0..0 };
    (input.place)(&first).file.ends_with("@.toml")
}

const LISTEN: [&str; 4] = [
    "listen-stream",
    "listen-datagram",
    "listen-sequential-packet",
    "listen-fifo",
];

fn check_sockets(input: &Input<'_>, service: &Service, issues: &mut Vec<Issue>) {
    let items = items(input.tree, "socket");
    for (nth, (socket, item)) in service.sockets.iter().zip(items).enumerate() {
        let count = LISTEN.iter().filter(|key| is_set(item, &[key])).count();
        let is_packet = matches!(socket.listen(), Some(Listen::SequentialPacket(_)));
        let same = |other: &Socket| other.listen() == socket.listen();
        let name = socket.name.as_deref().unwrap_or("x");
        let wrong = if count != 1 {
            "a `[[socket]]` has one of `listen-stream`, `listen-datagram`, `listen-sequential-packet` and `listen-fifo`"
        } else if socket.listen().is_none() {
            continue;
        } else if is_packet && socket.path().is_none() {
            "`listen-sequential-packet` is a path"
        } else if socket.path().is_none() && is_set(item, &["mode", "user", "group"]) {
            "`mode`, `user` and `group` are of a path"
        } else if name.is_empty()
            || name.len() > 255
            || !name.bytes().all(|byte| byte.is_ascii_graphic() && byte != b':')
        {
            "`name` has 1 to 255 visible characters of ASCII, and no `:`"
        } else if socket.accept && !matches!(socket.listen(), Some(Listen::Stream(_) | Listen::SequentialPacket(_))) {
            "`accept` needs `listen-stream` or `listen-sequential-packet`"
        } else if socket.accept != service.accepts() {
            "either all sockets of a unit have `accept`, or none"
        } else if socket.accept && !is_template(input) {
            "`accept` is for a template: call the file NAME@.toml"
        } else if service.sockets.iter().take(nth).any(same) {
            "another `[[socket]]` is the same"
        } else if nth >= SOCKETS_MAX {
            "a unit has at most 64 sockets"
        } else {
            continue;
        };
        issues.push(Issue::error(item.at.clone(), wrong));
    }
    let uses = service.standard_input == From::Socket
        || [&service.standard_output, &service.standard_error].contains(&&Output::Socket);
    if uses && items.len() != 1 {
        let at = ["standard-input", "standard-output", "standard-error"].into_iter();
        let at = at
            .filter_map(|key| super::decode::at_of(input.tree, "service", key))
            .next();
        issues.extend(at.map(|at| Issue::error(at, "\"socket\" needs one `[[socket]]`, and no more")));
    }
}

fn items<'a>(tree: &'a Table, table: &str) -> &'a [Node] {
    match tree.get(table).map(|(_, node)| &node.data) {
        Some(Data::List(items)) => items,
        Some(_) | None => &[],
    }
}

fn is_set(item: &Node, keys: &[&str]) -> bool {
    matches!(&item.data, Data::Table(entries) if keys.iter().any(|key| entries.contains_key(*key)))
}
