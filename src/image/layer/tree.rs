//! Placing entries: every step of every path by a descriptor, and no link followed by the kernel.
//!
//! Links in the middle of a path are followed here, by names and within the root, since images rely on it (`/bin/x`
//! where `/bin` is a link to `usr/bin`); the kernel is asked with O_NOFOLLOW each time. What is hidden of lower layers
//! becomes what overlayfs(5) has for it: a character device 0:0, or the attribute `trusted.overlay.opaque`.

use std::collections::VecDeque;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::rc::Rc;

use rustix::fs::{
    AtFlags, Dir, FileType, Gid, Mode, OFlags, Stat, Timespec, Timestamps, Uid, XattrFlags, chownat, fchmod, fchown,
    fsetxattr, futimens, linkat, mkdirat, mknodat, openat, readlinkat, statat, symlinkat, unlinkat, utimensat,
};
use rustix::io::Errno;

use super::entry::{Attributes, DEPTH_MAX, Entry, Names, Node};
use crate::image::compression::refuse;

/// How many links one path may have; as the kernel, path_resolution(7).
const LINKS_MAX: usize = 40;

/// What makes a directory hide what lower ones have.
pub const OPAQUE: &str = "trusted.overlay.opaque";

/// A layer that is being placed.
pub struct Tree {
    root: Rc<OwnedFd>,
    /// The directory that the last entry was placed in: the next one is often its neighbour.
    last: Option<(Names, Rc<OwnedFd>)>,
    /// When directories were changed, which each new entry in them changes.
    times: Vec<(Names, (i64, i64))>,
    buffer: Box<[u8]>,
}

impl Tree {
    /// An empty directory.
    pub fn new(root: OwnedFd) -> Self {
        Self {
            root: Rc::new(root),
            last: None,
            times: Vec::new(),
            buffer: vec![0; 256 << 10].into(),
        }
    }

    /// Does what an entry says; a file's bytes are in `content`.
    ///
    /// # Errors
    /// As the calls; InvalidData for what leads nowhere.
    pub fn place(&mut self, entry: &Entry, content: &mut dyn Read) -> io::Result<()> {
        match entry {
            Entry::Skipped => Ok(()),
            Entry::Opaque(path) => {
                let directory = self.directory(path, true)?;
                Ok(fsetxattr(&*directory, OPAQUE, b"y", XattrFlags::empty())?)
            }
            Entry::Whiteout(path) => {
                let (parent, name) = self.parent(path)?;
                match met(parent.as_fd(), name)? {
                    // It hides what is below, and never what this layer itself has; a directory would let it through.
                    Some(there) if is_directory(&there) => make_opaque(parent.as_fd(), name),
                    Some(_) => Ok(()),
                    None => Ok(mknodat(&*parent, name, FileType::CharacterDevice, Mode::empty(), 0)?),
                }
            }
            Entry::Node { path, node, attributes } if path.is_empty() => match node {
                Node::Directory => {
                    self.times.push((Names::new(), attributes.mtime));
                    dress(self.root.as_fd(), attributes)
                }
                Node::File(_) | Node::Symlink(_) | Node::Hardlink(_) | Node::Fifo => {
                    Err(refuse("the root is not a directory"))
                }
            },
            Entry::Node { path, node, attributes } => self.make(path, node, attributes, content),
        }
    }

    /// Sets the times of directories, when nothing is placed in them any more.
    ///
    /// # Errors
    /// As utimensat(2).
    pub fn finish(mut self) -> io::Result<()> {
        for (path, time) in std::mem::take(&mut self.times) {
            // One that gave way to something else has no time to be set.
            if let Ok(directory) = self.directory(&path, false) {
                futimens(&*directory, &timestamps(time))?;
            }
        }
        Ok(())
    }

    fn make(&mut self, path: &Names, node: &Node, attributes: &Attributes, content: &mut dyn Read) -> io::Result<()> {
        let (parent, name) = self.parent(path)?;
        let at = parent.as_fd();
        match node {
            Node::Directory => {
                let hides = self.make_directory(at, name)?;
                let directory = openat(at, name, FOR_DIRECTORY, Mode::empty())?;
                if hides {
                    fsetxattr(&directory, OPAQUE, b"y", XattrFlags::empty())?;
                }
                self.times.push((path.clone(), attributes.mtime));
                dress(directory.as_fd(), attributes)
            }
            Node::File(size) => {
                self.clear(at, name)?;
                let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                let file = openat(at, name, flags, Mode::RUSR | Mode::WUSR)?;
                self.fill(file.as_fd(), *size, content)?;
                dress(file.as_fd(), attributes)?;
                Ok(futimens(&file, &timestamps(attributes.mtime))?)
            }
            Node::Symlink(target) => {
                self.clear(at, name)?;
                symlinkat(&**target, at, name)?;
                self.last = None;
                dress_unopened(at, name, attributes)
            }
            Node::Fifo => {
                self.clear(at, name)?;
                mknodat(at, name, FileType::Fifo, Mode::from_raw_mode(attributes.mode), 0)?;
                dress_unopened(at, name, attributes)?;
                // Nobody could have put anything else there: this process is alone in its root.
                Ok(rustix::fs::chmodat(
                    at,
                    name,
                    Mode::from_raw_mode(attributes.mode),
                    AtFlags::empty(),
                )?)
            }
            Node::Hardlink(target) => self.link(at, name, target),
        }
    }

    /// True if it stands where something of lower layers was hidden: then it hides what a directory there had.
    fn make_directory(&mut self, at: BorrowedFd<'_>, name: &[u8]) -> io::Result<bool> {
        let there = met(at, name)?;
        let hides = there.as_ref().is_some_and(is_whiteout);
        if there.as_ref().is_some_and(is_directory) {
            return Ok(false);
        }
        if there.is_some() {
            self.clear(at, name)?;
        }
        mkdirat(at, name, Mode::RWXU)?;
        Ok(hides)
    }

    fn link(&mut self, at: BorrowedFd<'_>, name: &[u8], target: &Names) -> io::Result<()> {
        let shown = || String::from_utf8_lossy(&target.join(&b'/')).into_owned();
        let Some((last, way)) = target.split_last() else {
            return Err(refuse("a hard link to the root"));
        };
        let absent = |error: io::Error| match error.kind() == io::ErrorKind::NotFound {
            true => refuse(format!("a hard link to {:?}, which this layer does not have", shown())),
            false => error,
        };
        let from = self.directory(way, false).map_err(absent)?;
        let there = met(from.as_fd(), last)?.ok_or_else(|| absent(io::ErrorKind::NotFound.into()))?;
        if is_directory(&there) || is_whiteout(&there) {
            return Err(refuse(format!("a hard link to {:?}, which is no file", shown())));
        }
        let own = met(at, name)?;
        if own.is_some_and(|own| (own.st_dev, own.st_ino) == (there.st_dev, there.st_ino)) {
            return Ok(());
        }
        self.clear(at, name)?;
        // Its owner and mode are those of the file: a link says nothing of its own.
        Ok(linkat(&*from, &**last, at, name, AtFlags::empty())?)
    }

    fn fill(&mut self, file: BorrowedFd<'_>, size: u64, content: &mut dyn Read) -> io::Result<()> {
        let mut left = size;
        while left > 0 {
            let most = usize::try_from(left).unwrap_or(usize::MAX).min(self.buffer.len());
            let piece = self.buffer.get_mut(..most).unwrap_or_default();
            let count = content.read(piece)?;
            if count == 0 {
                return Err(io::Error::new(
                    io::ErrorKind::UnexpectedEof,
                    "the archive ends within a file",
                ));
            }
            let mut rest = piece.get(..count).unwrap_or_default();
            while !rest.is_empty() {
                let written = rustix::io::write(file, rest)?;
                rest = rest.get(written..).unwrap_or_default();
            }
            left -= count as u64;
        }
        Ok(())
    }

    /// Takes away what has this name, with all that is in it.
    fn clear(&mut self, at: BorrowedFd<'_>, name: &[u8]) -> io::Result<()> {
        match unlinkat(at, name, AtFlags::empty()) {
            Ok(()) => self.last = None,
            Err(Errno::NOENT) => {}
            Err(Errno::ISDIR) => {
                remove_directory(at, name)?;
                self.last = None;
            }
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }

    fn parent<'a>(&mut self, path: &'a Names) -> io::Result<(Rc<OwnedFd>, &'a [u8])> {
        let (name, way) = path.split_last().ok_or_else(|| refuse("the root has no parent"))?;
        Ok((self.directory(way, true)?, name))
    }

    /// Goes along a path within the root, through links too, and makes what is missing if it may.
    fn directory(&mut self, path: &[Vec<u8>], make: bool) -> io::Result<Rc<OwnedFd>> {
        if let Some((names, directory)) = &self.last
            && names == path
        {
            return Ok(Rc::clone(directory));
        }
        let mut way = vec![Rc::clone(&self.root)];
        let mut ahead: VecDeque<Vec<u8>> = path.iter().cloned().collect();
        let mut links = 0;
        while let Some(name) = ahead.pop_front() {
            let here = way.last().unwrap_or(&self.root);
            if name == b".." {
                way.truncate(way.len().saturating_sub(1).max(1));
                continue;
            }
            match openat(&**here, &*name, FOR_DIRECTORY, Mode::empty()) {
                Ok(next) => way.push(Rc::new(next)),
                Err(Errno::NOENT) if make => {
                    mkdirat(&**here, &*name, Mode::from_raw_mode(0o755))?;
                    way.push(Rc::new(openat(&**here, &*name, FOR_DIRECTORY, Mode::empty())?));
                }
                Err(Errno::NOTDIR | Errno::LOOP) => {
                    let target = readlinkat(&**here, &*name, Vec::new()).map_err(|_| not_a_directory(&name))?;
                    links += 1;
                    if links > LINKS_MAX {
                        return Err(Errno::LOOP.into());
                    }
                    if target.to_bytes().starts_with(b"/") {
                        way.truncate(1);
                    }
                    let names = target
                        .to_bytes()
                        .split(|byte| *byte == b'/')
                        .filter(|name| !name.is_empty() && *name != b".");
                    names.rev().for_each(|name| ahead.push_front(name.to_vec()));
                }
                Err(error) => return Err(error.into()),
            }
            if way.len() > DEPTH_MAX {
                return Err(refuse(format!("a path is more than {DEPTH_MAX} directories deep")));
            }
        }
        let found = way.pop().unwrap_or_else(|| Rc::clone(&self.root));
        self.last = Some((path.to_vec(), Rc::clone(&found)));
        Ok(found)
    }
}

const FOR_DIRECTORY: OFlags = OFlags::RDONLY
    .union(OFlags::DIRECTORY)
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC);

fn not_a_directory(name: &[u8]) -> io::Error {
    refuse(format!(
        "{:?} is a file, and has something in it",
        String::from_utf8_lossy(name)
    ))
}

fn met(at: BorrowedFd<'_>, name: &[u8]) -> io::Result<Option<Stat>> {
    match statat(at, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(met) => Ok(Some(met)),
        Err(Errno::NOENT) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn is_directory(met: &Stat) -> bool {
    FileType::from_raw_mode(met.st_mode) == FileType::Directory
}

fn is_whiteout(met: &Stat) -> bool {
    FileType::from_raw_mode(met.st_mode) == FileType::CharacterDevice && met.st_rdev == 0
}

fn make_opaque(at: BorrowedFd<'_>, name: &[u8]) -> io::Result<()> {
    let directory = openat(at, name, FOR_DIRECTORY, Mode::empty())?;
    Ok(fsetxattr(directory, OPAQUE, b"y", XattrFlags::empty())?)
}

/// The owner before the mode: a change of owner takes set-user-ID away; chown(2).
fn dress(node: BorrowedFd<'_>, attributes: &Attributes) -> io::Result<()> {
    fchown(
        node,
        Some(Uid::from_raw(attributes.uid)),
        Some(Gid::from_raw(attributes.gid)),
    )?;
    fchmod(node, Mode::from_raw_mode(attributes.mode))?;
    for (name, value) in &attributes.xattrs {
        match fsetxattr(node, &**name, value, XattrFlags::empty()) {
            // A file system without attributes of users: nobody relies on them.
            Ok(()) | Err(Errno::OPNOTSUPP) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

fn dress_unopened(at: BorrowedFd<'_>, name: &[u8], attributes: &Attributes) -> io::Result<()> {
    let (uid, gid) = (Uid::from_raw(attributes.uid), Gid::from_raw(attributes.gid));
    chownat(at, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)?;
    Ok(utimensat(
        at,
        name,
        &timestamps(attributes.mtime),
        AtFlags::SYMLINK_NOFOLLOW,
    )?)
}

fn timestamps((seconds, nanoseconds): (i64, i64)) -> Timestamps {
    let time = Timespec {
        tv_sec: seconds,
        tv_nsec: nanoseconds,
    };
    Timestamps {
        last_access: time,
        last_modification: time,
    }
}

/// As deep as [`DEPTH_MAX`] at most, since nothing deeper was made.
fn remove_directory(at: BorrowedFd<'_>, name: &[u8]) -> io::Result<()> {
    let directory = openat(at, name, FOR_DIRECTORY, Mode::empty())?;
    for entry in Dir::read_from(&directory)? {
        let entry = entry?;
        let name = entry.file_name();
        if name == c"." || name == c".." {
            continue;
        }
        match unlinkat(&directory, name, AtFlags::empty()) {
            Ok(()) => {}
            Err(Errno::ISDIR) => remove_directory(directory.as_fd(), name.to_bytes())?,
            Err(error) => return Err(error.into()),
        }
    }
    Ok(unlinkat(at, name, AtFlags::REMOVEDIR)?)
}
