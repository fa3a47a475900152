//! `[[socket]]`, `[[timer]]` and `[[path]]`: what starts a service, beside a wish.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Serialize;

use super::address::Address;
use super::calendar::Calendar;
use super::value::{self, serialize_duration, serialize_some_duration};
use super::{Account, Service};

/// `[[socket]]`: what is opened before a service, and kept for it. One of the first four says what.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Socket {
    /// SOCK_STREAM.
    pub listen_stream: Option<Address>,
    /// SOCK_DGRAM.
    pub listen_datagram: Option<Address>,
    /// SOCK_SEQPACKET.
    pub listen_sequential_packet: Option<Address>,
    /// fifo(7).
    pub listen_fifo: Option<PathBuf>,
    /// In `$LISTEN_FDNAMES`; None: the unit's name.
    pub name: Option<Box<str>>,
    /// The service starts at the first connection.
    pub lazy: bool,
    /// An instance of the template starts for each connection.
    pub accept: bool,
    /// Of a path.
    #[serde(serialize_with = "value::serialize_mode")]
    pub mode: u32,
    /// Who owns a path; None: root.
    pub user: Option<Account>,
    /// None: the user's primary group.
    pub group: Option<Account>,
    /// Connections that wait to be accepted.
    pub backlog: u32,
}

/// What a socket is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Listen<'a> {
    Stream(&'a Address),
    Datagram(&'a Address),
    SequentialPacket(&'a Address),
    Fifo(&'a Path),
}

impl Socket {
    /// What it is, where it is said.
    pub fn listen(&self) -> Option<Listen<'_>> {
        let stream = self.listen_stream.as_ref().map(Listen::Stream);
        let datagram = || self.listen_datagram.as_ref().map(Listen::Datagram);
        let packet = || self.listen_sequential_packet.as_ref().map(Listen::SequentialPacket);
        let fifo = || self.listen_fifo.as_deref().map(Listen::Fifo);
        stream.or_else(datagram).or_else(packet).or_else(fifo)
    }

    /// Where it is in the file system, if it is.
    pub fn path(&self) -> Option<&Path> {
        match self.listen()? {
            Listen::Stream(address) | Listen::Datagram(address) | Listen::SequentialPacket(address) => address.path(),
            Listen::Fifo(path) => Some(path),
        }
    }

    /// Key and value: `listen-stream 0.0.0.0:80`.
    pub fn text(&self) -> String {
        match self.listen() {
            Some(Listen::Stream(address)) => format!("listen-stream {address}"),
            Some(Listen::Datagram(address)) => format!("listen-datagram {address}"),
            Some(Listen::SequentialPacket(address)) => format!("listen-sequential-packet {address}"),
            Some(Listen::Fifo(path)) => format!("listen-fifo {}", path.display()),
            None => String::new(),
        }
    }
}

/// `[[timer]]`: the times at which a service starts, by at least one of `on_calendar`, `every` and `on_boot`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Timer {
    /// At these times of the wall clock.
    pub on_calendar: Option<Calendar>,
    /// This long after the last start, again and again.
    #[serde(serialize_with = "serialize_some_duration")]
    pub every: Option<Duration>,
    /// This long after svcd has started, once.
    #[serde(serialize_with = "serialize_some_duration")]
    pub on_boot: Option<Duration>,
    /// A time of `on_calendar` that was missed while svcd was not there is made up for, once.
    pub persistent: bool,
    /// Each time is put off by up to this, by as much as long as the machine is up.
    #[serde(serialize_with = "serialize_duration")]
    pub randomized_delay: Duration,
}

/// `[[path]]`: paths of the machine at which a service starts, by at least one of these.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct WatchedPath {
    /// It is there.
    pub exists: Option<PathBuf>,
    /// It came, went, or was closed after it was written.
    pub changed: Option<PathBuf>,
    /// It was written to.
    pub modified: Option<PathBuf>,
    /// Something is in this directory.
    pub directory_not_empty: Option<PathBuf>,
}

/// What a path is watched for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum PathTest {
    Exists,
    Changed,
    Modified,
    DirectoryNotEmpty,
}

impl PathTest {
    /// The key.
    pub fn word(self) -> &'static str {
        match self {
            Self::Exists => "exists",
            Self::Changed => "changed",
            Self::Modified => "modified",
            Self::DirectoryNotEmpty => "directory-not-empty",
        }
    }
}

impl WatchedPath {
    /// One test of one path.
    #[cfg(test)]
    pub fn of(test: PathTest, path: PathBuf) -> Self {
        let mut watched = Self::default();
        let place = match test {
            PathTest::Exists => &mut watched.exists,
            PathTest::Changed => &mut watched.changed,
            PathTest::Modified => &mut watched.modified,
            PathTest::DirectoryNotEmpty => &mut watched.directory_not_empty,
        };
        *place = Some(path);
        watched
    }

    /// Each of its tests.
    pub fn tests(&self) -> impl Iterator<Item = (PathTest, &Path)> {
        let all = [
            (PathTest::Exists, &self.exists),
            (PathTest::Changed, &self.changed),
            (PathTest::Modified, &self.modified),
            (PathTest::DirectoryNotEmpty, &self.directory_not_empty),
        ];
        all.into_iter()
            .filter_map(|(test, path)| Some((test, path.as_deref()?)))
    }
}

impl Service {
    /// Something is to be set or opened before it is up.
    pub fn needs_arming(&self) -> bool {
        self.is_triggered() || !self.sockets.is_empty()
    }

    /// It does not run because it is wanted, but when something comes: a time, a file, a connection.
    pub fn is_triggered(&self) -> bool {
        let lazy = |socket: &Socket| socket.lazy || socket.accept;
        !self.timers.is_empty() || !self.paths.is_empty() || self.sockets.iter().any(lazy)
    }

    /// It never runs itself: instances of its template do, one for each connection.
    pub fn accepts(&self) -> bool {
        self.sockets.iter().any(|socket| socket.accept)
    }
}
