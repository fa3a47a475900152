//! `[[socket]]`, `[[timer]]` and `[[path]]`: what starts a service, beside a wish.

use super::*;

#[rustfmt::skip]
pub static TRIGGERS: &[Key] = &[
    key("[socket]", "listen-stream", Address, Restart,
        "SOCK_STREAM at a port of every address (IPv4 and IPv6), at an address, or at the path of a Unix socket; sd_listen_fds(3). \
         It is opened on the machine's own network, whatever network the service has, before the service, and is kept while \
         the service is down, so no connection is refused. The main process gets it as descriptor 3, and further sockets \
         in the order of the file after it. A path's directories are made where they are not there; what nobody listens at \
         any more is replaced. Abstract names (`@`) are refused: whoever shares the network could connect."),
    key("[socket]", "listen-datagram", Address, Restart,
        "The same for SOCK_DGRAM."),
    key("[socket]", "listen-sequential-packet", Address, Restart,
        "The path of a Unix socket: SOCK_SEQPACKET."),
    key("[socket]", "listen-fifo", Path, Restart,
        "The path of a FIFO; fifo(7)."),
    key("[socket]", "name", Text, Restart,
        "Its name in $LISTEN_FDNAMES; sd_listen_fds(3). Absent: the unit's name."),
    key("[socket]", "lazy", Bool, Restart,
        "The service starts at the first connection, and not because it is wanted: until then it is `waiting`, which is as good \
         as ready to whoever requires it. After a run it waits again."),
    key("[socket]", "accept", Bool, Restart,
        "For a template, NAME@.toml: the unit NAME waits and never runs itself; for each connection an instance NAME@N of \
         the template starts, with the connection as descriptor 3, and as its standard input and output where these are \
         \"socket\". It goes when it has ended, and is not restarted. There are at most 64 at once, as with MaxConnections= \
         of systemd.socket(5); a further connection is closed."),
    key("[socket]", "mode", Mode, Restart,
        "The mode of a path; absent: 0666."),
    key("[socket]", "user", Account, Restart,
        "The owner of a path."),
    key("[socket]", "group", Account, Restart,
        "The group of a path."),
    key("[socket]", "backlog", Whole(0, 1 << 20), Restart,
        "How many connections may wait to be accepted; absent: 4096; listen(2)."),
    key("[timer]", "on-calendar", Calendar, Live,
        "A calendar expression, such as \"*-*-* 03:00:00\", \"Mon..Fri 08:30 Europe/Berlin\" or \"daily\"; systemd.time(7). \
         A unit with a timer is not run because it is wanted: it is `waiting` until the time comes, and again after \
         each run; `svc start` runs it at once, `svc stop` ends the waiting. A time at which it runs is left out. \
         A time that clocks are put forward over comes as much later, one that they show twice comes once, unless it \
         is one of every hour."),
    key("[timer]", "every", Duration, Live,
        "Again and again, this long after the last start, or the begin of the waiting; CLOCK_MONOTONIC of clock_gettime(2)."),
    key("[timer]", "on-boot", Duration, Live,
        "Once, this long after svcd has started; at once for a unit that begins to wait later than that."),
    key("[timer]", "persistent", Bool, Live,
        "A time of `on-calendar` that was missed while the machine was down, or the unit stopped, is made up for, once."),
    key("[timer]", "randomized-delay", Duration, Live,
        "Each run is put off by a random time up to this, which stays the same until the next boot: machines with the same \
         unit do not all run it at once."),
    key("[path]", "exists", Path, Live,
        "The service starts when this path is there, and again after each run as long as it is; systemd.path(5)."),
    key("[path]", "changed", Path, Live,
        "The service starts when this path comes or goes, or is closed after it was written, or of a directory when something \
         in it does. What happens while the service runs is left out."),
    key("[path]", "modified", Path, Live,
        "As `changed`, and at each write to this path."),
    key("[path]", "directory-not-empty", Path, Live,
        "The service starts when something is in this directory."),
];
