//! Where state is kept outside the process image: a file that grows by what changes, and is written anew when most of it
//! is old.
//!
//! It begins with a line that names the form. Then come batches, each a length and that many bytes: lines of a section,
//! a key and a value in JSON, which has no line ends. A batch is taken whole or not at all, so a write that was cut
//! short changes nothing. The file is in the runtime directory, for root only; where that is full it is in memory, and
//! lives as long as svcd does over all of its execs.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::Path;

use rustix::fs::{MemfdFlags, SealFlags};

use crate::engine::record::Record;
use crate::unit::TextId;

/// The name in the runtime directory.
const NAME: &str = "state";
/// And while it is written.
const NEW_NAME: &str = "state.new";
/// The first line. What a later version writes differently, it says in the entries.
const MAGIC: &[u8] = b"svc state, form 1\n";
/// The section of the texts of unit files.
const TEXTS: &str = "text";
/// A journal is written anew when it is longer than this and than twice what it was when it was new.
const REWRITE_BYTES_MIN: u64 = 1 << 20;
/// What is longer than this was not written by us: 100,000 units take a quarter of it.
const BYTES_MAX: u64 = 1 << 30;

/// A whole state is written in batches of this size: the heap need not hold it a second time.
const PART_BYTES: usize = 64 << 10;

/// Entries that are written at once, or a whole state that goes into a new journal.
#[derive(Debug, Default)]
pub struct Batch {
    bytes: Vec<u8>,
    /// Where the values of texts are in it.
    texts: Vec<(TextId, usize, usize)>,
    /// What it goes into, part by part, until something fails.
    into: Option<io::Result<Journal>>,
}

impl Batch {
    /// A whole state, for this journal.
    pub fn whole(into: Journal) -> Self {
        Self {
            into: Some(Ok(into)),
            ..Self::default()
        }
    }

    /// Adds an entry; `value` is JSON in one line, `null` to take away what was there.
    pub fn put(&mut self, section: &str, key: &str, value: &str) {
        if self.into.is_some() && self.bytes.len() >= PART_BYTES {
            self.write_part();
        }
        if self.bytes.is_empty() {
            self.bytes.extend_from_slice(&[0; 4]);
        }
        for part in [section, " ", key, " ", value, "\n"] {
            self.bytes.extend_from_slice(part.as_bytes());
        }
    }

    /// Adds the text of a unit file, as JSON.
    pub fn put_text(&mut self, id: TextId, value: &str) {
        self.put(TEXTS, &format!("{:x}", id.0), value);
        let end = self.bytes.len() - 1;
        self.texts.push((id, end - value.len(), value.len()));
    }

    /// The journal with all that was put.
    ///
    /// # Errors
    /// As write(2), of any part.
    pub fn finish(mut self) -> io::Result<Journal> {
        self.write_part();
        let mut journal = self.into.unwrap_or_else(|| Err(io::ErrorKind::InvalidInput.into()))?;
        journal.new_size = journal.size;
        Ok(journal)
    }

    fn write_part(&mut self) {
        self.into = match self.into.take() {
            Some(Ok(mut journal)) => Some(journal.append(self).map(|()| journal)),
            failed => failed,
        };
        self.bytes.clear();
        self.texts.clear();
    }

    /// With its length before it.
    fn bytes(&mut self) -> &[u8] {
        let length = u32::try_from(self.bytes.len().saturating_sub(4)).unwrap_or(u32::MAX);
        if let Some(place) = self.bytes.first_chunk_mut::<4>() {
            *place = length.to_le_bytes();
        }
        &self.bytes
    }
}

/// The file.
#[derive(Debug)]
pub struct Journal {
    file: File,
    size: u64,
    /// Its size when all of it was new.
    new_size: u64,
    texts: BTreeMap<TextId, (u64, usize)>,
}

impl Journal {
    /// An empty one for this directory, to [`publish`](Journal::publish) when the state is in it.
    ///
    /// # Errors
    /// As open(2) and write(2).
    pub fn new_in(dir: &Path) -> io::Result<Self> {
        let path = dir.join(NEW_NAME);
        drop(fs::remove_file(&path));
        let file = File::options()
            .read(true)
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&path)?;
        Self::begin(file)
    }

    /// An empty one that no directory knows of.
    ///
    /// # Errors
    /// As memfd_create(2) and write(2).
    pub fn new_in_memory() -> io::Result<Self> {
        let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
        Self::begin(rustix::fs::memfd_create("svc-state", flags)?.into())
    }

    fn begin(file: File) -> io::Result<Self> {
        file.write_all_at(MAGIC, 0)?;
        Ok(Self {
            file,
            size: MAGIC.len() as u64,
            new_size: 0,
            texts: BTreeMap::new(),
        })
    }

    /// It takes the place of any that is in its directory.
    ///
    /// # Errors
    /// As rename(2).
    pub fn publish(self, dir: &Path) -> io::Result<Self> {
        fs::rename(dir.join(NEW_NAME), dir.join(NAME))?;
        Ok(self)
    }

    /// Adds a batch.
    ///
    /// # Errors
    /// As write(2); nothing of it is in the journal then.
    pub fn append(&mut self, batch: &mut Batch) -> io::Result<()> {
        let bytes = batch.bytes();
        if let Err(error) = self.file.write_all_at(bytes, self.size) {
            // A reader would take what follows for the rest of this batch.
            self.file.set_len(self.size)?;
            return Err(error);
        }
        let length = bytes.len() as u64;
        for (id, from, length) in batch.texts.drain(..) {
            self.texts.insert(id, (self.size + from as u64, length));
        }
        self.size += length;
        Ok(())
    }

    /// Nobody can change it any more; fcntl(2), F_ADD_SEALS. For one in memory.
    ///
    /// # Errors
    /// As fcntl(2).
    pub fn seal(&self) -> io::Result<()> {
        let seals = SealFlags::WRITE | SealFlags::GROW | SealFlags::SHRINK | SealFlags::SEAL;
        Ok(rustix::fs::fcntl_add_seals(&self.file, seals)?)
    }

    /// Most of it is old.
    pub fn is_mostly_old(&self) -> bool {
        self.size > REWRITE_BYTES_MIN.max(self.new_size.saturating_mul(2))
    }

    /// Whether it has this text.
    pub fn has_text(&self, id: TextId) -> bool {
        self.texts.contains_key(&id)
    }

    /// A text that it has, as JSON.
    pub fn text(&self, id: TextId) -> Option<String> {
        let (from, length) = self.texts.get(&id)?;
        let mut bytes = vec![0; *length];
        self.file.read_exact_at(&mut bytes, *from).ok()?;
        String::from_utf8(bytes).ok()
    }
}

impl AsFd for Journal {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

/// Reads the journal in a runtime directory. None: there is none that can be read.
pub fn read_in(dir: &Path) -> Option<Record> {
    let path = dir.join(NAME);
    let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
    let file = File::options()
        .read(true)
        .custom_flags(flags.bits().cast_signed())
        .open(path)
        .ok()?;
    read(&file)
}

/// Reads the journal that is open here.
pub fn read_open(file: OwnedFd) -> Option<Record> {
    read(&File::from(file))
}

fn read(file: &File) -> Option<Record> {
    let meta = file.metadata().ok().filter(fs::Metadata::is_file)?;
    if meta.uid() != rustix::process::geteuid().as_raw() {
        return None;
    }
    let mut bytes = vec![0; usize::try_from(meta.len()).ok().filter(|_| meta.len() <= BYTES_MAX)?];
    file.read_exact_at(&mut bytes, 0).ok()?;
    parse(&bytes)
}

/// None: it does not begin as a journal does.
fn parse(bytes: &[u8]) -> Option<Record> {
    let mut rest = bytes.strip_prefix(MAGIC)?;
    let mut record = Record::default();
    while let Some((length, after)) = rest.split_first_chunk::<4>() {
        let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
        // What was cut short is the end.
        let Some((batch, after)) = after.split_at_checked(length) else {
            break;
        };
        for line in std::str::from_utf8(batch).unwrap_or_default().lines() {
            let mut parts = line.splitn(3, ' ');
            if let (Some(section), Some(key), Some(value)) = (parts.next(), parts.next(), parts.next()) {
                record.put(section, key, value);
            }
        }
        rest = after;
    }
    Some(record)
}

/// The texts of unit files that a record has.
pub fn texts(record: &Record) -> BTreeMap<TextId, std::rc::Rc<str>> {
    let entries = record.section(TEXTS);
    entries
        .filter_map(|(key, value)| {
            let id = TextId(u64::from_str_radix(key, 16).ok()?);
            Some((id, value.as_str()?.into()))
        })
        .collect()
}

/// Takes the journal away: its state is over.
pub fn remove(dir: &Path) {
    drop(fs::remove_file(dir.join(NAME)));
    drop(fs::remove_file(dir.join(NEW_NAME)));
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::os::unix::fs::PermissionsExt;

    fn batch(entries: &[(&str, &str, &str)]) -> Batch {
        let mut batch = Batch::default();
        for (section, key, value) in entries {
            batch.put(section, key, value);
        }
        batch
    }

    /// A new one with this in it.
    fn journal(dir: &Path, whole: impl FnOnce(&mut Batch)) -> io::Result<Journal> {
        let mut first = Batch::whole(Journal::new_in(dir)?);
        whole(&mut first);
        first.finish()?.publish(dir)
    }

    fn value(record: &Record, section: &str, key: &str) -> Option<String> {
        let found = record.section(section).find(|(its, _)| *its == key);
        found.map(|(_, value)| value.to_string())
    }

    #[test]
    fn what_is_written_last_stands_and_a_torn_batch_changes_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let mut journal = journal(dir.path(), |whole| whole.put("unit", "0", "{\"a\":1}")).unwrap();
        journal
            .append(&mut batch(&[("unit", "0", "2"), ("unit", "1", "3"), ("x", "", "[]")]))
            .unwrap();
        journal.append(&mut batch(&[("unit", "1", "null")])).unwrap();
        let record = read_in(dir.path()).unwrap();
        assert_eq!(value(&record, "unit", "0").as_deref(), Some("2"));
        assert_eq!(value(&record, "unit", "1"), None);
        assert_eq!(value(&record, "x", "").as_deref(), Some("[]"));
        let path = dir.path().join(NAME);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let whole = fs::read(&path).unwrap();
        for cut in 0..whole.len() {
            match parse(&whole[..cut]) {
                None => assert!(cut < MAGIC.len()),
                Some(record) => assert!(value(&record, "unit", "1").is_none() || value(&record, "x", "").is_some()),
            }
        }
        remove(dir.path());
        assert!(read_in(dir.path()).is_none());
    }

    #[test]
    fn texts_are_found_again_and_copied_into_the_next() {
        let dir = tempfile::tempdir().unwrap();
        let text = "[service]\nexec-start = \"x \u{fc}\"\n";
        let id = TextId::of(text);
        let json = serde_json::to_string(text).unwrap();
        let mut journal = journal(dir.path(), |whole| whole.put_text(id, &json)).unwrap();
        journal.append(&mut batch(&[("a", "b", "2")])).unwrap();
        let mut second = Batch::whole(Journal::new_in_memory().unwrap());
        // More than one part, the text in the last.
        for nth in 0..PART_BYTES / 16 {
            second.put("a", &nth.to_string(), "\"twenty or more bytes\"");
        }
        second.put_text(id, &journal.text(id).unwrap());
        let next = second.finish().unwrap();
        next.seal().unwrap();
        assert!(next.has_text(id) && journal.has_text(id) && !journal.has_text(TextId(0)));
        let record = read_open(next.as_fd().try_clone_to_owned().unwrap()).unwrap();
        assert_eq!(texts(&record).get(&id).map(|text| &**text), Some(text));
        assert_eq!(record.section("a").count(), PART_BYTES / 16);
        assert_eq!(next.text(id).as_deref(), Some(&*json));
    }

    #[test]
    fn what_cannot_be_written_is_an_error_and_can_be_written_elsewhere() {
        let dir = tempfile::tempdir().unwrap();
        assert!(Journal::new_in(&dir.path().join("gone")).is_err());
        let mut sealed = Journal::new_in_memory().unwrap();
        sealed.seal().unwrap();
        assert!(sealed.append(&mut batch(&[("a", "b", "1")])).is_err());
        let mut whole = Batch::whole(sealed);
        whole.put("a", "b", "1");
        assert!(whole.finish().is_err());
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_not(mut bytes in prop::collection::vec(any::<u8>(), 0..300), magic in any::<bool>()) {
            if magic {
                bytes.splice(0..0, MAGIC.iter().copied());
            }
            prop_assert!(parse(&bytes).is_some() == bytes.starts_with(MAGIC));
        }
    }
}
