//! Generations on disk: a file for each, which never changes, and one that says which is in force and what has become of
//! each. Every file is written whole beside its place and renamed into it, so that there is the old one or the new one
//! whenever the power goes; rename(2), fsync(2).

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::control::view;
use crate::image::Digest;
use crate::unit::report::Severity;
use crate::unit::{TextId, Texts, Unit, UnitName, sources};

/// So many are kept, besides the one in force and the last good one.
const KEPT_MAX: usize = 20;

/// What is longer was not written by us: 10,000 units with files of 6 KiB.
const BYTES_MAX: u64 = 64 << 20;

/// Which is in force, and what has become of each.
const STATE: &str = "state.json";

/// Units that were in force together.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct Generation {
    /// From 1 on; a number is never given twice.
    pub number: u64,
    /// When, in microseconds since 1970.
    pub at: i64,
    /// Who brought it.
    pub by: view::Cause,
    pub units: Vec<KeptUnit>,
    /// The texts of all files, by the names that `units` has for them.
    pub texts: BTreeMap<String, String>,
    /// What the images of units were, by digest.
    pub images: BTreeMap<String, String>,
}

/// The files of a unit, in the order in which they are merged: path, and name of the text.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct KeptUnit {
    pub unit: String,
    pub files: Vec<(String, String)>,
}

/// What has become of a generation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Its probation is over.
    Good,
    /// It gave way to another, for this reason.
    Failed(String),
}

/// A time in which a generation has to show that it is good.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct Probation {
    /// In which boot of the machine.
    pub boot: String,
    /// Until then, in microseconds since that boot.
    pub until: u64,
    /// The machine, or svcd, was taken down in order: it begins anew.
    pub paused: bool,
    /// The units that were up before it.
    pub good: BTreeSet<String>,
}

/// Which is in force, and what has become of each.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct State {
    /// In force; 0: none yet.
    pub number: u64,
    /// The last number that was given.
    pub last: u64,
    /// What the disk said when it was put in force.
    pub disk: Fingerprint,
    /// Why it is in force though the disk says something else.
    pub instead_of_disk: Option<String>,
    pub verdicts: BTreeMap<u64, Verdict>,
    pub probation: Option<Probation>,
    /// The units that were up when the last good one had shown that it is.
    pub up: BTreeSet<String>,
    /// The units that are to be up again with the one in force, since it took the place of one that failed.
    pub to_start_again: BTreeSet<String>,
}

/// What the unit directories say, in short: all of it, and without what dies with the boot.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fingerprint {
    pub all: String,
    pub lasting: String,
}

impl Fingerprint {
    /// Of these units' files; those below `temporary` are not counted, those below `runtime` do not last.
    pub fn of<'a>(units: impl Iterator<Item = &'a Rc<Unit>>, temporary: &[PathBuf], runtime: &Path) -> Self {
        let (mut all, mut lasting) = (Hash::default(), Hash::default());
        for unit in units {
            for (path, text) in unit.origin.files.iter().zip(&unit.origin.texts) {
                if temporary.iter().any(|dir| Path::new(&**path).starts_with(dir)) {
                    continue;
                }
                let line = format!("{} {path} {:x}\n", unit.name, text.0);
                all.add(&line);
                if !Path::new(&**path).starts_with(runtime) {
                    lasting.add(&line);
                }
            }
        }
        Self {
            all: format!("{:016x}", all.0),
            lasting: format!("{:016x}", lasting.0),
        }
    }
}

/// FNV-1a, which is the same whatever svcd was built with; nobody is kept out by it.
struct Hash(u64);

impl Default for Hash {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Hash {
    fn add(&mut self, text: &str) {
        let step = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        self.0 = text.bytes().fold(self.0, step);
    }
}

impl Generation {
    /// What the image of a unit was.
    pub fn image_of(&self, unit: &Unit) -> Option<Digest> {
        self.images.get(unit.name.as_str())?.parse().ok()
    }

    /// Adds a unit, with the texts of its files but for the temporary ones. None: a text is not known.
    pub fn add(&mut self, unit: &Unit, temporary: &[PathBuf], text: impl Fn(TextId) -> Option<String>) -> Option<()> {
        let mut kept = KeptUnit {
            unit: unit.name.to_string(),
            files: Vec::new(),
        };
        let files = unit.origin.files.iter().zip(&unit.origin.texts);
        let lasting = files.filter(|(path, _)| !temporary.iter().any(|dir| Path::new(&***path).starts_with(dir)));
        for (path, id) in lasting {
            let name = format!("{:x}", id.0);
            if !self.texts.contains_key(&name) {
                self.texts.insert(name.clone(), text(*id)?);
            }
            kept.files.push((path.to_string(), name));
        }
        self.units.push(kept);
        Some(())
    }

    /// The units as their files say it, and the texts of these.
    ///
    /// # Errors
    /// A unit that this svcd does not take any more.
    pub fn read_units(&self) -> Result<(Vec<Rc<Unit>>, Texts), String> {
        let mut texts = Texts::new();
        let mut units = Vec::new();
        for kept in &self.units {
            let name = UnitName::new(&kept.unit).map_err(|why| format!("{}: {why}", kept.unit))?;
            let text_of = |name: &String| self.texts.get(name).map(|text| Rc::from(text.as_str()));
            let files = kept
                .files
                .iter()
                .map(|(path, text)| Some((path.as_str().into(), text_of(text)?)));
            let files: Option<Vec<(Rc<str>, Rc<str>)>> = files.collect();
            let files = files.ok_or_else(|| format!("{name}: a text is missing"))?;
            let (unit, findings) = sources::parse(&name, &files, Vec::new());
            if let Some(wrong) = findings.iter().find(|finding| finding.severity == Severity::Error) {
                return Err(format!("{}:{}: {}", wrong.file, wrong.line, wrong.message));
            }
            texts.extend(files.into_iter().map(|(_, text)| (TextId::of(&text), text)));
            units.push(Rc::new(unit));
        }
        Ok((units, texts))
    }
}

impl State {
    /// The last one before this that is known to be good.
    pub fn last_good_before(&self, number: u64) -> Option<u64> {
        let mut before = self.verdicts.range(..number).rev();
        before
            .find(|(_, verdict)| **verdict == Verdict::Good)
            .map(|(number, _)| *number)
    }
}

/// The directory.
#[derive(Debug)]
pub struct Store(PathBuf);

impl Store {
    pub fn new(dir: PathBuf) -> Self {
        Self(dir)
    }

    fn file(&self, number: u64) -> PathBuf {
        self.0.join(format!("{number}.json"))
    }

    /// What is there of one.
    ///
    /// # Errors
    /// It is not there, or cannot be read, in one line.
    pub fn read(&self, number: u64) -> Result<Generation, String> {
        match read(&self.file(number)) {
            Ok(Some(generation)) => Ok(generation),
            Ok(None) => Err("there is no such generation, or none that is still kept".to_owned()),
            Err(why) => Err(why),
        }
    }

    /// The state; None: there is none yet.
    ///
    /// # Errors
    /// It cannot be read, in one line.
    pub fn state(&self) -> Result<Option<State>, String> {
        read(&self.0.join(STATE))
    }

    /// # Errors
    /// As open(2), write(2), fsync(2), rename(2).
    pub fn write(&self, generation: &Generation) -> io::Result<()> {
        let mut builder = DirBuilder::new();
        builder.recursive(true).mode(0o700).create(&self.0)?;
        write(&self.0, &self.file(generation.number), generation)
    }

    /// # Errors
    /// As [`Store::write`].
    pub fn write_state(&self, state: &State) -> io::Result<()> {
        write(&self.0, &self.0.join(STATE), state)
    }

    /// The numbers that are kept, in order.
    pub fn numbers(&self) -> Vec<u64> {
        let entries = fs::read_dir(&self.0).into_iter().flatten().flatten();
        let mut numbers: Vec<u64> = entries
            .filter_map(|entry| entry.file_name().to_str()?.strip_suffix(".json")?.parse().ok())
            .collect();
        numbers.sort_unstable();
        numbers
    }

    /// Takes away the oldest that are too many, and those that never came into force. True: anything went.
    pub fn prune(&self, state: &mut State) {
        let numbers = self.numbers();
        let oldest = numbers.iter().rev().nth(KEPT_MAX - 1).copied().unwrap_or(0);
        let good = state.last_good_before(u64::MAX);
        for number in numbers {
            let is_kept = number >= oldest || number == state.number || Some(number) == good;
            if !is_kept || number > state.last {
                drop(fs::remove_file(self.file(number)));
                state.verdicts.remove(&number);
            }
        }
    }
}

fn read<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, String> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(format!("{}: {error}", path.display())),
    };
    let mut text = String::new();
    let read = file.take(BYTES_MAX).read_to_string(&mut text);
    read.map_err(|error| error.to_string())
        .and_then(|_| serde_json::from_str(&text).map_err(|error| error.to_string()))
        .map(Some)
        .map_err(|why| format!("{}: {why}", path.display()))
}

fn write(dir: &Path, path: &Path, value: &impl Serialize) -> io::Result<()> {
    let new = path.with_extension("new");
    let mut options = OpenOptions::new();
    let mut file = options.create(true).truncate(true).write(true).mode(0o600).open(&new)?;
    let written = serde_json::to_vec(value)
        .map_err(io::Error::from)
        .and_then(|text| file.write_all(&text))
        .and_then(|()| file.sync_all())
        .and_then(|()| fs::rename(&new, path))
        .and_then(|()| File::open(dir)?.sync_all());
    written.inspect_err(|_| drop(fs::remove_file(&new)))
}

#[cfg(test)]
mod tests;
