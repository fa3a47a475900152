//! What this kernel has of networks, tried in a network namespace that is gone afterwards.

use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::thread;

use nix::sched::{CloneFlags, unshare};

use super::link::{self, Pair};
use super::netlink::Socket;
use super::rules;

/// Each thing: its name, what makes it, and why it cannot be had.
pub type Found = (&'static str, &'static str, Option<String>);

/// Looks; leaves nothing behind.
#[expect(clippy::disallowed_methods, reason = "svc looks, and not svcd")]
pub fn look() -> Vec<Found> {
    let tried = thread::spawn(|| unshare(CloneFlags::CLONE_NEWNET).map(|()| look_here()));
    let why = match tried.join() {
        Ok(Ok(found)) => return found,
        Ok(Err(errno)) => format!("no network namespace to try it in: {}", errno.desc()),
        Err(_) => "it could not be tried".to_owned(),
    };
    KINDS.iter().map(|(name, by)| (*name, *by, Some(why.clone()))).collect()
}

const KINDS: [(&str, &str); 5] = [
    ("bridge", "rtnetlink(7), a bridge of svc's own"),
    ("veth", "rtnetlink(7), veth(4)"),
    ("nftables", "nf_tables, published ports and rules"),
    ("macvlan", "rtnetlink(7), a link on a parent"),
    ("ipvlan", "rtnetlink(7), a link on a parent"),
];

fn look_here() -> Vec<Found> {
    let tries: [fn() -> io::Result<()>; 5] = [
        || link::make_bridge(&mut Socket::route()?, "probe0", [2, 0, 0, 0, 0, 1]),
        || {
            let here = File::open("/proc/thread-self/ns/net")?;
            let pair = Pair {
                port: "probe1",
                alias: "probe",
                bridge: link::index("probe0")?,
                inside: "probe2",
                hardware: [2, 0, 0, 0, 0, 2],
                namespace: here.as_fd(),
            };
            link::make_pair(&mut Socket::route()?, &pair)
        },
        || rules::probe().map_err(|refused| io::Error::from_raw_os_error(refused.errno)),
        || on_parent("macvlan"),
        || on_parent("ipvlan"),
    ];
    let found = KINDS.iter().zip(tries);
    found
        .map(|((name, by), attempt)| {
            let instead = if *name == "nftables" {
                "; published ports go by a proxy, and rules are refused"
            } else {
                ""
            };
            (
                *name,
                *by,
                attempt().err().map(|error| format!("{}{instead}", why(&error))),
            )
        })
        .collect()
}

/// On the free end of the pair.
fn on_parent(kind: &str) -> io::Result<()> {
    let here = File::open("/proc/thread-self/ns/net")?;
    link::make_on(
        &mut Socket::route()?,
        kind,
        link::index("probe2")?,
        "probe3",
        here.as_fd(),
    )?;
    link::remove(&mut Socket::route()?, link::index("probe3")?)
}

fn why(error: &io::Error) -> String {
    match error.raw_os_error() {
        Some(libc::EOPNOTSUPP | libc::EPROTONOSUPPORT | libc::ENOENT) => format!("this kernel has none: {error}"),
        _ => error.to_string(),
    }
}
