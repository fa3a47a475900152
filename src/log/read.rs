//! Reading logs back: straight from the files, with no svcd. For `svc logs`, and for the last lines in `svc status`.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use inotify::{EventMask, Inotify, WatchDescriptor, WatchMask};
use rustix::fs::{CWD, FileType, Mode, OFlags};

use super::reader::Reader;
use super::store;

/// One line of a unit's output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Microseconds since 1970-01-01 UTC.
    pub time: i64,
    /// Whose.
    pub unit: Rc<str>,
    /// Without the line end; bytes that are not UTF-8 are replaced.
    pub text: String,
}

/// Says whether a line's text is wanted.
pub type Matcher<'a> = Box<dyn Fn(&str) -> bool + 'a>;

/// What to read.
#[derive(Default)]
pub struct Query<'a> {
    /// Which; empty: all that have files.
    pub units: Vec<Box<str>>,
    /// Only the last so many of what is there and matches, over all units.
    pub last: Option<usize>,
    /// Microseconds since 1970, inclusive.
    pub since: Option<i64>,
    /// Microseconds since 1970, exclusive.
    pub until: Option<i64>,
    /// Only these.
    pub grep: Option<Matcher<'a>>,
    /// Go on with what is written from now on: the iterator then waits, and ends only if that fails.
    pub follow: bool,
}

impl Query<'_> {
    fn takes(&self, line: &Line) -> bool {
        self.since.is_none_or(|since| line.time >= since)
            && self.until.is_none_or(|until| line.time < until)
            && self.grep.as_ref().is_none_or(|matches| matches(&line.text))
    }
}

/// The lines of a query, oldest first, those of several units merged by their times. A unit without files has none. A
/// file that cannot be read ends the unit's lines.
///
/// # Errors
/// The log directory cannot be read, or not be watched.
pub fn lines<'a>(dir: &Path, query: Query<'a>) -> io::Result<Box<dyn Iterator<Item = Line> + 'a>> {
    Ok(Box::new(open_lines(dir, query)?))
}

fn open_lines<'a>(dir: &Path, query: Query<'a>) -> io::Result<Lines<'a>> {
    let mut lines = Lines {
        dir: dir.to_owned(),
        root: open(CWD, dir)?,
        watch: None,
        sources: Vec::new(),
        queue: BinaryHeap::new(),
        last: VecDeque::new(),
        query,
    };
    if lines.query.follow {
        let watch = Inotify::init()?;
        watch.watches().add(dir, WatchMask::CREATE | WatchMask::MOVED_TO)?;
        lines.watch = Some(watch);
    }
    let there = match lines.query.units.as_slice() {
        [] => units(dir)?,
        asked => asked.iter().map(ToString::to_string).collect(),
    };
    for unit in there {
        lines.add(&unit, true)?;
    }
    lines.gather_last();
    Ok(lines)
}

/// The lines of all units as they are written, for those who wait for other things too.
pub struct Follower(Lines<'static>);

impl Follower {
    /// From the first line that is kept.
    ///
    /// # Errors
    /// The log directory cannot be read, or not be watched.
    pub fn new(dir: &Path) -> io::Result<Self> {
        let query = Query {
            follow: true,
            ..Query::default()
        };
        open_lines(dir, query).map(Self)
    }

    /// All that is in the files by now and was not given yet; never waits.
    ///
    /// # Errors
    /// What is new cannot be found out.
    pub fn take(&mut self) -> io::Result<Vec<Line>> {
        let mut taken = Vec::new();
        loop {
            while let Some(line) = self.0.next_there() {
                taken.push(line);
            }
            if !self.0.look(false)? {
                return Ok(taken);
            }
        }
    }

    /// Readable when there may be more to take.
    pub fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.0.watch.as_ref().map(AsFd::as_fd)
    }
}

/// The last `n` lines of a unit, oldest first; none where there are no files.
pub fn tail(dir: &Path, unit: &str, n: usize) -> Vec<Line> {
    let query = Query {
        units: vec![unit.into()],
        last: Some(n),
        ..Query::default()
    };
    lines(dir, query).map_or_else(|_| Vec::new(), Iterator::collect)
}

/// The units that have files, by name.
///
/// # Errors
/// The log directory cannot be read.
pub fn units(dir: &Path) -> io::Result<Vec<String>> {
    let mut units = store::names(&open(CWD, dir)?, FileType::Directory)?;
    units.sort_unstable();
    Ok(units)
}

struct Lines<'a> {
    dir: PathBuf,
    root: OwnedFd,
    watch: Option<Inotify>,
    sources: Vec<Source>,
    /// The time of each source's next line, the oldest on top.
    queue: BinaryHeap<Reverse<(i64, usize)>>,
    /// With `last`: what was there at the start.
    last: VecDeque<Line>,
    query: Query<'a>,
}

struct Source {
    unit: String,
    reader: Reader,
    watch: Option<WatchDescriptor>,
    head: Option<Line>,
}

impl Lines<'_> {
    /// A unit's files, watched before they are read. From the start, or from where the query begins.
    fn add(&mut self, unit: &str, skip: bool) -> io::Result<()> {
        let asked = self.query.units.is_empty() || self.query.units.iter().any(|u| **u == *unit);
        if !asked || self.sources.iter().any(|source| source.unit == unit) {
            return Ok(());
        }
        let Ok(dir) = store::plain(unit).and_then(|unit| open(&self.root, Path::new(unit))) else {
            return Ok(());
        };
        let mut watched = None;
        if let Some(watch) = &self.watch {
            let mask = WatchMask::MODIFY | WatchMask::CREATE | WatchMask::MOVED_TO;
            watched = Some(watch.watches().add(self.dir.join(unit), mask)?);
        }
        let mut reader = Reader::new(unit.into(), dir);
        match (self.query.last, self.query.since) {
            (Some(count), _) if skip => reader.skip_to_last(count, |line| self.query.takes(line))?,
            (_, Some(since)) => reader.skip_to(since)?,
            (_, None) => {}
        }
        self.sources.push(Source {
            unit: unit.to_owned(),
            reader,
            watch: watched,
            head: None,
        });
        self.fill(self.sources.len() - 1);
        Ok(())
    }

    /// Looks for a source's next line, where it has none at hand.
    fn fill(&mut self, index: usize) {
        if let Some(source) = self.sources.get_mut(index).filter(|source| source.head.is_none())
            && let Ok(Some(line)) = source.reader.next()
        {
            self.queue.push(Reverse((line.time, index)));
            source.head = Some(line);
        }
    }

    /// The next line that is there and wanted.
    fn next_there(&mut self) -> Option<Line> {
        loop {
            let Reverse((_, index)) = self.queue.pop()?;
            let line = self.sources.get_mut(index)?.head.take()?;
            self.fill(index);
            if self.query.takes(&line) {
                return Some(line);
            }
        }
    }

    fn gather_last(&mut self) {
        let Some(count) = self.query.last else {
            return;
        };
        while let Some(line) = self.next_there() {
            self.last.push_back(line);
            if self.last.len() > count {
                self.last.pop_front();
            }
        }
    }

    /// Looks where something has changed; with `wait` until something has. False: nothing has.
    fn look(&mut self, wait: bool) -> io::Result<bool> {
        let Some(watch) = &mut self.watch else {
            return Ok(false);
        };
        let mut buffer = [0; 4096];
        let events = match wait {
            true => watch.read_events_blocking(&mut buffer),
            false => watch.read_events(&mut buffer),
        };
        let events = match events {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(true),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
            events => events?,
        };
        let mut all = false;
        let (mut changed, mut new) = (Vec::new(), Vec::new());
        for event in events {
            all |= event.mask.contains(EventMask::Q_OVERFLOW);
            match event.name.and_then(|name| name.to_str()) {
                Some(name) if event.mask.contains(EventMask::ISDIR) => new.push(name.to_owned()),
                Some(_) | None => changed.push(event.wd),
            }
        }
        if all {
            new = units(&self.dir)?;
        }
        for unit in new {
            self.add(&unit, false)?;
        }
        for index in 0..self.sources.len() {
            let watch = self.sources.get(index).and_then(|source| source.watch.as_ref());
            if all || watch.is_some_and(|watch| changed.contains(watch)) {
                self.fill(index);
            }
        }
        Ok(true)
    }
}

impl Iterator for Lines<'_> {
    type Item = Line;

    fn next(&mut self) -> Option<Line> {
        if let Some(line) = self.last.pop_front() {
            return Some(line);
        }
        loop {
            match self.next_there() {
                None if self.watch.is_some() => {
                    self.look(true).ok()?;
                }
                line => return line,
            }
        }
    }
}

fn open(dir: impl std::os::fd::AsFd, path: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    Ok(rustix::fs::openat(dir, path, flags, Mode::empty())?)
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};
    use std::io::Write;

    use super::*;

    fn taken(follower: &mut Follower) -> Vec<String> {
        let lines = follower.take().unwrap();
        lines
            .iter()
            .map(|line| format!("{} {}", line.unit, line.text))
            .collect()
    }

    #[test]
    fn a_follower_takes_what_is_there_and_never_waits() {
        let stamped = |second: u32, text: &str| format!("2026-11-24T03:37:{second:02}.000000Z {text}\n");
        let dir = tempfile::tempdir().unwrap();
        let mut follower = Follower::new(dir.path()).unwrap();
        assert!(taken(&mut follower).is_empty());

        fs::create_dir(dir.path().join("web")).unwrap();
        let mut web = File::create(dir.path().join("web/current")).unwrap();
        web.write_all(stamped(1, "one").as_bytes()).unwrap();
        assert_eq!(taken(&mut follower), ["web one"]);
        assert!(taken(&mut follower).is_empty());

        fs::create_dir(dir.path().join("db")).unwrap();
        fs::write(dir.path().join("db/current"), stamped(3, "three")).unwrap();
        web.write_all(stamped(2, "two").as_bytes()).unwrap();
        web.write_all(b"2026-11-24T03:37:04.000000Z torn").unwrap();
        let mut found = taken(&mut follower);
        found.sort();
        assert_eq!(found, ["db three", "web two"]);

        web.write_all(b" no more\n").unwrap();
        let mut readable = [nix::poll::PollFd::new(
            follower.fd().unwrap(),
            nix::poll::PollFlags::POLLIN,
        )];
        assert_eq!(nix::poll::poll(&mut readable, nix::poll::PollTimeout::ZERO), Ok(1));
        assert_eq!(taken(&mut follower), ["web torn no more"]);
    }
}
