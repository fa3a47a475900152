//! Sockets, timers, paths and mounts: what is a unit of its own for systemd is a table of the service here.

use serde_json::{Map, Value, json};

use super::commands::set;
use super::draft::Draft;
use super::rules::Fate;
use super::rules::Form::Text;
use super::rules::Rule::{self, As, By, Needless, Never};
use super::values;

const OF_SOCKET: &str = "a socket has no such option";

#[rustfmt::skip]
pub const SOCKET: &[(&str, Rule)] = &[
    ("ListenStream", By(|draft, value| listen(draft, "listen-stream", value))),
    ("ListenDatagram", By(|draft, value| listen(draft, "listen-datagram", value))),
    ("ListenSequentialPacket", By(|draft, value| listen(draft, "listen-sequential-packet", value))),
    ("ListenFIFO", By(|draft, value| listen(draft, "listen-fifo", value))),
    ("ListenSpecial", Never("[[socket]] has streams, datagrams, packets and FIFOs")),
    ("ListenNetlink", Never("[[socket]] has streams, datagrams, packets and FIFOs")),
    ("ListenMessageQueue", Never("[[socket]] has streams, datagrams, packets and FIFOs")),
    ("Accept", By(accept)),
    ("SocketUser", By(|draft, value| each_path(draft, "user", values::account(value)))),
    ("SocketGroup", By(|draft, value| each_path(draft, "group", values::account(value)))),
    ("SocketMode", By(|draft, value| each_path(draft, "mode", value.into()))),
    ("Backlog", By(|draft, value| match value.parse::<u32>() {
        Ok(count) => each(draft, "backlog", count.into()),
        Err(_) => Fate::Lost("it is no number".to_owned()),
    })),
    ("FileDescriptorName", By(|draft, value| each(draft, "name", value.into()))),
    ("Service", Needless("the sockets are tables of that unit")),
    ("DirectoryMode", Never("the directories of a socket are made with the mode 0755")),
    ("RemoveOnStop", Never(OF_SOCKET)),
    ("Symlinks", Never(OF_SOCKET)),
    ("PassCredentials", Never(OF_SOCKET)),
    ("PassSecurity", Never(OF_SOCKET)),
    ("ReusePort", Never(OF_SOCKET)),
    ("FreeBind", Never(OF_SOCKET)),
    ("Transparent", Never(OF_SOCKET)),
    ("NoDelay", Never(OF_SOCKET)),
    ("KeepAlive", Never(OF_SOCKET)),
    ("DeferAcceptSec", Never(OF_SOCKET)),
    ("ReceiveBuffer", Never(OF_SOCKET)),
    ("SendBuffer", Never(OF_SOCKET)),
    ("BindIPv6Only", Never(OF_SOCKET)),
    ("BindToDevice", Never(OF_SOCKET)),
    ("MaxConnections", Never(OF_SOCKET)),
    ("TriggerLimitBurst", Never(OF_SOCKET)),
    ("TriggerLimitIntervalSec", Never(OF_SOCKET)),
];

#[rustfmt::skip]
pub const TIMER: &[(&str, Rule)] = &[
    ("OnCalendar", By(|draft, value| timer(draft, "on-calendar", Ok(value.into()), None))),
    ("OnBootSec", By(|draft, value| timer(draft, "on-boot", values::duration(value), None))),
    ("OnStartupSec", By(|draft, value| timer(draft, "on-boot", values::duration(value), None))),
    ("OnActiveSec", By(|draft, value| timer(draft, "on-boot", values::duration(value), Some("on-boot: after svcd's start")))),
    ("OnUnitActiveSec", By(|draft, value| timer(draft, "every", values::duration(value), None))),
    ("OnUnitInactiveSec", By(|draft, value| timer(draft, "every", values::duration(value), Some("every: after the last start, not its end")))),
    ("Persistent", By(persistent)),
    ("RandomizedDelaySec", By(|draft, value| match values::duration(value) {
        Ok(value) => every_timer(draft, "randomized-delay", value),
        Err(why) => Fate::Lost(why),
    })),
    ("AccuracySec", Needless("a timer is exact; randomized-delay spreads")),
    ("FixedRandomDelay", Needless("the random delay stays the same until the next boot")),
    ("OnClockChange", Never("a timer has no such start")),
    ("OnTimezoneChange", Never("a timer has no such start")),
    ("WakeSystem", Never("svcd wakes no machine")),
    ("RemainAfterElapse", Needless("a timer is a table of its unit")),
    ("Unit", Needless("the timers are tables of that unit")),
];

#[rustfmt::skip]
pub const PATH: &[(&str, Rule)] = &[
    ("PathExists", By(|draft, value| path(draft, "exists", value))),
    ("PathChanged", By(|draft, value| path(draft, "changed", value))),
    ("PathModified", By(|draft, value| path(draft, "modified", value))),
    ("DirectoryNotEmpty", By(|draft, value| path(draft, "directory-not-empty", value))),
    ("PathExistsGlob", Never("[[path]] takes paths")),
    ("MakeDirectory", Never("svcd makes no directory that it watches")),
    ("DirectoryMode", Never("svcd makes no directory that it watches")),
    ("Unit", Needless("the paths are tables of that unit")),
];

#[rustfmt::skip]
pub const MOUNT: &[(&str, Rule)] = &[
    ("What", As("mount", "what", Text)),
    ("Where", As("mount", "where", Text)),
    ("Type", As("mount", "type", Text)),
    ("Options", By(|draft, value| set(draft, "mount", "options", Ok(json!([value]))))),
    ("TimeoutSec", Never("a mount takes as long as it takes")),
    ("DirectoryMode", Never("the directory is made with the mode 0755")),
    ("SloppyOptions", Never("options are those that the kernel knows")),
    ("LazyUnmount", Never("a mount that is busy stays")),
    ("ForceUnmount", Never("a mount that is busy stays")),
];

/// A port alone is that of every address, here too.
fn listen(draft: &mut Draft, key: &'static str, value: &str) -> Fate {
    if value.starts_with('@') {
        return Fate::Lost("an abstract name is open to whoever shares the network: name a path".to_owned());
    }
    draft.add("[socket]", Map::from_iter([(key.to_owned(), value.into())]));
    Fate::Kept
}

fn accept(draft: &mut Draft, value: &str) -> Fate {
    match values::boolean(value) {
        Ok(true) => each(draft, "accept", true.into()),
        Ok(false) => Fate::Kept,
        Err(why) => Fate::Lost(why),
    }
}

/// Options of a socket are those of all that are listened on.
fn each(draft: &mut Draft, key: &'static str, value: Value) -> Fate {
    draft
        .all("[socket]")
        .for_each(|socket| drop(socket.insert(key.to_owned(), value.clone())));
    Fate::Kept
}

/// Owner and mode are those of paths.
fn each_path(draft: &mut Draft, key: &'static str, value: Value) -> Fate {
    let is_path = |socket: &&mut Map<String, Value>| {
        let mut values = socket.iter().filter(|(name, _)| name.starts_with("listen-"));
        values.any(|(_, place)| place.as_str().is_some_and(|place| place.starts_with('/')))
    };
    draft
        .all("[socket]")
        .filter(is_path)
        .for_each(|socket| drop(socket.insert(key.to_owned(), value.clone())));
    Fate::Kept
}

fn timer(draft: &mut Draft, key: &'static str, made: values::Made, how: Option<&str>) -> Fate {
    match made {
        Ok(value) => {
            draft.add("[timer]", Map::from_iter([(key.to_owned(), value)]));
            how.map_or(Fate::Kept, |how| Fate::Changed(how.to_owned()))
        }
        Err(why) => Fate::Lost(why),
    }
}

/// Only times of the calendar can be made up for.
fn persistent(draft: &mut Draft, value: &str) -> Fate {
    let made = match values::boolean(value) {
        Ok(made) => made,
        Err(why) => return Fate::Lost(why),
    };
    let of_calendar = draft.all("[timer]").filter(|timer| timer.contains_key("on-calendar"));
    of_calendar.for_each(|timer| drop(timer.insert("persistent".to_owned(), made.into())));
    Fate::Kept
}

fn every_timer(draft: &mut Draft, key: &'static str, value: Value) -> Fate {
    draft
        .all("[timer]")
        .for_each(|timer| drop(timer.insert(key.to_owned(), value.clone())));
    Fate::Kept
}

fn path(draft: &mut Draft, key: &'static str, value: &str) -> Fate {
    draft.add("[path]", Map::from_iter([(key.to_owned(), value.into())]));
    Fate::Kept
}
