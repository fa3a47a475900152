//! Members of a layout or an archive, opened by name in any order.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::{FileType, Mode, OFlags, ResolveFlags, fstat, open, openat2};

use crate::image::compression::{self, Capped, Compression};
use crate::image::document::DOCUMENT_BYTES_MAX;
use crate::image::{Error, Result};

/// The largest archive, without compression: 64 GiB.
const ARCHIVE_BYTES_MAX: u64 = 64 << 30;

/// The most members of an archive: each layer has a few.
const MEMBERS_MAX: usize = 10_000;

/// The most bytes of what is said of one member before it.
const NAMES_BYTES_MAX: u64 = 64 << 10;

/// How often a link within an archive is followed: `docker save` of old links equal layers to one another.
const LINKS_MAX: usize = 4;

/// Where an image is loaded from.
pub enum Source {
    /// A directory.
    Directory(OwnedFd),
    /// An archive without compression, and where its members are.
    Archive {
        #[allow(missing_docs)]
        file: File,
        #[allow(missing_docs)]
        members: BTreeMap<String, Member>,
    },
}

/// Where a member of an archive is.
#[derive(Debug, PartialEq, Eq)]
pub enum Member {
    #[allow(missing_docs)]
    File { at: u64, size: u64 },
    /// To another member.
    Link(String),
}

impl Source {
    /// Opens a directory or an archive, which may be compressed.
    ///
    /// # Errors
    /// It cannot be read; refused: it is no archive, or has too much in it.
    pub fn open(path: &Path, scratch: &Path) -> Result<Self> {
        let fd = open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
            .map_err(|error| Error::at(path)(error.into()))?;
        let kind = fstat(&fd).map_err(|error| Error::at(path)(error.into()))?.st_mode;
        if FileType::from_raw_mode(kind) == FileType::Directory {
            return Ok(Self::Directory(fd));
        }
        Self::of_stream(File::from(fd), scratch).map_err(Error::of(path.display()))
    }

    /// Reads an archive from a stream, standard input for one. `scratch` is a directory for what cannot be sought in.
    ///
    /// # Errors
    /// As [`Source::open`].
    pub fn of_stream(mut from: File, scratch: &Path) -> io::Result<Self> {
        let plain = from.stream_position().is_ok() && {
            let found = compression::detect(&mut BufReader::new(&from))?;
            from.seek(SeekFrom::Start(0))?;
            found == Compression::None
        };
        let file = match plain {
            true => from,
            false => {
                let mut copy = tempfile_in(scratch)?;
                let (reader, _) = compression::reader(from)?;
                io::copy(&mut Capped::new(reader, ARCHIVE_BYTES_MAX, "is too large"), &mut copy)?;
                copy.seek(SeekFrom::Start(0))?;
                copy
            }
        };
        let members = members(&file)?;
        Ok(Self::Archive { file, members })
    }

    /// Opens a member for reading, with its size. None: it is not there.
    ///
    /// # Errors
    /// It is no plain file, or cannot be read.
    pub fn member(&self, name: &str) -> Result<Option<(Box<dyn Read + '_>, u64)>> {
        match self {
            Self::Directory(fd) => member_of_directory(fd, name),
            Self::Archive { file, members } => {
                let mut name = name.to_owned();
                for _ in 0..LINKS_MAX {
                    match members.get(&name) {
                        None => return Ok(None),
                        Some(Member::Link(to)) => name.clone_from(to),
                        Some(Member::File { at, size }) => {
                            return Ok(Some((
                                Box::new(Section {
                                    file,
                                    at: *at,
                                    left: *size,
                                }),
                                *size,
                            )));
                        }
                    }
                }
                Err(Error::refused(name, "is a link to a link to a link"))
            }
        }
    }

    /// Reads a member that is a document. None: it is not there.
    ///
    /// # Errors
    /// As [`Source::member`]; refused: it is too large.
    pub fn document(&self, name: &str) -> Result<Option<Vec<u8>>> {
        let Some((from, size)) = self.member(name)? else {
            return Ok(None);
        };
        if size > DOCUMENT_BYTES_MAX {
            return Err(Error::refused(
                name,
                format_args!("is {size} bytes long, too large for a document"),
            ));
        }
        let mut bytes = Vec::new();
        from.take(DOCUMENT_BYTES_MAX)
            .read_to_end(&mut bytes)
            .map_err(Error::of(name))?;
        Ok(Some(bytes))
    }
}

/// A file without a name: nothing of it is left, however this ends.
fn tempfile_in(folder: &Path) -> io::Result<File> {
    let flags = OFlags::RDWR | OFlags::TMPFILE | OFlags::CLOEXEC;
    Ok(open(folder, flags, Mode::RUSR | Mode::WUSR)?.into())
}

fn member_of_directory(folder: &OwnedFd, name: &str) -> Result<Option<(Box<dyn Read + 'static>, u64)>> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let within = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS | ResolveFlags::NO_SYMLINKS;
    let fd = match openat2(folder.as_fd(), name, flags, Mode::empty(), within) {
        Err(rustix::io::Errno::NOENT) => return Ok(None),
        other => other.map_err(|error| Error::of(name)(error.into()))?,
    };
    let met = fstat(&fd).map_err(|error| Error::of(name)(error.into()))?;
    if FileType::from_raw_mode(met.st_mode) != FileType::RegularFile {
        return Err(Error::refused(name, "is no plain file"));
    }
    Ok(Some((Box::new(File::from(fd)), met.st_size.unsigned_abs())))
}

/// What is said of members before them is read whole into memory, so it is looked at first: names are short.
fn names_are_short(file: &File) -> io::Result<()> {
    let mut archive = tar::Archive::new(file);
    for entry in archive.entries_with_seek()?.raw(true) {
        let entry = entry?;
        let kind = entry.header().entry_type();
        let is_said = kind.is_pax_local_extensions() || kind.is_gnu_longname() || kind.is_gnu_longlink();
        if is_said && entry.size() > NAMES_BYTES_MAX {
            return Err(compression::refuse("says too much of a member"));
        }
    }
    Ok(())
}

/// Where each member is. The first of two that have one name is taken, and the second refused.
fn members(file: &File) -> io::Result<BTreeMap<String, Member>> {
    names_are_short(file)?;
    let mut file = file;
    file.seek(SeekFrom::Start(0))?;
    let mut members = BTreeMap::new();
    let mut archive = tar::Archive::new(file);
    for entry in archive.entries_with_seek()? {
        let entry = entry?;
        let name = String::from_utf8_lossy(&entry.path_bytes())
            .trim_start_matches("./")
            .to_owned();
        let kind = entry.header().entry_type();
        let link = entry.link_name_bytes().unwrap_or_default().into_owned();
        let member = if kind.is_file() || kind.is_contiguous() {
            Member::File {
                at: entry.raw_file_position(),
                size: entry.size(),
            }
        } else if kind.is_symlink() {
            let out = || compression::refuse(format!("{name:?} is a link out of the archive"));
            Member::Link(target(&name, &link).ok_or_else(out)?)
        } else if kind.is_hard_link() {
            Member::Link(String::from_utf8_lossy(&link).trim_start_matches("./").to_owned())
        } else if kind.is_dir() || kind.is_pax_global_extensions() {
            continue;
        } else {
            return Err(compression::refuse(format!("{name:?} is no plain file")));
        };
        if members.len() == MEMBERS_MAX {
            return Err(compression::refuse("has too many members"));
        }
        if members.insert(name.clone(), member).is_some() {
            return Err(compression::refuse(format!("has {name:?} twice")));
        }
    }
    Ok(members)
}

/// What a symbolic link of an archive's member leads to, if that is within the archive.
fn target(name: &str, link: &[u8]) -> Option<String> {
    let link = std::str::from_utf8(link).ok().filter(|link| !link.starts_with('/'))?;
    let mut path: Vec<&str> = name.split('/').collect();
    path.pop();
    for part in link.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                path.pop()?;
            }
            part => path.push(part),
        }
    }
    Some(path.join("/"))
}

/// A piece of a file.
struct Section<'a> {
    file: &'a File,
    at: u64,
    left: u64,
}

impl Read for Section<'_> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        use std::os::unix::fs::FileExt;
        let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(to.len());
        let count = self.file.read_at(to.get_mut(..most).unwrap_or_default(), self.at)?;
        if count == 0 && most > 0 {
            return Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                "the archive ends within a member",
            ));
        }
        self.at += count as u64;
        self.left -= count as u64;
        Ok(count)
    }
}
