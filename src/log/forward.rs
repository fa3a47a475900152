//! Where lines go besides the files: console, kernel log, syslog. Nothing here waits; what is not taken at once is lost
//! there, and is in the file all the same.

use std::io;
use std::os::fd::OwnedFd;

use rustix::fs::{CWD, Mode, OFlags};
use rustix::net::{AddressFamily, SendFlags, SocketAddrUnix, SocketFlags, SocketType};

use super::stamp;
use super::wire::To;

/// Facility daemon (3), severity info (6); syslog(3).
const PRIORITY: u32 = 3 * 8 + 6;

/// Of one block. A flood is for the files; a console of 115,200 baud takes 11 kB in a second.
const LINES_MAX: usize = 200;

/// Sends the lines of a block, which have their stamps, to all of `to`.
pub fn forward(unit: &str, lines: &[u8], to: &[To]) {
    for to in to {
        let texts = lines.split_inclusive(|b| *b == b'\n');
        let mut texts = texts.filter_map(|line| stamp::split(line.strip_suffix(b"\n").unwrap_or(line)));
        // A place that takes nothing now, or is not there, is tried again with the next block.
        let _ = match to {
            To::Console => console(unit, texts.by_ref().take(LINES_MAX)),
            To::Kmsg => kmsg(unit, texts.by_ref().take(LINES_MAX)),
            To::Syslog(path) => syslog(unit, path, texts.by_ref().take(LINES_MAX)),
        };
    }
}

fn console<'a>(unit: &str, lines: impl Iterator<Item = (i64, &'a [u8])>) -> io::Result<()> {
    let console = open("/dev/console")?;
    for (_, text) in lines {
        rustix::io::write(&console, &[unit.as_bytes(), b": ", text, b"\r\n"].concat())?;
    }
    Ok(())
}

/// The kernel takes a few lines in a second from each open file, and as many as come from new ones.
fn kmsg<'a>(unit: &str, lines: impl Iterator<Item = (i64, &'a [u8])>) -> io::Result<()> {
    /// More is refused whole; printk.h.
    const TEXT_BYTES_MAX: usize = 900;
    for (_, text) in lines {
        let text = text.get(..TEXT_BYTES_MAX).unwrap_or(text);
        let head = format!("<{PRIORITY}>{unit}: ");
        rustix::io::write(open("/dev/kmsg")?, &[head.as_bytes(), text].concat())?;
    }
    Ok(())
}

/// RFC 3164, as a local syslog daemon reads it: no host, and the machine's own time.
fn syslog<'a>(unit: &str, path: &std::path::Path, lines: impl Iterator<Item = (i64, &'a [u8])>) -> io::Result<()> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::DGRAM, flags, None)?;
    rustix::net::connect(&socket, &SocketAddrUnix::new(path)?)?;
    let zone = super::stamp::zone();
    for (micros, text) in lines {
        let time = jiff::Timestamp::from_microsecond(micros)
            .unwrap_or_default()
            .to_zoned_datetime(zone.clone());
        let head = format!("<{PRIORITY}>{} {unit}: ", time.strftime("%b %e %H:%M:%S"));
        rustix::net::send(&socket, &[head.as_bytes(), text].concat(), SendFlags::NOSIGNAL)?;
    }
    Ok(())
}

fn open(path: &str) -> io::Result<OwnedFd> {
    let flags = OFlags::WRONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    Ok(rustix::fs::openat(CWD, path, flags, Mode::empty())?)
}
