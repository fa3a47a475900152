//! The files: for each unit a directory with `current` and what was rotated out of it, `00000001.log` and up. No unit
//! keeps more than its cap, all of them together no more than the budget, and every file ends at the end of a line.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::os::fd::OwnedFd;

use rustix::fs::{AtFlags, FileType, Mode, OFlags, SeekFrom};

use super::stamp;

/// The file that is written to.
pub const CURRENT: &str = "current";

/// A cap smaller than this is taken as this: less would hold no line.
const CAP_BYTES_MIN: u64 = 4 << 10;

/// Longest line, without its stamp: a quarter of what an ordinary pipe holds, so that it is whole before the pipe is full.
const LINE_BYTES_MAX: usize = 16 << 10;

/// A unit's files, the one that is written to and those that are kept, are this many at least: so much of the cap is
/// thrown away at once.
const FILES: u64 = 4;

/// All units' files.
#[derive(Debug)]
pub struct Store {
    dir: OwnedFd,
    budget: u64,
    total: u64,
    shelves: BTreeMap<Box<str>, Shelf>,
}

/// One unit's files.
#[derive(Debug, Default)]
struct Shelf {
    /// `current`, while the unit is attached.
    file: Option<OwnedFd>,
    /// Its size.
    current: u64,
    /// Oldest first.
    kept: VecDeque<Kept>,
    /// The last number that was given to a kept file.
    last: u64,
    cap: u64,
}

#[derive(Clone, Copy, Debug)]
struct Kept {
    number: u64,
    bytes: u64,
    /// Its last change, seconds since 1970.
    time: i64,
}

/// What could not be written.
#[derive(Debug)]
pub struct Lost {
    /// Bytes that were, of whole lines.
    pub written: usize,
    /// Why not all.
    pub error: io::Error,
}

impl Store {
    /// Takes stock of a log directory. What cannot be read there counts for nothing.
    pub fn open(dir: OwnedFd, budget: u64) -> Self {
        let mut store = Self {
            dir,
            budget,
            total: 0,
            shelves: BTreeMap::new(),
        };
        for unit in names(&store.dir, FileType::Directory).unwrap_or_default() {
            if let Ok(shelf) = store.directory(&unit).and_then(|dir| take_stock(&dir)) {
                store.total += shelf.current + shelf.kept.iter().map(|kept| kept.bytes).sum::<u64>();
                store.shelves.insert(unit.into(), shelf);
            }
        }
        store
    }

    /// Opens a unit's `current`, made with its directory if need be, for [`Store::append`].
    pub fn attach(&mut self, unit: &str, cap: u64) -> io::Result<()> {
        let (dir, shelf) = (self.directory_made(unit)?, self.shelves.entry(unit.into()).or_default());
        shelf.cap = cap.max(CAP_BYTES_MIN);
        let (file, size) = open_current(&dir)?;
        self.total = self.total - shelf.current + size;
        (shelf.file, shelf.current) = (Some(file), size);
        self.trim(unit)
    }

    /// The unit's cap has changed.
    pub fn set_cap(&mut self, unit: &str, cap: u64) -> io::Result<()> {
        if let Some(shelf) = self.shelves.get_mut(unit) {
            shelf.cap = cap.max(CAP_BYTES_MIN);
        }
        self.trim(unit)
    }

    /// Closes a unit's `current`.
    pub fn detach(&mut self, unit: &str) {
        if let Some(shelf) = self.shelves.get_mut(unit) {
            shelf.file = None;
        }
    }

    /// Removes a unit's files, and their directory if there is nothing else in it.
    pub fn remove(&mut self, unit: &str) {
        if let Some(shelf) = self.shelves.remove(unit) {
            let kept: u64 = shelf.kept.iter().map(|kept| kept.bytes).sum();
            self.total = self.total.saturating_sub(shelf.current + kept);
        }
        let Ok(dir) = self.directory(unit) else { return };
        for number in kept_numbers(&dir).unwrap_or_default() {
            let _ = rustix::fs::unlinkat(&dir, kept_name(number), AtFlags::empty());
        }
        let _ = rustix::fs::unlinkat(&dir, CURRENT, AtFlags::empty());
        let _ = rustix::fs::unlinkat(&self.dir, unit, AtFlags::REMOVEDIR);
    }

    /// Bytes that still go into the unit's `current`.
    pub fn room(&self, unit: &str) -> usize {
        let room = |shelf: &Shelf| shelf.most().saturating_sub(shelf.current);
        self.shelves.get(unit).map_or(0, room).try_into().unwrap_or(usize::MAX)
    }

    /// The longest line that the unit may write: one goes into an empty file always.
    pub fn line_max(&self, unit: &str) -> usize {
        let most = self.shelves.get(unit).map_or(CAP_BYTES_MIN / FILES, Shelf::most);
        let around = stamp::WIDTH + super::block::CUT.len() + 1;
        LINE_BYTES_MAX.min(usize::try_from(most).unwrap_or(usize::MAX).saturating_sub(around))
    }

    /// Makes room under the budget for as many bytes more; says the size of the unit's `current`, for
    /// [`Store::append`].
    pub fn prepare(&mut self, unit: &str, more: usize) -> io::Result<u64> {
        self.keep_budget(more as u64);
        self.size(unit)
    }

    /// The size of the unit's `current`, as the kernel has it; where somebody has taken the file away, of a new one.
    fn size(&mut self, unit: &str) -> io::Result<u64> {
        let shelf = self.shelves.get(unit);
        let file = shelf
            .and_then(|shelf| shelf.file.as_ref())
            .ok_or(io::ErrorKind::NotFound)?;
        let stat = rustix::fs::fstat(file)?;
        if stat.st_nlink == 0 {
            let cap = shelf.map_or(0, |shelf| shelf.cap);
            self.attach(unit, cap)?;
            return Ok(self.shelves.get(unit).map_or(0, |shelf| shelf.current));
        }
        let size = u64::try_from(stat.st_size).unwrap_or(0);
        self.resize(unit, size);
        Ok(size)
    }

    /// Writes whole lines at the end of the unit's `current`, which has `before` bytes. After a failure the file ends at
    /// the end of a line.
    pub fn append(&mut self, unit: &str, before: u64, lines: &[u8]) -> Result<(), Lost> {
        let lost = |written, error| Lost { written, error };
        let Some(file) = self.shelves.get(unit).and_then(|shelf| shelf.file.as_ref()) else {
            return Err(lost(0, io::ErrorKind::NotFound.into()));
        };
        let (mut rest, mut outcome) = (lines, Ok(()));
        while !rest.is_empty() {
            match rustix::io::write(file, rest) {
                Ok(count) => rest = rest.get(count..).unwrap_or_default(),
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => {
                    outcome = Err(error.into());
                    break;
                }
            }
        }
        let written = lines.len() - rest.len();
        let whole = match &outcome {
            Ok(()) => written,
            Err(_) => lines
                .get(..written)
                .and_then(|part| memchr::memrchr(b'\n', part))
                .map_or(0, |end| end + 1),
        };
        let after = before + whole as u64;
        if outcome.is_err() {
            // If this fails too, the file has a torn line at its end, which the next append or attach sees.
            let _ = rustix::fs::ftruncate(file, after);
        }
        self.resize(unit, after);
        outcome.map_err(|error| lost(whole, error))
    }

    /// Takes back what was written after a size was noted.
    pub fn cut(&mut self, unit: &str, size: u64) -> io::Result<()> {
        if self.size(unit)? > size {
            let file = self.shelves.get(unit).and_then(|shelf| shelf.file.as_ref());
            rustix::fs::ftruncate(file.ok_or(io::ErrorKind::NotFound)?, size)?;
            self.resize(unit, size);
        }
        Ok(())
    }

    /// Puts `current` with the kept files, and begins a new one.
    pub fn rotate(&mut self, unit: &str) -> io::Result<()> {
        let dir = self.directory(unit)?;
        let Some(shelf) = self.shelves.get_mut(unit) else {
            return Ok(());
        };
        if shelf.current > 0 {
            let number = shelf.last + 1;
            rustix::fs::renameat(&dir, CURRENT, &dir, kept_name(number))?;
            let kept = Kept {
                number,
                bytes: shelf.current,
                time: stamp::now() / 1_000_000,
            };
            shelf.kept.push_back(kept);
            (shelf.last, shelf.current) = (number, 0);
            if shelf.file.is_some() {
                shelf.file = Some(open_current(&dir)?.0);
            }
        }
        self.trim(unit)
    }

    /// Throws the unit's oldest away, until there is room for a whole `current` under its cap.
    fn trim(&mut self, unit: &str) -> io::Result<()> {
        let Some(shelf) = self.shelves.get(unit) else {
            return Ok(());
        };
        let room = shelf.cap.saturating_sub(shelf.most().max(shelf.current));
        let mut bytes: u64 = shelf.kept.iter().map(|kept| kept.bytes).sum();
        while bytes > room {
            bytes -= self.drop_oldest(unit)?;
        }
        Ok(())
    }

    /// Makes room for more bytes under the budget: the oldest file of all goes first; where there are none but those
    /// that are written to, the largest of these.
    fn keep_budget(&mut self, more: u64) {
        while self.total.saturating_add(more) > self.budget {
            let oldest = |shelf: &Shelf| shelf.kept.front().map(|kept| kept.time);
            let kept = self
                .shelves
                .iter()
                .filter_map(|(unit, shelf)| Some((oldest(shelf)?, unit.clone())));
            let dropped = match kept.min() {
                Some((_, unit)) => self.drop_oldest(&unit),
                None => self.drop_largest_current(),
            };
            if !matches!(dropped, Ok(1..)) {
                return;
            }
        }
    }

    fn drop_largest_current(&mut self) -> io::Result<u64> {
        let largest = self.shelves.iter().max_by_key(|(_, shelf)| shelf.current);
        let Some((unit, _)) = largest.filter(|(_, shelf)| shelf.current > 0) else {
            return Ok(0);
        };
        let unit = unit.clone();
        self.rotate(&unit)?;
        self.drop_oldest(&unit)
    }

    /// Says how many bytes are gone. One that cannot be removed is not counted any more.
    fn drop_oldest(&mut self, unit: &str) -> io::Result<u64> {
        let dir = self.directory(unit);
        let Some(kept) = self.shelves.get_mut(unit).and_then(|shelf| shelf.kept.pop_front()) else {
            return Ok(0);
        };
        self.total = self.total.saturating_sub(kept.bytes);
        let _ = rustix::fs::unlinkat(&dir?, kept_name(kept.number), AtFlags::empty());
        Ok(kept.bytes)
    }

    fn resize(&mut self, unit: &str, size: u64) {
        if let Some(shelf) = self.shelves.get_mut(unit) {
            self.total = (self.total + size).saturating_sub(shelf.current);
            shelf.current = size;
        }
    }

    fn directory(&self, unit: &str) -> io::Result<OwnedFd> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        Ok(rustix::fs::openat(&self.dir, plain(unit)?, flags, Mode::empty())?)
    }

    fn directory_made(&self, unit: &str) -> io::Result<OwnedFd> {
        match rustix::fs::mkdirat(&self.dir, plain(unit)?, Mode::from_raw_mode(0o750)) {
            Ok(()) | Err(rustix::io::Errno::EXIST) => self.directory(unit),
            Err(error) => Err(error.into()),
        }
    }
}

impl Shelf {
    /// How large `current` may be.
    fn most(&self) -> u64 {
        self.cap / FILES
    }
}

fn open_current(dir: &OwnedFd) -> io::Result<(OwnedFd, u64)> {
    let flags = OFlags::RDWR | OFlags::APPEND | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = rustix::fs::openat(dir, CURRENT, flags, Mode::from_raw_mode(0o640))?;
    let mut size = rustix::fs::seek(&file, SeekFrom::End(0))?;
    // A torn line, of a machine that lost power or a disk that was full: whole now, as far as it came.
    let mut last = [b'\n'];
    if size > 0 && rustix::io::pread(&file, &mut last, size - 1)? == 1 && last != [b'\n'] {
        rustix::io::write(&file, b"\n")?;
        size += 1;
    }
    Ok((file, size))
}

fn take_stock(dir: &OwnedFd) -> io::Result<Shelf> {
    let stat = |name: &str| rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW);
    let mut shelf = Shelf {
        current: stat(CURRENT).map_or(0, |stat| u64::try_from(stat.st_size).unwrap_or(0)),
        ..Shelf::default()
    };
    for number in kept_numbers(dir)? {
        let stat = stat(&kept_name(number))?;
        shelf.last = number;
        shelf.kept.push_back(Kept {
            number,
            bytes: u64::try_from(stat.st_size).unwrap_or(0),
            time: stat.st_mtime,
        });
    }
    Ok(shelf)
}

/// The name of a file that was rotated out.
pub fn kept_name(number: u64) -> String {
    format!("{number:08}.log")
}

/// The numbers of a unit's rotated files, oldest first.
pub fn kept_numbers(dir: &OwnedFd) -> io::Result<Vec<u64>> {
    let number = |name: String| {
        name.strip_suffix(".log")?
            .parse()
            .ok()
            .filter(|n| kept_name(*n) == name)
    };
    let mut numbers: Vec<u64> = names(dir, FileType::RegularFile)?
        .into_iter()
        .filter_map(number)
        .collect();
    numbers.sort_unstable();
    Ok(numbers)
}

/// Names in a directory, of one kind; those that begin with a dot or are not UTF-8 are none of ours.
pub fn names(dir: &OwnedFd, kind: FileType) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in rustix::fs::Dir::read_from(dir)? {
        let entry = entry?;
        let name = entry.file_name().to_str().unwrap_or(".");
        if !name.starts_with('.') && (entry.file_type() == kind || entry.file_type() == FileType::Unknown) {
            names.push(name.to_owned());
        }
    }
    Ok(names)
}

/// A unit's name as one step of a path.
pub fn plain(unit: &str) -> io::Result<&str> {
    let leads_away = unit.is_empty() || unit.starts_with('.') || unit.contains('/');
    if leads_away {
        Err(io::ErrorKind::InvalidInput.into())
    } else {
        Ok(unit)
    }
}
