//! A message of a service, from the bytes of a datagram; sd_notify(3).

use std::time::Duration;

use crate::engine::event::{Notification, Watchdog};

/// A message is not longer than this.
pub const BYTES_MAX: usize = 4096;

/// A status is not longer than this.
const STATUS_BYTES_MAX: usize = 512;

/// A descriptor's name is not longer than this; sd_pid_notify_with_fds(3).
const DESCRIPTOR_NAME_BYTES_MAX: usize = 255;

/// What a datagram says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Message {
    /// What the engine hears.
    pub notification: Notification,
    /// `MAINPID=`, as the sender's pid namespace has it.
    pub main_pid: Option<u32>,
    /// `FDSTORE=1`: what came along is to be kept.
    pub store: bool,
    /// `FDSTOREREMOVE=1`: what is kept under this name is not needed any more.
    pub let_go: bool,
    /// `FDNAME=`, where it is one.
    pub name: Option<Box<str>>,
    /// `FDPOLL=0`: it is kept although its other end is gone.
    pub unwatched: bool,
}

/// Reads `NAME=value` lines; what is none, or says nothing to us, is passed over. None: it is no text, or holds a NUL.
pub fn parse(bytes: &[u8]) -> Option<Message> {
    let text = std::str::from_utf8(bytes).ok().filter(|text| !text.contains('\0'))?;
    let mut message = Message::default();
    let told = &mut message.notification;
    for (name, value) in text.lines().filter_map(|line| line.split_once('=')) {
        match (name, value) {
            ("READY", "1") => told.ready = true,
            ("RELOADING", "1") => told.reloading = true,
            ("STATUS", _) => told.status = Some(status(value)),
            ("WATCHDOG", "1") => told.watchdog = Some(Watchdog::Alive),
            ("WATCHDOG", "trigger") => told.watchdog = Some(Watchdog::Trigger),
            ("WATCHDOG_USEC", _) => told.watchdog_limit = microseconds(value).or(told.watchdog_limit),
            ("EXTEND_TIMEOUT_USEC", _) => told.extend = microseconds(value).or(told.extend),
            ("MAINPID", _) => message.main_pid = decimal(value).and_then(|pid| u32::try_from(pid).ok()),
            ("FDSTORE", "1") => message.store = true,
            ("FDSTOREREMOVE", "1") => message.let_go = true,
            ("FDNAME", _) => message.name = is_descriptor_name(value).then(|| value.into()),
            ("FDPOLL", "0") => message.unwatched = true,
            // STOPPING, ERRNO, BARRIER and what else there is: the end of the process says more, and a barrier is passed
            // once its descriptor is closed.
            _ => {}
        }
    }
    Some(message)
}

/// One line for people: what a terminal would take for a command is a space.
fn status(value: &str) -> Box<str> {
    let plain = value.chars().map(|c| if c.is_control() { ' ' } else { c });
    let mut text = String::new();
    for c in plain {
        if text.len() + c.len_utf8() > STATUS_BYTES_MAX {
            break;
        }
        text.push(c);
    }
    text.trim().into()
}

/// sd_pid_notify_with_fds(3): ASCII without control characters and without `:`, which parts names in `$LISTEN_FDNAMES`.
fn is_descriptor_name(name: &str) -> bool {
    let fits = |byte: u8| (b' '..=b'~').contains(&byte) && byte != b':';
    !name.is_empty() && name.len() <= DESCRIPTOR_NAME_BYTES_MAX && name.bytes().all(fits)
}

fn microseconds(value: &str) -> Option<Duration> {
    decimal(value).map(Duration::from_micros)
}

/// Digits and nothing else.
fn decimal(value: &str) -> Option<u64> {
    let digits = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit());
    value.parse().ok().filter(|_| digits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descriptors_have_names_that_fit_between_colons() {
        let message = parse(b"FDSTORE=1\nFDNAME=web socket\nFDPOLL=0").unwrap();
        assert!(message.store && message.unwatched && !message.let_go);
        assert_eq!(message.name.as_deref(), Some("web socket"));
        for name in ["", "a:b", "a\u{7f}", "\u{e9}", &"x".repeat(256)] {
            let message = parse(format!("FDSTOREREMOVE=1\nFDNAME={name}").as_bytes()).unwrap();
            assert!(message.let_go && message.name.is_none(), "{name:?}");
        }
    }

    #[test]
    fn what_is_said_is_read_and_the_rest_is_passed_over() {
        let message =
            parse(b"READY=1\nSTATUS=up: \x1b[31m\nMAINPID=17\nX=y\nnothing\nWATCHDOG_USEC=2000000\n").unwrap();
        assert!(message.notification.ready && !message.notification.reloading);
        assert_eq!(message.notification.status.as_deref(), Some("up:  [31m"));
        assert_eq!(message.notification.watchdog_limit, Some(Duration::from_secs(2)));
        assert_eq!(message.main_pid, Some(17));
        for (value, pid) in [
            ("0", Some(0)),
            ("-1", None),
            ("+1", None),
            ("0x1", None),
            ("99999999999", None),
            ("", None),
        ] {
            assert_eq!(
                parse(format!("MAINPID={value}").as_bytes()).unwrap().main_pid,
                pid,
                "{value}"
            );
        }
        assert_eq!(parse(b"READY=0\nREADY=\nWATCHDOG=2").unwrap(), Message::default());
        assert_eq!(parse(b"READY=1\0"), None);
        assert_eq!(parse(b"\xff"), None);
        assert_eq!(parse(b""), Some(Message::default()));
        let long = parse(format!("STATUS={}", "é".repeat(600)).as_bytes()).unwrap();
        assert_eq!(long.notification.status.unwrap().len(), 512);
    }
}
